//! An answer in the making: things counted one by one, each met or short.

use attestune_proto::v1::{AnswerStatus, Gap, QuestionAnswer};

/// Most positions, and most gaps, that an answer lists.
const LISTED_MAX: usize = 100;

/// What a question has looked at so far.
#[derive(Debug, Default)]
pub struct Tally {
    of: u64,
    short: u64,
    positions: Vec<u64>,
    gaps: Vec<Gap>,
}

impl Tally {
    /// A thing that is as it should be, with the event that shows it.
    pub fn met(&mut self, position: u64) {
        self.of += 1;
        self.positions.push(position);
    }

    /// A thing that falls short, with the event that it is about.
    pub fn short(&mut self, position: u64, text: impl Into<String>) {
        self.of += 1;
        self.short += 1;
        if self.gaps.len() < LISTED_MAX {
            self.gaps.push(Gap { position, text: text.into() });
        }
    }

    /// Met, or short by what there is to say.
    pub fn judge(&mut self, position: u64, shortfall: Option<String>) {
        match shortfall {
            Some(text) => self.short(position, text),
            None => self.met(position),
        }
    }

    /// How many things were looked at.
    pub fn of(&self) -> u64 {
        self.of
    }

    /// How many of them are as they should be.
    pub fn good(&self) -> u64 {
        self.of - self.short
    }

    /// The answer: nothing looked at is nothing to ask about.
    pub fn answer(self, text: String) -> QuestionAnswer {
        let status = match (self.of, self.short) {
            (0, _) => AnswerStatus::NotApplicable,
            (_, 0) => AnswerStatus::Met,
            _ => AnswerStatus::Gap,
        };
        let mut positions = self.positions;
        positions.sort_unstable();
        positions.dedup();
        let older = positions.len().saturating_sub(LISTED_MAX);
        QuestionAnswer {
            status: status as i32,
            text,
            of: self.of,
            short: self.short,
            positions: positions.split_off(older),
            gaps: self.gaps,
            ..Default::default()
        }
    }
}

/// `1 version`, `2 versions`.
pub fn count(number: u64, one: &str) -> String {
    let plural = match one.strip_suffix('y') {
        _ if number == 1 => one.to_owned(),
        Some(stem) if !one.ends_with("ey") && !one.ends_with("ay") => format!("{stem}ies"),
        _ => format!("{one}s"),
    };
    format!("{number} {plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_not_applicable_and_one_shortfall_is_a_gap() {
        assert_eq!(Tally::default().answer(String::new()).status(), AnswerStatus::NotApplicable);
        let mut tally = Tally::default();
        (0..200).for_each(|position| tally.met(position));
        let met = std::mem::take(&mut tally).answer("200".into());
        assert_eq!((met.status(), met.of, met.positions.len()), (AnswerStatus::Met, 200, LISTED_MAX));
        assert_eq!((met.positions[0], met.positions[99]), (100, 199), "the newest are listed");
        tally.met(7);
        (0..150).for_each(|position| tally.short(position, "short"));
        let gap = tally.answer(String::new());
        assert_eq!((gap.status(), gap.of, gap.short, gap.gaps.len()), (AnswerStatus::Gap, 151, 150, LISTED_MAX));
    }

    #[test]
    fn counts_have_their_plural() {
        assert_eq!(count(1, "emergency"), "1 emergency");
        assert_eq!(count(2, "emergency"), "2 emergencies");
        assert_eq!(count(0, "key"), "0 keys");
        assert_eq!(count(3, "day"), "3 days");
    }
}
