//! The manual's page of packs is what the code and the packs say.

use attestune_ledger::query::comply::{Asks, Pack, QUESTIONS, judge, packs};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

#[test]
fn the_manual_lists_every_pack_and_question() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compliance.md");
    let wanted = manual();
    if std::env::var_os("ATTESTUNE_WRITE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let have = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        have == wanted,
        "docs/compliance.md is not what the packs say: run ATTESTUNE_WRITE_DOCS=1 cargo test --workspace --test compliance"
    );
}

fn manual() -> String {
    let packs = packs().unwrap();
    let notice = judge(&packs[0], &[]).notice;
    let mut text = format!(
        "# Clause packs\n\nGenerated from `ledger/src/query/comply/packs/`. {notice} [`attestune comply`](comply.md) asks a \
         ledger what it says to them.\n\n| pack | text | version | of |\n| --- | --- | --- | --- |\n"
    );
    for pack in packs {
        let _ = writeln!(text, "| [`{0}`](#{0}) | {1} | {2} | {3} |", pack.pack, pack.title, pack.version, pack.dated);
    }
    text.push_str("\n## Questions\n\nThe vocabulary is closed: a pack can ask nothing else.\n");
    text.push_str("\n| question | what is asked | it is a gap if |\n| --- | --- | --- |\n");
    for question in QUESTIONS {
        let _ = writeln!(text, "| `{}` | {} | {} |", question.code, question.asks, question.falls_short);
    }
    packs.iter().for_each(|pack| section(&mut text, pack));
    text
}

fn section(text: &mut String, pack: &Pack) {
    let _ = write!(
        text,
        "\n## {}\n\n**{}**, version {} of {}. {}\n",
        pack.pack, pack.title, pack.version, pack.dated, pack.edition
    );
    text.push_str("\n| clause | what it asks | what answers it |\n| --- | --- | --- |\n");
    for clause in &pack.clauses {
        let answer = |asked: &Asks| {
            let support = if asked.supports { " (in support)" } else { "" };
            let least = match asked.at_least_days {
                0 => String::new(),
                days => format!(" (for {days} days at least)"),
            };
            format!("`{}`{support}{least}: {}", asked.question, asked.because)
        };
        let mut answers: Vec<String> = clause.questions.iter().map(answer).collect();
        if !clause.people.is_empty() {
            answers.push(format!("*For people:* {}", clause.people));
        }
        let _ = writeln!(text, "| {} | {} | {} |", clause.clause, clause.asks, answers.join("<br>"));
    }
}
