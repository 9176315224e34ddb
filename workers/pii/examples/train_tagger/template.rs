//! Templates: `(a|b)` is one or the other, `{slot}` is filled, `\` takes what follows as it is.

use crate::rng::Rng;

/// Calls `text` and `slot` with the parts of one reading of the template, in order.
pub fn read(template: &str, rng: &mut Rng, sink: &mut dyn FnMut(Part<'_>, &mut Rng)) {
    let mut rest = template;
    while let Some(at) = rest.find(['(', '{', '\\']) {
        sink(Part::Text(&rest[..at]), rng);
        let from = &rest[at..];
        rest = match from.as_bytes()[0] {
            b'\\' => {
                let mark = from.chars().nth(1).unwrap_or('\\');
                let shown = match mark {
                    'n' => "\n",
                    't' => "\t",
                    _ => &from[1..=mark.len_utf8()],
                };
                sink(Part::Text(shown), rng);
                &from[1 + mark.len_utf8()..]
            }
            b'{' => {
                let end = from.find('}').unwrap_or(from.len());
                sink(Part::Slot(&from[1..end]), rng);
                from.get(end + 1..).unwrap_or("")
            }
            _ => {
                let (choices, after) = choices(from);
                let choice = *rng.pick(&choices);
                read(choice, rng, sink);
                after
            }
        };
    }
    sink(Part::Text(rest), rng);
}

pub enum Part<'t> {
    Text(&'t str),
    Slot(&'t str),
}

/// The choices of the group that `from` begins with, and what stands after it.
fn choices(from: &str) -> (Vec<&str>, &str) {
    let (mut depth, mut start, mut choices, mut escaped) = (0, 1, Vec::new(), false);
    for (at, c) in from.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            '|' if depth == 1 => {
                choices.push(&from[start..at]);
                start = at + 1;
            }
            ')' if depth == 1 => {
                choices.push(&from[start..at]);
                return (choices, &from[at + 1..]);
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    panic!("no closing bracket: {from}");
}
