//! Remembers what the files of the last reading said, so that those that did not change are not parsed again.
//!
//! A file is known by its whole text, so nothing else can make two of them alike. Each
//! reading takes over what it finds again and forgets the rest: a memory never holds more
//! than one configuration.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Source;
use crate::document::Documents;
use crate::problem::Problems;

/// What files said.
#[derive(Debug, Default)]
pub struct Memory(HashMap<ByText, Part>);

/// What one file said, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) documents: Documents,
    pub(super) problems: Problems,
}

impl Part {
    /// The same as said by the file of another number.
    pub(super) fn numbered(mut self, source: u32) -> Self {
        self.documents.set_source(source);
        self.problems.set_source(source);
        self
    }
}

impl Memory {
    /// Forgets a text, and gives what it said.
    pub(super) fn take(&mut self, text: &str) -> Option<Part> {
        self.0.remove(text)
    }

    /// Remembers what a file said.
    pub(super) fn keep(&mut self, source: &Arc<Source>, part: Part) {
        self.0.insert(ByText(Arc::clone(source)), part);
    }
}

/// A file, compared by its text.
#[derive(Debug)]
struct ByText(Arc<Source>);

impl Borrow<str> for ByText {
    fn borrow(&self) -> &str {
        &self.0.text
    }
}

impl Hash for ByText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl PartialEq for ByText {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for ByText {}
