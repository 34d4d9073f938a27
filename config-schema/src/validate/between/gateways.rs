//! Gateways and the VirtualServices bound to them: names that exist, hosts that meet.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Scene;
use crate::document::Resource;
use crate::istio::gateway::{Gateway, Server, ServerTls};
use crate::istio::virtual_service::VirtualService;
use crate::problem::{Problems, Severity, code};
use crate::value::host;

type Name<'a> = (&'a str, &'a str);

pub(super) fn check(scene: &Scene<'_>, problems: &mut Problems) {
    let gateways: HashMap<Name<'_>, &Resource<Gateway>> = scene
        .documents
        .gateways
        .iter()
        .map(|it| ((it.metadata.namespace.as_str(), it.metadata.name.as_str()), it))
        .collect();
    let mut bound: HashSet<Name<'_>> = HashSet::new();
    for service in &scene.documents.virtual_services {
        for (index, text) in service.spec.gateways.iter().enumerate().filter(|(_, it)| *it != "mesh") {
            let name = host::split_namespace(text, &service.metadata.namespace);
            let field = format!("spec.gateways[{index}]");
            let Some(gateway) = gateways.get(&name) else {
                let message = format!("gateway `{}/{}` does not exist", name.0, name.1);
                problems.push(service.problem(code::REFERENCE_NOT_FOUND, Severity::Error, field, message));
                let message = format!("no host is served by gateway `{}/{}`, which does not exist", name.0, name.1);
                problems.push(service.problem(code::HOST_NOT_IN_GATEWAY, Severity::Warning, "spec.hosts", message));
                continue;
            };
            bound.insert((gateway.metadata.namespace.as_str(), gateway.metadata.name.as_str()));
            served_hosts(service, gateway, problems);
        }
    }
    for gateway in &scene.documents.gateways {
        selector(scene, gateway, problems);
        let name = (gateway.metadata.namespace.as_str(), gateway.metadata.name.as_str());
        let redirects = |it: &Server| it.tls.as_ref().is_some_and(|it| it.https_redirect);
        if !bound.contains(&name) && !gateway.spec.servers.iter().all(redirects) {
            let message = "no VirtualService uses this gateway, so every request is answered with 404";
            problems.push(gateway.problem(code::HOST_NEVER_SERVED, Severity::Warning, "spec.servers", message));
        }
    }
    credentials(scene, problems);
    conflicts(scene, problems);
    certificates(scene, problems);
    shared_hosts(scene, problems);
}

/// The part of a server's host that names, if VirtualServices of the namespace may use it.
fn admitted<'a>(server_host: &'a str, gateway_namespace: &str, namespace: &str) -> Option<&'a str> {
    match server_host.split_once('/') {
        None => Some(server_host),
        Some(("*", name)) => Some(name),
        Some((".", name)) => (gateway_namespace == namespace).then_some(name),
        Some((only, name)) => (only == namespace).then_some(name),
    }
}

/// Hosts of a VirtualService that its gateway does not serve: none of them, or only some.
fn served_hosts(service: &Resource<VirtualService>, gateway: &Resource<Gateway>, problems: &mut Problems) {
    let names: Vec<String> = gateway
        .spec
        .servers
        .iter()
        .flat_map(|it| &it.hosts)
        .filter_map(|it| admitted(it, &gateway.metadata.namespace, &service.metadata.namespace))
        .map(str::to_ascii_lowercase)
        .collect();
    let is_served = |name: &str| names.iter().any(|it| host::intersect(it, &name.to_ascii_lowercase()).is_some());
    let any = service.spec.hosts.iter().any(|it| is_served(it));
    let code = if any { code::HOST_PARTLY_SERVED } else { code::HOST_NOT_IN_GATEWAY };
    for (index, name) in service.spec.hosts.iter().enumerate().filter(|it| !is_served(it.1)) {
        let message = format!("host `{name}` is not served by gateway `{}`", gateway.metadata.name);
        let problem = service.problem(code, Severity::Warning, format!("spec.hosts[{index}]"), message).help(format!(
            "the gateway serves {}",
            if names.is_empty() { "nothing here".to_owned() } else { names.join(", ") }
        ));
        problems.push(problem);
    }
}

fn selector(scene: &Scene<'_>, gateway: &Resource<Gateway>, problems: &mut Problems) {
    let labels = &scene.settings.node.labels;
    let missing = gateway.spec.selector.iter().find(|(key, value)| labels.get(*key) != Some(value));
    if let Some((key, value)) = missing {
        let message = format!(
            "the selector `{key}: {value}` does not match this gateway's labels, so the document is not for us"
        );
        let problem = gateway
            .problem(code::REFERENCE_NOT_FOUND, Severity::Warning, "spec.selector", message)
            .help("set node.labels in GatewaySettings, or change the selector");
        problems.push(problem);
    }
}

/// The credentials of a server, each with its field.
fn credential_names(tls: &ServerTls) -> impl Iterator<Item = (String, &str)> {
    let one = Some(&tls.credential_name).filter(|it| !it.is_empty());
    let several = tls.credential_names.iter().enumerate();
    let one = one.map(|it| ("credentialName".to_owned(), it.as_str()));
    one.into_iter().chain(several.map(|(index, it)| (format!("credentialNames[{index}]"), it.as_str())))
}

/// Credentials that no Secret document holds, when secrets come as documents at all.
fn credentials(scene: &Scene<'_>, problems: &mut Problems) {
    if scene.settings.secrets.is_some() {
        return;
    }
    let known: HashSet<&str> = scene.documents.secrets.iter().map(|it| it.metadata.name.as_str()).collect();
    for gateway in &scene.documents.gateways {
        for (index, server) in gateway.spec.servers.iter().enumerate() {
            for (field, name) in server.tls.iter().flat_map(credential_names) {
                if known.contains(name.rsplit('/').next().unwrap_or_default()) {
                    continue;
                }
                let message = format!("the credential `{name}` is in no Secret, so this server cannot terminate TLS");
                let field = format!("spec.servers[{index}].tls.{field}");
                let problem = gateway
                    .problem(code::REFERENCE_NOT_FOUND, Severity::Warning, field, message)
                    .help("add the Secret as a document, or set secrets.directory in GatewaySettings");
                problems.push(problem);
            }
        }
    }
}

/// A host of a port, for the workloads of a selector.
type Claim<'a> = (&'a BTreeMap<String, String>, u32, &'a str, String);

fn claim<'a>(gateway: &'a Resource<Gateway>, server: &'a Server, host: &str) -> Option<Claim<'a>> {
    let port = server.port.as_ref()?.number;
    Some((&gateway.spec.selector, port, server.bind.as_str(), host.to_ascii_lowercase()))
}

/// Gateways with one selector that claim one host of one port; each of them is told.
fn conflicts(scene: &Scene<'_>, problems: &mut Problems) {
    let mut claims: BTreeMap<Claim<'_>, Vec<&Resource<Gateway>>> = BTreeMap::new();
    let servers =
        scene.documents.gateways.iter().flat_map(|it| it.spec.servers.iter().enumerate().map(move |s| (it, s)));
    for (gateway, (_, server)) in servers.clone() {
        for key in server.hosts.iter().filter_map(|it| claim(gateway, server, it)) {
            claims.entry(key).or_default().push(gateway);
        }
    }
    for (gateway, (index, server)) in servers {
        let users = server.hosts.iter().filter_map(|it| claims.get(&claim(gateway, server, it)?)).flatten();
        let Some(other) = users.into_iter().find(|it| !std::ptr::eq(**it, gateway)) else { continue };
        let port = server.port.as_ref().map_or(0, |it| it.number);
        let name = format!("{}/{}", other.metadata.namespace, other.metadata.name);
        let message = format!("gateway {name} has the same selector and claims the same host of port {port}");
        // The order of age decides which of them serves, so nothing is undefined here.
        let field = format!("spec.servers[{index}].hosts");
        problems.push(gateway.problem(code::CONFLICTING_GATEWAYS, Severity::Warning, field, message));
    }
}

/// One certificate in several gateways of one selector: a client may reuse its connection for the other's hosts.
fn certificates(scene: &Scene<'_>, problems: &mut Problems) {
    type Use<'a> = (&'a BTreeMap<String, String>, &'a str);
    let mut users: BTreeMap<Use<'_>, Vec<&Resource<Gateway>>> = BTreeMap::new();
    for gateway in &scene.documents.gateways {
        let names: HashSet<&str> =
            gateway.spec.servers.iter().filter_map(|it| it.tls.as_ref()).flat_map(certificate_names).collect();
        for name in names {
            users.entry((&gateway.spec.selector, name)).or_default().push(gateway);
        }
    }
    for ((_, name), gateways) in users.iter().filter(|(_, it)| it.len() > 1) {
        for gateway in gateways {
            let message = format!(
                "the certificate `{name}` is used by several gateways; clients that reuse a connection may get 404"
            );
            problems.push(gateway.problem(code::DUPLICATE_CERTIFICATE, Severity::Warning, "spec.servers", message));
        }
    }
}

/// What a server shows: its credentials, or the files of its certificates.
fn certificate_names(tls: &ServerTls) -> impl Iterator<Item = &str> {
    let files = tls.tls_certificates.iter().map(|it| it.server_certificate.as_str());
    let file = Some(tls.server_certificate.as_str());
    credential_names(tls).map(|(_, name)| name).chain(file).chain(files).filter(|it| !it.is_empty())
}

/// VirtualServices that share a host of a gateway: their order decides.
fn shared_hosts(scene: &Scene<'_>, problems: &mut Problems) {
    let mut first: HashMap<(Name<'_>, String), &Resource<VirtualService>> = HashMap::new();
    let mut services: Vec<&Resource<VirtualService>> = scene.documents.virtual_services.iter().collect();
    services.sort_by(|a, b| a.age_order().cmp(&b.age_order()));
    for service in services {
        for gateway in service.spec.gateways.iter().filter(|it| *it != "mesh") {
            let gateway = host::split_namespace(gateway, &service.metadata.namespace);
            for (index, name) in service.spec.hosts.iter().enumerate() {
                let key = (gateway, name.to_ascii_lowercase());
                let Some(earlier) = first.get(&key) else {
                    first.insert(key, service);
                    continue;
                };
                if std::ptr::eq(*earlier, service) {
                    continue;
                }
                let message = format!(
                    "host `{name}` is also in VirtualService {}/{}, whose rules come first",
                    earlier.metadata.namespace, earlier.metadata.name
                );
                let field = format!("spec.hosts[{index}]");
                problems.push(service.problem(code::SHARED_HOST, Severity::Info, field, message));
            }
        }
    }
}
