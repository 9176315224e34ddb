//! The binary `attestune`: a thin shell over gRPC. It parses, signs, asks and prints; the rules live in the ledger.
//!
//! Every command is a gRPC call: to `--server`, else to the folder's running `attestune up` over its Unix socket, else
//! to a gateway that the command opens over the folder inside its own process.
//!
//! Exit codes: 0 yes or done; 1 no (refused, does not verify); 2 could not (misuse, I/O).

mod alert;
mod append;
mod backup;
mod base;
mod bench;
mod bundle;
mod cases;
mod clock;
mod comply;
mod connect;
mod context;
mod cosigned;
mod dataset;
mod decided;
mod decode;
mod derive;
mod device;
mod diff;
mod doctor;
mod doctor_kafka;
mod draft;
mod due;
mod erase;
mod erasure;
mod eval;
mod evidence;
mod experiment;
mod explain;
mod folder;
mod halt;
mod history;
mod hold;
mod in_force;
mod ingest;
mod init;
mod json;
mod kafka_args;
mod key;
mod lineage;
mod local;
mod log;
mod model;
mod moment;
mod monitor;
mod output;
mod pair;
mod pii;
mod policy;
mod policy_operations;
mod policy_yaml;
mod probe;
mod problem;
mod promote;
mod proof;
mod provenance;
mod publish;
mod refold;
mod registry;
mod replay;
mod report;
mod reproduce;
mod restore;
mod review;
mod role;
mod rollback;
mod rows;
mod running;
mod scan;
mod schedule;
mod served;
mod serving;
mod session;
mod spread;
mod suite;
mod telemetry;
mod template;
mod tiles;
mod token;
mod train;
mod up;
mod vault;
mod verify;
mod wait;
mod watch;
mod witness;
mod words;

use clap::{CommandFactory as _, Parser, Subcommand};
use context::Context;
use std::process::ExitCode;

/// What one thread allocates another frees: a window's events are decoded in one, folded in the next, stored in a third.
/// The allocator of glibc makes them wait for each other there; with this one replay is 1.5 times as fast, and a bundle is
/// verified twice as fast.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A signed, append-only system of record for fine-tuned language models.
#[derive(Parser)]
#[command(name = "attestune", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    context: Context,
    /// Send traces to this collector, by OTLP over gRPC
    #[arg(long, global = true, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a ledger: keys of its root admins, policy, genesis, the server's own actors
    Init(init::Args),
    /// Run the ledger: log, replica, gateway and workers in one process
    Up(up::Args),
    /// Ask a server whether it is ready: for the health checks of containers
    Probe(probe::Args),
    /// Serve a ledger on Kafka by gRPC, from a replica of its own
    Gateway(spread::GatewayArgs),
    /// Run one worker on a ledger on Kafka, from a replica of its own
    Worker(spread::WorkerArgs),
    /// Train what a ledger on Kafka asks for, from a replica of its own
    Trainer(spread::TrainerArgs),
    /// Check the folder and say what to do about what is wrong
    Doctor(doctor::Args),
    /// Keys: make, list, register, pair a browser, revoke
    #[command(subcommand)]
    Key(key::Command),
    /// Roles: grant, withdraw
    #[command(subcommand)]
    Role(role::Command),
    /// The policy: show, adopt
    #[command(subcommand)]
    Policy(policy::Command),
    /// The ledger's time: correct it after a clock had jumped
    #[command(subcommand)]
    Clock(clock::Command),
    /// Show a drafted act and sign it, too: acts that two persons sign on machines of their own
    Cosign(draft::Args),
    /// Ingest documents from a file of CSV, JSONL, text or Markdown
    Ingest(ingest::Args),
    /// Derive examples from a collection's documents by a template
    Derive(derive::Args),
    /// Scan examples for personal data and check their quality
    Scan(scan::Args),
    /// Personal data without a ledger: scan, serve; and what a ledger's worker looks for
    #[command(subcommand)]
    Pii(pii::Command),
    /// Review examples, full-screen or one command at a time
    Review(review::Args),
    /// Reports: what was found and what people made of it
    #[command(subcommand)]
    Report(report::Command),
    /// Datasets: freeze, show, list
    #[command(subcommand)]
    Dataset(dataset::Command),
    /// Base models: register, list
    #[command(subcommand)]
    Base(base::Command),
    /// Training runs: request, status, verify
    #[command(subcommand)]
    Train(train::Command),
    /// Models trained elsewhere: register
    #[command(subcommand)]
    Model(model::Command),
    /// Evaluation suites: register, list
    #[command(subcommand)]
    Suite(suite::Command),
    /// Evaluations: request, show
    #[command(subcommand)]
    Eval(eval::Command),
    /// Promotions: request, approve, reject, withdraw
    #[command(subcommand)]
    Promote(promote::Command),
    /// Go back to an earlier version that was in force
    Rollback(rollback::Args),
    /// Serve a model no more, at once
    Halt(halt::Args),
    /// What is decided, and what each server says it serves
    Served(served::Args),
    /// Experiments: two versions side by side
    #[command(subcommand)]
    Experiment(experiment::Command),
    /// Alerts on what is served: list, acknowledge
    #[command(subcommand)]
    Alert(alert::Command),
    /// What servers counted and what a monitor read of it: list, show
    #[command(subcommand)]
    Watch(watch::Command),
    /// Retraining: set a schedule, pause it, show it
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// What is due and what is late, reckoned now from the log
    Due(due::Args),
    /// Only what is late or missing; that there is something is an answer of no
    Gaps(due::Args),
    /// What the ledger says to clauses of regulations; a gap is an answer of no
    Comply(comply::Args),
    /// Erase a person's data: the trail stays
    Erase(erase::Args),
    /// Erasures: list, show what each reached, decide what becomes of that
    #[command(subcommand)]
    Erasure(erasure::Command),
    /// Legal holds: place, release, list
    #[command(subcommand)]
    Hold(hold::Command),
    /// List what the ledger knows
    Registry(registry::Args),
    /// Everything that made a version and everything decided on it
    Provenance(provenance::Args),
    /// What a thing was made from, or what was made from it
    Lineage(lineage::Args),
    /// What happened, event by event
    History(history::Args),
    /// Which version is, or was, in force, and why
    InForce(in_force::Args),
    /// What is another at one moment than at another
    Diff(diff::Args),
    /// Fold the log again from nothing and compare the result with the server's, or explain it event by event
    Replay(replay::Args),
    /// Evidence that leaves the house and proves itself: export, list
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Check a bundle of evidence, a folder's log, an export or a proof offline, without trust in the server
    Verify(verify::Args),
    /// Back up log, vault and the server's keys
    Backup(backup::BackupArgs),
    /// Restore a backup into a folder
    Restore(backup::RestoreArgs),
    /// The raw log: tail, export, decode, append, checkpoint, prove, restore
    #[command(subcommand)]
    Log(log::Command),
    /// Cosign the checkpoints of logs, each consistent with the one before: a small witness
    Witness(witness::Args),
    /// Tell of every event under a key, and go on telling
    Monitor(monitor::Args),
    /// Sign an access token, for other gRPC clients
    Token(token::Args),
    /// Measure this build on this machine, beside others
    Bench(bench::Args),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Whoever reads the output may have heard enough (`| head`): that ends the command without a word, with the status that
/// shells give for a broken pipe.
fn end_quietly_without_a_reader() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(141);
        }
        told(panic);
    }));
}

fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return problem::report(&anyhow::Error::new(error).context("cannot start"), cli.context.json),
    };
    let telemetry = {
        let _inside = runtime.enter();
        telemetry::start(cli.otlp.as_deref())
    };
    let telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(error) => return problem::report(&error, cli.context.json),
    };
    let outcome = runtime.block_on(run(&cli));
    telemetry.stop();
    // Blocking work that outlives its command (a worker in a long step) must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => problem::report(&error, cli.context.json),
    }
}

/// Runs a command. A folder that it opened is closed again when this returns, however the command ended.
async fn run(cli: &Cli) -> anyhow::Result<()> {
    let outcome = command(cli).await;
    cli.context.close().await;
    outcome
}

async fn command(cli: &Cli) -> anyhow::Result<()> {
    let context = &cli.context;
    match &cli.command {
        Command::Init(args) => init::run(context, args).await,
        Command::Up(args) => up::run(context, args).await,
        Command::Probe(args) => probe::run(args).await,
        Command::Gateway(args) => spread::gateway(context, args).await,
        Command::Worker(args) => spread::worker(context, args).await,
        Command::Trainer(args) => spread::trainer(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Key(command) => key::run(context, command).await,
        Command::Role(command) => role::run(context, command).await,
        Command::Policy(command) => policy::run(context, command).await,
        Command::Clock(command) => clock::run(context, command).await,
        Command::Cosign(args) => draft::run(context, args).await,
        Command::Ingest(args) => ingest::run(context, args).await,
        Command::Derive(args) => derive::run(context, args).await,
        Command::Scan(args) => scan::run(context, args).await,
        Command::Pii(command) => pii::run(context, command).await,
        Command::Review(args) => review::run(context, args).await,
        Command::Report(command) => report::run(context, command).await,
        Command::Dataset(command) => dataset::run(context, command).await,
        Command::Base(command) => base::run(context, command).await,
        Command::Train(command) => train::run(context, command).await,
        Command::Model(command) => model::run(context, command).await,
        Command::Suite(command) => suite::run(context, command).await,
        Command::Eval(command) => eval::run(context, command).await,
        Command::Promote(command) => promote::run(context, command).await,
        Command::Rollback(args) => rollback::run(context, args).await,
        Command::Halt(args) => halt::run(context, args).await,
        Command::Served(args) => served::run(context, args).await,
        Command::Experiment(command) => experiment::run(context, command).await,
        Command::Alert(command) => alert::run(context, command).await,
        Command::Watch(command) => watch::run(context, command).await,
        Command::Schedule(command) => schedule::run(context, command).await,
        Command::Due(args) => due::run(context, args, false).await,
        Command::Gaps(args) => due::run(context, args, true).await,
        Command::Comply(args) => comply::run(context, args).await,
        Command::Erase(args) => erase::run(context, args).await,
        Command::Erasure(command) => erasure::run(context, command).await,
        Command::Hold(command) => hold::run(context, command).await,
        Command::Registry(args) => registry::run(context, args).await,
        Command::Provenance(args) => provenance::run(context, args).await,
        Command::Lineage(args) => lineage::run(context, args).await,
        Command::History(args) => history::run(context, args).await,
        Command::InForce(args) => in_force::run(context, args).await,
        Command::Diff(args) => diff::run(context, args).await,
        Command::Replay(args) => replay::run(context, args).await,
        Command::Evidence(command) => evidence::run(context, command).await,
        Command::Verify(args) => verify::run(context, args).await,
        Command::Backup(args) => backup::backup(context, args).await,
        Command::Restore(args) => backup::restore(context, args).await,
        Command::Log(command) => log::run(context, command).await,
        Command::Witness(args) => witness::run(context, args).await,
        Command::Monitor(args) => monitor::run(context, args).await,
        Command::Token(args) => token::run(context, args).await,
        Command::Bench(args) => bench::run(context, args).await,
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "attestune", &mut std::io::stdout());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_checklist_is_one_and_every_line_has_some() {
        let checklist = include_str!("../../docs/checklist.md");
        let rows: Vec<Vec<&str>> = checklist
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| asked"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        for row in &rows {
            let commands: Vec<&str> = row.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
            let commands = commands.into_iter().filter(|code| code.starts_with("attestune "));
            let parsed = commands.map(|command| {
                if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
                    panic!("{command}: {error}");
                }
            });
            assert!(parsed.count() > 0, "{row:?} names no command");
        }
        let asked: Vec<&str> = rows.iter().map(|row| row[0]).filter(|asked| !asked.is_empty()).collect();
        let lines = [
            "PII scan and human review",
            "lineage",
            "experiment tracking with reproducible configuration",
            "LoRA with documented hyperparameters",
            "accuracy, safety and compliance suites",
            "the 95 % gate",
            "stages",
            "audit trail of promotions",
            "A/B",
            "rollback in under five minutes",
            "quality monitoring",
            "quarterly retraining",
        ];
        assert_eq!(asked, lines);
    }

    fn compose() -> serde_yaml_ng::Value {
        let mut compose: serde_yaml_ng::Value = serde_yaml_ng::from_str(include_str!("../../compose.yaml")).unwrap();
        compose.apply_merge().unwrap();
        compose
    }

    #[test]
    fn one_gateway_of_the_compose_file_holds_the_checkpoint_key_and_the_other_serves() {
        let compose = compose();
        let with = |field: &str, beginning: &str| -> Vec<String> {
            let has = |service: &serde_yaml_ng::Value| {
                let words = service[field].as_sequence().cloned().unwrap_or_default();
                words.iter().any(|word| word.as_str().unwrap().starts_with(beginning))
            };
            let services = compose["services"].as_mapping().unwrap().iter();
            services.filter(|(_, service)| has(service)).map(|(name, _)| name.as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(with("command", "--checkpoint-key"), ["gateway-1"]);
        assert_eq!(with("secrets", "checkpoint-key"), ["gateway-1"]);
        assert_eq!(with("command", "--serve"), ["gateway-2"]);
    }

    #[test]
    fn every_command_of_the_compose_file_is_one() {
        let compose = compose();
        let mut seen = 0;
        for (name, service) in compose["services"].as_mapping().unwrap() {
            if !service["image"].as_str().unwrap().starts_with("attestune") {
                continue;
            }
            let words = service["command"].as_sequence().unwrap().iter().map(|word| word.as_str().unwrap());
            let line = ["attestune".to_owned()]
                .into_iter()
                .chain(words.map(|w| w.replace("${ATTESTUNE_LEDGER:-triage}", "triage")));
            if let Err(error) = Cli::try_parse_from(line) {
                panic!("{name:?}: {error}");
            }
            seen += 1;
        }
        assert_eq!(seen, 9);
    }
}
