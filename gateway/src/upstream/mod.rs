//! Where requests go: clusters, their endpoints, how one is chosen and reached.

pub mod address;
pub mod endpoint;
pub mod outlier;
pub mod hash;
pub mod balancer;
pub mod tiers;
pub mod limits;
pub mod tls;
pub mod definition;
pub mod connections;
pub mod connection;
pub mod dial;
mod turns;
mod window;
pub mod proxy_header;
pub mod cluster;
pub mod retry;
pub mod peer;
pub mod client;
pub mod grpc_call;
pub mod dns;
pub mod fetch;
pub mod health;
pub mod care;
