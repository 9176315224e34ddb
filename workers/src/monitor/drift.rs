//! How far inputs are from what a model was trained on, by three features of a text: its length in tokens, which tokens it
//! has, and where the mean of their vectors lies. Of each a population stability index says how much it matters, and a
//! two-sample test whether chance alone would do that. docs/monitoring.md has the formulas with their papers.

use attestune_proto::v1::Drift;
use attestune_trainer::rng::Rng;

/// Buckets into which tokens fall.
pub const BUCKETS: usize = 64;
/// Fewer texts than this on a side tell nothing.
pub const TEXTS_MIN: usize = 20;
/// Texts of either side whose distances are computed, at most.
const DISTANCES_MAX: (usize, usize) = (200, 400);
/// Random divisions to which the one that came is compared.
const PERMUTATIONS: u32 = 999;
/// Bins of a number.
const BINS: usize = 10;

/// The features of some texts.
#[derive(Debug, Clone, Default)]
pub struct Features {
    lengths: Vec<f64>,
    buckets: Vec<[u32; BUCKETS]>,
    vectors: Vec<Vec<f32>>,
}

impl Features {
    /// Adds a text by its tokens and the mean of their vectors.
    pub fn add(&mut self, tokens: &[u32], vector: Vec<f32>) {
        let mut buckets = [0; BUCKETS];
        tokens.iter().for_each(|token| buckets[bucket(*token)] += 1);
        self.lengths.push(tokens.len() as f64);
        self.buckets.push(buckets);
        self.vectors.push(vector);
    }

    /// Texts.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }
}

/// Tokens are numbered by how common they are, so neighbours must not share a bucket: Knuth's multiplicative hash.
fn bucket(token: u32) -> usize {
    (token.wrapping_mul(2_654_435_769) >> 26) as usize
}

/// How inputs differ from the members of a training set; nothing where there are too few of either. The same texts give
/// the same figures.
pub fn compare(members: &Features, inputs: &Features) -> Vec<Drift> {
    if members.len() < TEXTS_MIN || inputs.len() < TEXTS_MIN {
        return Vec::new();
    }
    let row = |feature: &str, psi: f64, statistic: f64, p: f64| Drift {
        feature: feature.into(),
        inputs: inputs.len() as u64,
        members: members.len() as u64,
        psi_ppm: (psi * 1e6).min(f64::from(u32::MAX)) as u32,
        statistic_ppm: (statistic.clamp(0.0, 1.0) * 1e6).round() as u32,
        p_ppm: (p.clamp(0.0, 1.0) * 1e6).round() as u32,
    };
    let [embedding, length, tokens] = [embedding(members, inputs), length(members, inputs), tokens(members, inputs)];
    [("embedding", embedding), ("length", length), ("tokens", tokens)]
        .map(|(feature, (psi, statistic, p))| row(feature, psi, statistic, p))
        .into()
}

fn length(members: &Features, inputs: &Features) -> (f64, f64, f64) {
    let (statistic, p) = kolmogorov_smirnov(&members.lengths, &inputs.lengths);
    (psi_of_numbers(&members.lengths, &inputs.lengths), statistic, p)
}

fn tokens(members: &Features, inputs: &Features) -> (f64, f64, f64) {
    let all: Vec<&[u32; BUCKETS]> = members.buckets.iter().chain(&inputs.buckets).collect();
    let whole = sum(all.iter().copied());
    let distance = |second: &[usize]| {
        let second = sum(second.iter().map(|at| all[*at]));
        let first: Vec<u64> = whole.iter().zip(&second).map(|(all, second)| all - second).collect();
        total_variation(&first, &second)
    };
    let p = permutation_p(members.len(), inputs.len(), distance);
    let (first, second) = (sum(members.buckets.iter()), sum(inputs.buckets.iter()));
    (psi(&first, &second), total_variation(&first, &second), p)
}

fn embedding(members: &Features, inputs: &Features) -> (f64, f64, f64) {
    let dimensions = members.vectors.first().map_or(0, Vec::len);
    let mut centre = vec![0f64; dimensions];
    for vector in &members.vectors {
        centre.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value) / members.len() as f64);
    }
    let centre: Vec<f32> = centre.into_iter().map(|value| value as f32).collect();
    let from_centre = |vectors: &[Vec<f32>]| -> Vec<f64> { vectors.iter().map(|v| distance(v, &centre)).collect() };
    let psi = psi_of_numbers(&from_centre(&members.vectors), &from_centre(&inputs.vectors));
    let (inputs_max, members_max) = DISTANCES_MAX;
    let (members, inputs) = (evenly(&members.vectors, members_max), evenly(&inputs.vectors, inputs_max));
    let (statistic, p) = energy_test(&members, &inputs);
    (psi, statistic, p)
}

/// So many of the items, evenly spaced; all of fewer.
pub fn evenly<T>(items: &[T], most: usize) -> Vec<&T> {
    let count = items.len().min(most);
    (0..count).map(|at| &items[at * items.len() / count]).collect()
}

fn sum<'b>(counts: impl Iterator<Item = &'b [u32; BUCKETS]>) -> Vec<u64> {
    let mut sum = vec![0; BUCKETS];
    counts.for_each(|counts| sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += u64::from(*count)));
    sum
}

/// Σ (q − p) ln(q / p) over bins, with p and q the shares of the two sides, half a count added to each bin.
pub fn psi(first: &[u64], second: &[u64]) -> f64 {
    let share = |counts: &[u64], at: usize| {
        let all: u64 = counts.iter().sum();
        (counts[at] as f64 + 0.5) / (all as f64 + counts.len() as f64 / 2.0)
    };
    let part = |at: usize| {
        let (p, q) = (share(first, at), share(second, at));
        (q - p) * (q / p).ln()
    };
    (0..first.len()).map(part).sum()
}

/// The index over tenths of the first side; where many of its numbers are alike there are fewer bins.
fn psi_of_numbers(first: &[f64], second: &[f64]) -> f64 {
    let sorted = sorted(first);
    let mut edges: Vec<f64> =
        (1..BINS).map(|tenth| sorted[(tenth * sorted.len() / BINS).min(sorted.len() - 1)]).collect();
    edges.dedup();
    let counts = |numbers: &[f64]| {
        let mut counts = vec![0u64; edges.len() + 1];
        numbers.iter().for_each(|number| counts[edges.partition_point(|edge| edge < number)] += 1);
        counts
    };
    psi(&counts(first), &counts(second))
}

/// Half the sum of the differences of shares: 0 for alike, 1 for nothing in common.
fn total_variation(first: &[u64], second: &[u64]) -> f64 {
    let all = |counts: &[u64]| counts.iter().sum::<u64>().max(1) as f64;
    let (of_first, of_second) = (all(first), all(second));
    first.iter().zip(second).map(|(a, b)| (*a as f64 / of_first - *b as f64 / of_second).abs()).sum::<f64>() / 2.0
}

/// The two-sample Kolmogorov–Smirnov test: the largest distance of the distribution functions, and its p-value by
/// Kolmogorov's limit.
pub fn kolmogorov_smirnov(first: &[f64], second: &[f64]) -> (f64, f64) {
    let (first, second) = (sorted(first), sorted(second));
    let (n, m) = (first.len() as f64, second.len() as f64);
    let share = |numbers: &[f64], at: f64| numbers.partition_point(|number| *number <= at) as f64;
    let gap = |at: &f64| (share(&first, *at) / n - share(&second, *at) / m).abs();
    let statistic = first.iter().chain(&second).map(gap).fold(0.0, f64::max);
    (statistic, kolmogorov((n * m / (n + m)).sqrt() * statistic))
}

/// P(K > x) of Kolmogorov's distribution.
fn kolmogorov(x: f64) -> f64 {
    // Below this the alternating series converges slowly, and 1 is right to twelve digits.
    if x < 0.2 {
        return 1.0;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * f64::from(k * k) * x * x).exp()
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// The energy test: Székely and Rizzo's coefficient of inhomogeneity, 0 to 1, and its p-value over random divisions.
pub fn energy_test(members: &[&Vec<f32>], inputs: &[&Vec<f32>]) -> (f64, f64) {
    let all: Vec<&Vec<f32>> = members.iter().chain(inputs).copied().collect();
    let count = all.len();
    let mut distances = vec![0f32; count * count];
    for first in 0..count {
        for second in 0..first {
            let between = distance(all[first], all[second]) as f32;
            distances[first * count + second] = between;
            distances[second * count + first] = between;
        }
    }
    let row = |at: usize| &distances[at * count..(at + 1) * count];
    let row_sums: Vec<f64> = (0..count).map(|at| row(at).iter().map(|d| f64::from(*d)).sum()).collect();
    let whole: f64 = row_sums.iter().sum();
    let coefficient = |second: &[usize]| {
        let (n, m) = ((count - second.len()) as f64, second.len() as f64);
        let within: f64 = second.iter().map(|a| second.iter().map(|b| f64::from(row(*a)[*b])).sum::<f64>()).sum();
        let across = second.iter().map(|at| row_sums[*at]).sum::<f64>() - within;
        let others = whole - 2.0 * across - within;
        let mean_across = across / (n * m);
        let energy = 2.0 * mean_across - within / (m * m) - others / (n * n);
        if mean_across > 0.0 { energy / (2.0 * mean_across) } else { 0.0 }
    };
    let came: Vec<usize> = (members.len()..count).collect();
    (coefficient(&came), permutation_p(members.len(), inputs.len(), coefficient))
}

/// The share of divisions of all texts, that which came and random ones, whose statistic is as large as that which came
/// (Phipson and Smyth 2010). `statistic` takes the places of the second side.
fn permutation_p(first: usize, second: usize, statistic: impl Fn(&[usize]) -> f64) -> f64 {
    let mut places: Vec<usize> = (0..first + second).collect();
    // What the sums' last bits differ by is no difference.
    let came = statistic(&places[first..]) - 1e-12;
    let mut rng = Rng::new(first as u64, second as u64);
    let mut as_large = 1;
    for _ in 0..PERMUTATIONS {
        rng.shuffle(&mut places);
        as_large += u32::from(statistic(&places[first..]) >= came);
    }
    f64::from(as_large) / f64::from(PERMUTATIONS + 1)
}

fn distance(first: &[f32], second: &[f32]) -> f64 {
    f64::from(first.iter().zip(second).map(|(a, b)| (a - b) * (a - b)).sum::<f32>()).sqrt()
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-9 * expected.abs().max(1.0)
    }

    const A: [f64; 10] = [3., 5., 5., 8., 9., 12., 14., 15., 15., 20.];
    const B: [f64; 12] = [8., 11., 15., 16., 18., 21., 21., 25., 30., 31., 33., 40.];

    /// scipy 1.17.1: `stats.ks_2samp(a, b).statistic`, and `special.kolmogorov(sqrt(nm / (n + m)) * statistic)`.
    #[test]
    fn kolmogorov_and_smirnov_agree_with_scipy() {
        let (statistic, p) = kolmogorov_smirnov(&A, &B);
        assert!(near(statistic, 0.65) && near(p, 0.019921719369149257), "{statistic} {p}");
        let a: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 101)).collect();
        let b: Vec<f64> = (0..80).map(|i| f64::from(i * 53 % 101 + i % 3 * 9)).collect();
        let (statistic, p) = kolmogorov_smirnov(&a, &b);
        assert!(near(statistic, 0.1125) && near(p, 0.7783641844117364), "{statistic} {p}");
        assert_eq!(kolmogorov_smirnov(&a, &a), (0.0, 1.0));
        for (x, p) in [
            (0.2, 0.999999999999495),
            (0.5, 0.9639452436648751),
            (0.8, 0.5441424115741981),
            (1.0, 0.26999967167735456),
            (1.5, 0.022217962616525127),
            (2.0, 0.0006709252557796953),
            (3.0, 3.045995948942526e-8),
        ] {
            assert!(near(kolmogorov(x), p), "{x}: {} {p}", kolmogorov(x));
        }
    }

    /// numpy 2.4.6 over the shares written out.
    #[test]
    fn the_stability_index_agrees_with_numpy() {
        let cases: [(&[u64], &[u64], f64); 4] = [
            (&[100, 120, 80, 90, 110], &[20, 30, 10, 15, 25], 0.046903717119544414),
            (&[50, 50, 0, 10], &[10, 40, 30, 20], 1.8409941001988797),
            (&[10, 10], &[10, 10], 0.0),
            (&[100; 10], &[10, 10, 10, 10, 10, 10, 10, 10, 10, 110], 1.0333054816658036),
        ];
        for (first, second, expected) in cases {
            assert!(near(psi(first, second), expected), "{} {expected}", psi(first, second));
        }
    }

    /// scipy 1.17.1: `spatial.distance.cdist`, means written out; in one dimension `stats.energy_distance(a, b)` squared
    /// is 9.595, the energy of which the coefficient is made.
    #[test]
    fn the_energy_coefficient_agrees_with_scipy() {
        let column = |numbers: &[f64]| numbers.iter().map(|number| vec![*number as f32]).collect::<Vec<_>>();
        let (a, b) = (column(&A), column(&B));
        let coefficient = |a: &[Vec<f32>], b: &[Vec<f32>]| energy_test(&evenly(a, 99), &evenly(b, 99)).0;
        assert!((coefficient(&a, &b) - 0.369987146529563).abs() < 1e-6, "{}", coefficient(&a, &b));
        let x: Vec<Vec<f32>> = (0..12u8)
            .map(|i| vec![f32::from(i * 7 % 11) / 10., f32::from(i * 5 % 13) / 10., f32::from(i % 4) / 4.])
            .collect();
        let y: Vec<Vec<f32>> = (0..15u8)
            .map(|i| vec![f32::from(i * 3 % 11) / 10. + 0.3, f32::from(i * 9 % 13) / 10., f32::from(i % 5) / 4.])
            .collect();
        assert!((coefficient(&x, &y) - 0.0933094532531825).abs() < 1e-6, "{}", coefficient(&x, &y));
    }

    /// Texts of some tokens each, of tokens from a range.
    fn texts(count: u32, length: u32, tokens: std::ops::Range<u32>, seed: u64) -> Features {
        let mut features = Features::default();
        let mut all: Vec<u32> = tokens.collect();
        let mut rng = Rng::new(seed, 1);
        for text in 0..count {
            rng.shuffle(&mut all);
            let tokens: Vec<u32> = all.iter().copied().take((length + text % 5) as usize).collect();
            let mean = tokens.iter().map(|token| *token as f32).sum::<f32>() / tokens.len() as f32;
            features.add(&tokens, vec![mean, tokens.len() as f32 / 100.0]);
        }
        features
    }

    #[test]
    fn texts_of_the_same_kind_do_not_drift_and_of_another_kind_do() {
        let members = texts(300, 12, 0..200, 1);
        let same = compare(&members, &texts(60, 12, 0..200, 2));
        assert_eq!(same.iter().map(|row| row.feature.as_str()).collect::<Vec<_>>(), ["embedding", "length", "tokens"]);
        assert!(same.iter().all(|row| row.p_ppm > 10_000), "{same:?}");
        assert!(same.iter().all(|row| (row.inputs, row.members) == (60, 300)));

        let other = compare(&members, &texts(60, 30, 350..390, 3));
        assert!(other.iter().all(|row| row.p_ppm <= 1_000 && row.psi_ppm > 250_000), "{other:?}");
        assert_eq!(compare(&members, &texts(60, 30, 350..390, 3)), other, "the same texts give the same figures");
        // Python 3.11 with the formulas, the hash and SplitMix64 written out anew: 0.3978…, 1.8730…, 1 of 1,000.
        assert_eq!((other[2].statistic_ppm, other[2].psi_ppm, other[2].p_ppm), (397_842, 1_873_042, 1_000));
    }

    #[test]
    fn a_few_texts_tell_nothing() {
        let members = texts(300, 12, 0..200, 1);
        assert!(compare(&members, &texts(19, 30, 150..400, 3)).is_empty());
        assert!(compare(&texts(19, 12, 0..200, 1), &members).is_empty());
        assert_eq!(evenly(&[1, 2, 3, 4, 5, 6], 3), [&1, &3, &5]);
        assert!(evenly::<u8>(&[], 3).is_empty());
    }

    #[test]
    fn texts_without_tokens_are_texts_too() {
        let mut empty = Features::default();
        (0..30).for_each(|_| empty.add(&[], vec![0.0, 0.0]));
        let rows = compare(&texts(300, 12, 0..200, 1), &empty);
        assert_eq!(rows.len(), 3);
        let alike = compare(&empty, &empty);
        assert!(alike.iter().all(|row| row.p_ppm == 1_000_000 && row.statistic_ppm == 0), "{alike:?}");
    }
}
