//! Where a redirect sends the client.

use http::StatusCode;

use super::request::{Request, Scheme};
use super::rewrite::replace_segments;
use crate::text::host_of;

/// A compiled redirect; what it does not replace stays as the client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// New scheme.
    pub scheme: Option<Scheme>,
    /// New host without port.
    pub host: Option<Box<str>>,
    /// New port.
    pub port: RedirectPort,
    /// New path.
    pub path: RedirectPath,
}

/// How the port is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectPort {
    /// As the client sent it, unless the scheme or host changes it.
    Keep,
    /// This one.
    Fixed(u16),
    /// The scheme's.
    ProtocolDefault,
    /// The listener's.
    Listener,
}

/// How the path is chosen; the query is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectPath {
    /// As the client sent it.
    Keep,
    /// This one; a query of its own replaces the client's.
    Replace(Box<str>),
    /// The first bytes replaced.
    ReplacePrefix(usize, Box<str>),
    /// The first bytes, whole segments, replaced (Gateway API).
    ReplaceSegments(usize, Box<str>),
}

impl Redirect {
    /// Every plain request to the same place by https (Envoy's `require_tls`).
    pub fn to_https() -> Self {
        Self {
            status: StatusCode::MOVED_PERMANENTLY,
            scheme: Some(Scheme::Https),
            host: None,
            port: RedirectPort::ProtocolDefault,
            path: RedirectPath::Keep,
        }
    }

    /// The value of `Location`.
    pub fn location(&self, request: &Request<'_>) -> String {
        let scheme = self.scheme.unwrap_or(request.scheme);
        let own_host = host_of(request.authority);
        let own_port = request.authority.get(own_host.len() + 1..).and_then(|it| it.parse::<u16>().ok());
        let host = self.host.as_deref().unwrap_or(own_host);
        let port = match self.port {
            RedirectPort::Fixed(port) => Some(port),
            RedirectPort::ProtocolDefault => None,
            RedirectPort::Listener => Some(request.port),
            RedirectPort::Keep if self.host.is_some() => None,
            // A port that was the old scheme's own goes with the scheme.
            RedirectPort::Keep if scheme != request.scheme && own_port == Some(request.scheme.default_port()) => None,
            RedirectPort::Keep => own_port,
        };
        let port = port.filter(|it| *it != scheme.default_port()).map(|it| format!(":{it}")).unwrap_or_default();
        format!("{}://{host}{port}{}", scheme.as_str(), self.target(request))
    }

    fn target(&self, request: &Request<'_>) -> String {
        match &self.path {
            RedirectPath::Keep => request.target.to_owned(),
            RedirectPath::Replace(path) if path.contains('?') => path.to_string(),
            RedirectPath::Replace(path) => format!("{path}{}", request.query()),
            RedirectPath::ReplaceSegments(length, segments) => {
                format!("{}{}", replace_segments(request.path(), *length, segments), request.query())
            }
            RedirectPath::ReplacePrefix(length, prefix) => {
                format!("{prefix}{}{}", request.path().get(*length..).unwrap_or_default(), request.query())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[track_caller]
    fn check(redirect: &Redirect, authority: &str, expected: &str) {
        let headers = HeaderMap::new();
        let request = Request {
            method: "GET",
            scheme: Scheme::Http,
            authority,
            target: "/a/b?c=d",
            headers: &headers,
            port: 8080,
            claims: None,
        };
        assert_eq!(redirect.location(&request), expected);
    }

    #[test]
    fn only_what_is_named_changes() {
        let base = Redirect { scheme: None, port: RedirectPort::Keep, ..Redirect::to_https() };
        let path = |it: &str| RedirectPath::Replace(it.into());
        check(&Redirect { path: path("/x"), ..base.clone() }, "h:81", "http://h:81/x?c=d");
        check(&Redirect { path: path("/x?y"), ..base.clone() }, "h", "http://h/x?y");
        check(&Redirect { path: RedirectPath::ReplacePrefix(2, "/z".into()), ..base.clone() }, "h", "http://h/z/b?c=d");
        check(&Redirect { host: Some("o".into()), ..base.clone() }, "h:81", "http://o/a/b?c=d");
        check(&Redirect { port: RedirectPort::Listener, ..base.clone() }, "h", "http://h:8080/a/b?c=d");
        check(&Redirect { port: RedirectPort::Fixed(80), ..base.clone() }, "h:81", "http://h/a/b?c=d");
        check(&Redirect { scheme: Some(Scheme::Https), ..base.clone() }, "h:80", "https://h/a/b?c=d");
        check(&Redirect { scheme: Some(Scheme::Https), ..base }, "h:81", "https://h:81/a/b?c=d");
        check(&Redirect::to_https(), "h:8080", "https://h/a/b?c=d");
    }
}
