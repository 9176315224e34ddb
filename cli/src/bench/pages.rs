//! Pages of a large ledger, as a browser asks for them: on a Unix socket, warm, one after the other.

use super::{
    Plan,
    append::Server,
    figure::{Figure, Goal, Results, Times},
    life::{OFFICER, Random, key},
    replay::Replayed,
};
use crate::{session::now_ms, wait};
use anyhow::ensure;
use attestune_ledger::{
    envelope::TOKEN_PAYLOAD_TYPE,
    log::{Embedded, SystemClock},
    query::{self, Wanted},
    replica::{Replica, ReplicaOptions},
    store::{Options, Store},
};
use attestune_proto::v1::AccessToken;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use std::{sync::Arc, time::Instant};
use tokio::net::UnixStream;

const PART: &str = "pages";
/// Pages of each kind in a pass.
const ASKED: usize = 100;
/// What 99 of 100 pages shall take at most.
const GOAL_MS: f64 = 100.0;
/// Things of a kind among which one is chosen: the newest.
const CHOICE: u32 = 1000;

/// Measures.
pub async fn run(plan: &Plan, replayed: &Replayed) -> anyhow::Result<Results> {
    let store = Store::open(&replayed.db, &Options::default())?;
    let log = Arc::new(Embedded::open(store.clone(), Arc::new(SystemClock))?);
    let replica = Replica::open(store, log, ReplicaOptions::default())?;
    let folder = super::replay::temporary_folder()?;
    let server = Server::start(replica.clone(), &folder.path().join("sock")).await?;
    let kinds = kinds(&replica)?;
    let mut browser = Browser::open(&server, &replica).await?;

    let bar = wait::bar("reading");
    bar.set_length(kinds.len() as u64 * u64::from(plan.rounds + 1));
    let mut figures = Vec::new();
    for (what, paths) in &kinds {
        let (mut median, mut slowest) = (Vec::new(), Vec::new());
        // The first pass warms the caches.
        for round in 0..=plan.rounds {
            let times = browser.read(paths).await?;
            if round > 0 {
                median.push(times.percentile_us(50) / 1e3);
                slowest.push(times.percentile_us(99) / 1e3);
            }
            bar.inc(1);
        }
        figures.push(Figure::new(PART, format!("{what}, median"), "ms", median));
        let slowest = Figure::new(PART, format!("{what}, 99 of 100 within"), "ms", slowest);
        figures.push(slowest.with_goal(Goal::ValueAtMost(GOAL_MS)));
    }
    bar.finish_and_clear();
    drop(browser);
    server.stop().await?;
    tokio::task::spawn_blocking(move || replica.shut_down()).await?;
    Ok(Results { figures, ..Results::default() })
}

/// Addresses by kind of page, about things all over the newest part of the log.
fn kinds(replica: &Replica) -> anyhow::Result<Vec<(&'static str, Vec<String>)>> {
    let view = replica.view();
    let newest = || Wanted { limit: CHOICE, ..Wanted::default() };
    let positions = |rows: Vec<u64>| rows.into_iter().map(|position| position.to_string()).collect::<Vec<_>>();
    let versions = query::list_versions(&view, "")?.versions;
    let models: Vec<_> = query::list_models(&view, "")?.models.into_iter().map(|row| row.model).collect();
    let datasets = query::list_datasets(&view, newest())?.datasets;
    let runs = positions(query::list_runs(&view, newest())?.runs.iter().map(|row| row.position).collect());
    let evaluations = query::list_evaluations(&view, newest())?.evaluations;
    let promotions = query::list_promotions(&view, newest())?.promotions;
    let batches = query::list_batches(&view, newest())?;
    let made: Vec<_> = versions.iter().map(|row| format!("{}/{}", row.model, row.version)).collect();
    let collections: Vec<_> = datasets.iter().flat_map(|row| row.collections.clone()).collect();
    let entries: Vec<_> = (0..CHOICE).map(|back| (view.size() - 1 - u64::from(back)).to_string()).collect();

    let mut random = Random(13);
    let mut of = |prefix: &str, names: &[String]| -> Vec<String> {
        let chosen = (0..ASKED).filter_map(|_| random.pick(names).cloned()).collect::<Vec<_>>();
        chosen.iter().map(|name| format!("{prefix}{name}")).collect()
    };
    let one = |path: &str| vec![path.to_owned(); ASKED];
    let kinds = vec![
        ("models", one("/")),
        ("a model", of("/models/", &models)),
        ("a version", of("/models/", &made)),
        ("lineage of a version", of("/lineage/", &positions(versions.iter().map(|row| row.position).collect()))),
        ("timeline", one("/timeline")),
        ("timeline of a model", of("/timeline?model=", &models)),
        ("an event", of("/events/", &entries)),
        ("data", one("/datasets")),
        ("a dataset", of("/datasets/", &positions(datasets.iter().map(|row| row.position).collect()))),
        ("a collection", of("/collections/", &collections)),
        ("a batch", of("/batches/", &positions(batches.examples.iter().map(|row| row.position).collect()))),
        ("runs", one("/runs")),
        ("a run", of("/runs/", &runs)),
        ("suites", one("/suites")),
        ("an evaluation", of("/evaluations/", &positions(evaluations.iter().map(|row| row.position).collect()))),
        ("promotions", one("/promotions")),
        ("a promotion", of("/promotions/", &positions(promotions.iter().map(|row| row.position).collect()))),
        ("review", one("/review")),
        ("gaps", one("/work")),
        ("people", one("/people")),
        ("policy", one("/policy")),
        ("health", one("/health")),
    ];
    ensure!(
        kinds.iter().all(|(_, paths)| !paths.is_empty()),
        "so short a log lacks some things: ask for more --events"
    );
    Ok(kinds)
}

/// A connection of somebody who is signed in.
struct Browser {
    sender: http1::SendRequest<Empty<Bytes>>,
    cookie: String,
}

impl Browser {
    async fn open(server: &Server, replica: &Replica) -> anyhow::Result<Self> {
        let socket = UnixStream::connect(&server.socket).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection); // it ends with the sender
        let ledger = replica.head()?.ledger;
        let name = hex::encode(&ledger[..4]);
        let (actor, audience) = (OFFICER.into(), "attestune".into());
        let token = AccessToken { ledger, actor, audience, not_after_ms: now_ms() + 3_500_000 };
        let token = BASE64_URL_SAFE_NO_PAD.encode(key(OFFICER).sign(TOKEN_PAYLOAD_TYPE, &token.encode_to_vec()));
        Ok(Self { sender, cookie: format!("attestune-{name}={token}") })
    }

    /// The time of each page, to its last byte.
    async fn read(&mut self, paths: &[String]) -> anyhow::Result<Times> {
        let mut times = Times::default();
        for path in paths {
            let request = Request::get(path).header("host", "bench").header("cookie", &self.cookie);
            self.sender.ready().await?;
            let began = Instant::now();
            let response = self.sender.send_request(request.body(Empty::new())?).await?;
            let status = response.status();
            response.into_body().collect().await?;
            times.push(began.elapsed());
            ensure!(status == StatusCode::OK, "{path} answers {status}");
        }
        Ok(times)
    }
}
