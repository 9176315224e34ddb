//! The key-encryption key: 32 bytes in a file of mode 0600, never in the object store.

use super::error::{VaultError, failed};
use super::part::Part;
use super::{mac, random};
use object_store::{ObjectStoreExt as _, PutMode, PutPayload, path::Path as ObjectPath};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The object in the key store that tells one key-encryption key from another.
const CHECK: &str = "kek-check";

/// The key in a file that must be there.
///
/// # Errors
/// If it is not, or is malformed or open to others.
pub fn read(path: &Path) -> Result<[u8; 32], VaultError> {
    if !path.exists() {
        let make = format!("is missing; make one: (umask 077; head -c 32 /dev/urandom > {})", path.display());
        return Err(VaultError::Kek { path: path.into(), what: make });
    }
    read_closed(path)
}

/// The key of a vault in a folder, made with the folder's first use.
///
/// # Errors
/// If it is malformed or open to others, or is missing though packs are there.
pub fn read_or_make(path: &Path, packs: &Path) -> Result<[u8; 32], VaultError> {
    let kek = |what: String| VaultError::Kek { path: path.into(), what };
    if path.exists() {
        return read_closed(path);
    }
    if fs::read_dir(packs).is_ok_and(|mut packs| packs.next().is_some()) {
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
    Ok(bytes)
}

fn read_closed(path: &Path) -> Result<[u8; 32], VaultError> {
    let kek = |what: String| VaultError::Kek { path: path.into(), what };
    let mode = fs::metadata(path).map_err(|error| kek(error.to_string()))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(kek(format!("has mode {mode:03o}, others could read it: run `chmod 600`")));
    }
    let bytes = fs::read(path).map_err(|error| kek(error.to_string()))?;
    bytes.try_into().map_err(|_| kek("is not 32 bytes: restore it from a backup".into()))
}

/// Compares a key with the one that the key store was begun with; the first to come leaves its mark.
///
/// Machines that share a vault bring a copy of the key each: with another one they would seal what nobody else opens.
///
/// # Errors
/// If it is another key, or the store fails.
pub async fn compare(keys: &Part, kek: &[u8; 32], path: &Path) -> Result<(), VaultError> {
    let ours = mac(kek, b"attestune vault kek check v1");
    let place = ObjectPath::from(CHECK);
    let found = match keys.within(keys.store.get(&place)).await? {
        Err(object_store::Error::NotFound { .. }) => {
            let mark = PutPayload::from(ours.to_vec());
            match keys.within(keys.store.put_opts(&place, mark, PutMode::Create.into())).await? {
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    keys.within(keys.store.get(&place)).await?.map_err(|error| failed(&keys.name, &error))?
                }
                Err(error) => return Err(failed(&keys.name, &error)),
                Ok(_) => return Ok(()),
            }
        }
        found => found.map_err(|error| failed(&keys.name, &error))?,
    };
    let theirs = keys.within(found.bytes()).await?.map_err(|error| failed(&keys.name, &error))?;
    if theirs.as_ref() != ours {
        let what = format!("is not the key that {} was begun with: bring that one", keys.name);
        return Err(VaultError::Kek { path: path.into(), what });
    }
    Ok(())
}
