//! The words around a finding, which make it likelier.

/// Bytes looked at on each side, so that one word without end costs nothing.
const REACH_BYTES: usize = 200;

/// Whether one of `wanted` (lower case) is among the `before` words before `start` and the
/// `after` words after `end` (byte offsets). A word is a run of letters and digits.
pub(crate) fn supports(
    text: &str,
    (start, end): (usize, usize),
    (before, after): (usize, usize),
    wanted: &[&str],
) -> bool {
    let left = &text[text.ceil_char_boundary(start.saturating_sub(REACH_BYTES))..start];
    let right = &text[end..text.floor_char_boundary(end.saturating_add(REACH_BYTES))];
    let is_wanted = |word: &str| {
        let word = word.to_lowercase();
        wanted.contains(&word.as_str())
    };
    words(left).rev().take(before).any(is_wanted) || words(right).take(after).any(is_wanted)
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

    #[test]
    fn words_count_within_the_window_only() {
        let text = "ssn one two X three phone";
        let at = text.find('X').unwrap();
        let near = |before, after, word| supports(text, (at, at + 1), (before, after), &[word]);
        assert!(near(3, 0, "ssn"));
        assert!(!near(2, 0, "ssn"));
        assert!(near(0, 2, "phone"));
        assert!(!near(9, 1, "phone"));
    }

    #[test]
    fn case_and_punctuation_do_not_matter_but_whole_words_do() {
        let text = "My IP_Address: 9; classname";
        let at = text.find('9').unwrap();
        assert!(supports(text, (at, at + 1), (5, 5), &["address"]));
        assert!(!supports(text, (at, at + 1), (5, 5), &["class"]));
    }

    #[test]
    fn the_reach_ends_on_a_character() {
        let text = format!("{}1{}", "é".repeat(200), "é".repeat(200));
        assert!(!supports(&text, (400, 401), (5, 5), &["é"]));
    }
}
