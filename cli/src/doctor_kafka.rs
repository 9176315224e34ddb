//! What `attestune doctor` says of a topic and its brokers.

use attestune_ledger::log::KafkaConfig;
use attestune_ledger::log::kafka::{describe, settings::judge};
use attestune_proto::v1::{Check, DoctorResponse};

/// Looks at the topic's and the brokers' settings, and judges each.
///
/// # Errors
/// If they can't be reached, or do not let us look.
pub async fn examine(config: KafkaConfig) -> anyhow::Result<DoctorResponse> {
    let judged = tokio::task::spawn_blocking(move || {
        let found = describe(&config)?;
        anyhow::Ok(judge(&found, config.brokers()))
    })
    .await??;
    let checks = judged.into_iter().map(|judgement| match judgement.weakness {
        None => Check { name: judgement.name, ok: true, detail: judgement.found, remedy: String::new() },
        Some(weakness) => Check {
            name: judgement.name,
            ok: false,
            detail: format!("{}: {}", judgement.found, weakness.risk),
            remedy: weakness.mend,
        },
    });
    Ok(DoctorResponse { checks: checks.collect() })
}
