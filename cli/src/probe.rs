//! `attestune probe`: asks a server whether it is ready, for the health checks of containers.

use crate::problem;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long the answer may take.
const WAIT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    /// The page to ask for: /readyz, /healthz, or /head
    #[arg(default_value = "http://127.0.0.1:7400/readyz")]
    url: Uri,
}

pub async fn run(args: &Args) -> anyhow::Result<()> {
    let answer = tokio::time::timeout(WAIT, ask(&args.url)).await;
    let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", WAIT.as_secs())));
    let (status, body) = answer.map_err(|error| {
        problem::cannot(format!("{} can't be asked: {error:#}", args.url), "is it up, and is that its --listen?")
    })?;
    if status == StatusCode::OK {
        print!("{body}");
        return Ok(());
    }
    Err(problem::no(format!("{status}: {}", body.trim_end()), "wait, or see the server's log"))
}

async fn ask(url: &Uri) -> anyhow::Result<(StatusCode, String)> {
    let host = url.authority().filter(|_| url.scheme_str() == Some("http"));
    let host = host.ok_or_else(|| anyhow::anyhow!("it is no http:// address"))?;
    let socket = TcpStream::connect((host.host().trim_matches(['[', ']']), host.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection); // it ends with the sender
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header("host", host.as_str()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
