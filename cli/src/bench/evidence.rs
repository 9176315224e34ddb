//! What a compliance officer waits for: why a version is in force, now and at a moment of the past, in this log and in one
//! of ten thousand events; an inclusion proof; a slice of evidence; and a complete bundle verified, beside
//! `verify_strict` alone over the same log.

use super::{
    Plan,
    append::Server,
    figure::{Figure, Goal, Results, Times},
    life::{OFFICER, Random, key},
    machine,
    replay::{self, Replayed, Verified},
};
use crate::{
    context::Signer,
    evidence::{Asked, Exporting},
    session::Session,
    wait,
};
use anyhow::Context as _;
use attestune_ledger::{
    evidence::{Anchors, verify},
    log::{Embedded, SystemClock},
    query,
    replica::{Replica, ReplicaOptions},
    store::{Options, Store},
};
use attestune_proto::v1::{
    AsOf, ExportPurpose, InclusionProofRequest, PromotionStatus, Stage, VersionRow, WhyInForceRequest, as_of::When,
};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc, time::Instant};

const PART: &str = "evidence";
/// Events of the small log.
const SMALL: u64 = 10_000;
/// Questions of each kind in a round.
const QUESTIONS: usize = 500;
/// Slices in a round.
const SLICES: usize = 5;

/// Measures.
pub async fn run(plan: &Plan, replayed: &Replayed) -> anyhow::Result<Results> {
    let small = replay::folded_once(&Plan { events: SMALL, rounds: 1, model: None, install: false })?;
    let answered: Answered = replay::child("answer", &replayed.db, None)?;
    let (small, large) = (House::open(&small.db).await?, House::open(&replayed.db).await?);
    let mut figures = why(plan, &small, &large).await?;
    small.close().await?;
    figures.push(proofs(plan.rounds, &large).await?);
    let memory = Figure::new(PART, "memory of replica and gateway", "MB", vec![answered.peak_bytes as f64 / 1e6]);
    figures.push(memory.with_goal(Goal::ValueAtMost(400.0)));
    figures.push(slices(plan, &large).await?);
    figures.extend(bundle(plan, &large, replayed).await?);
    large.close().await?;
    Ok(Results { figures, ..Results::default() })
}

/// What a process that answers says at its end.
#[derive(Serialize, Deserialize)]
pub struct Answered {
    peak_bytes: u64,
}

/// The work of a process that serves a folded ledger, and answers questions and proves entries.
pub async fn answer_here(db: &Path) -> anyhow::Result<Answered> {
    let house = House::open(db).await?;
    for past in [false, true] {
        house.ask(&mut Random(41), past).await?;
    }
    proofs(1, &house).await?;
    house.close().await?;
    Ok(Answered { peak_bytes: machine::peak_memory_bytes() })
}

/// A folded ledger that is served, and an officer who asks.
struct House {
    replica: Arc<Replica>,
    server: Server,
    session: Session,
    _folder: tempfile::TempDir,
}

impl House {
    async fn open(db: &Path) -> anyhow::Result<Self> {
        let store = Store::open(db, &Options::default())?;
        let log = Arc::new(Embedded::open(store.clone(), Arc::new(SystemClock))?);
        let options = ReplicaOptions { checkpoint_key: Some(key("checkpoint")), pin: None };
        let replica = Replica::open(store, log, options)?;
        let folder = replay::temporary_folder()?;
        let server = Server::start(replica.clone(), &folder.path().join("sock")).await?;
        let signer = Signer { actor: OFFICER.into(), key: key(OFFICER) };
        let session = Session::open(server.connect().await?, Some(signer), None, None).await?;
        Ok(Self { replica, server, session, _folder: folder })
    }

    async fn close(self) -> anyhow::Result<()> {
        let Self { replica, server, session, _folder } = self;
        drop(session);
        server.stop().await?;
        Ok(tokio::task::spawn_blocking(move || replica.shut_down()).await?)
    }

    /// Versions that were in force once.
    fn promoted(&self) -> anyhow::Result<Vec<VersionRow>> {
        let mut versions = query::list_versions(&self.replica.view(), "")?.versions;
        versions.retain(|version| version.production_promotion != 0);
        anyhow::ensure!(!versions.is_empty(), "so short a log promotes no version: ask for more --events");
        Ok(versions)
    }

    /// Asks why a version is in force, now, or at moments after it came about.
    async fn ask(&self, random: &mut Random, past: bool) -> anyhow::Result<Times> {
        let versions = self.promoted()?;
        let mut client = self.session.provenance();
        let mut times = Times::default();
        for number in 0..QUESTIONS {
            let version = random.pick(&versions).context("there are versions")?;
            let at = version.production_promotion;
            let position = at + random.below(self.replica.position() - at);
            let when = match (past, number % 2) {
                (false, _) => None,
                (true, 0) => Some(When::Position(position)),
                (true, _) => Some(When::TimeMs(self.replica.entry(position)?.time_ms)),
            };
            let as_of = when.map(|when| AsOf { when: Some(when) });
            let request = WhyInForceRequest { model: version.model.clone(), as_of };
            let began = Instant::now();
            let answer = client.why_in_force(request).await?.into_inner();
            times.push(began.elapsed());
            anyhow::ensure!(answer.as_of_ms != 0, "an answer knows of no time");
        }
        Ok(times)
    }
}

async fn why(plan: &Plan, small: &House, large: &House) -> anyhow::Result<Vec<Figure>> {
    let bar = wait::bar("asking why");
    bar.set_length(2 * u64::from(plan.rounds + 1));
    let mut figures = Vec::new();
    for (what, past) in [("WhyInForce now", false), ("WhyInForce then", true)] {
        let (mut ours, mut theirs, mut medians) = (vec![], vec![], vec![]);
        // The first round warms the caches.
        for round in 0..=plan.rounds {
            // Both logs are asked the same course of questions.
            let of_small = small.ask(&mut Random(29 + u64::from(round)), past).await?;
            let of_large = large.ask(&mut Random(29 + u64::from(round)), past).await?;
            if round > 0 {
                theirs.push(of_small.percentile_us(99) / 1e3);
                ours.push(of_large.percentile_us(99) / 1e3);
                medians.push(of_large.percentile_us(50) / 1e3);
            }
            bar.inc(1);
        }
        let within = format!("{what}, 99 of 100 within");
        figures.push(Figure::new(PART, format!("{what}, median"), "ms", medians));
        figures.push(Figure::new(PART, within.clone(), "ms", ours.clone()).with_goal(Goal::ValueAtMost(10.0)));
        let beside = Figure::new(PART, within, "ms", ours).beside("10,000 events", theirs);
        figures.push(beside.with_goal(Goal::RatioAtMost(1.5)));
    }
    bar.finish_and_clear();
    Ok(figures)
}

/// Inclusion proofs of entries all over the log, with a checkpoint signed for each.
async fn proofs(rounds: u32, house: &House) -> anyhow::Result<Figure> {
    let mut client = house.session.log();
    let mut random = Random(31);
    let mut p99 = Vec::new();
    for round in 0..=rounds {
        let mut times = Times::default();
        for _ in 0..QUESTIONS {
            let position = random.below(house.replica.position());
            let began = Instant::now();
            let request = InclusionProofRequest { position, size: 0, verdicts: false };
            let proof = client.inclusion_proof(request).await?.into_inner();
            times.push(began.elapsed());
            anyhow::ensure!(!proof.tlog_proof.is_empty(), "a proof without its checkpoint");
        }
        if round > 0 {
            p99.push(times.percentile_us(99) / 1e3);
        }
    }
    Ok(Figure::new(PART, "inclusion proof, 99 of 100 within", "ms", p99).with_goal(Goal::ValueAtMost(2.0)))
}

/// Slices from the question to the signed and checked bundle.
async fn slices(plan: &Plan, house: &House) -> anyhow::Result<Figure> {
    let mut promotions = query::list_promotions(&house.replica.view(), "")?.promotions;
    promotions.retain(|row| row.to() == Stage::Production && row.status() == PromotionStatus::Promoted);
    let mut random = Random(37);
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let mut slowest = 0f64;
        for _ in 0..SLICES {
            let promotion = random.pick(&promotions).context("there are promotions")?;
            let began = Instant::now();
            let asked = asked(&promotion.model, promotion.decided_at);
            let exporting = Exporting::begin(&house.session, asked).await?;
            let draft = exporting.slice().await?;
            exporting.signed(&draft).await?;
            slowest = slowest.max(began.elapsed().as_secs_f64());
        }
        rounds.push(slowest);
    }
    let what = format!("a slice, made, signed for and checked: the slowest of {SLICES}");
    Ok(Figure::new(PART, what, "s", rounds).with_goal(Goal::ValueAtMost(2.0)))
}

fn asked(model: &str, position: u64) -> Asked<'_> {
    Asked {
        model,
        as_of: Some(AsOf { when: Some(When::Position(position)) }),
        purpose: ExportPurpose::Auditor,
        sample: 25,
        witnesses: None,
    }
}

/// A complete bundle, verified in turns with the signatures of the log that it holds.
async fn bundle(plan: &Plan, house: &House, replayed: &Replayed) -> anyhow::Result<Vec<Figure>> {
    let bar = wait::bar("verifying a bundle");
    bar.set_length(u64::from(plan.rounds) + 1);
    let version = house.promoted()?.pop().context("there are versions")?;
    let began = Instant::now();
    let asked = asked(&version.model, house.replica.position() - 1);
    let exporting = Exporting::begin(&house.session, asked).await?;
    let draft = exporting.complete().await?;
    let size = draft.manifest().size;
    let (_, bytes) = exporting.signed(&draft).await?;
    drop(draft);
    let made =
        Figure::new(PART, "a complete bundle, made, signed for and checked", "s", vec![began.elapsed().as_secs_f64()]);
    let megabytes = Figure::new(PART, "its size", "MB", vec![bytes.len() as f64 / 1e6]);
    bar.inc(1);
    let anchors = Anchors { ledger: house.session.ledger_id().try_into().ok(), ..Anchors::default() };
    let bytes = Arc::new(bytes);
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..plan.rounds {
        let verified: Verified = replay::child("verify", &replayed.log(), None)?;
        theirs.push(verified.events as f64 / verified.seconds);
        let (bytes, anchors) = (bytes.clone(), anchors.clone());
        let began = Instant::now();
        let report = tokio::task::spawn_blocking(move || verify(&bytes, &anchors)).await?;
        ours.push(size as f64 / began.elapsed().as_secs_f64());
        anyhow::ensure!(report.holds() && report.origin_known, "the bundle does not verify: {:?}", report.failures);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let verified = Figure::new(PART, "a complete bundle verified", "events/s", ours);
    Ok(vec![made, megabytes, verified.beside("verify_strict alone", theirs).with_goal(Goal::RatioAtLeast(1.0))])
}
