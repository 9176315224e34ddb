//! `attestune suite`: evaluation suites, fixed before the training that they judge.

use crate::{
    context::Context,
    moment::Moment,
    output, policy_yaml, problem,
    session::{Session, list},
};
use anyhow::Context as _;
use attestune_proto::v1::{Category, SuiteRegistered, SuiteRow, event::Body};
use attestune_trainer::evaluate::Suite;
use std::{collections::BTreeMap, path::PathBuf};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Register a suite with its bars; its text goes into the vault
    Register {
        /// The suite in YAML
        file: PathBuf,
        /// The bar of every category, or of one: 95%, or safety=99%; repeat it
        #[arg(long = "bar", default_value = "95%")]
        bars: Vec<String>,
        /// What is held against the bar: pass-rate, or lower-95 (its one-sided 95 % lower bound)
        #[arg(long, default_value = "pass-rate")]
        bound: String,
    },
    /// List suites
    List {
        #[command(flatten)]
        moment: Moment,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Register { file, bars, bound } => register(context, file, bars, bound).await,
        Command::List { moment } => {
            let session = context.connect().await?;
            let answer = session.registry().list_suites(moment.list("")).await?.into_inner();
            if context.json {
                return output::message("ListSuitesResponse", &answer);
            }
            output::table(&HEADERS, answer.suites.iter().map(cells).collect());
            Ok(())
        }
    }
}

async fn register(context: &Context, file: &PathBuf, bars: &[String], bound: &str) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let suite = Suite::parse(&bytes).with_context(|| file.display().to_string())?;
    let categories = categories(&suite, bars)?;
    let bound = policy_yaml::parse_bound(bound)?;
    let session = context.connect_as_actor().await?;
    let body = SuiteRegistered {
        suite: suite.name.clone(),
        digest: suite.digest().0.to_vec(),
        content: Some(session.seal_one(bytes).await?),
        categories,
        bound: bound.into(),
    };
    let receipt = session.act(Body::SuiteRegistered(body)).await?;
    output::receipt(
        context.json,
        &receipt,
        &format!("suite {} with {} cases is registered", suite.name, suite.cases.len()),
    )
}

/// The categories with their counts and bars, ascending by name.
fn categories(suite: &Suite, bars: &[String]) -> anyhow::Result<Vec<Category>> {
    let mut general = policy_yaml::ppm("95%")?;
    let mut special = BTreeMap::new();
    for bar in bars {
        match bar.split_once('=') {
            Some((category, bar)) => drop(special.insert(category.to_owned(), policy_yaml::ppm(bar)?)),
            None => general = policy_yaml::ppm(bar)?,
        }
    }
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for case in &suite.cases {
        *counts.entry(format!("{:?}", case.category).to_ascii_lowercase()).or_default() += 1;
    }
    if let Some(unknown) = special.keys().find(|category| !counts.contains_key(*category)) {
        return Err(problem::cannot(
            format!("the suite has no cases of category {unknown}"),
            format!("its categories are {}", counts.keys().cloned().collect::<Vec<_>>().join(", ")),
        ));
    }
    let category = |(category, cases): (String, u32)| {
        let bar_ppm = special.get(&category).copied().unwrap_or(general);
        Category { category, cases, bar_ppm }
    };
    Ok(counts.into_iter().map(category).collect())
}

/// The columns of [`cells`].
pub const HEADERS: [&str; 6] = ["suite", "position", "categories", "bound", "digest", "by"];

/// A suite as a row.
pub fn cells(row: &SuiteRow) -> Vec<String> {
    let category = |bar: &attestune_proto::v1::CategoryBar| {
        format!("{} {}/{} ({})", bar.category, bar.needed, bar.cases, output::percent(bar.bar_ppm))
    };
    vec![
        format!("{}@{}", row.suite, row.number),
        row.position.to_string(),
        row.categories.iter().map(category).collect::<Vec<_>>().join(", "),
        output::bound(row.bound()),
        output::short(&row.digest),
        row.signer.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
    ]
}

/// Finds the newest suite of a name, or the one at a position.
pub async fn find(session: &Session, text: &str) -> anyhow::Result<SuiteRow> {
    let all = session.registry().list_suites(list("")).await?.into_inner().suites;
    let position = text.parse::<u64>().ok();
    let found = all.into_iter().filter(|row| row.suite == text || Some(row.position) == position);
    found.max_by_key(|row| row.position).ok_or_else(|| {
        problem::cannot(format!("there is no suite {text}"), "register it: `attestune suite register FILE.yaml`")
    })
}
