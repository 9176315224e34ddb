//! Text wrapped in Base64 (RFC 4648), whose findings cover the groups of four characters that hold them.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::Folded;

/// Shorter runs hold fewer than twelve characters, too few for an address or a number.
const RUN_BYTES_MIN: usize = 16;
/// A longer run is read in pieces of so many characters, a multiple of four.
const RUN_BYTES_MAX: usize = 1 << 20;
/// A line of at least so many characters may go on after its end (MIME breaks lines at 76, PEM at 64).
const LINE_BYTES_MIN: usize = 60;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The texts that runs of the alphabet hold.
pub(super) fn decode(text: &str) -> Vec<Folded> {
    let bytes = text.as_bytes();
    let mut forms = Vec::new();
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(|&b| belongs(b)).map(|found| at + found) {
        let places = run(bytes, start);
        at = places.last().map_or(start, |last| last + 1);
        if places.len() >= RUN_BYTES_MIN {
            forms.extend(decode_run(bytes, &places));
        }
        at += bytes[at..].iter().take_while(|&&b| b == b'=').count();
    }
    forms
}

/// The places of the run's characters, over the ends of long lines.
fn run(bytes: &[u8], start: usize) -> Vec<usize> {
    let mut places = Vec::new();
    let (mut at, mut line) = (start, start);
    while let Some(&b) = bytes.get(at).filter(|_| places.len() < RUN_BYTES_MAX) {
        let end_of_line = if bytes[at..].starts_with(b"\r\n") { 2 } else { usize::from(b == b'\n') };
        let goes_on = bytes.get(at + end_of_line).is_some_and(|&b| belongs(b));
        if belongs(b) {
            places.push(at);
            at += 1;
        } else if end_of_line > 0 && goes_on && at - line >= LINE_BYTES_MIN {
            at += end_of_line;
            line = at;
        } else {
            break;
        }
    }
    places
}

fn decode_run(bytes: &[u8], places: &[usize]) -> Option<Folded> {
    let after_path = places.iter().rposition(|&place| bytes[place] == b'/').map_or(0, |slash| slash + 1);
    let starts = if after_path == 0 { vec![0] } else { vec![0, after_path] };
    starts.into_iter().find_map(|start| {
        let places = &places[start..];
        let run: Vec<u8> = places.iter().map(|&place| bytes[place]).collect();
        let decoded = STANDARD.decode(&run).or_else(|_| URL_SAFE.decode(&run)).ok()?;
        let decoded = String::from_utf8(decoded).ok().filter(|text| is_text(text))?;
        Some(with_places(decoded, places))
    })
}

/// The form that takes each group of three bytes, or the characters that begin in it, from its group of four.
fn with_places(decoded: String, places: &[usize]) -> Folded {
    let mut form = Folded::default();
    for (at, c) in decoded.char_indices() {
        let first = at / 3 * 4;
        let last = ((at + c.len_utf8()).div_ceil(3) * 4).min(places.len());
        let Some((&start, &end)) = places.get(first).zip(places.get(last.saturating_sub(1))) else {
            break;
        };
        form.put(c.encode_utf8(&mut [0; 4]), start, end + 1 - start);
    }
    form
}

fn is_text(text: &str) -> bool {
    text.len() >= RUN_BYTES_MIN / 2 && !text.chars().any(|c| c.is_control() && !c.is_whitespace())
}

fn belongs(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_')
}
