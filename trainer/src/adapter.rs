//! A trained adapter, on disk under the names that Python's `peft` gives it.

use std::{collections::BTreeMap, path::Path};

use candle_core::{DType, Device, safetensors::SliceSafetensors};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, Target},
    device::DeviceError,
    digest::Digest,
    model::{
        BaseModel, ModelConfig, ModelError,
        export::{Tensor, safetensors_bytes},
        read, write,
    },
    nn::{
        linear::{LowRank, Part},
        matrix::Matrix,
        network::LayerAdapters,
    },
    rng::Rng,
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const FILE_BYTES_MAX: u64 = 4 << 30;
/// The configuration's name in the header of a packed adapter.
const PACKED_CONFIG: &str = "adapter_config";

/// Low-rank adapters for some linear maps of every layer of one base model.
#[derive(Clone, Debug)]
pub struct Adapter {
    rank: u32,
    alpha: u32,
    targets: Vec<Target>,
    /// By name and shape, as they stand in the file.
    tensors: BTreeMap<String, Matrix>,
}

/// What of `adapter_config.json` is written and read.
#[derive(Serialize, Deserialize)]
struct ConfigFile {
    peft_type: String,
    task_type: Option<String>,
    base_model_name_or_path: Option<String>,
    r: u32,
    lora_alpha: u32,
    #[serde(default)]
    lora_dropout: f32,
    target_modules: Vec<String>,
    #[serde(default = "no_bias")]
    bias: String,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, u32>,
    #[serde(default)]
    inference_mode: bool,
}

fn no_bias() -> String {
    "none".to_owned()
}

/// Why an adapter can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file can't be read or written, or is no adapter.
    #[error(transparent)]
    File(#[from] ModelError),
    /// The adapter names linear maps that can't be adapted.
    #[error("the adapter's configuration: {0}")]
    Config(#[from] ConfigError),
    /// A card failed, or has not enough memory.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The adapter is for another base model.
    #[error("the adapter doesn't fit this base model: `{tensor}` is {found}, expected {expected}")]
    WrongBase {
        /// The tensor that doesn't fit.
        tensor: String,
        /// Its shape, or that it is missing.
        found: String,
        /// The shape the base model asks for.
        expected: String,
    },
}

impl Adapter {
    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `folder`, for PEFT's
    /// `PeftModel.from_pretrained`. The same adapter gives the same bytes.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn save(&self, folder: &Path) -> Result<(), AdapterError> {
        std::fs::create_dir_all(folder).map_err(|source| ModelError::Write { path: folder.to_owned(), source })?;
        write(&folder.join(CONFIG), &self.config_bytes())?;
        write(&folder.join(WEIGHTS), &self.weights_bytes())?;
        Ok(())
    }

    /// Reads what [`Adapter::save`] or PEFT wrote.
    ///
    /// # Errors
    /// If a file is missing or damaged, or asks for a variant of LoRA that isn't supported.
    pub fn load(folder: &Path) -> Result<Self, AdapterError> {
        let config = read(&folder.join(CONFIG), FILE_BYTES_MAX)?;
        let weights = read(&folder.join(WEIGHTS), FILE_BYTES_MAX)?;
        Self::parse(folder, &config, &weights)
    }

    /// As [`Adapter::load`], from the bytes of the two files.
    ///
    /// # Errors
    /// As [`Adapter::load`].
    pub fn from_bytes(config: &[u8], weights: &[u8]) -> Result<Self, AdapterError> {
        Self::parse(Path::new("the adapter"), config, weights)
    }

    /// As [`Adapter::load`], from the one file that [`Adapter::packed_bytes`] makes.
    ///
    /// # Errors
    /// As [`Adapter::load`], and if there is no configuration in its header.
    pub fn from_packed(bytes: &[u8]) -> Result<Self, AdapterError> {
        let path = Path::new("the adapter");
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|e| ModelError::Malformed { path: path.to_owned(), reason: e.to_string() })?;
        let config = header.metadata().as_ref().and_then(|pairs| pairs.get(PACKED_CONFIG));
        let config = config.ok_or_else(|| ModelError::Unsupported {
            path: path.to_owned(),
            reason: format!(
                "its header has no `{PACKED_CONFIG}`, so nothing says how its weights count; pack it together with \
                 its adapter_config.json"
            ),
        })?;
        Self::parse(path, config.as_bytes(), bytes)
    }

    /// `adapter_model.safetensors` with the configuration in its header: one file that says all, in which form an
    /// adapter from elsewhere is registered. What reads safetensors reads it as before. The same adapter gives the
    /// same bytes.
    pub fn packed_bytes(&self) -> Vec<u8> {
        let config =
            serde_json::to_string(&self.config_file()).expect("a configuration of plain values can be written");
        self.safetensors(PACKED_CONFIG, config)
    }

    /// The bytes of `adapter_model.safetensors`.
    pub fn weights_bytes(&self) -> Vec<u8> {
        self.safetensors("format", "pt".to_owned())
    }

    fn safetensors(&self, key: &str, value: String) -> Vec<u8> {
        let tensors = self.tensors.iter().map(|(name, matrix)| {
            (name.clone(), Tensor { shape: vec![matrix.rows(), matrix.cols()], data: matrix.data() })
        });
        safetensors_bytes(tensors.collect(), key, value)
    }

    /// The bytes of `adapter_config.json`.
    pub fn config_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.config_file()).expect("a configuration of plain values can be written")
    }

    fn config_file(&self) -> ConfigFile {
        ConfigFile {
            peft_type: "LORA".to_owned(),
            task_type: Some("CAUSAL_LM".to_owned()),
            base_model_name_or_path: None,
            r: self.rank,
            lora_alpha: self.alpha,
            lora_dropout: 0.0,
            target_modules: self.targets.iter().map(|target| target.name().to_owned()).collect(),
            bias: no_bias(),
            fan_in_fan_out: false,
            use_rslora: false,
            use_dora: false,
            alpha_pattern: BTreeMap::new(),
            inference_mode: true,
        }
    }

    /// The SHA-256 of [`Adapter::weights_bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.weights_bytes())
    }

    /// How many numbers were trained.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(|matrix| matrix.data().len()).sum()
    }

    fn parse(folder: &Path, config: &[u8], weights: &[u8]) -> Result<Self, AdapterError> {
        let path = folder.join(CONFIG);
        let malformed = |reason: String| ModelError::Malformed { path: path.clone(), reason };
        let file: ConfigFile = serde_json::from_slice(config).map_err(|e| malformed(e.to_string()))?;
        let plain = file.peft_type == "LORA"
            && file.bias == "none"
            && !file.fan_in_fan_out
            && !file.use_rslora
            && !file.use_dora
            && file.alpha_pattern.is_empty();
        if !plain || !(1..=256).contains(&file.r) || !(1..=4096).contains(&file.lora_alpha) {
            return Err(ModelError::Unsupported {
                path,
                reason: "only plain LoRA of rank 1 to 256 is supported (no bias, rsLoRA, DoRA or alpha pattern)"
                    .to_owned(),
            }
            .into());
        }
        let targets = Target::parse_all(&file.target_modules)?;

        let path = folder.join(WEIGHTS);
        let malformed = |reason: String| ModelError::Malformed { path: path.clone(), reason };
        let read = SliceSafetensors::new(weights).map_err(|e| malformed(e.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in read.tensors() {
            let [rows, cols] = *view.shape() else {
                return Err(malformed(format!("tensor `{name}` is no matrix")).into());
            };
            let data = read
                .load(&name, &Device::Cpu)
                .and_then(|tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1())
                .map_err(|e| malformed(format!("tensor `{name}`: {e}")))?;
            tensors.insert(name, Matrix::new(rows, cols, data));
        }
        Ok(Self { rank: file.r, alpha: file.lora_alpha, targets, tensors })
    }

    /// New adapters for `base`, as PEFT begins: `a` uniform within `±1/√in` (Kaiming with a = √5),
    /// `b` zero.
    pub(crate) fn fresh(base: &BaseModel, rank: u32, alpha: u32, targets: &[Target], seed: u64) -> Vec<LayerAdapters> {
        let mut rng = Rng::new(seed, 0xA0);
        Self::build(&base.config, rank, alpha, targets, |_, matrix, shape| {
            let numbers = match matrix {
                'A' => {
                    let bound = 1.0 / (shape[1] as f32).sqrt();
                    (0..shape[0] * shape[1]).map(|_| rng.symmetric(bound)).collect()
                }
                _ => vec![0.0; shape[0] * shape[1]],
            };
            Ok(Matrix::new(shape[0], shape[1], numbers))
        })
        .expect("making new matrices can't fail")
    }

    /// These adapters' layers, for a base model of these dimensions.
    pub(crate) fn layers(&self, base: &ModelConfig) -> Result<Vec<LayerAdapters>, AdapterError> {
        let mut used = 0;
        let layers = Self::build(base, self.rank, self.alpha, &self.targets, |name, _, shape| {
            let found = self.tensors.get(&name);
            used += 1;
            match found {
                Some(matrix) if [matrix.rows(), matrix.cols()] == shape => Ok(matrix.clone()),
                _ => Err(AdapterError::WrongBase {
                    tensor: name,
                    found: found.map_or("missing".to_owned(), |m| format!("{}×{}", m.rows(), m.cols())),
                    expected: format!("{}×{}", shape[0], shape[1]),
                }),
            }
        })?;
        if used != self.tensors.len() {
            return Err(AdapterError::WrongBase {
                tensor: "the number of tensors".to_owned(),
                found: self.tensors.len().to_string(),
                expected: used.to_string(),
            });
        }
        Ok(layers)
    }

    /// The file form of trained layers.
    pub(crate) fn of_layers(layers: &[LayerAdapters], rank: u32, alpha: u32, targets: &[Target]) -> Self {
        let mut tensors = BTreeMap::new();
        for (i, layer) in layers.iter().enumerate() {
            for (group, group_targets) in groups(layer) {
                let Some(group) = group else { continue };
                let present = group_targets.iter().filter(|target| targets.contains(target));
                for (slot, (target, part)) in present.zip(&group.parts).enumerate() {
                    let rank = group.rank;
                    let a = group.a.gather_rows(slot * rank..(slot + 1) * rank);
                    tensors.insert(tensor_name(i, *target, 'A'), a);
                    tensors.insert(tensor_name(i, *target, 'B'), part.b.clone());
                }
            }
        }
        Self { rank, alpha, targets: targets.to_vec(), tensors }
    }

    /// Puts layers together from `matrix(name, 'A' or 'B', [rows, cols])`.
    fn build(
        base: &ModelConfig,
        rank: u32,
        alpha: u32,
        targets: &[Target],
        mut matrix: impl FnMut(String, char, [usize; 2]) -> Result<Matrix, AdapterError>,
    ) -> Result<Vec<LayerAdapters>, AdapterError> {
        let (hidden, inner) = (base.hidden_size, base.intermediate_size);
        let (query, key_value) = (base.num_attention_heads * base.head_dim, base.num_key_value_heads * base.head_dim);
        let mut layers = Vec::with_capacity(base.num_hidden_layers);
        for i in 0..base.num_hidden_layers {
            let mut group = |width: usize, outputs: &[(Target, usize)]| {
                let mut start = 0;
                let (mut a, mut parts) = (Vec::new(), Vec::new());
                for (target, len) in outputs {
                    if targets.contains(target) {
                        let r = rank as usize;
                        a.extend_from_slice(matrix(tensor_name(i, *target, 'A'), 'A', [r, width])?.data());
                        let b = matrix(tensor_name(i, *target, 'B'), 'B', [*len, r])?;
                        parts.push(Part { start, b });
                    }
                    start += len;
                }
                let rank_usize = rank as usize;
                let scale = alpha as f32 / rank as f32;
                Ok::<_, AdapterError>((!parts.is_empty()).then(|| LowRank {
                    a: Matrix::new(parts.len() * rank_usize, width, a),
                    parts,
                    rank: rank_usize,
                    scale,
                }))
            };
            layers.push(LayerAdapters {
                qkv: group(hidden, &[(Target::Query, query), (Target::Key, key_value), (Target::Value, key_value)])?,
                o: group(query, &[(Target::Output, hidden)])?,
                gate_up: group(hidden, &[(Target::Gate, inner), (Target::Up, inner)])?,
                down: group(inner, &[(Target::Down, hidden)])?,
            });
        }
        Ok(layers)
    }
}

fn groups(layer: &LayerAdapters) -> [(&Option<LowRank>, &'static [Target]); 4] {
    [
        (&layer.qkv, &[Target::Query, Target::Key, Target::Value]),
        (&layer.o, &[Target::Output]),
        (&layer.gate_up, &[Target::Gate, Target::Up]),
        (&layer.down, &[Target::Down]),
    ]
}

fn tensor_name(layer: usize, target: Target, matrix: char) -> String {
    format!("base_model.model.model.layers.{layer}.{}.lora_{matrix}.weight", target.path())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::{
        config::TrainConfig,
        model::write_tiny_model,
        train::{TrainExample, train},
    };

    pub(crate) fn trained(targets: &[&str]) -> (BaseModel, Adapter) {
        let folder = tempfile::tempdir().unwrap();
        write_tiny_model(folder.path(), 3).unwrap();
        let base = BaseModel::load(folder.path()).unwrap();
        let examples = [TrainExample { prompt: "a".into(), answer: " b".into() }];
        let targets = targets.iter().map(|target| target.to_string()).collect();
        let config = TrainConfig { rank: 4, targets, ..TrainConfig::default() };
        let trained = train(&base, &examples, &config, |_| ControlFlow::Continue(())).unwrap();
        (base, trained.adapter)
    }

    #[test]
    fn a_saved_adapter_is_read_back_with_the_same_bytes() {
        let (base, adapter) = trained(&["v_proj", "q_proj", "down_proj"]);
        let folder = tempfile::tempdir().unwrap();
        adapter.save(folder.path()).unwrap();
        let weights = std::fs::read(folder.path().join(WEIGHTS)).unwrap();
        let loaded = Adapter::load(folder.path()).unwrap();
        assert_eq!(Digest::of(&weights), adapter.digest());
        assert_eq!(loaded.digest(), adapter.digest());
        assert_eq!(loaded.config_bytes(), adapter.config_bytes());

        let layers = loaded.layers(&base.config).unwrap();
        let again = Adapter::of_layers(&layers, 4, 16, &loaded.targets);
        assert_eq!(again.digest(), adapter.digest());
        assert_eq!(adapter.parameters(), 2 * 4 * ((32 + 32) + (32 + 16) + (48 + 32)));
    }

    #[test]
    fn a_packed_adapter_is_one_file_that_says_all() {
        let (_, adapter) = trained(&["q_proj", "up_proj"]);
        let packed = adapter.packed_bytes();
        assert_eq!(packed, adapter.packed_bytes());
        let read = Adapter::from_packed(&packed).unwrap();
        assert_eq!((read.config_bytes(), read.digest()), (adapter.config_bytes(), adapter.digest()));
        // What knows nothing of that reads the same weights.
        assert_eq!(Adapter::from_bytes(&adapter.config_bytes(), &packed).unwrap().digest(), adapter.digest());

        let error = Adapter::from_packed(&adapter.weights_bytes()).unwrap_err().to_string();
        assert!(error.contains("`adapter_config`"), "{error}");
        assert!(Adapter::from_packed(&packed[..40]).is_err());
    }

    #[test]
    fn tensors_have_the_names_and_shapes_that_peft_gives_them() {
        let (_, adapter) = trained(&["k_proj", "up_proj"]);
        let names: Vec<(&str, usize, usize)> =
            adapter.tensors.iter().map(|(name, m)| (name.as_str(), m.rows(), m.cols())).collect();
        assert_eq!(names[0], ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", 4, 32));
        assert_eq!(names[1], ("base_model.model.model.layers.0.mlp.up_proj.lora_B.weight", 48, 4));
        assert_eq!(names[2], ("base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight", 4, 32));
        assert_eq!(names[3], ("base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight", 16, 4));
        assert_eq!(names.len(), 8);
    }

    #[test]
    fn an_adapter_for_another_base_is_refused_by_the_tensor_that_does_not_fit() {
        let (base, mut adapter) = trained(&["q_proj"]);
        let name = adapter.tensors.keys().next().unwrap().clone();
        adapter.tensors.insert(name.clone(), Matrix::zeros(4, 33));
        let error = adapter.layers(&base.config).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("4×33") && error.contains("4×32"), "{error}");

        adapter.tensors.remove(&name);
        assert!(adapter.layers(&base.config).unwrap_err().to_string().contains("missing"));
        adapter.tensors.insert(name, Matrix::zeros(4, 32));
        adapter.tensors.insert("model.layers.7".into(), Matrix::zeros(1, 1));
        assert!(adapter.layers(&base.config).is_err());
    }

    #[test]
    fn damaged_files_and_other_kinds_of_adapters_are_errors() {
        let (_, adapter) = trained(&["q_proj"]);
        let (config, weights) = (adapter.config_bytes(), adapter.weights_bytes());
        assert!(Adapter::from_bytes(&config, &weights).is_ok());
        assert!(Adapter::from_bytes(b"{}", &weights).is_err());
        for cut in [0, 9, weights.len() - 1] {
            assert!(Adapter::from_bytes(&config, &weights[..cut]).is_err());
        }
        let config = String::from_utf8(config).unwrap();
        for (from, to) in [("LORA", "IA3"), ("q_proj", "lm_head"), ("\"r\": 4", "\"r\": 0"), ("false", "true")] {
            assert!(config.contains(from));
            assert!(Adapter::from_bytes(config.replace(from, to).as_bytes(), &weights).is_err(), "{to}");
        }
    }
}
