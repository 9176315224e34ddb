//! Seeing through disguises: forms of a text as a reader understands it, with the way back to the original.
//!
//! A form is read beside the text itself, never instead of it, so that it can only add findings.

use std::rc::Rc;

mod base64;
mod numbers;
mod unmask;

/// How many wrappings inside each other are taken off: `%2540` is an `@` wrapped twice.
const ROUNDS: usize = 2;

/// A form of a text, with the way back to it.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) text: String,
    /// The innermost wrapping, which was taken off last, comes first.
    steps: Vec<Rc<Places>>,
}

/// A text made of another, with where each of its bytes comes from.
#[derive(Debug, Default)]
struct Folded {
    text: String,
    places: Places,
}

/// Runs that ascend and are together the whole.
#[derive(Debug, Default)]
struct Places(Vec<Run>);

/// Units of equal length here and there: plain bytes are 1 and 1, full-width digits 1 and 3.
#[derive(Debug, Clone, Copy)]
struct Run {
    at: usize,
    from: usize,
    unit: usize,
    original_unit: usize,
    count: usize,
}

impl Folded {
    /// The next bytes stand as they are in the original from `from` on.
    fn copy(&mut self, piece: &str, from: usize) {
        let count = piece.len();
        self.push(Run { at: self.text.len(), from, unit: 1, original_unit: 1, count });
        self.text.push_str(piece);
    }

    /// The next bytes stand for the original's `original` bytes from `from` on.
    fn put(&mut self, piece: &str, from: usize, original: usize) {
        self.push(Run { at: self.text.len(), from, unit: piece.len(), original_unit: original, count: 1 });
        self.text.push_str(piece);
    }

    fn push(&mut self, run: Run) {
        if run.unit == 0 || run.count == 0 {
            return;
        }
        if let Some(last) = self.places.0.last_mut() {
            let follows = last.from + last.original_unit * last.count == run.from;
            if follows && (last.unit, last.original_unit) == (run.unit, run.original_unit) {
                last.count += run.count;
                return;
            }
        }
        self.places.0.push(run);
    }

    fn within(self, outer: &[Rc<Places>]) -> Form {
        let steps = [Rc::new(self.places)].into_iter().chain(outer.iter().cloned());
        Form { text: self.text, steps: steps.collect() }
    }
}

impl Places {
    fn back(&self, (start, end): (usize, usize)) -> (usize, usize) {
        let unit_of = |byte: usize| {
            let run = &self.0[self.0.partition_point(|run| run.at <= byte).saturating_sub(1)];
            (run, (byte - run.at) / run.unit)
        };
        if start >= end || self.0.is_empty() {
            return (0, 0);
        }
        let (first, before) = unit_of(start);
        let (last, through) = unit_of(end - 1);
        (first.from + before * first.original_unit, last.from + (through + 1) * last.original_unit)
    }
}

impl Form {
    /// The bytes of the original that a span of the form comes from: whole characters.
    pub(crate) fn back(&self, start: usize, end: usize) -> (usize, usize) {
        self.steps.iter().fold((start, end), |span, places| places.back(span))
    }
}

/// The forms of a text that differ from it.
pub(crate) fn forms(text: &str) -> Vec<Form> {
    let mut plain: Option<Form> = None;
    for _ in 0..ROUNDS {
        let current = plain.as_ref().map_or(text, |form| form.text.as_str());
        let Some(next) = unmask::unmask(current) else {
            break;
        };
        let next = next.within(plain.as_ref().map_or(&[], |form| &form.steps));
        plain = Some(next);
    }
    let (current, steps) = plain.as_ref().map_or((text, &[][..]), |form| (form.text.as_str(), form.steps.as_slice()));
    let inner = numbers::join(current).into_iter().chain(base64::decode(current));
    let mut forms: Vec<Form> = inner.map(|folded| folded.within(steps)).collect();
    forms.extend(plain);
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each form with the part of the original that its piece `wanted` comes from.
    fn origins(text: &str, wanted: &str) -> Vec<String> {
        let found = forms(text).into_iter().filter_map(|form| {
            let at = form.text.find(wanted)?;
            let (start, end) = form.back(at, at + wanted.len());
            Some(text[start..end].to_owned())
        });
        let mut found: Vec<String> = found.collect();
        found.dedup();
        found
    }

    #[test]
    fn a_plain_text_has_no_other_form() {
        for text in
            ["", "write to a@example.org", "100 % sure & glad", "Zoë — née Müller", "5 apples\n7 pears", "a&b;c"]
        {
            assert!(forms(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn disguised_characters_are_read_and_their_place_is_kept() {
        let cases = [
            ("ü a\u{200b}b@example.org", "ab@example.org", "a\u{200b}b@example.org"),
            ("４１１１ x", "4111", "４１１１"),
            ("٤١١١", "4111", "٤١١١"),
            ("𝟒𝟏𝟏𝟏", "4111", "𝟒𝟏𝟏𝟏"),
            ("zoе@ехample.org", "zoe@example.org", "zoе@ехample.org"),
            ("a&#64;b &#x40; &commat;c", "a@b", "a&#64;b"),
            ("a%40b%2Eorg", "a@b.org", "a%40b%2Eorg"),
            ("z%C3%BC", "zü", "z%C3%BC"),
            ("a%2540b", "a@b", "a%2540b"),
            ("a [at] b (dot) org", "a@b.org", "a [at] b (dot) org"),
            ("212\u{2011}555\u{a0}0142", "212-555 0142", "212\u{2011}555\u{a0}0142"),
        ];
        for (text, wanted, origin) in cases {
            assert_eq!(origins(text, wanted), [origin], "{text}");
        }
    }

    #[test]
    fn words_of_another_script_stay_what_they_are() {
        assert!(forms("почта и телефон").is_empty());
        assert!(forms("η ώρα 5").is_empty());
    }

    #[test]
    fn spelt_out_and_broken_numbers_are_joined() {
        let cases = [
            ("is 5 3 6 2 2 8 7 2 6, ok", "536228726", "5 3 6 2 2 8 7 2 6"),
            ("5.3.6.2.2.8.7.2.6", "536228726", "5.3.6.2.2.8.7.2.6"),
            ("4111_1111_1111_1111", "4111 1111 1111 1111", "4111_1111_1111_1111"),
            ("4111 - 1111 - 1111 - 1111", "4111-1111-1111-1111", "4111 - 1111 - 1111 - 1111"),
            ("my ssn is 536-22-\n8726", "536-22-8726", "536-22-\n8726"),
            ("my card is 4111 11\n11 1111 1111", "4111 1111 1111 1111", "4111 11\n11 1111 1111"),
        ];
        for (text, wanted, origin) in cases {
            assert_eq!(origins(text, wanted), [origin], "{text}");
        }
        assert!(forms("12345678\n12345678\n").is_empty(), "a column of numbers is no broken number");
    }

    #[test]
    fn a_line_that_ends_beside_more_digits_than_are_looked_over_is_read_like_any_other() {
        for (before, after) in [(200, 1), (1, 200), (200, 200), (80, 81)] {
            let text = format!("{}\n{} x", "1".repeat(before), "2".repeat(after));
            let is_whole = |form: &Form| form.back(0, form.text.len()) == (0, text.len());
            assert!(forms(&text).iter().all(is_whole), "{before} {after}");
        }
    }

    #[test]
    fn base64_is_read_in_whole_groups_of_four() {
        // printf 'mail zoe@example.org!' | base64
        let text = "token bWFpbCB6b2VAZXhhbXBsZS5vcmch end";
        assert_eq!(origins(text, "zoe@example.org"), ["bCB6b2VAZXhhbXBsZS5vcmch"]);
        assert!(forms("internationalization 0123456789abcdef0123456789abcdef").is_empty());
    }
}
