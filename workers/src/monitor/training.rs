//! The frozen training set of a version as drift needs it: features of a sample of its members.

use super::drift::{Features, evenly};
use super::texts::Input;
use crate::{BaseModels, Context, WorkerError, context::parse_examples};
use attestune_ledger::{
    query,
    state::{Bases, ErasedExamples, Runs, Versions},
};
use attestune_proto::v1::{Member, Sealed};
use attestune_trainer::{digest::Digest, model::Embeddings};
use std::sync::Arc;

/// Members that are looked at, at most.
const MEMBERS_MAX: usize = 1_000;
/// Training sets that are kept in memory.
const KEPT_MAX: usize = 4;

/// Why inputs were compared, or not: the word that stands for it in a window's environment.
pub const COMPARED: &str = "compared";
const NO_TRAINING_SET: &str = "no-training-set";
const BASE_NOT_HERE: &str = "base-not-here";
const TOO_FEW: &str = "too-few-texts";

/// A training set and what its texts are told apart by.
pub struct Reference {
    dataset: u64,
    weights: Vec<u8>,
    embeddings: Arc<Embeddings>,
    pub members: Features,
}

impl Reference {
    /// Adds an input's features.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn add(&self, features: &mut Features, input: &Input) -> Result<(), WorkerError> {
        add(&self.embeddings, features, input)
    }
}

fn add(embeddings: &Embeddings, features: &mut Features, input: &Input) -> Result<(), WorkerError> {
    let tokens = match input {
        Input::Text(text) => &embeddings.tokens(text)?,
        Input::Tokens(tokens) => tokens,
    };
    features.add(tokens, embeddings.mean(tokens));
    Ok(())
}

/// References of versions that were looked at lately.
#[derive(Default)]
pub struct References(Vec<Arc<Reference>>);

impl References {
    /// That of a version, or the word for why there is none.
    ///
    /// # Errors
    /// If state or vault can't be read, or a text is no example.
    pub fn of(
        &mut self,
        context: &Context,
        models: &BaseModels,
        model: &str,
        version: u32,
    ) -> Result<Result<Arc<Reference>, &'static str>, WorkerError> {
        let Some((dataset, weights)) = trained_on(context, model, version) else { return Ok(Err(NO_TRAINING_SET)) };
        let same = |known: &&Arc<Reference>| known.dataset == dataset && known.weights == weights;
        if let Some(known) = self.0.iter().find(same) {
            return Ok(Ok(known.clone()));
        }
        let embeddings = match self.0.iter().find(|known| known.weights == weights) {
            Some(known) => known.embeddings.clone(),
            None => match embeddings(models, &weights) {
                Ok(embeddings) => embeddings,
                Err(WorkerError::NoBaseModel { .. }) => return Ok(Err(BASE_NOT_HERE)),
                Err(error) => return Err(error),
            },
        };
        let mut members = Features::default();
        for prompt in prompts(context, dataset)? {
            add(&embeddings, &mut members, &Input::Text(prompt))?;
        }
        if members.len() < super::drift::TEXTS_MIN {
            return Ok(Err(TOO_FEW));
        }
        let reference = Arc::new(Reference { dataset, weights, embeddings, members });
        if self.0.len() >= KEPT_MAX {
            self.0.remove(0);
        }
        self.0.push(reference.clone());
        Ok(Ok(reference))
    }
}

/// The dataset that a version was trained on, and the digest of its base model's weights; nothing for a version trained
/// elsewhere.
fn trained_on(context: &Context, model: &str, version: u32) -> Option<(u64, Vec<u8>)> {
    let store = context.view();
    let view = store.view();
    let version = view.get(&Versions::key(model, version))?;
    let run = view.get(&Runs::key(version.run?))?;
    Some((run.dataset, view.get(&Bases::key(version.base))?.weights_digest))
}

fn embeddings(models: &BaseModels, weights: &[u8]) -> Result<Arc<Embeddings>, WorkerError> {
    let path = models.path_of(weights)?;
    let missing = || WorkerError::NoBaseModel { digest: hex::encode(weights), searched: path.display().to_string() };
    let digest = weights.try_into().map(Digest).map_err(|_| missing())?;
    Ok(Arc::new(Embeddings::load(&path, digest)?))
}

/// Prompts of a sample of a dataset's members, evenly spaced; those that were erased since are left out.
fn prompts(context: &Context, dataset: u64) -> Result<Vec<String>, WorkerError> {
    let store = context.view();
    let mut members = query::list_members(&store, dataset)?.members;
    let view = store.view();
    let is_erased = |member: &Member| {
        let example = member.example.unwrap_or_default();
        let erased = view.get(&ErasedExamples::key(example.batch)).unwrap_or_default().erased;
        erased.get(example.index as usize / 8).is_some_and(|byte| byte >> (example.index % 8) & 1 == 1)
    };
    members.retain(|member| !is_erased(member));
    let sealed: Vec<Sealed> = evenly(&members, MEMBERS_MAX).into_iter().filter_map(|m| m.content.clone()).collect();
    let texts = parse_examples(dataset, &context.open_all("member", dataset, &sealed)?)?;
    Ok(texts.into_iter().map(|text| text.prompt).collect())
}

/// The word for a comparison that had too few inputs, or was made.
pub fn word(compared: bool) -> &'static str {
    if compared { COMPARED } else { TOO_FEW }
}
