//! The base model as it is served: weights as they stand in their file, tokenizer, chat template.

use std::path::Path;

use super::{
    network::{Layer, Network},
    quant::{Linear, Part, kernels},
    template::{ChatTemplate, Message, TemplateError},
};
use crate::{
    adapter::{Adapter, AdapterError},
    digest::Digest,
    model::{BaseModel, ModelConfig, ModelError, ModelTokenizer, QuantisedFile, folder_chat_template},
    nn::{
        attention::{Heads, Rotary},
        matrix::Matrix,
        network::{LayerWeights, Weights},
    },
    serve::delta::Deltas,
};

/// A base model that answers. It is read once; adapters are laid beside it.
#[derive(Debug)]
pub struct ServedBase {
    pub(super) config: ModelConfig,
    pub(super) network: Network,
    pub(super) tokenizer: ModelTokenizer,
    template: Option<ChatTemplate>,
    weights_digest: Digest,
    tokenizer_digest: Digest,
}

/// An adapter made ready for a base.
#[derive(Debug)]
pub struct ServedAdapter(pub(super) Deltas);

impl ServedBase {
    /// Reads a GGUF, whose weights stay quantised, or a folder with safetensors; the weights must have this SHA-256.
    ///
    /// # Errors
    /// As [`BaseModel::load_checked`], and if the chat template is none.
    pub fn load(path: &Path, weights: Digest) -> Result<Self, ModelError> {
        let parsed = |text: Option<String>| text.map(|text| ChatTemplate::new(path, text)).transpose();
        if path.is_dir() {
            let template = parsed(folder_chat_template(path)?)?;
            let BaseModel { config, weights, tokenizer, weights_digest, tokenizer_digest } =
                BaseModel::load_checked(path, weights)?;
            let network = of_weights(&weights, &config);
            return Ok(Self { config, network, tokenizer, template, weights_digest, tokenizer_digest });
        }
        let file = QuantisedFile::read(path, weights)?;
        let network = of_file(&file)?;
        let QuantisedFile { config, tokenizer, template, weights_digest, tokenizer_digest, .. } = file;
        let template = parsed(template)?;
        Ok(Self { config, network, tokenizer, template, weights_digest, tokenizer_digest })
    }

    /// The SHA-256 of its weights, as [`BaseModel::weights_digest`].
    pub fn weights_digest(&self) -> Digest {
        self.weights_digest
    }

    /// As [`BaseModel::tokenizer_digest`].
    pub fn tokenizer_digest(&self) -> Digest {
        self.tokenizer_digest
    }

    /// The chat template, if the model came with one.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// A conversation as the text that the model was taught to go on from, by its chat template.
    ///
    /// # Errors
    /// If the template doesn't take these messages.
    pub fn render(&self, template: &ChatTemplate, messages: &[Message]) -> Result<String, TemplateError> {
        let text = |token: Option<u32>| {
            let piece = token.and_then(|token| self.tokenizer.piece(token));
            piece.map_or_else(String::new, |piece| String::from_utf8_lossy(&piece.bytes).into_owned())
        };
        template.render(messages, &text(self.config.bos_token_id), &text(Some(self.config.eos_token_id)))
    }

    /// The longest sequence, in tokens.
    pub fn context(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// Text to tokens and back.
    pub fn tokenizer(&self) -> &ModelTokenizer {
        &self.tokenizer
    }

    /// Bytes that its weights take.
    pub fn bytes(&self) -> usize {
        self.network.bytes()
    }

    /// The processor's kernels that it computes with: `avx512`, `avx2` or `portable`.
    pub fn kernels(&self) -> &'static str {
        kernels()
    }

    /// Makes an adapter ready.
    ///
    /// # Errors
    /// If it is for another base model.
    pub fn adapter(&self, adapter: &Adapter) -> Result<ServedAdapter, AdapterError> {
        Ok(ServedAdapter(Deltas::new(&adapter.layers(&self.config)?)))
    }
}

/// Floating-point weights, as a folder holds them.
fn of_weights(weights: &Weights, config: &ModelConfig) -> Network {
    let dense = |matrix: &Matrix| Linear::new(vec![Part::Dense(matrix.clone())]);
    let layer = |layer: &LayerWeights| Layer {
        attention_norm: layer.attention_norm.clone(),
        qkv: dense(&layer.qkv),
        o: dense(&layer.o),
        mlp_norm: layer.mlp_norm.clone(),
        gate_up: dense(&layer.gate_up),
        down: dense(&layer.down),
    };
    Network {
        embedding: dense(&weights.embedding),
        layers: weights.layers.iter().map(layer).collect(),
        norm: weights.norm.clone(),
        output: weights.output.as_ref().map(dense),
        heads: weights.heads,
        rotary: weights.rotary.clone(),
        eps: weights.eps,
        hidden: config.hidden_size,
    }
}

fn of_file(file: &QuantisedFile) -> Result<Network, ModelError> {
    let config = &file.config;
    let heads =
        Heads { query: config.num_attention_heads, key_value: config.num_key_value_heads, dim: config.head_dim };
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let linear = |parts: &[(&str, usize, Order)], cols: usize| {
        let part = |(name, rows, order): &(&str, usize, Order)| {
            let (kind, bytes) = file.tensor(name, &[*rows, cols])?;
            let order: Vec<usize> = match order {
                Order::AsItStands => (0..*rows).collect(),
                Order::HalvesApart => halves_apart(*rows, heads.dim),
            };
            Part::read(kind, cols, bytes, &order).map_err(|error| file.malformed(format!("tensor `{name}`: {error}")))
        };
        Ok::<_, ModelError>(Linear::new(parts.iter().map(part).collect::<Result<_, _>>()?))
    };
    let layer = |i: usize| {
        let named = |name: &str| format!("blk.{i}.{name}.weight");
        let plain = |name: &str, rows, cols| linear(&[(&named(name), rows, Order::AsItStands)], cols);
        let qkv = [
            (&*named("attn_q"), heads.query_width(), Order::HalvesApart),
            (&*named("attn_k"), heads.key_value_width(), Order::HalvesApart),
            (&*named("attn_v"), heads.key_value_width(), Order::AsItStands),
        ];
        let gate_up = [(&*named("ffn_gate"), inner, Order::AsItStands), (&*named("ffn_up"), inner, Order::AsItStands)];
        Ok::<_, ModelError>(Layer {
            attention_norm: file.numbers(&named("attn_norm"), hidden)?,
            qkv: linear(&qkv, hidden)?,
            o: plain("attn_output", hidden, heads.query_width())?,
            mlp_norm: file.numbers(&named("ffn_norm"), hidden)?,
            gate_up: linear(&gate_up, hidden)?,
            down: plain("ffn_down", hidden, inner)?,
        })
    };
    let whole = |name| linear(&[(name, config.vocab_size, Order::AsItStands)], hidden);
    Ok(Network {
        embedding: whole("token_embd.weight")?,
        layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
        norm: file.numbers("output_norm.weight", hidden)?,
        output: if config.tie_word_embeddings { None } else { Some(whole("output.weight")?) },
        heads,
        rotary: Rotary::new(config.frequencies()),
        eps: config.rms_norm_eps as f32,
        hidden,
    })
}

/// In which order a tensor's rows are taken.
#[derive(Clone, Copy)]
enum Order {
    AsItStands,
    /// Of query and key: see [`halves_apart`].
    HalvesApart,
}

/// GGUF puts the two numbers of a head that turn together side by side; in Hugging Face's order, and so in PEFT's
/// adapters, they are half a head apart.
fn halves_apart(rows: usize, dim: usize) -> Vec<usize> {
    let half = dim / 2;
    let head = |start: usize| (0..half).map(|i| 2 * i).chain((0..half).map(|i| 2 * i + 1)).map(move |i| start + i);
    (0..rows).step_by(dim).flat_map(head).collect()
}
