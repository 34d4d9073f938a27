//! Telemetry: what is measured, logged and traced.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shared::{LabelSelector, TargetRef};
use crate::value::Duration;

/// What is measured, logged and traced for selected workloads.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Telemetry {
    /// Workloads; not together with targetRefs.
    pub selector: Option<LabelSelector>,
    /// Use targetRefs.
    pub target_ref: Option<TargetRef>,
    /// Resources it attaches to.
    pub target_refs: Vec<TargetRef>,
    /// Tracing; only the first entry is used.
    #[schemars(extend("x-support" = "later"))]
    pub tracing: Vec<Tracing>,
    /// Metrics.
    #[schemars(extend("x-support" = "later"))]
    pub metrics: Vec<Metrics>,
    /// Access logs.
    #[schemars(extend("x-support" = "later"))]
    pub access_logging: Vec<AccessLogging>,
}

/// Side of a proxy that traffic passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Both.
    ClientAndServer,
    /// Outbound, where a gateway stands.
    Client,
    /// Inbound.
    Server,
}

/// Narrows by side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ModeSelector {
    /// Side.
    pub mode: Option<Mode>,
}

/// A provider by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProviderRef {
    /// Name in `meshConfig.extensionProviders`.
    pub name: String,
}

/// Tracing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tracing {
    /// Narrows by side.
    #[serde(rename = "match")]
    pub selector: Option<ModeSelector>,
    /// Where spans go.
    pub providers: Vec<ProviderRef>,
    /// Share of requests traced without a decision before us; 0 to 100.
    pub random_sampling_percentage: Option<f64>,
    /// Sends no spans; propagation stays on.
    pub disable_span_reporting: Option<bool>,
    /// Tags added to spans.
    pub custom_tags: BTreeMap<String, CustomTag>,
    /// Samples by x-request-id.
    pub use_request_id_for_trace_sampling: Option<bool>,
    /// Adds Istio's own tags.
    pub enable_istio_tags: Option<bool>,
    /// Forwards no trace headers.
    pub disable_context_propagation: Option<bool>,
}

/// A tag from one of four sources; exactly one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CustomTag {
    /// A fixed text.
    pub literal: Option<LiteralTag>,
    /// A variable of the gateway's environment.
    pub environment: Option<NamedTag>,
    /// A request header.
    pub header: Option<NamedTag>,
    /// An access log command.
    pub formatter: Option<LiteralTag>,
}

/// A tag's text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LiteralTag {
    /// The text.
    pub value: String,
}

/// A tag from something with a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NamedTag {
    /// Name of the variable or header.
    pub name: String,
    /// Value when it is missing.
    pub default_value: String,
}

/// Metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Metrics {
    /// Providers it is for.
    pub providers: Vec<ProviderRef>,
    /// Changes in order.
    pub overrides: Vec<MetricsOverride>,
    /// Time between reports of TCP.
    #[schemars(extend("x-support" = "inert"))]
    pub reporting_interval: Option<Duration>,
}

/// A change to metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MetricsOverride {
    /// Which metrics.
    #[serde(rename = "match")]
    pub selector: Option<MetricSelector>,
    /// Turns them off.
    pub disabled: Option<bool>,
    /// Label to what happens with it.
    pub tag_overrides: BTreeMap<String, TagOverride>,
}

/// Which metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MetricSelector {
    /// A standard metric.
    pub metric: Option<StandardMetric>,
    /// A metric by name.
    pub custom_metric: Option<String>,
    /// Side.
    pub mode: Option<Mode>,
}

/// Istio's standard metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are Istio's and say it all")]
pub enum StandardMetric {
    AllMetrics,
    RequestCount,
    RequestDuration,
    RequestSize,
    ResponseSize,
    TcpOpenedConnections,
    TcpClosedConnections,
    TcpSentBytes,
    TcpReceivedBytes,
    GrpcRequestMessages,
    GrpcResponseMessages,
}

/// What happens with a label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TagOverride {
    /// Default UPSERT.
    pub operation: Option<TagOperation>,
    /// CEL expression for UPSERT.
    pub value: String,
}

/// What happens with a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TagOperation {
    /// Sets it.
    Upsert,
    /// Removes it.
    Remove,
}

/// Access logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AccessLogging {
    /// Narrows by side.
    #[serde(rename = "match")]
    pub selector: Option<ModeSelector>,
    /// Where lines go.
    pub providers: Vec<ProviderRef>,
    /// Turns it off.
    pub disabled: Option<bool>,
    /// Which requests are logged.
    pub filter: Option<LogFilter>,
}

/// Which requests are logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LogFilter {
    /// CEL expression, as `response.code >= 400`.
    pub expression: String,
}
