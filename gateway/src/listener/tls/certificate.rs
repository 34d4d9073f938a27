//! What is read in a certificate: names, subject, times, digests.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::digest::sha256;

/// A certificate that a client showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whether an authority that is trusted signed it.
    pub is_verified: bool,
    /// SHA-256 of the certificate.
    pub hash: [u8; 32],
    /// Its subject, in the form of RFC 2253.
    pub subject: Box<str>,
    /// Its URIs, SPIFFE identities among them.
    pub uris: Box<[Box<str>]>,
    /// Its DNS names.
    pub dns_names: Box<[Box<str>]>,
    /// The certificate itself.
    pub der: Box<[u8]>,
}

impl ClientCertificate {
    /// What a certificate says, if it can be parsed.
    pub fn read(der: &[u8], is_verified: bool) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let names = names(&parsed);
        let of = |wanted: fn(&Name) -> Option<&str>| names.iter().filter_map(wanted).map(Box::from).collect();
        Some(Self {
            is_verified,
            hash: sha256(der),
            subject: subject(&parsed).into(),
            uris: of(|it| if let Name::Uri(it) = it { Some(it) } else { None }),
            dns_names: of(|it| if let Name::Dns(it) = it { Some(it) } else { None }),
            der: der.into(),
        })
    }
}

/// One subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// A URI.
    Uri(String),
    /// A DNS name.
    Dns(String),
    /// A mail address.
    Mail(String),
    /// An address.
    Ip(IpAddr),
}

impl Name {
    /// Whether it is this text.
    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Self::Uri(it) | Self::Mail(it) => it == text,
            Self::Dns(it) => it.eq_ignore_ascii_case(text),
            Self::Ip(it) => text.parse::<IpAddr>().is_ok_and(|text| text == *it),
        }
    }
}

/// The subject alternative names.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<Name> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |it: &GeneralName<'_>| match it {
        GeneralName::URI(it) => Some(Name::Uri((*it).to_owned())),
        GeneralName::DNSName(it) => Some(Name::Dns((*it).to_owned())),
        GeneralName::RFC822Name(it) => Some(Name::Mail((*it).to_owned())),
        GeneralName::IPAddress(bytes) => address(bytes).map(Name::Ip),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_) => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

/// The DNS names of a certificate.
pub fn dns_names(certificate: &X509Certificate<'_>) -> impl Iterator<Item = String> + use<> {
    names(certificate).into_iter().filter_map(|it| if let Name::Dns(it) = it { Some(it) } else { None })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|it| Ipv6Addr::from(it).into())
}

/// The subject, most specific part first (RFC 2253).
fn subject(certificate: &X509Certificate<'_>) -> String {
    let parts: Vec<String> = certificate
        .subject()
        .iter_rdn()
        .map(|part| {
            let attributes = part.iter().map(|it| {
                let registry = x509_parser::objects::oid_registry();
                let name = x509_parser::objects::oid2abbrev(it.attr_type(), registry)
                    .map_or_else(|_| it.attr_type().to_id_string(), str::to_owned);
                format!("{name}={}", escaped(it.as_str().unwrap_or_default()))
            });
            attributes.collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// A value with what has a meaning in a subject escaped (RFC 2253 §2.4).
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, it) in value.chars().enumerate() {
        let at_edge = (index == 0 && matches!(it, ' ' | '#')) || (index == last && it == ' ');
        if at_edge || matches!(it, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        if it.is_ascii_control() {
            // Writing to a String cannot fail.
            write!(out, "\\{:02X}", u32::from(it)).unwrap_or_default();
        } else {
            out.push(it);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_its_names_and_its_subject() {
        use rcgen::{CertificateParams, DnType, KeyPair, SanType};
        let mut params = CertificateParams::new(vec!["client.test".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://td/ns/a/sa/b".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Shop, Inc.");
        params.distinguished_name.push(DnType::CommonName, "client");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = ClientCertificate::read(certificate.der(), true).unwrap();
        assert_eq!(read.subject.as_ref(), "CN=client,O=Shop\\, Inc.");
        assert_eq!(read.uris.as_ref(), [Box::from("spiffe://td/ns/a/sa/b")]);
        assert_eq!(read.dns_names.as_ref(), [Box::from("client.test")]);
        assert_eq!(read.hash, sha256(certificate.der()));
        assert_eq!(ClientCertificate::read(b"nonsense", true), None);
    }
}
