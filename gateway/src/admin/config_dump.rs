//! Shows the running configuration and the last reload as JSON; secrets are not in either.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::listener::tls::config::Shown;
use crate::listener::tls::server::{State, TlsServer};
use crate::reload::Report;
use crate::routing::host_table::HostTable;
use crate::routing::route::{Action, Route, Target};
use crate::routing::tcp::TcpRoute;
use crate::routing::virtual_host::VirtualHost;
use crate::routing::way_out::{AllowedHost, Others};
use crate::snapshot::tls_table::Chain;
use crate::snapshot::{Listener, Proxy, Service, Snapshot};
use crate::upstream::cluster::Cluster;

/// The running configuration with the report of the last reload.
pub(super) fn render(snapshot: &Snapshot, last: &Report) -> Value {
    let mut clusters: Vec<_> = snapshot.clusters.values().collect();
    clusters.sort_by(|a, b| a.name().cmp(b.name()));
    json!({
        "generation": snapshot.generation,
        "compiled": seconds(snapshot.compiled),
        "lastReload": report(last),
        "listeners": snapshot.listeners.iter().map(|it| listener(it)).collect::<Vec<_>>(),
        "clusters": clusters.into_iter().map(|it| cluster(it)).collect::<Vec<_>>(),
    })
}

/// What a reload did.
pub(super) fn report(report: &Report) -> Value {
    let Report { success, generation, time, problems } = report;
    json!({
        "success": success,
        "generation": generation,
        "time": seconds(*time),
        "summary": problems.summary(),
        "problems": problems.render_json().get("problems").cloned().unwrap_or_default(),
    })
}

fn seconds(time: std::time::SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn listener(listener: &Listener) -> Value {
    let (bind, port) = (listener.wanted.key.bind.to_string(), listener.wanted.key.port);
    match &listener.service {
        Service::Http(hosts) => {
            json!({ "bind": bind, "port": port, "virtualHosts": virtual_hosts(hosts) })
        }
        Service::Proxy(Proxy { ways, server: _, interceptions: _ }) => {
            let mut hosts: Vec<_> = ways.hosts().collect();
            hosts.sort_by(|a, b| a.name.cmp(&b.name));
            let ports = |it: &AllowedHost| it.ports.iter().map(|it| it.number).collect::<Vec<_>>();
            let hosts: Vec<_> = hosts.into_iter().map(|it| json!({ "host": &*it.name, "ports": ports(it) })).collect();
            json!({ "bind": bind, "port": port, "proxy": { "hosts": hosts, "anyHost": ways.others != Others::Refused } })
        }
        Service::Tcp(route) => json!({ "bind": bind, "port": port, "tcp": route.as_deref().map(tcp_route) }),
        Service::Tls(table) => {
            let mut chains: Vec<_> = table.iter().collect();
            chains.sort_by(|a, b| a.0.cmp(&b.0));
            let servers: Vec<_> = chains.into_iter().map(|(name, it)| chain(&name, it)).collect();
            json!({ "bind": bind, "port": port, "tls": servers })
        }
    }
}

fn virtual_hosts(hosts: &HostTable) -> Vec<Value> {
    let mut hosts: Vec<_> = hosts.iter().collect();
    hosts.sort_by(|a, b| a.0.cmp(&b.0));
    hosts.into_iter().map(|(name, it)| virtual_host(&name, it)).collect()
}

fn chain(name: &str, chain: &Chain) -> Value {
    match chain {
        Chain::PassThrough(route) => json!({ "serverName": name, "passThrough": tcp_route(route) }),
        Chain::Http { server, hosts } => {
            json!({ "serverName": name, "certificates": certificates(server), "virtualHosts": virtual_hosts(hosts) })
        }
        Chain::Tcp { server, route } => {
            let route = route.as_deref().map(tcp_route);
            json!({ "serverName": name, "certificates": certificates(server), "tcp": route })
        }
    }
}

/// What a server shows; never a key.
fn certificates(server: &TlsServer) -> Value {
    match server.state().as_ref() {
        State::Ready(ready) => {
            let shown = |it: &Shown| {
                let Shown { name, serial, not_before, not_after } = it;
                json!({ "name": name.as_ref(), "serial": serial.as_ref(), "notBefore": not_before, "notAfter": not_after })
            };
            ready.certificates.iter().map(shown).collect()
        }
        State::Unavailable(message) => json!({ "unavailable": message }),
    }
}

fn tcp_route(route: &TcpRoute) -> Value {
    let destination = |(weight, target): &(u32, Target)| json!({ "cluster": target.name(), "weight": weight });
    json!({
        "from": route.origin.as_ref(),
        "forward": route.destinations.iter().map(destination).collect::<Vec<_>>(),
    })
}

fn virtual_host(name: &str, host: &VirtualHost) -> Value {
    json!({
        "host": name,
        "httpsRedirect": host.https_redirect,
        "routes": host.routes().iter().map(|it| route(it)).collect::<Vec<_>>(),
    })
}

fn route(route: &Route) -> Value {
    let action = match &route.action {
        Action::Forward(forward) => {
            let share = |weight| format!("{weight}/{}", forward.total_weight);
            let destinations: Vec<Value> = forward
                .destinations
                .iter()
                .map(|it| json!({ "cluster": it.target.name(), "share": share(it.weight) }))
                .collect();
            json!({ "forward": destinations })
        }
        Action::Redirect(redirect) => json!({ "redirect": redirect.status.as_u16() }),
        Action::Respond(status, body) => json!({ "respond": status.as_u16(), "bytes": body.len() }),
    };
    json!({
        "name": route.name.as_ref(),
        "from": format!("{} http[{}]", route.origin.service.name, route.origin.rule),
        "path": route.path.describe(),
        "conditions": route.conditions.iter().map(|it| it.describe()).collect::<Vec<_>>(),
        "action": action,
    })
}

fn cluster(cluster: &Cluster) -> Value {
    let endpoints: Vec<Value> = cluster
        .endpoints()
        .iter()
        .map(|it| {
            json!({
                "address": it.address.to_string(),
                "weight": it.weight,
                "priority": it.place.priority,
                "active": it.active(),
                "ejected": it.record.is_ejected(),
                "failing": it.is_failing(),
            })
        })
        .collect();
    let load = cluster.load();
    json!({
        "name": cluster.name(),
        "requests": load.requests(),
        "overflows": load.overflows(),
        "priorityLoads": cluster.loads(),
        "endpoints": endpoints,
    })
}
