//! Where a compiled thing was written, so that people can be told.

/// A document of the configuration.
#[derive(Debug, Default)]
pub struct DocumentOrigin {
    /// `namespace/name`.
    pub name: Box<str>,
    /// File it was read from.
    pub file: Box<str>,
    /// Position of the document in the file's YAML stream, from 0.
    pub document: u32,
    /// Position in `items`, when the document is a `List`.
    pub item: Option<u32>,
}
