//! Kafka brokers of a bench, started by `scripts/kafka/up`.

use super::{machine, replay::temporary_folder};
use attestune_ledger::log::KafkaConfig;
use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

const UP: &str = "scripts/kafka/up";

/// A cluster in a temporary folder; it ends with this process at the latest.
pub struct Brokers {
    count: usize,
    bootstrap: String,
    folder: tempfile::TempDir,
}

impl Brokers {
    /// Starts so many; or says why there can be none here.
    pub fn start(count: usize) -> anyhow::Result<Result<Self, String>> {
        if !Path::new(UP).exists() {
            return Ok(Err(format!("there is no {UP} here: run it in the repository's folder")));
        }
        let folder = temporary_folder()?;
        let (brokers, pid) = (count.to_string(), std::process::id().to_string());
        let mut up = Command::new(UP);
        up.args(["--brokers", &brokers, "--while", &pid, "--folder"]).arg(folder.path());
        let output = up.output()?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let bootstrap = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(Ok(Self { count, bootstrap, folder }))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A topic that does not exist yet.
    pub fn fresh_topic(&self) -> anyhow::Result<KafkaConfig> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Ok(KafkaConfig::new(&self.bootstrap, &format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed)))?)
    }

    /// Processor time that the brokers have used.
    pub fn cpu_seconds(&self) -> f64 {
        let pid = |broker: usize| -> Option<u32> {
            let pid = std::fs::read_to_string(self.folder.path().join(format!("{broker}/pid"))).ok()?;
            pid.trim().parse().ok()
        };
        (1..=self.count).filter_map(pid).map(machine::cpu_seconds_of).sum()
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let down = Command::new("scripts/kafka/down").arg("--folder").arg(self.folder.path()).output();
        if !down.is_ok_and(|output| output.status.success()) {
            tracing::warn!("the bench's brokers could not be stopped; they end with this process");
        }
    }
}
