//! Turns a server's definition, with what its sources hold now, into what rustls works with.

use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{NamedGroup, ServerConfig, SignatureAlgorithm, SupportedCipherSuite, version};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::client_auth::ClientVerifier;
use super::source::Pair;
use super::terms::{Clients, Definition, Terms, Versions};
use crate::digest::sha256;

/// What is in force for new handshakes.
#[derive(Debug)]
pub struct Ready {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// Who judges clients, if anybody does.
    pub verifier: Option<Arc<ClientVerifier>>,
    /// The certificates, for people.
    pub certificates: Vec<Shown>,
    /// Digest of what clients are judged by; tickets hold as long as it stays.
    judged_by: [u8; 32],
}

/// A certificate that a server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its credential, or the path it was read from.
    pub name: Box<str>,
    /// Its serial number, in hex with colons.
    pub serial: Box<str>,
    /// When it begins to hold, in seconds since 1970.
    pub not_before: i64,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
}

impl Shown {
    /// Whole days that are left; negative when it has ended.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs());
        self.not_after.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)).div_euclid(24 * 3600)
    }
}

/// Chooses by what the client can check; certificates stand in the order in which they are preferred.
#[derive(Debug)]
struct Choice(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = hello.signature_schemes();
        let fits = |it: &&Arc<CertifiedKey>| it.key.choose_scheme(offered).is_some();
        self.0.iter().find(fits).or(self.0.first()).map(Arc::clone)
    }
}

/// Reads everything, and fails when a part of it is missing or does not fit.
pub fn ready(definition: &Definition, before: Option<&Ready>) -> Result<Ready, String> {
    let Definition { sources, terms } = definition;
    let provider = Arc::new(provider(terms));
    let mut keys = Vec::new();
    let mut certificates = Vec::new();
    for pair in &sources.pairs {
        let (key, shown) = read(pair, &provider)?;
        keys.push(Arc::new(key));
        certificates.push(shown);
    }
    // ECDSA costs less than RSA, so it is taken where the client can check both.
    keys.sort_by_key(|it| it.key.algorithm() == SignatureAlgorithm::RSA);
    let authorities = sources.authorities.as_ref().map(|it| it.read()).transpose()?;
    let revoked = sources.revoked.as_ref().map(|it| it.read()).transpose()?;
    let verifier = match &terms.clients {
        Clients::Anonymous => None,
        Clients::Certified(terms) => {
            Some(Arc::new(ClientVerifier::new(terms, authorities.as_deref(), revoked.as_deref(), &provider)?))
        }
    };
    let parts = [authorities.unwrap_or_default(), revoked.unwrap_or_default()].map(|it| sha256(&it));
    let judged_by = sha256(&parts.concat());
    // A ticket stands for a client that was judged; it must not outlive what it was judged by.
    let kept = before.filter(|it| it.judged_by == judged_by).map(|it| Arc::clone(&it.config.ticketer));
    let config = config(terms, Choice(keys), verifier.clone(), (provider, kept))?;
    Ok(Ready { config: Arc::new(config), verifier, certificates, judged_by })
}

type Kept = (Arc<CryptoProvider>, Option<Arc<dyn ProducesTickets>>);

fn config(
    terms: &Terms,
    choice: Choice,
    verifier: Option<Arc<ClientVerifier>>,
    (provider, kept): Kept,
) -> Result<ServerConfig, String> {
    let versions: &[_] = match terms.versions {
        Versions::Both => &[&version::TLS13, &version::TLS12],
        Versions::Only12 => &[&version::TLS12],
        Versions::Only13 => &[&version::TLS13],
        Versions::Neither => return Err("TLS 1.1 and older are not spoken".to_owned()),
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = builder.with_cert_resolver(Arc::new(choice));
    let tickets = match kept {
        Some(it) => it,
        None => ring::Ticketer::new().map_err(|error| error.to_string())?,
    };
    settle(&mut config, tickets);
    Ok(config)
}

/// What every server here does, whoever its certificates come from.
pub fn settle(config: &mut ServerConfig, tickets: Arc<dyn ProducesTickets>) {
    // Tickets are the one way to resume: they need no memory and all workers understand them.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets;
    // Ours is the better order: clients list what they can, not what is best.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
}

/// Algorithms, narrowed to those that the terms admit.
fn provider(terms: &Terms) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !terms.suites.is_empty() {
        provider.cipher_suites.retain(|it| match it {
            SupportedCipherSuite::Tls12(it) => terms.suites.contains(&u16::from(it.common.suite)),
            SupportedCipherSuite::Tls13(_) => true,
        });
    }
    if !terms.groups.is_empty() {
        let rank = |it: NamedGroup| terms.groups.iter().position(|wanted| *wanted == u16::from(it));
        provider.kx_groups.retain(|it| rank(it.name()).is_some());
        provider.kx_groups.sort_by_key(|it| rank(it.name()));
    }
    provider
}

/// A certificate with its key, which must fit.
fn read(pair: &Pair, provider: &CryptoProvider) -> Result<(CertifiedKey, Shown), String> {
    let Pair { name, chain, key, staple } = pair;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain.read()?).collect();
    let chain: Vec<CertificateDer<'static>> = chain.map_err(|error| format!("{name}: not PEM: {error}"))?;
    let own = chain.first().ok_or_else(|| format!("{name}: no certificate"))?;
    let (_, parsed) = X509Certificate::from_der(own).map_err(|error| format!("{name}: not a certificate: {error}"))?;
    let shown = Shown {
        name: name.clone(),
        serial: parsed.raw_serial_as_string().into(),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    };
    // What is wrong with a key is never told in its own words.
    let key = PrivateKeyDer::from_pem_slice(&key.read()?).map_err(|_| format!("{name}: no private key"))?;
    let key =
        provider.key_provider.load_private_key(key).map_err(|_| format!("{name}: the private key is not usable"))?;
    let mut certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|_| format!("{name}: the certificate and the private key do not belong together"))?;
    if let Some(staple) = staple.as_ref().filter(|it| it.is_there()) {
        certified.ocsp = Some(staple.read()?).filter(|it| !it.is_empty());
    }
    Ok((certified, shown))
}
