//! What `attestune doctor` says of a topic and its brokers.

use attestune_ledger::log::KafkaConfig;
use attestune_ledger::log::kafka::publish::topic_of;
use attestune_ledger::log::kafka::settings::{judge, judge_decided};
use attestune_ledger::log::kafka::{KafkaError, describe};
use attestune_proto::v1::{Check, DoctorResponse};

/// Looks at the settings of the topic, of that of decided events where there is one, and of the brokers, and judges each.
///
/// # Errors
/// If they can't be reached, or do not let us look.
pub async fn examine(config: KafkaConfig) -> anyhow::Result<DoctorResponse> {
    let judged = tokio::task::spawn_blocking(move || {
        let found = describe(&config)?;
        let mut judged = judge(&found, config.brokers());
        match describe(&config.for_topic(&topic_of(config.topic()))) {
            Ok(decided) => judged.extend(judge_decided(&decided, config.brokers())),
            // Nobody publishes.
            Err(KafkaError::TopicMissing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        anyhow::Ok(judged)
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
