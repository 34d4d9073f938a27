//! Fills the schema types from a YAML value, and reports every unknown field and wrong value.
//!
//! A [`Node`] is a serde deserializer that knows where it stands. It sees the field names
//! of each struct it fills, so an unknown key is reported with the nearest known one and
//! the rest of the document is still read. After a wrong value the field is taken as unset
//! and the document is filled again, so that one reading finds all mistakes. Null counts as
//! unset, as in Kubernetes; so does an empty string where a string will not do.

mod failure;

use std::borrow::Cow;
use std::cell::RefCell;

use serde::de::{self, Deserialize, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::tree::{Mapping, Tree};
use crate::problem::{FieldPath, Problem, Segment, Severity, code};
use crate::suggest;
use failure::{Failure, Path};

/// More wrong values than this in one document are not looked for.
const MAX_WRONG_VALUES: usize = 100;

/// Structs whose name begins so describe only a part of what Kubernetes writes.
const LENIENT: &str = "Kubernetes";

/// Fills `T` from `value`, whose place is `prefix`; problems go to `report`.
pub(crate) fn fill<T: for<'de> Deserialize<'de>>(
    mut value: Tree,
    prefix: &str,
    report: &mut dyn FnMut(Problem),
) -> Option<T> {
    for _ in 0..MAX_WRONG_VALUES {
        let unknown = RefCell::new(Vec::new());
        let root = FieldPath::parse(prefix);
        let node = Node { value: &value, path: &Path::Root(&root), unknown: &unknown };
        let failure = match T::deserialize(node) {
            Ok(filled) => {
                unknown.into_inner().into_iter().for_each(&mut *report);
                return Some(filled);
            }
            Err(failure) => failure,
        };
        let path = failure.path.clone().unwrap_or_else(|| root.clone());
        let depth = root.0.len();
        let Some(place) = path.0.get(depth..).and_then(|it| descend(&mut value, it)) else {
            report(failure.into_problem(path));
            return None;
        };
        let was_empty = place.as_str().is_some_and(str::is_empty);
        if place.is_null() {
            // Already unset, so unsetting it does not help.
            unknown.into_inner().into_iter().for_each(&mut *report);
            report(failure.into_problem(path));
            return None;
        }
        *place = Tree::Null;
        if !was_empty {
            report(failure.into_problem(path));
        }
    }
    None
}

fn descend<'v>(value: &'v mut Tree, path: &[Segment]) -> Option<&'v mut Tree> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => {
            let Tree::Mapping(entries) = value else { return None };
            let entry = entries.iter_mut().find(|(name, _)| name.as_key().as_deref() == Some(key.as_str()));
            entry.map(|(_, value)| value)
        }
        Segment::Index(index) => {
            let Tree::Sequence(entries) = value else { return None };
            entries.get_mut(*index)
        }
    })
}

/// A value, where it stands, and where unknown fields are reported.
#[derive(Clone, Copy)]
struct Node<'a> {
    value: &'a Tree,
    path: &'a Path<'a>,
    unknown: &'a RefCell<Vec<Problem>>,
}

impl<'a> Node<'a> {
    fn map<'de, V: Visitor<'de>>(self, map: &Mapping, fields: Fields, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_map(Entries { node: self, rest: map.iter(), fields, value: None }).map_err(|it| it.at(self.path))
    }

    fn scalar<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(it) => visitor.visit_bool(*it),
            Tree::Unsigned(it) => visitor.visit_u64(*it),
            Tree::Negative(it) => visitor.visit_i64(*it),
            Tree::Float(it) => visitor.visit_f64(*it),
            Tree::Text(it) => visitor.visit_str(it),
            Tree::Sequence(it) => visitor.visit_seq(Elements { node: self, rest: it.iter().enumerate() }),
            Tree::Mapping(it) => self.map(it, Fields::Any, visitor),
            Tree::Tagged(it) => Err(de::Error::custom(format!("YAML tag `!{it}` is not allowed"))),
        }
        .map_err(|it| it.at(self.path))
    }
}

impl<'de> de::Deserializer<'de> for Node<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.scalar(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self).map_err(|it| it.at(self.path))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let fields = if name.starts_with(LENIENT) { Fields::Some(fields) } else { Fields::All(fields) };
        match self.value {
            // `spec:` without anything below it is an empty spec.
            Tree::Null => self.map(&Mapping::default(), fields, visitor),
            Tree::Mapping(map) => self.map(map, fields, visitor),
            Tree::Bool(_)
            | Tree::Unsigned(_)
            | Tree::Negative(_)
            | Tree::Float(_)
            | Tree::Text(_)
            | Tree::Sequence(_)
            | Tree::Tagged(_) => self.scalar(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.value.as_str() {
            Some(text) => visitor.visit_enum(text.into_deserializer()),
            None => Err(de::Error::custom("expected one of the names of an enumeration")),
        }
        .map_err(|it: Failure| it.at(self.path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
    }
}

/// Which keys a mapping may have.
#[derive(Clone, Copy)]
enum Fields {
    /// Any: a map.
    Any,
    /// These, and others that are passed over: a struct of Kubernetes.
    Some(&'static [&'static str]),
    /// Only these: a struct of ours.
    All(&'static [&'static str]),
}

struct Entries<'a> {
    node: Node<'a>,
    rest: std::slice::Iter<'a, (Tree, Tree)>,
    fields: Fields,
    value: Option<(Cow<'a, str>, &'a Tree)>,
}

impl Entries<'_> {
    /// Whether a key is one to fill; reports it when it should not be there.
    fn admits(&self, key: &str) -> bool {
        let fields = match self.fields {
            Fields::Any => return true,
            Fields::Some(fields) => return fields.contains(&key),
            Fields::All(fields) if fields.contains(&key) => return true,
            Fields::All(fields) => fields,
        };
        let mut problem = Problem::new(code::UNKNOWN_FIELD, Severity::Error, format!("unknown field `{key}`"))
            .help(suggest::hint(key, fields));
        problem.field = Path::Key(self.node.path, key).written_out();
        self.node.unknown.borrow_mut().push(problem);
        false
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        while let Some((key, value)) = self.rest.next() {
            let Some(text) = key.as_key() else {
                return Err(de::Error::custom("a key must be a text"));
            };
            if !self.admits(&text) || (value.is_null() && !matches!(self.fields, Fields::Any)) {
                continue;
            }
            let name = seed.deserialize(text.as_ref().into_deserializer())?;
            self.value = Some((text, value));
            return Ok(Some(name));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path = Path::Key(self.node.path, &key);
        let node = Node { value, path: &path, unknown: self.node.unknown };
        seed.deserialize(node).map_err(|it| it.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Elements<'a> {
    node: Node<'a>,
    rest: std::iter::Enumerate<std::slice::Iter<'a, Tree>>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some((index, value)) = self.rest.next() else { return Ok(None) };
        let path = Path::Index(self.node.path, index);
        if value.is_null() {
            let failure: Failure = de::Error::custom("an entry of a list must not be null");
            return Err(failure.at(&path));
        }
        let node = Node { value, path: &path, unknown: self.node.unknown };
        seed.deserialize(node).map(Some).map_err(|it| it.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}
