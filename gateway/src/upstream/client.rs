//! Asks a cluster something on the gateway's own behalf: a service that decides, a copy that is thrown away.
//!
//! The question goes the way that requests go (same endpoints, same TLS, same bounds on
//! connections), and its answer counts for outlier detection. A connection that was kept
//! may have ended unseen; then the question is asked once more on another.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use pingora::{Error, ErrorType, Result};

use super::balancer::Draw;
use super::cluster::Cluster;
use super::dial::in_use;
use super::endpoint::Lease;
use super::outlier::Outcome;
use super::peer::{self, Asker};

/// Tries of one question, on other connections each.
const MAX_TRIES: usize = 3;

/// Asks for one worker; its connections are kept.
pub struct Client {
    /// Made with the first question: it reads the system's authorities.
    connector: LazyLock<Connector>,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// Method, path and headers; framing and `Host` are added.
    pub head: RequestHeader,
    /// Host that is asked.
    pub authority: String,
    /// Body.
    pub body: Bytes,
    /// Longest answer that is read, in bytes; a longer one is a failure.
    pub max_answer: usize,
    /// Bound on each wait.
    pub patience: Duration,
    /// Whether it may be asked again when nobody knows what became of it.
    pub repeats: bool,
}

/// Its answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
    /// What followed the body.
    pub trailers: Option<HeaderMap>,
}

/// Why there is no answer.
enum Failure {
    /// The connection had been kept and was gone.
    Stale(Box<Error>),
    /// The endpoint failed.
    Broken(Box<Error>),
}

impl From<Box<Error>> for Failure {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self { connector: LazyLock::new(|| Connector::new(None)) }
    }
}

impl Client {
    /// The answer of one endpoint of a cluster, drawn by `random`.
    pub async fn ask(&self, cluster: &Cluster, question: Question, random: u64) -> Result<Answer> {
        let overflow = || Error::explain(ErrorType::ConnectError, "it is asked too much at once");
        let _slot = cluster.admit(Instant::now).ok_or_else(overflow)?;
        let mut tries = 1;
        loop {
            let none = || Error::explain(ErrorType::ConnectError, "no usable endpoint");
            let lease = cluster.pick(Draw { random, key: None }, &[]).ok_or_else(none)?;
            let asked = self.ask_endpoint(cluster, &lease, question.clone()).await;
            let outcome = match &asked {
                Ok(answer) => Outcome::Answered(answer.status.as_u16()),
                Err(Failure::Stale(_)) if tries < MAX_TRIES => {
                    tries += 1;
                    continue;
                }
                Err(Failure::Stale(_) | Failure::Broken(_)) => Outcome::Failed,
            };
            cluster.report(lease.endpoint(), outcome, Instant::now);
            return asked.map_err(|it| match it {
                Failure::Stale(error) | Failure::Broken(error) => error,
            });
        }
    }

    async fn ask_endpoint(&self, cluster: &Cluster, lease: &Lease, question: Question) -> Result<Answer, Failure> {
        let Question { mut head, authority, body, max_answer, patience, repeats } = question;
        let asker = Asker { authority: &authority, speaks_h2: false, switches: false, addresses: None };
        let mut peer = peer::for_endpoint(cluster, lease.endpoint(), asker)?;
        peer::bound(&mut peer, patience);
        let (mut session, reused) = self.connector.get_http_session(&*peer).await?;
        let made = session.digest().map(|it| in_use(&cluster.definition().tls, it.into(), Instant::now)).transpose();
        let gone = || Error::explain(ErrorType::ConnectionClosed, "it cannot be used");
        let _use = made.map_err(|_| if reused { Failure::Stale(gone()) } else { Failure::Broken(gone()) })?;
        frame(&mut head, &session, &peer, &authority, body.len())?;
        let sent = send(&mut session, head, body).await;
        sent.map_err(|error| if reused && repeats { Failure::Stale(error) } else { Failure::Broken(error) })?;
        let answer = read(&mut session, max_answer).await?;
        self.connector.release_http_session(session, &*peer, peer.idle_timeout()).await;
        Ok(answer)
    }
}

/// Sends a question and waits for the head of its answer.
async fn send(session: &mut HttpSession, head: RequestHeader, body: Bytes) -> Result<()> {
    session.write_request_header(Box::new(head)).await?;
    if !body.is_empty() {
        session.write_request_body(body, true).await?;
    }
    session.finish_request_body().await?;
    session.read_response_header().await
}

async fn read(session: &mut HttpSession, max: usize) -> Result<Answer> {
    let head = session.response_header().ok_or_else(|| Error::explain(ErrorType::ReadError, "no answer"))?;
    let mut answer = Answer { status: head.status, headers: head.headers.clone(), body: Vec::new(), trailers: None };
    while let Some(part) = session.read_response_body().await? {
        if answer.body.len() + part.len() > max {
            return Err(Error::explain(ErrorType::ReadError, "a long answer"));
        }
        answer.body.extend_from_slice(&part);
    }
    if let HttpSession::H2(stream) = session {
        answer.trailers = stream.read_trailers().await?;
    }
    Ok(answer)
}

/// Makes a head fit the version of HTTP and the body that is there.
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
        head.insert_header(header::HOST, authority)?;
    }
    Ok(())
}
