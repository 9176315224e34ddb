//! Listening: a Unix socket, a loopback port, or a channel inside the process.

use crate::health;
use crate::http::{listen_tcp, with_pages};
use crate::metrics::Watched;
use crate::openai;
use crate::services::routes;
use crate::stop::Stop;
use crate::sweep;
use crate::{Gateway, stop::GRACE, tiles};
use hyper_util::rt::TokioIo;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::{UnboundedReceiverStream, UnixListenerStream};
use tonic::transport::server::{Connected, TcpIncoming};
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
        cause: io::Error,
    },
    /// The server ended.
    #[error("the server ended: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Reflection could not be set up.
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves on a Unix socket, which its owner alone may use, until told to stop. Calls under way then have five seconds
/// to end; streams that would go on for ever are ended.
///
/// # Errors
/// If the socket can't be made.
pub async fn serve_uds(gateway: Gateway, path: PathBuf, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
    let listener =
        listen_uds(&path).map_err(|cause| ServeError::Listen { place: path.display().to_string(), cause })?;
    serve(gateway, UnixListenerStream::new(listener), Stop::new(stop)).await
}

/// Listens on a socket of mode 0600. It is made in a folder that is closed to others, so that nobody can connect
/// before its mode is set, and gets its name when it is ready; a name that is taken stays with whoever has it.
fn listen_uds(path: &Path) -> io::Result<UnixListener> {
    // Short, as a socket's path may have 107 bytes only.
    let closed = path.with_file_name(".up");
    match fs::remove_dir_all(&closed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // left by a process that was killed meanwhile
    }
    DirBuilder::new().mode(0o700).create(&closed)?;
    let made = closed.join("s");
    let listener = UnixListener::bind(&made).and_then(|listener| {
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::hard_link(&made, path)?;
        Ok(listener)
    });
    fs::remove_dir_all(&closed)?;
    listener
}

/// Serves plain text on a loopback address until told to stop, as [`serve_uds`] does.
///
/// # Errors
/// If the address is not loopback, or taken.
pub async fn serve_tcp(gateway: Gateway, addr: SocketAddr, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
    let listener = listen_tcp(addr).await?;
    // A receipt is one small packet: it must not wait for the next.
    serve(gateway, TcpIncoming::from(listener).with_nodelay(Some(true)), Stop::new(stop)).await
}

/// A server inside this process. Without it the server goes on until the last clone of its channel is gone.
pub struct InProcess {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl InProcess {
    /// Stops the server, as [`serve_uds`] is stopped, and waits until it has ended.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the server inside the process did not end well");
        }
    }
}

/// Serves inside this process, by the channel.
///
/// # Errors
/// If the channel can't be made.
pub async fn serve_in_process(gateway: Gateway) -> Result<(Channel, InProcess), ServeError> {
    let (connections, incoming) = tokio::sync::mpsc::unbounded_channel::<io::Result<UnixStream>>();
    let (stop, stopped) = watch::channel(false);
    let running = stop.clone(); // a sender that is gone would say stop
    let task = tokio::spawn(async move {
        if let Err(error) = serve(gateway, UnboundedReceiverStream::new(incoming), Stop::new(stopped)).await {
            tracing::error!(%error, "the server inside the process ended");
        }
        drop(running);
    });
    let connector = tower::service_fn(move |_: Uri| {
        let connections = connections.clone();
        async move {
            let (here, there) = UnixStream::pair()?;
            let gone = |_| io::Error::other("the server inside the process has ended");
            connections.send(Ok(there)).map_err(gone)?;
            Ok::<_, io::Error>(TokioIo::new(here))
        }
    });
    // The address is never looked at.
    let channel = Endpoint::from_static("http://in.process").connect_with_connector(connector).await?;
    Ok((channel, InProcess { stop, task }))
}

/// Serves connections until there are no more, or the time of grace after the word to stop is over: connections that
/// are left then (a client that reads no more) go down with the process.
async fn serve<IO>(gateway: Gateway, incoming: impl Stream<Item = io::Result<IO>>, stop: Stop) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let replica = gateway.replica.clone();
    let watched = Watched::new(replica.clone(), gateway.vault.clone(), gateway.published.clone(), stop.clone());
    let openai = gateway.serving.clone().map(|serving| openai::routes(gateway.clone(), serving));
    let tiles = tiles::router(gateway.clone());
    let vault = gateway.vault.clone();
    let (routes, reporter) = routes(gateway, stop.clone()).await?;
    let server = Server::builder().accept_http1(true).add_routes(with_pages(routes, watched, tiles, openai));
    let server = server.serve_with_incoming_shutdown(incoming, stop.clone().wait());
    let followed = async {
        let swept = sweep::follow(replica.clone(), vault, stop.clone());
        tokio::join!(health::follow(replica, reporter, stop.clone()), swept);
        std::future::pending().await
    };
    tokio::select! {
        served = server => Ok(served?),
        never = followed => never,
        () = stop.clone().grace_over() => {
            tracing::warn!("not every connection ended within {} s; the rest is cut", GRACE.as_secs());
            Ok(())
        }
    }
}
