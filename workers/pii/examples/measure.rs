//! How much of a labelled corpus is found: `cargo run --example measure -- [--half first|second|all] [--patterns]
//! [--date-threshold PPM] [--model FILE] [--data FILE] [--misses]`.
//!
//! A finding counts if it shares a character with a labelled span of its type; a labelled span is
//! found if a finding of its type shares a character with it ("type and overlap"). Labels are mapped
//! as Presidio's own evaluation does: GPE, street address and postal code are LOCATION, a domain is
//! URL, a prefix is TITLE. Spans and texts are read, never learnt from.

use std::{collections::BTreeMap, env, error::Error, fs, ops::Range, path::PathBuf, sync::Arc, time::Instant};

use attestune_pii::{Config, Entity, Recognizers, Scanner, tagger::Tagger};
use rayon::prelude::*;

struct Options {
    data: PathBuf,
    half: String,
    model: Option<PathBuf>,
    /// Without the tagger.
    patterns: bool,
    /// From what score on a date is told, in parts per million.
    date_ppm: Option<u32>,
    misses: bool,
}

struct Text {
    characters: Vec<char>,
    text: String,
    spans: Vec<(String, Range<usize>)>,
}

#[derive(Default)]
struct Tally {
    labelled: usize,
    found: usize,
    told: usize,
    right: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.labelled += other.labelled;
        self.found += other.found;
        self.told += other.told;
        self.right += other.right;
    }

    fn line(&self, name: &str) -> String {
        let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let (precision, recall) = (share(self.right, self.told), share(self.found, self.labelled));
        let f1 = if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
        format!("{name:<20} {:>6} {:>6} {precision:>10.3} {recall:>7.3} {f1:>6.3}", self.labelled, self.told)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let Ok(file) = fs::read_to_string(&options.data) else {
        println!("skipped: {} is absent (name it with --data)", options.data.display());
        return Ok(());
    };
    let texts = texts(&serde_json::from_str::<Vec<serde_json::Value>>(&file)?, &options.half);
    let tagger = match &options.model {
        Some(path) => Arc::new(Tagger::from_bytes(&fs::read(path)?)?),
        None => Tagger::shared(),
    };
    let thresholds_ppm = options.date_ppm.map(|ppm| (Entity::DATE, ppm)).into_iter().collect();
    let config = Config { thresholds_ppm, ..Config::default() };
    let scanner = if options.patterns {
        Scanner::new(&config)?
    } else {
        Scanner::with(&config, &Recognizers::default(), vec![tagger.clone()])?
    };

    let (mut tallies, mut covered, mut characters, mut clean, mut flagged) = (BTreeMap::new(), 0, 0, 0, 0);
    for text in &texts {
        let findings = findings(text, &scanner);
        count(text, &findings, &mut tallies, options.misses);
        let personal = |at: &usize| text.spans.iter().any(|(_, span)| span.contains(at));
        let told = |at: &usize| findings.iter().any(|(_, span)| span.contains(at));
        characters += (0..text.characters.len()).filter(personal).count();
        covered += (0..text.characters.len()).filter(personal).filter(told).count();
        clean += usize::from(text.spans.is_empty());
        flagged += usize::from(text.spans.is_empty() && !findings.is_empty());
    }

    println!("{} texts ({} half)", texts.len(), options.half);
    println!("{:<20} {:>6} {:>6} {:>10} {:>7} {:>6}", "entity", "labels", "found", "precision", "recall", "F1");
    let mut all = Tally::default();
    for (name, tally) in &tallies {
        all.add(tally);
        println!("{}", tally.line(name));
    }
    println!("{}", all.line("all"));
    println!(
        "characters of personal data covered: {covered} of {characters} ({:.3})",
        covered as f64 / characters as f64
    );
    println!("clean texts flagged: {flagged} of {clean}");
    speed("tagger alone", &texts, &|text| tagger.spans(text).len());
    speed(if options.patterns { "patterns" } else { "patterns and tagger" }, &texts, &|text| scanner.scan(text).len());
    Ok(())
}

fn options() -> Result<Options, String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = env::var_os("ATTESTUNE_SHARED").map_or_else(|| beside.into(), PathBuf::from);
    let data = shared.join("data/pii/synth_dataset_v2.json");
    let mut options =
        Options { data, half: "first".to_owned(), model: None, patterns: false, date_ppm: None, misses: false };
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--half" => options.half = value()?,
            "--data" => options.data = value()?.into(),
            "--model" => options.model = Some(value()?.into()),
            "--misses" => options.misses = true,
            "--patterns" => options.patterns = true,
            "--date-threshold" => {
                let ppm = value()?.parse();
                options.date_ppm = Some(ppm.map_err(|_| "--date-threshold takes parts per million".to_owned())?);
            }
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    Ok(options)
}

fn texts(rows: &[serde_json::Value], half: &str) -> Vec<Text> {
    let middle = rows.len() / 2;
    let rows = match half {
        "first" => &rows[..middle],
        "second" => &rows[middle..],
        _ => rows,
    };
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default() as usize;
    let read = |row: &serde_json::Value| {
        let text = row["full_text"].as_str().unwrap_or_default().to_owned();
        let spans = row["spans"].as_array().map_or(&[][..], Vec::as_slice).iter();
        let spans = spans.map(|span| {
            let entity = mapped(span["entity_type"].as_str().unwrap_or_default());
            (entity.to_owned(), number(&span["start_position"])..number(&span["end_position"]))
        });
        Text { characters: text.chars().collect(), spans: spans.collect(), text }
    };
    rows.iter().map(read).collect()
}

fn mapped(entity: &str) -> &str {
    match entity {
        "GPE" | "STREET_ADDRESS" | "ZIP_CODE" => "LOCATION",
        "DOMAIN_NAME" => "URL",
        "PREFIX" => "TITLE",
        other => other,
    }
}

/// What a scanner finds, in code points.
fn findings(text: &Text, scanner: &Scanner) -> Vec<(String, Range<usize>)> {
    let found = scanner.scan(&text.text).into_iter();
    found.map(|f| (f.entity.presidio_name(), f.start as usize..f.end as usize)).collect()
}

fn shares(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn count(text: &Text, findings: &[(String, Range<usize>)], tallies: &mut BTreeMap<String, Tally>, misses: bool) {
    let met = |(entity, span): &(String, Range<usize>), others: &[(String, Range<usize>)]| {
        others.iter().any(|(other, place)| other == entity && shares(place, span))
    };
    let said = |span: &Range<usize>| text.characters[span.clone()].iter().collect::<String>();
    for label in &text.spans {
        let tally = tallies.entry(label.0.clone()).or_default();
        tally.labelled += 1;
        tally.found += usize::from(met(label, findings));
        if misses && !met(label, findings) {
            println!("missed {} {:?} in {:?}", label.0, said(&label.1), text.text);
        }
    }
    for finding in findings {
        let tally = tallies.entry(finding.0.clone()).or_default();
        tally.told += 1;
        tally.right += usize::from(met(finding, &text.spans));
        if misses && !met(finding, &text.spans) {
            println!("wrong {} {:?} in {:?}", finding.0, said(&finding.1), text.text);
        }
    }
}

fn speed(name: &str, texts: &[Text], scan: &(dyn Fn(&str) -> usize + Sync)) {
    const ROUNDS: usize = 4;
    for threads in [1, 2] {
        let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else { return };
        let started = Instant::now();
        pool.install(|| {
            for _ in 0..ROUNDS {
                let found: usize = texts.par_iter().with_min_len(16).map(|text| scan(&text.text)).sum();
                std::hint::black_box(found);
            }
        });
        let rate = (ROUNDS * texts.len()) as f64 / started.elapsed().as_secs_f64();
        println!("{name}, {threads} thread(s): {rate:.0} texts/s");
    }
}
