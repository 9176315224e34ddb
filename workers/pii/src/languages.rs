//! The languages that a text is written in.
//!
//! They decide nothing: every recognizer and detector reads every text. They are for the statement of a scan, which
//! says what was read and what its detectors were made for.

use std::{cmp::Reverse, collections::BTreeMap, sync::LazyLock};

use whatlang::{Detector, Lang};

/// The language of a text that is too short or too mixed to tell, or in a language that is not known here (ISO 639-2).
pub const UNDETERMINED: &str = "und";

/// A sentence with fewer letters is taken together with the next.
const LETTERS_MIN: usize = 40;
/// Fewer letters than this say nothing.
const LETTERS_LEAST: usize = 10;
/// So many pieces of a long text are looked at.
const PIECES_MAX: usize = 64;
const PIECE_BYTES_MAX: usize = 1 << 12;

/// Those told apart, by ISO 639-1.
const KNOWN: [(Lang, &str); 37] = [
    (Lang::Afr, "af"),
    (Lang::Ara, "ar"),
    (Lang::Ben, "bn"),
    (Lang::Bul, "bg"),
    (Lang::Ces, "cs"),
    (Lang::Cmn, "zh"),
    (Lang::Dan, "da"),
    (Lang::Deu, "de"),
    (Lang::Ell, "el"),
    (Lang::Eng, "en"),
    (Lang::Fin, "fi"),
    (Lang::Fra, "fr"),
    (Lang::Heb, "he"),
    (Lang::Hin, "hi"),
    (Lang::Hun, "hu"),
    (Lang::Ind, "id"),
    (Lang::Ita, "it"),
    (Lang::Jpn, "ja"),
    (Lang::Kor, "ko"),
    (Lang::Nld, "nl"),
    (Lang::Nob, "no"),
    (Lang::Pol, "pl"),
    (Lang::Por, "pt"),
    (Lang::Ron, "ro"),
    (Lang::Rus, "ru"),
    (Lang::Spa, "es"),
    (Lang::Srp, "sr"),
    (Lang::Swe, "sv"),
    (Lang::Tam, "ta"),
    (Lang::Tel, "te"),
    (Lang::Tgl, "tl"),
    (Lang::Tha, "th"),
    (Lang::Tur, "tr"),
    (Lang::Ukr, "uk"),
    (Lang::Urd, "ur"),
    (Lang::Vie, "vi"),
    (Lang::Zul, "zu"),
];

/// Small words that a sentence of the language hardly does without, where a short sentence has too few letters for
/// statistics. A word of several languages counts for each of them.
const SMALL_WORDS: [(&str, &str); 18] = [
    ("af", "die het nie van en is my ek jy wat vir met ons hulle kan sal op dit te"),
    ("cs", "je se na že jsem není pro jak ale od za by co jsou ve mě mi jako nebo"),
    ("da", "og jeg det er ikke at en til på med har hvad kan min dig vi af som der"),
    ("de", "und ich ist nicht das die der mit meine mein für ein eine zu wie auf bitte sie wir es den dem von habe"),
    (
        "en",
        "the and i to my is it of for you in on was at have not that this with can please what do how be an are why me \
         has when from your but if we our a he she they his her their",
    ),
    ("es", "el la que de y en no mi un una por con para los se es lo me las está del su"),
    ("fi", "ja on ei että minun en mutta se kun ole minä mitä miten voin tämä olen niin kuin"),
    ("fr", "le la les et je est pas que un une pour mon ma de des dans vous ne sur avec ce du au il elle"),
    ("hu", "a az és nem hogy egy van de is ez meg én csak már mi volt kell"),
    ("id", "yang dan di saya tidak ini itu untuk dengan ke dari ada apa bisa akan"),
    ("it", "il la che di e non un una per mi mio mia sono con del le ho lo come si gli"),
    ("nl", "de het een en ik is niet van mijn dat op te voor met je zijn wat maar er u"),
    ("no", "og jeg det er ikke å en til på med har hva kan min deg vi av som der"),
    ("pl", "i w nie na się że jest do z to jak mi mój moja po czy dla ale co o"),
    ("pt", "o a que de e não um uma para com meu minha os do da em por se eu está"),
    ("ro", "și nu este la de pe că un o cu mai în care am pentru ce să sunt"),
    ("sv", "och jag det är inte att en till på med har vad kan min mig vi av som"),
    ("tr", "ve bir bu için ne ben mi çok değil ama da de var benim nasıl"),
];
/// So many small words of one language, and more than of any other, tell it.
const SMALL_WORDS_MIN: usize = 2;

static WORDS: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let mut languages_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (language, words) in SMALL_WORDS {
        words.split_whitespace().for_each(|word| languages_of.entry(word).or_default().push(language));
    }
    languages_of
});

static DETECTOR: LazyLock<Detector> =
    LazyLock::new(|| Detector::with_allowlist(KNOWN.iter().map(|(language, _)| *language).collect()));

/// The languages of a text (ISO 639-1), the one with the most letters first; several where its sentences differ. A text
/// that tells none is [`UNDETERMINED`]. Of a long text the beginning is looked at.
///
/// ```
/// let mixed = "My card was stolen yesterday at the central station.\nBitte sperren Sie meine Karte sofort, vielen Dank.";
/// assert_eq!(attestune_pii::languages(mixed), ["en", "de"]);
/// assert_eq!(attestune_pii::languages("4111 1111 1111 1111"), ["und"]);
/// ```
pub fn languages(text: &str) -> Vec<&'static str> {
    let mut letters_of: BTreeMap<&'static str, usize> = BTreeMap::new();
    for piece in pieces(text) {
        if let Some(language) = language(piece) {
            *letters_of.entry(language).or_default() += letters(piece);
        }
    }
    if letters_of.is_empty() {
        let whole = &text[..text.floor_char_boundary(PIECE_BYTES_MAX)];
        letters_of.extend(language(whole).map(|language| (language, 1)));
    }
    let mut found: Vec<(&str, usize)> = letters_of.into_iter().collect();
    found.sort_by_key(|&(language, letters)| (Reverse(letters), language));
    match found.is_empty() {
        true => vec![UNDETERMINED],
        false => found.into_iter().map(|(language, _)| language).collect(),
    }
}

/// Sentences and lines, short ones with those that follow.
fn pieces(text: &str) -> Vec<&str> {
    let is_end = |c: char| matches!(c, '.' | '!' | '?' | '\n' | '\u{2028}' | '\u{2029}' | '。' | '！' | '？' | '।');
    let mut pieces = Vec::new();
    let (mut start, mut end, mut count) = (0, 0, 0);
    for sentence in text.split_inclusive(is_end) {
        end += sentence.len();
        count += letters(sentence);
        if count >= LETTERS_MIN {
            pieces.push(&text[start..end]);
            (start, count) = (end, 0);
        }
        if pieces.len() >= PIECES_MAX {
            return pieces;
        }
    }
    if count >= LETTERS_LEAST {
        pieces.push(&text[start..end]);
    }
    pieces
}

fn language(piece: &str) -> Option<&'static str> {
    let piece = &piece[..piece.floor_char_boundary(PIECE_BYTES_MAX)];
    by_small_words(piece).or_else(|| by_letters(piece))
}

/// The language whose small words are the most, if no other has as many.
fn by_small_words(piece: &str) -> Option<&'static str> {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for word in piece.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
        let languages = WORDS.get(word.to_lowercase().as_str()).into_iter().flatten();
        languages.for_each(|language| *counts.entry(language).or_default() += 1);
    }
    let (&language, &most) = counts.iter().max_by_key(|(_, count)| **count)?;
    let alone = counts.values().filter(|count| **count == most).count() == 1;
    (alone && most >= SMALL_WORDS_MIN).then_some(language)
}

fn by_letters(piece: &str) -> Option<&'static str> {
    let info = DETECTOR.detect(piece).filter(|info| info.is_reliable() && letters(piece) >= LETTERS_LEAST)?;
    KNOWN.iter().find(|(language, _)| *language == info.lang()).map(|(_, code)| *code)
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphabetic()).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_texts_have_their_language() {
        for (text, language) in [
            ("Could you send me a list of all fees that apply to business customers?", "en"),
            ("Könnten Sie mir bitte eine Liste aller Gebühren für Geschäftskunden schicken?", "de"),
            ("¿Me podrían enviar una lista de todas las comisiones para empresas, por favor?", "es"),
            ("Potreste inviarmi un elenco di tutte le commissioni per i clienti aziendali?", "it"),
            ("Czy mogliby Państwo przesłać mi listę wszystkich opłat dla klientów firmowych?", "pl"),
            ("เลขประจำตัวประชาชนของฉันหายไปเมื่อวานนี้", "th"),
            ("사업자등록번호는 무엇입니까 알려 주세요", "ko"),
        ] {
            assert_eq!(languages(text), [language], "{text}");
        }
    }

    #[test]
    fn a_text_that_says_too_little_has_none() {
        for text in ["", "ok", "12 34", "x y z", "?!", "$$$ 4111"] {
            assert_eq!(languages(text), [UNDETERMINED], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_one_language_or_more_each_once(text in "\\PC{0,200}|[a-z ]{0,60}(\\n[а-я ]{0,60}){0,3}") {
            let found = languages(&text);
            let distinct: std::collections::BTreeSet<_> = found.iter().collect();
            prop_assert!(!found.is_empty() && distinct.len() == found.len(), "{:?}", found);
            prop_assert_eq!(languages(&text), found);
        }
    }
}
