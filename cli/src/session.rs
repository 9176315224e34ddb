//! A connection with a signer: drafts are built, signed and appended here; access tokens are signed per call.

use crate::{context::Signer, local::Local, problem};
use attestune_ledger::{
    draft::{draft, plain},
    envelope::TOKEN_PAYLOAD_TYPE,
    evidence::OpenedText,
    log::{Clock as _, SystemClock},
    tree::{Frontier, leaf_hash},
};
use attestune_proto::v1::{
    AccessToken, AppendRequest, Event, HeadRequest, HeadResponse, ListRequest, OpenRequest, OpenResponse, ReadRequest,
    Receipt, SealRequest, SealResponse, Sealed, Seen, Verdict, admin_client::AdminClient,
    compliance_client::ComplianceClient, content_client::ContentClient, event::Body, ledger_client::LedgerClient,
    operations_client::OperationsClient, pairing_client::PairingClient, provenance_client::ProvenanceClient,
    registry_client::RegistryClient, review_client::ReviewClient,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message as _;
use std::sync::Arc;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

/// A channel whose calls carry access tokens.
pub type Signed = InterceptedService<Channel, Tokens>;

/// Largest message either way, in bytes; the gateway's limit.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// How long a token of a call is good for, in milliseconds.
const TOKEN_MS: u64 = 5 * 60 * 1000;

/// A connection to one ledger.
pub struct Session {
    channel: Channel,
    signer: Option<Signer>,
    ledger: Vec<u8>,
    local: Option<Arc<Local>>,
}

/// Signs a fresh token for each call.
#[derive(Clone)]
pub struct Tokens {
    signer: Option<Signer>,
    ledger: Vec<u8>,
}

impl Interceptor for Tokens {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(signer) = &self.signer {
            let bearer = format!("Bearer {}", token(signer, &self.ledger, TOKEN_MS));
            let value: MetadataValue<_> = bearer.parse().expect("base64 is ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// A signed access token in base64url, good for some milliseconds from now.
pub fn token(signer: &Signer, ledger: &[u8], good_ms: u64) -> String {
    let token = AccessToken {
        ledger: ledger.to_vec(),
        actor: signer.actor.clone(),
        audience: "attestune".into(),
        not_after_ms: now_ms() + good_ms,
    };
    BASE64_URL_SAFE_NO_PAD.encode(signer.key.sign(TOKEN_PAYLOAD_TYPE, &token.encode_to_vec()))
}

/// What the clock says, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemClock.now_ms()
}

impl Session {
    /// Asks for the head and compares its ledger with the pin.
    ///
    /// # Errors
    /// If the server has no ledger, or another one than the folder is pinned to.
    pub async fn open(
        channel: Channel,
        signer: Option<Signer>,
        pin: Option<[u8; 32]>,
        local: Option<Arc<Local>>,
    ) -> anyhow::Result<Self> {
        let head = LedgerClient::new(channel.clone()).head(HeadRequest {}).await?.into_inner();
        if pin.is_some_and(|pin| head.ledger != pin) {
            return Err(problem::cannot(
                format!("the log holds another ledger, {}, than ledger.json names", hex::encode(&head.ledger)),
                "the log or ledger.json was exchanged: find out which, and restore the other from a backup",
            ));
        }
        Ok(Self { channel, signer, ledger: head.ledger, local })
    }

    /// The ledger's id.
    pub fn ledger_id(&self) -> &[u8] {
        &self.ledger
    }

    /// The ledger opened inside this process, if it is.
    pub fn local(&self) -> Option<&Local> {
        self.local.as_deref()
    }

    /// Who signs.
    pub fn signer(&self) -> anyhow::Result<&Signer> {
        self.signer.as_ref().ok_or_else(|| problem::cannot("nobody is named to sign this", "say who acts: --as ACTOR"))
    }

    fn signed(&self) -> Signed {
        let tokens = Tokens { signer: self.signer.clone(), ledger: self.ledger.clone() };
        InterceptedService::new(self.channel.clone(), tokens)
    }

    /// The service Ledger.
    pub fn log(&self) -> LedgerClient<Signed> {
        LedgerClient::new(self.signed()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The service Registry.
    pub fn registry(&self) -> RegistryClient<Signed> {
        RegistryClient::new(self.signed()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The service Provenance.
    pub fn provenance(&self) -> ProvenanceClient<Signed> {
        ProvenanceClient::new(self.signed()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The service Operations.
    pub fn operations(&self) -> OperationsClient<Signed> {
        OperationsClient::new(self.signed()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The service Compliance.
    pub fn compliance(&self) -> ComplianceClient<Signed> {
        ComplianceClient::new(self.signed()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The service Review.
    pub fn review(&self) -> ReviewClient<Signed> {
        ReviewClient::new(self.signed()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The service Pairing.
    pub fn pairing(&self) -> PairingClient<Signed> {
        PairingClient::new(self.signed())
    }

    /// The service Admin.
    pub fn admin(&self) -> AdminClient<Signed> {
        AdminClient::new(self.signed()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn content(&self) -> ContentClient<Signed> {
        ContentClient::new(self.signed())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Where the log and the fold are.
    pub async fn head(&self) -> anyhow::Result<HeadResponse> {
        Ok(self.log().head(HeadRequest {}).await?.into_inner())
    }

    /// Builds an event and signs it, with further signers if its kind needs them.
    pub async fn sign(&self, body: Body, cause: Option<u64>, others: &[Signer]) -> anyhow::Result<Vec<u8>> {
        let signer = self.signer()?;
        let head = self.head().await?;
        let seen = Seen { size: head.size, root: head.entry_root };
        let id = uuid::Uuid::now_v7().into_bytes();
        let event = Event { cause, ..draft(&self.ledger, &signer.actor, id, now_ms(), Some(seen), body) };
        let mut envelope = signer.key.sign_event(&event);
        for other in others {
            envelope = other.key.cosign(&envelope).map_err(|error| {
                problem::cannot(
                    format!("{}: {error}", other.actor),
                    "name each signer once, none of them with --as as well",
                )
            })?;
        }
        Ok(envelope)
    }

    /// Appends an envelope that was signed before. The receipt may refuse it.
    pub async fn append_envelope(&self, envelope: Vec<u8>) -> anyhow::Result<Receipt> {
        Ok(self.log().append(AppendRequest { envelope }).await?.into_inner())
    }

    /// Signs an event and appends it; anything but an acceptance is an error.
    pub async fn act(&self, body: Body) -> anyhow::Result<Receipt> {
        self.act_on(None, body).await
    }

    /// The same for an event that reacts to another, its cause.
    pub async fn act_on(&self, cause: Option<u64>, body: Body) -> anyhow::Result<Receipt> {
        accepted(self.append_envelope(self.sign(body, cause, &[]).await?).await?)
    }

    /// Seals texts into the vault; with a collection, those that it holds already are named, not sealed.
    pub async fn seal(&self, contents: Vec<Vec<u8>>, collection: &str) -> anyhow::Result<SealResponse> {
        self.seal_owned(contents, collection, Vec::new()).await
    }

    /// The same, with the person that each text is of, empty for nobody; no subjects at all, or one for each text.
    pub async fn seal_owned(
        &self,
        contents: Vec<Vec<u8>>,
        collection: &str,
        subjects: Vec<String>,
    ) -> anyhow::Result<SealResponse> {
        let request = SealRequest { contents, collection: collection.into(), subjects };
        Ok(self.content().seal(request).await?.into_inner())
    }

    /// Seals one text.
    pub async fn seal_one(&self, content: Vec<u8>) -> anyhow::Result<Sealed> {
        let sealed = self.seal(vec![content], "").await?;
        let commitment = sealed.commitments.into_iter().next();
        let commitment = commitment.ok_or_else(|| anyhow::anyhow!("the server sealed nothing"))?;
        Ok(Sealed { pack: sealed.pack, commitment })
    }

    /// Opens sealed texts, at most 512; the read is recorded first.
    pub async fn unseal(&self, contents: Vec<Sealed>) -> anyhow::Result<Vec<Vec<u8>>> {
        let asked = contents.len();
        let request = OpenRequest { contents, pack: Vec::new(), with_salts: false };
        let opened = self.content().open(request).await?.into_inner().contents;
        if opened.len() != asked {
            anyhow::bail!("the server opened {} of {asked} texts", opened.len());
        }
        Ok(opened)
    }

    /// The same with their salts, so that whoever is given them can check the commitments.
    pub async fn unseal_with_salts(&self, contents: Vec<Sealed>) -> anyhow::Result<Vec<OpenedText>> {
        let asked = contents.len();
        let request = OpenRequest { contents, pack: Vec::new(), with_salts: true };
        let opened = self.content().open(request).await?.into_inner();
        if opened.contents.len() != asked || opened.salts.len() != asked {
            anyhow::bail!("the server opened {} of {asked} texts", opened.contents.len());
        }
        let texts = opened.salts.into_iter().zip(opened.contents);
        Ok(texts.map(|(salt, content)| OpenedText { salt, content }).collect())
    }

    /// Opens all texts of a pack, whose commitments must be the leaves of the tree with this root, in their order; the
    /// read is recorded first.
    pub async fn unseal_pack(&self, pack: Vec<u8>, root: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
        let opened = self.open_pack(pack).await?;
        let mut tree = Frontier::new();
        opened.commitments.iter().for_each(|commitment| tree.push(leaf_hash(&[commitment])));
        if tree.root().0 != root || opened.commitments.len() != opened.contents.len() {
            return Err(problem::no(
                "the texts in the vault are not those that the log commits to",
                "the vault was altered: restore it from a backup",
            ));
        }
        Ok(opened.contents)
    }

    /// Opens all texts of a pack, with their commitments, which the caller compares with the log's; the read is recorded
    /// first.
    pub async fn open_pack(&self, pack: Vec<u8>) -> anyhow::Result<OpenResponse> {
        Ok(self.content().open(OpenRequest { contents: Vec::new(), pack, with_salts: false }).await?.into_inner())
    }

    /// The event at a position, as it was signed.
    pub async fn event(&self, position: u64) -> anyhow::Result<Event> {
        let mut entries = self.log().read(ReadRequest { from: position, limit: 1 }).await?.into_inner();
        let entry = entries.message().await?;
        let entry = entry
            .filter(|entry| entry.position == position)
            .ok_or_else(|| problem::cannot(format!("there is no entry {position}"), "see `attestune log tail`"))?;
        let envelope = attestune_proto::v1::Envelope::decode(entry.value.as_slice())?;
        Ok(Event::decode(envelope.payload.as_slice())?)
    }
}

/// Lists everything of a name (empty for all) as it is now.
pub fn list(name: &str) -> ListRequest {
    ListRequest { name: name.into(), ..Default::default() }
}

/// The receipt, if it is an acceptance.
///
/// # Errors
/// A refusal with code, sentence, figures and position.
pub fn accepted(receipt: Receipt) -> anyhow::Result<Receipt> {
    match receipt.verdict() {
        Verdict::Accepted => Ok(receipt),
        Verdict::Refused => Err(problem::refused(receipt)),
        Verdict::Duplicate => Err(problem::no(
            format!("these bytes stand on the log already, at position {}", receipt.first_position),
            "nothing was done twice; sign the act anew if you mean a new one",
        )),
        other => {
            Err(problem::no(format!("position {} is {}", receipt.position, plain(other.as_str_name(), "VERDICT_")), ""))
        }
    }
}
