//! Decides which documents this gateway sees: `exportTo`, and what the mesh says where it is absent.

use config_schema::istio::shared::is_exported;
use config_schema::native::settings::GatewaySettings;

/// The gateway as one who looks, with the defaults of each kind.
#[derive(Clone, Copy)]
pub(super) struct Viewer<'a> {
    namespace: &'a str,
    settings: &'a GatewaySettings,
}

/// Kinds that are exported.
#[derive(Clone, Copy)]
pub(super) enum Exported {
    VirtualService,
    DestinationRule,
    ServiceEntry,
}

impl<'a> Viewer<'a> {
    pub(super) fn new(settings: &'a GatewaySettings) -> Self {
        Self { namespace: &settings.node.namespace, settings }
    }

    /// Whether a document of `owner` with this `exportTo` is visible.
    pub(super) fn sees(&self, kind: Exported, export_to: &[String], owner: &str) -> bool {
        let mesh = &self.settings.mesh_config;
        let default = match kind {
            Exported::VirtualService => &mesh.default_virtual_service_export_to,
            Exported::DestinationRule => &mesh.default_destination_rule_export_to,
            Exported::ServiceEntry => &mesh.default_service_export_to,
        };
        is_exported(export_to, default, owner, self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_seen_where_they_are_exported_to() {
        let mut settings = GatewaySettings::default();
        let check = |settings: &GatewaySettings, export_to: &[&str], owner: &str| {
            let export_to: Vec<String> = export_to.iter().map(|it| (*it).to_owned()).collect();
            Viewer::new(settings).sees(Exported::ServiceEntry, &export_to, owner)
        };
        for (export_to, owner, expected) in [
            (&[][..], "shop", true),
            (&["*"], "shop", true),
            (&["."], "shop", false),
            (&["."], "istio-system", true),
            (&["other", "istio-system"], "shop", true),
            (&["other"], "istio-system", false),
            (&["~"], "istio-system", false),
        ] {
            assert_eq!(check(&settings, export_to, owner), expected, "{export_to:?} of {owner}");
        }
        settings.mesh_config.default_service_export_to = vec![".".to_owned()];
        assert!(!check(&settings, &[], "shop"));
        assert!(check(&settings, &["*"], "shop"));
    }
}
