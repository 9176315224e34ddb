//! Where Kafka is, and how to talk to it.

use super::KafkaError;
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How long a start waits for a broker, unless `socket.connection.setup.timeout.ms` and the like end it before.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// For so many times as long as a start waits for brokers, a topic may look shorter than it was, or gone, to a replica that
/// follows it: brokers that have all been started again answer before they know all topics, and a new leader before it
/// knows how much of its log is settled.
const SETTLE_FACTOR: u32 = 4;
/// How long an append waits for its acknowledgement, unless `message.timeout.ms` says otherwise.
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a transaction may stay open at least before the brokers end it.
const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_secs(10);

/// Settings of librdkafka that the log itself depends on.
const OURS: [&str; 26] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "enable.random.seed",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "log.queue",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "retries",
    "transaction.timeout.ms",
    "transactional.id",
];

/// A ledger's topic and the brokers that hold it, with librdkafka's settings for all connections.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    brokers: String,
    topic: String,
    settings: BTreeMap<String, String>,
    open_timeout: Duration,
    append_timeout: Duration,
}

/// Values of settings may be passwords.
impl std::fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.settings.keys().collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("settings", &names)
            .finish_non_exhaustive()
    }
}

impl KafkaConfig {
    /// The ledger of a name on some brokers, `HOST:PORT` with commas between.
    ///
    /// # Errors
    /// If no broker is named, or the name can't be a topic's.
    pub fn new(brokers: &str, ledger: &str) -> Result<Self, KafkaError> {
        if brokers.split(',').any(|broker| broker.trim().is_empty()) {
            return Err(KafkaError::Brokers { brokers: brokers.into() });
        }
        // What Kafka allows. A ledger's name is narrower, but topics made by others are read, too.
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if ledger.is_empty() || ledger.len() > 200 || !ledger.bytes().all(legal) || ["..", "."].contains(&ledger) {
            return Err(KafkaError::TopicName { name: ledger.into() });
        }
        Ok(Self {
            brokers: brokers.into(),
            topic: ledger.into(),
            settings: BTreeMap::new(),
            open_timeout: OPEN_TIMEOUT,
            append_timeout: APPEND_TIMEOUT,
        })
    }

    /// Sets one of librdkafka's settings, written `key=value`.
    ///
    /// # Errors
    /// If it is not written so, or is one that the log itself depends on.
    pub fn set(&mut self, setting: &str) -> Result<(), KafkaError> {
        let (key, value) = match setting.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => (key.trim(), value.trim()),
            // What was meant to be the key may be a secret: it isn't shown.
            _ => return Err(KafkaError::SettingForm {}),
        };
        if OURS.contains(&key) {
            return Err(KafkaError::SettingOurs { key: key.into() });
        }
        if key == "message.timeout.ms" {
            let wrong =
                |_| KafkaError::Setting { key: key.into(), what: "a number of milliseconds is expected".into() };
            self.append_timeout = Duration::from_millis(value.parse().map_err(wrong)?);
        }
        self.settings.insert(key.into(), value.into());
        Ok(())
    }

    /// Sets what a file says: lines `key=value`, empty ones and those that begin with `#` left out. What such a file
    /// holds does not show up among the processes' arguments.
    ///
    /// # Errors
    /// If it can't be read, or a line is wrong.
    pub fn read_file(&mut self, path: &Path) -> Result<(), KafkaError> {
        let failed = |what: String| KafkaError::SettingFile { path: path.to_owned(), what };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                self.set(line).map_err(|error| failed(format!("line {number}: {error}")))?;
            }
        }
        Ok(())
    }

    /// Gives up sooner or later: how long a start waits for brokers, and an append for its acknowledgement.
    pub fn with_timeouts(mut self, open: Duration, append: Duration) -> Self {
        (self.open_timeout, self.append_timeout) = (open, append);
        self.settings.remove("message.timeout.ms");
        self
    }

    /// The brokers to begin with.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The ledger's topic; it has the ledger's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The same brokers and settings for another topic.
    pub fn for_topic(&self, topic: &str) -> Self {
        Self { topic: topic.into(), ..self.clone() }
    }

    /// How long a start waits for brokers.
    pub fn open_timeout(&self) -> Duration {
        self.open_timeout
    }

    /// How long what brokers say of a topic that is followed may be wrong: a minute, unless a start waits for another time
    /// than usual.
    pub fn settle_timeout(&self) -> Duration {
        self.open_timeout * SETTLE_FACTOR
    }

    /// How long an append waits for its acknowledgement.
    pub fn append_timeout(&self) -> Duration {
        self.append_timeout
    }

    /// A client's settings: the brokers, short pauses between tries, and what was set.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        client.set("client.id", "attestune");
        client.set("reconnect.backoff.ms", "50");
        client.set("reconnect.backoff.max.ms", "1000");
        client.set("socket.keepalive.enable", "true");
        for (key, value) in &self.settings {
            client.set(key, value);
        }
        client
    }

    /// Of a replica's reader. The group's id is never joined: librdkafka wants one to assign partitions.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut consumer = self.client();
        let defaults = [
            ("fetch.error.backoff.ms", "50"),
            // A full queue would else rest for a second.
            ("fetch.queue.backoff.ms", "2"),
            ("fetch.message.max.bytes", "2097152"),
            ("queued.min.messages", "50000"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        let fixed = [
            ("allow.auto.create.topics", "false"),
            ("auto.offset.reset", "error"),
            ("check.crcs", "true"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("group.id", "attestune-replica"),
            ("isolation.level", "read_uncommitted"),
        ];
        self.fill(&mut consumer, &defaults, &fixed);
        consumer
    }

    /// Of a member of a group of workers. One that was killed is missed after the session's time; one that does not
    /// come back from a piece of work within the poll's is put out until it does.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut member = self.client();
        let defaults =
            [("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "2000"), ("max.poll.interval.ms", "300000")];
        let fixed = [
            ("allow.auto.create.topics", "false"),
            ("auto.offset.reset", "latest"),
            ("enable.auto.commit", "false"),
            ("group.id", group),
            ("partition.assignment.strategy", "cooperative-sticky"),
        ];
        self.fill(&mut member, &defaults, &fixed);
        member
    }

    /// Of a replica's writer.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut producer = self.client();
        let timeout = self.append_timeout.as_millis().to_string();
        let defaults = [
            // A record leaves at once, and what comes while others are under way goes together.
            ("linger.ms", "0"),
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("message.timeout.ms", &timeout),
        ];
        let fixed = [("acks", "all"), ("enable.idempotence", "true")];
        self.fill(&mut producer, &defaults, &fixed);
        producer
    }

    /// Of whoever reads what transactions have committed, and no more.
    pub(super) fn committed_consumer(&self) -> ClientConfig {
        let mut consumer = self.consumer();
        consumer.set("isolation.level", "read_committed");
        // Only the end is read: the brokers are not to wait there for more.
        consumer.set("fetch.wait.max.ms", "10");
        consumer
    }

    /// Of a producer whose records count once its transaction is committed; a later one of that id fences it.
    pub(super) fn transactional_producer(&self, id: &str) -> ClientConfig {
        let mut producer = self.producer();
        let timeout = self.append_timeout.max(TRANSACTION_TIMEOUT_MIN).as_millis().to_string();
        // A key stays in its partition, whatever client asks which it is: as Java's clients reckon.
        let fixed = [("transactional.id", id), ("transaction.timeout.ms", &timeout), ("partitioner", "murmur2")];
        self.fill(&mut producer, &[("linger.ms", "5")], &fixed);
        producer
    }

    fn fill(&self, client: &mut ClientConfig, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) {
        let unset = defaults.iter().filter(|(key, _)| !self.settings.contains_key(*key));
        for (key, value) in unset.chain(fixed) {
            client.set(*key, *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn config() -> KafkaConfig {
        KafkaConfig::new("127.0.0.1:9092", "triage").unwrap()
    }

    #[test]
    fn a_setting_reaches_the_client_and_its_value_is_never_printed() {
        let mut config = config();
        config.set("sasl.password = hun=ter2 ").unwrap();
        assert_eq!(config.client().get("sasl.password"), Some("hun=ter2"));
        let printed = format!("{config:?}");
        assert!(printed.contains("sasl.password") && !printed.contains("hun"), "{printed}");
        let error = config.set("hunter2").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn what_the_log_depends_on_can_not_be_set() {
        let error = config().set("acks=1").unwrap_err();
        assert_eq!(error, KafkaError::SettingOurs { key: "acks".into() });
        let mut config = config();
        config.set("linger.ms=5").unwrap();
        assert_eq!(config.producer().get("linger.ms"), Some("5"));
        assert_eq!(config.producer().get("acks"), Some("all"));
        assert_eq!(config.consumer().get("isolation.level"), Some("read_uncommitted"));
    }

    #[test]
    fn a_file_is_read_line_by_line_and_a_wrong_line_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "# credentials\n\nsasl.username=ada\nsasl.password=x=y").unwrap();
        let mut read = config();
        read.read_file(file.path()).unwrap();
        assert_eq!(read.client().get("sasl.password"), Some("x=y"));
        writeln!(file, "secret").unwrap();
        let error = config().read_file(file.path()).unwrap_err().to_string();
        assert!(error.contains("line 5") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn names_that_are_no_topics_and_brokers_that_are_none_are_refused() {
        for name in ["", "a b", "a/b", "..", &"x".repeat(201)] {
            assert!(matches!(KafkaConfig::new("h:1", name), Err(KafkaError::TopicName { .. })), "{name}");
        }
        for brokers in ["", " ", "a:1,,b:2"] {
            assert!(matches!(KafkaConfig::new(brokers, "t"), Err(KafkaError::Brokers { .. })), "{brokers}");
        }
    }
}
