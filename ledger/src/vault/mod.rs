//! The vault: contents, encrypted, in packs of one batch; and, apart from them, the key store. Each lies in a folder or
//! in an S3 bucket.
//!
//! ```text
//! contents/PACK   the ciphertexts, one after the other (AES-256-GCM, data key used once, nonce of zeros)
//! keys/PACK       a protobuf message `KeyPack`: for each content its commitment, salt, wrapped data key, place
//! keys/SUBJECT    whose texts are whose, encrypted (see `subjects.rs`)
//! keys/kek-check  HMAC-SHA256 of a fixed text under the key-encryption key (where its file is named in the settings)
//! kek             the ledger's key-encryption key, 32 bytes, mode 0600 (a folder's own)
//! ```
//!
//! Contents are written before their keys, so that a pack that was cut off is never found.
//!
//! PACK is 32 hex digits. A commitment is `SHA-256(salt ‖ content)` with a salt of 32 random bytes. Erasing a content
//! takes salt and data key out of its key pack; a tombstone tells it from one that never was. Text never reaches an
//! error, a log line or a `Debug` form.

mod error;
mod kek;
mod measured;
mod part;
mod settings;
mod subjects;
mod sweep;

pub use error::VaultError;
pub use settings::{Place, Settings};
pub use sweep::{SweepError, Swept, left, sweep};

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::Aead as _};
use attestune_proto::v1::Sealed;
use error::unavailable;
use hmac::{Hmac, Mac as _};
use measured::{Measured, Operation};
use object_store::UpdateVersion;
use part::Part;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use zeroize::Zeroizing;

/// A content's commitment, and the content or why it does not open.
type Opened = (Vec<u8>, Result<Vec<u8>, VaultError>);

/// Contents of one pack from which on the pack is read whole.
const WHOLE_PACK: usize = 8;

/// One content's place in a sealed pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedItem {
    /// `SHA-256(salt ‖ content)`.
    pub commitment: [u8; 32],
    /// 32 random bytes.
    pub salt: [u8; 32],
}

/// What sealing gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPack {
    /// The pack's random name.
    pub pack: [u8; 16],
    /// One for each content, in order.
    pub items: Vec<SealedItem>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyPack {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<KeyEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyEntry {
    #[prost(bytes = "vec", tag = "1")]
    commitment: Vec<u8>,
    /// Empty once erased, as are wrapped key and fingerprint.
    #[prost(bytes = "vec", tag = "2")]
    salt: Vec<u8>,
    /// Nonce (12 bytes) and the data key under the key-encryption key.
    #[prost(bytes = "vec", tag = "3")]
    wrapped: Vec<u8>,
    #[prost(uint64, tag = "4")]
    offset: u64,
    #[prost(uint64, tag = "5")]
    length: u64,
    #[prost(bytes = "vec", tag = "6")]
    fingerprint: Vec<u8>,
}

/// Erasing the same pack at the same time from so many sides succeeds.
const ERASE_TRIES: usize = 8;

/// A vault on two object stores.
pub struct Vault {
    contents: Part,
    keys: Part,
    kek: Zeroizing<[u8; 32]>,
    measured: Measured,
    /// Lets one erasure after the other at the keys.
    erasing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} and {})", self.contents.name, self.keys.name)
    }
}

impl Vault {
    /// Opens a vault by its URL, `file:///PATH` or `s3://BUCKET/PREFIX`, and checks that it answers. A folder is made if
    /// there is none, a bucket is not.
    ///
    /// A vault that machines share (on S3, or with its keys apart) needs its key-encryption key in a file of its own.
    ///
    /// # Errors
    /// If the URL or a setting is wrong, the store does not answer or refuses, or the key is not the vault's.
    pub async fn open(url: &str, settings: &Settings) -> Result<Self, VaultError> {
        let place: Place = url.parse()?;
        let keys_place: Place = settings.keys.as_deref().map_or_else(|| Ok(place.clone()), str::parse)?;
        if let (Place::Folder(folder), None) = (&place, &settings.kek_file)
            && keys_place == place
        {
            return Self::open_folder(folder).await;
        }
        let Some(kek_file) = &settings.kek_file else {
            let what = "none is named: set kek_file in the settings, or ATTESTUNE_VAULT_KEK".into();
            return Err(VaultError::Kek { path: "(32 bytes, mode 0600)".into(), what });
        };
        let kek = kek::read(kek_file)?;
        let (contents, keys) = (settings.part(&place, "contents")?, settings.part(&keys_place, "keys")?);
        keys.probe().await?;
        contents.probe().await?;
        kek::compare(&keys, &kek, kek_file).await?;
        Ok(Self::over(contents, keys, kek))
    }

    /// The vault in a folder that holds its key-encryption key, too; made if there is none.
    ///
    /// # Errors
    /// If the folder can't be written, or its key is malformed or readable by others.
    pub async fn open_folder(dir: &Path) -> Result<Self, VaultError> {
        let (settings, place) = (Settings::default(), Place::Folder(dir.into()));
        let (contents, keys) = (settings.part(&place, "contents")?, settings.part(&place, "keys")?);
        let kek = kek::read_or_make(&dir.join("kek"), &dir.join("keys"))?;
        Ok(Self::over(contents, keys, kek))
    }

    fn over(contents: Part, keys: Part, kek: [u8; 32]) -> Self {
        let (kek, measured, erasing) = (Zeroizing::new(kek), Measured::default(), tokio::sync::Mutex::default());
        Self { contents, keys, kek, measured, erasing }
    }

    /// How often was done what since the vault was opened: operation (`seal`, `open`, `erase`), outcome (`ok`,
    /// `unknown`, `erased`, `corrupt`, `unavailable`), count.
    pub fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.measured.counts()
    }

    /// Seals contents into a new pack, durable on return.
    ///
    /// # Errors
    /// If the stores fail, or the system gives no random numbers.
    pub async fn seal(&self, contents: &[Vec<u8>]) -> Result<SealedPack, VaultError> {
        self.measured.count(Operation::Seal, self.seal_pack(contents).await)
    }

    async fn seal_pack(&self, contents: &[Vec<u8>]) -> Result<SealedPack, VaultError> {
        let pack: [u8; 16] = random()?;
        let mut sealed = SealedPack { pack, items: Vec::with_capacity(contents.len()) };
        let (mut bytes, mut entries) = (Vec::new(), Vec::with_capacity(contents.len()));
        for content in contents {
            let (salt, data_key, nonce) = (random::<32>()?, Zeroizing::new(random::<32>()?), random::<12>()?);
            let commitment: [u8; 32] = Sha256::new().chain_update(salt).chain_update(content).finalize().into();
            // The data key encrypts this content only, so that one nonce serves.
            let cipher = encrypt(&data_key, [0; 12], content)?;
            let mut wrapped = nonce.to_vec();
            wrapped.extend(encrypt(&self.kek, nonce, data_key.as_slice())?);
            entries.push(KeyEntry {
                commitment: commitment.to_vec(),
                salt: salt.to_vec(),
                wrapped,
                offset: bytes.len() as u64,
                length: cipher.len() as u64,
                fingerprint: self.fingerprint(content).to_vec(),
            });
            bytes.extend(cipher);
            sealed.items.push(SealedItem { commitment, salt });
        }
        self.contents.put(&pack, bytes).await?;
        self.keys.put(&pack, KeyPack { version: 1, entries }.encode_to_vec()).await?;
        Ok(sealed)
    }

    /// Opens one content and checks it against its commitment.
    ///
    /// # Errors
    /// If it is unknown, erased, altered, or the stores fail.
    pub async fn open_one(&self, pack: &[u8], commitment: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.measured.count(Operation::Open, self.open_content(pack, commitment).await)
    }

    async fn open_content(&self, pack: &[u8], commitment: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (keys, _) = self.key_pack(pack).await?;
        let unknown = || VaultError::Unknown { pack: hex::encode(pack), commitment: hex::encode(commitment) };
        let entry = keys.entries.iter().find(|e| e.commitment == commitment).ok_or_else(unknown)?;
        let range = entry.offset..entry.offset.saturating_add(entry.length);
        if entry.wrapped.is_empty() {
            return Err(VaultError::Erased { pack: hex::encode(pack), commitment: hex::encode(commitment) });
        }
        let bytes = match self.contents.get_range(pack, range).await {
            Err(VaultError::Unknown { .. }) => return Err(unknown()),
            bytes => bytes?,
        };
        self.decrypt(pack, entry, &bytes)
    }

    /// All contents of a pack, in order, in one read; each has an outcome of its own.
    async fn open_pack(&self, pack: &[u8]) -> Result<Vec<Opened>, VaultError> {
        let (keys, _) = self.key_pack(pack).await?;
        let (bytes, _) = self.contents.get(pack).await?;
        let open = |entry: KeyEntry| {
            let (from, to) = (entry.offset as usize, entry.offset.saturating_add(entry.length) as usize);
            let outcome = match bytes.get(from..to) {
                Some(cipher) => self.decrypt(pack, &entry, cipher),
                None => Err(VaultError::Corrupt { pack: hex::encode(pack) }),
            };
            (entry.commitment, outcome)
        };
        Ok(keys.entries.into_iter().map(open).collect())
    }

    /// The commitments of a pack's contents, in order.
    ///
    /// # Errors
    /// If the pack is unknown or its keys are damaged.
    pub async fn commitments(&self, pack: &[u8]) -> Result<Vec<Vec<u8>>, VaultError> {
        Ok(self.key_pack(pack).await?.0.entries.into_iter().map(|entry| entry.commitment).collect())
    }

    /// Opens contents in their order. A pack of which much is wanted is read whole, once.
    ///
    /// # Errors
    /// At the first that is unknown, erased or altered; if the stores fail.
    pub async fn open_all(&self, wanted: &[Sealed]) -> Result<Vec<Vec<u8>>, VaultError> {
        self.measured.count(Operation::Open, self.open_contents(wanted).await)
    }

    async fn open_contents(&self, wanted: &[Sealed]) -> Result<Vec<Vec<u8>>, VaultError> {
        let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
        for sealed in wanted {
            *counts.entry(&sealed.pack).or_default() += 1;
        }
        let mut packs: BTreeMap<&[u8], BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
        for (pack, _) in counts.into_iter().filter(|(_, count)| *count > WHOLE_PACK) {
            // One that is damaged or erased is an error only for whoever names it.
            let opened = self.open_pack(pack).await?;
            packs.insert(pack, opened.into_iter().filter_map(|(name, text)| Some((name, text.ok()?))).collect());
        }
        let mut contents = Vec::with_capacity(wanted.len());
        for sealed in wanted {
            let ready = packs.get(sealed.pack.as_slice()).and_then(|texts| texts.get(&sealed.commitment));
            contents.push(match ready {
                Some(content) => content.clone(),
                // Asked for alone, the vault says why it does not open.
                None => self.open_content(&sealed.pack, &sealed.commitment).await?,
            });
        }
        Ok(contents)
    }

    /// The salts of contents, in their order: whoever is given content and salt can check the commitment.
    ///
    /// # Errors
    /// At the first that is unknown or erased; if the stores fail.
    pub async fn salts(&self, wanted: &[Sealed]) -> Result<Vec<Vec<u8>>, VaultError> {
        let mut packs: BTreeMap<&[u8], KeyPack> = BTreeMap::new();
        let mut salts = Vec::with_capacity(wanted.len());
        for Sealed { pack, commitment } in wanted {
            if !packs.contains_key(pack.as_slice()) {
                packs.insert(pack, self.key_pack(pack).await?.0);
            }
            let entry = packs.get(pack.as_slice()).and_then(|p| p.entries.iter().find(|e| e.commitment == *commitment));
            let (pack, commitment) = (hex::encode(pack), hex::encode(commitment));
            match entry {
                Some(entry) if entry.salt.is_empty() => return Err(VaultError::Erased { pack, commitment }),
                Some(entry) => salts.push(entry.salt.clone()),
                None => return Err(VaultError::Unknown { pack, commitment }),
            }
        }
        Ok(salts)
    }

    /// The keyed fingerprints of a pack's contents; erased ones have none.
    ///
    /// # Errors
    /// If the pack is unknown or its keys are damaged.
    pub async fn fingerprints(&self, pack: &[u8]) -> Result<Vec<[u8; 16]>, VaultError> {
        let (keys, _) = self.measured.count(Operation::Open, self.key_pack(pack).await)?;
        Ok(keys.entries.iter().filter_map(|e| e.fingerprint.as_slice().try_into().ok()).collect())
    }

    /// The keyed fingerprint of a content: HMAC-SHA256 under a key derived from the key-encryption key, 16 bytes. The
    /// same content gives the same fingerprint in this vault only.
    pub fn fingerprint(&self, content: &[u8]) -> [u8; 16] {
        let derived = mac(&self.kek, b"attestune vault fingerprint v1");
        let mut short = [0; 16];
        short.copy_from_slice(&mac(&derived, content)[..16]);
        short
    }

    /// Erases contents of a pack: their salts and data keys go, a tombstone stays.
    ///
    /// # Errors
    /// If one is unknown, in which case none is erased; if the stores fail.
    pub async fn erase(&self, pack: &[u8], commitments: &[Vec<u8>]) -> Result<(), VaultError> {
        self.measured.count(Operation::Erase, self.erase_contents(pack, commitments).await)
    }

    async fn erase_contents(&self, pack: &[u8], commitments: &[Vec<u8>]) -> Result<(), VaultError> {
        let _one_at_a_time = self.erasing.lock().await;
        for _ in 0..ERASE_TRIES {
            let (mut keys, version) = self.key_pack(pack).await?;
            for commitment in commitments {
                let unknown = || VaultError::Unknown { pack: hex::encode(pack), commitment: hex::encode(commitment) };
                let entry = keys.entries.iter_mut().find(|e| e.commitment == *commitment).ok_or_else(unknown)?;
                (entry.salt, entry.wrapped, entry.fingerprint) = (Vec::new(), Vec::new(), Vec::new());
            }
            // Another machine may erase in the same pack: to write over what it wrote would bring keys back.
            if self.keys.replace(pack, keys.encode_to_vec(), version).await? {
                return Ok(());
            }
        }
        Err(VaultError::Unavailable(format!("pack {} is being erased from elsewhere: try again", hex::encode(pack))))
    }

    /// Erases those of a pack's contents that the vault holds. Answers how many it took; what it never held, or holds erased,
    /// is passed over.
    ///
    /// # Errors
    /// If the stores fail, or the pack's keys are damaged.
    pub async fn erase_known(&self, pack: &[u8], commitments: &[Vec<u8>]) -> Result<u64, VaultError> {
        let held = match self.held(pack, commitments).await {
            Err(VaultError::Unknown { .. }) => return Ok(0),
            held => held?,
        };
        if !held.is_empty() {
            self.erase(pack, &held).await?;
        }
        Ok(held.len() as u64)
    }

    /// How many of these contents the vault could still open.
    ///
    /// # Errors
    /// If the stores fail, or the pack's keys are damaged.
    pub async fn count_known(&self, pack: &[u8], commitments: &[Vec<u8>]) -> Result<u64, VaultError> {
        match self.held(pack, commitments).await {
            Err(VaultError::Unknown { .. }) => Ok(0),
            held => Ok(held?.len() as u64),
        }
    }

    async fn held(&self, pack: &[u8], commitments: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, VaultError> {
        let (keys, _) = self.key_pack(pack).await?;
        let held: BTreeSet<Vec<u8>> =
            keys.entries.into_iter().filter(|entry| !entry.wrapped.is_empty()).map(|entry| entry.commitment).collect();
        Ok(commitments.iter().filter(|commitment| held.contains(*commitment)).cloned().collect())
    }

    fn decrypt(&self, pack: &[u8], entry: &KeyEntry, cipher: &[u8]) -> Result<Vec<u8>, VaultError> {
        if entry.wrapped.is_empty() {
            let commitment = hex::encode(&entry.commitment);
            return Err(VaultError::Erased { pack: hex::encode(pack), commitment });
        }
        let corrupt = || VaultError::Corrupt { pack: hex::encode(pack) };
        let (nonce, wrapped) = entry.wrapped.split_first_chunk::<12>().ok_or_else(corrupt)?;
        let data_key = Zeroizing::new(decrypt(&self.kek, *nonce, wrapped).ok_or_else(corrupt)?);
        let data_key: Zeroizing<[u8; 32]> = Zeroizing::new(data_key.as_slice().try_into().map_err(|_| corrupt())?);
        let content = decrypt(&data_key, [0; 12], cipher).ok_or_else(corrupt)?;
        let commitment = Sha256::new().chain_update(&entry.salt).chain_update(&content).finalize();
        if commitment.as_slice() != entry.commitment {
            return Err(corrupt());
        }
        Ok(content)
    }

    async fn key_pack(&self, pack: &[u8]) -> Result<(KeyPack, UpdateVersion), VaultError> {
        let (bytes, version) = self.keys.get(pack).await?;
        let corrupt = || VaultError::Corrupt { pack: hex::encode(pack) };
        let keys = KeyPack::decode(bytes.as_slice()).map_err(|_| corrupt())?;
        if keys.version != 1 {
            return Err(corrupt());
        }
        Ok((keys, version))
    }
}

fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(unavailable)?;
    Ok(bytes)
}

fn encrypt(key: &[u8; 32], nonce: [u8; 12], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let cipher = Aes256Gcm::new_from_slice(key).map_err(unavailable)?;
    // The one way in which it fails: a content of 64 GiB.
    cipher.encrypt(&nonce.into(), plain).map_err(|_| VaultError::Unavailable("a content is too large".into()))
}

fn decrypt(key: &[u8; 32], nonce: [u8; 12], cipher: &[u8]) -> Option<Vec<u8>> {
    Aes256Gcm::new_from_slice(key).ok()?.decrypt(&nonce.into(), cipher).ok()
}

fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
