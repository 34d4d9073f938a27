//! An address that can be connected to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A socket of the network or of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// IP address and port.
    Inet(SocketAddr),
    /// A unix domain socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(it) => it.fmt(f),
            Self::Unix(it) => it.display().fmt(f),
        }
    }
}
