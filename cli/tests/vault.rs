//! A vault elsewhere, and the pages of a running `up`.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ledger, process::Running};
use std::time::{Duration, Instant};

#[test]
fn a_vault_elsewhere_is_noted_and_found_by_later_commands() {
    let ledger = Ledger::staffed();
    let elsewhere = ledger.path("elsewhere");
    let url = format!("file://{}", elsewhere.display());
    Running::up(&ledger, &["--no-workers", "--no-tcp", "--vault", &url]).terminate();
    let tickets = ledger.file("tickets.jsonl", b"{\"id\":\"1\",\"text\":\"my card was declined\"}\n");
    ledger.ok(&["ingest", &tickets, "--as", "stella", "--collection", "tickets"]);
    let packs = |part: &str| std::fs::read_dir(elsewhere.join(part)).unwrap().count();
    assert_eq!((packs("contents"), packs("keys")), (1, 1));
    assert_eq!(std::fs::read_dir(ledger.folder().join("vault/keys")).unwrap().count(), 0);

    let error = ledger.fails(2, &["up", "--no-tcp", "--vault", "file:///nowhere/else"]);
    assert!(error.contains(&format!("the texts of this ledger lie in {url}, not in file:///nowhere/else")), "{error}");
}

#[test]
fn a_folder_that_holds_texts_is_not_left_for_another_vault() {
    let ledger = Ledger::staffed();
    let tickets = ledger.file("tickets.jsonl", b"{\"id\":\"1\",\"text\":\"my card was declined\"}\n");
    ledger.ok(&["ingest", &tickets, "--as", "stella", "--collection", "tickets"]);
    let url = format!("file://{}", ledger.path("elsewhere").display());
    let error = ledger.fails(2, &["up", "--no-tcp", "--vault", &url]);
    assert!(error.contains("the texts of this ledger lie in") && error.contains("nothing was changed"), "{error}");
    assert!(!ledger.folder().join("vault.url").exists() && !ledger.path("elsewhere").exists());
}

#[test]
fn a_bucket_without_a_key_or_credentials_is_refused_with_the_way_out() {
    let ledger = Ledger::new();
    let up = ["up", "--no-tcp", "--vault", "s3://texts/triage"];
    let error = ledger.fails(2, &up);
    assert!(error.contains("set kek_file in the settings, or ATTESTUNE_VAULT_KEK"), "{error}");
    let error = ledger.fails(2, &["up", "--no-tcp", "--vault", "s3://me:very-secret@texts"]);
    assert!(error.contains("credentials don't belong there") && !error.contains("very-secret"), "{error}");
    assert!(!ledger.folder().join("vault.url").exists());
}

#[test]
fn a_running_up_is_probed_and_a_gone_one_is_told() {
    let ledger = Ledger::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (listen, page) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}/readyz"));
    let up = Running::up(&ledger, &["--no-workers", "--listen", &listen]);
    let until = Instant::now() + Duration::from_secs(60);
    while !ledger.run(&["probe", &page]).status.success() {
        assert!(Instant::now() < until, "it becomes ready");
    }
    assert_eq!(ledger.ok(&["probe", &page]), "ok\n");
    let error = ledger.fails(1, &["probe", &page.replace("readyz", "nothing")]);
    assert!(error.contains("attestune: "), "{error}");
    up.terminate();
    assert!(ledger.fails(2, &["probe", &page]).contains("can't be asked"));
    assert!(ledger.fails(2, &["probe", "localhost:7400"]).contains("it is no http:// address"));
}
