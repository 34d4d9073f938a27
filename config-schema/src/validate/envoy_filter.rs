//! Rules of an EnvoyFilter: only rate-limit payloads are read, the rest is refused by name.

use serde_json::Value;

use super::check::Check;
use crate::document::Resource;
use crate::istio::envoy_filter::{ApplyTo, ConfigPatch, EnvoyFilter, Operation, PatchContext, RATE_LIMIT_TYPES};
use crate::istio::envoy_rate_limit::{self, Action, Payload};
use crate::problem::{Problems, Severity, code};

type Checked<'a, 'b> = &'a mut Check<'b, EnvoyFilter>;

pub(super) fn check(resource: &Resource<EnvoyFilter>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let EnvoyFilter { workload_selector, target_refs, config_patches, priority } = check.spec();
    if workload_selector.is_some() && !target_refs.is_empty() {
        check.error("spec", "only one of targetRefs or workloadSelector can be set");
    }
    if let Some(selector) = workload_selector {
        check.labels(&"spec.workloadSelector.labels", &selector.labels);
    }
    for (index, patch) in config_patches.iter().enumerate() {
        let at = format!("spec.configPatches[{index}]");
        waypoint(&mut check, &at, patch);
        operation(&mut check, &at, patch, *priority);
        if for_gateways(patch) && !is_rate_limit(patch) {
            refuse(&mut check, &at, patch);
        }
        if for_gateways(patch) {
            payloads(&mut check, &at, patch);
        }
    }
}

/// What a patch says of rate limits, as far as it is wrong or has no meaning here.
fn payloads(check: Checked<'_, '_>, at: &str, patch: &ConfigPatch) {
    let at = format!("{at}.patch.value");
    let payloads = match envoy_rate_limit::read(patch) {
        Ok(it) => it,
        Err(why) => return check.error(at, format!("this rate limit cannot be read: {why}")),
    };
    for payload in payloads {
        let entries = match payload {
            Payload::Global(it) => {
                if it.domain.is_empty() {
                    check.error(&at, "a rate limit needs a domain");
                }
                Vec::new()
            }
            Payload::Local(it) => {
                if it.filter_enabled.is_none() || it.filter_enforced.is_none() {
                    check.warn(&at, "without filter_enabled and filter_enforced a local rate limit does nothing");
                }
                it.rate_limits
            }
            Payload::Descriptors(entries, _) => entries,
        };
        if entries.iter().flat_map(|it| &it.actions).any(gives_nothing) {
            let message = "an action gives nothing here, so its descriptor never matches";
            check.report(code::NOT_HONOURED, Severity::Warning, &at, message);
        }
    }
}

/// Whether an action asks for something that no gateway has.
fn gives_nothing(action: &Action) -> bool {
    action.dynamic_metadata.is_some()
        || action.metadata.is_some()
        || action.extension.is_some()
        || action.query_parameter_value_match.is_some()
}

/// Whether a patch is for gateways at all; others are somebody else's.
fn for_gateways(patch: &ConfigPatch) -> bool {
    let context = patch.selector.as_ref().and_then(|it| it.context).unwrap_or(PatchContext::Any);
    matches!(context, PatchContext::Any | PatchContext::Gateway)
}

/// Whether a patch carries one of the payloads that are read.
fn is_rate_limit(patch: &ConfigPatch) -> bool {
    let Some(value) = patch.patch.as_ref().and_then(|it| it.value.as_ref()) else { return false };
    match patch.apply_to {
        Some(ApplyTo::HttpFilter) => holds_type(value),
        Some(ApplyTo::VirtualHost | ApplyTo::HttpRoute) => {
            holds_type(value) || holds_key(value, "rate_limits") || holds_key(value, "rateLimits")
        }
        // The cluster of a rate-limit service stands beside the filter that uses it.
        Some(ApplyTo::Cluster) => true,
        Some(
            ApplyTo::Invalid
            | ApplyTo::Listener
            | ApplyTo::FilterChain
            | ApplyTo::NetworkFilter
            | ApplyTo::RouteConfiguration
            | ApplyTo::ExtensionConfig
            | ApplyTo::Bootstrap
            | ApplyTo::ListenerFilter,
        )
        | None => false,
    }
}

fn holds_type(value: &Value) -> bool {
    let is_ours = |it: &str| RATE_LIMIT_TYPES.iter().any(|known| it.ends_with(known));
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            (matches!(key.as_str(), "@type" | "type_url" | "typeUrl") && value.as_str().is_some_and(is_ours))
                || holds_type(value)
        }),
        Value::Array(values) => values.iter().any(holds_type),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn holds_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key(key) || fields.values().any(|it| holds_key(it, key)),
        Value::Array(values) => values.iter().any(|it| holds_key(it, key)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn refuse(check: Checked<'_, '_>, at: &str, patch: &ConfigPatch) {
    let what = match patch.apply_to {
        Some(ApplyTo::HttpFilter) => "this HTTP filter",
        Some(_) | None => "this patch",
    };
    let message = format!("EnvoyFilter is read for rate limits only; {what} would be ignored, so it is refused");
    let problem = check
        .resource
        .problem(code::SCHEMA, Severity::Error, at, message)
        .help("use a native kind: VirtualService corsPolicy, AuthorizationPolicy CUSTOM, or GatewaySettings limits");
    check.push(problem);
}

fn waypoint(check: Checked<'_, '_>, at: &str, patch: &ConfigPatch) {
    let Some(selector) = &patch.selector else { return };
    let is_waypoint = selector.context == Some(PatchContext::Waypoint);
    let others = selector.listener.is_some() || selector.route_configuration.is_some() || selector.cluster.is_some();
    if (selector.waypoint.is_some() && !is_waypoint) || (is_waypoint && others) {
        check.error(format_args!("{at}.match"), "only support waypointMatch when context is WAYPOINT");
    }
    let port = |it: &Value| it.get("portNumber").and_then(Value::as_u64);
    if selector.waypoint.as_ref().and_then(port).is_some_and(|it| it == 0 || it > 65_535) {
        check.error(format_args!("{at}.match.waypoint.portNumber"), "port must be between 1-65535");
    }
}

fn operation(check: Checked<'_, '_>, at: &str, patch: &ConfigPatch, priority: i32) {
    let (Some(apply_to), Some(operation)) = (patch.apply_to, patch.patch.as_ref().and_then(|it| it.operation)) else {
        return;
    };
    let field = format!("{at}.patch.operation");
    let filter = matches!(apply_to, ApplyTo::HttpFilter | ApplyTo::NetworkFilter);
    let routes = matches!(apply_to, ApplyTo::RouteConfiguration | ApplyTo::HttpRoute);
    let relative = matches!(operation, Operation::InsertBefore | Operation::InsertAfter);
    let mut warn = |code, severity, message: &str| check.report(code, severity, &field, message);
    match operation {
        Operation::Replace if !filter => {
            warn(
                code::ENVOY_FILTER_REPLACE,
                Severity::Error,
                "REPLACE is only valid for HTTP_FILTER and NETWORK_FILTER",
            );
        }
        Operation::Add if routes => {
            warn(code::ENVOY_FILTER_ADD, Severity::Error, "ADD is ignored for ROUTE_CONFIGURATION and HTTP_ROUTE");
        }
        Operation::Remove if routes => {
            warn(
                code::ENVOY_FILTER_REMOVE,
                Severity::Error,
                "REMOVE is ignored for ROUTE_CONFIGURATION and HTTP_ROUTE",
            );
        }
        Operation::Invalid
        | Operation::Merge
        | Operation::Add
        | Operation::Remove
        | Operation::InsertBefore
        | Operation::InsertAfter
        | Operation::InsertFirst
        | Operation::Replace
        | Operation::MergeAndReplaceList => {}
    }
    let version =
        patch.selector.as_ref().and_then(|it| it.proxy.as_ref()).is_some_and(|it| !it.proxy_version.is_empty());
    if relative && priority == 0 {
        let message = "a relative operation without priority depends on the order of other filters";
        warn(code::ENVOY_FILTER_RELATIVE, Severity::Warning, message);
        if version {
            let message = "a relative operation with proxyVersion is dropped on other versions";
            warn(code::ENVOY_FILTER_VERSION, Severity::Warning, message);
        }
    }
}
