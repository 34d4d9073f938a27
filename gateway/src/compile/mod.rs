//! Turns a valid configuration into a snapshot: every name becomes the thing it names.
//!
//! Clusters whose definition is unchanged are taken over from the snapshot before, with
//! their connections, counts and addresses. Compiling opens no socket and asks no name
//! server, so it can run beside traffic.

mod api_key_authentication;
mod authentication;
mod authorization;
mod balancing;
mod basic_authentication;
mod base64;
pub mod certificate_check;
mod clusters;
mod delegates;
mod descriptor_limit;
mod egress;
mod egress_credential;
mod external_authorization;
mod forwarding;
mod headers;
mod health_check;
mod http_route;
mod interception;
mod listeners;
mod locality;
mod matches;
mod origins;
mod policies;
mod rate_limit;
mod redis;
mod registry;
mod routes;
mod secrets;
mod settings;
mod site;
mod tcp;
mod tls_listener;
mod tls_servers;
mod traffic_policy;
mod upstream_tls;
mod visibility;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use config_schema::{Config, Problem};

use crate::filter::authentication::provider::Provider;
use crate::listener::set::ListenerKey;
use crate::snapshot::Snapshot;

/// A snapshot of a configuration; `before` is the one that runs, if any.
pub fn snapshot(config: &Config, before: Option<&Snapshot>, now: SystemTime) -> Result<Snapshot, Box<Problem>> {
    let settings = settings::lower(&config.settings)?;
    let mut clusters = clusters::Clusters::new(config, before);
    let mut tls_servers = tls_servers::TlsServers::new(config, before);
    let limits = rate_limit::RateLimits::lower(config)?;
    let mut listeners = listeners::compile(config, &limits, &mut clusters, &mut tls_servers)?;
    listeners.extend(egress::listeners((config, before), &mut clusters, &mut tls_servers)?);
    // What a Gateway and a Sidecar both want is the Gateway's.
    listeners.sort_by_key(|it| it.wanted.key);
    listeners.dedup_by_key(|it| it.wanted.key);
    let keys: Vec<ListenerKey> = listeners.iter().map(|it| it.wanted.key).collect();
    let retired = before
        .into_iter()
        .flat_map(|it| &it.listeners)
        .filter(|it| !keys.contains(&it.wanted.key))
        .map(Arc::clone)
        .collect();
    let descriptor_limits = descriptor_limit::lower(config, &mut clusters)?;
    let (authorization, custom) = authorization::lower(config, &mut clusters)?;
    Ok(Snapshot {
        generation: before.map_or(1, |it| it.generation + 1),
        compiled: now,
        listeners,
        retired,
        clusters: clusters.finish(),
        tls_servers: tls_servers.finish(),
        authentication: authentication::lower(config, before)?,
        api_keys: api_key_authentication::lower(config)?,
        basic: basic_authentication::lower(config)?,
        authorization,
        custom,
        limits: limits.of_all(),
        egress_credentials: egress_credential::lower(config)?,
        limits_ahead: limits.looks_ahead(),
        descriptor_limits,
        limit_rules: limits.rules(),
        counters: redis::counters(config, before)?,
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

/// Issuers of a snapshot whose keys the one before did not have.
pub fn fresh_providers<'a>(snapshot: &'a Snapshot, before: Option<&Snapshot>) -> Vec<&'a Arc<Provider>> {
    let known: Vec<&Arc<Provider>> = before.into_iter().flat_map(|it| it.authentication.providers()).collect();
    let mut fresh: Vec<&Arc<Provider>> = Vec::new();
    for it in snapshot.authentication.providers() {
        let is_known = known.iter().chain(&fresh).any(|known| Arc::ptr_eq(known, it));
        if !is_known {
            fresh.push(it);
        }
    }
    fresh
}

#[cfg(test)]
mod tests;
