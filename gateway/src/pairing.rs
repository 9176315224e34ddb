//! Pairings under way: a code that somebody with a key has asked for, and the key that a browser offers under it.
//!
//! Nothing of this is on the log until the key is registered, and a server that starts again has forgotten it. A code has
//! 50 random bits, is good for ten minutes and takes one key.

use crate::reason::{Reason, status};
use attestune_ledger::envelope::{fit_key, possession_statement, verify_bytes};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;

/// How long a code is good.
pub const GOOD: Duration = Duration::from_secs(600);
/// Most codes at a time.
const CODES_MAX: usize = 256;
/// Most codes at a time that one actor has asked for, so that codes are left for others.
const CODES_EACH_MAX: usize = 32;
/// Crockford's base32: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code, without the dash in its middle.
const LENGTH: usize = 10;

/// A browser's key with its proof of possession.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Ed25519, 32 bytes.
    pub public_key: Vec<u8>,
    /// 64 bytes.
    pub possession: Vec<u8>,
}

struct Pairing {
    /// For whom.
    actor: String,
    /// Who asked for it, and alone is told the key.
    by: String,
    until: Instant,
    offer: watch::Sender<Option<Offer>>,
}

/// All that are under way, by code.
#[derive(Default)]
pub struct Pairings(Mutex<HashMap<String, Pairing>>);

impl Pairings {
    /// Opens one for an actor.
    ///
    /// # Errors
    /// If the system gives no random bytes, or too many are open.
    pub fn open(&self, actor: &str, by: &str) -> Result<String, Status> {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).map_err(|error| status(Reason::Internal, format!("no random bytes: {error}")))?;
        let code: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
        let mut open = self.lock();
        open.retain(|_, pairing| pairing.until > Instant::now());
        if open.len() >= CODES_MAX {
            return Err(status(Reason::TooManyPairings, format!("{CODES_MAX} pairings are open: wait ten minutes")));
        }
        if open.values().filter(|pairing| pairing.by == by).count() >= CODES_EACH_MAX {
            let message = format!("{CODES_EACH_MAX} pairings of {by} are open: wait ten minutes");
            return Err(status(Reason::TooManyPairings, message));
        }
        let pairing =
            Pairing { actor: actor.into(), by: by.into(), until: Instant::now() + GOOD, offer: watch::channel(None).0 };
        open.insert(code.clone(), pairing);
        Ok(format!("{}-{}", &code[..LENGTH / 2], &code[LENGTH / 2..]))
    }

    /// For whom a code is.
    ///
    /// # Errors
    /// If it is unknown or has run out.
    pub fn actor(&self, code: &str) -> Result<String, Status> {
        let open = self.lock();
        open.get(&plain(code)).filter(|p| p.until > Instant::now()).map(|p| p.actor.clone()).ok_or_else(unknown)
    }

    /// Offers a key.
    ///
    /// # Errors
    /// If the code is unknown, has run out, or has a key already; if the key is unfit or its possession does not hold.
    pub fn offer(&self, code: &str, ledger: &[u8], offer: Offer) -> Result<(), Status> {
        let actor = self.actor(code)?;
        let public = fit_key(&offer.public_key);
        let statement = possession_statement(ledger, &actor, &offer.public_key);
        if !public.is_some_and(|public| verify_bytes(&public, &statement, &offer.possession)) {
            return Err(status(Reason::BadRequest, "the key is unfit, or its proof of possession does not hold"));
        }
        let open = self.lock();
        let pairing = open.get(&plain(code)).ok_or_else(unknown)?;
        let taken = pairing.offer.send_if_modified(|place| {
            let free = place.is_none();
            if free {
                *place = Some(offer);
            }
            free
        });
        if taken { Ok(()) } else { Err(status(Reason::BadRequest, "a key was offered under this code already")) }
    }

    /// What becomes of a code's offer, for whoever opened it.
    ///
    /// # Errors
    /// If the code is unknown, has run out, or is another's.
    pub fn watch(&self, code: &str, by: &str) -> Result<watch::Receiver<Option<Offer>>, Status> {
        let open = self.lock();
        let pairing = open.get(&plain(code)).filter(|p| p.until > Instant::now() && p.by == by).ok_or_else(unknown)?;
        Ok(pairing.offer.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pairing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown() -> Status {
    status(Reason::NotFound, "there is no such code, or it has run out: `attestune key pair` prints a new one")
}

/// A code as it is kept: capitals, no dash or space, letters that look like digits as these.
fn plain(code: &str) -> String {
    let chars = code.chars().filter(|char| char.is_ascii_alphanumeric()).map(|char| char.to_ascii_uppercase());
    let digits = chars.map(|char| match char {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    });
    digits.take(LENGTH + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_ledger::envelope::SigningKey;

    fn offer(seed: u8, actor: &str) -> Offer {
        let key = SigningKey::from_seed([seed; 32]);
        Offer { public_key: key.public().to_vec(), possession: key.possession(&[7; 32], actor).to_vec() }
    }

    #[test]
    fn a_code_takes_one_key_of_its_actor_and_tells_only_whoever_opened_it() {
        let pairings = Pairings::default();
        let code = pairings.open("omar", "omar").unwrap();
        assert_eq!(code.len(), LENGTH + 1);
        assert_eq!(pairings.actor(&code.to_ascii_lowercase().replace('-', " ")).unwrap(), "omar");
        assert!(pairings.actor("00000-00000").is_err());
        assert!(pairings.offer(&code, &[7; 32], offer(1, "pia")).is_err(), "the possession names another");
        assert!(pairings.offer(&code, &[8; 32], offer(1, "omar")).is_err(), "… or another ledger");
        assert!(pairings.watch(&code, "pia").is_err());
        let told = pairings.watch(&code, "omar").unwrap();
        pairings.offer(&code, &[7; 32], offer(1, "omar")).unwrap();
        assert!(pairings.offer(&code, &[7; 32], offer(2, "omar")).is_err(), "the second key comes too late");
        assert_eq!(*told.borrow(), Some(offer(1, "omar")));
    }

    #[test]
    fn nobody_holds_all_codes() {
        let pairings = Pairings::default();
        for _ in 0..CODES_EACH_MAX {
            pairings.open("omar", "pia").unwrap();
        }
        let refused = pairings.open("omar", "pia").unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        pairings.open("omar", "ada").unwrap();
    }

    #[test]
    fn letters_that_look_like_digits_are_these() {
        assert_eq!(plain("oIl2a-b cd"), "0112ABCD");
    }
}
