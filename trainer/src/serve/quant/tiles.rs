//! Quantised weights, 16 rows interleaved, so that one vector instruction serves all of them.
//!
//! A GGUF's block (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, `ggml-common.h`) is 32 numbers of a row:
//!
//! ```text
//! Q4_0   d (f16) ‖ 16 bytes            number = d · (nibble − 8)
//! Q4_1   d (f16) ‖ m (f16) ‖ 16 bytes  number = d · nibble + m
//! Q8_0   d (f16) ‖ 32 signed bytes     number = d · byte
//! ```
//! Byte `i` of four-bit blocks holds number `i` in its lower half and number `i + 16` in its upper. Here, for each block
//! of 16 rows, the rows' first four bytes stand one after the other, then their second four, and so on; bytes of Q8_0
//! are moved up by 128, as the processor multiplies unsigned by signed ones. Scales stand apart.
//!
//! With x rounded to `s · byte` a block's share is `d · s · Σ quant · byte + m · s · Σ byte`, whose sums are whole numbers.

use candle_core::quantized::GgmlDType;
use half::f16;

use super::activations::{Activations, Row};
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Rows of a tile.
pub(in crate::serve) const ROWS: usize = 16;
/// Numbers that share a scale.
pub(super) const BLOCK: usize = 32;
/// Bytes of a vector: four of each row.
pub(super) const VECTOR: usize = 4 * ROWS;

/// How many bits a weight has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    Four,
    Eight,
}

/// A quantised matrix.
#[derive(Debug)]
pub(in crate::serve) struct Tiles {
    rows: usize,
    cols: usize,
    pub(super) bits: Bits,
    /// What is added to each stored number: −8, 0 or −128.
    pub(super) bias: i32,
    /// `[tiles, blocks, 4 or 8 vectors]`.
    quants: Vec<[u8; VECTOR]>,
    /// `[tiles, blocks]`, as f16.
    scales: Vec<[u16; ROWS]>,
    /// `[tiles, blocks]`, as f16; empty where all are zero.
    mins: Vec<[u16; ROWS]>,
}

/// One block of a tile.
pub(super) struct Block<'a> {
    pub(super) vectors: &'a [[u8; VECTOR]],
    pub(super) scales: &'a [u16; ROWS],
    pub(super) mins: Option<&'a [u16; ROWS]>,
}

impl Tiles {
    /// From rows of a GGUF's tensor; nothing where its kind isn't one of ours.
    pub(super) fn read<'a>(kind: GgmlDType, cols: usize, rows: usize, row: impl Fn(usize) -> &'a [u8]) -> Option<Self> {
        let (bits, bias, head) = match kind {
            GgmlDType::Q4_0 => (Bits::Four, -8, 2),
            GgmlDType::Q4_1 => (Bits::Four, 0, 4),
            GgmlDType::Q8_0 => (Bits::Eight, -128, 2),
            _ => return None,
        };
        let (blocks, vectors) = (cols / BLOCK, vectors(bits));
        let (count, block_bytes) = (rows.div_ceil(ROWS) * blocks, kind.type_size());
        let mut tiles = Self {
            rows,
            cols,
            bits,
            bias,
            quants: vec![[0; VECTOR]; count * vectors],
            scales: vec![[0; ROWS]; count],
            mins: if head == 4 { vec![[0; ROWS]; count] } else { Vec::new() },
        };
        for i in 0..rows {
            let (tile, place) = (i / ROWS, i % ROWS);
            for (b, bytes) in row(i).chunks_exact(block_bytes).enumerate() {
                let at = tile * blocks + b;
                tiles.scales[at][place] = u16::from_le_bytes([bytes[0], bytes[1]]);
                if head == 4 {
                    tiles.mins[at][place] = u16::from_le_bytes([bytes[2], bytes[3]]);
                }
                for (v, four) in bytes[head..].as_chunks::<4>().0.iter().enumerate() {
                    let four = if bits == Bits::Eight { four.map(|byte| byte ^ 0x80) } else { *four };
                    tiles.quants[at * vectors + v][4 * place..][..4].copy_from_slice(&four);
                }
            }
        }
        Some(tiles)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn bytes(&self) -> usize {
        self.quants.len() * VECTOR + (self.scales.len() + self.mins.len()) * 2 * ROWS
    }

    /// The blocks of a tile, in order.
    #[inline(always)]
    pub(super) fn blocks(&self, tile: usize) -> impl Iterator<Item = Block<'_>> {
        let (blocks, vectors) = (self.cols / BLOCK, vectors(self.bits));
        let range = tile * blocks..(tile + 1) * blocks;
        let scales = &self.scales[range.clone()];
        let mins = if self.mins.is_empty() { &[] } else { &self.mins[range.clone()] };
        let quants = &self.quants[range.start * vectors..range.end * vectors];
        let parts = quants.chunks_exact(vectors).zip(scales).enumerate();
        parts.map(move |(b, (vectors, scales))| Block { vectors, scales, mins: mins.get(b) })
    }

    /// A row as f32.
    pub(super) fn row(&self, row: usize) -> Vec<f32> {
        let (tile, place) = (row / ROWS, row % ROWS);
        let mut numbers = Vec::with_capacity(self.cols);
        for block in self.blocks(tile) {
            let scale = f16::from_bits(block.scales[place]).to_f32();
            let min = block.mins.map_or(0.0, |mins| f16::from_bits(mins[place]).to_f32());
            numbers.extend(self.stored(&block, place).map(|stored| scale * (stored + self.bias) as f32 + min));
        }
        numbers
    }

    /// The products of a tile's rows with each row of `x`: `[tokens][ROWS]`. Rows past the end are of no meaning.
    pub(super) fn product(&self, tile: usize, x: &Activations, out: &mut [[f32; ROWS]]) {
        #[cfg(target_arch = "x86_64")]
        if x86::has_avx2() {
            return x86::product(self, tile, x, out);
        }
        self.product_portable(tile, x, out);
    }

    /// The same without vector instructions, to the bit.
    pub(super) fn product_portable(&self, tile: usize, x: &Activations, out: &mut [[f32; ROWS]]) {
        for (token, out) in out.iter_mut().enumerate() {
            *out = [0.0; ROWS];
            let x = x.row(token);
            for (b, block) in self.blocks(tile).enumerate() {
                self.add_block(&block, x, b, out);
            }
        }
    }

    fn add_block(&self, block: &Block<'_>, x: Row<'_>, b: usize, out: &mut [f32; ROWS]) {
        let bytes = x.words[b].map(i32::to_le_bytes);
        let bytes = bytes.as_flattened();
        for (place, out) in out.iter_mut().enumerate() {
            let products = self.stored(block, place).zip(bytes).map(|(stored, byte)| stored * i32::from(*byte as i8));
            let sum = products.sum::<i32>() + self.bias * x.sums[b];
            let scale = f16::from_bits(block.scales[place]).to_f32() * x.scales[b];
            *out = (sum as f32).mul_add(scale, *out);
            if let Some(mins) = block.mins {
                *out = f16::from_bits(mins[place]).to_f32().mul_add(x.scales[b] * x.sums[b] as f32, *out);
            }
        }
    }

    /// The stored numbers of one row of a block, in order.
    fn stored(&self, block: &Block<'_>, place: usize) -> impl Iterator<Item = i32> {
        let (vectors, bits) = (block.vectors, self.bits);
        (0..BLOCK).map(move |i| {
            let byte = |i: usize| vectors[i / 4][4 * place + i % 4];
            i32::from(match bits {
                Bits::Eight => byte(i),
                Bits::Four if i < BLOCK / 2 => byte(i) & 0x0F,
                Bits::Four => byte(i - BLOCK / 2) >> 4,
            })
        })
    }
}

fn vectors(bits: Bits) -> usize {
    match bits {
        Bits::Four => 4,
        Bits::Eight => 8,
    }
}
