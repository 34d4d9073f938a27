//! Ports and connections: who is accepted, what a connection may send, and how it ends.

pub mod limits;

pub mod accept;
pub mod proxy_protocol;
pub mod tls;
pub mod client_io;
pub mod connection;
pub mod http1;
pub mod stream;

pub mod set;

#[cfg(test)]
mod meanwhile;
