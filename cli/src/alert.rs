//! `attestune alert`: alerts on what is served, and who has seen them.

use crate::{context::Context, moment::Moment, output, words::ActionArg};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{AlertAcknowledged, AlertAction, AlertRow, event::Body};

#[derive(clap::Subcommand)]
pub enum Command {
    /// List alerts, the newest last
    List {
        /// The model; all without it
        model: Option<String>,
        /// Only those that nobody has acknowledged
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        moment: Moment,
    },
    /// Acknowledge an alert: somebody has seen it, and this follows
    Ack {
        /// The alert's position
        alert: u64,
        /// What follows
        #[arg(long, value_enum)]
        action: ActionArg,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List { model, open, moment } => {
            let session = context.connect().await?;
            let request = moment.list(model.as_deref().unwrap_or_default());
            let mut answer = session.operations().list_alerts(request).await?.into_inner();
            answer.alerts.retain(|alert| !open || alert.acknowledged.is_none());
            if context.json {
                return output::message("ListAlertsResponse", &answer);
            }
            let headers = ["alert", "model", "kind", "about", "observed", "allowed", "evidence", "acknowledged"];
            output::table(&headers, answer.alerts.iter().map(cells).collect());
            Ok(())
        }
        Command::Ack { alert, action } => {
            let action = AlertAction::from(*action);
            let body = AlertAcknowledged { alert: *alert, action: action.into() };
            let receipt = context.connect_as_actor().await?.act(Body::AlertAcknowledged(body)).await?;
            output::receipt(context.json, &receipt, &format!("alert {alert} is acknowledged"))
        }
    }
}

fn cells(row: &AlertRow) -> Vec<String> {
    let raised = row.raised.clone().unwrap_or_default();
    let evidence: Vec<_> = raised.evidence.iter().map(u64::to_string).collect();
    let seen = row.acknowledged.as_ref().map_or("no".into(), |signer| {
        format!("{} by {}", plain(row.action().as_str_name(), "ALERT_ACTION_"), signer.actor)
    });
    vec![
        row.position.to_string(),
        format!("{}@{}", raised.model, raised.version),
        plain(raised.kind().as_str_name(), "ALERT_KIND_"),
        raised.subject,
        raised.observed,
        raised.allowed,
        evidence.join(", "),
        seen,
    ]
}
