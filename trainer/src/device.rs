//! What a network is computed on: this machine's processor, or a card.

use std::{fmt, str::FromStr};

/// How a device is asked for: `cpu`, or `cuda:N` for the card that CUDA counts as N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// This machine's processor.
    #[default]
    Cpu,
    /// A card, counted from 0.
    Cuda(u32),
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { name: text.to_owned() };
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            Some(("cuda", number)) if number.bytes().all(|digit| digit.is_ascii_digit()) => {
                Ok(Self::Cuda(number.parse().map_err(|_| unknown())?))
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// Why a device can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A name that means none.
    #[error("`{name}` is no device: `cpu`, or `cuda:0` for the first card")]
    Unknown {
        /// What was given.
        name: String,
    },
    /// This build knows nothing of cards.
    #[error("{name} was asked for, but this binary is built without CUDA")]
    NotBuilt {
        /// The device.
        name: DeviceName,
    },
    /// The card can't be opened.
    #[error("{name} can't be used: {reason}")]
    Unavailable {
        /// The device.
        name: DeviceName,
        /// What CUDA said.
        reason: String,
    },
    /// A card's memory is full.
    #[error("the card has not enough memory: {reason}")]
    OutOfMemory {
        /// What CUDA said.
        reason: String,
    },
    /// A card failed at an operation.
    #[error("the device failed: {reason}")]
    Failed {
        /// What CUDA said.
        reason: String,
    },
}

impl From<candle_core::Error> for DeviceError {
    fn from(error: candle_core::Error) -> Self {
        let reason = error.to_string();
        // Names of the driver's and of cuBLAS' codes; candle hands on no more than their text.
        let full = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"].iter().any(|code| reason.contains(code));
        if full { Self::OutOfMemory { reason } } else { Self::Failed { reason } }
    }
}

/// A device that is open.
#[derive(Clone, Debug)]
pub struct Device(Place);

#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The fused layers, on the processor.
    Host,
    /// Candle's operations, on a device of candle's.
    Candle(candle_core::Device),
}

impl Device {
    /// This machine's processor.
    pub const CPU: Self = Self(Place::Host);

    /// Opens a device, that one and no other.
    ///
    /// # Errors
    /// If this build or this machine doesn't have it.
    pub fn open(name: DeviceName) -> Result<Self, DeviceError> {
        match name {
            DeviceName::Cpu => Ok(Self::CPU),
            DeviceName::Cuda(_) if !cfg!(feature = "cuda") => Err(DeviceError::NotBuilt { name }),
            // With a stream of its own, so that it may be used from any thread.
            DeviceName::Cuda(number) => candle_core::Device::new_cuda_with_stream(number as usize)
                .map(|device| Self(Place::Candle(device)))
                .map_err(|error| DeviceError::Unavailable { name, reason: error.to_string() }),
        }
    }

    /// What a card computes with, on the processor: to test that with.
    #[cfg(test)]
    pub(crate) fn candle_cpu() -> Self {
        Self(Place::Candle(candle_core::Device::Cpu))
    }

    /// Whether it is a card.
    pub fn is_card(&self) -> bool {
        matches!(&self.0, Place::Candle(candle_core::Device::Cuda(_)))
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0
    }

    /// What of the device a run's result depends on: names and values, `device` first.
    ///
    /// # Errors
    /// If a card doesn't answer.
    pub fn facts(&self) -> Result<Vec<(String, String)>, DeviceError> {
        match &self.0 {
            #[cfg(feature = "cuda")]
            Place::Candle(candle_core::Device::Cuda(card)) => card_facts(card),
            _ => Ok(vec![("device".to_owned(), "cpu".to_owned())]),
        }
    }
}

/// Its name, what it can do, and the versions of driver and libraries: which sums cuBLAS makes in which order depends on
/// each of them.
#[cfg(feature = "cuda")]
fn card_facts(card: &candle_core::CudaDevice) -> Result<Vec<(String, String)>, DeviceError> {
    let failed = |error: &dyn fmt::Debug| DeviceError::Failed { reason: format!("{error:?}") };
    let stream = card.cuda_stream();
    let context = stream.context();
    let (major, minor) = context.compute_capability().map_err(|error| failed(&error))?;
    let facts = [
        ("device", "cuda".to_owned()),
        ("card", context.name().map_err(|error| failed(&error))?),
        ("compute-capability", format!("{major}.{minor}")),
        ("driver", driver_version().unwrap_or_else(|| "unknown".to_owned())),
        ("cuda", env!("ATTESTUNE_CUDA").to_owned()),
        ("cublas", cublas_version(card).unwrap_or_else(|| "unknown".to_owned())),
    ];
    Ok(facts.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// NVIDIA's driver, as its kernel module says.
#[cfg(feature = "cuda")]
fn driver_version() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    version_in(&text).map(str::to_owned)
}

/// The first word of the first line that has the form of a version.
#[cfg(any(test, feature = "cuda"))]
fn version_in(text: &str) -> Option<&str> {
    let is_version = |word: &&str| {
        word.contains('.') && word.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    text.lines().next()?.split_whitespace().find(is_version)
}

/// The version of the cuBLAS that was loaded, `major.minor.patch`.
#[cfg(feature = "cuda")]
fn cublas_version(card: &candle_core::CudaDevice) -> Option<String> {
    use candle_core::cuda_backend::cudarc::cublas::sys::{cublasGetVersion_v2, cublasStatus_t};

    let mut version = 0;
    #[expect(unsafe_code, reason = "the handle is alive, and the library writes one number")]
    let status = unsafe { cublasGetVersion_v2(*card.cublas_handle().handle(), &mut version) };
    let parts = (version / 10_000, version / 100 % 100, version % 100);
    (status == cublasStatus_t::CUBLAS_STATUS_SUCCESS).then(|| format!("{}.{}.{}", parts.0, parts.1, parts.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_name() {
        for (text, name) in
            [("cpu", DeviceName::Cpu), ("cuda:0", DeviceName::Cuda(0)), ("cuda:11", DeviceName::Cuda(11))]
        {
            assert_eq!(text.parse::<DeviceName>().unwrap(), name);
            assert_eq!(name.to_string(), text);
        }
        for text in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "CPU", "cpu:0", "cuda:99999999999"] {
            let error = text.parse::<DeviceName>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is no device")), "{error}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_card_is_never_replaced_by_the_processor() {
        let error = Device::open(DeviceName::Cuda(0)).unwrap_err();
        assert!(matches!(error, DeviceError::NotBuilt { name: DeviceName::Cuda(0) }), "{error}");
    }

    #[test]
    fn the_processor_is_a_fact_of_its_own() {
        assert_eq!(Device::CPU.facts().unwrap(), [("device".to_owned(), "cpu".to_owned())]);
    }

    #[test]
    fn a_full_card_is_told_from_one_that_failed() {
        let of = |text: &str| DeviceError::from(candle_core::Error::Msg(text.to_owned()));
        let full = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        assert!(matches!(of(full), DeviceError::OutOfMemory { .. }));
        assert!(matches!(of("CublasError(CUBLAS_STATUS_ALLOC_FAILED)"), DeviceError::OutOfMemory { .. }));
        assert!(matches!(of("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)"), DeviceError::Failed { .. }));
    }

    #[test]
    fn the_driver_is_read_from_what_its_module_says() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (x)\nGCC version:  gcc 12.2.0\n";
        assert_eq!(version_in(text), Some("580.65.06"));
        assert_eq!(version_in("NVRM version: none\nGCC 12.2.0"), None);
        assert_eq!(version_in(""), None);
    }
}
