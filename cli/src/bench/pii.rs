//! How much personal data is found, how fast and in how much memory, beside Presidio's figures.
//!
//! Presidio isn't run here: its figures were measured once, on the same texts, with the default pipeline of 2.2.366 and
//! spaCy's small and medium English models; the better of the two stands beside ours.

use super::{
    Plan,
    figure::{Figure, Goal, Results, Skipped},
    machine::peak_memory_bytes,
    replay::child,
};
use attestune_pii::{
    Config, Entity, Scanner,
    measure::{self, Cases, Found, Labelled},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const PART: &str = "pii";
const PEER: &str = "Presidio";
const THREADS: usize = 2;
/// Dates are held against Presidio's precision at a recall that no policy would go below.
const DATE_RECALL: f64 = 0.95;
const MEGABYTES: [usize; 2] = [100, 1000];
/// The turn of a process that scans so many megabytes.
pub const TURN: &str = "pii-";

/// By type: the goal for F1 and Presidio's.
const TYPES: [(&str, f64, f64); 5] = [
    ("PERSON", 0.85, 0.78),
    ("LOCATION", 0.75, 0.45),
    ("ORGANIZATION", 0.55, 0.0),
    ("PHONE_NUMBER", 0.90, 0.67),
    ("CREDIT_CARD", 0.98, 0.87),
];

/// Measures what is found in Presidio's reference data, if it is there, and speed and memory.
pub fn run(plan: &Plan) -> anyhow::Result<Results> {
    let mut results = Results::default();
    let folder = shared().join("data/pii");
    match std::fs::read_to_string(folder.join("presidio_cases_a.jsonl")) {
        Ok(lines) => add_cases(&mut results, &measure::cases(&lines)?),
        Err(_) => results.skipped.push(absent("Presidio's recognizer cases", &folder)),
    }
    match std::fs::read_to_string(folder.join("synth_dataset_v2.json")) {
        Ok(json) => add_labelled(&mut results, &measure::read(&json)?, plan)?,
        Err(_) => results.skipped.push(absent("the labelled texts: what is found in them, and the speed", &folder)),
    }
    for megabytes in MEGABYTES {
        let streamed: Streamed = child(&format!("{TURN}{megabytes}"), Path::new("."), Some(THREADS as u32))?;
        let what = format!("memory at {megabytes} MB of generated text");
        let memory = Figure::new(PART, what, "MB", vec![streamed.peak_mb]);
        results.figures.push(memory.with_goal(Goal::ValueAtMost(300.0)));
        let what = format!("generated text, {megabytes} MB");
        results.figures.push(Figure::new(PART, what, "MB/s", vec![streamed.mb_a_second]));
    }
    Ok(results)
}

/// What a stream of generated text took.
#[derive(Serialize, Deserialize)]
pub struct Streamed {
    findings: usize,
    peak_mb: f64,
    mb_a_second: f64,
}

/// Scans generated text in this process.
pub fn stream_here(megabytes: usize) -> Streamed {
    let scanner = Scanner::default();
    let started = std::time::Instant::now();
    let texts = measure::generated_stream(megabytes * 1_000_000);
    let findings = scanner.scan_stream(texts).map(|(_, found)| found.len()).sum();
    let mb_a_second = megabytes as f64 / started.elapsed().as_secs_f64();
    Streamed { findings, peak_mb: peak_memory_bytes() as f64 / 1e6, mb_a_second }
}

fn shared() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    std::env::var_os("ATTESTUNE_SHARED").map_or_else(|| beside.into(), PathBuf::from)
}

fn absent(what: &str, folder: &Path) -> Skipped {
    let why =
        format!("{what}: {} does not have them; set ATTESTUNE_SHARED to the folder over data/pii", folder.display());
    Skipped { part: PART, why }
}

fn add_cases(results: &mut Results, cases: &Cases) {
    let share = |what: String, part: usize, all: usize| {
        let percent = 100.0 * part as f64 / all.max(1) as f64;
        Figure::new(PART, what, "%", vec![percent]).with_goal(Goal::ValueAtLeast(99.0))
    };
    let Cases { entities, positive, found, negative, silent, .. } = cases;
    let found = share(format!("cases of {entities} kinds found, {found} of {positive}"), *found, *positive);
    let silent = share(format!("cases rightly silent, {silent} of {negative}"), *silent, *negative);
    results.figures.extend([found, silent]);
    for case in &cases.unmet {
        let reason = case.reason.unwrap_or("NO REASON");
        let spans = if case.expected.is_empty() { "silence".to_owned() } else { format!("{:?}", case.expected) };
        results
            .notes
            .push(format!("case {}, {}: expected {spans}, found {:?}: {reason}", case.line, case.entity, case.found));
    }
}

fn add_labelled(results: &mut Results, texts: &[Labelled], plan: &Plan) -> anyhow::Result<()> {
    let scanner = Scanner::default();
    let every_date = Config { thresholds_ppm: [(Entity::DATE, 0)].into(), ..Config::default() };
    let dates = Scanner::new(&every_date)?;
    let (first, second) = texts.split_at(texts.len() / 2);
    for (name, texts) in [("first half", first), ("second half", second), ("all texts", texts)] {
        add_found(results, name, &measure::found(texts, &scanner));
        if let Some(dates) = measure::dates(texts, &dates, DATE_RECALL) {
            let recall = dates.tally.recall();
            let what = format!("DATE_TIME precision at recall {recall:.3}, {name}");
            let figure = Figure::new(PART, what, "", vec![dates.tally.precision()]).beside(PEER, vec![0.17]);
            if recall >= DATE_RECALL {
                results.figures.push(figure.with_goal(Goal::ValueAtLeast(0.80)));
            } else {
                results.figures.push(figure);
                results
                    .notes
                    .push(format!("dates, {name}: no threshold finds {DATE_RECALL} of them, so that goal is missed"));
            }
        }
    }
    let patterns = Scanner::patterns(&Config::default())?;
    for (what, scanner, goal) in [("patterns", &patterns, 25_000.0), ("patterns and tagger", &scanner, 5_000.0)] {
        let rounds = (0..plan.rounds).filter_map(|_| measure::texts_a_second(texts, scanner, THREADS));
        let figure = Figure::new(PART, format!("{what}, {THREADS} threads"), "texts/s", rounds.collect());
        let presidio = vec![244.0; plan.rounds as usize];
        results.figures.push(figure.beside(PEER, presidio).with_goal(Goal::ValueAtLeast(goal)));
    }
    results.notes.push(
        "Presidio's figures are those of the better of its models on these texts, measured elsewhere (2.2.366, en_core_web_sm \
         and _md); its small model has a micro F1 of 0.50"
            .to_owned(),
    );
    Ok(())
}

fn add_found(results: &mut Results, name: &str, found: &Found) {
    let one = |what: &str, value: f64, theirs: f64, goal: f64| {
        let figure = Figure::new(PART, format!("{what}, {name}"), "", vec![value]).with_goal(Goal::ValueAtLeast(goal));
        if theirs > 0.0 { figure.beside(PEER, vec![theirs]) } else { figure }
    };
    results.figures.push(one("micro F1", found.all().f1(), 0.57, 0.80));
    for (entity, goal, theirs) in TYPES {
        let tally = found.by_entity.get(entity).copied().unwrap_or_default();
        results.figures.push(one(&format!("{entity} F1"), tally.f1(), theirs, goal));
    }
    for (entity, tally) in &found.by_entity {
        if tally.labelled > 0 && !TYPES.iter().any(|(known, ..)| known == entity) {
            results.figures.push(Figure::new(PART, format!("{entity} F1, {name}"), "", vec![tally.f1()]));
        }
    }
    results.figures.push(one("characters covered", found.coverage(), 0.55, 0.85));
    let flagged = 100.0 * found.flagged as f64 / found.clean.max(1) as f64;
    let what = format!("clean texts flagged, {} of {}, {name}", found.flagged, found.clean);
    let figure = Figure::new(PART, what, "%", vec![flagged]).beside(PEER, vec![100.0 * 7.0 / 113.0]);
    results.figures.push(figure.with_goal(Goal::ValueAtMost(100.0 * 7.0 / 113.0)));
}
