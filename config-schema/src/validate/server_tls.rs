//! Rules of the TLS that a server ends: certificates that fit its mode, versions, cipher suites.

use std::collections::HashSet;

use super::check::Check;
use crate::istio::gateway::{ServerTls, TlsMode, TlsVersion};

/// Certificates of one server: an RSA and an ECDSA one.
const MAX_CERTIFICATES: usize = 2;

/// Cipher suites of TLS 1.2 that can be asked for by OpenSSL's names.
const CIPHERS: [&str; 16] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "ECDHE-PSK-AES128-CBC-SHA",
    "DES-CBC3-SHA",
];

pub(super) fn check<T>(check: &mut Check<'_, T>, at: &str, tls: &ServerTls) {
    let mode = tls.mode.unwrap_or(TlsMode::Passthrough);
    let sources = usize::from(!tls.credential_name.is_empty())
        + usize::from(!tls.credential_names.is_empty())
        + usize::from(!tls.server_certificate.is_empty() && !tls.private_key.is_empty())
        + usize::from(!tls.tls_certificates.is_empty());
    if sources > 1 {
        let message = "only one of credentialName, credentialNames, serverCertificate with privateKey, and tlsCertificates may be given";
        check.error(at, message);
    }
    if tls.credential_names.len() > MAX_CERTIFICATES {
        check.error(format_args!("{at}.credentialNames"), "at most two credentials: one RSA, one ECDSA");
    }
    if tls.tls_certificates.len() > MAX_CERTIFICATES {
        check.warn(format_args!("{at}.tlsCertificates"), "at most two certificates are used: one RSA, one ECDSA");
    }
    versions(check, at, tls);
    ciphers(check, at, &tls.cipher_suites);
    match mode {
        TlsMode::Passthrough | TlsMode::AutoPassthrough => {
            if sources > 0 || !tls.ca_certificates.is_empty() {
                check.warn(at, "certificates are not used when TLS is passed through");
            }
        }
        TlsMode::IstioMutual => {
            let own = [&tls.server_certificate, &tls.private_key, &tls.ca_certificates];
            if sources > 0 || own.iter().any(|it| !it.is_empty()) {
                check.error(at, "ISTIO_MUTUAL takes the mesh's certificates and cannot have associated ones");
            }
        }
        TlsMode::Simple => {
            certificates(check, at, tls, "SIMPLE");
            if !tls.ca_crl.is_empty() && tls.credential_name.is_empty() {
                check.error(format_args!("{at}.caCrl"), "CRL is not supported with SIMPLE TLS");
            }
        }
        TlsMode::Mutual | TlsMode::OptionalMutual => {
            certificates(check, at, tls, "MUTUAL");
            let by_secret = !tls.credential_name.is_empty() || !tls.credential_names.is_empty();
            if tls.ca_certificates.is_empty() && !by_secret && tls.ca_cert_credential_name.is_empty() {
                check.error(format_args!("{at}.caCertificates"), "MUTUAL TLS requires a client CA bundle");
            }
        }
    }
    if !tls.ca_crl.is_empty() && !tls.credential_name.is_empty() {
        check.warn(format_args!("{at}.caCrl"), "the CRL of the credential is used instead of this file");
    }
    hashes(check, at, tls);
}

fn hashes<T>(check: &mut Check<'_, T>, at: &str, tls: &ServerTls) {
    for (index, hash) in tls.verify_certificate_hash.iter().enumerate() {
        let digits = hash.bytes().filter(|it| *it != b':').count();
        if digits != 64 || !hash.bytes().all(|it| it.is_ascii_hexdigit() || it == b':') {
            check
                .error(format_args!("{at}.verifyCertificateHash[{index}]"), "expected 64 hexadecimal digits (SHA-256)");
        }
    }
    for (index, hash) in tls.verify_certificate_spki.iter().enumerate() {
        let is_base64 = hash.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'='));
        if hash.len() != 44 || !is_base64 {
            check.error(format_args!("{at}.verifyCertificateSpki[{index}]"), "expected base64 of 32 bytes (SHA-256)");
        }
    }
}

fn certificates<T>(check: &mut Check<'_, T>, at: &str, tls: &ServerTls, mode: &str) {
    if !tls.credential_name.is_empty() || !tls.credential_names.is_empty() {
        return;
    }
    let mut pair = |at: &str, certificate: &str, key: &str| {
        if certificate.is_empty() {
            check.error(format_args!("{at}.serverCertificate"), format!("{mode} TLS requires a server certificate"));
        }
        if key.is_empty() {
            check.error(format_args!("{at}.privateKey"), format!("{mode} TLS requires a private key"));
        }
    };
    if tls.tls_certificates.is_empty() {
        pair(at, &tls.server_certificate, &tls.private_key);
    }
    for (index, it) in tls.tls_certificates.iter().enumerate() {
        pair(&format!("{at}.tlsCertificates[{index}]"), &it.server_certificate, &it.private_key);
    }
}

fn versions<T>(check: &mut Check<'_, T>, at: &str, tls: &ServerTls) {
    let set = |it: Option<TlsVersion>| it.filter(|it| *it != TlsVersion::Auto);
    if let (Some(min), Some(max)) = (set(tls.min_protocol_version), set(tls.max_protocol_version))
        && min > max
    {
        check.error(format_args!("{at}.minProtocolVersion"), "the lowest version is above the highest");
    }
    if set(tls.min_protocol_version).is_some_and(|it| it < TlsVersion::V1_2) && tls.cipher_suites.is_empty() {
        let message = "versions below TLS 1.2 are not served without cipherSuites that name old ciphers";
        check.warn(format_args!("{at}.minProtocolVersion"), message);
    }
}

fn ciphers<T>(check: &mut Check<'_, T>, at: &str, suites: &[String]) {
    let mut seen = HashSet::new();
    for (index, suite) in suites.iter().enumerate() {
        if !CIPHERS.contains(&suite.as_str()) {
            check.warn(
                format_args!("{at}.cipherSuites[{index}]"),
                format!("unknown cipher suite `{suite}` is left out"),
            );
        }
        if !seen.insert(suite) {
            check.warn(format_args!("{at}.cipherSuites[{index}]"), format!("`{suite}` is listed twice"));
        }
    }
}
