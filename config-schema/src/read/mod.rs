//! Turns files and folders of YAML into [`Documents`], within bounds, with every problem found.
//!
//! A folder is read recursively in sorted order, hidden entries left out (a mounted
//! ConfigMap keeps its data behind `..data`); symlinks are followed. Each file passes the
//! bounds before a value is built from it, and one bad document does not hide the next.

pub(crate) mod bounds;
pub(crate) mod locate;
mod files;
mod memory;
mod piecewise;
mod stream;
pub(crate) mod strict;
pub(crate) mod tree;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize as _;

use files::{collect, load};
use memory::Part;
use tree::Tree;

pub use files::{MAX_FILE_BYTES, MAX_FILES, files};
pub use memory::Memory;

use crate::document::Documents;
use crate::problem::{FieldPath, Position, Problem, Problems, Severity, code};

/// One file that was read.
#[derive(Debug)]
pub struct Source {
    /// Number of the file in the order of reading.
    pub id: u32,
    /// Path as the operator would write it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// The document a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// [`Source::id`].
    pub source: u32,
    /// Position in the YAML stream, from 0.
    pub document: u32,
    /// Position in `items` when the document is a `List`.
    pub item: Option<u32>,
}

/// Reads every document of these files and folders.
///
/// Problems of reading (no such file, no YAML, unknown field …) are in the second value;
/// what could be read is in the first either way.
///
/// Files are read document by document, as far as that says the same: all at once, a large one takes several times
/// the memory.
pub fn read(paths: &[PathBuf]) -> (Documents, Problems) {
    read_again(paths, &mut Memory::default())
}

/// The same, without parsing documents again that say what they said at the last reading.
pub fn read_again(paths: &[PathBuf], memory: &mut Memory) -> (Documents, Problems) {
    let mut reader = Reader { known: std::mem::take(memory), ..Reader::default() };
    let read = reader.read(paths);
    *memory = reader.fresh;
    read
}

/// Where a field of one document stands; the nearest known parent if the field is missing.
pub fn position(source: &Source, origin: Origin, field: &FieldPath) -> Option<Position> {
    locate::find(source, origin, field)
}

/// Reads one text as if it were a file of this name.
pub fn read_text(name: &str, text: &str) -> (Documents, Problems) {
    let mut reader = Reader::default();
    let file = reader.open(name, text.to_owned());
    reader.take(file);
    reader.finish()
}

#[derive(Default)]
struct Reader {
    documents: Documents,
    problems: Problems,
    files: u32,
    /// What files said before.
    known: Memory,
    /// What they say now.
    fresh: Memory,
}

/// A file, and what is known of its documents: nothing where it is to be parsed as a whole.
struct File {
    source: Arc<Source>,
    documents: Option<Vec<(Range<usize>, Option<Part>)>>,
}

impl Reader {
    fn read(&mut self, paths: &[PathBuf]) -> (Documents, Problems) {
        let mut files = Vec::new();
        for path in paths {
            self.path(path, &mut files);
        }
        // What no file says any more makes room before anything is parsed.
        self.known = Memory::default();
        for file in files {
            match file {
                Ok(file) => self.take(file),
                Err(problem) => self.problems.push(*problem),
            }
        }
        self.finish()
    }

    fn finish(&mut self) -> (Documents, Problems) {
        let documents = std::mem::take(&mut self.documents);
        let mut report = Problems::about(documents.sources.clone());
        report.absorb(std::mem::take(&mut self.problems));
        (documents, report)
    }

    fn path(&mut self, path: &Path, out: &mut Vec<Result<File, Box<Problem>>>) {
        let mut files = Vec::new();
        if path.is_dir() {
            if let Err(problem) = collect(path, 0, &mut files) {
                out.push(Err(problem));
            }
        } else {
            files.push(path.to_owned());
        }
        for file in files {
            out.push(load(&file).map(|text| self.open(&file.display().to_string(), text)));
        }
    }

    /// The file, with what is known of it.
    fn open(&mut self, name: &str, text: String) -> File {
        // JSON may indent with tabs, which YAML forbids; inside JSON strings they are escaped.
        let text = if name.ends_with(".json") { text.replace('\t', " ") } else { text };
        let source = Arc::new(Source { id: self.files, name: name.to_owned(), text });
        self.files += 1;
        self.documents.sources.push(Arc::clone(&source));
        let documents = stream::cut(&source.text).map(|ranges| {
            let known = |range: Range<usize>| {
                let part = source.text.get(range.clone()).and_then(|it| self.known.take(it));
                (range, part)
            };
            ranges.into_iter().map(known).collect()
        });
        File { source, documents }
    }

    fn take(&mut self, file: File) {
        let File { source, documents } = file;
        let parts = documents.and_then(|it| self.documents_of(&source, it)).unwrap_or_else(|| vec![parse(&source)]);
        for Part { documents, problems, nodes: _ } in parts {
            self.documents.append(documents);
            self.problems.absorb(problems);
        }
    }

    /// What the documents of a file say, each read by itself or known from before.
    ///
    /// Nothing where that cannot be told so: the file has a mistake that only reading all of it at once reports in its
    /// place.
    fn documents_of(
        &mut self,
        source: &Arc<Source>,
        documents: Vec<(Range<usize>, Option<Part>)>,
    ) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut nodes = 0_u64;
        for (document, (range, known)) in (0..).zip(documents) {
            let part = match known {
                Some(it) => it.placed(source.id, document),
                None => {
                    // As a file of its own it has one document, or the cut was wrong.
                    let text = source.text.get(range.clone())?.to_owned();
                    let part = parse(&Source { id: source.id, name: source.name.clone(), text });
                    if part.problems.any_placed() {
                        return None;
                    }
                    part.placed(source.id, document)
                }
            };
            nodes = nodes.saturating_add(part.nodes);
            self.fresh.keep(source, range, part.clone());
            parts.push(part);
        }
        (nodes <= bounds::MAX_NODES).then_some(parts)
    }
}

/// What a file says.
fn parse(source: &Source) -> Part {
    let mut part = Part::default();
    match bounds::check(&source.text) {
        Ok(nodes) => part.nodes = nodes,
        Err(excess) => {
            let mut problem = Problem::new(code::TOO_LARGE, Severity::Error, excess.message).help(excess.help);
            problem.position = excess.position;
            part.problems.push(whole(problem, source));
            return part;
        }
    }
    if part.nodes > piecewise::MANY_NODES
        && let Some(tree) = piecewise::grow(&source.text)
    {
        let origin = Origin { source: source.id, document: 0, item: None };
        part.documents.take(tree, origin, &mut part.problems);
        return part;
    }
    for (number, document) in serde_yaml::Deserializer::from_str(&source.text).enumerate() {
        let origin = Origin { source: source.id, document: index(number), item: None };
        match Tree::deserialize(document) {
            Ok(Tree::Null) => {}
            Ok(value) => part.documents.take(value, origin, &mut part.problems),
            Err(error) => {
                let ends_stream = error.location().is_none_or(|_| !is_duplicate(&error));
                part.problems.push(syntax(&error, origin, source));
                if ends_stream {
                    return part;
                }
            }
        }
    }
    part
}

fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Whether the parser can go on with the next document.
fn is_duplicate(error: &serde_yaml::Error) -> bool {
    error.to_string().contains("duplicate entry")
}

fn whole(mut problem: Problem, source: &Source) -> Problem {
    problem.origin = Some(Origin { source: source.id, document: 0, item: None });
    problem
}

fn syntax(error: &serde_yaml::Error, origin: Origin, source: &Source) -> Problem {
    let text = error.to_string();
    // serde_yaml appends the place that the report prints by itself.
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let mut problem = Problem::new(code::UNREADABLE, Severity::Error, format!("not valid YAML: {message}"));
    problem.position = error.location().map(|at| Position { line: at.line(), column: at.column() });
    problem.origin = Some(Origin { source: source.id, ..origin });
    problem.help("each document must be one mapping with apiVersion, kind and metadata")
}

#[cfg(test)]
mod tests;
