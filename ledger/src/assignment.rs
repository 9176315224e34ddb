//! Which arm of an experiment a user gets: always the same, and nobody without the key can tell which.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Whether a user gets the second arm: the first 8 bytes, big-endian, of HMAC-SHA256(key, user), as a share of 2^64 in
/// millionths, are less than the share of the second arm.
///
/// ```
/// use attestune_ledger::assignment::gets_second;
/// let of_a_thousand = |share_ppm| (0..1000).filter(|n| gets_second(&[7; 32], &format!("user-{n}"), share_ppm)).count();
/// assert_eq!(of_a_thousand(0), 0);
/// assert_eq!(of_a_thousand(1_000_000), 1000);
/// assert!((150..250).contains(&of_a_thousand(200_000)));
/// ```
pub fn gets_second(key: &[u8; 32], user: &str, share_ppm: u32) -> bool {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(user.as_bytes());
    let hash: [u8; 32] = mac.finalize().into_bytes().into();
    let head = hash.iter().take(8).fold(0u128, |n, byte| n << 8 | u128::from(*byte));
    (head * 1_000_000) >> 64 < u128::from(share_ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_those_of_python() {
        // int.from_bytes(hmac.digest(bytes(32), user, "sha256")[:8], "big") * 10**6 >> 64
        for (user, place) in [("ann", 469_561), ("bob", 542_120)] {
            assert!(!gets_second(&[0; 32], user, place), "{user}");
            assert!(gets_second(&[0; 32], user, place + 1), "{user}");
        }
    }
}
