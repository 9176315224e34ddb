//! Listening: a Unix socket, a loopback port, or a channel inside the process.

use crate::Gateway;
use crate::services::routes;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::{Channel, Endpoint, Server, Uri};

/// Why a gateway could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Plain text leaves this machine.
    #[error(
        "{0} is not a loopback address: plain text is served on loopback and Unix sockets only; put a TLS proxy before it"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken or not allowed.
    #[error("can't listen on {place}: {cause}; is another `attestune up` running?")]
    Listen {
        /// The address or path.
        place: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The server ended.
    #[error("the server ended: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Reflection could not be set up.
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Serves on a Unix socket until told to stop.
///
/// # Errors
/// If the socket can't be made.
pub async fn serve_uds(gateway: Gateway, path: PathBuf, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
    let listener = listen_uds(&path)?;
    let routes = routes(gateway).await?;
    Server::builder()
        .add_routes(routes)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stopped(stop))
        .await?;
    Ok(())
}

fn listen_uds(path: &Path) -> Result<UnixListener, ServeError> {
    UnixListener::bind(path).map_err(|cause| ServeError::Listen { place: path.display().to_string(), cause })
}

/// Serves plain text on a loopback address until told to stop.
///
/// # Errors
/// If the address is not loopback, or taken.
pub async fn serve_tcp(gateway: Gateway, addr: SocketAddr, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
    if !addr.ip().is_loopback() {
        return Err(ServeError::NotLoopback(addr));
    }
    let listener =
        TcpListener::bind(addr).await.map_err(|cause| ServeError::Listen { place: addr.to_string(), cause })?;
    let routes = routes(gateway).await?;
    Server::builder()
        .tcp_nodelay(true)
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped(stop))
        .await?;
    Ok(())
}

/// Serves inside this process; the server ends with the last clone of the channel.
///
/// # Errors
/// If the channel can't be made.
pub async fn serve_in_process(gateway: Gateway) -> Result<Channel, ServeError> {
    let routes = routes(gateway).await?;
    let (connections, incoming) = tokio::sync::mpsc::unbounded_channel::<Result<UnixStream, std::io::Error>>();
    let incoming = tokio_stream::wrappers::UnboundedReceiverStream::new(incoming);
    tokio::spawn(async move {
        if let Err(error) = Server::builder().add_routes(routes).serve_with_incoming(incoming).await {
            tracing::error!(%error, "the server inside the process ended");
        }
    });
    let connector = tower::service_fn(move |_: Uri| {
        let connections = connections.clone();
        async move {
            let (here, there) = UnixStream::pair()?;
            let gone = |_| std::io::Error::other("the server inside the process has ended");
            connections.send(Ok(there)).map_err(gone)?;
            Ok::<_, std::io::Error>(TokioIo::new(here))
        }
    });
    // The address is never looked at.
    Ok(Endpoint::from_static("http://in.process").connect_with_connector(connector).await?)
}
