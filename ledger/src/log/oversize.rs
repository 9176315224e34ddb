//! How a record that is too large for an entry stands in the log: by its length and hash.
//!
//! ```text
//! tag      16 bytes, "attestune/large\n"
//! length   8 bytes, big-endian, of the record's value
//! digest   32 bytes, SHA-256 of the record's value
//! ```
//!
//! The entry's value is this short form: the leaf hashes it, the fold judges it, a restored log holds it.

use super::VALUE_BYTES_MAX;
use sha2::{Digest as _, Sha256};

const TAG: &[u8; 16] = b"attestune/large\n";

/// What is kept of a value that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortForm {
    /// The value's length in bytes.
    pub length: u64,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

impl ShortForm {
    /// Reads an entry's value; none if it is not a short form. A length that would have fitted is none, either.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (length, digest) = value.strip_prefix(TAG)?.split_first_chunk()?;
        let length = u64::from_be_bytes(*length);
        (length > VALUE_BYTES_MAX as u64).then_some(Self { length, digest: digest.try_into().ok()? })
    }

    /// The entry's value.
    pub fn to_bytes(self) -> Vec<u8> {
        [&TAG[..], &self.length.to_be_bytes(), &self.digest].concat()
    }
}

/// The short form of a value that is too large for an entry; none if it fits.
pub fn short_form(value: &[u8]) -> Option<ShortForm> {
    let digest = || Sha256::digest(value).into();
    (value.len() > VALUE_BYTES_MAX).then(|| ShortForm { length: value.len() as u64, digest: digest() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_value_too_large_has_a_short_form_and_it_reads_back() {
        assert_eq!(short_form(&vec![1; VALUE_BYTES_MAX]), None);
        let short = short_form(&vec![1; VALUE_BYTES_MAX + 1]).unwrap();
        assert_eq!(short.length, 65_528);
        let bytes = short.to_bytes();
        assert_eq!(bytes.len(), 56);
        assert_eq!(ShortForm::read(&bytes), Some(short));
    }

    #[test]
    fn what_only_resembles_a_short_form_is_none() {
        let good = short_form(&vec![1; VALUE_BYTES_MAX + 1]).unwrap();
        let fits = ShortForm { length: VALUE_BYTES_MAX as u64, ..good }.to_bytes();
        let longer = [good.to_bytes(), vec![0]].concat();
        for bytes in [&fits[..], &longer, &good.to_bytes()[..55], b"", TAG] {
            assert_eq!(ShortForm::read(bytes), None);
        }
    }
}
