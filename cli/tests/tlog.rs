//! The log as others see it: tiles, witnesses, a person who watches a key.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_ledger::tree::{Checkpoint, TilePath, tiles_of};
use attestune_replay_tests::free_port;
use common::{Ledger, process::Running};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A page by plain HTTP: status, head and body.
fn get(port: u16, path: &str, token: Option<&str>) -> (u16, String, Vec<u8>) {
    ask(port, &format!("GET {path}"), token, "")
}

fn ask(port: u16, what: &str, token: Option<&str>, body: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let token = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
    let length = body.len();
    write!(
        stream,
        "{what} HTTP/1.1\r\nhost: here\r\n{token}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..split].to_vec()).unwrap().to_ascii_lowercase();
    (head[9..12].parse().unwrap(), head, answer[split + 4..].to_vec())
}

fn wait_for(port: u16) {
    let until = Instant::now() + Duration::from_secs(120);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "somebody listens on {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A ledger with more than 256 entries.
fn long() -> Ledger {
    let ledger = Ledger::staffed();
    let tickets: String = (0..300).map(|n| format!("{n},a text of its own number {n}\n")).collect();
    for part in 0..3 {
        let tickets = ledger
            .file("tickets.csv", format!("id,text\n{}", tickets.replace("text", &format!("text {part}"))).as_bytes());
        ledger.ok(&["ingest", &tickets, "--collection", &format!("c{part}"), "--as", "stella"]);
    }
    // Refused attempts are entries, too: many, signed before and appended at once.
    let envelope = ledger.envelope(4);
    let line = std::fs::read_to_string(&envelope).unwrap();
    let lines = ledger.file("lines", format!("{}\n", line.trim()).repeat(260).as_bytes());
    ledger.run(&["log", "append", &lines, "--lines", "--keep-going"]);
    assert!(ledger.size() > 256);
    ledger
}

#[test]
fn tiles_are_the_same_from_the_server_and_from_a_folder_and_entries_need_a_token() {
    let ledger = long();
    let folder = ledger.path("tiles");
    let export = ["log", "export-tiles", folder.to_str().unwrap()];
    let said = ledger.json(&export);
    let size = said["size"].as_u64().unwrap();
    ledger.ok(&export); // once more changes nothing

    let port = free_port();
    let up = Running::up(&ledger, &["--no-workers", "--listen", &format!("127.0.0.1:{port}")]);
    wait_for(port);
    let (status, head, note) = get(port, "/checkpoint", None);
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    let key = said["verifier_key"].as_str().unwrap().parse().unwrap();
    let checkpoint = Checkpoint::open(std::str::from_utf8(&note).unwrap(), &key).unwrap();
    assert_eq!(checkpoint.size, size);
    let token = ledger.ok(&["token", "--as", "mina"]);
    for tile in tiles_of(size) {
        let stored = std::fs::read(folder.join(tile.to_string())).unwrap();
        let (status, head, served) = get(port, &format!("/{tile}"), Some(token.trim()));
        assert_eq!((status, served == stored), (200, true), "{tile}");
        assert!(head.contains("immutable") && head.contains("application/octet-stream"), "{head}");
        let (open, _, _) = get(port, &format!("/{tile}"), None);
        assert_eq!(open, if tile.level.is_none() { 401 } else { 200 }, "{tile}");
    }
    for none in [
        "/tile/0/001.p/255",
        "/tile/0/999",
        "/tile/8/000",
        "/tile/entries/x001",
        "/tile/0/000?x=1#",
        "/tile/",
        "/tiles",
    ] {
        let (status, _, _) = get(port, none.trim_end_matches('#'), Some(token.trim()));
        assert!(status == 404 || none.contains('?'), "{none}: {status}");
    }
    up.terminate();

    let up = Running::up(&ledger, &["--no-workers", "--public-entries", "--listen", &format!("127.0.0.1:{port}")]);
    wait_for(port);
    assert_eq!(get(port, "/tile/entries/000", None).0, 200);
    up.terminate();
    // Another log's folder is told.
    let other = Ledger::new();
    let error = other.fails(1, &["log", "export-tiles", folder.to_str().unwrap()]);
    assert!(error.contains("holds something else than this log has there"), "{error}");
    let first: TilePath = tiles_of(size).next().unwrap();
    assert!(folder.join(first.to_string()).exists());
}

/// A witness of a ledger's log.
struct Witness {
    _process: Running,
    port: u16,
    key: String,
}

fn witness(ledger: &Ledger, name: &str, state: &Path) -> Witness {
    let (port, file) = (free_port(), ledger.path(&format!("{name}.key")));
    let file = file.to_str().unwrap();
    if !Path::new(file).exists() {
        ledger.ok(&["key", "new", name, "--key", file]);
    }
    let log = ledger.json(&["log", "checkpoint"])["verifier_key"].as_str().unwrap().to_owned();
    let listen = format!("127.0.0.1:{port}");
    let name = format!("{name}.example");
    let line =
        ["witness", &name, "--key", file, "--log", &log, "--state", state.to_str().unwrap(), "--listen", &listen];
    let key = ledger.json(&[&line[..], &["--show-key"]].concat())["verifier_key"].as_str().unwrap().to_owned();
    let process = Running::spawn(ledger.command(&line));
    wait_for(port);
    Witness { _process: process, port, key }
}

#[test]
fn witnesses_cosign_what_extends_the_last_checkpoint_and_refuse_a_fork() {
    let ledger = Ledger::new();
    let state = ledger.path("w1");
    let [one, two] = ["w1", "w2"].map(|name| witness(&ledger, name, &ledger.path(name)));
    let log = ledger.json(&["log", "checkpoint"])["verifier_key"].as_str().unwrap().to_owned();
    let policy = |quorum: &str| {
        let line = |name: &str, w: &Witness| format!("witness {name} {} http://127.0.0.1:{}\n", w.key, w.port);
        let text =
            format!("log {log}\n{}{}group both all one two\nquorum {quorum}\n", line("one", &one), line("two", &two));
        ledger.file(&format!("{quorum}.policy"), text.as_bytes())
    };
    let both = policy("both");
    let first = ledger.ok(&["log", "cosign", &both]);
    assert_eq!(first.matches("\n— ").count(), 3, "{first}");
    ledger.staff();
    // The witnesses remember more than we do: they say how far they are.
    let second = ledger.ok(&["log", "cosign", &both]);
    assert_eq!(second.matches("\n— ").count(), 3);

    // The same log brought back to an earlier state is refused: it has another history from there on.
    let (status, head, body) = ask(one.port, "POST /add-checkpoint", None, &format!("old 0\n\n{first}"));
    assert_eq!((status, head.contains("text/x.tlog.size")), (409, true), "{head}");
    let size = second.lines().nth(1).unwrap();
    assert_eq!(String::from_utf8(body).unwrap().trim(), size);
    let (status, _, _) = ask(one.port, "POST /add-checkpoint", None, &format!("old {size}\n\n{first}"));
    assert_eq!(status, 400);
    assert_eq!(ask(one.port, "POST /add-checkpoint", None, "hello").0, 400);
    let (status, _, _) =
        ask(one.port, "POST /add-checkpoint", None, &format!("old 0\n\n{}", first.replace("attestune/", "other/")));
    assert_eq!(status, 404);

    // What it keeps outlives it.
    let key = one.key.clone();
    drop(one);
    let again = witness(&ledger, "w1", &state);
    assert_eq!(again.key, key);
    let (status, _, body) = ask(again.port, "POST /add-checkpoint", None, &format!("old 0\n\n{second}"));
    assert_eq!((status, String::from_utf8(body).unwrap().trim()), (409, size));

    // With a quorum that can't be met nothing is handed out as cosigned.
    drop((again, two));
    let error = ledger.fails(1, &["log", "cosign", &both]);
    assert!(error.contains("quorum both is not met"), "{error}");
    let bad = ledger.file("bad.policy", b"log x\nquorum none\n");
    assert!(ledger.fails(2, &["log", "cosign", &bad]).contains("line 1 of the trust policy"));
}

#[test]
fn a_server_shows_checkpoints_that_its_witnesses_have_cosigned() {
    let ledger = Ledger::new();
    let one = witness(&ledger, "w1", &ledger.path("w1"));
    let log = ledger.json(&["log", "checkpoint"])["verifier_key"].as_str().unwrap().to_owned();
    let text = format!("log {log}\nwitness one {} http://127.0.0.1:{}\nquorum one\n", one.key, one.port);
    let policy = ledger.file("policy", text.as_bytes());
    let port = free_port();
    let up = Running::up(&ledger, &["--no-workers", "--witnesses", &policy, "--listen", &format!("127.0.0.1:{port}")]);
    wait_for(port);
    let until = Instant::now() + Duration::from_secs(120);
    while !String::from_utf8(get(port, "/checkpoint", None).2).unwrap().contains("— w1.example ") {
        assert!(Instant::now() < until, "the checkpoint is cosigned");
        std::thread::sleep(Duration::from_millis(100));
    }
    up.terminate();
}

#[test]
fn a_person_is_told_of_every_event_under_a_key_once() {
    let ledger = Ledger::staffed();
    let state = ledger.path("seen").to_str().unwrap().to_owned();
    let watch = ["monitor", "--as", "ada", "--state", &state];
    let told = ledger.ok(&watch);
    assert!(told.contains("created the ledger test") && told.contains("made stella steward"), "{told}");
    assert_eq!(ledger.ok(&watch), "", "it tells of each once");
    let error = ledger.fails(1, &["role", "grant", "nobody", "steward", "--as", "ada"]);
    assert!(error.contains("unknown-actor"), "{error}");
    let told = ledger.ok(&watch);
    assert!(told.contains("refused, unknown-actor") && told.lines().count() == 1, "{told}");
    let keys = ledger.json(&["key", "list"])["keys"].as_array().unwrap().clone();
    let adas = keys.iter().find(|key| key["actor"] == "ada").unwrap()["public_key"].as_str().unwrap().to_owned();
    assert!(ledger.ok(&["monitor", "--public-key", &adas, "--json"]).lines().count() > 3);

    // Another log under the same file is told, and so is one that lost what it showed.
    let text = std::fs::read_to_string(&state).unwrap();
    let root = text.split("\"root\": \"").nth(1).unwrap()[..64].to_owned();
    std::fs::write(&state, text.replace(&root, &"00".repeat(32))).unwrap();
    let error = ledger.fails(1, &watch);
    assert!(error.contains("are not those that were shown before"), "{error}");
    let size: u64 = serde_json::from_str::<serde_json::Value>(&text).unwrap()["size"].as_u64().unwrap();
    std::fs::write(&state, text.replace(&format!("\"size\": {size}"), "\"size\": 100000")).unwrap();
    let error = ledger.fails(1, &watch);
    assert!(error.contains("the log has become shorter"), "{error}");
}
