//! Writing a text again without its findings.

use crate::Finding;

/// The text with every finding's span replaced by its entity's tag, such as `<EMAIL>`.
///
/// Findings may come in any order. Where two overlap, the union is replaced by the tag of the
/// one that starts first. What lies past the text's end is ignored.
pub fn redact(text: &str, findings: &[Finding]) -> String {
    let mut findings: Vec<&Finding> = findings.iter().filter(|f| f.start < f.end).collect();
    findings.sort_by_key(|f| (f.start, f.end));

    let mut redacted = String::with_capacity(text.len());
    let mut hidden_until = 0;
    let mut next = findings.into_iter().peekable();
    for (at, character) in text.chars().enumerate() {
        while let Some(finding) = next.next_if(|f| f.start as usize <= at) {
            if finding.start >= hidden_until {
                redacted.push_str(&finding.entity.tag());
            }
            hidden_until = hidden_until.max(finding.end);
        }
        if at >= hidden_until as usize {
            redacted.push(character);
        }
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entity;

    fn finding(entity: Entity, start: u32, end: u32) -> Finding {
        Finding { entity, start, end, score_ppm: 1, recognizer: "test" }
    }

    #[test]
    fn spans_count_code_points() {
        let findings = [finding(Entity::EMAIL, 2, 5)];
        assert_eq!(redact("ÄÖabc€", &findings), "ÄÖ<EMAIL>€");
    }

    #[test]
    fn overlapping_spans_are_hidden_together() {
        let findings = [finding(Entity::URL, 3, 6), finding(Entity::EMAIL, 1, 4)];
        assert_eq!(redact("0123456789", &findings), "0<EMAIL>6789");
    }

    #[test]
    fn touching_spans_keep_their_own_tags() {
        let findings = [finding(Entity::URL, 3, 6), finding(Entity::EMAIL, 1, 3)];
        assert_eq!(redact("0123456789", &findings), "0<EMAIL><URL>6789");
    }

    #[test]
    fn a_span_past_the_end_hides_what_there_is() {
        let findings = [finding(Entity::URL, 1, 99), finding(Entity::DATE, 100, 101)];
        assert_eq!(redact("abc", &findings), "a<URL>");
    }
}
