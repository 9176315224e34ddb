//! Cosignatures for a log's checkpoints, from the witnesses of a trust policy (C2SP tlog-witness).

use crate::{output, problem, session::Session, witness};
use anyhow::{Context as _, bail};
use attestune_gateway::{Cosigned, LogPages};
use attestune_ledger::{
    replica::Replica,
    tree::{AddCheckpoint, Hash, TlogPolicy, Witness},
};
use attestune_proto::v1::{CheckpointRequest, ConsistencyProofRequest};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Once},
    time::Duration,
};

/// How long a witness has to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How often a running server asks its witnesses.
const EVERY: Duration = Duration::from_secs(10);

/// How a server shows its log to whoever reads tiles.
#[derive(clap::Args)]
pub struct LogArgs {
    /// Serve the log's entries (/tile/entries/…) without a token, too; checkpoint and hashes need none anyway
    #[arg(long)]
    public_entries: bool,
    /// Ask the witnesses of this trust policy (tlog-policy) to cosign, and show checkpoints that a quorum has cosigned
    #[arg(long, value_name = "FILE")]
    witnesses: Option<PathBuf>,
}

impl LogArgs {
    /// As the gateway takes it; asking begins here.
    ///
    /// # Errors
    /// If the policy can't be read.
    pub fn pages(&self, replica: &Arc<Replica>) -> anyhow::Result<LogPages> {
        let cosigned = self.witnesses.as_deref().map(|policy| keep_asking(replica.clone(), policy)).transpose()?;
        Ok(LogPages { public_entries: self.public_entries, cosigned })
    }
}

#[derive(clap::Args)]
pub struct Args {
    /// The trust policy (tlog-policy) whose witnesses are asked; those with a URL
    policy: PathBuf,
}

/// `attestune log cosign`: the newest checkpoint with its witnesses' cosignatures.
pub async fn run(context: &crate::context::Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let note = of_session(&session, &args.policy).await?;
    if context.json {
        return output::value(&serde_json::json!({ "note": note }));
    }
    print!("{note}");
    Ok(())
}

/// The newest checkpoint of a server's log, cosigned by a quorum.
///
/// # Errors
/// If the quorum of the policy is not met.
pub async fn of_session(session: &Session, policy: &Path) -> anyhow::Result<String> {
    let signed = session.log().checkpoint(CheckpointRequest { verdicts: false }).await?.into_inner();
    cosign_note(session, policy, &signed.note, &signed.verifier_key).await
}

/// A checkpoint of a server's log with the cosignatures of a quorum.
///
/// # Errors
/// If the quorum of the policy is not met.
pub async fn cosign_note(session: &Session, policy: &Path, note: &str, key: &str) -> anyhow::Result<String> {
    let policy = witness::policy(policy)?;
    let mut asked = Witnesses::new(policy)?;
    let proof = |old: u64, new: u64| async move {
        let request = ConsistencyProofRequest { old_size: old, new_size: new, verdicts: false };
        let hashes = session.log().consistency_proof(request).await?.into_inner().hashes;
        hashes.into_iter().map(|hash| Ok(Hash(hash.as_slice().try_into()?))).collect()
    };
    let note = asked.cosign(note, proof).await;
    asked
        .policy
        .judge_under(&note, &key.parse()?)
        .map_err(|missing| problem::no(missing.to_string(), "the messages above say what each witness answered"))?;
    Ok(note)
}

/// Asks the witnesses again and again, and publishes each checkpoint that a quorum has cosigned. Ends with the process.
fn keep_asking(replica: Arc<Replica>, policy: &Path) -> anyhow::Result<Arc<Cosigned>> {
    let mut witnesses = Witnesses::new(witness::policy(policy)?)?;
    let cosigned = Arc::new(Cosigned::default());
    let publish = cosigned.clone();
    // Whoever closes the ledger waits until nobody holds its replica any more.
    let replica = Arc::downgrade(&replica);
    tokio::spawn(async move {
        let mut last = String::new();
        while let Some(replica) = replica.upgrade() {
            let asked = witnesses.newest(&replica, &last).await;
            drop(replica);
            match asked {
                Ok(Some((bare, note))) => {
                    last = bare;
                    publish.set(note);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!("the checkpoint is not cosigned: {error:#}"),
            }
            tokio::time::sleep(EVERY).await;
        }
    });
    Ok(cosigned)
}

/// The witnesses of a policy, and what each has cosigned last, as far as is known.
struct Witnesses {
    policy: TlogPolicy,
    client: reqwest::Client,
    sizes: BTreeMap<String, u64>,
}

impl Witnesses {
    fn new(policy: TlogPolicy) -> anyhow::Result<Self> {
        static PROVIDER: Once = Once::new();
        // Whoever installed one before has chosen.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let client = reqwest::Client::builder().timeout(ANSWER_WAIT).build().context("no HTTP client")?;
        Ok(Self { policy, client, sizes: BTreeMap::new() })
    }

    /// The replica's newest checkpoint, bare and cosigned by a quorum; none if it is the last one.
    async fn newest(&mut self, replica: &Arc<Replica>, last: &str) -> anyhow::Result<Option<(String, String)>> {
        let signed = {
            let replica = replica.clone();
            tokio::task::spawn_blocking(move || replica.checkpoint(false)).await??
        };
        if signed.note == last {
            return Ok(None);
        }
        let proof = |old: u64, new: u64| {
            let replica = replica.clone();
            async move {
                let request = ConsistencyProofRequest { old_size: old, new_size: new, verdicts: false };
                let proof = tokio::task::spawn_blocking(move || replica.consistency_proof(&request)).await??;
                proof.hashes.into_iter().map(|hash| Ok(Hash(hash.as_slice().try_into()?))).collect()
            }
        };
        let note = self.cosign(&signed.note, proof).await;
        self.policy.judge_under(&note, &signed.verifier_key.parse()?)?;
        Ok(Some((signed.note, note)))
    }

    /// A checkpoint with the cosignatures of all witnesses that gave one; the others are told of.
    async fn cosign<F: Future<Output = anyhow::Result<Vec<Hash>>>>(
        &mut self,
        note: &str,
        proof: impl Fn(u64, u64) -> F,
    ) -> String {
        let mut cosigned = note.to_owned();
        for witness in self.policy.witnesses.clone() {
            match self.ask(&witness, note, &proof).await {
                Ok(line) => cosigned.push_str(&line),
                Err(error) => tracing::warn!("witness {}: {error:#}", witness.name),
            }
        }
        cosigned
    }

    /// A witness's signature line. One that has cosigned another size than we believe says which.
    async fn ask<F: Future<Output = anyhow::Result<Vec<Hash>>>>(
        &mut self,
        witness: &Witness,
        note: &str,
        proof: &impl Fn(u64, u64) -> F,
    ) -> anyhow::Result<String> {
        let url = witness.url.as_deref().context("the policy names no URL for it")?;
        let size: u64 = note.lines().nth(1).unwrap_or_default().parse().context("the checkpoint has no size")?;
        let mut old = self.sizes.get(&witness.name).copied().unwrap_or(0);
        for _ in 0..2 {
            if old > size {
                bail!(
                    "it has cosigned a tree of {old} entries, this one has {size}: the log's end was lost, or it is another log"
                );
            }
            let request = AddCheckpoint { old, proof: proof(old, size).await?, note: note.to_owned() };
            let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
            let response = self.client.post(&url).body(request.to_string()).send().await?;
            let status = response.status();
            let text = response.text().await?;
            match status.as_u16() {
                200 => {
                    let line = own_line(witness, note, &text)?;
                    self.sizes.insert(witness.name.clone(), size);
                    return Ok(line);
                }
                409 => match text.trim_end().parse::<u64>() {
                    Ok(known) if known != old => old = known,
                    _ => bail!("it has cosigned another tree of this size: {}", text.trim_end()),
                },
                status => bail!("it answered {status}: {}", text.trim_end().chars().take(200).collect::<String>()),
            }
        }
        bail!("it goes on naming another size")
    }
}

/// The line of an answer that is this witness's and holds; others are left out.
fn own_line(witness: &Witness, note: &str, answer: &str) -> anyhow::Result<String> {
    let found = witness.key.find(&format!("{note}{answer}"))?;
    let found = found.with_context(|| {
        format!("its answer has no cosignature of the key that the policy names for it, {}", witness.key)
    })?;
    Ok(format!("{}\n", found.line))
}
