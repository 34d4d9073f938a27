//! Lowers the TLS settings of servers, and takes over servers that are unchanged with what they hold.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config_schema::Config;
use config_schema::istio::gateway::{ServerTls, TlsCertificate, TlsMode, TlsVersion};

use super::secrets;
use crate::listener::tls::server::TlsServer;
use crate::listener::tls::source::{Pair, Source, Sources};
use crate::listener::tls::terms::{ClientTerms, Clients, Definition, Terms, Versions};
use crate::snapshot::Snapshot;

/// OpenSSL's names of the cipher suites of TLS 1.2 that are spoken, and their IANA numbers.
const SUITES: [(&str, u16); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c),
    ("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f),
    ("ECDHE-RSA-AES256-GCM-SHA384", 0xc030),
    ("ECDHE-RSA-CHACHA20-POLY1305", 0xcca8),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9),
];

/// Names of the groups that are spoken, and their IANA numbers.
const GROUPS: [(&str, u16); 3] = [("P-256", 0x17), ("P-384", 0x18), ("X25519", 0x1d)];

/// The TLS servers of a snapshot in the making.
pub(super) struct TlsServers<'a> {
    config: &'a Config,
    before: Option<&'a Snapshot>,
    made: HashMap<Definition, Arc<TlsServer>>,
}

impl<'a> TlsServers<'a> {
    pub(super) fn new(config: &'a Config, before: Option<&'a Snapshot>) -> Self {
        Self { config, before, made: HashMap::new() }
    }

    /// The server with these settings; two with the same are one.
    pub(super) fn take(&mut self, tls: &ServerTls) -> Arc<TlsServer> {
        let definition = definition(tls, self.config);
        if let Some(made) = self.made.get(&definition) {
            return Arc::clone(made);
        }
        let kept = self.before.and_then(|it| it.tls_servers.get(&definition)).map(Arc::clone);
        let server = kept.unwrap_or_else(|| Arc::new(TlsServer::new(definition.clone())));
        self.made.insert(definition, Arc::clone(&server));
        server
    }

    pub(super) fn finish(self) -> HashMap<Definition, Arc<TlsServer>> {
        self.made
    }
}

/// What a server shows and asks.
pub(super) fn definition(tls: &ServerTls, config: &Config) -> Definition {
    let mode = tls.mode.unwrap_or(TlsMode::Passthrough);
    let required = match mode {
        TlsMode::Passthrough | TlsMode::AutoPassthrough | TlsMode::Simple => None,
        TlsMode::OptionalMutual => Some(false),
        TlsMode::Mutual | TlsMode::IstioMutual => Some(true),
    };
    Definition { sources: sources(tls, mode, required.is_some(), config), terms: terms(tls, required, config) }
}

fn file(path: &str) -> Source {
    if path.is_empty() { Source::Missing("no path is given".into()) } else { Source::File(PathBuf::from(path)) }
}

fn pair(chain: &str, key: &str) -> Pair {
    let staple = Source::File(PathBuf::from(format!("{chain}.ocsp")));
    Pair { name: chain.into(), chain: file(chain), key: file(key), staple: Some(staple) }
}

fn sources(tls: &ServerTls, mode: TlsMode, judges: bool, config: &Config) -> Sources {
    if mode == TlsMode::IstioMutual {
        let mesh = &config.settings.mesh_certificates;
        let own = pair(&mesh.certificate_chain, &mesh.private_key);
        return Sources { pairs: vec![own], authorities: Some(file(&mesh.root_certificates)), revoked: None };
    }
    let names = [&tls.credential_name].into_iter().filter(|it| !it.is_empty()).chain(&tls.credential_names);
    let credentials: Vec<_> = names.map(|name| (name, secrets::find(name, config))).collect();
    let pairs = if !credentials.is_empty() {
        credentials
            .iter()
            .map(|(name, it)| Pair {
                name: name.as_str().into(),
                chain: it.chain.clone(),
                key: it.key.clone(),
                staple: it.staple.clone(),
            })
            .collect()
    } else if tls.tls_certificates.is_empty() {
        vec![pair(&tls.server_certificate, &tls.private_key)]
    } else {
        let pair_of = |it: &TlsCertificate| pair(&it.server_certificate, &it.private_key);
        tls.tls_certificates.iter().map(pair_of).collect()
    };
    if !judges {
        return Sources { pairs, authorities: None, revoked: None };
    }
    let apart = Some(&tls.ca_cert_credential_name).filter(|it| !it.is_empty()).map(|it| secrets::find(it, config));
    let of_credential = apart.as_ref().or(credentials.first().map(|it| &it.1));
    let given = |path: &str| (!path.is_empty()).then(|| file(path));
    let authorities = given(&tls.ca_certificates).or_else(|| of_credential.map(|it| it.authorities.clone()));
    let revoked = of_credential.and_then(|it| it.revoked.clone()).or_else(|| given(&tls.ca_crl));
    let admits_untrusted = tls.insecure_skip_verify == Some(true);
    let authorities = authorities.filter(|it| !admits_untrusted || it.is_there());
    Sources { pairs, authorities, revoked }
}

fn terms(tls: &ServerTls, required: Option<bool>, config: &Config) -> Terms {
    let defaults = config.settings.mesh_config.tls_defaults.clone().unwrap_or_default();
    let suites = if tls.cipher_suites.is_empty() { &defaults.cipher_suites } else { &tls.cipher_suites };
    let numbers = |names: &[String], known: &[(&str, u16)]| {
        names.iter().filter_map(|name| known.iter().find(|it| it.0 == name)).map(|it| it.1).collect()
    };
    let set = |it: Option<TlsVersion>| it.filter(|it| *it != TlsVersion::Auto);
    let lowest = set(tls.min_protocol_version).or(set(defaults.min_protocol_version)).unwrap_or(TlsVersion::V1_2);
    let highest = set(tls.max_protocol_version).unwrap_or(TlsVersion::V1_3);
    let versions = match (lowest, highest) {
        (_, TlsVersion::Auto | TlsVersion::V1_0 | TlsVersion::V1_1) => Versions::Neither,
        (TlsVersion::V1_3, _) => Versions::Only13,
        (_, TlsVersion::V1_2) => Versions::Only12,
        (_, TlsVersion::V1_3) => Versions::Both,
    };
    let clients = match required {
        None => Clients::Anonymous,
        Some(required) => Clients::Certified(ClientTerms {
            required,
            admits_untrusted: tls.insecure_skip_verify == Some(true),
            names: tls.subject_alt_names.iter().map(|it| it.as_str().into()).collect(),
            hashes: tls.verify_certificate_hash.iter().filter_map(|it| hex(it)).collect(),
            key_hashes: tls
                .verify_certificate_spki
                .iter()
                .filter_map(|it| STANDARD.decode(it).ok()?.try_into().ok())
                .collect(),
        }),
    };
    Terms { versions, suites: numbers(suites, &SUITES), groups: numbers(&defaults.ecdh_curves, &GROUPS), clients }
}

/// 32 bytes in hex, with or without colons.
fn hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|it| *it != b':').collect();
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let parts: Vec<_> = (0..32).map(|_| "AB").collect();
        assert_eq!(hex(&plain), Some([0xab; 32]));
        assert_eq!(hex(&parts.join(":")), Some([0xab; 32]));
        assert_eq!(hex("ab"), None);
        assert_eq!(hex(&"xy".repeat(32)), None);
    }
}
