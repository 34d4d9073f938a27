//! Says what is wrong with a document whose kind is not read, if anything is.

use super::{KINDS, Kind, NETWORKING, SECURITY};
use crate::problem::{Problem, Severity, code};
use crate::suggest;

/// Groups in which an unknown kind is a mistake, not somebody else's.
const CLAIMED_GROUPS: [&str; 4] = [NETWORKING, SECURITY, "telemetry.istio.io", "sluice.dev"];

/// Istio's kinds that configure sidecars or the cluster, which a gateway skips.
const MESH_KINDS: [&str; 4] = ["WorkloadGroup", "ProxyConfig", "WasmPlugin", "TrafficExtension"];

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
    if CLAIMED_GROUPS.contains(&group) {
        let names: Vec<&str> = KINDS.iter().filter(|it| it.group == group).map(|it| it.name).collect();
        return Problem::new(code::UNKNOWN_KIND, Severity::Error, format!("unknown kind `{name}` of {group}"))
            .field("kind")
            .help(suggest::hint(name, &names));
    }
    let message = format!("{name} of `{group}` is not read by Sluice; skipped");
    Problem::new(code::SKIPPED, Severity::Info, message).field("kind")
}
