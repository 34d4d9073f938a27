//! Finds the authorities that sign for hosts whose TLS ends inside of tunnels.
//!
//! One that cannot be read is no reason to refuse a configuration, since it concerns its hosts
//! only: their tunnels are refused, and nothing passes unread that should have been read.

use std::sync::Arc;

use config_schema::native::egress_policy::{EgressPolicy, Interception as Written};
use config_schema::{Config, Resource};

use super::{origins, secrets};
use crate::listener::tls::authority::{Authority, Interception, Signer};
use crate::routing::host_table::HostTable;
use crate::snapshot::{Service, Snapshot};

/// The hosts of a listener whose TLS ends here; of several policies for a name the first says.
pub(super) fn lower(
    config: &Config,
    policies: &[&Resource<EgressPolicy>],
    before: Option<&Snapshot>,
) -> HostTable<Interception> {
    let mut hosts = Vec::new();
    // What comes later replaces what is there.
    for policy in policies.iter().rev() {
        let Some(written) = &policy.spec.interception else { continue };
        let signer = match authority(config, written, before) {
            Ok(it) => Signer::Ready(it),
            Err(message) => Signer::Unavailable(message.into()),
        };
        let interception = Arc::new(Interception { policy: origins::of(policy, config), signer });
        hosts.extend(written.hosts.iter().map(|it| (it.to_ascii_lowercase(), Arc::clone(&interception))));
    }
    HostTable::new(hosts)
}

/// The authority that a policy names, or one that runs if it is the same.
pub(super) fn authority(
    config: &Config,
    written: &Written,
    before: Option<&Snapshot>,
) -> Result<Arc<Authority>, String> {
    let name = &written.credential_name;
    let credential = secrets::find(name, config);
    let running = before.into_iter().flat_map(|it| &it.listeners).flat_map(|it| match &it.service {
        Service::Proxy(proxy) => Some(&proxy.interceptions),
        Service::Http(_) | Service::Tcp(_) | Service::Tls(_) => None,
    });
    let running: Vec<Arc<Authority>> = running
        .flat_map(HostTable::iter)
        .filter_map(|(_, it)| match &it.signer {
            Signer::Ready(it) => Some(Arc::clone(it)),
            Signer::Unavailable(_) => None,
        })
        .collect();
    Authority::read((&credential.chain, &credential.key), running.iter()).map_err(|it| format!("{name}: {it}"))
}
