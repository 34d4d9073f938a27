//! Finds every prefix of a path among many, in time linear in the path.

/// Prefixes with the routes that ask for them, as a radix trie over bytes.
#[derive(Debug, Default)]
pub struct PrefixTrie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Bytes on the way from the parent.
    label: Box<[u8]>,
    /// Routes whose prefix ends here, ascending.
    routes: Vec<u32>,
    /// Children by first byte, ascending.
    children: Vec<(u8, u32)>,
}

const ROOT: usize = 0;

impl PrefixTrie {
    /// Adds a route; routes come in ascending order.
    pub fn insert(&mut self, prefix: &[u8], route: u32) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = ROOT;
        let mut rest = prefix;
        while let Some(first) = rest.first().copied() {
            let Some(child) = self.child(at, first) else {
                at = self.add(at, rest);
                rest = &[];
                continue;
            };
            let label = self.nodes.get(child).map(|it| it.label.clone()).unwrap_or_default();
            let shared = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if shared < label.len() {
                self.split(child, shared);
            }
            rest = rest.get(shared..).unwrap_or_default();
            at = child;
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.routes.push(route);
        }
    }

    fn child(&self, at: usize, first: u8) -> Option<usize> {
        let children = &self.nodes.get(at)?.children;
        let found = children.binary_search_by_key(&first, |it| it.0).ok()?;
        children.get(found).map(|it| it.1 as usize)
    }

    fn add(&mut self, parent: usize, label: &[u8]) -> usize {
        let index = self.nodes.len();
        self.nodes.push(Node { label: label.into(), ..Node::default() });
        if let (Some(node), Some(first)) = (self.nodes.get_mut(parent), label.first().copied()) {
            let place = node.children.partition_point(|it| it.0 < first);
            node.children.insert(place, (first, u32::try_from(index).unwrap_or(u32::MAX)));
        }
        index
    }

    /// Cuts the label of a node: the node keeps the beginning, a new child takes the rest.
    fn split(&mut self, at: usize, shared: usize) {
        let index = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some((head, tail)) = node.label.split_at_checked(shared) else { return };
        let (head, tail): (Box<[u8]>, Box<[u8]>) = (head.into(), tail.into());
        let first = tail.first().copied().unwrap_or_default();
        let lower = Node {
            label: tail,
            routes: std::mem::take(&mut node.routes),
            children: std::mem::take(&mut node.children),
        };
        node.label = head;
        node.children = vec![(first, u32::try_from(index).unwrap_or(u32::MAX))];
        self.nodes.push(lower);
    }

    /// The routes of each prefix of `path`, shortest prefix first.
    pub fn find<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a [u32]> {
        let mut at = self.nodes.first();
        let mut rest = path;
        std::iter::from_fn(move || {
            let node = at?;
            at = rest
                .first()
                .and_then(|first| node.children.binary_search_by_key(first, |it| it.0).ok())
                .and_then(|found| node.children.get(found))
                .and_then(|it| self.nodes.get(it.1 as usize))
                .filter(|it| rest.starts_with(&it.label));
            if let Some(next) = at {
                rest = rest.get(next.label.len()..).unwrap_or_default();
            }
            Some(node.routes.as_slice())
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_linear_search_finds(
            prefixes in prop::collection::vec("(/[ab]{0,3}){0,3}", 0..40),
            path in "(/[ab]{0,3}){0,4}",
        ) {
            let mut trie = PrefixTrie::default();
            for (route, prefix) in prefixes.iter().enumerate() {
                trie.insert(prefix.as_bytes(), u32::try_from(route).unwrap());
            }
            let mut found: Vec<u32> = trie.find(path.as_bytes()).flatten().copied().collect();
            found.sort_unstable();
            let expected: Vec<u32> = prefixes
                .iter()
                .enumerate()
                .filter(|(_, prefix)| path.starts_with(prefix.as_str()))
                .map(|(route, _)| u32::try_from(route).unwrap())
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
