//! Decides which policies are for this gateway: by namespace, then by selector or by what they are attached to.

use config_schema::Resource;
use config_schema::istio::shared::{LabelSelector, TargetRef, selects};
use config_schema::native::settings::GatewaySettings;

use super::registry::root_namespace;

/// Label by which a gateway is known as one of the Gateway API.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// What a policy says of where it applies.
pub(super) struct Aim<'a> {
    pub(super) selector: Option<&'a LabelSelector>,
    pub(super) target_ref: Option<&'a TargetRef>,
    pub(super) target_refs: &'a [TargetRef],
}

/// Whether a policy is for this gateway.
pub(super) fn applies<T>(policy: &Resource<T>, aim: &Aim<'_>, settings: &GatewaySettings) -> bool {
    let namespace = &policy.metadata.namespace;
    if *namespace != settings.node.namespace && namespace != root_namespace(settings) {
        return false;
    }
    let labels = &settings.node.labels;
    let mut targets = aim.target_refs.iter().chain(aim.target_ref).peekable();
    if targets.peek().is_some() {
        // Other targets (Service, ServiceEntry) belong to waypoints.
        return targets.any(|it| it.kind == "Gateway" && labels.get(GATEWAY_NAME) == Some(&it.name));
    }
    aim.selector.is_none_or(|it| selects(&it.match_labels, labels))
}
