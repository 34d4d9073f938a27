//! Lowers EgressCredentials: secrets by the hosts that they are for.

use config_schema::native::egress_credential::EgressCredential;
use config_schema::problem::code;
use config_schema::{Config, Problem, Resource, Severity};
use http::{HeaderName, HeaderValue, header};

use super::policies::{Aim, applies};
use super::secrets;
use crate::filter::egress_credential::EgressCredentials;

/// Entry of a Secret, when the document names none.
const KEY: &str = "token";

pub(super) fn lower(config: &Config) -> Result<EgressCredentials, Box<Problem>> {
    let mut out = EgressCredentials::default();
    for policy in &config.documents.egress_credentials {
        let EgressCredential { selector, hosts, header: name, prefix, credential_name, key } = policy.spec.as_ref();
        let aim = Aim { selector: selector.as_ref(), target_ref: None, target_refs: &[] };
        if !applies(policy, &aim, config) {
            continue;
        }
        let key = if key.is_empty() { KEY } else { key };
        let entries = secrets::entries(credential_name, config).map_err(|why| wrong(policy, &why))?;
        let secret = entries.into_iter().find(|(name, _)| name == key);
        let (_, secret) = secret.ok_or_else(|| wrong(policy, &format!("`{credential_name}` has no entry `{key}`")))?;
        let text = String::from_utf8_lossy(&secret);
        let value = HeaderValue::try_from(format!("{prefix}{}", text.trim_end_matches(['\n', '\r'])));
        // What stands there is secret, so it is not repeated.
        let value = value
            .map_err(|_| wrong(policy, &format!("entry `{key}` of `{credential_name}` cannot stand in a header")))?;
        let name = HeaderName::try_from(name.as_str()).unwrap_or(header::AUTHORIZATION);
        hosts.iter().for_each(|host| out.add(host, name.clone(), value.clone()));
    }
    Ok(out)
}

fn wrong(policy: &Resource<EgressCredential>, why: &str) -> Box<Problem> {
    Box::new(policy.problem(code::SCHEMA, Severity::Error, "spec.credentialName", why))
}
