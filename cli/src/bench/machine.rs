//! What the figures were measured on.

use serde::Serialize;
use std::path::{Path, PathBuf};

/// Instruction sets that the hot loops can use.
const FLAGS: [&str; 7] = ["avx2", "fma", "avx512f", "avx512vl", "avx512ifma", "sha_ni", "amx_bf16"];

/// This machine, this build, now.
#[derive(Debug, Serialize)]
pub struct Machine {
    processor: String,
    cores: usize,
    /// Those of [`FLAGS`] that the processor has.
    flags: Vec<String>,
    memory_mb: u64,
    kernel: String,
    /// Where the temporary folders lie, and on what.
    folder: PathBuf,
    filesystem: String,
    /// Processes that were running or waiting for a processor in the last minute.
    load: f64,
    version: &'static str,
}

impl Machine {
    /// Looks.
    pub fn here() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let line = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let flags = line("flags");
        let has = |flag: &&str| flags.split_whitespace().any(|found| found == *flag);
        let folder = std::env::temp_dir();
        Self {
            processor: line("model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            flags: FLAGS.into_iter().filter(has).map(str::to_owned).collect(),
            memory_mb: kilobytes("/proc/meminfo", "MemTotal:").unwrap_or(0) / 1000,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem(&folder),
            folder,
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// In two lines, and a warning where the figures will be noise.
    pub fn print(&self) {
        let Self { processor, cores, memory_mb, kernel, filesystem, load, version, .. } = self;
        println!("{processor}, {cores} cores, {} ({memory_mb} MB, Linux {kernel})", self.flags.join(" "));
        println!("attestune {version}, folders in {} on {filesystem}, load {load}", self.folder.display());
        if *load > 0.5 * *cores as f64 {
            println!("other work is running: trust the ratios only, and those little");
        }
        if filesystem == "tmpfs" {
            println!("tmpfs keeps nothing: set TMPDIR to a folder on a disk, or every fsync is free");
        }
    }
}

/// The most memory that this process has had, in bytes.
pub fn peak_memory_bytes() -> u64 {
    kilobytes("/proc/self/status", "VmHWM:").unwrap_or(0) * 1024
}

/// What this process has used of all processors so far, in seconds.
pub fn cpu_seconds() -> f64 {
    cpu_seconds_of(std::process::id())
}

/// The same of another process; nothing once it has ended.
pub fn cpu_seconds_of(process: u32) -> f64 {
    let stat = read(&format!("/proc/{process}/stat"));
    // Counted behind the name, which may hold spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, fields 14 and 15 of proc(5), in hundredths of a second.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The bytes of the files in a folder, all that lies under it.
pub fn folder_bytes(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { folder_bytes(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn kilobytes(path: &str, name: &str) -> Option<u64> {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The kind of file system that a folder lies on: that of the longest mount point above it.
fn filesystem(folder: &Path) -> String {
    let mounts = read("/proc/mounts");
    let of_line = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        folder.starts_with(&place).then_some((place.len(), kind))
    };
    mounts.lines().filter_map(of_line).max_by_key(|(length, _)| *length).map_or("unknown".into(), |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_bytes_are_those_of_all_files_under_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("a"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("inner/b"), [0; 5]).unwrap();
        assert_eq!(folder_bytes(folder.path()).unwrap(), 15);
    }

    #[test]
    fn a_process_has_had_some_memory() {
        assert!(peak_memory_bytes() > 1 << 20);
    }
}
