//! `attestune train`: training runs.

use crate::{
    base,
    context::Context,
    dataset,
    moment::Moment,
    output, problem, reproduce,
    session::Session,
    wait::{self, Progress},
};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{Hyperparameters, RunRow, TrainingProgressed, TrainingRequested, WorkStatus, event::Body};
use attestune_trainer::plot;
use attestune_workers::train_config;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Request a run; a trainer claims it
    Request(Request),
    /// Show runs, or one with its loss curve
    Status {
        /// The run's position
        run: Option<u64>,
        /// Write the loss curve as a picture
        #[arg(long, value_name = "FILE.svg", requires = "run")]
        svg: Option<std::path::PathBuf>,
        #[command(flatten)]
        moment: Moment,
    },
    /// Train a completed run again and record whether the adapter is the same
    Verify(reproduce::Args),
}

#[derive(clap::Args)]
pub struct Request {
    /// The model that gets a new version
    model: String,
    /// The frozen dataset: NAME, NAME@N or its position
    #[arg(long)]
    dataset: String,
    /// The base model: its name or position
    #[arg(long)]
    base: String,
    #[command(flatten)]
    recipe: Recipe,
    /// Wait for the end, and run the trainer inside if no `attestune up` does
    #[arg(long)]
    wait: bool,
}

/// Every hyperparameter.
#[derive(clap::Args)]
pub struct Recipe {
    /// Rank of the adapters
    #[arg(long, default_value_t = 8)]
    rank: u32,
    /// The adapters count alpha / rank
    #[arg(long, default_value_t = 16)]
    alpha: u32,
    /// Layers with an adapter
    #[arg(long, value_delimiter = ',', default_value = "k_proj,o_proj,q_proj,v_proj")]
    targets: Vec<String>,
    /// Highest learning rate, a decimal
    #[arg(long, default_value = "0.002")]
    learning_rate: String,
    /// Weight decay, a decimal
    #[arg(long, default_value = "0")]
    weight_decay: String,
    /// Share of the steps in which the rate rises
    #[arg(long, default_value = "10%")]
    warmup: String,
    /// How often each example is seen
    #[arg(long, default_value_t = 2)]
    epochs: u32,
    /// Ends the run after so many steps; 0 for no such limit
    #[arg(long, default_value_t = 0)]
    steps_max: u32,
    /// Examples a step
    #[arg(long, default_value_t = 16)]
    batch_size: u32,
    /// The longest example in tokens
    #[arg(long, default_value_t = 256)]
    tokens_max: u32,
    /// Seed of the first values and of the order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads to compute on
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Request(request) => self::request(context, request).await,
        Command::Status { run: None, moment, .. } => {
            let session = context.connect().await?;
            let answer = session.registry().list_runs(moment.list("")).await?.into_inner();
            if context.json {
                return output::message("ListRunsResponse", &answer);
            }
            output::table(&HEADERS, answer.runs.iter().map(cells).collect());
            Ok(())
        }
        Command::Status { run: Some(position), svg, moment } => {
            let session = context.connect().await?;
            let run = find_at(&session, *position, moment).await?;
            if context.json {
                return output::message("RunRow", &run);
            }
            show(&session, &run, svg.as_deref()).await
        }
        Command::Verify(args) => reproduce::run(context, args).await,
    }
}

/// What a recipe asks for, if it can be trained.
pub fn hyperparameters(request: &Recipe) -> anyhow::Result<Hyperparameters> {
    let mut targets = request.targets.clone();
    targets.sort();
    let asked = Hyperparameters {
        rank: request.rank,
        alpha: request.alpha,
        targets,
        learning_rate: request.learning_rate.clone(),
        weight_decay: request.weight_decay.clone(),
        warmup_ppm: crate::policy_yaml::ppm(&request.warmup)?,
        epochs: request.epochs,
        steps_max: request.steps_max,
        batch_size: request.batch_size,
        tokens_max: request.tokens_max,
        seed: request.seed,
        threads: request.threads,
    };
    train_config(&asked).validate()?;
    Ok(asked)
}

async fn request(context: &Context, request: &Request) -> anyhow::Result<()> {
    let hyperparameters = hyperparameters(&request.recipe)?;
    let session = context.connect_as_actor().await?;
    let base = base::find(&session, &request.base).await?;
    let body = TrainingRequested {
        model: request.model.clone(),
        dataset: dataset::find(&session, &request.dataset).await?.position,
        base: base.position,
        hyperparameters: Some(hyperparameters),
        schedule: None,
    };
    if request.wait {
        base::is_here(context, &session, base).await?;
    }
    let receipt = session.act(Body::TrainingRequested(body)).await?;
    if !request.wait {
        output::receipt(context.json, &receipt, &format!("a training of {} is requested", request.model))?;
        if session.local().is_some() {
            eprintln!("a trainer claims it: start `attestune up`, or use --wait");
        }
        return Ok(());
    }
    wait::wait(&session, "training", || async {
        let run = find(&session, receipt.position).await?;
        let note = match run.loss_micro {
            0 => output::work_status(run.status()),
            loss => format!("steps, loss {}.{:03}", loss / 1_000_000, loss % 1_000_000 / 1_000),
        };
        let finished = matches!(run.status(), WorkStatus::Completed | WorkStatus::Failed);
        Ok(Progress { done: run.step.into(), total: run.steps.into(), note, finished })
    })
    .await?;
    let run = find(&session, receipt.position).await?;
    if run.status() == WorkStatus::Failed {
        let event = session.event(run.ended_at).await?;
        let reason = match event.body {
            Some(Body::TrainingFailed(failed)) => plain(failed.reason().as_str_name(), "FAILURE_REASON_"),
            _ => "see the event".into(),
        };
        return Err(problem::no(
            format!("the training failed at position {}: {reason}", run.ended_at),
            "the trainer's own messages say more; request it anew once that is mended",
        ));
    }
    if context.json {
        return output::message("RunRow", &run);
    }
    println!("{}@{} is trained, by the run at position {}", run.model, run.version, run.position);
    show(&session, &run, None).await
}

async fn show(session: &Session, run: &RunRow, svg: Option<&std::path::Path>) -> anyhow::Result<()> {
    let losses = losses(session, run).await?;
    println!("  status  {}, step {} of {}", output::work_status(run.status()), run.step, run.steps);
    println!("  loss    {}.{:04}", run.loss_micro / 1_000_000, run.loss_micro % 1_000_000 / 100);
    if run.reproductions > 0 {
        let weakest = plain(run.reproduction().as_str_name(), "REPRODUCTION_");
        println!("  again   {} times, the weakest result: {weakest}", run.reproductions);
    }
    if !losses.is_empty() {
        println!("  curve   {}", plot::sparkline(&losses, 48));
    }
    if let Some(path) = svg {
        std::fs::write(path, plot::svg(&losses))?;
        eprintln!("the curve is in {}", path.display());
    }
    Ok(())
}

/// The losses that the trainer reported, in order.
async fn losses(session: &Session, run: &RunRow) -> anyhow::Result<Vec<u64>> {
    let to = if run.ended_at == 0 { 0 } else { run.ended_at };
    let request = attestune_proto::v1::HistoryRequest {
        kinds: vec![attestune_proto::v1::Kind::TrainingProgressed.into()],
        verdict: attestune_proto::v1::Verdict::Accepted.into(),
        from: run.position,
        to,
        ..Default::default()
    };
    let mut events = session.provenance().history(request).await?.into_inner();
    let mut losses = Vec::new();
    while let Some(event) = events.message().await? {
        if let Some(Body::TrainingProgressed(TrainingProgressed { run: of, loss_micro, .. })) =
            event.event.and_then(|event| event.body)
            && of == run.position
        {
            losses.push(loss_micro);
        }
    }
    Ok(losses)
}

/// The columns of [`cells`].
pub const HEADERS: [&str; 7] = ["run", "model", "version", "status", "step", "loss", "requested by"];

/// A run as a row.
pub fn cells(run: &RunRow) -> Vec<String> {
    vec![
        run.position.to_string(),
        run.model.clone(),
        if run.version == 0 { "-".into() } else { run.version.to_string() },
        output::work_status(run.status()),
        format!("{}/{}", run.step, run.steps),
        format!("{}.{:04}", run.loss_micro / 1_000_000, run.loss_micro % 1_000_000 / 100),
        run.requested_by.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
    ]
}

/// The run at a position.
pub async fn find(session: &Session, position: u64) -> anyhow::Result<RunRow> {
    find_at(session, position, &Moment::default()).await
}

async fn find_at(session: &Session, position: u64, moment: &Moment) -> anyhow::Result<RunRow> {
    let runs = session.registry().list_runs(moment.list("")).await?.into_inner().runs;
    runs.into_iter().find(|run| run.position == position).ok_or_else(|| {
        problem::cannot(format!("there is no training run at position {position}"), "see `attestune train status`")
    })
}
