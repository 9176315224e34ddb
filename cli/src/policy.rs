//! `attestune policy`: what the company demands.

use crate::{context::Context, draft::Others, moment::Moment, output, policy_yaml};
use attestune_proto::v1::{GetPolicyRequest, PolicyAdopted, event::Body};
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Show the policy in force, or an earlier one, as YAML
    Show {
        /// Its version; the one in force without it
        #[arg(long)]
        version: Option<u32>,
        #[command(flatten)]
        moment: Moment,
    },
    /// Print the default policy as YAML, to start one's own from
    Default {
        /// The suite that gates staging and production
        #[arg(long, default_value = policy_yaml::DEFAULT_SUITE)]
        suite: String,
    },
    /// Adopt a policy; signed by as many root keys as the ledger's threshold
    Adopt {
        /// The policy in YAML
        file: PathBuf,
        #[command(flatten)]
        others: Others,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Show { version, moment } => {
            let session = context.connect().await?;
            let request = GetPolicyRequest { version: version.unwrap_or(0), as_of: moment.as_of() };
            let row = session.registry().get_policy(request).await?.into_inner();
            if context.json {
                return output::message("PolicyRow", &row);
            }
            println!("# policy version {}, adopted at position {}", row.version, row.position);
            print!("{}", policy_yaml::write(&row.policy.unwrap_or_default())?);
            Ok(())
        }
        Command::Default { suite } => {
            print!("{}", policy_yaml::write(&policy_yaml::default_policy(suite))?);
            Ok(())
        }
        Command::Adopt { file, others } => {
            let policy = policy_yaml::read(file)?;
            let body = Body::PolicyAdopted(PolicyAdopted { policy: Some(policy) });
            let session = context.connect_as_actor().await?;
            others.act(context, &session, body, "the policy is in force").await
        }
    }
}
