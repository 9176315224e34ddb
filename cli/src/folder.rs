//! A ledger's folder: what lies where.
//!
//! ```text
//! ledger.json        the ledger's name, its pinned id, the verifier key of its checkpoints
//! ledger.unfinished  the same while `init` is not done, or was cut short
//! kafka.json         where the log is, if on Kafka
//! db/                log, state and trees (RocksDB)
//! vault/             encrypted texts and their keys
//! vault.url          where those lie instead, if elsewhere
//! keys/ACTOR.key     private keys of persons; may lie anywhere else (--key)
//! server/NAME.key    private keys of the server: gateway, checkpoint, and one for each worker
//! models.json        where the base models lie
//! attestune.sock     the socket of a running `attestune up`
//! ```

use crate::{kafka_args::KafkaArgs, problem};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The workers that `init` registers, each with a key in `server/`.
pub const WORKERS: [&str; 4] = ["scanner", "checker", "trainer", "evaluator"];

const UNFINISHED: &str = "ledger.unfinished";

/// The folder of one ledger.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// What a folder knows of its ledger, from outside the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerFile {
    /// The ledger's name.
    pub name: String,
    /// SHA-256 of the genesis envelope, in hex: a log with another one is not opened.
    pub ledger: String,
    /// Ed25519 public key of the checkpoint signer, in hex.
    pub checkpoint_key: String,
}

impl LedgerFile {
    /// The ledger's id.
    pub fn id(&self) -> anyhow::Result<[u8; 32]> {
        hash(&self.ledger).context("ledger.json names no ledger id")
    }
}

/// 32 bytes from hex.
pub fn hash(text: &str) -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| {
        problem::cannot(format!("`{text}` is not a SHA-256 in hex"), "64 characters of 0-9 and a-f are expected")
    })?;
    Ok(bytes)
}

impl Folder {
    /// The folder at a path.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The database.
    pub fn db(&self) -> PathBuf {
        self.0.join("db")
    }

    /// The vault.
    pub fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// The socket of a running `up`.
    pub fn socket(&self) -> PathBuf {
        self.0.join("attestune.sock")
    }

    /// What its worker looks for, where that is not the default.
    pub fn pii(&self) -> PathBuf {
        self.0.join("pii")
    }

    /// The list of base models.
    pub fn models(&self) -> PathBuf {
        self.0.join("models.json")
    }

    /// The folder of persons' keys.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// A person's key file.
    pub fn key(&self, actor: &str) -> PathBuf {
        self.keys().join(format!("{actor}.key"))
    }

    /// A key file of the server.
    pub fn server_key(&self, name: &str) -> PathBuf {
        self.0.join("server").join(format!("{name}.key"))
    }

    /// Whether a ledger was created here.
    pub fn exists(&self) -> bool {
        self.0.join("ledger.json").exists()
    }

    /// Reads `ledger.json`.
    ///
    /// # Errors
    /// If there is no ledger here.
    pub fn ledger(&self) -> anyhow::Result<LedgerFile> {
        let path = self.0.join("ledger.json");
        if !path.exists() {
            return Err(problem::cannot(
                format!("there is no ledger in {}", self.0.display()),
                "create one with `attestune init NAME`, or name its folder with --folder",
            ));
        }
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Whether an `init` began here and did not come to its end.
    pub fn unfinished(&self) -> bool {
        self.0.join(UNFINISHED).exists()
    }

    /// Notes the ledger that is being created: nobody else uses the folder until [`Folder::finish`].
    pub fn begin(&self, ledger: &LedgerFile) -> anyhow::Result<()> {
        write_json(&self.0.join(UNFINISHED), ledger)
    }

    /// Makes the ledger that was begun the folder's.
    pub fn finish(&self) -> anyhow::Result<()> {
        let (from, to) = (self.0.join(UNFINISHED), self.0.join("ledger.json"));
        std::fs::rename(from, &to).with_context(|| format!("cannot write {}", to.display()))
    }

    fn kafka_note(&self) -> PathBuf {
        self.0.join("kafka.json")
    }

    /// Where the log is, if it is on Kafka.
    ///
    /// # Errors
    /// If the note of that can't be read.
    pub fn kafka(&self) -> anyhow::Result<Option<KafkaArgs>> {
        let path = self.kafka_note();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Notes that the log is on Kafka, or, with nothing, that it is the folder's own.
    ///
    /// # Errors
    /// If the note can't be written, or would hold a secret.
    pub fn note_kafka(&self, kafka: Option<&KafkaArgs>) -> anyhow::Result<()> {
        let path = self.kafka_note();
        match kafka {
            Some(kafka) => write_json(&path, &kafka.to_note()?),
            None if path.exists() => {
                std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
            }
            None => Ok(()),
        }
    }

    /// Removes what an unfinished `init` left, but for the keys. The mark goes last.
    pub fn discard_unfinished(&self) -> anyhow::Result<()> {
        let gone = |path: &Path, outcome: std::io::Result<()>| match outcome {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        };
        for path in [self.db(), self.vault()] {
            gone(&path, std::fs::remove_dir_all(&path))?;
        }
        for name in ["head", "head.new", "kafka.json", UNFINISHED] {
            let path = self.0.join(name);
            gone(&path, std::fs::remove_file(&path))?;
        }
        Ok(())
    }

    /// The paths of base models, in order of registration.
    pub fn model_paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let path = self.models();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not a list of paths", path.display()))
    }

    /// Notes where a base model lies.
    pub fn add_model(&self, model: &Path) -> anyhow::Result<()> {
        let mut paths = self.model_paths()?;
        if !paths.iter().any(|path| path == model) {
            paths.push(model.to_owned());
            write_json(&self.models(), &paths)?;
        }
        Ok(())
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    replace(path, &bytes)
}

/// The line in a small file, if the file is there.
pub fn line_in(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file by way of a second one, so that a crash leaves the old or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    std::fs::write(&fresh, bytes)
        .and_then(|()| std::fs::File::open(&fresh)?.sync_all())
        .and_then(|()| std::fs::rename(&fresh, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_ledger_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = Folder::new(folder.path()).ledger().unwrap_err();
        assert!(error.to_string().starts_with("there is no ledger in"));
    }

    #[test]
    fn a_model_is_noted_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(folder.path());
        folder.add_model(Path::new("/models/a.gguf")).unwrap();
        folder.add_model(Path::new("/models/b.gguf")).unwrap();
        folder.add_model(Path::new("/models/a.gguf")).unwrap();
        assert_eq!(folder.model_paths().unwrap(), [Path::new("/models/a.gguf"), Path::new("/models/b.gguf")]);
    }
}
