//! Lowers the policies of action CUSTOM: the one service that they ask, and about what.

use std::sync::Arc;
use std::time::Duration;

use config_schema::istio::authorization_policy::AuthorizationPolicy;
use config_schema::istio::extension_provider::{ExtAuthzGrpc, ExtAuthzHttp, ExtensionProvider, RequestBody};
use config_schema::istio::shared::{Destination, PortSelector};
use config_schema::problem::code;
use config_schema::{Config, Problem, Resource, Severity};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::clusters::Clusters;
use crate::filter::authorization::{Group, Rule};
use crate::filter::external_authorization::{BodyTerms, Custom, HttpService, MAX_BODY, Provider, Service, names};
use crate::routing::route::Target;
use crate::upstream::cluster::Cluster;

/// Bound on an answer when nobody says (Istio's default).
const TIMEOUT: Duration = Duration::from_secs(600);

/// The rules that ask, and whom.
#[derive(Default)]
pub(super) struct Asks<'a> {
    rules: Vec<Rule>,
    provider: Option<(&'a Resource<AuthorizationPolicy>, &'a str)>,
}

impl<'a> Asks<'a> {
    /// The rules of a policy that asks a provider; all policies must ask the same.
    pub(super) fn of(
        &mut self,
        policy: &'a Resource<AuthorizationPolicy>,
        name: &'a str,
    ) -> Result<&mut Vec<Rule>, Box<Problem>> {
        let (first, asked) = *self.provider.get_or_insert((policy, name));
        if asked == name {
            return Ok(&mut self.rules);
        }
        let other = format!("{}/{}", first.metadata.namespace, first.metadata.name);
        let message = format!("one gateway asks one provider, and AuthorizationPolicy {other} asks `{asked}` already");
        let problem = policy.problem(code::SCHEMA, Severity::Error, "spec.provider.name", message);
        Err(Box::new(problem.help("let all policies of action CUSTOM that apply to this gateway name one provider")))
    }

    pub(super) fn finish(self, config: &Config, clusters: &mut Clusters<'_>) -> Result<Option<Custom>, Box<Problem>> {
        let Some((policy, name)) = self.provider else { return Ok(None) };
        let providers = &config.settings.mesh_config.extension_providers;
        let Some(written) = providers.iter().find(|it| it.name == name) else {
            let known: Vec<&str> = providers.iter().map(|it| it.name.as_str()).collect();
            let message = format!("no provider `{name}` is declared");
            let problem = policy.problem(code::REFERENCE_NOT_FOUND, Severity::Error, "spec.provider.name", message);
            let help = format!("declare it in meshConfig.extensionProviders of GatewaySettings; there are: {known:?}");
            return Err(Box::new(problem.help(help)));
        };
        let wrong = |why: &str| {
            let message = format!("the provider `{name}` cannot be asked: {why}");
            Box::new(policy.problem(code::SCHEMA, Severity::Error, "spec.provider.name", message))
        };
        let provider = lower(written, (config, clusters), wrong)?;
        Ok(Some(Custom { rules: Group::new(self.rules), provider }))
    }
}

fn lower(
    written: &ExtensionProvider,
    (config, clusters): (&Config, &mut Clusters<'_>),
    wrong: impl Fn(&str) -> Box<Problem>,
) -> Result<Provider, Box<Problem>> {
    let name = written.name.as_str().into();
    let root = config.settings.root_namespace();
    match (&written.envoy_ext_authz_http, &written.envoy_ext_authz_grpc) {
        (Some(http), None) => {
            let cluster = cluster(&http.service, http.port, (root, false), clusters)?;
            Ok(Provider {
                name,
                cluster: cluster.ok_or_else(|| wrong("its service cannot be found"))?,
                timeout: http.timeout.map_or(TIMEOUT, |it| it.0),
                fails_open: http.fail_open,
                status_on_error: status(&http.status_on_error),
                body: http.include_request_body_in_check.as_ref().map(body),
                service: Service::Http(Box::new(http_service(http, wrong)?)),
            })
        }
        (None, Some(grpc)) => {
            // The route is chosen after the answer anyway.
            let ExtAuthzGrpc {
                service,
                port,
                timeout,
                fail_open,
                clear_route_cache: _,
                status_on_error,
                include_request_body_in_check,
            } = grpc;
            let cluster = cluster(service, *port, (root, true), clusters)?;
            Ok(Provider {
                name,
                cluster: cluster.ok_or_else(|| wrong("its service cannot be found"))?,
                timeout: timeout.map_or(TIMEOUT, |it| it.0),
                fails_open: *fail_open,
                status_on_error: status(status_on_error),
                body: include_request_body_in_check.as_ref().map(body),
                service: Service::Grpc,
            })
        }
        (Some(_), Some(_)) => Err(wrong("it is both envoyExtAuthzHttp and envoyExtAuthzGrpc")),
        (None, None) => Err(wrong("it is neither envoyExtAuthzHttp nor envoyExtAuthzGrpc")),
    }
}

fn http_service(written: &ExtAuthzHttp, wrong: impl Fn(&str) -> Box<Problem>) -> Result<HttpService, Box<Problem>> {
    let ExtAuthzHttp {
        service: _,
        port: _,
        timeout: _,
        path_prefix,
        fail_open: _,
        clear_route_cache: _,
        status_on_error: _,
        include_headers_in_check,
        include_request_headers_in_check,
        include_additional_headers_in_check,
        include_request_body_in_check: _,
        headers_to_upstream_on_allow,
        headers_to_downstream_on_deny,
        headers_to_downstream_on_allow,
    } = written;
    // What Envoy shows without being asked to; the host and the length are shown anyway.
    let always = [header::AUTHORIZATION.as_str().to_owned()];
    let shown = include_headers_in_check.iter().chain(include_request_headers_in_check).chain(&always);
    let added = include_additional_headers_in_check.iter().map(|(name, value)| {
        let header = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::try_from(value.as_str()).ok());
        header.ok_or_else(|| wrong(&format!("`{name}: {value}` is no header")))
    });
    Ok(HttpService {
        prefix: path_prefix.as_str().into(),
        shows: names(shown),
        adds: added.collect::<Result<_, _>>()?,
        to_upstream: names(headers_to_upstream_on_allow),
        on_deny: Some(headers_to_downstream_on_deny).filter(|it| !it.is_empty()).map(names),
        on_allow: names(headers_to_downstream_on_allow),
    })
}

/// The cluster of `[namespace/]host`.
fn cluster(
    service: &str,
    port: u32,
    (root, speaks_grpc): (&str, bool),
    clusters: &mut Clusters<'_>,
) -> Result<Option<Arc<Cluster>>, Box<Problem>> {
    let (namespace, host) = service.split_once('/').unwrap_or((root, service));
    let destination =
        Destination { host: host.to_owned(), subset: String::new(), port: Some(PortSelector { number: port }) };
    let target = if speaks_grpc {
        clusters.grpc_target(&destination, namespace)?
    } else {
        clusters.target(&destination, namespace, 0)?
    };
    Ok(match target {
        Target::Cluster(it) => Some(it),
        Target::Missing(_) | Target::Refused(_) => None,
    })
}

fn body(written: &RequestBody) -> BodyTerms {
    let RequestBody { max_request_bytes, allow_partial_message, pack_as_bytes } = written;
    let max = usize::try_from(*max_request_bytes).unwrap_or(MAX_BODY).min(MAX_BODY);
    BodyTerms { max, allows_part: *allow_partial_message, as_bytes: *pack_as_bytes }
}

fn status(written: &str) -> StatusCode {
    written.parse().ok().and_then(|it| StatusCode::from_u16(it).ok()).unwrap_or(StatusCode::FORBIDDEN)
}
