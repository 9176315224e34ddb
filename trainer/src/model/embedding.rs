//! Token embeddings of a base model: enough to tell how texts differ, without the rest of the network.

use std::{path::Path, sync::Arc};

use super::{BaseModel, ModelError, ModelTokenizer};
use crate::{digest::Digest, nn::matrix::Matrix};

/// A base model's tokenizer and the vectors of its tokens.
#[derive(Debug)]
pub struct Embeddings {
    tokenizer: ModelTokenizer,
    /// `[vocabulary, hidden]`.
    vectors: Matrix,
}

impl Embeddings {
    /// Reads those of the model at `path`, whose weights must have this digest. The whole model is in memory meanwhile.
    ///
    /// # Errors
    /// As [`BaseModel::load_checked`].
    pub fn load(path: &Path, expected: Digest) -> Result<Self, ModelError> {
        Ok(Self::of(BaseModel::load_checked(path, expected)?))
    }

    fn of(base: BaseModel) -> Self {
        let vectors = match Arc::try_unwrap(base.weights) {
            Ok(weights) => weights.embedding,
            Err(shared) => shared.embedding.clone(),
        };
        Self { tokenizer: base.tokenizer, vectors }
    }

    /// The tokens of a text that stands for itself, without what a model expects before it.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.tokenizer.encode(text, false)
    }

    /// The mean of the vectors of `tokens`, `[hidden]`; zeros for none. Tokens outside of the vocabulary are passed over.
    pub fn mean(&self, tokens: &[u32]) -> Vec<f32> {
        let mut sum = vec![0f64; self.vectors.cols()];
        let mut count = 0u32;
        for token in tokens.iter().map(|token| *token as usize).filter(|token| *token < self.vectors.rows()) {
            sum.iter_mut().zip(self.vectors.row(token)).for_each(|(sum, value)| *sum += f64::from(*value));
            count += 1;
        }
        sum.into_iter().map(|sum| (sum / f64::from(count.max(1))) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tiny;

    #[test]
    fn a_texts_vector_is_the_mean_of_its_tokens_vectors() {
        let base = tiny(7);
        let embedding = base.weights.embedding.clone();
        let embeddings = Embeddings::of(base);
        let tokens = embeddings.tokens("ab").unwrap();
        assert_eq!(tokens.len(), 2, "each byte is a token of the tiny model");
        let expected =
            |at: usize| (embedding.row(tokens[0] as usize)[at] + embedding.row(tokens[1] as usize)[at]) / 2.0;
        let mean = embeddings.mean(&tokens);
        assert_eq!(mean.len(), 32);
        assert!(mean.iter().enumerate().all(|(at, value)| (value - expected(at)).abs() < 1e-6));
        assert_eq!(embeddings.mean(&[]), vec![0.0; 32]);
        assert_eq!(embeddings.mean(&[tokens[0], u32::MAX]), embeddings.mean(&tokens[..1]));
    }
}
