//! Hands the versions of what a run's result depends on to `environment.rs`.

use std::{path::Path, process::Command};

fn main() {
    let lock_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock_path.display());
    let lock = std::fs::read_to_string(&lock_path).unwrap_or_default();
    for name in ["candle-core", "gemm", "tokenizers"] {
        let version = version(&lock, name).unwrap_or("unknown");
        let variable = name.to_uppercase().replace('-', "_");
        println!("cargo::rustc-env=ATTESTUNE_{variable}={version}");
    }
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let told = Command::new(rustc).arg("--version").output().ok();
    let told = told.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    println!("cargo::rustc-env=ATTESTUNE_RUSTC={}", told.split(' ').nth(1).unwrap_or("unknown"));
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        println!("cargo::rustc-env=ATTESTUNE_CUDA={}", cuda().as_deref().unwrap_or("unknown"));
    }
}

/// The version of the toolkit that candle's kernels are compiled with, as its compiler tells it: `release 13.0, …`.
fn cuda() -> Option<String> {
    let told = Command::new("nvcc").arg("--version").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (_, after) = told.split_once("release ")?;
    Some(after.split(',').next()?.to_owned())
}

/// The version of the first package of that name in a `Cargo.lock`.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    after.split('"').next()
}
