//! The dimensions of a Llama-family model, checked before anything of their size is allocated.

use std::{f64::consts::TAU, path::Path};

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
    /// How those frequencies are scaled, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Added under the root of the RMS norms.
    pub rms_norm_eps: f64,
    /// Whether the embedding is the output matrix, too.
    pub tie_word_embeddings: bool,
    /// The token that opens a text, if the tokenizer has one.
    pub bos_token_id: Option<u32>,
    /// The token that ends an answer.
    pub eos_token_id: u32,
}

/// How the rotary embedding's frequencies are scaled so that longer texts can be read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Every frequency divided by the same factor (Chen and others, "Extending context window of large language
    /// models via positional interpolation", 2023).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1's: slow frequencies divided, fast ones left, those between blended.
    Llama3 {
        /// The divisor of slow frequencies.
        factor: f64,
        /// A wave longer than the original context divided by this is slow.
        low_freq_factor: f64,
        /// A wave shorter than the original context divided by this is fast.
        high_freq_factor: f64,
        /// The context of the training before the scaling, in tokens.
        original_max_position_embeddings: usize,
    },
}

impl RopeScaling {
    /// The scaling of Llama 3.1 and later that divides frequencies by these factors, `[head_dim / 2]`. A GGUF keeps
    /// the factors alone; their parameters are the same in every Llama but for the divisor.
    pub(super) fn of_factors(config: &ModelConfig, factors: &[f32]) -> Option<Self> {
        let factor = factors.iter().copied().fold(1.0, f32::max);
        let scaling = Self::Llama3 {
            factor: f64::from(factor),
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8_192,
        };
        let plain = ModelConfig { rope_scaling: None, ..config.clone() }.frequencies();
        let same = |(plain, factor): (&f64, &f32)| {
            let expected = plain / scaling.scale(*plain);
            (expected / f64::from(*factor) - 1.0).abs() < 1e-4
        };
        plain.iter().zip(factors).all(same).then_some(scaling)
    }

    fn scale(self, frequency: f64) -> f64 {
        match self {
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let waves = original_max_position_embeddings as f64 * frequency / TAU;
                let fast = ((waves - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                frequency * (fast + (1.0 - fast) / factor)
            }
        }
    }

    fn is_sound(self) -> bool {
        match self {
            Self::Linear { factor } => factor.is_finite() && factor >= 1.0,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                Self::Linear { factor }.is_sound()
                    && 0.0 < low_freq_factor
                    && low_freq_factor < high_freq_factor
                    && high_freq_factor.is_finite()
                    && (1..=1 << 24).contains(&original_max_position_embeddings)
            }
        }
    }
}

impl ModelConfig {
    /// What each pair of a head's numbers turns by from one position to the next, in radians:
    /// `[head_dim / 2]`.
    pub(crate) fn frequencies(&self) -> Vec<f64> {
        let half = self.head_dim / 2;
        let plain = (0..half).map(|i| self.rope_theta.powf(-(i as f64) / half as f64));
        plain.map(|frequency| self.rope_scaling.map_or(frequency, |scaling| scaling.scale(frequency))).collect()
    }

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
        if self.rope_scaling.is_some_and(|scaling| !scaling.is_sound()) {
            return Err(ModelError::malformed(path, "its rope_scaling has a factor below 1 or bounds that cross"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_of_llama_3_are_kept_slowed_or_blended() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8_192,
        };
        let waves = |n: f64| n * TAU / 8_192.0;
        assert_eq!(scaling.scale(waves(4.5)), waves(4.5));
        assert_eq!(scaling.scale(waves(0.5)), waves(0.5) / 8.0);
        // Half way between 1 and 4 waves: the mean of kept and slowed.
        let blended = scaling.scale(waves(2.5)) / waves(2.5);
        assert!((blended - (1.0 + 1.0 / 8.0) / 2.0).abs() < 1e-12, "{blended}");
    }
}
