//! Policies of a request, one file each.
//!
//! They run in this order: faults are injected, CORS answers preflights (Envoy's places for
//! both, after authentication and authorization), header edits and rewrites are applied when
//! a request is forwarded. CORS and header edits touch the response in reverse.

pub mod fault;
pub mod grpc_web;
pub mod cors;
pub mod header_edits;
