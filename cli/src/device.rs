//! `--device`: what is trained and evaluated on.

use crate::problem;
use attestune_trainer::device::{Device, DeviceError, DeviceName};

#[derive(clap::Args)]
pub struct DeviceArgs {
    /// What it computes on: cpu, or cuda:0 for the first card; that or nothing
    #[arg(long, default_value_t = DeviceName::Cpu, value_name = "DEVICE")]
    pub device: DeviceName,
}

impl DeviceArgs {
    /// Opens it; the first thing a command does, so that it does nothing where the device is missing.
    pub fn open(&self) -> anyhow::Result<Device> {
        Device::open(self.device).map_err(|error| {
            let remedy = match error {
                DeviceError::NotBuilt { .. } => {
                    "build one with it (`make build-cuda` in the sources), or say --device cpu"
                }
                _ => "`nvidia-smi` tells which cards and which driver are here; or say --device cpu",
            };
            problem::cannot(error.to_string(), remedy)
        })
    }
}
