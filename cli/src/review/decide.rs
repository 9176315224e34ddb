//! Decisions, collected and then signed, many by one signature.

use crate::{
    problem,
    session::{Session, accepted},
};
use attestune_proto::v1::{
    BatchReview, Decision, ExampleRef, ExamplesReviewed, Finding, Receipt, ReviewReason, ReviewVerdict, Verdict,
    event::Body,
};
use attestune_workers::example::ExampleText;
use prost::Message as _;
use std::collections::BTreeMap;

/// Most decisions in one event; the ledger's limit.
pub const DECISIONS_MAX: usize = 512;
/// What the decisions of one event may take, so that the entry stays below its limit.
const EVENT_BYTES_MAX: usize = 56_000;

/// A decision that nobody has signed yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The example.
    pub at: ExampleRef,
    pub verdict: ReviewVerdict,
    pub reason: ReviewReason,
    /// What a redaction hides, ascending by start.
    pub hidden: Vec<Finding>,
    /// The text that a redaction leaves.
    pub redacted: Option<ExampleText>,
}

/// What became of decisions.
#[derive(Debug, Default)]
pub struct Signed {
    /// Where they stand.
    pub positions: Vec<u64>,
    /// Those that the rules refused, with the reason: others were faster.
    pub refused: Vec<(ExampleRef, String)>,
}

/// Signs decisions; a refusal of one is an error for all of its event.
pub async fn sign(session: &Session, made: Vec<Made>) -> anyhow::Result<Vec<u64>> {
    let mut positions = Vec::new();
    for event in events(made) {
        positions.push(accepted(append(session, &event).await?)?.position);
    }
    Ok(positions)
}

/// Signs the decisions that can be: one that somebody else has given meanwhile is left out, and told.
pub async fn sign_what_can_be(session: &Session, made: Vec<Made>) -> anyhow::Result<Signed> {
    let mut signed = Signed::default();
    for mut event in events(made) {
        while !event.is_empty() {
            let receipt = append(session, &event).await?;
            if receipt.verdict() == Verdict::Accepted {
                signed.positions.push(receipt.position);
                break;
            }
            let Some((at, why)) = refused_one(&receipt, &event) else { return Err(problem::refused(receipt)) };
            event.retain(|made| made.at != at);
            signed.refused.push((at, why));
        }
    }
    Ok(signed)
}

/// The one decision that a refusal is about, and why.
fn refused_one(receipt: &Receipt, event: &[Made]) -> Option<(ExampleRef, String)> {
    let refusal = receipt.refusal.as_ref()?;
    let figure = |name: &str| refusal.figures.iter().find(|figure| figure.name == name).map(|f| f.value.as_str());
    let at = ExampleRef { batch: figure("batch")?.parse().ok()?, index: figure("index")?.parse().ok()? };
    event.iter().any(|made| made.at == at).then(|| (at, refusal.message.clone()))
}

/// Decisions as the events that will hold them, in order of batch and index.
fn events(mut made: Vec<Made>) -> Vec<Vec<Made>> {
    made.sort_by_key(|made| (made.at.batch, made.at.index));
    let mut events: Vec<Vec<Made>> = Vec::new();
    let mut bytes = 0;
    for made in made {
        // The batch's own fields, and tag and length of each message.
        let size = decision(&made, vec![0; 32]).encoded_len() + 48;
        match events.last_mut() {
            Some(event) if event.len() < DECISIONS_MAX && bytes + size <= EVENT_BYTES_MAX => {
                bytes += size;
                event.push(made);
            }
            _ => {
                bytes = size;
                events.push(vec![made]);
            }
        }
    }
    events
}

async fn append(session: &Session, event: &[Made]) -> anyhow::Result<Receipt> {
    let mut batches: BTreeMap<u64, Vec<&Made>> = BTreeMap::new();
    for made in event {
        batches.entry(made.at.batch).or_default().push(made);
    }
    let mut reviews = Vec::new();
    for (batch, made) in batches {
        reviews.push(review(session, batch, &made).await?);
    }
    let body = Body::ExamplesReviewed(ExamplesReviewed { batches: reviews });
    session.append_envelope(session.sign(body, None, &[]).await?).await
}

/// The decisions on a batch; what redactions leave is sealed first.
async fn review(session: &Session, batch: u64, made: &[&Made]) -> anyhow::Result<BatchReview> {
    let texts = made.iter().filter_map(|made| made.redacted.as_ref());
    let texts: Vec<Vec<u8>> = texts.map(serde_json::to_vec).collect::<Result<_, _>>()?;
    let (pack, commitments) = match texts.is_empty() {
        true => Default::default(),
        false => {
            let sealed = session.seal(texts, "").await?;
            (sealed.pack, sealed.commitments)
        }
    };
    let mut commitments = commitments.into_iter();
    let decisions = made.iter().map(|made| {
        let redacted = made.redacted.as_ref().and_then(|_| commitments.next());
        decision(made, redacted.unwrap_or_default())
    });
    Ok(BatchReview { batch, decisions: decisions.collect(), pack })
}

fn decision(made: &Made, redacted: Vec<u8>) -> Decision {
    Decision {
        index: made.at.index,
        verdict: made.verdict.into(),
        reason: made.reason.into(),
        redacted,
        hidden: made.hidden.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::{Figure, RefusalInfo};

    fn made(batch: u64, index: u32, spans: u32) -> Made {
        let span = |n| Finding { entity: "email-address".into(), start: n * 20, end: n * 20 + 9, score_ppm: 950_000 };
        Made {
            at: ExampleRef { batch, index },
            verdict: ReviewVerdict::Redact,
            reason: ReviewReason::PersonalData,
            hidden: (0..spans).map(span).collect(),
            redacted: Some(ExampleText { prompt: "<EMAIL>".into(), answer: String::new() }),
        }
    }

    #[test]
    fn decisions_are_split_by_number_and_by_size() {
        let many: Vec<Made> = (0..1000).map(|n| made(9 - n / 500, u32::try_from(n % 500).unwrap(), 0)).collect();
        let events = events(many);
        assert_eq!(events.iter().map(Vec::len).sum::<usize>(), 1000);
        assert!(events.iter().all(|event| event.len() <= DECISIONS_MAX));
        assert_eq!(events[0][0].at, ExampleRef { batch: 8, index: 0 });
        let wide: Vec<Made> = (0..40).map(|n| made(7, n, 200)).collect();
        for event in super::events(wide) {
            let decisions = event.iter().map(|m| decision(m, vec![0; 32])).collect();
            let body = ExamplesReviewed { batches: vec![BatchReview { batch: 7, decisions, pack: vec![0; 16] }] };
            assert!(body.encoded_len() <= EVENT_BYTES_MAX, "{}", body.encoded_len());
        }
    }

    #[test]
    fn a_refusal_names_the_decision_that_others_gave_before() {
        let figure = |name: &str, value: &str| Figure { name: name.into(), value: value.into() };
        let refusal = |figures| RefusalInfo { code: "reviewed-before".into(), message: "decided".into(), figures };
        let of = |figures| Receipt { refusal: Some(refusal(figures)), ..Default::default() };
        let event = [made(7, 1, 0), made(7, 2, 0)];
        let named = refused_one(&of(vec![figure("batch", "7"), figure("index", "2")]), &event);
        assert_eq!(named, Some((ExampleRef { batch: 7, index: 2 }, "decided".into())));
        assert_eq!(refused_one(&of(vec![figure("batch", "8"), figure("index", "2")]), &event), None);
        assert_eq!(refused_one(&of(vec![]), &event), None);
    }
}
