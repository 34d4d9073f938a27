//! A named group of endpoints with the policy of the traffic to it.
//!
//! A cluster outlives reloads: when its definition is the same, the new snapshot takes the
//! cluster of the old one, with its connections, counts and addresses. Its endpoints are
//! swapped inside it; a request reads them once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::address::Address;
use super::balancer::{EndpointSet, Policy};
use super::endpoint::{Endpoint, Lease};

/// Which version of HTTP an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, by prior knowledge without TLS.
    Http2,
}

/// TLS towards the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Plain text.
    Off,
    /// TLS with the system's authorities.
    On {
        /// Name to send and to verify; the request's host when the rule names none.
        sni: Option<Box<str>>,
        /// Whether the certificate is checked.
        verify: bool,
    },
}

/// How the endpoints of a cluster are known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// They are these, with their weights.
    Static(Vec<(Address, u32)>),
    /// They are the addresses of names.
    Dns(DnsDiscovery),
    /// There are none: nobody says where.
    Nowhere,
}

/// Names that stand for endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsDiscovery {
    /// The names; each contributes its addresses.
    pub names: Vec<DnsName>,
    /// Whether one address is used for all, as in `DNS_ROUND_ROBIN`.
    pub one_address: bool,
    /// Longest time between two queries.
    pub refresh: Duration,
}

/// One name that stands for endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsName {
    /// Spellings to try, the first that has addresses is taken.
    pub candidates: Vec<Box<str>>,
    /// Port of its addresses.
    pub port: u16,
    /// Weight of each of its addresses.
    pub weight: u32,
}

/// Everything that makes a cluster what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Definition {
    /// Host of the registry.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// Its subset; empty for all endpoints.
    pub subset: Box<str>,
    /// Namespace of the document that declares the host.
    pub namespace: Box<str>,
    /// How endpoints are known.
    pub discovery: Discovery,
    /// How one is chosen.
    pub policy: Policy,
    /// Version of HTTP.
    pub protocol: Protocol,
    /// TLS.
    pub tls: Tls,
    /// Bound on connecting.
    pub connect_timeout: Duration,
    /// Most streams of one HTTP/2 connection.
    pub max_streams: u32,
}

/// A named group of endpoints.
#[derive(Debug)]
pub struct Cluster {
    name: Arc<str>,
    definition: Definition,
    endpoints: ArcSwap<EndpointSet>,
}

impl Cluster {
    /// A cluster; one that is found by DNS has no endpoints until they were looked up.
    pub fn new(definition: Definition) -> Self {
        let endpoints = match &definition.discovery {
            Discovery::Static(addresses) => {
                addresses.iter().map(|(address, weight)| Arc::new(Endpoint::new(address.clone(), *weight))).collect()
            }
            Discovery::Dns(_) | Discovery::Nowhere => Vec::new(),
        };
        Self {
            name: name(&definition.host, definition.port, &definition.subset).into(),
            definition,
            endpoints: ArcSwap::from_pointee(EndpointSet::new(endpoints)),
        }
    }

    /// `outbound|port|subset|host`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was made of.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// One endpoint, counted as busy until the lease ends.
    pub fn pick(&self, draw: (u64, u64)) -> Option<Lease> {
        let endpoints = self.endpoints.load();
        endpoints.pick(self.definition.policy, draw).map(|it| Lease::new(Arc::clone(it)))
    }

    /// The endpoints now.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Replaces the endpoints; those that stay keep their counts.
    pub fn set_addresses(&self, addresses: Vec<(Address, u32)>) {
        let old = self.endpoints.load();
        let known: HashMap<&Address, &Arc<Endpoint>> = old.endpoints().iter().map(|it| (&it.address, it)).collect();
        let unchanged = old.endpoints().len() == addresses.len()
            && addresses
                .iter()
                .all(|(address, weight)| known.get(address).is_some_and(|it| it.weight == (*weight).max(1)));
        if unchanged {
            return;
        }
        let endpoints = addresses
            .into_iter()
            .map(|(address, weight)| match known.get(&address) {
                Some(it) if it.weight == weight.max(1) => Arc::clone(it),
                Some(_) | None => Arc::new(Endpoint::new(address, weight)),
            })
            .collect();
        self.endpoints.store(Arc::new(EndpointSet::new(endpoints)));
    }
}

/// The name of a cluster, which consoles take apart.
pub fn name(host: &str, port: u16, subset: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_that_stay_keep_their_counts() {
        let address = |port| (Address::Inet(([127, 0, 0, 1], port).into()), 1);
        let cluster = Cluster::new(Definition {
            host: "a".into(),
            port: 80,
            subset: "".into(),
            namespace: "default".into(),
            discovery: Discovery::Static(vec![address(1)]),
            policy: Policy::RoundRobin,
            protocol: Protocol::Http1,
            tls: Tls::Off,
            connect_timeout: Duration::from_secs(10),
            max_streams: 100,
        });
        assert_eq!(cluster.name(), "outbound|80||a");
        let lease = cluster.pick((0, 0)).unwrap();
        cluster.set_addresses(vec![address(1), address(2)]);
        let busy: Vec<u32> = cluster.endpoints().endpoints().iter().map(|it| it.active()).collect();
        assert_eq!(busy, [1, 0]);
        drop(lease);
        assert_eq!(cluster.endpoints().endpoints()[0].active(), 0);
    }
}
