//! Refuses a YAML text that is too deep or has too many nodes, before any value is built.
//!
//! One pass over the parser's events, in time linear in the text: an alias counts as the
//! nodes of its anchor, so a "billion laughs" is seen without being expanded.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use crate::problem::Position;

/// Deeper nesting is refused.
pub(crate) const MAX_DEPTH: usize = 64;

/// More nodes than this, aliases expanded, are refused.
pub(crate) const MAX_NODES: u64 = 2_000_000;

/// Which bound a text passes, and where.
#[derive(Debug)]
pub(crate) struct Excess {
    pub(crate) message: String,
    pub(crate) help: String,
    pub(crate) position: Option<Position>,
}

/// What an anchor stands for.
#[derive(Clone, Copy)]
struct Anchored {
    nodes: u64,
    height: usize,
}

/// An open mapping or sequence.
struct Open {
    anchor: usize,
    nodes: u64,
    height: usize,
}

/// Accepts texts within the bounds, and says how many nodes they have; a text that is no YAML is left to the reader's
/// own error.
pub(crate) fn check(text: &str) -> Result<u64, Excess> {
    let mut anchors: HashMap<usize, Anchored> = HashMap::new();
    let mut open: Vec<Open> = Vec::new();
    let mut total: u64 = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(it) => it,
            // The scanner looks ahead and has a limit of its own.
            Err(error) if error.info().contains("recursion limit") => {
                return Err(too_deep(Position { line: error.marker().line(), column: error.marker().col() + 1 }));
            }
            Err(_) => return Ok(total),
        };
        let position = Position { line: span.start.line(), column: span.start.col() + 1 };
        let closed = match event {
            Event::Scalar(_, _, anchor, _) => Some((anchor, Anchored { nodes: 1, height: 1 })),
            Event::Alias(id) => Some((0, anchors.get(&id).copied().unwrap_or(Anchored { nodes: 1, height: 1 }))),
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push(Open { anchor, nodes: 1, height: 1 });
                if open.len() > MAX_DEPTH {
                    return Err(too_deep(position));
                }
                None
            }
            Event::SequenceEnd | Event::MappingEnd => {
                open.pop().map(|it| (it.anchor, Anchored { nodes: it.nodes, height: it.height }))
            }
            Event::DocumentStart(_) => {
                anchors.clear();
                None
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => None,
        };
        let Some((anchor, node)) = closed else { continue };
        if anchor > 0 {
            anchors.insert(anchor, node);
        }
        if open.len() + node.height > MAX_DEPTH + 1 {
            return Err(too_deep(position));
        }
        count(node, open.last_mut(), &mut total).map_err(|TooMany| too_many(position))?;
    }
    Ok(total)
}

/// More nodes than admitted.
struct TooMany;

/// Adds a finished node to its parent, or to the whole.
fn count(node: Anchored, parent: Option<&mut Open>, total: &mut u64) -> Result<(), TooMany> {
    let nodes = match parent {
        Some(parent) => {
            parent.nodes = parent.nodes.saturating_add(node.nodes);
            parent.height = parent.height.max(node.height + 1);
            parent.nodes
        }
        None => {
            *total = total.saturating_add(node.nodes);
            *total
        }
    };
    if nodes > MAX_NODES { Err(TooMany) } else { Ok(()) }
}

fn too_deep(position: Position) -> Excess {
    Excess {
        message: format!("nested over {MAX_DEPTH} levels deep"),
        help: "no resource that Sluice knows is nested this deep".to_owned(),
        position: Some(position),
    }
}

fn too_many(position: Position) -> Excess {
    Excess {
        message: format!("more than {MAX_NODES} nodes once aliases are expanded"),
        help: "split the file, or write out what the aliases repeat".to_owned(),
        position: Some(position),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn an_alias_bomb_is_refused_without_expanding_it() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let below = format!("*a{}", level - 1);
            writeln!(bomb, "a{level}: &a{level} [{}]", [below.as_str(); 10].join(", ")).unwrap();
        }
        assert!(check(&bomb).unwrap_err().message.contains("nodes"));
    }

    #[test]
    fn depth_counts_through_aliases() {
        let nested = format!("a: &a {}{}", "[".repeat(40), "]".repeat(40));
        assert!(check(&nested).is_ok());
        let through = format!("{nested}\nb: {}*a {}", "[".repeat(40), "]".repeat(40));
        assert!(check(&through).unwrap_err().message.contains("deep"));
        assert!(check(&"[".repeat(100_000)).unwrap_err().message.contains("deep"));
    }
}
