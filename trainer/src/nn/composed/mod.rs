//! The network's arithmetic in candle's operations, for a device of candle's. Gradients are those of the fused layers,
//! written out: nothing is recorded by candle, and no gradient is made that nobody asks for.
//!
//! The same operations run on candle's CPU, which is how they are tested against the fused layers. On a card they keep
//! to what its backend asks for: products of matrices whose rows or columns lie one after the other, sums in a fixed
//! order (no row is ever written twice).

mod attention;
#[cfg(test)]
mod tests;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm, sigmoid, softmax_last_dim};

use super::{
    array::{Array, Descent},
    attention::{Heads, Rotary, Segments},
    matrix::Matrix,
    network::{LayerWeights, Weights},
};
use attention::{Held, Plan};

impl Weights {
    /// A copy on a device of candle's.
    pub(crate) fn on(&self, device: &Device) -> Result<Weights<Tensor>> {
        let matrix = |matrix: &Matrix| tensor(matrix, device);
        let row = |row: &[f32]| Tensor::from_slice(row, row.len(), device);
        let layers = self.layers.iter().map(|layer| {
            Ok(LayerWeights {
                attention_norm: row(&layer.attention_norm)?,
                qkv: matrix(&layer.qkv)?,
                o: matrix(&layer.o)?,
                mlp_norm: row(&layer.mlp_norm)?,
                gate_up: matrix(&layer.gate_up)?,
                down: matrix(&layer.down)?,
            })
        });
        Ok(Weights {
            embedding: matrix(&self.embedding)?,
            layers: layers.collect::<Result<_>>()?,
            norm: row(&self.norm)?,
            output: self.output.as_ref().map(matrix).transpose()?,
            heads: self.heads,
            rotary: self.rotary.clone(),
            eps: self.eps,
        })
    }
}

impl Array for Tensor {
    type Columns<'a> = Tensor;
    type Row = Tensor;
    type Plan = Plan;
    type KeyValues = Held;

    fn rows(&self) -> usize {
        self.dims()[0]
    }

    fn cols(&self) -> usize {
        self.dims()[1]
    }

    fn bring(&self, host: &Matrix) -> Result<Self> {
        tensor(host, self.device())
    }

    fn to_host(&self) -> Result<Matrix> {
        Ok(Matrix::new(self.rows(), self.cols(), self.flatten_all()?.to_vec1()?))
    }

    fn zeros(&self, rows: usize, cols: usize) -> Result<Self> {
        Tensor::zeros((rows, cols), DType::F32, self.device())
    }

    fn columns(&self, start: usize, len: usize) -> Result<Tensor> {
        self.narrow(1, start, len)?.contiguous()
    }

    fn product(a: Tensor, b: Tensor) -> Result<Self> {
        product(&a, &b)
    }

    fn product_transposed(a: Tensor, b: Tensor) -> Result<Self> {
        product(&a, &b.t()?)
    }

    fn transposed_product(a: Tensor, b: Tensor) -> Result<Self> {
        product(&a.t()?, &b)
    }

    fn add_scaled(&mut self, other: &Self, scale: f32) -> Result<()> {
        *self = (&*self + scaled(other, scale)?)?;
        Ok(())
    }

    fn add_to_columns(&mut self, start: usize, other: &Self, scale: f32) -> Result<()> {
        let sum = (self.narrow(1, start, other.cols())? + scaled(other, scale)?)?;
        self.slice_set(&sum, 1, start)
    }

    fn gather_rows(&self, rows: &[usize]) -> Result<Self> {
        self.index_select(&indices(rows, self.device())?, 0)
    }

    fn scatter_rows(&self, rows: &[usize], height: usize) -> Result<Self> {
        self.zeros(height, self.cols())?.index_add(&indices(rows, self.device())?, self, 0)
    }

    fn rms_norm(&self, weight: &Tensor, eps: f32) -> Result<Self> {
        rms_norm(self, weight, eps)
    }

    fn add_rms_norm_gradient(&mut self, x: &Self, weight: &Tensor, eps: f32, grad: &Self) -> Result<()> {
        let width = x.cols() as f64;
        let scale = ((x.sqr()?.sum_keepdim(1)? / width)? + f64::from(eps))?.sqrt()?.recip()?;
        let grad = grad.broadcast_mul(weight)?;
        let cube = (scale.sqr()? * &scale)?;
        let pull = (((x * &grad)?.sum_keepdim(1)? * cube)? / width)?;
        *self = ((&*self + grad.broadcast_mul(&scale)?)? - x.broadcast_mul(&pull)?)?;
        Ok(())
    }

    fn swiglu(&self) -> Result<Self> {
        let width = self.cols() / 2;
        self.narrow(1, 0, width)?.silu()? * self.narrow(1, width, width)?
    }

    fn swiglu_gradient(&self, grad: &Self) -> Result<Self> {
        let width = grad.cols();
        let (gate, up) = (self.columns(0, width)?, self.columns(width, width)?);
        let open = sigmoid(&gate)?;
        let d_open = (grad * &open)?;
        let bend = ((&gate * (1.0 - &open)?)? + 1.0)?;
        Tensor::cat(&[((&d_open * up)? * bend)?, (d_open * gate)?], 1)?.contiguous()
    }

    fn plan(&self, rotary: &Rotary, segments: &Segments, positions: Vec<usize>) -> Result<Plan> {
        Plan::new(rotary, segments, &positions, self.device())
    }

    fn turn(&mut self, _: &Rotary, heads: Heads, plan: &Plan) -> Result<()> {
        plan.rotate(self, heads, 1.0)
    }

    fn turn_back(&mut self, _: &Rotary, heads: Heads, plan: &Plan) -> Result<()> {
        plan.rotate(self, heads, -1.0)
    }

    fn attend(&self, heads: Heads, plan: &Plan) -> Result<Self> {
        plan.attend(self, heads)
    }

    fn attend_gradient(&self, heads: Heads, plan: &Plan, grad: &Self) -> Result<Self> {
        plan.attend_gradient(self, heads, grad)
    }

    fn key_values(&self, heads: Heads, plan: &Plan) -> Result<Held> {
        plan.held(self, heads)
    }

    fn extend(&self, heads: Heads, held: &mut Held) -> Result<()> {
        held.extend(self, heads)
    }

    fn keep(held: &mut Held, sequences: &[usize]) -> Result<()> {
        held.keep(sequences)
    }

    fn attend_cached(&self, heads: Heads, held: &Held) -> Result<Self> {
        held.attend(self, heads)
    }

    fn cross_entropy(&mut self, targets: &[u32]) -> Result<f64> {
        let count = targets.len();
        let targets = Tensor::from_slice(targets, (count, 1), self.device())?;
        let above = self.broadcast_sub(&self.max_keepdim(D::Minus1)?)?;
        let totals = above.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let losses: Vec<f32> = (totals - above.gather(&targets, 1)?)?.flatten_all()?.to_vec1()?;

        let share = 1.0 / count as f64;
        let taken = Tensor::full(-share as f32, (count, 1), self.device())?;
        *self = (softmax_last_dim(self)? * share)?.scatter_add(&targets, &taken, 1)?;
        Ok(losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() * share)
    }

    fn descend(&mut self, gradient: &Self, first: &mut Self, second: &mut Self, descent: Descent) -> Result<()> {
        let blend = |moment: &Tensor, new: &Tensor, beta: f32| -> Result<Tensor> {
            scaled(moment, beta)? + scaled(new, 1.0 - beta)?
        };
        *first = blend(first, gradient, Descent::BETA_1)?;
        *second = blend(second, &gradient.sqr()?, Descent::BETA_2)?;
        let spread = (scaled(second, descent.correct_second)?.sqrt()? + f64::from(Descent::EPSILON))?;
        *self = (scaled(self, descent.keep)? - (scaled(first, descent.scale)? / spread)?)?;
        Ok(())
    }
}

/// A product of matrices, or of as many matrices in pairs.
fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    #[cfg(test)]
    for (name, operand) in [("left", a), ("right", b)] {
        assert!(tests::a_card_multiplies(operand), "the {name} side of a product: {:?}", operand.layout());
    }
    a.matmul(b)
}

fn scaled(tensor: &Tensor, scale: f32) -> Result<Tensor> {
    if scale == 1.0 { Ok(tensor.clone()) } else { tensor * f64::from(scale) }
}

fn tensor(matrix: &Matrix, device: &Device) -> Result<Tensor> {
    Tensor::from_slice(matrix.data(), (matrix.rows(), matrix.cols()), device)
}

fn indices(rows: &[usize], device: &Device) -> Result<Tensor> {
    let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
    let count = rows.len();
    Tensor::from_vec(rows, count, device)
}
