//! Which destinations a forward proxy may reach, and how: exact hosts, then the longest wildcard, then addresses.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::egress::target::{Host, Target};
use crate::local_reply::egress_fault::EgressFault;
use crate::network::public as guard;
use crate::network::table::NetworkTable;
use crate::network::{Network, is_mapped};
use crate::origin::DocumentOrigin;
use crate::text;
use crate::upstream::definition::Definition;

use super::request::Scheme;

/// What is asked of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Requests that are read here.
    Requests,
    /// A tunnel.
    Tunnel,
}

/// What a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Requests.
    Http,
    /// TLS.
    Tls,
    /// Anything.
    Anything,
}

/// What must be said in a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTunnel {
    /// On ports of TLS, a handshake with the host's name.
    Verify,
    /// On all ports.
    Require,
    /// Anything.
    Off,
}

/// How tunnels behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelTerms {
    /// What must be said in them.
    pub says: InTunnel,
    /// Longest silence.
    pub idle: Duration,
    /// Longest life; no bound when absent.
    pub age: Option<Duration>,
    /// Bound on connecting.
    pub connect: Duration,
    /// How long one lasts whose destination is not allowed any more.
    pub grace: Duration,
    /// Most bytes in each direction.
    pub bytes: Option<u64>,
    /// Most tunnels of a client, and to a host; 0 is no bound.
    pub at_once: (u32, u32),
}

/// A host that documents allow.
#[derive(Debug)]
pub struct AllowedHost {
    /// As it is written.
    pub name: Arc<str>,
    /// Namespace of the document.
    pub namespace: Arc<str>,
    /// The document.
    pub origin: Arc<DocumentOrigin>,
    /// Its ports.
    pub ports: Box<[AllowedPort]>,
    /// Networks that it may lead to though they are not public.
    pub networks: Box<[Network]>,
}

/// A port of it.
#[derive(Debug)]
pub struct AllowedPort {
    /// The number.
    pub number: u16,
    /// Name of its cluster, for logs and metrics.
    pub cluster: Arc<str>,
    /// What it carries.
    pub carries: Carries,
    /// Port that is dialled.
    pub dials: u16,
    /// Addresses that the document names; absent looks the name up.
    pub endpoints: Option<Box<[SocketAddr]>>,
    /// How requests go there, but for the addresses.
    pub template: Arc<Definition>,
}

/// All destinations of a forward proxy.
#[derive(Debug)]
pub struct WaysOut {
    exact: HashMap<Box<str>, Arc<AllowedHost>>,
    /// By what follows the star and its dot.
    wildcards: HashMap<Box<str>, Arc<AllowedHost>>,
    addresses: NetworkTable<Arc<AllowedHost>>,
    /// How hosts are reached that nobody names.
    pub template: Arc<Definition>,
    /// What happens to them.
    pub others: Others,
    /// Networks that may be reached though they are not public, by any name.
    pub networks: Box<[Network]>,
    /// How tunnels behave.
    pub tunnels: TunnelTerms,
    /// Whether `Via` of clients goes out with their requests.
    pub keeps_via: bool,
}

/// What happens to destinations that nobody names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are refused.
    Refused,
    /// They pass, and it is noted that they would be refused.
    Noted,
    /// They pass.
    Allowed,
}

/// A destination that may be reached.
#[derive(Debug, Clone)]
pub enum Way {
    /// As a document says.
    Named(Arc<AllowedHost>, usize),
    /// Though nobody names it; what it would be refused for.
    Unnamed(Option<EgressFault>),
}

impl WaysOut {
    /// The table of these hosts; several of one name become one.
    pub fn new(
        hosts: Vec<(AllowedHost, Vec<Network>)>,
        (others, template): (Others, Arc<Definition>),
        networks: Box<[Network]>,
        tunnels: TunnelTerms,
        keeps_via: bool,
    ) -> Self {
        let (mut exact, mut wildcards, mut named) = (HashMap::new(), HashMap::new(), Vec::new());
        for (host, addresses) in hosts {
            let host = Arc::new(host);
            named.extend(addresses.into_iter().map(|it| (it, Arc::clone(&host))));
            match host.name.strip_prefix("*.") {
                Some(suffix) => wildcards.entry(suffix.into()).or_insert(host),
                None => exact.entry(host.name.as_ref().into()).or_insert(host),
            };
        }
        Self {
            exact,
            wildcards,
            addresses: named.into_iter().collect(),
            template,
            others,
            networks,
            tunnels,
            keeps_via,
        }
    }

    /// Every host, for people.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<AllowedHost>> {
        self.exact.values().chain(self.wildcards.values())
    }

    /// The document that allows a destination, whatever its port.
    pub fn find(&self, host: &Host) -> Option<&Arc<AllowedHost>> {
        match host {
            Host::Name(name) => {
                self.exact.get(name).or_else(|| text::above(name).find_map(|it| self.wildcards.get(it)))
            }
            Host::Address(address) => {
                // An address is known as it is spelled.
                if is_mapped(*address) { None } else { self.addresses.find(*address) }
            }
        }
    }

    /// Whether a destination may be reached, before anything is looked up.
    pub fn decide(&self, target: &Target, usage: Use) -> Result<Way, EgressFault> {
        let Some(host) = self.find(&target.host) else {
            return self.unnamed(EgressFault::Host);
        };
        let Some(index) = host.ports.iter().position(|it| it.number == target.port) else {
            return self.unnamed(EgressFault::Port);
        };
        let carries = host.ports.get(index).map(|it| it.carries);
        match (usage, carries) {
            (Use::Requests, Some(Carries::Http)) | (Use::Tunnel, Some(Carries::Tls | Carries::Anything)) => {
                Ok(Way::Named(Arc::clone(host), index))
            }
            (Use::Requests | Use::Tunnel, _) if self.others == Others::Allowed => Err(EgressFault::Protocol),
            (Use::Requests | Use::Tunnel, _) => self.unnamed(EgressFault::Protocol),
        }
    }

    fn unnamed(&self, fault: EgressFault) -> Result<Way, EgressFault> {
        match self.others {
            Others::Refused => Err(fault),
            Others::Noted => Ok(Way::Unnamed(Some(fault))),
            Others::Allowed => Ok(Way::Unnamed(None)),
        }
    }

    /// Whether an address may be dialled for a destination.
    pub fn admits(&self, way: &Way, address: IpAddr, is_own: impl FnOnce(IpAddr) -> bool) -> bool {
        let named: &[Network] = match way {
            Way::Named(host, _) => &host.networks,
            Way::Unnamed(_) => &[],
        };
        guard::admits(address, named.iter().chain(&self.networks), is_own)
    }
}

impl Way {
    /// The port that the document allows.
    pub fn port(&self) -> Option<&AllowedPort> {
        match self {
            Self::Named(host, index) => host.ports.get(*index),
            Self::Unnamed(_) => None,
        }
    }

    /// Whether TLS is spoken there, on a port of this number.
    pub fn carries_tls(&self, port: u16) -> bool {
        match self {
            Self::Named(..) => self.port().is_some_and(|it| it.carries == Carries::Tls),
            // Nobody says what the port carries; the usual port of TLS does.
            Self::Unnamed(None) => port == Scheme::Https.default_port(),
            Self::Unnamed(Some(_)) => false,
        }
    }

    /// Who allows it, for logs and metrics.
    pub fn host(&self) -> Option<&AllowedHost> {
        match self {
            Self::Named(host, _) => Some(host),
            Self::Unnamed(_) => None,
        }
    }
}
