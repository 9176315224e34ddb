//! What the patterns find of the first half of the labelled texts in the shared folder: precision, recall and F1 of
//! each kind, by type and overlap. The second half is kept for the end.
//!
//! `cargo run -p attestune-pii --example measure [FILE [first|second]]`

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use attestune_pii::{Config, Entity, Scanner};

#[derive(Default)]
struct Tally {
    found: usize,
    labelled: usize,
    right: usize,
    told: usize,
}

/// The kind that a label means here; nothing for what no pattern finds.
fn kind(label: &str) -> &str {
    match label {
        "DOMAIN_NAME" => "URL",
        other => other,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/pii/synth_dataset_v2.json");
    let path = env::args().nth(1).unwrap_or_else(|| beside.to_owned());
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?)?;
    let (first, second) = rows.split_at(rows.len() / 2);
    let rows = if env::args().nth(2).as_deref() == Some("second") { second } else { first };

    measure("by default", rows, &Config::default())?;
    let every_date = Config { thresholds_ppm: [(Entity::DATE, 150_000)].into(), ..Config::default() };
    measure("with years and days of the week as dates", rows, &every_date)
}

fn measure(name: &str, rows: &[serde_json::Value], config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let scanner = Scanner::new(config)?;
    let (mut tallies, mut clean, mut flagged): (BTreeMap<String, Tally>, _, _) = (BTreeMap::new(), 0, 0);
    for row in rows {
        let text = row["full_text"].as_str().unwrap_or_default();
        let spans = row["spans"].as_array().ok_or("a row without spans")?;
        let labelled = spans.iter().map(|span| {
            let offset = |name: &str| span[name].as_u64().unwrap_or_default();
            let label = span["entity_type"].as_str().unwrap_or_default();
            (kind(label).to_owned(), offset("start_position"), offset("end_position"))
        });
        let labelled: Vec<_> = labelled.collect();
        let told = scanner.scan(text);
        let told: Vec<_> =
            told.iter().map(|f| (f.entity.presidio_name(), u64::from(f.start), u64::from(f.end))).collect();
        clean += usize::from(labelled.is_empty());
        flagged += usize::from(labelled.is_empty() && !told.is_empty());
        let meets = |a: &(String, u64, u64), b: &(String, u64, u64)| a.0 == b.0 && a.1 < b.2 && b.1 < a.2;
        for label in &labelled {
            let tally = tallies.entry(label.0.clone()).or_default();
            tally.labelled += 1;
            tally.found += usize::from(told.iter().any(|one| meets(one, label)));
        }
        for one in &told {
            let tally = tallies.entry(one.0.clone()).or_default();
            tally.told += 1;
            tally.right += usize::from(labelled.iter().any(|label| meets(one, label)));
        }
    }
    let known: BTreeSet<String> = Entity::all().iter().map(|entity| entity.presidio_name()).collect();
    println!(
        "\n{name}\n{:30} {:>8} {:>6} {:>9} {:>6} {:>6}",
        "entity", "labelled", "told", "precision", "recall", "F1"
    );
    for (name, t) in tallies.iter().filter(|(name, _)| known.contains(*name)) {
        let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let (precision, recall) = (share(t.right, t.told), share(t.found, t.labelled));
        let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
        println!("{name:30} {:8} {:6} {precision:9.3} {recall:6.3} {f1:6.3}", t.labelled, t.told);
    }
    println!("{} texts; of {clean} without a label {flagged} are flagged", rows.len());
    Ok(())
}
