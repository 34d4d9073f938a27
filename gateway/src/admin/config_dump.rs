//! Shows the running configuration and the last reload as JSON; secrets are not in either.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::reload::Report;
use crate::routing::route::{Action, Route, Target};
use crate::routing::tcp::TcpRoute;
use crate::routing::virtual_host::VirtualHost;
use crate::snapshot::{Listener, Service, Snapshot};
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
            let mut hosts: Vec<_> = hosts.iter().collect();
            hosts.sort_by(|a, b| a.0.cmp(&b.0));
            let hosts: Vec<_> = hosts.into_iter().map(|(name, it)| virtual_host(&name, it)).collect();
            json!({ "bind": bind, "port": port, "virtualHosts": hosts })
        }
        Service::Tcp(route) => json!({ "bind": bind, "port": port, "tcp": route.as_deref().map(tcp_route) }),
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
