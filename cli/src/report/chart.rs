//! Findings by kind as a picture: how many, and what reviewers made of them.

use attestune_proto::v1::{EntityReport, ReviewReport};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
/// Where the bars begin and end; names are to their left, numbers to their right.
const LEFT: f64 = 170.0;
const RIGHT: f64 = 560.0;
const BAR: f64 = 18.0;
const STEP: f64 = 28.0;
const TOP: f64 = 44.0;

/// What reviewers made of findings: name, colour.
const PARTS: [(&str, &str); 3] = [("personal data", "#2563eb"), ("none", "#d97706"), ("not decided", "#9ca3af")];

/// A bar for each kind, the longest first, of all detectors together; readable on light and dark pages. Each part has
/// its number in words beside the bar. The same report gives the same bytes.
pub fn svg(report: &ReviewReport) -> String {
    let rows = rows(report);
    let longest = rows.iter().map(|(_, row)| row.found).max().unwrap_or(0).max(1) as f64;
    let mut bars = String::new();
    for (number, (entity, row)) in rows.iter().enumerate() {
        bar(&mut bars, TOP + number as f64 * STEP, entity, row, (RIGHT - LEFT) / longest);
    }
    let mut legend = String::new();
    for (number, (name, colour)) in PARTS.iter().enumerate() {
        let x = LEFT + number as f64 * 140.0;
        let text = x + 16.0;
        let _ = write!(legend, "<rect x=\"{x}\" y=\"14\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
        let _ = write!(legend, "<text x=\"{text}\" y=\"23\">{name}</text>");
    }
    let found: u64 = rows.iter().map(|(_, row)| row.found).sum();
    let height = TOP + rows.len().max(1) as f64 * STEP;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
         <title>{found} findings of {kinds} kinds in {examples} examples</title>\
         <g fill=\"currentColor\" font-family=\"system-ui, sans-serif\" font-size=\"12\">{legend}{bars}</g></svg>\n",
        kinds = rows.len(),
        examples = report.examples,
    )
}

/// What was found of each kind, by all detectors, the most first.
fn rows(report: &ReviewReport) -> Vec<(&str, EntityReport)> {
    let mut kinds: BTreeMap<&str, EntityReport> = BTreeMap::new();
    for row in report.detectors.iter().flat_map(|detector| &detector.entities) {
        let sum = kinds.entry(&row.entity).or_default();
        sum.found += row.found;
        sum.right += row.right;
        sum.wrong += row.wrong;
    }
    let mut rows: Vec<_> = kinds.into_iter().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.found));
    rows
}

fn bar(out: &mut String, y: f64, entity: &str, row: &EntityReport, scale: f64) {
    let parts = [row.right, row.wrong, row.found.saturating_sub(row.right + row.wrong)];
    let (base, mut x) = (y + 13.0, LEFT);
    let name = escaped(entity);
    let _ = write!(out, "<text x=\"{}\" y=\"{base:.1}\" text-anchor=\"end\">{name}</text>", LEFT - 8.0);
    for (count, (_, colour)) in parts.iter().zip(PARTS) {
        let width = *count as f64 * scale;
        let _ =
            write!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>");
        x += width;
    }
    let told: Vec<_> = parts.iter().map(u64::to_string).collect();
    let (x, told) = (x + 8.0, told.join(" + "));
    let _ = write!(out, "<text x=\"{x:.1}\" y=\"{base:.1}\">{} = {told}</text>", row.found);
}

/// A name from a log, in which the rules let nothing stand that XML minds; a picture may come from elsewhere.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::DetectorReport;

    fn report(rows: &[(&str, u64, u64, u64)]) -> ReviewReport {
        let row = |(entity, found, right, wrong): &(&str, u64, u64, u64)| EntityReport {
            entity: (*entity).into(),
            found: *found,
            right: *right,
            wrong: *wrong,
            precision_ppm: None,
        };
        let detector = DetectorReport { entities: rows.iter().map(row).collect(), ..Default::default() };
        ReviewReport { examples: 9, detectors: vec![detector.clone(), detector], ..Default::default() }
    }

    #[test]
    fn kinds_of_all_detectors_are_summed_and_the_most_frequent_comes_first() {
        let picture = svg(&report(&[("email", 2, 1, 0), ("phone", 5, 2, 1)]));
        assert!(picture.contains("14 findings of 2 kinds in 9 examples"), "{picture}");
        assert!(picture.find("phone") < picture.find("email"), "{picture}");
        assert!(picture.contains("10 = 4 + 2 + 4") && picture.contains("4 = 2 + 0 + 2"), "{picture}");
        assert!(picture.contains("width=\"390.0\"") || picture.contains("width=\"156.0\""), "{picture}");
    }

    #[test]
    fn names_and_nothing_at_all_make_a_sound_picture() {
        let picture = svg(&report(&[("<script>&", 1, 0, 0)]));
        assert!(picture.contains("&lt;script&gt;&amp;") && !picture.contains("<script>"), "{picture}");
        assert!(svg(&ReviewReport::default()).ends_with("</svg>\n"));
    }
}
