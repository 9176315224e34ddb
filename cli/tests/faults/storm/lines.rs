//! Lines to the brokers that can be cut or fall silent: a TCP proxy before each broker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What a line does with what comes along it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Passes it on.
    Open,
    /// Ends every connection, and takes no new one.
    Cut,
    /// Passes nothing on, and says nothing; what came meanwhile goes on its way once the line is open.
    Silent,
}

/// The lines, one to each broker.
pub struct Lines {
    ways: Vec<watch::Sender<Way>>,
    felt: Arc<AtomicU64>,
}

impl Lines {
    /// Takes a port for each line, before the brokers are there.
    pub fn listeners(runtime: &Runtime, count: usize) -> Vec<TcpListener> {
        let bind = || runtime.block_on(TcpListener::bind(("127.0.0.1", attestune_replay_tests::free_port()))).unwrap();
        std::iter::repeat_with(bind).take(count).collect()
    }

    /// Leads the line of each listener to its broker.
    pub fn open(runtime: &Runtime, listeners: Vec<TcpListener>, brokers: &[SocketAddr]) -> Self {
        let felt = Arc::new(AtomicU64::new(0));
        let lead = |(listener, broker): (TcpListener, &SocketAddr)| {
            let (way, told) = watch::channel(Way::Open);
            runtime.spawn(serve(listener, *broker, told, felt.clone()));
            way
        };
        let ways = listeners.into_iter().zip(brokers).map(lead).collect();
        Self { ways, felt }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ways.len()
    }

    /// Sets some of them.
    pub fn set(&self, lines: &[usize], way: Way) {
        for line in lines {
            self.ways[*line].send_replace(way);
        }
    }

    /// How many connections were ended or not taken, and pieces held back, so far.
    pub fn felt(&self) -> u64 {
        self.felt.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, broker: SocketAddr, way: watch::Receiver<Way>, felt: Arc<AtomicU64>) {
    while let Ok((near, _)) = listener.accept().await {
        if *way.borrow() == Way::Cut {
            felt.fetch_add(1, Ordering::Relaxed);
            continue; // which closes it
        }
        tokio::spawn(pass(near, broker, way.clone(), felt.clone()));
    }
}

/// Passes both ways until either side has ended or the line is cut.
async fn pass(near: TcpStream, broker: SocketAddr, way: watch::Receiver<Way>, felt: Arc<AtomicU64>) {
    let Ok(far) = TcpStream::connect(broker).await else { return };
    // What goes along is small packets that must not wait for the next.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    let mut told = way.clone();
    tokio::select! {
        () = one_way(from_near, to_far, way.clone(), &felt) => {}
        () = one_way(from_far, to_near, way, &felt) => {}
        _ = told.wait_for(|way| *way == Way::Cut) => {
            felt.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn one_way(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    felt: &AtomicU64,
) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if *way.borrow() == Way::Silent {
            felt.fetch_add(1, Ordering::Relaxed);
            let _ = way.wait_for(|way| *way != Way::Silent).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
