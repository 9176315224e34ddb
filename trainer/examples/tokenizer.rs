//! Writes a model's tokenizer as Hugging Face's `transformers` reads it: `tokenizer.json`, and a `tokenizer_config.json`
//! that says no more than that.
//!
//! ```text
//! tokenizer MODEL OUT
//! ```

use std::{error::Error, path::Path};

use attestune_trainer::model::ModelTokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, out] = &args[..] else { return Err("usage: tokenizer MODEL OUT".into()) };
    let (tokenizer, out) = (ModelTokenizer::load(Path::new(model))?, Path::new(out));
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("tokenizer.json"), tokenizer.json())?;
    std::fs::write(out.join("tokenizer_config.json"), r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#)?;
    Ok(())
}
