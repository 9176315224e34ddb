//! Products with weights that stay as small as they are in the GGUF: Q4_0, Q4_1 and Q8_0 by kernels of our own
//! ([`tiles`]), the k-quants by candle's, floating-point weights as f32.
//!
//! Each output is a sum in one order, whatever else is computed beside it and by however many threads: an answer
//! doesn't depend on who else asks. Candle's kernels don't promise that: with k-quants the last bits may differ.

mod activations;
mod tiles;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use tiles::{ROWS, Tiles};

use candle_core::{
    Device, Module as _, Result, Tensor,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use rayon::prelude::*;

use self::activations::Activations;
use crate::nn::matrix::Matrix;

/// Outputs are shared out in so many pieces a thread: one that is held up costs little.
const PIECES_PER_THREAD: usize = 4;
/// Products below this go to one thread.
const PRODUCTS_MIN: usize = 1 << 15;

/// A frozen linear map, `[out, in]`, as some parts one below the other.
#[derive(Debug)]
pub(super) struct Linear {
    parts: Vec<Part>,
    rows: usize,
    cols: usize,
}

/// Rows of a linear map that are kept in one way.
#[derive(Debug)]
pub(super) enum Part {
    /// Quantised, for our kernels.
    Tiles(Tiles),
    /// As f32.
    Dense(Matrix),
    /// Quantised in another way, for candle's kernels.
    Candle {
        /// How many rows.
        rows: usize,
        /// How many columns.
        cols: usize,
        /// The matrix, `[rows, cols]`.
        matrix: Box<QMatMul>,
    },
}

impl Part {
    /// From the bytes of a GGUF's tensor: row `i` here is row `order[i]` there.
    ///
    /// # Errors
    /// If candle can't read the kind, or the bytes are too few.
    pub(super) fn read(kind: GgmlDType, cols: usize, bytes: &[u8], order: &[usize]) -> Result<Self> {
        let rows = order.len();
        let row_bytes = cols / kind.block_size() * kind.type_size();
        if !cols.is_multiple_of(kind.block_size()) || bytes.len() != rows * row_bytes {
            candle_core::bail!("{} bytes are no {rows}×{cols} matrix of kind {kind:?}", bytes.len());
        }
        let row = |i: usize| &bytes[order[i] * row_bytes..][..row_bytes];
        if let Some(tiles) = Tiles::read(kind, cols, rows, row) {
            return Ok(Self::Tiles(tiles));
        }
        let ordered: Vec<u8> = (0..rows).flat_map(|i| row(i).iter().copied()).collect();
        let tensor = QTensor::new(QStorage::from_data(ordered.into(), &Device::Cpu, kind)?, (rows, cols))?;
        if matches!(kind, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) {
            let numbers = tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?;
            return Ok(Self::Dense(Matrix::new(rows, cols, numbers)));
        }
        Ok(Self::Candle { rows, cols, matrix: Box::new(QMatMul::from_qtensor(tensor)?) })
    }

    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Tiles(tiles) => (tiles.rows(), tiles.cols()),
            Self::Dense(matrix) => (matrix.rows(), matrix.cols()),
            Self::Candle { rows, cols, .. } => (*rows, *cols),
        }
    }

    /// How many tiles it is computed in.
    fn tiles(&self) -> usize {
        match self {
            Self::Candle { .. } => 0,
            part => part.shape().0.div_ceil(ROWS),
        }
    }

    /// Outputs `[tokens][ROWS]` of one tile.
    fn tile(&self, tile: usize, input: &Input<'_>, out: &mut [[f32; ROWS]]) {
        match self {
            Self::Tiles(tiles) => tiles.product(tile, &input.activations, out),
            Self::Dense(matrix) => {
                let rows = tile * ROWS..matrix.rows().min((tile + 1) * ROWS);
                for (token, out) in out.iter_mut().enumerate() {
                    dots(&matrix.data()[rows.start * matrix.cols()..], input.dense.row(token), &mut out[..rows.len()]);
                }
            }
            Self::Candle { .. } => {}
        }
    }

    fn row(&self, row: usize) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Tiles(tiles) => tiles.row(row),
            Self::Dense(matrix) => matrix.row(row).to_vec(),
            Self::Candle { matrix, .. } => {
                let row = Tensor::new(&[row as u32], &Device::Cpu)?;
                matrix.embedding(&row)?.flatten_all()?.to_vec1()?
            }
        })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Tiles(tiles) => tiles.bytes(),
            Self::Dense(matrix) => 4 * matrix.data().len(),
            Self::Candle { matrix, .. } => match matrix.as_ref() {
                QMatMul::QTensor(tensor) => tensor.storage_size_in_bytes(),
                QMatMul::Tensor(tensor) | QMatMul::TensorF16(tensor) => {
                    tensor.elem_count() * tensor.dtype().size_in_bytes()
                }
            },
        }
    }
}

/// What goes into a linear map, `[tokens, in]`.
struct Input<'a> {
    dense: &'a Matrix,
    /// The same in 8 bits; empty where no part asks for it.
    activations: Activations,
}

impl Linear {
    /// Parts of one width, one below the other.
    pub(super) fn new(parts: Vec<Part>) -> Self {
        let cols = parts.first().map_or(0, |part| part.shape().1);
        let rows = parts.iter().map(|part| part.shape().0).sum();
        Self { parts, rows, cols }
    }

    /// Outputs.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// One row as f32: of an embedding.
    ///
    /// # Errors
    /// If candle fails.
    pub(super) fn row(&self, row: usize) -> Result<Vec<f32>> {
        let mut row = row;
        for part in &self.parts {
            let (rows, _) = part.shape();
            if row < rows {
                return part.row(row);
            }
            row -= rows;
        }
        candle_core::bail!("a matrix of {} rows has no row {row}", self.rows)
    }

    /// `x · wᵀ`: `[tokens, in]` to `[tokens, out]`.
    ///
    /// # Errors
    /// If candle fails.
    pub(super) fn product(&self, x: &Matrix) -> Result<Matrix> {
        let tokens = x.rows();
        let mut out = Matrix::zeros(tokens, self.rows);
        let quantised = self.parts.iter().any(|part| matches!(part, Part::Tiles(_)));
        let activations = if quantised { Activations::of(x) } else { Activations::default() };
        let input = Input { dense: x, activations };

        let count: usize = self.parts.iter().map(Part::tiles).sum();
        let mut tiles = vec![[0.0; ROWS]; count * tokens];
        let pieces = match count * ROWS * tokens * self.cols {
            small if small < PRODUCTS_MIN => 1,
            _ => rayon::current_num_threads() * PIECES_PER_THREAD,
        };
        let per_piece = count.div_ceil(pieces).max(1);
        tiles.par_chunks_mut(per_piece * tokens).enumerate().for_each(|(piece, out)| {
            for (tile, out) in (piece * per_piece..).zip(out.chunks_exact_mut(tokens)) {
                let (part, tile) = self.find(tile);
                part.tile(tile, &input, out);
            }
        });

        let (mut start, mut tile) = (0, 0);
        for part in &self.parts {
            let (rows, _) = part.shape();
            if let Part::Candle { matrix, .. } = part {
                self.candle_product(matrix, x, start, &mut out)?;
            }
            for first in (0..part.tiles()).map(|i| i * ROWS) {
                let width = ROWS.min(rows - first);
                for token in 0..tokens {
                    let from = &tiles[tile * tokens + token][..width];
                    out.data_mut()[token * self.rows + start + first..][..width].copy_from_slice(from);
                }
                tile += 1;
            }
            start += rows;
        }
        Ok(out)
    }

    fn candle_product(&self, matrix: &QMatMul, x: &Matrix, start: usize, out: &mut Matrix) -> Result<()> {
        let x = Tensor::from_slice(x.data(), (x.rows(), x.cols()), &Device::Cpu)?;
        let y = matrix.forward(&x)?;
        let (_, width) = y.dims2()?;
        let y: Vec<f32> = y.flatten_all()?.to_vec1()?;
        for (token, y) in y.chunks_exact(width).enumerate() {
            out.data_mut()[token * self.rows + start..][..width].copy_from_slice(y);
        }
        Ok(())
    }

    /// The part of a tile, and its place in it.
    fn find(&self, tile: usize) -> (&Part, usize) {
        let mut tile = tile;
        for part in &self.parts {
            if tile < part.tiles() {
                return (part, tile);
            }
            tile -= part.tiles();
        }
        unreachable!("there are only so many tiles as the parts have")
    }
}

/// The products of `x` with the first rows of a row-major matrix of its width.
pub(super) fn dots(rows: &[f32], x: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if x86::has_avx2() {
        return x86::dots(rows, x, out);
    }
    dots_here(rows, x, out);
}

#[inline(always)]
fn dots_here(rows: &[f32], x: &[f32], out: &mut [f32]) {
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(x.len())) {
        *out = dot(row, x);
    }
}

/// A dot product in 32 interleaved sums: an order that vector units of any width can follow, so that each gives the
/// same bits.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b[..a.len()].as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a_whole.iter().zip(b_whole) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[i] += a * b;
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The processor's kernels that products use here, for the record: `avx512`, `avx2` or `portable`.
pub(super) fn kernels() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx512() {
            return "avx512";
        }
        if x86::has_avx2() {
            return "avx2";
        }
    }
    "portable"
}

/// Runs `attend` (see [`super::network`]) with the widest vectors that this processor has.
pub(super) fn widest<A>(arguments: A, run: impl Fn(A)) {
    #[cfg(target_arch = "x86_64")]
    if x86::has_avx2() {
        return x86::widest(arguments, run);
    }
    run(arguments);
}

#[cfg(test)]
mod tests;
