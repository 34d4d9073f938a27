//! Where requests go: clusters, their endpoints, how one is chosen and reached.

pub mod address;
pub mod endpoint;
pub mod balancer;
pub mod cluster;
pub mod peer;
pub mod dns;
