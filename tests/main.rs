//! One end-to-end binary over the real `sluice` process, real sockets and real upstreams.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on shall fail")]

/// Starts the gateway, upstreams and clients.
mod harness;

/// Hosts, paths, precedence, rewrite, redirect, headers.
mod routing;
/// Gateways and routes of the Kubernetes Gateway API.
mod gateway_api;
/// Heads, bodies and connections that a polite client does not send.
mod hostile;
/// Swap under load: no failed request, no request with two generations, a bad file changes nothing.
mod reload;
/// Retries, timeouts, balancing, ejection, bounds, faults and mirrors.
mod traffic;
/// Endpoints that are killed under load.
mod chaos;
/// gRPC and gRPC-Web.
mod grpc;
/// Tokens and access policies.
mod access;
/// Explaining and serving decide alike.
mod agreement;
/// Keys and passwords of clients.
mod credentials;
/// Rate limits in memory.
mod rate_limit;
/// Rate limits by EnvoyFilters.
mod envoy_rate_limit;
/// The stores of rate limits beside a model.
mod rate_limit_model;
/// Rate limits in a Redis that several gateways share.
mod rate_limit_redis;
/// Forward proxies: nothing leaves but what documents allow.
mod egress;
mod egress_clients;
mod egress_tunnels;
mod interception;
/// Services outside that say who may pass.
mod external_authorization;
/// TLS at the edge: servers by SNI, client certificates, pass-through, rotation.
mod tls;
/// TLS under load: rotation, floods.
mod tls_load;
/// TLS towards upstreams.
mod upstream_tls;
/// TCP listeners.
mod tcp;
/// Upstreams that fail, go away, or are found by DNS.
mod upstreams;
/// HTTP/2 on both sides.
mod http2;
/// The operator's port, metrics and the access log.
mod operator;
/// The command line.
mod cli;
/// Golden reports of problems.
mod problems;
/// Every file in `examples/` is valid and serves.
mod examples;
/// The commands of README.md.
mod readme;
/// House rules: imports, sizes, generated pages.
mod tidy;
