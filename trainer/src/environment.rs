//! What a run's result depends on beside its inputs, for the record: an adapter is repeated bit
//! for bit only where these agree.

use crate::device::{Device, DeviceError};

/// The environment of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// This machine and this build, computing on `threads` threads of its processor.
    ///
    /// `kernels` is the instruction set that matrix products use; `processor` and `caches` are
    /// there because gemm divides its sums by the sizes of the caches.
    pub fn current(threads: u32) -> Self {
        Self::of(threads, vec![("device".to_owned(), "cpu".to_owned())], kernels())
    }

    /// As [`Environment::current`], on `device`; for a card `kernels` is `cublas`.
    ///
    /// # Errors
    /// If a card doesn't say what it is.
    pub fn on(device: &Device, threads: u32) -> Result<Self, DeviceError> {
        Ok(Self::of(threads, device.facts()?, if device.is_card() { "cublas" } else { kernels() }))
    }

    fn of(threads: u32, device: Vec<(String, String)>, kernels: &str) -> Self {
        let processor = processor();
        let entries = [
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
            ("processor", processor.as_deref().unwrap_or("unknown")),
            ("caches", &caches()),
            ("kernels", kernels),
            ("threads", &threads.to_string()),
            ("attestune-trainer", env!("CARGO_PKG_VERSION")),
            ("candle-core", env!("ATTESTUNE_CANDLE_CORE")),
            ("gemm", env!("ATTESTUNE_GEMM")),
            ("tokenizers", env!("ATTESTUNE_TOKENIZERS")),
            ("rustc", env!("ATTESTUNE_RUSTC")),
        ];
        let host = entries.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self(device.into_iter().chain(host).collect())
    }

    /// Names and values, always in the same order.
    pub fn entries(&self) -> &[(String, String)] {
        &self.0
    }
}

/// The kernels that gemm picks on this processor; the tests are its own, in its order.
fn kernels() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            "avx512"
        } else if is_x86_feature_detected!("fma") {
            "avx2"
        } else {
            "portable"
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        "neon"
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        "portable"
    }
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Sizes of the first processor's caches as the system tells them, `L1 32K, L2 512K, L3 32768K`.
fn caches() -> String {
    let read = |index: u32, name: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}");
        std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    };
    let levels: Vec<String> = (0..8)
        .filter(|index| read(*index, "type").is_some_and(|kind| kind != "Instruction"))
        .filter_map(|index| Some(format!("L{} {}", read(index, "level")?, read(index, "size")?)))
        .collect();
    if levels.is_empty() { "unknown".to_owned() } else { levels.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_a_value_and_a_name_of_its_own() {
        let environment = Environment::current(2);
        let mut names: Vec<&str> = environment.entries().iter().map(|(name, _)| name.as_str()).collect();
        assert!(environment.entries().iter().all(|(_, value)| !value.is_empty()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), environment.entries().len());
        assert_eq!(environment, Environment::current(2));
        assert_eq!(environment, Environment::on(&Device::CPU, 2).unwrap());
    }
}
