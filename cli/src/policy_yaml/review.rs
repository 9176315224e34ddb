//! How people review, as people write it: the part `review` of a policy.

use super::{duration, named, ppm, show_duration, show_ppm};
use anyhow::{Context as _, anyhow};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{ReviewReason, ReviewRules, ReviewVerdict, Sealed, VerdictReasons};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewYaml {
    /// The reasons taken with each verdict; one that is not here takes every reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    reasons: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_review: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    /// Where it lies in the vault: `PACK/COMMITMENT` in hex, as `attestune review allow-list` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow_list: Option<String>,
}

pub fn parse(yaml: &ReviewYaml) -> anyhow::Result<ReviewRules> {
    let mut reasons = Vec::new();
    for (verdict, taken) in &yaml.reasons {
        let verdict = named("reasons", "REVIEW_VERDICT_", verdict, ReviewVerdict::from_str_name)?;
        let taken = taken.iter().map(|reason| named("reasons", "REVIEW_REASON_", reason, ReviewReason::from_str_name));
        let mut taken: Vec<i32> = taken.map(|reason| Ok(reason?.into())).collect::<anyhow::Result<_>>()?;
        taken.sort_unstable();
        taken.dedup();
        reasons.push(VerdictReasons { verdict: verdict.into(), reasons: taken });
    }
    reasons.sort_by_key(|row| row.verdict);
    let time = |text: &Option<String>| text.as_deref().map_or(Ok(0), duration);
    Ok(ReviewRules {
        reasons,
        second_review_ppm: yaml.second_review.as_deref().map_or(Ok(0), ppm).context("second_review")?,
        claim_ms: time(&yaml.claim).context("claim")?,
        due_ms: time(&yaml.due).context("due")?,
        allow_list: yaml.allow_list.as_deref().map(sealed).transpose().context("allow_list")?,
    })
}

pub fn show(rules: &ReviewRules) -> ReviewYaml {
    let reasons = rules.reasons.iter().map(|row| {
        let taken = row.reasons().map(|reason| plain(reason.as_str_name(), "REVIEW_REASON_")).collect();
        (plain(row.verdict().as_str_name(), "REVIEW_VERDICT_"), taken)
    });
    let time = |ms: u64| (ms > 0).then(|| show_duration(ms));
    ReviewYaml {
        reasons: reasons.collect(),
        second_review: (rules.second_review_ppm > 0).then(|| show_ppm(rules.second_review_ppm)),
        claim: time(rules.claim_ms),
        due: time(rules.due_ms),
        allow_list: rules.allow_list.as_ref().map(show_sealed),
    }
}

fn sealed(text: &str) -> anyhow::Result<Sealed> {
    let wrong = || anyhow!("`{text}`: PACK/COMMITMENT in hex is expected, as `attestune review allow-list` prints it");
    let (pack, commitment) = text.split_once('/').ok_or_else(wrong)?;
    let sealed = Sealed {
        pack: hex::decode(pack).map_err(|_| wrong())?,
        commitment: hex::decode(commitment).map_err(|_| wrong())?,
    };
    if (sealed.pack.len(), sealed.commitment.len()) == (16, 32) { Ok(sealed) } else { Err(wrong()) }
}

fn show_sealed(sealed: &Sealed) -> String {
    format!("{}/{}", hex::encode(&sealed.pack), hex::encode(&sealed.commitment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_yaml;

    #[test]
    fn rules_of_review_are_the_same_after_writing_and_reading() {
        let reasons = |verdict: ReviewVerdict, reasons: &[ReviewReason]| VerdictReasons {
            verdict: verdict.into(),
            reasons: reasons.iter().map(|r| *r as i32).collect(),
        };
        let rules = ReviewRules {
            reasons: vec![
                reasons(ReviewVerdict::Approve, &[ReviewReason::NoPersonalData, ReviewReason::Fictitious]),
                reasons(ReviewVerdict::Redact, &[ReviewReason::PersonalData]),
            ],
            second_review_ppm: 100_000,
            claim_ms: 30 * 60_000,
            due_ms: 3 * 86_400_000,
            allow_list: Some(Sealed { pack: vec![1; 16], commitment: vec![2; 32] }),
        };
        let mut policy = policy_yaml::default_policy("triage");
        policy.review = Some(rules);
        let text = policy_yaml::write(&policy).unwrap();
        assert!(text.contains("second_review: 10%") && text.contains("due: 3d"), "{text}");
        assert_eq!(policy_yaml::parse(&text).unwrap(), policy);
        assert!(attestune_ledger::rules::policy::validate(Some(&policy)).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = |yaml: &str| {
            let yaml: ReviewYaml = serde_yaml_ng::from_str(yaml).unwrap();
            format!("{:#}", parse(&yaml).unwrap_err())
        };
        assert!(told("reasons: { approve: [boredom] }").contains("`boredom` is not known"));
        assert!(told("reasons: { shrug: [fictitious] }").contains("`shrug` is not known"));
        assert!(told("second_review: 0.1").contains("second_review"));
        assert!(told("due: 3").contains("due"));
        assert!(told("allow_list: 12/34").contains("PACK/COMMITMENT"));
    }
}
