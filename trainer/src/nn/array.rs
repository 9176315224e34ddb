//! What the network asks of its numbers. [`Matrix`] answers with the fused loops of this module's siblings, candle's
//! [`Tensor`](candle_core::Tensor) with candle's operations on its own device.

use candle_core::Result;

use super::{
    attention::{Heads, KeyValues, Rotary, Segments, attend, attend_backward, attend_cached},
    elementwise::{rms_norm, rms_norm_backward, swiglu, swiglu_backward},
    loss::cross_entropy,
    matrix::{self, Columns, Matrix},
};

/// A row-major f32 matrix, wherever it lives, with the layers of a network.
///
/// Only a device that fails, or has no memory left, makes an error of them: shapes are checked where files are read.
pub(crate) trait Array: Clone + std::fmt::Debug + Send + Sync + Sized {
    /// Some adjacent columns.
    type Columns<'a>
    where
        Self: 'a;
    /// The weight of a norm.
    type Row: std::fmt::Debug + Send + Sync;
    /// Where the tokens of a batch stand.
    type Plan: Send;
    /// Keys and values of one layer, of some sequences.
    type KeyValues: Send;

    fn rows(&self) -> usize;
    fn cols(&self) -> usize;

    /// A copy of a host's matrix, where this one lives.
    fn bring(&self, host: &Matrix) -> Result<Self>;
    /// A copy on the host.
    fn to_host(&self) -> Result<Matrix>;
    /// Zeros, where this one lives.
    fn zeros(&self, rows: usize, cols: usize) -> Result<Self>;

    fn columns(&self, start: usize, len: usize) -> Result<Self::Columns<'_>>;
    fn all(&self) -> Result<Self::Columns<'_>> {
        self.columns(0, self.cols())
    }
    /// `a · b`: `[m, k] · [k, n]`.
    fn product(a: Self::Columns<'_>, b: Self::Columns<'_>) -> Result<Self>;
    /// `a · bᵀ`: `[m, k] · [n, k]ᵀ`.
    fn product_transposed(a: Self::Columns<'_>, b: Self::Columns<'_>) -> Result<Self>;
    /// `aᵀ · b`: `[k, m]ᵀ · [k, n]`.
    fn transposed_product(a: Self::Columns<'_>, b: Self::Columns<'_>) -> Result<Self>;

    /// `self += scale * other`.
    fn add_scaled(&mut self, other: &Self, scale: f32) -> Result<()>;
    /// Adds `scale * other` to the columns from `start` on.
    fn add_to_columns(&mut self, start: usize, other: &Self, scale: f32) -> Result<()>;
    /// The rows named by `indices`, in that order.
    fn gather_rows(&self, indices: &[usize]) -> Result<Self>;
    /// `height` rows, zero but for those named by `indices`, no two of them equal.
    fn scatter_rows(&self, indices: &[usize], height: usize) -> Result<Self>;

    /// See [`rms_norm`].
    fn rms_norm(&self, weight: &Self::Row, eps: f32) -> Result<Self>;
    /// See [`rms_norm_backward`]; adds to `self`.
    fn add_rms_norm_gradient(&mut self, x: &Self, weight: &Self::Row, eps: f32, grad: &Self) -> Result<()>;
    /// See [`swiglu`].
    fn swiglu(&self) -> Result<Self>;
    /// See [`swiglu_backward`].
    fn swiglu_gradient(&self, grad: &Self) -> Result<Self>;

    /// A batch of sequences one after the other, each token at its position.
    fn plan(&self, rotary: &Rotary, segments: &Segments, positions: Vec<usize>) -> Result<Self::Plan>;
    /// Turns the query and key heads of every row to its position.
    fn turn(&mut self, rotary: &Rotary, heads: Heads, plan: &Self::Plan) -> Result<()>;
    /// Turns gradients back.
    fn turn_back(&mut self, rotary: &Rotary, heads: Heads, plan: &Self::Plan) -> Result<()>;
    /// See [`attend`].
    fn attend(&self, heads: Heads, plan: &Self::Plan) -> Result<Self>;
    /// See [`attend_backward`].
    fn attend_gradient(&self, heads: Heads, plan: &Self::Plan, grad: &Self) -> Result<Self>;

    /// The keys and values of whole sequences.
    fn key_values(&self, heads: Heads, plan: &Self::Plan) -> Result<Self::KeyValues>;
    /// Takes over the keys and values of one new token a sequence.
    fn extend(&self, heads: Heads, held: &mut Self::KeyValues) -> Result<()>;
    /// Forgets all sequences but those named, ascending.
    fn keep(held: &mut Self::KeyValues, sequences: &[usize]) -> Result<()>;
    /// See [`attend_cached`].
    fn attend_cached(&self, heads: Heads, held: &Self::KeyValues) -> Result<Self>;

    /// See [`cross_entropy`]; the logits become their own gradient.
    fn cross_entropy(&mut self, targets: &[u32]) -> Result<f64>;
    /// One step of AdamW.
    fn descend(&mut self, gradient: &Self, first: &mut Self, second: &mut Self, descent: Descent) -> Result<()>;
}

/// A step of AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) with its usual constants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descent {
    /// The learning rate over the first moment's correction.
    pub(crate) scale: f32,
    /// What corrects the second moment.
    pub(crate) correct_second: f32,
    /// The share of a parameter that weight decay leaves.
    pub(crate) keep: f32,
}

impl Descent {
    pub(crate) const BETA_1: f32 = 0.9;
    pub(crate) const BETA_2: f32 = 0.999;
    pub(crate) const EPSILON: f32 = 1e-8;

    /// Step `step`, counted from 1.
    pub(crate) fn new(rate: f64, weight_decay: f64, step: u32) -> Self {
        let correct = |beta: f32| 1.0 - f64::from(beta).powi(step as i32);
        Self {
            scale: (rate / correct(Self::BETA_1)) as f32,
            correct_second: (1.0 / correct(Self::BETA_2)) as f32,
            keep: (1.0 - rate * weight_decay) as f32,
        }
    }
}

/// Where the tokens of a batch on the host stand.
pub(crate) struct HostPlan {
    segments: Segments,
    positions: Vec<usize>,
}

impl Array for Matrix {
    type Columns<'a> = Columns<'a>;
    type Row = Vec<f32>;
    type Plan = HostPlan;
    type KeyValues = Vec<KeyValues>;

    fn rows(&self) -> usize {
        self.rows()
    }

    fn cols(&self) -> usize {
        self.cols()
    }

    fn bring(&self, host: &Matrix) -> Result<Self> {
        Ok(host.clone())
    }

    fn to_host(&self) -> Result<Matrix> {
        Ok(self.clone())
    }

    fn zeros(&self, rows: usize, cols: usize) -> Result<Self> {
        Ok(Matrix::zeros(rows, cols))
    }

    fn columns(&self, start: usize, len: usize) -> Result<Columns<'_>> {
        Ok(self.columns(start, len))
    }

    fn product(a: Columns<'_>, b: Columns<'_>) -> Result<Self> {
        Ok(matrix::product(a, b))
    }

    fn product_transposed(a: Columns<'_>, b: Columns<'_>) -> Result<Self> {
        Ok(matrix::product_transposed(a, b))
    }

    fn transposed_product(a: Columns<'_>, b: Columns<'_>) -> Result<Self> {
        Ok(matrix::transposed_product(a, b))
    }

    fn add_scaled(&mut self, other: &Self, scale: f32) -> Result<()> {
        self.add_scaled(other, scale);
        Ok(())
    }

    fn add_to_columns(&mut self, start: usize, other: &Self, scale: f32) -> Result<()> {
        self.add_to_columns(start, other, scale);
        Ok(())
    }

    fn gather_rows(&self, indices: &[usize]) -> Result<Self> {
        Ok(self.gather_rows(indices.iter().copied()))
    }

    fn scatter_rows(&self, indices: &[usize], height: usize) -> Result<Self> {
        let cols = self.cols();
        let mut out = Matrix::zeros(height, cols);
        for (i, row) in indices.iter().enumerate() {
            out.data_mut()[row * cols..][..cols].copy_from_slice(self.row(i));
        }
        Ok(out)
    }

    fn rms_norm(&self, weight: &Vec<f32>, eps: f32) -> Result<Self> {
        Ok(rms_norm(self, weight, eps))
    }

    fn add_rms_norm_gradient(&mut self, x: &Self, weight: &Vec<f32>, eps: f32, grad: &Self) -> Result<()> {
        rms_norm_backward(self, x, weight, eps, grad);
        Ok(())
    }

    fn swiglu(&self) -> Result<Self> {
        Ok(swiglu(self))
    }

    fn swiglu_gradient(&self, grad: &Self) -> Result<Self> {
        Ok(swiglu_backward(self, grad))
    }

    fn plan(&self, _: &Rotary, segments: &Segments, positions: Vec<usize>) -> Result<HostPlan> {
        Ok(HostPlan { segments: segments.clone(), positions })
    }

    fn turn(&mut self, rotary: &Rotary, heads: Heads, plan: &HostPlan) -> Result<()> {
        rotary.turn(self, heads, &plan.positions);
        Ok(())
    }

    fn turn_back(&mut self, rotary: &Rotary, heads: Heads, plan: &HostPlan) -> Result<()> {
        rotary.turn_back(self, heads, &plan.positions);
        Ok(())
    }

    fn attend(&self, heads: Heads, plan: &HostPlan) -> Result<Self> {
        Ok(attend(self, heads, &plan.segments))
    }

    fn attend_gradient(&self, heads: Heads, plan: &HostPlan, grad: &Self) -> Result<Self> {
        Ok(attend_backward(self, heads, &plan.segments, grad))
    }

    fn key_values(&self, heads: Heads, plan: &HostPlan) -> Result<Vec<KeyValues>> {
        let mut rest = self.data();
        let lengths = plan.segments.lengths().iter();
        Ok(lengths
            .map(|length| {
                let (own, after) = rest.split_at(length * self.cols());
                rest = after;
                let mut held = KeyValues::default();
                held.extend(own, heads);
                held
            })
            .collect())
    }

    fn extend(&self, heads: Heads, held: &mut Vec<KeyValues>) -> Result<()> {
        held.iter_mut().enumerate().for_each(|(row, held)| held.extend(self.row(row), heads));
        Ok(())
    }

    fn keep(held: &mut Vec<KeyValues>, sequences: &[usize]) -> Result<()> {
        let mut sequence = 0..;
        held.retain(|_| sequence.next().is_some_and(|i| sequences.contains(&i)));
        Ok(())
    }

    fn attend_cached(&self, heads: Heads, held: &Vec<KeyValues>) -> Result<Self> {
        Ok(attend_cached(self, heads, held))
    }

    fn cross_entropy(&mut self, targets: &[u32]) -> Result<f64> {
        Ok(cross_entropy(self, targets))
    }

    fn descend(&mut self, gradient: &Self, first: &mut Self, second: &mut Self, descent: Descent) -> Result<()> {
        let Descent { scale, correct_second, keep } = descent;
        let numbers = self.data_mut().iter_mut().zip(gradient.data());
        for (((p, g), m), v) in numbers.zip(first.data_mut()).zip(second.data_mut()) {
            *m = Descent::BETA_1 * *m + (1.0 - Descent::BETA_1) * g;
            *v = Descent::BETA_2 * *v + (1.0 - Descent::BETA_2) * g * g;
            *p = *p * keep - scale * *m / ((*v * correct_second).sqrt() + Descent::EPSILON);
        }
        Ok(())
    }
}
