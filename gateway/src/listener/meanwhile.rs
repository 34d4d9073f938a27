//! Tells how much a worker does of something while a socket waits that has heard something.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A socket that hears, and the one that it hears from.
pub(crate) struct Ear {
    near: TcpStream,
    far: TcpStream,
}

impl Ear {
    /// To be made before what it shall compete with begins.
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        Self { near, far }
    }

    /// The most that is done while it waits, until all is done.
    pub(crate) async fn most_meanwhile(mut self, done: &AtomicUsize, all: usize) -> usize {
        let (mut before, mut most) = (0, 0);
        while before < all {
            self.near.write_all(&[1]).await.unwrap();
            self.far.read_exact(&mut [0]).await.unwrap();
            let now = done.load(Ordering::Relaxed);
            most = most.max(now - before);
            before = now;
        }
        most
    }
}
