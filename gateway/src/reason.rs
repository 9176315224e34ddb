//! Why calls fail: every status of this server carries a stable reason as `google.rpc.ErrorInfo`.
//!
//! An event that the rules refuse, or that the door stops, has its own code there (`docs/refusals.md`); all else has
//! one of these. `docs/grpc.md` lists them, and a test holds it to that.

use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "attestune";

/// Figures of an ErrorInfo.
pub type Figures = HashMap<String, String>;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $reason:literal, $code:ident;)+) => {
        /// Why a call failed.
        #[derive(Debug, Copy, Clone, PartialEq, Eq)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// The stable reason.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $reason,)+ }
            }

            /// The code of its status.
            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)+ }
            }
        }

        /// Reason, code and meaning of each, for the manual.
        #[cfg(test)]
        const ALL: &[(&str, Code, &str)] = &[$(($reason, Code::$code, concat!($($doc),+)),)+];
    };
}

reasons! {
    /// The call carries no access token.
    TokenMissing = "token-missing", Unauthenticated;
    /// The token is not base64url of a signed access token.
    TokenMalformed = "token-malformed", Unauthenticated;
    /// The token is for another ledger or audience.
    TokenElsewhere = "token-for-another", Unauthenticated;
    /// The token has run out. Sign a new one.
    TokenExpired = "token-expired", Unauthenticated;
    /// The token is valid for more than an hour.
    TokenTooLong = "token-too-long", Unauthenticated;
    /// The token is not signed by an active key of its actor.
    TokenNotSigned = "token-not-signed", Unauthenticated;
    /// The actor holds no role, and so reads nothing.
    NoRole = "no-role", PermissionDenied;
    /// The actor holds no role that may open texts.
    MayNotOpen = "may-not-open", PermissionDenied;
    /// The policy lets the actor record no event that holds sealed texts.
    MayNotSeal = "may-not-seal", PermissionDenied;
    /// The policy lets the actor erase nothing.
    MayNotErase = "may-not-erase", PermissionDenied;
    /// The policy lets the actor take no evidence out.
    MayNotExport = "may-not-export", PermissionDenied;
    /// A field of the request is missing, malformed or too large.
    BadRequest = "bad-request", InvalidArgument;
    /// A stream of requests broke off, or one of them could not be read.
    BrokenStream = "broken-stream", InvalidArgument;
    /// Too many streams append or are read at a time, of all or of one reader.
    TooManyStreams = "too-many-streams", ResourceExhausted;
    /// Too many browsers are being paired at a time.
    TooManyPairings = "too-many-pairings", ResourceExhausted;
    /// There is no such thing as of then.
    NotFound = "not-found", NotFound;
    /// The vault holds no such text.
    ContentUnknown = "content-unknown", NotFound;
    /// The text was erased.
    ContentErased = "content-erased", NotFound;
    /// A position or size beyond the log's end.
    BeyondTheEnd = "beyond-the-end", OutOfRange;
    /// A time before the ledger's first entry.
    BeforeTheLedger = "before-the-ledger", OutOfRange;
    /// A time that has not come.
    InTheFuture = "in-the-future", OutOfRange;
    /// There is no ledger yet.
    NoLedger = "no-ledger", FailedPrecondition;
    /// The folder's log is the copy of a topic, and no Kafka was named.
    LogReadOnly = "log-read-only", FailedPrecondition;
    /// The log does not take it, and nothing was appended. The message says why, and the way out.
    LogRefused = "log-refused", FailedPrecondition;
    /// This server holds no checkpoint key.
    NoCheckpointKey = "no-checkpoint-key", FailedPrecondition;
    /// This server has no vault.
    NoVault = "no-vault", FailedPrecondition;
    /// The vault's key is missing, malformed or open to others.
    VaultKeyUnfit = "vault-key-unfit", FailedPrecondition;
    /// The vault cannot be reached.
    VaultUnreachable = "vault-unreachable", Unavailable;
    /// The read of a text could not be recorded, so no text is released.
    ReadNotRecorded = "read-not-recorded", Unavailable;
    /// The system failed to read or write the store. Try again, look at the disk.
    StoreUnreachable = "store-unreachable", Unavailable;
    /// The log is out of reach. What was appended may be on it or not: append the same bytes again, they count once.
    LogUnreachable = "log-unreachable", Unavailable;
    /// The fold has stopped; the message says why. What was folded can still be read.
    FoldStopped = "fold-stopped", Unavailable;
    /// The server is stopping.
    Stopping = "stopping", Unavailable;
    /// What the store holds is not what was written.
    Damaged = "damaged", DataLoss;
    /// The log is not the one that was folded.
    Diverged = "diverged", DataLoss;
    /// A text in the vault was altered, or sealed under another key.
    ContentCorrupt = "content-corrupt", DataLoss;
    /// A fault of the server itself.
    Internal = "internal", Internal;
}

/// A status with a reason.
pub fn status(reason: Reason, message: impl Into<String>) -> Status {
    with_figures(reason, message, [])
}

/// A status with a reason and figures.
pub fn with_figures<const N: usize>(
    reason: Reason,
    message: impl Into<String>,
    figures: [(&str, String); N],
) -> Status {
    let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    coded(reason.code(), reason.as_str(), message, figures)
}

/// A status whose reason is the code of a refusal or rejection.
pub fn coded(code: Code, reason: &str, message: impl Into<String>, figures: Figures) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, figures))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_manual_lists_every_reason() {
        let manual = include_str!("../../docs/grpc.md");
        for (reason, code, meaning) in ALL {
            let row = format!("| `{reason}` | {} | {} |", name(*code), meaning.trim());
            assert!(manual.contains(&row), "docs/grpc.md lacks the row\n{row}");
        }
        let reasons: BTreeSet<_> = ALL.iter().map(|(reason, ..)| reason).collect();
        assert_eq!(reasons.len(), ALL.len(), "a reason stands twice");
    }

    /// The code as gRPC's manual writes it: `DATA_LOSS` for `DataLoss`.
    fn name(code: Code) -> String {
        let mut name = String::new();
        for char in format!("{code:?}").chars() {
            if char.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(char.to_uppercase());
        }
        name
    }
}
