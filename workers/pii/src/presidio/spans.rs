//! The results that a client hands in, checked, and which of them stand.

use serde_json::Value;

use super::ApiError;

/// A result of an analyzer, in code points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) entity: String,
    pub(super) score: Option<f64>,
}

impl Span {
    /// A result as the client wrote it.
    pub(super) fn read(value: &Value, with_score: bool) -> Result<Self, ApiError> {
        let place = |field: &str| {
            let value = value.get(field).filter(|value| !value.is_null());
            let value =
                value.ok_or_else(|| ApiError::invalid(format!("Invalid input, result must contain {field}")))?;
            value.as_i64().ok_or_else(|| wrong_type(field, "number", value))
        };
        let (start, end) = (place("start")?, place("end")?);
        let entity = value.get("entity_type").and_then(Value::as_str).filter(|entity| !entity.is_empty());
        let entity = entity.ok_or_else(|| ApiError::invalid("Invalid input, result must contain entity_type"))?;
        if start < 0 || end < 0 {
            return Err(ApiError::invalid("Invalid input, result start and end must be positive"));
        }
        if start > end {
            let message = format!("Invalid input, start index '{start}' must be smaller than end index '{end}'");
            return Err(ApiError::invalid(message));
        }
        let score = value.get("score").and_then(Value::as_f64);
        if with_score && score.is_none() {
            return Err(ApiError::invalid("Invalid input, analyzer result must contain score"));
        }
        Ok(Self { start: start as usize, end: end as usize, entity: entity.to_owned(), score })
    }

    pub(super) fn within(&self, length: usize) -> Result<(), ApiError> {
        if self.end <= length {
            return Ok(());
        }
        let (start, end) = (self.start, self.end);
        Err(ApiError::invalid(format!(
            "Invalid analyzer result, start: {start} and end: {end}, while text length is only {length}."
        )))
    }
}

/// A parameter of another type than the one expected, in JSON's words.
pub(super) fn wrong_type(field: &str, expected: &str, value: &Value) -> ApiError {
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let message = format!("Invalid parameter value for {field}. Expecting '{expected}', but got '{actual}'.");
    ApiError::invalid(message)
}

/// The results that stand, by position: those of one kind that share a character are one, one inside another gives way
/// (of two at the same place the surer stands, then the later), and neighbours of one kind with nothing but spaces
/// between them are one. Two of different kinds may still overlap in part.
pub(super) fn standing(text: &[char], mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.start, span.end));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        let same = merged.iter_mut().rev().find(|other| other.entity == span.entity);
        match same.filter(|other| span.start < other.end && other.start < span.end) {
            Some(other) => {
                other.end = other.end.max(span.end);
                other.score = other.score.into_iter().chain(span.score).reduce(f64::max);
            }
            None => merged.push(span),
        }
    }
    let mut whole: Vec<Span> = Vec::with_capacity(merged.len());
    merged.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    for span in merged {
        match whole.last_mut() {
            Some(last) if (last.start, last.end) == (span.start, span.end) => {
                if span.score >= last.score {
                    *last = span;
                }
            }
            Some(last) if span.end <= last.end => {}
            _ => whole.push(span),
        }
    }
    let mut standing: Vec<Span> = Vec::with_capacity(whole.len());
    for span in whole {
        match standing.last_mut() {
            Some(last) if last.entity == span.entity && are_spaces(text, last.end, span.start) => last.end = span.end,
            _ => standing.push(span),
        }
    }
    standing
}

fn are_spaces(text: &[char], from: usize, to: usize) -> bool {
    text.get(from..to).is_some_and(|gap| !gap.is_empty() && gap.iter().all(|c| *c == ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(entity: &str, start: usize, end: usize, score: f64) -> Span {
        Span { start, end, entity: entity.to_owned(), score: Some(score) }
    }

    fn stand(spans: Vec<Span>) -> Vec<(String, usize, usize)> {
        let text: Vec<char> = "0123 56789".chars().collect();
        standing(&text, spans).into_iter().map(|s| (s.entity, s.start, s.end)).collect()
    }

    #[test]
    fn one_inside_another_gives_way_and_the_surer_of_two_at_one_place_stands() {
        let inside = vec![span("NAME", 0, 8, 0.8), span("FIRST", 0, 4, 0.8), span("LAST", 5, 8, 0.9)];
        assert_eq!(stand(inside), [("NAME".to_owned(), 0, 8)]);
        let same = vec![span("A", 0, 3, 0.9), span("B", 0, 3, 0.5), span("C", 5, 7, 0.5), span("D", 5, 7, 0.5)];
        assert_eq!(stand(same), [("A".to_owned(), 0, 3), ("D".to_owned(), 5, 7)]);
    }

    #[test]
    fn those_of_one_kind_that_overlap_or_have_spaces_between_them_are_one() {
        assert_eq!(stand(vec![span("A", 0, 3, 0.1), span("A", 2, 6, 0.2)]), [("A".to_owned(), 0, 6)]);
        assert_eq!(stand(vec![span("A", 0, 4, 0.1), span("A", 5, 9, 0.2)]), [("A".to_owned(), 0, 9)]);
        assert_eq!(stand(vec![span("A", 0, 3, 0.1), span("A", 3, 6, 0.2)]).len(), 2, "touching is not overlapping");
    }
}
