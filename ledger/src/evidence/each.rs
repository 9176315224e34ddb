//! The same for each of many, on all processors where there are threads.

/// What each becomes, in order.
#[cfg(feature = "store")]
pub fn each<T: Sync, R: Send>(items: &[T], of: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    use rayon::prelude::*;
    items.par_iter().with_min_len(256).map(of).collect()
}

/// What each becomes, in order.
#[cfg(not(feature = "store"))]
pub fn each<T, R>(items: &[T], of: impl Fn(&T) -> R) -> Vec<R> {
    items.iter().map(of).collect()
}
