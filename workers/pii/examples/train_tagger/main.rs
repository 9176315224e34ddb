//! Trains the tagger and writes its model: `train_tagger LISTS MODEL` (see `make tagger`).
//!
//! The same lists give the same bytes on every machine.

mod addresses;
mod carriers;
mod lists;
mod noise;
mod organizations;
mod parts;
mod perceptron;
mod plain;
mod rng;
mod slots;
mod template;
mod text;

use std::{env, fs, path::Path, process::ExitCode};

use attestune_pii::tagger::gazetteer;

use lists::Lists;
use rng::Rng;
use text::Sample;

const TEMPLATES: &str = include_str!("../../training/templates.txt");
/// Words of organisations, streets and forms of address that a list helps to know anywhere.
const WORDS: &str = include_str!("../../training/words.txt");
const FROM_TEMPLATES: usize = 40_000;
const PLAIN: usize = 12_000;
const NAMED: usize = 9_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match &arguments[..] {
        [lists, model] => run(Path::new(lists), Path::new(model)),
        [lists, show, count] if show == "--show" => show_some(Path::new(lists), count.parse().unwrap_or(20)),
        _ => Err("usage: train_tagger LISTS MODEL, or train_tagger LISTS --show COUNT".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("train_tagger: {error}");
            ExitCode::from(2)
        }
    }
}

fn read(folder: &Path) -> Result<Lists, String> {
    let mut lists = Lists::read(folder, TEMPLATES)?;
    for line in WORDS.lines().filter(|line| !line.starts_with('#')) {
        let (list, words) = line.split_once(':').ok_or_else(|| format!("words.txt: no list in {line:?}"))?;
        let bits = match list {
            "organization" => gazetteer::ORGANIZATION_WORD,
            "street" => gazetteer::STREET_WORD,
            "honorific" => gazetteer::HONORIFIC,
            "nrp" => gazetteer::NRP,
            "common" => gazetteer::COMMON,
            _ => return Err(format!("words.txt: unknown list {list}")),
        };
        words.split_whitespace().for_each(|word| lists.file(word, bits));
    }
    Ok(lists)
}

fn samples(lists: &mut Lists, rng: &mut Rng, scale: usize) -> Vec<Sample> {
    let templates: Vec<&str> = TEMPLATES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let carriers = carriers::carriers(lists, &lists.gazetteer(), PLAIN / scale, NAMED / scale, rng);
    lists.said = carriers.iter().filter(|sample| sample.spans.is_empty()).map(|sample| sample.text.clone()).collect();
    let lists = &*lists;
    let mut samples: Vec<Sample> =
        (0..FROM_TEMPLATES / scale).map(|at| slots::fill(templates[at % templates.len()], lists, rng)).collect();
    for sample in &mut samples {
        noise::add(sample, lists, rng);
    }
    samples.extend(carriers);
    // Some are written in small letters, in capitals, or with a capital on each word.
    let recased = |sample: &Sample, rng: &mut Rng| match rng.below(100) {
        0..4 if !sample.has_occupation() => sample.recased(str::to_lowercase),
        4..7 => sample.recased(str::to_uppercase),
        7..9 => sample.recased(|text| lists::capitalized(text)),
        _ => None,
    };
    samples.iter().map(|sample| recased(sample, rng).unwrap_or_else(|| sample.clone())).collect()
}

fn run(folder: &Path, model: &Path) -> Result<(), String> {
    let mut lists = read(folder)?;
    let mut rng = Rng::new(8);
    let samples = samples(&mut lists, &mut rng, 1);
    eprintln!("{} texts", samples.len());
    let model_made = perceptron::train(&samples, lists.gazetteer(), &mut rng).map_err(|error| error.to_string())?;
    let bytes = model_made.to_bytes();
    fs::write(model, &bytes).map_err(|error| format!("{}: {error}", model.display()))?;
    eprintln!("{}: {} bytes", model.display(), bytes.len());
    Ok(())
}

fn show_some(folder: &Path, count: usize) -> Result<(), String> {
    let mut lists = read(folder)?;
    let mut rng = Rng::new(8);
    let mut samples = samples(&mut lists, &mut rng, 20);
    rng.shuffle(&mut samples);
    for sample in samples.iter().take(count) {
        let spans: Vec<_> = sample.spans.iter().map(|(span, kind)| (kind, &sample.text[span.clone()])).collect();
        println!("{:?}\n    {spans:?}", sample.text);
    }
    Ok(())
}
