//! Finds line and column of a field path, asked only when a problem is printed.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, Span};

use super::{Origin, Source};
use crate::problem::{FieldPath, Position, Problem, Segment};

/// A node of a YAML text with nothing but its place and parts.
#[derive(Debug, Clone)]
struct Mark {
    at: Position,
    parts: Parts,
}

#[derive(Debug, Clone)]
enum Parts {
    Scalar(String),
    Sequence(Vec<Mark>),
    Mapping(Vec<(Mark, Mark)>),
}

/// Sets the position of every problem whose source is known and which has none yet.
pub(crate) fn fill(problems: &mut [Problem], sources: &[Arc<Source>]) {
    let mut marked: HashMap<u32, Vec<Mark>> = HashMap::new();
    for problem in problems {
        let (None, Some(origin)) = (problem.position, problem.origin) else { continue };
        let Some(source) = sources.iter().find(|it| it.id == origin.source) else { continue };
        let documents = marked.entry(origin.source).or_insert_with(|| mark(&source.text));
        problem.position = position(documents, origin, &problem.field);
    }
}

/// Where a field of one document stands; the nearest known parent if the field is missing.
pub(crate) fn find(source: &Source, origin: Origin, field: &FieldPath) -> Option<Position> {
    position(&mark(&source.text), origin, field)
}

fn position(documents: &[Mark], origin: Origin, field: &FieldPath) -> Option<Position> {
    let mut node = documents.get(origin.document as usize)?;
    let mut at = node.at;
    let item = origin.item.map(|it| [Segment::Key("items".to_owned()), Segment::Index(it as usize)]);
    for segment in item.iter().flatten().chain(&field.0) {
        let next = match (segment, &node.parts) {
            (Segment::Index(index), Parts::Sequence(entries)) => entries.get(*index).map(|it| (it.at, it)),
            (Segment::Key(key), Parts::Mapping(entries)) => entries
                .iter()
                .find(|(name, _)| matches!(&name.parts, Parts::Scalar(text) if text == key))
                .map(|(name, value)| (name.at, value)),
            (_, Parts::Scalar(_) | Parts::Sequence(_) | Parts::Mapping(_)) => None,
        };
        let Some((place, inner)) = next else { break };
        (at, node) = (place, inner);
    }
    Some(at)
}

/// The marked documents of a stream, as far as it parses.
fn mark(text: &str) -> Vec<Mark> {
    let mut documents = Vec::new();
    let mut anchors: HashMap<usize, Mark> = HashMap::new();
    let mut open: Vec<(usize, Position, Vec<Mark>)> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        let at = start(span);
        let closed = match event {
            Event::Scalar(text, _, anchor, _) => Some((anchor, Mark { at, parts: Parts::Scalar(text.into_owned()) })),
            Event::Alias(id) => anchors.get(&id).cloned().map(|it| (0, Mark { at, ..it })),
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push((anchor, at, Vec::new()));
                None
            }
            Event::SequenceEnd => {
                open.pop().map(|(anchor, at, parts)| (anchor, Mark { at, parts: Parts::Sequence(parts) }))
            }
            Event::MappingEnd => {
                open.pop().map(|(anchor, at, parts)| (anchor, Mark { at, parts: Parts::Mapping(pairs(parts)) }))
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                None
            }
        };
        let Some((anchor, node)) = closed else { continue };
        if anchor > 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            Some((_, _, parts)) => parts.push(node),
            None => documents.push(node),
        }
    }
    documents
}

fn pairs(parts: Vec<Mark>) -> Vec<(Mark, Mark)> {
    let mut out = Vec::with_capacity(parts.len() / 2);
    let mut rest = parts.into_iter();
    while let (Some(key), Some(value)) = (rest.next(), rest.next()) {
        out.push((key, value));
    }
    out
}

fn start(span: Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}
