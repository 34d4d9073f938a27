//! The request that is asked about, from the arguments.

use std::net::IpAddr;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::Arguments;
use crate::listener::tls::certificate::ClientCertificate;
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
    /// Whether a forward proxy is asked.
    pub(super) by_proxy: bool,
    /// Address of the client.
    pub(super) client: Option<IpAddr>,
    /// Identity of the client's certificate, without `spiffe://`.
    pub(super) principal: Option<String>,
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
        if let Some(file) = &arguments.jwt {
            let token = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
            headers.append(header::AUTHORIZATION, value.map_err(|_| format!("{}: no token", file.display()))?);
        }
        Ok(Self {
            method: arguments.method.clone(),
            by_proxy: arguments.proxy || arguments.method == "CONNECT",
            scheme,
            authority: host,
            target: url.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
            headers,
            port: authority.port_u16().unwrap_or(scheme.default_port()),
            sni: arguments.sni.clone(),
            client: arguments.source_ip,
            principal: arguments.client_cert.as_deref().map(principal).transpose()?.flatten(),
        })
    }
}

/// The identity that a certificate gives.
fn principal(file: &Path) -> Result<Option<String>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let der = CertificateDer::from_pem_slice(&text).map_err(|error| wrong(&error))?;
    let read = ClientCertificate::read(&der, true).ok_or_else(|| wrong(&"no certificate"))?;
    Ok(read.uris.iter().find_map(|it| it.strip_prefix("spiffe://")).map(str::to_owned))
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
