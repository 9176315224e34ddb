//! The dimensions of a Llama-family model, checked before anything of their size is allocated.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ModelError;

/// A model's dimensions, under Hugging Face's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The width of a token's state.
    pub hidden_size: usize,
    /// The width inside the MLP.
    pub intermediate_size: usize,
    /// How many layers.
    pub num_hidden_layers: usize,
    /// How many query heads a layer.
    pub num_attention_heads: usize,
    /// How many key and value heads a layer.
    pub num_key_value_heads: usize,
    /// The width of a head.
    pub head_dim: usize,
    /// How many tokens there are.
    pub vocab_size: usize,
    /// The longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// The base of the rotary embedding's frequencies.
    pub rope_theta: f64,
    /// Added under the root of the RMS norms.
    pub rms_norm_eps: f64,
    /// Whether the embedding is the output matrix, too.
    pub tie_word_embeddings: bool,
    /// The token that opens a text, if the tokenizer has one.
    pub bos_token_id: Option<u32>,
    /// The token that ends an answer.
    pub eos_token_id: u32,
}

impl ModelConfig {
    /// Refuses dimensions that don't fit together or that no real model has, so that a hostile
    /// file can't ask for any amount of memory.
    pub(super) fn check(self, path: &Path) -> Result<Self, ModelError> {
        let limits = [
            ("hidden_size", self.hidden_size, 16_384),
            ("intermediate_size", self.intermediate_size, 65_536),
            ("num_hidden_layers", self.num_hidden_layers, 256),
            ("num_attention_heads", self.num_attention_heads, 256),
            ("num_key_value_heads", self.num_key_value_heads, 256),
            ("head_dim", self.head_dim, 1_024),
            ("vocab_size", self.vocab_size, 1 << 20),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 24),
        ];
        for (name, value, max) in limits {
            if value == 0 || value > max {
                return Err(ModelError::malformed(path, format!("{name} is {value}; 1 to {max} is possible")));
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(ModelError::malformed(
                path,
                format!(
                    "{} query heads can't share {} key and value heads",
                    self.num_attention_heads, self.num_key_value_heads
                ),
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(ModelError::malformed(path, format!("head_dim is {}, an odd number", self.head_dim)));
        }
        if self.eos_token_id as usize >= self.vocab_size {
            return Err(ModelError::malformed(path, format!("no token {} to end an answer", self.eos_token_id)));
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.rope_theta) || !positive(self.rms_norm_eps) {
            return Err(ModelError::malformed(path, "rope_theta and rms_norm_eps must be positive"));
        }
        Ok(self)
    }
}
