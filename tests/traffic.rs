//! Retries, timeouts, balancing, ejection, bounds, faults and mirrors, as DestinationRules and routes say.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::upstream::response;
use crate::harness::{Client, Gateway, Response, Upstream, gateway, routes, service, settings, wait_for};

const TO_A: &str = "    route: [{destination: {host: a.test}}]\n";

fn start(services: &str, rules: &str) -> Gateway {
    Gateway::start(&(settings("") + &gateway(&[80]) + services + &routes("h", rules)))
}

/// A DestinationRule for `a.test`.
fn policy(policy: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\nspec:\n  host: a.test\n  trafficPolicy: {{{policy}}}\n"
    )
}

fn addresses(upstreams: &[Upstream]) -> Vec<SocketAddr> {
    upstreams.iter().map(Upstream::address).collect()
}

/// How often each upstream answered.
fn tally(responses: impl IntoIterator<Item = Response>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for it in responses {
        *counts.entry(it.upstream()).or_insert(0) += 1;
    }
    counts
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn an_answer_that_the_policy_repeats_is_repeated_with_its_body() {
    let upstream = Upstream::answering(|number, request| {
        let body = request.lines().last().unwrap_or_default();
        response(if number % 3 == 0 { 200 } else { 503 }, &format!("{number} {body}"))
    });
    let rules = format!("  - retries: {{attempts: 3, retryOn: 5xx, backoff: 1ms}}\n{TO_A}");
    let gateway = start(&service("a", "HTTP", &[upstream.address()]), &rules);
    assert_eq!(gateway.get("h", "/").text(), "3 body: ");
    let answer = Client::connect(gateway.address(80)).send(&post("/", "hello"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "6 body: hello"));
}

#[test]
fn the_last_answer_is_the_upstreams_own() {
    let upstream = Upstream::status("busy", 503);
    let rules = format!("  - retries: {{attempts: 2, retryOn: gateway-error, backoff: 1ms}}\n{TO_A}");
    let gateway = start(&service("a", "HTTP", &[upstream.address()]), &rules);
    let answer = gateway.get("h", "/");
    assert_eq!((answer.status, answer.text().as_str(), upstream.requests()), (503, "busy", 3));
    wait_for("its flag", || gateway.output().contains("\" 503 URX via_upstream ").then_some(()));
}

#[test]
fn a_body_that_cannot_be_kept_is_sent_once() {
    let upstream = Upstream::status("busy", 503);
    let rules = format!("  - retries: {{attempts: 2, retryOn: 5xx, backoff: 1ms}}\n{TO_A}");
    let gateway = start(&service("a", "HTTP", &[upstream.address()]), &rules);
    let answer = Client::connect(gateway.address(80)).send(&post("/", &"x".repeat(200_000)));
    assert_eq!((answer.status, answer.text().as_str(), upstream.requests()), (503, "busy", 1));
}

#[test]
fn the_longest_body_that_is_kept_can_be_set() {
    let upstream = Upstream::status("busy", 503);
    let rules = format!("  - retries: {{attempts: 1, retryOn: 5xx, backoff: 1ms}}\n{TO_A}");
    let config = settings("  limits: {retryBufferBytes: 10}\n")
        + &gateway(&[80])
        + &service("a", "HTTP", &[upstream.address()])
        + &routes("h", &rules);
    let gateway = Gateway::start(&config);
    for (length, requests) in [(10, 2), (11, 3)] {
        let answer = Client::connect(gateway.address(80)).send(&post("/", &"x".repeat(length)));
        assert_eq!((answer.status, upstream.requests()), (503, requests), "{length} bytes");
    }
}

#[test]
fn a_route_with_a_stat_prefix_has_metrics_of_its_own() {
    let upstream = Upstream::echo("a");
    let rules = "  - match: [{uri: {prefix: /shop}, statPrefix: shop}]\n    route: [{destination: {host: a.test}}]\n  - match: [{uri: {exact: /gone}, statPrefix: gone}]\n    directResponse: {status: 410}\n";
    let gateway = start(&service("a", "HTTP", &[upstream.address()]), rules);
    for (path, status) in [("/shop/1", 200), ("/shop/2", 200), ("/gone", 410), ("/other", 404)] {
        assert_eq!(gateway.get("h", path).status, status);
    }
    let expected = [
        "sluice_route_requests_total{response_code_class=\"2xx\",stat_prefix=\"shop\"} 2",
        "sluice_route_requests_total{response_code_class=\"4xx\",stat_prefix=\"gone\"} 1",
        "sluice_route_request_duration_milliseconds_count{stat_prefix=\"shop\"} 2",
    ];
    wait_for("they are counted", || {
        let text = gateway.ask_admin("GET", "/metrics").text();
        expected.iter().all(|it| text.lines().any(|line| line == *it)).then_some(())
    });
}

#[test]
fn only_what_the_policy_names_is_repeated() {
    for (policy, status, tries) in [
        ("retries: {attempts: 0}", 503, 1),
        ("retries: {attempts: 2, retryOn: '409', backoff: 1ms}", 503, 1),
        ("retries: {attempts: 2, retryOn: '409', backoff: 1ms}", 409, 3),
        ("retries: {attempts: 2, retryOn: retriable-4xx, backoff: 1ms}", 409, 3),
        ("name: default", 503, 1),
    ] {
        let upstream = Upstream::status("a", status);
        let gateway = start(&service("a", "HTTP", &[upstream.address()]), &format!("  - {policy}\n{TO_A}"));
        assert_eq!(gateway.get("h", "/").status, status);
        assert_eq!(upstream.requests(), tries, "{policy} {status}");
    }
}

#[test]
fn a_post_is_not_repeated_when_its_connection_ends_and_a_get_is() {
    let upstream = Upstream::answering(|number, _| if number == 2 { response(200, "ok") } else { String::new() });
    let gateway = start(&service("a", "HTTP", &[upstream.address()]), &format!("  - name: default\n{TO_A}"));
    assert_eq!(gateway.get("h", "/").text(), "ok");
    let answer = Client::connect(gateway.address(80)).send(&post("/", "once"));
    assert_eq!((answer.status, upstream.requests()), (503, 3));
}

#[test]
fn a_try_that_takes_too_long_gives_way_to_the_next() {
    let upstream = Upstream::answering(|number, _| {
        if number == 1 {
            thread::park_timeout(Duration::from_secs(20));
        }
        response(200, "in time")
    });
    let rules = format!("  - timeout: 10s\n    retries: {{attempts: 1, perTryTimeout: 200ms, retryOn: 5xx}}\n{TO_A}");
    let gateway = start(&service("a", "HTTP", &[upstream.address()]), &rules);
    let begun = Instant::now();
    assert_eq!(gateway.get("h", "/").text(), "in time");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn an_answer_that_began_in_time_may_take_its_own() {
    let parts = ["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nbeg", "end"];
    let slow = Upstream::pausing(parts, Duration::from_millis(700));
    let services = service("a", "HTTP", &[slow.address()]);
    let rules = |more: &str| format!("  - {more}retries: {{attempts: 1, perTryTimeout: 200ms}}\n{TO_A}");
    let gateway = start(&services, &rules(""));
    let mut client = Client::connect(gateway.address(80));
    for _ in 0..2 {
        assert_eq!(client.get("h", "/").text(), "begend");
    }
    assert_eq!(slow.connections(), 1, "a try that is answered in time leaves its connection");
    // The whole exchange is bounded all the same.
    let gateway = start(&services, &rules("timeout: 400ms\n    "));
    let mut client = Client::connect(gateway.address(80));
    client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(client.response().is_err());
}

#[test]
fn a_try_without_a_successor_ends_with_504() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rules = format!("  - retries: {{attempts: 1, perTryTimeout: 100ms, retryOn: reset, backoff: 1ms}}\n{TO_A}");
    let gateway = start(&service("a", "HTTP", &[silent.local_addr().unwrap()]), &rules);
    assert_eq!(gateway.get("h", "/").status, 504);
    wait_for("its flag", || gateway.output().contains("\" 504 UT,URX upstream_per_try_timeout ").then_some(()));
}

#[test]
fn a_grpc_client_that_gives_a_time_gets_an_answer_in_it() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = start(&service("a", "HTTP", &[silent.local_addr().unwrap()]), &format!("  - name: default\n{TO_A}"));
    let mut client = Client::connect(gateway.address(80));
    let answer = client.send(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\nGrpc-Timeout: 150m\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("4")));
    wait_for("its flag", || gateway.output().contains(" UMSDR upstream_max_stream_duration_reached ").then_some(()));
}

#[test]
fn an_endpoint_that_answers_errors_is_left_out() {
    let (good, bad) = (Upstream::status("good", 200), Upstream::status("bad", 500));
    let detection = policy("outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 50, interval: 1h}");
    let services = service("a", "HTTP", &[good.address(), bad.address()]) + &detection;
    let gateway = start(&services, &format!("  - name: all\n{TO_A}"));
    wait_for("the bad one is left out", || {
        gateway.get("h", "/");
        (bad.requests() == 3).then_some(())
    });
    assert!((0..30).all(|_| gateway.get("h", "/").status == 200));
    assert_eq!(bad.requests(), 3);
    let dump: serde_json::Value = serde_json::from_str(&gateway.ask_admin("GET", "/config_dump").text()).unwrap();
    let endpoints = dump["clusters"][0]["endpoints"].as_array().unwrap().clone();
    assert_eq!(endpoints.iter().filter(|it| it["ejected"] == true).count(), 1, "{endpoints:?}");
}

#[test]
fn an_endpoint_comes_back_after_its_time() {
    let (good, bad) = (Upstream::status("good", 200), Upstream::status("bad", 500));
    let detection = policy(
        "loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 50, interval: 20ms, baseEjectionTime: 300ms}",
    );
    let services = service("a", "HTTP", &[good.address(), bad.address()]) + &detection;
    let gateway = start(&services, &format!("  - name: all\n{TO_A}"));
    wait_for("it fails once", || {
        gateway.get("h", "/");
        (bad.requests() == 1).then_some(())
    });
    wait_for("it is asked again", || {
        gateway.get("h", "/");
        (bad.requests() == 2).then_some(())
    });
}

#[test]
fn an_endpoint_that_fails_its_health_check_gets_no_requests_until_it_passes() {
    let (good, sick) = (Upstream::echo("good"), Arc::new(AtomicUsize::new(503)));
    let state = Arc::clone(&sick);
    let other = Upstream::answering(move |_, request| {
        let status = if request.starts_with("GET /healthz") { state.load(Ordering::SeqCst) } else { 200 };
        response(u16::try_from(status).unwrap(), "other\n")
    });
    let check = "---\napiVersion: sluice.dev/v1alpha1\nkind: HealthCheck\nmetadata: {name: a}\nspec:\n  host: a.test\n  http: {path: /healthz}\n  interval: 100ms\n  healthyThreshold: 1\n  unhealthyThreshold: 1\n";
    let services = service("a", "HTTP", &[good.address(), other.address()]) + check;
    let gateway = start(&services, &format!("  - name: all\n{TO_A}"));
    let from_other = || (0..20).filter(|_| gateway.get("h", "/").upstream() == "other").count();
    wait_for("it is left out", || (from_other() == 0).then_some(()));
    sick.store(200, Ordering::SeqCst);
    wait_for("it is used again", || (from_other() > 0).then_some(()));
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let check = check.replace("http: {path: /healthz}", "tcp: {}");
    let services = service("a", "HTTP", &[good.address(), dead]) + &check;
    let gateway = start(&services, &format!("  - retries: {{attempts: 0}}\n{TO_A}"));
    wait_for("the dead one is left out", || (0..20).all(|_| gateway.get("h", "/").status == 200).then_some(()));
}

/// Sends requests at once, and gives their statuses back.
fn at_once(address: SocketAddr, count: usize) -> Vec<u16> {
    let (send, receive) = mpsc::channel();
    for _ in 0..count {
        let send = send.clone();
        thread::spawn(move || send.send(Client::connect(address).get("h", "/").status).ok());
    }
    drop(send);
    receive.into_iter().collect()
}

/// Established connections to an address, as the kernel counts them.
fn connections_to(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{:04X}", address.port());
    table.lines().filter(|it| it.split_whitespace().nth(2) == Some(&remote) && it.contains(" 01 ")).count()
}

#[test]
fn connections_never_pass_their_bound_however_many_ask() {
    let peak = Arc::new(AtomicUsize::new(0));
    let (most, busy) = (Arc::clone(&peak), AtomicUsize::new(0));
    let upstream = Upstream::answering(move |_, _| {
        // On HTTP/1.1 each request under way has a connection of its own.
        most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::park_timeout(Duration::from_millis(2));
        busy.fetch_sub(1, Ordering::SeqCst);
        response(200, "ok")
    });
    let services = service("a", "HTTP", &[upstream.address()]) + &policy("connectionPool: {tcp: {maxConnections: 5}}");
    let gateway = start(&services, &format!("  - name: all\n{TO_A}"));
    // Both workers ask, each with a pool of its own.
    let statuses = at_once(gateway.address(80), 1000);
    assert_eq!(statuses.iter().filter(|it| **it == 200).count(), 1000, "{statuses:?}");
    let peak = peak.load(Ordering::SeqCst);
    assert!(peak <= 5, "{peak} at once");
    assert!(upstream.connections() < 1000, "connections are kept");
    assert!(connections_to(upstream.address()) <= 5, "unused ones count too");
}

#[test]
fn who_waits_beyond_the_bound_is_refused() {
    let upstream = Upstream::answering(|_, _| {
        thread::park_timeout(Duration::from_millis(300));
        response(200, "ok")
    });
    let bounds = "connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}";
    let gateway =
        start(&(service("a", "HTTP", &[upstream.address()]) + &policy(bounds)), &format!("  - name: all\n{TO_A}"));
    let statuses = at_once(gateway.address(80), 10);
    assert_eq!(statuses.iter().filter(|it| **it == 200).count(), 2, "one is served and one waits: {statuses:?}");
    assert_eq!(statuses.iter().filter(|it| **it == 503).count(), 8, "{statuses:?}");
    wait_for("its flag", || gateway.output().contains("\" 503 UO upstream_reset_before").then_some(()));
}

#[test]
fn requests_never_pass_their_bound() {
    let upstream = Upstream::answering(|_, _| {
        thread::park_timeout(Duration::from_millis(300));
        response(200, "ok")
    });
    let services =
        service("a", "HTTP", &[upstream.address()]) + &policy("connectionPool: {http: {http2MaxRequests: 3}}");
    let gateway = start(&services, &format!("  - name: all\n{TO_A}"));
    let statuses = at_once(gateway.address(80), 10);
    assert_eq!(statuses.iter().filter(|it| **it == 200).count(), 3, "{statuses:?}");
    let refused = Client::connect(gateway.address(80));
    drop(refused);
    assert_eq!(gateway.get("h", "/").status, 200, "the places are free again");
}

#[test]
fn a_connection_carries_as_many_requests_as_it_may() {
    let upstream = Upstream::echo("a");
    let services =
        service("a", "HTTP", &[upstream.address()]) + &policy("connectionPool: {http: {maxRequestsPerConnection: 2}}");
    let gateway = start(&services, &format!("  - name: all\n{TO_A}"));
    let mut client = Client::connect(gateway.address(80));
    assert!((0..8).all(|_| client.get("h", "/").status == 200));
    assert_eq!((upstream.requests(), upstream.connections()), (8, 4));
}

#[test]
fn a_key_stays_on_one_endpoint() {
    let upstreams = [Upstream::echo("a"), Upstream::echo("b"), Upstream::echo("c")];
    for (hash, request) in [
        ("httpHeaderName: x-user", "GET / HTTP/1.1\r\nHost: h\r\nX-User: %\r\n\r\n"),
        ("httpQueryParameterName: user, maglev: {tableSize: 1009}", "GET /?user=% HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("httpCookie: {name: user, ttl: 0s}", "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b; user=%\r\n\r\n"),
    ] {
        let services = service("a", "HTTP", &addresses(&upstreams))
            + &policy(&format!("loadBalancer: {{consistentHash: {{{hash}}}}}"));
        let gateway = start(&services, &format!("  - name: all\n{TO_A}"));
        let ask = |user: usize| {
            Client::connect(gateway.address(80)).send(&request.replace('%', &user.to_string())).upstream()
        };
        let homes: Vec<String> = (0..30).map(ask).collect();
        assert!((0..30).all(|user| ask(user) == homes[user]), "{hash}");
        assert_eq!(tally_names(&homes).len(), 3, "{hash}: users are spread over all");
    }
}

fn tally_names(names: &[String]) -> std::collections::BTreeSet<&str> {
    names.iter().map(String::as_str).collect()
}

#[test]
fn a_client_without_a_cookie_gets_one_that_leads_back() {
    let upstreams = [Upstream::echo("a"), Upstream::echo("b"), Upstream::echo("c")];
    let cookie = "httpCookie: {name: seat, path: /app, ttl: 60s, attributes: [{name: SameSite, value: Strict}]}";
    let services = service("a", "HTTP", &addresses(&upstreams))
        + &policy(&format!("loadBalancer: {{consistentHash: {{{cookie}}}}}"));
    let gateway = start(&services, &format!("  - name: all\n{TO_A}"));
    for _ in 0..10 {
        let first = gateway.get("h", "/");
        let given = first.header("set-cookie").unwrap().to_owned();
        assert!(given.ends_with("; Max-Age=60; Path=/app; SameSite=Strict; HttpOnly"), "{given}");
        let pair = given.split(';').next().unwrap();
        let back =
            Client::connect(gateway.address(80)).send(&format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {pair}\r\n\r\n"));
        assert_eq!((back.upstream(), back.header("set-cookie")), (first.upstream(), None));
    }
}

/// A ServiceEntry whose endpoints stand in these localities.
fn localities(endpoints: &[(SocketAddr, &str)]) -> String {
    let endpoints: String = endpoints
        .iter()
        .map(|(at, locality)| {
            format!("  - {{address: {}, ports: {{web: {}}}, locality: {locality}}}\n", at.ip(), at.port())
        })
        .collect();
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec:\n  hosts: [a.test]\n  resolution: STATIC\n  ports: [{{number: 80, name: web, protocol: HTTP}}]\n  endpoints:\n{endpoints}"
    )
}

#[test]
fn near_endpoints_are_used_first_and_far_ones_when_those_fail() {
    let (near, far) = (Upstream::answering(|_, _| String::new()), Upstream::echo("far"));
    let config = settings("  node: {locality: r1/z1}\n")
        + &gateway(&[80])
        + &localities(&[(near.address(), "r1/z1"), (far.address(), "r2/z1")])
        + &policy("outlierDetection: {consecutive5xxErrors: 2, maxEjectionPercent: 100, interval: 1h}")
        + &routes("h", &format!("  - retries: {{attempts: 0}}\n{TO_A}"));
    let gateway = Gateway::start(&config);
    assert_eq!([gateway.get("h", "/").status, gateway.get("h", "/").status], [503, 503], "the near one is asked");
    assert!((0..20).all(|_| gateway.get("h", "/").status == 200));
    assert_eq!(near.requests(), 2);
}

#[test]
fn a_retry_goes_to_another_locality_when_the_policy_says_so() {
    let (near, far) = (Upstream::status("near", 503), Upstream::status("far", 200));
    let other = Upstream::status("near too", 503);
    let config = settings("  node: {locality: r1/z1}\n")
        + &gateway(&[80])
        + &localities(&[(near.address(), "r1/z1"), (other.address(), "r1/z1"), (far.address(), "r2/z1")])
        + &policy("outlierDetection: {consecutive5xxErrors: 0, interval: 1h}")
        + &routes(
            "h",
            &format!("  - retries: {{attempts: 1, retryOn: 5xx, retryRemoteLocalities: true, backoff: 1ms}}\n{TO_A}"),
        );
    let gateway = Gateway::start(&config);
    assert!((0..20).all(|_| gateway.get("h", "/").text() == "far"));
}

#[test]
fn localities_get_the_shares_that_are_given_out() {
    let (near, far) = (Upstream::echo("near"), Upstream::echo("far"));
    let shares = "loadBalancer: {localityLbSetting: {distribute: [{from: r1/*, to: {'r1/z1/*': 80, 'r2/*': 20}}]}}";
    let config = settings("  node: {locality: r1/z1}\n")
        + &gateway(&[80])
        + &localities(&[(near.address(), "r1/z1"), (far.address(), "r2/z1")])
        + &policy(shares)
        + &routes("h", &format!("  - name: all\n{TO_A}"));
    let gateway = Gateway::start(&config);
    let mut client = Client::connect(gateway.address(80));
    let counts = tally((0..1000).map(|_| client.get("h", "/")));
    // Least request draws twice and the upstreams are equally idle, so the shares stay.
    assert!((740..860).contains(&counts["near"]), "{counts:?}");
}

#[test]
fn the_settings_of_a_port_replace_those_of_the_rule() {
    let upstream = Upstream::status("a", 200);
    let rule = policy(
        "connectionPool: {http: {maxRequestsPerConnection: 1}}, portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]",
    );
    let gateway = start(&(service("a", "HTTP", &[upstream.address()]) + &rule), &format!("  - name: all\n{TO_A}"));
    let mut client = Client::connect(gateway.address(80));
    assert!((0..5).all(|_| client.get("h", "/").status == 200));
    assert_eq!(upstream.connections(), 1, "the port says nothing of connections, so nothing holds");
}

#[test]
fn an_upstream_learns_the_client_from_a_proxy_header() {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes).unwrap();
        stream.write_all(response(200, "ok").as_bytes()).unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    });
    let gateway = start(
        &(service("a", "HTTP", &[address]) + &policy("proxyProtocol: {version: V1}")),
        &format!("  - name: all\n{TO_A}"),
    );
    assert_eq!(gateway.get("h", "/").text(), "ok");
    let seen = seen.join().unwrap();
    assert!(seen.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{seen}");
    assert!(seen.lines().next().unwrap().ends_with(&format!(" {}", gateway.address(80).port())), "{seen}");
}

#[test]
fn faults_delay_and_abort_their_share() {
    let upstream = Upstream::echo("a");
    let with =
        |path: &str, fault: &str| format!("  - match: [{{uri: {{exact: {path}}}}}]\n    fault: {{{fault}}}\n{TO_A}");
    let rules = with("/abort", "abort: {httpStatus: 418, percentage: {value: 100}}")
        + &with("/never", "abort: {httpStatus: 418, percentage: {value: 0}}")
        + &with("/half", "abort: {httpStatus: 418, percentage: {value: 50}}")
        + &with("/grpc", "abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}")
        + &with("/delay", "delay: {fixedDelay: 150ms, percentage: {value: 100}}");
    let gateway = start(&service("a", "HTTP", &[upstream.address()]), &rules);
    let aborted = gateway.get("h", "/abort");
    assert_eq!((aborted.status, aborted.text().as_str()), (418, "fault filter abort"));
    assert_eq!(gateway.get("h", "/never").status, 200);
    let mut client = Client::connect(gateway.address(80));
    let half = (0..400).filter(|_| client.get("h", "/half").status == 418).count();
    assert!((140..260).contains(&half), "{half} of 400");
    assert_eq!(gateway.get("h", "/grpc").header("grpc-status"), Some("14"));
    let call = "POST /grpc HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    let called = Client::connect(gateway.address(80)).send(call);
    assert_eq!((called.status, called.header("grpc-status")), (200, Some("14")));
    assert_eq!(called.header("grpc-message"), Some("fault filter abort"));
    let begun = Instant::now();
    assert_eq!(gateway.get("h", "/delay").status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(150));
    let expected = ["\" 418 FI fault_filter_abort ", "\"GET /delay HTTP/1.1\" 200 DI via_upstream "];
    wait_for("their flags", || expected.iter().all(|it| gateway.output().contains(it)).then_some(()));
}

#[test]
fn mirrors_get_copies_and_cannot_hurt() {
    let (main, copy) = (Upstream::echo("main"), Upstream::status("copy", 500));
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let services = service("a", "HTTP", &[main.address()])
        + &service("copy", "HTTP", &[copy.address()])
        + &service("dead", "HTTP", &[dead]);
    let mirrors = "mirrors: [{destination: {host: copy.test}}, {destination: {host: dead.test}}, {destination: {host: copy.test}, percentage: {value: 0}}]";
    let gateway = start(&services, &format!("  - {mirrors}\n{TO_A}"));
    let mut client = Client::connect(gateway.address(80));
    for number in 0..10 {
        let answer = client.send(&post("/x?y=1", &format!("hello {number}")));
        assert_eq!((answer.status, answer.upstream().as_str()), (200, "main"));
    }
    assert!((0..10).all(|_| client.get("h", "/x").status == 200));
    wait_for("all copies came", || (copy.requests() == 20).then_some(()));
    assert_eq!(main.requests(), 20);
}

#[test]
fn traffic_is_split_by_weight_within_two_percent() {
    let (a, b) = (Upstream::echo("a"), Upstream::echo("b"));
    let services = service("a", "HTTP", &[a.address()]) + &service("b", "HTTP", &[b.address()]);
    let rules = "  - route:\n    - {destination: {host: a.test}, weight: 75}\n    - {destination: {host: b.test}, weight: 25}\n";
    let gateway = start(&services, rules);
    let mut client = Client::connect(gateway.address(80));
    let counts = tally((0..10_000).map(|_| client.get("h", "/")));
    assert!((7300..7700).contains(&counts["a"]), "{counts:?}");
}
