//! Questions about training data: who and what looked at it before it was frozen.

use super::answer::{Tally, count};
use super::asked::Asked;
use crate::query::QueryError;
use crate::rules::policy;
use crate::state::{Checks, DatasetBatches, Datasets, Reviews, Scans, View};
use attestune_proto::v1::{DatasetRow, Policy, QuestionAnswer, Signer, Tool, event::Body};
use std::collections::BTreeSet;

/// Entities of the identifiers of HIPAA's Safe Harbor, 45 CFR 164.514(b)(2)(i), that a detector can find in text, by their
/// names in scans, ascending. The crate `attestune-pii` says which belongs to which; a test holds the two together.
pub const SAFE_HARBOR: [&str; 32] = [
    "aba-routing-number",
    "age",
    "ca-postal-code",
    "credit-card",
    "crypto-address",
    "date",
    "de-plz",
    "email",
    "iban",
    "ip-address",
    "location",
    "mac-address",
    "medical-license",
    "person",
    "phone",
    "street-address",
    "uk-postcode",
    "url",
    "us-bank-number",
    "us-claim-number",
    "us-driver-license",
    "us-health-insurance-member-id",
    "us-itin",
    "us-mbi",
    "us-npi",
    "us-passport",
    "us-prescription-number",
    "us-prior-authorization-number",
    "us-provider-tax-id",
    "us-referral-number",
    "us-ssn",
    "uuid",
];

/// What tools do to each batch before a freeze.
struct Work {
    noun: &'static str,
    done: &'static str,
    /// The tools that a policy asks for.
    tools: fn(&Policy) -> &[Tool],
    /// Who did it to a batch with a tool.
    by: fn(&View<'_>, u64, &Tool) -> Option<Signer>,
}

/// Each batch of each dataset was scanned by what the policy asked for when it was frozen.
pub fn members_scanned(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let scans = Work {
        noun: "scan",
        done: "scanned",
        tools: |policy| policy.detectors.as_slice(),
        by: |view, batch, tool| view.get(&Scans::key(batch, &tool.name, &tool.version)).and_then(|scan| scan.signer),
    };
    members_worked_on(asked, &scans)
}

/// Each batch of each dataset was checked by what the policy asked for when it was frozen.
pub fn members_checked(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let checks = Work {
        noun: "check",
        done: "checked",
        tools: |policy| policy.checkers.as_slice(),
        by: |view, batch, tool| view.get(&Checks::key(batch, &tool.name, &tool.version)).and_then(|check| check.signer),
    };
    members_worked_on(asked, &checks)
}

fn members_worked_on(asked: &Asked<'_>, work: &Work) -> Result<QuestionAnswer, QueryError> {
    let (mut members, mut tools) = (0, BTreeSet::new());
    let frozen = |dataset: &DatasetRow, policy: &Policy| {
        members += dataset.count;
        tools.extend((work.tools)(policy).iter().map(|tool| format!("{}@{}", tool.name, tool.version)));
    };
    let tally = judge_batches(asked, frozen, |then, policy, batch| {
        (work.tools)(policy).iter().find_map(|tool| match (work.by)(then, batch, tool) {
            None => Some(format!("lacks the {} of batch {batch} by {}", work.noun, tool.name)),
            Some(signer) => asked.doubt(Some(&signer)),
        })
    });
    let text = format!(
        "{} with {}; all members of {} {} by {}",
        count(tally.of(), "dataset"),
        count(members, "member"),
        tally.good(),
        work.done,
        if tools.is_empty() { "nothing".into() } else { Vec::from_iter(tools).join(", ") },
    );
    Ok(tally.answer(text))
}

/// Persons decided as the policy asked; the fold has seen to that, so what is left is whose keys they were.
pub fn members_reviewed(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let (mut examples, mut flagged, mut reviewed, mut redacted, mut rejected) = (0, 0, 0, 0, 0);
    let frozen = |dataset: &DatasetRow, _: &Policy| {
        let counts = dataset.counts.unwrap_or_default();
        examples += counts.examples;
        flagged += counts.flagged;
        reviewed += counts.reviewed;
        redacted += counts.redacted;
        rejected += counts.rejected;
    };
    let tally = judge_batches(asked, frozen, |then, _, batch| {
        let reviews = then.scan(&Reviews::under(batch));
        let mut signers = reviews.iter().map(|review| review.signer.as_ref());
        signers.find_map(|signer| asked.doubt(signer).or_else(|| asked.no_person(signer)))
    });
    let text = format!(
        "{}; of {} {flagged} were flagged, and persons decided on {reviewed}: {redacted} redacted, {rejected} rejected",
        count(tally.of(), "dataset"),
        count(examples, "example"),
    );
    Ok(tally.answer(text))
}

/// Each batch of each dataset was scanned for every identifier of the Safe Harbor that text can show, by the detectors that
/// the policy asked for: what others looked for was no condition of the freeze.
pub fn identifiers_looked_for(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let tally = judge_batches(
        asked,
        |_, _| {},
        |then, policy, batch| {
            let scan_of = |tool: &Tool| then.get(&Scans::key(batch, &tool.name, &tool.version));
            let scans = policy.detectors.iter().filter_map(scan_of).filter_map(|scan| scan.signer);
            let scans: Vec<Signer> = scans.collect();
            if let Some(doubt) = scans.iter().find_map(|signer| asked.doubt(Some(signer))) {
                return Some(doubt);
            }
            let looked_for: BTreeSet<String> = scans
                .iter()
                .filter_map(|signer| match asked.view.body(signer.position) {
                    Some(Body::ExamplesScanned(scan)) => Some(scan.looked_for),
                    _ => None,
                })
                .flatten()
                .collect();
            let missing: Vec<&str> = SAFE_HARBOR.into_iter().filter(|entity| !looked_for.contains(*entity)).collect();
            let some = missing.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            let more = missing.len().saturating_sub(5);
            match (missing.is_empty(), more) {
                (true, _) => None,
                (_, 0) => Some(format!("was not searched for {some} in batch {batch}")),
                _ => Some(format!("was not searched for {some} and {more} more in batch {batch}")),
            }
        },
    );
    let text = format!(
        "{}; {} searched for all {} kinds that stand for identifiers of the Safe Harbor",
        count(tally.of(), "dataset"),
        tally.good(),
        SAFE_HARBOR.len(),
    );
    Ok(tally.answer(text))
}

/// Judges the batches of each dataset by the state and the policy of its freeze; what the first of them falls short of,
/// the dataset does. `frozen` sees each dataset.
fn judge_batches(
    asked: &Asked<'_>,
    mut frozen: impl FnMut(&DatasetRow, &Policy),
    shortfall: impl Fn(&View<'_>, &Policy, u64) -> Option<String>,
) -> Tally {
    let mut tally = Tally::default();
    for dataset in asked.view.scan(&Datasets::all()) {
        let then = asked.view.as_of(dataset.position);
        let policy = policy::in_force(&then);
        frozen(&dataset, &policy);
        let short = batches(asked, &dataset).into_iter().find_map(|batch| shortfall(&then, &policy, batch));
        asked.view.absorb(&then);
        tally.judge(dataset.position, short.map(|what| format!("{} {what}", name(&dataset))));
    }
    tally
}

/// Positions of the batches that have a member in a dataset.
fn batches(asked: &Asked<'_>, dataset: &DatasetRow) -> Vec<u64> {
    asked.view.scan(&DatasetBatches::under(dataset.position)).iter().map(|row| row.position).collect()
}

fn name(dataset: &DatasetRow) -> String {
    format!("{}@{}", dataset.dataset, dataset.number)
}

#[cfg(test)]
mod tests {
    use super::SAFE_HARBOR;

    #[test]
    fn the_identifiers_stand_in_order() {
        assert!(SAFE_HARBOR.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
