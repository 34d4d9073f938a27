//! Certificates and keys for connections to upstreams, checked once and shared by all of them.
//!
//! Pingora panics on what is no certificate or key, so nothing gets there that was not
//! parsed here before. Two are the same when their bytes are.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

/// Authorities whose certificates are trusted.
#[derive(Clone)]
pub struct Authorities {
    pem: Arc<[u8]>,
    parsed: Arc<CaType>,
}

/// A certificate chain with its key.
#[derive(Clone)]
pub struct Identity {
    pem: Arc<[u8]>,
    parsed: Arc<CertKey>,
}

/// Certificates that are not accepted any more, by their serial numbers.
///
/// Pingora's verifier knows no revocation, so the server's own certificate is looked up after
/// the handshake; authorities between it and the root are not.
#[derive(Clone)]
pub struct Revoked {
    pem: Arc<[u8]>,
    serials: Arc<HashSet<String>>,
}

impl Revoked {
    /// The revocation lists in a PEM text; at least one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        let lists = lists.map_err(|error| format!("not PEM: {error}"))?;
        if lists.is_empty() {
            return Err("no revocation list".to_owned());
        }
        let mut serials = HashSet::new();
        for it in &lists {
            let (_, list) =
                CertificateRevocationList::from_der(it).map_err(|error| format!("not a revocation list: {error}"))?;
            serials.extend(list.iter_revoked_certificates().map(|it| it.raw_serial_as_string()));
        }
        Ok(Self { pem: pem.into(), serials: Arc::new(serials) })
    }

    /// Whether a certificate of this serial number is among them; in hex with colons.
    pub fn contains(&self, serial: &str) -> bool {
        self.serials.contains(serial)
    }
}

impl Authorities {
    /// The authorities in a PEM text; at least one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let parsed: Vec<WrappedX509> =
            certificates(pem)?.into_iter().map(|it| WrappedX509::new(it, parse_x509)).collect();
        Ok(Self { pem: pem.into(), parsed: parsed.into() })
    }

    /// In Pingora's form.
    pub fn parsed(&self) -> Arc<CaType> {
        Arc::clone(&self.parsed)
    }
}

impl Identity {
    /// The chain and the key in two PEM texts.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let certificates = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("no private key: {error}"))?;
        let key = key.secret_der().to_vec();
        PrivateKeyDer::try_from(key.as_slice()).map_err(|error| format!("no private key: {error}"))?;
        let mut pem = chain.to_vec();
        pem.extend_from_slice(&key);
        Ok(Self { pem: pem.into(), parsed: Arc::new(CertKey::new(certificates, key)) })
    }

    /// In Pingora's form.
    pub fn parsed(&self) -> Arc<CertKey> {
        Arc::clone(&self.parsed)
    }
}

/// The certificates of a PEM text, each of which can be parsed.
fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("not PEM: {error}"))?;
    if found.is_empty() {
        return Err("no certificate".to_owned());
    }
    for it in &found {
        X509Certificate::from_der(it).map_err(|error| format!("not a certificate: {error}"))?;
    }
    Ok(found.into_iter().map(|it| it.to_vec()).collect())
}

/// By their bytes alone, of which none is printed.
macro_rules! by_bytes {
    ($type:ident) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.pem == other.pem
            }
        }

        impl Eq for $type {}

        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.pem.hash(state);
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    };
}

by_bytes!(Authorities);
by_bytes!(Identity);
by_bytes!(Revoked);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_an_error_and_never_a_panic() {
        let wrap = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        for text in [
            String::new(),
            "garbage".to_owned(),
            wrap("CERTIFICATE", "AAAA"),
            wrap("CERTIFICATE", "!!!!"),
            wrap("PRIVATE KEY", "AAAA"),
            wrap("X509 CRL", "AAAA"),
        ] {
            assert!(Authorities::from_pem(text.as_bytes()).is_err(), "{text}");
            assert!(Identity::from_pem(text.as_bytes(), text.as_bytes()).is_err(), "{text}");
            assert!(Revoked::from_pem(text.as_bytes()).is_err(), "{text}");
        }
    }
}
