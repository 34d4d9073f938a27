//! What a text is asked to be, and the parts of authorities, targets and headers: leaves that several layers use.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use regex::Regex;

/// What is asked of a text.
#[derive(Debug, Clone)]
pub enum TextPattern {
    /// There is one.
    Present,
    /// It is this.
    Exact(Box<str>),
    /// It begins with this.
    Prefix(Box<str>),
    /// It matches this as a whole.
    Regex(Regex),
}

impl TextPattern {
    /// Whether a text is what is asked for.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(it) => text == it.as_ref(),
            Self::Prefix(it) => text.starts_with(it.as_ref()),
            Self::Regex(it) => it.is_match(text),
        }
    }

    /// What it asks, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Present => "present".to_owned(),
            Self::Exact(it) => format!("= {it}"),
            Self::Prefix(it) => format!("begins with {it}"),
            Self::Regex(it) => format!("matches {it}"),
        }
    }
}

/// The items of a list that may be spread over fields (RFC 9110 §5.6.1), without the blanks around them.
pub fn listed<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> impl Iterator<Item = &'a str> {
    values.into_iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(',')).map(str::trim)
}

/// The expression that matches a whole text where `expression` does.
pub fn whole(expression: &str) -> String {
    format!(r"\A(?:{expression})\z")
}

/// An authority without its port; an IPv6 literal keeps its brackets.
pub fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

/// The names that a host name is below, the nearest first.
pub fn above(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        rest = rest.split_once('.')?.1;
        Some(rest)
    })
}

/// First value of a query parameter of a target, as sent; `?key` has the empty one.
pub fn query_param<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// The value of a cookie, without quotes.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let mut pairs = lines.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
}

/// The values of a header, joined with a comma (RFC 9110 §5.3).
pub fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().map(|it| String::from_utf8_lossy(it.as_bytes()));
    let first = values.next()?;
    Some(values.fold(first, |joined, it| Cow::Owned(format!("{joined},{it}"))))
}

/// A target whose query has these parameters with these values, and none of the others.
pub fn with_query(target: &str, set: &[(String, String)], remove: &[String]) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let goes = |name: &str| remove.iter().any(|it| it == name) || set.iter().any(|(it, _)| it == name);
    let kept = query.split('&').filter(|it| !it.is_empty() && !goes(it.split('=').next().unwrap_or_default()));
    let added = set.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    let query: Vec<String> = kept.map(str::to_owned).chain(added).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{path}{mark}{}", query.join("&"))
}

/// A text with everything escaped that has a meaning in a query.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("xid=1; id=2; id=3"));
        headers.append(header::COOKIE, HeaderValue::from_static("other=\"4\""));
        assert_eq!(cookie(&headers, "id"), Some("2"));
        assert_eq!(cookie(&headers, "other"), Some("4"));
        assert_eq!(cookie(&headers, "d"), None);
    }

    #[test]
    fn parameters_are_set_and_removed() {
        let set = [("b".to_owned(), "x y&".to_owned())];
        assert_eq!(with_query("/p?a=1&b=2&c", &set, &["c".to_owned()]), "/p?a=1&b=x%20y%26");
        assert_eq!(with_query("/p?c=1", &[], &["c".to_owned()]), "/p");
    }
}
