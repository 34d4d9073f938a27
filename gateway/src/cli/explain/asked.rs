//! The request that is asked about, from the arguments.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Arguments;
use crate::routing::request::Scheme;
use crate::telemetry::template::{Facts, Field, HeaderRef};

/// The request that is asked about.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) scheme: Scheme,
    pub(super) authority: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) port: u16,
    /// Name in the TLS handshake, if it is not the host.
    pub(super) sni: Option<String>,
}

impl Asked {
    pub(super) fn parse(arguments: &Arguments) -> Result<Self, String> {
        let url: http::Uri =
            arguments.url.parse().map_err(|error| format!("`{}` is no URL: {error}", arguments.url))?;
        let scheme = match url.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") | None => Scheme::Http,
            Some(other) => return Err(format!("`{other}` is neither http nor https")),
        };
        let authority = url.authority().ok_or_else(|| format!("`{}` names no host", arguments.url))?;
        let mut headers = HeaderMap::new();
        let mut host = authority.as_str().to_owned();
        for text in &arguments.headers {
            let (name, value) =
                text.split_once(':').ok_or_else(|| format!("`{text}` must have the form name: value"))?;
            let wrong = |_| format!("`{text}` is no header");
            let name = HeaderName::try_from(name.trim()).map_err(|_| format!("`{name}` is no header name"))?;
            if name == http::header::HOST {
                value.trim().clone_into(&mut host);
            }
            headers.append(name, HeaderValue::try_from(value.trim()).map_err(wrong)?);
        }
        Ok(Self {
            method: arguments.method.clone(),
            scheme,
            authority: host,
            target: url.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
            headers,
            port: authority.port_u16().unwrap_or(scheme.default_port()),
            sni: arguments.sni.clone(),
        })
    }
}

/// What a header of the route may be made of; what only a connection knows stays empty.
impl Facts for Asked {
    fn write(&self, field: &Field, out: &mut Vec<u8>) -> bool {
        let Field::Request(first, second) = field else { return false };
        [Some(first), second.as_ref()].into_iter().flatten().any(|it| self.header(it, out))
    }
}

impl Asked {
    /// Whether it comes by TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    fn header(&self, header: &HeaderRef, out: &mut Vec<u8>) -> bool {
        let text = match header {
            HeaderRef::Field(name) => match self.headers.get(name) {
                Some(value) => value.as_bytes(),
                None if *name == header::HOST => self.authority.as_bytes(),
                None => return false,
            },
            HeaderRef::Method => self.method.as_bytes(),
            HeaderRef::Path => self.target.as_bytes(),
            HeaderRef::Authority => self.authority.as_bytes(),
            HeaderRef::Scheme => self.scheme.as_str().as_bytes(),
            HeaderRef::Status => return false,
        };
        out.extend_from_slice(text);
        true
    }
}
