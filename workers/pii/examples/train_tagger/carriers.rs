//! Running text from the packages, where every capital can be told by the lists; the names in it
//! are mostly changed for others, so that it lends its turns of phrase rather than its names.

use attestune_pii::tagger::{
    Kind,
    gazetteer::{self, Gazetteer, Lists as Bits},
    token::{self, Token},
};

use crate::{
    lists::{Lists, folded},
    rng::Rng,
    slots,
    text::Sample,
};

const PLACE: Bits = gazetteer::COUNTRY | gazetteer::CITY | gazetteer::REGION;
const NO_NAMES: &str = "i monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november december lol omg haha tv ok christmas easter halloween internet";

/// Texts without a name and texts with, each as many as there are or are asked for.
pub fn carriers(lists: &Lists, gazetteer: &Gazetteer, plain: usize, named: usize, rng: &mut Rng) -> Vec<Sample> {
    let mut sentences: Vec<&String> = lists.sentences.iter().collect();
    rng.shuffle(&mut sentences);
    let (mut plain_left, mut named_left, mut samples) = (plain, named, Vec::new());
    for sentence in sentences {
        let Some(sample) = carrier(sentence, lists, gazetteer, rng) else { continue };
        let left = if sample.spans.is_empty() { &mut plain_left } else { &mut named_left };
        if *left > 0 {
            *left -= 1;
            samples.push(sample);
        }
    }
    samples
}

fn carrier(sentence: &str, lists: &Lists, gazetteer: &Gazetteer, rng: &mut Rng) -> Option<Sample> {
    let tokens: Vec<Token<'_>> = token::tokens(sentence).collect();
    let mut sample = Sample::default();
    let (mut at, mut copied) = (0, 0);
    while at < tokens.len() {
        let (kind, length) = read(&tokens[at..], lists, gazetteer)?;
        if let Some(kind) = kind {
            let last = tokens[at + length - 1].end();
            sample.push(&sentence[copied..tokens[at].start]);
            let from = sample.text.len();
            if rng.percent(65) {
                let slot = match kind {
                    Kind::Person if length == 1 => "first",
                    Kind::Person => "person",
                    Kind::Location => "place",
                    Kind::Organization => "org",
                    _ => "nrp",
                };
                let other = slots::value(slot, lists, rng);
                let shift = |span: &std::ops::Range<usize>| span.start + from..span.end + from;
                sample.spans.extend(other.spans.iter().map(|(span, kind)| (shift(span), *kind)));
                sample.hidden.extend(other.hidden.iter().map(shift));
                sample.push(&other.text);
            } else {
                sample.push_span(&sentence[tokens[at].start..last], kind);
            }
            copied = last;
        }
        at += length;
    }
    sample.push(&sentence[copied..]);
    Some(sample)
}

/// What the first of the tokens is and how many belong to it; none if it can't be told.
fn read(tokens: &[Token<'_>], lists: &Lists, gazetteer: &Gazetteer) -> Option<(Option<Kind>, usize)> {
    let token = &tokens[0];
    let Some(first) = token.text.chars().next().filter(|c| c.is_alphabetic()) else { return Some((None, 1)) };
    let word = folded(token.text);
    let common = lists.is_common(&word) || NO_NAMES.split(' ').any(|other| other == word);
    let seen = lists.seen.get(&word).copied().unwrap_or_default();
    let namelike = seen.1 >= 3 && seen.1 > seen.0;
    if first.is_lowercase() && !namelike || common {
        return Some((None, 1));
    }
    if !first.is_uppercase() && !namelike {
        return None;
    }
    for length in (2..=3.min(tokens.len())).rev() {
        let name: Vec<String> = tokens[..length].iter().map(|token| folded(token.text)).collect();
        let bits = gazetteer.lists(gazetteer::key(&name.join(" ")));
        if bits & PLACE != 0 {
            return Some((Some(Kind::Location), length));
        }
        if bits & gazetteer::ORGANIZATION != 0 {
            return Some((Some(Kind::Organization), length));
        }
    }
    let bits = gazetteer.lists(gazetteer::key(&word));
    let person = bits & gazetteer::FIRST != 0;
    let place = bits & PLACE != 0;
    match (person, place) {
        _ if bits & gazetteer::NRP != 0 && !person => Some((Some(Kind::Nrp), 1)),
        _ if bits & gazetteer::ORGANIZATION != 0 && !person => Some((Some(Kind::Organization), 1)),
        (true, false) => {
            let next = tokens.get(1).filter(|next| next.text.chars().next().is_some_and(char::is_uppercase));
            let next_bits = next.map_or(0, |next| gazetteer.lists(gazetteer::key(&folded(next.text))));
            Some((Some(Kind::Person), if next_bits & (gazetteer::LAST | gazetteer::LAST_RARE) != 0 { 2 } else { 1 }))
        }
        (false, true) => Some((Some(Kind::Location), 1)),
        (false, false) if bits & gazetteer::WORD != 0 && !namelike => Some((None, 1)),
        _ => None,
    }
}
