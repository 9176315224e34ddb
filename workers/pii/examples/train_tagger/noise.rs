//! What happens to texts on their way: quoting, marks that were decoded wrongly, sentences around.

use crate::{lists::Lists, rng::Rng, text::Sample};

const MARKS: [&str; 12] = [" – ", " — ", "… ", " â€“ ", " ג€“ ", " вЂ“ ", " • ", " » ", " * ", " | ", "... ", " - "];
const LINE_STARTS: [&str; 9] = [">", "> ", ">> ", "* ", "- ", "| ", "# ", "?? ", "\t"];

pub fn add(sample: &mut Sample, lists: &Lists, rng: &mut Rng) {
    if sample.text.contains('\n') && rng.percent(10) {
        let mark = rng.one(&LINE_STARTS);
        let ends: Vec<usize> = sample.text.match_indices('\n').map(|(at, _)| at + 1).collect();
        ends.iter().rev().for_each(|&at| insert(sample, at, mark));
        insert(sample, 0, mark);
    }
    if rng.percent(5) {
        let spaces: Vec<usize> = sample.text.match_indices(' ').map(|(at, _)| at).collect();
        if !spaces.is_empty() {
            insert(sample, rng.one(&spaces), rng.one(&MARKS));
        }
    }
    if !sample.text.contains('\n') && rng.percent(20) {
        let said = rng.pick(&lists.said);
        if rng.percent(50) {
            insert(sample, 0, &format!("{said} "));
        } else {
            sample.push(&format!(" {said}"));
        }
    }
}

/// Puts text between others, unless it would stand inside a span.
fn insert(sample: &mut Sample, at: usize, text: &str) {
    let inside = |span: &std::ops::Range<usize>| span.start < at && at < span.end;
    if sample.spans.iter().any(|(span, _)| inside(span)) {
        return;
    }
    sample.text.insert_str(at, text);
    let shift = |span: &mut std::ops::Range<usize>| {
        if span.start >= at {
            *span = span.start + text.len()..span.end + text.len();
        }
    };
    sample.spans.iter_mut().for_each(|(span, _)| shift(span));
    sample.hidden.iter_mut().for_each(shift);
}
