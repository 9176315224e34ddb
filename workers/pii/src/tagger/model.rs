//! The linear model, its file, and the search for the best sequence of labels.
//!
//! ```text
//! file = "ATTAGR" version:u16 entries:u32 features:u32    little-endian throughout
//!        entries  × key:u32      entries  × lists:u16     ascending by key
//!        features × hash:u32     features × LABELS × i8   ascending by hash
//!        LABELS × LABELS × i16                            what follows what: [before][label]
//! ```

use super::{
    features::{self, Word},
    gazetteer::Gazetteer,
    index::Index,
    label::{LABELS, Label},
    token::Token,
};

const MAGIC: &[u8; 6] = b"ATTAGR";
const VERSION: u16 = 1;

/// A row of weights is as wide as a vector register; the last place is always 0.
const WIDTH: usize = 16;
type Row = [i32; WIDTH];

/// What no sequence of labels may do costs this.
const FORBIDDEN: i32 = -1_000_000_000;

/// The lead at which a span's score is half way from the least to the highest.
const LEAD_HALF: u32 = 150;

/// Lists, weights, transitions.
#[derive(Debug)]
pub struct Model {
    /// The lists of names.
    pub gazetteer: Gazetteer,
    features: Index,
    weights: Vec<[i8; WIDTH]>,
    transitions: [[i16; LABELS]; LABELS],
}

/// The bytes are no model of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It doesn't begin as one.
    #[error("this is no tagger model of version {VERSION}; make one with `make tagger`")]
    NotAModel,
    /// It ends early, goes on too long or is not in order.
    #[error("the tagger model is damaged: {what}; make it again with `make tagger`")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// Memory of the search, used again for each text.
#[derive(Debug, Default)]
pub struct Decoder {
    words: Vec<Word>,
    scores: Vec<Row>,
    back: Vec<[u8; LABELS]>,
    labels: Vec<Label>,
    leads: Vec<i32>,
}

impl Model {
    /// A model of these parts; `weights` by ascending feature.
    ///
    /// # Errors
    /// The features don't ascend.
    pub fn new(
        gazetteer: Gazetteer,
        weights: &[(u32, [i8; LABELS])],
        transitions: [[i16; LABELS]; LABELS],
    ) -> Result<Self, ModelError> {
        let features = Index::new(weights.iter().map(|&(feature, _)| feature).collect());
        let features = features.ok_or(ModelError::Damaged { what: "features out of order" })?;
        let widen = |(_, row): &(u32, [i8; LABELS])| {
            let mut wide = [0; WIDTH];
            wide[..LABELS].copy_from_slice(row);
            wide
        };
        Ok(Self { gazetteer, features, weights: weights.iter().map(widen).collect(), transitions })
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut reader = Reader(bytes);
        if reader.take(MAGIC.len()) != Ok(MAGIC) || reader.array().map(u16::from_le_bytes) != Ok(VERSION) {
            return Err(ModelError::NotAModel);
        }
        let entries = u32::from_le_bytes(reader.array()?) as usize;
        let count = u32::from_le_bytes(reader.array()?) as usize;
        let keys = reader.many(entries, u32::from_le_bytes)?;
        let lists = reader.many(entries, u16::from_le_bytes)?;
        let hashes = reader.many(count, u32::from_le_bytes)?;
        let rows = reader.many(count, |row: [u8; LABELS]| row.map(|byte| byte as i8))?;
        let mut transitions = [[0; LABELS]; LABELS];
        for row in &mut transitions {
            for weight in row {
                *weight = i16::from_le_bytes(reader.array()?);
            }
        }
        if !reader.0.is_empty() {
            return Err(ModelError::Damaged { what: "bytes after its end" });
        }
        let entries: Vec<_> = keys.into_iter().zip(lists).collect();
        let gazetteer = Gazetteer::new(&entries).ok_or(ModelError::Damaged { what: "entries out of order" })?;
        let weights: Vec<_> = hashes.into_iter().zip(rows).collect();
        Self::new(gazetteer, &weights, transitions)
    }

    /// The model as a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.gazetteer.entries().len() as u32).to_le_bytes());
        bytes.extend((self.weights.len() as u32).to_le_bytes());
        self.gazetteer.entries().for_each(|(key, _)| bytes.extend(key.to_le_bytes()));
        self.gazetteer.entries().for_each(|(_, lists)| bytes.extend(lists.to_le_bytes()));
        self.features.hashes().iter().for_each(|hash| bytes.extend(hash.to_le_bytes()));
        self.weights.iter().for_each(|row| bytes.extend(row[..LABELS].iter().map(|&weight| weight as u8)));
        self.transitions.iter().flatten().for_each(|weight| bytes.extend(weight.to_le_bytes()));
        bytes
    }

    /// Finds the best sequence of labels for the tokens: [`Decoder::labels`].
    pub fn label(&self, tokens: &[Token<'_>], decoder: &mut Decoder) {
        features::words(tokens, &self.gazetteer, |_| false, &mut decoder.words);
        decoder.scores.clear();
        for at in 0..tokens.len() {
            let mut score: Row = [0; WIDTH];
            features::emit(&decoder.words, at, |feature| {
                if let Some(row) = self.features.rank(feature).and_then(|rank| self.weights.get(rank)) {
                    score.iter_mut().zip(row).for_each(|(sum, &weight)| *sum += i32::from(weight));
                }
            });
            decoder.scores.push(score);
        }
        let transitions = self.transitions.map(|row| row.map(i32::from));
        decoder.search(&transitions);
    }
}

impl Decoder {
    /// Viterbi's algorithm over `scores`: the sequence whose scores and transitions add up to the
    /// most, of those in which a span goes on only after its own kind. Ties go to the lower label.
    pub fn search(&mut self, transitions: &[[i32; LABELS]; LABELS]) {
        self.back.clear();
        self.labels.clear();
        self.leads.clear();
        let Some(first) = self.scores.first() else { return };
        let allowed = allowed(transitions);
        let mut best = [FORBIDDEN; LABELS];
        for (label, best) in best.iter_mut().enumerate() {
            if Label::from_number(label).may_follow(None) {
                *best = first[label];
            }
        }
        for score in &self.scores[1..] {
            let (mut next, mut back) = ([i32::MIN; LABELS], [0; LABELS]);
            for (before, row) in allowed.iter().enumerate() {
                for label in 0..LABELS {
                    let sum = best[before].saturating_add(row[label]);
                    if sum > next[label] {
                        next[label] = sum;
                        back[label] = before as u8;
                    }
                }
            }
            next.iter_mut().zip(score).for_each(|(sum, score)| *sum = (*sum + score).max(FORBIDDEN));
            best = next;
            self.back.push(back);
        }
        let highest = best.iter().max().copied().unwrap_or(0);
        let mut label = best.iter().position(|&sum| sum == highest).unwrap_or(0);
        self.labels.push(Label::from_number(label));
        for back in self.back.iter().rev() {
            label = usize::from(back[label]);
            self.labels.push(Label::from_number(label));
        }
        self.labels.reverse();
        self.measure_leads(&allowed);
    }

    /// How far each label is ahead of the best of another kind, its neighbours kept.
    fn measure_leads(&mut self, allowed: &[[i32; LABELS]; LABELS]) {
        for (at, score) in self.scores.iter().enumerate() {
            let own = self.labels[at];
            let before = at.checked_sub(1).map(|at| self.labels[at].number());
            let sum = |label: usize| score[label] + before.map_or(0, |before| allowed[before][label].max(-10_000));
            let others = (0..LABELS).filter(|&label| Label::from_number(label).kind() != own.kind()).map(sum);
            self.leads.push(sum(own.number()) - others.max().unwrap_or(0));
        }
    }

    /// The scores of each token for each label, for [`Self::search`].
    pub fn scores_mut(&mut self) -> &mut Vec<[i32; 16]> {
        &mut self.scores
    }

    /// The labels found last.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// How sure the label of a token is: from 400,000, where another is as good, towards
    /// 850,000: a number whose check digits are right is surer.
    pub fn score_ppm(&self, at: usize) -> u32 {
        let lead = self.leads.get(at).map_or(0, |&lead| lead.clamp(0, 10_000) as u32);
        400_000 + 450_000 * lead / (lead + LEAD_HALF)
    }
}

fn allowed(transitions: &[[i32; LABELS]; LABELS]) -> [[i32; LABELS]; LABELS] {
    let mut allowed = *transitions;
    for (before, row) in allowed.iter_mut().enumerate() {
        for (label, weight) in row.iter_mut().enumerate() {
            if !Label::from_number(label).may_follow(Some(Label::from_number(before))) {
                *weight = FORBIDDEN;
            }
        }
    }
    allowed
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], ModelError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ModelError::Damaged { what: "it ends early" })?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        self.take(N)?.try_into().map_err(|_| ModelError::Damaged { what: "it ends early" })
    }

    fn many<const N: usize, T>(&mut self, count: usize, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>, ModelError> {
        let length = count.checked_mul(N).ok_or(ModelError::Damaged { what: "a count too large" })?;
        let (chunks, _) = self.take(length)?.as_chunks::<N>();
        Ok(chunks.iter().map(|&chunk| read(chunk)).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tagger::{gazetteer, index::hash, label::Kind, token};

    fn total(labels: &[usize], scores: &[Row], transitions: &[[i32; LABELS]; LABELS]) -> Option<i32> {
        let mut sum = 0;
        for (at, &label) in labels.iter().enumerate() {
            let before = at.checked_sub(1).map(|at| labels[at]);
            if !Label::from_number(label).may_follow(before.map(Label::from_number)) {
                return None;
            }
            sum += scores[at][label] + before.map_or(0, |before| transitions[before][label]);
        }
        Some(sum)
    }

    proptest! {
        /// Every sequence of three labels is tried.
        #[test]
        fn the_search_finds_the_best_of_all_sequences(
            scores in prop::collection::vec(prop::array::uniform16(-90..90i32), 1..=3),
            row in prop::array::uniform15(-40..40i32),
        ) {
            let transitions: [[i32; LABELS]; LABELS] =
                std::array::from_fn(|before| std::array::from_fn(|label| row[(before * 7 + label) % LABELS]));
            let mut decoder = Decoder { scores: scores.clone(), ..Decoder::default() };
            decoder.search(&transitions);
            let found: Vec<usize> = decoder.labels().iter().map(|label| label.number()).collect();

            let sequences = (0..LABELS.pow(scores.len() as u32)).map(|code| {
                (0..scores.len()).map(|at| code / LABELS.pow(at as u32) % LABELS).collect::<Vec<_>>()
            });
            let best = sequences.filter_map(|labels| total(&labels, &scores, &transitions)).max();
            prop_assert_eq!(total(&found, &scores, &transitions), best);
        }

        #[test]
        fn bytes_that_are_no_model_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), cut in 0..200usize) {
            prop_assert!(Model::from_bytes(&bytes).is_err());
            let whole = small().to_bytes();
            let cut = cut % whole.len();
            prop_assert!(Model::from_bytes(&whole[..cut]).is_err());
        }
    }

    fn small() -> Model {
        let lists = Gazetteer::new(&[(gazetteer::key("anna"), gazetteer::FIRST)]).unwrap();
        let mut row = [0; LABELS];
        row[Label::Begin(Kind::Person).number()] = 100;
        let mut words = Vec::new();
        let tokens: Vec<_> = token::tokens("anna").collect();
        features::words(&tokens, &lists, |_| false, &mut words);
        let mut first = None;
        features::emit(&words, 0, |feature| first = first.or(Some(feature)));
        Model::new(lists, &[(first.unwrap_or(hash(b"")), row)], [[0; LABELS]; LABELS]).unwrap()
    }

    #[test]
    fn a_model_reads_back_and_labels_what_its_weights_say() {
        let model = Model::from_bytes(&small().to_bytes()).unwrap();
        assert_eq!(model.to_bytes(), small().to_bytes());
        let mut decoder = Decoder::default();
        model.label(&token::tokens("anna 7").collect::<Vec<_>>(), &mut decoder);
        assert_eq!(decoder.labels(), [Label::Begin(Kind::Person), Label::Outside]);
        assert!(decoder.score_ppm(0) > 550_000, "{}", decoder.score_ppm(0));
        model.label(&[], &mut decoder);
        assert!(decoder.labels().is_empty());
    }

    #[test]
    fn a_model_of_another_version_or_with_bytes_behind_it_is_refused() {
        let mut bytes = small().to_bytes();
        bytes.push(0);
        assert_eq!(Model::from_bytes(&bytes).unwrap_err(), ModelError::Damaged { what: "bytes after its end" });
        bytes[6] = 9;
        assert_eq!(Model::from_bytes(&bytes).unwrap_err(), ModelError::NotAModel);
    }
}
