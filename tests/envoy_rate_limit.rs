//! Rate limits as Istio's users have them: EnvoyFilters and the configuration of a rate-limit service.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use serde_json::Value;
use tokio_stream::wrappers::TcpListenerStream;

use crate::harness::redis::Redis;
use crate::harness::{Client, Gateway, Response, Upstream, sluice};
use crate::rate_limit::config;

/// The filter of a global limit.
fn global(more: &str) -> String {
    patch(
        "global",
        "HTTP_FILTER",
        "",
        &format!(
            "{{name: envoy.filters.http.ratelimit, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit, domain: shop{more}, rate_limit_service: {{grpc_service: {{envoy_grpc: {{cluster_name: c}}}}, transport_api_version: V3}}}}}}"
        ),
    )
}

fn patch(name: &str, apply_to: &str, place: &str, value: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: {name}, namespace: istio-system}}\nspec: {{configPatches: [{{applyTo: {apply_to}, match: {{context: GATEWAY{place}}}, patch: {{operation: MERGE, value: {value}}}}}]}}\n"
    )
}

/// The configuration of a service, as it is or in a ConfigMap.
fn service(descriptors: &str) -> String {
    format!("---\ndomain: shop\ndescriptors:\n{descriptors}")
}

fn ask(gateway: &Gateway, path: &str, headers: &str) -> Response {
    Client::connect(gateway.address(80)).send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"))
}

fn statuses(gateway: &Gateway, path: &str, headers: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| ask(gateway, path, headers).status).collect()
}

fn explain(gateway: &Gateway, header: &str, url: &str) -> String {
    let mut explain = sluice();
    explain.args(["explain", "--config"]).arg(gateway.folder().join("config.yaml")).args(["-H", header, "GET", url]);
    String::from_utf8(explain.output().unwrap().stdout).unwrap()
}

const HOST: &str = ", routeConfiguration: {vhost: {name: \"\"}}";

#[test]
fn descriptors_are_counted_by_the_limits_of_their_domain() {
    let upstream = Upstream::echo("a");
    let limits = service(
        "- {key: user, rate_limit: {unit: year, requests_per_unit: 2}}\n- {key: user, value: vip, rate_limit: {unlimited: true}}\n- {key: user, value: 'bot*', shadow_mode: true, rate_limit: {unit: year, requests_per_unit: 1}}\n- {key: user, value: cheap, rate_limit: {name: cheap, unit: year, requests_per_unit: 1}}\n- {key: plan, value: gold, rate_limit: {unit: year, requests_per_unit: 3, replaces: [{name: cheap}]}}\n- key: tenant\n  descriptors: [{key: user, rate_limit: {unit: year, requests_per_unit: 1}}]\n",
    );
    let entries = "{rate_limits: [{actions: [{request_headers: {header_name: x-user, descriptor_key: user}}]}, {actions: [{request_headers: {headerName: x-plan, descriptorKey: plan}}]}, {actions: [{request_headers: {header_name: x-tenant, descriptor_key: tenant}}, {request_headers: {header_name: x-user, descriptor_key: user}}]}]}";
    let documents = limits
        + &global(", enable_x_ratelimit_headers: DRAFT_VERSION_03")
        + &patch("entries", "VIRTUAL_HOST", HOST, entries);
    let gateway = Gateway::start(&config(&upstream, &documents));
    let told = explain(&gateway, "X-User: ann", "http://h/");
    for expected in ["domain shop: descriptor (user, ann)", "2 in 31536000 s", "shop_user_ann_"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let first = ask(&gateway, "/", "X-User: ann\r\n");
    assert_eq!((first.status, first.header("x-ratelimit-limit")), (200, Some("2, 2;w=31536000")));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(statuses(&gateway, "/", "X-User: ann\r\n", 2), [200, 429]);
    let refused = ask(&gateway, "/", "X-User: ann\r\n");
    assert_eq!(
        (refused.header("x-envoy-ratelimited"), refused.header("x-ratelimit-remaining")),
        (Some("true"), Some("0"))
    );
    for (headers, expected) in [
        ("X-User: bob\r\n", [200, 200, 429]),
        ("X-User: vip\r\n", [200, 200, 200]),
        ("X-User: bot-7\r\n", [200, 200, 200]),
        ("X-User: cheap\r\n", [200, 429, 429]),
        ("X-User: cheap\r\nX-Plan: gold\r\n", [200, 200, 200]),
        ("X-User: cas\r\nX-Tenant: t\r\n", [200, 429, 429]),
        ("X-Tenant: t\r\n", [200, 200, 200]),
        ("", [200, 200, 200]),
    ] {
        assert_eq!(statuses(&gateway, "/", headers, 3), expected, "{headers}");
    }
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    assert!(metrics.contains("policy=\"shop\",result=\"would_limit\",rule=\"shop.user_bot*\""), "{metrics}");
}

#[test]
fn a_routes_entries_stand_for_its_hosts_unless_it_includes_them() {
    let upstream = Upstream::echo("a");
    let limits = service(
        "- {key: PATH, value: all, rate_limit: {unit: year, requests_per_unit: 2}}\n- {key: PATH, value: slow, rate_limit: {unit: year, requests_per_unit: 5}}\n",
    );
    let constant = |value: &str, more: &str| {
        format!(
            "{{route: {{{more}rate_limits: [{{actions: [{{generic_key: {{descriptor_key: PATH, descriptor_value: {value}}}}}]}}]}}}}"
        )
    };
    let host = "{rate_limits: [{actions: [{header_value_match: {descriptor_key: PATH, descriptor_value: all, headers: [{name: ':path', string_match: {prefix: /}}, {name: x-skip, present_match: true, invert_match: true}]}}]}]}";
    let route = ", routeConfiguration: {vhost: {name: \"h:80\", route: {name: slow}}}";
    let of = |more: &str| {
        config(
            &upstream,
            &(limits.clone()
                + &global("")
                + &patch("host", "VIRTUAL_HOST", HOST, host)
                + &patch("route", "HTTP_ROUTE", route, &constant("slow", more))),
        )
    };
    let gateway = Gateway::start(&of(""));
    assert_eq!(statuses(&gateway, "/a", "", 3), [200, 200, 429]);
    assert_eq!(statuses(&gateway, "/slow", "", 3), [200, 200, 200], "the route asks for its own");
    assert_eq!(statuses(&gateway, "/a", "X-Skip: 1\r\n", 1), [200]);
    assert_eq!(gateway.reload(&of("include_vh_rate_limits: true, "))["success"], true);
    assert_eq!(statuses(&gateway, "/slow", "", 1), [429], "and for the host's too");
}

#[test]
fn windows_are_shared_with_a_service_by_their_keys() {
    let (upstream, redis) = (Upstream::echo("a"), Redis::start());
    let map = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ratelimit-config}\ndata:\n  config.yaml: |\n    domain: shop\n    descriptors:\n    - key: remote_address\n      rate_limit: {unit: day, requests_per_unit: 3}\n";
    let documents = map.to_owned()
        + &global(", failure_mode_deny: true")
        + &patch("h", "VIRTUAL_HOST", HOST, "{rate_limits: [{actions: [{remote_address: {}}]}]}");
    let with = config(&upstream, &documents)
        .replace("workers: 2", &format!("workers: 2\n  redis: {{url: '{}', timeout: 2s}}", redis.url()));
    let (one, two) = (Gateway::start(&with), Gateway::start(&with));
    assert_eq!(statuses(&one, "/", "", 1), [200]);
    let key = redis.cli(&["KEYS", "shop_remote_address_127.0.0.1_*"]);
    let window: u64 = key.rsplit('_').next().unwrap().parse().unwrap();
    assert_eq!(window % 86_400, 0, "{key}");
    let left: u64 = redis.cli(&["TTL", &key]).parse().unwrap();
    assert!((86_000..=86_700).contains(&left), "{left}");
    assert_eq!(redis.cli(&["INCRBY", &key, "1"]), "2", "as a service beside would");
    assert_eq!([statuses(&two, "/", "", 1), statuses(&one, "/", "", 1)], [[200], [429]]);
    let asked = redis.calls("incrby");
    assert_eq!(statuses(&one, "/", "", 3), [429, 429, 429]);
    assert_eq!(redis.calls("incrby"), asked, "a window that is used up costs Redis nothing");
    redis.signal("STOP");
    crate::harness::wait_for("requests are refused while nobody knows", || {
        (statuses(&two, "/", "", 1) == [500]).then_some(())
    });
    redis.signal("CONT");
}

#[test]
fn buckets_of_the_process_limit_as_envoys_do() {
    let upstream = Upstream::echo("a");
    let bucket = |tokens: u32| format!("{{max_tokens: {tokens}, tokens_per_fill: {tokens}, fill_interval: 3600s}}");
    let share = "{default_value: {numerator: 100, denominator: HUNDRED}}";
    let local = |tokens: u32, more: &str| {
        format!(
            "{{'@type': type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, value: {{stat_prefix: t{tokens}, token_bucket: {}, filter_enabled: {share}, filter_enforced: {share}, response_headers_to_add: [{{append: false, header: {{key: x-local, value: 'true'}}}}]{more}}}}}",
            bucket(tokens)
        )
    };
    let filter = patch("local", "HTTP_FILTER", "", &format!("{{name: l, typed_config: {}}}", local(3, "")));
    let route = ", routeConfiguration: {vhost: {route: {name: slow}}}";
    let descriptors = format!(
        ", rate_limits: [{{actions: [{{request_headers: {{header_name: x-user, descriptor_key: user}}}}]}}], descriptors: [{{entries: [{{key: user, value: ann}}], token_bucket: {}}}]",
        bucket(1)
    );
    let own = patch(
        "own",
        "HTTP_ROUTE",
        route,
        &format!("{{typed_per_filter_config: {{envoy.filters.http.local_ratelimit: {}}}}}", local(9, &descriptors)),
    );
    let gateway = Gateway::start(&config(&upstream, &(filter + &own)));
    assert_eq!(statuses(&gateway, "/", "", 4), [200, 200, 200, 429]);
    assert_eq!(ask(&gateway, "/", "").header("x-local"), Some("true"));
    assert_eq!(statuses(&gateway, "/slow", "X-User: ann\r\n", 2), [200, 429], "the route has buckets of its own");
    assert_eq!(statuses(&gateway, "/slow", "X-User: bob\r\n", 2), [200, 200]);
    let told = explain(&gateway, "X-User: ann", "http://h/slow");
    assert!(told.contains("t9 of this process: the bucket of a descriptor"), "{told}");
}

#[test]
fn mistakes_are_told() {
    let upstream = Upstream::echo("a");
    let gateway = Gateway::start(&config(&upstream, ""));
    for (documents, expected) in [
        (service("- {key: '', rate_limit: {unit: year, requests_per_unit: 1}}\n"), "empty key"),
        (service("- {key: a, rate_limit: {unit: fortnight, requests_per_unit: 1}}\n"), "fortnight"),
        (service("- {key: a, ratelimit: {unit: year, requests_per_unit: 1}}\n"), "ratelimit"),
        (service("- {key: a, value: b}\n- {key: a, value: b}\n"), "duplicate descriptor composite key"),
        (service("- {key: a, rate_limit: {unlimited: true, unit: year}}\n"), "exclude each other"),
        (
            service("- {key: a}\n") + &service("- {key: b}\n").replace("domain: shop", "# again\ndomain: shop"),
            "declared twice",
        ),
        (global(", stage: many"), "cannot be read"),
        (
            patch("h", "VIRTUAL_HOST", HOST, "{rate_limits: [{actions: [{request_header: {}}]}]}"),
            "unknown field `request_header`",
        ),
    ] {
        let report: Value = gateway.reload(&config(&upstream, &documents));
        assert_eq!(report["success"], false, "{documents}");
        assert!(report.to_string().contains(expected), "{documents}: {report}");
    }
}

/// A rate-limit service that admits so many requests of each descriptor, and remembers what it was asked.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Vec<String>>>);

const ADMITS: usize = 2;

#[tonic::async_trait]
impl RateLimitService for Service {
    async fn should_rate_limit(
        &self,
        request: tonic::Request<RateLimitRequest>,
    ) -> Result<tonic::Response<RateLimitResponse>, tonic::Status> {
        let RateLimitRequest { domain, descriptors, hits_addend } = request.into_inner();
        let entries = descriptors.iter().flat_map(|it| &it.entries).map(|it| format!("{}={}", it.key, it.value));
        let asked = format!("{domain} {} {hits_addend}", entries.collect::<Vec<_>>().join(","));
        let mut all = self.0.lock().unwrap();
        all.push(asked.clone());
        let count = all.iter().filter(|it| **it == asked).count();
        let header = HeaderValue { key: "x-count".to_owned(), value: count.to_string(), ..HeaderValue::default() };
        let overall_code = if count > ADMITS { 2 } else { 1 };
        let response_headers_to_add = vec![header];
        Ok(tonic::Response::new(RateLimitResponse {
            overall_code,
            response_headers_to_add,
            ..RateLimitResponse::default()
        }))
    }
}

fn serve() -> (tokio::runtime::Runtime, SocketAddr, Service) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let service = Service::default();
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(RateLimitServiceServer::new(service.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    });
    (runtime, address, service)
}

#[test]
fn a_service_is_asked_where_its_limits_are_not_known() {
    let upstream = Upstream::echo("a");
    let (runtime, address, service) = serve();
    let entry = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: ratelimit}}\nspec: {{hosts: [ratelimit.test], resolution: STATIC, ports: [{{number: 8081, name: grpc, protocol: GRPC, targetPort: {}}}], endpoints: [{{address: 127.0.0.1}}]}}\n",
        address.port()
    );
    let named = global(", timeout: 5s, failure_mode_deny: true, status_on_error: {code: ServiceUnavailable}")
        .replace("cluster_name: c", "cluster_name: 'outbound|8081||ratelimit.test'");
    let entries = "{rate_limits: [{actions: [{request_headers: {header_name: x-user, descriptor_key: user}}, {generic_key: {descriptor_value: g}}]}]}";
    let gateway = Gateway::start(&config(&upstream, &(entry + &named + &patch("h", "VIRTUAL_HOST", HOST, entries))));
    let first = ask(&gateway, "/", "X-User: ann\r\n");
    assert_eq!((first.status, first.header("x-count")), (200, Some("1")), "{}", first.text());
    assert_eq!(statuses(&gateway, "/", "X-User: ann\r\n", 2), [200, 429]);
    assert_eq!(statuses(&gateway, "/", "X-User: bob\r\n", 1), [200]);
    assert_eq!(statuses(&gateway, "/", "", 3), [200, 200, 200], "without a descriptor nobody is asked");
    let asked = service.0.lock().unwrap().clone();
    assert_eq!(asked.first().map(String::as_str), Some("shop user=ann,generic_key=g 1"));
    assert_eq!(asked.len(), 4);
    drop(runtime);
    crate::harness::wait_for("it is gone", || (statuses(&gateway, "/", "X-User: cas\r\n", 1) == [503]).then_some(()));
}
