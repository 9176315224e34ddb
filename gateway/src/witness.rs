//! A small witness (C2SP tlog-witness): keeps the last checkpoint of each log it knows, and cosigns what extends it.

use crate::serve::ServeError;
use crate::stop::Stop;
use attestune_ledger::envelope::SigningKey;
use attestune_ledger::tree::{
    AddCheckpoint, Checkpoint, Hash, Origin, VerifierKey, WitnessKey, WitnessRefusal, cosign, judge,
};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Largest request: 63 lines of proof and a note.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// A witness and what it has cosigned.
pub struct Witness {
    name: Origin,
    key: SigningKey,
    logs: Vec<VerifierKey>,
    folder: PathBuf,
    /// Judging and keeping are one step: else a smaller tree could overtake a larger one.
    judging: Mutex<()>,
}

impl Witness {
    /// A witness of some logs, which keeps their last checkpoints in a folder of its own, a file a log.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub fn new(name: Origin, key: SigningKey, logs: Vec<VerifierKey>, folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { name, key, logs, folder, judging: Mutex::new(()) })
    }

    /// Its verifier key.
    ///
    /// # Errors
    /// If the key is weak.
    pub fn verifier_key(&self) -> Result<WitnessKey, attestune_ledger::tree::NoteError> {
        WitnessKey::new(self.name.clone(), self.key.inner().verifying_key())
    }

    /// Judges a request and answers the signature line; the checkpoint is kept, durably, before.
    fn add(&self, request: &str) -> Result<String, Answer> {
        let request: AddCheckpoint = request.parse().map_err(Answer::No)?;
        let _one_at_a_time = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unreadable = None;
        let checkpoint = judge(&request, &self.logs, |origin| match self.last(origin) {
            Ok(last) => last,
            Err(error) => {
                unreadable = Some(error);
                Some((u64::MAX, Hash([0; 32])))
            }
        });
        if let Some(error) = unreadable {
            return Err(Answer::Failed(error));
        }
        let checkpoint = checkpoint.map_err(|refusal| {
            if matches!(refusal, WitnessRefusal::Fork { .. } | WitnessRefusal::Inconsistent { .. }) {
                tracing::warn!(%refusal, note = request.note, "a log showed what does not fit");
            }
            Answer::No(refusal)
        })?;
        self.keep(&checkpoint, &request.note).map_err(Answer::Failed)?;
        let time_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        cosign(&request.note, &self.name, self.key.inner(), time_s)
            .map_err(|error| Answer::No(WitnessRefusal::BadRequest(error.to_string())))
    }

    fn place(&self, origin: &str) -> PathBuf {
        self.folder.join(format!("{}.checkpoint", hex::encode(&Sha256::digest(origin)[..16])))
    }

    /// The last checkpoint cosigned for an origin.
    fn last(&self, origin: &str) -> io::Result<Option<(u64, Hash)>> {
        let path = self.place(origin);
        let note = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            note => note?,
        };
        let keys = self.logs.iter().filter(|log| log.name().as_str() == origin);
        let opened = keys.into_iter().find_map(|key| Checkpoint::open(&note, key).ok());
        let damaged = || io::Error::other(format!("{} is no checkpoint of {origin}", path.display()));
        opened.map(|checkpoint| Some((checkpoint.size, checkpoint.root))).ok_or_else(damaged)
    }

    fn keep(&self, checkpoint: &Checkpoint, note: &str) -> io::Result<()> {
        let place = self.place(checkpoint.origin.as_str());
        let fresh = place.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &place)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// Why there is no cosignature.
enum Answer {
    No(WitnessRefusal),
    Failed(io::Error),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::No(WitnessRefusal::OldSize { size, .. } | WitnessRefusal::Fork { size }) => {
                (StatusCode::CONFLICT, [(CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
            }
            Self::No(refusal) => {
                let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
                (status, format!("{refusal}\n")).into_response()
            }
            Self::Failed(error) => {
                tracing::error!(%error, "the witness can't keep what it cosigns");
                (StatusCode::INTERNAL_SERVER_ERROR, "the witness can't keep what it cosigns\n").into_response()
            }
        }
    }
}

/// Serves a witness on a loopback address until told to stop.
///
/// # Errors
/// If the address is not loopback, or taken.
pub async fn serve_witness(
    witness: Arc<Witness>,
    addr: SocketAddr,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    if !addr.ip().is_loopback() {
        return Err(ServeError::NotLoopback(addr));
    }
    let stop = Stop::new(stop);
    let listener =
        TcpListener::bind(addr).await.map_err(|cause| ServeError::Listen { place: addr.to_string(), cause })?;
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(witness);
    let server = Server::builder().accept_http1(true).add_routes(Routes::from(router));
    let server = server.serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().wait());
    tokio::select! {
        served = server => Ok(served?),
        () = stop.grace_over() => Ok(()),
    }
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, request: String) -> Response {
    match tokio::task::spawn_blocking(move || witness.add(&request)).await {
        Ok(Ok(line)) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], line).into_response(),
        Ok(Err(answer)) => answer.into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "a task ended by a panic\n").into_response(),
    }
}
