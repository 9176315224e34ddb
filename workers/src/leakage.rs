//! Whether a suite's cases stand in a training set.

use crate::{
    Context, Outcome, Progress, WorkerError,
    checker::{Bare, tool},
    context::parse_examples,
    quality::{Likeness, leakage},
};
use attestune_ledger::{query, state::Suites};
use attestune_proto::v1::{Kind, LeakageChecked, LeakageProvenance, Member, Sealed, event::Body};
use attestune_trainer::evaluate::Suite;
use std::collections::{BTreeMap, HashMap, hash_map::Entry};

/// Compares one suite with one dataset and puts the outcome on record.
pub(crate) fn compare(context: &Context, pair: &LeakageProvenance) -> Result<Progress, WorkerError> {
    // A word whose signer no longer counts is given anew, so it must be another event.
    let before = pair.leakage.as_ref().and_then(|row| row.signer.as_ref()).map_or(0, |signer| signer.position);
    let part = format!("{}/{before}", pair.dataset);
    if context.rests(pair.suite, Kind::LeakageChecked, &part) {
        return Ok(Progress::Idle);
    }
    let suite = suite(context, pair.suite)?;
    let members = query::list_members(&context.view(), pair.dataset)?.members;
    let (whole, bare) = prompts(context, pair.dataset, &members)?;

    // With and without the templates' words: one template would hide a leak from the other's.
    let asked: Vec<String> = suite.cases.iter().map(|case| suite.prompt(case)).collect();
    let as_shown = leakage(whole.iter().map(String::as_str), asked.iter().map(String::as_str));
    let as_said = leakage(bare.iter().map(String::as_str), suite.cases.iter().map(|case| case.prompt.as_str()));
    let mut leaks: BTreeMap<usize, bool> = BTreeMap::new();
    for leak in as_shown.iter().chain(&as_said) {
        *leaks.entry(leak.eval_index).or_default() |= leak.likeness == Likeness::Exact;
    }
    let exact = leaks.values().filter(|exact| **exact).count() as u32;
    let body = LeakageChecked {
        dataset: pair.dataset,
        suite: pair.suite,
        checker: Some(tool()),
        cases: suite.cases.len() as u32,
        members: members.len() as u64,
        exact,
        near: leaks.len() as u32 - exact,
    };
    Ok(match context.act(pair.suite, &part, Body::LeakageChecked(body))? {
        Outcome::Accepted(_) => Progress::Done,
        Outcome::Before(_) | Outcome::Refused(_) | Outcome::Resting => Progress::Idle,
    })
}

/// A registered suite, by its digest.
///
/// # Errors
/// If its file can't be opened, is another one or no suite.
pub(crate) fn suite(context: &Context, position: u64) -> Result<Suite, WorkerError> {
    let bad = |why: &str| WorkerError::Content { what: "suite", position, why: why.into() };
    let view = context.view();
    let row = view.view().get(&Suites::key(position)).ok_or_else(|| bad("there is none"))?;
    let content = row.content.as_ref().ok_or_else(|| bad("its row names no content"))?;
    let suite = Suite::parse(&context.open("suite", position, content)?)?;
    if suite.digest().0.as_slice() != row.digest.as_slice() {
        return Err(bad("its file has another digest than was registered"));
    }
    Ok(suite)
}

/// The members' prompts, as the model is shown them and without the templates' words.
fn prompts(context: &Context, dataset: u64, members: &[Member]) -> Result<(Vec<String>, Vec<String>), WorkerError> {
    let contents: Vec<Sealed> = members.iter().map(|member| member.content.clone().unwrap_or_default()).collect();
    let texts = parse_examples(dataset, &context.open_all("member", dataset, &contents)?)?;
    let mut templates: HashMap<u64, Bare> = HashMap::new();
    let mut bare = Vec::with_capacity(texts.len());
    for (member, text) in members.iter().zip(&texts) {
        let batch = member.example.as_ref().map_or(0, |example| example.batch);
        let template = match templates.entry(batch) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let event = query::event_of(&context.view(), batch)?;
                place.insert(match event.and_then(|event| event.body) {
                    Some(Body::ExamplesDerived(derived)) => Bare::of(context, batch, &derived)?,
                    _ => Bare::default(),
                })
            }
        };
        bare.push(template.prompt(text).to_owned());
    }
    Ok((texts.into_iter().map(|text| text.prompt).collect(), bare))
}
