//! What was measured, and how it is shown.

use crate::output;
use serde::Serialize;
use std::time::Duration;

/// A number that was measured in some rounds, perhaps beside a peer's.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// The part of the bench.
    pub part: &'static str,
    /// What is measured.
    pub what: String,
    /// Its unit.
    pub unit: &'static str,
    /// The median of the rounds.
    pub value: f64,
    /// Each round's.
    pub rounds: Vec<f64>,
    /// What it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// The median of the rounds' ratios to the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// What it shall reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// Whether it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<bool>,
}

/// Somebody else's number, measured in the same rounds.
#[derive(Debug, Serialize)]
pub struct Peer {
    /// Who.
    pub name: &'static str,
    /// The median of the rounds.
    pub value: f64,
    /// Each round's.
    pub rounds: Vec<f64>,
}

/// What a figure shall reach.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The value is at least this.
    ValueAtLeast(f64),
    /// The value is at most this.
    ValueAtMost(f64),
    /// The ratio to the peer is at least this.
    RatioAtLeast(f64),
    /// The ratio to the peer is at most this.
    RatioAtMost(f64),
}

/// A part that could not be measured here.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// The part.
    pub part: &'static str,
    /// What is missing, and what to do about it.
    pub why: String,
}

/// What a bench came to.
#[derive(Debug, Default)]
pub struct Results {
    /// The figures.
    pub figures: Vec<Figure>,
    /// What was skipped.
    pub skipped: Vec<Skipped>,
    /// What is to be said about the figures.
    pub notes: Vec<String>,
}

impl Results {
    /// Takes over another's.
    pub fn add(&mut self, other: Results) {
        self.figures.extend(other.figures);
        self.skipped.extend(other.skipped);
        self.notes.extend(other.notes);
    }
}

impl Figure {
    /// A number without peer and goal.
    pub fn new(part: &'static str, what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        let value = median(&rounds);
        Self { part, what: what.into(), unit, value, rounds, peer: None, ratio: None, goal: None, reached: None }
    }

    /// The same beside a peer's number of the same rounds.
    pub fn beside(mut self, name: &'static str, rounds: Vec<f64>) -> Self {
        let ratios: Vec<f64> = self.rounds.iter().zip(&rounds).map(|(ours, theirs)| ours / theirs).collect();
        self.ratio = Some(median(&ratios));
        self.peer = Some(Peer { name, value: median(&rounds), rounds });
        self.judged()
    }

    /// The same with a goal.
    pub fn with_goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.judged()
    }

    fn judged(mut self) -> Self {
        self.reached = match self.goal {
            Some(Goal::ValueAtLeast(goal)) => Some(self.value >= goal),
            Some(Goal::ValueAtMost(goal)) => Some(self.value <= goal),
            Some(Goal::RatioAtLeast(goal)) => self.ratio.map(|ratio| ratio >= goal),
            Some(Goal::RatioAtMost(goal)) => self.ratio.map(|ratio| ratio <= goal),
            None => None,
        };
        self
    }

    fn row(&self) -> Vec<String> {
        let peer = self.peer.as_ref();
        let goal = match self.goal {
            Some(Goal::ValueAtLeast(goal)) => format!("at least {}", number(goal)),
            Some(Goal::ValueAtMost(goal)) => format!("at most {}", number(goal)),
            Some(Goal::RatioAtLeast(goal)) => format!("ratio at least {goal}"),
            Some(Goal::RatioAtMost(goal)) => format!("ratio at most {goal}"),
            None => String::new(),
        };
        vec![
            self.part.into(),
            self.what.clone(),
            number(self.value),
            self.unit.into(),
            peer.map_or_else(String::new, |peer| format!("{} {}", peer.name, number(peer.value))),
            self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            goal,
            self.reached.map_or("", |reached| if reached { "reached" } else { "short of it" }).into(),
        ]
    }
}

/// Prints figures as a table.
pub fn table(figures: &[Figure]) {
    let headers = ["part", "what", "value", "unit", "beside", "ratio", "goal", ""];
    output::table(&headers, figures.iter().map(Figure::row).collect());
}

/// Three significant digits at least, thousands in groups.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The middle one; of an even number the mean of the two; 0 of none.
pub fn median(numbers: &[f64]) -> f64 {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        even if even.is_multiple_of(2) => (numbers[middle - 1] + numbers[middle]) / 2.0,
        _ => numbers[middle],
    }
}

/// Durations of many calls.
#[derive(Debug, Default, Clone)]
pub struct Times(Vec<f64>);

impl Times {
    /// Notes one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The mean in microseconds; 0 of none.
    pub fn mean_us(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// The time in microseconds that so many of a hundred did not exceed; 0 of none.
    pub fn percentile_us(&self, percent: usize) -> f64 {
        let mut times = self.0.clone();
        times.sort_by(f64::total_cmp);
        let place = (times.len() * percent).div_ceil(100).max(1) - 1;
        times.get(place).copied().unwrap_or(0.0)
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut all = Self::default();
        times.into_iter().for_each(|time| all.push(time));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        let times: Times = (1..=200).map(Duration::from_micros).collect();
        assert!((times.percentile_us(50) - 100.0).abs() < 1e-6);
        assert!((times.percentile_us(99) - 198.0).abs() < 1e-6);
        assert!((times.mean_us() - 100.5).abs() < 1e-6);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round_and_held_against_the_goal() {
        let figure = Figure::new("replay", "events", "1/s", vec![10.0, 40.0, 90.0])
            .with_goal(Goal::RatioAtLeast(1.0))
            .beside("peer", vec![20.0, 20.0, 90.0]);
        assert_eq!(figure.ratio, Some(1.0));
        assert_eq!(figure.reached, Some(true));
        let figure = figure.with_goal(Goal::ValueAtMost(39.0));
        assert_eq!(figure.reached, Some(false));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567.4), "1,234,567");
        assert_eq!(number(123.4), "123");
        assert_eq!(number(1.234), "1.23");
    }
}
