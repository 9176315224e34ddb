//! `attestune gateway --publish`: decided events to a topic of their own, for other teams' consumers.

use crate::{decided, kafka_args::KafkaArgs};
use anyhow::Context as _;
use attestune_gateway::Published;
use attestune_ledger::{
    log::kafka::publish::{Options, Publisher},
    publish::{Decisions, Encoding},
    replica::Replica,
};
use attestune_proto::v1::Decided;
use clap::ValueEnum;
use std::{sync::Arc, time::Duration};

/// How long the end of a transaction is waited for.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Whether and how to publish.
#[derive(clap::Args)]
pub struct PublishArgs {
    /// Publish every decided event to the topic NAME.decided, in protobuf unless json is said
    #[arg(long, env = "ATTESTUNE_PUBLISH", value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "protobuf")]
    publish: Option<Format>,
    /// The first position to publish to a topic without records; 0 for one that is made here
    #[arg(long, value_name = "POSITION", requires = "publish")]
    publish_from: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// attestune.v1.Decided
    Protobuf,
    /// The same as JSON, with the event opened
    Json,
}

/// Publishing, until it is stopped.
pub struct Publishing {
    publisher: Publisher,
    /// How far it is.
    pub published: Arc<Published>,
}

impl PublishArgs {
    /// Starts to publish what the replica decides, if that is asked for.
    pub fn start(&self, replica: &Arc<Replica>, kafka: &KafkaArgs) -> anyhow::Result<Option<Publishing>> {
        let Some(format) = self.publish else { return Ok(None) };
        let encoding = match format {
            Format::Protobuf => Encoding::PROTOBUF,
            Format::Json => Encoding { content_type: "application/json", encode: json },
        };
        let source = Box::new(Decisions::of(replica.clone(), encoding));
        let options = Options { from: self.publish_from, ..Options::default() };
        let published = Arc::new(Published::default());
        let noted = published.clone();
        let told = Box::new(move |standing: attestune_ledger::log::kafka::publish::Standing| {
            noted.note(standing.published, standing.publishing);
        });
        let publisher =
            Publisher::start(&kafka.config()?, source, options, told).context("no thread for the publisher")?;
        Ok(Some(Publishing { publisher, published }))
    }
}

impl Publishing {
    /// Ends it after the transaction that is under way, unless the brokers leave it waiting: the next to publish ends
    /// that, too.
    pub async fn stop(self) {
        let ended = tokio::task::spawn_blocking(move || drop(self.publisher));
        if tokio::time::timeout(STOP_WAIT, ended).await.is_err() {
            tracing::warn!("the brokers do not answer: what was being published is left to them");
        }
    }
}

fn json(decided: &Decided) -> Vec<u8> {
    decided::published(decided).to_string().into_bytes()
}
