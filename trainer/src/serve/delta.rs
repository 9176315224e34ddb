//! An adapter beside the weights: `y += scale · (x · aᵀ) · bᵀ`, so that sequences of different versions go through one
//! base together.

use rayon::prelude::*;

use super::quant::{dots, widest};
use crate::nn::{linear::LowRank, matrix::Matrix, network::LayerAdapters};

/// Rows that a task takes.
const ROWS_PER_TASK: usize = 4;

/// The linear maps of a layer that may have an adapter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Qkv,
    Output,
    GateUp,
    Down,
}

/// An adapter, laid out for one row at a time.
#[derive(Debug)]
pub(super) struct Deltas(Vec<[Option<Delta>; 4]>);

#[derive(Debug)]
struct Delta {
    /// `[parts * rank, in]`.
    a: Matrix,
    /// The first output of each part, and its `b` with rows and columns exchanged: `[rank, outputs]`.
    parts: Vec<(usize, Matrix)>,
    scale: f32,
}

impl Deltas {
    pub(super) fn new(layers: &[LayerAdapters]) -> Self {
        let of = |adapter: &Option<LowRank>| adapter.as_ref().map(Delta::new);
        Self(layers.iter().map(|layer| [of(&layer.qkv), of(&layer.o), of(&layer.gate_up), of(&layer.down)]).collect())
    }

    /// Adds what the adapter of a layer's map makes of some rows of `x` to the same rows of `y`.
    pub(super) fn add(&self, layer: usize, place: Place, x: &Matrix, y: &mut Matrix, rows: std::ops::Range<usize>) {
        let Some(delta) = &self.0[layer][place as usize] else { return };
        let (from, to) = (x.cols(), y.cols());
        let x = &x.data()[rows.start * from..rows.end * from];
        let y = &mut y.data_mut()[rows.start * to..rows.end * to];
        y.par_chunks_mut(to * ROWS_PER_TASK).zip(x.par_chunks(from * ROWS_PER_TASK)).for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(to).zip(x.chunks_exact(from)) {
                widest((delta, x, y), add_row);
            }
        });
    }
}

impl Delta {
    fn new(adapter: &LowRank) -> Self {
        let exchanged = |b: &Matrix| {
            let columns = (0..b.cols()).flat_map(|col| (0..b.rows()).map(move |row| b.row(row)[col]));
            Matrix::new(b.cols(), b.rows(), columns.collect())
        };
        let parts = adapter.parts.iter().map(|part| (part.start, exchanged(&part.b))).collect();
        Self { a: adapter.a.clone(), parts, scale: adapter.scale }
    }
}

#[inline(always)]
fn add_row((delta, x, y): (&Delta, &[f32], &mut [f32])) {
    let mut low = vec![0.0; delta.a.rows()];
    dots(delta.a.data(), x, &mut low);
    let mut low = low.iter();
    for (start, b) in &delta.parts {
        let y = &mut y[*start..][..b.cols()];
        for (b, low) in b.data().chunks_exact(b.cols()).zip(low.by_ref()) {
            let weight = delta.scale * low;
            y.iter_mut().zip(b).for_each(|(y, b)| *y += weight * b);
        }
    }
}
