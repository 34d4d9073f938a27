//! Compiling resolves names to endpoints, takes clusters over and refuses what it cannot serve.

use std::sync::LazyLock;

use config_schema::read::read_text;
use config_schema::validate;
use proptest::prelude::*;

use super::*;
use crate::egress::target::Target;
use crate::local_reply::egress_fault::EgressFault;
use crate::routing::request::{Request, Scheme};
use crate::routing::route::Action;
use crate::routing::way_out::{Use, Way, WaysOut};
use crate::snapshot::Service;

const BASE: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2}}]
";

const ROUTE: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [h]
  gateways: [edge]
  http:
  - route: [{destination: {host: a.test, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a.test
  subsets: [{name: v1, labels: {version: v1}}]
";

#[track_caller]
fn compiled(text: &str, before: Option<&Snapshot>) -> Snapshot {
    let (documents, read) = read_text("test.yaml", text);
    let (config, _) = validate::config(documents, read).map_err(|it| it.render_text()).unwrap();
    snapshot(&config, before, SystemTime::UNIX_EPOCH).unwrap()
}

/// Names of the cluster and endpoints that a request goes to.
fn destination(snapshot: &Snapshot, target: &str) -> String {
    let headers = http::HeaderMap::new();
    let request = Request {
        method: "GET",
        scheme: Scheme::Http,
        authority: "h",
        target,
        headers: &headers,
        port: 80,
        claims: None,
    };
    let crate::snapshot::Service::Http(hosts) = &snapshot.listeners[0].service else { panic!("no HTTP") };
    let host = hosts.find(&request.host()).unwrap();
    let Action::Forward(forward) = &host.find(&request).unwrap().action else { panic!("not forwarded") };
    let crate::routing::route::Target::Cluster(cluster) = &forward.destinations[0].target else { panic!("missing") };
    let endpoints = cluster.endpoints();
    let addresses: Vec<String> = endpoints.iter().map(|it| it.address.to_string()).collect();
    format!("{} {}", cluster.name(), addresses.join(","))
}

#[test]
fn a_subset_has_the_endpoints_with_its_labels() {
    let snapshot = compiled(&format!("{BASE}{ROUTE}"), None);
    assert_eq!(destination(&snapshot, "/"), "outbound|80|v1|a.test 10.0.0.1:80");
}

#[test]
fn workload_entries_and_kubernetes_slices_are_endpoints() {
    let selected = BASE.replace(
        "  endpoints: [{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2}}]",
        "  workloadSelector: {labels: {app: a}}",
    );
    let workload = "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w}\nspec: {address: 10.0.0.7, labels: {app: a, version: v1}, ports: {http: 8080}}\n";
    let snapshot = compiled(&format!("{selected}{workload}{ROUTE}"), None);
    assert_eq!(destination(&snapshot, "/"), "outbound|80|v1|a.test 10.0.0.7:8080");

    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: {selector: {app: s}, clusterIP: 10.9.9.9, ports: [{name: http, port: 80, targetPort: web}]}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-1, namespace: shop, labels: {kubernetes.io/service-name: s}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints:\n- {addresses: [10.0.1.1], conditions: {ready: true}}\n- {addresses: [10.0.1.2], conditions: {ready: false}}\n";
    let route = ROUTE.replace("{host: a.test, subset: v1}", "{host: s.shop.svc.cluster.local}");
    let snapshot = compiled(&format!("{BASE}{service}{route}"), None);
    assert_eq!(destination(&snapshot, "/"), "outbound|80||s.shop.svc.cluster.local 10.0.1.1:8080");
}

#[test]
fn an_unchanged_cluster_is_taken_over_and_a_changed_one_is_not() {
    let text = format!("{BASE}{ROUTE}");
    let first = compiled(&text, None);
    let same = compiled(&text.replace("hosts: [h]", "hosts: [h, g]"), Some(&first));
    let other = compiled(&text.replace("10.0.0.1", "10.0.0.9"), Some(&first));
    let cluster = |it: &Snapshot| Arc::clone(it.clusters.values().next().unwrap());
    assert!(Arc::ptr_eq(&cluster(&first), &cluster(&same)));
    assert!(!Arc::ptr_eq(&cluster(&first), &cluster(&other)));
    assert_eq!((same.generation, fresh_clusters(&same, Some(&first)).len()), (2, 0));
    assert_eq!(fresh_clusters(&other, Some(&first)).len(), 1);
}

#[test]
fn a_port_that_goes_away_is_still_known_to_its_last_connections() {
    let first = compiled(&format!("{BASE}{ROUTE}"), None);
    let key = first.listeners[0].wanted.key;
    let next = compiled(
        &format!(
            "{}{ROUTE}",
            BASE.replace(
                "number: 80, name: http, protocol: HTTP}\n    hosts",
                "number: 81, name: http, protocol: HTTP}\n    hosts"
            )
        ),
        Some(&first),
    );
    assert!(next.listeners.iter().all(|it| it.wanted.key != key));
    assert!(next.listener(key).is_some());
    let after = compiled(&format!("{BASE}{ROUTE}"), Some(&compiled(&format!("{BASE}{ROUTE}"), Some(&next))));
    assert!(after.retired.is_empty());
}

proptest! {
    /// Whatever an operator breaks, the answer is a report.
    #[test]
    fn broken_files_are_reported_and_never_panic(
        cuts in prop::collection::vec((0_usize..1500, 0_usize..12, "[ -~\n]{0,6}"), 1..6),
    ) {
        let mut text = format!("{BASE}{ROUTE}");
        for (at, length, insert) in cuts {
            let start = at.min(text.len());
            let end = (start + length).min(text.len());
            text.replace_range(start..end, &insert);
        }
        let (documents, read) = read_text("test.yaml", &text);
        match validate::config(documents, read) {
            Ok((config, _)) => prop_assert!(snapshot(&config, None, SystemTime::UNIX_EPOCH).is_ok()),
            Err(mut problems) => {
                problems.locate();
                prop_assert!(problems.has_errors());
                prop_assert!(!problems.render_text().is_empty());
            }
        }
    }
}

/// Destinations that clients of a forward proxy may reach, by name, wildcard and network.
static WAYS: LazyLock<Arc<WaysOut>> = LazyLock::new(|| {
    let entry = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        )
    };
    let text = [
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: p, namespace: istio-system}\n".to_owned(),
        "spec: {egress: [{port: {number: 3128, name: p, protocol: HTTP_PROXY}, hosts: ['*/*']}]}\n".to_owned(),
        entry("a", "hosts: [api.test], resolution: DNS, ports: [{number: 443, name: t, protocol: TLS}]"),
        entry("b", "hosts: ['*.example.com'], resolution: DYNAMIC_DNS, ports: [{number: 443, name: t, protocol: TLS}]"),
        entry("c", "hosts: [c.test], addresses: [127.0.0.0/8, '2001:db8::/32'], resolution: NONE, ports: [{number: 443, name: t, protocol: TLS}]"),
    ]
    .concat();
    let snapshot = compiled(&text, None);
    match &snapshot.listeners[0].service {
        Service::Proxy(proxy) => Arc::clone(&proxy.ways),
        other @ (Service::Http(_) | Service::Tcp(_) | Service::Tls(_)) => panic!("{other:?}"),
    }
});

/// Who lets a tunnel out, at which of its ports.
type Decision = Result<(String, usize), EgressFault>;

/// The one form of a destination, and what is decided about it.
fn decision(text: &str) -> Option<(String, Decision)> {
    let target = Target::parse(text, None).ok()?;
    let way = WAYS.decide(&target, Use::Tunnel).map(|way| match way {
        Way::Named(host, port) => (host.name.to_string(), port),
        Way::Unnamed(fault) => panic!("{fault:?}"),
    });
    Some((target.to_string(), way))
}

proptest! {
    /// Another case, a final dot, and its own form change nothing about a destination.
    #[test]
    fn a_destination_is_judged_alike_in_all_its_spellings(
        labels in prop::collection::vec(
            prop::sample::select(&["api", "test", "example", "com", "www", "xn--bcher-kva", "a_b", "127", "1", "0x7f", "0"][..]),
            1..5,
        ),
        cases in prop::collection::vec(any::<bool>(), 64),
        port in prop::sample::select(&["443", "80", "0443", "65536"][..]),
    ) {
        let host = labels.join(".");
        let flipped: String = host
            .chars()
            .zip(&cases)
            .map(|(it, upper)| if *upper { it.to_ascii_uppercase() } else { it })
            .collect();
        let plain = decision(&format!("{host}:{port}"));
        prop_assert_eq!(&plain, &decision(&format!("{flipped}:{port}")));
        let dotted = decision(&format!("{flipped}.:{port}"));
        // Addresses have no final dot, in whatever spelling.
        let is_number_like = labels.last().is_some_and(|it| it.starts_with(|it: char| it.is_ascii_digit()));
        prop_assert_eq!(dotted, if is_number_like { None } else { plain.clone() });
        if let Some((form, _)) = &plain {
            prop_assert_eq!(&plain, &decision(form));
        }
    }

    /// Every spelling of an IPv6 address is the address; none of an IPv4 one but the usual is one.
    #[test]
    fn an_address_is_judged_alike_in_all_its_spellings(bits in any::<u128>(), near in any::<bool>(), upper in any::<bool>()) {
        let address = std::net::Ipv6Addr::from_bits(if near { bits >> 32 | 0x2001_0db8 << 96 } else { bits });
        let groups = address.segments();
        let long = groups.map(|it| format!("{it:04x}")).join(":");
        let long = if upper { long.to_ascii_uppercase() } else { long };
        prop_assert_eq!(decision(&format!("[{long}]:443")), decision(&format!("[{address}]:443")));
        let v4 = std::net::Ipv4Addr::from_bits(bits as u32 & 0xff_ffff | 127 << 24);
        let [a, b, c, d] = v4.octets();
        for other in [
            u32::from(v4).to_string(),
            format!("{:#x}", u32::from(v4)),
            format!("0{a:o}.{b}.{c}.{d}"),
            format!("{a}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
            format!("{v4}."),
        ] {
            prop_assert_eq!(decision(&format!("{other}:443")), None, "{}", other);
        }
        prop_assert_eq!(decision(&format!("{v4}:443")).map(|it| it.1), Some(Ok(("c.test".to_owned(), 0))));
    }
}

/// What a snapshot of the base says with this policy beside it.
fn with_policy(head: &str, spec: &str) -> Result<Snapshot, Box<Problem>> {
    let text = format!("{BASE}---\napiVersion: security.istio.io/v1\n{head}\nspec: {spec}\n");
    let (documents, read) = read_text("test.yaml", &text);
    let (config, _) = validate::config(documents, read).map_err(|it| it.render_text()).unwrap();
    snapshot(&config, None, SystemTime::UNIX_EPOCH)
}

#[test]
fn an_access_policy_that_cannot_be_enforced_is_not_served_without() {
    let policy = "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}";
    let tokens = "kind: RequestAuthentication\nmetadata: {name: p, namespace: istio-system}";
    for (head, spec, message) in [
        (policy, "{action: CUSTOM, provider: {name: opa}, rules: [{}]}", "no provider `opa` is declared"),
        (policy, "{rules: [{when: [{key: experimental.envoy.filters.a, values: [b]}]}]}", "is not enforced yet"),
        (tokens, "{jwtRules: [{issuer: i, jwks: '{\"keys\": []}'}]}", "the keys cannot be used"),
    ] {
        let problem = with_policy(head, spec).unwrap_err();
        assert!(problem.message.contains(message), "{spec}: {problem:?}");
    }
    assert!(!with_policy(policy, "{}").unwrap().authorization.is_empty());
}

#[test]
fn an_access_policy_of_another_workload_does_not_matter() {
    let elsewhere = "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}";
    let here = "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}";
    for (head, spec) in
        [(elsewhere, "{}"), (here, "{selector: {matchLabels: {app: cart}}}"), (here, "{action: AUDIT, rules: [{}]}")]
    {
        let snapshot = with_policy(head, spec).unwrap();
        let is_audit = spec.contains("AUDIT");
        assert_eq!(snapshot.authorization.is_empty(), !is_audit, "{spec}");
    }
}

/// The cluster that requests of [`ROUTE`] without its subset go to.
fn cluster(text: &str) -> std::sync::Arc<crate::upstream::cluster::Cluster> {
    let snapshot = compiled(text, None);
    let mut clusters = snapshot.clusters.values();
    std::sync::Arc::clone(clusters.next().unwrap())
}

fn rule(extra: &str, policy: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a{extra}\nspec:\n  host: a.test\n  {policy}\n"
    )
}

#[test]
fn rules_apply_where_they_are_exported_to_and_to_whom_they_select() {
    use crate::upstream::balancer::Policy;
    let route = ROUTE.split("---\napiVersion: networking.istio.io/v1\nkind: DestinationRule").next().unwrap();
    let route = route.replace(", subset: v1", "");
    let random = "trafficPolicy: {loadBalancer: {simple: RANDOM}}";
    let robin = "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}";
    let ours = ", namespace: istio-system}";
    for (rules, expected) in [
        (rule("}", random), Policy::Random),
        (rule("}", &format!("exportTo: [istio-system]\n  {random}")), Policy::Random),
        (rule("}", &format!("exportTo: ['.']\n  {random}")), Policy::LeastRequest),
        (rule(ours, &format!("exportTo: ['.']\n  {random}")), Policy::Random),
        (rule(ours, &format!("workloadSelector: {{labels: {{istio: ingressgateway}}}}\n  {random}")), Policy::Random),
        (rule(ours, &format!("workloadSelector: {{labels: {{app: other}}}}\n  {random}")), Policy::LeastRequest),
        (
            rule(ours, robin)
                + &rule(
                    "2, namespace: istio-system}",
                    &format!("workloadSelector: {{labels: {{istio: ingressgateway}}}}\n  {random}"),
                ),
            Policy::Random,
        ),
    ] {
        assert_eq!(cluster(&format!("{BASE}{route}{rules}")).definition().division.policy, expected, "{rules}");
    }
}

#[test]
fn a_port_replaces_and_a_subset_changes_the_policy_of_a_rule() {
    use crate::upstream::balancer::Policy;
    let route = ROUTE.split("---\napiVersion: networking.istio.io/v1\nkind: DestinationRule").next().unwrap();
    let policy = "trafficPolicy:\n    loadBalancer: {simple: RANDOM}\n    connectionPool: {tcp: {maxConnections: 7}}\n    portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 9}}}]\n  subsets:\n  - name: v1\n    labels: {version: v1}\n    trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}";
    let whole = cluster(&format!("{BASE}{}{}", route.replace(", subset: v1", ""), rule("}", policy)));
    // The port says nothing of balancing, so the default holds.
    assert_eq!((whole.definition().division.policy, whole.definition().limits.connections), (Policy::LeastRequest, 9));
    let subset = cluster(&format!("{BASE}{route}{}", rule("}", policy)));
    assert_eq!((subset.definition().division.policy, subset.definition().limits.connections), (Policy::RoundRobin, 9));
}

#[test]
fn an_entry_that_is_not_exported_declares_nothing() {
    let route = ROUTE.split("---\napiVersion: networking.istio.io/v1\nkind: DestinationRule").next().unwrap();
    let hidden = BASE.replace("  resolution: STATIC", "  exportTo: ['.']\n  resolution: STATIC");
    let found = cluster(&format!("{hidden}{}", route.replace(", subset: v1", "")));
    assert!(found.endpoints().is_empty(), "its name is left to DNS");
}
