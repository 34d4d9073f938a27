//! Rules of a RequestAuthentication: issuers, keys and where tokens are found.

use std::collections::HashSet;

use super::check::{Check, is_header_name};
use crate::document::Resource;
use crate::istio::request_authentication::{JwtRule, RequestAuthentication};
use crate::problem::Problems;

type Checked<'a, 'b> = &'a mut Check<'b, RequestAuthentication>;

pub(super) fn check(resource: &Resource<RequestAuthentication>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let RequestAuthentication { selector, target_ref, target_refs, jwt_rules } = check.spec();
    check.target(selector.as_ref(), target_ref.as_ref(), target_refs);
    if check.resource.metadata.annotations.contains_key("istio.io/dry-run") {
        check.error("metadata.annotations[\"istio.io/dry-run\"]", "dry-run is only for AuthorizationPolicy");
    }
    for (index, rule) in jwt_rules.iter().enumerate() {
        self::rule(&mut check, &format!("spec.jwtRules[{index}]"), rule);
    }
}

fn rule(check: Checked<'_, '_>, at: &str, rule: &JwtRule) {
    let JwtRule {
        issuer,
        audiences,
        jwks_uri,
        jwks,
        from_headers: _,
        from_params,
        output_payload_to_header: _,
        from_cookies,
        forward_original_token: _,
        output_claim_to_headers: _,
        timeout,
        space_delimited_claims,
        presence: _,
    } = rule;
    if issuer.is_empty() && jwks_uri.is_empty() {
        check.error(at, "a rule needs an issuer or a jwksUri");
    }
    if !jwks_uri.is_empty() && !jwks.is_empty() {
        check.error(at, "jwks and jwksUri exclude each other");
    }
    if !jwks_uri.is_empty() {
        check.expect(format_args!("{at}.jwksUri"), url(jwks_uri));
    }
    if !jwks.is_empty() && !serde_json::from_str::<serde_json::Value>(jwks).is_ok_and(|it| it.get("keys").is_some()) {
        check.error(format_args!("{at}.jwks"), "not a JSON Web Key Set: a JSON object with `keys`");
    }
    for (name, values) in [
        ("audiences", audiences),
        ("fromParams", from_params),
        ("fromCookies", from_cookies),
        ("spaceDelimitedClaims", space_delimited_claims),
    ] {
        let mut seen = HashSet::new();
        for (index, value) in values.iter().enumerate() {
            if value.is_empty() {
                check.error(format_args!("{at}.{name}[{index}]"), "must not be empty");
            }
            if !seen.insert(value) {
                check.warn(format_args!("{at}.{name}[{index}]"), format!("`{value}` is listed twice"));
            }
        }
    }
    headers(check, at, rule);
    check.at_least_1ms(format_args!("{at}.timeout"), *timeout);
}

/// Headers that tokens come by and claims go by.
fn headers(check: Checked<'_, '_>, at: &str, rule: &JwtRule) {
    let output = &rule.output_payload_to_header;
    for (index, it) in rule.from_headers.iter().enumerate() {
        if !is_header_name(&it.name) {
            check.error(format_args!("{at}.fromHeaders[{index}].name"), format!("`{}` is no header name", it.name));
        }
    }
    if !output.is_empty() && !is_header_name(output) {
        check.error(format_args!("{at}.outputPayloadToHeader"), format!("`{output}` is no header name"));
    }
    let mut headers = HashSet::new();
    for (index, it) in rule.output_claim_to_headers.iter().enumerate() {
        let at = format!("{at}.outputClaimToHeaders[{index}]");
        let plain = it.header.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'));
        if it.header.is_empty() || !plain {
            check.error(format_args!("{at}.header"), format!("`{}` is no header name", it.header));
        }
        if it.claim.is_empty() {
            check.error(format_args!("{at}.claim"), "a claim must be named");
        }
        if !headers.insert(it.header.to_ascii_lowercase()) {
            check.error(format_args!("{at}.header"), format!("the header `{}` gets two claims", it.header));
        }
    }
}

/// Whether a text is an http(s) URL with a host and, if any, a port that is a number.
fn url(text: &str) -> Result<(), String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(|| format!("`{text}` must begin with http:// or https://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            if port.parse::<u16>().is_err() {
                return Err(format!("`{text}` has no valid port"));
            }
            host
        }
        Some(_) | None => authority,
    };
    if host.is_empty() || host.contains([' ', '\\']) {
        return Err(format!("`{text}` names no host"));
    }
    Ok(())
}
