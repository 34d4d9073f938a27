//! Lowers the BasicAuthentication that applies, with its users from wherever they are written.

use config_schema::native::basic_authentication::BasicAuthentication as Written;
use config_schema::problem::code;
use config_schema::{Config, Problem, Resource, Severity};
use http::HeaderName;

use super::policies::{Aim, applies};
use super::secrets;
use crate::filter::basic_authentication::BasicAuthentication;
use crate::filter::own_headers::OwnHeaders;

/// Names under which a Secret holds the lines.
const ENTRIES: [&str; 2] = ["auth", ".htpasswd"];

pub(super) fn lower(config: &Config) -> Result<Option<BasicAuthentication>, Box<Problem>> {
    let mut found = config.documents.basic_authentications.iter().filter(|policy| {
        let Written { selector, target_refs, .. } = policy.spec.as_ref();
        applies(policy, &Aim { selector: selector.as_ref(), target_ref: None, target_refs }, config)
    });
    let Some(policy) = found.next() else { return Ok(None) };
    if let Some(second) = found.next() {
        let first = format!("{}/{}", policy.metadata.namespace, policy.metadata.name);
        let message = format!("BasicAuthentication {first} applies to this gateway already");
        let problem = second.problem(code::SCHEMA, Severity::Error, "spec", message);
        return Err(Box::new(problem.help("a gateway has one: put all users into it")));
    }
    let Written {
        selector: _,
        target_refs: _,
        htpasswd,
        file,
        credential_name,
        realm,
        optional,
        forward_credentials,
        user_header,
    } = policy.spec.as_ref();
    let (field, lines) = if !htpasswd.is_empty() {
        ("spec.htpasswd", Ok(htpasswd.clone()))
    } else if !file.is_empty() {
        ("spec.file", std::fs::read_to_string(file).map_err(|error| format!("`{file}` cannot be read: {error}")))
    } else {
        ("spec.credentialName", of_secret(credential_name, config))
    };
    let mut made = lines.and_then(|it| BasicAuthentication::parse(&it)).map_err(|why| problem(policy, field, why))?;
    let user_header = HeaderName::try_from(user_header.as_str()).ok();
    made.realm = Some(realm.as_str().into()).filter(|_| !realm.is_empty());
    made.optional = *optional;
    made.forwards = *forward_credentials;
    made.own = OwnHeaders::new(user_header.clone());
    made.user_header = user_header;
    Ok(Some(made))
}

fn of_secret(name: &str, config: &Config) -> Result<String, String> {
    let entries = secrets::entries(name, config)?;
    let lines = entries.into_iter().find(|(key, _)| ENTRIES.contains(&key.as_str()));
    let (_, bytes) = lines.ok_or_else(|| format!("`{name}` has neither `{}` nor `{}`", ENTRIES[0], ENTRIES[1]))?;
    String::from_utf8(bytes).map_err(|_| format!("what `{name}` holds is no text"))
}

fn problem(policy: &Resource<Written>, field: &str, why: String) -> Box<Problem> {
    let problem = policy.problem(code::SCHEMA, Severity::Error, field, why);
    Box::new(problem.help("make a line by `htpasswd -nB USER`"))
}
