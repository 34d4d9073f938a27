//! Lowers ApiKeyAuthentications: clients by the digests of their keys, wherever those are written.

use std::collections::HashMap;
use std::sync::Arc;

use config_schema::native::api_key_authentication::{ApiKeyAuthentication as Written, ApiKeyClient, KeyFrom};
use config_schema::problem::code;
use config_schema::{Config, Problem, Resource, Severity};
use http::HeaderName;

use super::policies::{Aim, applies};
use super::secrets;
use crate::digest::sha256;
use crate::filter::api_key_authentication::{ApiKeyAuthentication, Keys};
use crate::filter::authentication::location::Location;

/// Marks a digest where a key could stand.
const DIGEST: &str = "sha256:";

type Clients = HashMap<[u8; 32], Arc<str>>;

pub(super) fn lower(config: &Config) -> Result<ApiKeyAuthentication, Box<Problem>> {
    let mut policies = Vec::new();
    for policy in &config.documents.api_key_authentications {
        let Written {
            selector,
            target_refs,
            key_from,
            clients,
            file,
            credential_name,
            optional,
            forward_key,
            client_header,
        } = policy.spec.as_ref();
        if !applies(policy, &Aim { selector: selector.as_ref(), target_ref: None, target_refs }, config) {
            continue;
        }
        let mut known = Clients::new();
        for ApiKeyClient { name, sha256 } in clients {
            let name: Arc<str> = name.as_str().into();
            known.extend(sha256.iter().filter_map(|it| Some((digest(it)?, Arc::clone(&name)))));
        }
        let wrong = |field: &str, why: String| problem(policy, field, why);
        if !file.is_empty() {
            let text = std::fs::read_to_string(file)
                .map_err(|error| wrong("spec.file", format!("`{file}` cannot be read: {error}")))?;
            lines(&text, &mut known).map_err(|why| wrong("spec.file", format!("`{file}`: {why}")))?;
        }
        if !credential_name.is_empty() {
            let entries = secrets::entries(credential_name, config);
            let entries = entries.map_err(|why| wrong("spec.credentialName", why))?;
            known.extend(entries.into_iter().map(|(name, value)| (key(&value), name.into())));
        }
        policies.push(Keys {
            places: places(key_from),
            clients: known,
            optional: *optional,
            forwards: *forward_key,
            client_header: HeaderName::try_from(client_header.as_str()).ok(),
        });
    }
    Ok(ApiKeyAuthentication::new(policies))
}

fn problem(policy: &Resource<Written>, field: &str, why: String) -> Box<Problem> {
    let problem = policy.problem(code::SCHEMA, Severity::Error, field, why);
    Box::new(problem.help("a line is `client:` and the SHA-256 of the key in hex: `printf %s KEY | sha256sum`"))
}

fn places(written: &[KeyFrom]) -> Box<[Location]> {
    let header = |name: &str| HeaderName::try_from(name).ok().map(|it| Location::Header(it, "".into()));
    let places = written.iter().filter_map(|KeyFrom { header: own, query, cookie }| match (own, query, cookie) {
        (Some(name), _, _) => header(name),
        (None, Some(name), _) => Some(Location::Param(name.as_str().into())),
        (None, None, Some(name)) => Some(Location::Cookie(name.as_str().into())),
        (None, None, None) => None,
    });
    if written.is_empty() { header("x-api-key").into_iter().collect() } else { places.collect() }
}

/// Lines `client:digest`.
fn lines(text: &str, known: &mut Clients) -> Result<(), String> {
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || format!("line {} is not `client:` and 64 hex digits", index + 1);
        let (name, written) = line.rsplit_once(':').ok_or_else(wrong)?;
        let name = name.strip_suffix(":sha256").unwrap_or(name).trim();
        let digest = digest(written.trim()).filter(|_| !name.is_empty()).ok_or_else(wrong)?;
        known.insert(digest, name.into());
    }
    Ok(())
}

/// The digest of a key that is written as it is, or as its digest.
fn key(written: &[u8]) -> [u8; 32] {
    let trimmed = written.trim_ascii();
    let given = std::str::from_utf8(trimmed).ok().and_then(|it| digest(it.strip_prefix(DIGEST)?));
    given.unwrap_or_else(|| sha256(trimmed))
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if hex.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
