//! A client of the gateways that does not give up: what was not answered it asks again, the same bytes, here or there.

use super::PATIENCE;
use super::place::now_ms;
use attestune_ledger::draft::draft;
use attestune_ledger::envelope::{SigningKey, TOKEN_PAYLOAD_TYPE};
use attestune_proto::v1::{
    AccessToken, AppendRequest, Event, HeadRequest, Receipt, SealRequest, SealResponse, Seen, Verdict,
    content_client::ContentClient, event::Body, ledger_client::LedgerClient,
};
use attestune_replay_tests::Chance;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

/// How long a call to one gateway is waited for.
const CALL: Duration = Duration::from_secs(8);

/// The gateways, and what they have acknowledged.
#[derive(Clone)]
pub struct Gateways {
    runtime: Handle,
    ledger: Vec<u8>,
    channels: Vec<Channel>,
    pub journal: Arc<Journal>,
}

/// What was acknowledged to clients.
#[derive(Default)]
pub struct Journal {
    pub acknowledged: Mutex<Vec<Acknowledged>>,
    /// How many receipts came through each gateway.
    through: [AtomicU64; 2],
    /// Calls that had to be made again.
    pub again: AtomicU64,
}

/// An event and its receipt.
pub struct Acknowledged {
    pub envelope: Vec<u8>,
    pub receipt: Receipt,
}

impl Journal {
    /// Receipts so far: through one gateway, or through any.
    pub fn receipts(&self, gateway: Option<usize>) -> u64 {
        let mut counts = self.through.iter().map(|count| count.load(Ordering::Relaxed));
        match gateway {
            Some(gateway) => counts.nth(gateway).unwrap_or(0),
            None => counts.sum(),
        }
    }
}

impl Gateways {
    pub fn new(runtime: &Runtime, ledger: Vec<u8>, urls: impl Iterator<Item = String>) -> Self {
        let _inside = runtime.enter();
        let connect = |url| Endpoint::from_shared(url).unwrap().connect_timeout(CALL).connect_lazy();
        let channels = urls.map(connect).collect();
        Self { runtime: runtime.handle().clone(), ledger, channels, journal: Arc::default() }
    }

    /// Somebody who acts through them.
    pub fn client(&self, actor: &str, key: SigningKey, seed: u64) -> Client {
        Client { gateways: self.clone(), actor: actor.into(), key, chance: Chance::new(seed) }
    }
}

/// Somebody with a key.
#[derive(Clone)]
pub struct Client {
    gateways: Gateways,
    actor: String,
    key: SigningKey,
    pub chance: Chance,
}

impl Client {
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The same for somebody else.
    pub fn as_another(&self, actor: &str, key: SigningKey) -> Self {
        Self { actor: actor.into(), key, ..self.clone() }
    }

    /// Asks one gateway or the other until there is an answer.
    pub fn ask<Q: Clone, A>(
        &mut self,
        question: &Q,
        call: impl AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> A {
        self.ask_of(None, question, call).1
    }

    /// Asks until there is an answer, one gateway or either; says which one answered, too.
    pub fn ask_of<Q: Clone, A>(
        &mut self,
        gateway: Option<usize>,
        question: &Q,
        call: impl AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> (usize, A) {
        let until = Instant::now() + PATIENCE;
        loop {
            let gateway = gateway.unwrap_or_else(|| self.chance.below(2) as usize);
            match self.ask_once(gateway, question, &call) {
                Ok(answer) => return (gateway, answer),
                Err(why) => assert!(Instant::now() < until, "{} gets no answer: {why}", self.actor),
            }
            self.gateways.journal.again.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50 + self.chance.below(400)));
        }
    }

    /// Asks one gateway; why there was no answer, where it is worth asking again.
    fn ask_once<Q: Clone, A>(
        &self,
        gateway: usize,
        question: &Q,
        call: &impl AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, String> {
        let request = self.signed(question.clone());
        let answer = self.gateways.runtime.block_on(async {
            tokio::time::timeout(CALL, call(self.gateways.channels[gateway].clone(), request)).await
        });
        match answer {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if may_pass(&status) => Err(status.to_string()),
            Ok(Err(status)) => panic!("gateway {} answers {}: {status:?}", gateway + 1, self.actor),
            Err(_) => Err("it took too long".into()),
        }
    }

    fn signed<Q>(&self, question: Q) -> Request<Q> {
        let token = AccessToken {
            ledger: self.gateways.ledger.clone(),
            actor: self.actor.clone(),
            audience: "attestune".into(),
            not_after_ms: now_ms() + 60_000,
        };
        let token = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(TOKEN_PAYLOAD_TYPE, &token.encode_to_vec()));
        let mut request = Request::new(question);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }

    /// Seals contents.
    pub fn seal(&mut self, contents: Vec<Vec<u8>>) -> SealResponse {
        let request = SealRequest { contents, ..Default::default() };
        self.ask(&request, async |channel, request| ContentClient::new(channel).seal(request).await)
    }

    /// Signs an act and appends it, until there is a receipt.
    pub fn act(&mut self, cause: Option<u64>, body: Body) -> Receipt {
        let head = self.ask(&HeadRequest {}, async |channel, request| LedgerClient::new(channel).head(request).await);
        let seen = Seen { size: head.size, root: head.entry_root };
        let id = self.chance.bytes(16).try_into().unwrap();
        let event = draft(&self.gateways.ledger, &self.actor, id, now_ms(), Some(seen), body);
        let envelope = self.key.sign_event(&Event { cause, ..event });
        // Now and then one is impatient, and asks twice at once.
        let beside = self.chance.one_in(12).then(|| {
            let mut other = Self { chance: Chance::new(self.chance.bits()), ..self.clone() };
            let envelope = envelope.clone();
            std::thread::spawn(move || other.append(envelope))
        });
        let receipt = self.append(envelope);
        if let Some(beside) = beside {
            assert_eq!(stands_at(&beside.join().unwrap()), stands_at(&receipt), "both say where it stands");
        }
        receipt
    }

    fn append(&mut self, envelope: Vec<u8>) -> Receipt {
        let request = AppendRequest { envelope: envelope.clone() };
        let (gateway, receipt) =
            self.ask_of(None, &request, async |channel, request| LedgerClient::new(channel).append(request).await);
        let journal = &self.gateways.journal;
        journal.through[gateway].fetch_add(1, Ordering::Relaxed);
        journal.acknowledged.lock().unwrap().push(Acknowledged { envelope, receipt: receipt.clone() });
        receipt
    }
}

/// Where the event of a receipt stands.
pub fn stands_at(receipt: &Receipt) -> u64 {
    if receipt.verdict() == Verdict::Duplicate { receipt.first_position } else { receipt.position }
}

/// Whether a call may be answered another time. What the server itself says carries a reason; without one it is the
/// connection that ended.
fn may_pass(status: &Status) -> bool {
    status.get_details_error_info().is_none() || status.code() == Code::Unavailable
}
