//! Decides whether documents are a configuration: rules inside a resource and between resources.
//!
//! `inside` rules judge each document by itself; `between` rules look for what it refers
//! to. Both report everything they find and never panic. [`config`] is the only
//! constructor of [`Config`], so whoever holds one holds documents without errors.

mod check;

mod gateway;
mod headers;
mod virtual_service;
mod http_route;
mod http_policies;
mod http_match;
mod destination_rule;
mod load_balancer;
mod server_tls;
mod service_entry;
mod authorization_policy;
mod request_authentication;
mod sidecar;
mod telemetry;
mod envoy_filter;
mod config_map;
mod kubernetes_gateway;
mod kubernetes_route;
mod route_filter;
mod api_key_authentication;
mod basic_authentication;
mod health_check;
mod egress;
mod rate_limit_policy;
mod settings;
mod extension_provider;

mod between;
mod annotations;
mod metadata;

use crate::document::Documents;
use crate::gateway_api::servers;
use crate::native::settings::GatewaySettings;
use crate::problem::Problems;

/// Documents without errors, and the settings among them.
#[derive(Debug)]
pub struct Config {
    /// Settings of the process.
    pub settings: GatewaySettings,
    /// Everything else, each kind oldest first (see [`crate::Resource::age_order`]).
    pub documents: Documents,
}

/// How far the rules look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each document by itself.
    Document,
    /// Also what documents say of each other.
    All,
}

/// All problems of these documents.
pub fn check(documents: &Documents, scope: Scope) -> Problems {
    let mut problems = Problems::about(documents.sources.clone());
    inside(documents, &mut problems);
    match scope {
        Scope::Document => {}
        Scope::All => between::check(documents, &mut problems),
    }
    problems
}

/// The configuration these documents make, with the warnings, or the problems that forbid it.
pub fn config(documents: Documents, read: Problems) -> Result<(Config, Problems), Problems> {
    let mut problems = read;
    problems.absorb(check(&documents, Scope::All));
    if problems.has_errors() {
        return Err(problems);
    }
    let mut documents = documents;
    documents.sort_by_age();
    let mut settings = documents.settings.first().map(|it| GatewaySettings::clone(&it.spec)).unwrap_or_default();
    servers::add(&mut documents, &mut settings);
    Ok((Config { settings, documents }, problems))
}

fn inside(documents: &Documents, problems: &mut Problems) {
    metadata::check(documents, problems);
    annotations::check(documents, problems);
    for it in &documents.gateways {
        gateway::check(it, problems);
    }
    for it in &documents.virtual_services {
        virtual_service::check(it, problems);
    }
    for it in &documents.destination_rules {
        destination_rule::check(it, problems);
    }
    for it in &documents.service_entries {
        service_entry::check(it, problems);
    }
    for it in &documents.workload_entries {
        service_entry::check_workload(it, problems);
    }
    for it in &documents.sidecars {
        sidecar::check(it, problems);
    }
    for it in &documents.request_authentications {
        request_authentication::check(it, problems);
    }
    for it in &documents.authorization_policies {
        authorization_policy::check(it, problems);
    }
    for it in &documents.peer_authentications {
        sidecar::check_peer_authentication(it, problems);
    }
    for it in &documents.telemetries {
        telemetry::check(it, problems);
    }
    for it in &documents.envoy_filters {
        envoy_filter::check(it, problems);
    }
    for it in &documents.kubernetes_gateways {
        kubernetes_gateway::check(it, problems);
    }
    for it in &documents.http_routes {
        kubernetes_route::check(it, problems);
    }
    config_map::check(&documents.config_maps, problems);
    native(documents, problems);
    settings::check(&documents.settings, problems);
}

/// The rules of our own kinds.
fn native(documents: &Documents, problems: &mut Problems) {
    for it in &documents.api_key_authentications {
        api_key_authentication::check(it, problems);
    }
    for it in &documents.basic_authentications {
        basic_authentication::check(it, problems);
    }
    for it in &documents.health_checks {
        health_check::check(it, problems);
    }
    for it in &documents.egress_policies {
        egress::policy(it, problems);
    }
    for it in &documents.egress_credentials {
        egress::credential(it, problems);
    }
    for it in &documents.rate_limit_policies {
        rate_limit_policy::check(it, problems);
    }
}

#[cfg(test)]
mod tests;
