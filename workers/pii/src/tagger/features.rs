//! What the model sees of each word: its form, its lists, its neighbours.

use super::{
    gazetteer::{self, Gazetteer, Lists},
    index::{hash, join},
    token::{Gap, Token},
};

/// What is known of one token by itself, and the names it is part of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Word {
    /// The word, if it is one that is often seen; else its rough form.
    id: u32,
    form: u32,
    endings: [u32; 3],
    beginnings: [u32; 2],
    lists: Lists,
    /// Names of several words that begin here, and that go on here.
    name_begins: Lists,
    name_inside: Lists,
    before: u32,
    letters: bool,
    capital: bool,
}

/// Lists that say nothing about a name, only about how usual a word is.
const USUAL: Lists = gazetteer::WORD | gazetteer::COMMON;

/// Where nothing stands: before the first and after the last token.
const NOTHING: Word = Word {
    id: 1,
    form: 1,
    endings: [1; 3],
    beginnings: [1; 2],
    lists: 0,
    name_begins: 0,
    name_inside: 0,
    before: 1,
    letters: false,
    capital: false,
};

/// Looks every token up. `hidden` tells of tokens whose names are to be taken for unknown ones: in
/// training, so that the model doesn't rely on its lists alone.
pub fn words(tokens: &[Token<'_>], gazetteer: &Gazetteer, hidden: impl Fn(usize) -> bool, into: &mut Vec<Word>) {
    into.clear();
    let mut folded = String::new();
    let mut ends: Vec<usize> = Vec::with_capacity(tokens.len());
    let mut line = String::new();
    for token in tokens {
        gazetteer::fold(token.text, &mut folded);
        let mut lists = gazetteer.lists(gazetteer::key(&folded));
        if lists & USUAL == 0 && is_inflected(&folded, gazetteer) {
            lists |= gazetteer::WORD;
        }
        if hidden(into.len()) {
            lists &= USUAL;
        }
        into.push(word(token, &folded, lists));
        if !ends.is_empty() {
            line.push(' ');
        }
        line.push_str(&folded);
        ends.push(line.len());
    }
    mark_names(&line, &ends, gazetteer, hidden, into);
    let mode = mode(into);
    for word in into {
        word.before = join(&[word.before, mode]);
    }
}

/// Whether a word is one of the dictionary's with an ending: `lemurs`, `carries`, `hoped`, `making`.
fn is_inflected(folded: &str, gazetteer: &Gazetteer) -> bool {
    const ENDINGS: [(&str, &str); 8] =
        [("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("d", ""), ("ing", ""), ("ing", "e"), ("ly", "")];
    let is_word = |word: &str| gazetteer.lists(gazetteer::key(word)) & gazetteer::WORD != 0;
    folded.is_ascii()
        && ENDINGS.iter().any(|(ending, instead)| {
            let stem = folded.strip_suffix(ending).filter(|stem| stem.len() > 2);
            stem.is_some_and(|stem| if instead.is_empty() { is_word(stem) } else { is_word(&[stem, instead].concat()) })
        })
}

/// Marks the longest entry of several words that begins at each token.
fn mark_names(line: &str, ends: &[usize], gazetteer: &Gazetteer, hidden: impl Fn(usize) -> bool, words: &mut [Word]) {
    for first in 0..ends.len() {
        if !words[first].letters || hidden(first) {
            continue;
        }
        let start = if first == 0 { 0 } else { ends[first - 1] + 1 };
        let last_max = (first + gazetteer::ENTRY_WORDS_MAX).min(ends.len());
        let found = (first + 1..last_max).rev().find_map(|last| {
            let lists = gazetteer.lists(gazetteer::key(&line[start..ends[last]]));
            (lists != 0).then_some((last, lists))
        });
        if let Some((last, lists)) = found {
            words[first].name_begins |= lists;
            words[first + 1..=last].iter_mut().for_each(|word| word.name_inside |= lists);
        }
    }
}

fn word(token: &Token<'_>, folded: &str, lists: Lists) -> Word {
    let first = token.text.chars().next().unwrap_or(' ');
    let letters = token.text.chars().any(char::is_alphabetic);
    let form = form(token.text);
    let known =
        !letters || lists & (USUAL | gazetteer::STREET_WORD | gazetteer::ORGANIZATION_WORD | gazetteer::HONORIFIC) != 0;
    let id = if token.text.len() <= 24 && known && !first.is_numeric() { hash(folded.as_bytes()) } else { form };
    let tail = |n: usize| {
        let from = folded.char_indices().rev().nth(n - 1).map_or(0, |(at, _)| at);
        if letters { hash(&folded.as_bytes()[from..]) } else { 1 }
    };
    let head = |n: usize| {
        let to = folded.char_indices().nth(n).map_or(folded.len(), |(at, _)| at);
        if letters { hash(&folded.as_bytes()[..to]) } else { 1 }
    };
    let before = match token.gap {
        Gap::Start => 2,
        Gap::Line => 3,
        _ if token.after_stop => 4,
        Gap::Joined => 5,
        Gap::Space => 6,
    };
    Word {
        id,
        form,
        endings: [tail(2), tail(3), tail(4)],
        beginnings: [head(2), head(3)],
        lists,
        name_begins: 0,
        name_inside: 0,
        before,
        letters,
        capital: first.is_uppercase() || first.is_alphabetic() && !first.is_lowercase(),
    }
}

/// The form of a token: script, letter case, rough length.
fn form(text: &str) -> u32 {
    let count = text.chars().count();
    let Some(first) = text.chars().next() else { return 1 };
    if text.contains("://") || text.contains('@') || text.starts_with("www.") {
        return hash(b"address");
    }
    if !first.is_alphanumeric() {
        return hash(text.as_bytes());
    }
    if text.chars().all(char::is_numeric) {
        return join(&[hash(b"digits"), count.min(7) as u32]);
    }
    let upper = text.chars().filter(|c| c.is_uppercase()).count();
    let digits = text.chars().any(char::is_numeric);
    let case: &[u8] = match (upper, first.is_uppercase()) {
        _ if digits => b"mixed",
        (0, _) if first.is_lowercase() => b"x",
        (0, _) => b"no case",
        (1, true) if count == 1 => b"X",
        (1, true) => b"Xx",
        (upper, true) if upper == text.chars().filter(|c| c.is_alphabetic()).count() => b"XX",
        (_, true) => b"XxX",
        _ => b"xX",
    };
    let length = match count {
        1 => 1,
        2 => 2,
        3 => 3,
        4..=6 => 4,
        _ => 5,
    };
    join(&[hash(case), length, script(first)])
}

fn script(c: char) -> u32 {
    match u32::from(c) {
        0..=0x24f | 0x1e00..=0x1eff => 1,
        0x370..=0x3ff | 0x1f00..=0x1fff => 2,
        0x400..=0x52f => 3,
        0x590..=0x5ff => 4,
        0x600..=0x77f => 5,
        _ => 6,
    }
}

/// How the text as a whole writes: hardly any capitals, nearly all words with one, or the usual.
fn mode(words: &[Word]) -> u32 {
    let letters = words.iter().filter(|word| word.letters).count();
    let capitals = words.iter().filter(|word| word.capital).count();
    match capitals {
        0 => 1,
        n if n * 5 >= letters * 4 && letters > 3 => 2,
        _ => 3,
    }
}

/// The features of the token at `at`, each a hash.
pub fn emit(words: &[Word], at: usize, mut sink: impl FnMut(u32)) {
    let near = |offset: isize| {
        let place = at.checked_add_signed(offset);
        place.and_then(|place| words.get(place)).unwrap_or(&NOTHING)
    };
    let (w, p, n, pp, nn) = (near(0), near(-1), near(1), near(-2), near(2));
    let lists = |word: &Word| u32::from(word.lists);
    let mut kind = 0;
    let mut one = |parts: &[u32]| {
        kind += 1;
        sink(join(parts).wrapping_add(kind).wrapping_mul(0x9e37_79b1));
    };

    one(&[w.id]);
    one(&[p.id]);
    one(&[n.id]);
    one(&[pp.id]);
    one(&[nn.id]);
    one(&[p.id, w.id]);
    one(&[w.id, n.id]);
    one(&[pp.id, p.id]);
    one(&[n.id, nn.id]);
    one(&[p.id, n.id]);
    one(&[w.form]);
    one(&[p.form]);
    one(&[n.form]);
    one(&[p.form, w.form]);
    one(&[w.form, n.form]);
    one(&[p.form, w.form, n.form]);
    one(&[w.form, p.id]);
    one(&[w.form, n.id]);
    one(&[w.form, pp.id, p.id]);
    one(&[w.form, n.id, nn.id]);
    one(&[w.form, w.before]);
    one(&[w.form, n.before]);
    one(&[w.before, lists(w)]);
    let case = u32::from(w.capital);
    for ending in w.endings {
        one(&[ending, case]);
    }
    for beginning in w.beginnings {
        one(&[beginning, case]);
    }
    one(&[p.endings[1], w.form]);
    one(&[n.endings[1], w.form]);
    one(&[lists(w), case]);
    one(&[lists(p)]);
    one(&[lists(n)]);
    one(&[lists(p), lists(w)]);
    one(&[lists(w), lists(n)]);
    one(&[lists(w), w.form]);
    one(&[lists(w), p.id]);
    one(&[lists(w), n.id]);
    one(&[lists(pp), w.form]);
    one(&[lists(nn), w.form]);
    one(&[lists(p), w.form, lists(n)]);
    one(&[u32::from(w.name_begins), u32::from(w.name_inside)]);
    one(&[u32::from(w.name_begins), u32::from(w.name_inside), w.form]);
    one(&[u32::from(n.name_begins), u32::from(n.name_inside), w.form]);
    one(&[near(-3).id, w.form]);
    one(&[near(3).id, w.form]);
    for bit in (0..Lists::BITS).filter(|bit| w.lists >> bit & 1 == 1) {
        sink(join(&[0xb1, bit, case]));
        sink(join(&[0xb2, bit, w.form, p.form]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tagger::{gazetteer::key, token};

    fn gazetteer() -> Gazetteer {
        let mut entries = vec![
            (key("anna"), gazetteer::FIRST),
            (key("new york"), gazetteer::CITY),
            (key("walk"), gazetteer::WORD),
            (key("make"), gazetteer::WORD),
            (key("to"), gazetteer::COMMON),
        ];
        entries.sort_unstable();
        Gazetteer::new(&entries).unwrap()
    }

    fn seen(text: &str, hidden: bool) -> Vec<Word> {
        let tokens: Vec<_> = token::tokens(text).collect();
        let mut words = Vec::new();
        super::words(&tokens, &gazetteer(), |_| hidden, &mut words);
        words
    }

    fn features(text: &str, at: usize) -> Vec<u32> {
        let mut features = Vec::new();
        emit(&seen(text, false), at, |feature| features.push(feature));
        features
    }

    #[test]
    fn lists_are_looked_up_for_words_and_for_names_of_several() {
        let words = seen("Anna walks to New York", false);
        assert_eq!(words[0].lists, gazetteer::FIRST);
        assert_eq!(words[1].lists, gazetteer::WORD, "walks is walk");
        assert_eq!(words[2].lists, gazetteer::COMMON);
        assert_eq!((words[3].name_begins, words[3].name_inside), (gazetteer::CITY, 0));
        assert_eq!((words[4].name_begins, words[4].name_inside), (0, gazetteer::CITY));
        let words = seen("Anna to New York", true);
        assert_eq!(words.iter().map(|word| word.lists).collect::<Vec<_>>(), [0, gazetteer::COMMON, 0, 0]);
        assert_eq!(words[2].name_begins, 0, "hidden names are unknown ones");
    }

    #[test]
    fn forms_tell_case_script_and_length_apart_and_nothing_more() {
        let apart = ["Anna", "anna", "ANNA", "AnNa", "A", "Анна", "An", "12", "123", "a1", ".", ",", "x@y.z"];
        for (at, one) in apart.iter().enumerate() {
            for other in &apart[at + 1..] {
                assert_ne!(form(one), form(other), "{one} {other}");
            }
        }
        assert_eq!(form("Anna"), form("Berta"));
        assert_eq!(form("1234567"), form("123456789"));
    }

    #[test]
    fn a_token_has_as_many_features_of_its_place_as_any_other() {
        let one = features("zzz", 0);
        let three = features("zzz qqq zzz", 1);
        assert_eq!(one.len(), three.len());
        assert_eq!(features("zzz qqq", 1), features("zzz qqq", 1));
        assert_ne!(features("zzz qqq", 1), features("zzz. qqq", 1));
        assert_eq!(features("", 7), features("", 7), "past the end there is nothing to see");
    }
}
