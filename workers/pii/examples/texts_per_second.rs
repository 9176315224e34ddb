//! How many texts a second are scanned: of the labelled texts in the shared folder, or of the
//! JSON file (a list of objects with `full_text`) named as the first argument.
//!
//! `cargo run -p attestune-pii --example texts_per_second`

use std::{env, fs, hint::black_box, time::Instant};

use attestune_pii::Scanner;

const ROUNDS: u32 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/pii/synth_dataset_v2.json");
    let path = env::args().nth(1).unwrap_or_else(|| beside.to_owned());
    let file = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&file)?;
    let texts: Vec<&str> = rows.iter().filter_map(|row| row["full_text"].as_str()).collect();

    let started = Instant::now();
    let scanner = Scanner::default();
    let findings: usize = scanner.scan_many(&texts).iter().map(Vec::len).sum();
    println!("{} texts, {findings} findings; ready and warm after {:?}", texts.len(), started.elapsed());

    let rate = |name: &str, pass: &dyn Fn()| {
        let started = Instant::now();
        (0..ROUNDS).for_each(|_| pass());
        let texts = f64::from(ROUNDS) * texts.len() as f64;
        println!("{name}: {:.0} texts/s", texts / started.elapsed().as_secs_f64());
    };
    rate("one thread", &|| {
        for text in &texts {
            black_box(scanner.scan(text));
        }
    });
    rate("all threads", &|| {
        black_box(scanner.scan_many(&texts));
    });
    Ok(())
}
