//! `attestune key pair`: a browser's key, registered by somebody who holds another.

use crate::{
    context::Context,
    draft::Others,
    problem,
    session::{Signed, list},
};
use attestune_ledger::envelope;
use attestune_proto::v1::{
    ActorKind, AwaitPairingRequest, AwaitPairingResponse, KeyAlgorithm, KeyCustody, KeyRegistered, OpenPairingRequest,
    event::Body, pairing_client::PairingClient,
};
use std::io::{IsTerminal as _, Write as _};

#[derive(clap::Args)]
pub struct Args {
    /// Whose browser it is; yourself without it
    actor: Option<String>,
    /// The name as it shall be printed, for an actor who has no key yet
    #[arg(long)]
    name: Option<String>,
    /// Register the key that the browser offers without comparing its id
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    others: Others,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    if session.local().is_some() {
        return Err(problem::cannot(
            "no server runs on this folder, so no browser can reach it",
            "start it: `attestune up`",
        ));
    }
    let actor = args.actor.clone().unwrap_or(session.signer()?.actor.clone());
    let known = session.registry().list_actors(list(&actor)).await?.into_inner().actors.into_iter().next();
    let printed_name = match (known, &args.name) {
        (Some(row), None) => row.printed_name,
        (Some(row), Some(name)) if row.printed_name == *name => row.printed_name,
        (Some(row), Some(_)) => {
            return Err(problem::cannot(
                format!("{actor} is registered as {}", row.printed_name),
                "a printed name cannot change: leave --name out",
            ));
        }
        (None, Some(name)) => name.clone(),
        (None, None) => {
            return Err(problem::cannot(
                format!("{actor} is not registered yet"),
                "say the name as it shall be printed: --name \"Printed Name\"",
            ));
        }
    };
    let mut pairing = session.pairing();
    let code = pairing.open_pairing(OpenPairingRequest { actor: actor.clone() }).await?.into_inner().code;
    eprintln!("In {actor}'s browser open the server's page /pair and give this code, once, within ten minutes:");
    eprintln!("  {code}");
    if context.json || !std::io::stdout().is_terminal() {
        println!("{code}"); // for programs
        std::io::stdout().flush()?;
    }
    let offer = offer(&mut pairing, &code).await?;
    let keyid = envelope::keyid(&offer.public_key);
    eprintln!("The browser offers the key {keyid}.");
    if !args.yes && !confirmed()? {
        return Err(problem::no("the key is not registered", "run `attestune key pair` again for a new code"));
    }
    let body = KeyRegistered {
        actor: actor.clone(),
        printed_name: printed_name.clone(),
        actor_kind: ActorKind::Person.into(),
        algorithm: KeyAlgorithm::Ed25519.into(),
        public_key: offer.public_key,
        possession: offer.possession,
        custody: KeyCustody::Browser.into(),
    };
    let said = format!("key {keyid} of {actor} ({printed_name}), held by a browser, is registered");
    args.others.act(context, &session, Body::KeyRegistered(body), &said).await
}

/// Waits until a browser has offered a key, or the code has run out.
async fn offer(pairing: &mut PairingClient<Signed>, code: &str) -> Result<AwaitPairingResponse, tonic::Status> {
    loop {
        let answer = pairing.await_pairing(AwaitPairingRequest { code: code.to_owned() }).await?.into_inner();
        if !answer.public_key.is_empty() {
            return Ok(answer);
        }
    }
}

/// Whether a person says that the browser shows the same key.
fn confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(problem::cannot(
            "nobody is here to compare the key with the browser's",
            "run it on a terminal, or say --yes",
        ));
    }
    eprint!("Does the browser show the same? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
