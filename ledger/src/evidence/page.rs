//! The page for people: plain HTML that prints well, without script, made from the answer alone.

use super::facts;
use super::manifest::Manifest;
use super::population::Row;
use crate::draft::plain;
use crate::refusal::is_odd;
use crate::time::iso;
use crate::tree::Hash;
use attestune_proto::v1::{BundleKind, Reproduction, Signer, Verdict, WhyInForceResponse};
use std::fmt::{self, Write};

/// What the page shows.
pub struct Page<'a> {
    /// The manifest, of which only the head is shown.
    pub manifest: &'a Manifest,
    /// The answer.
    pub answer: &'a WhyInForceResponse,
    /// The entries that a slice discloses.
    pub events: &'a [Line],
    /// The drawn members by number.
    pub sample: &'a [(usize, &'a Row)],
    /// How many members there are.
    pub members: usize,
    /// From what the sample was drawn.
    pub seed: Hash,
}

/// An entry as the page lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its position.
    pub position: u64,
    /// When the log took it in.
    pub time_ms: u64,
    /// Who acts.
    pub actor: String,
    /// What it says.
    pub summary: String,
    /// How it was judged.
    pub verdict: Verdict,
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a;background:#fff}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p{max-width:70ch}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}caption{text-align:left;padding:.3rem 0}\
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #ccc}\
td.n,th.n{text-align:right}code{font-family:ui-monospace,monospace;font-size:.85em;overflow-wrap:anywhere}\
.wide{overflow-x:auto}@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}th,td{border-color:#444}}\
@media print{body{margin:0;max-width:none;color:#000;background:#fff}h2{break-after:avoid}tr{break-inside:avoid}\
.wide{overflow:visible}}";

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.manifest;
        let answer = self.answer;
        let title = if answer.version == 0 {
            format!("No version of {} was in force", m.model)
        } else {
            format!("Why {}@{} was in force", m.model, answer.version)
        };
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<meta name=\"viewport\" \
             content=\"width=device-width\">\n<title>{0}</title>\n<style>{STYLE}</style></head>\n<body><main>\n<h1>{0}</h1>\n",
            text(&title)
        )?;
        self.head(f)?;
        if answer.version != 0 {
            self.signed(f)?;
            self.held_against(f)?;
            self.made_from(f)?;
            self.hurdles(f)?;
        }
        self.disclosed(f)?;
        self.sampled(f)?;
        self.check(f)?;
        f.write_str("</main></body></html>\n")
    }
}

impl Page<'_> {
    fn head(&self, f: &mut dyn Write) -> fmt::Result {
        let (m, answer) = (self.manifest, self.answer);
        let mut rows = vec![
            ("Ledger", format!("{} <code>{}</code>", text(&m.name), m.ledger)),
            ("Asked about", format!("position {} ({})", answer.as_of_position, iso(answer.as_of_ms))),
        ];
        if answer.version != 0 {
            rows.push(("In force since", format!("position {} ({})", answer.since_position, iso(answer.since_ms))));
        }
        if let Some(halted) = facts::halted(&m.model, answer) {
            let by = answer.halt.as_ref().map_or("", |halt| halt.actor.as_str());
            rows.push(("Halted", format!("{}, by {}", text(&halted), self.name(by))));
        }
        if let Some(rollback) = &answer.rollback {
            let (at, by) = (rollback.position, self.name(&rollback.actor));
            rows.push(("By a rollback", format!("at {at} by {by}: {}", text(&rollback.summary))));
        }
        if let Some(promotion) = &answer.promotion {
            let by = self.signer(&promotion.requested_by);
            let (at, decided, policy) = (promotion.position, promotion.decided_at, promotion.policy_version);
            rows.push(("Promotion", format!("asked for at {at} by {by}, decided at {decided} under policy {policy}")));
        }
        if let Some(emergency) = facts::emergency(answer) {
            rows.push(("Emergency", text(&emergency)));
        }
        if answer.challenger != 0 {
            rows.push(("Beside it", format!("challenger version {}, in an experiment only", answer.challenger)));
        }
        if let Some(policy) = &answer.policy {
            rows.push(("Policy then", format!("version {}, adopted at {}", policy.version, policy.position)));
        }
        let kind = match m.kind {
            BundleKind::Complete => format!("complete: the log's first {} entries", m.size),
            BundleKind::Slice | BundleKind::Unspecified => {
                format!("slice: {} of {} entries, and what they rest on", self.events.len(), m.size)
            }
        };
        rows.push(("Bundle", kind));
        let purpose = plain(m.purpose.as_str_name(), "EXPORT_PURPOSE_");
        rows.push(("Taken out", format!("by {} for: {purpose}", text(&m.exporter))));
        f.write_str("<table><caption>The answer</caption>\n")?;
        for (name, value) in rows {
            writeln!(f, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>")?;
        }
        f.write_str(
            "</table>\n<p>Times are the log's clock: asserted. Printed names are as the ledger's admins registered them. \
             Figures of evaluations, scans and training are the word of whoever signed them.</p>\n",
        )
    }

    fn signed(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_str("<h2>Who said so</h2>\n<table><caption>Approvals, by printed name, time and meaning</caption>\n")?;
        head(f, &["Printed name", "Actor", "Meaning", "Position", "Time"])?;
        for approval in &self.answer.approvals {
            let (meaning, late) = facts::meaning(approval);
            let affected = if approval.affected { " (the key was revoked later)" } else { "" };
            row(
                f,
                &[
                    name_of(&approval.printed_name),
                    text(&approval.actor),
                    format!("{}{late}{affected}", text(&meaning)),
                    approval.position.to_string(),
                    iso(approval.time_ms),
                ],
            )?;
        }
        f.write_str("</table>\n")
    }

    fn held_against(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_str("<h2>What it was held against</h2>\n<div class=\"wide\"><table><caption>Evaluations and the bars that were fixed before them</caption>\n")?;
        head(f, &["Suite", "Bars fixed at", "Evaluated at", "By", "Category", "Passed", "Needed", "Result"])?;
        for evaluation in &self.answer.evaluations {
            let (Some(run), Some(suite)) = (&evaluation.evaluation, &evaluation.suite) else { continue };
            for verdict in &evaluation.verdicts {
                row(
                    f,
                    &[
                        text(&format!("{}@{}", suite.suite, suite.number)),
                        suite.position.to_string(),
                        run.ended_at.to_string(),
                        self.signer(&run.completed_by),
                        text(&verdict.category),
                        format!("{} of {}", verdict.passed, verdict.cases),
                        verdict.needed.to_string(),
                        if verdict.ok { "✓ passes".into() } else { "✗ falls short".into() },
                    ],
                )?;
            }
        }
        f.write_str("</table></div>\n")?;
        for leakage in &self.answer.leakage {
            let found = leakage.leakage.as_ref().map_or_else(
                || "not known".into(),
                |row| {
                    format!(
                        "{} of {} cases in the training set, {} nearly, by {}",
                        row.exact,
                        row.cases,
                        row.near,
                        self.signer(&row.signer)
                    )
                },
            );
            writeln!(f, "<p>Leakage from the suite at {}: {found}.</p>", leakage.suite)?;
        }
        Ok(())
    }

    fn made_from(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_str("<h2>What it was made from</h2>\n")?;
        let answer = self.answer;
        let (Some(dataset), Some(run)) = (&answer.dataset, &answer.run) else {
            return f.write_str("<p>It was trained elsewhere: neither its data nor its run are known.</p>\n");
        };
        let counts = dataset.counts.unwrap_or_default();
        writeln!(
            f,
            "<p>Dataset {}@{}, frozen at {} by {}: {} members under the root <code>{}</code>. Of {} examples {} were flagged, \
             {} reviewed, {} redacted, {} rejected, {} excluded by quality.</p>",
            text(&dataset.dataset),
            dataset.number,
            dataset.position,
            self.signer(&dataset.signer),
            dataset.count,
            hex::encode(&dataset.root),
            counts.examples,
            counts.flagged,
            counts.reviewed,
            counts.redacted,
            counts.rejected,
            counts.excluded_by_quality
        )?;
        for reached in &answer.erasures {
            let decision = reached.decision.as_ref().map_or("nothing is decided on that".into(), |row| {
                format!("decided: {}", plain(row.decision().as_str_name(), "ERASURE_DECISION_"))
            });
            let (erasure, members) = (reached.erasure, reached.members);
            writeln!(
                f,
                "<p>Erasure {erasure} took {members} of its members; the run is unrepeatable; {decision}.</p>"
            )?;
        }
        for scan in &answer.scans {
            let tool = scan.detector.clone().unwrap_or_default();
            writeln!(
                f,
                "<p>{} of {} examples were scanned by {} {}, which flagged {}.</p>",
                scan.scanned,
                scan.examples,
                text(&tool.name),
                text(&tool.version),
                scan.flagged
            )?;
        }
        let class = match (run.reproductions, run.reproduction()) {
            (0, _) => "it was never repeated".into(),
            (times, Reproduction::Unspecified) => format!("it was repeated {times} times"),
            (times, class) => format!("it was repeated {times} times: {}", plain(class.as_str_name(), "REPRODUCTION_")),
        };
        writeln!(
            f,
            "<p>Run {}, asked for by {}, trained by {}; {class}.</p>",
            run.position,
            self.signer(&run.requested_by),
            text(&run.claimed_by.join(", "))
        )?;
        let Some(base) = &answer.base else { return Ok(()) };
        let (name, origin, licence) = (text(&base.base), text(&base.origin), text(&base.licence));
        writeln!(f, "<p>Base model {name} at {}, from {origin}, {licence}.</p>", base.position)
    }

    fn hurdles(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_str("<h2>What would have held it back</h2>\n<ul>\n")?;
        for hurdle in &self.answer.hurdles {
            writeln!(f, "<li>{} <code>{}</code></li>", text(&hurdle.text), text(&hurdle.code))?;
        }
        f.write_str("</ul>\n")
    }

    fn disclosed(&self, f: &mut dyn Write) -> fmt::Result {
        if self.events.is_empty() {
            return Ok(());
        }
        f.write_str(
            "<h2>Events in this bundle</h2>\n<div class=\"wide\"><table><caption>Each with its proof</caption>\n",
        )?;
        head(f, &["Position", "Time", "Actor", "What", "Verdict"])?;
        for line in self.events {
            let verdict = plain(line.verdict.as_str_name(), "VERDICT_");
            row(
                f,
                &[line.position.to_string(), iso(line.time_ms), text(&line.actor), text(&line.summary), text(&verdict)],
            )?;
        }
        f.write_str("</table></div>\n")
    }

    fn sampled(&self, f: &mut dyn Write) -> fmt::Result {
        if self.members == 0 {
            return Ok(());
        }
        writeln!(
            f,
            "<h2>Sample</h2>\n<p>{} of {} members, drawn by the seed <code>{}</code>, which follows from the checkpoint and \
             the dataset's root. All members are in <code>population.csv</code>.</p>\n<div class=\"wide\"><table><caption>In \
             the order of drawing</caption>",
            self.sample.len(),
            self.members,
            self.seed
        )?;
        head(f, &["Number", "Example", "Commitment", "Redacted", "Document"])?;
        for (number, member) in self.sample {
            row(
                f,
                &[
                    number.to_string(),
                    format!("{}/{}", member.batch, member.index),
                    format!("<code>{}</code>", member.commitment),
                    if member.redacted { "yes".into() } else { "no".into() },
                    format!("{}/{}", member.documents, member.row),
                ],
            )?;
        }
        f.write_str("</table></div>\n")
    }

    fn check(&self, f: &mut dyn Write) -> fmt::Result {
        writeln!(
            f,
            "<h2>How to check it</h2>\n<p>This page is what the bundle says. What it proves, on a machine without network:</p>\n\
             <pre><code>attestune verify BUNDLE --ledger {}</code></pre>\n<p>Without that program: open <a href=\"check.html\">check.html</a>, which lies beside this page in the \
             bundle, and give it the bundle. It needs no network either.</p>\n<p>Take the ledger's id from elsewhere than this \
             bundle: from the company's filing, a notice, an earlier bundle. docs/formats.md has the format, byte by byte.</p>",
            self.manifest.ledger
        )
    }

    fn signer(&self, signer: &Option<Signer>) -> String {
        signer.as_ref().map_or_else(|| "nobody".into(), |signer| self.name(&signer.actor))
    }

    fn name(&self, actor: &str) -> String {
        match self.answer.actors.iter().find(|row| row.actor == actor) {
            Some(row) => format!("{} ({})", name_of(&row.printed_name), text(actor)),
            None => text(actor),
        }
    }
}

fn head(f: &mut dyn Write, names: &[&str]) -> fmt::Result {
    let cells: String = names.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    writeln!(f, "<tr>{cells}</tr>")
}

fn row(f: &mut dyn Write, cells: &[String]) -> fmt::Result {
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    writeln!(f, "<tr>{cells}</tr>")
}

/// A name from outside, which may be written from right to left.
fn name_of(name: &str) -> String {
    format!("<bdi>{}</bdi>", text(name))
}

/// A text from outside, inert: no markup, no control characters, no marks that turn the direction of what follows.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if is_odd(c) => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_is_inert() {
        let name = "<script>alert(1)</script>\u{202e}\u{1b}[2J\u{61c}&\"'";
        assert_eq!(
            name_of(name),
            "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;\u{fffd}\u{fffd}[2J\u{fffd}&amp;&quot;&#39;</bdi>"
        );
    }
}
