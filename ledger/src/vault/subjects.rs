//! Whose text is whose: for each person an encrypted list of contents, under a name that tells nothing.
//!
//! ```text
//! keys/SUBJECT   nonce (12 bytes) ‖ AES-256-GCM of the message SubjectTexts, under a key derived from the key-encryption key
//! SUBJECT        64 hex digits: HMAC-SHA256, under another derived key, of what the company calls the person
//! ```
//!
//! The index lies with the keys, so that the backups that could bring an erased text back are those that could bring back
//! whose it was. What the person is called is written nowhere.

use super::{ERASE_TRIES, Vault, VaultError, decrypt, encrypt, mac, random};
use attestune_proto::v1::Sealed;
use object_store::UpdateVersion;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, PartialEq, prost::Message)]
struct SubjectTexts {
    #[prost(message, repeated, tag = "1")]
    texts: Vec<Sealed>,
}

impl Vault {
    /// Notes whose texts these are.
    ///
    /// # Errors
    /// If the store fails, or an entry does not open under this vault's key.
    pub async fn index_subjects(&self, texts: impl IntoIterator<Item = (String, Sealed)>) -> Result<(), VaultError> {
        let mut by_subject: BTreeMap<[u8; 32], Vec<Sealed>> = BTreeMap::new();
        for (subject, sealed) in texts {
            by_subject.entry(self.subject(&subject)).or_default().push(sealed);
        }
        for (name, texts) in by_subject {
            let add = |known: &mut Vec<Sealed>| {
                for text in &texts {
                    if !known.contains(text) {
                        known.push(text.clone());
                    }
                }
            };
            self.change(&name, add).await?;
        }
        Ok(())
    }

    /// The texts of a person that are not erased. The index forgets the erased ones, and a person of whom nothing is left.
    ///
    /// # Errors
    /// If the store fails, or the entry does not open under this vault's key.
    pub async fn find_subject(&self, subject: &str) -> Result<Vec<Sealed>, VaultError> {
        let name = self.subject(subject);
        let Some((known, _)) = self.entry(&name).await? else { return Ok(Vec::new()) };
        let mut left = BTreeSet::new();
        let packs: BTreeSet<&Vec<u8>> = known.iter().map(|text| &text.pack).collect();
        for pack in packs {
            match self.key_pack(pack).await {
                Ok((keys, _)) => {
                    let kept = keys.entries.into_iter().filter(|entry| !entry.wrapped.is_empty());
                    left.extend(kept.map(|entry| (pack.clone(), entry.commitment)));
                }
                Err(VaultError::Unknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let is_left = |text: &Sealed| left.contains(&(text.pack.clone(), text.commitment.clone()));
        if known.iter().all(is_left) {
            return Ok(known);
        }
        self.change(&name, |texts| texts.retain(is_left)).await
    }

    fn subject(&self, subject: &str) -> [u8; 32] {
        let key = mac(&self.kek, b"attestune vault subject names v1");
        mac(&key, subject.trim().to_lowercase().as_bytes())
    }

    fn subject_key(&self) -> [u8; 32] {
        mac(&self.kek, b"attestune vault subject index v1")
    }

    async fn entry(&self, name: &[u8; 32]) -> Result<Option<(Vec<Sealed>, UpdateVersion)>, VaultError> {
        let (bytes, version) = match self.keys.get(name).await {
            Err(VaultError::Unknown { .. }) => return Ok(None),
            found => found?,
        };
        let corrupt = || VaultError::Corrupt { pack: hex::encode(name) };
        let (nonce, cipher) = bytes.split_first_chunk::<12>().ok_or_else(corrupt)?;
        let plain = decrypt(&self.subject_key(), *nonce, cipher).ok_or_else(corrupt)?;
        let texts = SubjectTexts::decode(plain.as_slice()).map_err(|_| corrupt())?.texts;
        Ok(Some((texts, version)))
    }

    /// Changes an entry whatever others do to it meanwhile; one that is empty then is taken away. Answers what it holds.
    async fn change(&self, name: &[u8; 32], change: impl Fn(&mut Vec<Sealed>)) -> Result<Vec<Sealed>, VaultError> {
        let _one_at_a_time = self.erasing.lock().await;
        for _ in 0..ERASE_TRIES {
            let before = self.entry(name).await?;
            let (mut texts, version) = before.map_or((Vec::new(), None), |(texts, version)| (texts, Some(version)));
            change(&mut texts);
            if texts.is_empty() && version.is_some() {
                self.keys.delete(name).await?;
                return Ok(texts);
            }
            let nonce = random::<12>()?;
            let mut bytes = nonce.to_vec();
            bytes.extend(encrypt(&self.subject_key(), nonce, &SubjectTexts { texts: texts.clone() }.encode_to_vec())?);
            let written = match version {
                Some(version) => self.keys.replace(name, bytes, version).await?,
                None => self.keys.create(name, bytes).await?,
            };
            if written {
                return Ok(texts);
            }
        }
        Err(VaultError::Unavailable("the subject index is being written from elsewhere: try again".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn vault() -> (tempfile::TempDir, Vault) {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open_folder(dir.path()).await.unwrap();
        (dir, vault)
    }

    async fn sealed(vault: &Vault, texts: &[&str]) -> Vec<Sealed> {
        let contents: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let pack = vault.seal(&contents).await.unwrap();
        let sealed =
            |item: super::super::SealedItem| Sealed { pack: pack.pack.to_vec(), commitment: item.commitment.to_vec() };
        pack.items.into_iter().map(sealed).collect()
    }

    #[tokio::test]
    async fn a_persons_texts_are_found_under_any_spelling_and_nobody_elses() {
        let (_dir, vault) = vault().await;
        let texts = sealed(&vault, &["one", "two", "three"]).await;
        let owners = ["Ann@Bank.example", "bob", "ann@bank.example"].map(String::from);
        vault.index_subjects(owners.into_iter().zip(texts.clone())).await.unwrap();
        let more = sealed(&vault, &["four"]).await;
        vault.index_subjects([("ann@bank.example".to_string(), more[0].clone())]).await.unwrap();
        let found = vault.find_subject(" ANN@bank.example ").await.unwrap();
        assert_eq!(found, [texts[0].clone(), texts[2].clone(), more[0].clone()]);
        assert_eq!(vault.find_subject("bob").await.unwrap(), [texts[1].clone()]);
        assert_eq!(vault.find_subject("carol").await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_was_erased_is_forgotten_and_in_the_end_the_person() {
        let (dir, vault) = vault().await;
        let texts = sealed(&vault, &["one", "two"]).await;
        vault.index_subjects(texts.iter().map(|text| ("ann".to_string(), text.clone()))).await.unwrap();
        let entry = dir.path().join("keys").join(hex::encode(vault.subject("ann")));
        assert!(entry.exists());
        vault.erase(&texts[0].pack, &[texts[0].commitment.clone()]).await.unwrap();
        assert_eq!(vault.find_subject("ann").await.unwrap(), [texts[1].clone()]);
        vault.erase(&texts[1].pack, &[texts[1].commitment.clone()]).await.unwrap();
        assert_eq!(vault.find_subject("ann").await.unwrap(), []);
        assert!(!entry.exists());
    }

    #[tokio::test]
    async fn nobody_reads_in_the_key_store_who_is_in_it() {
        let (dir, vault) = vault().await;
        let texts = sealed(&vault, &["one"]).await;
        vault.index_subjects([("ann@bank.example".to_string(), texts[0].clone())]).await.unwrap();
        for file in std::fs::read_dir(dir.path().join("keys")).unwrap() {
            let path = file.unwrap().path();
            assert!(!path.to_string_lossy().contains("ann"));
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(3).any(|w| w == b"ann"));
            let is_entry = path.file_name().unwrap().len() == 64;
            let named = bytes.windows(32).any(|w| w == texts[0].commitment);
            assert_eq!(named, !is_entry, "an entry names no content in the clear");
        }
        let mut bytes =
            std::fs::read(dir.path().join("keys").join(hex::encode(vault.subject("ann@bank.example")))).unwrap();
        bytes[20] ^= 1;
        std::fs::write(dir.path().join("keys").join(hex::encode(vault.subject("ann@bank.example"))), bytes).unwrap();
        assert!(matches!(vault.find_subject("ann@bank.example").await, Err(VaultError::Corrupt { .. })));
    }
}
