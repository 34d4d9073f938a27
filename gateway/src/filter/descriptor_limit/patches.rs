//! What EnvoyFilters say of virtual hosts and routes, found by their names: what is said of one comes before what is said of all.

use std::collections::HashMap;

use super::{Entry, Local};

/// What a virtual host or a route says.
#[derive(Debug)]
pub struct Patch {
    /// `host:port` of the virtual host; any when absent.
    pub host: Option<Box<str>>,
    /// Name of the route; absent is the virtual host's own.
    pub route: Option<Box<str>>,
    /// Entries of descriptors.
    pub entries: Box<[Entry]>,
    /// Whether a route asks for its host's entries too.
    pub includes_host: bool,
    /// A bucket of its own.
    pub local: Option<Local>,
}

/// All patches; a request costs the same however many there are.
#[derive(Debug, Default)]
pub struct Patches {
    by_host: HashMap<Box<str>, OfHost>,
    of_all: OfHost,
}

/// The patches of one virtual host, or of all.
#[derive(Debug, Default)]
struct OfHost {
    own: Vec<Patch>,
    routes: HashMap<Box<str>, Vec<Patch>>,
}

impl FromIterator<Patch> for Patches {
    fn from_iter<T: IntoIterator<Item = Patch>>(patches: T) -> Self {
        let mut out = Self::default();
        for patch in patches {
            let host = match &patch.host {
                Some(name) => out.by_host.entry(name.clone()).or_default(),
                None => &mut out.of_all,
            };
            match &patch.route {
                Some(name) => host.routes.entry(name.clone()).or_default().push(patch),
                None => host.own.push(patch),
            }
        }
        out
    }
}

impl Patches {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_host.is_empty() && self.of_all.own.is_empty() && self.of_all.routes.is_empty()
    }

    /// What is said of a virtual host, and of all.
    fn places(&self, host: &str) -> impl Iterator<Item = &OfHost> + Clone + use<'_> {
        self.by_host.get(host).into_iter().chain([&self.of_all])
    }

    fn of_route<'a>(&'a self, host: &str, route: &str) -> impl Iterator<Item = &'a Patch> + Clone {
        self.places(host).filter_map(move |it| it.routes.get(route)).flatten()
    }

    /// Entries for requests of a route: its own, and its host's where it has none or includes them.
    pub fn entries<'a>(&'a self, host: &str, route: &str) -> impl Iterator<Item = &'a Entry> {
        let own = self.of_route(host, route).filter(|it| !it.entries.is_empty());
        let asks_host = own.clone().all(|it| it.includes_host);
        let hosts = self.places(host).filter(move |_| asks_host).flat_map(|it| &it.own);
        own.chain(hosts).flat_map(|it| &it.entries)
    }

    /// The buckets for requests of a route: its own, or its host's.
    pub fn local(&self, host: &str, route: &str) -> Option<&Local> {
        let hosts = self.places(host).flat_map(|it| &it.own);
        self.of_route(host, route).chain(hosts).find_map(|it| it.local.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(host: Option<&str>, route: Option<&str>, stage: u32, includes_host: bool) -> Patch {
        let entries = [Entry { stage, actions: Box::default() }].into();
        Patch { host: host.map(Box::from), route: route.map(Box::from), entries, includes_host, local: None }
    }

    #[test]
    fn a_route_stands_for_its_host_unless_it_includes_it() {
        let patches: Patches = [
            patch(None, None, 1, true),
            patch(Some("h:80"), None, 2, true),
            patch(Some("h:80"), Some("own"), 3, false),
            patch(Some("h:80"), Some("both"), 4, true),
            patch(None, Some("both"), 5, true),
            patch(Some("other:80"), None, 6, true),
        ]
        .into_iter()
        .collect();
        for (host, route, expected) in [
            ("h:80", "plain", &[2, 1][..]),
            ("h:80", "own", &[3]),
            ("h:80", "both", &[4, 5, 2, 1]),
            ("x:80", "both", &[5, 1]),
            ("other:80", "own", &[6, 1]),
        ] {
            let found: Vec<u32> = patches.entries(host, route).map(|it| it.stage).collect();
            assert_eq!(found, expected, "{host} {route}");
        }
        assert!(!patches.is_empty() && Patches::default().is_empty());
    }
}
