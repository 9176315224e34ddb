use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

async fn vault() -> (tempfile::TempDir, Vault) {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open_folder(dir.path()).await.unwrap();
    (dir, vault)
}

fn texts() -> Vec<Vec<u8>> {
    vec![b"first".to_vec(), Vec::new(), vec![7; 5_000_000]]
}

#[tokio::test]
async fn what_was_sealed_opens_also_after_reopening() {
    let (dir, vault) = vault().await;
    let sealed = vault.seal(&texts()).await.unwrap();
    let vault = Vault::open_folder(dir.path()).await.unwrap();
    for (item, text) in sealed.items.iter().zip(texts()) {
        let commitment: [u8; 32] = Sha256::new().chain_update(item.salt).chain_update(&text).finalize().into();
        assert_eq!(item.commitment, commitment);
        assert_eq!(vault.open_one(&sealed.pack, &item.commitment).await.unwrap(), text);
    }
    let sealed_as = |item: &SealedItem| Sealed { pack: sealed.pack.to_vec(), commitment: item.commitment.to_vec() };
    // Few of a pack are opened one by one, many by one read; asked for twice they come twice.
    for times in [1, 4] {
        let wanted: Vec<_> = (0..times).flat_map(|_| sealed.items.iter().rev().map(sealed_as)).collect();
        let expected: Vec<_> = (0..times).flat_map(|_| texts().into_iter().rev()).collect();
        assert!(vault.open_all(&wanted).await.unwrap() == expected);
    }
    let all = vault.open_pack(&sealed.pack).await.unwrap();
    assert!(all.iter().zip(texts()).all(|((_, got), text)| *got.as_ref().unwrap() == text));
}

#[tokio::test]
async fn an_erased_content_is_gone_and_its_neighbours_open() {
    let (_dir, vault) = vault().await;
    let sealed = vault.seal(&texts()).await.unwrap();
    let gone = sealed.items[0].commitment.to_vec();
    vault.erase(&sealed.pack, std::slice::from_ref(&gone)).await.unwrap();
    assert!(matches!(vault.open_one(&sealed.pack, &gone).await, Err(VaultError::Erased { .. })));
    assert_eq!(vault.open_one(&sealed.pack, &sealed.items[2].commitment).await.unwrap(), texts()[2]);
    assert_eq!(vault.fingerprints(&sealed.pack).await.unwrap().len(), 2);
    assert!(matches!(vault.open_one(&sealed.pack, &[0; 32]).await, Err(VaultError::Unknown { .. })));
}

#[tokio::test]
async fn a_changed_byte_is_found_wherever_it_is() {
    let (dir, vault) = vault().await;
    let sealed = vault.seal(&[b"some text".to_vec()]).await.unwrap();
    let (pack, commitment) = (sealed.pack, sealed.items[0].commitment);
    let contents = dir.path().join("contents").join(hex::encode(pack));
    let bytes = fs::read(&contents).unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        fs::write(&contents, changed).unwrap();
        assert!(matches!(vault.open_one(&pack, &commitment).await, Err(VaultError::Corrupt { .. })), "byte {place}");
    }
    fs::write(&contents, &bytes).unwrap();
    let keys = dir.path().join("keys").join(hex::encode(pack));
    let bytes = fs::read(&keys).unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        fs::write(&keys, changed).unwrap();
        // The fingerprint is the one part that opening does not use.
        let outcome = vault.open_one(&pack, &commitment).await;
        assert!(outcome.is_err() || outcome.unwrap() == b"some text", "byte {place}");
    }
}

#[tokio::test]
async fn another_key_opens_nothing_and_a_key_that_others_can_read_is_refused() {
    let (dir, vault) = vault().await;
    let sealed = vault.seal(&texts()).await.unwrap();
    let kek = dir.path().join("kek");
    fs::write(&kek, [1; 32]).unwrap();
    let other = Vault::open_folder(dir.path()).await.unwrap();
    let outcome = other.open_one(&sealed.pack, &sealed.items[0].commitment).await;
    assert!(matches!(outcome, Err(VaultError::Corrupt { .. })));
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Vault::open_folder(dir.path()).await, Err(VaultError::Kek { .. })));
    fs::remove_file(&kek).unwrap();
    assert!(matches!(Vault::open_folder(dir.path()).await, Err(VaultError::Kek { .. })));
}

#[tokio::test]
async fn a_fingerprint_is_the_same_for_the_same_content_in_one_vault_only() {
    let (_dir, one) = vault().await;
    let (_dir, other) = vault().await;
    assert_eq!(one.fingerprint(b"x"), one.fingerprint(b"x"));
    assert_ne!(one.fingerprint(b"x"), one.fingerprint(b"y"));
    assert_ne!(one.fingerprint(b"x"), other.fingerprint(b"x"));
}
