//! How the path changes on its way to the upstream; the query is kept.

use std::borrow::Cow;

use regex::Regex;

use super::path::split_query;

/// A compiled change of the path.
#[derive(Debug, Clone)]
pub enum PathRewrite {
    /// None.
    Keep,
    /// The first bytes, which the route matched, become this; no slash is added or removed.
    Prefix(usize, Box<str>),
    /// The first bytes, whole segments, become this; a path never becomes empty (Gateway API).
    Segments(usize, Box<str>),
    /// The whole path becomes this.
    Whole(Box<str>),
    /// Everything an expression finds becomes this (`$1` for groups).
    Regex(Regex, Box<str>),
}

impl PathRewrite {
    /// The new path with its query.
    pub fn apply<'a>(&self, target: &'a str) -> Cow<'a, str> {
        let (path, query) = split_query(target);
        match self {
            Self::Keep => Cow::Borrowed(target),
            Self::Prefix(length, prefix) => {
                Cow::Owned(format!("{prefix}{}{query}", path.get(*length..).unwrap_or_default()))
            }
            Self::Segments(length, segments) => {
                Cow::Owned(format!("{}{query}", replace_segments(path, *length, segments)))
            }
            Self::Whole(it) => Cow::Owned(format!("{it}{query}")),
            Self::Regex(expression, replacement) => {
                Cow::Owned(format!("{}{query}", expression.replace_all(path, replacement.as_ref())))
            }
        }
    }
}

/// A path with other segments for its first bytes; neither ends with a slash.
pub(super) fn replace_segments(path: &str, length: usize, segments: &str) -> String {
    let rest = path.get(length..).unwrap_or_default();
    if rest.is_empty() && segments.is_empty() { "/".to_owned() } else { format!("{segments}{rest}") }
}

/// RE2's replacement (`\1`, `\\`) in the regex crate's form (`${1}`, `\`).
pub fn replacement(re2: &str) -> String {
    let mut out = String::with_capacity(re2.len());
    let mut letters = re2.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    out.push_str("${");
                    out.push(digit);
                    out.push('}');
                }
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            '$' => out.push_str("$$"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rewrite: &PathRewrite, target: &str, expected: &str) {
        assert_eq!(rewrite.apply(target), expected);
    }

    /// The rows of Istio's table of common mistakes.
    #[test]
    fn rewrites_replace_what_was_matched() {
        let prefix = |matched: &str, new: &str| PathRewrite::Prefix(matched.len(), new.into());
        check(&prefix("/foo", "/"), "/foo/bar?x=1", "//bar?x=1");
        check(&prefix("/foo/", "/"), "/foo/bar", "/bar");
        check(&prefix("/foo", "/v2"), "/foobar", "/v2bar");
        check(&PathRewrite::Whole("/new".into()), "/foo?x", "/new?x");
        check(&prefix("/", "/v1"), "/foo", "/v1foo");
        // The table of the Gateway API.
        let segments = |matched: &str, new: &str| {
            PathRewrite::Segments(matched.trim_end_matches('/').len(), new.trim_end_matches('/').into())
        };
        for new in ["/xyz", "/xyz/"] {
            check(&segments("/foo", new), "/foo/bar?x=1", "/xyz/bar?x=1");
            check(&segments("/foo/", new), "/foo/bar", "/xyz/bar");
            check(&segments("/foo", new), "/foo", "/xyz");
            check(&segments("/foo", new), "/foo/", "/xyz/");
            check(&segments("/", new), "/foo", "/xyz/foo");
        }
        for new in ["", "/"] {
            check(&segments("/foo", new), "/foo/bar", "/bar");
            check(&segments("/foo", new), "/foo/", "/");
            check(&segments("/foo", new), "/foo?x", "/?x");
        }
        let expression = PathRewrite::Regex(Regex::new("^/a/(.*)$").unwrap(), replacement("/\\1").into());
        check(&expression, "/a/b?a/b", "/b?a/b");
        check(&PathRewrite::Regex(Regex::new("o").unwrap(), replacement("$0").into()), "/foo", "/f$0$0");
    }
}
