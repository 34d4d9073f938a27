//! Finds what a host name belongs to, as its virtual host: exact, then the longest wildcard, then `*`.
//!
//! Exact names are hashed; wildcards are hashed by suffix, one table for each length that
//! occurs, the longest first. So the cost grows with the number of *lengths*, not of hosts.
//! A virtual host that was found is final: there is no falling back to a wider one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::virtual_host::VirtualHost;

type Hosts<T> = HashMap<Box<str>, Arc<T>>;

/// Virtual hosts, or whatever else is found so, by name.
#[derive(Debug)]
pub struct HostTable<T = VirtualHost> {
    exact: Hosts<T>,
    /// By length of the suffix, longest first.
    suffixes: Vec<(usize, Hosts<T>)>,
    any: Option<Arc<T>>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), suffixes: Vec::new(), any: None }
    }
}

impl<T> HostTable<T> {
    /// A table of these hosts; a host is a name, `*suffix`, or `*`, in lower case.
    pub fn new(hosts: impl IntoIterator<Item = (String, Arc<T>)>) -> Self {
        let mut table = Self::default();
        let mut suffixes: BTreeMap<usize, Hosts<T>> = BTreeMap::new();
        for (host, found) in hosts {
            match host.strip_prefix('*') {
                Some("") => table.any = Some(found),
                Some(suffix) => {
                    suffixes.entry(suffix.len()).or_default().insert(suffix.into(), found);
                }
                None => {
                    table.exact.insert(host.into(), found);
                }
            }
        }
        table.suffixes = suffixes.into_iter().rev().collect();
        table
    }

    /// The virtual host of a lower-case name.
    pub fn find(&self, host: &str) -> Option<&Arc<T>> {
        self.exact.get(host).or_else(|| self.find_suffix(host)).or(self.any.as_ref())
    }

    fn find_suffix(&self, host: &str) -> Option<&Arc<T>> {
        self.suffixes.iter().find_map(|(length, hosts)| {
            // The wildcard stands for at least one character.
            let start = host.len().checked_sub(*length).filter(|it| *it > 0)?;
            hosts.get(host.get(start..)?)
        })
    }

    /// All virtual hosts with the host they are for.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Arc<T>)> {
        let exact = self.exact.iter().map(|(host, it)| (host.to_string(), it));
        let suffixes = self.suffixes.iter().flat_map(|(_, hosts)| hosts).map(|(host, it)| (format!("*{host}"), it));
        exact.chain(suffixes).chain(self.any.iter().map(|it| ("*".to_owned(), it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hosts: &[&str], name: &str, expected: Option<&str>) {
        let table =
            HostTable::new(hosts.iter().map(|it| ((*it).to_owned(), Arc::new(VirtualHost::new(it, 80, Vec::new())))));
        assert_eq!(
            table.find(name).map(|it| it.name.as_ref()),
            expected.map(|it| format!("{it}:80")).as_deref(),
            "{name}"
        );
    }

    #[test]
    fn the_most_specific_host_is_found() {
        let hosts = ["a.example.com", "*.example.com", "*.b.example.com", "*"];
        check(&hosts, "a.example.com", Some("a.example.com"));
        check(&hosts, "x.example.com", Some("*.example.com"));
        check(&hosts, "x.b.example.com", Some("*.b.example.com"));
        check(&hosts, "x.y.b.example.com", Some("*.b.example.com"));
        check(&hosts, "example.com", Some("*"));
        check(&["*.example.com"], ".example.com", None);
        check(&["*.example.com"], "", None);
    }
}
