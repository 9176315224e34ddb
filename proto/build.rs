//! Compiles the `.proto` files with protox, so that no protoc is needed.

use std::{env, fs, path::PathBuf};

const FILES: [&str; 5] = [
    "attestune/v1/envelope.proto",
    "attestune/v1/decided.proto",
    "attestune/v1/event.proto",
    "attestune/v1/state.proto",
    "attestune/v1/service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=attestune");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("attestune.bin"), prost::Message::encode_to_vec(&descriptors))?;
    if env::var_os("CARGO_FEATURE_SERVICES").is_some() {
        tonic_prost_build::configure().compile_fds(descriptors)?;
    } else {
        prost_build::Config::new().compile_fds(descriptors)?;
    }
    Ok(())
}
