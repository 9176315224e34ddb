//! One of the vault's two stores: the contents, or the keys. Each request is bounded in time.

use super::error::{VaultError, failed, unavailable};
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion, local::LocalFileSystem,
    path::Path as ObjectPath,
};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A store of packs.
pub struct Part {
    pub store: Arc<dyn ObjectStore>,
    /// For messages; holds no credentials.
    pub name: String,
    /// The folder, if it is one, so that writes can be made durable.
    pub folder: Option<PathBuf>,
    /// The longest that one request may take.
    pub limit: Duration,
}

impl Part {
    /// A folder, made if there is none.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn folder(path: PathBuf, limit: Duration) -> Result<Self, VaultError> {
        let cannot = |why: &dyn std::fmt::Display| VaultError::Unavailable(format!("{}: {why}", path.display()));
        fs::create_dir_all(&path).map_err(|error| cannot(&error))?;
        let store = LocalFileSystem::new_with_prefix(&path).map_err(|error| cannot(&error))?;
        Ok(Self { store: Arc::new(store), name: path.display().to_string(), folder: Some(path), limit })
    }

    /// Waits for a request, no longer than the limit.
    ///
    /// # Errors
    /// If the limit passes.
    pub async fn within<T>(&self, request: impl Future<Output = T>) -> Result<T, VaultError> {
        tokio::time::timeout(self.limit, request).await.map_err(|_| {
            let (name, seconds) = (&self.name, self.limit.as_secs_f64());
            VaultError::Unavailable(format!("{name} gave no answer within {seconds} s; is it up, or overloaded?"))
        })
    }

    /// Lists what can't be there, to see whether the store answers, has the bucket and lets us in.
    ///
    /// # Errors
    /// If it does not.
    pub async fn probe(&self) -> Result<(), VaultError> {
        let listed = self.within(self.store.list_with_delimiter(Some(&ObjectPath::from("probe")))).await?;
        listed.map(drop).map_err(|error| failed(&self.name, &error))
    }

    /// A pack's bytes and their version.
    ///
    /// # Errors
    /// If there is no such pack, or the store fails.
    pub async fn get(&self, pack: &[u8]) -> Result<(Vec<u8>, UpdateVersion), VaultError> {
        let got = match self.within(self.store.get(&place(pack))).await? {
            Ok(got) => got,
            Err(error) => return Err(self.reading(pack, &error).await),
        };
        let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        let bytes = self.within(got.bytes()).await?.map_err(|error| failed(&self.name, &error))?;
        Ok((bytes.to_vec(), version))
    }

    /// Some of a pack's bytes.
    ///
    /// # Errors
    /// If there is no such pack, it is too short, or the store fails.
    pub async fn get_range(&self, pack: &[u8], range: Range<u64>) -> Result<Vec<u8>, VaultError> {
        let place = place(pack);
        match self.within(self.store.get_range(&place, range.clone())).await? {
            Ok(bytes) => Ok(bytes.to_vec()),
            // Out of range is reported in as many ways as there are stores.
            Err(error @ Error::Generic { .. }) => match self.within(self.store.head(&place)).await? {
                Ok(meta) if meta.size < range.end => Err(VaultError::Corrupt { pack: hex::encode(pack) }),
                _ => Err(failed(&self.name, &error)),
            },
            Err(error) => Err(self.reading(pack, &error).await),
        }
    }

    /// Writes a pack, durable on return.
    ///
    /// # Errors
    /// If the store fails. The pack may be there all the same, whole.
    pub async fn put(&self, pack: &[u8], bytes: Vec<u8>) -> Result<(), VaultError> {
        let put = self.within(self.store.put(&place(pack), PutPayload::from(bytes))).await?;
        put.map_err(|error| failed(&self.name, &error))?;
        self.sync(pack)
    }

    /// Writes a pack where there is none; false if there is one by now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn create(&self, pack: &[u8], bytes: Vec<u8>) -> Result<bool, VaultError> {
        if self.folder.is_some() {
            return self.put(pack, bytes).await.map(|()| true);
        }
        let place = place(pack);
        let create = self.store.put_opts(&place, PutPayload::from(bytes), PutMode::Create.into());
        match self.within(create).await? {
            Ok(_) => Ok(true),
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed(&self.name, &error)),
        }
    }

    /// Takes a pack away; none is no error.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete(&self, pack: &[u8]) -> Result<(), VaultError> {
        match self.within(self.store.delete(&place(pack))).await? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&self.name, &error)),
        }
    }

    /// Writes a pack over the version that was read; false if there is another by now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn replace(&self, pack: &[u8], bytes: Vec<u8>, read: UpdateVersion) -> Result<bool, VaultError> {
        if self.folder.is_some() {
            // A folder belongs to one process, and that lets one after the other in.
            return self.put(pack, bytes).await.map(|()| true);
        }
        let place = place(pack);
        let update = self.store.put_opts(&place, PutPayload::from(bytes), PutMode::Update(read).into());
        match self.within(update).await? {
            Ok(_) => Ok(true),
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed(&self.name, &error)),
        }
    }

    fn sync(&self, pack: &[u8]) -> Result<(), VaultError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let sync = |path: &Path| fs::File::open(path).and_then(|f| f.sync_all());
        sync(&folder.join(hex::encode(pack))).and_then(|()| sync(folder)).map_err(unavailable)
    }

    /// Why a pack can't be read. That it never was is said only of a bucket that is there.
    async fn reading(&self, pack: &[u8], error: &Error) -> VaultError {
        match error {
            Error::NotFound { .. } => match self.probe().await {
                Ok(()) => VaultError::Unknown { pack: hex::encode(pack), commitment: "any".into() },
                Err(gone) => gone,
            },
            other => failed(&self.name, other),
        }
    }
}

fn place(pack: &[u8]) -> ObjectPath {
    ObjectPath::from(hex::encode(pack))
}
