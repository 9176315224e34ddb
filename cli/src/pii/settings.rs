//! What to look for, from files of YAML: those of the command line, or those that a ledger's folder keeps.

use crate::{
    folder::{self, Folder},
    problem,
};
use attestune_pii::{Config, DETECTOR_NAME, Recognizers, Scanner};
use std::path::{Path, PathBuf};

/// Files that say what to look for; without them the default.
#[derive(clap::Args, Clone, Default)]
pub struct Settings {
    /// What to look for: YAML with entities, thresholds, countries, languages, allow and deny lists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Recognizers of your own, in YAML
    #[arg(long, value_name = "FILE")]
    recognizers: Option<PathBuf>,
}

impl Settings {
    /// Those that `attestune pii use` put into a folder.
    pub fn of(folder: &Folder) -> Self {
        let kept = |name: &str| Some(folder.pii().join(name)).filter(|path| path.exists());
        Self { config: kept(CONFIG), recognizers: kept(RECOGNIZERS) }
    }

    /// Whether any is given.
    pub fn given(&self) -> bool {
        self.config.is_some() || self.recognizers.is_some()
    }

    /// Reads them; a configuration that is not given is this one.
    ///
    /// # Errors
    /// A file can't be read, or says something that can't be used; the file and the place are named.
    pub fn read(&self, otherwise: Config) -> anyhow::Result<(Config, Recognizers)> {
        // The recognizers first: the configuration may name kinds that they bring.
        let own = match &self.recognizers {
            Some(path) => Recognizers::from_yaml(&text(path)?).map_err(|error| unusable(Some(path), error))?,
            None => Recognizers::default(),
        };
        let config = match &self.config {
            Some(path) => serde_yaml_ng::from_str(&text(path)?).map_err(|error| unusable(Some(path), error))?,
            None => otherwise,
        };
        Ok((config, own))
    }

    /// The scanner that they ask for.
    ///
    /// # Errors
    /// As [`Self::read`], or what they ask for can't be done.
    pub fn scanner(&self) -> anyhow::Result<Scanner> {
        let (config, own) = self.read(Config::default())?;
        let scanner = Scanner::with(&config, &own, Scanner::detectors());
        scanner.map_err(|error| unusable(self.config.as_deref(), error))
    }

    /// Puts them into a folder in the place of what is there, for its worker.
    ///
    /// # Errors
    /// They can't be used, or the folder can't be written.
    pub fn keep(&self, folder: &Folder) -> anyhow::Result<Scanner> {
        let scanner = self.scanner()?;
        std::fs::create_dir_all(folder.pii())?;
        for (name, from) in [(CONFIG, &self.config), (RECOGNIZERS, &self.recognizers)] {
            let to = folder.pii().join(name);
            match from {
                Some(from) => folder::replace(&to, text(from)?.as_bytes())?,
                None if to.exists() => std::fs::remove_file(&to)?,
                None => {}
            }
        }
        Ok(scanner)
    }
}

const CONFIG: &str = "config.yaml";
const RECOGNIZERS: &str = "recognizers.yaml";

/// A scanner's name as a policy names it.
pub fn detector(scanner: &Scanner) -> String {
    format!("{DETECTOR_NAME}@{}", scanner.version())
}

/// That what files ask for can't be used.
pub fn unusable(path: Option<&Path>, error: impl std::fmt::Display) -> anyhow::Error {
    let path = path.map_or_else(String::new, |path| format!("{}: ", path.display()));
    problem::cannot(format!("{path}{error}"), "docs/pii.md says what the file may hold; nothing was scanned")
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| problem::cannot(format!("cannot read {}: {error}", path.display()), "name a file of YAML"))
}
