//! Turns a valid configuration into a snapshot: every name becomes the thing it names.
//!
//! Clusters whose definition is unchanged are taken over from the snapshot before, with
//! their connections, counts and addresses. Compiling opens no socket and asks no name
//! server, so it can run beside traffic.

mod balancing;
mod base64;
pub mod certificate_check;
mod clusters;
mod delegates;
mod forwarding;
mod headers;
mod health_check;
mod listeners;
mod locality;
mod matches;
mod registry;
mod routes;
mod secrets;
mod settings;
mod site;
mod tcp;
mod tls_listener;
mod tls_servers;
mod traffic_policy;
mod unenforced;
mod upstream_tls;
mod visibility;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use config_schema::{Config, Problem};

use crate::listener::set::ListenerKey;
use crate::snapshot::Snapshot;

/// A snapshot of a configuration; `before` is the one that runs, if any.
pub fn snapshot(config: &Config, before: Option<&Snapshot>, now: SystemTime) -> Result<Snapshot, Box<Problem>> {
    unenforced::check(config)?;
    let settings = settings::lower(&config.settings)?;
    let mut clusters = clusters::Clusters::new(config, before);
    let mut tls_servers = tls_servers::TlsServers::new(config, before);
    let listeners = listeners::compile(config, &mut clusters, &mut tls_servers)?;
    let keys: Vec<ListenerKey> = listeners.iter().map(|it| it.wanted.key).collect();
    let retired = before
        .into_iter()
        .flat_map(|it| &it.listeners)
        .filter(|it| !keys.contains(&it.wanted.key))
        .map(Arc::clone)
        .collect();
    Ok(Snapshot {
        generation: before.map_or(1, |it| it.generation + 1),
        compiled: now,
        listeners,
        retired,
        clusters: clusters.finish(),
        tls_servers: tls_servers.finish(),
        settings,
    })
}

/// Clusters of a snapshot that the one before did not have.
pub fn fresh_clusters<'a>(
    snapshot: &'a Snapshot,
    before: Option<&Snapshot>,
) -> Vec<&'a Arc<crate::upstream::cluster::Cluster>> {
    let none = HashMap::new();
    let known = before.map_or(&none, |it| &it.clusters);
    snapshot.clusters.iter().filter(|(definition, _)| !known.contains_key(*definition)).map(|(_, it)| it).collect()
}

#[cfg(test)]
mod tests;
