//! The vault: contents, encrypted, in packs of one batch; and, apart from them, the key store.
//!
//! ```text
//! contents/PACK   the ciphertexts, one after the other (AES-256-GCM, data key used once, nonce of zeros)
//! keys/PACK       a protobuf message `KeyPack`: for each content its commitment, salt, wrapped data key, place
//! kek             the ledger's key-encryption key, 32 bytes, mode 0600 (folders only)
//! ```
//!
//! PACK is 32 hex digits. A commitment is `SHA-256(salt ‖ content)` with a salt of 32 random bytes. Erasing a content
//! takes salt and data key out of its key pack; a tombstone tells it from one that never was. Text never reaches an
//! error, a log line or a `Debug` form.

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::Aead as _};
use attestune_proto::v1::Sealed;
use hmac::{Hmac, Mac as _};
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, local::LocalFileSystem, path::Path as ObjectPath};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Contents of one pack from which on the pack is read whole.
const WHOLE_PACK: usize = 8;

/// Why the vault could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no such pack or content.
    #[error("the vault holds no content {commitment} in pack {pack}")]
    Unknown {
        /// The pack, hex.
        pack: String,
        /// The commitment, hex.
        commitment: String,
    },
    /// It was erased.
    #[error("content {commitment} in pack {pack} was erased")]
    Erased {
        /// The pack, hex.
        pack: String,
        /// The commitment, hex.
        commitment: String,
    },
    /// A pack was altered, or belongs to another key-encryption key.
    #[error("pack {pack} does not open: it was altered, or sealed under another key; restore it from a backup")]
    Corrupt {
        /// The pack, hex.
        pack: String,
    },
    /// The key-encryption key's file is missing, malformed or readable by others.
    #[error("the vault's key {}: {what}", path.display())]
    Kek {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// The object store failed.
    #[error("the vault can't be reached: {0}")]
    Unavailable(String),
}

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

/// A vault on two object stores.
pub struct Vault {
    contents: Arc<dyn ObjectStore>,
    keys: Arc<dyn ObjectStore>,
    kek: Zeroizing<[u8; 32]>,
    /// Where the stores are folders: their root, so that writes can be made durable.
    root: Option<PathBuf>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} and {})", self.contents, self.keys)
    }
}

impl Vault {
    /// A vault on two stores under a key-encryption key.
    pub fn new(contents: Arc<dyn ObjectStore>, keys: Arc<dyn ObjectStore>, kek: [u8; 32]) -> Self {
        Self { contents, keys, kek: Zeroizing::new(kek), root: None }
    }

    /// The vault in a folder, made if there is none.
    ///
    /// # Errors
    /// If the folder can't be written, or its key is malformed or readable by others.
    pub async fn open_folder(dir: &Path) -> Result<Self, VaultError> {
        let io = |error: std::io::Error| VaultError::Unavailable(format!("{}: {error}", dir.display()));
        for part in ["contents", "keys"] {
            fs::create_dir_all(dir.join(part)).map_err(io)?;
        }
        let kek = read_or_make_kek(&dir.join("kek"), dir)?;
        let store = |part: &str| LocalFileSystem::new_with_prefix(dir.join(part)).map_err(unavailable);
        let (contents, keys) = (Arc::new(store("contents")?), Arc::new(store("keys")?));
        Ok(Self { contents, keys, kek: Zeroizing::new(kek), root: Some(dir.into()) })
    }

    /// Seals contents into a new pack, durable on return.
    ///
    /// # Errors
    /// If the stores fail, or the system gives no random numbers.
    pub async fn seal(&self, contents: &[Vec<u8>]) -> Result<SealedPack, VaultError> {
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
        self.put("contents", &self.contents, &pack, bytes).await?;
        self.put("keys", &self.keys, &pack, KeyPack { version: 1, entries }.encode_to_vec()).await?;
        Ok(sealed)
    }

    /// Opens one content and checks it against its commitment.
    ///
    /// # Errors
    /// If it is unknown, erased, altered, or the stores fail.
    pub async fn open_one(&self, pack: &[u8], commitment: &[u8]) -> Result<Vec<u8>, VaultError> {
        let keys = self.key_pack(pack).await?;
        let unknown = || VaultError::Unknown { pack: hex::encode(pack), commitment: hex::encode(commitment) };
        let entry = keys.entries.iter().find(|e| e.commitment == commitment).ok_or_else(unknown)?;
        let range = entry.offset..entry.offset.saturating_add(entry.length);
        let corrupt = || VaultError::Corrupt { pack: hex::encode(pack) };
        if entry.wrapped.is_empty() {
            return Err(VaultError::Erased { pack: hex::encode(pack), commitment: hex::encode(commitment) });
        }
        let bytes = self.contents.get_range(&place(pack), range).await;
        let bytes = bytes.map_err(|error| match error {
            object_store::Error::NotFound { .. } => unknown(),
            object_store::Error::Generic { .. } => corrupt(),
            other => unavailable(other),
        })?;
        self.decrypt(pack, entry, &bytes)
    }

    /// Opens all contents of a pack, in order, in one read.
    ///
    /// # Errors
    /// If the pack is unknown or its keys are damaged; each content has an outcome of its own.
    #[allow(clippy::type_complexity)]
    pub async fn open_pack(&self, pack: &[u8]) -> Result<Vec<(Vec<u8>, Result<Vec<u8>, VaultError>)>, VaultError> {
        let keys = self.key_pack(pack).await?;
        let bytes = self.get(&self.contents, pack).await?;
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
        Ok(self.key_pack(pack).await?.entries.into_iter().map(|entry| entry.commitment).collect())
    }

    /// Opens contents in their order. A pack of which much is wanted is read whole, once.
    ///
    /// # Errors
    /// At the first that is unknown, erased or altered; if the stores fail.
    pub async fn open_all(&self, wanted: &[Sealed]) -> Result<Vec<Vec<u8>>, VaultError> {
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
                None => self.open_one(&sealed.pack, &sealed.commitment).await?,
            });
        }
        Ok(contents)
    }

    /// The keyed fingerprints of a pack's contents; erased ones have none.
    ///
    /// # Errors
    /// If the pack is unknown or its keys are damaged.
    pub async fn fingerprints(&self, pack: &[u8]) -> Result<Vec<[u8; 16]>, VaultError> {
        let keys = self.key_pack(pack).await?;
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
        let mut keys = self.key_pack(pack).await?;
        for commitment in commitments {
            let unknown = || VaultError::Unknown { pack: hex::encode(pack), commitment: hex::encode(commitment) };
            let entry = keys.entries.iter_mut().find(|e| e.commitment == *commitment).ok_or_else(unknown)?;
            (entry.salt, entry.wrapped, entry.fingerprint) = (Vec::new(), Vec::new(), Vec::new());
        }
        self.put("keys", &self.keys, pack, keys.encode_to_vec()).await
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

    async fn key_pack(&self, pack: &[u8]) -> Result<KeyPack, VaultError> {
        let bytes = self.get(&self.keys, pack).await?;
        let corrupt = || VaultError::Corrupt { pack: hex::encode(pack) };
        let keys = KeyPack::decode(bytes.as_slice()).map_err(|_| corrupt())?;
        if keys.version != 1 {
            return Err(corrupt());
        }
        Ok(keys)
    }

    async fn get(&self, store: &Arc<dyn ObjectStore>, pack: &[u8]) -> Result<Vec<u8>, VaultError> {
        let got = store.get(&place(pack)).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => {
                VaultError::Unknown { pack: hex::encode(pack), commitment: "any".into() }
            }
            other => unavailable(other),
        })?;
        Ok(got.bytes().await.map_err(unavailable)?.to_vec())
    }

    async fn put(
        &self,
        part: &str,
        store: &Arc<dyn ObjectStore>,
        pack: &[u8],
        bytes: Vec<u8>,
    ) -> Result<(), VaultError> {
        store.put(&place(pack), PutPayload::from(bytes)).await.map_err(unavailable)?;
        let Some(root) = &self.root else { return Ok(()) };
        let folder = root.join(part);
        let file = folder.join(hex::encode(pack));
        let sync = |path: &Path| fs::File::open(path).and_then(|f| f.sync_all());
        sync(&file).and_then(|()| sync(&folder)).map_err(unavailable)
    }
}

fn place(pack: &[u8]) -> ObjectPath {
    ObjectPath::from(hex::encode(pack))
}

fn unavailable(error: impl std::fmt::Display) -> VaultError {
    VaultError::Unavailable(error.to_string())
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

fn read_or_make_kek(path: &Path, dir: &Path) -> Result<[u8; 32], VaultError> {
    let kek = |what: String| VaultError::Kek { path: path.into(), what };
    if !path.exists() {
        let holds = fs::read_dir(dir.join("keys")).is_ok_and(|mut packs| packs.next().is_some());
        if holds {
            return Err(kek("it is missing, but there are packs sealed under it: restore it from a backup".into()));
        }
        let bytes: [u8; 32] = random()?;
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.map_err(|error| kek(error.to_string()))?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        written.map_err(|error| {
            // Half a key would stand in the way of the next try.
            let _ = fs::remove_file(path);
            kek(error.to_string())
        })?;
        return Ok(bytes);
    }
    let mode = fs::metadata(path).map_err(|error| kek(error.to_string()))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(kek(format!("has mode {mode:03o}, others could read it: run `chmod 600`")));
    }
    let bytes = fs::read(path).map_err(|error| kek(error.to_string()))?;
    bytes.try_into().map_err(|_| kek("is not 32 bytes: restore it from a backup".into()))
}

#[cfg(test)]
mod tests;
