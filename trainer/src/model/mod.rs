//! Base models of the Llama family: read from a GGUF file or a Hugging Face folder, checked by
//! digest, exported for other tools.

mod config;
mod embedding;
pub(crate) mod export;
mod folder;
mod gguf;
mod metadata;
mod quantised;
mod tiny;
mod tokenizer;
mod vocabulary;

use std::{
    fmt::Write as _,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use crate::{digest::Digest, nn::network::Weights};

pub use config::{ModelConfig, RopeScaling};
pub use embedding::Embeddings;
pub(crate) use quantised::{QuantisedFile, folder_chat_template};
#[cfg(test)]
pub(crate) use tiny::tiny;
pub use tiny::write_tiny_model;
pub use tokenizer::{ModelTokenizer, TokenPiece};

/// The largest weights file that is read, in bytes.
const WEIGHTS_BYTES_MAX: u64 = 64 << 30;
/// The largest tokenizer or configuration file that is read, in bytes.
const SIDE_FILE_BYTES_MAX: u64 = 64 << 20;

/// A base model in memory, in f32: weights, configuration and tokenizer.
#[derive(Debug)]
pub struct BaseModel {
    pub(crate) config: ModelConfig,
    pub(crate) weights: Arc<Weights>,
    pub(crate) tokenizer: ModelTokenizer,
    pub(crate) weights_digest: Digest,
    pub(crate) tokenizer_digest: Digest,
}

impl BaseModel {
    /// Reads a GGUF file, or a folder with `config.json`, `tokenizer.json` and
    /// `model.safetensors` (or its parts, with `model.safetensors.index.json`).
    ///
    /// # Errors
    /// If a file is missing, too large, not what it claims, or of another architecture.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        Self::load_expecting(path, None)
    }

    /// As [`BaseModel::load`], but the weights file must have this SHA-256; it is compared before
    /// anything of the file is parsed.
    ///
    /// # Errors
    /// As [`BaseModel::load`], and [`ModelError::WrongDigest`].
    pub fn load_checked(path: &Path, expected: Digest) -> Result<Self, ModelError> {
        Self::load_expecting(path, Some(expected))
    }

    fn load_expecting(path: &Path, expected: Option<Digest>) -> Result<Self, ModelError> {
        if path.is_dir() { folder::load(path, expected) } else { gguf::load(path, expected) }
    }

    /// The model's [`weights_digest`].
    pub fn weights_digest(&self) -> Digest {
        self.weights_digest
    }

    /// The SHA-256 of `tokenizer.json`: the file's bytes for a folder; for a GGUF those of the
    /// `tokenizer.json` that stands for its metadata (the one [`BaseModel::export`] writes).
    pub fn tokenizer_digest(&self) -> Digest {
        self.tokenizer_digest
    }

    /// Layers, widths and the rest.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Writes `config.json`, `tokenizer.json` and `model.safetensors` (f32, Hugging Face's names)
    /// into `folder`, so that Python's `transformers` and `peft` can load the model.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn export(&self, folder: &Path) -> Result<(), ModelError> {
        export::write_all(self, folder)
    }
}

/// Why a base model can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file can't be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file can't be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is larger than any that is read.
    #[error("{path} has {bytes} bytes; at most {max} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The weights are not those that were asked for.
    #[error(
        "{path} has SHA-256 {found}, expected {expected}: this is another model, or the file is damaged; \
         fetch it again"
    )]
    WrongDigest {
        /// The weights file.
        path: PathBuf,
        /// The digest asked for.
        expected: Digest,
        /// The digest found.
        found: Digest,
    },
    /// A file is not what its name or header claims.
    #[error("{path} is damaged or no model: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file is well-formed, but of a kind that isn't supported.
    #[error("{path} can't be used: {reason}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What isn't supported, and what is.
        reason: String,
    },
    /// The tokenizer failed on a text.
    #[error("the tokenizer can't encode a text of {bytes} bytes: {reason}")]
    Tokenizer {
        /// The text's length.
        bytes: usize,
        /// What it said.
        reason: String,
    },
}

impl ModelError {
    fn malformed(path: &Path, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }

    fn unsupported(path: &Path, reason: impl ToString) -> Self {
        Self::Unsupported { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// The SHA-256 of a model's weights: of the GGUF, or of the folder's `model.safetensors`. Where the weights lie in
/// several files it is that of what `sha256sum` prints for them in order of their names, so
/// `sha256sum model-*.safetensors | sha256sum` gives it. Files are read through, not into memory.
///
/// # Errors
/// If a file can't be read.
pub fn weights_digest(path: &Path) -> Result<Digest, ModelError> {
    let mut digests = Vec::new();
    for path in weights_files(path)? {
        let failed = |source| ModelError::Read { path: path.clone(), source };
        let mut file = std::fs::File::open(&path).map_err(failed)?;
        let (mut hash, mut bytes) = (Sha256::new(), vec![0; 1 << 20]);
        loop {
            match file.read(&mut bytes).map_err(failed)? {
                0 => break,
                count => hash.update(&bytes[..count]),
            }
        }
        digests.push((path, Digest(hash.finalize().into())));
    }
    Ok(digest_of_files(digests.iter().map(|(path, digest)| (path.as_path(), *digest))))
}

/// The files that hold a model's weights, ascending by name.
///
/// # Errors
/// If an index can't be read.
pub fn weights_files(path: &Path) -> Result<Vec<PathBuf>, ModelError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (one, index) = (path.join(folder::WEIGHTS), path.join(folder::INDEX));
    if one.exists() || !index.exists() { Ok(vec![one]) } else { folder::files_of_index(&index) }
}

/// [`weights_digest`] from those of the files, ascending by name.
fn digest_of_files<'a>(files: impl ExactSizeIterator<Item = (&'a Path, Digest)>) -> Digest {
    let several = files.len() > 1;
    let mut listing = String::new();
    for (path, digest) in files {
        if !several {
            return digest;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        writeln!(listing, "{digest}  {name}").expect("a string takes all that is written to it");
    }
    Digest::of(listing.as_bytes())
}

fn wrong_digest(path: &Path, expected: Digest, found: Digest) -> ModelError {
    ModelError::WrongDigest { path: path.to_owned(), expected, found }
}

/// Reads a weights file and compares its digest before anyone parses it.
fn read_weights(path: &Path, expected: Option<Digest>) -> Result<(Vec<u8>, Digest), ModelError> {
    let bytes = read(path, WEIGHTS_BYTES_MAX)?;
    let found = Digest::of(&bytes);
    match expected {
        Some(expected) if expected != found => Err(wrong_digest(path, expected, found)),
        _ => Ok((bytes, found)),
    }
}

/// Reads a whole file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>, ModelError> {
    let failed = |source| ModelError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > max {
        return Err(ModelError::TooLarge { path: path.to_owned(), bytes, max });
    }
    std::fs::read(path).map_err(failed)
}

/// Writes a file by way of a temporary name, so that no half-written file ever has the name.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let temporary = path.with_extension("part");
    let written = std::fs::File::create(&temporary).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    });
    written.map_err(|source| ModelError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
