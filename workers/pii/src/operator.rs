//! Writing a text again with something else in the place of each finding.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;

use crate::{Entity, Finding, key::Key};

mod pseudonym;

/// What is written in the place of a finding.
#[derive(Debug, Clone)]
pub enum Operator {
    /// The kind's tag, such as `<EMAIL>`.
    Tag,
    /// These words, whatever was there.
    Replace(String),
    /// Nothing.
    Redact,
    /// This character for each letter and digit, but for the last `keep`; at least half of them are masked.
    Mask {
        /// The character written.
        with: char,
        /// How many letters and digits at the end stay.
        keep: usize,
    },
    /// A keyed hash (HMAC-SHA-256) in hexadecimal: the same value has the same hash, and without the key
    /// nobody can try values.
    Hash(Key),
    /// Something of the same form that stays the same for the same value under one key.
    Pseudonym(Key),
    /// The value encrypted (AES-256-GCM), which [`reveal`](crate::reveal) turns back.
    Encrypt(Key),
}

/// Which operator each kind gets.
#[derive(Debug, Clone)]
pub struct Operators {
    /// For every kind that has none of its own.
    pub otherwise: Operator,
    /// For single kinds.
    pub by_entity: BTreeMap<Entity, Operator>,
}

/// The operating system gave no random number for an encryption.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value can't be encrypted: the operating system gave no random numbers; try again")]
pub struct OperatorError;

/// How often something else is tried where what was written brings a value back.
const TRIES: usize = 8;
/// What stands in the place of a kind that an encrypted value does not name.
const NO_KIND: &str = "_";

/// Where a value stands, in bytes.
type Span = (usize, usize, Entity);

impl Default for Operators {
    fn default() -> Self {
        Operator::Tag.into()
    }
}

impl From<Operator> for Operators {
    fn from(otherwise: Operator) -> Self {
        Self { otherwise, by_entity: BTreeMap::new() }
    }
}

impl Operators {
    /// The text with each finding's span written anew, and every other place where a found value stands alone as well:
    /// a number that context told in one sentence doesn't stay in the next. No found value stands alone in what comes
    /// out, whatever was asked for: one that what is left would make again gives way to its kind's tag.
    ///
    /// Findings may come in any order. Overlapping ones are taken together as the one that starts first. What lies past
    /// the text's end is ignored.
    ///
    /// # Errors
    /// A value is to be encrypted and there are no random numbers.
    pub fn apply(&self, text: &str, findings: &[Finding]) -> Result<String, OperatorError> {
        let spans = in_bytes(text, findings);
        let values = Values::of(text, &spans);
        let mut written =
            rewritten(text, values.everywhere(text, spans), |entity, value| self.write(entity, value, &values))?;
        for attempt in 1..=TRIES {
            let again: Vec<Span> = values.find(&written).filter(|s| stands_alone(&written, s.0, s.1, &[])).collect();
            if again.is_empty() {
                break;
            }
            let tag = |entity: Entity, _: &str| {
                let possible = [entity.tag(), "\u{2588}".to_owned()].into_iter().filter(|_| attempt < TRIES);
                Ok(possible.into_iter().find(|tag| !values.stand_in(tag)).unwrap_or_default())
            };
            written = rewritten(&written, values.everywhere(&written, again), tag)?;
        }
        Ok(written)
    }

    /// What is written for a value; never one of the values, whatever was asked for.
    fn write(&self, entity: Entity, value: &str, values: &Values) -> Result<String, OperatorError> {
        let written = match self.by_entity.get(&entity).unwrap_or(&self.otherwise) {
            Operator::Tag => entity.tag(),
            Operator::Replace(words) => words.clone(),
            Operator::Redact => String::new(),
            Operator::Mask { with, keep } => mask(value, *with, *keep),
            Operator::Hash(key) => hex::encode(key.hash(entity, value)),
            Operator::Pseudonym(key) => pseudonym::of(key, entity, value),
            Operator::Encrypt(key) => return encrypted(key, entity, value, values),
        };
        let possible = [written, entity.tag()].into_iter().find(|written| !values.stand_in(written));
        Ok(possible.unwrap_or_default())
    }
}

/// The text with each span written anew.
fn rewritten(
    text: &str,
    spans: Vec<Span>,
    mut write: impl FnMut(Entity, &str) -> Result<String, OperatorError>,
) -> Result<String, OperatorError> {
    let mut written = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end, entity) in spans {
        written.push_str(&text[at..start]);
        written.push_str(&write(entity, &text[start..end])?);
        at = end;
    }
    written.push_str(&text[at..]);
    Ok(written)
}

/// A value of two characters may by chance stand in what another is encrypted to; another nonce mends that. One that is a
/// word of the kind's name, such as `in`, would be taken out of it, and nobody could decrypt the rest: the kind is left out.
fn encrypted(key: &Key, entity: Entity, value: &str, values: &Values) -> Result<String, OperatorError> {
    let name = if values.stand_in(entity.name()) { NO_KIND } else { entity.name() };
    let mut written = key.encrypt(name, value).ok_or(OperatorError)?;
    for _ in 0..TRIES {
        if !values.stand_in(&written) {
            break;
        }
        written = key.encrypt(name, value).ok_or(OperatorError)?;
    }
    Ok(written)
}

fn mask(value: &str, with: char, keep: usize) -> String {
    let count = value.chars().filter(|c| c.is_alphanumeric()).count();
    let masked = count.saturating_sub(keep).max(count.div_ceil(2));
    let mut seen = 0;
    let mask = |c: char| {
        seen += usize::from(c.is_alphanumeric());
        if c.is_alphanumeric() && seen <= masked { with } else { c }
    };
    value.chars().map(mask).collect()
}

/// Where these findings begin and end, in bytes of the text by their code points: one walk over the text.
pub(crate) fn places<'f>(text: &str, findings: impl Iterator<Item = &'f Finding>) -> BTreeMap<u32, usize> {
    let mut ends: Vec<u32> = findings.flat_map(|f| [f.start, f.end]).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut bytes: BTreeMap<u32, usize> = BTreeMap::new();
    let mut points = text.char_indices().map(|(at, _)| at).chain([text.len()]).enumerate().peekable();
    for end in ends {
        while points.next_if(|(point, _)| *point < end as usize).is_some() {}
        bytes.insert(end, points.peek().map_or(text.len(), |(_, at)| *at));
    }
    bytes
}

/// The findings as bytes of the text.
fn in_bytes(text: &str, findings: &[Finding]) -> Vec<Span> {
    let bytes = places(text, findings.iter());
    let span = |f: &Finding| (bytes[&f.start], bytes[&f.end], f.entity);
    findings.iter().map(span).filter(|(start, end, _)| start < end).collect()
}

/// The values found in a text.
struct Values {
    /// Nothing if they are more than an automaton holds, which is more than a text has.
    automaton: Option<AhoCorasick>,
    entities: Vec<Entity>,
}

impl Values {
    fn of(text: &str, spans: &[Span]) -> Self {
        let values: BTreeMap<&str, Entity> =
            spans.iter().map(|&(start, end, entity)| (&text[start..end], entity)).collect();
        Self { automaton: AhoCorasick::new(values.keys()).ok(), entities: values.into_values().collect() }
    }

    fn find<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Span> + 't {
        let found = self.automaton.iter().flat_map(move |automaton| automaton.find_overlapping_iter(text));
        found.map(|found| (found.start(), found.end(), self.entities[found.pattern()]))
    }

    fn stand_in(&self, text: &str) -> bool {
        self.find(text).any(|(start, end, _)| stands_alone(text, start, end, &[]))
    }

    /// The spans, and where else their values stand alone.
    fn everywhere(&self, text: &str, spans: Vec<Span>) -> Vec<Span> {
        let mut all = united(spans.clone());
        let found: Vec<Span> = self.find(text).collect();
        // A value also stands alone where its neighbour goes, which may free another.
        loop {
            let alone = found.iter().filter(|(start, end, _)| stands_alone(text, *start, *end, &all));
            let more = united(spans.iter().chain(alone).copied().collect());
            if more == all {
                return all;
            }
            all = more;
        }
    }
}

/// Spans that share a character as one, named after the first.
fn united(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut united: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match united.last_mut() {
            Some(last) if span.0 < last.1 => last.1 = last.1.max(span.1),
            _ => united.push(span),
        }
    }
    united
}

/// Whether a letter or digit at the value's edge has none beside it that stays.
fn stands_alone(text: &str, start: usize, end: usize, gone: &[Span]) -> bool {
    let is_gone = |at: usize| {
        let next = gone.partition_point(|span| span.1 <= at);
        gone.get(next).is_some_and(|span| span.0 <= at)
    };
    let is_edge = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let value = &text[start..end];
    let goes_on_left = is_edge(value.chars().next()) && is_edge(text[..start].chars().next_back());
    let goes_on_right = is_edge(value.chars().next_back()) && is_edge(text[end..].chars().next());
    (!goes_on_left || is_gone(start - 1)) && (!goes_on_right || is_gone(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Scanner, reveal};

    fn patterns() -> Scanner {
        Scanner::patterns(&Config::default()).unwrap()
    }

    fn key() -> Key {
        Key::new([7; 32])
    }

    fn written(operator: Operator, text: &str) -> String {
        Operators::from(operator).apply(text, &patterns().scan(text)).unwrap()
    }

    #[test]
    fn each_operator_writes_its_own() {
        let text = "é: zoe@example.org, card 4111 1111 1111 1111.";
        assert_eq!(written(Operator::Tag, text), "é: <EMAIL>, card <CREDIT_CARD>.");
        assert_eq!(written(Operator::Replace("…".into()), text), "é: …, card ….");
        assert_eq!(written(Operator::Redact, text), "é: , card .");
        let masked = written(Operator::Mask { with: '*', keep: 4 }, text);
        assert_eq!(masked, "é: ***@******e.org, card **** **** **** 1111.");
        let hashed = written(Operator::Hash(key()), text);
        assert_eq!(hashed.len(), text.len() - 15 - 19 + 128);
        assert_eq!(hashed, written(Operator::Hash(key()), text), "the same value, the same hash");
        assert_ne!(hashed, written(Operator::Hash(Key::new([8; 32])), text));
    }

    #[test]
    fn single_kinds_have_their_own_operator() {
        let text = "zoe@example.org 4111 1111 1111 1111";
        let by_entity = [(Entity::EMAIL, Operator::Redact)].into();
        let operators = Operators { otherwise: Operator::Tag, by_entity };
        assert_eq!(operators.apply(text, &patterns().scan(text)).unwrap(), " <CREDIT_CARD>");
    }

    #[test]
    fn a_mask_keeps_no_more_than_half() {
        assert_eq!(mask("12345", '#', 99), "###45");
        assert_eq!(mask("a", '#', 1), "#");
    }

    #[test]
    fn a_value_told_once_is_gone_everywhere() {
        let text = "ssn 536228726. Later on, after many words, there is again the number 536228726 and x536228726";
        assert_eq!(patterns().scan(text).len(), 1);
        let written = written(Operator::Tag, text);
        assert!(written.starts_with("<US_SSN>") || written.starts_with("ssn <US_SSN>"), "{written}");
        assert!(written.ends_with("number <US_SSN> and x536228726"), "{written}");
    }

    #[test]
    fn what_is_encrypted_is_revealed_with_the_key_alone() {
        let text = "Zoë, write to zoe@example.org or pay to GB82 WEST 1234 5698 7654 32.";
        let hidden = written(Operator::Encrypt(key()), text);
        assert!(!hidden.contains("zoe@") && !hidden.contains("WEST"));
        assert_eq!(reveal(&hidden, &key()), Ok(text.to_owned()));
        assert_ne!(hidden, written(Operator::Encrypt(key()), text), "each time another nonce");
        assert!(reveal(&hidden, &Key::new([8; 32])).is_err());
        assert_eq!(reveal("a <b> c", &key()), Ok("a <b> c".to_owned()));
    }

    #[test]
    fn a_value_that_is_a_word_of_a_kinds_name_keeps_nothing_from_being_revealed() {
        let text = "in MH12AB1234";
        let finding = |kind: &str, start, end| {
            let (entity, recognizer) = (kind.parse().unwrap(), "test");
            Finding { entity, start, end, score_ppm: 1, recognizer }
        };
        let findings = [finding("location", 0, 2), finding("in-vehicle-registration", 3, 13)];
        let written = Operators::from(Operator::Encrypt(key())).apply(text, &findings).unwrap();
        assert!(written.starts_with("<ENC:location:") && written.contains(" <ENC:_:"), "{written}");
        assert_eq!(reveal(&written, &key()), Ok(text.to_owned()));
    }

    #[test]
    fn words_that_hold_the_value_give_way_to_the_tag() {
        let text = "zoe@example.org";
        assert_eq!(written(Operator::Replace("was zoe@example.org".into()), text), "<EMAIL>");
        let two = "card 4111 1111 1111 1111 is like 203.0.113.9";
        assert_eq!(written(Operator::Replace("203.0.113.9".into()), two), "card <CREDIT_CARD> is like <IP_ADDRESS>");
    }
}
