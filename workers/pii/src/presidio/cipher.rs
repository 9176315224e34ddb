//! Presidio's encryption: AES-CBC with PKCS #7 padding, the random initialisation vector in front, in URL-safe Base64.
//!
//! It doesn't tell whether a text was changed; [`crate::Operator::Encrypt`] does. It is here so that what one of the two
//! products encrypted the other decrypts.

use aes::{
    Aes128, Aes192, Aes256,
    cipher::{
        BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use cbc::{Decryptor, Encryptor};

const BLOCK_BYTES: usize = 16;

/// Whether a key has a length that AES knows: 128, 192 or 256 bits.
pub(super) fn is_key(key: &[u8]) -> bool {
    matches!(key.len(), 16 | 24 | 32)
}

/// Nothing without random numbers, or with a key that is none.
pub(super) fn encrypt(key: &[u8], text: &str) -> Option<String> {
    let mut iv = [0; BLOCK_BYTES];
    getrandom::fill(&mut iv).ok()?;
    let sealed = match key.len() {
        16 => seal::<Aes128>(key, &iv, text),
        24 => seal::<Aes192>(key, &iv, text),
        _ => seal::<Aes256>(key, &iv, text),
    };
    Some(URL_SAFE.encode([&iv[..], &sealed?].concat()))
}

/// Nothing if the key is another, or the text was not encrypted so. Base64's usual alphabet is read as well.
pub(super) fn decrypt(key: &[u8], text: &str) -> Option<String> {
    let bytes = URL_SAFE.decode(text.replace('+', "-").replace('/', "_")).ok()?;
    let (iv, sealed) = bytes.split_at_checked(BLOCK_BYTES)?;
    let opened = match key.len() {
        16 => open::<Aes128>(key, iv, sealed),
        24 => open::<Aes192>(key, iv, sealed),
        _ => open::<Aes256>(key, iv, sealed),
    };
    String::from_utf8(opened?).ok()
}

fn seal<C>(key: &[u8], iv: &[u8], text: &str) -> Option<Vec<u8>>
where
    C: BlockCipherEncrypt,
    Encryptor<C>: KeyIvInit + BlockModeEncrypt,
{
    let mut sealed = text.as_bytes().to_vec();
    sealed.resize(text.len() + BLOCK_BYTES, 0);
    let length =
        Encryptor::<C>::new_from_slices(key, iv).ok()?.encrypt_padded::<Pkcs7>(&mut sealed, text.len()).ok()?.len();
    sealed.truncate(length);
    Some(sealed)
}

fn open<C>(key: &[u8], iv: &[u8], sealed: &[u8]) -> Option<Vec<u8>>
where
    C: BlockCipherDecrypt,
    Decryptor<C>: KeyIvInit + BlockModeDecrypt,
{
    let mut opened = sealed.to_vec();
    let length = Decryptor::<C>::new_from_slices(key, iv).ok()?.decrypt_padded::<Pkcs7>(&mut opened).ok()?.len();
    opened.truncate(length);
    Some(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A, F.2.5 (CBC-AES256), the first block, before padding.
    #[test]
    fn it_is_the_cipher_of_the_standard() {
        let key = hex::decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").unwrap();
        let iv = hex::decode("000102030405060708090a0b0c0d0e0f").unwrap();
        let plain = hex::decode("6bc1bee22e409f96e93d7e117393172a").unwrap();
        let block = hex::decode("f58c4c04d6e5f1ba779eabfb5f7bfbd6").unwrap();
        // Padding makes a second block; the first is that of the standard.
        let mut buffer = [plain.clone(), vec![0; BLOCK_BYTES]].concat();
        let encryptor = Encryptor::<Aes256>::new_from_slices(&key, &iv).unwrap();
        let sealed = encryptor.encrypt_padded::<Pkcs7>(&mut buffer, plain.len()).unwrap();
        assert_eq!(sealed[..BLOCK_BYTES], block);
    }

    /// What Presidio's own tests of its service decrypt.
    #[test]
    fn what_presidio_encrypted_is_decrypted() {
        let sealed = "e6HnOMnIxbd4a8Qea44LshQDnjvxwzBIaAz+YqHNnMW2mC5r3AWoay8Spsoajyyy";
        assert_eq!(decrypt(b"1111111111111111", sealed).as_deref(), Some("text_for_encryption"));
    }

    #[test]
    fn every_length_of_key_goes_both_ways_and_another_key_does_not() {
        for key in ["1".repeat(16), "2".repeat(24), "3".repeat(32)] {
            for text in ["", "Zoë", "sixteen bytes ok"] {
                let sealed = encrypt(key.as_bytes(), text).unwrap();
                assert_eq!(decrypt(key.as_bytes(), &sealed).as_deref(), Some(text));
                let other = "9".repeat(key.len());
                assert_ne!(decrypt(other.as_bytes(), &sealed).as_deref(), Some(text));
            }
        }
        for wrong in ["", "?", "QUJD", "S184CMt9Drj7QaKQ21JTrpYzghnboTF9pn_neN8JME0="] {
            assert_eq!(decrypt(b"1111111111111111", wrong), None, "{wrong}");
        }
    }
}
