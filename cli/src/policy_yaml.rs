//! A policy as people write it: strict YAML to and from the message that goes on the log.
//!
//! Shares are percentages (`95%`, at most four decimals), times are numbers with a unit (`5m`, `24h`, `91d`), tools are
//! `name@version`. Kinds, roles and enum values have their plain names, such as `examples-reviewed`.

mod review;

use crate::{policy_operations::OperationsYaml, problem};
use anyhow::{Context as _, anyhow, bail};
use attestune_ledger::{draft::plain, rules::policy};
use attestune_proto::v1::{Bar, Bound, Gate, HumanReview, Kind, Permission, Policy, Role, Stage, Tool};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// The suite that the default policy asks for.
pub const DEFAULT_SUITE: &str = "acceptance";

/// The ledger's default policy with this build's detector and checker.
pub fn default_policy(suite: &str) -> Policy {
    let tool = |name: &str, version: &str| vec![Tool { name: name.into(), version: version.into() }];
    policy::default_policy(
        tool(attestune_pii::DETECTOR_NAME, attestune_pii::VERSION),
        tool(attestune_workers::CHECKER_NAME, attestune_workers::CHECKER_VERSION),
        suite,
    )
}

/// Reads a policy from a file.
///
/// # Errors
/// If it can't be read, or says something that is not known; the place is named.
pub fn read(path: &Path) -> anyhow::Result<Policy> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|error| {
        problem::cannot(
            format!("{}: {error:#}", path.display()),
            "`attestune policy default` prints a policy to start from; docs/policy.md explains each line",
        )
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyYaml {
    human_review: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<String>,
    detectors: Vec<String>,
    checkers: Vec<String>,
    gates: GatesYaml,
    training_lease: String,
    evaluation_lease: String,
    seen_age_max: String,
    root_seen_age_max: String,
    clock_lag_max: String,
    retraining_interval: String,
    #[serde(default)]
    browser_keys_approve: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operations: Option<OperationsYaml>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    review: Option<review::ReviewYaml>,
    /// Without it: the default ones.
    #[serde(default)]
    permissions: Option<serde_yaml_ng::Mapping>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatesYaml {
    staging: GateYaml,
    production: GateYaml,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GateYaml {
    suites: Vec<String>,
    bar: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    bars: BTreeMap<String, String>,
    bound: String,
    approvals: u32,
    #[serde(default)]
    unchecked_leakage: bool,
}

/// Parses a policy. What the rules ask of one beyond its form is judged by the fold.
pub fn parse(text: &str) -> anyhow::Result<Policy> {
    let yaml: PolicyYaml = serde_yaml_ng::from_str(text)?;
    let permissions = match &yaml.permissions {
        Some(permissions) => parse_permissions(permissions)?,
        None => default_policy(DEFAULT_SUITE).permissions,
    };
    let mut policy = Policy {
        human_review: named("human_review", "HUMAN_REVIEW_", &yaml.human_review, HumanReview::from_str_name)?.into(),
        sample_ppm: yaml.sample.as_deref().map_or(Ok(0), ppm).context("sample")?,
        detectors: tools(&yaml.detectors).context("detectors")?,
        checkers: tools(&yaml.checkers).context("checkers")?,
        gates: vec![
            gate(Stage::Staging, &yaml.gates.staging).context("gates.staging")?,
            gate(Stage::Production, &yaml.gates.production).context("gates.production")?,
        ],
        training_lease_ms: duration(&yaml.training_lease).context("training_lease")?,
        evaluation_lease_ms: duration(&yaml.evaluation_lease).context("evaluation_lease")?,
        seen_age_max_ms: duration(&yaml.seen_age_max).context("seen_age_max")?,
        root_seen_age_max_ms: duration(&yaml.root_seen_age_max).context("root_seen_age_max")?,
        clock_lag_max_ms: duration(&yaml.clock_lag_max).context("clock_lag_max")?,
        retraining_interval_ms: duration(&yaml.retraining_interval).context("retraining_interval")?,
        browser_keys_approve: yaml.browser_keys_approve,
        permissions,
        review: yaml.review.as_ref().map(review::parse).transpose().context("review")?,
        ..Default::default()
    };
    if let Some(operations) = &yaml.operations {
        operations.read_into(&mut policy).context("operations")?;
    }
    Ok(policy)
}

/// Writes a policy.
///
/// # Errors
/// If YAML can't hold it, which no policy on a log brings about.
pub fn write(policy: &Policy) -> anyhow::Result<String> {
    let [staging, production] = policy.gates.as_slice() else { bail!("the policy has no two gates") };
    let permissions = policy.permissions.iter().map(|permission| {
        let roles: Vec<_> = permission.roles().map(|role| plain(role.as_str_name(), "ROLE_")).collect();
        Ok((plain(permission.kind().as_str_name(), "KIND_").into(), serde_yaml_ng::to_value(roles)?))
    });
    let yaml = PolicyYaml {
        human_review: plain(policy.human_review().as_str_name(), "HUMAN_REVIEW_"),
        sample: (policy.sample_ppm > 0).then(|| show_ppm(policy.sample_ppm)),
        detectors: policy.detectors.iter().map(show_tool).collect(),
        checkers: policy.checkers.iter().map(show_tool).collect(),
        gates: GatesYaml { staging: show_gate(staging), production: show_gate(production) },
        training_lease: show_duration(policy.training_lease_ms),
        evaluation_lease: show_duration(policy.evaluation_lease_ms),
        seen_age_max: show_duration(policy.seen_age_max_ms),
        root_seen_age_max: show_duration(policy.root_seen_age_max_ms),
        clock_lag_max: show_duration(policy.clock_lag_max_ms),
        retraining_interval: show_duration(policy.retraining_interval_ms),
        browser_keys_approve: policy.browser_keys_approve,
        operations: OperationsYaml::of(policy),
        review: policy.review.as_ref().map(review::show),
        permissions: Some(permissions.collect::<anyhow::Result<_>>()?),
    };
    Ok(serde_yaml_ng::to_string(&yaml)?)
}

fn parse_permissions(yaml: &serde_yaml_ng::Mapping) -> anyhow::Result<Vec<Permission>> {
    let mut rows = BTreeMap::new();
    for (kind, roles) in yaml {
        let kind = kind.as_str().ok_or_else(|| anyhow!("permissions: a kind is a name such as examples-reviewed"))?;
        let known = named("permissions", "KIND_", kind, Kind::from_str_name)?;
        let roles: Vec<String> =
            serde_yaml_ng::from_value(roles.clone()).with_context(|| format!("permissions.{kind}"))?;
        let mut numbers = Vec::new();
        for role in &roles {
            numbers.push(i32::from(named(kind, "ROLE_", role, Role::from_str_name)?));
        }
        rows.insert(known as i32, numbers);
    }
    Ok(rows.into_iter().map(|(kind, roles)| Permission { kind, roles }).collect())
}

fn gate(stage: Stage, yaml: &GateYaml) -> anyhow::Result<Gate> {
    let bars = yaml.bars.iter().map(|(category, bar)| {
        Ok(Bar { category: category.clone(), ppm: ppm(bar).with_context(|| format!("bars.{category}"))? })
    });
    Ok(Gate {
        stage: stage.into(),
        suites: yaml.suites.clone(),
        bar_ppm: ppm(&yaml.bar).context("bar")?,
        bars: bars.collect::<anyhow::Result<_>>()?,
        bound: parse_bound(&yaml.bound)?.into(),
        approvals: yaml.approvals,
        unchecked_leakage: yaml.unchecked_leakage,
    })
}

fn show_gate(gate: &Gate) -> GateYaml {
    GateYaml {
        suites: gate.suites.clone(),
        bar: show_ppm(gate.bar_ppm),
        bars: gate.bars.iter().map(|bar| (bar.category.clone(), show_ppm(bar.ppm))).collect(),
        bound: plain(gate.bound().as_str_name(), "BOUND_"),
        approvals: gate.approvals,
        unchecked_leakage: gate.unchecked_leakage,
    }
}

/// What is held against a bar: `pass-rate` or `lower-95`.
pub fn parse_bound(text: &str) -> anyhow::Result<Bound> {
    named("bound", "BOUND_", text, Bound::from_str_name)
}

/// A value of an enumeration by its plain name.
pub fn named<T>(field: &str, prefix: &str, text: &str, from: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
    let name = format!("{prefix}{}", text.to_ascii_uppercase().replace('-', "_"));
    let found = from(&name).filter(|_| text != "unspecified");
    found.ok_or_else(|| anyhow!("{field}: `{text}` is not known"))
}

fn tools(texts: &[String]) -> anyhow::Result<Vec<Tool>> {
    let tool = |text: &String| match text.split_once('@') {
        Some((name, version)) => Ok(Tool { name: name.into(), version: version.into() }),
        None => bail!("`{text}`: name@version is expected, such as attestune-pii@4"),
    };
    texts.iter().map(tool).collect()
}

fn show_tool(tool: &Tool) -> String {
    format!("{}@{}", tool.name, tool.version)
}

/// Parts per million from a percentage such as `95%` or `99.5 %`, at most four decimals.
pub fn ppm(text: &str) -> anyhow::Result<u32> {
    let wrong = || anyhow!("`{text}`: a percentage such as 95% is expected");
    let number = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 4 {
        return Err(wrong());
    }
    let ppm = whole.parse::<u32>()? * 10_000 + format!("{decimals:0<4}").parse::<u32>()?;
    if ppm > 1_000_000 { Err(wrong()) } else { Ok(ppm) }
}

/// Parts per million as a percentage.
pub fn show_ppm(ppm: u32) -> String {
    crate::output::percent(ppm).replace(' ', "")
}

const UNITS: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Milliseconds from a time such as 90s, 5m, 24h or 91d.
pub fn duration(text: &str) -> anyhow::Result<u64> {
    let wrong = || anyhow!("`{text}`: a time such as 90s, 5m, 24h or 91d is expected");
    let (suffix, unit) = UNITS.iter().find(|(suffix, _)| text.ends_with(suffix)).ok_or_else(wrong)?;
    let number = text.strip_suffix(suffix).unwrap_or_default();
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit)).ok_or_else(wrong)
}

/// Milliseconds as a time.
pub fn show_duration(ms: u64) -> String {
    let (suffix, unit) = UNITS[1..].iter().find(|(_, unit)| ms.is_multiple_of(*unit)).unwrap_or(&UNITS[0]);
    format!("{}{suffix}", ms / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::Emergency;

    #[test]
    fn the_default_policy_is_the_same_after_writing_and_reading() {
        let policy = default_policy("support-triage");
        assert_eq!(parse(&write(&policy).unwrap()).unwrap(), policy);
        assert!(policy::validate(Some(&policy)).is_ok());
    }

    #[test]
    fn what_comes_after_promotion_is_read_and_written() {
        let full = default_policy(DEFAULT_SUITE);
        let emergency = Emergency { deadline_ms: 86_400_000, roles: vec![Role::Approver.into(), Role::Officer.into()] };
        let full = Policy { emergency: Some(emergency), key_backup_retention_ms: 30 * 86_400_000, ..full };
        let text = write(&full).unwrap();
        assert!(text.contains("deadline: 1d") && text.contains("psi_max: 0.25"), "{text}");
        assert_eq!(parse(&text).unwrap(), full);
        // A policy from before says nothing of it, and asks for nothing.
        let start = text.find("operations:").unwrap();
        let rest = text.find("permissions:").unwrap();
        let old = parse(&format!("{}{}", &text[..start], &text[rest..])).unwrap();
        assert_eq!((old.emergency.clone(), old.watch, old.serving_silence_ms), (None, None, 0));
        assert!(policy::validate(Some(&old)).is_ok());
        assert!(!write(&old).unwrap().contains("operations:"));
        let wrong = text.replacen("- approver", "- janitor", 1);
        assert!(format!("{:#}", parse(&wrong).unwrap_err()).contains("`janitor` is not known"));
    }

    #[test]
    fn without_permissions_the_default_ones_hold() {
        let mut text = write(&default_policy(DEFAULT_SUITE)).unwrap();
        text.truncate(text.find("permissions:").unwrap());
        assert_eq!(parse(&text).unwrap().permissions, default_policy(DEFAULT_SUITE).permissions);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let text = write(&default_policy(DEFAULT_SUITE)).unwrap();
        let wrong = |from: &str, to: &str| format!("{:#}", parse(&text.replacen(from, to, 1)).unwrap_err());
        assert!(wrong("human_review: flagged", "human_review: sometimes").contains("`sometimes` is not known"));
        assert!(wrong("bar: 95%", "bar: 0.95").contains("gates.staging: bar: `0.95`"));
        assert!(wrong("training_lease: 5m", "training_lease: 5").contains("training_lease"));
        assert!(wrong("human_review", "humans_review").contains("humans_review"));
        assert!(wrong("examples-reviewed", "examples-looked-at").contains("`examples-looked-at` is not known"));
        assert!(wrong("- steward", "- janitor").contains("`janitor` is not known"));
    }

    #[test]
    fn percentages_and_times_are_read_exactly() {
        assert_eq!(ppm("95%").unwrap(), 950_000);
        assert_eq!(ppm("99.5 %").unwrap(), 995_000);
        assert_eq!(ppm("0.0001%").unwrap(), 1);
        for wrong in ["95", "101%", "-1%", "9.12345%", ".5%", "5.%", "%"] {
            assert!(ppm(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("91d").unwrap(), 91 * 86_400_000);
        assert_eq!(duration("1500ms").unwrap(), 1500);
        assert!(duration("99999999999999999999d").is_err());
        assert!(duration("5").is_err());
        assert_eq!(show_duration(5 * 60_000), "5m");
        assert_eq!(show_duration(1_001), "1001ms");
    }
}
