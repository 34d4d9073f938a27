//! Says what is wrong with a document whose kind is not read, if anything is.

use super::kinds::{KINDS, Kind, NETWORKING, SECURITY};
use crate::gateway_api;
use crate::problem::{Problem, Severity, code};
use crate::suggest;

/// Groups in which an unknown kind is a mistake, not somebody else's.
const CLAIMED_GROUPS: [&str; 5] = [NETWORKING, SECURITY, "telemetry.istio.io", gateway_api::GROUP, "sluice.dev"];

/// Istio's kinds that configure sidecars or the cluster, which a gateway skips.
const MESH_KINDS: [&str; 4] = ["WorkloadGroup", "ProxyConfig", "WasmPlugin", "TrafficExtension"];

/// Group of the experiments of the Gateway API.
const EXPERIMENTS: &str = "gateway.networking.x-k8s.io";

/// Kinds of the Gateway API that are not read (yet), and what does instead.
const OTHER_KINDS: [(&str, &str); 9] = [
    ("GatewayClass", "every class is taken to mean this gateway"),
    ("GRPCRoute", "use a VirtualService, or an HTTPRoute with the paths of the methods"),
    ("TLSRoute", "use `tls` rules of a VirtualService"),
    ("TCPRoute", "use `tcp` rules of a VirtualService"),
    ("UDPRoute", "UDP is not carried"),
    ("ListenerSet", "write its listeners into the Gateway"),
    ("XListenerSet", "write its listeners into the Gateway"),
    ("BackendTLSPolicy", "use `tls` of a DestinationRule"),
    ("XBackendTrafficPolicy", "use a DestinationRule"),
];

/// The finding for a document of a group, version and kind; `known` is the kind in another version.
pub(super) fn unknown(group: &str, version: &str, name: &str, known: Option<&Kind>) -> Problem {
    if let Some(kind) = known {
        return Problem::new(code::UNKNOWN_KIND, Severity::Error, format!("{name} has no version `{version}`"))
            .field("apiVersion")
            .help(format!("known versions: {}", kind.versions.join(", ")));
    }
    if name.is_empty() && group.is_empty() && version.is_empty() {
        return Problem::new(code::UNREADABLE, Severity::Error, "a document without apiVersion and kind")
            .help("every document names both, as in `apiVersion: networking.istio.io/v1`");
    }
    let istio = CLAIMED_GROUPS.contains(&group) || group == "extensions.istio.io";
    if istio && MESH_KINDS.contains(&name) {
        return Problem::new(code::NOT_HONOURED, Severity::Warning, format!("{name} has no meaning at a gateway"))
            .field("kind")
            .help("it configures sidecars; the document is skipped");
    }
    if matches!(group, gateway_api::GROUP | EXPERIMENTS)
        && let Some((_, instead)) = OTHER_KINDS.iter().find(|it| it.0 == name)
    {
        let severity = if name == "GatewayClass" { Severity::Info } else { Severity::Warning };
        return Problem::new(code::NOT_HONOURED, severity, format!("{name} is not read; the document is skipped"))
            .field("kind")
            .help(*instead);
    }
    if CLAIMED_GROUPS.contains(&group) {
        let names: Vec<&str> = KINDS.iter().filter(|it| it.group == group).map(|it| it.name).collect();
        return Problem::new(code::UNKNOWN_KIND, Severity::Error, format!("unknown kind `{name}` of {group}"))
            .field("kind")
            .help(suggest::hint(name, &names));
    }
    let message = format!("{name} of `{group}` is not read by Sluice; skipped");
    Problem::new(code::SKIPPED, Severity::Info, message).field("kind")
}
