//! Probes the endpoints of a cluster, and says which are well (the native kind `HealthCheck`).
//!
//! An endpoint is used until its probes have failed in a row, and again once they have
//! passed in a row, so one lost probe changes nothing. Probes go the way that requests go:
//! same address, same TLS.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::task::JoinSet;

use super::address::Address;
use super::cluster::Cluster;
use super::connection::Unusable;
use super::definition::Tls;
use super::dial::{TRANSPORT, in_use};
use super::endpoint::Endpoint;
use super::peer::{self, Asker};

/// Most endpoints of a cluster that are probed at once.
const MAX_AT_ONCE: usize = 64;
/// Longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// The method of gRPC's health protocol.
const GRPC_PATH: &str = "/grpc.health.v1.Health/Check";
/// What that protocol calls well.
const SERVING: u8 = 1;

static HTTP: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));

/// How endpoints are asked, and what their answers change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Check {
    /// How.
    pub probe: Probe,
    /// Time between two probes.
    pub interval: Duration,
    /// Bound on one.
    pub timeout: Duration,
    /// Passed in a row until an endpoint is used again.
    pub healthy: u32,
    /// Failed in a row until an endpoint is left out.
    pub unhealthy: u32,
}

/// How an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A GET that must be answered with one of these statuses.
    Http {
        /// Path.
        path: Box<str>,
        /// `Host`.
        host: Box<str>,
        /// First and last of each range.
        statuses: Box<[(u16, u16)]>,
    },
    /// gRPC's health protocol, for a service.
    Grpc {
        /// The service; empty is the server as a whole.
        service: Box<str>,
    },
    /// A connection.
    Tcp,
}

/// Results in a row.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    passed: u32,
    failed: u32,
}

impl Row {
    /// Counts a result; says whether the endpoint is failing now, if that is decided.
    fn count(&mut self, passes: bool, check: &Check) -> Option<bool> {
        if passes {
            *self = Self { passed: self.passed.saturating_add(1), failed: 0 };
            (self.passed >= check.healthy).then_some(false)
        } else {
            *self = Self { passed: 0, failed: self.failed.saturating_add(1) };
            (self.failed >= check.unhealthy).then_some(true)
        }
    }
}

/// Probes as long as the cluster lives.
pub(super) async fn watch(cluster: Weak<Cluster>, check: Check) {
    let mut rows: HashMap<Address, Row> = HashMap::new();
    loop {
        let Some(strong) = cluster.upgrade() else { return };
        round(&strong, &check, &mut rows).await;
        drop(strong);
        tokio::time::sleep(check.interval).await;
    }
}

/// One probe of every endpoint.
async fn round(cluster: &Arc<Cluster>, check: &Check, rows: &mut HashMap<Address, Row>) {
    let endpoints = cluster.endpoints();
    rows.retain(|address, _| endpoints.iter().any(|it| it.address == *address));
    let mut running = JoinSet::new();
    let mut waiting = endpoints.iter();
    loop {
        while running.len() < MAX_AT_ONCE
            && let Some(endpoint) = waiting.next()
        {
            let (cluster, endpoint, check) = (Arc::clone(cluster), Arc::clone(endpoint), check.clone());
            running.spawn(async move {
                let asked = tokio::time::timeout(check.timeout, ask(&cluster, &endpoint, &check.probe)).await;
                (endpoint, matches!(asked, Ok(Ok(true))))
            });
        }
        let Some(done) = running.join_next().await else { return };
        let Ok((endpoint, passes)) = done else { continue };
        let row = rows.entry(endpoint.address.clone()).or_default();
        if let Some(failing) = row.count(passes, check) {
            cluster.set_failing(&endpoint, failing, Instant::now());
        }
    }
}

async fn ask(cluster: &Cluster, endpoint: &Endpoint, probe: &Probe) -> Result<bool> {
    let own = &cluster.definition().host;
    let tls = &cluster.definition().tls;
    let authority = match probe {
        Probe::Http { path: _, host, statuses: _ } => host,
        Probe::Grpc { service: _ } | Probe::Tcp => own,
    };
    let asker = Asker { authority, speaks_h2: false, switches: false, addresses: None };
    let mut peer = peer::for_endpoint(cluster, endpoint, asker)?;
    match probe {
        Probe::Tcp => TRANSPORT.new_stream(&*peer).await.map(|_| true),
        Probe::Http { path, host, statuses } => {
            let (status, _) = exchange(&peer, ("GET", path, None), host, tls).await?;
            Ok(statuses.iter().any(|(first, last)| (*first..=*last).contains(&status)))
        }
        Probe::Grpc { service } => {
            peer.options.set_http_version(2, 2);
            let (status, body) = exchange(&peer, ("POST", GRPC_PATH, Some(question(service))), own, tls).await?;
            Ok(status == 200 && is_serving(&body))
        }
    }
}

/// One request and its answer.
async fn exchange(
    peer: &HttpPeer,
    (method, path, body): (&str, &str, Option<Bytes>),
    host: &str,
    tls: &Tls,
) -> Result<(u16, Vec<u8>)> {
    let (mut session, _) = HTTP.get_http_session(peer).await?;
    // Nothing is kept for the next probe, so nobody can have given it away.
    let made = session.digest().map(|it| in_use(tls, it.into(), Instant::now));
    if matches!(made, Some(Err(Unusable::Revoked))) {
        return Err(Error::explain(ErrorType::InvalidCert, "the certificate is revoked"));
    }
    let mut head = RequestHeader::build(method, path.as_bytes(), None)?;
    head.insert_header(header::USER_AGENT, "sluice-health-check")?;
    if session.as_http2().is_some() {
        peer::frame_http2(&mut head, peer, host)?;
    } else {
        head.insert_header(header::HOST, host)?;
        head.insert_header(header::CONNECTION, "close")?;
    }
    if body.is_some() {
        head.insert_header(header::CONTENT_TYPE, "application/grpc")?;
        head.insert_header(header::TE, "trailers")?;
    }
    session.write_request_header(Box::new(head)).await?;
    if let Some(body) = body {
        session.write_request_body(body, true).await?;
    }
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map_or(0, |it| it.status.as_u16());
    let mut answer = Vec::new();
    while let Some(part) = session.read_response_body().await? {
        answer.extend_from_slice(&part);
        if answer.len() > MAX_ANSWER {
            return Err(Error::explain(ErrorType::ReadError, "a long answer"));
        }
    }
    session.shutdown().await;
    Ok((status, answer))
}

/// `HealthCheckRequest` in gRPC's frame: field 1 is the service.
fn question(service: &str) -> Bytes {
    let service = service.get(..service.len().min(120)).unwrap_or_default().as_bytes();
    let length = u8::try_from(service.len()).unwrap_or_default();
    let message = if length == 0 { Vec::new() } else { [&[0x0a, length], service].concat() };
    let size = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    [&[0][..], &size, &message].concat().into()
}

/// Whether a `HealthCheckResponse` in gRPC's frame says that all is well: field 1 is the state.
fn is_serving(answer: &[u8]) -> bool {
    answer.first() == Some(&0) && answer.get(5..) == Some(&[0x08, SERVING])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            probe: Probe::Tcp,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
        }
    }

    #[test]
    fn only_results_in_a_row_change_anything() {
        let mut row = Row::default();
        let seen: Vec<_> =
            [false, false, true, false, false, false, true, true].map(|it| row.count(it, &check())).into();
        assert_eq!(seen, [None, None, None, None, None, Some(true), None, Some(false)]);
    }

    #[test]
    fn grpcs_messages_have_their_form() {
        assert_eq!(question("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(question("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert!(is_serving(&[0, 0, 0, 0, 2, 8, 1]));
        for answer in [&[][..], &[0, 0, 0, 0, 2, 8, 2], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 0]] {
            assert!(!is_serving(answer), "{answer:?}");
        }
    }
}
