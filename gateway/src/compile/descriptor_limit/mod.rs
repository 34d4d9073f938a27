//! Lowers EnvoyFilters that bring rate limits, with the configuration of the service that they would ask.

mod actions;

use std::collections::HashMap;

use config_schema::istio::envoy_filter::{ConfigPatch, PatchContext};
use config_schema::istio::envoy_rate_limit::{
    self, Fraction, GlobalRateLimit, HeaderOption, LocalRateLimit, Payload, RouteRateLimit,
    StatusCode as WrittenStatus, TokenBucket,
};
use config_schema::istio::rate_limit_service::{self, Descriptor, RateLimitService, ServiceLimit};
use config_schema::istio::shared::{Destination, PortSelector, selects};
use config_schema::value::Duration;
use config_schema::{Config, Problem};
use http::{HeaderName, HeaderValue, StatusCode};

use super::clusters::Clusters;
use super::matches::broken;
use crate::filter::descriptor_limit::patches::Patch;
use crate::filter::descriptor_limit::service::LimitService;
use crate::filter::descriptor_limit::tree::{Node, Tree, WindowLimit};
use crate::filter::descriptor_limit::{Bucket, DescriptorLimits, Entry, Global, Local, Refusal};
use crate::filter::fault::{Share, WHOLE};
use crate::quota::gcra::Limit;
use crate::routing::route::Target;

/// Longest wait for a service, when nobody says (Envoy's default).
const TIMEOUT: std::time::Duration = std::time::Duration::from_millis(20);

pub(super) fn lower(config: &Config, clusters: &mut Clusters<'_>) -> Result<DescriptorLimits, Box<Problem>> {
    let node = &config.settings.node;
    let services = services(config);
    let mut out = DescriptorLimits::default();
    let mut patches = Vec::new();
    let ours = config.documents.envoy_filters.iter().filter(|it| {
        let selected = it.spec.workload_selector.as_ref().is_none_or(|it| selects(&it.labels, &node.labels));
        selected && config.settings.takes_policies_of(&it.metadata.namespace)
    });
    for patch in ours.flat_map(|it| &it.spec.config_patches).filter(|it| is_for_gateways(it)) {
        for payload in envoy_rate_limit::read(patch).unwrap_or_default() {
            let (host, route) = place(patch);
            let is_filter = patch.apply_to == Some(config_schema::istio::envoy_filter::ApplyTo::HttpFilter);
            match payload {
                Payload::Global(it) => out.global = Some(global(&it, services.get(it.domain.as_str()), clusters)?),
                Payload::Local(it) if is_filter => out.local = Some(local(&it, &node.name)?),
                Payload::Local(it) => {
                    let local = Some(local(&it, &node.name)?);
                    patches.push(Patch { host, route, entries: Box::default(), includes_host: true, local });
                }
                Payload::Descriptors(entries, includes_host) => {
                    let entries = self::entries(&entries, &node.name)?;
                    patches.push(Patch { host, route, entries, includes_host, local: None });
                }
            }
        }
    }
    out.patches = patches.into_iter().collect();
    Ok(out)
}

fn is_for_gateways(patch: &ConfigPatch) -> bool {
    let context = patch.selector.as_ref().and_then(|it| it.context).unwrap_or(PatchContext::Any);
    matches!(context, PatchContext::Any | PatchContext::Gateway)
}

/// The virtual host and the route that a patch is for.
fn place(patch: &ConfigPatch) -> (Option<Box<str>>, Option<Box<str>>) {
    let configuration = patch.selector.as_ref().and_then(|it| it.route_configuration.as_ref());
    let host = configuration.and_then(|it| it.get("vhost"));
    let name = |it: &serde_json::Value| it.get("name").and_then(|it| it.as_str()).map(Box::<str>::from);
    let named = |it: Option<Box<str>>| it.filter(|it| !it.is_empty());
    let is_route = patch.apply_to == Some(config_schema::istio::envoy_filter::ApplyTo::HttpRoute);
    // A patch of routes without a name is for all of them, which is what a virtual host's own is too.
    let route = host.and_then(|it| it.get("route")).and_then(name).filter(|_| is_route);
    (named(host.and_then(name)), named(route))
}

/// The configurations of rate-limit services, by domain.
fn services(config: &Config) -> HashMap<String, RateLimitService> {
    let texts = config.documents.config_maps.iter().flat_map(|it| it.spec.data.values());
    let read = texts.filter(|it| rate_limit_service::is_one(it)).filter_map(|it| rate_limit_service::read(it).ok());
    read.map(|it| (it.domain.clone(), it)).collect()
}

fn global(
    written: &GlobalRateLimit,
    service: Option<&RateLimitService>,
    clusters: &mut Clusters<'_>,
) -> Result<Global, Box<Problem>> {
    let mut tree = Tree::default();
    if let Some(service) = service {
        add(&mut tree, &service.descriptors, &service.domain);
    }
    let refused = status(written.status_on_error.as_ref(), StatusCode::INTERNAL_SERVER_ERROR);
    Ok(Global {
        domain: written.domain.as_str().into(),
        tree,
        service: if service.is_some() { None } else { asked(written, clusters)? },
        stage: written.stage,
        on_failure: written.failure_mode_deny.then_some(refused),
        refusal: Refusal {
            status: status(written.rate_limited_status.as_ref(), StatusCode::TOO_MANY_REQUESTS),
            headers: headers(&written.response_headers_to_add),
            is_marked: !written.disable_x_envoy_ratelimited_header,
            is_exhausted: written.rate_limited_as_resource_exhausted,
            tells: written.enable_x_ratelimit_headers == "DRAFT_VERSION_03",
        },
    })
}

/// The service that a filter names by Istio's name of a cluster (`outbound|port||host`).
fn asked(written: &GlobalRateLimit, clusters: &mut Clusters<'_>) -> Result<Option<LimitService>, Box<Problem>> {
    let service = written.rate_limit_service.as_ref();
    let name = service.and_then(|it| it.pointer("/grpc_service/envoy_grpc/cluster_name")?.as_str()).unwrap_or_default();
    let mut parts = name.split('|');
    let (Some("outbound"), Some(port), Some(subset), Some(host)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        log::warn!(
            "rate limits of domain `{}`: neither its configuration nor the cluster `{name}` is known",
            written.domain
        );
        return Ok(None);
    };
    let port = Some(PortSelector { number: port.parse().unwrap_or_default() });
    let destination = Destination { host: host.to_owned(), subset: subset.to_owned(), port };
    let timeout = Duration::parse(&written.timeout).map_or(TIMEOUT, |it| it.0);
    Ok(match clusters.grpc_target(&destination, "default")? {
        Target::Cluster(cluster) => Some(LimitService { cluster, timeout }),
        Target::Missing(_) | Target::Refused(_) => None,
    })
}

fn add(tree: &mut Tree, descriptors: &[Descriptor], path: &str) {
    for it in descriptors {
        let value = if it.value.is_empty() { String::new() } else { format!("_{}", it.value) };
        let path = format!("{path}.{}{value}", it.key);
        let mut below = Tree::default();
        add(&mut below, &it.descriptors, &path);
        let limit = it.rate_limit.as_ref().map(|limit| window(limit, it.shadow_mode, &path));
        let shared = it.share_threshold.then(|| it.value.as_str().into());
        tree.add(&it.key, &it.value, Node { limit, below, shared });
    }
}

fn window(limit: &ServiceLimit, is_shadow: bool, path: &str) -> WindowLimit {
    let ServiceLimit { unit, requests_per_unit, unlimited, name, replaces } = limit;
    WindowLimit {
        name: name.as_str().into(),
        path: path.into(),
        requests: (!unlimited).then_some(*requests_per_unit),
        period: unit.map_or(1, |it| it.seconds()),
        is_shadow,
        replaces: replaces.iter().map(|it| it.name.as_str().into()).collect(),
    }
}

fn local(written: &LocalRateLimit, node: &str) -> Result<Local, Box<Problem>> {
    let mut descriptors = Vec::new();
    for it in &written.descriptors {
        let entries = it.entries.iter().map(|it| (it.key.as_str().into(), it.value.as_str().into()));
        if let Some(limit) = it.token_bucket.as_ref().map(bucket).transpose()? {
            descriptors.push(Bucket { entries: entries.collect(), limit });
        }
    }
    Ok(Local {
        name: written.stat_prefix.as_str().into(),
        bucket: written.token_bucket.as_ref().map(bucket).transpose()?,
        enabled: share(written.filter_enabled.as_ref()),
        enforced: share(written.filter_enforced.as_ref()),
        descriptors: descriptors.into(),
        entries: entries(&written.rate_limits, node)?,
        stage: written.stage,
        always_default: written.always_consume_default_token_bucket.unwrap_or(true),
        refusal: Refusal {
            status: status(written.status.as_ref(), StatusCode::TOO_MANY_REQUESTS),
            headers: headers(&written.response_headers_to_add),
            is_marked: false,
            is_exhausted: written.rate_limited_as_resource_exhausted,
            tells: written.enable_x_ratelimit_headers == "DRAFT_VERSION_03",
        },
    })
}

fn bucket(written: &TokenBucket) -> Result<Limit, Box<Problem>> {
    let TokenBucket { max_tokens, tokens_per_fill, fill_interval } = written;
    let interval = Duration::parse(fill_interval).map(|it| it.0).unwrap_or_default();
    Limit::refilled(tokens_per_fill.unwrap_or(1), interval, *max_tokens)
        .ok_or_else(|| broken(format!("a bucket of {max_tokens} tokens every `{fill_interval}` cannot be counted")))
}

fn share(written: Option<&Fraction>) -> Share {
    let Some(Fraction { runtime_key: _, default_value }) = written else { return Share(0) };
    let parts = match default_value.denominator.as_str() {
        "MILLION" => 1,
        "TEN_THOUSAND" => 100,
        _ => 10_000,
    };
    Share(default_value.numerator.saturating_mul(parts).min(WHOLE))
}

fn entries(written: &[RouteRateLimit], node: &str) -> Result<Box<[Entry]>, Box<Problem>> {
    let each = |it: &RouteRateLimit| {
        let actions = it.actions.iter().map(|it| actions::action(it, node)).collect::<Result<_, _>>()?;
        Ok(Entry { stage: it.stage, actions })
    };
    written.iter().map(each).collect()
}

/// A status by number, or by Envoy's name.
fn status(written: Option<&WrittenStatus>, usual: StatusCode) -> StatusCode {
    let Some(WrittenStatus { code }) = written else { return usual };
    let number = code.as_u64().and_then(|it| u16::try_from(it).ok());
    let named = code.as_str().and_then(|name| {
        (400..600).find(|it| {
            let known = StatusCode::from_u16(*it).ok().and_then(|it| it.canonical_reason());
            known.is_some_and(|it| it.replace([' ', '-', '\''], "").eq_ignore_ascii_case(name))
        })
    });
    // Envoy takes no status below 400 here.
    let chosen = number.or(named).filter(|it| *it >= 400).and_then(|it| StatusCode::from_u16(it).ok());
    chosen.unwrap_or(usual)
}

fn headers(written: &[HeaderOption]) -> Box<[(HeaderName, HeaderValue)]> {
    let each = |it: &HeaderOption| {
        let name = HeaderName::try_from(it.header.key.as_str()).ok()?;
        Some((name, HeaderValue::try_from(it.header.value.as_str()).ok()?))
    };
    written.iter().filter_map(each).collect()
}
