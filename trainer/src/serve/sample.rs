//! Choosing the next token, and what the model thought of it.

use crate::{nn::elementwise::exp, nn::loss::argmax, rng::Rng};

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the likeliest token each time.
    pub temperature: f32,
    /// Of the likeliest tokens, those that together have this share are chosen from (Holtzman and others, "The curious
    /// case of neural text degeneration", 2020).
    pub top_p: f32,
    /// The same seed gives the same choices for the same logits.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token each time.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0, seed: 0 };
}

/// The stream of choices of one sequence.
pub(super) struct Sampler {
    sampling: Sampling,
    rng: Rng,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        Self { sampling, rng: Rng::new(sampling.seed, 0x5A3) }
    }

    /// The next token after these logits.
    pub(super) fn choose(&mut self, logits: &[f32]) -> u32 {
        let Sampling { temperature, top_p, .. } = self.sampling;
        let best = argmax(logits);
        if temperature <= 0.0 {
            return best as u32;
        }
        let highest = logits[best];
        let weights: Vec<f32> = logits.iter().map(|logit| exp((logit - highest) / temperature)).collect();
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let mut kept: Vec<(u32, f64)> = if top_p < 1.0 {
            nucleus(&weights, total, f64::from(top_p))
        } else {
            weights.iter().enumerate().map(|(token, weight)| (token as u32, f64::from(*weight))).collect()
        };
        let all: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut left = (self.rng.next() >> 11) as f64 / (1u64 << 53) as f64 * all;
        let last = kept.pop();
        for (token, weight) in kept {
            left -= weight;
            if left < 0.0 {
                return token;
            }
        }
        last.map_or(best as u32, |(token, _)| token)
    }
}

/// The likeliest tokens that together have a share `top_p` of `total`, the likeliest first.
fn nucleus(weights: &[f32], total: f64, top_p: f64) -> Vec<(u32, f64)> {
    // All tokens below this together have less than what may be left out, so none of them is needed.
    let least = (1.0 - top_p) * total / weights.len() as f64;
    let mut kept: Vec<(u32, f64)> = weights
        .iter()
        .map(|weight| f64::from(*weight))
        .enumerate()
        .filter(|(_, weight)| *weight >= least)
        .map(|(token, weight)| (token as u32, weight))
        .collect();
    kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut sum = 0.0;
    let enough = kept.iter().position(|(_, weight)| {
        sum += weight;
        sum >= top_p * total
    });
    kept.truncate(enough.map_or(kept.len(), |last| last + 1));
    kept
}

/// What a model thought of a token: natural logarithms of probabilities, before temperature and nucleus.
#[derive(Clone, Debug, PartialEq)]
pub struct Thought {
    /// Of the token itself.
    pub log_probability: f32,
    /// The likeliest tokens, the likeliest first.
    pub top: Vec<(u32, f32)>,
}

impl Thought {
    /// Of `token` under these logits, with the `top` likeliest beside it.
    pub(super) fn of(logits: &[f32], token: u32, top: usize) -> Self {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = logits.iter().map(|logit| f64::from(exp(logit - highest))).sum();
        let log = |logit: f32| (f64::from(logit - highest) - total.ln()) as f32;
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(top + 1);
        for (token, logit) in logits.iter().enumerate() {
            if best.len() < top || best.last().is_some_and(|(_, least)| logit > least) {
                let place = best.partition_point(|(_, other)| other >= logit);
                best.insert(place, (token as u32, *logit));
                best.truncate(top);
            }
        }
        let top = best.into_iter().map(|(token, logit)| (token, log(logit))).collect();
        Self { log_probability: log(logits[token as usize]), top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, 3.0, -4.0];

    fn counts(sampling: Sampling) -> [u32; 5] {
        let mut sampler = Sampler::new(sampling);
        let mut counts = [0; 5];
        (0..20_000).for_each(|_| counts[sampler.choose(&LOGITS) as usize] += 1);
        counts
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest() {
        assert_eq!(Sampler::new(Sampling::GREEDY).choose(&LOGITS), 1);
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        let total: f64 = LOGITS.iter().map(|logit| f64::from(*logit).exp()).sum();
        let counts = counts(Sampling { temperature: 1.0, top_p: 1.0, seed: 7 });
        for (logit, count) in LOGITS.iter().zip(counts) {
            let (expected, found) = (f64::from(*logit).exp() / total, f64::from(count) / 20_000.0);
            assert!((expected - found).abs() < 0.015, "{found} is not about {expected}");
        }
    }

    #[test]
    fn the_nucleus_leaves_the_unlikely_out() {
        // The two likeliest have 0.4 each, the third 0.15.
        let counts = counts(Sampling { temperature: 1.0, top_p: 0.7, seed: 7 });
        assert!(counts[1] > 9_000 && counts[3] > 9_000, "{counts:?}");
        assert_eq!((counts[0], counts[2], counts[4]), (0, 0, 0));
    }

    #[test]
    fn a_seed_gives_its_choices_again() {
        let choices = |seed| {
            let mut sampler = Sampler::new(Sampling { temperature: 1.0, top_p: 0.95, seed });
            (0..32).map(|_| sampler.choose(&LOGITS)).collect::<Vec<_>>()
        };
        assert_eq!(choices(3), choices(3));
        assert_ne!(choices(3), choices(4));
    }

    #[test]
    fn thoughts_are_logarithms_of_probabilities_in_order() {
        let thought = Thought::of(&LOGITS, 2, 3);
        assert_eq!(thought.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 3, 2]);
        assert_eq!(thought.top[2].1, thought.log_probability);
        let all = Thought::of(&LOGITS, 0, 9);
        let sum: f64 = all.top.iter().map(|(_, log)| f64::from(*log).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
