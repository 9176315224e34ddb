//! Replay: a log is written, then folded from nothing by the product's own replica, in turns with `verify_strict`
//! alone over the same envelopes. Each turn is a process of its own, so that its peak memory is its own.

use super::{
    Plan,
    figure::{Figure, Goal, Results},
    life::Life,
    machine,
};
use crate::wait;
use anyhow::Context as _;
use attestune_ledger::{
    envelope::pae,
    log::{Embedded, EventLog as _, SystemClock},
    replica::{Replica, ReplicaOptions},
    rules::decode::decode,
    store::{Options, Store},
};
use attestune_proto::v1::{Verdict, event::Body};
use ed25519_dalek::{Signature, VerifyingKey};
use rayon::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const PART: &str = "replay";
/// Bytes of entries written at once.
const WRITE_BYTES: usize = 4 << 20;
/// Entries read at once for the verifications, and how many bytes of them at most.
const WINDOW_ENTRIES: usize = 4096;
const WINDOW_BYTES: usize = 8 << 20;

/// A log with what must come of it.
pub struct Written {
    /// The temporary folder; the log is in its `log`.
    folder: tempfile::TempDir,
    expected: Counts,
    envelope_bytes: u64,
}

/// Verdicts.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    accepted: u64,
    refused: u64,
    duplicates: u64,
    garbage: u64,
}

/// What a process that folds says at its end.
#[derive(Serialize, Deserialize)]
pub struct Folded {
    seconds: f64,
    flush_seconds: f64,
    cpu_seconds: f64,
    peak_bytes: u64,
    table_bytes: u64,
    counts: Counts,
    verdict_root: String,
}

/// What a process that verifies says at its end.
#[derive(Serialize, Deserialize)]
pub struct Verified {
    /// How long it took.
    pub seconds: f64,
    /// How many.
    pub events: u64,
    valid: u64,
}

/// A log that has been folded.
pub struct Replayed {
    /// The folder of the replica.
    pub db: PathBuf,
    envelope_bytes: u64,
    table_bytes: u64,
    written: Written,
}

impl Replayed {
    /// The folder of the log that was folded, which has nothing else.
    pub fn log(&self) -> PathBuf {
        self.written.path("log")
    }
}

/// Writes a log and folds it once; for the parts that need a folded log only.
pub fn folded_once(plan: &Plan) -> anyhow::Result<Replayed> {
    let written = write(plan.events)?;
    let db = written.path("folded-1");
    let folded = fold(&written, &db)?;
    Ok(Replayed { db, envelope_bytes: written.envelope_bytes, table_bytes: folded.table_bytes, written })
}

/// Writes a log, then folds and verifies it in turns. Answers the last round's replica.
pub fn run(plan: &Plan) -> anyhow::Result<(Results, Replayed)> {
    let written = write(plan.events)?;
    let bar = wait::bar("replaying");
    bar.set_length(u64::from(plan.rounds) * 2);
    let events = plan.events as f64;
    let (mut folds, mut verifies, mut peaks, mut cpu, mut flushes) = (vec![], vec![], vec![], vec![], vec![]);
    let mut last: Option<(PathBuf, Folded)> = None;
    for round in 1..=plan.rounds {
        let verified: Verified = child("verify", &written.path("log"), None)?;
        if verified.valid != verified.events || verified.events < plan.events {
            anyhow::bail!("{} of {} signatures are valid: the bench is wrong", verified.valid, verified.events);
        }
        verifies.push(verified.events as f64 / verified.seconds);
        bar.inc(1);

        let db = written.path(&format!("folded-{round}"));
        let folded = fold(&written, &db)?;
        if let Some((old, before)) = last.take() {
            if before.verdict_root != folded.verdict_root {
                anyhow::bail!("two replays of one log differ: {} and {}", before.verdict_root, folded.verdict_root);
            }
            std::fs::remove_dir_all(old)?;
        }
        folds.push(events / folded.seconds);
        peaks.push(folded.peak_bytes as f64 / 1e6);
        cpu.push(folded.cpu_seconds * 1e6 / events);
        flushes.push(folded.flush_seconds);
        last = Some((db, folded));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (db, folded) = last.context("--rounds is at least 1")?;
    let what = format!("{} events from nothing", plan.events);
    let figures = vec![
        Figure::new(PART, what, "events/s", folds)
            .beside("verify_strict alone", verifies)
            .with_goal(Goal::RatioAtLeast(1.0)),
        Figure::new(PART, "processor time of an event", "us", cpu),
        Figure::new(PART, "flush of what was in memory, after it", "s", flushes),
        Figure::new(PART, "peak memory", "MB", peaks).with_goal(Goal::ValueAtMost(400.0)),
    ];
    let replayed = Replayed { db, envelope_bytes: written.envelope_bytes, table_bytes: folded.table_bytes, written };
    Ok((Results { figures, ..Results::default() }, replayed))
}

/// What a folded log takes on disk.
pub fn disk(replayed: &Replayed) -> anyhow::Result<Results> {
    // Opening deletes the files that the last flushes and compactions have left over.
    drop(Store::open(&replayed.db, &Options::default())?);
    let envelopes = replayed.envelope_bytes as f64;
    let folder = machine::folder_bytes(&replayed.db)? as f64;
    let figures = vec![
        Figure::new("disk", "the whole folder, for an envelope byte", "bytes", vec![folder / envelopes])
            .with_goal(Goal::ValueAtMost(1.8)),
        Figure::new("disk", "its tables alone", "bytes", vec![replayed.table_bytes as f64 / envelopes]),
    ];
    Ok(Results { figures, ..Results::default() })
}

/// The work of a process that folds the log in a folder.
pub fn fold_here(db: &Path) -> anyhow::Result<Folded> {
    let store = Store::open(db, &Options::default())?;
    let log = Arc::new(Embedded::open(store.clone(), Arc::new(SystemClock))?);
    let (started, before) = (Instant::now(), machine::cpu_seconds());
    let replica = Replica::open(store.clone(), log, ReplicaOptions::default())?;
    let (seconds, cpu_seconds) = (started.elapsed().as_secs_f64(), machine::cpu_seconds() - before);
    let started = Instant::now();
    replica.shut_down();
    let counts = replica.counts();
    Ok(Folded {
        seconds,
        flush_seconds: started.elapsed().as_secs_f64(),
        cpu_seconds,
        peak_bytes: machine::peak_memory_bytes(),
        table_bytes: store.file_bytes(),
        counts: Counts {
            accepted: counts.accepted,
            refused: counts.refused,
            duplicates: counts.duplicates,
            garbage: counts.garbage,
        },
        verdict_root: replica.root_at(true, replica.position())?.to_string(),
    })
}

/// The work of a process that verifies every signature of the log in a folder: `verify_strict` with keys decoded
/// before, on all processors, over messages laid out before. Only the verifications are timed.
pub fn verify_here(db: &Path) -> anyhow::Result<Verified> {
    let store = Store::open(db, &Options { read_only: true, ..Options::default() })?;
    let log = Embedded::open(store, Arc::new(SystemClock))?;
    let (mut spent, mut valid, mut events) = (Duration::ZERO, 0, 0);
    let mut keys: HashMap<String, VerifyingKey> = HashMap::new();
    while events < log.end()? {
        let entries = log.read(events, WINDOW_ENTRIES, WINDOW_BYTES)?;
        let mut checks = Vec::with_capacity(entries.len());
        for entry in &entries {
            let decoded = decode(&entry.value)?;
            learn(&mut keys, &decoded.event.body)?;
            // An event counts once, whoever else has signed it.
            let signature = decoded.envelope.signatures.first().context("an event without a signature")?;
            let key = *keys.get(&signature.keyid).context("a key that was not registered before")?;
            let message = pae(&decoded.envelope.payload_type, &decoded.envelope.payload);
            checks.push((key, message, Signature::from_slice(&signature.sig)?));
        }
        let started = Instant::now();
        let verify = |(key, message, signature): &(VerifyingKey, Vec<u8>, Signature)| {
            key.verify_strict(message, signature).is_ok()
        };
        valid += checks.par_iter().with_min_len(8).filter(|check| verify(check)).count() as u64;
        spent += started.elapsed();
        events += entries.len() as u64;
    }
    Ok(Verified { seconds: spent.as_secs_f64(), events, valid })
}

/// The keys that an event brings.
fn learn(keys: &mut HashMap<String, VerifyingKey>, body: &Option<Body>) -> anyhow::Result<()> {
    let mut add = |public: &[u8]| -> anyhow::Result<()> {
        keys.insert(attestune_ledger::envelope::keyid(public), VerifyingKey::from_bytes(public.try_into()?)?);
        Ok(())
    };
    match body {
        Some(Body::LedgerCreated(body)) => body.root_keys.iter().try_for_each(|root| add(&root.public_key)),
        Some(Body::KeyRegistered(body)) => add(&body.public_key),
        _ => Ok(()),
    }
}

impl Written {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn write(events: u64) -> anyhow::Result<Written> {
    let folder = temporary_folder()?;
    let bar = wait::bar("writing");
    bar.set_length(events);
    let mut expected = Counts::default();
    let mut envelope_bytes = 0;
    let entries = Life::new().take(events as usize).map(|signed| {
        match signed.verdict {
            Verdict::Accepted => expected.accepted += 1,
            Verdict::Refused => expected.refused += 1,
            Verdict::Duplicate => expected.duplicates += 1,
            Verdict::Garbage | Verdict::Unspecified => expected.garbage += 1,
        }
        envelope_bytes += signed.value.len() as u64;
        bar.inc(1);
        (signed.time_ms, signed.value)
    });
    write_log(&folder.path().join("log"), entries)?;
    bar.finish_and_clear();
    Ok(Written { folder, expected, envelope_bytes })
}

/// A temporary folder of a bench.
pub fn temporary_folder() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("attestune-bench-").tempdir();
    folder.context("cannot make a temporary folder; TMPDIR may name another place")
}

/// Writes entries with their times as the log of a new store, and nothing else.
pub fn write_log(db: &Path, entries: impl Iterator<Item = (u64, Vec<u8>)>) -> anyhow::Result<()> {
    let store = Store::open(db, &Options::default())?;
    let mut batch = store.batch();
    for (position, (time_ms, value)) in (0u64..).zip(entries) {
        batch.put_entry(position, time_ms, &value);
        if batch.size_bytes() >= WRITE_BYTES {
            store.write(std::mem::replace(&mut batch, store.batch()), false)?;
        }
    }
    store.write(batch, true)?;
    store.flush()?;
    Ok(())
}

/// Folds a copy of the log in a process of its own.
fn fold(written: &Written, db: &Path) -> anyhow::Result<Folded> {
    copy_log(&written.path("log"), db)?;
    let folded: Folded = child("fold", db, None)?;
    if folded.counts != written.expected {
        anyhow::bail!("the verdicts are {:?}, expected were {:?}", folded.counts, written.expected);
    }
    Ok(folded)
}

/// A copy of a closed store that shares its tables, which are never changed, only deleted.
fn copy_log(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        if old.extension().is_some_and(|extension| extension == "sst") {
            std::fs::hard_link(old, new)?;
        } else {
            std::fs::copy(old, new)?;
        }
    }
    Ok(())
}

/// Runs a part of the bench in a process of its own and takes its answer.
pub fn child<T: DeserializeOwned>(work: &str, at: &Path, threads: Option<u32>) -> anyhow::Result<T> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "--child", work, "--at"]).arg(at).stdout(Stdio::piped());
    if let Some(threads) = threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    let output = command.spawn()?.wait_with_output()?;
    if !output.status.success() {
        anyhow::bail!("the process that should {work} ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_log_verifies_and_folds_to_what_was_expected() {
        let written = write(3_000).unwrap();
        let verified = verify_here(&written.path("log")).unwrap();
        assert_eq!((verified.events, verified.valid), (3_000, 3_000));

        let db = written.path("folded");
        copy_log(&written.path("log"), &db).unwrap();
        let folded = fold_here(&db).unwrap();
        assert_eq!(folded.counts, written.expected);
        assert!(folded.table_bytes > written.envelope_bytes / 2);
    }
}
