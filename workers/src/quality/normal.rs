//! Texts reduced to what counts when they are compared.

/// The text in lower case, its runs of letters and digits separated by one space. A text of
/// marks alone (`???`) stays as it is, so that two such texts are not the same by accident.
///
/// Composed and decomposed accents (Unicode NFC and NFD) are not made the same.
pub(super) fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join(" ");
    if joined.is_empty() { text.trim().to_owned() } else { joined }
}

/// Whether the text has no visible character: only spaces, controls and marks without width.
pub(super) fn is_blank(text: &str) -> bool {
    let is_invisible = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    text.chars().all(is_invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_spaces_and_punctuation_do_not_count() {
        assert_eq!(normalised("  Wo ist—MEINE Karte?! "), "wo ist meine karte");
        assert_eq!(normalised("ÉTÉ 2024"), "été 2024");
    }

    #[test]
    fn marks_alone_stay_what_they_are() {
        assert_eq!(normalised(" ??? "), "???");
        assert_ne!(normalised("😀"), normalised("😡"));
    }

    #[test]
    fn marks_without_width_are_blank_and_others_are_not() {
        assert!(is_blank("\u{feff} \u{200b}\n"));
        assert!(!is_blank("."));
        assert!(is_blank(""));
    }
}
