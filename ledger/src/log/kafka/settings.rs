//! Which settings of topic and brokers are weak, what each risks, and the command that mends it.

use super::Found;

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What was looked at: the setting's name, or a word for what is none.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Nothing, or what it risks and how it is mended.
    pub weakness: Option<Weakness>,
}

/// Why a setting is weak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakness {
    /// What may happen.
    pub risk: String,
    /// The command that mends it, or what to do.
    pub mend: String,
}

/// The smallest `max.message.bytes` with which the largest entry and the head of its batch pass.
const MESSAGE_BYTES_MIN: u64 = 66_000;

/// Judges what was found. `brokers` is how they are addressed, for the commands.
///
/// ```
/// use attestune_ledger::log::kafka::{Found, settings::judge};
///
/// let found = Found { topic: "triage".into(), brokers: 1, partitions: 1, replicas: 1, in_sync: 1, ..Found::default() };
/// let weak: Vec<_> = judge(&found, "kafka:9092").into_iter().filter(|j| j.weakness.is_some()).map(|j| j.name).collect();
/// assert!(weak.contains(&"replication".to_owned()));
/// ```
pub fn judge(found: &Found, brokers: &str) -> Vec<Judgement> {
    let mut judged = vec![partitions(found), beginning(found)];
    judged.extend(TOPIC.iter().map(|rule| rule.judge(found, brokers)));
    judged.push(in_sync_min(found, brokers));
    judged.push(replication(found, brokers));
    judged.push(in_sync(found));
    for (id, settings) in &found.broker_settings {
        let created = settings.get("auto.create.topics.enable").map_or("unknown", String::as_str);
        judged.push(Judgement {
            name: format!("auto.create.topics.enable of broker {id}"),
            found: created.into(),
            weakness: (created == "true").then(|| Weakness {
                risk: "a ledger's topic that was deleted comes back empty, with settings that lose entries".into(),
                mend: "auto.create.topics.enable=false in each broker's server.properties, then restart it".into(),
            }),
        });
    }
    judged
}

/// Judges what was found of a topic of decided events. What it keeps and for how long is its operator's choice; that it
/// loses nothing before is not.
pub fn judge_decided(found: &Found, brokers: &str) -> Vec<Judgement> {
    let unclean = TOPIC.iter().filter(|rule| rule.key == "unclean.leader.election.enable");
    let mut judged: Vec<_> = unclean.map(|rule| rule.judge(found, brokers)).collect();
    judged.extend([in_sync_min(found, brokers), replication(found, brokers), in_sync(found)]);
    for judgement in &mut judged {
        judgement.name = format!("{} of {}", judgement.name, found.topic);
        if let Some(weakness) = &mut judgement.weakness {
            weakness.risk =
                "published records may be lost with a broker: consumers miss them, or see them twice".into();
        }
    }
    judged
}

/// A setting of the topic with one or several values that are sound.
struct Rule {
    key: &'static str,
    sound: fn(&str) -> bool,
    value: &'static str,
    risk: &'static str,
}

const TOPIC: [Rule; 6] = [
    Rule {
        key: "cleanup.policy",
        sound: |value| value == "delete",
        value: "delete",
        risk: "compaction removes entries: positions and proofs no longer hold, and no new replica can be built",
    },
    Rule {
        key: "retention.ms",
        sound: |value| value == "-1",
        value: "-1",
        risk: "entries are deleted once they are older: no new replica can be built",
    },
    Rule {
        key: "retention.bytes",
        sound: |value| value == "-1",
        value: "-1",
        risk: "the oldest entries are deleted once the log is larger: no new replica can be built",
    },
    Rule {
        key: "unclean.leader.election.enable",
        sound: |value| value == "false",
        value: "false",
        risk: "a broker that lags behind may take the lead, and acknowledged entries are lost",
    },
    Rule {
        key: "message.timestamp.type",
        sound: |value| value == "LogAppendTime",
        value: "LogAppendTime",
        risk: "whoever appends sets the time of the entry: leases, deadlines and the record of when are theirs to choose",
    },
    Rule {
        key: "max.message.bytes",
        sound: |value| value.parse::<u64>().is_ok_and(|bytes| bytes >= MESSAGE_BYTES_MIN),
        value: "1048576",
        risk: "large events are refused by the brokers",
    },
];

impl Rule {
    fn judge(&self, found: &Found, brokers: &str) -> Judgement {
        let value = found.topic_settings.get(self.key).map_or("unknown", String::as_str);
        Judgement {
            name: self.key.into(),
            found: value.into(),
            weakness: (!(self.sound)(value))
                .then(|| Weakness { risk: self.risk.into(), mend: alter(&found.topic, brokers, self.key, self.value) }),
        }
    }
}

fn partitions(found: &Found) -> Judgement {
    Judgement {
        name: "partitions".into(),
        found: found.partitions.to_string(),
        weakness: (found.partitions != 1).then(|| Weakness {
            risk: "entries have no one order: replicas do not start on such a topic".into(),
            mend: "partitions can't be taken away: `attestune log restore` copies a replica's log into another topic"
                .into(),
        }),
    }
}

fn beginning(found: &Found) -> Judgement {
    Judgement {
        name: "first offset".into(),
        found: found.first_offset.to_string(),
        weakness: (found.first_offset > 0).then(|| Weakness {
            risk: "the log's first entries are gone from the topic: no new replica can be built".into(),
            mend: "`attestune log restore` copies a replica's log into another topic".into(),
        }),
    }
}

fn in_sync_min(found: &Found, brokers: &str) -> Judgement {
    let value = found.topic_settings.get("min.insync.replicas").map_or("unknown", String::as_str);
    let enough = value.parse::<usize>().is_ok_and(|count| count >= 2);
    Judgement {
        name: "min.insync.replicas".into(),
        found: value.into(),
        weakness: (!enough).then(|| Weakness {
            risk: "an entry is acknowledged while one broker alone holds it: if its disk fails, the entry is lost"
                .into(),
            mend: if found.replicas >= 3 {
                alter(&found.topic, brokers, "min.insync.replicas", "2")
            } else {
                "three brokers are needed first: see replication".into()
            },
        }),
    }
}

fn replication(found: &Found, brokers: &str) -> Judgement {
    Judgement {
        name: "replication".into(),
        found: format!("{} of {} brokers hold the topic", found.replicas, found.brokers),
        weakness: (found.replicas < 3).then(|| Weakness {
            risk: "with fewer than three copies the log stops when one broker does, or is lost with its disk".into(),
            mend: if found.brokers >= 3 {
                format!(
                    "kafka-reassign-partitions.sh --bootstrap-server {brokers} --execute --reassignment-json-file FILE, \
                     with FILE {{\"version\":1,\"partitions\":[{{\"topic\":\"{}\",\"partition\":0,\"replicas\":[1,2,3]}}]}}",
                    found.topic
                )
            } else {
                "run three brokers, then give the topic three replicas (kafka-reassign-partitions.sh)".into()
            },
        }),
    }
}

fn in_sync(found: &Found) -> Judgement {
    Judgement {
        name: "in-sync replicas".into(),
        found: format!("{} of {}", found.in_sync, found.replicas),
        weakness: (found.in_sync < found.replicas).then(|| Weakness {
            risk: "a broker lags behind or is down: one more, and nothing can be appended".into(),
            mend: "start the missing broker, or look into its log".into(),
        }),
    }
}

fn alter(topic: &str, brokers: &str, key: &str, value: &str) -> String {
    format!(
        "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {topic} --add-config {key}={value}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sound() -> Found {
        let topic = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("unclean.leader.election.enable", "false"),
            ("message.timestamp.type", "LogAppendTime"),
            ("max.message.bytes", "1048576"),
            ("min.insync.replicas", "2"),
        ];
        let broker = BTreeMap::from([("auto.create.topics.enable".into(), "false".into())]);
        Found {
            topic: "triage".into(),
            brokers: 3,
            partitions: 1,
            replicas: 3,
            in_sync: 3,
            topic_settings: topic.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            broker_settings: [1, 2, 3].map(|id| (id, broker.clone())).into(),
            first_offset: 0,
            end_offset: 9,
        }
    }

    fn weak(found: &Found) -> Vec<String> {
        let judged = judge(found, "kafka:9092").into_iter();
        judged.filter(|judgement| judgement.weakness.is_some()).map(|judgement| judgement.name).collect()
    }

    #[test]
    fn a_sound_topic_has_no_weakness() {
        assert_eq!(weak(&sound()), [""; 0]);
    }

    #[test]
    fn each_weak_setting_of_the_topic_is_named_with_a_command_that_mends_it() {
        for (key, value) in [
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "604800000"),
            ("retention.bytes", "1073741824"),
            ("unclean.leader.election.enable", "true"),
            ("message.timestamp.type", "CreateTime"),
            ("max.message.bytes", "1000"),
            ("min.insync.replicas", "1"),
        ] {
            let mut found = sound();
            found.topic_settings.insert(key.into(), value.into());
            assert_eq!(weak(&found), [key]);
            let judged = judge(&found, "kafka:9092");
            let weakness = judged.iter().find_map(|judgement| judgement.weakness.as_ref()).unwrap();
            let command =
                "kafka-configs.sh --bootstrap-server kafka:9092 --alter --entity-type topics --entity-name triage";
            assert!(weakness.mend.starts_with(command) && weakness.mend.contains(key), "{}", weakness.mend);
        }
        let mut unknown = sound();
        unknown.topic_settings.remove("retention.ms");
        assert_eq!(weak(&unknown), ["retention.ms"], "what is not known is not sound");
    }

    #[test]
    fn few_copies_lost_copies_and_a_lost_beginning_are_named() {
        assert_eq!(weak(&Found { replicas: 1, in_sync: 1, ..sound() }), ["replication"]);
        assert_eq!(weak(&Found { in_sync: 2, ..sound() }), ["in-sync replicas"]);
        assert_eq!(weak(&Found { partitions: 2, ..sound() }), ["partitions"]);
        assert_eq!(weak(&Found { first_offset: 7, ..sound() }), ["first offset"]);
    }

    #[test]
    fn of_a_topic_of_decided_events_only_what_may_lose_records_is_weak() {
        let mut found = Found { topic: "triage.decided".into(), partitions: 6, first_offset: 7, ..sound() };
        for (key, value) in [("retention.ms", "1000"), ("cleanup.policy", "compact"), ("min.insync.replicas", "1")] {
            found.topic_settings.insert(key.into(), value.into());
        }
        let judged = judge_decided(&found, "kafka:9092").into_iter();
        let weak: Vec<_> =
            judged.filter(|judgement| judgement.weakness.is_some()).map(|judgement| judgement.name).collect();
        assert_eq!(weak, ["min.insync.replicas of triage.decided"]);
    }

    #[test]
    fn a_broker_that_makes_topics_by_itself_is_named() {
        let mut found = sound();
        found.broker_settings.entry(2).or_default().insert("auto.create.topics.enable".into(), "true".into());
        assert_eq!(weak(&found), ["auto.create.topics.enable of broker 2"]);
    }
}
