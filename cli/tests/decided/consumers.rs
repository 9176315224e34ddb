//! The manual's page for consumers, taken at its word: its commands and its programs run against a real topic.

use super::common::Ledger;
use super::desk::{committed, decided};
use super::gateways::{Gateway, moved, own_key};
use attestune_replay_tests::kafka::Cluster;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PAGE: &str = include_str!("../../../docs/consuming.md");

/// What `scripts/consumers/install` brings; none where it is not there, said once a test.
fn tool(name: &str, path: Option<PathBuf>) -> Option<PathBuf> {
    if path.is_none() {
        eprintln!("SKIPPED: {name} is not installed: run scripts/consumers/install");
    }
    path
}

fn kcat() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    tool("kcat", std::env::split_paths(&path).map(|folder| folder.join("kcat")).find(|kcat| kcat.exists()))
}

fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let venv = cache.join("attestune/venv-consumers");
    tool("Python's confluent-kafka", venv.join(".complete").exists().then(|| venv.join("bin/python")))
}

/// A block of the page in a language.
fn block(language: &str) -> &'static str {
    let begin = format!("```{language}\n");
    let from = PAGE.find(&begin).unwrap_or_else(|| panic!("the page has a block of {language}")) + begin.len();
    &PAGE[from..from + PAGE[from..].find("```").unwrap()]
}

/// A command of the page, over all its lines.
fn command(begin: &str) -> String {
    let from = PAGE.find(&format!("\n{begin}")).unwrap_or_else(|| panic!("the page says `{begin}`")) + 1;
    let mut line = String::new();
    for part in PAGE[from..].lines() {
        line.push_str(part.trim_end_matches('\\'));
        if !part.ends_with('\\') {
            break;
        }
    }
    line
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}\n{err}")
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_worker_on_the_page_is_the_one_that_is_compiled() {
    assert_eq!(block("rust"), include_str!("../../../workers/examples/codenames.rs"));
}

#[test]
fn kcat_reads_both_topics_and_the_command_on_the_page_decodes_one_record() {
    let (Some(cluster), Some(kcat)) = (Cluster::shared(), kcat()) else { return };
    let (ledger, config) = moved(cluster);
    let (size, topic) = (ledger.size(), decided(&config));
    let gateway = Gateway::start(&ledger, &config, "gateway", &own_key(&ledger), &["--publish"]);
    gateway.has_published(size as u64);
    let read = |topic: &str, format: &str| {
        let mut command = Command::new(&kcat);
        command.args(["-b", config.brokers(), "-C", "-q", "-e", "-o", "beginning", "-t", topic, "-f", format]);
        lines(&command.output().unwrap())
    };
    assert_eq!(read(config.topic(), "%o %S\n").len(), size);
    let told = read(topic.topic(), "%k %h\n");
    assert_eq!(told.len(), size);
    assert!(told.iter().any(|line| line.starts_with("actor/stella ce_specversion=1.0,ce_id=")), "{told:?}");

    let keys = ledger.ok(&["key", "list", "--json", "--server", &gateway.url(), "--as", "stella"]);
    let keys = ledger.file("keys.json", keys.as_bytes());
    let record = committed(&topic).into_iter().find(|record| record.key == "actor/stella").unwrap();
    let line = command("kcat -b BROKERS").replace("BROKERS", config.brokers()).replace("NAME.decided", topic.topic());
    let line = line.replace("-p 3 -o 17", &format!("-p {} -o {}", record.partition, record.offset));
    let line =
        line.replace("keys.json", &keys).replace("attestune log", &format!("{} log", env!("CARGO_BIN_EXE_attestune")));
    let told = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert!(told.status.success(), "{line}: {}", said(&told));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["position"], &told["signature"]), (&record.position().into(), &"verified".into()));
    gateway.terminate();
}

#[test]
fn the_python_consumer_on_the_page_reads_the_topic_and_checks_every_signature() {
    let (Some(cluster), Some(python)) = (Cluster::shared(), python()) else { return };
    let (ledger, config) = moved(cluster);
    let (size, topic) = (ledger.size(), decided(&config));
    let gateway = Gateway::start(&ledger, &config, "gateway", &own_key(&ledger), &["--publish"]);
    gateway.has_published(size as u64);

    let folder = ledger.path("consumer");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("consumer.py"), block("python")).unwrap();
    let keys = ledger.ok(&["key", "list", "--json", "--server", &gateway.url(), "--as", "stella"]);
    std::fs::write(folder.join("keys.json"), &keys).unwrap();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("proto");
    let run = |line: &str| {
        let line = line.replacen("python", python.to_str().unwrap(), 1);
        Command::new("sh").args(["-c", &line]).current_dir(&folder).output().unwrap()
    };
    let protoc = command("python -m grpc_tools.protoc").replace("=proto", &format!("={}", proto.display()));
    lines(&run(&protoc));
    let consume =
        command("python consumer.py").replace("BROKERS", config.brokers()).replace("NAME.decided", topic.topic());
    let told = lines(&run(&format!("{consume} {size}")));
    assert_eq!(told.len(), size, "{told:?}");
    assert!(told.iter().any(|line| line.contains(" actor/stella accepted key_registered by ada")), "{told:?}");
    let refused: Vec<_> = told.iter().filter(|line| line.contains(" refused ")).collect();
    assert!(
        refused.len() == 1 && refused[0].contains("role_granted by stella") && refused[0].contains('{'),
        "{refused:?}"
    );

    // It really checks: under another list of keys nothing passes.
    std::fs::write(folder.join("keys.json"), other_keys()).unwrap();
    let consume = consume.replace("consumer.py", "other.py");
    std::fs::write(folder.join("other.py"), block("python").replace("my-team", "another-team")).unwrap();
    let output = run(&format!("{consume} {size}"));
    assert!(!output.status.success() && said(&output).contains("InvalidSignature"), "{}", said(&output));
    gateway.terminate();
}

/// A list with a key that has signed nothing.
fn other_keys() -> String {
    let ledger = Ledger::none();
    let key = ledger.json(&["key", "new", "nobody", "--key", ledger.path("nobody.key").to_str().unwrap()]);
    serde_json::json!({ "keys": [{ "public_key": key["public"], "actor": "nobody" }] }).to_string()
}
