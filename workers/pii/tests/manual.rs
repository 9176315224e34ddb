//! The manual's table of recognizers is made of the recognizers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, fs};

use attestune_pii::{FoundBy, SAFE_HARBOR, recognizers};

// From the crate's folder, where tests run: clones share what was built, and one that built this may be gone.
const PAGE: &str = "../../docs/pii.md";

fn table() -> String {
    let mut lines = vec![
        "| kind | country | what is checked | check digits | score | with a context word |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    for r in recognizers() {
        let percent = |ppm: u32| format!("{:.2}", f64::from(ppm) / 1e6);
        let range = |(low, high): (u32, u32)| match low == high {
            true => percent(low),
            false => format!("{}–{}", percent(low), percent(high)),
        };
        let raised = |ppm: u32| (ppm + 350_000).clamp(400_000, 1_000_000);
        let supported = match r.context.is_empty() {
            true => r.scores_ppm,
            false => (raised(r.scores_ppm.0), raised(r.scores_ppm.1)),
        };
        let country = r.country.unwrap_or("any");
        let checks = r.checksums.join(", ");
        lines.push(format!(
            "| `{}` | {country} | {} | {checks} | {} | {} |",
            r.name,
            r.source,
            range(r.scores_ppm),
            range(supported)
        ));
    }
    lines.join("\n")
}

fn safe_harbor() -> String {
    let mut lines = vec!["| | identifier | found by | left to a person |".to_owned(), "|---|---|---|---|".to_owned()];
    for identifier in SAFE_HARBOR {
        let names = |entities: &[&str]| entities.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let found_by = match identifier.found_by {
            FoundBy::Patterns { entities } => format!("patterns: {}", names(entities)),
            FoundBy::Tagger { entities, and_patterns: [] } => format!("a tagger: {}", names(entities)),
            FoundBy::Tagger { entities, and_patterns } => {
                format!("a tagger: {}; patterns: {}", names(entities), names(and_patterns))
            }
            FoundBy::Person => "a person".to_owned(),
        };
        lines.push(format!(
            "| {} | {} | {found_by} | {} |",
            identifier.letter, identifier.what, identifier.left_to_a_person
        ));
    }
    lines.join("\n")
}

/// Between two marks of the page; with `ATTESTUNE_WRITE_DOCS=1` it is written anew.
#[test]
fn the_manual_lists_the_recognizers_of_this_build() {
    let page = fs::read_to_string(PAGE).unwrap();
    let mut expected = page.clone();
    for (name, table) in [("recognizers", table()), ("safe-harbor", safe_harbor())] {
        let (open, close) = (format!("<!-- {name} -->\n"), format!("\n<!-- /{name} -->"));
        let start = expected.find(&open).unwrap() + open.len();
        let end = start + expected[start..].find(&close).unwrap();
        expected.replace_range(start..end, &table);
    }
    if env::var_os("ATTESTUNE_WRITE_DOCS").is_some() {
        fs::write(PAGE, &expected).unwrap();
        return;
    }
    assert!(
        page == expected,
        "docs/pii.md is out of date: ATTESTUNE_WRITE_DOCS=1 cargo test -p attestune-pii --test manual"
    );
}
