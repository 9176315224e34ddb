//! `attestune hold`: data that must be kept.

use crate::{context::Context, moment::Moment, output, problem, session::list};
use attestune_proto::v1::{HoldRow, LegalHoldPlaced, LegalHoldReleased, event::Body};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Place a legal hold: no erasure that touches it is accepted
    Place {
        /// The matter's name
        hold: String,
        /// A collection that it covers; repeat it; without any it covers everything
        #[arg(long = "collection")]
        collections: Vec<String>,
    },
    /// Release a legal hold
    Release {
        /// Its name, or its position
        hold: String,
    },
    /// List legal holds
    List {
        #[command(flatten)]
        moment: Moment,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Place { hold, collections } => {
            let mut collections = collections.clone();
            collections.sort();
            let body = LegalHoldPlaced { hold: hold.clone(), collections };
            let receipt = context.connect_as_actor().await?.act(Body::LegalHoldPlaced(body)).await?;
            output::receipt(context.json, &receipt, &format!("the legal hold {hold} is placed"))
        }
        Command::Release { hold } => {
            let session = context.connect_as_actor().await?;
            let holds = session.operations().list_holds(list("")).await?.into_inner().holds;
            let position = hold.parse::<u64>().ok();
            let fits =
                |row: &&HoldRow| row.released_at.is_none() && (Some(row.position) == position || row.hold == *hold);
            let row = holds
                .iter()
                .rfind(fits)
                .ok_or_else(|| problem::cannot(format!("no legal hold {hold} stands"), "see `attestune hold list`"))?;
            let receipt = session.act(Body::LegalHoldReleased(LegalHoldReleased { hold: row.position })).await?;
            output::receipt(context.json, &receipt, &format!("the legal hold {} is released", row.hold))
        }
        Command::List { moment } => {
            let answer = context.connect().await?.operations().list_holds(moment.list("")).await?.into_inner();
            if context.json {
                return output::message("ListHoldsResponse", &answer);
            }
            let rows = answer.holds.iter().map(cells).collect();
            output::table(&["hold", "position", "collections", "by", "released"], rows);
            Ok(())
        }
    }
}

fn cells(row: &HoldRow) -> Vec<String> {
    let collections = if row.collections.is_empty() { "all".into() } else { row.collections.join(", ") };
    vec![
        row.hold.clone(),
        row.position.to_string(),
        collections,
        row.signer.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
        row.released_at.map_or("no".into(), |at| format!("at {at}")),
    ]
}
