//! Which finding stands where several claim the same characters.

use std::collections::BTreeMap;

use crate::recognizers::Recognizer;

/// A finding in bytes, before its place is settled.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) score_ppm: u32,
    pub(crate) recognizer: &'static Recognizer,
}

/// The claims that stand, by position. Of two that share a character the one with the higher
/// score stands, then the longer, then the one that starts first, then the one whose entity comes
/// first in [`crate::Entity::ALL`]. The other is dropped whole.
pub(crate) fn settle(mut claims: Vec<Claim>) -> Vec<Claim> {
    claims.sort_by_key(|claim| {
        let length = claim.end - claim.start;
        let entity = claim.recognizer.entity.rank();
        (u32::MAX - claim.score_ppm, usize::MAX - length, claim.start, entity)
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
    use crate::{Entity, recognizers::TABLE};

    fn claim(start: usize, end: usize, score_ppm: u32, entity: Entity) -> Claim {
        let recognizer = TABLE.iter().find(|r| r.entity == entity).unwrap();
        Claim { start, end, score_ppm, recognizer }
    }

    fn standing(claims: Vec<Claim>) -> Vec<(usize, usize, Entity)> {
        let settled = settle(claims);
        settled.iter().map(|c| (c.start, c.end, c.recognizer.entity)).collect()
    }

    #[test]
    fn the_higher_score_stands_then_the_longer_then_the_rank() {
        use Entity::*;
        let higher = vec![claim(0, 9, 500, Phone), claim(4, 6, 600, Date)];
        assert_eq!(standing(higher), [(4, 6, Date)]);
        let longer = vec![claim(4, 6, 500, Date), claim(0, 9, 500, Phone)];
        assert_eq!(standing(longer), [(0, 9, Phone)]);
        let ranked = vec![claim(0, 9, 500, Url), claim(0, 9, 500, Iban)];
        assert_eq!(standing(ranked), [(0, 9, Iban)]);
    }

    #[test]
    fn a_dropped_claim_drops_nobody_else() {
        use Entity::*;
        let chain = vec![claim(0, 5, 900, Phone), claim(4, 8, 800, Date), claim(7, 9, 100, Url)];
        assert_eq!(standing(chain), [(0, 5, Phone), (7, 9, Url)]);
    }

    #[test]
    fn neighbours_that_touch_both_stand() {
        let both = vec![claim(0, 5, 1, Entity::Phone), claim(5, 8, 1, Entity::Date)];
        assert_eq!(standing(both).len(), 2);
    }
}
