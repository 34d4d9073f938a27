//! Fetches small documents over HTTP for the gateway itself, within bounds and not from everywhere.
//!
//! An address is judged after the name was resolved and before it is dialled, so no name
//! leads to link-local or metadata addresses; redirects are not followed. Loopback is
//! reached only when the URL names it. Through a proxy it is the proxy that resolves names.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use http::{Uri, header};
use pingora::connectors::http::Connector;
use pingora::connectors::l4::Connect;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::l4::socket::SocketAddr as Address;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::net::TcpStream;

use super::dns::Resolver;
use super::tls::Authorities;
use crate::l4::tunnel::{self, Method, Tunnel};
use crate::network::{Network, is_reserved};

/// Longest document.
const MAX_BODY: usize = 1024 * 1024;

/// Most addresses of a server that are tried.
const MAX_ADDRESSES: usize = 4;

/// Made with the first document, since it reads the system's authorities.
static HTTP: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));

/// On which terms documents are fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Who signs the certificates of servers; nobody is the system's authorities.
    pub authorities: Option<Authorities>,
    /// A forward proxy, `host:port`.
    pub proxy: Option<Box<str>>,
    /// Networks that may be asked whatever they are.
    pub allowed: Box<[Network]>,
}

/// Asks a proxy for a connection.
#[derive(Debug)]
struct Through {
    proxy: SocketAddr,
    tunnel: Tunnel,
}

#[async_trait]
impl Connect for Through {
    async fn connect(&self, _: &Address) -> pingora::Result<Stream> {
        let failed = |error| Error::because(ErrorType::ConnectError, "no way through the proxy", error);
        let mut stream = TcpStream::connect(self.proxy).await.map_err(failed)?;
        tunnel::open(&mut stream, &self.tunnel).await.map_err(failed)?;
        Ok(stream.into())
    }
}

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
    pub async fn get(
        &self,
        url: &str,
        (timeout, etag): (Duration, Option<&str>),
        terms: &Terms,
    ) -> Result<Fetched, String> {
        let fetched = tokio::time::timeout(timeout, self.get_now(url, etag, terms)).await;
        fetched.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
    }

    async fn get_now(&self, url: &str, etag: Option<&str>, terms: &Terms) -> Result<Fetched, String> {
        let url: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err("only http and https are fetched".to_owned()),
        };
        let authority = url.authority().ok_or("the URL names no host")?;
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let failed = |error: Box<pingora::Error>| error.to_string();
        let mut session = self.connect((authority.host(), port), tls, terms).await?;
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

    /// A connection to the server of a URL, by the first of its addresses that answers.
    async fn connect(&self, (host, port): (&str, u16), tls: bool, terms: &Terms) -> Result<HttpSession, String> {
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let through = match &terms.proxy {
            None => None,
            Some(proxy) => Some(Arc::new(self.through(proxy, format!("{host}:{port}")).await?)),
        };
        let addresses = match &through {
            Some(it) => vec![it.proxy],
            None => {
                let found = self.addresses(plain, &terms.allowed).await?;
                found.into_iter().map(|it| SocketAddr::new(it, port)).collect()
            }
        };
        let mut failure = String::new();
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            let mut peer = HttpPeer::new(address, tls, plain.to_owned());
            peer.options.set_http_version(1, 1);
            peer.options.ca = terms.authorities.as_ref().map(Authorities::parsed);
            peer.options.custom_l4 = through.as_ref().map(|it| Arc::clone(it) as _);
            match HTTP.get_http_session(&peer).await {
                Ok((session, _)) => return Ok(session),
                Err(error) => failure = error.to_string(),
            }
        }
        Err(failure)
    }

    async fn through(&self, proxy: &str, target: String) -> Result<Through, String> {
        let (host, port) = proxy.rsplit_once(':').ok_or("the proxy has no port")?;
        let port = port.parse().map_err(|_| "the proxy has no port")?;
        let address = match host.parse() {
            Ok(address) => address,
            Err(_) => *self.resolver.addresses(host).await.first().ok_or("the proxy has no address")?,
        };
        let tunnel = Tunnel { method: Method::Connect, target: target.into() };
        Ok(Through { proxy: SocketAddr::new(address, port), tunnel })
    }

    /// The addresses of a host that may be dialled; at least one.
    async fn addresses(&self, host: &str, allowed: &[Network]) -> Result<Vec<IpAddr>, String> {
        let is_refused = |it: IpAddr| is_reserved(it) && !allowed.iter().any(|network| network.contains(it));
        if let Ok(address) = host.parse::<IpAddr>() {
            return if is_refused(address) { Err(format!("{address} must not be asked")) } else { Ok(vec![address]) };
        }
        let is_here = host == "localhost";
        let found = self.resolver.addresses(host).await;
        let admitted = |it: &IpAddr| {
            let here = it.to_canonical().is_loopback() && !allowed.iter().any(|network| network.contains(*it));
            !is_refused(*it) && (is_here || !here)
        };
        if found.is_empty() {
            return Err(format!("`{host}` has no address"));
        }
        let admitted: Vec<IpAddr> = found.into_iter().filter(admitted).collect();
        if admitted.is_empty() { Err(format!("no address of `{host}` may be asked")) } else { Ok(admitted) }
    }
}

/// `max-age` of a Cache-Control header.
fn max_age(text: &str) -> Option<Duration> {
    let mut parts = text.split(',').map(str::trim);
    parts.find_map(|it| it.strip_prefix("max-age=")?.parse().ok()).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn surroundings_are_asked_only_where_it_is_allowed() {
        let fetcher = Fetcher::new(Resolver::new(&[]).unwrap());
        let allowed = [Network::new("169.254.7.0".parse().unwrap(), 24)];
        for (address, without, with) in [
            ("169.254.169.254", false, false),
            ("169.254.7.1", false, true),
            ("::ffff:169.254.7.1", false, true),
            ("127.0.0.1", true, true),
            ("10.0.0.1", true, true),
        ] {
            assert_eq!(fetcher.addresses(address, &[]).await.is_ok(), without, "{address}");
            assert_eq!(fetcher.addresses(address, &allowed).await.is_ok(), with, "{address}");
        }
    }
}
