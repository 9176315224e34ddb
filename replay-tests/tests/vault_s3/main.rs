//! The vault on a real S3 server, and what becomes of it when that is slow, broken, cut off or refuses.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod server;

use attestune_ledger::vault::{SealedPack, Settings, Vault, VaultError};
use attestune_proto::v1::Sealed;
use server::{Kind, S3, SECRET_KEY, closed};
use std::path::Path;
use std::time::Duration;

const URL: &str = "s3://texts/bank/triage";
/// A whole test that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(120);

async fn open(settings: &Path) -> Result<Vault, VaultError> {
    open_at(URL, settings).await
}

async fn open_at(url: &str, settings: &Path) -> Result<Vault, VaultError> {
    let opened = tokio::time::timeout(HANGS, Vault::open(url, &Settings::from_file(settings)?)).await;
    opened.expect("opening ends by itself")
}

fn texts() -> Vec<Vec<u8>> {
    vec![b"the card ending 4242 was declined".to_vec(), vec![7; 1_000_000], Vec::new()]
}

async fn opens(vault: &Vault, sealed: &SealedPack) -> bool {
    let wanted: Vec<_> = sealed
        .items
        .iter()
        .map(|item| Sealed { pack: sealed.pack.to_vec(), commitment: item.commitment.to_vec() })
        .collect();
    vault.open_all(&wanted).await.unwrap() == texts()
}

/// Seals, which must end by itself and fail; answers the words.
async fn fails(vault: &Vault) -> String {
    let sealed = tokio::time::timeout(HANGS, vault.seal(&texts())).await.expect("sealing ends by itself");
    let said = sealed.expect_err("it can't be done").to_string();
    assert!(said.starts_with("the vault can't be reached: s3://texts/bank/triage/"), "{said}");
    assert!(!said.contains(SECRET_KEY), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_opens_on_another_machine_and_lies_nowhere_in_the_clear() {
    let s3 = S3::start().await;
    let settings = s3.settings("");
    let sealed = open(&settings).await.unwrap().seal(&texts()).await.unwrap();
    let elsewhere = open(&settings).await.unwrap();
    assert!(opens(&elsewhere, &sealed).await);
    assert_eq!(elsewhere.open_one(&sealed.pack, &sealed.items[0].commitment).await.unwrap(), texts()[0]);

    let pack = hex(&sealed.pack);
    let names: Vec<_> = s3.objects().into_iter().map(|(name, _)| name).collect();
    let (contents, keys) = (format!("texts/bank/triage/contents/{pack}"), format!("texts/bank/triage/keys/{pack}"));
    assert_eq!(names, [contents, keys, "texts/bank/triage/keys/kek-check".into()]);
    for (name, bytes) in s3.objects() {
        assert!(!bytes.windows(9).any(|w| w == b"card endi" || w == [7; 9]), "{name} holds a text");
        assert!(!bytes.windows(32).any(|w| w == [7; 32]), "{name} holds the key");
    }

    let unknown = elsewhere.open_one(&[9; 16], &sealed.items[0].commitment).await;
    assert!(matches!(unknown, Err(VaultError::Unknown { .. })), "{unknown:?}");
    let count = |operation: &str, outcome: &str| {
        elsewhere.counts().into_iter().find(|(o, what, _)| *o == operation && *what == outcome).unwrap().2
    };
    assert_eq!((count("open", "ok"), count("open", "unknown"), count("seal", "ok")), (2, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_was_altered_or_cut_short_is_damage_and_not_absence() {
    let s3 = S3::start().await;
    let vault = open(&s3.settings("")).await.unwrap();
    let sealed = vault.seal(&texts()).await.unwrap();
    let pack = s3.path("s3").join("texts/bank/triage/contents").join(hex(&sealed.pack));
    let bytes = std::fs::read(&pack).unwrap();
    for short in [bytes[..10].to_vec(), Vec::new()] {
        std::fs::write(&pack, short).unwrap();
        for item in &sealed.items {
            let outcome = vault.open_one(&sealed.pack, &item.commitment).await;
            assert!(matches!(outcome, Err(VaultError::Corrupt { .. })), "{outcome:?}");
        }
    }
    std::fs::write(&pack, &bytes).unwrap();
    assert!(opens(&vault, &sealed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_may_lie_in_a_bucket_or_a_folder_of_their_own() {
    let s3 = S3::start().await;
    s3.make_bucket("the-keys");
    let folder = s3.path("keys-here");
    for keys in ["s3://the-keys/triage".to_owned(), format!("file://{}", folder.display())] {
        let settings = s3.settings(&format!("keys = {keys}"));
        let sealed = open(&settings).await.unwrap().seal(&texts()).await.unwrap();
        assert!(opens(&open(&settings).await.unwrap(), &sealed).await);
    }
    let names: Vec<_> = s3.objects().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("the-keys/triage/keys/")).count(), 2, "{names:?}");
    assert_eq!(std::fs::read_dir(folder.join("keys")).unwrap().count(), 2);
    assert!(!names.iter().any(|name| name.starts_with("texts/") && name.contains("/keys/")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_encryption_key_is_refused_before_anything_is_sealed_under_it() {
    let s3 = S3::start().await;
    let vault = open(&s3.settings("")).await.unwrap();
    let sealed = vault.seal(&texts()).await.unwrap();
    let other = s3.path("other-kek");
    let settings = s3.settings(&format!("kek_file = {}", other.display()));
    let error = open(&settings).await.unwrap_err().to_string();
    assert!(error.contains("is missing; make one: (umask 077; head -c 32 /dev/urandom >"), "{error}");
    closed(&other, &[8; 32]);
    let error = open(&settings).await.unwrap_err().to_string();
    assert!(error.contains("is not the key that s3://texts/bank/triage/keys was begun with"), "{error}");
    assert!(opens(&vault, &sealed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_a_missing_bucket_and_no_server_each_have_their_words() {
    let s3 = S3::start().await;
    let cases = [
        (URL, s3.settings_to(s3.address(), "wrong", ""), "SignatureDoesNotMatch; the store refuses these credentials"),
        (URL, s3.settings("aws_access_key_id = nobody"), "the store refuses these credentials"),
        ("s3://nowhere/x", s3.settings(""), "NoSuchBucket; there is no such bucket: create it, or mend the URL"),
        (URL, s3.settings_to("127.0.0.1:1".parse().unwrap(), SECRET_KEY, ""), "is it up, and is the endpoint right?"),
    ];
    for (url, settings, words) in cases {
        let error = open_at(url, &settings).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains(SECRET_KEY) && !error.contains('<'), "{error}");
    }
    assert_eq!(s3.objects(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_goes_away_is_not_taken_for_a_text_that_never_was() {
    let s3 = S3::start().await;
    let vault = open(&s3.settings("")).await.unwrap();
    let sealed = vault.seal(&texts()).await.unwrap();
    let (bucket, gone) = (s3.path("s3").join("texts"), s3.path("gone"));
    std::fs::rename(&bucket, &gone).unwrap();
    let outcome = vault.open_one(&sealed.pack, &sealed.items[0].commitment).await;
    assert!(outcome.as_ref().unwrap_err().to_string().contains("there is no such bucket"), "{outcome:?}");
    std::fs::rename(&gone, &bucket).unwrap();
    assert!(opens(&vault, &sealed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_is_waited_for_and_one_that_hangs_only_for_so_long() {
    let s3 = S3::start().await;
    let vault = open(&s3.settings("timeout_s = 3")).await.unwrap();
    s3.make("bank/triage", Kind::Delay(Duration::from_millis(300)));
    let sealed = vault.seal(&texts()).await.unwrap();
    assert!(opens(&vault, &sealed).await);

    let before = s3.objects();
    s3.make("PUT bank/triage", Kind::Hang);
    fails(&vault).await;
    s3.make("GET bank/triage", Kind::Hang);
    let outcome = tokio::time::timeout(HANGS, vault.open_one(&sealed.pack, &sealed.items[0].commitment)).await;
    let outcome = outcome.expect("opening ends by itself");
    assert!(matches!(outcome, Err(VaultError::Unavailable(_))), "{outcome:?}");
    assert!(open(&s3.settings("timeout_s = 1")).await.is_err());
    s3.heal();
    assert_eq!(s3.objects(), before);
    assert!(opens(&vault, &sealed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_the_server_are_tried_again_a_few_times_and_then_told() {
    let s3 = S3::start().await;
    let vault = open(&s3.settings("timeout_s = 20")).await.unwrap();
    s3.make("PUT contents", Kind::Error500(2));
    let sealed = vault.seal(&texts()).await.unwrap();
    assert!(opens(&vault, &sealed).await);

    let before = s3.objects();
    s3.make("PUT contents", Kind::Error500(usize::MAX));
    let said = fails(&vault).await;
    assert!(said.contains("contents: InternalError;"), "{said}");
    s3.make("GET keys", Kind::Error500(usize::MAX));
    let outcome = vault.open_one(&sealed.pack, &sealed.items[0].commitment).await;
    assert!(matches!(outcome, Err(VaultError::Unavailable(_))), "{outcome:?}");
    s3.heal();
    assert_eq!(s3.objects(), before);
    assert!(opens(&vault, &sealed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_cut_leaves_nothing_half_written() {
    let s3 = S3::start().await;
    let vault = open(&s3.settings("timeout_s = 20")).await.unwrap();
    let sealed = vault.seal(&texts()).await.unwrap();
    let before = s3.objects();

    s3.make("PUT contents", Kind::Cut(500_000));
    fails(&vault).await;
    assert_eq!(s3.objects(), before, "no part of the contents is there");

    // The contents are there and their keys are not: they can't be found, nor opened by anybody.
    s3.make("PUT keys", Kind::Cut(20));
    fails(&vault).await;
    let keys = |objects: &[(String, Vec<u8>)]| objects.iter().filter(|(name, _)| name.contains("/keys/")).count();
    let after = s3.objects();
    assert_eq!(keys(&after), keys(&before), "no part of the keys is there");

    // The server did it, and its answer was lost: what is there is whole.
    s3.make("PUT keys", Kind::CutAnswer);
    fails(&vault).await;
    s3.heal();
    for (name, _) in s3.objects().into_iter().filter(|(name, _)| name.contains("/keys/") && !name.ends_with("check")) {
        let pack = unhex(name.rsplit('/').next().unwrap());
        assert_eq!(vault.fingerprints(&pack).await.unwrap().len(), texts().len());
    }
    assert!(opens(&vault, &sealed).await);
    let sealed = vault.seal(&texts()).await.unwrap();
    assert!(opens(&vault, &sealed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_that_erase_in_one_pack_bring_nothing_back() {
    let s3 = S3::start().await;
    let here = open(&s3.settings("")).await.unwrap();
    let there = open(&s3.direct_settings()).await.unwrap();
    let sealed = here.seal(&texts()).await.unwrap();
    let (pack, first, second) = (sealed.pack, sealed.items[0].commitment.to_vec(), sealed.items[1].commitment.to_vec());

    // Here has read the keys and is about to write them when there erases.
    s3.make("PUT keys", Kind::Hold);
    let erasing = async { here.erase(&pack, std::slice::from_ref(&first)).await };
    let meanwhile = async {
        s3.met.notified().await;
        there.erase(&pack, std::slice::from_ref(&second)).await.unwrap();
        s3.heal();
        s3.release.notify_one();
    };
    let (erased, ()) = tokio::time::timeout(HANGS, async { tokio::join!(erasing, meanwhile) }).await.unwrap();
    erased.unwrap();
    for gone in [&first, &second] {
        assert!(matches!(there.open_one(&pack, gone).await, Err(VaultError::Erased { .. })));
    }
    assert_eq!(there.open_one(&pack, &sealed.items[2].commitment).await.unwrap(), texts()[2]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
