//! What `attestune doctor` says of a topic and its brokers.

use attestune_ledger::log::KafkaConfig;
use attestune_ledger::log::kafka::publish::topic_of;
use attestune_ledger::log::kafka::settings::{judge, judge_decided};
use attestune_ledger::log::kafka::{KafkaError, WorkTopic, describe, describe_work};
use attestune_proto::v1::{Check, DoctorResponse};

/// Looks at the settings of the topic, of that of decided events where there is one, and of the brokers, and judges each.
///
/// # Errors
/// If they can't be reached, or do not let us look.
pub async fn examine(config: KafkaConfig) -> anyhow::Result<DoctorResponse> {
    let (judged, work) = tokio::task::spawn_blocking(move || {
        let found = describe(&config)?;
        let mut judged = judge(&found, config.brokers());
        match describe(&config.for_topic(&topic_of(config.topic()))) {
            Ok(decided) => judged.extend(judge_decided(&decided, config.brokers())),
            // Nobody publishes.
            Err(KafkaError::TopicMissing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        anyhow::Ok((judged, describe_work(&config)?))
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
    Ok(DoctorResponse { checks: checks.chain([work_topic(&work)]).collect() })
}

/// A work topic that is missing is no trouble: the first worker makes it.
fn work_topic(work: &WorkTopic) -> Check {
    let detail = match (work.partitions, work.records) {
        (None, _) => "not there yet: the first worker that shares its work makes it".into(),
        (Some(partitions), 0) => format!("{partitions} partitions, no records"),
        (Some(_), records) => format!("{records} records, where there should be none: nobody reads them"),
    };
    let ok = work.records == 0;
    let remedy = if ok {
        String::new()
    } else {
        format!("find out who writes into {0} and stop that; deleted, {0} is made again by the workers", work.name)
    };
    Check { name: format!("work topic {}", work.name), ok, detail, remedy }
}
