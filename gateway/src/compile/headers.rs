//! Lowers header operations, and texts with `%…%` commands.

use std::sync::Arc;

use config_schema::istio::shared::{HeaderOperations, Headers};
use config_schema::value::substitution::{self, Command, Part as Written};
use http::{HeaderName, HeaderValue};

use crate::filter::header_edits::{HeaderEdits, Mode, Value, Write};
use crate::telemetry::template::{Part, Template};

/// A compiled text.
pub(super) fn template(text: &str) -> Result<Template, String> {
    let parts = substitution::parse(text)?;
    Template::new(parts.iter().map(|part| match part {
        Written::Text(text) => Part::Text(text),
        Written::Command(Command { name, argument, max_length }) => {
            Part::Command(name, argument.as_deref(), *max_length)
        }
    }))
}

/// The operations of one level; `Host` is not among them, since it is a rewrite.
fn level(operations: &HeaderOperations) -> Result<HeaderEdits, String> {
    let HeaderOperations { set, add, remove } = operations;
    let remove = remove.iter().map(|it| header_name(it)).collect::<Result<_, _>>()?;
    let mut write = Vec::with_capacity(set.len() + add.len());
    for (mode, values) in [(Mode::Set, set), (Mode::Add, add)] {
        for (name, text) in values.iter().filter(|(name, _)| !is_authority(name)) {
            write.push(Write { name: header_name(name)?, value: value(text)?, mode });
        }
    }
    Ok(HeaderEdits { remove, write: write.into() })
}

fn value(text: &str) -> Result<Value, String> {
    let template = template(text)?;
    match template.as_text() {
        Some(text) => HeaderValue::from_bytes(&text).map(Value::Fixed).map_err(|error| error.to_string()),
        None => Ok(Value::Rendered(template)),
    }
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header name"))
}

pub(super) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

/// The new `Host` that the operations of one level ask for.
pub(super) fn authority(headers: Option<&Headers>) -> Option<&str> {
    let request = &headers?.request;
    let mut values = request.set.iter().chain(&request.add);
    values.find(|(name, _)| is_authority(name)).map(|(_, value)| value.as_str())
}

/// Operations of a route and of a destination in the order they take effect.
///
/// With one destination Istio puts its operations behind the route's, so they win; with
/// several, Envoy applies the destination's first and the route's last.
pub(super) fn combine(
    route: Option<&HeaderOperations>,
    destination: Option<&HeaderOperations>,
    is_only: bool,
) -> Result<Arc<[HeaderEdits]>, String> {
    let none = HeaderOperations::default();
    let route = level(route.unwrap_or(&none))?;
    let destination = level(destination.unwrap_or(&none))?;
    let levels = if is_only {
        vec![HeaderEdits {
            remove: joined(route.remove, destination.remove),
            write: joined(route.write, destination.write),
        }]
    } else {
        vec![destination, route]
    };
    Ok(levels.into_iter().filter(|it| !it.is_empty()).collect())
}

fn joined<T>(first: Box<[T]>, second: Box<[T]>) -> Box<[T]> {
    first.into_iter().chain(second).collect()
}
