//! A frozen linear map with low-rank adapters on some of its outputs (Hu and others, "LoRA", 2021).

use candle_core::Result;

use super::{array::Array, matrix::Matrix};

/// The adapters of one [`forward`]: `y += scale · (x · aᵢᵀ) · bᵢᵀ` on the outputs of each part.
#[derive(Clone, Debug)]
pub(crate) struct LowRank<A = Matrix> {
    /// `[parts * rank, in]`: the parts' `a`, one below the other, so that one product serves all.
    pub(crate) a: A,
    pub(crate) parts: Vec<Part<A>>,
    pub(crate) rank: usize,
    /// `alpha / rank`.
    pub(crate) scale: f32,
}

/// The adapter of some adjacent outputs.
#[derive(Clone, Debug)]
pub(crate) struct Part<A = Matrix> {
    /// The first output that it touches.
    pub(crate) start: usize,
    /// `[outputs, rank]`.
    pub(crate) b: A,
}

impl<A: Array> LowRank<A> {
    /// Each matrix by another of its shape.
    pub(crate) fn map<B>(&self, mut to: impl FnMut(&A) -> Result<B>) -> Result<LowRank<B>> {
        let a = to(&self.a)?;
        let parts = self.parts.iter().map(|part| Ok(Part { start: part.start, b: to(&part.b)? }));
        Ok(LowRank { a, parts: parts.collect::<Result<_>>()?, rank: self.rank, scale: self.scale })
    }

    /// Its matrices, in a fixed order.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &A> {
        std::iter::once(&self.a).chain(self.parts.iter().map(|part| &part.b))
    }

    /// As [`LowRank::matrices`].
    pub(crate) fn matrices_mut(&mut self) -> impl Iterator<Item = &mut A> {
        std::iter::once(&mut self.a).chain(self.parts.iter_mut().map(|part| &mut part.b))
    }
}

/// `x · wᵀ` and the adapters: `[tokens, in]` to `[tokens, out]`; `weight` is `[out, in]`.
pub(crate) fn forward<A: Array>(x: &A, weight: &A, adapter: Option<&LowRank<A>>) -> Result<A> {
    let mut y = A::product_transposed(x.all()?, weight.all()?)?;
    if let Some(adapter) = adapter {
        let low = A::product_transposed(x.all()?, adapter.a.all()?)?;
        for (i, part) in adapter.parts.iter().enumerate() {
            let low = low.columns(i * adapter.rank, adapter.rank)?;
            y.add_to_columns(part.start, &A::product_transposed(low, part.b.all()?)?, adapter.scale)?;
        }
    }
    Ok(y)
}

/// The gradient of [`forward`] for `x`, given `grad` `[tokens, out]`; adds the adapters' own
/// gradients to `into`. The frozen weight's gradient is never computed.
pub(crate) fn backward<A: Array>(
    x: &A,
    weight: &A,
    adapter: Option<(&LowRank<A>, &mut LowRank<A>)>,
    grad: &A,
) -> Result<A> {
    let mut d_x = A::product(grad.all()?, weight.all()?)?;
    let Some((adapter, into)) = adapter else { return Ok(d_x) };

    let low = A::product_transposed(x.all()?, adapter.a.all()?)?;
    let mut d_low = x.zeros(x.rows(), adapter.a.rows())?;
    for (i, (part, into)) in adapter.parts.iter().zip(&mut into.parts).enumerate() {
        let of_part = || grad.columns(part.start, part.b.rows());
        let low = low.columns(i * adapter.rank, adapter.rank)?;
        into.b.add_scaled(&A::transposed_product(of_part()?, low)?, adapter.scale)?;
        d_low.add_to_columns(i * adapter.rank, &A::product(of_part()?, part.b.all()?)?, adapter.scale)?;
    }
    into.a.add_scaled(&A::transposed_product(d_low.all()?, x.all()?)?, 1.0)?;
    d_x.add_scaled(&A::product(d_low.all()?, adapter.a.all()?)?, 1.0)?;
    Ok(d_x)
}
