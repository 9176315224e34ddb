//! A request for a page: who asks, as of when, and the questions to the services.

use super::error::PageError;
use super::example;
use super::moment::Moment;
use super::session;
use crate::access::{blocking, caller, reader, release};
use crate::convert::query_failed;
use crate::services::Services;
use attestune_ledger::state::RowKey;
use attestune_proto::v1 as pb;
use axum::extract::FromRequestParts;
use http::request::Parts;
use pb::provenance_server::Provenance as _;
use pb::registry_server::Registry as _;
use prost::Message;
use std::fmt::Write as _;
use tokio_stream::StreamExt as _;
use tonic::Request;

/// Rows of a list on a page.
pub const LISTED: u32 = 100;

/// A page's request, from somebody who may read.
pub struct Ask {
    /// What is asked.
    pub services: Services,
    /// Who asks.
    pub reader: pb::ActorRow,
    /// As of when.
    pub moment: Moment,
    /// The ledger's id, in hex.
    pub ledger: String,
    /// The page's own path.
    pub path: String,
    /// What the address says besides the moment.
    query: Vec<(String, String)>,
    token: String,
}

impl FromRequestParts<Services> for Ask {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, PageError> {
        let path = parts.uri.path().to_owned();
        let here = parts.uri.path_and_query().map_or(path.as_str(), |here| here.as_str()).to_owned();
        let replica = services.gateway.replica.clone();
        let ledger = blocking(move || replica.head().map_err(crate::convert::replica_failed)).await?.ledger;
        let token =
            session::token_of(&parts.headers, &ledger).ok_or_else(|| PageError::SignIn { next: here.clone() })?;
        let asking = session::carrying(&token, ());
        let reader = match reader(&services.gateway, &asking) {
            Ok(reader) => reader.actor,
            Err(status) if status.code() == tonic::Code::Unauthenticated => {
                return Err(PageError::SignIn { next: here });
            }
            Err(status) => {
                // Who holds no role and asks for a text is put on the record, as by any other way to it.
                let texts = example::commitments_at(services, &path).await?;
                if !texts.is_empty() {
                    release(&services.gateway, &services.denials, &caller(&services.gateway, &asking)?, texts).await?;
                }
                return Err(status.into());
            }
        };
        let mut query = parse(parts.uri.query().unwrap_or_default());
        // Of picker and position whichever is filled in; the position wins.
        let asked = [take(&mut query, "position"), take(&mut query, "at")];
        let asked = asked.into_iter().flatten().find(|text| !text.is_empty());
        let replica = services.gateway.replica.clone();
        let moment = blocking(move || Ok(Moment::find(&replica, asked.as_deref()))).await??;
        Ok(Self { services: services.clone(), reader, moment, ledger: hex::encode(ledger), path, query, token })
    }
}

/// The pairs of an address or of a form.
pub fn parse(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// Takes the first value of a name, and drops the others.
fn take(query: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let found = query.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned());
    query.retain(|(key, _)| key != name);
    found
}

impl Ask {
    /// What the address says of a name; empty if nothing.
    pub fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// All that the address says besides the moment.
    pub fn queries(&self) -> &[(String, String)] {
        &self.query
    }

    /// A page of this server as of the same moment.
    pub fn link(&self, path: &str) -> String {
        self.link_with(path, &[])
    }

    /// The same with further words in the address.
    pub fn link_with(&self, path: &str, pairs: &[(&str, &str)]) -> String {
        address(path, self.moment.asked.as_deref(), pairs)
    }

    /// This page as of another moment; none is now.
    pub fn here_at(&self, asked: Option<&str>) -> String {
        let pairs: Vec<_> = self.query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        address(&self.path, asked, &pairs)
    }

    /// What this page shows, from before a position on.
    pub fn older(&self, before: u64) -> String {
        let before = before.to_string();
        let kept = self.query.iter().filter(|(key, _)| key != "before");
        let mut pairs: Vec<_> = kept.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        pairs.push(("before", &before));
        self.link_with(&self.path, &pairs)
    }

    /// The token of whoever asks.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request to a service, with the token of whoever asks.
    pub fn request<T>(&self, message: T) -> Request<T> {
        session::carrying(&self.token, message)
    }

    fn list(&self, name: &str) -> Request<pb::ListRequest> {
        self.request(pb::ListRequest { name: name.into(), as_of: self.moment.as_of(), ..Default::default() })
    }

    /// The newest of a name, or of all, below what the address says: one page of a list.
    pub fn newest(&self, name: &str) -> Request<pb::ListRequest> {
        let before = self.query("before").parse().unwrap_or(0);
        let as_of = self.moment.as_of();
        self.request(pb::ListRequest { name: name.into(), as_of, limit: LISTED, before })
    }

    /// A row of the state.
    pub async fn row<R: Message + Default + 'static>(&self, key: RowKey<R>) -> Result<Option<R>, PageError> {
        let view = self.services.gateway.replica.view_at(self.moment.position);
        let read = move || {
            let view = view.view();
            let row = view.get(&key);
            view.failure().map_or(Ok(row), |failure| Err(query_failed(failure.into())))
        };
        Ok(blocking(read).await?)
    }

    /// Models, all or one.
    pub async fn models(&self, name: &str) -> Result<Vec<pb::ModelRow>, PageError> {
        Ok(self.services.list_models(self.list(name)).await?.into_inner().models)
    }

    /// A page of a model's versions, the newest first.
    pub async fn versions(&self, model: &str) -> Result<Vec<pb::VersionRow>, PageError> {
        Ok(self.services.list_versions(self.newest(model)).await?.into_inner().versions)
    }

    /// A page of frozen datasets, the newest first.
    pub async fn datasets(&self) -> Result<Vec<pb::DatasetRow>, PageError> {
        Ok(self.services.list_datasets(self.newest("")).await?.into_inner().datasets)
    }

    /// A page of training runs, the newest first.
    pub async fn runs(&self) -> Result<Vec<pb::RunRow>, PageError> {
        Ok(self.services.list_runs(self.newest("")).await?.into_inner().runs)
    }

    /// A page of suites, the newest first.
    pub async fn suites(&self) -> Result<Vec<pb::SuiteRow>, PageError> {
        Ok(self.services.list_suites(self.newest("")).await?.into_inner().suites)
    }

    /// A page of evaluations, the newest first.
    pub async fn evaluations(&self) -> Result<Vec<pb::EvaluationRow>, PageError> {
        Ok(self.services.list_evaluations(self.newest("")).await?.into_inner().evaluations)
    }

    /// A page of promotions, the newest first.
    pub async fn promotions(&self) -> Result<Vec<pb::PromotionRow>, PageError> {
        Ok(self.services.list_promotions(self.newest("")).await?.into_inner().promotions)
    }

    /// Actors with their keys, all or one.
    pub async fn actors(&self, name: &str) -> Result<pb::ListActorsResponse, PageError> {
        Ok(self.services.list_actors(self.list(name)).await?.into_inner())
    }

    /// A page of batches of documents and of examples, all or those of one collection, the newest first.
    pub async fn batches(&self, collection: &str) -> Result<pb::ListBatchesResponse, PageError> {
        Ok(self.services.list_batches(self.newest(collection)).await?.into_inner())
    }

    /// Everything that made a version.
    pub async fn version(&self, model: &str, version: u32) -> Result<pb::ModelVersion, PageError> {
        let request = pb::GetModelVersionRequest { model: model.into(), version, as_of: self.moment.as_of() };
        Ok(self.services.get_model_version(self.request(request)).await?.into_inner())
    }

    /// What was in force, and why.
    pub async fn why_in_force(&self, model: &str) -> Result<pb::WhyInForceResponse, PageError> {
        let request = pb::WhyInForceRequest { model: model.into(), as_of: self.moment.as_of() };
        Ok(self.services.why_in_force(self.request(request)).await?.into_inner())
    }

    /// What a node was made from, or what was made from it.
    pub async fn lineage(
        &self,
        position: u64,
        direction: pb::Direction,
        limit: u32,
    ) -> Result<pb::LineageResponse, PageError> {
        let request = pb::LineageRequest { position, direction: direction as i32, as_of: self.moment.as_of(), limit };
        Ok(self.services.lineage(self.request(request)).await?.into_inner())
    }

    /// Entries of the log that pass the filters, at most those up to the moment.
    pub async fn history(&self, request: pb::HistoryRequest) -> Result<Vec<pb::HistoryEvent>, PageError> {
        let end = self.moment.position + 1;
        let to = if request.to == 0 { end } else { request.to.min(end) };
        if request.from >= to {
            return Ok(Vec::new());
        }
        let mut stream = self.services.history(self.request(pb::HistoryRequest { to, ..request })).await?.into_inner();
        let mut found = Vec::new();
        while let Some(event) = stream.next().await {
            found.push(event?);
        }
        Ok(found)
    }

    /// The entry at a position, if it had come by then.
    pub async fn event(&self, position: u64) -> Result<Option<pb::HistoryEvent>, PageError> {
        let request = pb::HistoryRequest { from: position, to: position.saturating_add(1), ..Default::default() };
        Ok(self.history(request).await?.into_iter().next())
    }
}

fn address(path: &str, asked: Option<&str>, pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(key, value);
    }
    if let Some(asked) = asked {
        query.append_pair("at", asked);
    }
    let (mut out, query) = (path.to_owned(), query.finish());
    if !query.is_empty() {
        let _ = write!(out, "?{query}"); // a string takes any text
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_carries_the_moment_and_leaves_out_what_is_empty() {
        assert_eq!(address("/timeline", None, &[("actor", "")]), "/timeline");
        assert_eq!(
            address("/timeline", Some("2026-05-03T09:00"), &[("actor", "a&b")]),
            "/timeline?actor=a%26b&at=2026-05-03T09%3A00"
        );
    }

    #[test]
    fn what_is_taken_from_an_address_stands_in_it_no_more() {
        let mut query = parse("at=7&model=triage&at=9");
        assert_eq!(take(&mut query, "at").as_deref(), Some("7"));
        assert_eq!(query, [("model".to_owned(), "triage".to_owned())]);
        assert_eq!(take(&mut query, "at"), None);
    }
}
