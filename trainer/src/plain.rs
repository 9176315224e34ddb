//! The same network in plain candle operations with candle's own differentiation: what the fused
//! layers are checked against and timed against. It reads a model's Hugging Face folder.
//!
//! Not for use: it is slower and takes more memory. Feature `plain` has it for the benches.

use std::{collections::BTreeMap, path::Path};

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{
    AdamW, Optimizer as _, ParamsAdamW,
    ops::{log_softmax, rms_norm_slow, silu, softmax},
    rotary_emb::rope_slow,
};
use serde::Deserialize;

use crate::train::TrainExample;

#[derive(Deserialize)]
struct Config {
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    rope_theta: f64,
    rms_norm_eps: f64,
}

/// Tokens, and where the answer begins among them.
pub type Example = (Vec<u32>, usize);

/// A network with adapters on some of its linear maps.
pub struct Plain {
    config: Config,
    tensors: std::collections::HashMap<String, Tensor>,
    /// By module path: `a`, `b`.
    adapters: BTreeMap<String, (Var, Var)>,
    scale: f64,
}

/// The examples as the trainer counts them: prompt, answer, end token.
///
/// # Errors
/// If the folder holds no tokenizer or configuration.
pub fn encode(folder: &Path, examples: &[TrainExample]) -> Result<Vec<Example>> {
    let tokenizer = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).map_err(candle_core::Error::msg)?;
    let config: EndToken = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?).map_err(wrap)?;
    let tokens =
        |text: &str| tokenizer.encode(text, false).map(|e| e.get_ids().to_vec()).map_err(candle_core::Error::msg);
    let mut all = Vec::with_capacity(examples.len());
    for example in examples {
        let prompt = tokens(&example.prompt)?;
        let answer = prompt.len();
        all.push(([prompt, tokens(&example.answer)?, vec![config.eos_token_id]].concat(), answer));
    }
    Ok(all)
}

#[derive(Deserialize)]
struct EndToken {
    eos_token_id: u32,
}

fn wrap(error: serde_json::Error) -> candle_core::Error {
    candle_core::Error::wrap(error)
}

impl Plain {
    /// `adapter` holds the bytes of an `adapter_model.safetensors`, which counts `scale` times.
    ///
    /// # Errors
    /// If a file is missing or not what its name says.
    pub fn load(folder: &Path, adapter: &[u8], scale: f64) -> Result<Self> {
        let config = std::fs::read(folder.join("config.json"))?;
        let config = serde_json::from_slice(&config).map_err(wrap)?;
        let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
        let loaded = candle_core::safetensors::load_buffer(adapter, &Device::Cpu)?;
        let mut adapters = BTreeMap::new();
        for (name, a) in &loaded {
            if let Some(module) = name.strip_suffix(".lora_A.weight") {
                let b = &loaded[&format!("{module}.lora_B.weight")];
                let module = module.trim_start_matches("base_model.model.").to_owned();
                adapters.insert(module, (Var::from_tensor(a)?, Var::from_tensor(b)?));
            }
        }
        Ok(Self { config, tensors, adapters, scale })
    }

    /// The adapters' matrices under PEFT's names.
    pub fn variables(&self) -> BTreeMap<String, Var> {
        let mut all = BTreeMap::new();
        for (module, (a, b)) in &self.adapters {
            all.insert(format!("base_model.model.{module}.lora_A.weight"), a.clone());
            all.insert(format!("base_model.model.{module}.lora_B.weight"), b.clone());
        }
        all
    }

    /// Trains on one batch with AdamW, no warm-up and the rate falling to zero after the last step; answers the loss
    /// of the last step.
    ///
    /// # Errors
    /// If an operation of candle fails.
    pub fn train(&self, batch: &[Example], steps: u32, rate: f64) -> Result<f32> {
        let parameters = ParamsAdamW { lr: rate, weight_decay: 0.0, ..ParamsAdamW::default() };
        let mut optimiser = AdamW::new(self.variables().into_values().collect(), parameters)?;
        let mut last = 0.0;
        for step in 1..=steps {
            optimiser.set_learning_rate(rate * f64::from(steps - step + 1) / f64::from(steps + 1));
            let loss = self.loss(batch)?;
            optimiser.backward_step(&loss)?;
            last = loss.to_scalar()?;
        }
        Ok(last)
    }

    /// The mean loss over the answers' tokens; the end of shorter examples is padded.
    ///
    /// # Errors
    /// If an operation of candle fails.
    pub fn loss(&self, batch: &[Example]) -> Result<Tensor> {
        let longest = batch.iter().map(|(tokens, _)| tokens.len()).max().unwrap_or(0);
        let (mut padded, mut rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (tokens, answer)) in batch.iter().enumerate() {
            padded.extend_from_slice(tokens);
            padded.resize((i + 1) * longest, 0);
            rows.extend((*answer..tokens.len()).map(|t| (i * longest + t - 1) as u32));
            targets.extend_from_slice(&tokens[*answer..]);
        }
        let tokens = Tensor::from_vec(padded, (batch.len(), longest), &Device::Cpu)?;
        let hidden = self.hidden(&tokens)?.flatten_to(1)?;
        let rows = Tensor::new(rows, &Device::Cpu)?;
        let logits = self.logits(&hidden.index_select(&rows, 0)?)?;
        let targets = Tensor::new(targets, &Device::Cpu)?.unsqueeze(1)?;
        log_softmax(&logits, D::Minus1)?.gather(&targets, 1)?.neg()?.mean_all()
    }

    /// Logits `[tokens, vocabulary]` of one sequence.
    ///
    /// # Errors
    /// If an operation of candle fails.
    pub fn sequence_logits(&self, tokens: &[u32]) -> Result<Tensor> {
        self.logits(&self.hidden(&Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?)?.squeeze(0)?)
    }

    fn hidden(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, length) = tokens.dims2()?;
        let mut x = self.tensors["model.embed_tokens.weight"].index_select(&tokens.flatten_all()?, 0)?.reshape((
            batch,
            length,
            (),
        ))?;
        let (cos, sin) = self.rotary(length)?;
        let mask: Vec<f32> =
            (0..length).flat_map(|t| (0..length).map(move |s| if s > t { f32::NEG_INFINITY } else { 0.0 })).collect();
        let mask = Tensor::from_vec(mask, (length, length), &Device::Cpu)?;
        for layer in 0..self.config.num_hidden_layers {
            let path = |name: &str| format!("model.layers.{layer}.{name}");
            let normed = self.norm(&x, &path("input_layernorm"))?;
            let attended = self.attention(&normed, &path("self_attn"), &cos, &sin, &mask)?;
            x = (x + attended)?;
            let normed = self.norm(&x, &path("post_attention_layernorm"))?;
            let gate = silu(&self.linear(&normed, &path("mlp.gate_proj"))?)?;
            let up = self.linear(&normed, &path("mlp.up_proj"))?;
            x = (x + self.linear(&(gate * up)?, &path("mlp.down_proj"))?)?;
        }
        self.norm(&x, "model.norm")
    }

    fn attention(&self, x: &Tensor, path: &str, cos: &Tensor, sin: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (batch, length, _) = x.dims3()?;
        let (heads, shared, dim) =
            (self.config.num_attention_heads, self.config.num_key_value_heads, self.config.head_dim);
        let split = |name: &str, heads: usize| {
            self.linear(x, &format!("{path}.{name}"))?
                .reshape((batch, length, heads, dim))?
                .transpose(1, 2)?
                .contiguous()
        };
        let repeat = |x: Tensor| {
            x.unsqueeze(2)?
                .broadcast_as((batch, shared, heads / shared, length, dim))?
                .reshape((batch, heads, length, dim))
        };
        let query = rope_slow(&split("q_proj", heads)?, cos, sin)?;
        let key = repeat(rope_slow(&split("k_proj", shared)?, cos, sin)?)?;
        let value = repeat(split("v_proj", shared)?)?;
        let scores = (query.matmul(&key.t()?)? / (dim as f64).sqrt())?.broadcast_add(mask)?;
        let attended = softmax(&scores, D::Minus1)?.matmul(&value)?;
        let attended = attended.transpose(1, 2)?.reshape((batch, length, heads * dim))?;
        self.linear(&attended, &format!("{path}.o_proj"))
    }

    fn linear(&self, x: &Tensor, module: &str) -> Result<Tensor> {
        // As a matrix: candle would else make a gradient of the weight for every example.
        let rows = x.flatten_to(D::Minus2)?;
        let mut y = rows.matmul(&self.tensors[&format!("{module}.weight")].t()?)?;
        if let Some((a, b)) = self.adapters.get(module) {
            y = (y + (rows.matmul(&a.t()?)?.matmul(&b.t()?)? * self.scale)?)?;
        }
        let mut shape = x.dims().to_vec();
        shape.pop();
        shape.push(y.dim(1)?);
        y.reshape(shape)
    }

    fn norm(&self, x: &Tensor, module: &str) -> Result<Tensor> {
        rms_norm_slow(x, &self.tensors[&format!("{module}.weight")], self.config.rms_norm_eps as f32)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let output = self.tensors.get("lm_head.weight").unwrap_or(&self.tensors["model.embed_tokens.weight"]);
        hidden.matmul(&output.t()?)
    }

    /// Cosines and sines, `[length, head_dim / 2]`.
    fn rotary(&self, length: usize) -> Result<(Tensor, Tensor)> {
        let half = self.config.head_dim / 2;
        let angles: Vec<f64> = (0..length)
            .flat_map(|t| (0..half).map(move |i| (t, i)))
            .map(|(t, i)| t as f64 * self.config.rope_theta.powf(-(i as f64) / half as f64))
            .collect();
        let angles = Tensor::from_vec(angles, (length, half), &Device::Cpu)?;
        Ok((angles.cos()?.to_dtype(DType::F32)?, angles.sin()?.to_dtype(DType::F32)?))
    }
}
