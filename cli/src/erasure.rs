//! `attestune erasure`: what was erased, how far it reached, and what becomes of that.

use crate::{context::Context, moment::Moment, output, promote, session::Session, words::DecisionArg};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{
    ErasureDecided, ErasureDecision, ErasureReached, ErasureRow, GetErasureRequest, ReachedVersion, event::Body,
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// List erasures
    List {
        #[command(flatten)]
        moment: Moment,
    },
    /// What an erasure took and reached, and when it is final
    Show {
        /// The position of its first chunk
        erasure: u64,
        #[command(flatten)]
        moment: Moment,
    },
    /// Decide what becomes of a version that an erasure reached
    Decide {
        /// The position of its first chunk
        erasure: u64,
        /// The version, MODEL@N
        #[arg(value_parser = promote::parse_version)]
        version: (String, u32),
        /// What becomes of it
        #[arg(value_enum)]
        decision: DecisionArg,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List { moment } => {
            let answer = context.connect().await?.operations().list_erasures(moment.list("")).await?.into_inner();
            if context.json {
                return output::message("ListErasuresResponse", &answer);
            }
            let headers = ["erasure", "state", "ground", "documents", "examples", "redactions", "others", "by"];
            output::table(&headers, answer.erasures.iter().map(cells).collect());
            Ok(())
        }
        Command::Show { erasure, moment } => show(context, &context.connect().await?, *erasure, moment).await,
        Command::Decide { erasure, version: (model, version), decision } => {
            let decision = ErasureDecision::from(*decision).into();
            let body = ErasureDecided { erasure: *erasure, model: model.clone(), version: *version, decision };
            let receipt = context.connect_as_actor().await?.act(Body::ErasureDecided(body)).await?;
            output::receipt(context.json, &receipt, &format!("{model}@{version}: decided"))
        }
    }
}

fn cells(row: &ErasureRow) -> Vec<String> {
    let state = match row.in_effect_at {
        0 => format!("{} of {} chunks", row.chunk, row.chunks),
        at => format!("in effect at {at}"),
    };
    vec![
        row.position.to_string(),
        state,
        plain(row.ground().as_str_name(), "ERASURE_GROUND_"),
        row.documents.to_string(),
        row.examples.to_string(),
        row.redactions.to_string(),
        row.others.to_string(),
        row.signer.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
    ]
}

/// Prints an erasure and all that it reached.
///
/// # Errors
/// If there is none.
pub async fn show(context: &Context, session: &Session, erasure: u64, moment: &Moment) -> anyhow::Result<()> {
    let request = GetErasureRequest { erasure, as_of: moment.as_of() };
    let answer = session.operations().get_erasure(request).await?.into_inner();
    if context.json {
        return output::message("GetErasureResponse", &answer);
    }
    let row = answer.erasure.unwrap_or_default();
    if row.in_effect_at == 0 {
        println!("erasure {erasure}: {} of {} chunks are here; nothing is erased", row.chunk, row.chunks);
        return Ok(());
    }
    println!(
        "erasure {erasure} is in effect since position {} ({})",
        row.in_effect_at,
        output::time(answer.in_effect_ms)
    );
    println!(
        "  {} texts: {} documents, {} examples, {} redactions, {} others",
        row.count, row.documents, row.examples, row.redactions, row.others
    );
    match answer.left {
        Some(0) => println!("  the vault opens none of them any more"),
        Some(left) => println!("  the vault STILL OPENS {left} of them"),
        None => {}
    }
    match answer.final_ms {
        0 => {
            println!("  final when the last backup of the key store from before expires; the policy does not say when")
        }
        ms => println!("  final at {}, when the last backup of the key store from before expires", output::time(ms)),
    }
    for reached in &answer.datasets {
        let dataset = reached.dataset.clone().unwrap_or_default();
        println!("  dataset {}@{}: {} of {} members", dataset.dataset, dataset.number, reached.members, dataset.count);
    }
    for reached in &answer.versions {
        println!("  {}", reached_line(reached));
    }
    for export in &answer.exports {
        let by = export.signer.as_ref().map_or("", |signer| signer.actor.as_str());
        println!("  the bundle that {by} took out at {} holds a text of it: tell whoever has it", export.position);
    }
    Ok(())
}

fn reached_line(reached: &ReachedVersion) -> String {
    let version = reached.version.clone().unwrap_or_default();
    let stage = if reached.in_force { "IN FORCE".into() } else { format!("in {}", output::stage(version.stage())) };
    let run = version.run.unwrap_or_default();
    let decision = reached.decision.as_ref().map_or("nothing is decided".into(), |row| {
        format!("decided: {}", plain(row.decision().as_str_name(), "ERASURE_DECISION_"))
    });
    format!("{}@{} {stage}: its run at {run} is unrepeatable: erased; {decision}", version.model, version.version)
}

/// An erasure as other answers show it.
pub fn line(reached: &ErasureReached) -> String {
    let decision = reached.decision.as_ref().map_or("nothing is decided".into(), |row| {
        format!("decided: {}", plain(row.decision().as_str_name(), "ERASURE_DECISION_"))
    });
    format!(
        "erasure {} took {} members of its dataset; its run is unrepeatable: erased; {decision}",
        reached.erasure, reached.members
    )
}
