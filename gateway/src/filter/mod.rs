//! Policies of a request, one file each.
//!
//! They run in this order: a service outside is asked; keys, passwords and tokens are
//! verified, since claims may choose the route; policies say who may pass; limits say how often; faults are injected, CORS
//! answers preflights; header edits and rewrites are applied when a request is forwarded.
//! CORS and header edits touch the response in reverse.

pub mod api_key_authentication;
pub mod authentication;
pub mod basic_authentication;
pub mod credential;
pub mod own_headers;
pub mod authorization;
pub mod egress_credential;
pub mod external_authorization;
pub mod rate_limit;
pub mod descriptor_limit;
pub mod fault;
pub mod grpc_web;
pub mod cors;
pub mod header_edits;
