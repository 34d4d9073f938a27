//! Which settings only a start can change, and whether a reload asks for a change of them.

use std::net::SocketAddr;

use config_schema::native::settings::GatewaySettings;
use config_schema::problem::code;
use config_schema::{Problem, Problems, Severity};

/// Settings that take effect at the start alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// Servers that names are looked up at; empty for the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Worker threads asked for; 0 is one per core.
    pub workers: u32,
    /// Address of the operator's port.
    pub admin: SocketAddr,
    /// Address of the health checks' port.
    pub health: SocketAddr,
}

impl Fixed {
    /// What these settings fix.
    pub(super) fn of(settings: &GatewaySettings) -> Self {
        let address = |text: &str| text.parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            dns_servers: settings.dns.servers.iter().filter_map(|it| it.parse().ok()).collect(),
            workers: settings.workers,
            admin: address(&settings.admin.address),
            health: address(&settings.health.address),
        }
    }

    /// Warns of each setting that was changed and has to wait.
    pub(super) fn compare(&self, asked: &Self, problems: &mut Problems) {
        for (changed, field) in [
            (self.dns_servers != asked.dns_servers, "spec.dns.servers"),
            (self.workers != asked.workers, "spec.workers"),
            (self.admin != asked.admin, "spec.admin.address"),
            (self.health != asked.health, "spec.health.address"),
        ] {
            if changed {
                let message = format!("{field} of GatewaySettings takes effect at the next start");
                problems.push(Problem::new(code::SCHEMA_WARNING, Severity::Warning, message).field(field));
            }
        }
    }
}
