//! AuthorizationPolicy: who may do what.

use schemars::JsonSchema;
use serde::Deserialize;

use super::shared::{LabelSelector, TargetRef};

/// Rules that allow, deny, audit, or ask somebody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AuthorizationPolicy {
    /// Workloads; not together with targetRefs.
    pub selector: Option<LabelSelector>,
    /// Use targetRefs.
    pub target_ref: Option<TargetRef>,
    /// Resources it attaches to.
    pub target_refs: Vec<TargetRef>,
    /// Of which one must match; none allows nothing.
    pub rules: Option<Vec<Rule>>,
    /// What a match means; default ALLOW.
    pub action: Option<Action>,
    /// Whom CUSTOM asks; such a policy is refused until it can be enforced.
    pub provider: Option<Provider>,
}

/// What a match means. Evaluated in the order CUSTOM, AUDIT, DENY, ALLOW.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// Allows.
    Allow,
    /// Denies.
    Deny,
    /// Marks for audit.
    Audit,
    /// Asks an extension provider.
    Custom,
}

/// An extension provider by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Provider {
    /// Name in `meshConfig.extensionProviders`.
    pub name: String,
}

/// Matches when source, operation and all conditions match; an absent part always does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Rule {
    /// Sources, of which one must match.
    pub from: Option<Vec<From>>,
    /// Operations, of which one must match.
    pub to: Option<Vec<To>>,
    /// Conditions that must all hold.
    pub when: Option<Vec<Condition>>,
}

/// Wraps a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct From {
    /// The source.
    pub source: Option<Source>,
}

/// Wraps an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct To {
    /// The operation.
    pub operation: Option<Operation>,
}

/// Who asks: all given fields must match, each by one of its values.
///
/// Values are exact, `prefix*`, `*suffix`, or `*` for any; `not…` means none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Source {
    /// SPIFFE identity of the client certificate, without `spiffe://`.
    pub principals: Vec<String>,
    /// None of these identities.
    pub not_principals: Vec<String>,
    /// `issuer/subject` of the token.
    pub request_principals: Vec<String>,
    /// None of these.
    pub not_request_principals: Vec<String>,
    /// Namespace of the client certificate.
    pub namespaces: Vec<String>,
    /// None of these.
    pub not_namespaces: Vec<String>,
    /// Service account of the client certificate.
    pub service_accounts: Vec<String>,
    /// None of these.
    pub not_service_accounts: Vec<String>,
    /// Networks of the connection's peer.
    pub ip_blocks: Vec<String>,
    /// None of these.
    pub not_ip_blocks: Vec<String>,
    /// Networks of the client behind trusted proxies.
    pub remote_ip_blocks: Vec<String>,
    /// None of these.
    pub not_remote_ip_blocks: Vec<String>,
    /// Trust domain of the client certificate.
    pub trust_domains: Vec<String>,
    /// None of these.
    pub not_trust_domains: Vec<String>,
}

/// What is asked: all given fields must match, each by one of its values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Operation {
    /// Host as sent, with its port, without case.
    pub hosts: Vec<String>,
    /// None of these.
    pub not_hosts: Vec<String>,
    /// Gateway port.
    pub ports: Vec<String>,
    /// None of these.
    pub not_ports: Vec<String>,
    /// Method, case-sensitive.
    pub methods: Vec<String>,
    /// None of these.
    pub not_methods: Vec<String>,
    /// Normalised path without query; `{*}` is one segment, `{**}` the rest.
    pub paths: Vec<String>,
    /// None of these.
    pub not_paths: Vec<String>,
}

/// A condition on an attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Condition {
    /// Attribute, as `request.headers[x-token]`.
    pub key: String,
    /// Of which one must match.
    pub values: Vec<String>,
    /// Of which none may match.
    pub not_values: Vec<String>,
}
