//! Accepts connections of one port on one worker, some at a time, and hands each to whoever serves it.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;

use super::limits::{Admitted, ConnectionCounts};
use super::set::ListenerKey;

/// Pause after the process ran out of descriptors: long enough not to spin, short enough to notice.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Connections that are accepted before the worker looks at its other sockets.
const BATCH: usize = 16;

/// One accepted connection.
#[derive(Debug)]
pub struct Accepted<S = TcpStream> {
    /// The socket, or what was made of it.
    pub stream: S,
    /// The listener it came in by.
    pub listener: ListenerKey,
    /// Address it was accepted on.
    pub local: SocketAddr,
    /// Address it came from.
    pub peer: SocketAddr,
    /// Turns true when the connection shall end after its request.
    pub closing: watch::Receiver<bool>,
    /// Its place among the connections.
    pub place: Admitted,
}

impl<S> Accepted<S> {
    /// The same connection with another stream, and the stream that it had.
    pub fn exchange<T>(self, stream: T) -> (Accepted<T>, S) {
        let Self { stream: before, listener, local, peer, closing, place } = self;
        (Accepted { stream, listener, local, peer, closing, place }, before)
    }
}

/// Serves accepted connections.
pub trait Serve: Send + Sync + 'static {
    /// Takes a connection; it must not wait.
    fn serve(&self, accepted: Accepted);
}

/// What an accept loop works with.
pub struct AcceptLoop {
    /// The port.
    pub key: ListenerKey,
    /// The address that it is bound to.
    pub address: SocketAddr,
    /// Its socket, not blocking; what it accepts does not wait for acknowledgements.
    pub socket: StdListener,
    /// Turns true when the listener goes away.
    pub closing: watch::Receiver<bool>,
    /// Bounds on connections.
    pub counts: Arc<ConnectionCounts>,
    /// Who serves.
    pub serve: Arc<dyn Serve>,
}

impl AcceptLoop {
    /// Accepts until the listener goes away; then takes what the kernel already queued.
    pub async fn run(self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.socket.try_clone()?)?;
        let mut closing = self.closing.clone();
        let mut pace = Pace::default();
        loop {
            tokio::select! {
                accepted = listener.accept() => self.admit(accepted).await,
                () = closed(&mut closing) => break,
            }
            pace.step().await;
        }
        while let Some(accepted) = queued(&listener).await {
            self.admit(accepted).await;
            pace.step().await;
        }
        Ok(())
    }

    async fn admit(&self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let (stream, peer) = match accepted {
            Ok(it) => it,
            Err(error) => {
                // A client that left the queue is no trouble; being out of descriptors is.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    log::warn!("cannot accept on port {}: {error}", self.key.port);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                return;
            }
        };
        let Some(place) = self.counts.admit(peer.ip()) else { return };
        let local = match self.address {
            any if any.ip().is_unspecified() => stream.local_addr(),
            bound => Ok(bound),
        };
        let Ok(local) = local else { return };
        self.serve.serve(Accepted { stream, listener: self.key, local, peer, closing: self.closing.clone(), place });
    }
}

/// Lets a worker look at its other sockets now and then: a crowd shall not hold up those who are in.
#[derive(Default)]
struct Pace(usize);

impl Pace {
    /// After each connection.
    async fn step(&mut self) {
        self.0 = (self.0 + 1) % BATCH;
        if self.0 == 0 {
            // The runtime comes back from this when it has looked for events of sockets.
            yield_now().await;
        }
    }
}

/// Waits until the listener goes away.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // Without a sender nobody can close it any more, so it is closed.
    drop(closing.wait_for(|it| *it).await);
}

/// A connection that the kernel has queued, if there is one.
async fn queued(listener: &TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    poll_fn(|cx| match listener.poll_accept(cx) {
        Poll::Ready(it) => Poll::Ready(Some(it)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream as Client};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::listener::meanwhile::Ear;

    /// Counts connections, and keeps none.
    struct Count(Arc<AtomicUsize>);

    impl Serve for Count {
        fn serve(&self, _: Accepted) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn sockets_are_served_while_many_connections_wait() {
        const CROWD: usize = 100;
        let ear = Ear::new().await;
        let socket = StdListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let crowd: Vec<_> = (0..CROWD).map(|_| Client::connect(address).unwrap()).collect();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (_open, closing) = watch::channel(false);
        let accept = AcceptLoop {
            key: ListenerKey { bind: Ipv4Addr::LOCALHOST.into(), port: 80 },
            address,
            socket,
            closing,
            counts: Arc::new(ConnectionCounts::new(1000, 0)),
            serve: Arc::new(Count(Arc::clone(&accepted))),
        };
        let accepting = tokio::spawn(accept.run());
        let most = ear.most_meanwhile(&accepted, CROWD).await;
        assert!(most <= 2 * BATCH, "{most} connections were accepted while a socket waited");
        accepting.abort();
        drop(crowd);
    }
}
