//! Base models on this machine, found by the digest of their weights.

use crate::WorkerError;
use attestune_trainer::model::BaseModel;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Paths of base models. A model is loaded once and shared.
#[derive(Clone, Default)]
pub struct BaseModels {
    paths: Vec<PathBuf>,
    loaded: Arc<Mutex<HashMap<Vec<u8>, Arc<BaseModel>>>>,
}

impl BaseModels {
    /// Models in GGUF files or safetensors folders.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, loaded: Arc::default() }
    }

    /// The model whose weights and tokenizer have these digests.
    ///
    /// # Errors
    /// If none of the paths holds it.
    pub fn find(&self, weights: &[u8], tokenizer: &[u8]) -> Result<Arc<BaseModel>, WorkerError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(model) = loaded.get(weights) {
            return Ok(model.clone());
        }
        let mut reasons = Vec::new();
        for path in &self.paths {
            match BaseModel::load(path) {
                Ok(model) if model.weights_digest().0 == weights && model.tokenizer_digest().0 == tokenizer => {
                    let model = Arc::new(model);
                    loaded.insert(weights.to_vec(), model.clone());
                    return Ok(model);
                }
                Ok(model) => reasons.push(format!("{} is {}", path.display(), hex::encode(model.weights_digest().0))),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        let what = format!(
            "no base model here has the digest {}: {}; `attestune base register FILE` names one",
            hex::encode(weights),
            if reasons.is_empty() { "none is known".into() } else { reasons.join("; ") }
        );
        Err(WorkerError::Unfit(what))
    }
}
