//! ReferenceGrant: which documents of other namespaces may refer to something in its own.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::Resource;

/// Who may refer to what; both lists at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReferenceGrant {
    /// Who.
    pub from: Vec<GrantFrom>,
    /// What.
    pub to: Vec<GrantTo>,
}

/// Documents of a kind and namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GrantFrom {
    /// Group, as `gateway.networking.k8s.io`.
    pub group: String,
    /// Kind, as HTTPRoute.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// Documents of a kind in the grant's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GrantTo {
    /// Group; empty is the core group.
    pub group: String,
    /// Kind, as Service or Secret.
    pub kind: String,
    /// Name; empty is each.
    pub name: String,
}

/// A reference from one namespace into another.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Kind (of the Gateway API) and namespace of the document that refers.
    pub from: (&'a str, &'a str),
    /// Group and kind of what it refers to.
    pub kind: (&'a str, &'a str),
    /// Namespace and name of it.
    pub to: (&'a str, &'a str),
}

/// Whether a reference stays in its namespace, or is granted by the one it leads to.
pub fn is_granted(reference: Reference<'_>, grants: &[Resource<ReferenceGrant>]) -> bool {
    let Reference { from: (kind, namespace), kind: (to_group, to_kind), to: (to_namespace, name) } = reference;
    let from = |it: &GrantFrom| it.group == super::GROUP && it.kind == kind && it.namespace == namespace;
    let to = |it: &GrantTo| it.group == to_group && it.kind == to_kind && (it.name.is_empty() || it.name == name);
    namespace == to_namespace
        || grants
            .iter()
            .filter(|it| it.metadata.namespace == to_namespace)
            .any(|it| it.spec.from.iter().any(from) && it.spec.to.iter().any(to))
}
