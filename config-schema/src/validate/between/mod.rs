//! Rules between resources: what one document says of another.

mod destinations;
mod gateway_api;
mod gateways;
mod policies;
mod registry;

use crate::document::Documents;
use crate::native::settings::GatewaySettings;
use crate::problem::Problems;
use registry::Registry;

/// Everything the rules look things up in.
struct Scene<'a> {
    documents: &'a Documents,
    settings: GatewaySettings,
    registry: Registry<'a>,
}

pub(super) fn check(documents: &Documents, problems: &mut Problems) {
    let settings = documents.settings.first().map(|it| GatewaySettings::clone(&it.spec)).unwrap_or_default();
    let registry = Registry::of(documents, &settings.node.cluster_domain);
    let scene = Scene { documents, settings, registry };
    gateways::check(&scene, problems);
    gateway_api::check(&scene, problems);
    destinations::check(&scene, problems);
    policies::check(&scene, problems);
}
