//! Policies of a request, one file each.
//!
//! They run in this order: header edits and rewrites are applied when a request is
//! forwarded, CORS answers preflights right before that (Envoy's place for it, after
//! authentication and authorization), and both touch the response in reverse.

pub mod cors;
pub mod header_edits;
