//! The vocabulary: every question there is.

use super::asked::Asked;
use super::{changes, data, erasures, log, people, running};
use crate::query::QueryError;
use attestune_proto::v1::QuestionAnswer;

/// A question.
pub struct Question {
    /// Its name, as packs write it.
    pub code: &'static str,
    /// What is asked, one sentence.
    pub asks: &'static str,
    /// When the answer is a gap, and when there is nothing to ask about.
    pub falls_short: &'static str,
    pub(super) ask: fn(&Asked<'_>) -> Result<QuestionAnswer, QueryError>,
}

impl Question {
    /// Whether its answer tells for how long something is kept, so that a clause can ask for a least time.
    pub fn tells_how_long(&self) -> bool {
        self.code == "traffic-on-record"
    }
}

macro_rules! questions {
    ($($ask:path => $code:literal, $asks:literal, $short:literal;)+) => {
        /// Every question, in the order in which answers come.
        pub const QUESTIONS: &[Question] =
            &[$(Question { code: $code, asks: $asks, falls_short: $short, ask: $ask }),+];
    };
}

questions! {
    log::whole => "log-whole",
        "Does the log begin with the ledger's genesis, and does a sample of its entries, hashed again, agree with its tree?",
        "the first entry is not the ledger's genesis, or an entry of the sample is missing or differs from the tree";
    people::policy_by_several => "policy-by-several",
        "Was every version of the policy adopted by several root keys together?",
        "one root key alone may adopt a policy";
    people::signers_named => "signers-named",
        "Is every person who signs named by a printed name of their own, and does every approval say what it means?",
        "two persons are printed alike but for case and spaces, or an approval has no meaning";
    people::access_withdrawn => "access-withdrawn",
        "Has whoever left neither a key nor a role any more, unless they came back with a new key?",
        "a key was revoked because its holder left, and the holder still has a key from before that stands, or, without a key \
         registered since, a role";
    people::reads_recorded => "reads-recorded",
        "Does the policy let gateways, and nobody else, put it on the record that a person reads a text?",
        "the policy lets another role than the gateway's record reads, or no gateway can";
    data::members_scanned => "members-scanned",
        "Was every member of every frozen dataset scanned by each detector that the policy asked for?",
        "a batch lacks a scan, or the key of one was later reported lost or compromised; nothing to ask without a dataset";
    data::members_checked => "members-checked",
        "Was every member of every frozen dataset checked by each checker of quality that the policy asked for?",
        "a batch lacks a check, or the key of one was later reported lost or compromised; nothing to ask without a dataset";
    data::members_reviewed => "members-reviewed",
        "Did persons decide on the members of every frozen dataset as the policy asked?",
        "the key of a decision was later reported lost or compromised, or is no person's; nothing to ask without a dataset";
    data::identifiers_looked_for => "identifiers-looked-for",
        "Did the scans of every frozen dataset that the policy asked for look for each identifier of HIPAA's Safe Harbor that can \
         be found in text?",
        "a kind of identifier was not looked for in a batch by a detector of the policy, or the key of such a scan was later \
         reported lost or compromised; nothing to ask without a dataset";
    changes::sources_known => "sources-known",
        "Are base model, training run and dataset of every version that came into production on the record?",
        "a version was trained elsewhere; nothing to ask before one came into production";
    changes::evaluated_before => "evaluated-before",
        "Did every version that came into production pass, before that, every bar, fixed before it was trained?",
        "an evaluation is missing or failed, its suite came later, or its key was later reported lost or compromised; \
         nothing to ask before one came into production";
    changes::no_leakage => "no-leakage",
        "Is no case by which a version was evaluated among the data that it was trained on?",
        "leakage was found, or can't be checked as the version was trained elsewhere; nothing to ask before one came into \
         production";
    changes::approved_by_others => "approved-by-others",
        "Was every promotion into production approved by as many persons as the policy asked, none of whom took part in making \
         the version?",
        "approvals are missing or overdue, an approver took part or is no person, or the key of one was later reported lost or \
         compromised; nothing to ask without a promotion into production";
    changes::emergencies_reviewed => "emergencies-reviewed",
        "Was every emergency promotion approved or rejected by its deadline?",
        "approvals came late, or are overdue; nothing to ask without an emergency";
    changes::repeated => "repeated",
        "Was the training of every version in force repeated, with the same outcome?",
        "it was never repeated, or came out otherwise; nothing to ask where no version in force was trained here";
    running::stoppable => "stoppable",
        "Can a person halt every model in production, and roll it back?",
        "the policy names no role for it, or nobody with a key that stands holds one; nothing to ask without a model in \
         production";
    running::served_as_decided => "served-as-decided",
        "Does every server say that it serves what was decided?",
        "a server differs, is behind or silent, no server has confirmed the version in force, or one still serves what was \
         halted; nothing to ask where no model is in production or served";
    running::traffic_on_record => "traffic-on-record",
        "Is what each model in production answers put on the record, window by window?",
        "there is no window of the version in force; or the newest is older, or a hole between two windows of a server or \
         before the first of all longer, than the policy bears, or than 30 days where it does not say; nothing to ask without a \
         model in production";
    running::watched => "watched",
        "Does a monitor hold what each model in production answers against limits that the policy sets?",
        "the policy sets no limits, or the monitor's newest reading is older than the policy bears, or than 30 days where it \
         does not say, or a server's window has waited longer than the policy bears to be read; nothing to ask without a model in \
         production";
    running::alerts_answered => "alerts-answered",
        "Did a person answer every alert in the policy's time?",
        "an alert was answered late or by no person, is overdue, or is open and the policy sets no time; nothing to ask \
         without an alert";
    running::retraining_current => "retraining-current",
        "Is no model in production overdue for retraining?",
        "a retraining is overdue, which it never is while its schedule is paused; nothing to ask without a model in production";
    running::reviews_in_time => "reviews-in-time",
        "Is no assignment of review overdue?",
        "an assignment is past its time with something undecided; nothing to ask where nothing was assigned with a date";
    erasures::decided => "erasures-decided",
        "Is every erasure complete, and was it decided what becomes of each version that it reached?",
        "chunks of an erasure are missing, nothing was decided on a version, or one that is to be retired is still in \
         production; nothing to ask without an erasure";
    erasures::become_final => "erasures-final",
        "Does the policy say how long backups of the vault's keys are kept, so that each erasure becomes final on a known day?",
        "the policy does not say, or chunks of an erasure are missing; nothing to ask without an erasure";
}

/// The question of a name.
pub fn question(code: &str) -> Option<&'static Question> {
    QUESTIONS.iter().find(|question| question.code == code)
}
