//! Rules of an ApiKeyAuthentication: somebody is known, by digests that are some, from places that are one each.

use std::collections::HashSet;

use super::check::{Check, is_header_name};
use crate::document::Resource;
use crate::native::api_key_authentication::{ApiKeyAuthentication, ApiKeyClient, KeyFrom};
use crate::problem::Problems;

/// Hex digits of a SHA-256.
const DIGEST: usize = 64;

pub(super) fn check(resource: &Resource<ApiKeyAuthentication>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let ApiKeyAuthentication {
        selector,
        target_refs,
        key_from,
        clients,
        file,
        credential_name,
        optional: _,
        forward_key: _,
        client_header,
    } = check.spec();
    check.target(selector.as_ref(), None, target_refs);
    if clients.is_empty() && file.is_empty() && credential_name.is_empty() {
        check.error("spec", "nobody is known: give clients, file or credentialName");
    }
    for (index, it) in key_from.iter().enumerate() {
        place(&mut check, &format!("spec.keyFrom[{index}]"), it);
    }
    let mut names = HashSet::new();
    for (index, ApiKeyClient { name, sha256 }) in clients.iter().enumerate() {
        let at = format!("spec.clients[{index}]");
        if name.is_empty() || !names.insert(name) {
            check.error(format_args!("{at}.name"), "a client needs a name of its own");
        }
        if sha256.is_empty() {
            check.error(format_args!("{at}.sha256"), "a client needs the digest of a key");
        }
        for (number, digest) in sha256.iter().enumerate() {
            if digest.len() != DIGEST || !digest.bytes().all(|it| it.is_ascii_hexdigit()) {
                // What stands there may be the key itself, so it is not repeated.
                let message = "not a SHA-256 in hex; make one by `printf %s KEY | sha256sum`";
                check.error(format_args!("{at}.sha256[{number}]"), message);
            }
        }
    }
    if !client_header.is_empty() && !is_header_name(client_header) {
        check.error("spec.clientHeader", format!("`{client_header}` is no header name"));
    }
}

fn place(check: &mut Check<'_, ApiKeyAuthentication>, at: &str, place: &KeyFrom) {
    let KeyFrom { header, query, cookie } = place;
    let given: Vec<&String> = [header, query, cookie].into_iter().flatten().collect();
    match given.as_slice() {
        [name] if name.is_empty() => check.error(at, "a place needs a name"),
        [name] if header.is_some() && !is_header_name(name) => {
            check.error(format_args!("{at}.header"), format!("`{name}` is no header name"));
        }
        [_] => {}
        _ => check.error(at, "exactly one of header, query and cookie is needed"),
    }
}
