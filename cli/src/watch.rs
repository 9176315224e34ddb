//! `attestune watch`: what servers counted of their traffic, and what a monitor read of it.

use crate::{
    context::Context,
    moment::Moment,
    output, problem,
    session::{Session, list},
};
use attestune_ledger::{
    refusal::printable,
    tree::{Frontier, leaf_hash},
};
use attestune_proto::v1::{CategoryResult, Quantiles, WindowObserved, WindowRow, event::Body};

#[derive(clap::Subcommand)]
pub enum Command {
    /// List windows of servers and readings of monitors, the newest last
    List {
        /// The model; all without it
        model: Option<String>,
        /// Only what a monitor read
        #[arg(long)]
        readings: bool,
        /// So many of the newest
        #[arg(short, default_value_t = 20, value_name = "N")]
        number: usize,
        #[command(flatten)]
        moment: Moment,
    },
    /// Show a window or a reading with all its figures
    Show {
        /// Its position
        window: u64,
        /// A server's window: show its requests with their answers, too, a line of JSON each; the read is recorded first
        #[arg(long)]
        texts: bool,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List { model, readings, number, moment } => {
            let session = context.connect().await?;
            let name = model.as_deref().unwrap_or_default();
            let mut answer = session.operations().list_windows(moment.list(name)).await?.into_inner();
            answer.windows.retain(|row| !readings || row.server.is_empty());
            answer.windows.sort_by_key(|row| row.position);
            answer.windows.drain(..answer.windows.len().saturating_sub(*number));
            if context.json {
                return output::message("ListWindowsResponse", &answer);
            }
            let headers = ["position", "of", "by", "from", "to", "requests", "read at"];
            output::table(&headers, answer.windows.iter().map(cells).collect());
            Ok(())
        }
        Command::Show { window, texts: false } => {
            let observed = window_at(&context.connect().await?, *window).await?;
            if context.json {
                return output::message("WindowObserved", &observed);
            }
            show(&observed);
            Ok(())
        }
        Command::Show { window, texts: true } => texts(&context.connect_as_actor().await?, *window).await,
    }
}

fn cells(row: &WindowRow) -> Vec<String> {
    let by = row.signer.as_ref().map_or("", |signer| signer.actor.as_str());
    vec![
        row.position.to_string(),
        format!("{}@{}", row.model, row.version),
        if row.server.is_empty() { by.into() } else { format!("{by}, server {}", row.server) },
        output::time(row.from_ms),
        output::time(row.to_ms),
        row.requests.to_string(),
        match (row.server.is_empty(), row.read_at) {
            (true, _) => "a reading".into(),
            (false, 0) => "not yet".into(),
            (false, at) => at.to_string(),
        },
    ]
}

async fn window_at(session: &Session, position: u64) -> anyhow::Result<WindowObserved> {
    let known = session.operations().list_windows(list("")).await?.into_inner().windows;
    let none = || problem::cannot(format!("there is no window at position {position}"), "see `attestune watch list`");
    known.iter().find(|row| row.position == position).ok_or_else(none)?;
    match session.event(position).await?.body {
        Some(Body::WindowObserved(observed)) => Ok(observed),
        _ => Err(none()),
    }
}

fn show(window: &WindowObserved) {
    println!(
        "{}@{} from {} to {}",
        window.model,
        window.version,
        output::time(window.from_ms),
        output::time(window.to_ms)
    );
    match window.windows.as_slice() {
        [] => println!("  server {}", window.server),
        read => println!("  read of {}", read.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
    println!("  requests {}, errors {}", window.requests, window.errors);
    let distributions = [
        ("prompt, tokens", &window.prompt_tokens),
        ("answer, tokens", &window.answer_tokens),
        ("first token, us", &window.first_token_us),
        ("whole answer, us", &window.latency_us),
    ];
    let quantiles = |q: &Quantiles| [q.p50, q.p90, q.p99, q.max].map(|number| number.to_string());
    let rows = distributions
        .iter()
        .filter_map(|(name, of)| Some([vec![format!("  {name}")], of.as_ref().map(quantiles)?.into()].concat()));
    section(&["  distribution", "p50", "p90", "p99", "most"], rows.collect());
    let judged = [("judged", &window.judged), ("reviewed", &window.reviewed), ("outcome", &window.outcomes)];
    let of = |(by, results): &(&str, &Vec<CategoryResult>)| -> Vec<Vec<String>> {
        let cells =
            |r: &CategoryResult| vec![format!("  {by}"), r.category.clone(), format!("{}/{}", r.passed, r.cases)];
        results.iter().map(cells).collect()
    };
    section(&["  by", "category", "passed"], judged.iter().flat_map(of).collect());
    if !window.judged.is_empty() {
        println!("  of the judged {} decline, {} have another form", window.refusals, window.format_failures);
    }
    let found = window.pii.iter().map(|found| vec![format!("  {}", found.entity), found.count.to_string()]);
    section(&["  found in answers", "times"], found.collect());
    let drift = window.drift.iter().map(|d| {
        let number = |ppm: u32| format!("{:.4}", f64::from(ppm) / 1e6);
        let compared = format!("{} to {}", d.inputs, d.members);
        vec![format!("  {}", d.feature), compared, number(d.psi_ppm), number(d.statistic_ppm), number(d.p_ppm)]
    });
    section(&["  inputs by", "texts", "PSI", "statistic", "p"], drift.collect());
    let cusum = window.cusum.iter().map(|c| {
        let nats = |milli: u64| format!("{:.3}", milli as f64 / 1e3);
        vec![format!("  {}", c.category), nats(c.sum_milli), nats(c.max_milli), c.run.to_string()]
    });
    section(&["  CUSUM of", "nats", "most", "answers since 0"], cusum.collect());
    for setting in &window.environment {
        println!("  {} {}", setting.name, setting.value);
    }
}

fn section(headers: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        output::table(headers, rows);
    }
}

/// The texts of a server's window, compared with what it commits to.
async fn texts(session: &Session, position: u64) -> anyhow::Result<()> {
    let window = window_at(session, position).await?;
    if window.packs.is_empty() {
        let hint =
            "a reading names the windows that it read; the policy's `request_retention` says whether texts are kept";
        return Err(problem::cannot(format!("the window at position {position} names no texts"), hint));
    }
    let mut tree = Frontier::new();
    let mut all = Vec::new();
    for pack in window.packs {
        let opened = session.open_pack(pack).await?;
        opened.commitments.iter().for_each(|commitment| tree.push(leaf_hash(&[commitment])));
        all.extend(opened.contents);
    }
    if tree.root().0.as_slice() != window.requests_root {
        return Err(problem::no(
            "the texts in the vault are not those that the window commits to",
            "the vault was altered: restore it from a backup",
        ));
    }
    for text in all {
        // JSON escapes some of the characters that would steer a terminal.
        println!("{}", printable(&String::from_utf8_lossy(&text)));
    }
    Ok(())
}
