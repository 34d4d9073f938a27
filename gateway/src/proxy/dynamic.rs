//! Finds the cluster of a request's own host, where a route leads to a wildcard (`resolution: DYNAMIC_DNS`).
//!
//! The host must be one of the wildcard's; it is looked up once, its addresses are vetted,
//! and the vetted ones are dialled. Clusters are kept while they have the same addresses.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::egress::target::{Host, Target};
use crate::local_reply::egress_fault::EgressFault;
use crate::network::public::admits;
use crate::upstream::address::Address;
use crate::upstream::cluster::Cluster;
use crate::upstream::definition::{ByHost, Definition, Discovery, Member};
use crate::upstream::dns::Resolver;
use crate::upstream::endpoint::Place;

/// Bound on looking a name up.
pub(super) const LOOKUP: Duration = Duration::from_secs(5);
/// Clusters of one worker.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(1024).expect("it is more than none");

/// What names are resolved with, and the clusters that were found.
pub(super) struct Dynamic {
    pub(super) resolver: Resolver,
    kept: Mutex<LruCache<Definition, Arc<Cluster>>>,
}

impl Dynamic {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, kept: Mutex::new(LruCache::new(MAX_KEPT)) }
    }

    /// The cluster of a host, if the wildcard of `template` holds it; none where the template is no wildcard.
    pub(super) async fn find(&self, template: &Cluster, authority: &str) -> Result<Option<Arc<Cluster>>, EgressFault> {
        let definition = template.definition();
        let Discovery::ByHost(ByHost { port, networks }) = &definition.discovery else { return Ok(None) };
        let Ok(Target { host: Host::Name(name), port: _ }) = Target::parse(authority, Some(*port)) else {
            return Err(EgressFault::NoTarget);
        };
        let suffix = definition.host.strip_prefix('*').unwrap_or(&definition.host);
        if !name.ends_with(suffix) || name.len() == suffix.len() {
            return Err(EgressFault::Host);
        }
        let found = tokio::time::timeout(LOOKUP, self.resolver.lookup(&name)).await;
        let (addresses, _) = found.ok().flatten().ok_or(EgressFault::Unresolved)?;
        let vetted = addresses.into_iter().filter(|it| admits(*it, networks, |it| self.resolver.is_own(it)));
        let mut members: Vec<SocketAddr> = vetted.map(|it: IpAddr| SocketAddr::new(it, *port)).collect();
        if members.is_empty() {
            return Err(EgressFault::Address);
        }
        // Answers rotate; the same set is the same cluster.
        members.sort_unstable();
        Ok(Some(self.cluster(definition, &name, &members)))
    }

    /// A cluster like `template`, of a host with these addresses.
    pub(super) fn cluster(&self, template: &Definition, host: &str, addresses: &[SocketAddr]) -> Arc<Cluster> {
        let member = |it: &SocketAddr| Member { target: Address::Inet(*it), weight: 1, place: Place::default() };
        let discovery = Discovery::Static(addresses.iter().map(member).collect());
        let definition = Definition { host: host.into(), discovery, ..template.clone() };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Cluster::new(definition.clone(), None, Instant::now()));
        Arc::clone(kept.get_or_insert(definition.clone(), make))
    }
}
