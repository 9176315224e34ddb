//! Judging training examples by their form: empty, over-long, said before, unbalanced, leaked.
//!
//! Pure functions: no clock, no random number, no float in a result. The same texts in the same
//! order give the same issues everywhere, so that a worker can sign what came out.
//!
//! Duplicates and leaks are judged by the prompt alone. Two customers who ask the same thing are
//! one example whatever is answered, and answers (a label, a refusal) repeat by nature.

mod balance;
mod duplicates;
mod leakage;
mod minhash;
mod normal;

pub use balance::{LabelBalance, label_balance};
pub use duplicates::{DuplicateIndex, Likeness, Match};
pub use leakage::{LEAKAGE_THRESHOLD_PPM, Leak, leakage};
pub(crate) use minhash::mix;

/// The name under which these checks stand on the log.
pub const CHECKER_NAME: &str = "attestune-quality";
/// Counts up whenever a check judges otherwise.
pub const VERSION: &str = "1";

/// An example to be judged, under a key that the caller understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example<'t, K> {
    /// What duplicates of it are reported by.
    pub key: K,
    /// What the model is asked, without the template's words around it, which all examples share.
    pub prompt: &'t str,
    /// What the model shall say.
    pub answer: &'t str,
}

/// From where on an example is an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most code points of prompt and answer together. The default, 6,000, is about three
    /// quarters of a context of 2,048 tokens at four characters a token.
    pub chars_max: usize,
    /// The least likeness of a near duplicate, in parts per million: the share of five-letter
    /// pieces that two prompts have in common. The default, 800,000, lets a sentence of fifty
    /// letters differ by about one short word. The likeness is estimated with a standard error
    /// of 35,000 there; below 500,000 more than one pair in eight would go unseen.
    pub near_ppm: u32,
}

/// What is wrong with an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue<K> {
    /// The prompt or the answer has no visible character.
    Empty,
    /// Prompt and answer are longer than the limit.
    TooLong {
        /// Their length in code points.
        chars: usize,
    },
    /// An earlier prompt is the same but for case, spaces and punctuation.
    ExactDuplicateOf(K),
    /// An earlier prompt is nearly the same; of several, this is the most alike.
    NearDuplicateOf(K),
}

impl Default for Limits {
    fn default() -> Self {
        Self { chars_max: 6_000, near_ppm: 800_000 }
    }
}

/// The issues of each example, in the order of the examples. Earlier means in `earlier` or before
/// in the same list; to go on with a next list, insert these prompts into the index.
pub fn check<K: Copy>(examples: &[Example<'_, K>], earlier: &DuplicateIndex<K>, limits: &Limits) -> Vec<Vec<Issue<K>>> {
    let mut here = DuplicateIndex::new();
    let judge = |example: &Example<'_, K>| {
        let mut issues = Vec::new();
        if normal::is_blank(example.prompt) || normal::is_blank(example.answer) {
            issues.push(Issue::Empty);
        }
        let chars = example.prompt.chars().count() + example.answer.chars().count();
        if chars > limits.chars_max {
            issues.push(Issue::TooLong { chars });
        }
        let before = earlier.find(example.prompt, limits.near_ppm);
        let beside = here.find(example.prompt, limits.near_ppm);
        // On a tie the earlier index wins, as its examples came first.
        let closest = match (before, beside) {
            (Some(a), Some(b)) => Some(if b.closeness() > a.closeness() { b } else { a }),
            (a, b) => a.or(b),
        };
        issues.extend(closest.map(|found| match found.likeness {
            Likeness::Exact => Issue::ExactDuplicateOf(found.key),
            Likeness::Near { .. } => Issue::NearDuplicateOf(found.key),
        }));
        here.insert(example.key, example.prompt);
        issues
    };
    examples.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "How do I activate the new card that came in the post today?";
    const ASKED_NEARLY: &str = "How do I activate the new card that came in the post today, please?";

    fn example(key: u64, prompt: &str) -> Example<'_, u64> {
        Example { key, prompt, answer: "activate card" }
    }

    fn issues(prompts: &[&str]) -> Vec<Vec<Issue<u64>>> {
        let examples: Vec<_> = (0..).zip(prompts).map(|(key, p)| example(key, p)).collect();
        check(&examples, &DuplicateIndex::new(), &Limits::default())
    }

    #[test]
    fn sound_examples_have_no_issue() {
        assert_eq!(issues(&[ASKED, "Why was I charged twice for one transfer?"]), [[], []]);
    }

    #[test]
    fn a_prompt_or_answer_without_a_visible_character_is_empty() {
        assert_eq!(issues(&[" \n\u{200b}"]), [[Issue::Empty]]);
        let silent = [Example { key: 0, prompt: ASKED, answer: "\t" }];
        assert_eq!(check(&silent, &DuplicateIndex::new(), &Limits::default()), [[Issue::Empty]]);
    }

    #[test]
    fn empty_prompts_are_not_duplicates_of_each_other() {
        assert_eq!(issues(&["", " "]), [[Issue::Empty], [Issue::Empty]]);
    }

    #[test]
    fn length_counts_code_points_of_prompt_and_answer() {
        let limits = Limits { chars_max: 5, ..Limits::default() };
        let judge =
            |prompt, answer| check(&[Example { key: 0, prompt, answer }], &DuplicateIndex::new(), &limits).remove(0);
        assert_eq!(judge("äöü", "ßé"), []);
        assert_eq!(judge("äöü", "ßé!"), [Issue::TooLong { chars: 6 }]);
    }

    #[test]
    fn the_same_prompt_in_another_dress_is_an_exact_duplicate() {
        let again = "how do i ACTIVATE the new card  that came in the post today";
        assert_eq!(issues(&[ASKED, again])[1], [Issue::ExactDuplicateOf(0)]);
    }

    #[test]
    fn a_prompt_with_one_more_word_is_a_near_duplicate() {
        assert_eq!(issues(&[ASKED, ASKED_NEARLY])[1], [Issue::NearDuplicateOf(0)]);
    }

    #[test]
    fn an_exact_duplicate_further_back_wins_over_a_near_one() {
        assert_eq!(issues(&[ASKED_NEARLY, ASKED, ASKED])[2], [Issue::ExactDuplicateOf(1)]);
    }

    #[test]
    fn earlier_examples_count_and_win_ties() {
        let mut earlier = DuplicateIndex::new();
        earlier.insert(70, ASKED);
        let examples = [example(1, ASKED), example(2, ASKED), example(3, ASKED_NEARLY)];
        let expected = [[Issue::ExactDuplicateOf(70)], [Issue::ExactDuplicateOf(70)], [Issue::NearDuplicateOf(70)]];
        assert_eq!(check(&examples, &earlier, &Limits::default()), expected);
    }

    #[test]
    fn the_answer_makes_no_prompt_another() {
        let other = Example { key: 1, prompt: ASKED, answer: "something else" };
        let found = check(&[example(0, ASKED), other], &DuplicateIndex::new(), &Limits::default());
        assert_eq!(found[1], [Issue::ExactDuplicateOf(0)]);
    }
}
