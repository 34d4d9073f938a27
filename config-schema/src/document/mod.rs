//! Splits what was read into resources by kind, and remembers where each came from.

mod unknown;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use crate::istio::authorization_policy::AuthorizationPolicy;
use crate::istio::destination_rule::DestinationRule;
use crate::istio::envoy_filter::EnvoyFilter;
use crate::istio::gateway::Gateway;
use crate::istio::peer_authentication::PeerAuthentication;
use crate::istio::rate_limit_service;
use crate::istio::request_authentication::RequestAuthentication;
use crate::istio::service_entry::ServiceEntry;
use crate::istio::sidecar::Sidecar;
use crate::istio::telemetry::Telemetry;
use crate::istio::virtual_service::VirtualService;
use crate::istio::workload_entry::WorkloadEntry;
use crate::kubernetes::config_map::ConfigMap;
use crate::kubernetes::endpoint_slice::EndpointSlice;
use crate::kubernetes::secret::Secret;
use crate::kubernetes::service::Service;
use crate::native::api_key_authentication::ApiKeyAuthentication;
use crate::native::basic_authentication::BasicAuthentication;
use crate::native::egress_credential::EgressCredential;
use crate::native::egress_policy::EgressPolicy;
use crate::native::health_check::HealthCheck;
use crate::native::rate_limit_policy::RateLimitPolicy;
use crate::native::settings::GatewaySettings;
use crate::problem::{FieldPath, Problem, Problems, ResourceName, Severity, code};
use crate::read::{Origin, Source, strict};
use crate::support;

/// What every resource carries besides its spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesMetadata", rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name, unique in kind and namespace.
    pub name: String,
    /// Namespace; `default` when absent.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339 time at which the API server stored it; absent in plain files.
    pub creation_timestamp: String,
}

/// One resource with the place it was read from.
#[derive(Debug, Clone)]
pub struct Resource<T> {
    /// Name, namespace, labels.
    pub metadata: Metadata,
    /// What the operator wrote.
    pub spec: T,
    /// Where.
    pub origin: Origin,
    /// Kind, as in the document.
    pub kind: &'static str,
}

impl<T> Resource<T> {
    /// Name for reports.
    pub fn resource_name(&self) -> ResourceName {
        ResourceName {
            kind: self.kind.to_owned(),
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
        }
    }

    /// A problem of a field of this resource; `field` is a path from the document's root.
    pub fn problem(
        &self,
        code: crate::problem::Code,
        severity: Severity,
        field: impl AsRef<str>,
        message: impl Into<String>,
    ) -> Problem {
        let mut problem = Problem::new(code, severity, message).field(field.as_ref());
        problem.resource = self.resource_name();
        problem.origin = Some(self.origin);
        problem
    }

    /// Order of resources whose documents say none: oldest, then by name, then by namespace.
    pub fn age_order(&self) -> (&str, &str, &str) {
        // A missing time sorts as the API server's zero, before all others.
        (&self.metadata.creation_timestamp, &self.metadata.name, &self.metadata.namespace)
    }
}

/// Everything that was read, by kind.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each field is named for the kind it holds")]
pub struct Documents {
    /// The files, for reports.
    pub sources: Vec<Arc<Source>>,
    pub gateways: Vec<Resource<Gateway>>,
    pub virtual_services: Vec<Resource<VirtualService>>,
    pub destination_rules: Vec<Resource<DestinationRule>>,
    pub service_entries: Vec<Resource<ServiceEntry>>,
    pub workload_entries: Vec<Resource<WorkloadEntry>>,
    pub sidecars: Vec<Resource<Sidecar>>,
    pub request_authentications: Vec<Resource<RequestAuthentication>>,
    pub authorization_policies: Vec<Resource<AuthorizationPolicy>>,
    pub peer_authentications: Vec<Resource<PeerAuthentication>>,
    pub telemetries: Vec<Resource<Telemetry>>,
    pub envoy_filters: Vec<Resource<EnvoyFilter>>,
    pub secrets: Vec<Resource<Secret>>,
    pub config_maps: Vec<Resource<ConfigMap>>,
    pub services: Vec<Resource<Service>>,
    pub endpoint_slices: Vec<Resource<EndpointSlice>>,
    pub api_key_authentications: Vec<Resource<ApiKeyAuthentication>>,
    pub basic_authentications: Vec<Resource<BasicAuthentication>>,
    pub health_checks: Vec<Resource<HealthCheck>>,
    pub egress_policies: Vec<Resource<EgressPolicy>>,
    pub egress_credentials: Vec<Resource<EgressCredential>>,
    pub rate_limit_policies: Vec<Resource<RateLimitPolicy>>,
    pub settings: Vec<Resource<GatewaySettings>>,
}

/// Where a kind keeps what others keep in `spec`: there, or beside `metadata`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Spec,
    Flat,
}

/// One kind that is read.
pub struct Kind {
    group: &'static str,
    versions: &'static [&'static str],
    /// Name, as in `kind:`.
    pub name: &'static str,
    layout: Layout,
    take: fn(&mut Documents, Parsed<'_>),
    /// JSON Schema of the spec.
    pub schema: fn() -> Schema,
}

/// A document whose head was understood.
struct Parsed<'a> {
    kind: &'static Kind,
    metadata: Metadata,
    body: Value,
    origin: Origin,
    problems: &'a mut Problems,
}

const NETWORKING: &str = "networking.istio.io";
const SECURITY: &str = "security.istio.io";
const ISTIO_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];

/// Declares a kind: group, versions, type, layout and the list it goes to.
macro_rules! kind {
    ($group:expr, $versions:expr, $type:ident, $layout:ident, $list:ident) => {
        Kind {
            group: $group,
            versions: $versions,
            name: stringify!($type),
            layout: Layout::$layout,
            take: |documents, parsed| {
                if let Some(resource) = fill::<$type>(parsed) {
                    documents.$list.push(resource);
                }
            },
            schema: || schema_for!($type),
        }
    };
}

/// Every kind that is read, in the order of the reference.
pub static KINDS: &[Kind] = &[
    kind!(NETWORKING, ISTIO_VERSIONS, Gateway, Spec, gateways),
    kind!(NETWORKING, ISTIO_VERSIONS, VirtualService, Spec, virtual_services),
    kind!(NETWORKING, ISTIO_VERSIONS, DestinationRule, Spec, destination_rules),
    kind!(NETWORKING, ISTIO_VERSIONS, ServiceEntry, Spec, service_entries),
    kind!(NETWORKING, ISTIO_VERSIONS, WorkloadEntry, Spec, workload_entries),
    kind!(NETWORKING, ISTIO_VERSIONS, Sidecar, Spec, sidecars),
    kind!(NETWORKING, &["v1alpha3"], EnvoyFilter, Spec, envoy_filters),
    kind!(SECURITY, &["v1", "v1beta1"], RequestAuthentication, Spec, request_authentications),
    kind!(SECURITY, &["v1", "v1beta1"], AuthorizationPolicy, Spec, authorization_policies),
    kind!(SECURITY, &["v1", "v1beta1"], PeerAuthentication, Spec, peer_authentications),
    kind!("telemetry.istio.io", &["v1", "v1alpha1"], Telemetry, Spec, telemetries),
    kind!("", &["v1"], Secret, Flat, secrets),
    kind!("", &["v1"], ConfigMap, Flat, config_maps),
    kind!("", &["v1"], Service, Spec, services),
    kind!("discovery.k8s.io", &["v1"], EndpointSlice, Flat, endpoint_slices),
    kind!("sluice.dev", &["v1alpha1"], ApiKeyAuthentication, Spec, api_key_authentications),
    kind!("sluice.dev", &["v1alpha1"], BasicAuthentication, Spec, basic_authentications),
    kind!("sluice.dev", &["v1alpha1"], HealthCheck, Spec, health_checks),
    kind!("sluice.dev", &["v1alpha1"], EgressPolicy, Spec, egress_policies),
    kind!("sluice.dev", &["v1alpha1"], EgressCredential, Spec, egress_credentials),
    kind!("sluice.dev", &["v1alpha1"], RateLimitPolicy, Spec, rate_limit_policies),
    kind!("sluice.dev", &["v1alpha1"], GatewaySettings, Spec, settings),
];

impl Documents {
    /// Adds one document of a stream; a `List` is taken apart.
    pub(crate) fn take(&mut self, value: Value, origin: Origin, problems: &mut Problems) {
        let Value::Mapping(mut map) = value else {
            let mut problem = Problem::new(code::UNREADABLE, Severity::Error, "a document must be a mapping");
            problem.origin = Some(origin);
            problems.push(problem.help("it begins with apiVersion, kind and metadata"));
            return;
        };
        if text(&map, "kind") == "List"
            && let Some(Value::Sequence(items)) = map.remove("items")
        {
            for (number, item) in items.into_iter().enumerate() {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                self.take(item, Origin { item: Some(number), ..origin }, problems);
            }
            return;
        }
        self.take_one(map, origin, problems);
    }

    fn take_one(&mut self, mut map: Mapping, origin: Origin, problems: &mut Problems) {
        if let Some(wrapped) = rate_limit_service::wrapped(&map) {
            map = wrapped;
        }
        let (api_version, name) = (text(&map, "apiVersion"), text(&map, "kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let known = KINDS.iter().find(|it| it.group == group && it.name == name);
        let Some(kind) = known.filter(|it| it.versions.contains(&version)) else {
            let metadata = map.remove("metadata").unwrap_or(Value::Null);
            let mut problem = unknown::unknown(group, version, &name, known);
            problem.origin = Some(origin);
            problem.resource = ResourceName {
                kind: name,
                namespace: metadata.get("namespace").and_then(Value::as_str).unwrap_or("default").to_owned(),
                name: metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            };
            problems.push(problem);
            return;
        };
        let mut found = Vec::new();
        let metadata = map.remove("metadata").unwrap_or(Value::Null);
        let mut metadata: Metadata = strict::fill(metadata, "metadata", &mut |it| found.push(it)).unwrap_or_default();
        if metadata.namespace.is_empty() {
            "default".clone_into(&mut metadata.namespace);
        }
        for mut problem in found {
            problem.origin = Some(origin);
            problem.resource = ResourceName {
                kind: kind.name.to_owned(),
                namespace: metadata.namespace.clone(),
                name: metadata.name.clone(),
            };
            problems.push(problem);
        }
        let body = body(map, kind.layout);
        (kind.take)(self, Parsed { kind, metadata, body, origin, problems });
    }
}

/// The part of a document that is the kind's own.
fn body(mut map: Mapping, layout: Layout) -> Value {
    match layout {
        Layout::Spec => map.remove("spec").unwrap_or(Value::Null),
        Layout::Flat => {
            for head in ["apiVersion", "kind", "status"] {
                map.remove(head);
            }
            Value::Mapping(map)
        }
    }
}

fn text(map: &Mapping, key: &str) -> String {
    map.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Fills one spec; says which fields are accepted and not honoured.
fn fill<T: for<'de> Deserialize<'de>>(parsed: Parsed<'_>) -> Option<Resource<T>> {
    let Parsed { kind, metadata, body, origin, problems } = parsed;
    let name =
        ResourceName { kind: kind.name.to_owned(), namespace: metadata.namespace.clone(), name: metadata.name.clone() };
    let mut report = |mut problem: Problem| {
        problem.origin = Some(origin);
        problem.resource = name.clone();
        problems.push(problem);
    };
    let prefix = match kind.layout {
        Layout::Spec => FieldPath::parse("spec"),
        Layout::Flat => FieldPath::default(),
    };
    support::warn(kind.name, &body, &prefix, &mut report);
    let spec = strict::fill(body, &prefix.to_string(), &mut report)?;
    Some(Resource { metadata, spec, origin, kind: kind.name })
}
