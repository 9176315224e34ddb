//! Hyperparameters of a run. They go on a log that knows no floats, so rates are decimal strings.

use serde::{Deserialize, Serialize};

/// A linear map of each layer that may get an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

impl Target {
    pub(crate) const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// Hugging Face's name of the module.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The module's path inside a layer.
    pub(crate) fn path(self) -> String {
        let block = match self {
            Self::Query | Self::Key | Self::Value | Self::Output => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        };
        format!("{block}.{}", self.name())
    }

    /// # Errors
    /// For a name that is none, or one that stands twice.
    pub(crate) fn parse_all(names: &[String]) -> Result<Vec<Self>, ConfigError> {
        let mut targets = Vec::new();
        for name in names {
            let target = Self::ALL.into_iter().find(|target| target.name() == name);
            match target {
                None => return Err(ConfigError::UnknownTarget(name.clone())),
                Some(target) if targets.contains(&target) => {
                    return Err(ConfigError::TargetTwice(name.clone()));
                }
                Some(target) => targets.push(target),
            }
        }
        targets.sort_unstable();
        Ok(targets)
    }
}

/// How to train. [`TrainConfig::default`] is what is known to work for short texts with a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The adapters' rank, 1 to 256.
    pub rank: u32,
    /// The adapters count `alpha / rank`.
    pub alpha: u32,
    /// Which linear maps get adapters: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`,
    /// `up_proj`, `down_proj`.
    pub targets: Vec<String>,
    /// AdamW's highest rate, a decimal such as `"0.002"`.
    pub learning_rate: String,
    /// AdamW's weight decay, a decimal.
    pub weight_decay: String,
    /// The share of the steps in which the rate rises from zero, in parts per million; afterwards
    /// it falls to zero in a straight line.
    pub warmup_ppm: u32,
    /// How often each example is seen.
    pub epochs: u32,
    /// Ends the run after so many steps, however many epochs are left; 0 for no such limit.
    pub max_steps: u32,
    /// Examples a step.
    pub batch_size: u32,
    /// The longest example, in tokens; a longer one is an error, never cut.
    pub max_tokens: u32,
    /// Seeds the adapters' first values and the order of the examples.
    pub seed: u64,
    /// Threads to compute on. The result doesn't depend on it.
    pub threads: u32,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16,
            targets: ["q_proj", "k_proj", "v_proj", "o_proj"].map(str::to_owned).to_vec(),
            learning_rate: "0.002".to_owned(),
            weight_decay: "0".to_owned(),
            warmup_ppm: 100_000,
            epochs: 2,
            max_steps: 0,
            batch_size: 16,
            max_tokens: 256,
            seed: 1,
            threads: 2,
        }
    }
}

/// A setting that can't be trained with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number outside its range.
    #[error("{name} is {value}; {min} to {max} is possible")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// What it is.
        value: u64,
        /// The least that is possible.
        min: u64,
        /// The most that is possible.
        max: u64,
    },
    /// Not a decimal number in range.
    #[error("{name} is `{value}`; a decimal from 0 to {max} such as 0.002 is expected")]
    NotADecimal {
        /// The setting.
        name: &'static str,
        /// What it is.
        value: String,
        /// The most that is possible.
        max: u32,
    },
    /// No such linear map.
    #[error(
        "no adapter is possible on `{0}`; choose from q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
    )]
    UnknownTarget(String),
    /// A target that stands twice in the list.
    #[error("the target `{0}` stands twice")]
    TargetTwice(String),
    /// No targets at all.
    #[error("targets is empty: there would be nothing to train")]
    NoTargets,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) targets: Vec<Target>,
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: f64,
}

impl TrainConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that can't be trained with.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map(drop)
    }

    pub(crate) fn check(&self) -> Result<Checked, ConfigError> {
        let ranges = [
            ("rank", u64::from(self.rank), 1, 256),
            ("alpha", u64::from(self.alpha), 1, 4096),
            ("warmup_ppm", u64::from(self.warmup_ppm), 0, 1_000_000),
            ("epochs", u64::from(self.epochs), 1, 1_000),
            ("batch_size", u64::from(self.batch_size), 1, 1_024),
            ("max_tokens", u64::from(self.max_tokens), 2, 8_192),
            ("threads", u64::from(self.threads), 1, 256),
        ];
        for (name, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::OutOfRange { name, value, min, max });
            }
        }
        let targets = Target::parse_all(&self.targets)?;
        if targets.is_empty() {
            return Err(ConfigError::NoTargets);
        }
        Ok(Checked {
            targets,
            learning_rate: decimal("learning_rate", &self.learning_rate, 1)?,
            weight_decay: decimal("weight_decay", &self.weight_decay, 10)?,
        })
    }
}

/// Digits, with one point between them at most: no sign, exponent, infinity or NaN.
fn decimal(name: &'static str, value: &str, max: u32) -> Result<f64, ConfigError> {
    let plain = value.len() <= 32 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = value.parse().ok().filter(|number| plain && (0.0..=f64::from(max)).contains(number));
    number.ok_or_else(|| ConfigError::NotADecimal { name, value: value.to_owned(), max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_can_be_trained_with() {
        assert_eq!(TrainConfig::default().validate(), Ok(()));
    }

    #[test]
    fn each_setting_out_of_range_is_named() {
        let wrong = |change: fn(&mut TrainConfig)| {
            let mut config = TrainConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(wrong(|c| c.rank = 0).starts_with("rank is 0; 1 to 256"));
        assert!(wrong(|c| c.epochs = 0).starts_with("epochs is 0"));
        assert!(wrong(|c| c.threads = 0).starts_with("threads is 0"));
        assert!(wrong(|c| c.batch_size = 5_000).starts_with("batch_size is 5000"));
        assert!(wrong(|c| c.warmup_ppm = 1_000_001).starts_with("warmup_ppm"));
        assert!(wrong(|c| c.targets = vec![]).starts_with("targets is empty"));
        assert!(wrong(|c| c.targets = vec!["lm_head".into()]).contains("`lm_head`"));
        assert!(wrong(|c| c.targets = vec!["q_proj".into(), "q_proj".into()]).contains("twice"));
    }

    #[test]
    fn a_rate_is_a_plain_decimal() {
        for wrong in ["", ".", "-0.1", "1e-3", "inf", "NaN", "+1", "1.5", "0,002"] {
            let config = TrainConfig { learning_rate: wrong.into(), ..TrainConfig::default() };
            assert!(config.validate().is_err(), "{wrong}");
        }
        let config = TrainConfig { learning_rate: "0.0005".into(), ..TrainConfig::default() };
        assert_eq!(config.check().unwrap().learning_rate, 5e-4);
    }

    #[test]
    fn an_unknown_setting_in_json_is_refused() {
        assert!(serde_json::from_str::<TrainConfig>(r#"{"rank": 4, "ranks": 5}"#).is_err());
    }
}
