//! `attestune diff`: what is another at one moment than at another.

use crate::{
    context::Context,
    moment::{self, Moment},
    output,
};
use attestune_proto::v1::DiffRequest;

#[derive(clap::Args)]
pub struct Args {
    /// The earlier moment: a position, or a time such as 2026-05-03 or 2026-05-03T09:00:00Z
    #[arg(long, value_parser = moment::parse, value_name = "MOMENT")]
    from: Moment,
    /// The later moment; now without it
    #[arg(long, value_parser = moment::parse, value_name = "MOMENT")]
    to: Option<Moment>,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let request = DiffRequest { from: args.from.as_of(), to: args.to.as_ref().and_then(Moment::as_of) };
    let answer = session.provenance().diff(request).await?.into_inner();
    if context.json {
        return output::message("DiffResponse", &answer);
    }
    println!(
        "from position {} ({}) to {} ({}): {} events accepted, {} refused, {} entries twice, {} that are no events",
        answer.from_position,
        output::time(answer.from_ms),
        answer.to_position,
        output::time(answer.to_ms),
        answer.accepted,
        answer.refused,
        answer.duplicates,
        answer.garbage
    );
    for change in &answer.changes {
        let sign = if change.added { '+' } else { '~' };
        println!(
            "{sign} {:>6}  {}  {:<12}  {}",
            change.position,
            output::time(change.time_ms),
            change.actor,
            change.text
        );
    }
    if answer.truncated {
        eprintln!("there are more changes than these: ask about less time at once");
    }
    if answer.from_position > answer.to_position {
        eprintln!("--from is the later of the two: nothing was compared");
    }
    Ok(())
}
