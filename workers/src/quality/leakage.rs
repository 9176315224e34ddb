//! Evaluation texts that a model saw in training.

use super::duplicates::{DuplicateIndex, Likeness};

/// The least likeness of a near leak, in parts per million: the share of five-letter pieces in
/// common. It is above the threshold of near duplicates in training data, since one leak refuses
/// an evaluation: at 900,000 a question of sixty letters differs by a letter or two at one place,
/// while two customers' own wordings of one question stay below.
pub const LEAKAGE_THRESHOLD_PPM: u32 = 900_000;

/// An evaluation text and the training text that gives it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leak {
    /// The place of the text among the evaluation texts, from 0.
    pub eval_index: usize,
    /// The place of the training text most alike, from 0; the first of several.
    pub train_index: usize,
    /// How alike they are.
    pub likeness: Likeness,
}

/// Each evaluation text that is also, or nearly, a training text, in order. Texts are prompts:
/// answers (labels) are the same in both by nature and never compared.
pub fn leakage<'t>(train: impl IntoIterator<Item = &'t str>, eval: impl IntoIterator<Item = &'t str>) -> Vec<Leak> {
    let mut seen = DuplicateIndex::new();
    for (train_index, text) in train.into_iter().enumerate() {
        seen.insert(train_index, text);
    }
    let leak = |(eval_index, text)| {
        let found = seen.find(text, LEAKAGE_THRESHOLD_PPM)?;
        Some(Leak { eval_index, train_index: found.key, likeness: found.likeness })
    };
    eval.into_iter().enumerate().filter_map(leak).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAIN: [&str; 3] = [
        "Where is my new card? It should have come a week ago.",
        "Please tell me what the exchange rate was when I paid in Lisbon last Tuesday evening.",
        "Where is my new card? It should have come a week ago!",
    ];

    #[test]
    fn the_same_text_in_another_dress_leaks() {
        let eval = ["Something else entirely", "where is my new card it should have come a week ago"];
        let leak = Leak { eval_index: 1, train_index: 0, likeness: Likeness::Exact };
        assert_eq!(leakage(TRAIN, eval), [leak]);
    }

    #[test]
    fn a_text_with_a_changed_letter_leaks() {
        let eval = [TRAIN[1].replace("evening", "evenings")];
        let leaks = leakage(TRAIN, eval.iter().map(String::as_str));
        assert_eq!((leaks.len(), leaks[0].train_index), (1, 1));
        assert!(matches!(leaks[0].likeness, Likeness::Near { ppm } if ppm >= LEAKAGE_THRESHOLD_PPM));
    }

    #[test]
    fn another_wording_of_the_same_question_does_not_leak() {
        assert_eq!(leakage(TRAIN, ["My new card should be here by now, where is it?"]), []);
    }

    #[test]
    fn nothing_leaks_into_or_out_of_nothing() {
        assert_eq!(leakage([], TRAIN), []);
        assert_eq!(leakage(TRAIN, []), []);
        assert_eq!(leakage([""], [" "]), []);
    }
}
