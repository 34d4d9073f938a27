//! Rules of Istio's annotations: known ones, on the kinds that read them, with values that parse.

use crate::document::{Documents, Resource};
use crate::problem::{Problem, Problems, Severity, code};

/// An annotation that a gateway's documents may carry.
struct Known {
    name: &'static str,
    maturity: Maturity,
    kinds: &'static [&'static str],
    values: &'static [&'static str],
}

/// How settled an annotation is.
#[derive(Clone, Copy)]
enum Maturity {
    Stable,
    Alpha,
    Deprecated,
}

const KNOWN: &[Known] = &[
    Known {
        name: "istio.io/dry-run",
        maturity: Maturity::Alpha,
        kinds: &["AuthorizationPolicy"],
        values: &["true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False"],
    },
    Known { name: "networking.istio.io/exportTo", maturity: Maturity::Alpha, kinds: &["Service"], values: &[] },
    Known {
        name: "networking.istio.io/traffic-distribution",
        maturity: Maturity::Alpha,
        kinds: &["Service", "ServiceEntry"],
        values: &[],
    },
    Known {
        name: "networking.istio.io/service-type",
        maturity: Maturity::Alpha,
        kinds: &["Gateway", "Service"],
        values: &[],
    },
    Known { name: "networking.istio.io/address-type", maturity: Maturity::Alpha, kinds: &["Gateway"], values: &[] },
    Known { name: "proxy.istio.io/config", maturity: Maturity::Stable, kinds: &["Pod"], values: &[] },
    Known {
        name: "sidecar.istio.io/inject",
        maturity: Maturity::Stable,
        kinds: &["Pod", "Service", "Deployment"],
        values: &[],
    },
    Known {
        name: "traffic.sidecar.istio.io/includeInboundPorts",
        maturity: Maturity::Stable,
        kinds: &["Pod"],
        values: &[],
    },
    Known { name: "install.operator.istio.io/chart-owner", maturity: Maturity::Deprecated, kinds: &[], values: &[] },
];

/// Groups of Istio's annotations; in these an unknown name is reported.
const PREFIXES: [&str; 5] =
    ["istio.io/", "networking.istio.io/", "proxy.istio.io/", "sidecar.istio.io/", "traffic.sidecar.istio.io/"];

pub(super) fn check(documents: &Documents, problems: &mut Problems) {
    check_all(&documents.gateways, problems);
    check_all(&documents.virtual_services, problems);
    check_all(&documents.destination_rules, problems);
    check_all(&documents.service_entries, problems);
    check_all(&documents.workload_entries, problems);
    check_all(&documents.sidecars, problems);
    check_all(&documents.request_authentications, problems);
    check_all(&documents.authorization_policies, problems);
    check_all(&documents.peer_authentications, problems);
    check_all(&documents.telemetries, problems);
    check_all(&documents.envoy_filters, problems);
    check_all(&documents.services, problems);
}

fn check_all<T>(resources: &[Resource<T>], problems: &mut Problems) {
    resources.iter().for_each(|it| check_one(it, problems));
}

fn check_one<T>(resource: &Resource<T>, problems: &mut Problems) {
    for (name, value) in &resource.metadata.annotations {
        for problem in judge(resource.kind, name, value).into_iter().chain(age(name)) {
            let mut problem = problem.field(&format!("metadata.annotations[\"{name}\"]"));
            problem.resource = resource.resource_name();
            problem.origin = Some(resource.origin);
            problems.push(problem);
        }
    }
}

/// An annotation that is not settled, or no longer.
fn age(name: &str) -> Option<Problem> {
    match KNOWN.iter().find(|it| it.name == name)?.maturity {
        Maturity::Stable => None,
        Maturity::Alpha => {
            let message = format!("annotation `{name}` is part of an alpha-phase feature");
            Some(Problem::new(code::ALPHA_ANNOTATION, Severity::Info, message))
        }
        Maturity::Deprecated => {
            let message = format!("annotation `{name}` is deprecated");
            Some(Problem::new(code::DEPRECATED_ANNOTATION, Severity::Info, message))
        }
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
