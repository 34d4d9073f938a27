//! Fetches small documents over HTTP for the gateway itself, within bounds and not from everywhere.
//!
//! An address is judged after the name was resolved and before it is dialled, so no name
//! leads to link-local or metadata addresses; redirects are not followed. Loopback is
//! reached only when the URL names it.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use http::{Uri, header};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;

use super::dns::Resolver;
use crate::network::is_reserved;

/// Longest document.
const MAX_BODY: usize = 1024 * 1024;

/// Made with the first document, since it reads the system's authorities.
static HTTP: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));

/// Fetches documents.
#[derive(Clone)]
pub struct Fetcher {
    resolver: Resolver,
}

/// A document.
#[derive(Debug)]
pub struct Fetched {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
    /// How long it may be kept, if it says.
    pub max_age: Option<Duration>,
    /// Its version, if it says.
    pub etag: Option<String>,
}

impl Fetcher {
    /// One that resolves names so.
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver }
    }

    /// A document, all of it within `timeout`.
    pub async fn get(&self, url: &str, timeout: Duration, etag: Option<&str>) -> Result<Fetched, String> {
        let fetched = tokio::time::timeout(timeout, self.get_now(url, etag)).await;
        fetched.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
    }

    async fn get_now(&self, url: &str, etag: Option<&str>) -> Result<Fetched, String> {
        let url: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err("only http and https are fetched".to_owned()),
        };
        let authority = url.authority().ok_or("the URL names no host")?;
        let host = authority.host();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let address = self.address(host.trim_start_matches('[').trim_end_matches(']')).await?;
        let mut peer = HttpPeer::new(SocketAddr::new(address, port), tls, host.to_owned());
        peer.options.set_http_version(1, 1);
        let failed = |error: Box<pingora::Error>| error.to_string();
        let (mut session, _) = HTTP.get_http_session(&peer).await.map_err(failed)?;
        let path = url.path_and_query().map_or("/", |it| it.as_str());
        let mut head = RequestHeader::build("GET", path.as_bytes(), None).map_err(failed)?;
        head.insert_header(header::HOST, authority.as_str()).map_err(failed)?;
        head.insert_header(header::USER_AGENT, "sluice").map_err(failed)?;
        head.insert_header(header::ACCEPT, "application/json").map_err(failed)?;
        head.insert_header(header::CONNECTION, "close").map_err(failed)?;
        if let Some(etag) = etag {
            head.insert_header(header::IF_NONE_MATCH, etag).map_err(failed)?;
        }
        session.write_request_header(Box::new(head)).await.map_err(failed)?;
        session.finish_request_body().await.map_err(failed)?;
        session.read_response_header().await.map_err(failed)?;
        let answer = session.response_header().ok_or("no answer")?;
        let text = |name: header::HeaderName| answer.headers.get(name).and_then(|it| it.to_str().ok());
        let mut fetched = Fetched {
            status: answer.status.as_u16(),
            body: Vec::new(),
            max_age: text(header::CACHE_CONTROL).and_then(max_age),
            etag: text(header::ETAG).map(str::to_owned),
        };
        while let Some(part) = session.read_response_body().await.map_err(failed)? {
            if fetched.body.len() + part.len() > MAX_BODY {
                return Err(format!("it is larger than {MAX_BODY} bytes"));
            }
            fetched.body.extend_from_slice(&part);
        }
        session.shutdown().await;
        Ok(fetched)
    }

    /// An address of a host that may be dialled.
    async fn address(&self, host: &str) -> Result<IpAddr, String> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return if is_reserved(address) { Err(format!("{address} must not be asked")) } else { Ok(address) };
        }
        let is_here = host == "localhost";
        let found = self.resolver.addresses(host).await;
        let admitted = |it: &IpAddr| !is_reserved(*it) && (is_here || !it.to_canonical().is_loopback());
        if found.is_empty() {
            return Err(format!("`{host}` has no address"));
        }
        found.into_iter().find(admitted).ok_or_else(|| format!("no address of `{host}` may be asked"))
    }
}

/// `max-age` of a Cache-Control header.
fn max_age(text: &str) -> Option<Duration> {
    let mut parts = text.split(',').map(str::trim);
    parts.find_map(|it| it.strip_prefix("max-age=")?.parse().ok()).map(Duration::from_secs)
}
