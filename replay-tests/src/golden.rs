//! The golden logs: `golden/rules-N/NAME.log`, a line for each entry with its time in milliseconds and its bytes in
//! base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};

/// A log's entries: the time that each was taken in at, in milliseconds, and its bytes.
pub type Log = Vec<(u64, Vec<u8>)>;

/// Where the golden logs of the rules in force lie.
pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/rules-1")
}

/// A golden log by its name.
///
/// # Panics
/// If it can't be read.
pub fn golden_log(name: &str) -> Log {
    let path = golden_folder().join(format!("{name}.log"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    read_log(&text).expect("a golden log is lines of time and base64")
}

/// Reads a log's lines; none if they are something else.
pub fn read_log(text: &str) -> Option<Log> {
    let entry = |line: &str| {
        let (time_ms, value) = line.split_once(' ')?;
        Some((time_ms.parse().ok()?, STANDARD.decode(value).ok()?))
    };
    text.lines().map(entry).collect()
}

/// A log as lines.
pub fn write_log(log: &Log) -> String {
    log.iter().map(|(time_ms, value)| format!("{time_ms} {}\n", STANDARD.encode(value))).collect()
}
