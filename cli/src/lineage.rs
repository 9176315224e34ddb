//! `attestune lineage`: sources and uses of one thing.

use crate::{context::Context, moment::Moment, output, problem, promote};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{Direction, LineageRequest, LineageResponse};

#[derive(clap::Args)]
pub struct Args {
    /// Where it begins: MODEL@N, or the position of a batch, dataset, run, version, evaluation …
    node: String,
    /// What was made from it, instead of what it was made from
    #[arg(long)]
    down: bool,
    #[command(flatten)]
    moment: Moment,
    /// Most nodes shown
    #[arg(long, default_value_t = 1000)]
    limit: u32,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let position = match args.node.parse::<u64>() {
        Ok(position) => position,
        Err(_) => {
            let (model, number) = promote::parse_version(&args.node).map_err(|_| {
                problem::cannot(
                    format!("`{}` is neither MODEL@N nor a position", args.node),
                    "see `attestune registry`",
                )
            })?;
            let versions = session.registry().list_versions(args.moment.list(&model)).await?.into_inner().versions;
            let found = versions.into_iter().find(|row| row.model == model && row.version == number);
            found
                .ok_or_else(|| {
                    problem::cannot(
                        format!("there is no version {model}@{number}"),
                        "see `attestune registry versions`",
                    )
                })?
                .position
        }
    };
    let direction = if args.down { Direction::Down } else { Direction::Up };
    let request =
        LineageRequest { position, direction: direction.into(), as_of: args.moment.as_of(), limit: args.limit };
    let answer = session.provenance().lineage(request).await?.into_inner();
    if context.json {
        return output::message("LineageResponse", &answer);
    }
    print(&answer);
    Ok(())
}

fn print(answer: &LineageResponse) {
    let rows = answer.nodes.iter().enumerate().map(|(at, node)| {
        let sources = answer.edges.iter().filter(|edge| edge.to as usize == at);
        let sources: Vec<_> = sources
            .filter_map(|edge| answer.nodes.get(edge.from as usize))
            .map(|node| node.position.to_string())
            .collect();
        let place = node.index.map_or(node.position.to_string(), |index| format!("{}/{index}", node.position));
        vec![place, plain(node.kind().as_str_name(), "NODE_KIND_"), node.label.clone(), sources.join(", ")]
    });
    output::table(&["position", "kind", "name", "made from"], rows.collect());
    if answer.truncated {
        eprintln!("there are more: raise --limit");
    }
}
