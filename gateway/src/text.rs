//! What a text is asked to be, and the parts of an authority: leaves that several layers use.

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
