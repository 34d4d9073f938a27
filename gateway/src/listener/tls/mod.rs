//! TLS at the edge: what a server shows, what it asks of clients, how a handshake is begun.
//!
//! A server's certificates come from [`source`]s that can change while it runs; [`server`]
//! holds what is in force and swaps it whole, so that a handshake sees one state. Which
//! server a connection belongs to is said by its first message, which [`hello`] reads
//! before anything is decided.

pub mod authority;
pub mod certificate;
pub mod source;
pub mod terms;
pub mod client_auth;
pub mod config;
pub mod server;
pub mod hello;
pub mod turns;
