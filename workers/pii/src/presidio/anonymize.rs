//! The anonymizer: `/anonymize`, `/deanonymize` and the lists of their operators.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    ApiError,
    operate::{Asked, Way},
    spans::{Span, standing, wrong_type},
};

/// `POST /anonymize`: the text with each result written anew, and what stands where.
///
/// # Errors
/// As Presidio has them: 400 for what is no such request, 422 for a field that can't be used.
pub fn anonymize(body: &[u8]) -> Result<Value, ApiError> {
    let request = request(body)?;
    let operators = operators(&request["anonymizers"], Way::Anonymize)?;
    let missing = || ApiError::invalid("Invalid input, request must contain analyzer results");
    let results = request.get("analyzer_results").filter(|results| !results.is_null()).ok_or_else(missing)?;
    let spans = spans(results, true)?;
    let text = text(&request)?;
    write(&text, standing(&text, spans), &operators, Some(&Asked::replace()))
}

/// `POST /deanonymize`: the text with each result as it was.
///
/// # Errors
/// As [`anonymize`].
pub fn deanonymize(body: &[u8]) -> Result<Value, ApiError> {
    let request = request(body)?;
    let operators = operators(&request["deanonymizers"], Way::Deanonymize)?;
    let mut spans = spans(&request["anonymizer_results"], false)?;
    spans.sort_by_key(|span| (span.start, span.end));
    write(&text(&request)?, spans, &operators, None)
}

/// `GET /anonymizers`: the operators.
pub fn anonymizers() -> Value {
    json!(Way::Anonymize.operators())
}

/// `GET /deanonymizers`: the operators that turn another's work back.
pub fn deanonymizers() -> Value {
    json!(Way::Deanonymize.operators())
}

fn request(body: &[u8]) -> Result<Value, ApiError> {
    let request: Option<Value> = serde_json::from_slice(body).ok();
    let is_something = |request: &Value| request.as_object().is_some_and(|fields| !fields.is_empty());
    request.filter(is_something).ok_or_else(|| ApiError::bad_request("Invalid request json"))
}

fn text(request: &Value) -> Result<Vec<char>, ApiError> {
    match &request["text"] {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(text.chars().collect()),
        other => Err(wrong_type("text", "string", other)),
    }
}

fn operators(value: &Value, way: Way) -> Result<BTreeMap<String, Asked>, ApiError> {
    match value {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(fields) => {
            fields.iter().map(|(entity, asked)| Ok((entity.clone(), Asked::read(asked, way)?))).collect()
        }
        other => Err(wrong_type("anonymizers", "object", other)),
    }
}

fn spans(value: &Value, with_score: bool) -> Result<Vec<Span>, ApiError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(results) => results.iter().map(|result| Span::read(result, with_score)).collect(),
        other => Err(wrong_type("analyzer_results", "array", other)),
    }
}

/// Writes the spans anew; one that reaches into the next gives way to it there. The items are listed from the text's
/// end, as Presidio lists them.
fn write(
    text: &[char],
    spans: Vec<Span>,
    operators: &BTreeMap<String, Asked>,
    otherwise: Option<&Asked>,
) -> Result<Value, ApiError> {
    let (mut written, mut length, mut at) = (String::new(), 0, 0);
    let mut items = Vec::with_capacity(spans.len());
    for (place, span) in spans.iter().enumerate() {
        span.within(text.len())?;
        let operator = operators.get(&span.entity).or_else(|| operators.get("DEFAULT")).or(otherwise);
        let none = || ApiError::invalid(format!("Invalid input, no operator is given for {}", span.entity));
        let operator = operator.ok_or_else(none)?;
        let value: String = text[span.start..span.end].iter().collect();
        let new = operator.write(&span.entity, &value)?;

        let before = &text[at.min(span.start)..span.start];
        written.extend(before);
        let start = length + before.len();
        length = start + new.chars().count();
        written.push_str(&new);
        let next = spans.get(place + 1).map_or(text.len(), |next| next.start);
        at = span.end.min(next).max(at);
        let (entity, operator) = (&span.entity, &operator.name);
        items.push(json!({ "start": start, "end": length, "entity_type": entity, "text": new, "operator": operator }));
    }
    written.extend(&text[at..]);
    items.reverse();
    Ok(json!({ "text": written, "items": items }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &Value) -> Result<Value, (u16, String)> {
        anonymize(request.to_string().as_bytes()).map_err(|error| (error.status, error.message))
    }

    fn result(entity: &str, start: u64, end: u64) -> Value {
        json!({ "start": start, "end": end, "score": 0.8, "entity_type": entity })
    }

    /// The request and the answer of Presidio's API documentation, the places as its anonymizer counts them.
    #[test]
    fn the_documented_request_has_the_documented_answer() {
        let request = json!({
            "text": "hello world, my name is Jane Doe. My number is: 034453334",
            "anonymizers": {
                "PERSON": { "type": "redact" },
                "PHONE_NUMBER": { "type": "replace", "new_value": "ANONYMIZED" },
            },
            "analyzer_results": [result("PERSON", 24, 32), result("PHONE_NUMBER", 48, 57)],
        });
        let answer = asked(&request).unwrap();
        assert_eq!(answer["text"], "hello world, my name is . My number is: ANONYMIZED");
        let item = |entity: &str, operator: &str, start: u64, end: u64, text: &str| json!({ "operator": operator, "entity_type": entity, "start": start, "end": end, "text": text });
        let phone = item("PHONE_NUMBER", "replace", 40, 50, "ANONYMIZED");
        assert_eq!(answer["items"], json!([phone, item("PERSON", "redact", 24, 24, "")]));
    }

    #[test]
    fn operators_write_what_presidios_do() {
        let written = |operator: Value| {
            let request = json!({ "text": "é 034453334!", "anonymizers": { "DEFAULT": operator },
                                  "analyzer_results": [result("PHONE_NUMBER", 2, 11)] });
            asked(&request).map(|answer| answer["text"].as_str().unwrap().to_owned())
        };
        let mask =
            |from_end: bool| json!({ "type": "mask", "masking_char": "*", "chars_to_mask": 4, "from_end": from_end });
        assert_eq!(written(mask(true)).unwrap(), "é 03445****!");
        assert_eq!(written(mask(false)).unwrap(), "é ****53334!");
        assert_eq!(written(json!({ "type": "replace" })).unwrap(), "é <PHONE_NUMBER>!");
        assert_eq!(written(json!({ "type": "keep" })).unwrap(), "é 034453334!");
        let salted = json!({ "type": "hash", "salt": "0123456789abcdef" });
        // printf '0344533340123456789abcdef' | sha256sum
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("0344533340123456789abcdef"));
        assert_eq!(written(salted).unwrap(), format!("é {digest}!"));
        assert_ne!(written(json!({ "type": "hash" })).unwrap(), written(json!({ "type": "hash" })).unwrap());
        let error = |operator: Value| written(operator).unwrap_err();
        assert_eq!(error(json!({})).0, 422);
        assert_eq!(error(json!({ "type": "magic" })), (422, "Invalid operator class 'magic'.".into()));
        assert_eq!(error(json!({ "type": "custom" })), (400, "Custom type anonymizer is not supported".into()));
        assert_eq!(
            error(json!({ "type": "mask", "masking_char": "*" })),
            (422, "Expected parameter chars_to_mask".into())
        );
        assert_eq!(error(json!({ "type": "hash", "hash_type": "md5" })).0, 422);
        let key = "Invalid input, key must be of length 128, 192 or 256 bits";
        assert_eq!(error(json!({ "type": "encrypt", "key": "short" })), (422, key.into()));
    }

    #[test]
    fn what_is_encrypted_is_decrypted_by_the_items_of_the_answer() {
        let (text, key) = ("My name is Zoë, ok", "3t6w9z$C&F)J@NcR");
        let request = json!({ "text": text, "anonymizers": { "DEFAULT": { "type": "encrypt", "key": key } },
                              "analyzer_results": [result("PERSON", 11, 14)] });
        let hidden = asked(&request).unwrap();
        assert!(!hidden["text"].as_str().unwrap().contains("Zoë"));
        let back = json!({ "text": hidden["text"], "anonymizer_results": hidden["items"],
                           "deanonymizers": { "PERSON": { "type": "decrypt", "key": key } } });
        let shown = deanonymize(back.to_string().as_bytes()).unwrap();
        assert_eq!(shown["text"], text);
        let item = json!({ "start": 11, "end": 14, "entity_type": "PERSON", "text": "Zoë", "operator": "decrypt" });
        assert_eq!(shown["items"], json!([item]));
        let other = back.to_string().replace(key, "1111111111111111");
        assert_eq!(deanonymize(other.as_bytes()).unwrap_err().status, 422);
    }

    #[test]
    fn results_that_overlap_in_part_are_both_written() {
        let request = json!({ "text": "0123456789", "analyzer_results": [result("A", 1, 5), result("B", 3, 8)] });
        assert_eq!(asked(&request).unwrap()["text"], "0<A><B>89");
    }

    #[test]
    fn what_cannot_be_used_is_refused_as_presidio_does() {
        let error = |request: Value| asked(&request).unwrap_err();
        assert_eq!(anonymize(b"{").unwrap_err().status, 400);
        assert_eq!(error(json!({})), (400, "Invalid request json".into()));
        let none = "Invalid input, request must contain analyzer results";
        assert_eq!(error(json!({ "text": "a" })), (422, none.into()));
        let past = json!({ "text": "", "analyzer_results": [result("NAME", 24, 32)] });
        let message = "Invalid analyzer result, start: 24 and end: 32, while text length is only 0.";
        assert_eq!(error(past), (422, message.into()));
        let with = |result: Value| error(json!({ "text": "abcdef", "analyzer_results": [result] })).0;
        assert_eq!(with(json!({ "start": 3, "end": 1, "score": 1, "entity_type": "A" })), 422);
        assert_eq!(with(json!({ "start": "3", "end": 4, "score": 1, "entity_type": "A" })), 422);
        assert_eq!(with(json!({ "start": -1, "end": 4, "score": 1, "entity_type": "A" })), 422);
        assert_eq!(with(json!({ "start": 1, "end": 4, "entity_type": "A" })), 422);
        assert_eq!(with(json!({ "start": 1, "end": 4, "score": 1 })), 422);
        let unchanged = json!({ "text": "hello world", "analyzer_results": [] });
        assert_eq!(asked(&unchanged).unwrap(), json!({ "text": "hello world", "items": [] }));
    }
}
