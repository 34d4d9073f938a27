//! How a text is compared: exactly, by prefix, by regular expression, or for presence.

use schemars::JsonSchema;
use serde::Deserialize;

/// Exactly one of the three, or none for presence (where presence can be asked).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StringMatch {
    /// Equal to this text; may be empty.
    pub exact: Option<String>,
    /// Begins with this text.
    pub prefix: Option<String>,
    /// RE2 expression that matches the whole text; at most 1024 characters.
    pub regex: Option<String>,
}

/// What a [`StringMatch`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern<'a> {
    /// Any value, as long as there is one.
    Present,
    /// Equal to this text.
    Exact(&'a str),
    /// Begins with this text.
    Prefix(&'a str),
    /// Matches this expression as a whole.
    Regex(&'a str),
}

impl StringMatch {
    /// A match for one exact text.
    pub fn exact(text: impl Into<String>) -> Self {
        Self { exact: Some(text.into()), ..Self::default() }
    }

    /// What is asked; when several are given (which validation refuses), the first.
    pub fn pattern(&self) -> Pattern<'_> {
        let Self { exact, prefix, regex } = self;
        match (exact, prefix, regex) {
            (Some(it), _, _) => Pattern::Exact(it),
            (None, Some(it), _) => Pattern::Prefix(it),
            (None, None, Some(it)) => Pattern::Regex(it),
            (None, None, None) => Pattern::Present,
        }
    }

    /// How many of the alternatives are given; more than one is a mistake.
    pub fn alternatives(&self) -> usize {
        let Self { exact, prefix, regex } = self;
        usize::from(exact.is_some()) + usize::from(prefix.is_some()) + usize::from(regex.is_some())
    }
}
