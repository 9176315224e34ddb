//! The pages, as a browser asks for them over HTTP/1.1: who may see them, and what they say of themselves.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod world;

use attestune_gateway::serve_tcp;
use attestune_ledger::envelope::{SigningKey, TOKEN_PAYLOAD_TYPE};
use attestune_proto::v1::{
    ActorKind, AwaitPairingRequest, BaseModelRegistered, Bound, Category, CategoryResult, DocumentsIngested,
    EvaluationClaimed, EvaluationCompleted, EvaluationRequested, ExamplesDerived, ModelRegistered, OpenPairingRequest,
    Role, SealRequest, SealResponse, Sealed, SuiteRegistered, content_client::ContentClient, event::Body,
    pairing_client::PairingClient,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use world::{World, key};

/// What hostile text looks like: markup, a mark that turns text, an escape of terminals.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}txet\u{1b}[2J";

struct Pages {
    world: World,
    addr: SocketAddr,
    _stop: watch::Sender<bool>,
}

struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap_or_default()
    }
}

impl Pages {
    async fn new() -> Self {
        let world = World::new().await;
        let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve_tcp(world.gateway.clone(), addr, stopped));
        Self { world, addr, _stop: stop }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut socket = loop {
            match TcpStream::connect(self.addr).await {
                Ok(socket) => break socket,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let mut lines = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.addr);
        headers.iter().for_each(|(name, value)| lines += &format!("{name}: {value}\r\n"));
        lines += &format!("content-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(lines.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (headers, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, headers: headers.to_owned(), body: body.to_owned() }
    }

    /// The cookie of somebody who is signed in, as `sign-in` sets it.
    async fn sign_in(&self, actor: &str) -> String {
        let token = key(actor).sign(TOKEN_PAYLOAD_TYPE, &self.world.token(actor).encode_to_vec());
        let form = format!("token={}&next=%2Fpeople", BASE64_URL_SAFE_NO_PAD.encode(token));
        let answer = self.ask("POST", "/sign-in", &[("sec-fetch-site", "same-origin")], &form).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/people"), "{}", answer.body);
        let cookie = answer.header("set-cookie").to_owned();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn get(&self, cookie: &str, path: &str) -> Answer {
        self.ask("GET", path, &[("cookie", cookie)], "").await
    }

    async fn post(&self, cookie: &str, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[("cookie", cookie), ("sec-fetch-site", "same-origin")], body).await
    }

    /// A batch of one example with this prompt.
    async fn example(&self, prompt: &str) -> u64 {
        let text = format!(r#"{{"prompt":{},"answer":" card"}}"#, serde_json::to_string(prompt).unwrap());
        let seal = SealRequest { contents: vec![text.into()], ..Default::default() };
        let mut content = ContentClient::new(self.world.channel.clone());
        let sealed: SealResponse = content.seal(self.world.ask("sten", seal)).await.unwrap().into_inner();
        let document = DocumentsIngested {
            collection: "tickets".into(),
            pack: sealed.pack.clone(),
            commitments: sealed.commitments.clone(),
        };
        let documents = self.world.must("sten", Body::DocumentsIngested(document));
        let derived = ExamplesDerived {
            documents,
            pack: sealed.pack.clone(),
            commitments: sealed.commitments.clone(),
            rows: vec![0],
            template: Some(Sealed { pack: sealed.pack, commitment: sealed.commitments[0].clone() }),
        };
        self.world.must("sten", Body::ExamplesDerived(derived))
    }

    /// An evaluation whose transcripts are in the vault.
    async fn evaluation(&self) -> u64 {
        let world = &self.world;
        world.cast("ella", ActorKind::Person, Some(Role::Engineer));
        world.cast("evaluator", ActorKind::Worker, Some(Role::Evaluator));
        let digest = vec![8; 32];
        let sealed = || Some(Sealed { pack: vec![8; 16], commitment: vec![8; 32] });
        let base = BaseModelRegistered {
            base: "tiny".into(),
            origin: "here".into(),
            licence: "mit".into(),
            weights_digest: digest.clone(),
            tokenizer_digest: digest.clone(),
        };
        let model = ModelRegistered {
            model: "triage".into(),
            base: world.must("ella", Body::BaseModelRegistered(base)),
            adapter_digest: digest.clone(),
            adapter: sealed(),
            origin: "elsewhere".into(),
        };
        world.must("ella", Body::ModelRegistered(model));
        let suite = SuiteRegistered {
            suite: "acceptance".into(),
            digest: digest.clone(),
            content: sealed(),
            categories: vec![Category { category: "accuracy".into(), cases: 100, bar_ppm: 950_000 }],
            bound: Bound::PassRate.into(),
        };
        let suite = world.must("ella", Body::SuiteRegistered(suite));
        let asked = EvaluationRequested { model: "triage".into(), version: 1, suite };
        let evaluation = world.must("ella", Body::EvaluationRequested(asked));
        let claimed = EvaluationClaimed { evaluation, previous: None };
        let token = world.must("evaluator", Body::EvaluationClaimed(claimed));
        let vault = world.gateway.vault.as_ref().unwrap();
        let done = EvaluationCompleted {
            evaluation,
            token,
            results: vec![CategoryResult { category: "accuracy".into(), passed: 97, cases: 100 }],
            pack: vault.seal(&[b"asked and answered".to_vec()]).await.unwrap().pack.to_vec(),
            transcripts_root: digest.clone(),
            suite_digest: digest.clone(),
            adapter_digest: digest,
            ..Default::default()
        };
        world.must("evaluator", Body::EvaluationCompleted(done));
        evaluation
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_sent_to_sign_in_and_who_holds_no_role_sees_nothing() {
    let pages = Pages::new().await;
    let stranger = pages.get("", "/models/triage?at=3").await;
    assert_eq!((stranger.status, stranger.header("location")), (303, "/sign-in?next=%2Fmodels%2Ftriage%3Fat%3D3"));
    let policy = pages.get("", "/sign-in").await;
    let csp = policy.header("content-security-policy");
    assert!(csp.starts_with("default-src 'none'; script-src 'self'") && !csp.contains("unsafe"), "{csp}");
    assert_eq!((policy.header("x-content-type-options"), policy.header("cache-control")), ("nosniff", "no-store"));
    assert!(!policy.body.contains("<style") && !policy.body.contains(" style=") && !policy.body.contains(" onclick"));

    let paul = pages.sign_in("paul").await;
    let nothing = pages.get(&paul, "/people").await;
    assert_eq!(nothing.status, 403);
    assert!(nothing.body.contains("no-role"), "{}", nothing.body);
    let wrong = pages.post("", "/sign-in", "token=abc").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("not base64url of a signed access token"), "{}", wrong.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_without_a_role_who_asks_for_a_text_is_on_the_record_once() {
    let pages = Pages::new().await;
    let batch = pages.example("hello").await;
    let paul = pages.sign_in("paul").await;
    let refused = pages.post(&paul, &format!("/examples/{batch}/0"), "").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("may-not-open") && !refused.body.contains("hello"), "{}", refused.body);
    assert!(matches!(pages.world.last(), Body::AccessDenied(body) if body.reader == "paul"));
    let size = pages.world.gateway.replica.position();
    for path in [format!("/examples/{batch}/0"), format!("/documents/{}/0", batch - 1), "/examples/1/0".into()] {
        assert_eq!(pages.get(&paul, &path).await.status, 403, "{path}");
    }
    assert_eq!(pages.world.gateway.replica.position(), size, "again and again is one record a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_without_a_role_who_asks_for_transcripts_is_on_the_record() {
    let pages = Pages::new().await;
    let evaluation = pages.evaluation().await;
    let paul = pages.sign_in("paul").await;
    let refused = pages.post(&paul, &format!("/evaluations/{evaluation}"), "").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("may-not-open") && !refused.body.contains("answered"), "{}", refused.body);
    let Body::AccessDenied(denied) = pages.world.last() else { panic!("{:?}", pages.world.last()) };
    assert_eq!((denied.reader.as_str(), denied.commitments.len()), ("paul", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clauses_are_answered_with_what_falls_short() {
    let pages = Pages::new().await;
    let rita = pages.sign_in("rita").await;
    let all = pages.get(&rita, "/comply").await;
    assert!(all.status == 200 && all.body.contains("href=\"/comply/soc-2\""), "{}", all.body);
    let one = pages.get(&rita, "/comply/21-cfr-11").await;
    assert!(one.body.contains("id=\"clause-11-10-g-\"") && one.body.contains("✗ gap"), "{}", one.body);
    assert_eq!(pages.get(&rita, "/comply/hammurabi").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_take_evidence_out_has_a_bundle_made_and_one_waits_for_each() {
    let pages = Pages::new().await;
    pages.evaluation().await;
    for officer in ["otto", "olga"] {
        pages.world.cast(officer, ActorKind::Person, Some(Role::Officer));
    }
    let at = pages.world.gateway.replica.position() - 1;
    let draft = async |cookie: &str, purpose: u32| {
        let form = format!("kind=1&purpose={purpose}&model=triage&at={at}");
        pages.post(cookie, "/evidence/draft", &form).await
    };
    let rita = pages.sign_in("rita").await;
    let refused = draft(&rita, 1).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("may-not-export"), "{}", refused.body);

    let (otto, olga) = (pages.sign_in("otto").await, pages.sign_in("olga").await);
    let drafted = async |cookie: &str, purpose: u32| {
        let answer = draft(cookie, purpose).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        told["bundle"].as_str().unwrap().to_owned()
    };
    // Nobody has signed for one that waits.
    let waits = async |cookie: &str, bundle: &str| {
        let answer = pages.get(cookie, &format!("/evidence/{bundle}/{at}")).await;
        assert_eq!(answer.status, 404);
        answer.body.contains("says that you take this bundle out")
    };
    let (first, hers) = (drafted(&otto, 1).await, drafted(&olga, 1).await);
    assert!(waits(&otto, &first).await && waits(&olga, &hers).await);
    let second = drafted(&otto, 2).await;
    assert!(waits(&otto, &second).await && !waits(&otto, &first).await && waits(&olga, &hers).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_posted_from_elsewhere() {
    let pages = Pages::new().await;
    let rita = pages.sign_in("rita").await;
    for path in ["/sign-in", "/sign-out", "/act/append", "/pair/offer", "/examples/1/0"] {
        let elsewhere = [("cookie", rita.as_str()), ("sec-fetch-site", "cross-site")];
        assert_eq!(pages.ask("POST", path, &elsewhere, "").await.status, 403, "{path}");
        assert_eq!(pages.ask("POST", path, &[("origin", "http://evil.example")], "").await.status, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_of_one_moment_and_a_moment_that_is_none_is_told() {
    let pages = Pages::new().await;
    let before = pages.world.gateway.replica.position() - 1;
    pages.example("hello").await;
    let rita = pages.sign_in("rita").await;
    let now = pages.get(&rita, "/datasets").await;
    assert!(now.body.contains("tickets") && !now.body.contains("The past"), "{}", now.body);
    let then = pages.get(&rita, &format!("/datasets?at={before}")).await;
    assert!(
        then.body.contains("Nothing had been ingested by then.") && then.body.contains("The past"),
        "{}",
        then.body
    );
    assert!(then.body.contains(&format!("href=\"/timeline?at={before}\"")), "the moment goes along");
    for (moment, status, told) in [
        ("999999", 400, "999999"),
        ("2999-01-01", 400, "lies in the future"),
        ("1999-01-01", 400, "before the ledger"),
        ("nonsense", 400, "is no moment"),
    ] {
        let answer = pages.get(&rita, &format!("/?at={moment}")).await;
        assert_eq!(answer.status, status, "{moment}");
        assert!(answer.body.contains(told), "{moment}: {}", answer.body);
    }
    let unknown = pages.get(&rita, "/models/nobody").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("no model nobody"), "{}", unknown.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_shown_once_the_read_is_on_record_and_hostile_text_is_inert() {
    let pages = Pages::new().await;
    let batch = pages.example(HOSTILE).await;
    let path = format!("/examples/{batch}/0");
    let rita = pages.sign_in("rita").await;
    let closed = pages.get(&rita, &path).await;
    assert!(
        closed.body.contains("Reading it is recorded first") && !closed.body.contains("onerror"),
        "{}",
        closed.body
    );

    let open = pages.post(&rita, &path, "").await;
    assert_eq!(open.status, 200, "{}", open.body);
    assert!(open.body.contains("This read is on the record, under RITA."), "{}", open.body);
    assert!(open.body.contains("&lt;img src=x onerror=alert(1)&gt;") && !open.body.contains("<img"), "{}", open.body);
    assert!(open.body.contains("U+202E") && open.body.contains("U+001B") && !open.body.contains('\u{202e}'));
    assert!(matches!(pages.world.last(), Body::ContentAccessed(body) if body.reader == "rita"));

    // An admin opens no texts, and that is on the record, too.
    let ada = pages.sign_in("ada").await;
    let refused = pages.post(&ada, &path, "").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("may-not-open") && !refused.body.contains("onerror"), "{}", refused.body);
    assert!(matches!(pages.world.last(), Body::AccessDenied(body) if body.reader == "ada"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_opens() {
    let pages = Pages::new().await;
    let batch = pages.example("hello").await;
    let rita = pages.sign_in("rita").await;
    let (documents, lineage) = (format!("/documents/{}/0", batch - 1), format!("/lineage/{batch}"));
    let batches = [format!("/batches/{batch}"), format!("/batches/{}", batch - 1)];
    for path in [
        "/",
        "/timeline",
        "/timeline?kind=key-registered&actor=ada&verdict=accepted&since=2020-01-01",
        "/datasets",
        "/collections/tickets",
        "/runs",
        "/suites",
        "/promotions",
        "/people",
        "/policy",
        "/health",
        "/events/3",
        "/pair",
        "/sign-in",
        &documents,
        &lineage,
        &batches[0],
        &batches[1],
    ] {
        let answer = pages.get(&rita, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(answer.body.starts_with("<!DOCTYPE html>") && answer.body.contains("<h1>"), "{path}");
    }
    let proof = pages.get(&rita, "/events/3/proof").await;
    assert!(proof.body.starts_with("c2sp.org/tlog-proof@v1\n"), "{}", proof.body);
    let page = pages.get(&rita, "/").await.body;
    let style = page.split("href=\"").find(|part| part.contains("style.css")).unwrap().split('"').next().unwrap();
    let style = pages.get("", style).await;
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(style.header("cache-control").contains("immutable"));
    for missing in [
        "/assets/0/style.css",
        "/runs/3",
        "/datasets/3",
        "/batches/3",
        "/examples/3/0",
        "/promotions/3",
        "/events/99999",
        "/events/18446744073709551615",
        "/batches/18446744073709551615",
        "/examples/18446744073709551615/0",
    ] {
        assert_eq!(pages.get(&rita, missing).await.status, 404, "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_offers_a_key_under_a_code_and_its_pairer_alone_is_told() {
    let pages = Pages::new().await;
    let mut pairing = PairingClient::new(pages.world.channel.clone());
    let open = OpenPairingRequest { actor: "rita".into() };
    let code = pairing.open_pairing(pages.world.ask("rita", open)).await.unwrap().into_inner().code;
    let begun = pages.post("", "/pair/begin", &format!("code={code}")).await;
    assert!(begun.body.contains(r#""actor":"rita""#), "{}", begun.body);
    assert_eq!(pages.post("", "/pair/begin", "code=00000-00000").await.status, 404);

    let made = SigningKey::from_seed([9; 32]);
    let (public, possession) = (hex::encode(made.public()), hex::encode(made.possession(&pages.world.ledger, "rita")));
    let wrong = hex::encode(made.possession(&pages.world.ledger, "sten"));
    let offer = |possession: &str| format!("code={code}&public_key={public}&possession={possession}");
    assert_eq!(pages.post("", "/pair/offer", &offer(&wrong)).await.status, 400);
    assert_eq!(pages.post("", "/pair/offer", &offer(&possession)).await.status, 200);
    let awaited = |actor| pages.world.ask(actor, AwaitPairingRequest { code: code.clone() });
    assert!(pairing.await_pairing(awaited("sten")).await.is_err());
    let told = pairing.await_pairing(awaited("rita")).await.unwrap().into_inner();
    assert_eq!(told.public_key, made.public());
    let state = pages.post("", "/pair/state", &format!("code={code}&keyid={}", made.keyid())).await;
    assert!(state.body.contains("waiting"), "{}", state.body);
}
