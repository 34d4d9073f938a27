//! Lowers GatewaySettings and MeshConfig to what requests need.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use config_schema::istio::mesh_config::{
    AccessLogEncoding, ForwardClientCert as WrittenForward, GatewayTopology, MeshConfig, Normalization as Written,
};
use config_schema::native::settings::{GatewaySettings, Limits, MAX_RETRY_BUFFER, Node as WrittenNode};
use config_schema::problem::{Problem, Severity, code};

use super::authorization::networks;
use super::headers::template;
use crate::listener::limits::{ConnectionLimits, default_max_connections};
use crate::network::Network;
use crate::routing::path::Normalization;
use crate::snapshot::{AccessLog, ForwardClientCert, Node, ProxyProtocol, Settings};
use crate::telemetry::access_log::AccessLogFormat;

/// Where access log lines go when the configuration does not say.
const STANDARD_OUTPUT: &str = "/dev/stdout";
/// Time that connections get to end at shutdown when the configuration does not say.
const DRAIN: Duration = Duration::from_secs(30);

pub(super) fn lower(settings: &GatewaySettings) -> Result<Settings, Box<Problem>> {
    let mesh = &settings.mesh_config;
    let Limits { max_connections, max_connections_per_client, head_timeout, idle_timeout, retry_buffer_bytes } =
        &settings.limits;
    let usual = ConnectionLimits::default();
    let proxy = mesh.default_config.as_ref();
    let topology = proxy.and_then(|it| it.gateway_topology.as_ref());
    Ok(Settings {
        normalization: normalization(mesh),
        trusted_proxies: topology.map_or(0, |it: &GatewayTopology| it.num_trusted_proxies as usize),
        cors_first: settings.cors_before_authentication,
        client_certificates: client_certificates(topology),
        proxy_protocol: proxy_protocol(settings, topology),
        connections: ConnectionLimits {
            head_timeout: head_timeout.map_or(usual.head_timeout, |it| it.0),
            idle_timeout: idle_timeout.map_or(usual.idle_timeout, |it| it.0),
        },
        max_connections: if *max_connections == 0 { default_max_connections() } else { *max_connections },
        max_connections_per_client: *max_connections_per_client,
        retry_buffer: retry_buffer_bytes.unwrap_or(MAX_RETRY_BUFFER) as usize,
        access_log: access_log(mesh)?,
        node: node(&settings.node),
        drain: proxy.and_then(|it| it.termination_drain_duration).map_or(DRAIN, |it| it.0),
    })
}

fn client_certificates(topology: Option<&GatewayTopology>) -> ForwardClientCert {
    match topology.and_then(|it| it.forward_client_cert_details).unwrap_or(WrittenForward::Undefined) {
        WrittenForward::Undefined | WrittenForward::SanitizeSet => ForwardClientCert::SanitizeSet,
        WrittenForward::Sanitize => ForwardClientCert::Sanitize,
        WrittenForward::ForwardOnly => ForwardClientCert::ForwardOnly,
        WrittenForward::AppendForward => ForwardClientCert::AppendForward,
        WrittenForward::AlwaysForwardOnly => ForwardClientCert::AlwaysForwardOnly,
    }
}

/// Istio's field asks for the header from everyone; our own setting says from whom it is believed.
fn proxy_protocol(settings: &GatewaySettings, topology: Option<&GatewayTopology>) -> ProxyProtocol {
    let everyone = [Network::new(Ipv4Addr::UNSPECIFIED.into(), 0), Network::new(Ipv6Addr::UNSPECIFIED.into(), 0)];
    match (&settings.proxy_protocol, topology.is_some_and(|it| it.proxy_protocol.is_some())) {
        (Some(it), _) => ProxyProtocol::From(networks(&it.trusted_sources)),
        (None, true) => ProxyProtocol::From(everyone.into_iter().collect()),
        (None, false) => ProxyProtocol::Off,
    }
}

fn normalization(mesh: &MeshConfig) -> Normalization {
    let written = mesh.path_normalization.as_ref().and_then(|it| it.normalization);
    match written.unwrap_or(Written::Default) {
        Written::Default | Written::Base => Normalization::Base,
        Written::None => Normalization::None,
        Written::MergeSlashes => Normalization::MergeSlashes,
        Written::DecodeAndMergeSlashes => Normalization::DecodeAndMergeSlashes,
    }
}

fn access_log(mesh: &MeshConfig) -> Result<AccessLog, Box<Problem>> {
    let file = mesh.access_log_file.as_deref().unwrap_or(STANDARD_OUTPUT);
    if file.is_empty() {
        return Ok(AccessLog::Off);
    }
    let wrong = |message: String| {
        Box::new(Problem::new(code::SCHEMA, Severity::Error, message).field("spec.meshConfig.accessLogFormat"))
    };
    let encoding = mesh.access_log_encoding.unwrap_or(AccessLogEncoding::Text);
    let format = match (encoding, mesh.access_log_format.as_str()) {
        (AccessLogEncoding::Text, "") => {
            AccessLogFormat::Text(template(crate::telemetry::access_log::DEFAULT_TEXT).map_err(wrong)?)
        }
        (AccessLogEncoding::Text, text) => AccessLogFormat::Text(template(text).map_err(wrong)?),
        (AccessLogEncoding::Json, "") => {
            let fields = crate::telemetry::access_log::DEFAULT_JSON;
            json(fields.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))).map_err(wrong)?
        }
        (AccessLogEncoding::Json, text) => {
            let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
                .map_err(|error| wrong(format!("a JSON format must be a JSON object: {error}")))?;
            json(fields.into_iter().map(|(key, text)| (key, text.as_str().unwrap_or_default().to_owned())))
                .map_err(wrong)?
        }
    };
    Ok(AccessLog::On { file: file.into(), format: Arc::new(format) })
}

fn json(fields: impl Iterator<Item = (String, String)>) -> Result<AccessLogFormat, String> {
    let fields =
        fields.map(|(key, text)| Ok((key.into_boxed_str(), template(&text)?))).collect::<Result<Vec<_>, String>>()?;
    Ok(AccessLogFormat::Json(fields.into()))
}

fn node(node: &WrittenNode) -> Node {
    let WrittenNode { name, namespace, labels, locality: _, cluster_domain } = node;
    let label = |keys: &[&str], otherwise: &str| -> Box<str> {
        keys.iter().find_map(|key| labels.get(*key)).map_or(otherwise, String::as_str).into()
    };
    Node {
        name: name.as_str().into(),
        namespace: namespace.as_str().into(),
        app: label(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"], name),
        version: label(&["version"], "unknown"),
        cluster_domain: cluster_domain.as_str().into(),
    }
}
