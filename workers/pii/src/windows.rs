//! Reading a long text in parts.

use std::ops::Range;

/// A longer text is read in windows of so many bytes, which overlap by so many.
const WINDOW_BYTES: usize = 1 << 19;
const OVERLAP_BYTES: usize = 1 << 13;

/// A long text in windows that overlap, each with the part in which its claims begin. What a window's edge cuts off
/// lies whole in the next one.
pub(crate) fn windows(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut windows = Vec::new();
    let (mut start, mut own) = (0usize, 0);
    loop {
        let end = text.floor_char_boundary(start.saturating_add(WINDOW_BYTES));
        if end >= text.len() {
            windows.push((start..text.len(), own..text.len()));
            return windows;
        }
        let next_own = end - OVERLAP_BYTES / 2;
        windows.push((start..end, own..next_own));
        own = next_own;
        start = text.ceil_char_boundary(end - OVERLAP_BYTES);
    }
}
