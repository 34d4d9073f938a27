//! Finds the rules that can match a request, by the paths or hosts that they ask for.
//!
//! A rule whose operations all ask for exact paths or prefixes stands under those; else one
//! whose operations all ask for exact hosts stands under those; every other rule is looked
//! at for each request. What is found is a superset of what matches.

use std::collections::HashMap;

use super::{Attribute, Rule, Test};

/// Numbers of rules by a text.
type Table = HashMap<Box<str>, Vec<usize>>;

/// Rules by what they ask for.
#[derive(Debug, Default)]
pub struct RuleIndex {
    paths: Table,
    /// By length of the prefix.
    prefixes: Vec<(usize, Table)>,
    hosts: Table,
    rest: Vec<usize>,
}

impl RuleIndex {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut out = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            if !(out.by_path(index, rule) || out.by_host(index, rule)) {
                out.rest.push(index);
            }
        }
        out
    }

    fn by_path(&mut self, index: usize, rule: &Rule) -> bool {
        let paths = |tests: &[Test]| tests.iter().any(|it| indexed_path(it).is_some());
        if rule.to.is_empty() || !rule.to.iter().all(|it| paths(it)) {
            return false;
        }
        for tests in &rule.to {
            let Some((exact, prefixes)) = tests.iter().find_map(indexed_path) else { continue };
            for path in exact {
                self.paths.entry(path.into()).or_default().push(index);
            }
            for prefix in prefixes {
                let at = match self.prefixes.iter().position(|it| it.0 == prefix.len()) {
                    Some(at) => at,
                    None => {
                        self.prefixes.push((prefix.len(), HashMap::new()));
                        self.prefixes.len() - 1
                    }
                };
                if let Some((_, table)) = self.prefixes.get_mut(at) {
                    table.entry(prefix.into()).or_default().push(index);
                }
            }
        }
        true
    }

    fn by_host(&mut self, index: usize, rule: &Rule) -> bool {
        let hosts = |tests: &[Test]| tests.iter().any(|it| indexed_host(it).is_some());
        if rule.to.is_empty() || !rule.to.iter().all(|it| hosts(it)) {
            return false;
        }
        for host in rule.to.iter().filter_map(|tests| tests.iter().find_map(indexed_host)).flatten() {
            self.hosts.entry(host.into()).or_default().push(index);
        }
        true
    }

    /// Rules that can match a request for this path of this host; some may come twice.
    pub(super) fn candidates<'a>(&'a self, path: &'a str, host: &'a str) -> impl Iterator<Item = usize> + 'a {
        let exact = self.paths.get(path).into_iter().flatten();
        let prefixes = self.prefixes.iter().filter_map(move |(length, table)| table.get(path.get(..*length)?));
        let hosts = self.hosts.get(host).into_iter().flatten();
        exact.chain(prefixes.flatten()).chain(hosts).chain(&self.rest).copied()
    }
}

/// The paths that a test asks for, if an index can hold them.
fn indexed_path(test: &Test) -> Option<(impl Iterator<Item = &str>, impl Iterator<Item = &str>)> {
    let Attribute::Path(values) = &test.attribute else { return None };
    if test.negated { None } else { values.indexable() }
}

/// The hosts that a test asks for, if an index can hold them.
fn indexed_host(test: &Test) -> Option<impl Iterator<Item = &str>> {
    let Attribute::Host(values) = &test.attribute else { return None };
    let (exact, mut prefixes) = values.indexable()?;
    (!test.negated && prefixes.next().is_none()).then_some(exact)
}
