//! The base models that are here, found by the digest of their weights.

use crate::WorkerError;
use attestune_proto::v1::BaseRow;
use attestune_trainer::{
    digest::Digest,
    model::{BaseModel, ModelError, weights_digest, weights_files},
};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Files and folders of base models. Clones share what was read: digests, and the model used last.
#[derive(Debug, Clone, Default)]
pub struct BaseModels {
    paths: Vec<PathBuf>,
    read: Arc<Mutex<Read>>,
}

/// The files that hold a model's weights, each with its size and time of change.
type Files = Vec<(PathBuf, u64, SystemTime)>;

#[derive(Debug, Default)]
struct Read {
    digests: HashMap<Files, Digest>,
    loaded: Option<Arc<BaseModel>>,
    /// Those that the log of this process says are missing.
    missed: HashSet<Digest>,
}

impl BaseModels {
    /// Those at these paths: GGUF files, or folders with safetensors files.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, read: Arc::default() }
    }

    /// Whether a base model is here, so that work on it may be claimed. One that is not is named in the log, once, with
    /// the work that waits for it.
    pub(crate) fn serves(&self, base: &BaseRow, work: &str) -> bool {
        let Some(wanted) = digest_of(&base.weights_digest) else { return false };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if self.find(&mut read, wanted).is_some() {
            read.missed.remove(&wanted);
            return true;
        }
        if read.missed.insert(wanted) {
            tracing::warn!(
                base = base.base,
                weights = %wanted,
                "{work} is left to another worker: its base model {} is not here ({}); put its file at one of those \
                 paths, or add its path to models.json and start again",
                base.base,
                self.searched()
            );
        }
        false
    }

    /// The model with these weights. A path that can't be read is passed over.
    ///
    /// # Errors
    /// If no path holds it, or it can't be loaded.
    pub fn load(&self, weights: &[u8]) -> Result<Arc<BaseModel>, WorkerError> {
        let missing = || WorkerError::NoBaseModel { digest: hex::encode(weights), searched: self.searched() };
        let wanted = digest_of(weights).ok_or_else(missing)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = read.loaded.as_ref().filter(|loaded| loaded.weights_digest() == wanted) {
            return Ok(loaded.clone());
        }
        let path = self.find(&mut read, wanted).ok_or_else(missing)?;
        // The one before goes first: two would not fit a small machine.
        read.loaded = None;
        let model = Arc::new(BaseModel::load_checked(path, wanted)?);
        read.loaded = Some(model.clone());
        Ok(model)
    }

    /// Where the model with these weights lies.
    ///
    /// # Errors
    /// If no path holds it.
    pub fn path_of(&self, weights: &[u8]) -> Result<PathBuf, WorkerError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let found = digest_of(weights).and_then(|wanted| self.find(&mut read, wanted).cloned());
        found.ok_or_else(|| WorkerError::NoBaseModel { digest: hex::encode(weights), searched: self.searched() })
    }

    fn find(&self, read: &mut MutexGuard<'_, Read>, wanted: Digest) -> Option<&PathBuf> {
        self.paths.iter().find(|path| match digest(read, path) {
            Ok(digest) => digest == wanted,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "a base model can't be read");
                false
            }
        })
    }

    fn searched(&self) -> String {
        match self.paths.as_slice() {
            [] => "the list of models is empty".into(),
            paths => paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        }
    }
}

fn digest_of(weights: &[u8]) -> Option<Digest> {
    weights.try_into().ok().map(Digest)
}

fn digest(read: &mut Read, path: &Path) -> Result<Digest, ModelError> {
    let mut files = Files::new();
    for path in weights_files(path)? {
        let changed = path.metadata().and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
        let (size, time) = changed.map_err(|source| ModelError::Read { path: path.clone(), source })?;
        files.push((path, size, time));
    }
    if let Some(digest) = read.digests.get(&files) {
        return Ok(*digest);
    }
    let digest = weights_digest(path)?;
    read.digests.insert(files, digest);
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_trainer::model::write_tiny_model;

    #[test]
    fn a_model_is_found_by_its_weights_and_unreadable_paths_are_passed_over() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_tiny_model(one.path(), 1).unwrap();
        write_tiny_model(two.path(), 2).unwrap();
        let wanted = BaseModel::load(two.path()).unwrap().weights_digest();
        let bases = BaseModels::new(vec!["/nowhere.gguf".into(), one.path().into(), two.path().into()]);
        assert_eq!(bases.load(&wanted.0).unwrap().weights_digest(), wanted);
        assert!(matches!(bases.load(&[7; 32]), Err(WorkerError::NoBaseModel { .. })));
    }

    #[test]
    fn a_model_that_was_missing_is_served_once_its_file_lies_there() {
        let (here, later) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_tiny_model(here.path(), 1).unwrap();
        let place = later.path().join("model");
        let weights_digest = BaseModel::load(here.path()).unwrap().weights_digest().0.to_vec();
        let base = BaseRow { base: "tiny".into(), weights_digest, ..BaseRow::default() };
        let bases = BaseModels::new(vec![place.clone()]);
        assert!(!bases.serves(&base, "run 7"));
        let error = bases.load(&base.weights_digest).unwrap_err().to_string();
        assert!(error.contains(&place.display().to_string()), "{error}");
        std::fs::rename(here.path(), &place).unwrap();
        assert!(bases.serves(&base, "run 7"));
    }

    #[test]
    fn weights_that_changed_on_disk_are_another_model() {
        let folder = tempfile::tempdir().unwrap();
        write_tiny_model(folder.path(), 1).unwrap();
        let before = BaseModel::load(folder.path()).unwrap().weights_digest();
        let bases = BaseModels::new(vec![folder.path().into()]);
        bases.load(&before.0).unwrap();
        let weights = folder.path().join("model.safetensors");
        let mut bytes = std::fs::read(&weights).unwrap();
        bytes.push(b' ');
        std::fs::write(&weights, bytes).unwrap();
        let fresh = BaseModels::new(vec![folder.path().into()]);
        assert!(matches!(fresh.load(&before.0), Err(WorkerError::NoBaseModel { .. })));
    }
}
