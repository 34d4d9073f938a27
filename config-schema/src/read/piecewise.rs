//! Reads one large document in pieces, so that the parser never holds all of it.
//!
//! The parser keeps the events of a whole document, some 200 bytes for each node; nearly all
//! nodes of a large document stand in one list (`spec.http`, `items` of a `List`). Where that
//! is a block sequence it is read apart from the rest, some entries at a time: its lines are
//! its own, and so indented that some of them are a sequence too. Whatever is out of the
//! ordinary (anchors, flow style, several documents, any mistake) is left to reading all at
//! once, which also says where the mistake is.

use std::ops::Range;

use saphyr_parser::{Event, Parser, Span};

use super::tree::Tree;

/// Documents with fewer nodes are read at once.
pub(super) const MANY_NODES: u64 = 20_000;

/// Bytes that are parsed at a time, at least: the entry that passes them is the last one.
const PIECE: usize = 32 * 1024;

/// Mappings around the list, at most.
const MAX_DEPTH: usize = 3;

/// A list within mappings.
struct List {
    /// Keys that lead to it.
    path: Vec<String>,
    /// Line of its first entry, from 0.
    line: usize,
    entries: usize,
}

/// What the text says, if it can be read in pieces.
pub(super) fn grow(text: &str) -> Option<Tree> {
    grow_by(text, PIECE)
}

fn grow_by(text: &str, piece: usize) -> Option<Tree> {
    let list = longest(text)?;
    let (pieces, tail) = cut(text, &list, piece)?;
    let head = text.get(..pieces.first()?.start)?;
    let mut rest: Tree = serde_yaml::from_str(&(head.to_owned() + text.get(tail..)?)).ok()?;
    let mut entries = Vec::with_capacity(list.entries);
    for piece in pieces {
        let Tree::Sequence(it) = serde_yaml::from_str(text.get(piece)?).ok()? else { return None };
        entries.extend(it);
    }
    let place = list.path.iter().try_fold(&mut rest, |it, key| it.get_mut(key))?;
    if !place.is_null() || entries.len() != list.entries {
        return None;
    }
    *place = Tree::Sequence(entries.into_boxed_slice());
    Some(rest)
}

/// A mapping or a sequence that has not ended.
struct Open {
    is_mapping: bool,
    /// The key whose value comes next.
    key: Option<String>,
    /// Entries of a sequence.
    entries: usize,
    begin: Span,
}

/// The longest list of a text that has one document and no anchors.
fn longest(text: &str) -> Option<List> {
    let mut open: Vec<Open> = Vec::new();
    let mut best: Option<List> = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, begin) = event.ok()?;
        let scalar = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return None;
                }
                continue;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::Alias(_) => return None,
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                if anchor > 0 {
                    return None;
                }
                let is_mapping = matches!(event, Event::MappingStart(..));
                open.push(Open { is_mapping, key: None, entries: 0, begin });
                continue;
            }
            Event::Scalar(text, _, anchor, _) => {
                if anchor > 0 {
                    return None;
                }
                Some(text)
            }
            Event::MappingEnd => open.pop().and(None),
            Event::SequenceEnd => {
                let ended = open.pop()?;
                let is_longer = best.as_ref().is_none_or(|it| it.entries < ended.entries);
                if is_longer && open.len() <= MAX_DEPTH && open.iter().all(|it| it.is_mapping) {
                    best = Some(list(&open, &ended)?);
                }
                None
            }
        };
        if let Some(parent) = open.last_mut() {
            if !parent.is_mapping {
                parent.entries += 1;
            } else if parent.key.take().is_none() {
                parent.key = Some(scalar.map(|it| it.into_owned()).unwrap_or_default());
            }
        }
    }
    best
}

fn list(around: &[Open], ended: &Open) -> Option<List> {
    let path = around.iter().map(|it| it.key.clone()).collect::<Option<_>>()?;
    let line = ended.begin.start.line().checked_sub(1)?;
    Some(List { path, line, entries: ended.entries })
}

/// The pieces of the list, which follow each other, and where the rest of the text goes on.
///
/// Nothing where the list is no block sequence whose first hyphen begins its line.
fn cut(text: &str, list: &List, piece: usize) -> Option<(Vec<Range<usize>>, usize)> {
    let mut at: usize = text.split_inclusive('\n').take(list.line).map(str::len).sum();
    let rest = text.get(at..)?;
    let column = rest.len() - rest.trim_start_matches(' ').len();
    let mut begin = at;
    let mut pieces = Vec::new();
    for line in rest.split_inclusive('\n') {
        let bare = line.trim_start_matches(' ');
        let indent = line.len() - bare.len();
        let says_nothing = bare.trim_end().is_empty() || bare.starts_with('#');
        let is_entry = indent == column && bare.strip_prefix('-').is_some_and(|it| it.starts_with([' ', '\n', '\r']));
        if is_entry && at - begin >= piece {
            pieces.push(begin..at);
            begin = at;
        } else if !is_entry && at == begin && pieces.is_empty() {
            return None;
        } else if !is_entry && indent <= column && !says_nothing {
            break;
        }
        at += line.len();
    }
    pieces.push(begin..at);
    Some((pieces, at))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn large(entry: &str) -> String {
        let mut text = String::from("kind: X # c\nspec:\n  short: [1, 2]\n  list: # c\n");
        for number in 0..2000 {
            writeln!(text, "  - name: n{number}\n{entry}").unwrap();
        }
        text + "  # c\n  after: {a: 1}\nlast:\n- 1\n- 2\n"
    }

    const NOISE: [&str; 24] = [
        "- a", "-", "- - b", "- |", "- >+", "- 'x", "- \"", "- [1,", "- {c: d", "c:", "x'", "]", "}", "\"", "# c", "",
        "? k", ": v", "---", "...", "d: |2", "plain", "- !t", "\t",
    ];

    const ENTRIES: [&str; 16] = [
        "- a",
        "-",
        "- a: 1\n  b: 2",
        "- - b\n  - c",
        "- |\n  - x\n\n  # y",
        "- >+\n  z\n",
        "- 'x\n  - y'",
        "- [1,\n   2]",
        "- {c: d}",
        "# c",
        "",
        "- ? k\n  : v",
        "- d: |2\n      e\n  f:\n  - g",
        "- plain\n  on",
        "- !t a",
        "- <<: {z: 1}",
    ];

    proptest! {
        #[test]
        fn entry_by_entry_says_what_the_whole_says(
            entries in prop::collection::vec(prop::sample::select(&ENTRIES[..]), 1..8),
            depth in 0usize..3,
            around in prop::sample::select(vec![("", ""), ("---\n", "a: 1\n"), ("a: [1]\n", "# c\n"), ("k:\n- 1\n", "z:\n- 1\n")]),
            noise in prop::option::of((0usize..20, 0usize..6, prop::sample::select(&NOISE[..]))),
        ) {
            let indent = " ".repeat(depth);
            let mut text: Vec<String> = entries.iter().flat_map(|it| it.lines()).map(|it| format!("{indent}{it}\n")).collect();
            if let Some((at, depth, line)) = noise {
                text.insert(at.min(text.len()), format!("{}{line}\n", " ".repeat(depth)));
            }
            let text = format!("{}l:\n{}{}", around.0, text.concat(), around.1);
            if let Some(apart) = grow_by(&text, 1) {
                let whole: Option<Tree> = serde_yaml::from_str(&text).ok();
                prop_assert_eq!(Some(apart), whole, "{}", text);
            }
        }
    }

    #[track_caller]
    fn is_read(text: &str) {
        let (apart, whole): (_, Tree) = (grow(text).unwrap(), serde_yaml::from_str(text).unwrap());
        assert!(apart == whole, "{}", text.get(..200).unwrap_or(text));
    }

    #[test]
    fn pieces_say_what_the_whole_says() {
        for entry in [
            "    a: 1",
            "    a:\n    - 1\n    -  - 2\n       - 3",
            "    a: |\n      - x\n      # y\n\n      z",
            "    a: >2-\n       folded\n      more\n",
            "    a: 'x\n      - y'",
            "    a: \"x\\\n      - y\"\n    b: [1,\n      2]",
            "# a comment at the edge\n    b: x\n\n\n    c: y\r",
            "  - - deeper\n    - list\n  - scalar\n  - {flow: 1}",
            "    ? complex\n    : 1",
        ] {
            is_read(&large(entry));
            is_read(&format!("--- # c\n{}", large(entry)));
            is_read(&large(entry).replace('\n', "\r\n"));
        }
        let text = large("    a: 1");
        assert!(cut(&text, &longest(&text).unwrap(), PIECE).unwrap().0.len() > 1);
    }

    #[test]
    fn entries_at_the_column_of_their_key_are_read() {
        let items: String = (0..2000).map(|it| format!("- kind: K{it}\n  spec:\n    a: [1]\n")).collect();
        is_read(&format!("kind: List\nitems:\n{items}"));
        is_read(&format!("kind: List\nitems:\n{items}apiVersion: v1\n"));
        is_read(&format!("items:\n\n# c\n{items}# c\n"));
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_left_to_reading_it_at_once() {
        for entry in ["    a: &x 1", "    a: 1\n    a: 2", "    a: 'x\n  - y'", "    a: {b: 1", "   bad"] {
            let text = large(entry);
            let whole: Option<Tree> = serde_yaml::from_str(&text).ok();
            assert!(grow(&text).is_none_or(|it| Some(it) == whole), "{entry}");
        }
        for text in ["a: 1", "[1, 2]", "- 1\n- 2\n", "list: !x\n- 1\n", "l: [1, 2]", "l:\n- 1\n---\nl:\n- 1\n", ""] {
            let whole: Option<Tree> = serde_yaml::from_str(text).ok();
            assert!(grow(text).is_none_or(|it| Some(it) == whole), "{text}");
        }
    }
}
