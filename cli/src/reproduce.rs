//! `attestune train verify`: a completed run is trained again on this machine, from what the server gives, and the
//! comparison is put on the record (TrainingReproduced).

use crate::{
    connect,
    context::{Context, Signer, load_key},
    device::DeviceArgs,
    output, problem,
    session::{Session, list},
    train, wait,
};
use anyhow::Context as _;
use attestune_ledger::{
    draft::plain,
    tree::{Frontier, leaf_hash},
};
use attestune_proto::v1::{
    ListMembersRequest, Reproduction, RunRow, Sealed, Setting, TrainingCompleted, TrainingReproduced, WorkStatus,
    event::Body,
};
use attestune_trainer::{
    device::Device,
    environment::Environment,
    train::{TrainExample, Trained, train_on},
};
use attestune_workers::{BaseModels, example::ExampleText, settings, train_config};
use safetensors::SafeTensors;
use std::ops::ControlFlow;

/// The largest difference of a weight, in millionths, up to which an adapter counts as the same on other kernels.
const TOLERANCE_MICRO: u64 = 1_000;
/// Texts opened at once.
const TEXTS: usize = 512;

#[derive(clap::Args)]
pub struct Args {
    /// The run's position
    run: u64,
    /// Only compare: put nothing on the record
    #[arg(long)]
    no_record: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Trains a run again and says, and records, whether the same came out.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let device = args.device.open()?;
    let session = connect::connect(context, Some(signer(context)?)).await?;
    let run = train::find(&session, args.run).await?;
    if run.status() != WorkStatus::Completed {
        return Err(problem::cannot(
            format!("the run at position {} is {}", run.position, output::work_status(run.status())),
            "only a completed run can be repeated",
        ));
    }
    let Some(Body::TrainingCompleted(recorded)) = session.event(run.ended_at).await?.body else {
        return Err(problem::no(
            format!("position {} is no training-completed", run.ended_at),
            "run `attestune replay`",
        ));
    };
    let threads = run.hyperparameters.as_ref().map_or(1, |h| h.threads);
    let environment = settings(&Environment::on(&device, threads)?);
    let trained = repeat(context, &session, &run, device).await?;
    let mut body = compare(&session, &run, &recorded, &trained).await?;
    let on = |environment: &[Setting]| setting(environment, "card").or(setting(environment, "device"));
    let (theirs, ours) = (on(&recorded.environment), on(&environment));
    body.environment = environment;
    let (reproduction, difference_micro) = (body.reproduction(), body.difference_micro);
    let digest = hex::encode(&body.adapter_digest);
    let position = match args.no_record {
        true => None,
        false => Some(session.act_on(Some(run.position), Body::TrainingReproduced(body)).await?.position),
    };
    let class = plain(reproduction.as_str_name(), "REPRODUCTION_");
    if context.json {
        output::value(&serde_json::json!({
            "run": run.position, "recorded": hex::encode(&recorded.adapter_digest), "reproduced": digest,
            "exact": reproduction == Reproduction::Exact, "reproduction": class,
            "difference_micro": difference_micro, "position": position, "recorded_on": theirs, "reproduced_on": ours,
        }))?;
    } else {
        println!("recorded    {}", hex::encode(&recorded.adapter_digest));
        println!("reproduced  {digest}");
        let unknown = || "an unknown device".to_owned();
        println!("device      {}; the run was on {}", ours.unwrap_or_else(unknown), theirs.unwrap_or_else(unknown));
        println!("class       {class}; the largest difference of a weight is {difference_micro} millionths");
        if let Some(position) = position {
            println!("recorded at position {position}");
        }
    }
    match reproduction {
        Reproduction::Exact | Reproduction::WithinTolerance => Ok(()),
        Reproduction::Different | Reproduction::Unspecified => Err(problem::no(
            format!("the run at position {} gave another adapter this time", run.position),
            "compare the recorded environment (`attestune log decode`) with this machine's: device and kernels must be the same",
        )),
    }
}

fn setting(environment: &[Setting], name: &str) -> Option<String> {
    environment.iter().find(|setting| setting.name == name).map(|setting| setting.value.clone())
}

/// The actor named, or the folder's trainer: repetitions are a trainer's to record.
fn signer(context: &Context) -> anyhow::Result<Signer> {
    let path = context.folder().server_key("trainer");
    if context.acts() || context.server().is_some() || !path.exists() {
        return context.signer();
    }
    Ok(Signer { actor: "trainer".into(), key: load_key(&path)? })
}

async fn repeat(context: &Context, session: &Session, run: &RunRow, device: Device) -> anyhow::Result<Trained> {
    let missing =
        |what: &str| problem::no(format!("the {what} of run {} is missing", run.position), "run `attestune replay`");
    let datasets = session.registry().list_datasets(list("")).await?.into_inner().datasets;
    let dataset = datasets.into_iter().find(|row| row.position == run.dataset).ok_or_else(|| missing("dataset"))?;
    let bases = session.registry().list_bases(list("")).await?.into_inner().bases;
    let base = bases.into_iter().find(|row| row.position == run.base).ok_or_else(|| missing("base model"))?;
    let asked = run.hyperparameters.clone().ok_or_else(|| missing("list of hyperparameters"))?;

    let request = ListMembersRequest { dataset: run.dataset, as_of: None };
    let members = session.registry().list_members(request).await?.into_inner().members;
    let contents: Vec<Sealed> = members.into_iter().map(|member| member.content.unwrap_or_default()).collect();
    let mut tree = Frontier::new();
    contents.iter().for_each(|content| tree.push(leaf_hash(&[&content.commitment])));
    if tree.root().0.as_slice() != dataset.root.as_slice() {
        return Err(problem::no("the dataset's members are not those that were frozen", "run `attestune replay`"));
    }
    let mut examples = Vec::with_capacity(contents.len());
    for chunk in contents.chunks(TEXTS) {
        for content in session.unseal(chunk.to_vec()).await? {
            let text: ExampleText =
                serde_json::from_slice(&content).context("an example's text is not what `derive` writes")?;
            examples.push(TrainExample { prompt: text.prompt, answer: text.answer });
        }
    }

    let models = BaseModels::new(context.folder().model_paths()?);
    let config = train_config(&asked);
    let bar = wait::bar("training again");
    let progress = bar.clone();
    let trained = tokio::task::spawn_blocking(move || -> anyhow::Result<Trained> {
        let model = models.load(&base.weights_digest)?;
        if model.tokenizer_digest().0.as_slice() != base.tokenizer_digest.as_slice() {
            return Err(problem::cannot(
                "the base model's tokenizer here is another than was registered",
                "fetch the model's files from their origin again",
            ));
        }
        Ok(train_on(&device, &model, &examples, &config, |now| {
            progress.set_length(now.steps.into());
            progress.set_position(now.step.into());
            ControlFlow::Continue(())
        })?)
    });
    let trained = trained.await??;
    bar.finish_and_clear();
    Ok(trained)
}

async fn compare(
    session: &Session,
    run: &RunRow,
    recorded: &TrainingCompleted,
    trained: &Trained,
) -> anyhow::Result<TrainingReproduced> {
    let ours = trained.adapter.weights_bytes();
    let digest = attestune_trainer::digest::Digest::of(&ours).0.to_vec();
    let (reproduction, difference_micro) = if digest == recorded.adapter_digest {
        (Reproduction::Exact, 0)
    } else {
        let sealed = recorded.adapter.clone().unwrap_or_default();
        let theirs = session.unseal(vec![sealed]).await?.pop().unwrap_or_default();
        match difference_micro(&theirs, &ours) {
            Some(difference) if difference <= TOLERANCE_MICRO => (Reproduction::WithinTolerance, difference),
            difference => (Reproduction::Different, difference.unwrap_or(u64::MAX)),
        }
    };
    Ok(TrainingReproduced {
        run: run.position,
        adapter_digest: digest,
        reproduction: reproduction.into(),
        difference_micro,
        environment: Vec::new(),
    })
}

/// The largest difference of a weight of two adapters, in millionths, rounded up; none if they have other tensors, or
/// numbers that can't be compared.
fn difference_micro(theirs: &[u8], ours: &[u8]) -> Option<u64> {
    let (theirs, ours) = (SafeTensors::deserialize(theirs).ok()?, SafeTensors::deserialize(ours).ok()?);
    if theirs.len() != ours.len() {
        return None;
    }
    let mut largest: f64 = 0.0;
    for (name, ours) in ours.tensors() {
        let theirs = theirs.tensor(&name).ok()?;
        if theirs.shape() != ours.shape() || theirs.dtype() != safetensors::Dtype::F32 {
            return None;
        }
        let numbers = |bytes: &[u8]| -> Vec<f64> {
            bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
        };
        for (a, b) in numbers(theirs.data()).into_iter().zip(numbers(ours.data())) {
            let difference = (a - b).abs();
            if !difference.is_finite() {
                return None;
            }
            largest = largest.max(difference);
        }
    }
    Some((largest * 1e6).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::{Dtype, serialize, tensor::TensorView};

    fn adapter(name: &str, numbers: &[f32]) -> Vec<u8> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![numbers.len()], &bytes).unwrap();
        serialize([(name, view)], None).unwrap()
    }

    #[test]
    fn adapters_are_compared_by_their_largest_difference() {
        let ours = adapter("a", &[0.5, -0.25, 1.0]);
        assert_eq!(difference_micro(&ours, &ours), Some(0));
        assert_eq!(difference_micro(&adapter("a", &[0.5, -0.125, 1.0]), &ours), Some(125_000));
        let others =
            [adapter("b", &[0.5, -0.25, 1.0]), adapter("a", &[0.5]), adapter("a", &[f32::NAN, 0.0, 0.0]), vec![]];
        assert!(others.iter().all(|other| difference_micro(other, &ours).is_none()));
    }
}
