//! Tells whether a forward proxy lets a destination be reached, and which document says so; no name is looked up.

use super::access;
use super::teller::Teller;
use crate::egress::target::{Host, Target};
use crate::filter::authorization::Verdict;
use crate::listener::set::ListenerKey;
use crate::listener::tls::authority::{Interception, Signer};
use crate::local_reply::egress_fault::EgressFault;
use crate::routing::way_out::{Carries, InTunnel, Use, Way};
use crate::snapshot::{Proxy, Service, Snapshot};

/// The forward proxy of a snapshot, if it has one.
pub(super) fn proxy(snapshot: &Snapshot) -> Option<(ListenerKey, &Proxy)> {
    snapshot.listeners.iter().find_map(|it| match &it.service {
        Service::Proxy(proxy) => Some((it.wanted.key, proxy)),
        Service::Http(_) | Service::Tcp(_) | Service::Tls(_) => None,
    })
}

impl Teller<'_> {
    /// Tells what becomes of a request to a forward proxy.
    pub(super) fn leave(&mut self, snapshot: &Snapshot) {
        let Some((key, proxy)) = proxy(snapshot) else {
            return self.step(
                "listener",
                "there is no forward proxy: no Sidecar listener of protocol HTTP_PROXY or HTTPS_PROXY",
            );
        };
        self.step("listener", format!("port {}, forward proxy", key.port));
        let asked = self.asked();
        let is_connect = asked.method == "CONNECT";
        let usual = (!is_connect).then_some(80);
        let Ok(target) = Target::parse(&asked.authority, usual) else {
            return self.refused(EgressFault::NoTarget, "the destination");
        };
        self.step("destination", target.to_string());
        if !self.may_leave(snapshot, key.port) {
            return;
        }
        let usage = if is_connect { Use::Tunnel } else { Use::Requests };
        let ways = &proxy.ways;
        if let Some(host) = ways.find(&target.host) {
            let ports: Vec<String> = host.ports.iter().map(|it| it.number.to_string()).collect();
            let told = format!("{} is declared, ports {}", host.name, ports.join(", "));
            self.step_at("registry", told, (&host.origin, "spec.hosts"));
        }
        match ways.decide(&target, usage) {
            Err(fault) => self.refused(fault, &target.to_string()),
            Ok(way) => self.admitted(proxy, &target, &way, is_connect),
        }
    }

    /// Whether the access policies let the client ask.
    fn may_leave(&mut self, snapshot: &Snapshot, port: u16) -> bool {
        let policy = &snapshot.authorization;
        if policy.is_empty() {
            return true;
        }
        let (asked, known) = (self.asked(), self.known.clone());
        let host = asked.authority.to_ascii_lowercase();
        let target = if asked.target.is_empty() { "/" } else { asked.target.as_str() };
        let mut subject = access::subject(asked, (target, &host), None, &known);
        subject.port = port;
        self.told(policy.tell(&subject));
        match policy.judge(&subject) {
            Verdict::Allowed => {
                self.step("access", "allowed");
                true
            }
            Verdict::Denied(rule) => {
                let why = rule.map_or("no ALLOW rule matches".to_owned(), |it| format!("by {it}"));
                self.step("access", format!("denied, {why}: 403 RBAC: access denied"));
                false
            }
        }
    }

    fn admitted(&mut self, proxy: &Proxy, target: &Target, way: &Way, is_connect: bool) {
        let ways = &proxy.ways;
        match way {
            Way::Named(..) => {}
            Way::Unnamed(None) => self.step("registry", "nobody declares it; outboundTrafficPolicy lets it pass"),
            Way::Unnamed(Some(fault)) => {
                self.step("registry", format!("an EgressPolicy lets it pass that would be {}", fault.name()));
            }
        }
        match (way.port().and_then(|it| it.endpoints.as_ref()), &target.host) {
            (Some(endpoints), _) => {
                for it in endpoints {
                    self.step("address", format!("{it}, named by the document"));
                }
            }
            (None, Host::Address(address)) if ways.admits(way, *address, |_| false) => {
                self.step("address", format!("{address} may be dialled"));
            }
            (None, Host::Address(address)) => return self.refused(EgressFault::Address, &address.to_string()),
            (None, Host::Name(name)) => {
                self.step(
                    "address",
                    format!("{name} is looked up once; public addresses are dialled, and those that documents name"),
                );
            }
        }
        let checks = match ways.tunnels.says {
            InTunnel::Require => true,
            InTunnel::Verify => way.port().is_none_or(|it| it.carries == Carries::Tls),
            InTunnel::Off => false,
        };
        if is_connect && checks {
            self.step("tunnel", format!("begins with a TLS handshake that names {}", target.host));
        }
        let carries_tls = way.carries_tls(target.port);
        if let Host::Name(name) = &target.host
            && let Some(found) = proxy.interceptions.find(name).filter(|_| is_connect && carries_tls)
            && !self.ends_tls(found, target)
        {
            return;
        }
        self.step("decision", "allowed");
    }

    /// Tells that a tunnel's TLS ends here; whether it can.
    fn ends_tls(&mut self, interception: &Interception, target: &Target) -> bool {
        let place = (interception.policy.as_ref(), "spec.interception");
        match &interception.signer {
            Signer::Ready(_) => {
                let told = "TLS ends here: each request must be for the same host, and is judged by itself";
                self.step_at("interception", told.to_owned(), place);
                true
            }
            Signer::Unavailable(message) => {
                self.step_at("interception", format!("there is no certificate to show: {message}"), place);
                self.refused(EgressFault::NoAuthority, &target.to_string());
                false
            }
        }
    }

    fn refused(&mut self, fault: EgressFault, what: &str) {
        self.step("decision", format!("{} {}[{what}]", fault.status(), fault.name()));
    }
}
