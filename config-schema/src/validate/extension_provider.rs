//! Rules of extension providers: names that are told apart, services that can be reached.

use std::collections::HashSet;

use super::check::Check;
use crate::istio::extension_provider::{ExtAuthzGrpc, ExtAuthzHttp, ExtensionProvider, RequestBody};
use crate::native::settings::GatewaySettings;
use crate::problem::{Severity, code};

/// Most that is held of a body to show it to a service.
const MAX_BODY: u32 = 64 * 1024;

type Checked<'a, 'b> = &'a mut Check<'b, GatewaySettings>;

pub(super) fn check(check: Checked<'_, '_>, providers: &[ExtensionProvider]) {
    let mut names = HashSet::new();
    for (index, provider) in providers.iter().enumerate() {
        let at = format!("spec.meshConfig.extensionProviders[{index}]");
        let field = format!("{at}.name");
        if provider.name.is_empty() {
            check.error(&field, "a provider needs a name");
        }
        if !names.insert(&provider.name) {
            check.error(&field, format!("the provider `{}` is declared twice", provider.name));
        }
        if let Some(http) = &provider.envoy_ext_authz_http {
            self::http(check, &format!("{at}.envoyExtAuthzHttp"), http);
        }
        if let Some(grpc) = &provider.envoy_ext_authz_grpc {
            let at = format!("{at}.envoyExtAuthzGrpc");
            let ExtAuthzGrpc { service, port, timeout, status_on_error, include_request_body_in_check, .. } = grpc;
            self::service(check, &at, (service, *port));
            check.at_least_1ms(format_args!("{at}.timeout"), *timeout);
            terms(check, &at, (status_on_error, include_request_body_in_check.as_ref()));
        }
    }
}

fn http(check: Checked<'_, '_>, at: &str, http: &ExtAuthzHttp) {
    service(check, at, (&http.service, http.port));
    check.at_least_1ms(format_args!("{at}.timeout"), http.timeout);
    terms(check, at, (&http.status_on_error, http.include_request_body_in_check.as_ref()));
    if !http.path_prefix.is_empty() && !http.path_prefix.starts_with('/') {
        check.error(format_args!("{at}.pathPrefix"), "a path begins with `/`");
    }
    let lists = [
        ("includeHeadersInCheck", &http.include_headers_in_check),
        ("includeRequestHeadersInCheck", &http.include_request_headers_in_check),
        ("headersToUpstreamOnAllow", &http.headers_to_upstream_on_allow),
        ("headersToDownstreamOnDeny", &http.headers_to_downstream_on_deny),
        ("headersToDownstreamOnAllow", &http.headers_to_downstream_on_allow),
    ];
    for (name, values) in lists {
        for (index, value) in values.iter().enumerate() {
            if value.trim_matches('*').is_empty() && value != "*" {
                check.error(format_args!("{at}.{name}[{index}]"), "a header needs a name, `prefix*` or `*suffix`");
            }
        }
    }
}

fn service(check: Checked<'_, '_>, at: &str, (service, port): (&str, u32)) {
    let host = service.split_once('/').map_or(service, |it| it.1);
    if host.is_empty() {
        check.error(format_args!("{at}.service"), "a provider needs a service, as `host` or `namespace/host`");
    }
    check.port(format_args!("{at}.port"), port);
}

fn terms(check: Checked<'_, '_>, at: &str, (status, body): (&str, Option<&RequestBody>)) {
    if !status.is_empty() && !status.parse::<u16>().is_ok_and(|it| (200..=599).contains(&it)) {
        check.error(format_args!("{at}.statusOnError"), format!("`{status}` is no HTTP status between 200 and 599"));
    }
    let Some(RequestBody { max_request_bytes, allow_partial_message: _, pack_as_bytes: _ }) = body else { return };
    let field = format!("{at}.includeRequestBodyInCheck.maxRequestBytes");
    if *max_request_bytes == 0 {
        check.error(&field, "must be above 0, or leave includeRequestBodyInCheck out");
    }
    if *max_request_bytes > MAX_BODY {
        let message = format!("at most {MAX_BODY} bytes of a body are held; longer ones get 413, or are shown in part");
        check.report(code::NOT_HONOURED, Severity::Warning, &field, message);
    }
}
