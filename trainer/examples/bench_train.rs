//! Times training against plain candle on the same batch, in turns:
//!
//! ```text
//! cargo run -p attestune-trainer --example bench_train -- MODEL [--rounds 3] [--steps 3] [--threads 2]
//! ```
//! Both train rank 8 on q, k, v and o of 16 examples of 17 to 19 tokens. Set RAYON_NUM_THREADS to
//! `--threads`: candle's own operations take their threads from it. Tokens are counted as if
//! padded to the longest example, which plain candle does and the trainer doesn't.

#[path = "plain/mod.rs"]
mod plain;

use std::{error::Error, ops::ControlFlow, path::Path, time::Instant};

use attestune_trainer::{
    config::TrainConfig,
    environment::Environment,
    generate::Model,
    model::BaseModel,
    train::{TrainExample, train},
};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use plain::{Example, Plain};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let model = args.first().ok_or("usage: bench_train MODEL [--rounds N] [--steps N] [--threads N]")?;
    let option = |name: &str, default: u32| -> Result<u32, Box<dyn Error>> {
        match args.iter().position(|arg| arg == name) {
            Some(at) => Ok(args.get(at + 1).ok_or("an option without value")?.parse()?),
            None => Ok(default),
        }
    };
    let (rounds, steps, threads) = (option("--rounds", 3)?, option("--steps", 3)?, option("--threads", 2)?);

    let base = BaseModel::load(Path::new(model))?;
    let folder = std::env::temp_dir().join(format!("attestune-bench-{}", std::process::id()));
    base.export(&folder)?;
    let examples = examples();
    let batch = encode(&folder, &examples)?;
    let longest = batch.iter().map(|(tokens, _)| tokens.len()).max().unwrap_or(0);
    let padded = longest * batch.len();
    let real: usize = batch.iter().map(|(tokens, _)| tokens.len()).sum();
    println!("batch of {} examples, {real} tokens, {padded} padded; {steps} steps a round", batch.len());

    let config = TrainConfig {
        epochs: steps,
        batch_size: batch.len() as u32,
        threads,
        warmup_ppm: 0,
        learning_rate: "0.001".to_owned(),
        ..TrainConfig::default()
    };
    // A rate of zero leaves the adapter as it begins.
    let zero = TrainConfig { learning_rate: "0".to_owned(), max_steps: 1, ..config.clone() };
    let start = train(&base, &examples, &zero, |_| ControlFlow::Continue(()))?.adapter;
    let (tokens, found) = Model::new(&base, Some(&start))?.logits(&examples[0].prompt)?;
    let start = start.weights_bytes();
    let expected = Plain::load(&folder, &start, 2.0)?.sequence_logits(&tokens)?.flatten_all()?.to_vec1::<f32>()?;
    let difference = found.iter().zip(expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    println!("logits of a prompt before training: at most {difference:.1e} apart");

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let mut elapsed_ms = 0;
        let before = cpu_seconds();
        let trained = train(&base, &examples, &config, |progress| {
            elapsed_ms = progress.elapsed_ms;
            ControlFlow::Continue(())
        })?;
        ours.push((padded as u64 * u64::from(steps)) as f64 * 1e3 / elapsed_ms as f64);
        let our_cpu = (cpu_seconds() - before) * 1e3 / f64::from(steps * padded as u32);
        let our_loss = trained.final_loss_micro as f64 / 1e6;

        let before = cpu_seconds();
        let (speed, plain_loss) = plain_round(&folder, &start, &batch, steps, padded)?;
        let plain_cpu = (cpu_seconds() - before) * 1e3 / f64::from(steps * padded as u32);
        theirs.push(speed);
        println!(
            "round {round}: attestune {:.0} padded tokens/s ({our_cpu:.1} CPU ms each), loss {our_loss:.6}; \
             plain candle {speed:.0} ({plain_cpu:.1} CPU ms each), loss {plain_loss:.6}",
            ours[ours.len() - 1]
        );
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("median: attestune {ours:.0}, plain candle {theirs:.0} padded tokens/s, ratio {:.2}", ours / theirs);
    for (name, value) in Environment::current(threads).entries() {
        println!("{name}: {value}");
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn plain_round(
    folder: &Path,
    start: &[u8],
    batch: &[Example],
    steps: u32,
    padded: usize,
) -> Result<(f64, f32), Box<dyn Error>> {
    let plain = Plain::load(folder, start, 2.0)?;
    let parameters = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimiser = AdamW::new(plain.variables().into_values().collect(), parameters)?;
    let started = Instant::now();
    let mut last = 0.0;
    for step in 1..=steps {
        // The schedule of `TrainConfig` without warm-up.
        optimiser.set_learning_rate(1e-3 * f64::from(steps - step + 1) / f64::from(steps + 1));
        let loss = plain.loss(batch)?;
        optimiser.backward_step(&loss)?;
        last = loss.to_scalar()?;
    }
    Ok(((padded * steps as usize) as f64 / started.elapsed().as_secs_f64(), last))
}

/// Sixteen short questions with a label.
fn examples() -> Vec<TrainExample> {
    let openings = ["Could you tell me", "I would like to know", "Please explain to me", "I do not understand"];
    let subjects = [
        ("why my card was refused in a shop", "card_refused"),
        ("where the money I sent has gone", "transfer_missing"),
        ("what the fee on my account is", "fee_question"),
        ("how a new address is told to you", "address_change"),
    ];
    let pairs = openings.iter().flat_map(|opening| subjects.map(|(subject, label)| (opening, subject, label)));
    pairs
        .map(|(opening, subject, label)| TrainExample {
            prompt: format!("{opening} {subject}\nIntent:"),
            answer: format!(" {label}"),
        })
        .collect()
}

fn encode(folder: &Path, examples: &[TrainExample]) -> Result<Vec<Example>, Box<dyn Error>> {
    let tokenizer = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).map_err(|e| e.to_string())?;
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?;
    let end = config["eos_token_id"].as_u64().ok_or("no eos_token_id")? as u32;
    let tokens = |text: &str| tokenizer.encode(text, false).map(|e| e.get_ids().to_vec()).map_err(|e| e.to_string());
    let mut all = Vec::new();
    for example in examples {
        let prompt = tokens(&example.prompt)?;
        let answer = prompt.len();
        all.push(([prompt, tokens(&example.answer)?, vec![end]].concat(), answer));
    }
    Ok(all)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// What this process has used of all processors so far. On a busy machine it says more than time.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, fields 14 and 15 of proc(5), in hundredths of a second.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
