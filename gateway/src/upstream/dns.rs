//! Looks up the endpoints of clusters that are known by name, in the background.
//!
//! Each such cluster has one task, which ends with the cluster. An answer is used until its
//! time to live is over, within bounds; a failure keeps the last good addresses and is
//! tried again soon. A name without an answer never stops the gateway.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::address::Address;
use super::cluster::Cluster;
use super::definition::{Discovery, DnsDiscovery, DnsName, Member};
use crate::network::Network;
use crate::network::own::OwnAddresses;
use crate::network::public::admits;

/// Shortest time between two queries for a name, whatever its time to live says.
const MIN_REFRESH: Duration = Duration::from_secs(1);
/// Time until a failed query is repeated.
const RETRY: Duration = Duration::from_secs(5);
/// Most endpoints that one name may have.
const MAX_ADDRESSES: usize = 1024;

/// Resolves names.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<TokioResolver>,
    /// Where names must not lead: back here.
    own: Arc<OwnAddresses>,
}

/// Addresses of a name, and how long they are good.
struct Answer {
    addresses: Vec<Member<Address>>,
    valid: Duration,
}

impl Resolver {
    /// A resolver that asks these servers, or the system's when there are none.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        let builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| format!("cannot read the system's DNS settings: {error}"))?
        } else {
            let servers = servers
                .iter()
                .map(|it| {
                    let mut server = NameServerConfig::udp_and_tcp(it.ip());
                    for connection in &mut server.connections {
                        connection.port = it.port();
                    }
                    server
                })
                .collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let inner = builder.build().map_err(|error| format!("cannot set up DNS: {error}"))?;
        Ok(Self { inner: Arc::new(inner), own: Arc::new(OwnAddresses::new(std::time::Instant::now())) })
    }

    /// Keeps a cluster's endpoints up to date as long as it lives; the receiver hears of the first answer.
    pub fn follow(&self, cluster: &Arc<Cluster>) -> Option<oneshot::Receiver<()>> {
        let Discovery::Dns(discovery) = &cluster.definition().discovery else { return None };
        let (first, receiver) = oneshot::channel();
        tokio::spawn(follow(self.clone(), Arc::downgrade(cluster), discovery.clone(), first));
        Some(receiver)
    }

    /// All addresses of a name; none when it has none, or nobody answers.
    pub async fn addresses(&self, name: &str) -> Vec<std::net::IpAddr> {
        let found = self.inner.lookup_ip(name).await;
        found.map(|it| it.iter().take(MAX_ADDRESSES).collect()).unwrap_or_default()
    }

    /// All addresses of a name that needs no search list, and until when they are good; none when nobody answers.
    pub async fn lookup(&self, name: &str) -> Option<(Vec<std::net::IpAddr>, std::time::Instant)> {
        let found = self.inner.lookup_ip(format!("{name}.")).await.ok()?;
        Some((found.iter().take(MAX_ADDRESSES).collect(), found.valid_until()))
    }

    /// Whether an address is one of this machine.
    pub fn is_own(&self, address: std::net::IpAddr) -> bool {
        self.own.contains(address, std::time::Instant::now())
    }

    async fn resolve(&self, discovery: &DnsDiscovery) -> Option<Answer> {
        let mut answer = Answer { addresses: Vec::new(), valid: discovery.refresh };
        let mut any = false;
        for name in &discovery.names {
            let Some(found) = self.resolve_name(name, discovery.guard.as_deref()).await else { continue };
            any = true;
            answer.valid = answer.valid.min(found.valid);
            answer.addresses.extend(found.addresses);
        }
        if discovery.one_address {
            answer.addresses.truncate(1);
        }
        answer.addresses.truncate(MAX_ADDRESSES);
        answer.valid = answer.valid.max(MIN_REFRESH);
        any.then_some(answer)
    }

    /// The addresses of the first spelling that has any.
    async fn resolve_name(&self, member: &Member<DnsName>, guard: Option<&[Network]>) -> Option<Answer> {
        let Member { target: DnsName { candidates, port }, weight, place } = member;
        let at = |ip| Member { target: Address::Inet(SocketAddr::new(ip, *port)), weight: *weight, place: *place };
        for candidate in candidates {
            if let Ok(ip) = candidate.parse() {
                return Some(Answer { addresses: vec![at(ip)], valid: Duration::MAX });
            }
            let Ok(found) = self.inner.lookup_ip(candidate.as_ref()).await else { continue };
            let valid = found.valid_until().saturating_duration_since(std::time::Instant::now());
            let vetted = found.iter().filter(|it| guard.is_none_or(|named| admits(*it, named, |it| self.is_own(it))));
            let mut addresses: Vec<_> = vetted.map(at).collect();
            // Answers rotate; the same set must look the same.
            addresses.sort_by_key(|it| it.target.to_string());
            if !addresses.is_empty() {
                return Some(Answer { addresses, valid });
            }
        }
        None
    }
}

async fn follow(resolver: Resolver, cluster: Weak<Cluster>, discovery: DnsDiscovery, first: oneshot::Sender<()>) {
    let mut first = Some(first);
    let mut failing = false;
    loop {
        let answer = resolver.resolve(&discovery).await;
        let Some(cluster) = cluster.upgrade() else { return };
        let pause = match answer {
            Some(Answer { addresses, valid }) => {
                cluster.set_addresses(&addresses, Instant::now().into_std());
                failing = false;
                valid
            }
            None => {
                if !failing {
                    log::warn!("no address for {}; requests to it get 503 until it has one", cluster.name());
                }
                failing = true;
                RETRY
            }
        };
        drop(cluster);
        if let Some(first) = first.take() {
            // Nobody may be waiting any more.
            first.send(()).unwrap_or_default();
        }
        tokio::time::sleep_until(Instant::now() + pause).await;
    }
}
