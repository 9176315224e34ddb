//! `attestune log decode`: one entry, from the log or out of a record of Kafka, as JSON.

use crate::{context::Context, decided, output, problem, session::list};
use anyhow::Context as _;
use attestune_ledger::{
    envelope::{fit_key, keyid, ledger_id, pae, verify_bytes},
    rules::decode::{Decoded, decode},
};
use attestune_proto::v1::{Decided, Envelope, KeyRow, SubscribeRequest, event::Body};
use prost::Message as _;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

/// A record is never longer, in bytes: brokers take no more by themselves.
const RECORD_BYTES_MAX: u64 = 16 << 20;

#[derive(clap::Args)]
pub struct Args {
    /// Its position
    #[arg(required_unless_present = "record", conflicts_with = "record")]
    position: Option<u64>,
    /// A file with a record's value instead, or - for stdin: from the ledger's topic, or from NAME.decided in either
    /// format; its signatures are checked
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// A public key that may have signed the record, in hex, instead of those that the server has registered
    #[arg(long, value_name = "HEX", requires = "record")]
    public_key: Vec<String>,
    /// The same from a file, as `attestune key list --json` writes it
    #[arg(long, value_name = "FILE", requires = "record")]
    keys: Option<PathBuf>,
    /// Check no signature
    #[arg(long, requires = "record", conflicts_with_all = ["public_key", "keys"])]
    unchecked: bool,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    match (args.position, &args.record) {
        (Some(position), _) => entry(context, position).await,
        (None, Some(path)) => record(context, args, path).await,
        (None, None) => Err(problem::cannot("nothing is named to decode", "name a position, or --record FILE")),
    }
}

async fn entry(context: &Context, position: u64) -> anyhow::Result<()> {
    let none = || problem::cannot(format!("there is no entry {position}"), "see `attestune log tail`");
    let session = context.connect().await?;
    if position >= session.head().await?.size {
        return Err(none());
    }
    let mut entries = session.log().subscribe(SubscribeRequest { from: position, to_end: true }).await?.into_inner();
    let found = entries.message().await?.ok_or_else(none)?;
    output::value(&decided::opened(&found)?)
}

async fn record(context: &Context, args: &Args, path: &Path) -> anyhow::Result<()> {
    let bytes = read(path)?;
    let Some(Record { mut fields, envelope }) = Record::of(&bytes) else {
        return Err(problem::no(
            format!("{} holds no record of a ledger: {} bytes", path.display(), bytes.len()),
            "write the value alone and nothing after it, for instance with kcat -C -t TOPIC -o OFFSET -c 1 -D ''",
        ));
    };
    if envelope.is_empty() {
        // An entry that is no event: nothing was signed.
        fields["signature"] = "none".into();
        return output::value(&fields);
    }
    let decoded = decode(&envelope).map_err(|rejection| no(&rejection.to_string()))?;
    decided::open(&mut fields, &decoded.envelope, &decoded.event)?;
    fields["signature"] = if args.unchecked {
        "unchecked".into()
    } else {
        let known = Known::of(context, args).await?;
        fields["signed_by"] = known.check(&decoded, &envelope)?;
        "verified".into()
    };
    output::value(&fields)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(RECORD_BYTES_MAX).read_to_end(&mut bytes).context("cannot read stdin")?;
    } else {
        let cannot = || format!("cannot read {}", path.display());
        let file = std::fs::File::open(path).with_context(cannot)?;
        file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes).with_context(cannot)?;
    }
    Ok(bytes)
}

/// What a record tells.
struct Record {
    /// All but what is in the envelope.
    fields: Value,
    /// The envelope's bytes; empty where there is none.
    envelope: Vec<u8>,
}

impl Record {
    /// Reads a value; a line end that a tool has added is none of it.
    fn of(bytes: &[u8]) -> Option<Self> {
        let shorter = bytes.strip_suffix(b"\n");
        Self::exactly(bytes).or_else(|| Self::exactly(shorter?))
    }

    fn exactly(bytes: &[u8]) -> Option<Self> {
        if bytes.first() == Some(&b'{') {
            let mut fields: Value = serde_json::from_slice(bytes).ok()?;
            let envelope = hex::decode(fields.get("envelope")?.as_str()?).ok()?;
            // What the envelope says is read out of it again.
            let named = fields.as_object_mut()?;
            ["dsse", "event", "signers", "signature", "signed_by"].iter().for_each(|name| drop(named.remove(*name)));
            return Some(Self { fields, envelope });
        }
        if Envelope::decode(bytes).is_ok_and(|envelope| !envelope.payload_type.is_empty()) {
            return Some(Self { fields: json!({ "envelope": hex::encode(bytes) }), envelope: bytes.to_vec() });
        }
        // Every decided entry has a verdict.
        let decided = Decided::decode(bytes).ok().filter(|decided| decided.verdict != 0)?;
        let fields = crate::json::message("Decided", &decided).ok()?;
        Some(Self { fields, envelope: decided.envelope })
    }
}

fn no(what: &str) -> anyhow::Error {
    problem::no(what, "trust nothing in it; ask for the same position at a server: `attestune log decode POSITION`")
}

/// Public keys by their ids, with whose they are where that is known.
type Keys = BTreeMap<String, (Vec<u8>, Option<String>)>;

/// Keys that may have signed, and of which ledger.
struct Known {
    keys: Keys,
    ledger: Option<Vec<u8>>,
}

impl Known {
    async fn of(context: &Context, args: &Args) -> anyhow::Result<Self> {
        let named = |text: &String| {
            let public = hex::decode(text).ok().filter(|public| fit_key(public).is_some());
            let public = public.ok_or_else(|| {
                problem::cannot(format!("`{text}` is no public key"), "64 hex digits, as `key list --json` shows them")
            })?;
            anyhow::Ok((keyid(&public), (public, None)))
        };
        let mut keys = args.public_key.iter().map(named).collect::<anyhow::Result<Keys>>()?;
        if let Some(path) = &args.keys {
            keys.extend(listed(path)?);
        }
        if !keys.is_empty() {
            return Ok(Self { keys, ledger: None });
        }
        let session = context.connect().await?;
        let answer = session.registry().list_actors(list("")).await?.into_inner();
        let row = |row: KeyRow| (row.keyid, (row.public_key, Some(row.actor)));
        Ok(Self { keys: answer.keys.into_iter().map(row).collect(), ledger: Some(session.ledger_id().to_vec()) })
    }

    /// Who signed; an error where one signature is not what it should be.
    fn check(&self, decoded: &Decoded, envelope: &[u8]) -> anyhow::Result<Value> {
        let genesis = matches!(decoded.event.body, Some(Body::LedgerCreated(_)));
        let of = if genesis { ledger_id(envelope).to_vec() } else { decoded.event.ledger.clone() };
        if self.ledger.as_ref().is_some_and(|ledger| *ledger != of) {
            return Err(no(&format!("the event was signed for another ledger, {}", hex::encode(of))));
        }
        let message = pae(&decoded.envelope.payload_type, &decoded.envelope.payload);
        let mut signers = Vec::new();
        for signature in &decoded.envelope.signatures {
            let id = &signature.keyid;
            let Some((public, actor)) = self.keys.get(id) else {
                return Err(problem::no(
                    format!(
                        "key {id} is not among the {} known ones, so its signature can't be checked",
                        self.keys.len()
                    ),
                    "ask the ledger's own server for its keys (--server URL --as ACTOR), or say --unchecked",
                ));
            };
            if !fit_key(public).is_some_and(|key| verify_bytes(&key, &message, &signature.sig)) {
                return Err(no(&format!("the signature of key {id} does not verify")));
            }
            signers.push(json!({ "keyid": id, "actor": actor }));
        }
        Ok(signers.into())
    }
}

fn listed(path: &Path) -> anyhow::Result<Keys> {
    let unfit =
        || problem::cannot(format!("{} is no list of keys", path.display()), "make one: `attestune key list --json`");
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let list: Value = serde_json::from_slice(&text).map_err(|_| unfit())?;
    let key = |row: &Value| {
        let public = hex::decode(row.get("public_key")?.as_str()?).ok()?;
        // The id is reckoned here: a list can't give a key another's.
        Some((keyid(&public), (public, Some(row.get("actor")?.as_str()?.to_owned()))))
    };
    let rows = list.get("keys").and_then(Value::as_array).ok_or_else(unfit)?;
    rows.iter().map(key).collect::<Option<_>>().ok_or_else(unfit)
}
