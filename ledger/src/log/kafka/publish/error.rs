//! Why nothing is published.

use crate::log::kafka::KafkaError;

/// Why nothing is published, for now or for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Kafka failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Somebody else has begun to publish.
    #[error("another process publishes to `{topic}` now")]
    Fenced {
        /// The topic.
        topic: String,
    },
    /// Somebody writes to the topic in a transaction of theirs.
    #[error(
        "a transaction of somebody else is open on partition {partition} of `{topic}`, so that nobody sees what is behind \
         it: only the gateways of the ledger may write to this topic (docs/consuming.md)"
    )]
    Open {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The topic had records, and has none.
    #[error(
        "every record of `{topic}` is gone (retention?), and with them where to go on: say it with --publish-from \
         POSITION, or delete the topic, and all is published again from the beginning"
    )]
    Emptied {
        /// The topic.
        topic: String,
    },
    /// The topic is another ledger's.
    #[error("`{topic}` holds what `{found}` decided, not `{ours}`: delete it, or give this ledger another name")]
    OtherLedger {
        /// The topic.
        topic: String,
        /// Whose it is.
        found: String,
        /// Who we are.
        ours: String,
    },
    /// The topic holds another entry at a position than the log.
    #[error(
        "`{topic}` holds another entry at position {position} than the log: one of them was made anew; where the log is \
         right, delete the topic, and all is published again from the beginning"
    )]
    Diverged {
        /// The topic.
        topic: String,
        /// The position.
        position: u64,
    },
    /// The record can't be made.
    #[error("the record of position {position} can't be made: {cause}")]
    Source {
        /// The position.
        position: u64,
        /// Why.
        cause: String,
    },
}

impl PublishError {
    /// Whether trying again is of no use before somebody has done something here.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Kafka(error) => matches!(
                error,
                KafkaError::Setting { .. } | KafkaError::Client { .. } | KafkaError::RecordTooLarge { .. }
            ),
            Self::Fenced { .. } | Self::Open { .. } => false,
            Self::Emptied { .. } | Self::OtherLedger { .. } | Self::Diverged { .. } | Self::Source { .. } => true,
        }
    }
}
