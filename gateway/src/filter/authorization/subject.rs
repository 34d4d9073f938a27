//! What policies are asked of: a connection, and the request on it if there is one.

use std::net::IpAddr;

use http::HeaderMap;

use super::Attribute;
use crate::filter::authentication::claims::Claims;
use crate::filter::credential::Principal;
use crate::text::joined;

/// A connection, and the request on it if there is one.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Address of the connection's peer.
    pub peer: IpAddr,
    /// Address of the client behind trusted proxies.
    pub client: IpAddr,
    /// Address that it came to.
    pub destination: IpAddr,
    /// Declared port of the listener.
    pub port: u16,
    /// Server name of the handshake; empty when there was none.
    pub server_name: &'a str,
    /// Identity of the client certificate, without `spiffe://`, if it is verified.
    pub principal: Option<&'a str>,
    /// The request.
    pub http: Option<Http<'a>>,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Http<'a> {
    /// Method.
    pub method: &'a str,
    /// Host with port, as sent, in lower case.
    pub host: &'a str,
    /// Normalised path without query.
    pub path: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// What its token says.
    pub claims: Option<&'a Claims>,
    /// Who it comes from, as keys and passwords say.
    pub credentials: &'a [Principal],
}

/// The parts of a SPIFFE identity `trust-domain/ns/namespace/sa/account`.
struct Spiffe<'a> {
    trust_domain: &'a str,
    namespace: &'a str,
    account: &'a str,
}

impl<'a> Spiffe<'a> {
    fn parse(principal: &'a str) -> Option<Self> {
        let mut parts = principal.split('/');
        let trust_domain = parts.next()?;
        let (Some("ns"), Some(namespace), Some("sa"), Some(account), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(Self { trust_domain, namespace, account })
    }
}

impl Subject<'_> {
    /// Whether an attribute has one of the values that are asked for; `None` when only HTTP would know.
    pub(super) fn asks(&self, attribute: &Attribute) -> Option<bool> {
        let spiffe = || self.principal.and_then(Spiffe::parse);
        let http = self.http.as_ref();
        let of_http = |holds: &dyn Fn(&Http<'_>) -> bool| http.map(holds);
        let of_claims = |holds: &dyn Fn(&Claims) -> bool| http.map(|it| it.claims.is_some_and(holds));
        match attribute {
            Attribute::Principal(values) => Some(self.principal.is_some_and(|it| values.hold(it))),
            Attribute::Namespace(values) => Some(spiffe().is_some_and(|it| values.hold(it.namespace))),
            Attribute::ServiceAccount(values) => Some(spiffe().is_some_and(|it| values.hold(it.namespace, it.account))),
            Attribute::TrustDomain(values) => Some(spiffe().is_some_and(|it| values.hold(it.trust_domain))),
            Attribute::Peer(values) => Some(values.hold(self.peer)),
            Attribute::Client(values) => Some(values.hold(self.client)),
            Attribute::Destination(values) => Some(values.hold(self.destination)),
            Attribute::Port(values) => Some(values.contains(&self.port)),
            Attribute::ServerName(values) => Some(values.hold(self.server_name)),
            Attribute::RequestPrincipal(values) => of_http(&|it| {
                it.claims.is_some_and(|it| values.hold(&it.issuer, &it.subject))
                    || it.credentials.iter().any(|it| values.hold(it.kind, &it.name))
            }),
            Attribute::Audience(values) => of_claims(&|it| it.audiences.iter().any(|it| values.hold(it))),
            Attribute::Presenter(values) => of_claims(&|it| values.hold(&it.presenter)),
            Attribute::Claim(path, values) => of_claims(&|it| it.any(path, |it| values.hold(it))),
            Attribute::Host(values) => of_http(&|it| values.hold(it.host)),
            Attribute::Method(values) => of_http(&|it| values.hold(it.method)),
            Attribute::Path(values) => of_http(&|it| values.hold(it.path)),
            Attribute::Header(name, values) => {
                of_http(&|it| joined(it.headers, name).is_some_and(|it| values.hold(&it)))
            }
        }
    }
}
