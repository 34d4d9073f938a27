//! Asks a service outside whether a request may pass (Istio's action CUSTOM, Envoy's ext_authz).
//!
//! The service is asked before tokens are looked at and before a route is chosen, so that
//! both see what it changed. What it may add to a request never comes from the client: a
//! header that the service could set, was not shown and did not set is removed. A service
//! that fails is as good as a refusal, unless the operator says otherwise.

mod grpc_service;
mod http_service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

pub use self::http_service::HttpService;
use crate::filter::authorization::Group;
use crate::filter::authorization::values::Texts;
use crate::filter::header_edits::Headers;
use crate::upstream::client::Client;
use crate::upstream::cluster::Cluster;

/// Most that is held of a body to show it; Pingora gives back no more of what was read.
pub const MAX_BODY: usize = 64 * 1024;
/// Headers of an answer that say how it was sent, not what it says.
const FRAMING: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::HOST,
    header::SERVER,
    header::DATE,
];

/// Whom a service is asked about, and the service.
#[derive(Debug)]
pub struct Custom {
    /// Requests that it is asked about.
    pub rules: Group,
    /// The service.
    pub provider: Provider,
}

/// A service that says who may pass.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// Where it is.
    pub cluster: Arc<Cluster>,
    /// Bound on its answer.
    pub timeout: Duration,
    /// Whether requests pass when it fails.
    pub fails_open: bool,
    /// Status of requests when it fails.
    pub status_on_error: StatusCode,
    /// How much of the body it is shown; none when it sees no body.
    pub body: Option<BodyTerms>,
    /// How it is asked.
    pub service: Service,
}

/// How a service is asked.
#[derive(Debug)]
pub enum Service {
    /// By a request that looks like the one it is about.
    Http(Box<HttpService>),
    /// By `envoy.service.auth.v3.Authorization/Check`.
    Grpc,
}

/// How much of a body is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyTerms {
    /// Most bytes, at most [`MAX_BODY`].
    pub max: usize,
    /// Whether the beginning of a longer body is enough.
    pub allows_part: bool,
    /// Whether bytes are sent rather than text.
    pub as_bytes: bool,
}

/// What a service is asked about.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Request; none of a connection without one.
    pub request: Option<AskedRequest<'a>>,
    /// The client's end of the connection.
    pub source: SocketAddr,
    /// The gateway's end.
    pub destination: SocketAddr,
    /// Identity of the client's certificate, if it was verified.
    pub principal: Option<&'a str>,
    /// When it came.
    pub time: SystemTime,
}

/// A request that a service is asked about.
#[derive(Debug)]
pub struct AskedRequest<'a> {
    /// Method.
    pub method: &'a str,
    /// Normalised path with query.
    pub target: &'a str,
    /// Host with port.
    pub authority: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// What is shown of the body; none when none is.
    pub body: Option<Shown>,
}

/// What is shown of a body.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its beginning.
    pub bytes: Bytes,
    /// Whether there is more.
    pub is_part: bool,
}

/// What a service said.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, with these changes.
    Allowed(Box<Changes>),
    /// No, with this answer.
    Denied(Box<Denial>),
}

/// What is changed in a request that may pass.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Headers of the request.
    pub request: Vec<Change>,
    /// Headers removed from it.
    pub remove: Vec<HeaderName>,
    /// Headers added to the answer that the client gets.
    pub response: Vec<Change>,
    /// Query parameters set.
    pub set_query: Vec<(String, String)>,
    /// Query parameters removed.
    pub remove_query: Vec<String>,
}

/// A change of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name.
    pub name: HeaderName,
    /// Value.
    pub value: HeaderValue,
    /// What becomes of values that are there.
    pub how: How,
}

/// What a change does to values that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Replaces them.
    Set,
    /// Stands beside them.
    Add,
    /// Stands beside them; does nothing when there are none.
    AppendIfThere,
    /// Does nothing when there are some.
    AddIfAbsent,
    /// Replaces them; does nothing when there are none.
    SetIfThere,
}

/// The answer to a request that may not pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Denial {
    /// Status.
    pub status: StatusCode,
    /// Headers, without those of framing.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Bytes,
}

impl Provider {
    /// What the service says; else why it said nothing.
    pub async fn ask(&self, client: &Client, asked: &Asked<'_>, random: u64) -> Result<Verdict, String> {
        match (&self.service, &asked.request) {
            (Service::Http(service), Some(request)) => {
                let question = service.question(request, self)?;
                let answer = tokio::time::timeout(self.timeout, client.ask(&self.cluster, question, random)).await;
                let answer = answer.map_err(|_| format!("no answer within {:?}", self.timeout))?;
                service.verdict(answer.map_err(|error| error.to_string())?)
            }
            (Service::Http(_), None) => Err("a service that speaks HTTP cannot judge a bare connection".to_owned()),
            (Service::Grpc, _) => {
                let message = grpc_service::question(asked, self.body.is_some_and(|it| it.as_bytes));
                let call = (grpc_service::METHOD, &message);
                let answer = crate::upstream::grpc_call::call(client, &self.cluster, call, (self.timeout, random));
                Ok(grpc_service::verdict(answer.await?))
            }
        }
    }

    /// Headers that only the service may say and the client did: what it could set and is not shown.
    pub fn claimed(&self, headers: &HeaderMap) -> Vec<HeaderName> {
        match &self.service {
            Service::Http(service) => headers.keys().filter(|it| service.reserves(it)).cloned().collect(),
            Service::Grpc => Vec::new(),
        }
    }
}

impl Change {
    /// Does it to the headers of a message.
    pub fn apply(&self, headers: &mut impl Headers) {
        let Self { name, value, how } = self;
        let is_there = headers.has(name);
        match (how, is_there) {
            (How::Set, _) | (How::SetIfThere, true) => headers.set(name.clone(), value.clone()),
            (How::Add, _) | (How::AppendIfThere, true) | (How::AddIfAbsent, false) => {
                headers.add(name.clone(), value.clone());
            }
            (How::SetIfThere | How::AppendIfThere, false) | (How::AddIfAbsent, true) => {}
        }
    }
}

/// Names of headers as they are written: exact, `prefix*`, `*suffix`.
pub fn names<'a>(written: impl IntoIterator<Item = &'a String>) -> Texts {
    let lower: Vec<String> = written.into_iter().map(|it| it.to_ascii_lowercase()).collect();
    Texts::new(lower.iter().map(String::as_str))
}

/// Whether a header says how a message is sent.
fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
