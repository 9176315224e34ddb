//! `attestune eval show --cases`: what was asked, answered and expected, case by case, from the vault.

use crate::{context::Context, output, problem, session::Session};
use anyhow::Context as _;
use attestune_ledger::refusal::printable;
use attestune_proto::v1::{EvaluationProvenance, WorkStatus, event::Body};
use attestune_trainer::evaluate::{Case, Judge, Suite, Transcript};
use std::collections::HashMap;

/// Shows the newest completed evaluation case by case, or only what was not passed. The read is recorded first.
///
/// # Errors
/// If none is completed, or its texts can't be opened or are not those of its suite.
pub async fn show(
    context: &Context,
    session: &Session,
    evaluations: &[EvaluationProvenance],
    failed: bool,
) -> anyhow::Result<()> {
    let rows = evaluations.iter().filter_map(|e| Some((e.evaluation.as_ref()?, e.suite.as_ref()?)));
    let completed = rows.filter(|(row, _)| row.status() == WorkStatus::Completed);
    let (row, suite) = completed.max_by_key(|(row, _)| row.position).ok_or_else(|| {
        problem::cannot("no evaluation of this version is completed", "see `attestune eval show MODEL@N`")
    })?;
    let Some(Body::EvaluationCompleted(body)) = session.event(row.ended_at).await?.body else {
        return Err(problem::no(
            format!("position {} completes no evaluation", row.ended_at),
            "run `attestune replay`",
        ));
    };
    let file = session.unseal(vec![suite.content.clone().unwrap_or_default()]).await?.concat();
    let suite = Suite::parse(&file)?;
    let cases: HashMap<&str, &Case> = suite.cases.iter().map(|case| (case.id.as_str(), case)).collect();
    let transcripts = session.unseal_pack(body.pack, &body.transcripts_root).await?;
    let mut shown = Vec::new();
    for bytes in &transcripts {
        let transcript: Transcript =
            serde_json::from_slice(bytes).context("a transcript is not what an evaluator writes")?;
        let case = cases.get(transcript.case_id.as_str()).copied();
        let case = case.with_context(|| format!("the suite has no case `{}`", transcript.case_id))?;
        if !(failed && transcript.passed) {
            shown.push((transcript, expected(&case.judge)));
        }
    }
    print(context, row.position, &shown, transcripts.len())
}

fn print(context: &Context, position: u64, shown: &[(Transcript, String)], all: usize) -> anyhow::Result<()> {
    if context.json {
        let cases = shown.iter().map(|(case, expected)| {
            serde_json::json!({
                "id": case.case_id, "category": case.category, "prompt": case.prompt, "expected": expected,
                "answer": case.output, "passed": case.passed, "reason": case.reason,
            })
        });
        return output::value(&serde_json::json!({ "evaluation": position, "cases": cases.collect::<Vec<_>>() }));
    }
    for (case, expected) in shown {
        let category = format!("{:?}", case.category).to_ascii_lowercase();
        println!("{} {}  {category}", if case.passed { "✓ passed" } else { "✗ failed" }, case.case_id);
        field("prompt", &case.prompt);
        field("expected", expected);
        field("answer", &case.output);
        if !case.passed {
            field("why", &case.reason);
        }
    }
    eprintln!("{} of {all} cases of the evaluation at position {position}", shown.len());
    Ok(())
}

/// A name and its text, whose further lines stand below the first. A model may answer anything, also what would steer a
/// terminal.
fn field(name: &str, text: &str) {
    let mut names = std::iter::once(name).chain(std::iter::repeat(""));
    for line in if text.is_empty() { vec![""] } else { text.lines().collect() } {
        let name = names.next().unwrap_or_default();
        println!("    {name:<8}  {}", printable(line));
    }
}

/// What a judge wants to see, in words.
fn expected(judge: &Judge) -> String {
    match judge {
        Judge::Exact(text) => text.clone(),
        Judge::Label { expected, .. } => expected.clone(),
        Judge::Regex(expression) => format!("something that matches {expression}"),
        Judge::JsonSchema(_) => "JSON that is valid under the suite's schema".into(),
        Judge::MustRefuse => "a refusal".into(),
        Judge::NoPii => "no personal data".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_answers_never_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
    }
}
