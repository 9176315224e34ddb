//! Prints the tokens of texts, to compare a tokenizer with another implementation of it.
//!
//! ```text
//! tokens MODEL TEXTS [SEPARATOR]
//! ```
//! `MODEL` is a folder or a GGUF (one without weights will do), `TEXTS` a file whose texts stand between lines that
//! are SEPARATOR alone. Each text is one line of the output: its tokens without the one that begins a text, each
//! after a space.

use std::{error::Error, path::Path};

use attestune_trainer::model::ModelTokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (model, texts, separator) = match &args[..] {
        [model, texts] => (model, texts, "__ggml_vocab_test__"),
        [model, texts, separator] => (model, texts, separator.as_str()),
        _ => return Err("usage: tokens MODEL TEXTS [SEPARATOR]".into()),
    };
    let tokenizer = ModelTokenizer::load(Path::new(model))?;
    let texts = std::fs::read_to_string(texts)?;
    let separator = format!("\n{separator}\n");
    let mut texts: Vec<&str> = texts.split(&separator).collect();
    // The last one ends in the separator.
    if texts.last() == Some(&"") {
        texts.pop();
    }
    for text in texts {
        let tokens = tokenizer.encode(text, false)?;
        println!("{}", tokens.iter().map(|token| format!(" {token}")).collect::<String>());
    }
    Ok(())
}
