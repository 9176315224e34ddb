//! Choosing what a redaction hides: of what was found, and words that nobody found.

use super::super::OWN_ENTITY;
use super::state::Item;
use attestune_proto::v1::Finding;
use ratatui::crossterm::event::KeyCode;
use std::collections::BTreeSet;

/// What is chosen so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Hiding {
    /// Numbers of the findings that are hidden.
    pub chosen: BTreeSet<usize>,
    /// What the person marked.
    pub own: Vec<Finding>,
    /// The finding that the cursor is on.
    pub row: usize,
    /// The word that the cursor is on, among [`words`].
    pub word: Option<usize>,
}

impl Hiding {
    /// All that was found and is more than noted; or what was chosen before.
    pub fn new(item: &Item, before: Option<&[Finding]>) -> Self {
        let all = 0..item.spans.len();
        let (chosen, own) = match before {
            None => (all.filter(|number| !item.noted.contains(number)).collect(), Vec::new()),
            Some(before) => {
                let chosen = all.filter(|number| before.contains(&item.spans[*number].1)).collect();
                let found = |one: &Finding| item.spans.iter().any(|(_, finding)| finding == one);
                (chosen, before.iter().filter(|one| !found(one)).cloned().collect())
            }
        };
        Self { chosen, own, row: 0, word: None }
    }

    /// What is hidden, in no order.
    pub fn hidden(&self, item: &Item) -> Vec<Finding> {
        let found = self.chosen.iter().filter_map(|number| item.spans.get(*number)).map(|(_, finding)| finding);
        found.chain(&self.own).cloned().collect()
    }

    pub fn on_key(&mut self, key: KeyCode, item: &Item) {
        let count = item.spans.len();
        match key {
            KeyCode::Char('j') | KeyCode::Down => self.row = (self.row + 1).min(count.saturating_sub(1)),
            KeyCode::Char('k') | KeyCode::Up => self.row = self.row.saturating_sub(1),
            KeyCode::Char(' ') => self.turn(self.row, count),
            // The numbers that stand in the text.
            KeyCode::Char(digit @ '1'..='9') => self.turn(digit as usize - '1' as usize, count),
            KeyCode::Char('a') if self.chosen.len() == count => self.chosen.clear(),
            KeyCode::Char('a') => self.chosen = (0..count).collect(),
            KeyCode::Char('w') | KeyCode::Right => self.word = step(self.word, words(&item.scanned).len(), 1),
            KeyCode::Char('b') | KeyCode::Left => self.word = step(self.word, words(&item.scanned).len(), -1),
            KeyCode::Char('m') => self.mark(item),
            _ => {}
        }
    }

    fn turn(&mut self, number: usize, count: usize) {
        if number < count && !self.chosen.remove(&number) {
            self.chosen.insert(number);
        }
    }

    /// Marks the word under the cursor, or takes the mark away.
    fn mark(&mut self, item: &Item) {
        let Some((start, end)) = self.word.and_then(|word| words(&item.scanned).get(word).copied()) else { return };
        let before = self.own.len();
        self.own.retain(|one| (one.start, one.end) != (start, end));
        if self.own.len() == before {
            self.own.push(Finding { entity: OWN_ENTITY.into(), start, end, score_ppm: 0 });
        }
    }
}

fn step(word: Option<usize>, count: usize, by: isize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    match word {
        None => Some(if by > 0 { 0 } else { last }),
        Some(word) => Some(word.saturating_add_signed(by).min(last)),
    }
}

/// The words of a text as code points, half open; marks around them, such as commas and brackets, are not theirs.
pub fn words(text: &str) -> Vec<(u32, u32)> {
    let mut words = Vec::new();
    let mut word: Option<(u32, u32)> = None;
    for (at, char) in (0..).zip(text.chars().chain([' '])) {
        if char.is_whitespace() {
            words.extend(word.take());
        } else if char.is_alphanumeric() {
            word = Some((word.map_or(at, |(start, _)| start), at + 1));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_without_the_marks_around_them() {
        let text = "(Zoë O'Neill), 5.\n– end";
        let chars: Vec<char> = text.chars().collect();
        let shown: Vec<String> =
            words(text).iter().map(|(start, end)| chars[*start as usize..*end as usize].iter().collect()).collect();
        assert_eq!(shown, ["Zoë", "O'Neill", "5", "end"]);
        assert!(words(" .. ").is_empty());
    }

    #[test]
    fn a_step_stays_among_the_words() {
        assert_eq!((step(None, 3, 1), step(None, 3, -1), step(None, 0, 1)), (Some(0), Some(2), None));
        assert_eq!((step(Some(2), 3, 1), step(Some(0), 3, -1)), (Some(2), Some(0)));
    }
}
