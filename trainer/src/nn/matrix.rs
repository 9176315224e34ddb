//! A row-major f32 matrix; products by candle's CPU backend.

use candle_core::{CpuStorage, Layout, backend::BackendStorage};

/// `rows × cols` numbers, row-major.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    rows: usize,
    cols: usize,
    /// Always `CpuStorage::F32` with `rows * cols` numbers.
    storage: CpuStorage,
}

/// Some adjacent columns of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    matrix: &'a Matrix,
    start: usize,
    len: usize,
}

impl Matrix {
    /// # Panics
    /// If `data` doesn't hold `rows * cols` numbers: shapes are checked where files are read.
    pub(crate) fn new(rows: usize, cols: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows}×{cols} matrix");
        Self { rows, cols, storage: CpuStorage::F32(data) }
    }

    pub(crate) fn zeros(rows: usize, cols: usize) -> Self {
        Self::new(rows, cols, vec![0.0; rows * cols])
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn data(&self) -> &[f32] {
        match &self.storage {
            CpuStorage::F32(data) => data,
            _ => unreachable!("a matrix is made from f32 only"),
        }
    }

    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        match &mut self.storage {
            CpuStorage::F32(data) => data,
            _ => unreachable!("a matrix is made from f32 only"),
        }
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data()[row * self.cols..][..self.cols]
    }

    /// The rows named by `indices`, in that order.
    pub(crate) fn gather_rows(&self, indices: impl ExactSizeIterator<Item = usize>) -> Self {
        let rows = indices.len();
        let mut data = Vec::with_capacity(rows * self.cols);
        indices.for_each(|row| data.extend_from_slice(self.row(row)));
        Self::new(rows, self.cols, data)
    }

    pub(crate) fn columns(&self, start: usize, len: usize) -> Columns<'_> {
        Columns { matrix: self, start, len }
    }

    /// `self += scale * other`, element by element.
    pub(crate) fn add_scaled(&mut self, other: &Self, scale: f32) {
        debug_assert_eq!((self.rows, self.cols), (other.rows, other.cols));
        for (to, from) in self.data_mut().iter_mut().zip(other.data()) {
            *to += scale * from;
        }
    }

    /// Adds `scale * other` to the columns from `start` on.
    pub(crate) fn add_to_columns(&mut self, start: usize, other: &Self, scale: f32) {
        let cols = self.cols;
        for (row, from) in other.data().chunks_exact(other.cols).enumerate() {
            let to = &mut self.data_mut()[row * cols + start..][..other.cols];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += scale * from);
        }
    }
}

impl Columns<'_> {
    fn layout(&self) -> Layout {
        Layout::new((self.matrix.rows, self.len).into(), vec![self.matrix.cols, 1], self.start)
    }

    fn transposed(&self) -> Layout {
        Layout::new((self.len, self.matrix.rows).into(), vec![1, self.matrix.cols], self.start)
    }
}

/// `a · b`: `[m, k] · [k, n]`.
pub(crate) fn product(a: Columns<'_>, b: Columns<'_>) -> Matrix {
    multiply(a, a.layout(), b, b.layout())
}

/// `a · bᵀ`: `[m, k] · [n, k]ᵀ`.
pub(crate) fn product_transposed(a: Columns<'_>, b: Columns<'_>) -> Matrix {
    multiply(a, a.layout(), b, b.transposed())
}

/// `aᵀ · b`: `[k, m]ᵀ · [k, n]`.
pub(crate) fn transposed_product(a: Columns<'_>, b: Columns<'_>) -> Matrix {
    multiply(a, a.transposed(), b, b.layout())
}

fn multiply(a: Columns<'_>, a_layout: Layout, b: Columns<'_>, b_layout: Layout) -> Matrix {
    let (m, k) = (a_layout.dims()[0], a_layout.dims()[1]);
    let n = b_layout.dims()[1];
    assert_eq!(b_layout.dims()[0], k, "the inner dimensions of a product");
    if m == 0 || n == 0 || k == 0 {
        return Matrix::zeros(m, n);
    }
    let storage = a
        .matrix
        .storage
        .matmul(&b.matrix.storage, (1, m, n, k), &a_layout, &b_layout)
        .expect("a product of two f32 matrices whose shapes agree can't fail");
    Matrix { rows: m, cols: n, storage }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(matrix: &Matrix) -> Columns<'_> {
        matrix.columns(0, matrix.cols())
    }

    #[test]
    fn the_three_products_agree_with_a_sum_by_hand() {
        let a = Matrix::new(2, 3, vec![1., 2., 3., 4., 5., 6.]);
        let b = Matrix::new(3, 2, vec![1., 0., 2., 1., 0., 3.]);
        assert_eq!(product(all(&a), all(&b)).data(), [5., 11., 14., 23.]);
        assert_eq!(product_transposed(all(&a), all(&a)).data(), [14., 32., 32., 77.]);
        assert_eq!(transposed_product(all(&b), all(&b)).data(), [5., 2., 2., 10.]);
        assert_eq!(product(a.columns(1, 2), all(&b.gather_rows([1, 2].into_iter()))).data(), [4., 11., 10., 23.]);
    }
}
