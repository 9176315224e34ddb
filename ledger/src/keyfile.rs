//! Private keys in files of mode 0600: 32 bytes of seed in lowercase hex, and a line end.

use crate::envelope::SigningKey;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Why a key file could not be used. Never tells what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can't be read or written.
    #[error("key file {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Others could read it.
    #[error("key file {} has mode {mode:03o}: others could read it; run `chmod 600 {}`", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no key.
    #[error("key file {} does not hold 64 hex digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(getrandom::Error),
}

/// A private key's file.
#[derive(Debug)]
pub struct KeyFile;

impl KeyFile {
    /// Makes a new key and its file, which must not exist.
    ///
    /// # Errors
    /// If the file exists or can't be written.
    pub fn create(path: &Path) -> Result<SigningKey, KeyFileError> {
        let io = |cause| KeyFileError::Io { path: path.into(), cause };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyFileError::NoRandom)?;
        let key = SigningKey::from_seed(seed);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        let written = writeln!(file, "{}", hex::encode(key.seed())).and_then(|()| file.sync_all());
        written.map_err(|cause| {
            // Half a key would stand in the way of the next try.
            let _ = fs::remove_file(path);
            io(cause)
        })?;
        Ok(key)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// If others may read the file, or it holds no key.
    pub fn load(path: &Path) -> Result<SigningKey, KeyFileError> {
        let io = |cause| KeyFileError::Io { path: path.into(), cause };
        let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::TooOpen { path: path.into(), mode });
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| KeyFileError::Malformed { path: path.into() })?;
        Ok(SigningKey::from_seed(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_was_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ada.key");
        let key = KeyFile::create(&path).unwrap();
        assert_eq!(KeyFile::load(&path).unwrap().public(), key.public());
        assert!(matches!(KeyFile::create(&path), Err(KeyFileError::Io { .. })));
        assert_eq!(KeyFile::load(&path).unwrap().public(), key.public());
    }

    #[test]
    fn a_key_that_others_could_read_is_refused_without_telling_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ada.key");
        let key = KeyFile::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyFile::load(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::TooOpen { mode: 0o644, .. }));
        assert!(!format!("{error} {error:?}").contains(&hex::encode(key.seed())));
    }
}
