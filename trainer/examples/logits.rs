//! Writes what another implementation needs to check this one: the base model as a Hugging Face
//! folder and the logits after every token of some texts, with the adapter and without.
//!
//! ```text
//! cargo run -p attestune-trainer --example logits -- MODEL ADAPTER OUT [TEXT …]
//! ```
//! `OUT/base` is the exported model (left out where it is there already), `OUT/logits.safetensors`
//! holds `tokens.N` `[tokens]`, `base.N` and `adapted.N` `[tokens, vocabulary]` for text N, and
//! `OUT/texts.json` the texts.

use std::{collections::HashMap, error::Error, path::Path};

use attestune_trainer::{adapter::Adapter, generate::Model, model::BaseModel};
use candle_core::{Device, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, adapter, out, texts @ ..] = &args[..] else {
        return Err("usage: logits MODEL ADAPTER OUT [TEXT …]".into());
    };
    let out = Path::new(out);
    let base = BaseModel::load(Path::new(model))?;
    let adapter = Adapter::load(Path::new(adapter))?;
    if !out.join("base/model.safetensors").exists() {
        base.export(&out.join("base"))?;
    }

    let (plain, adapted) = (Model::new(&base, None)?, Model::new(&base, Some(&adapter))?);
    let mut tensors = HashMap::new();
    for (i, text) in texts.iter().enumerate() {
        for (name, model) in [("base", &plain), ("adapted", &adapted)] {
            let (tokens, logits) = model.logits(text)?;
            let shape = (tokens.len(), base.config().vocab_size);
            tensors.insert(format!("{name}.{i}"), Tensor::from_vec(logits, shape, &Device::Cpu)?);
            tensors.insert(format!("tokens.{i}"), Tensor::new(tokens, &Device::Cpu)?);
        }
    }
    candle_core::safetensors::save(&tensors, out.join("logits.safetensors"))?;
    std::fs::write(out.join("texts.json"), serde_json::to_vec(texts)?)?;
    Ok(())
}
