//! Lowers TLS towards an upstream: names, authorities, the certificate to show.
//!
//! What cannot be read is no reason to refuse a configuration, since it concerns one
//! upstream: requests to it fail, and nothing is sent to it in plain text or unverified.

use config_schema::istio::destination_rule::{ClientTls, ClientTlsMode};
use config_schema::{Config, Problem};

use super::matches::broken;
use super::secrets::{self, Credential};
use crate::listener::tls::source::Source;
use crate::upstream::definition::Tls;
use crate::upstream::tls::{Authorities, Identity, Revoked};

/// Stands for the system's authorities.
const SYSTEM: &str = "system";

/// TLS to a host; its own names count where the rule says none.
pub(super) fn lower(
    tls: Option<&ClientTls>,
    (host, own_names): (&str, &[String]),
    config: &Config,
) -> Result<Tls, Box<Problem>> {
    let Some(tls) = tls else { return Ok(Tls::Off) };
    match tls.mode.unwrap_or(ClientTlsMode::Disable) {
        ClientTlsMode::Disable => return Ok(Tls::Off),
        ClientTlsMode::IstioMutual => {
            log::warn!("{host}: ISTIO_MUTUAL needs certificates of a mesh; requests to it fail");
            return Ok(Tls::Unavailable);
        }
        ClientTlsMode::Simple | ClientTlsMode::Mutual => {}
    }
    let names = if tls.subject_alt_names.is_empty() { own_names } else { &tls.subject_alt_names };
    let sni = name(tls, names, host).map_err(broken)?;
    let verify = tls.insecure_skip_verify != Some(true);
    Ok(match material(tls, config) {
        Ok((authorities, identity, revoked)) => Tls::On { sni, verify, authorities, identity, revoked },
        Err(message) => {
            log::warn!("{host}: requests to it fail, TLS is not possible: {message}");
            Tls::Unavailable
        }
    })
}

/// The name to send and to verify; the request's host when there is none.
fn name(tls: &ClientTls, names: &[String], host: &str) -> Result<Option<Box<str>>, String> {
    let sni = if !tls.sni.is_empty() {
        Some(tls.sni.as_str())
    } else {
        match names {
            [] => None,
            names if names.iter().any(|it| it == host) => Some(host),
            [only, ..] => Some(only.as_str()),
        }
    };
    match sni {
        Some(sni) if !names.is_empty() && !names.iter().any(|it| it == sni) => Err(format!(
            "subjectAltNames of {host} do not name the SNI `{sni}`: the name that is sent is the one that is verified; set sni to one of them"
        )),
        Some(sni) if sni.contains("://") => Err(format!("`{sni}` of {host} cannot be verified: it is no DNS name")),
        sni => Ok(sni.map(Into::into)),
    }
}

type Material = (Option<Authorities>, Option<Identity>, Option<Revoked>);

fn material(tls: &ClientTls, config: &Config) -> Result<Material, String> {
    let read = |path: &str| (!path.is_empty() && path != SYSTEM).then(|| Source::File(path.into()).read()).transpose();
    let own_list = read(&tls.ca_crl)?;
    let (chain, key, authorities, revoked) = if tls.credential_name.is_empty() {
        (read(&tls.client_certificate)?, read(&tls.private_key)?, read(&tls.ca_certificates)?, own_list)
    } else {
        let Credential { chain, key, authorities, revoked, staple: _ } = secrets::find(&tls.credential_name, config);
        let there = |it: &Source| it.is_there().then(|| it.read()).transpose();
        let (chain, key, authorities) = (there(&chain)?, there(&key)?, there(&authorities)?);
        if chain.is_none() && authorities.is_none() {
            return Err(format!("there is no credential `{}`", tls.credential_name));
        }
        (chain, key, authorities, own_list.or(revoked.map(|it| it.read()).transpose()?))
    };
    let revoked = revoked.map(|it| Revoked::from_pem(&it)).transpose()?;
    let authorities = authorities.map(|it| Authorities::from_pem(&it)).transpose()?;
    let identity = match (tls.mode, chain, key) {
        (Some(ClientTlsMode::Mutual), Some(chain), Some(key)) => Some(Identity::from_pem(&chain, &key)?),
        (Some(ClientTlsMode::Mutual), _, _) => return Err("a client certificate and its key are needed".to_owned()),
        (_, _, _) => None,
    };
    Ok((authorities, identity, revoked))
}
