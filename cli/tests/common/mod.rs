//! A ledger in a temporary folder, driven by the real binary.
#![allow(dead_code)] // each test file uses a part

pub mod acknowledged;
pub mod http;
pub mod life;
pub mod process;
pub mod spread;
pub mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary folder with a ledger in it, or not yet.
pub struct Ledger {
    dir: tempfile::TempDir,
}

impl Ledger {
    /// An empty folder.
    pub fn none() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// An empty folder inside another.
    pub fn none_in(parent: &Path) -> Self {
        Self { dir: tempfile::tempdir_in(parent).unwrap() }
    }

    /// A ledger with two root admins, ada and ben.
    pub fn new() -> Self {
        let ledger = Self::none();
        ledger.init(&[]);
        ledger
    }

    /// Creates the ledger under the default policy, in which some lines are replaced.
    pub fn init(&self, lines: &[(&str, &str)]) {
        let mut policy = self.ok(&["policy", "default"]);
        for (line, instead) in lines {
            assert!(policy.contains(line), "the default policy says {line}");
            policy = policy.replace(line, instead);
        }
        let policy = self.file("policy.yaml", policy.as_bytes());
        let roots = ["--root", "ada=Ada Okafor", "--root", "ben=Ben Lindqvist"];
        self.ok(&[&["init", "test", "--policy", &policy], &roots[..]].concat());
    }

    /// A ledger with a steward, a reviewer and an engineer, too.
    pub fn staffed() -> Self {
        let ledger = Self::new();
        ledger.staff();
        ledger
    }

    /// Registers a steward, a reviewer and an engineer.
    pub fn staff(&self) {
        for (actor, role) in [("stella", "steward"), ("rita", "reviewer"), ("mina", "engineer")] {
            self.hire(actor, role);
        }
    }

    /// Registers a person with a role that one admin may grant.
    pub fn hire(&self, actor: &str, role: &str) {
        self.ok(&["key", "new", actor]);
        self.ok(&["key", "register", actor, "--name", actor, "--as", "ada"]);
        self.ok(&["role", "grant", actor, role, "--as", "ada"]);
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    /// Writes a file beside the ledger.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Leaves the temporary folder where it is, for a look; answers where.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attestune"));
        command.args(args).env("ATTESTUNE_FOLDER", self.folder());
        for name in ["ATTESTUNE_SERVER", "ATTESTUNE_ACTOR", "ATTESTUNE_LOG"] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs what must succeed; answers stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, answered in JSON.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// Runs what must fail with an exit code; answers stderr.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        stderr
    }

    /// Entries on the log.
    pub fn size(&self) -> usize {
        self.ok(&["log", "tail", "-n", "100000"]).lines().count()
    }

    /// The bytes of an entry, in hex, in a file as `log append` takes it.
    pub fn envelope(&self, position: usize) -> String {
        let entry = self.json(&["log", "decode", &position.to_string()]);
        self.file(&format!("{position}.hex"), entry["envelope"].as_str().unwrap().as_bytes())
    }
}

/// Flips a bit of a file.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
