//! Why an event was refused, or is no event at all: data with a stable code, a sentence and its figures.
//!
//! The codes are part of the verdict tree and never change their meaning; the sentences may.
//! `docs/refusals.md` is generated from [`ALL`].

use attestune_proto::v1::{Figure, RefusalInfo};

/// A code with what it means, for the manual.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// Stable, `[a-z-]`.
    pub code: &'static str,
    /// What it means and what to do.
    pub meaning: &'static str,
    /// The sentence, with the figures' names in braces.
    pub template: &'static str,
}

/// A text from outside, fit for a terminal: what steers, hides or turns text as U+FFFD.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Controls; format characters that have no width, turn text, tag it or stand for nothing.
pub fn is_odd(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

macro_rules! reasons {
    ($(#[$meta:meta])* $enum:ident, $all:ident:
     $($(#[doc = $doc:literal])+ $name:ident { $($field:ident : $type:ty),* } = $code:literal, $text:literal;)+) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum $enum { $($(#[doc = $doc])+ $name { $($field: $type),* },)+ }

        impl $enum {
            /// The stable code.
            pub fn code(&self) -> &'static str {
                match self { $(Self::$name { .. } => $code,)+ }
            }

            /// The figures, in ascending order of name.
            #[allow(unused_mut, unused_variables)]
            pub fn figures(&self) -> Vec<(&'static str, String)> {
                let mut figures: Vec<(&'static str, String)> = match self {
                    $(Self::$name { $($field),* } => vec![$((stringify!($field), $field.to_string())),*],)+
                };
                figures.sort();
                figures
            }

            /// The form that travels and is stored.
            pub fn info(&self) -> RefusalInfo {
                RefusalInfo {
                    code: self.code().into(),
                    message: printable(&self.to_string()),
                    figures: self.figures().into_iter()
                        .map(|(name, value)| Figure { name: name.into(), value: printable(&value) }).collect(),
                }
            }
        }

        impl std::fmt::Display for $enum {
            #[allow(unused_variables)]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $(Self::$name { $($field),* } => write!(f, $text),)+ }
            }
        }

        impl std::error::Error for $enum {}

        /// Every code of this kind, in the order of the guards.
        pub const $all: &[Code] = &[$(Code {
            code: $code, meaning: concat!($($doc),+), template: $text,
        },)+];
    };
}

reasons! {
    /// Not an event at all: the door stops it; where the log holds it all the same it is counted and kept.
    Rejection, ALL_REJECTIONS:
    /// An entry with its time is at most 65,535 bytes. Split the batch.
    TooLarge { size: usize, limit: usize } = "too-large", "the entry has {size} bytes, {limit} are allowed";
    /// The bytes are no DSSE envelope of an event.
    NotAnEnvelope {} = "not-an-envelope", "the bytes are not a DSSE envelope with an event in it";
    /// Decoding and encoding again must give the same bytes, in the envelope and in its payload.
    NotCanonical { part: &'static str } = "not-canonical", "the {part} is not in canonical form";
    /// An envelope carries one signature, or as many as its kind needs, sorted by key id, no key twice.
    SignaturesUnordered {} = "signatures-unordered", "the signatures are missing, not sorted by key id, or a key stands twice";
    /// There is no genesis yet, or the first entry is not one.
    NoLedger {} = "no-ledger", "there is no ledger yet: the first event must be ledger-created";
    /// The key is not registered on this ledger.
    UnknownKey { keyid: String } = "unknown-key", "key {keyid} is not registered on this ledger";
    /// The signature does not verify over the stored bytes.
    BadSignature { keyid: String } = "bad-signature", "the signature of key {keyid} does not verify";
    /// The event names another ledger.
    OtherLedger {} = "other-ledger", "the event was signed for another ledger";
    /// The genesis event breaks a rule of its own; nothing was created.
    BadGenesis { what: &'static str } = "bad-genesis", "the genesis event is not valid: {what}";
}

reasons! {
    /// A signed attempt that breaks a rule. It stays on the record with this reason.
    Refusal, ALL:
    /// A kind whose rules the version in force does not have.
    UnknownKind { kind: u32 } = "unknown-kind", "events of kind {kind} are not known to the rules in force";
    /// An id is used up by the first validly signed event that carries it. Sign the act anew.
    IdUsed { first: u64 } = "id-used", "the id was used up by the event at position {first}";
    /// An id has 16 bytes.
    BadId {} = "bad-id", "the event's id must be 16 bytes";
    /// The ledger was created already.
    LedgerExists {} = "ledger-exists", "the ledger was created already";
    /// The actor who acts must be among the signers, and signers are distinct actors.
    ActorDidNotSign { actor: String } = "actor-did-not-sign", "{actor} is named as the actor but is not among the signers, or signed twice";
    /// A revoked key signs nothing more.
    KeyRevoked { keyid: String, at: u64 } = "key-revoked", "key {keyid} was revoked at position {at}";
    /// `seen` names the tree that the signer had before it; it must be one of this log's.
    SeenUnknown { size: u64 } = "seen-unknown", "the tree of size {size} that the signer saw is not this log's";
    /// The signer's view is older than the policy allows. Fetch the head and sign anew.
    SeenTooOld { age_ms: u64, limit_ms: u64 } = "seen-too-old", "what the signer saw is {age_ms} ms old, {limit_ms} ms are allowed";
    /// A cause must stand on the log before the event.
    CauseUnknown { cause: u64 } = "cause-unknown", "the cause, position {cause}, does not stand before this event";
    /// Identifiers are `[a-z0-9._-]`, 1 to 64 characters.
    BadIdentifier { field: &'static str } = "bad-identifier", "{field} must be 1 to 64 characters of a-z, 0-9, dot, underscore, hyphen";
    /// A field is missing, too long, out of order or out of range.
    BadField { field: &'static str, rule: &'static str } = "bad-field", "{field} {rule}";
    /// A root event needs the threshold of root keys.
    RootSignaturesMissing { have: u32, need: u32 } = "root-signatures-missing", "the event carries {have} signatures of root keys, it needs {need}";
    /// Only root events and acts of two persons carry more than one signature.
    TooManySignatures { have: u32, allowed: u32 } = "too-many-signatures", "the event carries {have} signatures, {allowed} are allowed";
    /// The policy lets only certain roles do this.
    RoleMissing { actor: String, needs: String } = "role-missing", "{actor} holds none of the roles that may do this: {needs}";
    /// The log's clock lags behind the fold's time: promotions wait until a root event corrects the clock.
    ClockLagging { lag_ms: u64, limit_ms: u64 } = "clock-lagging", "the log's clock is {lag_ms} ms behind the time of an earlier entry, {limit_ms} ms are allowed: have the clock corrected";
    /// The rules version is not known, or not newer than the one in force.
    BadRulesVersion { version: u32, in_force: u32 } = "bad-rules-version", "rules version {version} cannot follow version {in_force}";
    /// The state that was attested is not this fold's.
    StateDiffers { size: u64 } = "state-differs", "the attested state at size {size} is not the one that the rules give: an alarm";
    /// The policy contradicts itself or lacks something.
    BadPolicy { what: String } = "bad-policy", "the policy is not valid: {what}";
    /// A key is registered once.
    KeyKnown { keyid: String } = "key-known", "key {keyid} is registered already";
    /// The key is weak, malformed, or its possession was not proven.
    KeyUnfit { what: &'static str } = "key-unfit", "the key cannot be registered: {what}";
    /// A further key must keep the actor's printed name and kind.
    ActorDiffers { actor: String } = "actor-differs", "{actor} is registered with another printed name or kind";
    /// A further key of a person with a role needs that person's active key, or two persons.
    KeyNeedsHolder { actor: String } = "key-needs-holder", "a further key of {actor} must be signed by one of {actor}'s active keys or by two persons";
    /// No such key.
    UnknownKeyNamed { keyid: String } = "unknown-key-named", "there is no key {keyid}";
    /// No such actor.
    UnknownActor { actor: String } = "unknown-actor", "there is no actor {actor}";
    /// The actor holds the role already.
    RoleHeld { actor: String, role: &'static str } = "role-held", "{actor} holds the role {role} already";
    /// The actor does not hold the role.
    RoleNotHeld { actor: String, role: &'static str } = "role-not-held", "{actor} does not hold the role {role}";
    /// Roles of workers are for workers, roles of persons for persons.
    RoleUnfit { actor: String, role: &'static str } = "role-unfit", "{actor} is not of the kind that may hold the role {role}";
    /// Approvers and admins need a second person's signature, and nobody grants a role to himself.
    SecondSignerMissing { role: &'static str } = "second-signer-missing", "the role {role} needs the signatures of two persons, neither of whom receives it";
    /// The last root key cannot go.
    RootNeeded { threshold: u32 } = "root-needed", "fewer root keys than the threshold of {threshold} would be left";
    /// No such batch of documents or examples.
    UnknownBatch { position: u64 } = "unknown-batch", "there is no such batch at position {position}";
    /// An index lies outside its batch.
    IndexOutside { index: u32, count: u32 } = "index-outside", "index {index} lies outside the batch of {count}";
    /// A batch is scanned once by each version of a detector, checked once by each version of a checker.
    DoneBefore { first: u64 } = "done-before", "this was done before, at position {first}";
    /// Whoever ingested or derived an example cannot review it.
    ReviewerMadeIt { actor: String, batch: u64 } = "reviewer-made-it", "{actor} ingested or derived the examples of batch {batch} and cannot review them";
    /// The example was decided; it must be reopened first.
    ReviewedBefore { batch: u64, index: u32 } = "reviewed-before", "example {index} of batch {batch} was decided before";
    /// The policy names the reasons that may be given with a verdict.
    ReasonNotTaken { verdict: String, reason: String } = "reason-not-taken", "the policy does not take {reason} as a reason to {verdict}";
    /// Some examples are decided on by two persons, and by a third where these disagree: each must be another.
    AnotherReviewerNeeded { actor: String, batch: u64, index: u32 } = "another-reviewer-needed", "{actor} decided on example {index} of batch {batch} before: another person must decide now";
    /// What is assigned to somebody may be claimed by others once it is late, or assigned anew.
    AssignedToAnother { reviewer: String, batch: u64, index: u32, due_ms: u64 } = "assigned-to-another", "example {index} of batch {batch} is assigned to {reviewer} until {due_ms} (0 for ever)";
    /// There is no decision to set aside.
    NotReviewed { batch: u64, index: u32 } = "not-reviewed", "example {index} of batch {batch} has no decision to reopen";
    /// The position to freeze at lies ahead.
    FreezeAhead { at: u64 } = "freeze-ahead", "position {at} has not been folded yet";
    /// Nothing eligible: unscanned, unchecked or unreviewed examples are never members.
    NothingEligible { examples: u64, unchecked: u64, awaiting_review: u64 } = "nothing-eligible", "none of the {examples} examples is eligible: {unchecked} were not scanned or checked by all that the policy requires, {awaiting_review} await review";
    /// The root or count named is not what the rules compute.
    MembersDiffer { named: u64, computed: u64 } = "members-differ", "the dataset names {named} members under a root, the rules find {computed} or another root";
    /// A member lost its eligibility after the position frozen at.
    MemberLost { batch: u64, index: u32 } = "member-lost", "example {index} of batch {batch} is no longer eligible as it was";
    /// No such dataset.
    UnknownDataset { position: u64 } = "unknown-dataset", "there is no frozen dataset at position {position}";
    /// No such base model.
    UnknownBase { position: u64 } = "unknown-base", "there is no base model at position {position}";
    /// A hyperparameter is out of range.
    BadHyperparameter { name: &'static str, rule: &'static str } = "bad-hyperparameter", "{name} {rule}";
    /// No such training run.
    UnknownRun { position: u64 } = "unknown-run", "there is no training run at position {position}";
    /// The run or evaluation has ended.
    Ended { at: u64 } = "ended", "it ended at position {at}";
    /// Somebody holds the lease.
    LeaseHeld { holder: String, expires_ms: u64, now_ms: u64 } = "lease-held", "{holder} holds the lease until {expires_ms}, it is {now_ms}";
    /// A claim names the claim that it replaces.
    ClaimOutdated { current: u64 } = "claim-outdated", "the claim does not name the current one, {current} (0 for none)";
    /// The fencing token is not the current claim's.
    TokenOutdated { token: u64, current: u64 } = "token-outdated", "token {token} is not the current claim's, {current} (0 for none)";
    /// The lease ran out before the report came.
    LeaseExpired { expired_ms: u64, now_ms: u64 } = "lease-expired", "the lease ran out at {expired_ms}, it is {now_ms}";
    /// The report says that something else was used than was asked for.
    InputsDiffer { what: &'static str } = "inputs-differ", "the {what} that was used is not the one that was asked for";
    /// The run did not complete, or is not one of those compared.
    RunNotCompleted { position: u64 } = "run-not-completed", "the run at position {position} is not a completed one of this model and dataset";
    /// Too few cases ever to reach the bar under the bound.
    CategoryTooSmall { category: String, cases: u32, bar_ppm: u32 } = "category-too-small", "category {category} has {cases} cases: even without a failure their lower bound stays below {bar_ppm} ppm";
    /// No such suite.
    UnknownSuite { suite: String } = "unknown-suite", "there is no suite {suite}";
    /// No such version.
    UnknownVersion { model: String, version: u32 } = "unknown-version", "there is no version {version} of {model}";
    /// No such evaluation.
    UnknownEvaluation { position: u64 } = "unknown-evaluation", "there is no evaluation at position {position}";
    /// The results do not fit the suite's categories and counts.
    ResultsUnfit { what: &'static str } = "results-unfit", "the results do not fit the suite: {what}";
    /// The stages are dev, staging, production, one step at a time.
    WrongStage { is: &'static str, to: &'static str } = "wrong-stage", "a version in {is} cannot be promoted to {to}";
    /// One promotion of a model at a time.
    PromotionOpen { position: u64 } = "promotion-open", "the promotion requested at position {position} is still open";
    /// The version to be replaced is not the one in force.
    NotInForce { named: u32, in_force: u32 } = "not-in-force", "version {named} is named as in force, it is version {in_force} (0 for none)";
    /// A suite of the gate has no completed evaluation on exactly this version.
    EvaluationMissing { suite: String } = "evaluation-missing", "the gate needs an evaluation by suite {suite} on exactly this version";
    /// A key revoked or a role withdrawn since: the evaluation counts no more.
    EvaluationVoid { suite: String, actor: String } = "evaluation-void", "the evaluation by suite {suite} no longer counts: {actor}'s key was revoked or role withdrawn";
    /// Suites are fixed before the training that they judge.
    SuiteTooLate { suite: String, registered: u64, training: u64 } = "suite-too-late", "suite {suite} was registered at {registered}, after the training was requested at {training}";
    /// The suite's bars are below the policy's.
    BarTooLow { suite: String, category: String, bar_ppm: u32, policy_ppm: u32 } = "bar-too-low", "suite {suite} holds {category} to {bar_ppm} ppm, or to another bound than the policy, which asks for {policy_ppm} ppm";
    /// Nobody has checked that the suite's cases do not stand in the training set.
    LeakageUnknown { suite: String } = "leakage-unknown", "leakage between suite {suite} and the training set is not known";
    /// The suite's cases stand in the training set.
    LeakageFound { suite: String, exact: u32, near: u32 } = "leakage-found", "{exact} cases of suite {suite} stand in the training set, {near} nearly";
    /// The model does not reach the bar. Every figure that fell short is named.
    GateFailed { shortfalls: String } = "gate-failed", "the gate holds it back: {shortfalls}";
    /// No such promotion.
    UnknownPromotion { position: u64 } = "unknown-promotion", "there is no promotion at position {position}";
    /// The promotion was decided, withdrawn or closed.
    PromotionDecided { at: u64 } = "promotion-decided", "the promotion was decided or closed at position {at}";
    /// An approval must have seen its request.
    RequestNotSeen { request: u64, seen: u64 } = "request-not-seen", "the approver's view has {seen} entries and does not include the request at position {request}";
    /// Keys kept by a browser may not approve under this policy.
    BrowserKey { keyid: String } = "browser-key", "key {keyid} is kept by a browser, and the policy does not let such keys approve";
    /// Whoever took part in making a version cannot approve it.
    ApproverTookPart { actor: String, part: &'static str } = "approver-took-part", "{actor} {part} and so cannot approve it";
    /// A person approves once.
    ApprovedBefore { actor: String } = "approved-before", "{actor} approved it before";
    /// Only its requester withdraws a promotion.
    NotTheRequester { actor: String } = "not-the-requester", "{actor} did not request the promotion";
    /// A rollback goes to a version that was in force with all its approvals and was neither rolled back from nor halted since.
    NoWayBack { version: u32 } = "no-way-back", "version {version} was never in force with all its approvals, was rolled back from or halted since, or is the one in force";
    /// No such model.
    UnknownModel { model: String } = "unknown-model", "there is no model {model}";
    /// The model was halted. A promotion to production or a rollback ends that.
    ModelHalted { at: u64 } = "model-halted", "the model was halted at position {at}";
    /// A challenger needs a version in force to be compared with.
    NothingToChallenge { model: String } = "nothing-to-challenge", "no version of {model} is in force that could be challenged";
    /// The second arm of an experiment is the challenger that a promotion brought in.
    NotTheChallenger { named: u32, challenger: u32 } = "not-the-challenger", "version {named} is named as the challenger, it is version {challenger} (0 for none)";
    /// One experiment of a model at a time.
    ExperimentRunning { position: u64 } = "experiment-running", "the experiment started at position {position} still runs";
    /// The policy knows no emergency promotions, or not by this person.
    EmergencyNotAllowed { needs: String } = "emergency-not-allowed", "an emergency promotion needs one of these roles: {needs}";
    /// While an emergency promotion waits for its approvals, the model gets no other.
    EmergencyUnreviewed { position: u64 } = "emergency-unreviewed", "the emergency promotion at position {position} still waits for its approvals";
    /// Whoever took part in making a version cannot bring it in as an emergency.
    EmergencyTookPart { actor: String, part: &'static str } = "emergency-took-part", "{actor} {part} and so cannot promote it in an emergency";
    /// What became of the person's data that it was trained on forbids to serve it.
    VersionRetired { version: u32, erasure: u64 } = "version-retired", "version {version} was retired after the erasure at position {erasure}";
    /// A server can only serve what it has folded before it signs.
    ServedAhead { as_of: u64 } = "served-ahead", "position {as_of} does not stand before this event";
    /// A later confirmation of the same server is on the log.
    ServedBefore { as_of: u64, last: u64 } = "served-before", "the server confirmed what was in force at position {last}, this is as of {as_of}";
    /// No such experiment.
    UnknownExperiment { position: u64 } = "unknown-experiment", "there is no experiment at position {position}";
    /// The conclusion is not what the figures and the stop rule say.
    ConclusionUnfit { what: &'static str } = "conclusion-unfit", "the conclusion does not fit the experiment: {what}";
    /// The figures of a window contradict one another.
    WindowUnfit { what: &'static str } = "window-unfit", "the window's figures do not fit: {what}";
    /// A server counts each moment once.
    WindowOverlaps { from_ms: u64, last_ms: u64 } = "window-overlaps", "the window begins at {from_ms}, before the last one's end at {last_ms}";
    /// No such window of this version by a server.
    UnknownWindow { position: u64 } = "unknown-window", "there is no server's window of this version at position {position}";
    /// Evidence of an alert is a window, a confirmation that differs or changed something, or an experiment of the model.
    EvidenceUnfit { position: u64 } = "evidence-unfit", "the event at position {position} is no evidence about this model";
    /// The same alert still waits for somebody.
    AlertOpen { position: u64 } = "alert-open", "the same was raised at position {position}, and nobody has acknowledged it";
    /// No such alert.
    UnknownAlert { position: u64 } = "unknown-alert", "there is no alert at position {position}";
    /// A scheduler acts on a schedule and names it.
    ScheduleMissing { actor: String } = "schedule-missing", "{actor} is a scheduler and must name the schedule that asks for the training";
    /// The schedule is not the model's newest, or is paused.
    ScheduleOutdated { named: u64, current: u64 } = "schedule-outdated", "the schedule at position {named} is not the one that asks for trainings now, {current} (0 for none)";
    /// Data under a legal hold are not erased; the whole erasure is refused.
    UnderHold { hold: String, position: u64 } = "under-hold", "the legal hold {hold}, placed at position {position}, keeps some of it";
    /// No such erasure, or not in effect yet.
    UnknownErasure { position: u64 } = "unknown-erasure", "there is no such erasure at position {position}";
    /// One actor signs all chunks of an erasure, one after the other.
    ChunkUnfit { chunk: u32, expected: u32 } = "chunk-unfit", "chunk {chunk} does not follow: {expected} is expected, by the same actor, with the same ground and number of chunks";
    /// The closure named is not what follows from the documents and examples named.
    ClosureDiffers { named: u64, computed: u64 } = "closure-differs", "the erasure names {named} contents under a root, the rules find {computed} or another root";
    /// The text was erased.
    ContentErased { batch: u64, index: u32 } = "content-erased", "number {index} of batch {batch} was erased";
    /// A dataset of which members were erased is not trained on.
    MembersErased { dataset: u64, erasure: u64 } = "members-erased", "members of dataset {dataset} were erased by the erasure at position {erasure}";
    /// The erasure took nothing that the version was trained on.
    NotReached { model: String, version: u32 } = "not-reached", "the erasure did not reach {model}@{version}";
    /// No such legal hold.
    UnknownHold { position: u64 } = "unknown-hold", "there is no legal hold at position {position}";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let all: Vec<_> = ALL.iter().chain(ALL_REJECTIONS).map(|c| c.code).collect();
        let set: BTreeSet<_> = all.iter().collect();
        assert_eq!(set.len(), all.len());
        assert!(all.iter().all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    #[test]
    fn figures_come_by_name() {
        let refusal = Refusal::SeenTooOld { age_ms: 7, limit_ms: 5 };
        assert_eq!(refusal.figures(), [("age_ms", "7".to_string()), ("limit_ms", "5".to_string())]);
        assert_eq!(refusal.to_string(), "what the signer saw is 7 ms old, 5 ms are allowed");
    }
}
