//! Remembers what the documents of the last reading said, so that those that did not change are not parsed again.
//!
//! A document is known by its whole text, so nothing else can make two of them alike. Each
//! reading takes over what it finds again and forgets the rest: a memory never holds more
//! than one configuration.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::Source;
use crate::document::Documents;
use crate::problem::Problems;

/// What documents said.
#[derive(Debug, Default)]
pub struct Memory(HashMap<ByText, Part>);

/// What a text said, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) documents: Documents,
    pub(super) problems: Problems,
    /// Nodes, as [`super::bounds`] counts them.
    pub(super) nodes: u64,
}

impl Part {
    /// The same as said by a document elsewhere.
    pub(super) fn placed(mut self, source: u32, document: u32) -> Self {
        self.documents.place(source, document);
        self.problems.place(source, document);
        self
    }
}

impl Memory {
    /// Forgets a text, and gives what it said.
    pub(super) fn take(&mut self, text: &str) -> Option<Part> {
        self.0.remove(text)
    }

    /// Remembers what a part of a file said.
    pub(super) fn keep(&mut self, source: &Arc<Source>, range: Range<usize>, part: Part) {
        self.0.insert(ByText { source: Arc::clone(source), range }, part);
    }
}

/// A part of a file, compared by its text.
#[derive(Debug)]
struct ByText {
    source: Arc<Source>,
    range: Range<usize>,
}

impl Borrow<str> for ByText {
    fn borrow(&self) -> &str {
        self.source.text.get(self.range.clone()).unwrap_or_default()
    }
}

impl Hash for ByText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<str>::borrow(self).hash(state);
    }
}

impl PartialEq for ByText {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<str>::borrow(self) == Borrow::<str>::borrow(other)
    }
}

impl Eq for ByText {}
