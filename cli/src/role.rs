//! `attestune role`: who may do what.

use crate::{
    context::{Context, Signer},
    output,
};
use attestune_proto::v1::{Role, RoleGranted, RoleWithdrawn, event::Body};
use clap::{Subcommand, ValueEnum};

#[derive(Subcommand)]
pub enum Command {
    /// Grant a role; approvers and admins need a second person's signature (--with)
    Grant {
        /// Who receives it
        actor: String,
        /// The role
        #[arg(value_enum)]
        role: RoleArg,
        /// A second signer, ACTOR or ACTOR=KEYFILE
        #[arg(long = "with", value_name = "ACTOR")]
        others: Vec<String>,
    },
    /// Withdraw a role; open approvals by its holder count no more
    Withdraw {
        /// Who holds it
        actor: String,
        /// The role
        #[arg(value_enum)]
        role: RoleArg,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum RoleArg {
    Admin,
    Steward,
    Reviewer,
    Engineer,
    Approver,
    Officer,
    Scanner,
    Checker,
    Trainer,
    Evaluator,
    Gateway,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::Steward => Self::Steward,
            RoleArg::Reviewer => Self::Reviewer,
            RoleArg::Engineer => Self::Engineer,
            RoleArg::Approver => Self::Approver,
            RoleArg::Officer => Self::Officer,
            RoleArg::Scanner => Self::Scanner,
            RoleArg::Checker => Self::Checker,
            RoleArg::Trainer => Self::Trainer,
            RoleArg::Evaluator => Self::Evaluator,
            RoleArg::Gateway => Self::Gateway,
        }
    }
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Grant { actor, role, others } => {
            let others: Vec<Signer> =
                others.iter().map(|other| context.other_signer(other)).collect::<Result<_, _>>()?;
            let role = Role::from(*role);
            let body = RoleGranted { actor: actor.clone(), role: role.into() };
            let receipt = context.connect_as_actor().await?.act_with(Body::RoleGranted(body), None, &others).await?;
            output::receipt(context.json, &receipt, &format!("{actor} holds the role {}", output::role(role)))
        }
        Command::Withdraw { actor, role } => {
            let role = Role::from(*role);
            let body = RoleWithdrawn { actor: actor.clone(), role: role.into() };
            let receipt = context.connect_as_actor().await?.act(Body::RoleWithdrawn(body)).await?;
            output::receipt(context.json, &receipt, &format!("{actor} no longer holds the role {}", output::role(role)))
        }
    }
}
