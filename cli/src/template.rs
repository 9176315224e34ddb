//! Templates with named columns: `Ticket: {text}\nIntent:`.

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The two templates of a derivation, as they are sealed beside the examples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    /// What the model is shown.
    pub prompt: String,
    /// What it shall answer.
    pub answer: String,
}

/// Turns `\n`, `\t` and `\\` into what they stand for, as shells pass them on unread.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let escaped = if char == '\\' { chars.peek().copied() } else { None };
        match escaped {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('\\') => out.push('\\'),
            _ => {
                out.push(char);
                continue;
            }
        }
        chars.next();
    }
    out
}

/// Fills `{column}` with the document's values; `{{` and `}}` are braces.
///
/// # Errors
/// If a brace is unclosed, or the document has no such column, or it holds neither text, number nor truth.
pub fn fill(template: &str, document: &Map<String, Value>) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if let Some(after) = tail.strip_prefix("{{") {
            out.push('{');
            rest = after;
        } else if let Some(after) = tail.strip_prefix("}}") {
            out.push('}');
            rest = after;
        } else {
            let (name, after) = tail
                .strip_prefix('{')
                .and_then(|tail| tail.split_once('}'))
                .ok_or_else(|| anyhow!("a brace of the template has no partner; write {{{{ or }}}} for a brace"))?;
            out.push_str(&value(name, document)?);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value(name: &str, document: &Map<String, Value>) -> anyhow::Result<String> {
    match document.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(truth)) => Ok(truth.to_string()),
        Some(_) => bail!("column `{name}` holds neither text, number nor truth"),
        None => {
            let mut names: Vec<_> = document.keys().map(String::as_str).collect();
            names.sort_unstable();
            bail!("the template names column `{name}`; the document has {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Map<String, Value> {
        Map::from_iter([("text".into(), "lost {card}".into()), ("n".into(), 3.into()), ("l".into(), Value::Null)])
    }

    #[test]
    fn columns_are_filled_and_their_values_are_no_templates() {
        let text = fill(&unescape(r"Ticket {n}: {text}\nIntent:"), &document()).unwrap();
        assert_eq!(text, "Ticket 3: lost {card}\nIntent:");
        assert_eq!(fill("{{{n}}}", &document()).unwrap(), "{3}");
    }

    #[test]
    fn an_unknown_column_is_named_with_those_that_exist() {
        let error = fill("{txt}", &document()).unwrap_err().to_string();
        assert!(error.contains("`txt`; the document has l, n, text"), "{error}");
        assert!(fill("{text", &document()).is_err());
        assert!(fill("a } b", &document()).is_err());
        assert!(fill("{l}", &document()).is_err());
    }

    #[test]
    fn escapes_are_read_once() {
        assert_eq!(unescape(r"a\nb\\n\q\"), "a\nb\\n\\q\\");
    }
}
