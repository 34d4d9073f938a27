//! Sluice: an API gateway inwards, an egress gateway outwards, configured by Istio's YAML.
//!
//! # The way of a request
//!
//! | step | module |
//! |---|---|
//! | a connection is accepted, counted and bounded | [`listener`] |
//! | a request's head and body pass the guard | [`listener::http1`] |
//! | it pins a snapshot, gets its normal form and its client | [`proxy`] |
//! | its virtual host, then its first matching route | [`routing`] |
//! | the policies of the route | [`filter`] |
//! | what a rate limit has left | [`quota`] |
//! | what may leave by a forward proxy | [`egress`] |
//! | an endpoint of the route's cluster | [`upstream`] |
//! | bytes without a protocol, on TCP listeners | [`l4`] |
//! | the response, the metrics, the access log line | [`proxy`], [`telemetry`] |
//!
//! # The way of a configuration
//!
//! `config_schema` reads documents and validates them; [`compile`] turns the valid
//! configuration into a [`snapshot`]; [`reload`] binds what is new, publishes, and lets go
//! of what is gone. Nothing else publishes.
//!
//! # Invariants
//!
//! No module imports against the flow (a test reads the imports). No schema type in a field
//! of a runtime type. No second way to publish configuration. No lock held across an await
//! on the request path. No response status outside [`local_reply`]. No unbounded queue,
//! buffer, map or label. No panic reachable from a peer. No clock or randomness below
//! [`proxy`].

pub mod cli;
pub mod server;

pub mod admin;
pub mod reload;
pub mod compile;

pub mod proxy;
pub mod snapshot;
pub mod listener;
pub mod routing;
pub mod filter;
pub mod quota;
pub mod egress;
pub mod upstream;
pub mod l4;

pub mod local_reply;
pub mod telemetry;
pub mod text;
pub mod network;
pub mod digest;
pub mod origin;
