//! Decides which policies are for this gateway: by namespace, then by selector or by what they are attached to.

use config_schema::gateway_api::GATEWAY_NAME;
use config_schema::istio::shared::{LabelSelector, TargetRef, selects};
use config_schema::{Config, Resource};

/// What a policy says of where it applies.
pub(super) struct Aim<'a> {
    pub(super) selector: Option<&'a LabelSelector>,
    pub(super) target_ref: Option<&'a TargetRef>,
    pub(super) target_refs: &'a [TargetRef],
}

/// Whether a policy is for this gateway.
pub(super) fn applies<T>(policy: &Resource<T>, aim: &Aim<'_>, config: &Config) -> bool {
    let settings = &config.settings;
    let namespace = &policy.metadata.namespace;
    let is_near = settings.takes_policies_of(namespace);
    let labels = &settings.node.labels;
    let mut targets = aim.target_refs.iter().chain(aim.target_ref).peekable();
    if targets.peek().is_some() {
        // Policies stand beside the Gateway that they attach to, wherever this process is said to be.
        let is_beside = |name: &String| {
            let mut gateways = config.documents.kubernetes_gateways.iter();
            gateways.any(|it| it.metadata.name == *name && it.metadata.namespace == *namespace)
        };
        // Other targets (Service, ServiceEntry) belong to waypoints.
        let is_ours = |it: &TargetRef| it.kind == "Gateway" && labels.get(GATEWAY_NAME) == Some(&it.name);
        return targets.any(|it| is_ours(it) && (is_near || is_beside(&it.name)));
    }
    is_near && aim.selector.is_none_or(|it| selects(&it.match_labels, labels))
}
