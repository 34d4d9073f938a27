//! Rules of an HTTP rule: one action, and what stands beside it.

use super::check::Check;
use super::headers::{self, AuthorityChanges};
use super::http_match;
use super::http_policies;
use super::virtual_service::{destination, weights};
use crate::istio::http_action::{DirectResponse, Redirect, RegexRewrite, Rewrite};
use crate::istio::virtual_service::{HttpRoute, VirtualService};
use crate::problem::{Severity, code};
use crate::value::Duration;

/// Largest fixed body.
const MAX_BODY: usize = 1024 * 1024;
/// A body above this is better served by an upstream.
const LARGE_BODY: usize = 100 * 1024;

type Checked<'a, 'b> = &'a mut Check<'b, VirtualService>;

pub(super) fn check_all(check: Checked<'_, '_>, rules: &[HttpRoute], is_delegate: bool) {
    for (index, rule) in rules.iter().enumerate() {
        check_one(check, &format!("spec.http[{index}]"), rule, is_delegate);
    }
    http_match::check_order(check, rules);
}

fn check_one(check: Checked<'_, '_>, at: &str, rule: &HttpRoute, is_delegate: bool) {
    action(check, at, rule, is_delegate);
    for (index, it) in rule.matches.iter().enumerate() {
        http_match::check(check, &format!("{at}.match[{index}]"), it);
    }
    let mut authority = AuthorityChanges::default();
    if let Some(it) = &rule.headers {
        headers::check(check, &format_args!("{at}.headers"), it, &mut authority);
    }
    if let Some(it) = &rule.rewrite {
        rewrite(check, &format!("{at}.rewrite"), it, rule);
        authority.0 += usize::from(!it.authority.is_empty());
    }
    if authority.0 > 1 {
        check.error(at, "the authority can be set only once: by rewrite.authority, headers set or headers add");
    }
    for (index, it) in rule.route.iter().enumerate() {
        destination(check, &format!("{at}.route[{index}].destination"), it.destination.as_ref());
        if let Some(it) = &it.headers {
            let mut authority = AuthorityChanges::default();
            headers::check(check, &format_args!("{at}.route[{index}].headers"), it, &mut authority);
        }
    }
    weights(check, &format!("{at}.route"), rule.route.iter().map(|it| it.weight));
    if let Some(it) = &rule.redirect {
        redirect(check, &format!("{at}.redirect"), it, rule);
    }
    if let Some(it) = &rule.direct_response {
        direct_response(check, &format!("{at}.directResponse"), it);
    }
    // 0s turns the timeout off.
    check.at_least_1ms(format_args!("{at}.timeout"), rule.timeout.filter(|it| *it != Duration::default()));
    if let Some(it) = &rule.retries {
        http_policies::retries(check, &format!("{at}.retries"), it);
    }
    if let Some(it) = &rule.fault {
        http_policies::fault(check, &format!("{at}.fault"), it);
    }
    http_policies::mirrors(check, at, rule);
    if let Some(it) = &rule.cors_policy {
        http_policies::cors(check, &format!("{at}.corsPolicy"), it);
    }
}

/// Exactly one of route, redirect, directResponse and delegate.
fn action(check: Checked<'_, '_>, at: &str, rule: &HttpRoute, is_delegate: bool) {
    if let Some(delegate) = &rule.delegate {
        if is_delegate {
            check.error(format_args!("{at}.delegate"), "a delegate cannot delegate further");
        }
        if delegate.name.is_empty() {
            check.error(format_args!("{at}.delegate.name"), "a delegate needs a name");
        }
        if !rule.route.is_empty() || rule.redirect.is_some() || rule.direct_response.is_some() {
            check.error(at, "route, redirect and directResponse must be empty when a delegate is named");
        }
        return;
    }
    let (redirect, direct) = (rule.redirect.is_some(), rule.direct_response.is_some());
    if redirect && direct {
        check.error(at, "a rule cannot have both redirect and directResponse");
    }
    let name = if redirect { "redirect" } else { "directResponse" };
    if redirect || direct {
        for (given, other) in
            [(!rule.route.is_empty(), "route"), (rule.fault.is_some(), "fault"), (rule.rewrite.is_some(), "rewrite")]
        {
            if given {
                check.error(at, format!("a rule cannot have both {name} and {other}"));
            }
        }
    } else if rule.route.is_empty() {
        check.error(at, "a rule needs a route, a redirect, a directResponse or a delegate");
    }
}

fn rewrite(check: Checked<'_, '_>, at: &str, rewrite: &Rewrite, rule: &HttpRoute) {
    let Rewrite { uri, authority, uri_regex_rewrite } = rewrite;
    if uri.is_empty() && authority.is_empty() && uri_regex_rewrite.is_none() {
        check.error(at, "a rewrite needs uri, authority or uriRegexRewrite");
    }
    if let Some(RegexRewrite { pattern, rewrite }) = uri_regex_rewrite {
        if !uri.is_empty() {
            check.error(at, "uri and uriRegexRewrite exclude each other");
        }
        if pattern.is_empty() || rewrite.is_empty() {
            check.error(format_args!("{at}.uriRegexRewrite"), "match and rewrite must both be given");
        } else {
            check.regex(format_args!("{at}.uriRegexRewrite.match"), pattern);
        }
    }
    let cut = |it: &&str| *it != "/" && !it.ends_with('/');
    let prefixes = rule.matches.iter().filter_map(|it| it.uri.as_ref()?.prefix.as_deref());
    if let Some(prefix) = prefixes.clone().find(cut).filter(|_| uri == "/") {
        let message = format!("rewriting the prefix `{prefix}` to `/` turns `{prefix}/x` into `//x`");
        let problem = check
            .resource
            .problem(code::DOUBLE_SLASH, Severity::Warning, format!("{at}.uri"), message)
            .help(format!("match `{prefix}/` as prefix and `{prefix}` as exact in two rules"));
        check.push(problem);
    }
}

fn redirect(check: Checked<'_, '_>, at: &str, redirect: &Redirect, rule: &HttpRoute) {
    let Redirect { uri, prefix_rewrite, authority, port, derive_port, scheme, redirect_code } = redirect;
    let empty = uri.is_empty() && prefix_rewrite.is_empty() && authority.is_empty() && scheme.is_empty();
    if empty && port.is_none() && derive_port.is_none() {
        check.error(at, "a redirect needs uri, prefixRewrite, authority, port or scheme");
    }
    if !uri.is_empty() && !prefix_rewrite.is_empty() {
        check.error(at, "uri and prefixRewrite exclude each other");
    }
    let by_prefix = rule.matches.iter().all(|it| it.uri.as_ref().is_some_and(|it| it.prefix.is_some()));
    if !prefix_rewrite.is_empty() && !by_prefix {
        check.error(format_args!("{at}.prefixRewrite"), "prefixRewrite needs matches that are all uri.prefix");
    }
    if let Some(port) = port {
        check.port(format_args!("{at}.port"), *port);
        if derive_port.is_some() {
            check.error(at, "port and derivePort exclude each other");
        }
    }
    if !matches!(scheme.as_str(), "" | "http" | "https") {
        check.error(format_args!("{at}.scheme"), format!("`{scheme}` is neither http nor https"));
    }
    match *redirect_code {
        0 | 301 | 302 | 303 | 307 | 308 => {}
        code => check.error(
            format_args!("{at}.redirectCode"),
            format!("{code} is no redirect; it can be 301, 302, 303, 307 or 308"),
        ),
    }
}

fn direct_response(check: Checked<'_, '_>, at: &str, response: &DirectResponse) {
    let DirectResponse { status, body } = response;
    if !(200..=599).contains(status) {
        check.error(format_args!("{at}.status"), format!("status {status} must be between 200 and 599"));
    }
    let Some(body) = body else { return };
    let size = match (&body.string, &body.bytes) {
        (Some(_), Some(_)) => {
            check.error(format_args!("{at}.body"), "string and bytes exclude each other");
            0
        }
        (Some(text), None) => text.len(),
        (None, Some(text)) => {
            let coded = text.trim_end_matches('=');
            let alphabet = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'-' | b'_');
            if !coded.bytes().all(alphabet) || coded.len() % 4 == 1 {
                check.error(format_args!("{at}.body.bytes"), "not base64");
            }
            coded.len() / 4 * 3
        }
        (None, None) => 0,
    };
    if size > MAX_BODY {
        check.error(format_args!("{at}.body"), format!("{size} bytes are more than the limit of 1 MiB"));
    } else if size > LARGE_BODY {
        check.warn(
            format_args!("{at}.body"),
            format!("{size} bytes are kept in memory; serve large bodies from an upstream"),
        );
    }
}
