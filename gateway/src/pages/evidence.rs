//! Taking evidence out. A bundle is made here and shown; whoever made it signs for it in the browser (EvidenceExported);
//! once that stands on the log the file is given, checked as its reader will check it.
//!
//! Of a bundle that nobody has signed for nothing is on the log. It is kept for its maker, for ten minutes or until the next
//! one. As it takes work and memory, it is made only for somebody who may sign for it.

use super::act::{answer, failed};
use super::ask::{Ask, parse};
use super::error::PageError;
use super::session;
use crate::access::{blocking, may_export, reader};
use crate::reason::{Reason, status};
use crate::services::Services;
use attestune_ledger::draft::plain;
use attestune_ledger::evidence::{self, Anchors, CHECKER, Draft, EvidenceError, Exported};
use attestune_ledger::log::Entry;
use attestune_ledger::state::Exports;
use attestune_ledger::tree::{Hash, TlogProof};
use attestune_proto::v1 as pb;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use pb::ledger_server::Ledger as _;
use pb::provenance_server::Provenance as _;
use pb::registry_server::Registry as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Status};

/// Entries of the largest log that is taken out whole here, as a bundle is made in memory. The command takes out any.
const ENTRIES_MAX: u64 = 50_000;
/// Members of the dataset drawn for a sample.
const SAMPLE: u32 = 25;
/// How long a bundle waits for its signature.
const GOOD: Duration = Duration::from_secs(600);
/// Most bundles that wait at a time.
const WAITING_MAX: usize = 8;
/// How often both checkpoints are asked for before the log is too busy.
const TRIES: usize = 20;

/// Bundles that wait for a signature, by the digest of their manifest.
#[derive(Default)]
pub struct Drafts(Mutex<HashMap<String, Waiting>>);

struct Waiting {
    maker: String,
    until: Instant,
    draft: Arc<Draft>,
}

impl Drafts {
    /// Keeps one for its maker, in the place of the one before; the oldest of all gives way.
    fn keep(&self, maker: &str, draft: Draft) -> String {
        let name = hex::encode(draft.manifest().digest().0);
        let mut waiting = self.lock();
        waiting.retain(|_, one| one.maker != maker && one.until > Instant::now());
        if waiting.len() >= WAITING_MAX {
            let oldest = waiting.iter().min_by_key(|(_, one)| one.until).map(|(name, _)| name.clone());
            if let Some(name) = oldest {
                waiting.remove(&name);
            }
        }
        let one = Waiting { maker: maker.into(), until: Instant::now() + GOOD, draft: Arc::new(draft) };
        waiting.insert(name.clone(), one);
        name
    }

    fn of(&self, name: &str, maker: &str) -> Option<Arc<Draft>> {
        let waiting = self.lock();
        waiting.get(name).filter(|one| one.maker == maker && one.until > Instant::now()).map(|one| one.draft.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The form to take evidence out by, about what was in force of a model at the page's moment.
pub fn form(ask: &Ask, model: &str) -> Markup {
    let purposes = (1..).map_while(|number| pb::ExportPurpose::try_from(number).ok());
    html! {
        section.evidence aria-label="Evidence" {
            h2 { "Evidence" }
            p {
                "One file that answers why a version was in force at this moment, and proves it to somebody outside: "
                code { "attestune verify" } " checks it without a server."
            }
            noscript { p { "Signing for it needs script; " code { "attestune evidence export" } " does it, too." } }
            form.export hidden data-model=(model) data-at=(ask.moment.position) {
                label { "What " select name="kind" {
                    option value=(pb::BundleKind::Slice as i32) { "a slice: only the events that answer it" }
                    option value=(pb::BundleKind::Complete as i32) { "complete: the whole log, so that absence is proven" }
                } }
                " " label { "For " select name="purpose" { @for purpose in purposes {
                    option value=(purpose as i32) { (plain(purpose.as_str_name(), "EXPORT_PURPOSE_").replace('-', " ")) }
                } } }
                " " button { "Show what it discloses" }
                p.status role="alert" {}
                div.disclosed hidden {
                    p.told {}
                    ol {}
                    button.sign-for type="button" { "Sign for it, and take it out" }
                }
            }
        }
    }
}

/// Makes a bundle, and tells what it discloses and what its maker must sign.
pub async fn draft(State(services): State<Services>, headers: HeaderMap, body: String) -> Response {
    match drafted(&services, &headers, &body).await {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(status) => failed(&status),
    }
}

async fn drafted(services: &Services, headers: &HeaderMap, body: &str) -> Result<Value, Status> {
    let ledger = session::ledger_of(services).await?;
    let token = session::token_of(headers, &ledger).unwrap_or_default();
    let caller = reader(&services.gateway, &session::carrying(&token, ()))?;
    may_export(&services.gateway, &caller)?;
    let maker = caller.actor.actor;
    let fields = parse(body);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim());
    let bad = |what: &str| status(Reason::BadRequest, what);
    let number = |name: &str| field(name).parse::<i32>().unwrap_or_default();
    let kind = pb::BundleKind::try_from(number("kind")).map_err(|_| bad("there is no such kind of bundle"))?;
    let purpose = pb::ExportPurpose::try_from(number("purpose")).map_err(|_| bad("there is no such purpose"))?;
    let at = field("at").parse().map_err(|_| bad("a position is expected"))?;
    let source = Source { services, token };
    let mut why = source.why(field("model"), at).await?;
    why.after.clear();
    let request = evidence::Request {
        exporter: maker.clone(),
        purpose,
        model: field("model").into(),
        at,
        sample: SAMPLE,
        checker: CHECKER,
    };
    let (draft, discloses) = match kind {
        pb::BundleKind::Complete => source.complete(request).await?,
        pb::BundleKind::Slice | pb::BundleKind::Unspecified => source.slice(request, why).await?,
    };
    let event = draft.event();
    let bundle = services.drafts.keep(&maker, draft);
    Ok(json!({
        "bundle": bundle, "discloses": discloses,
        "kind": event.kind, "purpose": event.purpose, "model": event.model, "version": event.version,
        "size": event.size, "manifest": hex::encode(event.manifest), "positions": event.positions,
    }))
}

/// Where a bundle's parts come from: the services, asked with its maker's token.
struct Source<'s> {
    services: &'s Services,
    token: String,
}

impl Source<'_> {
    fn request<T>(&self, message: T) -> Request<T> {
        session::carrying(&self.token, message)
    }

    async fn why(&self, model: &str, at: u64) -> Result<pb::WhyInForceResponse, Status> {
        let request = pb::WhyInForceRequest { model: model.into(), as_of: as_of(at) };
        Ok(self.services.why_in_force(self.request(request)).await?.into_inner())
    }

    /// Both checkpoints over one size.
    async fn checkpoints(&self) -> Result<(u64, String, String), Status> {
        for _ in 0..TRIES {
            let ask = |verdicts| self.services.checkpoint(self.request(pb::CheckpointRequest { verdicts }));
            let (entries, verdicts) = (ask(false).await?.into_inner().note, ask(true).await?.into_inner().note);
            let size = |note: &str| note.lines().nth(1).and_then(|size| size.parse::<u64>().ok());
            match (size(&entries), size(&verdicts)) {
                (Some(one), Some(other)) if one == other => return Ok((one, entries, verdicts)),
                _ => {} // something was appended in between
            }
        }
        Err(status(Reason::Internal, "the log grows too fast to get both checkpoints over one size: try again"))
    }

    async fn complete(&self, request: evidence::Request) -> Result<(Draft, Vec<String>), Status> {
        let (size, entries_note, verdicts_note) = self.checkpoints().await?;
        if size > ENTRIES_MAX {
            let what = format!("the log has {size} entries, more than the {ENTRIES_MAX} that are taken out whole here");
            return Err(status(Reason::BadRequest, format!("{what}: `attestune evidence export complete` does it")));
        }
        let log = self.services.subscribe(self.request(pb::SubscribeRequest { from: 0, to_end: true })).await?;
        let mut entries = all(log.into_inner()).await?;
        entries.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let make = move || {
            let export = evidence::Export::write(&entries_note, &verdicts_note, &entries);
            evidence::complete(&export, &request).map_err(|error| unfit(&error))
        };
        Ok((blocking(make).await?, vec![format!("all {size} entries of the log")]))
    }

    async fn slice(
        &self,
        request: evidence::Request,
        why: pb::WhyInForceResponse,
    ) -> Result<(Draft, Vec<String>), Status> {
        let (size, entries_note, verdicts_note) = self.checkpoints().await?;
        let (model, exporter) = (request.model.clone(), request.exporter.clone());
        let slice = pb::SliceRequest { model, as_of: as_of(request.at), size, exporter, list_only: false };
        let entries = all(self.services.slice(self.request(slice)).await?.into_inner()).await?;
        let members = self.members(&why, request.at).await?;
        let mut discloses = vec![format!("{} members of the dataset by their commitments", members.len())];
        discloses.extend(entries.iter().map(|entry| {
            let position = entry.decided.as_ref().map_or(0, |decided| decided.position);
            format!("@{position} {}: {} {}", entry.why, entry.actor, entry.summary)
        }));
        let make = move || {
            evidence::slice(&entries, &entries_note, &verdicts_note, &why, members, &request)
                .map_err(|error| unfit(&error))
        };
        Ok((blocking(make).await?, discloses))
    }

    /// The members of the answer's dataset, in order.
    async fn members(&self, why: &pb::WhyInForceResponse, at: u64) -> Result<Vec<(u64, u32, Vec<u8>)>, Status> {
        let Some(dataset) = &why.dataset else { return Ok(Vec::new()) };
        let request = pb::ListMembersRequest { dataset: dataset.position, as_of: as_of(at) };
        let members = self.services.list_members(self.request(request)).await?.into_inner().members;
        let member = |member: pb::Member| {
            let example = member.example.unwrap_or_default();
            (example.batch, example.index, member.content.unwrap_or_default().commitment)
        };
        let mut members: Vec<_> = members.into_iter().map(member).collect();
        members.sort_unstable();
        Ok(members)
    }

    /// The act with its proof, and that the log went on from the bundle's checkpoint.
    async fn exported(&self, position: u64, size: u64) -> Result<Exported, Status> {
        let request = pb::InclusionProofRequest { position, size: 0, verdicts: false };
        let proof = self.services.inclusion_proof(self.request(request)).await?.into_inner();
        let keyless = || status(Reason::NoCheckpointKey, "this server holds no checkpoint key, so it proves nothing");
        let (new_size, proof): (_, TlogProof) = (proof.size, proof.tlog_proof.parse().map_err(|_| keyless())?);
        let entry = self.services.read(self.request(pb::ReadRequest { from: position, limit: 1 })).await?;
        let gone = || status(Reason::Internal, "the log gave no entry");
        let entry = all(entry.into_inner()).await?.into_iter().next().ok_or_else(gone)?;
        let request = pb::ConsistencyProofRequest { old_size: size, new_size, verdicts: false };
        let hashes = self.services.consistency_proof(self.request(request)).await?.into_inner().hashes;
        let hash = |bytes: Vec<u8>| bytes.as_slice().try_into().map(Hash);
        let consistency: Result<Vec<Hash>, _> = hashes.into_iter().map(hash).collect();
        let consistency = consistency.map_err(|_| status(Reason::Internal, "a hash has not 32 bytes"))?;
        Ok(Exported { proof: TlogProof { extra: Entry::stored(entry.time_ms, &entry.value), ..proof }, consistency })
    }
}

fn as_of(position: u64) -> Option<pb::AsOf> {
    Some(pb::AsOf { when: Some(pb::as_of::When::Position(position)) })
}

async fn all<T>(mut stream: impl Stream<Item = Result<T, Status>> + Unpin) -> Result<Vec<T>, Status> {
    let mut found = Vec::new();
    while let Some(one) = stream.next().await {
        found.push(one?);
    }
    Ok(found)
}

fn unfit(error: &EvidenceError) -> Status {
    status(Reason::Internal, format!("the bundle can't be made: {error}"))
}

/// The file, for whoever made it and signed for it.
pub async fn bundle(ask: Ask, Path((name, position)): Path<(String, u64)>) -> Result<Response, PageError> {
    let me = &ask.reader.actor;
    let missing = || PageError::Missing("No bundle of yours waits under this name. They wait for ten minutes.".into());
    let draft = ask.services.drafts.of(&name, me).ok_or_else(missing)?;
    let row = ask.row(Exports::key(position)).await?.unwrap_or_default();
    let signed_for = row.signer.as_ref().is_some_and(|signer| signer.actor == *me);
    if !signed_for || hex::encode(&row.manifest) != name {
        return Err(PageError::Missing(format!("Nothing at position {position} says that you take this bundle out.")));
    }
    let source = Source { services: &ask.services, token: ask.token().to_owned() };
    let exported = source.exported(position, draft.manifest().size).await?;
    let file = format!("attachment; filename=\"{}-{position}.zip\"", draft.manifest().model);
    let bytes = blocking(move || checked(&draft, &exported)).await?;
    let headers = [(CONTENT_TYPE, "application/zip".to_owned()), (CONTENT_DISPOSITION, file)];
    Ok((headers, bytes).into_response())
}

/// The bytes of a bundle, checked as its reader will.
fn checked(draft: &Draft, exported: &Exported) -> Result<Vec<u8>, Status> {
    let bytes = draft.finish(exported, Cursor::new(Vec::new())).map_err(|error| unfit(&error))?.into_inner();
    let anchors = Anchors { ledger: Some(draft.manifest().ledger.0), ..Anchors::default() };
    match evidence::verify(&bytes, &anchors).failures.first() {
        None => Ok(bytes),
        Some(failure) => Err(status(Reason::Internal, format!("the bundle that was made does not verify: {failure}"))),
    }
}
