//! Sends copies of requests to other clusters, and forgets what they answer.
//!
//! A copy never delays or fails its original: it is sent from a task of its own, once the
//! original's head was made ready and its body was read. What a copy may cost is bounded:
//! in body, in time, in answer, and in number. A request that passes a bound is not copied.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use pingora::{Error, ErrorType, Result};
use tokio::sync::Semaphore;

use crate::upstream::balancer::Draw;
use crate::upstream::cluster::Cluster;
use crate::upstream::dial::in_use;
use crate::upstream::peer::{self, Asker};

/// Longest body that is copied.
const MAX_BODY: usize = 64 * 1024;
/// Most copies of one worker under way.
const MAX_COPIES: usize = 256;
/// Longest time that a copy may take.
const MAX_TIME: Duration = Duration::from_secs(15);
/// Longest answer that is read for the sake of the connection.
const MAX_ANSWER: usize = 256 * 1024;

/// Sends the copies of one worker.
pub(super) struct Mirrors {
    /// Made when the first copy is sent: it reads the system's authorities.
    connector: LazyLock<Connector>,
    places: Semaphore,
}

/// The copies of one request while it is read.
#[derive(Default)]
pub(super) struct Copies {
    /// Who gets one; empty when nobody does.
    pub(super) to: Vec<Arc<Cluster>>,
    head: Option<RequestHeader>,
    body: BytesMut,
}

impl Copies {
    /// Takes the head as the original's upstream gets it; a body begins anew with each try.
    pub(super) fn take_head(&mut self, head: &RequestHeader) {
        if !self.to.is_empty() {
            self.head = Some(head.clone());
            self.body.clear();
        }
    }

    /// Takes a part of the body; one that is too long ends the copying.
    pub(super) fn take_body(&mut self, part: &Bytes) {
        if self.to.is_empty() {
            return;
        }
        if self.body.len() + part.len() > MAX_BODY {
            *self = Self::default();
            return;
        }
        self.body.extend_from_slice(part);
    }
}

impl Default for Mirrors {
    fn default() -> Self {
        Self { connector: LazyLock::new(|| Connector::new(None)), places: Semaphore::new(MAX_COPIES) }
    }
}

impl Mirrors {
    /// Sends what was read of a request to everyone who gets a copy.
    pub(super) fn send(self: &Arc<Self>, copies: &mut Copies, random: impl Fn() -> u64) {
        let Copies { to, head, body } = std::mem::take(copies);
        let Some(head) = head else { return };
        let body = body.freeze();
        for cluster in to {
            let (mirrors, head, body, random) = (Arc::clone(self), head.clone(), body.clone(), random());
            tokio::spawn(async move {
                let Ok(_place) = mirrors.places.try_acquire() else { return };
                let sent = tokio::time::timeout(MAX_TIME, mirrors.copy(&cluster, head, body, random)).await;
                if let Ok(Err(error)) = sent {
                    log::debug!("a copy to {} failed: {error}", cluster.name());
                }
            });
        }
    }

    async fn copy(&self, cluster: &Cluster, mut head: RequestHeader, body: Bytes, random: u64) -> Result<()> {
        let none = || Error::explain(ErrorType::ConnectError, "no usable endpoint");
        let lease = cluster.pick(Draw { random, key: None }, &[]).ok_or_else(none)?;
        let host = head.headers.get(header::HOST).cloned().unwrap_or_else(|| HeaderValue::from_static(""));
        let authority = host.to_str().unwrap_or_default().to_owned();
        let asker = Asker { authority: &authority, speaks_h2: false, switches: false, addresses: None };
        let mut peer = peer::for_endpoint(cluster, lease.endpoint(), asker)?;
        peer::bound(&mut peer, MAX_TIME);
        let (mut session, _) = self.connector.get_http_session(&*peer).await?;
        let made = session.digest().map(|it| in_use(&cluster.definition().tls, it.into(), Instant::now)).transpose();
        let _use = made.map_err(|_| Error::explain(ErrorType::ConnectionClosed, "it cannot be used"))?;
        frame(&mut head, &session, &peer, &authority, body.len())?;
        let is_empty = body.is_empty();
        session.write_request_header(Box::new(head)).await?;
        if !is_empty {
            session.write_request_body(body, true).await?;
        }
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let mut left = MAX_ANSWER;
        while let Some(part) = session.read_response_body().await? {
            left = left.checked_sub(part.len()).ok_or_else(|| Error::explain(ErrorType::ReadError, "a long answer"))?;
        }
        self.connector.release_http_session(session, &*peer, peer.idle_timeout()).await;
        Ok(())
    }
}

/// Makes the head fit the version of HTTP and the body that is there.
fn frame(
    head: &mut RequestHeader,
    session: &HttpSession,
    peer: &HttpPeer,
    authority: &str,
    length: usize,
) -> Result<()> {
    for name in [header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE, header::EXPECT] {
        head.remove_header(&name);
    }
    if length > 0 || head.headers.contains_key(header::CONTENT_LENGTH) {
        head.insert_header(header::CONTENT_LENGTH, length)?;
    }
    if session.as_http2().is_some() {
        peer::frame_http2(head, peer, authority)?;
    } else {
        head.set_version(http::Version::HTTP_11);
    }
    Ok(())
}
