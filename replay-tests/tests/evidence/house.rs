//! A company with a version in force, its log in a replica, and an officer who takes bundles out.

use attestune_ledger::evidence::{self, Anchors, Draft, Export, Exported, Report, Request};
use attestune_ledger::log::{Clock, Embedded, Entry};
use attestune_ledger::query;
use attestune_ledger::replica::{Replica, ReplicaOptions};
use attestune_ledger::store::{Options, Store};
use attestune_ledger::tree::{Hash, TlogProof};
use attestune_proto::v1::*;
use attestune_replay_tests::*;
use sha2::{Digest as _, Sha256};
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// In the place of the page that checks bundles in a browser.
const PAGE: &[u8] = b"<!doctype html><title>a page</title>";

/// The salt of the text of an example.
pub fn salt(index: u8) -> Vec<u8> {
    vec![index; 32]
}

/// The text of an example.
pub fn text(index: u8) -> Vec<u8> {
    format!("ticket {index}").into_bytes()
}

fn commitment(index: u8) -> Vec<u8> {
    Sha256::new().chain_update(salt(index)).chain_update(text(index)).finalize().to_vec()
}

/// Examples whose texts are known, four of them in force, one reviewed and redacted; a second version that was rolled
/// back; refused attempts between.
pub fn company() -> World {
    let mut world = World::new();
    let documents = world.must("sten", ingested("tickets", 5));
    let event::Body::ExamplesDerived(body) = derived(documents, 5) else { unreachable!() };
    let real = ExamplesDerived { commitments: (0..5).map(commitment).collect(), ..body };
    let batch = world.must("sten", event::Body::ExamplesDerived(real));
    world.must("scanner", scanned(batch, &[1, 2]));
    world.must("checker", checked(batch));
    world.must("rita", reviewed(batch, 1, ReviewVerdict::Redact));
    world.must("rita", reviewed(batch, 2, ReviewVerdict::Reject));
    let freeze = frozen(&world, "tickets", &["tickets"]);
    let mut life = Life { documents, batch, ..Life::default() };
    life.dataset = world.must("sten", event::Body::DatasetFrozen(freeze));
    life.base = world.must("ella", base());
    life.suite = world.must("ella", event::Body::SuiteRegistered(suite()));
    for (version, replaces) in [(1, None), (2, Some(1))] {
        world.train(&life);
        world.evaluate(&life, version, 97);
        world.refused("ella", promotion(version, Stage::Production, replaces), "wrong-stage");
        world.promote(version, replaces);
    }
    world.must("otto", rolled_back(2, 1));
    world
}

/// The company's log in a replica.
pub struct House {
    pub world: World,
    pub replica: Arc<Replica>,
    now_ms: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl Drop for House {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}

impl House {
    pub fn of(world: World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { cache_bytes: 8 << 20, write_buffer_bytes: 8 << 20, ..Options::default() };
        let store = Store::open(folder.path().join("db"), &options).unwrap();
        let mut batch = store.batch();
        for (position, (time_ms, value)) in (0u64..).zip(&world.log) {
            batch.put_entry(position, *time_ms, value);
        }
        store.write(batch, false).unwrap();
        let now_ms = Arc::new(AtomicU64::new(world.now_ms));
        let clock: Arc<dyn Clock> = {
            let now_ms = now_ms.clone();
            Arc::new(move || now_ms.load(Ordering::SeqCst))
        };
        let log = Arc::new(Embedded::open(store.clone(), clock).unwrap());
        let options = ReplicaOptions { checkpoint_key: Some(key("checkpoint")), pin: Some(world.ledger) };
        let replica = Replica::open(store, log, options).unwrap();
        Self { world, replica, now_ms, _folder: folder }
    }

    /// What an outsider who knows the ledger's id holds, and has this program.
    pub fn anchors(&self) -> Anchors {
        Anchors { ledger: Some(self.world.ledger), checker: Some(PAGE), ..Anchors::default() }
    }

    pub fn notes(&self) -> (String, String) {
        (self.replica.checkpoint(false).unwrap().note, self.replica.checkpoint(true).unwrap().note)
    }

    pub fn entries(&self) -> Vec<Decided> {
        (0..self.world.next()).map(|position| self.replica.decided(position).unwrap()).collect()
    }

    pub fn request(&self, at: u64) -> Request {
        Request {
            exporter: "otto".into(),
            purpose: ExportPurpose::Regulator,
            model: "triage".into(),
            at,
            sample: 3,
            checker: PAGE,
        }
    }

    /// The last position.
    pub fn last(&self) -> u64 {
        self.world.next() - 1
    }

    pub fn complete(&self, at: u64) -> Draft {
        let (entries, verdicts) = self.notes();
        evidence::complete(&Export::write(&entries, &verdicts, &self.entries()), &self.request(at)).unwrap()
    }

    pub fn slice_entries(&self, at: u64) -> Vec<SliceEntry> {
        let (then, now) = (self.replica.view_at(at), self.replica.view());
        let mut entries = query::slice(&then, &now, "triage", "otto", false).unwrap();
        for entry in &mut entries {
            let position = entry.decided.as_ref().unwrap().position;
            let path = |verdicts| {
                let request = InclusionProofRequest { position, size: now.size(), verdicts };
                self.replica.inclusion_proof(&request).unwrap().hashes
            };
            (entry.entry_path, entry.verdict_path) = (path(false), path(true));
        }
        entries
    }

    pub fn answer(&self, at: u64) -> WhyInForceResponse {
        query::why(&self.replica.view_at(at).view(), "triage").unwrap()
    }

    pub fn members(&self, at: u64) -> Vec<(u64, u32, Vec<u8>)> {
        let Some(dataset) = self.answer(at).dataset else { return Vec::new() };
        let members = query::list_members(&self.replica.view_at(at), dataset.position).unwrap().members;
        let member = |m: Member| {
            let example = m.example.unwrap();
            (example.batch, example.index, m.content.unwrap().commitment)
        };
        members.into_iter().map(member).collect()
    }

    pub fn slice(&self, at: u64) -> Draft {
        let (entries, verdicts) = self.notes();
        let disclosed = self.slice_entries(at);
        evidence::slice(&disclosed, &entries, &verdicts, &self.answer(at), self.members(at), &self.request(at)).unwrap()
    }

    /// Something that is accepted.
    pub fn act(&mut self, actor: &str, body: event::Body) -> u64 {
        let position = self.world.must(actor, body);
        self.now_ms.store(self.world.now_ms, Ordering::SeqCst);
        let value = self.world.log[position as usize].1.clone();
        let receipt = self.replica.append(vec![value]).unwrap().remove(0);
        assert_eq!((receipt.position, receipt.verdict), (position, Verdict::Accepted as i32));
        position
    }

    /// The officer signs to take something out; answers the proof of it.
    pub fn sign(&mut self, body: EvidenceExported) -> Exported {
        let size = body.size;
        let position = self.act("otto", event::Body::EvidenceExported(body));
        let (time_ms, value) = self.world.log[position as usize].clone();
        let request = InclusionProofRequest { position, size: 0, verdicts: false };
        let proof: TlogProof = self.replica.inclusion_proof(&request).unwrap().tlog_proof.parse().unwrap();
        let request = ConsistencyProofRequest { old_size: size, new_size: 0, verdicts: false };
        let hashes = self.replica.consistency_proof(&request).unwrap().hashes;
        let consistency = hashes.iter().map(|hash| Hash(hash.as_slice().try_into().unwrap())).collect();
        Exported { proof: TlogProof { extra: Entry::stored(time_ms, &value), ..proof }, consistency }
    }

    /// The finished bundle.
    pub fn take_out(&mut self, draft: &Draft) -> Vec<u8> {
        let exported = self.sign(draft.event());
        draft.finish(&exported, Cursor::new(Vec::new())).unwrap().into_inner()
    }
}

/// The failures as lines.
pub fn told(report: &Report) -> String {
    report.failures.iter().map(|failure| format!("{failure}\n")).collect()
}
