//! `attestune dataset`: fixed sets of eligible examples.

use crate::{context::Context, moment::Moment, output, problem, session::Session};
use attestune_proto::v1::{DatasetFrozen, DatasetRow, ListMembersRequest, PrepareDatasetRequest, event::Body};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Freeze all eligible examples of some collections, as they are now
    Freeze {
        /// The dataset's name
        name: String,
        /// A collection; repeat it for several
        #[arg(long = "collection", required = true)]
        collections: Vec<String>,
    },
    /// Show a dataset: NAME for the newest of that name, NAME@N, or its position
    Show {
        /// The dataset
        dataset: String,
        /// List its members, too
        #[arg(long)]
        members: bool,
        #[command(flatten)]
        moment: Moment,
    },
    /// List datasets
    List {
        #[command(flatten)]
        moment: Moment,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Freeze { name, collections } => freeze(context, name, collections).await,
        Command::Show { dataset, members, moment } => show(context, dataset, *members, moment).await,
        Command::List { moment } => {
            let session = context.connect().await?;
            let answer = session.registry().list_datasets(moment.list("")).await?.into_inner();
            if context.json {
                return output::message("ListDatasetsResponse", &answer);
            }
            output::table(&HEADERS, answer.datasets.iter().map(cells).collect());
            Ok(())
        }
    }
}

/// The columns of [`cells`].
pub const HEADERS: [&str; 6] = ["dataset", "position", "members", "collections", "by", "root"];

/// A dataset as a row.
pub fn cells(row: &DatasetRow) -> Vec<String> {
    vec![
        format!("{}@{}", row.dataset, row.number),
        row.position.to_string(),
        row.count.to_string(),
        row.collections.join(", "),
        row.signer.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
        output::short(&row.root),
    ]
}

async fn freeze(context: &Context, name: &str, collections: &[String]) -> anyhow::Result<()> {
    let mut collections = collections.to_vec();
    collections.sort();
    collections.dedup();
    let session = context.connect_as_actor().await?;
    let request = PrepareDatasetRequest { collections: collections.clone(), as_of: None };
    let prepared = session.registry().prepare_dataset(request).await?.into_inner();
    if prepared.unchecked + prepared.awaiting_review > 0 {
        eprintln!(
            "left out: {} examples that were not scanned and checked by all that the policy asks for, {} that await review",
            prepared.unchecked, prepared.awaiting_review
        );
    }
    let body = DatasetFrozen {
        dataset: name.into(),
        collections,
        at: prepared.at,
        root: prepared.root.clone(),
        count: prepared.count,
    };
    let receipt = session.act(Body::DatasetFrozen(body)).await?;
    let said =
        format!("dataset {name}: {} members are frozen under root {}", prepared.count, output::short(&prepared.root));
    output::receipt(context.json, &receipt, &said)
}

async fn show(context: &Context, dataset: &str, members: bool, moment: &Moment) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let row = find_at(&session, dataset, moment).await?;
    let listed = if members {
        let request = ListMembersRequest { dataset: row.position, as_of: moment.as_of() };
        session.registry().list_members(request).await?.into_inner()
    } else {
        Default::default()
    };
    if context.json {
        let mut json = crate::json::message("DatasetRow", &row)?;
        if members {
            json["members"] = crate::json::message("ListMembersResponse", &listed)?["members"].take();
        }
        return output::value(&json);
    }
    let counts = row.counts.unwrap_or_default();
    println!("{}@{}, frozen at position {} as of {}", row.dataset, row.number, row.position, row.at);
    println!("  members       {}", row.count);
    println!("  root          {}", hex::encode(&row.root));
    println!("  collections   {}", row.collections.join(", "));
    println!("  contributors  {}", row.contributors.join(", "));
    println!(
        "  of {} examples: {} flagged, {} reviewed, {} redacted, {} rejected, {} excluded by quality",
        counts.examples, counts.flagged, counts.reviewed, counts.redacted, counts.rejected, counts.excluded_by_quality
    );
    let rows = listed.members.iter().map(|member| {
        let at = member.example.unwrap_or_default();
        let commitment = member.content.as_ref().map_or(String::new(), |content| hex::encode(&content.commitment));
        vec![format!("{}/{}", at.batch, at.index), commitment]
    });
    if members {
        output::table(&["example", "commitment"], rows.collect());
    }
    Ok(())
}

/// Finds a dataset by `NAME`, `NAME@NUMBER` or position.
pub async fn find(session: &Session, text: &str) -> anyhow::Result<DatasetRow> {
    find_at(session, text, &Moment::default()).await
}

async fn find_at(session: &Session, text: &str, moment: &Moment) -> anyhow::Result<DatasetRow> {
    let all = session.registry().list_datasets(moment.list("")).await?.into_inner().datasets;
    let (name, number) = match text.split_once('@') {
        Some((name, number)) => (name, number.parse::<u32>().ok()),
        None => (text, None),
    };
    let position = text.parse::<u64>().ok();
    let found = all.into_iter().filter(|row| {
        Some(row.position) == position || (row.dataset == name && number.is_none_or(|number| row.number == number))
    });
    found.max_by_key(|row| row.position).ok_or_else(|| {
        problem::cannot(
            format!("there is no dataset {text}"),
            "see `attestune dataset list`; freeze one with `attestune dataset freeze`",
        )
    })
}
