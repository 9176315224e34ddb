//! `attestune scan`: personal data and quality, by the workers.

use crate::{
    context::Context,
    output, pii, problem,
    session::{Session, list},
    wait::{self, Progress},
};
use attestune_proto::v1::{ExampleStatus, GetPolicyRequest, ListExamplesRequest};

#[derive(clap::Args)]
pub struct Args {
    /// Show what came of the examples of this collection
    collection: Option<String>,
    /// Run the workers, or wait for those of `attestune up`, until nothing is left to scan
    #[arg(long)]
    wait: bool,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    if args.wait {
        let first = open_batches(&session).await?;
        if first > 0 {
            refuse_what_is_lacking(context, &session).await?;
        }
        let all = first as u64;
        wait::wait(&session, "scanning", || async {
            let open = open_batches(&session).await? as u64;
            Ok(Progress { done: all.saturating_sub(open), total: all, note: "batches".into(), finished: open == 0 })
        })
        .await?;
    }
    let work = session.registry().list_open_work(list("")).await?.into_inner();
    let open = work.batches_to_scan.len() + work.batches_to_check.len();
    if open > 0 {
        eprintln!("{open} scans and checks are open: `attestune up` does them, or `attestune scan --wait`");
    }
    match &args.collection {
        Some(collection) => show(context, &session, collection).await,
        None if context.json => output::message("OpenWork", &work),
        None if open == 0 => {
            println!("every batch is scanned and checked");
            Ok(())
        }
        None => Ok(()),
    }
}

/// A detector that the policy asks for and that nobody here has would be waited for without end. Where another process
/// serves the ledger, that may have it; this one says so and waits.
async fn refuse_what_is_lacking(context: &Context, session: &Session) -> anyhow::Result<()> {
    let request = GetPolicyRequest::default();
    let policy = session.registry().get_policy(request).await?.into_inner().policy.unwrap_or_default();
    let ours = pii::detector(&pii::Settings::of(&context.folder()).scanner()?);
    let asked = policy.detectors.iter().map(|tool| format!("{}@{}", tool.name, tool.version));
    let lacking: Vec<String> = asked.filter(|name| *name != ours).collect();
    match (lacking.is_empty(), session.local()) {
        (true, _) => Ok(()),
        (false, None) => {
            eprintln!("the policy asks for {}: waiting for workers that have it", lacking.join(", "));
            Ok(())
        }
        (false, Some(_)) => Err(problem::cannot(
            format!(
                "the policy asks for {}, which this binary lacks: it has {ours}; nothing was scanned, and nothing passes \
                 unscanned",
                lacking.join(", ")
            ),
            "run `attestune up` with the workers that have it, or adopt a policy that names what there is; \
             `attestune pii use` sets another configuration",
        )),
    }
}

async fn open_batches(session: &Session) -> anyhow::Result<usize> {
    let work = session.registry().list_open_work(list("")).await?.into_inner();
    Ok(work.batches_to_scan.len() + work.batches_to_check.len())
}

async fn show(context: &Context, session: &Session, collection: &str) -> anyhow::Result<()> {
    let request = ListExamplesRequest { collection: collection.into(), ..Default::default() };
    let answer = session.registry().list_examples(request).await?.into_inner();
    if context.json {
        return output::message("ListExamplesResponse", &answer);
    }
    let count = |status: ExampleStatus| answer.examples.iter().filter(|example| example.status() == status).count();
    let flagged = answer.examples.iter().filter(|example| !example.findings.is_empty()).count();
    println!("{} examples in {collection}, {flagged} with findings", answer.examples.len());
    println!("  eligible         {}", count(ExampleStatus::Eligible));
    println!("  awaiting review  {}", count(ExampleStatus::AwaitingReview));
    println!("  rejected         {}", count(ExampleStatus::Rejected));
    println!("  excluded         {}", count(ExampleStatus::Excluded));
    println!("  unchecked        {}", count(ExampleStatus::Unchecked));
    match count(ExampleStatus::Erased) {
        0 => {}
        erased => println!("  erased           {erased}"),
    }
    Ok(())
}
