//! The limits of a domain by descriptor, and the keys that count them (envoyproxy/ratelimit).

use std::collections::HashMap;

use super::action::Part;

/// Limits below a descriptor.
#[derive(Debug, Default)]
pub struct Tree {
    /// By key and value, and by key alone.
    nodes: HashMap<Box<str>, Node>,
    /// By patterns, in order.
    wildcards: Vec<Wildcard>,
}

/// A node for the values that fit a text with stars.
#[derive(Debug)]
struct Wildcard {
    key: Box<str>,
    /// What stands between the stars.
    parts: Box<[Box<str>]>,
    node: Node,
}

/// A descriptor of the configuration.
#[derive(Debug)]
pub struct Node {
    /// The limit of descriptors that end here.
    pub limit: Option<WindowLimit>,
    /// Longer ones.
    pub below: Tree,
    /// What stands in keys for all values of a wildcard, if they count together.
    pub shared: Option<Box<str>>,
}

/// A limit of a fixed window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowLimit {
    /// Name that others replace it by; empty when it has none.
    pub name: Box<str>,
    /// Where it stands, for metrics.
    pub path: Box<str>,
    /// Requests in a window; no limit when absent.
    pub requests: Option<u64>,
    /// Seconds of a window.
    pub period: u64,
    /// Whether it never refuses.
    pub is_shadow: bool,
    /// Names of limits that it stands for.
    pub replaces: Box<[Box<str>]>,
}

/// What counts a descriptor.
#[derive(Debug)]
pub struct Found<'a> {
    /// The limit.
    pub limit: &'a WindowLimit,
    /// The key, without prefix and window.
    pub key: String,
}

impl Tree {
    /// Adds a descriptor; an empty value is any, and one with stars a pattern.
    pub fn add(&mut self, key: &str, value: &str, node: Node) {
        if value.is_empty() {
            self.nodes.insert(key.into(), node);
        } else if value.contains('*') {
            self.wildcards.push(Wildcard { key: key.into(), parts: value.split('*').map(Box::from).collect(), node });
        } else {
            self.nodes.insert(composite(key, value).into(), node);
        }
    }

    /// The node of one part: its value, a pattern, or any value.
    fn step(&self, (key, value): &Part<'_>) -> Option<&Node> {
        self.nodes
            .get(composite(key, value).as_str())
            .or_else(|| {
                let fits = |it: &&Wildcard| *it.key == **key && matches(&it.parts, value);
                self.wildcards.iter().find(fits).map(|it| &it.node)
            })
            .or_else(|| self.nodes.get(key.as_ref()))
    }

    /// The limit of a descriptor: the one exactly at its depth.
    pub fn find(&self, domain: &str, descriptor: &[Part<'_>]) -> Option<Found<'_>> {
        let mut key = format!("{domain}_");
        let mut tree = self;
        let mut limit = None;
        for part in descriptor {
            let node = tree.step(part)?;
            let value = node.shared.as_deref().unwrap_or(&part.1);
            key.push_str(&part.0);
            key.push('_');
            key.push_str(value);
            key.push('_');
            (tree, limit) = (&node.below, node.limit.as_ref());
        }
        Some(Found { limit: limit?, key })
    }
}

fn composite(key: &str, value: &str) -> String {
    format!("{key}_{value}")
}

/// Whether a text is made of these parts with anything between them.
fn matches(parts: &[Box<str>], text: &str) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(rest) = text.strip_prefix(first.as_ref()) else { return false };
    let Some(mut rest) = rest.strip_suffix(last.as_ref()) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part.as_ref()) else { return false };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u64) -> Option<WindowLimit> {
        Some(WindowLimit {
            name: "".into(),
            path: "".into(),
            requests: Some(requests),
            period: 60,
            is_shadow: false,
            replaces: Box::default(),
        })
    }

    fn node(limit: Option<WindowLimit>, below: Tree) -> Node {
        Node { limit, below, shared: None }
    }

    fn found(tree: &Tree, descriptor: &[(&'static str, &'static str)]) -> Option<(u64, String)> {
        let parts: Vec<Part<'_>> = descriptor.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        tree.find("d", &parts).map(|it| (it.limit.requests.unwrap_or(0), it.key))
    }

    #[test]
    fn a_limit_stands_exactly_at_its_depth() {
        let mut below = Tree::default();
        below.add("subkey1", "", node(limit(5), Tree::default()));
        below.add("subkey1", "subvalue1", node(limit(10), Tree::default()));
        let mut tree = Tree::default();
        tree.add("key1", "value1", node(None, below));
        tree.add("key2", "", node(limit(20), Tree::default()));
        assert_eq!(found(&tree, &[("key1", "value1")]), None);
        assert_eq!(found(&tree, &[("key1", "other")]), None);
        assert_eq!(
            found(&tree, &[("key1", "value1"), ("subkey1", "x")]),
            Some((5, "d_key1_value1_subkey1_x_".to_owned()))
        );
        assert_eq!(found(&tree, &[("key1", "value1"), ("subkey1", "subvalue1")]).map(|it| it.0), Some(10));
        assert_eq!(found(&tree, &[("key2", "any")]), Some((20, "d_key2_any_".to_owned())));
        assert_eq!(found(&tree, &[("key2", "any"), ("more", "x")]), None, "deeper than any limit");
    }

    #[test]
    fn stars_stand_for_any_text_and_values_for_themselves_first() {
        let mut tree = Tree::default();
        tree.add("file", "test1", node(limit(50), Tree::default()));
        tree.add("file", "test*", Node { shared: Some("test*".into()), ..node(limit(100), Tree::default()) });
        tree.add("mid", "bar*b", node(limit(1), Tree::default()));
        tree.add("multi", "foo*bar*baz", node(limit(2), Tree::default()));
        assert_eq!(found(&tree, &[("file", "test1")]).map(|it| it.0), Some(50));
        assert_eq!(found(&tree, &[("file", "test7")]), Some((100, "d_file_test*_".to_owned())), "they count together");
        assert_eq!(found(&tree, &[("file", "tes")]), None);
        assert_eq!(found(&tree, &[("mid", "bar-b")]).map(|it| it.0), Some(1));
        assert_eq!(found(&tree, &[("mid", "bar")]), None);
        assert_eq!(found(&tree, &[("multi", "foo1bar2baz")]).map(|it| it.0), Some(2));
        assert_eq!(found(&tree, &[("multi", "foobaz")]), None);
    }
}
