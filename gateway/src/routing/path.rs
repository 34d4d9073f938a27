//! Brings the path of a request into one form before anything judges it.
//!
//! What was judged is what is forwarded: the result replaces the path. The steps are
//! Istio's (`meshConfig.pathNormalization`), each mode with those before it:
//! NONE leaves the path, BASE resolves dot segments, unreserved escapes and backslashes
//! (RFC 3986 §6.2.2), MERGE_SLASHES makes several slashes one, and DECODE_AND_MERGE_SLASHES
//! first turns `%2f` and `%5c` into slashes. Normalising twice changes nothing.

use std::borrow::Cow;

/// Which steps are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalization {
    /// As the client sent it.
    None,
    /// RFC 3986.
    Base,
    /// Also several slashes become one.
    MergeSlashes,
    /// Also escaped slashes become slashes.
    DecodeAndMergeSlashes,
}

/// The path cannot be given one meaning.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPath;

/// The normal form of a path with its query.
pub fn normalize(target: &str, steps: Normalization) -> Result<Cow<'_, str>, BadPath> {
    let (path, query) = split_query(target);
    if !path.starts_with('/') || holds_nul(path.as_bytes()) {
        return Err(BadPath);
    }
    if steps == Normalization::None || is_normal(path.as_bytes()) {
        return Ok(Cow::Borrowed(target));
    }
    let decoded = unescape(path.as_bytes(), steps == Normalization::DecodeAndMergeSlashes);
    let merges = matches!(steps, Normalization::MergeSlashes | Normalization::DecodeAndMergeSlashes);
    let mut out = resolve(&decoded);
    if merges {
        out = merge_slashes(&out);
    }
    out.push_str(query);
    Ok(Cow::Owned(out))
}

/// Splits a target before its question mark.
pub fn split_query(target: &str) -> (&str, &str) {
    target.find('?').map_or((target, ""), |at| target.split_at(at))
}

/// Whether no step could change the path: the common case, decided without a copy.
fn is_normal(path: &[u8]) -> bool {
    let mut previous = 0;
    path.iter().all(|byte| {
        let escape = matches!(byte, b'%' | b'\\');
        let special_segment = previous == b'/' && matches!(byte, b'.' | b'/');
        previous = *byte;
        !escape && !special_segment
    })
}

fn holds_nul(path: &[u8]) -> bool {
    path.windows(3).any(|it| it == b"%00")
}

/// Decodes unreserved characters, and slashes where asked; other escapes stay as they are.
fn unescape(path: &[u8], slashes: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        // A decoded byte must not complete an escape that was none: `%2%65` stays as it is.
        let decoded = if *byte == b'%' && !ends_open(&out) { after.get(..2).and_then(hex) } else { None };
        match decoded {
            Some(it) if is_unreserved(it) || (slashes && matches!(it, b'/' | b'\\')) => {
                out.push(if it == b'\\' { b'/' } else { it });
                rest = after.get(2..).unwrap_or_default();
            }
            Some(_) | None => out.push(if *byte == b'\\' { b'/' } else { *byte }),
        }
    }
    out
}

/// Whether the end could become an escape by what follows.
fn ends_open(out: &[u8]) -> bool {
    match out {
        [.., b'%'] => true,
        [.., b'%', digit] => digit.is_ascii_hexdigit(),
        _ => false,
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    if !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(text, 16).ok()
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn merge_slashes(path: &str) -> String {
    let mut previous = ' ';
    let doubled = |it: &char| {
        let doubled = previous == '/' && *it == '/';
        previous = *it;
        !doubled
    };
    path.chars().filter(doubled).collect()
}

/// Removes dot segments; slashes are merged only afterwards, so that `/a//..` is `/a/`.
fn resolve(path: &[u8]) -> String {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|it| *it == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                // A dot segment at the end leaves the slash before it.
                if last {
                    kept.push(b"");
                }
            }
            _ => kept.push(segment),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in &kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODES: [Normalization; 4] =
        [Normalization::None, Normalization::Base, Normalization::MergeSlashes, Normalization::DecodeAndMergeSlashes];

    /// The normal forms in the four modes; an empty one is a refusal.
    #[track_caller]
    fn check(raw: &str, expected: [&str; 4]) {
        for (mode, expected) in MODES.into_iter().zip(expected) {
            let found = normalize(raw, mode);
            assert_eq!(found.as_deref().unwrap_or(""), expected, "{raw} in mode {mode:?}");
        }
    }

    #[test]
    fn paths_have_one_form_in_each_mode() {
        check("/a/b?c=/../d", ["/a/b?c=/../d"; 4]);
        check("/%61dmin", ["/%61dmin", "/admin", "/admin", "/admin"]);
        check("/a/.%2e/admin", ["/a/.%2e/admin", "/admin", "/admin", "/admin"]);
        check("/.//admin", ["/.//admin", "//admin", "/admin", "/admin"]);
        check("/x//../admin", ["/x//../admin", "/x/admin", "/x/admin", "/x/admin"]);
        check("/a//../../b", ["/a//../../b", "/b", "/b", "/b"]);
        check("/%5cadmin", ["/%5cadmin", "/%5cadmin", "/%5cadmin", "/admin"]);
        check("/x\\..\\admin", ["/x\\..\\admin", "/admin", "/admin", "/admin"]);
        check("/admin%2f..%2fx", ["/admin%2f..%2fx", "/admin%2f..%2fx", "/admin%2f..%2fx", "/x"]);
        check("/a/%252e%252e/b", ["/a/%252e%252e/b"; 4]);
        check("/admin%zz", ["/admin%zz"; 4]);
        check("/%2%65", ["/%2%65"; 4]);
        check("/..", ["/..", "/", "/", "/"]);
        check("/a/..", ["/a/..", "/", "/", "/"]);
        check("/a/.", ["/a/.", "/a/", "/a/", "/a/"]);
        check("/...", ["/..."; 4]);
        check("//", ["//", "//", "/", "/"]);
        check("/a//", ["/a//", "/a//", "/a/", "/a/"]);
        check("/a%00b", [""; 4]);
        check("a", [""; 4]);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(raw in "/[a./\\\\%2346eEfF5cC0;]{0,24}") {
            for mode in MODES {
                if let Ok(once) = normalize(&raw, mode) {
                    let twice = normalize(&once, mode);
                    prop_assert_eq!(twice.as_deref(), Ok(once.as_ref()));
                }
            }
        }
    }
}
