//! Addresses on blockchains, with their checksums.

use sha3::{Digest, Keccak256};

use super::{Candidate, Judgement, phone::Plan};

/// Words that speak of such addresses.
pub(super) const CONTEXT: &[&str] =
    &["wallet", "bitcoin", "btc", "crypto", "ethereum", "eth", "ether", "litecoin", "dogecoin", "address"];

/// Version bytes of addresses: Bitcoin, its test network, Litecoin, Dogecoin.
const VERSIONS: [u8; 8] = [0x00, 0x05, 0x6f, 0xc4, 0x30, 0x32, 0x1e, 0x16];

/// Twenty bytes after a version byte, with the four-byte checksum of Base58Check.
pub(super) fn base58check(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if !candidate.stands_alone() {
        return candidate.miss();
    }
    let payload = bs58::decode(candidate.str()).with_check(None).into_vec();
    match payload.as_deref() {
        Ok([version, hash @ ..]) if VERSIONS.contains(version) && hash.len() == 20 => candidate.hit(1_000_000),
        _ => candidate.miss(),
    }
}

/// Witness programs with the checksum of BIP 173 (version 0) or BIP 350 (later versions).
pub(super) fn segwit(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if candidate.stands_alone() && bech32::segwit::decode(candidate.str()).is_ok() {
        return candidate.hit(1_000_000);
    }
    candidate.miss()
}

/// Twenty bytes in hexadecimal. Letters of both cases carry the checksum of EIP-55; of one case,
/// no checksum.
pub(super) fn ethereum(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if !candidate.stands_alone() {
        return candidate.miss();
    }
    let hex = &candidate.str()[2..];
    let is_mixed = hex.bytes().any(|b| b.is_ascii_lowercase()) && hex.bytes().any(|b| b.is_ascii_uppercase());
    match (is_mixed, eip55(hex)) {
        (true, false) => candidate.miss(),
        (true, true) => candidate.hit(1_000_000),
        (false, _) => candidate.hit(700_000),
    }
}

/// EIP-55: a letter is a capital where the hash of the small letters has a nibble of 8 or more.
fn eip55(hex: &str) -> bool {
    let hash = Keccak256::digest(hex.to_ascii_lowercase().as_bytes());
    hex.bytes().enumerate().all(|(at, b)| {
        let nibble = if at % 2 == 0 { hash[at / 2] >> 4 } else { hash[at / 2] & 15 };
        b.is_ascii_digit() || b.is_ascii_uppercase() == (nibble >= 8)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{check, score};
    use crate::Entity;

    // The genesis block's address, and the examples of BIP 173, BIP 350 and EIP-55.
    #[test]
    fn addresses_with_a_right_checksum_are_found() {
        check(
            Entity::CRYPTO_ADDRESS,
            &[
                ("to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", &["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"]),
                ("é BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4.", &["BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"]),
                (
                    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                    &["bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"],
                ),
                ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", &["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"]),
                ("0xde709f2102306220921060314715629080e2fb77", &["0xde709f2102306220921060314715629080e2fb77"]),
            ],
        );
    }

    #[test]
    fn addresses_with_a_wrong_checksum_are_not() {
        check(
            Entity::CRYPTO_ADDRESS,
            &[
                ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", &[]),
                ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNaa", &[]),
                ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", &[]),
                ("Bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", &[]),
                ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", &[]),
                ("0xde709f2102306220921060314715629080e2fb7", &[]),
                ("0xde709f2102306220921060314715629080e2fb770", &[]),
            ],
        );
    }

    #[test]
    fn an_address_without_a_checksum_is_less_sure() {
        let lower = "0xde709f2102306220921060314715629080e2fb77";
        assert_eq!(score(Entity::CRYPTO_ADDRESS, lower), 700_000);
    }
}
