//! Acts that several persons sign, together or each on a machine of their own.
//!
//! A draft is a signed envelope in a file, in DSSE's JSON form:
//!
//! ```text
//! {"payloadType": TYPE, "payload": BASE64, "signatures": [{"keyid": HEX, "sig": BASE64}]}
//! ```
//!
//! `--draft FILE` writes it, `attestune cosign FILE` adds a signature, `attestune log append FILE` appends it. The
//! signatures cover the payload's bytes, which nobody on the way encodes anew.

use crate::{
    context::{Context, Signer},
    folder::replace,
    output, problem,
    session::{Session, accepted},
};
use anyhow::Context as _;
use attestune_ledger::{
    draft::{kind, plain},
    envelope::EVENT_PAYLOAD_TYPE,
};
use attestune_proto::v1::{Envelope, Event, Signature, event::Body};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Who else signs an act.
#[derive(clap::Args)]
pub struct Others {
    /// A further signer whose key is here, ACTOR or ACTOR=KEYFILE
    #[arg(long = "with", value_name = "ACTOR")]
    others: Vec<String>,
    /// Write the signed act into a file for others to cosign, instead of appending it
    #[arg(long, value_name = "FILE")]
    draft: Option<PathBuf>,
}

impl Others {
    /// Signs an act together with those named, and appends it or writes the draft; says `said` of what is accepted.
    ///
    /// # Errors
    /// If a key is missing, the file exists, or the act is not accepted.
    pub async fn act(&self, context: &Context, session: &Session, body: Body, said: &str) -> anyhow::Result<()> {
        let others: Vec<Signer> =
            self.others.iter().map(|other| context.other_signer(other)).collect::<anyhow::Result<_>>()?;
        let envelope = session.sign(body, None, &others).await?;
        let Some(path) = &self.draft else {
            return output::receipt(context.json, &accepted(session.append_envelope(envelope).await?)?, said);
        };
        create(path, &envelope)?;
        if context.json {
            return output::value(&serde_json::json!({ "draft": path }));
        }
        println!("the signed act is in {}", path.display());
        eprintln!("Next: `attestune cosign {} --as ACTOR` on the other's machine;", path.display());
        eprintln!("then, within the policy's time, `attestune log append {}`.", path.display());
        Ok(())
    }
}

#[derive(clap::Args)]
pub struct Args {
    /// The draft
    file: PathBuf,
    /// Only show what is in it
    #[arg(long)]
    show: bool,
}

/// `attestune cosign`: shows a draft and adds the actor's signature.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let bytes = read(&args.file)?;
    let (envelope, event) =
        open(&bytes).ok_or_else(|| problem::cannot(format!("{} holds no event", args.file.display()), REMEDY))?;
    let signers = |envelope: &Envelope| envelope.signatures.iter().map(|s| s.keyid.clone()).collect::<Vec<_>>();
    if args.show {
        return show(context, &event, &signers(&envelope));
    }
    if context.folder().exists() {
        let pinned = context.folder().ledger()?.id()?;
        if event.ledger != pinned {
            return Err(problem::no(
                format!(
                    "the act is for ledger {}, not for this folder's, {}",
                    hex::encode(&event.ledger),
                    hex::encode(pinned)
                ),
                "do not sign it unless you know that other ledger; then name its folder with --folder",
            ));
        }
    }
    let signer = context.signer()?;
    let signed =
        signer.key.cosign(&bytes).map_err(|error| problem::cannot(error.to_string(), "nothing is left to sign"))?;
    replace(&args.file, json(&signed)?.as_bytes())?;
    let envelope = Envelope::decode(signed.as_slice())?;
    show(context, &event, &signers(&envelope))?;
    eprintln!("{} has signed this for ledger {}", signer.actor, hex::encode(&event.ledger));
    Ok(())
}

const REMEDY: &str =
    "a draft is written by --draft FILE of `role grant`, `key register`, `key pair`, `policy adopt` or `clock correct`";

/// What a signer must know: all of it.
fn show(context: &Context, event: &Event, signers: &[String]) -> anyhow::Result<()> {
    if context.json {
        let event = crate::json::message("Event", event)?;
        return output::value(&serde_json::json!({ "event": event, "signers": signers }));
    }
    let kind = event.body.as_ref().map_or("unknown-kind".into(), |body| plain(kind(body).as_str_name(), "KIND_"));
    println!("{kind} by {}, drafted at {} by their clock", event.actor, output::time(event.claimed_at_ms));
    println!("  ledger  {}", hex::encode(&event.ledger));
    for keyid in signers {
        println!("  signed  {keyid}");
    }
    let json = crate::json::message("Event", event)?;
    let body = json.as_object().and_then(|object| object.get(&kind.replace('-', "_")));
    println!("{}", serde_json::to_string_pretty(body.unwrap_or(&json))?);
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    payload_type: String,
    payload: String,
    signatures: Vec<JsonSignature>,
}

#[derive(Serialize, Deserialize)]
struct JsonSignature {
    keyid: String,
    sig: String,
}

/// Reads an envelope: DSSE's JSON, or the stored bytes in hex.
///
/// # Errors
/// If the file can't be read or is neither.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let neither = || problem::cannot(format!("{} is neither DSSE's JSON nor hex", path.display()), REMEDY);
    if !text.trim_start().starts_with('{') {
        return hex::decode(text.trim()).map_err(|_| neither());
    }
    parse(&text).ok_or_else(neither)
}

/// The stored bytes of an envelope in DSSE's JSON, if it is one.
pub fn parse(text: &str) -> Option<Vec<u8>> {
    let json: Json = serde_json::from_str(text).ok()?;
    let bytes = |text: &str| BASE64_STANDARD.decode(text).ok();
    let signature = |s: &JsonSignature| Some(Signature { sig: bytes(&s.sig)?, keyid: s.keyid.clone() });
    let envelope = Envelope {
        payload: bytes(&json.payload)?,
        payload_type: json.payload_type,
        signatures: json.signatures.iter().map(signature).collect::<Option<_>>()?,
    };
    Some(envelope.encode_to_vec())
}

fn open(bytes: &[u8]) -> Option<(Envelope, Event)> {
    let envelope = Envelope::decode(bytes).ok().filter(|envelope| envelope.payload_type == EVENT_PAYLOAD_TYPE)?;
    let event = Event::decode(envelope.payload.as_slice()).ok()?;
    Some((envelope, event))
}

fn json(envelope: &[u8]) -> anyhow::Result<String> {
    let envelope = Envelope::decode(envelope)?;
    let signature = |s: &Signature| JsonSignature { keyid: s.keyid.clone(), sig: BASE64_STANDARD.encode(&s.sig) };
    let json = Json {
        payload_type: envelope.payload_type,
        payload: BASE64_STANDARD.encode(&envelope.payload),
        signatures: envelope.signatures.iter().map(signature).collect(),
    };
    Ok(serde_json::to_string_pretty(&json)? + "\n")
}

fn create(path: &Path, envelope: &[u8]) -> anyhow::Result<()> {
    let text = json(envelope)?;
    let mut file = std::fs::File::create_new(path).map_err(|error| {
        problem::cannot(format!("cannot make {}: {error}", path.display()), "name a file that does not exist yet")
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_ledger::envelope::SigningKey;
    use clap::CommandFactory as _;

    #[test]
    fn who_has_no_draft_is_told_of_each_command_that_writes_one() {
        let mut named = 0;
        for group in crate::Cli::command().get_subcommands() {
            let drafts = |command: &&clap::Command| command.get_arguments().any(|arg| arg.get_long() == Some("draft"));
            for command in group.get_subcommands().filter(drafts) {
                let name = format!("`{} {}`", group.get_name(), command.get_name());
                assert!(REMEDY.contains(&name), "{name} is left out");
                named += 1;
            }
        }
        assert_eq!(REMEDY.matches('`').count(), 2 * named);
    }

    #[test]
    fn a_draft_comes_back_byte_for_byte_with_every_signature_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("draft.json");
        let (one, two) = (SigningKey::from_seed([1; 32]), SigningKey::from_seed([2; 32]));
        let first = one.sign_event(&Event { actor: "ada".into(), ..Event::default() });
        create(&path, &first).unwrap();
        assert_eq!(read(&path).unwrap(), first);
        assert!(create(&path, &first).is_err(), "a draft is never overwritten");
        let both = two.cosign(&first).unwrap();
        replace(&path, json(&both).unwrap().as_bytes()).unwrap();
        assert_eq!(read(&path).unwrap(), both);
        std::fs::write(&path, hex::encode(&both)).unwrap();
        assert_eq!(read(&path).unwrap(), both);
        for bad in ["zz", "{}", r#"{"payloadType": "", "payload": "*", "signatures": []}"#] {
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path).is_err(), "{bad}");
        }
    }
}
