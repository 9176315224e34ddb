//! The part of a policy's YAML that is about what comes after promotion. Without it nothing is asked for.

use crate::policy_yaml::{duration, named, ppm, show_duration, show_ppm};
use anyhow::Context as _;
use attestune_ledger::draft::plain;
use attestune_proto::v1::{Emergency, Policy, Role, Watch};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsYaml {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    emergency: Option<EmergencyYaml>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serving_silence: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watch_silence: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert_response: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_retention: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_backup_retention: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    by_number: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watch: Option<WatchYaml>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmergencyYaml {
    deadline: String,
    roles: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchYaml {
    window: String,
    #[serde(default)]
    judged_max: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusals_max: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format_failures_max: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    errors_max: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_p99_max: Option<String>,
    /// A population stability index such as 0.25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    psi_max: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cusum_bad: Option<String>,
    /// Nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cusum_limit: Option<f64>,
}

impl OperationsYaml {
    /// Sets a policy's fields.
    pub fn read_into(&self, policy: &mut Policy) -> anyhow::Result<()> {
        let time = |name: &'static str, text: &Option<String>| text.as_deref().map_or(Ok(0), duration).context(name);
        policy.serving_silence_ms = time("serving_silence", &self.serving_silence)?;
        policy.watch_silence_ms = time("watch_silence", &self.watch_silence)?;
        policy.alert_response_ms = time("alert_response", &self.alert_response)?;
        policy.request_retention_ms = time("request_retention", &self.request_retention)?;
        policy.key_backup_retention_ms = time("key_backup_retention", &self.key_backup_retention)?;
        policy.by_number = roles("by_number", &self.by_number)?;
        policy.emergency = match &self.emergency {
            Some(emergency) => Some(Emergency {
                deadline_ms: duration(&emergency.deadline).context("emergency.deadline")?,
                roles: roles("emergency.roles", &emergency.roles)?,
            }),
            None => None,
        };
        policy.watch = self.watch.as_ref().map(watch).transpose().context("watch")?;
        Ok(())
    }

    /// Shows a policy's fields; nothing where none is set.
    pub fn of(policy: &Policy) -> Option<Self> {
        let time = |ms: u64| (ms > 0).then(|| show_duration(ms));
        let shown = Self {
            emergency: policy.emergency.as_ref().map(|emergency| EmergencyYaml {
                deadline: show_duration(emergency.deadline_ms),
                roles: emergency.roles().map(show_role).collect(),
            }),
            serving_silence: time(policy.serving_silence_ms),
            watch_silence: time(policy.watch_silence_ms),
            alert_response: time(policy.alert_response_ms),
            request_retention: time(policy.request_retention_ms),
            key_backup_retention: time(policy.key_backup_retention_ms),
            by_number: policy.by_number().map(show_role).collect(),
            watch: policy.watch.as_ref().map(show_watch),
        };
        let bare = Policy {
            emergency: None,
            serving_silence_ms: 0,
            watch_silence_ms: 0,
            alert_response_ms: 0,
            request_retention_ms: 0,
            key_backup_retention_ms: 0,
            by_number: Vec::new(),
            watch: None,
            ..policy.clone()
        };
        (bare != *policy).then_some(shown)
    }
}

fn show_role(role: Role) -> String {
    plain(role.as_str_name(), "ROLE_")
}

fn roles(field: &str, names: &[String]) -> anyhow::Result<Vec<i32>> {
    let number = |name: &String| named(field, "ROLE_", name, Role::from_str_name).map(i32::from);
    let mut numbers = names.iter().map(number).collect::<anyhow::Result<Vec<_>>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn watch(yaml: &WatchYaml) -> anyhow::Result<Watch> {
    let share = |name: &'static str, text: &Option<String>| text.as_deref().map_or(Ok(0), ppm).context(name);
    Ok(Watch {
        window_ms: duration(&yaml.window).context("window")?,
        judged_max: yaml.judged_max,
        refusals_max_ppm: share("refusals_max", &yaml.refusals_max)?,
        format_failures_max_ppm: share("format_failures_max", &yaml.format_failures_max)?,
        errors_max_ppm: share("errors_max", &yaml.errors_max)?,
        latency_p99_max_us: yaml.latency_p99_max.as_deref().map_or(Ok(0), duration).context("latency_p99_max")? * 1000,
        psi_max_ppm: scaled("psi_max", yaml.psi_max, 1e6)?,
        cusum_bad_ppm: share("cusum_bad", &yaml.cusum_bad)?,
        cusum_limit_milli: scaled("cusum_limit", yaml.cusum_limit, 1e3)?,
    })
}

fn show_watch(watch: &Watch) -> WatchYaml {
    let share = |ppm: u32| (ppm > 0).then(|| show_ppm(ppm));
    let scaled = |number: u32, by: f64| (number > 0).then(|| f64::from(number) / by);
    WatchYaml {
        window: show_duration(watch.window_ms),
        judged_max: watch.judged_max,
        refusals_max: share(watch.refusals_max_ppm),
        format_failures_max: share(watch.format_failures_max_ppm),
        errors_max: share(watch.errors_max_ppm),
        latency_p99_max: (watch.latency_p99_max_us > 0).then(|| show_duration(watch.latency_p99_max_us / 1000)),
        psi_max: scaled(watch.psi_max_ppm, 1e6),
        cusum_bad: share(watch.cusum_bad_ppm),
        cusum_limit: scaled(watch.cusum_limit_milli, 1e3),
    }
}

fn scaled(name: &str, value: Option<f64>, by: f64) -> anyhow::Result<u32> {
    let number = (value.unwrap_or(0.0) * by).round();
    anyhow::ensure!((0.0..=f64::from(u32::MAX)).contains(&number), "{name}: a number from 0 on is expected");
    Ok(number as u32)
}
