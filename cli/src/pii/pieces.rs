//! The texts of a file, one after another, so that a file of any size is read with little memory.

use crate::problem;
use anyhow::{Context as _, anyhow};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A text file is read in pieces of at least so many bytes, cut at a line's end.
const PIECE_BYTES: usize = 1 << 20;

/// A text with its place in the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// The line that it begins on, from 1.
    pub line: u64,
    /// The column's name, or the path within the object; empty for a file of text.
    pub field: String,
    pub text: String,
}

impl AsRef<str> for Piece {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

type Pieces = Box<dyn Iterator<Item = anyhow::Result<Piece>>>;

/// The texts of a file; its extension tells how: `.csv`, `.jsonl` and `.ndjson`, anything else is text.
///
/// # Errors
/// The file cannot be opened. A later error, such as bytes that are not UTF-8, ends the texts.
pub fn read(path: &Path) -> anyhow::Result<Pieces> {
    let file = File::open(path).map_err(|error| {
        problem::cannot(format!("cannot read {}: {error}", path.display()), "name a file of CSV, JSONL or text")
    })?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    let file = BufReader::new(file);
    match extension.as_str() {
        "csv" => csv(file),
        "jsonl" | "ndjson" => Ok(jsonl(file)),
        _ => Ok(plain(file)),
    }
}

fn csv(file: impl BufRead + 'static) -> anyhow::Result<Pieces> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let head = reader.byte_headers().context("the head line cannot be read")?;
    let names: Vec<String> = head.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let records = reader.into_byte_records().flat_map(move |record| {
        let cells = |record: csv::ByteRecord| {
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |(at, cell): (usize, &[u8])| {
                let field = names.get(at).cloned().unwrap_or_else(|| format!("column {}", at + 1));
                let text = utf8(cell.to_vec()).with_context(|| format!("line {line}, column `{field}`"))?;
                Ok(Piece { line, field, text })
            };
            record.iter().enumerate().map(cell).collect::<Vec<_>>()
        };
        record.map_or_else(|error| vec![Err(error.into())], cells)
    });
    Ok(Box::new(records))
}

fn jsonl(file: impl BufRead + 'static) -> Pieces {
    let lines = (1..).zip(file.split(b'\n')).flat_map(|(line, bytes)| {
        let texts = || -> anyhow::Result<Vec<Piece>> {
            let bytes = bytes?;
            let mut texts = Vec::new();
            if !bytes.trim_ascii().is_empty() {
                let value: Value = serde_json::from_slice(&bytes).map_err(|error| anyhow!("not JSON: {error}"))?;
                strings(&value, String::new(), line, &mut texts);
            }
            Ok(texts)
        };
        match texts() {
            Ok(texts) => texts.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error.context(format!("line {line}")))],
        }
    });
    Box::new(lines)
}

/// Every string inside, with its path: `messages[0].content`. The reader bounds how deep values lie in each other.
fn strings(value: &Value, path: String, line: u64, texts: &mut Vec<Piece>) {
    match value {
        Value::String(text) => texts.push(Piece { line, field: path, text: text.clone() }),
        // A number may be a card's or an account's.
        Value::Number(number) => texts.push(Piece { line, field: path, text: number.to_string() }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| strings(item, format!("{path}[{at}]"), line, texts));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            strings(value, path, line, texts);
        }),
        Value::Null | Value::Bool(_) => {}
    }
}

fn plain(mut file: impl BufRead + 'static) -> Pieces {
    let mut line = 1;
    let next = move || -> Option<anyhow::Result<Piece>> {
        let mut bytes = Vec::new();
        while bytes.len() < PIECE_BYTES {
            match file.read_until(b'\n', &mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Some(Err(error.into())),
            }
        }
        if bytes.is_empty() {
            return None;
        }
        let from = line;
        line += bytes.iter().filter(|&&b| b == b'\n').count() as u64;
        let text = utf8(bytes).with_context(|| format!("between line {from} and line {line}"));
        Some(text.map(|text| Piece { line: from, field: String::new(), text }))
    };
    Box::new(std::iter::from_fn(next))
}

fn utf8(bytes: Vec<u8>) -> anyhow::Result<String> {
    let broken = |error: std::string::FromUtf8Error| {
        anyhow!("not UTF-8 at byte {}; save the file as UTF-8", error.utf8_error().valid_up_to())
    };
    String::from_utf8(bytes).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pieces: Pieces) -> Vec<(u64, String, String)> {
        pieces.map(|piece| piece.map(|p| (p.line, p.field, p.text)).unwrap()).collect()
    }

    #[test]
    fn cells_and_strings_are_texts_with_their_place() {
        let cells = texts(csv(&b"id,note\n1,\"a\nb\"\n2,c,d\n"[..]).unwrap());
        let cells: Vec<_> = cells.iter().map(|(line, field, text)| (*line, field.as_str(), text.as_str())).collect();
        let expected = [(2, "id", "1"), (2, "note", "a\nb"), (4, "id", "2"), (4, "note", "c"), (4, "column 3", "d")];
        assert_eq!(cells, expected);
        let strings = texts(jsonl(&b"{\"m\":[{\"c\":\"x\"},7],\"n\":null}\n\n\"y\"\n"[..]));
        let strings: Vec<_> =
            strings.iter().map(|(line, field, text)| (*line, field.as_str(), text.as_str())).collect();
        assert_eq!(strings, [(1, "m[0].c", "x"), (1, "m[1]", "7"), (3, "", "y")]);
    }

    #[test]
    fn a_long_text_is_cut_at_the_ends_of_lines_and_none_is_lost() {
        let text = "0123456789\n".repeat(200_000);
        let pieces = texts(plain(std::io::Cursor::new(text.clone())));
        assert!(pieces.len() > 1);
        assert_eq!(pieces.iter().map(|(.., piece)| piece.as_str()).collect::<String>(), text);
        assert_eq!(pieces[1].0, 1 + pieces[0].2.matches('\n').count() as u64);
    }
}
