//! Lowers the servers of a TLS port: which names each answers to, and what happens to its connections.
//!
//! A name belongs to the first server that claims it. Servers that end TLS claim their
//! hosts; those that pass it on claim the names of the `tls` rules bound to them, and a rule
//! that wants a claimed name is left out as a whole, as in Istio.

use std::collections::BTreeMap;
use std::sync::Arc;

use config_schema::Problem;
use config_schema::istio::gateway::{ServerTls, TlsMode};
use config_schema::istio::virtual_service::TlsMatch;
use config_schema::value::host;

use super::clusters::Clusters;
use super::site::{self, HostDrafts, Site};
use super::tcp;
use super::tls_servers::TlsServers;
use crate::snapshot::tls_table::{Chain, TlsTable};

/// A TLS port in the making.
#[derive(Default)]
pub(super) struct TlsDraft {
    chains: BTreeMap<String, Arc<Chain>>,
}

impl TlsDraft {
    /// Adds a server.
    pub(super) fn add(
        &mut self,
        site: &Site<'_>,
        protocol: &str,
        clusters: &mut Clusters<'_>,
        servers: &mut TlsServers<'_>,
    ) -> Result<(), Box<Problem>> {
        let unset = ServerTls::default();
        let tls = site.server.tls.as_ref().unwrap_or(&unset);
        match tls.mode.unwrap_or(TlsMode::Passthrough) {
            TlsMode::Passthrough => self.pass_through(site, clusters),
            // Reported by the check of certificates; the port serves its other servers.
            TlsMode::AutoPassthrough => Ok(()),
            TlsMode::Simple | TlsMode::Mutual | TlsMode::OptionalMutual | TlsMode::IstioMutual => {
                let free: Vec<String> = site.hosts().into_iter().filter(|it| !self.chains.contains_key(it)).collect();
                if free.is_empty() {
                    return Ok(());
                }
                let server = servers.take(tls);
                let chain = if protocol == "TLS" {
                    Chain::Tcp { server, route: site.tcp_route(clusters)? }
                } else {
                    let mut drafts = HostDrafts::new();
                    site.add_routes(&mut drafts, clusters)?;
                    Chain::Http { server, hosts: site::table(drafts, site.key.port)? }
                };
                let chain = Arc::new(chain);
                self.chains.extend(free.into_iter().map(|name| (name, Arc::clone(&chain))));
                Ok(())
            }
        }
    }

    fn pass_through(&mut self, site: &Site<'_>, clusters: &mut Clusters<'_>) -> Result<(), Box<Problem>> {
        let place = site.place();
        for (service, _) in site.services() {
            let namespace = &service.metadata.namespace;
            let fits = |it: &TlsMatch| {
                let port = it.port == 0 || it.port == u32::from(place.port);
                let named = |name: &String| host::split_namespace(name, namespace) == place.gateway;
                port && (it.gateways.is_empty() || it.gateways.iter().any(named))
            };
            for rule in &service.spec.tls {
                let Some(route) = tcp::route(service, &rule.route, place, clusters)? else { continue };
                for entry in rule.matches.iter().filter(|it| fits(it)) {
                    let names: Vec<String> = entry.sni_hosts.iter().map(|it| it.to_ascii_lowercase()).collect();
                    if names.iter().any(|it| self.chains.contains_key(it)) {
                        log::warn!("{}: an SNI match is left out, its names are taken on this port", route.origin);
                        continue;
                    }
                    let chain = Arc::new(Chain::PassThrough(Arc::clone(&route)));
                    self.chains.extend(names.into_iter().map(|name| (name, Arc::clone(&chain))));
                }
            }
        }
        Ok(())
    }

    /// The finished table.
    pub(super) fn finish(self) -> TlsTable {
        TlsTable::new(self.chains)
    }
}
