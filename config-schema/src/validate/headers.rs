//! Rules of header operations: names, pseudo headers, and the `%…%` commands of values.

use std::fmt::Display;

use litemap::LiteMap;

use super::check::{Check, is_header_name};
use crate::istio::shared::{HeaderOperations, Headers};
use crate::istio::virtual_service::VirtualService;
use crate::value::substitution::{self, Part};

/// Commands that a value may hold; with `(…)` after those that take an argument.
const COMMANDS: [&str; 29] = [
    "REQ",
    "RESP",
    "START_TIME",
    "PROTOCOL",
    "HOSTNAME",
    "ROUTE_NAME",
    "VIRTUAL_CLUSTER_NAME",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_HOST",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_METADATA",
    "REQUESTED_SERVER_NAME",
    "RESPONSE_CODE",
    "RESPONSE_FLAGS",
    "RESPONSE_CODE_DETAILS",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TLS_CIPHER",
    "DYNAMIC_METADATA",
    "PER_REQUEST_STATE",
];

/// How often one rule may replace the authority, and where it did.
#[derive(Default)]
pub(super) struct AuthorityChanges(pub(super) usize);

pub(super) fn check(
    check: &mut Check<'_, VirtualService>,
    at: &dyn Display,
    headers: &Headers,
    authority: &mut AuthorityChanges,
) {
    let Headers { request, response } = headers;
    operations(check, &format_args!("{at}.request"), request, true);
    operations(check, &format_args!("{at}.response"), response, false);
    authority.0 +=
        [&request.set, &request.add].into_iter().flat_map(LiteMap::keys).filter(|it| is_authority(it)).count();
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

fn operations(
    check: &mut Check<'_, VirtualService>,
    at: &dyn Display,
    operations: &HeaderOperations,
    of_request: bool,
) {
    let HeaderOperations { set, add, remove } = operations;
    for (verb, values) in [("set", set), ("add", add)] {
        for (name, value) in values {
            let field = format!("{at}.{verb}[\"{name}\"]");
            if !(of_request && is_authority(name)) {
                header_name(check, &field, name);
            }
            check.expect(&field, format_value(value));
        }
    }
    for (index, name) in remove.iter().enumerate() {
        header_name(check, &format!("{at}.remove[{index}]"), name);
    }
}

fn header_name(check: &mut Check<'_, VirtualService>, field: &str, name: &str) {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        check.error(field, format!("`{name}` cannot be changed here"));
    } else if !is_header_name(name) {
        check.error(field, format!("`{name}` is no header name"));
    }
}

/// Whether every `%` of a value begins a known command or is doubled.
fn format_value(value: &str) -> Result<(), String> {
    if value.bytes().any(|it| (it < 0x20 && it != b'\t') || it == 0x7f) {
        return Err("a header value must not hold control characters".to_owned());
    }
    for part in substitution::parse(value)? {
        match part {
            Part::Command(it) if !COMMANDS.contains(&it.name.as_str()) => {
                return Err(format!("unknown command `%{}%`; write `%%` for a percent sign", it.name));
            }
            Part::Command(_) | Part::Text(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::format_value;

    #[test]
    fn percent_signs_begin_commands_or_are_doubled() {
        for good in ["plain", "100%%", "%REQ(x-a)%", "a%PROTOCOL%b%HOSTNAME%", "%START_TIME(%s)%%%"] {
            assert!(format_value(good).is_ok(), "{good}");
        }
        for bad in ["100%", "%UNKNOWN%", "%REQ(x%", "a\r\nb: c"] {
            assert!(format_value(bad).is_err(), "{bad}");
        }
    }
}
