//! Trains an adapter on CSV or JSONL files (several with commas between them), then runs a suite
//! (`.yaml`) or counts right answers on another file:
//!
//! ```text
//! cargo run -p attestune-trainer --example train_csv -- MODEL TRAIN [TEST] [--out FOLDER]
//!     [--prompt '{text}\nIntent:'] [--columns text,category] [--epochs 2] [--batch 16] [--rate 0.002]
//!     [--rank 8] [--seed 1] [--threads 2] [--targets q_proj,k_proj,v_proj,o_proj]
//! ```
//! A JSONL line is `{"prompt": …, "answer": …}`, taken as it stands. Of a CSV file two columns
//! are taken (`prompt,answer` if it has them, else the first two), the prompt is put into the
//! template and the answer gets a space before it.

use std::{collections::BTreeMap, error::Error, ops::ControlFlow, path::Path, time::Instant};

use attestune_trainer::{
    config::TrainConfig,
    evaluate::{self, Suite},
    generate::{Model, Stop},
    model::BaseModel,
    plot,
    train::{TrainExample, train},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = BTreeMap::new();
    let mut files = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--") {
            Some(name) => drop(options.insert(name.to_owned(), args.next().ok_or("an option without value")?)),
            None => files.push(arg),
        }
    }
    let [model, train_file, ..] = &files[..] else {
        return Err("usage: train_csv MODEL TRAIN [TEST] [--epochs N …]".into());
    };
    let mut take = |name: &str, default: &str| options.remove(name).unwrap_or(default.to_owned());
    let prompt = take("prompt", "{text}\\nIntent:").replace("\\n", "\n");
    let columns = take("columns", "");
    let out = take("out", "");
    let config = TrainConfig {
        epochs: take("epochs", "2").parse()?,
        batch_size: take("batch", "16").parse()?,
        learning_rate: take("rate", "0.002"),
        rank: take("rank", "8").parse()?,
        seed: take("seed", "1").parse()?,
        threads: take("threads", "2").parse()?,
        targets: take("targets", "q_proj,k_proj,v_proj,o_proj").split(',').map(str::to_owned).collect(),
        ..TrainConfig::default()
    };
    if let Some(name) = options.keys().next() {
        return Err(format!("no option --{name}").into());
    }

    let mut examples = Vec::new();
    for file in train_file.split(',') {
        examples.extend(read(Path::new(file), &prompt, &columns)?);
    }
    let started = Instant::now();
    let base = BaseModel::load(Path::new(model))?;
    eprintln!("loaded {model} ({}) in {:.1} s", base.weights_digest(), started.elapsed().as_secs_f64());

    let started = Instant::now();
    let trained = train(&base, &examples, &config, |p| {
        let eta = p.elapsed_ms as f64 / 1e3 / f64::from(p.step) * f64::from(p.steps - p.step);
        eprint!("\rstep {}/{}  loss {:.4}  {eta:.0} s left   ", p.step, p.steps, p.loss_micro as f64 / 1e6);
        ControlFlow::Continue(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("\r{}                    ", plot::sparkline(&trained.losses, 60));
    println!(
        "trained {} steps, {} tokens in {seconds:.1} s: {:.0} tokens/s ({:.0} padded), final loss {:.4}",
        trained.steps,
        trained.tokens,
        trained.tokens as f64 / seconds,
        trained.padded_tokens as f64 / seconds,
        trained.final_loss_micro as f64 / 1e6,
    );
    println!("adapter {}", trained.adapter.digest());
    if !out.is_empty() {
        trained.adapter.save(Path::new(&out))?;
        std::fs::write(Path::new(&out).join("loss.svg"), plot::svg(&trained.losses))?;
        println!("saved to {out}");
    }

    if let Some(test_file) = files.get(2) {
        let model = Model::new(&base, Some(&trained.adapter))?;
        match test_file.ends_with(".yaml") {
            true => run_suite(&model, Path::new(test_file))?,
            false => count_right(&model, &read(Path::new(test_file), &prompt, &columns)?)?,
        }
    }
    Ok(())
}

fn run_suite(model: &Model<'_>, path: &Path) -> Result<(), Box<dyn Error>> {
    let suite = Suite::parse(&std::fs::read(path)?)?;
    let started = Instant::now();
    let report = evaluate::run(model, &suite, |done, total| {
        eprint!("\r{done} of {total} cases   ");
        ControlFlow::Continue(())
    })?;
    eprintln!();
    for case in report.cases.iter().filter(|case| !case.passed) {
        eprintln!("failed: {} {:?} answered {:?}; {}", case.case_id, case.prompt, case.output, case.reason);
    }
    for (category, score) in &report.categories {
        println!("{category:?}: {} of {} passed", score.passed, score.total);
    }
    println!("{} in {:.1} s", suite.name, started.elapsed().as_secs_f64());
    Ok(())
}

fn count_right(model: &Model<'_>, cases: &[TrainExample]) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let prompts: Vec<&str> = cases.iter().map(|case| case.prompt.as_str()).collect();
    let answers = model.greedy(&prompts, Stop { max_new_tokens: 16, at_newline: true })?;
    let mut right = 0;
    for (case, answer) in cases.iter().zip(&answers) {
        match answer.trim() == case.answer.trim() {
            true => right += 1,
            false => eprintln!("wrong: {:?} answered {answer:?}, expected {:?}", case.prompt, case.answer),
        }
    }
    println!(
        "{right} of {} right ({:.2} %) in {:.1} s",
        cases.len(),
        100.0 * f64::from(right) / cases.len() as f64,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn read(path: &Path, template: &str, columns: &str) -> Result<Vec<TrainExample>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        let lines = String::from_utf8(bytes)?;
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        return Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?);
    }
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers()?.clone();
    let place = |name: &str| header.iter().position(|column| column == name);
    let (first, second) = match columns.split_once(',') {
        Some((a, b)) => (place(a).ok_or("no such column")?, place(b).ok_or("no such column")?),
        None => place("prompt").zip(place("answer")).unwrap_or((0, 1)),
    };
    let mut examples = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cell = |i| record.get(i).ok_or("a row is too short");
        examples.push(TrainExample {
            prompt: template.replace("{text}", cell(first)?),
            answer: format!(" {}", cell(second)?.trim()),
        });
    }
    Ok(examples)
}
