//! Cuts a YAML stream into its documents without parsing it.
//!
//! A line that begins with `---` and a blank begins a document wherever it stands (YAML 1.2
//! §9.1.2: no scalar may hold one), so the cut needs no parser. Streams with directives or
//! explicit ends, which few write, are not cut.

use std::ops::Range;

/// Where each document stands, its `---` included; nothing when that cannot be told.
pub(super) fn cut(text: &str) -> Option<Vec<Range<usize>>> {
    let mut documents: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    let mut begins = None;
    let mut has_content = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare.starts_with('%') || is_marker(bare, "...") {
            return None;
        }
        if is_marker(bare, "---") {
            // What stands before the first marker is a document only if there is anything.
            if begins.is_some() || has_content {
                documents.push(begins.unwrap_or(0)..at);
            }
            begins = Some(at);
        }
        has_content |= !bare.is_empty() && !bare.trim_start().starts_with('#');
        at += line.len();
    }
    if begins.is_some() || has_content {
        documents.push(begins.unwrap_or(0)..at);
    }
    Some(documents)
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|it| it.is_empty() || it.starts_with([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_yaml::Value;

    use super::*;

    /// Documents as the parser sees them.
    fn parsed(text: &str) -> Option<Vec<Value>> {
        serde_yaml::Deserializer::from_str(text).map(|it| Value::deserialize(it).ok()).collect()
    }

    #[track_caller]
    fn check(text: &str) {
        let Some(ranges) = cut(text) else { return };
        let Some(whole) = parsed(text) else { return };
        let apart: Vec<Value> = ranges
            .iter()
            .map(|it| {
                let one = text.get(it.clone()).and_then(parsed).unwrap_or_default();
                assert_eq!(one.len(), 1, "{text:?} {it:?}");
                one[0].clone()
            })
            .collect();
        // A stream without anything is one document that is null, or none: both say nothing.
        if !(apart.is_empty() && whole.iter().all(Value::is_null)) {
            assert_eq!(apart, whole, "{text:?}");
        }
    }

    #[test]
    fn documents_are_cut_where_the_parser_cuts_them() {
        let pieces = [
            "---\n",
            "--- # c\n",
            "---\r\n",
            "a: 1\n",
            "# c\n",
            "\n",
            "b: |\n  ---\n  x\n",
            "--- {c: 1}\n",
            "---x: 1\n",
            " --- \n",
            "- ---\n",
            "d: '---\n",
            "  y'\n",
            "---",
            "\t\n",
            "e: &a 1\n",
        ];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    check(&format!("{first}{second}{third}"));
                    check(&format!("a: 1\n---\n{first}{second}{third}---\nz: 1\n"));
                }
            }
        }
        assert_eq!(cut("%YAML 1.2\n---\na: 1\n"), None);
        assert_eq!(cut("a: 1\n...\nb: 1\n"), None);
    }
}
