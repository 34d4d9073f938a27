//! Hosts, paths, precedence, rewrite, redirect, headers: what the operator writes against what the client sees.

use crate::harness::{Client, Gateway, Upstream, gateway, routes, service, settings};

/// A gateway with upstreams `a` and `b`, and what it is asked.
struct Scene {
    gateway: Gateway,
    _upstreams: [Upstream; 2],
}

fn scene(config: &str) -> Scene {
    let [a, b] = [Upstream::echo("a"), Upstream::echo("b")];
    let services = service("a", "HTTP", &[a.address()]) + &service("b", "HTTP", &[b.address()]);
    let config = settings("") + &gateway(&[80, 8081]) + &services + config;
    Scene { gateway: Gateway::start(&config), _upstreams: [a, b] }
}

impl Scene {
    /// `expected` is `a`, `b`, or a status.
    #[track_caller]
    fn check(&self, request: &str, expected: &str) {
        let (host, path) = request.split_once('/').unwrap();
        let response = self.gateway.get(host, &format!("/{path}"));
        let found = if response.status == 200 { response.upstream() } else { response.status.to_string() };
        assert_eq!(found, expected, "{request}: {response:?}");
    }
}

const TO_A: &str = "    route: [{destination: {host: a.test}}]\n";
const TO_B: &str = "    route: [{destination: {host: b.test}}]\n";

#[test]
fn the_most_specific_host_wins_and_does_not_fall_back() {
    let exact = routes("x.example.com", &format!("  - match: [{{uri: {{prefix: /only}}}}]\n{TO_A}"));
    let scene = scene(&(exact + &routes("*.example.com", &format!("  - name: wide\n{TO_B}"))));
    scene.check("x.example.com/only", "a");
    scene.check("X.EXAMPLE.COM:1234/only", "a");
    scene.check("x.example.com/other", "404");
    scene.check("y.example.com/other", "b");
    scene.check("y.z.example.com/other", "b");
    scene.check("example.com/", "404");
}

#[test]
fn rules_are_tried_in_their_order_and_paths_are_normal_first() {
    let rules = format!(
        "  - match: [{{uri: {{exact: /a}}}}, {{uri: {{prefix: /aa/}}}}]\n{TO_A}  - match: [{{uri: {{regex: '/b[0-9]+'}}}}]\n{TO_B}  - match: [{{uri: {{prefix: /CASE}}, ignoreUriCase: true}}]\n{TO_A}"
    );
    let scene = scene(&routes("h", &rules));
    scene.check("h/a", "a");
    scene.check("h/a?query", "a");
    scene.check("h/aa/x", "a");
    scene.check("h/ab", "404");
    scene.check("h/b12", "b");
    scene.check("h/b12x", "404");
    scene.check("h/cAsE/x", "a");
    scene.check("h/x/../a", "a");
    scene.check("h/%61", "a");
}

#[test]
fn every_condition_of_a_match_must_hold() {
    let rules = format!(
        "  - match: [{{headers: {{x-kind: {{exact: one}}}}, queryParams: {{q: {{prefix: v}}}}, method: {{regex: 'GET|PUT'}}}}]\n{TO_A}  - match: [{{withoutHeaders: {{x-kind: {{}}}}}}]\n{TO_B}"
    );
    let scene = scene(&routes("h", &rules));
    let ask = |request: &str| {
        let response = Client::connect(scene.gateway.address(80)).send(request);
        if response.status == 200 { response.upstream() } else { response.status.to_string() }
    };
    assert_eq!(ask("GET /?q=value HTTP/1.1\r\nHost: h\r\nx-kind: one\r\n\r\n"), "a");
    assert_eq!(ask("GET /?q=other HTTP/1.1\r\nHost: h\r\nx-kind: one\r\n\r\n"), "404");
    assert_eq!(ask("DELETE /?q=value HTTP/1.1\r\nHost: h\r\nx-kind: one\r\n\r\n"), "404");
    assert_eq!(ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "b");
}

#[test]
fn paths_and_hosts_are_rewritten_on_the_way() {
    let rules = format!(
        "  - match: [{{uri: {{prefix: /foo/}}}}]\n    rewrite: {{uri: /bar/, authority: inner.test}}\n{TO_A}  - match: [{{uri: {{regex: '/r/.*'}}}}]\n    rewrite: {{uriRegexRewrite: {{match: '^/r/(.*)$', rewrite: '/\\1/s'}}}}\n{TO_A}"
    );
    let scene = scene(&routes("h", &rules));
    let response = scene.gateway.get("h", "/foo/x?y=z");
    assert_eq!(response.request_line(), "GET /bar/x?y=z HTTP/1.1");
    assert_eq!(response.echoed("host").as_deref(), Some("inner.test"));
    assert_eq!(response.echoed("x-envoy-original-path").as_deref(), Some("/foo/x?y=z"));
    assert_eq!(scene.gateway.get("h", "/r/t").request_line(), "GET /t/s HTTP/1.1");
}

#[test]
fn headers_change_at_route_and_destination_in_istios_order() {
    let rules = "  - route:\n    - destination: {host: a.test}\n      headers: {request: {set: {x-who: destination}, remove: [x-gone]}, response: {set: {x-reply: '%PROTOCOL% 100%%'}}}\n    headers: {request: {set: {x-who: route}, add: {x-more: '%REQ(x-in)%'}}}\n";
    let scene = scene(&routes("h", rules));
    let request = "GET / HTTP/1.1\r\nHost: h\r\nx-in: in\r\nx-gone: yes\r\nx-who: client\r\n\r\n";
    let response = Client::connect(scene.gateway.address(80)).send(request);
    assert_eq!(response.echoed("x-who").as_deref(), Some("destination"));
    assert_eq!(response.echoed("x-more").as_deref(), Some("in"));
    assert_eq!(response.echoed("x-gone"), None);
    assert_eq!(response.header("x-reply"), Some("HTTP/1.1 100%"));
    assert_eq!(response.header("server"), Some("sluice"));
}

#[test]
fn the_gateway_answers_redirects_and_fixed_responses_itself() {
    let rules = "  - match: [{uri: {prefix: /old}}]\n    redirect: {authority: new.test, prefixRewrite: /new, redirectCode: 308}\n  - match: [{uri: {exact: /port}}]\n    redirect: {derivePort: FROM_REQUEST_PORT}\n  - match: [{uri: {exact: /fixed}}]\n    directResponse: {status: 418, body: {string: short}}\n    headers: {response: {set: {x-made: here}}}\n";
    let scene = scene(&routes("h", rules));
    let moved = scene.gateway.get("h", "/old/x?y");
    assert_eq!((moved.status, moved.header("location")), (308, Some("http://new.test/new/x?y")));
    let mut other_port = Client::connect(scene.gateway.address(8081));
    assert_eq!(other_port.get("h", "/port").header("location"), Some("http://h:8081/port"));
    let fixed = scene.gateway.get("h", "/fixed");
    assert_eq!((fixed.status, fixed.text().as_str(), fixed.header("x-made")), (418, "short", Some("here")));
    assert_eq!(fixed.header("content-type"), Some("text/plain"));
}

#[test]
fn traffic_is_split_by_weight() {
    let rules = "  - route:\n    - {destination: {host: a.test}, weight: 3}\n    - {destination: {host: b.test}, weight: 1}\n    - {destination: {host: missing.invalid}}\n";
    let scene = scene(&routes("h", rules));
    let mut client = Client::connect(scene.gateway.address(80));
    let to_a = (0..400).filter(|_| client.get("h", "/").upstream() == "a").count();
    // Six standard deviations around 300.
    assert!((248..=352).contains(&to_a), "{to_a} of 400");
}

#[test]
fn a_delegate_adds_its_rules_below_the_roots_match() {
    let root = "  - match: [{uri: {prefix: /team/}}]\n    delegate: {name: team}\n";
    let delegate = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: team}}\nspec:\n  http:\n  - match: [{{uri: {{prefix: /team/b}}}}]\n{TO_B}  - match: [{{uri: {{prefix: /other}}}}]\n{TO_B}  - name: rest\n{TO_A}"
    );
    let scene = scene(&(routes("h", root) + &delegate));
    scene.check("h/team/b", "b");
    scene.check("h/team/x", "a");
    scene.check("h/other", "404");
}

#[test]
fn a_server_that_redirects_to_https_needs_no_route() {
    let config = "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: plain}\nspec:\n  servers:\n  - port: {number: 8082, name: http, protocol: HTTP}\n    hosts: [secure.example.com]\n    tls: {httpsRedirect: true}\n";
    let scene = scene(config);
    let mut client = Client::connect(scene.gateway.address(8082));
    let moved = client.get("secure.example.com:8082", "/x?y");
    assert_eq!((moved.status, moved.header("location")), (301, Some("https://secure.example.com/x?y")));
    assert_eq!(client.get("other.example.com", "/").status, 404);
}

#[test]
fn the_client_is_told_to_the_upstream_and_cannot_lie() {
    let scene = scene(&routes("h", &format!("  - name: all\n{TO_A}")));
    let lies = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 6.6.6.6\r\nX-Request-Id: mine\r\nX-Envoy-Attempt-Count: 9\r\nForwarded: for=6.6.6.6\r\n\r\n";
    let response = Client::connect(scene.gateway.address(80)).send(lies);
    assert_eq!(response.echoed("x-forwarded-for").as_deref(), Some("6.6.6.6,127.0.0.1"));
    assert_eq!(response.echoed("x-forwarded-proto").as_deref(), Some("http"));
    assert_ne!(response.echoed("x-request-id").as_deref(), Some("mine"));
    for gone in ["x-real-ip", "x-envoy-attempt-count", "forwarded"] {
        assert_eq!(response.echoed(gone), None, "{gone}");
    }
}
