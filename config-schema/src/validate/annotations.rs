//! Rules of Istio's annotations: known ones, on the kinds that read them, with values that parse.

use crate::document::{Documents, Resource};
use crate::problem::{Problem, Problems, Severity, code};

/// An annotation that a gateway's documents may carry.
struct Known {
    name: &'static str,
    kinds: &'static [&'static str],
    values: &'static [&'static str],
}

const KNOWN: &[Known] = &[
    Known {
        name: "istio.io/dry-run",
        kinds: &["AuthorizationPolicy"],
        values: &["true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False"],
    },
    Known { name: "networking.istio.io/exportTo", kinds: &["Service"], values: &[] },
    Known { name: "networking.istio.io/traffic-distribution", kinds: &["Service", "ServiceEntry"], values: &[] },
    Known { name: "networking.istio.io/service-type", kinds: &["Gateway", "Service"], values: &[] },
    Known { name: "networking.istio.io/address-type", kinds: &["Gateway"], values: &[] },
    Known { name: "proxy.istio.io/config", kinds: &["Pod"], values: &[] },
    Known { name: "sidecar.istio.io/inject", kinds: &["Pod", "Service", "Deployment"], values: &[] },
    Known { name: "traffic.sidecar.istio.io/includeInboundPorts", kinds: &["Pod"], values: &[] },
    Known { name: "install.operator.istio.io/chart-owner", kinds: &[], values: &[] },
];

/// Groups of Istio's annotations; in these an unknown name is reported.
const PREFIXES: [&str; 5] =
    ["istio.io/", "networking.istio.io/", "proxy.istio.io/", "sidecar.istio.io/", "traffic.sidecar.istio.io/"];

pub(super) fn check(documents: &Documents, problems: &mut Problems) {
    for it in &documents.gateways {
        check_one(it, problems);
    }
    for it in &documents.virtual_services {
        check_one(it, problems);
    }
    for it in &documents.destination_rules {
        check_one(it, problems);
    }
    for it in &documents.service_entries {
        check_one(it, problems);
    }
    for it in &documents.authorization_policies {
        check_one(it, problems);
    }
    for it in &documents.request_authentications {
        check_one(it, problems);
    }
    for it in &documents.services {
        check_one(it, problems);
    }
}

fn check_one<T>(resource: &Resource<T>, problems: &mut Problems) {
    for (name, value) in &resource.metadata.annotations {
        let Some(mut problem) = judge(resource.kind, name, value) else { continue };
        problem = problem.field(&format!("metadata.annotations[\"{name}\"]"));
        problem.resource = resource.resource_name();
        problem.origin = Some(resource.origin);
        problems.push(problem);
    }
}

fn judge(kind: &str, name: &str, value: &str) -> Option<Problem> {
    let Some(known) = KNOWN.iter().find(|it| it.name == name) else {
        let ours = PREFIXES.iter().any(|it| name.starts_with(it));
        return ours.then(|| {
            Problem::new(code::UNKNOWN_ANNOTATION, Severity::Warning, format!("unknown annotation `{name}`"))
        });
    };
    if !known.kinds.is_empty() && !known.kinds.contains(&kind) {
        let message = format!("`{name}` can only be applied to {}", known.kinds.join(", "));
        return Some(Problem::new(code::MISPLACED_ANNOTATION, Severity::Warning, message));
    }
    if !known.values.is_empty() && !known.values.contains(&value) {
        let message = format!("`{name}` cannot be `{value}`");
        return Some(Problem::new(code::INVALID_ANNOTATION, Severity::Warning, message));
    }
    None
}
