//! Tells what a TLS port does with a connection: the server, its certificate, what it asks of clients.

use super::teller::Teller;
use crate::listener::connection::Secured;
use crate::listener::tls::server::{State, TlsServer};
use crate::listener::tls::terms::{ClientTerms, Clients, Terms, Versions};
use crate::routing::host_table::HostTable;
use crate::snapshot::tls_table::{Chain, Misdirected, TlsTable};

impl Teller<'_> {
    /// The virtual hosts that a request may go to, if the connection gets that far.
    pub(super) fn tls<'t>(&mut self, table: &'t TlsTable, host: &str) -> Option<&'t HostTable> {
        let asked = self.asked();
        if !asked.is_secure() {
            self.step("tls", "plain text on a port of TLS: the connection is closed");
            return None;
        }
        let name = asked.sni.clone().unwrap_or_else(|| host.to_owned()).to_ascii_lowercase();
        let Some(chain) = table.find(&name) else {
            self.step("tls", format!("no server answers to `{name}`: closed with the alert unrecognized_name"));
            return None;
        };
        let server = match chain.as_ref() {
            Chain::PassThrough(route) => {
                self.step("tls", format!("`{name}` is passed on as it is"));
                self.tcp(asked.port, Some(route));
                return None;
            }
            Chain::Tcp { server, route } => {
                self.server(&name, server);
                self.tcp(asked.port, route.as_deref());
                return None;
            }
            Chain::Http { server, hosts: _ } => server,
        };
        if !self.server(&name, server) {
            return None;
        }
        let secured = Secured { server_name: name.into(), verification: server.verification(), client: None };
        match table.hosts(&secured, host) {
            Ok(hosts) => Some(hosts),
            Err(Misdirected) => {
                let answer = format!("`{host}` belongs to a server with another certificate or other clients: 421");
                self.step("misdirected", answer);
                None
            }
        }
    }

    /// What a server shows and asks; false when it can do neither.
    fn server(&mut self, name: &str, server: &TlsServer) -> bool {
        let Terms { versions, suites: _, groups: _, clients } = &server.definition().terms;
        let spoken = match versions {
            Versions::Both => "TLS 1.2 and 1.3",
            Versions::Only12 => "TLS 1.2",
            Versions::Only13 => "TLS 1.3",
            Versions::Neither => "no version of TLS",
        };
        self.step("tls", format!("a server answers to `{name}`, {spoken}"));
        match server.state().as_ref() {
            State::Ready(ready) => {
                for it in &ready.certificates {
                    let days = it.days_left(std::time::SystemTime::now());
                    self.step("certificate", format!("{} (serial {}), {days} days left", it.name, it.serial));
                }
            }
            State::Unavailable(message) => {
                self.step("certificate", format!("{message}: closed with the alert internal_error"));
                return false;
            }
        }
        self.step("client", describe(clients));
        true
    }
}

fn describe(clients: &Clients) -> String {
    let Clients::Certified(terms) = clients else { return "no certificate is asked for".to_owned() };
    let ClientTerms { required, admits_untrusted, names, hashes, key_hashes } = terms;
    let mut out = if *required { "a certificate is needed" } else { "a certificate may be shown" }.to_owned();
    if *admits_untrusted {
        out.push_str(", whoever signed it");
    }
    if !names.is_empty() {
        out.push_str(&format!(", for {}", names.join(" or ")));
    }
    if !hashes.is_empty() || !key_hashes.is_empty() {
        out.push_str(&format!(", one of {} known by digest", hashes.len() + key_hashes.len()));
    }
    out
}
