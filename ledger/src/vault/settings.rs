//! Where a vault is, and what is needed to open it: a URL, which holds no credentials, and settings, which may.
//!
//! A settings file has mode 0600 and lines `name = value`; `#` begins a comment:
//!
//! ```text
//! aws_endpoint          = https://s3.internal:8333
//! aws_region            = eu-central-1
//! aws_access_key_id     = …
//! aws_secret_access_key = …
//! kek_file              = /run/secrets/vault-kek
//! keys                  = s3://attestune-keys/triage
//! timeout_s             = 30
//! ```
//!
//! Names that begin with `aws_` are object_store's, and the usual environment variables (`AWS_ENDPOINT_URL`,
//! `AWS_ACCESS_KEY_ID` and so on) mean the same; the file wins.

use super::VaultError;
use super::part::Part;
use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path as ObjectPath,
    prefix::PrefixStore,
};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long one request may take, with its retries.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES: usize = 4;

/// What environment variables say of a vault, beside AWS's own.
const VARIABLES: [(&str, &str); 3] =
    [("ATTESTUNE_VAULT_KEK", "kek_file"), ("ATTESTUNE_VAULT_KEYS", "keys"), ("ATTESTUNE_VAULT_TIMEOUT_S", "timeout_s")];

/// How to open a vault. Credentials among them appear in no message and no `Debug` form.
#[derive(Clone)]
pub struct Settings {
    aws: AmazonS3Builder,
    /// The key-encryption key's file; a folder has its own.
    pub(super) kek_file: Option<PathBuf>,
    /// Where the keys lie, if not beside the contents.
    pub(super) keys: Option<String>,
    pub(super) timeout: Duration,
    /// Whether AWS's metadata service may be asked for credentials.
    instance_credentials: bool,
    /// Whether an access key or a token's file was named.
    credentials: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            aws: AmazonS3Builder::new(),
            kek_file: None,
            keys: None,
            timeout: TIMEOUT,
            instance_credentials: false,
            credentials: false,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("kek_file", &self.kek_file).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Settings {
    /// What the environment says, and the file that `ATTESTUNE_VAULT_SETTINGS` names, if it does.
    ///
    /// # Errors
    /// If the file is open to others, or has a line that says nothing.
    pub fn from_env() -> Result<Self, VaultError> {
        let mut settings = Self { aws: AmazonS3Builder::from_env(), ..Self::default() };
        settings.credentials = settings.has_credentials();
        for (variable, name) in VARIABLES {
            if let Ok(value) = std::env::var(variable) {
                settings.set(name, &value).map_err(|why| VaultError::Unavailable(format!("{variable} {why}")))?;
            }
        }
        match std::env::var_os("ATTESTUNE_VAULT_SETTINGS") {
            Some(path) => settings.and_file(Path::new(&path)),
            None => Ok(settings),
        }
    }

    /// What a file of mode 0600 says.
    ///
    /// # Errors
    /// If it can't be read, is open to others, or has a line that says nothing.
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        Self::default().and_file(path)
    }

    fn and_file(mut self, path: &Path) -> Result<Self, VaultError> {
        let wrong = |why: String| VaultError::Unavailable(format!("the settings file {}: {why}", path.display()));
        let mode = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(wrong(format!("has mode {mode:03o}, others could read it: run `chmod 600`")));
        }
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The line itself may be a secret: it is named by its number.
            let (name, value) = line.split_once('=').ok_or_else(|| wrong(format!("line {number} has no `=`")))?;
            self.set(name.trim(), value.trim()).map_err(|why| wrong(format!("line {number} {why}")))?;
        }
        Ok(self)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "kek_file" => self.kek_file = Some(value.into()),
            "keys" => self.keys = Some(value.into()),
            "timeout_s" => {
                let seconds: f64 = value.parse().map_err(|_| "is no number of seconds")?;
                self.timeout = Duration::try_from_secs_f64(seconds).map_err(|_| "is no number of seconds")?;
            }
            "instance_credentials" => {
                self.instance_credentials = value.parse().map_err(|_| "is neither true nor false")?;
            }
            aws => {
                let key: Option<AmazonS3ConfigKey> =
                    if aws.starts_with("aws_") { aws.to_ascii_lowercase().parse().ok() } else { None };
                let key = key.ok_or("names no setting: docs/vault.md lists them")?;
                self.aws = std::mem::take(&mut self.aws).with_config(key, value);
                self.credentials = self.has_credentials();
            }
        }
        Ok(())
    }

    fn has_credentials(&self) -> bool {
        use AmazonS3ConfigKey as Key;
        let sources = [
            Key::AccessKeyId,
            Key::WebIdentityTokenFile,
            Key::ContainerCredentialsRelativeUri,
            Key::ContainerCredentialsFullUri,
            Key::SkipSignature,
        ];
        sources.iter().any(|key| self.aws.get_config_value(key).is_some())
    }

    /// The store of one part at a place.
    pub(super) fn part(&self, place: &Place, part: &str) -> Result<Part, VaultError> {
        let (bucket, prefix) = match place {
            Place::Folder(folder) => return Part::folder(folder.join(part), self.timeout),
            Place::Bucket { bucket, prefix } => (bucket, prefix),
        };
        let name = format!("s3://{bucket}/{}", prefix.clone().join(part));
        let wrong = |why: &str| VaultError::Unavailable(format!("{name}: {why}"));
        if !self.credentials && !self.instance_credentials {
            return Err(wrong(
                "no credentials are set: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a settings file \
                 (ATTESTUNE_VAULT_SETTINGS); on a machine of AWS's own, instance_credentials = true there",
            ));
        }
        // A second provider is no harm: the first stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let allow_http = self.aws.get_config_value(&"aws_allow_http".parse().map_err(|_| wrong("no http"))?);
        let client = ClientOptions::new()
            .with_allow_http(allow_http.is_some_and(|allow| allow == "true"))
            .with_connect_timeout(CONNECT_TIMEOUT.min(self.timeout))
            .with_timeout(self.timeout);
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            ..BackoffConfig::default()
        };
        let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: self.timeout };
        let store = self.aws.clone().with_bucket_name(bucket).with_client_options(client).with_retry(retry).build();
        let store = store.map_err(|error| wrong(&error.to_string()))?;
        let store = Arc::new(PrefixStore::new(store, prefix.clone().join(part)));
        Ok(Part { store, name, folder: None, limit: self.timeout })
    }
}

/// Where a vault, or a part of it, is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket, and what the names of its objects begin with.
    Bucket {
        /// The bucket.
        bucket: String,
        /// Empty for the whole bucket.
        prefix: ObjectPath,
    },
}

impl std::str::FromStr for Place {
    type Err = VaultError;

    /// Reads `file:///PATH` or `s3://BUCKET/PREFIX`.
    fn from_str(url: &str) -> Result<Self, VaultError> {
        if let Some(path) = url.strip_prefix("file://") {
            return match Path::new(path) {
                path if path.is_absolute() => Ok(Self::Folder(path.into())),
                _ => Err(VaultError::Unavailable(format!("{url} is no absolute path: file:///PATH"))),
            };
        }
        let Some(rest) = url.strip_prefix("s3://") else {
            // Whatever it is, it may hold a password.
            return Err(VaultError::Unavailable("a vault is file:///PATH or s3://BUCKET/PREFIX".into()));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        if bucket.len() < 3 || bucket.len() > 63 || !bucket.bytes().all(fits) {
            return Err(VaultError::Unavailable(
                "the vault's URL names no bucket (3 to 63 of a-z, 0-9, `-`, `.`); credentials don't belong there"
                    .into(),
            ));
        }
        let prefix = ObjectPath::parse(prefix)
            .map_err(|_| VaultError::Unavailable(format!("s3://{bucket}: what follows is no prefix of names")))?;
        Ok(Self::Bucket { bucket: bucket.into(), prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, mode: u32) -> Result<Settings, VaultError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.settings");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Settings::from_file(&path)
    }

    #[test]
    fn a_url_names_a_folder_or_a_bucket_and_never_a_password() {
        assert_eq!("file:///var/vault".parse::<Place>().unwrap(), Place::Folder("/var/vault".into()));
        let bucket = |prefix: &str| Place::Bucket { bucket: "texts".into(), prefix: ObjectPath::from(prefix) };
        assert_eq!("s3://texts".parse::<Place>().unwrap(), bucket(""));
        assert_eq!("s3://texts/bank/triage/".parse::<Place>().unwrap(), bucket("bank/triage"));
        for wrong in ["vault", "file://vault", "s3://me:secret@texts/x", "https://me:secret@texts", "s3://T", "s3://"] {
            let error = wrong.parse::<Place>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_settings_file_is_closed_to_others_and_its_errors_name_lines() {
        let fine = "# the store\naws_access_key_id = a\naws_secret_access_key = very-secret\n\ntimeout_s = 2.5\n";
        let read = settings(fine, 0o600).unwrap();
        assert_eq!(read.timeout, Duration::from_millis(2500));
        assert!(read.credentials);
        assert!(!format!("{read:?}").contains("very-secret"));
        assert!(settings(fine, 0o640).unwrap_err().to_string().contains("has mode 640"));
        let error = settings("timeout_s = 1\nvery-secret\n", 0o600).unwrap_err().to_string();
        assert!(error.ends_with("line 2 has no `=`"), "{error}");
        let error = settings("password = very-secret\n", 0o600).unwrap_err().to_string();
        assert!(error.contains("line 1 names no setting") && !error.contains("very-secret"), "{error}");
        let error = settings("timeout_s = -1\n", 0o600).unwrap_err().to_string();
        assert!(error.contains("line 1 is no number of seconds"), "{error}");
    }

    #[test]
    fn a_bucket_without_credentials_is_refused_at_once() {
        let error = Settings::default().part(&"s3://texts".parse().unwrap(), "keys").err().unwrap().to_string();
        assert!(error.contains("no credentials are set"), "{error}");
    }
}
