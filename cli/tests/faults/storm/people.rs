//! Twenty producers, and an engineer who keeps trainers and evaluators busy.

use super::client::{Client, Gateways, stands_at};
use super::place::Place;
use crate::{INTENTS, text};
use attestune_ledger::keyfile::KeyFile;
use attestune_proto::v1::{
    DatasetFrozen, DocumentsIngested, EvaluationRequested, ExamplesDerived, Hyperparameters, ListRequest, OpenWork,
    PrepareDatasetRequest, Sealed, TrainingRequested, Verdict, event::Body, registry_client::RegistryClient,
};
use attestune_replay_tests::key;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub const PRODUCERS: usize = 20;
/// Batches of a collection.
const BATCHES: usize = 4;
/// Examples that a dataset has at least.
const MEMBERS_MIN: u64 = 6;

/// Their names.
pub fn producers() -> Vec<String> {
    (1..=PRODUCERS).map(|number| format!("producer-{number:02}")).collect()
}

/// Those who act, each in a thread.
pub struct People {
    threads: Vec<JoinHandle<()>>,
    desk: Arc<Desk>,
    /// Somebody who may look at everything.
    pub onlooker: Client,
}

/// What they share.
#[derive(Default)]
struct Desk {
    home: AtomicBool,
    /// Collections that are complete, newest last.
    collections: Mutex<Vec<String>>,
}

impl People {
    /// Lets them begin.
    pub fn begin(place: &Place, gateways: &Gateways, names: &[String], seed: u64) -> Self {
        let desk = Arc::new(Desk::default());
        let person = |name: &str| KeyFile::load(&place.ledger.folder().join(format!("keys/{name}.key"))).unwrap();
        let mut threads = Vec::new();
        for (number, name) in (1..).zip(names) {
            let (client, desk) = (gateways.client(name, key(name), seed.wrapping_mul(31) + number), desk.clone());
            threads.push(std::thread::spawn(move || produce(client, &desk)));
        }
        let (mina, at_desk) = (gateways.client("mina", person("mina"), seed), desk.clone());
        threads.push(std::thread::spawn(move || engineer(mina, &at_desk)));
        let onlooker = gateways.client("stella", person("stella"), seed);
        Self { threads, desk, onlooker }
    }

    /// Nobody has given up.
    pub fn all_well(&self) {
        assert!(self.threads.iter().all(|thread| !thread.is_finished()), "somebody was answered wrongly, see above");
    }

    /// Lets everybody end what he is at.
    pub fn go_home(self) -> Client {
        self.desk.home.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.onlooker
    }
}

/// Ingests documents and derives examples from them, batch after batch.
fn produce(mut client: Client, desk: &Desk) {
    for batch in 0.. {
        if desk.home.load(Ordering::Relaxed) {
            return;
        }
        let collection = format!("{}.{}", client.actor(), batch / BATCHES);
        ingest_and_derive(&mut client, &collection, batch);
        if batch % BATCHES == BATCHES - 1 {
            desk.collections.lock().unwrap().push(collection);
        }
        std::thread::sleep(Duration::from_millis(200 + client.chance.below(1_000)));
    }
}

fn ingest_and_derive(client: &mut Client, collection: &str, batch: usize) {
    let count = 1 + client.chance.below(4) as usize;
    let documents = (0..count).map(|row| {
        let text = text(&mut client.chance, 4 * batch + row);
        serde_json::json!({ "text": text, "intent": INTENTS[row] })
    });
    let documents: Vec<serde_json::Value> = documents.collect();
    let sealed = client.seal(documents.iter().map(|document| document.to_string().into_bytes()).collect());
    let (pack, commitments) = (sealed.pack, sealed.commitments);
    let ingested = DocumentsIngested { collection: collection.into(), pack, commitments };
    let receipt = client.act(None, Body::DocumentsIngested(ingested));
    let documents_at = stands_at(&receipt);

    let example = |document: &serde_json::Value| {
        serde_json::json!({ "prompt": document["text"], "answer": document["intent"] }).to_string().into_bytes()
    };
    let sealed = client.seal(documents.iter().map(example).collect());
    let template = client.seal(vec![br#"{"prompt":"{text}","answer":"{intent}"}"#.to_vec()]);
    let template = Sealed { pack: template.pack, commitment: template.commitments.concat() };
    let derived = ExamplesDerived {
        documents: documents_at,
        pack: sealed.pack,
        commitments: sealed.commitments,
        rows: (0..count as u32).collect(),
        template: Some(template),
    };
    client.act(Some(documents_at), Body::ExamplesDerived(derived));
}

/// Freezes what is complete, and sees to it that something is always to be trained and to be evaluated.
fn engineer(mut client: Client, desk: &Desk) {
    let all = ListRequest::default();
    let bases = client.ask(&all, async |channel, request| RegistryClient::new(channel).list_bases(request).await);
    let suites = client.ask(&all, async |channel, request| RegistryClient::new(channel).list_suites(request).await);
    let base = bases.bases[0].position;
    let suite = suites.suites.iter().find(|suite| suite.suite == "long").unwrap().position;
    let mut dataset = None;
    while !desk.home.load(Ordering::Relaxed) {
        let open = open_work(&mut client, None);
        if open.runs.len() < 2 {
            dataset = freeze(&mut client, desk).or(dataset);
            if let Some(dataset) = dataset {
                let hyperparameters = Some(hyperparameters(client.chance.below(1 << 32)));
                let body = TrainingRequested { model: "triage".into(), dataset, base, hyperparameters, schedule: None };
                client.act(None, Body::TrainingRequested(body));
            }
        }
        if open.evaluations.len() < 2 {
            evaluate(&mut client, suite);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What waits for workers, as one gateway knows it or either.
pub fn open_work(client: &mut Client, gateway: Option<usize>) -> OpenWork {
    client
        .ask_of(gateway, &ListRequest::default(), async |channel, request| {
            RegistryClient::new(channel).list_open_work(request).await
        })
        .1
}

/// Freezes a collection that is complete and checked; answers where the dataset stands.
fn freeze(client: &mut Client, desk: &Desk) -> Option<u64> {
    let collection = desk.collections.lock().unwrap().last().cloned()?;
    let collections = vec![collection.clone()];
    let question = PrepareDatasetRequest { collections: collections.clone(), as_of: None };
    let prepared =
        client.ask(&question, async |channel, request| RegistryClient::new(channel).prepare_dataset(request).await);
    if prepared.count < MEMBERS_MIN {
        return None;
    }
    let (at, root, count) = (prepared.at, prepared.root, prepared.count);
    let receipt =
        client.act(None, Body::DatasetFrozen(DatasetFrozen { dataset: "storm".into(), collections, at, root, count }));
    desk.collections.lock().unwrap().retain(|complete| *complete != collection);
    (receipt.verdict() != Verdict::Refused).then(|| stands_at(&receipt))
}

fn evaluate(client: &mut Client, suite: u64) {
    let question = ListRequest { name: "triage".into(), ..Default::default() };
    let versions = client
        .ask(&question, async |channel, request| RegistryClient::new(channel).list_versions(request).await)
        .versions;
    let Some(newest) = versions.iter().max_by_key(|version| version.version) else { return };
    let body = EvaluationRequested { model: "triage".into(), version: newest.version, suite };
    client.act(None, Body::EvaluationRequested(body));
}

/// A training that takes some seconds.
fn hyperparameters(seed: u64) -> Hyperparameters {
    Hyperparameters {
        rank: 2,
        alpha: 4,
        targets: ["k_proj", "o_proj", "q_proj", "v_proj"].map(String::from).into(),
        learning_rate: "0.002".into(),
        weight_decay: "0".into(),
        warmup_ppm: 100_000,
        epochs: 400,
        steps_max: 400,
        batch_size: 16,
        tokens_max: 256,
        seed,
        threads: 1,
    }
}
