//! An S3 server (`s3s-fs`) over a folder, and before it a proxy that makes trouble.

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

pub const ACCESS_KEY: &str = "attestune-test";
pub const SECRET_KEY: &str = "a-secret-that-no-message-may-hold";
pub const BUCKET: &str = "texts";

/// A server with one bucket, and the proxy before it.
pub struct S3 {
    folder: tempfile::TempDir,
    direct: SocketAddr,
    proxy: SocketAddr,
    trouble: Arc<Mutex<Option<Trouble>>>,
    /// A request has met the trouble.
    pub met: Arc<Notify>,
    /// Lets requests go on that are held.
    pub release: Arc<Notify>,
}

/// What happens to requests whose first line holds these words.
#[derive(Clone)]
pub struct Trouble {
    pub line: &'static str,
    pub kind: Kind,
}

#[derive(Clone)]
pub enum Kind {
    /// It is passed on after a while.
    Delay(Duration),
    /// It is never answered.
    Hang,
    /// It is passed on when the test says so.
    Hold,
    /// It is answered with an error, so many times.
    Error500(usize),
    /// The connection is cut after so many bytes of the body.
    Cut(usize),
    /// It is carried out, and the connection cut before the answer.
    CutAnswer,
}

impl S3 {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("s3");
        fs::create_dir_all(root.join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let direct = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone());
                tokio::spawn(connection); // a connection that is cut is what the tests are about
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let (trouble, met, release) = (Arc::<Mutex<Option<Trouble>>>::default(), Arc::default(), Arc::default());
        let s3 = Self { folder, direct, proxy, trouble, met, release };
        let (trouble, met, release) = (s3.trouble.clone(), s3.met.clone(), s3.release.clone());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (trouble, met, release) = (trouble.clone(), met.clone(), release.clone());
                // A broken connection ends here.
                tokio::spawn(async move { pass_on(socket, direct, &trouble, &met, &release).await.ok() });
            }
        });
        s3
    }

    /// From now on requests meet this.
    pub fn make(&self, line: &'static str, kind: Kind) {
        *self.trouble.lock().unwrap() = Some(Trouble { line, kind });
    }

    pub fn heal(&self) {
        *self.trouble.lock().unwrap() = None;
    }

    /// Writes a settings file with these lines more, through the proxy.
    pub fn settings(&self, more: &str) -> PathBuf {
        self.settings_to(self.proxy, SECRET_KEY, more)
    }

    /// The same past the proxy.
    pub fn direct_settings(&self) -> PathBuf {
        self.settings_to(self.direct, SECRET_KEY, "")
    }

    pub fn settings_to(&self, address: SocketAddr, secret: &str, more: &str) -> PathBuf {
        let kek = self.folder.path().join("kek");
        if !kek.exists() {
            closed(&kek, &[7; 32]);
        }
        let text = format!(
            "aws_endpoint = http://{address}\naws_allow_http = true\naws_region = eu-central-1\n\
             aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\nkek_file = {}\n{more}\n",
            kek.display()
        );
        let name = format!("settings-{}", fs::read_dir(self.folder.path()).unwrap().count());
        closed(&self.folder.path().join(&name), text.as_bytes());
        self.folder.path().join(name)
    }

    pub fn address(&self) -> SocketAddr {
        self.proxy
    }

    /// A path beside the server's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn make_bucket(&self, bucket: &str) {
        fs::create_dir_all(self.folder.path().join("s3").join(bucket)).unwrap();
    }

    /// The objects that the server holds, by path, with their bytes.
    pub fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let root = self.folder.path().join("s3");
        let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                // What begins with a dot is the server's own: uploads under way, attributes.
                if path.is_dir() {
                    folders.push(path);
                } else if !name.split('/').any(|part| part.starts_with('.')) {
                    found.push((name, fs::read(path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

/// Writes a file that nobody else may read.
pub fn closed(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Passes one request on, and closes; so each request meets the trouble of its moment.
async fn pass_on(
    mut client: TcpStream,
    server: SocketAddr,
    trouble: &Mutex<Option<Trouble>>,
    met: &Notify,
    release: &Notify,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(at) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let body = head.split_off(end + 4);
    head.truncate(end);
    head.extend(b"\r\nconnection: close\r\n\r\n");
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let now = {
        let mut trouble = trouble.lock().unwrap();
        let now = trouble.clone().filter(|t| t.line.split(' ').all(|word| line.contains(word))).map(|t| t.kind);
        if let Some(Trouble { kind: Kind::Error500(left), .. }) = trouble.as_mut()
            && now.is_some()
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                *trouble = None;
            }
        }
        now
    };
    if now.is_some() {
        met.notify_one();
    }
    let mut upstream = TcpStream::connect(server).await?;
    match now {
        Some(Kind::Hang) => return std::future::pending().await,
        Some(Kind::Error500(_)) => {
            let body = "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>";
            let answer = format!(
                "HTTP/1.1 500 Internal Server Error\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await?;
            // What is left of the body is read, or the client would find the connection broken before the answer.
            let mut nowhere = tokio::io::sink();
            let rest = tokio::io::copy(&mut client, &mut nowhere);
            let _ = tokio::time::timeout(std::time::Duration::from_secs(2), rest).await;
            return Ok(());
        }
        Some(Kind::Cut(after)) => {
            upstream.write_all(&head).await?;
            let mut sent = body.len().min(after);
            upstream.write_all(&body[..sent]).await?;
            let mut chunk = [0; 4096];
            while sent < after {
                let read = client.read(&mut chunk).await?;
                if read == 0 {
                    break;
                }
                upstream.write_all(&chunk[..read.min(after - sent)]).await?;
                sent += read;
            }
            return Ok(());
        }
        Some(Kind::CutAnswer) => {
            upstream.write_all(&head).await?;
            upstream.write_all(&body).await?;
            let (mut client_reads, _client_writes) = client.into_split();
            let (mut answer, mut to_server) = upstream.into_split();
            let mut byte = [0; 1];
            // Cut at the answer's first byte: by then the server has done it.
            tokio::select! {
                copied = tokio::io::copy(&mut client_reads, &mut to_server) => { copied?; }
                read = answer.read(&mut byte) => { read?; }
            }
            return Ok(());
        }
        Some(Kind::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Kind::Hold) => release.notified().await,
        None => {}
    }
    upstream.write_all(&head).await?;
    upstream.write_all(&body).await?;
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}
