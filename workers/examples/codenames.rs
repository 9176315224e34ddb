//! A detector of one's own: it marks a project's name that nobody outside may read.
use attestune_ledger::log::{Kafka, KafkaConfig};
use attestune_ledger::replica::{Replica, ReplicaOptions};
use attestune_ledger::{keyfile::KeyFile, store::Store, vault::Vault};
use attestune_proto::v1::{ExampleFindings, ExamplesScanned, Finding, Tool, event::Body};
use attestune_workers::{Context, Outcome, Progress, Signer, Worker, WorkerError, example::scan_text, run};
use std::{error::Error, path::Path, sync::Arc};

struct Codenames;

impl Worker for Codenames {
    fn name(&self) -> &'static str {
        "codenames"
    }

    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        let detector = Tool { name: "codenames".into(), version: "1".into() };
        let mut progress = Progress::Idle;
        for batch in context.open_work()?.batches_to_scan {
            let Some(part) = context.scan_part(&detector, batch)? else {
                continue; // another detector's scan is missing
            };
            let mut scan = ExamplesScanned { batch, looked_for: vec!["codename".into()], ..Default::default() };
            scan.detector = Some(detector.clone());
            for (index, text) in (0..).zip(context.batch(batch)?.1.iter().map(scan_text)) {
                if let Some((before, _)) = text.split_once("Heron") {
                    let start = before.chars().count() as u32;
                    let found = Finding { entity: "codename".into(), start, end: start + 5, score_ppm: 1_000_000 };
                    scan.findings.push(ExampleFindings { index, spans: vec![found] });
                }
            }
            if let Outcome::Accepted(_) = context.act(batch, &part, Body::ExamplesScanned(scan))? {
                progress = Progress::Done;
            }
        }
        Ok(progress)
    }
}

/// `codenames BROKERS LEDGER REPLICA-FOLDER VAULT-FOLDER KEY-FILE`, as the actor `codenames`.
fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().collect();
    let [_, brokers, ledger, replica, vault, key] = &args[..] else { return Err("five arguments are needed".into()) };
    let store = Store::open(replica, &Default::default())?;
    let log = Arc::new(Kafka::open(store.clone(), KafkaConfig::new(brokers, ledger)?)?);
    let replica = Replica::open(store, log, ReplicaOptions::default())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let vault = Arc::new(runtime.block_on(Vault::open_folder(Path::new(vault)))?);
    let signer = Signer { actor: "codenames".into(), key: KeyFile::load(Path::new(key))? };
    let context = Context::new(replica, vault, signer, runtime.handle().clone());
    Ok(run(Box::new(Codenames), &context, &Arc::default())?)
}
