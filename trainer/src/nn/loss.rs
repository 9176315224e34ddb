//! Cross entropy of the answer's tokens.

use rayon::prelude::*;

use super::{elementwise::exp, matrix::Matrix};

/// The mean cross entropy in nats of `targets` under `logits` `[targets, vocabulary]`, which
/// become their own gradient in place.
pub(crate) fn cross_entropy(logits: &mut Matrix, targets: &[u32]) -> f64 {
    let (width, count) = (logits.cols(), targets.len() as f32);
    let losses: Vec<f64> = logits
        .data_mut()
        .par_chunks_mut(width)
        .zip(targets)
        .map(|(row, target)| {
            let target = *target as usize;
            let loss = -f64::from(log_softmax(row, target));
            let highest = highest(row);
            row.iter_mut().for_each(|logit| *logit = exp(*logit - highest));
            let share = 1.0 / (row.iter().map(|p| f64::from(*p)).sum::<f64>() as f32 * count);
            row.iter_mut().for_each(|p| *p *= share);
            row[target] -= 1.0 / count;
            loss
        })
        .collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// The log-probability of `target` under `logits`, in nats.
pub(crate) fn log_softmax(logits: &[f32], target: usize) -> f32 {
    let highest = highest(logits);
    let total: f64 = logits.iter().map(|logit| f64::from(exp(logit - highest))).sum();
    (f64::from(logits[target] - highest) - total.ln()) as f32
}

/// The index of the largest logit; the first of equals.
pub(crate) fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = i;
        }
    }
    best
}

fn highest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}
