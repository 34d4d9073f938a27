//! What Pingora asks of a stream besides its bytes.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::GuardedStream;

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
        self.id
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
        Some(Arc::clone(&self.digest))
    }
}

impl<S> GetSocketDigest for GuardedStream<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.socket.clone()
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
