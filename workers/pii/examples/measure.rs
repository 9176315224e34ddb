//! What a tagger in the making, or a changed recognizer, finds of the labelled texts, for whoever changes it: `cargo run
//! --example measure -- [--model FILE] [--wrong] [--dates]`, the last for dates alone, told at every score. Of the texts the first half alone is looked at; `attestune bench pii` looks at all.

use std::{env, error::Error, fs, path::PathBuf, sync::Arc};

use attestune_pii::{Config, Entity, Recognizers, Scanner, measure, tagger::Tagger};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut model, mut wrong, mut every_date) = (None, false, false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--model" => model = Some(arguments.next().ok_or("--model needs a file")?),
            "--wrong" => wrong = true,
            "--dates" => every_date = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = env::var_os("ATTESTUNE_SHARED").map_or_else(|| beside.into(), PathBuf::from);
    let Ok(file) = fs::read_to_string(shared.join("data/pii/synth_dataset_v2.json")) else {
        println!("SKIPPED: {} has no data/pii (set ATTESTUNE_SHARED)", shared.display());
        return Ok(());
    };
    let texts = measure::read(&file)?;
    let first = &texts[..texts.len() / 2];
    let tagger = match model {
        Some(path) => Arc::new(Tagger::from_bytes(&fs::read(path)?)?),
        None => Tagger::shared(),
    };
    let mut config = Config::default();
    if every_date {
        config.thresholds_ppm.insert(Entity::DATE, 0);
    }
    let scanner = Scanner::with(&config, &Recognizers::default(), vec![tagger])?;
    if wrong {
        let shown = |line: &String| !every_date || line.contains(" DATE_TIME ");
        measure::wrong(first, &scanner).filter(shown).for_each(|line| println!("{line}"));
    }
    if every_date {
        let dates = measure::dates(first, &scanner, 0.95).ok_or("no text has a date")?;
        let (precision, recall) = (dates.tally.precision(), dates.tally.recall());
        println!("dates from {} ppm: precision {precision:.3} at recall {recall:.3}", dates.threshold_ppm);
        return Ok(());
    }
    let found = measure::found(first, &scanner);
    let all = found.all();
    println!("{:<20} {:>6} {:>6} {:>10} {:>7} {:>6}", "entity", "labels", "found", "precision", "recall", "F1");
    for (name, tally) in found.by_entity.iter().map(|(name, tally)| (name.as_str(), tally)).chain([("all", &all)]) {
        let (precision, recall, f1) = (tally.precision(), tally.recall(), tally.f1());
        println!("{name:<20} {:>6} {:>6} {precision:>10.3} {recall:>7.3} {f1:>6.3}", tally.labelled, tally.told);
    }
    println!("characters of personal data covered: {:.3}", found.coverage());
    println!("clean texts flagged: {} of {}", found.flagged, found.clean);
    Ok(())
}
