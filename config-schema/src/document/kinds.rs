//! Lists every kind that is read: its group and versions, its type, and where its documents are kept.

use std::sync::Arc;

use schemars::{Schema, schema_for};

use super::{Parsed, Resource, fill};
use crate::gateway_api;
use crate::gateway_api::http_route::HttpRoute;
use crate::gateway_api::kubernetes_gateway::KubernetesGateway;
use crate::gateway_api::reference_grant::ReferenceGrant;
use crate::istio::authorization_policy::AuthorizationPolicy;
use crate::istio::destination_rule::DestinationRule;
use crate::istio::envoy_filter::EnvoyFilter;
use crate::istio::gateway::Gateway;
use crate::istio::peer_authentication::PeerAuthentication;
use crate::istio::request_authentication::RequestAuthentication;
use crate::istio::service_entry::ServiceEntry;
use crate::istio::sidecar::Sidecar;
use crate::istio::telemetry::Telemetry;
use crate::istio::virtual_service::VirtualService;
use crate::istio::workload_entry::WorkloadEntry;
use crate::kubernetes::config_map::ConfigMap;
use crate::kubernetes::endpoint_slice::EndpointSlice;
use crate::kubernetes::namespace::Namespace;
use crate::kubernetes::secret::Secret;
use crate::kubernetes::service::Service;
use crate::native::api_key_authentication::ApiKeyAuthentication;
use crate::native::basic_authentication::BasicAuthentication;
use crate::native::egress_credential::EgressCredential;
use crate::native::egress_policy::EgressPolicy;
use crate::native::health_check::HealthCheck;
use crate::native::rate_limit_policy::RateLimitPolicy;
use crate::native::settings::GatewaySettings;
use crate::read::{Origin, Source};

/// Everything that was read, by kind.
#[derive(Debug, Clone, Default)]
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
    pub kubernetes_gateways: Vec<Resource<KubernetesGateway>>,
    pub http_routes: Vec<Resource<HttpRoute>>,
    pub reference_grants: Vec<Resource<ReferenceGrant>>,
    pub namespaces: Vec<Resource<Namespace>>,
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

/// Does the same with the list of every kind of some documents, or with those of two.
macro_rules! for_every_kind {
    ($documents:expr, |$list:ident| $action:expr) => {
        for_every_kind!(@list $documents, |$list| $action)
    };
    ($documents:ident, append $other:ident) => {
        for_every_kind!(@list $documents, append $other)
    };
    (@list $($what:tt)*) => {
        for_every_kind!(
            @ $($what)*;
            gateways virtual_services destination_rules service_entries workload_entries sidecars
            request_authentications authorization_policies peer_authentications telemetries envoy_filters
            kubernetes_gateways http_routes reference_grants namespaces secrets config_maps services endpoint_slices
            api_key_authentications basic_authentications health_checks egress_policies egress_credentials
            rate_limit_policies settings
        )
    };
    (@ $documents:ident, append $other:ident; $($kind:ident)*) => {{
        let Documents { sources, $($kind),* } = $other;
        $documents.sources.extend(sources);
        $($documents.$kind.extend($kind);)*
    }};
    (@ $documents:expr, |$list:ident| $action:expr; $($kind:ident)*) => {{
        let Documents { sources: _, $($kind),* } = $documents;
        $({
            let $list = $kind;
            $action;
        })*
    }};
}
pub(crate) use for_every_kind;

impl Documents {
    /// Adds all of another collection, behind what is there.
    pub(crate) fn append(&mut self, other: Self) {
        for_every_kind!(self, append other);
    }

    /// Makes a document of a file the place that everything was read from.
    pub(crate) fn place(&mut self, source: u32, document: u32) {
        for_every_kind!(self, |resources| resources.iter_mut().for_each(|it| {
            it.origin = Origin { source, document, ..it.origin };
        }));
    }
}

/// Where a kind keeps what others keep in `spec`: there, or beside `metadata`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Spec,
    Flat,
}

/// One kind that is read.
pub struct Kind {
    pub(crate) group: &'static str,
    pub(super) versions: &'static [&'static str],
    /// Name, as in `kind:`.
    pub name: &'static str,
    pub(super) layout: Layout,
    pub(super) take: fn(&mut Documents, Parsed<'_>),
    /// JSON Schema of the spec.
    pub schema: fn() -> Schema,
}

impl Kind {
    /// Its name, with its group where another kind of that name stands before it, as kubectl writes it.
    pub fn full_name(&self) -> String {
        let first = KINDS.iter().find(|it| it.name == self.name).map(|it| it.group);
        if first == Some(self.group) { self.name.to_owned() } else { format!("{}.{}", self.name, self.group) }
    }
}

pub(super) const NETWORKING: &str = "networking.istio.io";
pub(super) const SECURITY: &str = "security.istio.io";
const ISTIO_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const GATEWAY_API_VERSIONS: &[&str] = &["v1", "v1beta1"];

/// Declares a kind: group, versions, type, layout and the list it goes to; its name, where that is not the type's.
macro_rules! kind {
    ($group:expr, $versions:expr, $type:ident, $layout:ident, $list:ident) => {
        kind!($group, $versions, $type, $layout, $list, stringify!($type))
    };
    ($group:expr, $versions:expr, $type:ident, $layout:ident, $list:ident, $name:expr) => {
        Kind {
            group: $group,
            versions: $versions,
            name: $name,
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
    kind!(gateway_api::GROUP, GATEWAY_API_VERSIONS, KubernetesGateway, Spec, kubernetes_gateways, "Gateway"),
    kind!(gateway_api::GROUP, GATEWAY_API_VERSIONS, HttpRoute, Spec, http_routes, "HTTPRoute"),
    kind!(gateway_api::GROUP, GATEWAY_API_VERSIONS, ReferenceGrant, Spec, reference_grants),
    kind!("", &["v1"], Namespace, Spec, namespaces),
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
