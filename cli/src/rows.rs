//! Documents from files: CSV and JSONL by row, text and Markdown as a whole. A document is a JSON object.

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Map, Value};
use std::path::Path;

/// Most characters of one value; what is longer is a mistake more often than a document.
pub const VALUE_CHARS_MAX: usize = 1_000_000;

/// Reads the documents of a file, in order; how is told by the file's extension.
///
/// # Errors
/// Names the file, and row and column where there are any: not UTF-8, not CSV or JSON, too long, or empty.
pub fn read(path: &Path) -> anyhow::Result<Vec<Map<String, Value>>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    let rows = match extension.as_str() {
        "csv" => csv(&bytes),
        "jsonl" | "ndjson" => jsonl(&bytes),
        "txt" | "md" | "markdown" => whole(&bytes),
        other => Err(anyhow!("files of type `{other}` are not read; .csv, .jsonl, .txt and .md are")),
    };
    let rows = rows.with_context(|| path.display().to_string())?;
    if rows.is_empty() {
        bail!("{}: the file is empty: there is nothing to ingest", path.display());
    }
    Ok(rows)
}

fn csv(bytes: &[u8]) -> anyhow::Result<Vec<Map<String, Value>>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let columns = reader.byte_headers().map_err(|error| anyhow!("the head line cannot be read: {error}"))?.clone();
    let columns: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, name)| {
            Ok(std::str::from_utf8(name).map_err(|_| anyhow!("row 1, column {}: not UTF-8", at + 1))?.trim().to_owned())
        })
        .collect::<anyhow::Result<_>>()?;
    for (at, name) in columns.iter().enumerate() {
        if name.is_empty() {
            bail!("row 1, column {}: the column has no name", at + 1);
        }
        if columns[..at].contains(name) {
            bail!("row 1, column {}: the name `{name}` stands twice", at + 1);
        }
    }
    let mut rows = Vec::new();
    let mut record = csv::ByteRecord::new();
    loop {
        let row = rows.len() + 2;
        if !reader.read_byte_record(&mut record).map_err(|error| anyhow!("row {row}: {error}"))? {
            return Ok(rows);
        }
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != columns.len() {
            let missing = columns.get(record.len()).map_or(String::new(), |name| format!(", `{name}` is missing"));
            bail!(
                "row {row} (line {line}): {} columns, {} are expected{missing}; is a quote unclosed?",
                record.len(),
                columns.len()
            );
        }
        let mut document = Map::new();
        for (name, cell) in columns.iter().zip(&record) {
            let text = std::str::from_utf8(cell).map_err(|error| {
                anyhow!("row {row} (line {line}), column `{name}`: not UTF-8 at byte {} of the cell; save the file as UTF-8", error.valid_up_to())
            })?;
            check_length(text).with_context(|| format!("row {row} (line {line}), column `{name}`"))?;
            document.insert(name.clone(), Value::String(text.to_owned()));
        }
        rows.push(document);
    }
}

fn jsonl(bytes: &[u8]) -> anyhow::Result<Vec<Map<String, Value>>> {
    let mut rows = Vec::new();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| anyhow!("line {line}: not UTF-8 at byte {}", error.valid_up_to()))?;
        if text.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| anyhow!("line {line}, column {}: not JSON: {error}", error.column()))?;
        let Value::Object(document) = value else {
            bail!("line {line}: an object is expected, such as {{\"text\": \"...\"}}")
        };
        for (name, value) in &document {
            if let Value::String(text) = value {
                check_length(text).with_context(|| format!("line {line}, `{name}`"))?;
            }
        }
        rows.push(document);
    }
    Ok(rows)
}

fn whole(bytes: &[u8]) -> anyhow::Result<Vec<Map<String, Value>>> {
    let text = std::str::from_utf8(bytes).map_err(|error| anyhow!("not UTF-8 at byte {}", error.valid_up_to()))?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    check_length(text)?;
    Ok(vec![Map::from_iter([("text".to_owned(), Value::String(text.to_owned()))])])
}

fn check_length(text: &str) -> anyhow::Result<()> {
    let chars = text.chars().count();
    if chars > VALUE_CHARS_MAX {
        bail!("{chars} characters; {VALUE_CHARS_MAX} are allowed: split it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(name: &str, bytes: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_row_of_csv_is_an_object_of_its_columns() {
        let rows = read_as("a.csv", b"\xef\xbb\xbftext,intent\n\"a, \"\"b\"\"\nc\",x\n").unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["text"], "a, \"b\"\nc");
        assert_eq!(rows[0]["intent"], "x");
    }

    #[test]
    fn unreadable_csv_names_row_and_column() {
        let error = read_as("a.csv", b"text,intent\na,b\nc\n").unwrap_err();
        assert!(error.contains("row 3 (line 3): 1 columns, 2 are expected, `intent` is missing"), "{error}");
        let error = read_as("a.csv", b"text,intent\na,b\nc,\xff\xfe\n").unwrap_err();
        assert!(error.contains("row 3 (line 3), column `intent`: not UTF-8 at byte 0"), "{error}");
        let error = read_as("a.csv", b"text,text\n").unwrap_err();
        assert!(error.contains("row 1, column 2: the name `text` stands twice"), "{error}");
    }

    #[test]
    fn a_cell_that_is_too_long_is_refused_by_name() {
        let mut bytes = b"id,text\n1,".to_vec();
        bytes.resize(bytes.len() + 10_000_000, b'x');
        let error = read_as("a.csv", &bytes).unwrap_err();
        assert!(error.contains("row 2 (line 2), column `text`: 10000000 characters; 1000000 are allowed"), "{error}");
    }

    #[test]
    fn an_empty_file_is_an_error_whatever_its_type() {
        for (name, bytes) in
            [("a.csv", &b""[..]), ("a.csv", b"text,intent\n"), ("a.jsonl", b"\n"), ("a.txt", b" "), ("a.md", b"")]
        {
            let error = read_as(name, bytes).unwrap_err();
            assert!(error.contains("the file is empty"), "{name}: {error}");
        }
    }

    #[test]
    fn jsonl_names_the_line() {
        assert_eq!(read_as("a.jsonl", b"{\"text\":\"a\"}\n\n{\"text\":\"b\",\"n\":1}").unwrap().len(), 2);
        assert!(read_as("a.jsonl", b"{\"a\":1}\n{").unwrap_err().contains("line 2, column"));
        assert!(read_as("a.jsonl", b"[1]").unwrap_err().contains("line 1: an object is expected"));
    }

    #[test]
    fn text_and_markdown_are_one_document() {
        assert_eq!(read_as("a.md", b"# Title\n\ntext").unwrap()[0]["text"], "# Title\n\ntext");
        assert!(read_as("a.txt", b"\xff").unwrap_err().contains("not UTF-8 at byte 0"));
        assert!(read_as("a.docx", b"x").unwrap_err().contains("`docx` are not read"));
    }
}
