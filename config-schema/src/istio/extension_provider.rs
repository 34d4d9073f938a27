//! Services that policies refer to by name: external authorization, tracing, logs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::value::Duration;

/// A provider; exactly one of the kinds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtensionProvider {
    /// Unique name.
    pub name: String,
    /// External authorization over HTTP.
    pub envoy_ext_authz_http: Option<ExtAuthzHttp>,
    /// External authorization over gRPC.
    pub envoy_ext_authz_grpc: Option<ExtAuthzGrpc>,
    /// OpenTelemetry tracing.
    #[schemars(extend("x-support" = "later"))]
    pub opentelemetry: Option<OpenTelemetry>,
    /// Prometheus metrics, which are always on.
    pub prometheus: Option<Value>,
    /// Access log to a file.
    #[schemars(extend("x-support" = "later"))]
    pub envoy_file_access_log: Option<FileAccessLog>,
    /// Zipkin tracing.
    #[schemars(extend("x-support" = "later"))]
    pub zipkin: Option<Value>,
    /// Datadog tracing.
    #[schemars(extend("x-support" = "mesh"))]
    pub datadog: Option<Value>,
    /// SkyWalking tracing.
    #[schemars(extend("x-support" = "mesh"))]
    pub skywalking: Option<Value>,
    /// Stackdriver.
    #[schemars(extend("x-support" = "mesh"))]
    pub stackdriver: Option<Value>,
    /// Access log over gRPC.
    #[schemars(extend("x-support" = "mesh"))]
    pub envoy_http_als: Option<Value>,
    /// Access log of TCP over gRPC.
    #[schemars(extend("x-support" = "mesh"))]
    pub envoy_tcp_als: Option<Value>,
    /// Access log over OpenTelemetry.
    #[schemars(extend("x-support" = "later"))]
    pub envoy_otel_als: Option<Value>,
    /// Secrets over gRPC.
    #[schemars(extend("x-support" = "mesh"))]
    pub sds: Option<Value>,
}

/// External authorization over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtAuthzHttp {
    /// Host, `[namespace/]name`.
    pub service: String,
    /// Port.
    pub port: u32,
    /// Bound on the answer; default 600s.
    pub timeout: Option<Duration>,
    /// Put before the path.
    pub path_prefix: String,
    /// Admits requests when the service fails.
    pub fail_open: bool,
    /// Chooses the route anew after the answer.
    pub clear_route_cache: bool,
    /// Status when the service fails; default 403.
    pub status_on_error: String,
    /// Use includeRequestHeadersInCheck.
    pub include_headers_in_check: Vec<String>,
    /// Request headers sent along.
    pub include_request_headers_in_check: Vec<String>,
    /// Fixed headers sent along.
    pub include_additional_headers_in_check: BTreeMap<String, String>,
    /// Request body sent along.
    pub include_request_body_in_check: Option<RequestBody>,
    /// Headers of the answer copied to the upstream.
    pub headers_to_upstream_on_allow: Vec<String>,
    /// Headers of the answer copied to the client when denied.
    pub headers_to_downstream_on_deny: Vec<String>,
    /// Headers of the answer copied to the client when allowed.
    pub headers_to_downstream_on_allow: Vec<String>,
}

/// External authorization over gRPC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtAuthzGrpc {
    /// Host, `[namespace/]name`.
    pub service: String,
    /// Port.
    pub port: u32,
    /// Bound on the answer; default 600s.
    pub timeout: Option<Duration>,
    /// Admits requests when the service fails.
    pub fail_open: bool,
    /// Chooses the route anew after the answer.
    pub clear_route_cache: bool,
    /// Status when the service fails; default 403.
    pub status_on_error: String,
    /// Request body sent along.
    pub include_request_body_in_check: Option<RequestBody>,
}

/// How much of a request body is sent along.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RequestBody {
    /// Most bytes; a longer body is refused with 413.
    pub max_request_bytes: u32,
    /// Sends the beginning of a longer body instead.
    pub allow_partial_message: bool,
    /// Sends bytes rather than text.
    pub pack_as_bytes: bool,
}

/// OpenTelemetry tracing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OpenTelemetry {
    /// Host, `[namespace/]name`.
    pub service: String,
    /// Port.
    pub port: u32,
    /// Longest tag.
    pub max_tag_length: u32,
    /// Export over HTTP.
    pub http: Option<Value>,
    /// Export over gRPC.
    pub grpc: Option<Value>,
    /// Detectors of resource attributes.
    pub resource_detectors: Option<Value>,
    /// Sampler of Dynatrace.
    pub dynatrace_sampler: Option<Value>,
}

/// Access log to a file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FileAccessLog {
    /// Path, as /dev/stdout.
    pub path: String,
    /// Text or JSON with commands.
    pub log_format: Option<Value>,
    /// Leaves out commands without value.
    pub omit_empty_values: bool,
}
