//! The base models that are here, found by the digest of their weights.

use crate::WorkerError;
use attestune_trainer::{digest::Digest, model::BaseModel};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
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

#[derive(Debug, Default)]
struct Read {
    /// By weights file, its size and its time of change.
    digests: HashMap<(PathBuf, u64, SystemTime), Digest>,
    loaded: Option<Arc<BaseModel>>,
}

impl BaseModels {
    /// Those at these paths: GGUF files, or folders with `model.safetensors`.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, read: Arc::default() }
    }

    /// The model with these weights. A path that can't be read is passed over with a warning.
    ///
    /// # Errors
    /// If no path holds it, or it can't be loaded.
    pub fn load(&self, weights: &[u8]) -> Result<Arc<BaseModel>, WorkerError> {
        let missing = || WorkerError::NoBaseModel { digest: weights.iter().map(|b| format!("{b:02x}")).collect() };
        let wanted = Digest(weights.try_into().map_err(|_| missing())?);
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

    fn find(&self, read: &mut MutexGuard<'_, Read>, wanted: Digest) -> Option<&PathBuf> {
        self.paths.iter().find(|path| match digest(read, path) {
            Ok(digest) => digest == wanted,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a base model can't be read");
                false
            }
        })
    }
}

fn digest(read: &mut Read, path: &Path) -> io::Result<Digest> {
    let weights = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let metadata = weights.metadata()?;
    let name = (weights, metadata.len(), metadata.modified()?);
    if let Some(digest) = read.digests.get(&name) {
        return Ok(*digest);
    }
    let (mut file, mut hash, mut bytes) = (File::open(&name.0)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut bytes)? {
            0 => break,
            count => hash.update(&bytes[..count]),
        }
    }
    let digest = Digest(hash.finalize().into());
    read.digests.insert(name, digest);
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
