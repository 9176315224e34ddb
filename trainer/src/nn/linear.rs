//! A frozen linear map with low-rank adapters on some of its outputs (Hu and others, "LoRA", 2021).

use super::matrix::{Matrix, product, product_transposed, transposed_product};

/// The adapters of one [`forward`]: `y += scale · (x · aᵢᵀ) · bᵢᵀ` on the outputs of each part.
#[derive(Clone, Debug)]
pub(crate) struct LowRank {
    /// `[parts * rank, in]`: the parts' `a`, one below the other, so that one product serves all.
    pub(crate) a: Matrix,
    pub(crate) parts: Vec<Part>,
    pub(crate) rank: usize,
    /// `alpha / rank`.
    pub(crate) scale: f32,
}

/// The adapter of some adjacent outputs.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The first output that it touches.
    pub(crate) start: usize,
    /// `[outputs, rank]`.
    pub(crate) b: Matrix,
}

impl LowRank {
    /// One of the same shape, all zero: for gradients and the optimiser's moments.
    pub(crate) fn zeros_like(&self) -> Self {
        let zeros = |m: &Matrix| Matrix::zeros(m.rows(), m.cols());
        let parts = self.parts.iter().map(|part| Part { start: part.start, b: zeros(&part.b) }).collect();
        Self { a: zeros(&self.a), parts, ..*self }
    }

    /// Its matrices, in a fixed order.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        std::iter::once(&self.a).chain(self.parts.iter().map(|part| &part.b))
    }

    /// As [`LowRank::matrices`].
    pub(crate) fn matrices_mut(&mut self) -> impl Iterator<Item = &mut Matrix> {
        std::iter::once(&mut self.a).chain(self.parts.iter_mut().map(|part| &mut part.b))
    }
}

/// `x · wᵀ` and the adapters: `[tokens, in]` to `[tokens, out]`; `weight` is `[out, in]`.
pub(crate) fn forward(x: &Matrix, weight: &Matrix, adapter: Option<&LowRank>) -> Matrix {
    let mut y = product_transposed(x.all(), weight.all());
    if let Some(adapter) = adapter {
        let low = product_transposed(x.all(), adapter.a.all());
        for (i, part) in adapter.parts.iter().enumerate() {
            let low = low.columns(i * adapter.rank, adapter.rank);
            y.add_to_columns(part.start, &product_transposed(low, part.b.all()), adapter.scale);
        }
    }
    y
}

/// The gradient of [`forward`] for `x`, given `grad` `[tokens, out]`; adds the adapters' own
/// gradients to `into`. The frozen weight's gradient is never computed.
pub(crate) fn backward(
    x: &Matrix,
    weight: &Matrix,
    adapter: Option<(&LowRank, &mut LowRank)>,
    grad: &Matrix,
) -> Matrix {
    let mut d_x = product(grad.all(), weight.all());
    let Some((adapter, into)) = adapter else { return d_x };

    let low = product_transposed(x.all(), adapter.a.all());
    let mut d_low = Matrix::zeros(x.rows(), adapter.a.rows());
    for (i, (part, into)) in adapter.parts.iter().zip(&mut into.parts).enumerate() {
        let grad = grad.columns(part.start, part.b.rows());
        let low = low.columns(i * adapter.rank, adapter.rank);
        into.b.add_scaled(&transposed_product(grad, low), adapter.scale);
        d_low.add_to_columns(i * adapter.rank, &product(grad, part.b.all()), adapter.scale);
    }
    into.a.add_scaled(&transposed_product(d_low.all(), x.all()), 1.0);
    d_x.add_scaled(&product(d_low.all(), adapter.a.all()), 1.0);
    d_x
}
