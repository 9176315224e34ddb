//! The one path to a ledger: a channel to a server, to the folder's running `up`, or to a gateway in this process.

use crate::{
    context::{Context, Signer},
    folder::Folder,
    problem,
    session::Session,
};
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use tonic::transport::{Channel, Endpoint, Uri};

/// Connects; the signer, if there is one, signs acts and access tokens. A folder that is opened for it stays open until
/// [`Context::close`].
///
/// # Errors
/// If nobody answers, or the ledger is not the one that the folder is pinned to.
pub async fn connect(context: &Context, signer: Option<Signer>) -> anyhow::Result<Session> {
    if let Some(url) = context.server() {
        let channel = to_server(url).await?;
        return Session::open(channel, signer, None, None).await;
    }
    let folder = context.folder();
    let pin = folder.ledger()?.id()?;
    if let Some(channel) = running(&folder).await {
        return Session::open(channel, signer, Some(pin), None).await;
    }
    let local = context.opened(&folder, pin).await?;
    Session::open(local.channel.clone(), signer, Some(pin), Some(local)).await
}

/// The channel to the folder's running `up`, if one answers.
pub async fn running(folder: &Folder) -> Option<Channel> {
    let socket = folder.socket();
    if !socket.exists() {
        return None;
    }
    to_socket(&socket).await.ok()
}

async fn to_server(url: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| {
        problem::cannot(format!("`{url}` is no address of a server"), "for instance: --server http://127.0.0.1:7400")
    })?;
    endpoint.connect().await.map_err(|error| {
        problem::cannot(format!("no server answers at {url}: {}", root_cause(&error)), "start it: `attestune up`")
    })
}

/// The channel to a gateway on a Unix socket.
pub async fn to_socket(path: &Path) -> anyhow::Result<Channel> {
    let path: PathBuf = path.to_owned();
    // The address is never looked at: the connector goes to the socket.
    let endpoint = Endpoint::from_static("http://attestune.sock");
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Ok(endpoint.connect_with_connector(connector).await?)
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
