//! Which finding stands where several claim the same characters.

use std::collections::BTreeMap;

use crate::Entity;

/// A finding in bytes, before its place is settled.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) score_ppm: u32,
    /// Before context.
    pub(crate) original_ppm: u32,
    /// The context word that raised it, by its number.
    pub(crate) word: Option<u32>,
    pub(crate) entity: Entity,
    /// The entity's place in [`Entity::all`].
    pub(crate) rank: usize,
    pub(crate) recognizer: &'static str,
}

/// The claims that stand, by position. Of two that share a character the one with the higher
/// score stands, then the longer, then the one that starts first, then the one whose entity comes
/// first in [`Entity::all`]. The other is dropped whole.
pub(crate) fn settle(mut claims: Vec<Claim>) -> Vec<Claim> {
    claims.sort_by_key(|claim| {
        let length = claim.end - claim.start;
        (u32::MAX - claim.score_ppm, usize::MAX - length, claim.start, claim.rank)
    });
    let mut standing: BTreeMap<usize, Claim> = BTreeMap::new();
    for claim in claims {
        let before = standing.range(..claim.end).next_back();
        if before.is_none_or(|(_, other)| other.end <= claim.start) {
            standing.insert(claim.start, claim);
        }
    }
    standing.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(start: usize, end: usize, score_ppm: u32, entity: Entity) -> Claim {
        let (original_ppm, word, rank) = (score_ppm, None, entity.rank());
        Claim { start, end, score_ppm, original_ppm, word, entity, rank, recognizer: "test" }
    }

    fn standing(claims: Vec<Claim>) -> Vec<(usize, usize, Entity)> {
        let settled = settle(claims);
        settled.iter().map(|c| (c.start, c.end, c.entity)).collect()
    }

    const PHONE: Entity = Entity::PHONE;
    const DATE: Entity = Entity::DATE;
    const URL: Entity = Entity::URL;
    const IBAN: Entity = Entity::IBAN;

    #[test]
    fn the_higher_score_stands_then_the_longer_then_the_rank() {
        let higher = vec![claim(0, 9, 500, PHONE), claim(4, 6, 600, DATE)];
        assert_eq!(standing(higher), [(4, 6, DATE)]);
        let longer = vec![claim(4, 6, 500, DATE), claim(0, 9, 500, PHONE)];
        assert_eq!(standing(longer), [(0, 9, PHONE)]);
        let ranked = vec![claim(0, 9, 500, URL), claim(0, 9, 500, IBAN)];
        assert_eq!(standing(ranked), [(0, 9, IBAN)]);
    }

    #[test]
    fn a_dropped_claim_drops_nobody_else() {
        let chain = vec![claim(0, 5, 900, PHONE), claim(4, 8, 800, DATE), claim(7, 9, 100, URL)];
        assert_eq!(standing(chain), [(0, 5, PHONE), (7, 9, URL)]);
    }

    #[test]
    fn neighbours_that_touch_both_stand() {
        let both = vec![claim(0, 5, 1, PHONE), claim(5, 8, 1, DATE)];
        assert_eq!(standing(both).len(), 2);
    }
}
