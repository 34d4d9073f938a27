//! The ports that are bound: added and removed in two steps, so that a port that cannot be
//! bound changes nothing.
//!
//! Every worker has its own socket on each port (`SO_REUSEPORT`), so the kernel spreads the
//! connections and no worker waits for another's accept.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::accept::{AcceptLoop, Serve};
use super::limits::ConnectionCounts;

/// Connections that the kernel queues for one socket.
const BACKLOG: u32 = 1024;

/// A port as the Gateway declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerKey {
    /// Address to bind.
    pub bind: IpAddr,
    /// Declared number; policies and redirects speak of this one.
    pub port: u16,
}

/// A port with the number that is really bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// As declared.
    pub key: ListenerKey,
    /// Number to bind; 0 is any free one.
    pub real_port: u16,
}

/// One thread that serves connections.
pub struct Worker {
    /// Its runtime.
    pub handle: Handle,
    /// What it serves connections with.
    pub serve: Arc<dyn Serve>,
}

/// A port that is bound.
struct Bound {
    wanted: Wanted,
    address: SocketAddr,
    closing: watch::Sender<bool>,
}

/// Sockets that were bound and do not accept yet.
pub struct Prepared {
    fresh: Vec<(Wanted, SocketAddr, Vec<StdListener>)>,
    keep: Vec<Wanted>,
}

/// All ports of the process.
pub struct ListenerSet {
    workers: Vec<Worker>,
    counts: Arc<ConnectionCounts>,
    bound: BTreeMap<ListenerKey, Bound>,
}

impl ListenerSet {
    /// No ports yet.
    pub fn new(workers: Vec<Worker>, counts: Arc<ConnectionCounts>) -> Self {
        Self { workers, counts, bound: BTreeMap::new() }
    }

    /// Binds what is new among `wanted`; on failure nothing has changed.
    pub fn prepare(&self, wanted: &[Wanted]) -> Result<Prepared, (Wanted, io::Error)> {
        let mut prepared = Prepared { fresh: Vec::new(), keep: Vec::new() };
        for it in wanted {
            let known = self.bound.get(&it.key);
            if known.is_some_and(|known| known.wanted.real_port == it.real_port) {
                prepared.keep.push(*it);
                continue;
            }
            let (address, sockets) = self.bind(*it).map_err(|error| (*it, error))?;
            prepared.fresh.push((*it, address, sockets));
        }
        Ok(prepared)
    }

    fn bind(&self, wanted: Wanted) -> io::Result<(SocketAddr, Vec<StdListener>)> {
        let mut address = SocketAddr::new(wanted.key.bind, wanted.real_port);
        // With SO_REUSEPORT a second gateway would silently share the port, so ask once without.
        let probe = socket(address)?;
        probe.bind(address)?;
        address = probe.local_addr()?;
        drop(probe);
        let mut sockets = Vec::new();
        for _ in &self.workers {
            let socket = socket(address)?;
            socket.set_reuseport(true)?;
            // Accepted connections inherit it: small responses must not wait for an acknowledgement.
            socket.set_nodelay(true)?;
            socket.bind(address)?;
            sockets.push(socket.listen(BACKLOG)?.into_std()?);
        }
        Ok((address, sockets))
    }

    /// Accepts on what was prepared, and closes what is no longer wanted.
    pub fn commit(&mut self, prepared: Prepared) {
        let Prepared { fresh, keep } = prepared;
        let mut wanted: BTreeSet<ListenerKey> = keep.iter().map(|it| it.key).collect();
        for (fresh, address, sockets) in fresh {
            wanted.insert(fresh.key);
            let closing = self.accept((fresh.key, address), sockets);
            if let Some(old) = self.bound.insert(fresh.key, Bound { wanted: fresh, address, closing }) {
                old.closing.send_replace(true);
            }
        }
        self.bound.retain(|key, bound| {
            let stays = wanted.contains(key);
            if !stays {
                bound.closing.send_replace(true);
            }
            stays
        });
    }

    /// Starts the accept loops of one port, one on each worker.
    fn accept(&self, (key, address): (ListenerKey, SocketAddr), sockets: Vec<StdListener>) -> watch::Sender<bool> {
        let (closing, receiver) = watch::channel(false);
        for (worker, socket) in self.workers.iter().zip(sockets) {
            let accept = AcceptLoop {
                key,
                address,
                socket,
                closing: receiver.clone(),
                counts: Arc::clone(&self.counts),
                serve: Arc::clone(&worker.serve),
            };
            worker.handle.spawn(async move {
                if let Err(error) = accept.run().await {
                    log::error!("cannot accept on port {}: {error}", key.port);
                }
            });
        }
        closing
    }

    /// Closes every port; connections end after their requests.
    pub fn close_all(&mut self) {
        for bound in std::mem::take(&mut self.bound).into_values() {
            bound.closing.send_replace(true);
        }
    }

    /// Declared ports and the addresses that are really bound.
    pub fn addresses(&self) -> impl Iterator<Item = (ListenerKey, SocketAddr)> {
        self.bound.iter().map(|(key, bound)| (*key, bound.address))
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    Ok(socket)
}
