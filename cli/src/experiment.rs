//! `attestune experiment`: two versions side by side, and an end that is told by its figures.

use crate::{
    context::Context,
    moment::Moment,
    output, policy_yaml, problem,
    session::{Session, list},
    words::MetricArg,
};
use anyhow::Context as _;
use attestune_ledger::{
    assignment::gets_second,
    draft::plain,
    tree::{Frontier, leaf_hash},
};
use attestune_proto::v1::{
    Conclusion, ExperimentConcluded, ExperimentRow, ExperimentStarted, MetricKind, StopMethod, StopRule, event::Body,
};
use attestune_workers::experiment::{Arm, Figures, analyse, conclusion};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Most contents of one call to the vault.
const SEAL_MAX: usize = 4096;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Serve two versions side by side: the one in force, and the challenger
    Start(Box<Start>),
    /// What the outcomes so far say; ends nothing
    Look {
        /// The experiment's position
        experiment: u64,
        /// Outcomes: CSV with the columns user and value
        #[arg(long, value_name = "FILE.csv")]
        outcomes: PathBuf,
    },
    /// End an experiment with its figures
    Conclude {
        /// The experiment's position
        experiment: u64,
        /// Outcomes: CSV with the columns user and value
        #[arg(long, value_name = "FILE.csv")]
        outcomes: PathBuf,
        /// End it though nothing can be said yet
        #[arg(long)]
        stop: bool,
    },
    /// Show experiments
    Show {
        /// The model; all without it
        model: Option<String>,
        #[command(flatten)]
        moment: Moment,
    },
}

#[derive(clap::Args)]
pub struct Start {
    /// The model
    model: String,
    /// The version in force
    #[arg(long)]
    a: u32,
    /// The challenger
    #[arg(long)]
    b: u32,
    /// The share of users that get b
    #[arg(long, default_value = "50%", value_parser = policy_yaml::ppm)]
    share: u32,
    /// The outcome that decides, by the name under which the application reports it
    #[arg(long)]
    metric: String,
    /// What an outcome is: 0 or 1, or any number; more is better
    #[arg(long, value_enum, default_value = "proportion")]
    kind: MetricArg,
    /// The chance of telling a winner where there is none
    #[arg(long, default_value = "5%", value_parser = policy_yaml::ppm)]
    alpha: u32,
    /// Users with an outcome before which no winner is told
    #[arg(long, default_value_t = 200)]
    users_min: u64,
    /// Users with an outcome at which it ends
    #[arg(long, default_value_t = 20_000)]
    users_max: u64,
    /// One look, when all users are in, instead of looking whenever one likes
    #[arg(long)]
    fixed: bool,
    /// Users at which looking whenever one likes tells the most
    #[arg(long, default_value_t = 5_000, conflicts_with = "fixed")]
    tuning: u64,
    /// The chance below which a difference between planned and actual share ends it; 0% for never
    #[arg(long, default_value = "0.1%", value_parser = policy_yaml::ppm)]
    share_alpha: u32,
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Start(start) => self::start(context, start).await,
        Command::Look { experiment, outcomes } => {
            let session = context.connect_as_actor().await?;
            let counted = Counted::of(&session, *experiment, outcomes).await?;
            say(context, &counted)
        }
        Command::Conclude { experiment, outcomes, stop } => {
            let session = context.connect_as_actor().await?;
            conclude(context, &session, *experiment, outcomes, *stop).await
        }
        Command::Show { model, moment } => {
            let session = context.connect().await?;
            let name = model.as_deref().unwrap_or_default();
            let answer = session.operations().list_experiments(moment.list(name)).await?.into_inner();
            if context.json {
                return output::message("ListExperimentsResponse", &answer);
            }
            let headers = ["experiment", "model", "arms", "share of b", "metric", "state", "difference", "interval"];
            output::table(&headers, answer.experiments.iter().map(cells).collect());
            Ok(())
        }
    }
}

async fn start(context: &Context, start: &Start) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    let method = if start.fixed { StopMethod::FixedSample } else { StopMethod::ConfidenceSequence };
    let body = ExperimentStarted {
        model: start.model.clone(),
        a: start.a,
        b: start.b,
        share_ppm: start.share,
        metric: start.metric.clone(),
        metric_kind: MetricKind::from(start.kind).into(),
        stop: Some(StopRule {
            method: method.into(),
            alpha_ppm: start.alpha,
            users_min: start.users_min,
            users_max: start.users_max,
            tuning: if start.fixed { 0 } else { start.tuning },
            share_alpha_ppm: start.share_alpha,
        }),
        assignment_key: Some(session.seal_one(key.to_vec()).await?),
    };
    let receipt = session.act(Body::ExperimentStarted(body)).await?;
    let said =
        format!("{}: {} against {} for {} of users", start.model, start.a, start.b, output::percent(start.share));
    output::receipt(context.json, &receipt, &said)
}

/// One outcome.
#[derive(Deserialize, Serialize)]
struct Outcome {
    user: String,
    value: f64,
}

/// Outcomes by arm.
struct Counted {
    started: ExperimentStarted,
    outcomes: Vec<Outcome>,
    a: Arm,
    b: Arm,
    figures: Figures,
}

impl Counted {
    async fn of(session: &Session, experiment: u64, path: &Path) -> anyhow::Result<Self> {
        let all = session.operations().list_experiments(list("")).await?.into_inner().experiments;
        let started = all.into_iter().find(|row| row.position == experiment).and_then(|row| row.started);
        let started = started.ok_or_else(|| {
            problem::cannot(format!("there is no experiment {experiment}"), "see `attestune experiment show`")
        })?;
        let key = session.unseal(started.assignment_key.iter().cloned().collect()).await?;
        let key: Option<[u8; 32]> = key.first().and_then(|key| key.as_slice().try_into().ok());
        let key = key.context("the experiment's assignment key is not 32 bytes")?;
        let outcomes = read(path, started.metric_kind())?;
        let (a, b) = arms(&outcomes, &key, started.share_ppm);
        let rule = started.stop.unwrap_or_default();
        let figures = analyse(started.metric_kind(), &rule, started.share_ppm, &a, &b);
        Ok(Self { started, outcomes, a, b, figures })
    }
}

fn read(path: &Path, kind: MetricKind) -> anyhow::Result<Vec<Outcome>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut reader = csv::Reader::from_path(path).with_context(cannot)?;
    let mut outcomes = Vec::new();
    for (row, outcome) in (2..).zip(reader.deserialize()) {
        let outcome: Outcome = outcome.with_context(|| format!("{}: row {row}", path.display()))?;
        let fits = match kind {
            MetricKind::Proportion => outcome.value == 0.0 || outcome.value == 1.0,
            MetricKind::Mean | MetricKind::Unspecified => outcome.value.is_finite() && outcome.value.abs() < 1e9,
        };
        if !fits || outcome.user.is_empty() {
            return Err(problem::cannot(
                format!("{}: row {row} has no user, or a value that the metric does not take", path.display()),
                "a proportion's outcomes are 0 or 1, a mean's are numbers below a thousand million",
            ));
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Each user counts once, with the mean of the user's outcomes. Of a proportion that may be a fraction; its p(1 − p) is then
/// more than the variance, never less.
fn arms(outcomes: &[Outcome], key: &[u8; 32], share_ppm: u32) -> (Arm, Arm) {
    let mut users: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for outcome in outcomes {
        let (sum, count) = users.entry(&outcome.user).or_default();
        *sum += outcome.value;
        *count += 1.0;
    }
    let (mut a, mut b) = (Arm::default(), Arm::default());
    for (user, (sum, count)) in users {
        let arm = if gets_second(key, user, share_ppm) { &mut b } else { &mut a };
        arm.add(sum / count);
    }
    (a, b)
}

fn say(context: &Context, counted: &Counted) -> anyhow::Result<()> {
    let (started, figures) = (&counted.started, &counted.figures);
    let rule = started.stop.unwrap_or_default();
    let may = conclusion(&rule, figures);
    let word = |conclusion: Conclusion| plain(conclusion.as_str_name(), "CONCLUSION_");
    if context.json {
        return output::value(&serde_json::json!({
            "users": { "a": counted.a.users, "b": counted.b.users },
            "difference": figures.difference,
            "lower": figures.lower,
            "upper": figures.upper,
            "p_ppm": figures.p_ppm,
            "share_p_ppm": figures.share_p_ppm,
            "conclusion": may.map(word),
        }));
    }
    println!(
        "{}: {} ({} users) against {} ({} users)",
        started.model, started.a, counted.a.users, started.b, counted.b.users
    );
    println!("  difference of {}  {} [{}, {}]", started.metric, figures.difference, figures.lower, figures.upper);
    println!("  p {}, of the planned share {}", output::percent(figures.p_ppm), output::percent(figures.share_p_ppm));
    match may {
        Some(conclusion) => println!("  may be concluded: {}", word(conclusion)),
        None => println!("  goes on: {} of at most {} users are in", figures.users, rule.users_max),
    }
    Ok(())
}

async fn conclude(
    context: &Context,
    session: &Session,
    experiment: u64,
    path: &Path,
    stop: bool,
) -> anyhow::Result<()> {
    let counted = Counted::of(session, experiment, path).await?;
    let rule = counted.started.stop.unwrap_or_default();
    let may = conclusion(&rule, &counted.figures).or(stop.then_some(Conclusion::Stopped));
    let Some(conclusion) = may else {
        say(context, &counted)?;
        return Err(problem::no("nothing can be concluded yet", "wait for more outcomes, or end it unsaid: --stop"));
    };
    let (packs, commitments) = seal(session, &counted.outcomes).await?;
    let mut tree = Frontier::new();
    commitments.iter().for_each(|commitment| tree.push(leaf_hash(&[commitment])));
    let figures = &counted.figures;
    let body = ExperimentConcluded {
        experiment,
        conclusion: conclusion.into(),
        a: Some(counted.a.figures()),
        b: Some(counted.b.figures()),
        difference: figures.difference.clone(),
        lower: figures.lower.clone(),
        upper: figures.upper.clone(),
        share_p_ppm: figures.share_p_ppm,
        outcomes_root: tree.root().0.to_vec(),
        outcomes: counted.outcomes.len() as u64,
        packs,
    };
    let receipt = session.act(Body::ExperimentConcluded(body)).await?;
    let said = format!("concluded: {}", plain(conclusion.as_str_name(), "CONCLUSION_"));
    output::receipt(context.json, &receipt, &said)?;
    if !context.json && conclusion == Conclusion::BIsBetter {
        let started = &counted.started;
        println!(
            "nothing in force has changed: `attestune promote request {}@{} --to production` replaces version {}",
            started.model, started.b, started.a
        );
    }
    Ok(())
}

/// Seals outcomes, each as a text of its own.
async fn seal(session: &Session, outcomes: &[Outcome]) -> anyhow::Result<(Vec<Vec<u8>>, Vec<Vec<u8>>)> {
    let (mut packs, mut commitments) = (Vec::new(), Vec::new());
    for part in outcomes.chunks(SEAL_MAX) {
        let texts = part.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>()?;
        let subjects = part.iter().map(|outcome| outcome.user.clone()).collect();
        let sealed = session.seal_owned(texts, "", subjects).await?;
        packs.push(sealed.pack);
        commitments.extend(sealed.commitments);
    }
    Ok((packs, commitments))
}

fn cells(row: &ExperimentRow) -> Vec<String> {
    let started = row.started.clone().unwrap_or_default();
    let concluded = row.concluded.clone().unwrap_or_default();
    let state = match (row.ended_at, &row.concluded) {
        (0, _) => "running".into(),
        (at, None) => format!("ended at {at} with an arm"),
        (_, Some(concluded)) => plain(concluded.conclusion().as_str_name(), "CONCLUSION_"),
    };
    let interval = match concluded.lower.is_empty() {
        true => String::new(),
        false => format!("[{}, {}]", concluded.lower, concluded.upper),
    };
    vec![
        row.position.to_string(),
        started.model.clone(),
        format!("{} against {}", started.a, started.b),
        output::percent(started.share_ppm),
        started.metric.clone(),
        state,
        concluded.difference,
        interval,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_counts_once_in_the_arm_that_the_key_gives() {
        let outcome = |user: &str, value: f64| Outcome { user: user.into(), value };
        let outcomes = (0..1000).flat_map(|n| {
            let user = format!("user-{n}");
            [outcome(&user, 1.0), outcome(&user, 0.0)]
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        let (a, b) = arms(&outcomes, &[3; 32], 200_000);
        assert_eq!(a.users + b.users, 1000);
        assert!((150..250).contains(&b.users), "{}", b.users);
        assert_eq!((a.sum, b.sum), (a.users as f64 / 2.0, b.users as f64 / 2.0));
    }
}
