//! `attestune backup` and `restore`: log, vault and the server's keys of a folder.
//!
//! ```text
//! ledger.json    the ledger's name, id and checkpoint key
//! log.export     the log with its verdicts and checkpoints, as `log export` writes it
//! server/        the server's private keys, mode 0600
//! models.json    where base models lay
//! pii/           what its worker looks for, where that is not the default
//! vault.url      where the vault lies, if that is elsewhere; then nothing of it is here
//! contents/      the vault's ciphertexts
//! key-store/     the vault's key store: the part that must expire
//! kek            the key-encryption key, only with --with-kek
//! ```
//!
//! The log is taken first: whatever it names is in the vault by then. People's own keys are theirs to keep.

use crate::{
    context::Context,
    folder::{self, Folder},
    log::{self, Export},
    output, problem, restore, verify,
};
use anyhow::Context as _;
use attestune_ledger::store::{Options, Store};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Entries written at a time.
const ENTRIES: usize = 4096;

#[derive(clap::Args)]
pub struct BackupArgs {
    /// A folder that does not exist yet
    to: PathBuf,
    /// Put the vault's key-encryption key in, too: then whoever has the backup reads all texts
    #[arg(long)]
    with_kek: bool,
}

#[derive(clap::Args)]
pub struct RestoreArgs {
    /// The backup; it is restored into --folder, which must not hold a ledger
    from: PathBuf,
    /// The key-encryption key's file, where the backup does not hold it
    #[arg(long, value_name = "FILE")]
    kek: Option<PathBuf>,
}

/// Takes a backup, beside a running `up` or without one.
pub async fn backup(context: &Context, args: &BackupArgs) -> anyhow::Result<()> {
    let folder = context.folder();
    folder.ledger()?;
    fs::create_dir(&args.to).map_err(|error| {
        problem::cannot(format!("cannot make {}: {error}", args.to.display()), "name a folder that does not exist yet")
    })?;
    let session = context.connect().await?;
    let entries = log::export_to(&session, &args.to.join("log.export")).await?;
    let mut files = 0;
    files += copy(&folder.path().join("ledger.json"), &args.to.join("ledger.json"))?;
    files += copy_set_up(folder.path(), &args.to)?;
    let elsewhere = folder::line_in(&folder.path().join("vault.url"))?;
    if elsewhere.is_none() {
        // Contents before keys: a pack whose keys are in the backup has its contents there.
        let keys = list(&folder.vault().join("keys"))?;
        files += copy_all(&folder.vault().join("contents"), &args.to.join("contents"))?;
        fs::create_dir(args.to.join("key-store"))?;
        for path in keys {
            let Some(name) = path.file_name() else { continue };
            files += copy(&path, &args.to.join("key-store").join(name))?;
        }
        if args.with_kek {
            files += copy(&folder.vault().join("kek"), &args.to.join("kek"))?;
        }
    }
    if context.json {
        return output::value(&serde_json::json!({
            "to": args.to, "entries": entries, "files": files, "vault": elsewhere,
        }));
    }
    println!("{entries} entries and {files} files are in {}", args.to.display());
    match elsewhere {
        Some(url) => println!("the vault is not among them: it is at {url}, back it up there (docs/vault.md)"),
        None if args.with_kek => {
            println!("the key-encryption key is among them: whoever has the backup reads all texts")
        }
        None => println!("keep a copy of {} apart: without it no text opens", folder.vault().join("kek").display()),
    }
    println!(
        "let {} expire: until then, texts erased meanwhile could be brought back",
        args.to.join("key-store").display()
    );
    Ok(())
}

/// Restores a backup into a folder without a ledger, and compares its heads with the signed ones.
pub async fn restore(context: &Context, args: &RestoreArgs) -> anyhow::Result<()> {
    let (folder, args_from, kek) = (context.folder(), args.from.clone(), args.kek.clone());
    if folder.exists() || folder.db().exists() {
        return Err(problem::cannot(
            format!("there is a ledger in {} already", folder.path().display()),
            "name another folder with --folder: a ledger is never overwritten",
        ));
    }
    let size = tokio::task::spawn_blocking(move || into(&folder, &args_from, kek.as_deref())).await??;
    let folder = context.folder();
    if context.json {
        return output::value(&serde_json::json!({ "folder": folder.path(), "entries": size }));
    }
    println!("{size} entries are in {}, verified against the signed checkpoints", folder.path().display());
    println!(
        "start `attestune up` before anybody reads: it erases again what was erased after the backup of the key store"
    );
    Ok(())
}

fn into(folder: &Folder, from: &Path, kek: Option<&Path>) -> anyhow::Result<u64> {
    let ledger = Folder::new(from).ledger().map_err(|_| {
        problem::cannot(format!("{} is no backup", from.display()), "make one: `attestune backup FOLDER`")
    })?;
    let export = from.join("log.export");
    let key = folder::hash(&ledger.checkpoint_key)?;
    verify::verify_export(&export, Some(ledger.id()?), Some(key))?;
    fs::create_dir_all(folder.path()).with_context(|| format!("cannot make the folder {}", folder.path().display()))?;
    folder.begin(&ledger)?;
    copy_set_up(from, folder.path())?;
    if from.join("contents").exists() {
        copy_all(&from.join("contents"), &folder.vault().join("contents"))?;
        copy_all(&from.join("key-store"), &folder.vault().join("keys"))?;
        let kek = kek.map_or_else(|| from.join("kek"), Path::to_owned);
        if !kek.exists() {
            return Err(problem::cannot(
                format!("{} is not there, and without the key-encryption key no text opens", kek.display()),
                "name its file with --kek",
            ));
        }
        copy(&kek, &folder.vault().join("kek"))?;
    }
    let store = Store::open(folder.db(), &Options::default())?;
    let size = write(&store, Export::open(&export)?)?;
    let (head, _) = restore::fold(&store, restore::own_key(folder, "checkpoint")?, Some(ledger.id()?))?;
    anyhow::ensure!(head.size == size, "{} of {size} entries were folded", head.size);
    folder.finish()?;
    Ok(size)
}

/// Writes an export's entries, times and all.
fn write(store: &Store, mut export: Export) -> anyhow::Result<u64> {
    let mut size = 0;
    loop {
        let mut batch = store.batch();
        let mut count = 0;
        while count < ENTRIES
            && let Some(entry) = export.next()?
        {
            anyhow::ensure!(entry.position == size, "entry {size} is missing in the export");
            batch.put_entry(entry.position, entry.time_ms, &entry.value);
            size += 1;
            count += 1;
        }
        store.write(batch, true)?;
        if count == 0 {
            return Ok(size);
        }
    }
}

/// How a server is set up: where it finds things, what it looks for, and its keys.
fn copy_set_up(from: &Path, to: &Path) -> anyhow::Result<usize> {
    let mut files = copy_all(&from.join("server"), &to.join("server"))?;
    if from.join("pii").exists() {
        files += copy_all(&from.join("pii"), &to.join("pii"))?;
    }
    for name in ["models.json", "vault.url"] {
        if from.join(name).exists() {
            files += copy(&from.join(name), &to.join(name))?;
        }
    }
    Ok(files)
}

fn list(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", folder.display());
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn copy_all(from: &Path, to: &Path) -> anyhow::Result<usize> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut files = 0;
    for path in list(from)? {
        let Some(name) = path.file_name() else { continue };
        files += copy(&path, &to.join(name))?;
    }
    Ok(files)
}

/// Copies a file with its mode; durable on return.
fn copy(from: &Path, to: &Path) -> anyhow::Result<usize> {
    let cannot = || format!("cannot copy {} to {}", from.display(), to.display());
    fs::copy(from, to).with_context(cannot)?;
    fs::File::open(to).and_then(|file| file.sync_all()).with_context(cannot)?;
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_set_up_as_before_by_what_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (of, backup, back) = (folder.path().join("of"), folder.path().join("backup"), folder.path().join("back"));
        let files = ["server/gateway.key", "pii/config.yaml", "pii/recognizers.yaml", "models.json", "vault.url"];
        for name in files {
            fs::create_dir_all(of.join(name).parent().unwrap()).unwrap();
            fs::write(of.join(name), name).unwrap();
        }
        for (from, to) in [(&of, &backup), (&backup, &back)] {
            assert_eq!(copy_set_up(from, to).unwrap(), files.len());
        }
        for name in files {
            assert_eq!(fs::read_to_string(back.join(name)).unwrap(), name);
        }
    }
}
