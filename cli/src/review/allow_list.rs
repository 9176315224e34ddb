//! What reviewers found to be no personal data, as a proposal for the policy's allow list. Only the root keys adopt it.

use super::{examples, reference, screen::inert, texts};
use crate::{context::Context, output, policy_yaml, problem, session::Session};
use attestune_ledger::query::judged;
use attestune_proto::v1::{
    Decision, ExampleInfo, ExampleStatus, ExamplesDerived, ExamplesReviewed, GetPolicyRequest, HistoryRequest, Kind,
    Policy, Sealed, Verdict, event::Body,
};
use attestune_workers::{
    allow_list::{parse, write},
    example,
};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

#[derive(clap::Args)]
pub struct Args {
    /// The collection
    collection: String,
    /// How often a text must have been found and judged to be no personal data
    #[arg(long, default_value_t = 2, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..))]
    at_least: u32,
    /// Show the texts only, and seal nothing
    #[arg(long)]
    show: bool,
}

/// How often a text was found, and judged to be personal data or none.
#[derive(Debug, Default, PartialEq)]
struct Judged {
    entities: BTreeSet<String>,
    none: u32,
    personal: u32,
}

/// Prints, as a policy to adopt, the one in force with an allow list that has these texts, too.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let candidates = candidates(&session, args).await?;
    if context.json && args.show {
        let texts = candidates.iter().map(
            |(text, judged)| serde_json::json!({ "text": text, "entities": judged.entities, "times": judged.none }),
        );
        return output::value(&texts.collect());
    }
    for (text, judged) in &candidates {
        let entities: Vec<_> = judged.entities.iter().map(String::as_str).collect();
        eprintln!("{:>6} times  {}  {}", judged.none, entities.join(", "), inert(text));
    }
    if candidates.is_empty() {
        return Err(problem::no(
            format!("no text was found {} times and always judged to be no personal data", args.at_least),
            "--at-least lowers how often",
        ));
    }
    if args.show {
        return Ok(());
    }
    let row = session.registry().get_policy(GetPolicyRequest::default()).await?.into_inner();
    let policy = proposal(&session, row.policy.unwrap_or_default(), candidates.into_keys()).await?;
    print!("{}", policy_yaml::write(&policy)?);
    eprintln!("nothing has changed yet: `attestune policy adopt FILE` with the root keys adopts this policy");
    Ok(())
}

/// The policy with these texts on its allow list beside those that are there.
async fn proposal(
    session: &Session,
    mut policy: Policy,
    texts: impl Iterator<Item = String>,
) -> anyhow::Result<Policy> {
    let rules = policy.review.get_or_insert_default();
    let mut allowed = match &rules.allow_list {
        None => BTreeSet::new(),
        Some(sealed) => {
            let content = session.unseal(vec![sealed.clone()]).await?.pop().unwrap_or_default();
            parse(&content).ok_or_else(|| problem::cannot("the policy's allow list is not a list of texts", ""))?
        }
    };
    allowed.extend(texts);
    rules.allow_list = Some(session.seal_one(write(&allowed)).await?);
    Ok(policy)
}

/// Texts that were found often enough, and each time judged to be no personal data.
async fn candidates(session: &Session, args: &Args) -> anyhow::Result<BTreeMap<String, Judged>> {
    let infos: Vec<ExampleInfo> = examples(session, &args.collection, false).await?;
    let decided = [ExampleStatus::Eligible, ExampleStatus::Rejected];
    let decisions = decisions(session).await?;
    let of = |info: &ExampleInfo| decisions.get(&(reference(info).batch, reference(info).index));
    let found = |info: &ExampleInfo| !info.findings.is_empty() && decided.contains(&info.status());
    let infos = infos.into_iter().filter(|info| found(info) && of(info).is_some()).collect();
    let infos = as_scanned(session, infos).await?;
    let mut all: BTreeMap<String, Judged> = BTreeMap::new();
    for (info, text) in infos.iter().zip(texts(session, &infos).await?) {
        let text: Vec<char> = example::scan_text(&text).chars().collect();
        for (number, finding) in (0..).zip(&info.findings) {
            let noted = info.noted.contains(&number);
            let Some(personal) = of(info).and_then(|decision| judged(decision, finding, noted)) else { continue };
            let Some(span) = text.get(finding.start as usize..finding.end as usize) else { continue };
            let judged = all.entry(span.iter().collect()).or_default();
            judged.entities.insert(finding.entity.clone());
            if personal { judged.personal += 1 } else { judged.none += 1 }
        }
    }
    all.retain(|_, judged| judged.personal == 0 && judged.none >= args.at_least);
    Ok(all)
}

/// The examples with the texts that were scanned, whatever redactions made of them.
async fn as_scanned(session: &Session, mut infos: Vec<ExampleInfo>) -> anyhow::Result<Vec<ExampleInfo>> {
    let mut batches: BTreeMap<u64, ExamplesDerived> = BTreeMap::new();
    for info in infos.iter_mut().filter(|info| info.redacted) {
        let at = reference(info);
        let derived = match batches.entry(at.batch) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let Some(Body::ExamplesDerived(derived)) = session.event(at.batch).await?.body else { continue };
                place.insert(derived)
            }
        };
        let sealed = derived.commitments.get(at.index as usize).map(|one| (derived.pack.clone(), one.clone()));
        info.content = sealed.map(|(pack, commitment)| Sealed { pack, commitment });
    }
    Ok(infos)
}

/// The newest accepted decision on each example that has one; its status tells whether it stands.
async fn decisions(session: &Session) -> anyhow::Result<BTreeMap<(u64, u32), Decision>> {
    let request = HistoryRequest {
        kinds: vec![Kind::ExamplesReviewed.into()],
        verdict: Verdict::Accepted.into(),
        ..Default::default()
    };
    let mut events = session.provenance().history(request).await?.into_inner();
    let mut decisions = BTreeMap::new();
    while let Some(event) = events.message().await? {
        let Some(Body::ExamplesReviewed(ExamplesReviewed { batches })) = event.event.and_then(|e| e.body) else {
            continue;
        };
        for review in batches {
            for decision in review.decisions {
                decisions.insert((review.batch, decision.index), decision);
            }
        }
    }
    Ok(decisions)
}
