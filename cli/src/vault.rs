//! Which vault a process opens: the one that a URL names, or a ledger folder's: its own, or the one it noted.
//!
//! A folder whose texts lie elsewhere notes the URL in `vault.url`, so that every command finds them. Credentials are not
//! in there: they come from the environment, or from the file that `ATTESTUNE_VAULT_SETTINGS` names.

use crate::{folder, folder::Folder, problem};
use attestune_ledger::vault::{Settings, Vault};
use std::path::PathBuf;
use std::sync::Arc;

/// Opens the vault at a URL, with the settings of the environment.
///
/// # Errors
/// If it can't be opened, with the reason.
pub async fn open(url: &str) -> anyhow::Result<Arc<Vault>> {
    let opened = async { Vault::open(url, &Settings::from_env()?).await };
    let opened =
        opened.await.map_err(|error| problem::cannot(error.to_string(), "docs/vault.md lists the settings"))?;
    Ok(Arc::new(opened))
}

/// Opens the vault of a ledger's folder.
///
/// # Errors
/// If it can't be opened, with the reason.
pub async fn of_folder(folder: &Folder) -> anyhow::Result<Arc<Vault>> {
    match noted(folder)? {
        Some(url) => open(&url).await,
        None => Ok(Arc::new(Vault::open_folder(&folder.vault()).await?)),
    }
}

/// Makes the vault at a URL the folder's, once it has been seen to open.
///
/// # Errors
/// If it does not open, or the folder's texts lie elsewhere already.
pub async fn note(folder: &Folder, url: &str) -> anyhow::Result<()> {
    let elsewhere = |place: String| {
        let way_out = "docs/vault.md says how to move a vault; nothing was changed";
        problem::cannot(format!("the texts of this ledger lie in {place}, not in {url}"), way_out)
    };
    match noted(folder)? {
        Some(noted) if noted == url => return Ok(()),
        Some(noted) => return Err(elsewhere(noted)),
        None => {}
    }
    let packs = folder.vault().join("keys");
    if std::fs::read_dir(packs).is_ok_and(|mut packs| packs.next().is_some()) {
        return Err(elsewhere(folder.vault().display().to_string()));
    }
    open(url).await?;
    folder::replace(&path(folder), format!("{url}\n").as_bytes())
}

fn path(folder: &Folder) -> PathBuf {
    folder.path().join("vault.url")
}

fn noted(folder: &Folder) -> anyhow::Result<Option<String>> {
    folder::line_in(&path(folder))
}
