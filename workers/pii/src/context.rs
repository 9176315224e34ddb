//! The words around a finding, which make it likelier.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;

/// Bytes looked at on each side, so that one word without end costs nothing.
const REACH_BYTES: usize = 200;
/// A word of at least so many letters also stands for its inflections, by so many letters more.
const INFLECTED_MIN: usize = 5;
const INFLECTION_MAX: usize = 3;

/// Every context word of a scanner, found in one pass.
pub(crate) struct Vocabulary {
    automaton: AhoCorasick,
    /// The word that each of the automaton's patterns writes.
    written: Vec<u32>,
    words: BTreeMap<String, u32>,
}

/// A context word in a text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) word: u32,
}

impl Vocabulary {
    /// The words must be in lower case.
    pub(crate) fn new<'w>(words: impl Iterator<Item = &'w str>) -> Result<Self, aho_corasick::BuildError> {
        let words: BTreeSet<&str> = words.filter(|word| !word.is_empty()).collect();
        let numbered: BTreeMap<String, u32> = (0..).zip(words).map(|(n, word)| (word.to_owned(), n)).collect();
        // The automaton folds the case of ASCII only.
        let spellings = |word: &String| {
            let mut first = word.chars();
            let capital = first.next().into_iter().flat_map(char::to_uppercase).chain(first).collect();
            BTreeSet::from([word.clone(), capital, word.to_uppercase()])
        };
        let all = numbered.iter().flat_map(|(word, &n)| spellings(word).into_iter().map(move |spelt| (spelt, n)));
        let (spelt, written): (Vec<String>, Vec<u32>) = all.unzip();
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(spelt)?;
        Ok(Self { automaton, written, words: numbered })
    }

    pub(crate) fn number(&self, word: &str) -> Option<u32> {
        self.words.get(word).copied()
    }

    /// The word of a number.
    pub(crate) fn word(&self, number: u32) -> &str {
        // They are numbered in their order.
        self.words.keys().nth(number as usize).map_or("", String::as_str)
    }

    /// The words in the text, by their ends. A word stands alone, or is a long one with an
    /// inflection; in a script that writes no spaces it may stand anywhere.
    pub(crate) fn hits(&self, text: &str) -> Vec<Hit> {
        let found = self.automaton.find_overlapping_iter(text);
        let hits = found.filter(|found| stands(text, found.start(), found.end()));
        hits.map(|found| Hit { start: found.start(), end: found.end(), word: self.written[found.pattern()] }).collect()
    }
}

/// Whether the script writes words without spaces, so that a word has no edge.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..)
}

fn stands(text: &str, start: usize, end: usize) -> bool {
    let goes_on = |c: &char| c.is_alphanumeric() && !is_unspaced(*c);
    let first = text[start..].chars().next();
    if first.is_some_and(is_unspaced) {
        return true;
    }
    if text[..start].chars().next_back().is_some_and(|c| goes_on(&c)) {
        return false;
    }
    let rest = text[end..].chars().take_while(goes_on).take(INFLECTION_MAX + 1).count();
    rest == 0 || (rest <= INFLECTION_MAX && text[start..end].chars().count() >= INFLECTED_MIN)
}

/// The first of `wanted` (ascending) that is among the `before` words before `start` and the `after`
/// words after `end` (byte offsets). A word is a run of letters and digits.
pub(crate) fn support(
    text: &str,
    hits: &[Hit],
    (start, end): (usize, usize),
    (before, after): (usize, usize),
    wanted: &[u32],
) -> Option<u32> {
    let from = text.ceil_char_boundary(start.saturating_sub(REACH_BYTES));
    let to = text.floor_char_boundary(end.saturating_add(REACH_BYTES));
    let near = &hits[hits.partition_point(|hit| hit.end < from)..hits.partition_point(|hit| hit.end <= to)];
    let mut near = near.iter().filter(|hit| wanted.binary_search(&hit.word).is_ok()).peekable();
    near.peek()?;
    let offset = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    let first = words(&text[from..start]).rev().take(before).last().map_or(start, offset);
    let last = words(&text[end..to]).take(after).last().map_or(end, |word| offset(word) + word.len());
    let beside = |hit: &&Hit| (hit.start >= first && hit.end <= start) || (hit.start >= end && hit.end <= last);
    near.find(beside).map(|hit| hit.word)
}

/// The word that ends nearest before the byte `start`, in lower case, or nothing.
pub(crate) fn word_before(text: &str, start: usize) -> String {
    let left = &text[text.ceil_char_boundary(start.saturating_sub(REACH_BYTES))..start];
    words(left).next_back().unwrap_or_default().to_lowercase()
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(text: &str, (before, after): (usize, usize), word: &str) -> bool {
        let at = text.find('9').unwrap();
        let vocabulary = Vocabulary::new([word].into_iter()).unwrap();
        support(text, &vocabulary.hits(text), (at, at + 1), (before, after), &[0]).is_some()
    }

    #[test]
    fn words_count_within_the_window_only() {
        let text = "ssn one two 9 three phone";
        assert!(near(text, (3, 0), "ssn"));
        assert!(!near(text, (2, 0), "ssn"));
        assert!(near(text, (0, 2), "phone"));
        assert!(!near(text, (9, 1), "phone"));
    }

    #[test]
    fn case_and_punctuation_do_not_matter_but_whole_words_do() {
        let text = "My IP_Address: 9; classname";
        assert!(near(text, (5, 5), "address"));
        assert!(!near(text, (5, 5), "class"));
        assert!(near("ÉTÉ 9", (5, 5), "été"));
    }

    #[test]
    fn long_words_stand_for_their_inflections() {
        assert!(near("passports: 9", (5, 5), "passport"));
        assert!(!near("tells 9", (5, 5), "tel"));
        assert!(near("여권번호는9", (5, 5), "여권번호"));
    }

    #[test]
    fn the_reach_ends_on_a_character() {
        let text = format!("{}9{}", "é".repeat(200), "é".repeat(200));
        assert!(!near(&text, (5, 5), "é"));
    }
}
