//! Structured averaged perceptron (Collins 2002) with a margin, in integers throughout.

use std::collections::HashMap;

use attestune_pii::tagger::{
    features,
    gazetteer::Gazetteer,
    label::{LABELS, Label},
    model::{Decoder, Model, ModelError},
    token,
};

use crate::{rng::Rng, text::Sample};

const EPOCHS: usize = 4;
const SEEN_MIN: u32 = 3;
/// A wrong label must stay this far behind for each token.
const MARGIN: i32 = 20;
/// The share of weights, in ten thousands, that may be cut off at the width of a byte.
const CLIPPED: usize = 5;

struct Example {
    labels: Vec<usize>,
    /// The rows of all tokens, one after another, and where each token's end.
    rows: Vec<u32>,
    ends: Vec<usize>,
}

type Weights = [i32; LABELS];
type Sums = [i64; LABELS];

pub fn train(samples: &[Sample], gazetteer: Gazetteer, rng: &mut Rng) -> Result<Model, ModelError> {
    let (mut examples, features) = examples(samples, &gazetteer);
    let mut weights: Vec<Weights> = vec![[0; LABELS]; features.len()];
    let mut sums: Vec<Sums> = vec![[0; LABELS]; features.len()];
    let mut follows = [[0i32; LABELS]; LABELS];
    let mut follows_sums = [[0i64; LABELS]; LABELS];
    let (mut decoder, mut time) = (Decoder::default(), 1i64);
    for epoch in 0..EPOCHS {
        rng.shuffle(&mut examples);
        let mut wrong = 0;
        for example in &examples {
            score(example, &weights, decoder.scores_mut());
            decoder.search(&follows);
            let found: Vec<usize> = decoder.labels().iter().map(|label| label.number()).collect();
            for (at, (&found_here, &right)) in found.iter().zip(&example.labels).enumerate() {
                if found_here != right {
                    wrong += 1;
                    for &row in token_rows(example, at) {
                        weights[row as usize][right] += 1;
                        weights[row as usize][found_here] -= 1;
                        sums[row as usize][right] += time;
                        sums[row as usize][found_here] -= time;
                    }
                }
                if at > 0 && (found_here, found[at - 1]) != (right, example.labels[at - 1]) {
                    follows[example.labels[at - 1]][right] += 4;
                    follows[found[at - 1]][found_here] -= 4;
                    follows_sums[example.labels[at - 1]][right] += 4 * time;
                    follows_sums[found[at - 1]][found_here] -= 4 * time;
                }
            }
            time += 1;
        }
        eprintln!("epoch {}: {wrong} tokens wrong", epoch + 1);
    }
    let average = |weight: i32, sum: i64| i64::from(weight) * time - sum;
    let averages: Vec<Sums> =
        weights.iter().zip(&sums).map(|(row, sums)| std::array::from_fn(|n| average(row[n], sums[n]))).collect();
    let unit = unit(&averages);
    let rounded = |value: i64, limit: i64| ((value * 2 + unit * value.signum()) / (unit * 2)).clamp(-limit, limit);
    let mut rows: Vec<(u32, [i8; LABELS])> = Vec::new();
    for (feature, averages) in features.iter().zip(&averages) {
        let row = averages.map(|value| rounded(value, 127) as i8);
        if row.iter().any(|&weight| weight.unsigned_abs() > 1) {
            rows.push((*feature, row));
        }
    }
    rows.sort_unstable();
    let transitions = std::array::from_fn(|before| {
        std::array::from_fn(|label| {
            rounded(average(follows[before][label], follows_sums[before][label]), 30_000) as i16
        })
    });
    eprintln!("{} features of {}, unit {}", rows.len(), features.len(), unit / time);
    Model::new(gazetteer, &rows, transitions)
}

/// The average that becomes weight 1: so large that few weights are cut off at 127.
fn unit(averages: &[Sums]) -> i64 {
    let mut sizes: Vec<i64> = averages.iter().flatten().map(|value| value.abs()).filter(|&size| size > 0).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let largest = sizes.get(sizes.len() * CLIPPED / 10_000).copied().unwrap_or(127);
    (largest / 127).max(1)
}

fn token_rows(example: &Example, at: usize) -> &[u32] {
    let from = if at == 0 { 0 } else { example.ends[at - 1] };
    &example.rows[from..example.ends[at]]
}

fn score(example: &Example, weights: &[Weights], scores: &mut Vec<[i32; 16]>) {
    scores.clear();
    for (at, &right) in example.labels.iter().enumerate() {
        let mut score = [MARGIN; 16];
        score[right] = 0;
        for &row in token_rows(example, at) {
            score.iter_mut().zip(&weights[row as usize]).for_each(|(sum, weight)| *sum += weight);
        }
        scores.push(score);
    }
}

/// Every sample as rows of weights, and the feature of each row. Rare features have no row.
fn examples(samples: &[Sample], gazetteer: &Gazetteer) -> (Vec<Example>, Vec<u32>) {
    let mut seen: HashMap<u32, u32> = HashMap::new();
    let mut words = Vec::new();
    let mut each = |sample: &Sample, sink: &mut dyn FnMut(usize, u32)| {
        let tokens: Vec<_> = token::tokens(&sample.text).collect();
        let hidden = |at: usize| sample.hidden.iter().any(|span| span.contains(&tokens[at].start));
        features::words(&tokens, gazetteer, hidden, &mut words);
        for at in 0..tokens.len() {
            features::emit(&words, at, |feature| sink(at, feature));
        }
    };
    for sample in samples {
        each(sample, &mut |_, feature| *seen.entry(feature).or_default() += 1);
    }
    let mut features: Vec<u32> = seen.into_iter().filter(|&(_, times)| times >= SEEN_MIN).map(|(f, _)| f).collect();
    features.sort_unstable();
    let rows: HashMap<u32, u32> = features.iter().enumerate().map(|(row, &feature)| (feature, row as u32)).collect();
    let example = |sample: &Sample| {
        let labels: Vec<usize> = sample.labels().iter().copied().map(Label::number).collect();
        let mut example = Example { ends: vec![0; labels.len()], labels, rows: Vec::new() };
        each(sample, &mut |at, feature| {
            example.rows.extend(rows.get(&feature));
            example.ends[at] = example.rows.len();
        });
        example
    };
    (samples.iter().map(example).collect(), features)
}
