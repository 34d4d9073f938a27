//! Sets of values that policies ask for, made for asking: hashed, by prefix, by suffix, by network.

use std::collections::HashSet;

/// Texts: exact, `prefix*`, `*suffix`, `*` for any that is not empty, and templates of paths.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    exact: HashSet<Box<str>>,
    prefixes: Vec<Box<str>>,
    suffixes: Vec<Box<str>>,
    templates: Vec<Template>,
    any: bool,
}

/// A path in which `{*}` stands for one segment and `{**}`, once, for any text between its slashes.
#[derive(Debug, Clone)]
struct Template {
    before: Box<[Segment]>,
    /// What follows `{**}`; none when there is no such part.
    after: Option<Box<[Segment]>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Any,
    Exact(Box<str>),
}

impl Texts {
    /// The values as they are written; `*` inside a text is itself.
    pub fn new<'a>(written: impl IntoIterator<Item = &'a str>) -> Self {
        let mut out = Self::default();
        for it in written {
            match (it.strip_suffix('*'), it.strip_prefix('*')) {
                (Some(""), _) => out.any = true,
                (Some(prefix), _) => out.prefixes.push(prefix.into()),
                (None, Some(suffix)) => out.suffixes.push(suffix.into()),
                (None, None) => {
                    out.exact.insert(it.into());
                }
            }
        }
        out
    }

    /// The same, where a value with `{*}` or `{**}` is a template.
    pub fn of_paths<'a>(written: impl IntoIterator<Item = &'a str>) -> Self {
        let (templates, plain): (Vec<&str>, Vec<&str>) =
            written.into_iter().partition(|it| it.contains("{*}") || it.contains("{**}"));
        Self { templates: templates.into_iter().map(Template::new).collect(), ..Self::new(plain) }
    }

    /// Whether a text is among them.
    pub fn hold(&self, text: &str) -> bool {
        self.exact.contains(text)
            || (self.any && !text.is_empty())
            || self.prefixes.iter().any(|it| text.starts_with(it.as_ref()))
            || self.suffixes.iter().any(|it| text.ends_with(it.as_ref()))
            || self.templates.iter().any(|it| it.matches(text))
    }

    /// The exact values and the prefixes, if they are all that is asked for.
    pub(super) fn indexable(&self) -> Option<(impl Iterator<Item = &str>, impl Iterator<Item = &str>)> {
        let only = self.suffixes.is_empty() && self.templates.is_empty() && !self.any;
        only.then(|| (self.exact.iter().map(AsRef::as_ref), self.prefixes.iter().map(AsRef::as_ref)))
    }
}

impl Template {
    fn new(text: &str) -> Self {
        let segment = |it: &str| if it == "{*}" { Segment::Any } else { Segment::Exact(it.into()) };
        let segments: Vec<&str> = text.strip_prefix('/').unwrap_or(text).split('/').collect();
        match segments.iter().position(|it| *it == "{**}") {
            None => Self { before: segments.into_iter().map(segment).collect(), after: None },
            Some(at) => {
                let (before, after) = segments.split_at(at);
                let after = after.iter().skip(1).map(|it| segment(it)).collect();
                Self { before: before.iter().map(|it| segment(it)).collect(), after: Some(after) }
            }
        }
    }

    fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |wanted: &[Segment], found: &[&str]| {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(wanted, found)| match wanted {
                    Segment::Any => !found.is_empty(),
                    Segment::Exact(it) => **it == **found,
                })
        };
        let Some(after) = &self.after else { return fits(&self.before, &segments) };
        let Some(middle) = segments.len().checked_sub(self.before.len() + after.len()) else { return false };
        // The slashes around `{**}` stay: `/foo/{**}` does not stand for `/foo`.
        if middle == 0 {
            return false;
        }
        let (front, rest) = segments.split_at(self.before.len());
        let (_, back) = rest.split_at(middle);
        fits(&self.before, front) && fits(after, back)
    }
}

/// Service accounts, each with its namespace.
#[derive(Debug, Clone, Default)]
pub struct Accounts(pub Box<[(Box<str>, Box<str>)]>);

impl Accounts {
    /// Whether this account of this namespace is among them.
    pub fn hold(&self, namespace: &str, account: &str) -> bool {
        self.0.iter().any(|it| *it.0 == *namespace && *it.1 == *account)
    }
}

/// Issuers and subjects of tokens.
#[derive(Debug, Clone, Default)]
pub struct Principals {
    exact: HashSet<(Box<str>, Box<str>)>,
    patterns: Vec<(Half, Half)>,
}

/// What one half of a principal must be.
#[derive(Debug, Clone)]
enum Half {
    Present,
    Whatever,
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
}

impl Half {
    fn new(text: &str) -> Self {
        match (text.strip_suffix('*'), text.strip_prefix('*')) {
            (Some(""), _) => Self::Present,
            (Some(prefix), _) => Self::Prefix(prefix.into()),
            (None, Some(suffix)) => Self::Suffix(suffix.into()),
            (None, None) => Self::Exact(text.into()),
        }
    }

    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Present => !text.is_empty(),
            Self::Whatever => true,
            Self::Exact(it) => text == it.as_ref(),
            Self::Prefix(it) => text.starts_with(it.as_ref()),
            Self::Suffix(it) => text.ends_with(it.as_ref()),
        }
    }
}

impl Principals {
    /// The values as they are written: `issuer/subject`, divided at the last slash.
    pub fn new<'a>(written: impl IntoIterator<Item = &'a str>) -> Self {
        let mut out = Self::default();
        for it in written {
            let halves = match it.rsplit_once('/') {
                Some((issuer, subject)) if !it.contains('*') => {
                    out.exact.insert((issuer.into(), subject.into()));
                    continue;
                }
                Some((issuer, subject)) => (Half::new(issuer), Half::new(subject)),
                None if it == "*" => (Half::Present, Half::Present),
                None if it.ends_with('*') => (Half::new(it), Half::Whatever),
                None if it.starts_with('*') => (Half::Whatever, Half::new(it)),
                None => (Half::Exact(it.into()), Half::Exact("".into())),
            };
            out.patterns.push(halves);
        }
        out
    }

    /// Whether this issuer and subject are among them.
    pub fn hold(&self, issuer: &str, subject: &str) -> bool {
        let exact = !self.exact.is_empty() && self.exact.contains(&(Box::from(issuer), Box::from(subject)));
        exact || self.patterns.iter().any(|it| it.0.holds(issuer) && it.1.holds(subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_at_the_ends() {
        for (value, text, expected) in [
            ("a", "a", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*", "x", true),
            ("*", "", false),
            ("a*c", "abc", false),
            ("a*c", "a*c", true),
            ("*b*", "*bx", true),
            ("*b*", "abc", false),
        ] {
            assert_eq!(Texts::new([value]).hold(text), expected, "{value} {text}");
        }
    }

    #[test]
    fn templates_stand_for_segments() {
        for (template, path, expected) in [
            ("/allow/admin/{**}", "/allow/admin/a/b", true),
            ("/allow/admin/{**}", "/allow/admin/", true),
            ("/allow/admin/{**}", "/allow/admin", false),
            ("/foo/{*}/bar/{**}", "/foo/x/bar/y", true),
            ("/foo/{*}/bar/{**}", "/foo/x/y/bar/z", false),
            ("/foo/{*}", "/foo/", false),
            ("/store/{**}/cart", "/store/a/b/cart", true),
            ("/store/{**}/cart", "/store/cart", false),
            ("/store/{**}/cart", "/store//cart", true),
            ("/store/{**}/cart", "/store/a/cart/b", false),
            ("/{*}", "/a/b", false),
        ] {
            assert_eq!(Texts::of_paths([template]).hold(path), expected, "{template} {path}");
        }
    }

    #[test]
    fn request_principals_are_divided_at_the_last_slash() {
        for (value, issuer, subject, expected) in [
            ("https://i/s", "https://i", "s", true),
            ("https://i/s", "https:/", "/i/s", false),
            ("*", "i", "s", true),
            ("*", "i", "", false),
            ("i/*", "i", "s", true),
            ("i/*", "i", "", false),
            ("i/s*", "i", "sub", true),
            ("*/s", "i", "s", true),
            ("*/s", "", "s", false),
            ("*x/s", "ax", "s", true),
            ("iss*", "issuer", "", true),
            ("*sub", "i", "mysub", true),
            ("i", "i", "", true),
            ("i", "i", "s", false),
        ] {
            assert_eq!(Principals::new([value]).hold(issuer, subject), expected, "{value} {issuer} {subject}");
        }
    }
}
