//! Istio's kinds, one file each; field names and meanings are Istio's.
//!
//! A field that Sluice accepts and does not honour says so with an `x-support` mark, from
//! which the warning of `sluice check` and `docs/compatibility.md` both come:
//! `later` is planned, `mesh` means nothing outside a mesh, `inert` has no effect in Istio
//! either, `refused` is an error.

pub mod gateway;

pub mod virtual_service;
pub mod route_match;
pub mod http_action;

pub mod destination_rule;
pub mod load_balancer;
pub mod service_entry;
pub mod workload_entry;
pub mod sidecar;

pub mod authorization_policy;
pub mod peer_authentication;
pub mod request_authentication;

pub mod envoy_filter;
pub mod envoy_rate_limit;
pub mod rate_limit_service;
pub mod extension_provider;
pub mod mesh_config;
pub mod telemetry;

pub mod shared;
