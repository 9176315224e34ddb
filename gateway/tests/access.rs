//! Who may read, and what is put on record of it.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod world;

use attestune_ledger::envelope::TOKEN_PAYLOAD_TYPE;
use attestune_proto::v1::{
    AccessToken, ActorKind, BatchIndices, DocumentsIngested, ErasedContents, FindSubjectRequest, FindSubjectResponse,
    KeyRevoked, ListRequest, OpenRequest, RevocationReason, Role, RoleWithdrawn, SealRequest, Sealed,
    content_client::ContentClient, event::Body, operations_client::OperationsClient, registry_client::RegistryClient,
};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Request, Status, transport::Channel};
use world::{World, key, now_ms, reason, with_token};

fn content(world: &World) -> ContentClient<Channel> {
    ContentClient::new(world.channel.clone())
}

async fn list(world: &World, request: Request<ListRequest>) -> Result<usize, Status> {
    let mut registry = RegistryClient::new(world.channel.clone());
    Ok(registry.list_actors(request).await?.into_inner().actors.len())
}

async fn sealed(world: &World, texts: &[&str]) -> Vec<Sealed> {
    let contents = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let request = world.ask("sten", SealRequest { contents, collection: String::new(), ..Default::default() });
    let answer = content(world).seal(request).await.unwrap().into_inner();
    answer.commitments.into_iter().map(|commitment| Sealed { pack: answer.pack.clone(), commitment }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_holds_only_as_signed_for_this_ledger_and_this_hour() {
    let world = World::new().await;
    let good = world.token("sten");
    let request = |signer: &str, token: AccessToken| {
        let envelope = key(signer).sign(TOKEN_PAYLOAD_TYPE, &token.encode_to_vec());
        with_token(ListRequest::default(), &envelope)
    };
    assert_eq!(list(&world, request("sten", good.clone())).await.unwrap(), 7);

    let elsewhere = AccessToken { ledger: vec![9; 32], ..good.clone() };
    let audience = AccessToken { audience: "mlflow".into(), ..good.clone() };
    let expired = AccessToken { not_after_ms: now_ms() - 1, ..good.clone() };
    let too_long = AccessToken { not_after_ms: now_ms() + 7_200_000, ..good.clone() };
    let an_event = world.signed("sten", ingested(vec![1; 16], vec![]));
    let bad = [
        (Request::new(ListRequest::default()), "token-missing"),
        (with_token(ListRequest::default(), b"no envelope"), "token-malformed"),
        (with_token(ListRequest::default(), &an_event), "token-malformed"),
        (request("rita", good.clone()), "token-not-signed"),
        (request("stranger", good.clone()), "token-not-signed"),
        (request("sten", elsewhere), "token-for-another"),
        (request("sten", audience), "token-for-another"),
        (request("sten", expired), "token-expired"),
        (request("sten", too_long), "token-too-long"),
    ];
    for (request, expected) in bad {
        let status = list(&world, request).await.expect_err(expected);
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, expected), "{status:?}");
        assert!(status.message().contains("attestune token"), "{}", status.message());
    }

    let revoked = KeyRevoked { keyid: key("sten").keyid(), reason: RevocationReason::Lost.into() };
    world.must("ada", Body::KeyRevoked(revoked));
    assert_eq!(list(&world, request("sten", good)).await.unwrap_err().code(), Code::Unauthenticated);
}

fn ingested(pack: Vec<u8>, commitments: Vec<Vec<u8>>) -> Body {
    Body::DocumentsIngested(DocumentsIngested { collection: "tickets".into(), pack, commitments })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_read_is_on_record_before_the_texts_are_released() {
    let world = World::new().await;
    let contents = sealed(&world, &["first", "second", "third"]).await;
    let asked = vec![contents[2].clone(), contents[0].clone()];
    let token = key("rita").sign(TOKEN_PAYLOAD_TYPE, &world.token("rita").encode_to_vec());
    let request = with_token(OpenRequest { contents: asked.clone(), pack: Vec::new(), with_salts: false }, &token);
    let opened = content(&world).open(request).await.unwrap().into_inner().contents;
    assert_eq!(opened, [b"third".to_vec(), b"first".to_vec()]);

    let Body::ContentAccessed(recorded) = world.last() else { panic!("{:?}", world.last()) };
    assert_eq!(recorded.reader, "rita");
    assert_eq!(recorded.token_hash, Sha256::digest(&token).to_vec());
    assert_eq!(recorded.commitments, asked.into_iter().map(|s| s.commitment).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_texts_of_one_pack_come_in_the_order_asked_for() {
    let world = World::new().await;
    let texts: Vec<String> = (0..600).map(|n| format!("text {n}")).collect();
    let contents = sealed(&world, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let before = world.gateway.replica.position();
    let request = world.ask(
        "rita",
        OpenRequest { contents: contents.into_iter().rev().collect(), pack: Vec::new(), with_salts: false },
    );
    let opened = content(&world).open(request).await.unwrap().into_inner().contents;
    assert!(opened.iter().eq(texts.iter().rev().map(String::as_bytes)));
    // At most 512 commitments fit an event.
    assert_eq!(world.gateway.replica.position(), before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_without_a_role_reads_nothing() {
    let world = World::new().await;
    let status = list(&world, world.ask("paul", ListRequest::default())).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "no-role"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_open_texts_gets_none_and_that_is_recorded_once() {
    let world = World::new().await;
    world.cast("idle", ActorKind::Worker, None);
    world.cast("second", ActorKind::Gateway, Some(Role::Gateway));
    let contents = sealed(&world, &["secret"]).await;
    // A person without a role, an admin, a worker without a role, another gateway.
    for actor in ["paul", "ada", "idle", "second"] {
        let before = world.gateway.replica.position();
        for _ in 0..3 {
            let request =
                world.ask(actor, OpenRequest { contents: contents.clone(), pack: Vec::new(), with_salts: false });
            let status = content(&world).open(request).await.unwrap_err();
            assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "may-not-open"), "{actor}");
        }
        assert_eq!(world.gateway.replica.position(), before + 1, "{actor}");
        let Body::AccessDenied(recorded) = world.last() else { panic!("{:?}", world.last()) };
        assert_eq!((recorded.reader.as_str(), recorded.commitments.len()), (actor, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_open_texts_is_not_told_which_packs_there_are() {
    let world = World::new().await;
    let there = sealed(&world, &["one", "two"]).await[0].pack.clone();
    let open = async |actor: &str, pack: &[u8]| {
        let request = OpenRequest { contents: Vec::new(), pack: pack.to_vec(), with_salts: false };
        content(&world).open(world.ask(actor, request)).await
    };
    for actor in ["paul", "ada"] {
        let before = world.gateway.replica.position();
        let missing = open(actor, &[7; 16]).await.unwrap_err();
        assert_eq!((missing.code(), reason(&missing).as_str()), (Code::PermissionDenied, "may-not-open"), "{actor}");
        assert_eq!(world.gateway.replica.position(), before, "there is no text to be refused");
        let refused = open(actor, &there).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (missing.code(), missing.message()));
        let Body::AccessDenied(recorded) = world.last() else { panic!("{:?}", world.last()) };
        assert_eq!((recorded.reader.as_str(), recorded.commitments.len()), (actor, 2));
    }
    assert_eq!(reason(&open("rita", &[7; 16]).await.unwrap_err()), "content-unknown");
    assert_eq!(open("rita", &there).await.unwrap().into_inner().contents, [b"one", b"two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_that_works_with_texts_opens_them() {
    let world = World::new().await;
    let contents = sealed(&world, &["text"]).await;
    let persons = [Role::Steward, Role::Reviewer, Role::Engineer, Role::Officer];
    let workers = [Role::Scanner, Role::Checker, Role::Trainer, Role::Evaluator, Role::Monitor];
    let kinds = [(ActorKind::Person, &persons[..], 1), (ActorKind::Worker, &workers[..], 0)];
    for (kind, roles, records) in kinds {
        for role in roles.iter().copied() {
            let actor = role.as_str_name().to_ascii_lowercase();
            world.cast(&actor, kind, Some(role));
            let before = world.gateway.replica.position();
            let request =
                world.ask(&actor, OpenRequest { contents: contents.clone(), pack: Vec::new(), with_salts: false });
            assert_eq!(content(&world).open(request).await.unwrap().into_inner().contents, [b"text"], "{actor}");
            assert_eq!(world.gateway.replica.position(), before + records, "{actor}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_role_was_withdrawn_opens_nothing_more() {
    let world = World::new().await;
    let contents = sealed(&world, &["secret"]).await;
    let open = || world.ask("scanner", OpenRequest { contents: contents.clone(), pack: Vec::new(), with_salts: false });
    content(&world).open(open()).await.unwrap();
    let withdrawn = RoleWithdrawn { actor: "scanner".into(), role: Role::Scanner.into() };
    world.must("ada", Body::RoleWithdrawn(withdrawn));
    assert_eq!(reason(&content(&world).open(open()).await.unwrap_err()), "may-not-open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_is_released_when_the_read_cannot_be_recorded() {
    let world = World::new().await;
    let contents = sealed(&world, &["secret"]).await;
    let withdrawn = RoleWithdrawn { actor: "gateway".into(), role: Role::Gateway.into() };
    world.must("ada", Body::RoleWithdrawn(withdrawn));
    let status = content(&world)
        .open(world.ask("rita", OpenRequest { contents, pack: Vec::new(), with_salts: false }))
        .await
        .unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "read-not-recorded"));
    assert!(!status.message().contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_not_in_the_vault_is_named_as_missing() {
    let world = World::new().await;
    let unknown = Sealed { pack: vec![7; 16], commitment: vec![7; 32] };
    let status = content(&world)
        .open(world.ask("rita", OpenRequest { contents: vec![unknown], pack: Vec::new(), with_salts: false }))
        .await
        .unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "content-unknown"));
    let malformed = Sealed { pack: vec![7; 15], commitment: vec![7; 32] };
    let both = OpenRequest { contents: vec![malformed.clone()], pack: vec![7; 16], with_salts: false };
    let short = OpenRequest { contents: Vec::new(), pack: vec![7; 15], with_salts: false };
    for wrong in [
        OpenRequest { contents: vec![malformed], pack: Vec::new(), with_salts: false },
        both,
        short,
        OpenRequest::default(),
    ] {
        let status = content(&world).open(world.ask("rita", wrong)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "bad-request"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_a_collection_holds_are_known_by_their_content() {
    let world = World::new().await;
    let seal = async |texts: &[&str]| {
        let contents = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let request = world.ask("sten", SealRequest { contents, collection: "tickets".into(), ..Default::default() });
        content(&world).seal(request).await.unwrap().into_inner()
    };
    // A text that repeats in one request is sealed once.
    let first = seal(&["a", "b", "a"]).await;
    assert_eq!((first.commitments.len(), first.known.as_slice()), (2, [2].as_slice()));
    // Sealed is not ingested: nothing is known before the log names it.
    assert!(seal(&["a"]).await.known.is_empty());
    world.must("sten", ingested(first.pack, first.commitments));
    let second = seal(&["c", "b", "a"]).await;
    assert_eq!((second.commitments.len(), second.known.as_slice()), (1, [1, 2].as_slice()));
    let none = seal(&["a", "b"]).await;
    assert_eq!((none.pack.len(), none.known.len()), (0, 2));

    // Another collection knows nothing of them.
    let request = SealRequest { contents: vec![b"a".to_vec()], collection: "letters".into(), ..Default::default() };
    assert!(content(&world).seal(world.ask("sten", request)).await.unwrap().into_inner().known.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_pack_is_not_in_the_vault_holds_nobody_up() {
    let world = World::new().await;
    let seal = async |text: &str| {
        let request = SealRequest {
            contents: vec![text.as_bytes().to_vec()],
            collection: "tickets".into(),
            ..Default::default()
        };
        content(&world).seal(world.ask("sten", request)).await.unwrap().into_inner()
    };
    world.must("sten", ingested(vec![7; 16], vec![vec![7; 32]]));
    let first = seal("a").await;
    world.must("sten", ingested(first.pack, first.commitments));
    assert_eq!(seal("a").await.known, [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_record_sealed_texts_seals_them() {
    let world = World::new().await;
    world.cast("mina", ActorKind::Person, Some(Role::Engineer));
    world.cast("otto", ActorKind::Person, Some(Role::Officer));
    world.cast("trainer", ActorKind::Worker, Some(Role::Trainer));
    world.cast("checker", ActorKind::Worker, Some(Role::Checker));
    let seal = async |actor: &str| {
        let request = SealRequest { contents: vec![b"a".to_vec()], collection: String::new(), ..Default::default() };
        content(&world).seal(world.ask(actor, request)).await
    };
    for actor in ["sten", "rita", "mina", "otto", "trainer"] {
        assert_eq!(seal(actor).await.unwrap().into_inner().commitments.len(), 1, "{actor}");
    }
    // An admin, a scanner, a checker and the gateway record none; paul has no role at all.
    for (actor, expected) in [
        ("ada", "may-not-seal"),
        ("scanner", "may-not-seal"),
        ("checker", "may-not-seal"),
        ("gateway", "may-not-seal"),
        ("paul", "no-role"),
    ] {
        let status = seal(actor).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, expected), "{actor}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_texts_are_whose_is_told_to_whoever_may_erase_and_recorded() {
    let world = World::new().await;
    let contents = vec![b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
    let subjects = vec!["ann@bank.example".into(), "bob".into(), "ANN@bank.example ".into()];
    let request = SealRequest { contents: contents.clone(), collection: String::new(), subjects };
    let sealed = content(&world).seal(world.ask("sten", request)).await.unwrap().into_inner();
    let one_too_few = SealRequest { contents, collection: String::new(), subjects: vec![String::new()] };
    let status = content(&world).seal(world.ask("sten", one_too_few)).await.unwrap_err();
    assert_eq!(reason(&status), "bad-request");
    world.must("sten", ingested(sealed.pack.clone(), sealed.commitments[..2].to_vec()));
    let documents = world.gateway.replica.position() - 1;

    let find = async |actor: &str, subject: &str| {
        let request = world.ask(actor, FindSubjectRequest { subject: subject.into() });
        OperationsClient::new(world.channel.clone()).find_subject(request).await.map(tonic::Response::into_inner)
    };
    let status = find("rita", "bob").await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "may-not-erase"));
    let before = world.gateway.replica.position();
    assert_eq!(find("sten", "nobody").await.unwrap(), FindSubjectResponse::default());
    assert_eq!(reason(&find("sten", " ").await.unwrap_err()), "bad-request");
    assert_eq!(world.gateway.replica.position(), before, "nothing was read");
    let found = find("sten", "Ann@Bank.Example").await.unwrap();
    assert_eq!(found.documents, [BatchIndices { batch: documents, indices: vec![0] }]);
    // What was sealed and never recorded is of the person, too.
    assert_eq!(found.others, [ErasedContents { pack: sealed.pack, commitments: vec![sealed.commitments[2].clone()] }]);
    let Body::ContentAccessed(recorded) = world.last() else { panic!("{:?}", world.last()) };
    assert_eq!((recorded.reader.as_str(), recorded.commitments.len()), ("sten", 2));
}
