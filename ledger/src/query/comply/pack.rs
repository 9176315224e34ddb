//! Packs: the clauses of one text, paraphrased and dated, each with the questions that bear on it.

use super::answer::count;
use super::question;
use crate::query::QueryError;
use crate::rules::is_identifier;
use attestune_proto::v1::{AnswerStatus, ClauseAnswer, ClauseQuestion, ClauseStatus, PackAnswer, QuestionAnswer};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::OnceLock;

const DAY_MS: u64 = 86_400_000;

/// What every pack says of itself.
const NOTICE: &str = "Not legal advice. The clauses are paraphrased; the text itself decides, and whether it applies to you. \
                      An answer tells what is on the ledger, not what happens beside it. Met means that nothing fell short \
                      there, never that the clause is fulfilled.";

/// The packs of this build, in the order in which they are shown.
const BUILT_IN: [&str; 9] = [
    include_str!("packs/eu-ai-act.yaml"),
    include_str!("packs/gdpr.yaml"),
    include_str!("packs/hipaa.yaml"),
    include_str!("packs/soc-2.yaml"),
    include_str!("packs/21-cfr-11.yaml"),
    include_str!("packs/sec-17a-4.yaml"),
    include_str!("packs/iso-42001.yaml"),
    include_str!("packs/nist-ai-rmf.yaml"),
    include_str!("packs/pra-ss1-23.yaml"),
];

/// The clauses of one text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// An identifier, such as `soc-2`.
    pub pack: String,
    /// Counts up with every change.
    pub version: u32,
    /// The day on which it was written: year, month, day.
    pub dated: String,
    /// The text's name.
    pub title: String,
    /// The edition of it that is paraphrased.
    pub edition: String,
    /// In the text's order.
    pub clauses: Vec<Clause>,
}

/// A clause.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// Its number in the text.
    pub clause: String,
    /// What it asks, in other words than its own.
    pub asks: String,
    /// What the ledger can say to it.
    #[serde(default)]
    pub questions: Vec<Asks>,
    /// What people must do or know besides; empty if nothing.
    #[serde(default)]
    pub people: String,
}

/// A question that a clause asks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// Its name in the vocabulary.
    pub question: String,
    /// It bears on the clause without answering it: a gap of it is the clause's, but being met it makes no clause met.
    #[serde(default)]
    pub supports: bool,
    /// The clause asks that what it is about is kept for so many days; 0 if it does not.
    #[serde(default)]
    pub at_least_days: u32,
    /// Why its answer bears on the clause.
    pub because: String,
}

/// Why a text is no pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// It does not parse.
    #[error("it is no pack: {0}")]
    Malformed(String),
    /// A field is empty or has the wrong form.
    #[error("{what}: {rule}")]
    Field {
        /// Which, and in which clause.
        what: String,
        /// What it must be.
        rule: &'static str,
    },
    /// A question outside the vocabulary.
    #[error("{clause} asks `{question}`, which is no question; docs/compliance.md lists them")]
    UnknownQuestion {
        /// Where.
        clause: String,
        /// Which.
        question: String,
    },
}

impl Pack {
    /// The names of all questions that it asks.
    pub fn questions(&self) -> impl Iterator<Item = &str> {
        self.clauses.iter().flat_map(|clause| &clause.questions).map(|asked| asked.question.as_str())
    }
}

/// The packs of this build.
///
/// # Errors
/// If one does not parse, which a test excludes.
pub fn packs() -> Result<&'static [Pack], QueryError> {
    static PACKS: OnceLock<Result<Vec<Pack>, PackError>> = OnceLock::new();
    let packs = PACKS.get_or_init(|| BUILT_IN.into_iter().map(parse).collect());
    packs.as_deref().map_err(|error| QueryError::Failed(error.to_string()))
}

/// Reads a pack from YAML.
///
/// # Errors
/// If it is malformed or asks what is no question.
pub fn parse(yaml: &str) -> Result<Pack, PackError> {
    let pack: Pack = serde_yaml_ng::from_str(yaml).map_err(|error| PackError::Malformed(error.to_string()))?;
    let field = |what: &str, good: bool, rule: &'static str| match good {
        true => Ok(()),
        false => Err(PackError::Field { what: what.into(), rule }),
    };
    field("pack", is_identifier(&pack.pack), "must be an identifier")?;
    field("version", pack.version > 0, "must be at least 1")?;
    field("dated", is_date(&pack.dated), "must be a date such as 2026-11-28")?;
    field("title", !pack.title.is_empty(), "is empty")?;
    field("edition", !pack.edition.is_empty(), "is empty")?;
    field("clauses", !pack.clauses.is_empty(), "must be one or more")?;
    let mut seen = BTreeSet::new();
    for clause in &pack.clauses {
        let name = clause.clause.as_str();
        field("a clause", !name.is_empty(), "has no number")?;
        field(name, seen.insert(name), "stands twice")?;
        field(name, !clause.asks.is_empty(), "does not say what it asks")?;
        let answered = clause.questions.iter().any(|asked| !asked.supports) || !clause.people.is_empty();
        field(name, answered, "has neither questions that answer it nor anything for people")?;
        let mut asked_here = BTreeSet::new();
        for asked in &clause.questions {
            field(name, asked_here.insert(&asked.question), "asks a question twice")?;
            field(name, !asked.because.is_empty(), "does not say why it asks a question")?;
            let Some(known) = question(&asked.question) else {
                return Err(PackError::UnknownQuestion { clause: name.into(), question: asked.question.clone() });
            };
            let days_fit = asked.at_least_days == 0 || known.tells_how_long();
            field(name, days_fit, "asks for days of a question that does not tell how long anything is kept")?;
        }
    }
    Ok(pack)
}

fn is_date(text: &str) -> bool {
    let shape = |(index, byte): (usize, u8)| if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(shape)
}

/// What the answers say to each clause of a pack. A question without an answer counts as a gap.
pub fn judge(pack: &Pack, answers: &[QuestionAnswer]) -> PackAnswer {
    let clauses = pack.clauses.iter().map(|clause| ClauseAnswer {
        clause: clause.clause.clone(),
        asks: clause.asks.clone(),
        status: status(clause, answers) as i32,
        questions: clause
            .questions
            .iter()
            .map(|asked| ClauseQuestion {
                question: asked.question.clone(),
                because: asked.because.clone(),
                supports: asked.supports,
                at_least_days: asked.at_least_days,
                too_short: answer_to(asked, answers).and_then(|answer| too_short(asked, answer)).unwrap_or_default(),
            })
            .collect(),
        people: clause.people.clone(),
    });
    PackAnswer {
        pack: pack.pack.clone(),
        version: pack.version,
        dated: pack.dated.clone(),
        title: pack.title.clone(),
        edition: pack.edition.clone(),
        notice: NOTICE.into(),
        clauses: clauses.collect(),
    }
}

fn answer_to<'a>(asked: &Asks, answers: &'a [QuestionAnswer]) -> Option<&'a QuestionAnswer> {
    answers.iter().find(|answer| answer.question == asked.question)
}

/// That something is kept for a shorter time than a clause asks for; nothing where there is nothing to ask about.
fn too_short(asked: &Asks, answer: &QuestionAnswer) -> Option<String> {
    let asks_ms = u64::from(asked.at_least_days) * DAY_MS;
    if answer.kept_ms >= asks_ms || answer.status() == AnswerStatus::NotApplicable {
        return None;
    }
    let kept = match answer.kept_ms {
        0 => "not kept".into(),
        ms => format!("kept for {}", count(ms / DAY_MS, "day")),
    };
    Some(format!("{kept}, while this clause asks for {}", count(asked.at_least_days.into(), "day")))
}

fn status(clause: &Clause, answers: &[QuestionAnswer]) -> ClauseStatus {
    let of = |asked: &Asks| {
        let answer = answer_to(asked, answers).filter(|answer| too_short(asked, answer).is_none());
        answer.map_or(AnswerStatus::Gap, QuestionAnswer::status)
    };
    let short = |one: AnswerStatus| matches!(one, AnswerStatus::Gap | AnswerStatus::Unspecified);
    let answering: Vec<AnswerStatus> = clause.questions.iter().filter(|asked| !asked.supports).map(of).collect();
    if clause.questions.iter().map(of).any(short) {
        ClauseStatus::Gap
    } else if answering.is_empty() {
        ClauseStatus::ForPeople
    } else if answering.contains(&AnswerStatus::Met) {
        ClauseStatus::Met
    } else {
        ClauseStatus::NotApplicable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::comply::QUESTIONS;

    const SOUND: &str = "
pack: house
version: 1
dated: 2026-11-28
title: House rules
edition: the first
clauses:
  - clause: '1'
    asks: that changes are approved
    questions:
      - { question: approved-by-others, because: it counts approvals }
      - { question: emergencies-reviewed, because: they are changes }
  - clause: '2'
    asks: that people are trained
    people: Keep the records of training.
";

    fn answers(approved: AnswerStatus, emergencies: AnswerStatus) -> Vec<QuestionAnswer> {
        let answer = |question: &str, status| QuestionAnswer {
            question: question.into(),
            status: status as i32,
            ..Default::default()
        };
        vec![answer("approved-by-others", approved), answer("emergencies-reviewed", emergencies)]
    }

    #[test]
    fn every_pack_of_this_build_parses_and_the_packs_ask_every_question() {
        let packs = packs().unwrap();
        let names: BTreeSet<&str> = packs.iter().map(|pack| pack.pack.as_str()).collect();
        assert_eq!(names.len(), BUILT_IN.len(), "each pack has a name of its own");
        let asked: BTreeSet<&str> = packs.iter().flat_map(Pack::questions).collect();
        let vocabulary: BTreeSet<&str> = QUESTIONS.iter().map(|question| question.code).collect();
        assert_eq!(asked, vocabulary);
        assert_eq!(vocabulary.len(), QUESTIONS.len(), "each question has a name of its own");
    }

    #[test]
    fn a_clause_is_met_if_something_is_and_nothing_falls_short() {
        use AnswerStatus::{Gap, Met, NotApplicable};
        let pack = parse(SOUND).unwrap();
        let first = |a, b| judge(&pack, &answers(a, b)).clauses[0].status();
        assert_eq!(first(Met, NotApplicable), ClauseStatus::Met);
        assert_eq!(first(Met, Gap), ClauseStatus::Gap);
        assert_eq!(first(NotApplicable, NotApplicable), ClauseStatus::NotApplicable);
        assert_eq!(first(NotApplicable, Gap), ClauseStatus::Gap);
        assert_eq!(judge(&pack, &[]).clauses[0].status(), ClauseStatus::Gap, "unanswered is no pass");
    }

    #[test]
    fn what_only_supports_can_fall_short_but_makes_nothing_met() {
        use AnswerStatus::{Gap, Met, NotApplicable};
        let first = |yaml: &str, a, b| judge(&parse(yaml).unwrap(), &answers(a, b)).clauses[0].status();
        let one = SOUND.replace("question: approved-by-others,", "question: approved-by-others, supports: true,");
        assert_eq!(first(&one, Met, NotApplicable), ClauseStatus::NotApplicable);
        assert_eq!(first(&one, NotApplicable, Met), ClauseStatus::Met);
        assert_eq!(first(&one, Gap, Met), ClauseStatus::Gap);

        let both = one.replace("question: emergencies-reviewed,", "question: emergencies-reviewed, supports: true,");
        assert!(parse(&both).unwrap_err().to_string().contains("neither questions that answer it"));
        let both = both.replace("are approved\n", "are approved\n    people: Approve them.\n");
        assert_eq!(first(&both, Met, Met), ClauseStatus::ForPeople);
        assert_eq!(first(&both, Met, Gap), ClauseStatus::Gap);
    }

    #[test]
    fn a_clause_can_ask_for_how_long_something_is_kept() {
        use AnswerStatus::{Gap, Met, NotApplicable};
        let asks = "question: traffic-on-record, at_least_days: 184,";
        let pack = parse(&SOUND.replace("question: approved-by-others,", asks)).unwrap();
        let first = |status: AnswerStatus, days: u64| {
            let kept = QuestionAnswer {
                question: "traffic-on-record".into(),
                status: status as i32,
                kept_ms: days * DAY_MS,
                ..Default::default()
            };
            let clause = judge(&pack, &[kept, answers(Met, Met).remove(1)]).clauses.remove(0);
            (clause.status(), clause.questions[0].too_short.clone())
        };
        assert_eq!(first(Met, 184), (ClauseStatus::Met, String::new()));
        let says = "kept for 30 days, while this clause asks for 184 days";
        assert_eq!(first(Met, 30), (ClauseStatus::Gap, says.into()));
        assert_eq!(first(Met, 0), (ClauseStatus::Gap, "not kept, while this clause asks for 184 days".into()));
        assert_eq!(first(Gap, 184).0, ClauseStatus::Gap);
        assert_eq!(first(NotApplicable, 0), (ClauseStatus::Met, String::new()), "nothing to ask about is not kept");
    }

    #[test]
    fn what_is_for_people_is_never_met_by_itself() {
        let pack = parse(SOUND).unwrap();
        let judged = judge(&pack, &answers(AnswerStatus::Met, AnswerStatus::Met));
        assert_eq!(judged.clauses[1].status(), ClauseStatus::ForPeople);
        assert!(judged.notice.starts_with("Not legal advice"));
    }

    #[test]
    fn a_pack_that_is_none_is_told_what_is_wrong() {
        for (what, instead, says) in [
            ("approved-by-others", "approved-by-aunts", "no question"),
            ("pack: house", "pack: Haus!", "identifier"),
            ("version: 1", "version: 0", "at least 1"),
            ("dated: 2026-11-28", "dated: yesterday", "date"),
            ("clause: '2'", "clause: '1'", "stands twice"),
            ("question: approved-by-others", "question: approved-by-others, at_least_days: 9", "asks for days"),
            ("question: emergencies-reviewed", "question: approved-by-others", "asks a question twice"),
            ("    people: Keep the records of training.\n", "", "neither questions"),
            ("edition: the first", "editions: the first", "unknown field"),
        ] {
            assert!(SOUND.contains(what));
            let error = parse(&SOUND.replace(what, instead)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
