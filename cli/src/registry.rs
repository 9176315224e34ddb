//! `attestune registry`: lists of what the ledger knows.

use crate::{base, context::Context, dataset, evidence, moment::Moment, output, suite, train};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{VersionErased, VersionRow};
use clap::ValueEnum;

#[derive(clap::Args)]
pub struct Args {
    /// What to list
    #[arg(value_enum, default_value = "models")]
    what: What,
    /// Only of this name: a model, dataset, suite or collection
    #[arg(long, default_value = "")]
    name: String,
    #[command(flatten)]
    moment: Moment,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum What {
    Models,
    Versions,
    Datasets,
    Runs,
    Suites,
    Bases,
    Evaluations,
    Promotions,
    Batches,
    Exports,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let (mut registry, request) = (session.registry(), args.moment.list(&args.name));
    macro_rules! answer {
        ($call:ident, $name:literal, $headers:expr, $rows:expr) => {{
            let answer = registry.$call(request).await?.into_inner();
            if context.json {
                return output::message($name, &answer);
            }
            output::table(&$headers, $rows(&answer));
        }};
    }
    use attestune_proto::v1 as pb;
    match args.what {
        What::Models => answer!(
            list_models,
            "ListModelsResponse",
            ["model", "versions", "in force", "since position", "beside it"],
            |a: &pb::ListModelsResponse| a.models.iter().map(model).collect()
        ),
        What::Versions => answer!(
            list_versions,
            "ListVersionsResponse",
            ["version", "position", "stage", "run", "adapter", "by", "data"],
            |a: &pb::ListVersionsResponse| a.versions.iter().map(|row| version(row, &a.erased)).collect()
        ),
        What::Datasets => {
            answer!(list_datasets, "ListDatasetsResponse", dataset::HEADERS, |a: &pb::ListDatasetsResponse| a
                .datasets
                .iter()
                .map(dataset::cells)
                .collect())
        }
        What::Runs => answer!(list_runs, "ListRunsResponse", train::HEADERS, |a: &pb::ListRunsResponse| a
            .runs
            .iter()
            .map(train::cells)
            .collect()),
        What::Suites => answer!(list_suites, "ListSuitesResponse", suite::HEADERS, |a: &pb::ListSuitesResponse| a
            .suites
            .iter()
            .map(suite::cells)
            .collect()),
        What::Bases => answer!(list_bases, "ListBasesResponse", base::HEADERS, |a: &pb::ListBasesResponse| a
            .bases
            .iter()
            .map(base::cells)
            .collect()),
        What::Evaluations => answer!(
            list_evaluations,
            "ListEvaluationsResponse",
            ["evaluation", "version", "suite at", "status", "results", "requested by"],
            |a: &pb::ListEvaluationsResponse| a.evaluations.iter().map(evaluation).collect()
        ),
        What::Promotions => answer!(
            list_promotions,
            "ListPromotionsResponse",
            ["promotion", "version", "to", "status", "approvals", "requested by"],
            |a: &pb::ListPromotionsResponse| a.promotions.iter().map(promotion).collect()
        ),
        What::Batches => answer!(
            list_batches,
            "ListBatchesResponse",
            ["batch", "collection", "kind", "count", "by"],
            |a: &pb::ListBatchesResponse| batches(a)
        ),
        What::Exports => {
            answer!(list_exports, "ListExportsResponse", evidence::HEADERS, |a: &pb::ListExportsResponse| a
                .exports
                .iter()
                .map(evidence::cells)
                .collect())
        }
    }
    Ok(())
}

fn model(row: &attestune_proto::v1::ModelRow) -> Vec<String> {
    let in_force = row.in_force != 0;
    vec![
        row.model.clone(),
        row.versions.to_string(),
        match row.halted_at {
            Some(at) => format!("HALTED at {at}"),
            None if in_force => row.in_force.to_string(),
            None => "none".into(),
        },
        if in_force { row.since.to_string() } else { "-".into() },
        match (row.challenger, row.experiment) {
            (0, _) => String::new(),
            (challenger, None) => format!("challenger {challenger}"),
            (challenger, Some(at)) => format!("challenger {challenger} in experiment {at}"),
        },
    ]
}

fn version(row: &VersionRow, erased: &[VersionErased]) -> Vec<String> {
    let stage = match (row.rolled_back_at, row.halted_at) {
        (0, 0) => output::stage(row.stage()),
        (0, at) => format!("{}, halted at {at}", output::stage(row.stage())),
        (at, _) => format!("{}, rolled back at {at}", output::stage(row.stage())),
    };
    let of_this = erased.iter().filter(|e| (&e.model, e.version) == (&row.model, row.version));
    let erased = of_this.filter_map(|e| e.reached.as_ref()).map(|reached| {
        let open = if reached.decision.is_none() { ", UNDECIDED" } else { "" };
        format!("{} erased at {}{open}", reached.members, reached.in_effect_at)
    });
    vec![
        format!("{}@{}", row.model, row.version),
        row.position.to_string(),
        stage,
        row.run.map_or("elsewhere".into(), |run| run.to_string()),
        output::short(&row.adapter_digest),
        row.registered_by.clone(),
        erased.collect::<Vec<_>>().join("; "),
    ]
}

fn evaluation(row: &attestune_proto::v1::EvaluationRow) -> Vec<String> {
    let results = row.results.iter().map(|result| format!("{} {}/{}", result.category, result.passed, result.cases));
    vec![
        row.position.to_string(),
        format!("{}@{}", row.model, row.version),
        row.suite.to_string(),
        output::work_status(row.status()),
        results.collect::<Vec<_>>().join(", "),
        row.requested_by.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
    ]
}

fn promotion(row: &attestune_proto::v1::PromotionRow) -> Vec<String> {
    let approvers =
        row.approvals.iter().filter_map(|approval| approval.signer.as_ref()).map(|signer| signer.actor.as_str());
    vec![
        row.position.to_string(),
        format!("{}@{}", row.model, row.version),
        output::stage(row.to()),
        plain(row.status().as_str_name(), "PROMOTION_STATUS_"),
        format!("{}/{} {}", row.approvals.len(), row.approvals_needed, approvers.collect::<Vec<_>>().join(", "))
            .trim_end()
            .into(),
        row.requested_by.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
    ]
}

fn batches(answer: &attestune_proto::v1::ListBatchesResponse) -> Vec<Vec<String>> {
    let documents =
        answer.documents.iter().map(|row| (row.position, &row.collection, "documents", row.count, &row.actor));
    let examples = answer.examples.iter().map(|row| (row.position, &row.collection, "examples", row.count, &row.actor));
    let mut rows: Vec<_> = documents.chain(examples).collect();
    rows.sort_unstable();
    let cells = |(position, collection, kind, count, actor): (u64, &String, &str, u32, &String)| {
        vec![position.to_string(), collection.clone(), kind.into(), count.to_string(), actor.clone()]
    };
    rows.into_iter().map(cells).collect()
}
