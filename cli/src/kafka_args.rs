//! Where Kafka is: the options of every command that reaches it.

use crate::problem;
use anyhow::Context as _;
use attestune_ledger::log::KafkaConfig;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Words in the names of settings whose values are secret.
const SECRET: [&str; 4] = ["password", "secret", "pem", "oauthbearer.config"];

/// The brokers, the ledger's topic on them, and how to talk to them.
#[derive(clap::Args, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

    /// The same, with a ledger's name where none was given.
    pub fn or_ledger(mut self, name: &str) -> Self {
        self.ledger.get_or_insert_with(|| name.to_owned());
        self
    }

    /// The same as a folder may note it: files by absolute path, and nothing secret.
    ///
    /// # Errors
    /// If a setting is secret, or its file is not there.
    pub fn to_note(&self) -> anyhow::Result<Self> {
        let mut noted = self.clone();
        for setting in &mut noted.settings {
            match setting.split_once('=') {
                Some((key, _)) if SECRET.iter().any(|word| key.contains(word)) => {
                    return Err(problem::cannot(
                        format!("`{key}` is secret and is not written into the ledger's folder"),
                        "put it into a file of mode 0600 and name that: --kafka-config FILE",
                    ));
                }
                Some(_) => {}
                None => {
                    let path = std::path::absolute(&*setting).with_context(|| format!("cannot find {setting}"))?;
                    *setting = path.to_str().context("the path of the settings is not UTF-8")?.to_owned();
                }
            }
        }
        Ok(noted)
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
    fn what_is_noted_can_be_read_again_from_anywhere_and_holds_nothing_secret() {
        let args = |more: &[&str]| {
            Command::parse_from([&["attestune", "--kafka", "h:1", "--kafka-config", "linger.ms=1"], more].concat())
                .kafka
        };
        let noted = args(&["--kafka-config", "sasl"]).or_ledger("triage").to_note().unwrap();
        let again: KafkaArgs = serde_json::from_str(&serde_json::to_string(&noted).unwrap()).unwrap();
        assert_eq!(again, noted);
        assert_eq!(noted.ledger.as_deref(), Some("triage"));
        assert!(Path::new(&noted.settings[1]).is_absolute(), "{noted:?}");
        let error = args(&["--kafka-config", "sasl.password=hunter2"]).to_note().unwrap_err().to_string();
        assert!(error.contains("sasl.password") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn brokers_without_a_ledger_say_what_is_missing() {
        let error = config(&["--kafka", "h:1"]).unwrap_err();
        assert!(error.to_string().contains("no ledger"));
        assert!(config(&[]).unwrap_err().to_string().contains("no Kafka"));
    }
}
