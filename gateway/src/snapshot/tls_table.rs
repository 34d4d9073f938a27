//! Decides which server of a TLS port a connection belongs to, and whose hosts its requests may name.
//!
//! The connection's server name chooses: exact, then the longest wildcard, then `*`; none is
//! a refusal. A request may name a host of another server of the port only when that server
//! shows the same certificate and asks the same of clients; else the client has to come
//! again by a connection of its own (421), since it was judged by other rules.

use std::sync::Arc;

use crate::listener::connection::Secured;
use crate::listener::tls::server::TlsServer;
use crate::routing::host_table::HostTable;
use crate::routing::tcp::TcpRoute;

/// The servers of one port, by the names that they answer to.
#[derive(Debug, Default)]
pub struct TlsTable {
    chains: HostTable<Chain>,
}

/// What happens to connections of a server.
#[derive(Debug)]
pub enum Chain {
    /// They are passed on as they are.
    PassThrough(Arc<TcpRoute>),
    /// TLS ends here, and HTTP begins.
    Http {
        /// What is shown and asked.
        server: Arc<TlsServer>,
        /// Virtual hosts.
        hosts: HostTable,
    },
    /// TLS ends here, and what is inside is passed on.
    Tcp {
        /// What is shown and asked.
        server: Arc<TlsServer>,
        /// Where to; connections are closed when there is none.
        route: Option<Arc<TcpRoute>>,
    },
}

/// Why a request is not served on its connection: it belongs to a server with other rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misdirected;

impl TlsTable {
    /// A table of these; names are in lower case, `*suffix`, or `*`.
    pub fn new(chains: impl IntoIterator<Item = (String, Arc<Chain>)>) -> Self {
        Self { chains: HostTable::new(chains) }
    }

    /// What happens to a connection that asks for this name; empty is none.
    pub fn find(&self, server_name: &str) -> Option<&Arc<Chain>> {
        self.chains.find(server_name)
    }

    /// The virtual hosts among which a request on a connection finds its own.
    pub fn hosts(&self, secured: &Secured, host: &str) -> Result<&HostTable, Misdirected> {
        let chain = self.find(&secured.server_name).ok_or(Misdirected)?;
        let Chain::Http { server, hosts } = chain.as_ref() else { return Err(Misdirected) };
        if server.verification() != secured.verification {
            // The rules have changed since the handshake.
            return Err(Misdirected);
        }
        match self.find(host) {
            None => Ok(hosts),
            Some(owner) if Arc::ptr_eq(owner, chain) => Ok(hosts),
            Some(owner) => match owner.as_ref() {
                Chain::Http { server: other, hosts } if Arc::ptr_eq(server, other) => Ok(hosts),
                Chain::Http { .. } | Chain::PassThrough(_) | Chain::Tcp { .. } => Err(Misdirected),
            },
        }
    }

    /// Every server with a name that it answers to.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Arc<Chain>)> {
        self.chains.iter()
    }
}
