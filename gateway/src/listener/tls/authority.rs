//! Makes the certificates that clients are shown where a forward proxy ends their TLS inside of a tunnel.
//!
//! An authority of the operator's signs; its key never leaves this module. All certificates of
//! one authority share a key that is made with it and ends with it. A certificate is made
//! when a host is first asked for, is kept for the hosts asked for last, and is made anew
//! long before it ends. An authority that cannot sign makes nothing: tunnels of its hosts are
//! refused, never passed on unread.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lru::LruCache;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::ProducesTickets;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::config::settle;
use super::source::Source;
use crate::digest::sha256;
use crate::origin::DocumentOrigin;

/// How long a certificate holds; clients of the web admit no more than about a year.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// What is left of that when a new one is made.
const LEFT: Duration = Duration::from_secs(24 * 3600);
/// How far the clocks of clients may be behind.
const SKEW: Duration = Duration::from_secs(24 * 3600);
/// Certificates that are kept.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(1024).expect("it is more than none");
/// Longest common name (RFC 5280, ub-common-name); the name that counts is the alternative one.
const MAX_COMMON_NAME: usize = 64;

/// Whose TLS ends here, and who says so.
#[derive(Debug)]
pub struct Interception {
    /// The policy.
    pub policy: Arc<DocumentOrigin>,
    /// Who signs what clients are shown.
    pub signer: Signer,
}

/// Who signs.
#[derive(Debug)]
pub enum Signer {
    /// This authority.
    Ready(Arc<Authority>),
    /// Nobody, for this reason.
    Unavailable(Box<str>),
}

/// An authority of the operator's.
pub struct Authority {
    /// What it was made of, to tell whether another is the same.
    made_of: [u8; 32],
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate and those above it, but for roots, which clients have.
    above: Vec<CertificateDer<'static>>,
    ends: SystemTime,
    key: KeyPair,
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    kept: Mutex<LruCache<Box<str>, Made>>,
}

/// A certificate that was made.
#[derive(Clone)]
struct Made {
    config: Arc<ServerConfig>,
    ends: SystemTime,
}

/// Tells nothing of the keys.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority of a certificate and its key, or one of `before` if it is the same.
    pub fn read<'a>(
        (chain, key): (&Source, &Source),
        mut before: impl Iterator<Item = &'a Arc<Self>>,
    ) -> Result<Arc<Self>, String> {
        let (chain, key) = (chain.read()?, key.read()?);
        let made_of = sha256(&[sha256(&chain), sha256(&key)].concat());
        match before.find(|it| it.made_of == made_of) {
            Some(it) => Ok(Arc::clone(it)),
            None => Self::new(made_of, &chain, &key).map(Arc::new),
        }
    }

    fn new(made_of: [u8; 32], chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| format!("not PEM: {error}"))?;
        let own = chain.first().ok_or("no certificate")?;
        let (_, parsed) = X509Certificate::from_der(own).map_err(|error| format!("not a certificate: {error}"))?;
        let signs = parsed.key_usage().ok().flatten().is_none_or(|it| it.value.key_cert_sign());
        if !parsed.is_ca() || !signs {
            return Err("the certificate is not one of an authority (CA:TRUE, keyCertSign)".to_owned());
        }
        let is_root = parsed.issuer() == parsed.subject();
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        let provider = Arc::new(ring::default_provider());
        // What is wrong with a key is never told in its own words.
        let der = PrivateKeyDer::from_pem_slice(key).map_err(|_| "no private key")?;
        let loaded = provider.key_provider.load_private_key(der.clone_key());
        let pair = CertifiedKey::new(vec![own.clone()], loaded.map_err(|_| "the private key is not usable")?);
        pair.keys_match().map_err(|_| "the certificate and the private key do not belong together")?;
        let PrivateKeyDer::Pkcs8(der) = der else {
            return Err("the private key of an authority must be PKCS#8 (BEGIN PRIVATE KEY)".to_owned());
        };
        let signing = KeyPair::try_from(&der).map_err(|_| "the private key is of a kind that cannot sign here")?;
        let issuer = Issuer::from_ca_cert_der(own, signing).map_err(|error| format!("not usable: {error}"))?;
        Ok(Self {
            made_of,
            issuer,
            above: if is_root { Vec::new() } else { chain },
            ends: SystemTime::UNIX_EPOCH + Duration::from_secs(ends),
            key: KeyPair::generate().map_err(|error| format!("no key can be made: {error}"))?,
            provider,
            tickets: ring::Ticketer::new().map_err(|error| format!("no tickets can be made: {error}"))?,
            kept: Mutex::new(LruCache::new(MAX_KEPT)),
        })
    }

    /// When its own certificate ends.
    pub fn ends(&self) -> SystemTime {
        self.ends
    }

    /// What answers for a host, by its name in lower case; `serial` is drawn by the caller.
    pub fn server(&self, host: &str, now: SystemTime, serial: u128) -> Result<Arc<ServerConfig>, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = kept.get(host).filter(|it| it.ends > now + LEFT) {
            return Ok(Arc::clone(&made.config));
        }
        let ends = self.ends.min(now + LIFE);
        if ends <= now {
            return Err("the certificate of the authority has expired".to_owned());
        }
        let made = self.make(host, (now, ends), serial)?;
        kept.put(host.into(), Made { config: Arc::clone(&made), ends });
        Ok(made)
    }

    fn make(
        &self,
        host: &str,
        (now, ends): (SystemTime, SystemTime),
        serial: u128,
    ) -> Result<Arc<ServerConfig>, String> {
        let wrong = |error: rcgen::Error| format!("no certificate can be made for `{host}`: {error}");
        let mut params = CertificateParams::new([host.to_owned()]).map_err(wrong)?;
        params.distinguished_name = DistinguishedName::new();
        if host.len() <= MAX_COMMON_NAME {
            params.distinguished_name.push(DnType::CommonName, host);
        }
        // Positive, as serial numbers are (RFC 5280 §4.1.2.2).
        params.serial_number = Some(SerialNumber::from((serial >> 1).to_be_bytes().to_vec()));
        params.not_before = (now - SKEW).into();
        params.not_after = ends.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&self.key, &self.issuer).map_err(wrong)?;
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).map_err(str::to_owned)?;
        let key = self.provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
        let chain = [leaf.der().clone()].into_iter().chain(self.above.iter().cloned()).collect();
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))));
        settle(&mut config, Arc::clone(&self.tickets));
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, IsCa};

    fn signed_by_itself(is_ca: IsCa) -> (Source, Source) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        let given = |it: String| Source::Given(it.into_bytes().into());
        (given(certificate.pem()), given(key.serialize_pem()))
    }

    #[test]
    fn only_an_authority_with_its_own_key_signs() {
        let (chain, key) = signed_by_itself(IsCa::Ca(BasicConstraints::Unconstrained));
        let (plain, plain_key) = signed_by_itself(IsCa::NoCa);
        let read = |chain: &Source, key: &Source| Authority::read((chain, key), std::iter::empty()).map(drop);
        assert_eq!(read(&chain, &key), Ok(()));
        assert!(read(&plain, &plain_key).unwrap_err().contains("authority"));
        assert!(read(&chain, &plain_key).unwrap_err().contains("belong together"));
        assert!(read(&chain, &chain).unwrap_err().contains("no private key"));
        assert!(read(&Source::Missing("nowhere".into()), &key).unwrap_err().contains("nowhere"));
    }

    #[test]
    fn certificates_are_kept_until_they_come_near_their_end() {
        let (chain, key) = signed_by_itself(IsCa::Ca(BasicConstraints::Unconstrained));
        let authority = Authority::read((&chain, &key), std::iter::empty()).unwrap();
        let again = Authority::read((&chain, &key), [&authority].into_iter()).unwrap();
        assert!(Arc::ptr_eq(&authority, &again), "a reload keeps what was made");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let at = |host: &str, days: u32| authority.server(host, now + LEFT * days, 7).unwrap();
        let first = at("a.test", 0);
        assert!(Arc::ptr_eq(&first, &at("a.test", 5)));
        assert!(!Arc::ptr_eq(&first, &at("b.test", 0)));
        assert!(!Arc::ptr_eq(&first, &at("a.test", 6)));
        assert!(authority.server("a.test", authority.ends(), 7).unwrap_err().contains("expired"));
    }
}
