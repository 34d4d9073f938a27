//! Conditions of a route besides its path.

use std::borrow::Cow;

use http::HeaderName;

use super::request::Request;
use crate::filter::authentication::claims::ClaimPath;
use crate::text::{TextPattern, joined};

/// Where a header condition looks.
#[derive(Debug, Clone)]
pub enum HeaderSource {
    /// A header field.
    Field(HeaderName),
    /// `:authority`.
    Authority,
    /// `:method`.
    Method,
    /// `:path`, with query.
    Target,
    /// `:scheme`.
    Scheme,
}

/// One condition of a route.
#[derive(Debug, Clone)]
pub enum Condition {
    /// The scheme by which the client came.
    Scheme(TextPattern),
    /// The method.
    Method(TextPattern),
    /// Host with port, as sent.
    Authority(TextPattern),
    /// A header that must be there and match.
    Header(HeaderSource, TextPattern),
    /// A header that must be absent or not match.
    WithoutHeader(HeaderSource, TextPattern),
    /// A query parameter that must be there and match.
    Query(Box<str>, TextPattern),
    /// A claim of a verified token that must be there and match.
    Claim(ClaimPath, TextPattern),
    /// A claim that must be absent or not match.
    WithoutClaim(ClaimPath, TextPattern),
}

impl Condition {
    /// Whether it holds for a request.
    pub fn holds(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Scheme(pattern) => pattern.matches(request.scheme.as_str()),
            Self::Method(pattern) => pattern.matches(request.method),
            Self::Authority(pattern) => pattern.matches(request.authority),
            Self::Header(source, pattern) => source.value(request).is_some_and(|it| pattern.matches(&it)),
            Self::WithoutHeader(source, pattern) => match (source.value(request), pattern) {
                (Some(value), pattern) => !pattern.matches(&value),
                (None, TextPattern::Present) => true,
                // Istio has Envoy take a missing header for an empty one here.
                (None, pattern) => !pattern.matches(""),
            },
            Self::Query(name, pattern) => request.query_param(name).is_some_and(|it| pattern.matches(it)),
            Self::Claim(path, pattern) => has_claim(request, path, pattern),
            Self::WithoutClaim(path, pattern) => !has_claim(request, path, pattern),
        }
    }

    /// What it asks, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Scheme(pattern) => format!("scheme {}", pattern.describe()),
            Self::Method(pattern) => format!("method {}", pattern.describe()),
            Self::Authority(pattern) => format!("authority {}", pattern.describe()),
            Self::Header(source, pattern) => format!("header {} {}", source.name(), pattern.describe()),
            Self::WithoutHeader(source, pattern) => format!("no header {} {}", source.name(), pattern.describe()),
            Self::Query(name, pattern) => format!("query parameter {name} {}", pattern.describe()),
            Self::Claim(path, pattern) => format!("claim {} {}", path.join("."), pattern.describe()),
            Self::WithoutClaim(path, pattern) => format!("no claim {} {}", path.join("."), pattern.describe()),
        }
    }
}

fn has_claim(request: &Request<'_>, path: &[Box<str>], pattern: &TextPattern) -> bool {
    request.claims.is_some_and(|it| it.any(path, |value| pattern.matches(value)))
}

impl HeaderSource {
    /// The value; several fields of one name are joined with a comma (RFC 9110 §5.3).
    fn value<'a>(&self, request: &Request<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Field(name) => joined(request.headers, name),
            Self::Authority => Some(Cow::Borrowed(request.authority)),
            Self::Method => Some(Cow::Borrowed(request.method)),
            Self::Target => Some(Cow::Borrowed(request.target)),
            Self::Scheme => Some(Cow::Borrowed(request.scheme.as_str())),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Field(name) => name.as_str(),
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Target => ":path",
            Self::Scheme => ":scheme",
        }
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::routing::request::Scheme;

    #[test]
    fn a_missing_header_is_an_empty_one_where_it_must_not_match() {
        let name = HeaderName::from_static("end-user");
        let any = || TextPattern::Regex(Regex::new(&crate::text::whole(".*")).unwrap());
        for (pattern, absent, empty, jason) in [
            (any(), false, false, false),
            (TextPattern::Present, true, false, false),
            (TextPattern::Exact("jason".into()), true, true, false),
            (TextPattern::Exact("".into()), false, false, true),
        ] {
            let condition = Condition::WithoutHeader(HeaderSource::Field(name.clone()), pattern);
            let holds = |value: Option<&'static str>| {
                let headers = value.map(|it| (name.clone(), http::HeaderValue::from_static(it))).into_iter().collect();
                condition.holds(&Request {
                    method: "GET",
                    scheme: Scheme::Http,
                    authority: "h",
                    target: "/",
                    headers: &headers,
                    port: 80,
                    claims: None,
                })
            };
            let found = (holds(None), holds(Some("")), holds(Some("jason")));
            assert_eq!(found, (absent, empty, jason), "{}", condition.describe());
        }
    }
}
