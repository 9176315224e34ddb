//! Why the vault could not do what it was asked, in words that hold no key and no text.

use std::path::PathBuf;

/// Why the vault could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no such pack or content.
    #[error("the vault holds no content {commitment} in pack {pack}")]
    Unknown {
        /// The pack, hex.
        pack: String,
        /// The commitment, hex.
        commitment: String,
    },
    /// It was erased.
    #[error("content {commitment} in pack {pack} was erased")]
    Erased {
        /// The pack, hex.
        pack: String,
        /// The commitment, hex.
        commitment: String,
    },
    /// A pack was altered, or belongs to another key-encryption key.
    #[error("pack {pack} does not open: it was altered, or sealed under another key; restore it from a backup")]
    Corrupt {
        /// The pack, hex.
        pack: String,
    },
    /// The key-encryption key's file is missing, malformed, readable by others, or another vault's.
    #[error("the vault's key {}: {what}", path.display())]
    Kek {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// The URL or the settings don't name a vault, or the object store failed.
    #[error("the vault can't be reached: {0}")]
    Unavailable(String),
}

const REFUSED: &str =
    "the store refuses these credentials: mend the access key and its secret, or let it read, write and list there";

/// Something failed that has its own words.
pub(super) fn unavailable(error: impl std::fmt::Display) -> VaultError {
    VaultError::Unavailable(error.to_string())
}

/// What an object store answered, for people: the place, what it said, and the way out where there is one.
///
/// A store's answer in XML may repeat the request, so of that only its code is passed on.
pub(super) fn failed(place: &str, error: &object_store::Error) -> VaultError {
    let whole = error.to_string();
    let code = code(&whole).unwrap_or_default();
    let denied =
        matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. });
    let way_out = match code {
        "NoSuchBucket" => "there is no such bucket: create it, or mend the URL",
        "RequestTimeTooSkewed" => "this machine's clock is off by more than the store allows: set it",
        "AccessDenied" | "ExpiredToken" | "InvalidAccessKeyId" | "NotSignedUp" | "SignatureDoesNotMatch" => REFUSED,
        _ if denied => REFUSED,
        _ if matches!(error, object_store::Error::NotImplemented { .. }) => {
            "the store can't do what is needed: docs/vault.md says what is"
        }
        _ => "is it up, and is the endpoint right?",
    };
    let said = if code.is_empty() { root_cause(error) } else { code.to_owned() };
    VaultError::Unavailable(format!("{place}: {said}; {way_out}"))
}

/// The code in an S3 error document.
fn code(answer: &str) -> Option<&str> {
    let code = answer.split_once("<Code>")?.1.split_once("</Code>")?.0;
    code.bytes().all(|b| b.is_ascii_alphanumeric()).then_some(code)
}

/// The innermost cause, without a body that may follow it.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    let text = text.split('<').next().unwrap_or_default().trim_end_matches([' ', ':']);
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stores_answer_is_cut_down_to_its_code() {
        let body = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId</Code>\
                    <AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        let denied = object_store::Error::PermissionDenied { path: "x".into(), source: body.into() };
        let text = failed("s3://texts", &denied).to_string();
        assert!(text.contains("s3://texts: InvalidAccessKeyId; the store refuses these credentials"), "{text}");
        assert!(!text.contains("AKIA"), "{text}");
        let torn = object_store::Error::Generic { store: "S3", source: "connection reset <html>secret".into() };
        let text = failed("s3://texts", &torn).to_string();
        assert!(text.contains("connection reset;") && !text.contains("secret"), "{text}");
    }
}
