//! The few kinds of Kubernetes that a gateway's configuration refers to.

pub mod config_map;
pub mod endpoint_slice;
pub mod namespace;
pub mod secret;
pub mod service;
