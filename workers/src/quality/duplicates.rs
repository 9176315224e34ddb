//! Finding texts that were seen before, exactly or nearly.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{
    minhash::{BANDS, Signature},
    normal,
};

/// Texts that were seen, to be asked for the same and the like. It grows one text at a time, and
/// holds about one kilobyte a text, no text itself. `K` names a text for the caller, such as a
/// position and an index in a batch.
#[derive(Clone)]
pub struct DuplicateIndex<K> {
    // Hash maps are only looked up, never walked, so that their order shows nowhere.
    exact: HashMap<[u8; 32], K>,
    bands: HashMap<(usize, u64), Vec<usize>>,
    texts: Vec<(K, Signature)>,
}

/// An earlier text that is the same or alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<K> {
    /// The name under which the earlier text was inserted.
    pub key: K,
    /// How alike they are.
    pub likeness: Likeness,
}

/// How alike two texts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// The same but for case, spaces and punctuation.
    Exact,
    /// Alike by an estimate.
    Near {
        /// The share of five-letter pieces in common, in parts per million.
        ppm: u32,
    },
}

impl<K> Match<K> {
    /// Grows with likeness; the same is more than any estimate.
    pub(super) fn closeness(&self) -> u32 {
        match self.likeness {
            Likeness::Exact => u32::MAX,
            Likeness::Near { ppm } => ppm,
        }
    }
}

impl<K> Default for DuplicateIndex<K> {
    fn default() -> Self {
        Self { exact: HashMap::new(), bands: HashMap::new(), texts: Vec::new() }
    }
}

impl<K: Copy> DuplicateIndex<K> {
    /// An index that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many different texts it has seen.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether it has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Remembers a text. The same text again changes nothing: the first key stays. A text without
    /// a visible character is not remembered, as it is like no other.
    pub fn insert(&mut self, key: K, text: &str) {
        let text = normal::normalised(text);
        if normal::is_blank(&text) || self.exact.contains_key(&digest(&text)) {
            return;
        }
        let signature = Signature::of(&text);
        for band in signature.bands().into_iter().enumerate() {
            self.bands.entry(band).or_default().push(self.texts.len());
        }
        self.exact.insert(digest(&text), key);
        self.texts.push((key, signature));
    }

    /// The text that is the same, or the one most alike of those with at least `near_ppm`; of
    /// several equally alike, the one that was inserted first.
    ///
    /// The time grows with the number of texts that share a band, so with how repetitive they are.
    pub fn find(&self, text: &str, near_ppm: u32) -> Option<Match<K>> {
        let text = normal::normalised(text);
        if let Some(&key) = self.exact.get(&digest(&text)) {
            return Some(Match { key, likeness: Likeness::Exact });
        }
        if self.is_empty() || normal::is_blank(&text) {
            return None;
        }
        let signature = Signature::of(&text);
        let mut candidates = Vec::with_capacity(BANDS);
        for band in signature.bands().into_iter().enumerate() {
            candidates.extend(self.bands.get(&band).into_iter().flatten().copied());
        }
        candidates.sort_unstable();
        candidates.dedup();

        let mut closest: Option<Match<K>> = None;
        for (key, other) in candidates.into_iter().map(|at| &self.texts[at]) {
            let ppm = signature.likeness_ppm(other);
            let found = Match { key: *key, likeness: Likeness::Near { ppm } };
            if ppm >= near_ppm && closest.as_ref().is_none_or(|c| ppm > c.closeness()) {
                closest = Some(found);
            }
        }
        closest
    }
}

fn digest(normalised: &str) -> [u8; 32] {
    Sha256::digest(normalised.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "the transfer that I made on Monday has still not reached my landlord";

    #[test]
    fn keys_can_be_pairs() {
        let mut index = DuplicateIndex::new();
        index.insert((7u64, 2u32), LONG);
        let found = index.find(&LONG.to_uppercase(), 1_000_000).unwrap();
        assert_eq!(found, Match { key: (7, 2), likeness: Likeness::Exact });
    }

    #[test]
    fn the_first_key_of_a_text_stays() {
        let mut index = DuplicateIndex::new();
        index.insert(1, LONG);
        index.insert(2, &format!("{LONG}!"));
        assert_eq!((index.len(), index.find(LONG, 0).unwrap().key), (1, 1));
    }

    #[test]
    fn the_most_alike_is_found_and_the_threshold_holds() {
        let mut index = DuplicateIndex::new();
        index.insert(1, &LONG.replace("on Monday has still", "yesterday has"));
        index.insert(2, &LONG.replace("landlord", "landlords"));
        let found = index.find(LONG, 500_000).unwrap();
        assert_eq!(found.key, 2);
        let Likeness::Near { ppm } = found.likeness else { panic!("{found:?}") };
        assert!(ppm > 850_000, "{ppm}");
        assert_eq!(index.find(LONG, ppm).unwrap().key, 2);
        assert_eq!(index.find(LONG, ppm + 1), None);
    }

    #[test]
    fn other_texts_are_not_alike() {
        let mut index = DuplicateIndex::new();
        index.insert(1, LONG);
        assert_eq!(index.find("my card was swallowed by the machine at the station", 300_000), None);
    }

    #[test]
    fn short_texts_are_alike_only_if_they_are_the_same() {
        let mut index = DuplicateIndex::new();
        index.insert(1, "yes");
        assert_eq!(index.find("no", 1), None);
        assert_eq!(index.find("Yes!", 1).unwrap().likeness, Likeness::Exact);
    }

    #[test]
    fn every_change_of_one_word_in_a_long_text_is_found() {
        let words: Vec<&str> = LONG.split(' ').collect();
        let mut index = DuplicateIndex::new();
        index.insert(0, LONG);
        for at in 0..words.len() {
            let mut changed = words.clone();
            changed[at] = "xyz";
            assert!(index.find(&changed.join(" "), 500_000).is_some(), "word {at}");
        }
    }
}
