//! A ledger on Kafka served by gateways and worked on by workers, each a process with a replica of its own. Without Java
//! and Kafka (scripts/kafka/install) the tests say SKIPPED and end.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_replay_tests::kafka::Cluster;
use common::{Ledger, spread::Spread};

const TICKETS: &[u8] = b"text,intent\n\
    I lost my card in the park,card_lost\n\
    my mail is jo.example@example.org please change it,address_change\n\
    close the account of my late aunt,account_closing\n";

#[test]
fn gateways_and_workers_share_a_ledger_on_kafka_and_reach_one_state() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = Ledger::staffed();
    let spread = Spread::over(&ledger, cluster);
    let (first, one) = spread.gateway("gateway-1");
    let (_second, two) = spread.gateway("gateway-2");

    let tickets = ledger.file("tickets.csv", TICKETS);
    ledger.ok(&["ingest", &tickets, "--collection", "tickets", "--as", "stella", "--server", &one]);
    let derive = ["derive", "tickets", "--prompt", "{text}", "--answer", "{intent}", "--as", "stella"];
    ledger.ok(&[&derive[..], &["--server", &two]].concat());
    // Two scanners: whoever holds its share, the batch has one accepted scan.
    let scan = ["worker", "pii", "--as", "scanner"];
    let (scanner, _other) = (spread.start(&scan, "pii-1", "scanner"), spread.start(&scan, "pii-2", "scanner"));
    let _checker = spread.start(&["worker", "quality", "--as", "checker"], "quality", "checker");
    spread.until("scanned and checked", || {
        spread.accepted(&one, "examples-scanned") > 0 && spread.accepted(&one, "examples-checked") > 0
    });
    scanner.terminate();
    assert_eq!(spread.accepted(&two, "examples-scanned"), 1);

    // What one gateway was told, the other shows; both fold to the same roots, row by row.
    let replayed = |url: &str| ledger.json(&["replay", "--server", url, "--as", "stella"]);
    let size = |url: &str| replayed(url)["size"].to_string();
    spread.until("both stand at one position", || size(&one) == size(&two));
    let (a, b) = (replayed(&one), replayed(&two));
    assert!(["entry_root", "verdict_root", "rows"].iter().all(|name| a[name] == b[name]), "{a} {b}");

    // A gateway that was stopped goes on from where it stood, and holds to the ledger that it followed.
    first.terminate();
    let id = std::fs::read_to_string(ledger.path("gateway-1/ledger.id")).unwrap();
    let (_first, one) = spread.gateway("gateway-1");
    assert_eq!(spread.accepted(&one, "examples-scanned"), 1);
    let other = "0".repeat(64);
    assert_ne!(id.trim(), other);
    let vault = format!("file://{}", ledger.folder().join("vault").display());
    let key = ledger.folder().join("server/gateway.key");
    let replica = ledger.path("gateway-2");
    let gateway =
        ["gateway", "--kafka", &spread.brokers, "--ledger", &spread.topic, "--vault", &vault, "--ledger-id", &other];
    let error = ledger
        .fails(2, &[&gateway[..], &["--replica", replica.to_str().unwrap(), "--key", key.to_str().unwrap()]].concat());
    assert!(error.contains("follows the ledger"), "{error}");
}

#[test]
fn a_gateway_says_that_the_broker_is_away_answers_meanwhile_and_says_that_it_is_back() {
    let Some(cluster) = Cluster::start(1) else { return };
    let ledger = Ledger::staffed();
    let spread = Spread::over(&ledger, &cluster);
    let (_gateway, url) = spread.gateway("gateway");
    cluster.kill(1);
    spread.until("it says so", || spread.said("gateway").contains("it is tried again"));
    let list = ["key", "list", "--server", &url, "--as", "stella"];
    ledger.ok(&list);
    cluster.restart(1);
    spread.until("it says that it is back", || spread.said("gateway").contains("the brokers answer again"));
    ledger.ok(&["key", "new", "otto"]);
    let register = ["key", "register", "otto", "--name", "Otto", "--as", "ada", "--server", &url];
    spread.until("events are taken again", || {
        ledger.run(&register); // what was not answered in time may stand all the same
        ledger.ok(&list).contains("otto")
    });
}

#[test]
fn a_part_says_what_it_lacks() {
    let ledger = Ledger::none();
    let key = ledger.file("k", b"");
    let replica = ledger.path("r");
    let replica = replica.to_str().unwrap();
    let error = ledger.fails(
        2,
        &[
            "trainer",
            "--kafka",
            "h:1",
            "--ledger",
            "l",
            "--replica",
            replica,
            "--vault",
            "file:///v",
            "--as",
            "t",
            "--key",
            &key,
        ],
    );
    assert!(error.contains("--models"), "{error}");
    assert!(ledger.fails(2, &["worker", "pii", "--replica", replica]).contains("--vault"));
}
