//! `attestune role`: who may do what.

use crate::{context::Context, draft::Others, output};
use attestune_proto::v1::{Role, RoleGranted, RoleWithdrawn, event::Body};
use clap::{Subcommand, ValueEnum};

#[derive(Subcommand)]
pub enum Command {
    /// Grant a role; approvers and admins need a second person's signature (--with, or --draft)
    Grant {
        /// Who receives it
        actor: String,
        /// The role
        #[arg(value_enum)]
        role: RoleArg,
        #[command(flatten)]
        others: Others,
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
    Monitor,
    Scheduler,
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
            RoleArg::Monitor => Self::Monitor,
            RoleArg::Scheduler => Self::Scheduler,
        }
    }
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Grant { actor, role, others } => {
            let role = Role::from(*role);
            let body = Body::RoleGranted(RoleGranted { actor: actor.clone(), role: role.into() });
            let session = context.connect_as_actor().await?;
            others.act(context, &session, body, &format!("{actor} holds the role {}", output::role(role))).await
        }
        Command::Withdraw { actor, role } => {
            let role = Role::from(*role);
            let body = RoleWithdrawn { actor: actor.clone(), role: role.into() };
            let receipt = context.connect_as_actor().await?.act(Body::RoleWithdrawn(body)).await?;
            output::receipt(context.json, &receipt, &format!("{actor} no longer holds the role {}", output::role(role)))
        }
    }
}
