//! `attestune comply`: what the ledger says to clauses of regulations.

use crate::{context::Context, moment::Moment, output, problem, session::now_ms};
use attestune_ledger::query::comply::{Pack, judge, parse};
use attestune_proto::v1::{
    AnswerStatus, ClauseAnswer, ClauseStatus, ComplyRequest, ComplyResponse, PackAnswer, QuestionAnswer,
};
use std::path::Path;

/// Width of a line of prose.
const WIDTH: usize = 100;
/// Most gaps of a question that are printed; the others are in the JSON.
const GAPS_SHOWN: usize = 10;

#[derive(clap::Args)]
pub struct Args {
    /// The pack, such as soc-2, or a file of your own ending in .yaml; an overview of all without it
    pack: Option<String>,
    // What is late is reckoned from then.
    #[command(flatten)]
    moment: Moment,
}

/// Prints clauses with their answers. That there is a gap is an answer of no.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let own = args.pack.as_deref().filter(|pack| is_file(pack)).map(read).transpose()?;
    let session = context.connect().await?;
    let (as_of, now_ms) = args.moment.reckoned(now_ms());
    // The packs of the build ask every question there is, so that a pack of one's own finds its answers there.
    let pack = args.pack.clone().filter(|_| own.is_none()).unwrap_or_default();
    let request = ComplyRequest { pack, now_ms, as_of };
    let mut answer = session.compliance().comply(request).await?.into_inner();
    if let Some(pack) = &own {
        answer.packs = vec![judge(pack, &answer.questions)];
        answer.questions.retain(|question| pack.questions().any(|asked| asked == question.question));
    }
    if context.json {
        output::message("ComplyResponse", &answer)?;
    } else if args.pack.is_some() {
        answer.packs.iter().for_each(|pack| print(pack, &answer));
    } else {
        overview(&answer);
    }
    let gaps: usize = answer.packs.iter().map(|pack| with(pack, ClauseStatus::Gap)).sum();
    match gaps {
        0 => Ok(()),
        1 => Err(problem::no("1 clause with a gap", "docs/compliance.md says what each question asks for")),
        _ => {
            Err(problem::no(format!("{gaps} clauses with gaps"), "docs/compliance.md says what each question asks for"))
        }
    }
}

fn is_file(pack: &str) -> bool {
    [".yaml", ".yml"].iter().any(|end| pack.ends_with(end))
}

fn read(path: &str) -> anyhow::Result<Pack> {
    let cannot = |why: String| problem::cannot(format!("{path}: {why}"), "docs/comply.md shows how a pack is written");
    let text = std::fs::read_to_string(Path::new(path)).map_err(|error| cannot(error.to_string()))?;
    parse(&text).map_err(|error| cannot(error.to_string()))
}

fn with(pack: &PackAnswer, status: ClauseStatus) -> usize {
    pack.clauses.iter().filter(|clause| clause.status() == status).count()
}

fn overview(answer: &ComplyResponse) {
    let rows = answer.packs.iter().map(|pack| {
        let number = |status| with(pack, status).to_string();
        vec![
            pack.pack.clone(),
            pack.title.clone(),
            number(ClauseStatus::Met),
            number(ClauseStatus::Gap),
            number(ClauseStatus::NotApplicable),
            number(ClauseStatus::ForPeople),
            pack.dated.clone(),
        ]
    });
    output::table(&["pack", "text", "met", "gap", "not applicable", "for people", "pack of"], rows.collect());
    if let Some(pack) = answer.packs.first() {
        eprintln!("{}", pack.notice);
    }
}

fn print(pack: &PackAnswer, answer: &ComplyResponse) {
    println!("{} ({}@{} of {})", pack.title, pack.pack, pack.version, pack.dated);
    paragraph(&pack.edition, "");
    paragraph(&pack.notice, "");
    println!(
        "as of position {} ({}), asked at {}",
        answer.as_of_position,
        output::time(answer.as_of_ms),
        output::time(answer.now_ms)
    );
    for clause in &pack.clauses {
        print_clause(clause, &answer.questions);
    }
    println!(
        "\n{} met, {} with a gap, {} not applicable, {} for people",
        with(pack, ClauseStatus::Met),
        with(pack, ClauseStatus::Gap),
        with(pack, ClauseStatus::NotApplicable),
        with(pack, ClauseStatus::ForPeople)
    );
}

fn print_clause(clause: &ClauseAnswer, answers: &[QuestionAnswer]) {
    println!("\n{}  {}", clause.clause, clause_word(clause.status()));
    paragraph(&clause.asks, "  ");
    for asked in &clause.questions {
        let Some(answer) = answers.iter().find(|answer| answer.question == asked.question) else { continue };
        let support = if asked.supports { " (in support)" } else { "" };
        paragraph(&format!("{} {}{support}: {}", answer_word(answer.status()), answer.question, answer.text), "    ");
        for gap in answer.gaps.iter().take(GAPS_SHOWN) {
            paragraph(&format!("{} (event {})", gap.text, gap.position), "      ");
        }
        let more = answer.short.saturating_sub(answer.gaps.len().min(GAPS_SHOWN) as u64);
        if more > 0 {
            println!("      and {more} more");
        }
        if !asked.too_short.is_empty() {
            paragraph(&format!("✗ {}", asked.too_short), "      ");
        }
    }
    if !clause.people.is_empty() {
        paragraph(&format!("for people: {}", clause.people), "    ");
    }
}

fn clause_word(status: ClauseStatus) -> &'static str {
    match status {
        ClauseStatus::Met => "✓ met",
        ClauseStatus::Gap => "✗ GAP",
        ClauseStatus::NotApplicable => "– not applicable",
        ClauseStatus::ForPeople => "○ for people",
        ClauseStatus::Unspecified => "? unknown",
    }
}

fn answer_word(status: AnswerStatus) -> &'static str {
    match status {
        AnswerStatus::Met => "✓",
        AnswerStatus::Gap => "✗",
        AnswerStatus::NotApplicable => "–",
        AnswerStatus::Unspecified => "?",
    }
}

/// Prints prose in lines of a width, each behind an indent.
fn paragraph(text: &str, indent: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.chars().count() + line.chars().count() + 1 + word.chars().count() > WIDTH {
            println!("{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        println!("{indent}{line}");
    }
}

#[cfg(test)]
mod tests {
    use attestune_ledger::query::comply::SAFE_HARBOR;
    use attestune_pii::{FoundBy, SAFE_HARBOR as IDENTIFIERS};
    use std::collections::BTreeSet;

    #[test]
    fn the_safe_harbor_of_the_question_is_that_of_the_detector() {
        let found = IDENTIFIERS.iter().flat_map(|identifier| match identifier.found_by {
            FoundBy::Patterns { entities } => [entities, &[]],
            FoundBy::Tagger { entities, and_patterns } => [entities, and_patterns],
            FoundBy::Person => [&[][..], &[]],
        });
        let found: BTreeSet<&str> = found.flatten().copied().collect();
        assert_eq!(found, BTreeSet::from(SAFE_HARBOR));
    }
}
