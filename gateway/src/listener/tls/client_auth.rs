//! Judges the certificate of a client: its chain, then what the server asks of it by name or digest.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate::{ClientCertificate, names};
use super::terms::ClientTerms;
use crate::digest::sha256;

/// Judges the certificates of clients.
#[derive(Debug)]
pub struct ClientVerifier {
    /// Judges the chain; absent where no authority is trusted, so that none is believed.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    terms: ClientTerms,
    provider: Arc<CryptoProvider>,
}

impl ClientVerifier {
    /// One that trusts these authorities (PEM) except for what these lists (PEM) revoke.
    pub fn new(
        terms: &ClientTerms,
        authorities: Option<&[u8]>,
        revoked: Option<&[u8]>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let chain = authorities.map(|it| chain(it, revoked, provider)).transpose()?;
        if chain.is_none() && !terms.admits_untrusted {
            return Err("there are no authorities for client certificates".to_owned());
        }
        Ok(Self { chain, terms: terms.clone(), provider: Arc::clone(provider) })
    }

    /// What the chain that a client showed says of it.
    pub fn identify(&self, shown: &[CertificateDer<'_>], now: UnixTime) -> Option<ClientCertificate> {
        let (own, others) = shown.split_first()?;
        // The handshake has judged it already, unless bad ones are admitted.
        let is_verified = !self.terms.admits_untrusted || self.judge_chain(own, others, now).is_ok();
        ClientCertificate::read(own, is_verified)
    }

    fn judge_chain(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.chain {
            Some(chain) => chain.verify_client_cert(own, others, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    /// Whether it is one of those that are asked for by name or digest.
    fn is_wanted(&self, own: &CertificateDer<'_>) -> bool {
        let ClientTerms { required: _, admits_untrusted: _, names: wanted, hashes, key_hashes } = &self.terms;
        let Ok((_, parsed)) = X509Certificate::from_der(own) else { return false };
        let named = wanted.is_empty() || {
            let names = names(&parsed);
            wanted.iter().any(|wanted| names.iter().any(|it| it.is(wanted)))
        };
        let pinned = (hashes.is_empty() && key_hashes.is_empty())
            || hashes.contains(&sha256(own))
            || key_hashes.contains(&sha256(parsed.public_key().raw));
        named && pinned
    }
}

fn chain(
    authorities: &[u8],
    revoked: Option<&[u8]>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for it in CertificateDer::pem_slice_iter(authorities) {
        let it = it.map_err(|error| format!("the client authorities are not PEM: {error}"))?;
        roots.add(it).map_err(|error| format!("a client authority is not usable: {error}"))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if let Some(revoked) = revoked {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(revoked).collect();
        let lists = lists.map_err(|error| format!("the revocation list is not PEM: {error}"))?;
        if lists.is_empty() {
            return Err("there is no revocation list in the file that should hold it".to_owned());
        }
        // As Envoy does, the whole chain is looked up, and a list that is too old counts for nothing.
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    builder.build().map(|it| it as Arc<dyn ClientCertVerifier>).map_err(|error| format!("client authorities: {error}"))
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.terms.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |it| it.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.terms.admits_untrusted {
            self.judge_chain(own, others, now)?;
        }
        if self.is_wanted(own) || self.terms.admits_untrusted {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
