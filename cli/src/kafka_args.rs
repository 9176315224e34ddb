//! Where Kafka is: the options of every command that reaches it.

use crate::problem;
use attestune_ledger::log::KafkaConfig;
use std::path::Path;

/// The brokers, the ledger's topic on them, and how to talk to them.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct KafkaArgs {
    /// The Kafka brokers that hold the log: HOST:PORT, with commas between several
    #[arg(id = "kafka.brokers", long = "kafka", env = "ATTESTUNE_KAFKA", value_name = "BROKERS")]
    brokers: Option<String>,
    /// The ledger's name, which is its topic's, too
    #[arg(
        id = "kafka.ledger",
        long = "ledger",
        env = "ATTESTUNE_LEDGER",
        value_name = "NAME",
        requires = "kafka.brokers"
    )]
    ledger: Option<String>,
    /// A setting of librdkafka as key=value, or a file of such lines; passwords belong into a file
    #[arg(
        id = "kafka.config",
        long = "kafka-config",
        env = "ATTESTUNE_KAFKA_CONFIG",
        value_name = "KEY=VALUE|FILE",
        hide_env_values = true,
        requires = "kafka.brokers"
    )]
    settings: Vec<String>,
}

impl KafkaArgs {
    /// Whether brokers are named.
    pub fn given(&self) -> bool {
        self.brokers.is_some()
    }

    /// The ledger's topic on the brokers named.
    ///
    /// # Errors
    /// If brokers or ledger are not named, or a setting is wrong.
    pub fn config(&self) -> anyhow::Result<KafkaConfig> {
        let Some(brokers) = &self.brokers else {
            return Err(problem::cannot("no Kafka is named", "say where it is: --kafka HOST:PORT --ledger NAME"));
        };
        let Some(ledger) = &self.ledger else {
            return Err(problem::cannot(
                format!("no ledger on {brokers} is named"),
                "its name is the topic's: --ledger NAME",
            ));
        };
        let mut config = KafkaConfig::new(brokers, ledger)?;
        for setting in &self.settings {
            if setting.contains('=') {
                config.set(setting)?;
            } else {
                config.read_file(Path::new(setting))?;
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        kafka: KafkaArgs,
    }

    fn config(args: &[&str]) -> anyhow::Result<KafkaConfig> {
        Command::parse_from([&["attestune"], args].concat()).kafka.config()
    }

    #[test]
    fn settings_come_from_the_line_and_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sasl");
        std::fs::write(&file, "sasl.username=ada\n").unwrap();
        let args = ["--kafka", "h:1", "--ledger", "triage", "--kafka-config", "linger.ms=1", "--kafka-config"];
        let config = config(&[&args[..], &[file.to_str().unwrap()]].concat()).unwrap();
        let client = config.client();
        assert_eq!((client.get("linger.ms"), client.get("sasl.username")), (Some("1"), Some("ada")));
    }

    #[test]
    fn brokers_without_a_ledger_say_what_is_missing() {
        let error = config(&["--kafka", "h:1"]).unwrap_err();
        assert!(error.to_string().contains("no ledger"));
        assert!(config(&[]).unwrap_err().to_string().contains("no Kafka"));
    }
}
