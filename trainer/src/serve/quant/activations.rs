//! What goes into a product with quantised weights: rows of numbers in 8 bits, 32 by 32 under a scale of their own.

use super::tiles::BLOCK;
use crate::nn::matrix::Matrix;

/// Rows rounded to 8 bits.
#[derive(Debug, Default)]
pub(super) struct Activations {
    /// Blocks a row.
    blocks: usize,
    /// Four numbers a word, the first in its lowest byte: `[rows, blocks, 8]`.
    words: Vec<[i32; BLOCK / 4]>,
    /// `[rows, blocks]`.
    scales: Vec<f32>,
    /// The sum of each block's rounded numbers, `[rows, blocks]`.
    sums: Vec<i32>,
}

/// One row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) words: &'a [[i32; BLOCK / 4]],
    pub(super) scales: &'a [f32],
    pub(super) sums: &'a [i32],
}

impl Activations {
    /// Rounds each block to whole multiples of a 127th of its largest number.
    pub(super) fn of(x: &Matrix) -> Self {
        let blocks = x.cols() / BLOCK;
        let mut rounded = Self {
            blocks,
            words: Vec::with_capacity(x.rows() * blocks),
            scales: Vec::with_capacity(x.rows() * blocks),
            sums: Vec::with_capacity(x.rows() * blocks),
        };
        for block in x.data().as_chunks::<BLOCK>().0 {
            rounded.push(block);
        }
        rounded
    }

    fn push(&mut self, block: &[f32; BLOCK]) {
        /// Adding and subtracting it rounds to the nearest integer.
        const ROUNDER: f32 = 12_582_912.0;

        let highest = block.iter().fold(0.0f32, |highest, x| highest.max(x.abs()));
        let scale = highest / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let (mut words, mut sum) = ([0; BLOCK / 4], 0);
        for (word, four) in words.iter_mut().zip(block.as_chunks::<4>().0) {
            let bytes = four.map(|x| (((x * inverse) + ROUNDER) - ROUNDER).clamp(-127.0, 127.0) as i8);
            sum += bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>();
            *word = i32::from_le_bytes(bytes.map(|byte| byte as u8));
        }
        self.words.push(words);
        self.scales.push(scale);
        self.sums.push(sum);
    }

    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let range = row * self.blocks..(row + 1) * self.blocks;
        Row { words: &self.words[range.clone()], scales: &self.scales[range.clone()], sums: &self.sums[range] }
    }
}
