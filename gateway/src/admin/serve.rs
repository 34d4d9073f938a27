//! Accepts connections on a port of the gateway's own, apart from those of its traffic.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerApp as _;
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::listener::connection::Connection;
use crate::listener::http1::head::Role;
use crate::listener::set::ListenerKey;
use crate::listener::stream::{Arrival, GuardedStream};
use crate::local_reply::LocalReply;

/// Most connections at once; an operator and a few scrapers need no more.
const MAX_CONNECTIONS: usize = 64;
/// Bound on a request head, and on the time without one.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause after the process ran out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A port that is bound and not served yet.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Binds it.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves it for ever.
    pub async fn serve<A: ServeHttp + Send + Sync + 'static>(self, app: Arc<A>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let (_keep, closing) = watch::channel(false);
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let (app, closing, address) = (Arc::clone(&app), closing.clone(), self.address);
                    tokio::spawn(async move {
                        connection(app, stream, (address, peer), closing).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    log::warn!("cannot accept on {}: {error}", self.address);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

async fn connection<A: ServeHttp + Send + Sync + 'static>(
    app: Arc<A>,
    stream: TcpStream,
    (local, peer): (SocketAddr, SocketAddr),
    closing: watch::Receiver<bool>,
) {
    let socket = stream.as_raw_fd();
    let key = ListenerKey { bind: local.ip(), port: local.port() };
    let connection = Connection::new((key, Role::Server), local, peer, closing.clone(), None);
    let mut stream = Box::new(GuardedStream::new(stream, connection, Some(socket)));
    loop {
        match stream.read_head(PATIENCE, PATIENCE).await {
            Arrival::Request => {}
            Arrival::Refused(reason) => {
                stream.answer_and_close(&LocalReply::because(reason).render_and_close()).await;
                return;
            }
            Arrival::Gone | Arrival::H2 => return,
        }
        let reused = app.process_new_http(ServerSession::new_http1(stream), &closing).await;
        let Some(back) = reused.and_then(|it| it.consume().0.into_any().downcast().ok()) else { return };
        stream = back;
    }
}
