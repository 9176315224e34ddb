//! The arithmetic of a Llama-family network: matrices, fused layers with their own backward
//! passes, and the network built from them.
//!
//! Activations are `[tokens, width]` in f32. The sequences of a batch lie one after the other
//! without padding; only attention looks at where each begins ([`attention::Segments`]).
//! On the host matrix products go through candle's CPU kernels (`gemm`); everything else is written
//! here, as loops whose order of additions is fixed, so that a result depends on neither the number of
//! threads nor the width of the vector unit. On a card all is candle's ([`composed`]). The network
//! is the same one on both ([`array::Array`]).

pub(crate) mod array;
pub(crate) mod attention;
mod composed;
pub(crate) mod elementwise;
pub(crate) mod linear;
pub(crate) mod loss;
pub(crate) mod matrix;
pub(crate) mod network;

#[cfg(test)]
mod tests;
