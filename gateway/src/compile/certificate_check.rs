//! Reads every certificate that servers show, and says what is wrong with it before a client does.
//!
//! What is wrong with one certificate concerns its server alone, so that a gateway starts
//! all the same; `sluice check` calls it an error where clients would be turned away.

use std::time::{SystemTime, UNIX_EPOCH};

use config_schema::document::Resource;
use config_schema::istio::gateway::{ServerTls, TlsMode};
use config_schema::native::egress_policy::Interception;
use config_schema::problem::{Code, code};
use config_schema::value::host;
use config_schema::{Config, Problem, Problems, Severity};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::{egress, interception, listeners, tls_servers};
use crate::listener::tls::certificate;
use crate::listener::tls::config;
use crate::listener::tls::source::{Pair, Source};
use crate::listener::tls::terms::Definition;

/// RSA keys below this many bits can be broken.
const MIN_RSA_BITS: usize = 2048;
/// Days before the end of a certificate from which on it is reported.
const SOON: i64 = 30;
/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// A server whose certificates are judged.
struct Judged<'a, T> {
    resource: &'a Resource<T>,
    field: String,
    problems: &'a mut Problems,
}

/// What is wrong with the certificates of the servers that select this gateway.
pub fn check(config: &Config, now: SystemTime) -> Problems {
    let mut problems = Problems::about(config.documents.sources.clone());
    for (gateway, server) in listeners::ours(config) {
        let Some(tls) = &server.tls else { continue };
        let field = format!("{}.tls", listeners::field(config, gateway, server));
        let mut judged = Judged { resource: gateway, field, problems: &mut problems };
        match tls.mode.unwrap_or(TlsMode::Passthrough) {
            TlsMode::Passthrough => {}
            TlsMode::AutoPassthrough => judged.say(
                code::NOT_HONOURED,
                Severity::Warning,
                "AUTO_PASSTHROUGH belongs to meshes of several clusters; connections to this server are closed",
                "use PASSTHROUGH with `tls` rules that name each SNI",
            ),
            TlsMode::Simple | TlsMode::Mutual | TlsMode::OptionalMutual | TlsMode::IstioMutual => {
                judged.server(tls, &server.hosts, config, now);
            }
        }
    }
    for policy in egress::ours(config) {
        let mut judged = Judged { resource: policy, field: "spec.tls".to_owned(), problems: &mut problems };
        if let Some(tls) = &policy.spec.tls {
            judged.server(tls, &[], config, now);
        }
        if let Some(written) = &policy.spec.interception {
            "spec.interception.credentialName".clone_into(&mut judged.field);
            judged.authority(written, config, now);
        }
    }
    problems
}

impl<T> Judged<'_, T> {
    fn say(&mut self, code: Code, severity: Severity, message: impl Into<String>, help: &str) {
        let problem: Problem = self.resource.problem(code, severity, &self.field, message.into());
        self.problems.push(problem.help(help));
    }

    fn server(&mut self, tls: &ServerTls, hosts: &[String], config: &Config, now: SystemTime) {
        if tls.https_redirect && tls.server_certificate.is_empty() && tls.credential_name.is_empty() {
            return;
        }
        let definition: Definition = tls_servers::definition(tls, config);
        let is_there = definition.sources.pairs.iter().all(|it| it.chain.is_there() && it.key.is_there());
        if definition.sources.pairs.iter().any(|it| matches!(it.chain, Source::Missing(_))) {
            // Validation has said already that the credential is nowhere.
            return;
        }
        if let Err(message) = config::ready(&definition, None) {
            // A secret may still be on its way; what is there and does not work is a mistake.
            let severity = if is_there { Severity::Error } else { Severity::Warning };
            let help = "handshakes with this server fail until it is mended; it is read anew when its files change";
            self.say(code::GATEWAY_CREDENTIAL, severity, message, help);
        }
        for pair in &definition.sources.pairs {
            self.pair(pair, hosts, now);
        }
    }

    /// An authority that signs for hosts whose TLS ends here.
    fn authority(&mut self, written: &Interception, config: &Config, now: SystemTime) {
        let authority = match interception::authority(config, written, None) {
            Ok(it) => it,
            Err(message) => {
                let help = "tunnels to these hosts are refused until it is mended and the configuration is read again";
                return self.say(code::GATEWAY_CREDENTIAL, Severity::Error, message, help);
            }
        };
        let left = authority.ends().duration_since(now).map(|it| it.as_secs() / DAY);
        let name = &written.credential_name;
        match left {
            Err(_) => {
                let message = format!("{name}: the certificate of the authority has expired");
                self.say(code::CERTIFICATE_TIME, Severity::Error, message, "tunnels to these hosts are refused");
            }
            Ok(days) if days < SOON.unsigned_abs() => {
                let message = format!("{name}: the certificate of the authority expires in {days} days");
                self.say(code::CERTIFICATE_TIME, Severity::Warning, message, "renew it in time");
            }
            Ok(_) => {}
        }
    }

    fn pair(&mut self, pair: &Pair, hosts: &[String], now: SystemTime) {
        let Ok(text) = pair.chain.read() else { return };
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
        let Some(own) = chain.first() else { return };
        let Ok((_, parsed)) = X509Certificate::from_der(own) else { return };
        let name = &pair.name;
        self.times(name, &parsed, now);
        self.strength(name, &parsed);
        let is_self_signed = parsed.issuer() == parsed.subject();
        if chain.len() == 1 && !is_self_signed && !parsed.is_ca() && is_public(&parsed) {
            let message = format!("{name}: the chain ends with the server's own certificate");
            let help =
                "clients that do not know the intermediate refuse it; put its issuers behind it, without the root";
            self.say(code::CERTIFICATE_CHAIN, Severity::Warning, message, help);
        }
        for pair in chain.windows(2) {
            let [child, parent] = pair else { continue };
            let (Ok((_, child)), Ok((_, parent))) =
                (X509Certificate::from_der(child), X509Certificate::from_der(parent))
            else {
                continue;
            };
            if child.issuer() != parent.subject() {
                let message = format!("{name}: a certificate of the chain was not issued by the one that follows it");
                let help = "order the chain from the server's own certificate to its issuers";
                self.say(code::CERTIFICATE_CHAIN, Severity::Error, message, help);
            }
        }
        self.names(name, &parsed, hosts);
    }

    fn times(&mut self, name: &str, parsed: &X509Certificate<'_>, now: SystemTime) {
        let now = i64::try_from(now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())).unwrap_or(i64::MAX);
        let validity = parsed.validity();
        let days = validity.not_after.timestamp().saturating_sub(now).div_euclid(24 * 3600);
        let help = "clients refuse it; put a valid one in its place, the gateway takes it without a reload";
        if validity.not_before.timestamp() > now {
            let message = format!("{name}: the certificate is not valid before {}", validity.not_before);
            self.say(code::CERTIFICATE_TIME, Severity::Error, message, help);
        } else if days < 0 {
            let message = format!("{name}: the certificate has expired on {}", validity.not_after);
            self.say(code::CERTIFICATE_TIME, Severity::Error, message, help);
        } else if days < SOON {
            let message = format!("{name}: the certificate expires in {days} days");
            self.say(code::CERTIFICATE_TIME, Severity::Warning, message, "renew it in time");
        }
    }

    fn strength(&mut self, name: &str, parsed: &X509Certificate<'_>) {
        if let Ok(PublicKey::RSA(key)) = parsed.public_key().parsed()
            && key.key_size() < MIN_RSA_BITS
        {
            let message = format!("{name}: an RSA key of {} bits can be broken", key.key_size());
            self.say(code::WEAK_KEY, Severity::Error, message, "use at least 2048 bits, or ECDSA with P-256");
        }
    }

    /// Whether each host of the server is covered by a name of the certificate.
    fn names(&mut self, name: &str, parsed: &X509Certificate<'_>, hosts: &[String]) {
        let names: Vec<String> = certificate::dns_names(parsed).collect();
        for written in hosts {
            let (_, host) = host::split_namespace(written, "");
            let host = host.to_ascii_lowercase();
            if host == "*" || names.iter().any(|it| covers(it, &host)) {
                continue;
            }
            let known = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            let message = format!("{name}: the certificate does not cover the host `{host}`, only {known}");
            let help = "clients that ask for the host refuse the certificate";
            self.say(code::CERTIFICATE_NAMES, Severity::Warning, message, help);
        }
    }
}

/// Whether a certificate looks like one of an authority of the web, which issues from intermediates.
fn is_public(parsed: &X509Certificate<'_>) -> bool {
    parsed.extensions().iter().any(|it| it.oid == x509_parser::oid_registry::OID_PKIX_AUTHORITY_INFO_ACCESS)
}

/// Whether a name of a certificate covers a host; a wildcard stands for one label (RFC 6125 §6.4.3).
fn covers(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(suffix) = name.strip_prefix("*.") else { return false };
    host.split_once('.').is_some_and(|(label, rest)| label != "*" && rest.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_one_label() {
        for (name, host, expected) in [
            ("a.example.com", "A.example.com", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("a.example.com", "*.example.com", false),
        ] {
            assert_eq!(covers(name, host), expected, "{name} {host}");
        }
    }
}
