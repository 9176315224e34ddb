//! What every command may be told: where the ledger is, who acts, how to answer.

use crate::{connect, folder::Folder, local::Local, problem, session::Session};
use attestune_ledger::{envelope::SigningKey, keyfile::KeyFile};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Mutex;

/// Options of every command. Their ids have a prefix, as clap would else take them for a command's own of that name.
#[derive(clap::Args, Clone)]
pub struct Context {
    /// The ledger's folder
    #[arg(
        id = "context.folder",
        long = "folder",
        global = true,
        env = "ATTESTUNE_FOLDER",
        default_value = "attestune-ledger",
        value_name = "FOLDER"
    )]
    folder: PathBuf,
    /// A server to talk to instead of the folder, for instance http://127.0.0.1:7400
    #[arg(id = "context.server", long = "server", global = true, env = "ATTESTUNE_SERVER", value_name = "URL")]
    server: Option<String>,
    /// Who acts
    #[arg(id = "context.as", long = "as", global = true, env = "ATTESTUNE_ACTOR", value_name = "ACTOR")]
    actor: Option<String>,
    /// The actor's key file, instead of FOLDER/keys/ACTOR.key
    #[arg(id = "context.key", long = "key", global = true, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Answer in JSON
    #[arg(id = "context.json", long = "json", global = true)]
    pub json: bool,
    /// The folder opened inside this process, once a command needed that.
    #[arg(skip)]
    opened: Arc<Mutex<Option<Arc<Local>>>>,
}

/// Who acts, with the key to sign.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The actor's name.
    pub actor: String,
    /// The actor's key.
    pub key: SigningKey,
}

impl Context {
    /// The ledger's folder.
    pub fn folder(&self) -> Folder {
        Folder::new(&self.folder)
    }

    /// The server named on the command line.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The key file named with `--key`.
    pub fn key_file(&self) -> Option<PathBuf> {
        self.key.clone()
    }

    /// Whether `--as` names who acts.
    pub fn acts(&self) -> bool {
        self.actor.is_some()
    }

    /// Connects as the actor named, or, for answers that need no person, as the folder's own gateway: whoever can read
    /// its key has the folder anyway. A server elsewhere is asked by an actor only.
    pub async fn connect(&self) -> anyhow::Result<Session> {
        let signer = match (&self.actor, &self.server) {
            (Some(_), _) => self.signer()?,
            (None, None) => self.gateway_signer()?,
            (None, Some(url)) => {
                return Err(problem::cannot(
                    format!("nobody is named to ask {url}"),
                    "say who asks: --as ACTOR (and --key FILE), or set ATTESTUNE_ACTOR",
                ));
            }
        };
        connect::connect(self, Some(signer)).await
    }

    /// Connects without a key, for what needs no token: appending what was signed before.
    pub async fn connect_unsigned(&self) -> anyhow::Result<Session> {
        connect::connect(self, None).await
    }

    /// Connects as the actor named; for acts and for reading texts.
    pub async fn connect_as_actor(&self) -> anyhow::Result<Session> {
        let signer = self.signer()?;
        connect::connect(self, Some(signer)).await
    }

    /// The actor named with `--as`, with the key.
    pub fn signer(&self) -> anyhow::Result<Signer> {
        let Some(actor) = &self.actor else {
            return Err(problem::cannot(
                "nobody is named to sign this",
                "say who acts: --as ACTOR, or set ATTESTUNE_ACTOR",
            ));
        };
        let path = self.key.clone().unwrap_or_else(|| self.folder().key(actor));
        Ok(Signer { actor: actor.clone(), key: load_key(&path)? })
    }

    /// A further signer, written `ACTOR` or `ACTOR=KEYFILE`.
    pub fn other_signer(&self, text: &str) -> anyhow::Result<Signer> {
        let (actor, path) = match text.split_once('=') {
            Some((actor, path)) => (actor, PathBuf::from(path)),
            None => (text, self.folder().key(text)),
        };
        Ok(Signer { actor: actor.to_owned(), key: load_key(&path)? })
    }

    /// The folder opened inside this process, once for all sessions of a command.
    ///
    /// # Errors
    /// Those of [`Local::open`].
    pub async fn opened(&self, folder: &Folder, pin: [u8; 32]) -> anyhow::Result<Arc<Local>> {
        let mut opened = self.opened.lock().await;
        if let Some(local) = opened.as_ref() {
            return Ok(local.clone());
        }
        let local = Arc::new(Local::open(folder, Some(pin)).await?);
        *opened = Some(local.clone());
        Ok(local)
    }

    /// Closes the folder if it was opened inside this process. Sessions must have ended.
    pub async fn close(&self) {
        let Some(local) = self.opened.lock().await.take() else { return };
        let closed = match Arc::into_inner(local) {
            Some(local) => local.close().await,
            None => Err(anyhow::anyhow!("a session goes on, so the folder is open until this process ends")),
        };
        if let Err(error) = closed {
            tracing::warn!("{error:#}");
        }
    }

    fn gateway_signer(&self) -> anyhow::Result<Signer> {
        let folder = self.folder();
        folder.ledger()?;
        Ok(Signer { actor: "gateway".into(), key: load_key(&folder.server_key("gateway"))? })
    }
}

/// Loads a private key from its file.
///
/// # Errors
/// If there is none, or it is open to others.
pub fn load_key(path: &Path) -> anyhow::Result<SigningKey> {
    if !path.exists() {
        return Err(problem::cannot(
            format!("there is no key file {}", path.display()),
            "make one with `attestune key new ACTOR`, or name it with --key FILE",
        ));
    }
    KeyFile::load(path)
        .map_err(|error| problem::cannot(error.to_string(), "a key file must belong to you alone: chmod 600"))
}
