//! What one YAML document says, before it is known what kind it is.
//!
//! A node takes 24 bytes and what its text needs, a third of `serde_yaml::Value`: a document
//! of 10,000 routes has some 400,000 nodes. Keys are unique by their text, and merge keys
//! (`<<`, YAML 1.1) are done when the tree is there, those of what is merged in included.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// The key whose mappings are merged into the one that has it.
const MERGE: &str = "<<";

/// Mappings up to this size are compared key by key.
const FEW: usize = 16;

/// A node.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Tree {
    #[default]
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(Box<str>),
    Sequence(Box<[Tree]>),
    Mapping(Mapping),
    /// A value with a tag that YAML's core schema does not have; what it is does not matter.
    Tagged(Box<str>),
}

/// Entries in the order of the text, each key once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Mapping(Vec<(Tree, Tree)>);

impl Tree {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text; nothing for what is not one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        let Self::Text(it) = self else { return None };
        Some(it)
    }

    /// As the name of a field: scalars need no quotes there.
    pub(crate) fn as_key(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(it) => Some(Cow::Borrowed(it)),
            Self::Bool(it) => Some(Cow::Owned(it.to_string())),
            Self::Unsigned(it) => Some(Cow::Owned(it.to_string())),
            Self::Negative(it) => Some(Cow::Owned(it.to_string())),
            Self::Float(it) => Some(Cow::Owned(format!("{it:?}"))),
            Self::Null | Self::Sequence(_) | Self::Mapping(_) | Self::Tagged(_) => None,
        }
    }

    /// What a mapping says under this key, to change it.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Mapping(it) = self else { return None };
        it.0.iter_mut().find(|(name, _)| name.as_str() == Some(key)).map(|(_, it)| it)
    }

    /// What a mapping says under this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Mapping(it) = self else { return None };
        it.get(key)
    }
}

impl Mapping {
    pub(crate) fn get(&self, key: &str) -> Option<&Tree> {
        self.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, it)| it)
    }

    pub(crate) fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Tree> {
        let at = self.0.iter().position(|(name, _)| name.as_str() == Some(key))?;
        Some(self.0.remove(at).1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (Tree, Tree)> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, (Tree, Tree)> {
        self.0.iter_mut()
    }

    /// Entries as they were written, made a mapping.
    fn of(mut entries: Vec<(Tree, Tree)>) -> Result<Self, String> {
        unique(&entries)?;
        if let Some(at) = entries.iter().position(|(name, _)| name.as_str() == Some(MERGE)) {
            let (_, merged) = entries.remove(at);
            merge(&mut entries, merged)?;
        }
        entries.shrink_to_fit();
        Ok(Self(entries))
    }
}

impl<const N: usize> From<[(&str, Tree); N]> for Mapping {
    fn from(entries: [(&str, Tree); N]) -> Self {
        Self(entries.into_iter().map(|(key, value)| (Tree::from(key), value)).collect())
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// Whether each key stands there once.
fn unique(entries: &[(Tree, Tree)]) -> Result<(), String> {
    let twice = |key: Cow<'_, str>| Err(format!("duplicate entry with key {key:?}"));
    if entries.len() <= FEW {
        for (at, (key, _)) in entries.iter().enumerate() {
            let Some(text) = key.as_key() else { continue };
            if entries.iter().take(at).any(|(it, _)| it == key || it.as_key().as_ref() == Some(&text)) {
                return twice(text);
            }
        }
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(entries.len());
    for key in entries.iter().filter_map(|(it, _)| it.as_key()) {
        if !seen.insert(key.clone()) {
            return twice(key);
        }
    }
    Ok(())
}

/// Adds what entries do not say themselves; of several mappings the first one counts.
fn merge(entries: &mut Vec<(Tree, Tree)>, merged: Tree) -> Result<(), String> {
    let mappings = match merged {
        Tree::Mapping(it) => vec![Tree::Mapping(it)],
        Tree::Sequence(it) => it.into_vec(),
        Tree::Null
        | Tree::Bool(_)
        | Tree::Unsigned(_)
        | Tree::Negative(_)
        | Tree::Float(_)
        | Tree::Text(_)
        | Tree::Tagged(_) => return Err(not_merged()),
    };
    let mut known: HashSet<String> = entries.iter().filter_map(|(it, _)| it.as_key()).map(Cow::into_owned).collect();
    for mapping in mappings {
        let Tree::Mapping(Mapping(more)) = mapping else { return Err(not_merged()) };
        entries.extend(more.into_iter().filter(|(key, _)| key.as_key().is_none_or(|it| known.insert(it.into_owned()))));
    }
    Ok(())
}

fn not_merged() -> String {
    format!("`{MERGE}` merges a mapping or a list of mappings")
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Grow)
    }
}

/// Makes a tree of what a parser sees.
struct Grow;

impl<'de> Visitor<'de> for Grow {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    /// An empty file.
    fn visit_none<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: de::Error>(self, it: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(it))
    }

    fn visit_u64<E: de::Error>(self, it: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(it))
    }

    fn visit_i64<E: de::Error>(self, it: i64) -> Result<Tree, E> {
        Ok(u64::try_from(it).map_or(Tree::Negative(it), Tree::Unsigned))
    }

    fn visit_f64<E: de::Error>(self, it: f64) -> Result<Tree, E> {
        Ok(Tree::Float(it))
    }

    fn visit_str<E: de::Error>(self, it: &str) -> Result<Tree, E> {
        Ok(Tree::from(it))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Tree, A::Error> {
        let mut sequence = Vec::new();
        while let Some(it) = parts.next_element()? {
            sequence.push(it);
        }
        Ok(Tree::Sequence(sequence.into_boxed_slice()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(it) = parts.next_entry()? {
            entries.push(it);
        }
        Mapping::of(entries).map(Tree::Mapping).map_err(de::Error::custom)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Tree, A::Error> {
        let (tag, value) = tagged.variant::<String>()?;
        // It is read to its end, so that the parser stands behind it.
        value.newtype_variant::<Tree>()?;
        Ok(Tree::Tagged(tag.trim_start_matches('!').into()))
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(it) => serializer.serialize_bool(*it),
            Self::Unsigned(it) => serializer.serialize_u64(*it),
            Self::Negative(it) => serializer.serialize_i64(*it),
            Self::Float(it) => serializer.serialize_f64(*it),
            Self::Text(it) => serializer.serialize_str(it),
            Self::Sequence(it) => serializer.collect_seq(it),
            Self::Mapping(it) => it.serialize(serializer),
            Self::Tagged(tag) => Err(serde::ser::Error::custom(format!("YAML tag `!{tag}` is not allowed"))),
        }
    }
}

impl Serialize for Mapping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            out.serialize_entry(key, value)?;
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::*;

    fn tree(text: &str) -> Result<Tree, String> {
        serde_yaml::from_str(text).map_err(|it| it.to_string())
    }

    #[test]
    fn a_tree_says_what_the_values_of_the_parser_say() {
        let text =
            "{a: 1, b: -2, c: 1.5, d: [x, null, true, '1', 0x10, .inf], e: {f: ~, 1: y, true: z}, g: \"\\u00e9\"}";
        let (tree, value): (Tree, Value) = (tree(text).unwrap(), serde_yaml::from_str(text).unwrap());
        assert_eq!(serde_yaml::to_string(&tree).unwrap(), serde_yaml::to_string(&value).unwrap());
        assert!(size_of::<Tree>() <= 24, "{}", size_of::<Tree>());
    }

    #[test]
    fn what_is_merged_in_is_what_is_not_said() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2, z: 2}\nc: {<<: [{z: 3}, *b], w: 4}\n";
        let merged = tree(text).unwrap();
        let expected = tree("{w: 4, z: 3, y: 2, x: 1}").unwrap();
        let merged = merged.get("c").unwrap();
        for key in ["w", "x", "y", "z", "<<"] {
            assert_eq!(merged.get(key), expected.get(key), "{key}");
        }
        for wrong in ["{<<: 1}", "{<<: [1]}", "{<<: [[]]}", "{<<: ~}"] {
            assert!(tree(wrong).unwrap_err().contains("merges a mapping"), "{wrong}");
        }
    }

    #[test]
    fn a_key_stands_once_whatever_the_size() {
        for more in [0, 40] {
            let more: String = (0..more).map(|it| format!("k{it}: 1\n")).collect();
            for twice in ["a: 1\na: 2\n", "1: a\n'1': b\n", "<<: {}\n<<: {}\n"] {
                let error = tree(&format!("{more}{twice}")).unwrap_err();
                assert!(error.contains("duplicate entry with key"), "{error}");
            }
        }
    }
}
