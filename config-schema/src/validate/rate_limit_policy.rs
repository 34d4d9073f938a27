//! Rules of RateLimitPolicy: limits that admit something, keys that can be known, targets that exist as kinds.

use std::collections::HashSet;

use super::check::{Check, is_header_name};
use crate::document::Resource;
use crate::gateway_api;
use crate::native::rate_limit_policy::{
    ClientAddressKey, ConcurrencyRule, Consistency, ConsistencyType, Cost, CostSource, KeyPart, MAX_KEY_PARTS,
    MAX_LIMITS, NamedKey, RateLimit, RateLimitPolicy, RateLimitResponse, RateLimitRule, RateLimitTarget, RequestMatch,
    Stage,
};
use crate::problem::Problems;
use crate::value::{Cidr, Duration};

type Checked<'a, 'b> = &'a mut Check<'b, RateLimitPolicy>;

/// Shortest and longest period, in seconds.
const PERIODS: std::ops::RangeInclusive<u64> = 1..=30 * 24 * 3600;
/// Largest share of a lease.
const MAX_SHARE: u32 = 1_000_000;

pub(super) fn check(resource: &Resource<RateLimitPolicy>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let RateLimitPolicy {
        selector,
        target_refs,
        stage,
        mode: _,
        on_store_failure: _,
        consistency,
        rules,
        concurrency,
        response,
        headers: _,
    } = check.spec();
    if !target_refs.is_empty() && selector.is_some() {
        check.error("spec", "only one of selector and targetRefs may be given");
    }
    check.target(selector.as_ref(), None, &[]);
    for (index, it) in target_refs.iter().enumerate() {
        target(&mut check, &format!("spec.targetRefs[{index}]"), it);
    }
    if let Some(it) = consistency {
        lease(&mut check, it);
    }
    if rules.is_empty() && concurrency.is_empty() {
        check.error("spec.rules", "the policy limits nothing: give rules or concurrency");
    }
    let is_early = *stage == Some(Stage::BeforeAuthentication);
    let mut names = HashSet::new();
    for (index, it) in rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        name(&mut check, &at, &it.name, &mut names);
        rule(&mut check, &at, it, is_early);
    }
    for (index, it) in concurrency.iter().enumerate() {
        let at = format!("spec.concurrency[{index}]");
        name(&mut check, &at, &it.name, &mut names);
        at_once(&mut check, &at, it, is_early);
    }
    refusal(&mut check, response);
}

fn target(check: Checked<'_, '_>, at: &str, it: &RateLimitTarget) {
    let RateLimitTarget { group, kind, name, section_name } = it;
    if name.is_empty() {
        check.error(format_args!("{at}.name"), "a reference needs a name");
    }
    match (group.as_str(), kind.as_str()) {
        ("networking.istio.io", "VirtualService") | (gateway_api::GROUP, "HTTPRoute") => {}
        ("networking.istio.io" | gateway_api::GROUP, "Gateway") if section_name.is_empty() => {}
        (_, "Gateway") if !section_name.is_empty() => {
            check.error(format_args!("{at}.sectionName"), "only a VirtualService or HTTPRoute has named rules");
        }
        _ => {
            let message = format!("a rate limit cannot attach to {kind} of `{group}`");
            check.error(at, message + "; it can to Gateway and VirtualService of networking.istio.io, and to Gateway and HTTPRoute of the Gateway API");
        }
    }
}

fn lease(check: Checked<'_, '_>, it: &Consistency) {
    let Consistency { kind, share, max_age } = it;
    let is_leased = *kind == Some(ConsistencyType::Leased);
    if is_leased && !(1..=MAX_SHARE).contains(share) {
        check.error("spec.consistency.share", format!("a lease takes 1 to {MAX_SHARE} units at a time"));
    }
    if !is_leased && (*share != 0 || max_age.is_some()) {
        check.error("spec.consistency", "share and maxAge are for `type: Leased`");
    }
    check.at_least_1ms("spec.consistency.maxAge", *max_age);
}

fn name<'a>(check: Checked<'_, 'a>, at: &str, name: &'a str, names: &mut HashSet<&'a str>) {
    let is_word = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 63 || !name.bytes().all(is_word) {
        check.error(
            format_args!("{at}.name"),
            "a rule needs a name of letters, digits, `-`, `_` and `.`, at most 63 characters",
        );
    } else if !names.insert(name) {
        check.error(format_args!("{at}.name"), format!("there are two rules `{name}`"));
    }
}

fn rule(check: Checked<'_, '_>, at: &str, it: &RateLimitRule, is_early: bool) {
    let RateLimitRule { name: _, matches, key: parts, limits, cost: price, exempt } = it;
    for (field, all) in [("match", matches), ("exempt", exempt)] {
        for (index, it) in all.iter().enumerate() {
            request(check, &format!("{at}.{field}[{index}]"), it, is_early);
        }
    }
    key(check, at, parts, is_early);
    if limits.is_empty() || limits.len() > MAX_LIMITS {
        check.error(format_args!("{at}.limits"), format!("a rule needs 1 to {MAX_LIMITS} limits"));
    }
    let mut periods = HashSet::new();
    for (index, RateLimit { requests, per, burst }) in limits.iter().enumerate() {
        let at = format!("{at}.limits[{index}]");
        if *requests == 0 {
            check
                .error(format_args!("{at}.requests"), "a limit of 0 refuses everything; deny it with a policy instead");
        }
        match per {
            None => check.error(format_args!("{at}.per"), "a limit needs a period, such as 1s"),
            Some(Duration(it)) if !PERIODS.contains(&it.as_secs()) || it.subsec_nanos() != 0 => {
                check.error(format_args!("{at}.per"), "a period is 1s to 720h, in whole seconds");
            }
            Some(it) if !periods.insert(it.0) => {
                check.error(format_args!("{at}.per"), "two limits have the same period; the smaller one is enough");
            }
            Some(_) => {}
        }
        if *burst == Some(0) {
            check.error(format_args!("{at}.burst"), "a burst of 0 admits nothing; leave it out for `requests`");
        }
    }
    if let Some(it) = price {
        cost(check, &format!("{at}.cost"), it);
    }
}

fn cost(check: Checked<'_, '_>, at: &str, it: &Cost) {
    match it {
        Cost::Fixed(0) => check.error(at, "a request that costs nothing is not limited"),
        Cost::Fixed(_) => {}
        Cost::Told(CostSource { request_header, response_header, default: _ }) => {
            if request_header.is_empty() == response_header.is_empty() {
                check.error(at, "exactly one of requestHeader and responseHeader is needed");
            }
            for (field, name) in [("requestHeader", request_header), ("responseHeader", response_header)] {
                if !name.is_empty() && !is_header_name(name) {
                    check.error(format_args!("{at}.{field}"), format!("`{name}` is no header name"));
                }
            }
        }
    }
}

fn key(check: Checked<'_, '_>, at: &str, parts: &[KeyPart], is_early: bool) {
    if parts.len() > MAX_KEY_PARTS {
        check.error(format_args!("{at}.key"), format!("a key has at most {MAX_KEY_PARTS} parts"));
    }
    for (index, part) in parts.iter().enumerate() {
        key_part(check, &format!("{at}.key[{index}]"), part, is_early);
    }
}

fn key_part(check: Checked<'_, '_>, at: &str, part: &KeyPart, is_early: bool) {
    let KeyPart {
        client_address,
        header,
        cookie,
        query,
        claim,
        api_key_client,
        client_certificate,
        path,
        method,
        host,
        constant,
    } = part;
    let named = [("header", header), ("cookie", cookie), ("query", query), ("claim", claim)];
    let given = named.iter().filter(|(_, it)| it.is_some()).count()
        + [path, method, host].into_iter().filter(|it| it.is_some()).count()
        + [api_key_client, client_certificate].into_iter().filter(|it| it.is_some()).count()
        + usize::from(client_address.is_some())
        + usize::from(constant.is_some());
    if given != 1 {
        check.error(
            at,
            "exactly one source is needed: clientAddress, header, cookie, query, claim, apiKeyClient, clientCertificate, path, method, host or constant",
        );
    }
    for (field, it) in named {
        let Some(NamedKey { name, if_missing: _ }) = it else { continue };
        if name.is_empty() || (field == "header" && !is_header_name(name)) {
            check.error(format_args!("{at}.{field}.name"), format!("`{name}` is no name of a {field}"));
        }
    }
    if is_early && (claim.is_some() || api_key_client.is_some()) {
        check.error(at, "who asks is not known before authentication; use `stage: AfterAuthentication`");
    }
    if let Some(ClientAddressKey { ipv4_prefix, ipv6_prefix }) = client_address {
        for (field, prefix, most) in [("ipv4Prefix", ipv4_prefix, 32), ("ipv6Prefix", ipv6_prefix, 128)] {
            if prefix.is_some_and(|it| it > most) {
                check.error(format_args!("{at}.clientAddress.{field}"), format!("a prefix has 0 to {most} bits"));
            }
        }
    }
}

fn request(check: Checked<'_, '_>, at: &str, it: &RequestMatch, is_early: bool) {
    let RequestMatch {
        uri,
        scheme,
        method,
        authority,
        headers,
        without_headers,
        query_params,
        ignore_uri_case: _,
        port,
        principals: _,
        request_principals,
        client_addresses,
    } = it;
    for (name, value) in [("uri", uri), ("scheme", scheme), ("method", method), ("authority", authority)] {
        if let Some(value) = value {
            check.string_match(format_args!("{at}.{name}"), value);
        }
    }
    for (field, all) in [("headers", headers), ("withoutHeaders", without_headers)] {
        for (name, value) in all {
            let field = format!("{at}.{field}[\"{name}\"]");
            let is_claim = name.starts_with("@request.auth.claims");
            if is_claim && is_early {
                check.error(&field, "claims are not known before authentication; use `stage: AfterAuthentication`");
            } else if !is_claim && !is_header_name(name.strip_prefix(':').unwrap_or(name)) {
                check.error(&field, format!("`{name}` is no header name"));
            }
            if let Some(value) = value {
                check.string_match(&field, value);
            }
        }
    }
    for (name, value) in query_params {
        check.string_match(format_args!("{at}.queryParams[\"{name}\"]"), value);
    }
    if *port != 0 {
        check.port(format_args!("{at}.port"), *port);
    }
    if is_early && !request_principals.is_empty() {
        check.error(
            format_args!("{at}.requestPrincipals"),
            "who asks is not known before authentication; use `stage: AfterAuthentication`",
        );
    }
    for (index, network) in client_addresses.iter().enumerate() {
        check.expect(format_args!("{at}.clientAddresses[{index}]"), network.parse::<Cidr>().map(|_| ()));
    }
}

fn at_once(check: Checked<'_, '_>, at: &str, it: &ConcurrencyRule, is_early: bool) {
    let ConcurrencyRule { name: _, matches, key: parts, requests, status } = it;
    for (index, it) in matches.iter().enumerate() {
        request(check, &format!("{at}.match[{index}]"), it, is_early);
    }
    key(check, at, parts, is_early);
    if *requests == 0 {
        check.error(format_args!("{at}.requests"), "a limit of 0 refuses everything; deny it with a policy instead");
    }
    if !matches!(status, 0 | 429 | 503) {
        check.error(format_args!("{at}.status"), "a request too many is answered with 503 or 429");
    }
}

fn refusal(check: Checked<'_, '_>, it: &RateLimitResponse) {
    let RateLimitResponse { status, body: _, headers, grpc_status: _ } = it;
    if *status != 0 && !(400..=599).contains(status) {
        check.error("spec.response.status", format!("{status} does not tell a client that it is refused"));
    }
    for (name, value) in headers {
        let field = format!("spec.response.headers[\"{name}\"]");
        if !is_header_name(name) {
            check.error(&field, format!("`{name}` is no header name"));
        }
        if !value.bytes().all(|it| it == b'\t' || (0x20..0x7f).contains(&it)) {
            check.error(&field, "a header value is printable ASCII");
        }
    }
}
