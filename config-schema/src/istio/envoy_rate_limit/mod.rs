//! The payloads of EnvoyFilters that are read: Envoy's rate limits, global and local.

mod entry;
mod filter;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::entry::{
    Action, EnvoyStringMatch, GenericKey, HeaderMatcher, HeaderValueMatch, Masked, QueryParameters, RequestHeaders,
    RouteRateLimit, SafeRegex,
};
pub use self::filter::{
    Fraction, GlobalRateLimit, HeaderOption, LocalDescriptor, LocalRateLimit, StatusCode, TokenBucket,
};
use super::envoy_filter::{ApplyTo, ConfigPatch, RATE_LIMIT_TYPES};

/// What a patch says of rate limits.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Asks a service, or counts in its place (HTTP_FILTER).
    Global(Box<GlobalRateLimit>),
    /// Counts in this process (HTTP_FILTER, or `typed_per_filter_config` of a virtual host or route).
    Local(Box<LocalRateLimit>),
    /// What is asked about requests of a virtual host or route; whether a route asks for its host's too.
    Descriptors(Vec<RouteRateLimit>, bool),
}

/// What a patch says of rate limits, or why it cannot be read; none when it says nothing of them.
pub fn read(patch: &ConfigPatch) -> Result<Vec<Payload>, String> {
    let Some(value) = patch.patch.as_ref().and_then(|it| it.value.as_ref()) else { return Ok(Vec::new()) };
    let value = snake(value);
    match patch.apply_to {
        Some(ApplyTo::HttpFilter) => Ok(of_filter(value.get("typed_config").unwrap_or(&value))?.into_iter().collect()),
        Some(ApplyTo::VirtualHost) => routed(&value, &value),
        Some(ApplyTo::HttpRoute) => routed(value.get("route").unwrap_or(&Value::Null), &value),
        Some(
            ApplyTo::Invalid
            | ApplyTo::Listener
            | ApplyTo::FilterChain
            | ApplyTo::NetworkFilter
            | ApplyTo::RouteConfiguration
            | ApplyTo::Cluster
            | ApplyTo::ExtensionConfig
            | ApplyTo::Bootstrap
            | ApplyTo::ListenerFilter,
        )
        | None => Ok(Vec::new()),
    }
}

/// The configuration of a filter, also wrapped into a `TypedStruct`.
fn of_filter(config: &Value) -> Result<Option<Payload>, String> {
    let wrapped = config.get("type_url").and_then(Value::as_str);
    let (kind, body) = match wrapped {
        Some(kind) => (kind, config.get("value").unwrap_or(&Value::Null)),
        None => (config.get("@type").and_then(Value::as_str).unwrap_or_default(), config),
    };
    let [global, local] = RATE_LIMIT_TYPES;
    if kind.ends_with(global) {
        Ok(Some(Payload::Global(Box::new(parse(body)?))))
    } else if kind.ends_with(local) {
        Ok(Some(Payload::Local(Box::new(parse(body)?))))
    } else {
        Ok(None)
    }
}

/// What a virtual host or a route says: `rate_limits` of `action`, and filters in `typed_per_filter_config` of `whole`.
fn routed(action: &Value, whole: &Value) -> Result<Vec<Payload>, String> {
    let mut out = Vec::new();
    let limits = action.get("rate_limits").or_else(|| whole.get("rate_limits"));
    if let Some(limits) = limits {
        let includes = action.get("include_vh_rate_limits").is_some_and(|it| {
            it.as_bool().unwrap_or_else(|| it.get("value").and_then(Value::as_bool).unwrap_or(false))
        });
        out.push(Payload::Descriptors(parse(limits)?, includes));
    }
    if let Some(Value::Object(filters)) = whole.get("typed_per_filter_config") {
        for config in filters.values() {
            out.extend(of_filter(config)?);
        }
    }
    Ok(out)
}

fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let mut value = value.clone();
    if let Value::Object(fields) = &mut value {
        fields.remove("@type");
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Envoy reads both spellings of a field; here there is one.
fn snake(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let each = fields.iter().map(|(key, value)| (snake_name(key), snake(value)));
            Value::Object(each.collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.iter().map(snake).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn snake_name(name: &str) -> String {
    if name.contains(['.', '@', '_', '-']) {
        return name.to_owned();
    }
    name.chars().fold(String::new(), |mut out, letter| {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
        out
    })
}
