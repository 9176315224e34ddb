//! Questions to a folded ledger: why a version is in force, and lineage up and down; over gRPC and without, warm.

use super::{
    Plan,
    append::Server,
    figure::{Figure, Goal, Results, Times},
    life::{OFFICER, Random, key},
    replay::Replayed,
};
use crate::{context::Signer, session::Session, wait};
use attestune_ledger::{
    log::{Embedded, SystemClock},
    query,
    replica::{Replica, ReplicaOptions},
    store::{Options, Store},
};
use attestune_proto::v1::{
    AsOf, Direction, LineageRequest, LineageResponse, VersionRow, WhyInForceRequest, WhyInForceResponse, as_of::When,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const PART: &str = "query";
/// Questions of each kind in a pass.
const QUESTIONS: usize = 500;
/// A pass ends after this, however many questions are left, once it has asked [`QUESTIONS_MIN`].
const PASS_MAX: Duration = Duration::from_secs(10);
const QUESTIONS_MIN: usize = 30;
/// What 99 of 100 answers shall take at most.
const GOAL_MS: f64 = 5.0;

enum Question {
    Why(WhyInForceRequest),
    Lineage(LineageRequest),
}

/// Measures.
pub async fn run(plan: &Plan, replayed: &Replayed) -> anyhow::Result<Results> {
    let store = Store::open(&replayed.db, &Options::default())?;
    let log = Arc::new(Embedded::open(store.clone(), Arc::new(SystemClock))?);
    let replica = Replica::open(store, log, ReplicaOptions::default())?;
    let folder = super::replay::temporary_folder()?;
    let server = Server::start(replica.clone(), &folder.path().join("sock")).await?;
    let signer = Signer { actor: OFFICER.into(), key: key(OFFICER) };
    let session = Session::open(server.connect().await?, Some(signer), None, None).await?;

    let kinds = questions(&replica)?;
    let bar = wait::bar("asking");
    bar.set_length(kinds.len() as u64 * u64::from(plan.rounds + 1));
    let mut figures = Vec::new();
    for (what, questions) in &kinds {
        let (mut wire, mut direct) = (Percentiles::default(), Percentiles::default());
        // The first pass warms the caches.
        for round in 0..=plan.rounds {
            let answered = ask(&session, questions).await?;
            let found = look_up(&replica, questions)?;
            if round > 0 {
                wire.add(&answered);
                direct.add(&found);
            }
            bar.inc(1);
        }
        let median = Figure::new(PART, format!("{what}, median"), "ms", wire.p50);
        figures.push(median.beside("without gRPC", direct.p50));
        let slowest = Figure::new(PART, format!("{what}, 99 of 100 within"), "ms", wire.p99);
        figures.push(slowest.beside("without gRPC", direct.p99).with_goal(Goal::ValueAtMost(GOAL_MS)));
    }
    bar.finish_and_clear();
    drop(session);
    server.stop().await?;
    tokio::task::spawn_blocking(move || replica.shut_down()).await?;
    Ok(Results { figures, ..Results::default() })
}

/// A number a round, in milliseconds.
#[derive(Default)]
struct Percentiles {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Percentiles {
    fn add(&mut self, times: &Times) {
        self.p50.push(times.percentile_us(50) / 1e3);
        self.p99.push(times.percentile_us(99) / 1e3);
    }
}

/// Questions by kind, about models, versions and batches all over the log.
fn questions(replica: &Replica) -> anyhow::Result<Vec<(&'static str, Vec<Question>)>> {
    let view = replica.view();
    let mut random = Random(11);
    let versions = query::list_versions(&view, "")?.versions;
    let datasets: Vec<_> = query::list_datasets(&view, "")?.datasets.iter().map(|d| d.position).collect();
    let batches = query::list_batches(&view, "")?;
    let documents: Vec<_> = batches.documents.iter().map(|batch| batch.position).collect();
    let examples: Vec<_> = batches.examples.iter().map(|batch| batch.position).collect();
    let made: Vec<_> = versions.iter().map(|version| version.position).collect();

    let mut why = Vec::with_capacity(QUESTIONS);
    while let Some(version) = random.pick(&versions).filter(|_| why.len() < QUESTIONS) {
        why.push(Question::Why(why_of(replica, &mut random, version)?));
    }
    let mut lineage = |places: &[u64], direction: Direction| {
        let ask = |position: &u64| {
            let direction = direction.into();
            Question::Lineage(LineageRequest { position: *position, direction, ..LineageRequest::default() })
        };
        (0..QUESTIONS).filter_map(|_| random.pick(places)).map(ask).collect::<Vec<_>>()
    };
    let kinds = vec![
        ("WhyInForce, now and then", why),
        ("Lineage up from a version", lineage(&made, Direction::Up)),
        ("Lineage down from documents", lineage(&documents, Direction::Down)),
        ("Lineage down from examples", lineage(&examples, Direction::Down)),
        ("Lineage down from a dataset", lineage(&datasets, Direction::Down)),
    ];
    if kinds.iter().any(|(_, questions)| questions.is_empty()) {
        anyhow::bail!("so short a log holds no version of a model: ask for more --events");
    }
    Ok(kinds)
}

/// One in three asks for now, one for a position, one for a time, at which the model had a version.
fn why_of(replica: &Replica, random: &mut Random, version: &VersionRow) -> anyhow::Result<WhyInForceRequest> {
    let position = version.position + random.below(replica.position() - version.position);
    let when = match random.below(3) {
        0 => None,
        1 => Some(When::Position(position)),
        _ => Some(When::TimeMs(replica.entry(position)?.time_ms)),
    };
    Ok(WhyInForceRequest { model: version.model.clone(), as_of: when.map(|when| AsOf { when: Some(when) }) })
}

async fn ask(session: &Session, questions: &[Question]) -> anyhow::Result<Times> {
    let mut client = session.provenance();
    let mut times = Times::default();
    let until = Instant::now() + PASS_MAX;
    for question in questions {
        let began = Instant::now();
        match question {
            Question::Why(request) => known(&client.why_in_force(request.clone()).await?.into_inner())?,
            Question::Lineage(request) => connected(&client.lineage(*request).await?.into_inner())?,
        }
        times.push(began.elapsed());
        if times.len() >= QUESTIONS_MIN && Instant::now() > until {
            break;
        }
    }
    Ok(times)
}

fn look_up(replica: &Replica, questions: &[Question]) -> anyhow::Result<Times> {
    let mut times = Times::default();
    let until = Instant::now() + PASS_MAX;
    for question in questions {
        let began = Instant::now();
        match question {
            Question::Why(request) => {
                let then = replica.resolve(request.as_of.as_ref())?;
                known(&query::why_in_force(&then, &replica.view(), &request.model)?)?;
            }
            Question::Lineage(request) => {
                connected(&query::lineage(&replica.resolve(request.as_of.as_ref())?, request)?)?;
            }
        }
        times.push(began.elapsed());
        if times.len() >= QUESTIONS_MIN && Instant::now() > until {
            break;
        }
    }
    Ok(times)
}

fn known(answer: &WhyInForceResponse) -> anyhow::Result<()> {
    if answer.as_of_ms == 0 {
        anyhow::bail!("an answer knows of no time");
    }
    Ok(())
}

fn connected(answer: &LineageResponse) -> anyhow::Result<()> {
    if answer.nodes.is_empty() {
        anyhow::bail!("an answer has no node");
    }
    Ok(())
}
