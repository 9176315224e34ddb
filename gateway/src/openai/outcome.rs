//! `POST /v1/outcomes`: what became of an answer, as the application that asked or a reviewer says. It counts in the window
//! of the version that answered; who the answer was for is not asked and not kept.

use super::Serving;
use super::choose::{no_model, parse, unfailed};
use super::error::ApiError;
use super::windows::Reported;
use crate::access::Caller;
use attestune_ledger::rules::is_identifier;
use attestune_ledger::state::Versions;
use attestune_proto::v1::Role;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is reported.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The version that answered, as the answer's `model` or its header named it.
    model: String,
    /// What is said: a category of the suite such as `accuracy`, or any name of the application's.
    metric: String,
    /// 1 for good, 0 for bad.
    value: u8,
}

impl Outcome {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is not JSON, lacks something, has more, or a value is out of range.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", error.to_string()))?;
        let outcome: Self = serde_json::from_value(value).map_err(|_| {
            ApiError::bad("value", "model, metric and value are expected, and nothing else; a value is 0 or 1")
        })?;
        if outcome.value > 1 {
            return Err(ApiError::bad("value", "a value is 0 or 1"));
        }
        if !is_identifier(&outcome.metric) {
            return Err(ApiError::bad("metric", "a metric's name is 1 to 64 of a-z 0-9 . _ -"));
        }
        Ok(outcome)
    }

    /// Counts it in the window that is open; a reviewer's word among the reviewed. Blocks.
    ///
    /// # Errors
    /// If there is no such version, or the window has too many metrics.
    pub fn count(self, serving: &Serving, caller: &Caller) -> Result<Value, ApiError> {
        let (model, Some(version)) = parse(&self.model)? else {
            return Err(ApiError::bad("model", "name the version that answered, as its header says: MODEL@N"));
        };
        let store = serving.replica.view();
        let view = store.view();
        let known = view.get(&Versions::key(model, version)).is_some();
        unfailed(&view)?;
        if !known {
            return Err(no_model(&self.model));
        }
        let by_reviewer = caller.actor.roles.contains(&(Role::Reviewer as i32));
        let reported = Reported {
            model: model.to_owned(),
            version,
            metric: self.metric.clone(),
            good: self.value == 1,
            by_reviewer,
        };
        if !serving.note_outcome(reported) {
            return Err(ApiError::bad("metric", "this window has as many metrics as it takes"));
        }
        let counted = if by_reviewer { "reviewed" } else { "outcomes" };
        Ok(json!({ "object": "outcome", "model": self.model, "metric": self.metric, "counted": counted }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_a_version_a_metric_and_nought_or_one() {
        let read = |body: Value| Outcome::read(body.to_string().as_bytes());
        let good = read(json!({ "model": "triage@2", "metric": "accuracy", "value": 1 })).unwrap();
        assert_eq!((good.model.as_str(), good.metric.as_str(), good.value), ("triage@2", "accuracy", 1));
        assert_eq!(Outcome::read(b"{").unwrap_err().code, "invalid_json");
        for bad in [
            json!({ "model": "triage@2", "metric": "accuracy" }),
            json!({ "model": "triage@2", "metric": "accuracy", "value": 2 }),
            json!({ "model": "triage@2", "metric": "accuracy", "value": -1 }),
            json!({ "model": "triage@2", "metric": "Accuracy!", "value": 1 }),
            json!({ "model": "triage@2", "metric": "accuracy", "value": 1, "user": "zoe@example.org" }),
            json!([1]),
        ] {
            let error = read(bad.clone()).unwrap_err();
            assert_eq!((error.status.as_u16(), error.code), (400, "invalid_value"), "{bad}");
            assert!(!error.message.contains("zoe"), "{}", error.message);
        }
    }
}
