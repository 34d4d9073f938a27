//! What Pingora asks of a stream besides its bytes.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::GuardedStream;

/// What Pingora learns of a connection; made when it asks, which it does not for a tunnel.
pub(super) struct Digests {
    /// How the facts of a connection reach its requests.
    proxy: Arc<ProxyDigest>,
    socket: Option<Arc<SocketDigest>>,
}

impl<S> GuardedStream<S> {
    fn digests(&self) -> &Digests {
        self.digests.get_or_init(|| {
            // The digest has room for the answer of a proxy, which nobody looks at.
            let unused = ResponseHeader::build(200, Some(0)).expect("200 is a status");
            let facts: Box<dyn Any + Send + Sync> = Box::new(Arc::clone(&self.connection));
            let socket = self.socket.map(|it| {
                let digest = SocketDigest::from_raw_fd(it);
                // Asked for by each request; without this each would be a system call.
                drop(digest.peer_addr.set(Some(SocketAddr::Inet(self.connection.peer))));
                drop(digest.local_addr.set(Some(SocketAddr::Inet(self.connection.local))));
                Arc::new(digest)
            });
            Digests { proxy: Arc::new(ProxyDigest::new(Box::new(unused), Some(facts))), socket }
        })
    }
}

impl<S> fmt::Debug for GuardedStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStream")
            .field("peer", &self.connection.peer)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shutdown for GuardedStream<S> {
    async fn shutdown(&mut self) {
        if !self.ended {
            // A client that is gone cannot be told goodbye.
            drop(tokio::io::AsyncWriteExt::shutdown(self).await);
        }
    }
}

impl<S> UniqueID for GuardedStream<S> {
    fn id(&self) -> UniqueIDType {
        self.socket.unwrap_or_default()
    }
}

impl<S> Ssl for GuardedStream<S> {}

impl<S> GetTimingDigest for GuardedStream<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S> GetProxyDigest for GuardedStream<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digests().proxy))
    }
}

impl<S> GetSocketDigest for GuardedStream<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.digests().socket.clone()
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Peek for GuardedStream<S> {
    async fn try_peek(&mut self, out: &mut [u8]) -> io::Result<bool> {
        match self.unread.get(..out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(true)
            }
            None => Ok(false),
        }
    }
}
