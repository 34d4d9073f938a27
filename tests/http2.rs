//! HTTP/2 without TLS, on both sides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::harness::{Gateway, Upstream, gateway, routes, service, settings, wait_for};

const ALL: &str = "  - route: [{destination: {host: a.test}}]\n    headers: {response: {set: {x-route: all}}}\n";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn scene(protocol: &str, upstream: SocketAddr) -> Gateway {
    Gateway::start(&(settings("") + &gateway(&[80]) + &service("a", protocol, &[upstream]) + &routes("h", ALL)))
}

/// Sends requests on one connection, all at once, and reads their bodies.
async fn ask(address: SocketAddr, requests: Vec<Request<()>>) -> Vec<Result<(u16, String), h2::Error>> {
    ask_over(TcpStream::connect(address).await.unwrap(), requests).await
}

/// The same on a connection that is there.
pub(crate) async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    requests: Vec<Request<()>>,
) -> Vec<Result<(u16, String), h2::Error>> {
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let responses: Vec<_> = requests.into_iter().map(|it| client.send_request(it, true).unwrap().0).collect();
    let mut out = Vec::new();
    for response in responses {
        out.push(read(response).await);
    }
    drop(client);
    driver.abort();
    out
}

async fn read(response: h2::client::ResponseFuture) -> Result<(u16, String), h2::Error> {
    let response = response.await?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        text.extend_from_slice(&chunk);
    }
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

pub(crate) fn get(url: &str) -> Request<()> {
    Request::get(url).version(http::Version::HTTP_2).body(()).unwrap()
}

/// An upstream that answers with the version, method and path it got.
async fn h2_upstream() -> SocketAddr {
    h2_upstream_counting(Arc::default()).await
}

/// How many connections an upstream got, and the most requests of one.
#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    most: AtomicUsize,
}

/// The same, which counts.
async fn h2_upstream_counting(counts: Arc<Counts>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counts = Arc::clone(&counts);
            counts.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut requests = 0;
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    requests += 1;
                    counts.most.fetch_max(requests, Ordering::SeqCst);
                    let text = format!(
                        "{:?} {} {} {}",
                        request.version(),
                        request.method(),
                        request.uri().authority().unwrap(),
                        request.uri().path()
                    );
                    let mut body = respond.send_response(Response::new(()), false).unwrap();
                    body.send_data(Bytes::from(text), true).unwrap();
                }
            });
        }
    });
    address
}

#[test]
fn streams_of_one_connection_are_served_by_an_http1_upstream() {
    let upstream = Upstream::echo("a");
    let gateway = scene("HTTP", upstream.address());
    let requests = (0..20).map(|it| get(&format!("http://h/{it}"))).collect();
    let answers = runtime().block_on(ask(gateway.address(80), requests));
    for (number, answer) in answers.into_iter().enumerate() {
        let (status, body) = answer.unwrap();
        assert_eq!(status, 200);
        assert!(body.contains(&format!("GET /{number} HTTP/1.1")), "{body}");
    }
}

#[test]
fn a_request_whose_path_is_normalised_keeps_its_host() {
    let upstream = Upstream::echo("a");
    for (protocol, h1) in [("HTTP", true), ("HTTP2", false)] {
        let runtime = runtime();
        let address = if h1 { upstream.address() } else { runtime.block_on(h2_upstream()) };
        let gateway = scene(protocol, address);
        let answers = runtime.block_on(ask(gateway.address(80), vec![get("http://h:81/a/../b?c")]));
        let (status, body) = answers.into_iter().next().unwrap().unwrap();
        let expected = if h1 { "GET /b?c HTTP/1.1\nhost: h:81\n" } else { "HTTP/2.0 GET h:81 /b" };
        assert!(status == 200 && body.contains(expected), "{status} {body}");
        wait_for("its line", || gateway.output().contains("\"GET /b?c HTTP/2\" 200").then_some(()));
    }
}

#[test]
fn a_port_of_protocol_http2_is_spoken_to_in_http2() {
    let runtime = runtime();
    let upstream = runtime.block_on(h2_upstream());
    let gateway = scene("HTTP2", upstream);
    let answer = gateway.get("h", "/x");
    assert_eq!((answer.status, answer.text().as_str()), (200, "HTTP/2.0 GET h /x"));
    let answers = runtime.block_on(ask(gateway.address(80), vec![get("http://h/y"), get("http://other/")]));
    assert_eq!(answers[0].as_ref().unwrap(), &(200, "HTTP/2.0 GET h /y".to_owned()));
    assert_eq!(answers[1].as_ref().unwrap().0, 404);
}

#[test]
fn a_grpc_call_is_answered_in_grpcs_own_words() {
    let upstream = Upstream::echo("a");
    let gateway = scene("HTTP", upstream.address());
    let call = Request::post("http://other/pkg.Service/Method")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    runtime().block_on(async {
        let stream = TcpStream::connect(gateway.address(80)).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let response = client.send_request(call, true).unwrap().0.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "12");
        driver.abort();
    });
}

#[test]
fn a_tunnel_is_not_for_those_who_ask_a_server_for_it() {
    let upstream = Upstream::echo("a");
    let gateway = scene("HTTP", upstream.address());
    let connect = Request::connect("h:80").version(http::Version::HTTP_2).body(()).unwrap();
    let answers = runtime().block_on(ask(gateway.address(80), vec![connect]));
    assert_eq!(answers[0].as_ref().unwrap().0, 405);
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn requests_that_name_their_host_badly_are_refused() {
    let upstream = Upstream::echo("a");
    let gateway = scene("HTTP", upstream.address());
    let mut contradiction = get("http://h/");
    contradiction.headers_mut().insert("host", http::HeaderValue::from_static("g"));
    let answers = runtime().block_on(ask(gateway.address(80), vec![contradiction]));
    // Refused by an answer or by a reset of the stream; never forwarded.
    assert!(answers[0].as_ref().map_or(true, |it| it.0 == 400), "{answers:?}");
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn sigterm_says_goaway_and_lets_streams_end() {
    let upstream = Upstream::echo("a");
    let mut gateway = scene("HTTP", upstream.address());
    let address = gateway.address(80);
    let runtime = runtime();
    let (driver, _client) = runtime.block_on(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let (response, _) = client.send_request(get("http://h/"), true).unwrap();
        assert_eq!(read(response).await.unwrap().0, 200);
        (driver, client)
    });
    gateway.signal("TERM");
    let ended = runtime.block_on(async { tokio::time::timeout(crate::harness::PATIENCE, driver).await });
    assert!(ended.is_ok(), "the connection ends after GOAWAY");
    assert!(gateway.wait().success());
}

#[test]
fn an_upstream_can_be_spoken_to_in_the_clients_version() {
    let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: a.test\n  trafficPolicy: {connectionPool: {http: {useClientProtocol: true}}}\n";
    let start = |upstream| {
        Gateway::start(
            &(settings("") + &gateway(&[80]) + &service("a", "HTTP", &[upstream]) + &routes("h", ALL) + rule),
        )
    };
    let runtime = runtime();
    let gateway = start(runtime.block_on(h2_upstream()));
    let answers = runtime.block_on(ask(gateway.address(80), vec![get("http://h/y")]));
    assert_eq!(answers[0].as_ref().unwrap(), &(200, "HTTP/2.0 GET h /y".to_owned()));
    let upstream = Upstream::echo("a");
    let gateway = start(upstream.address());
    assert!(gateway.get("h", "/x").text().contains("GET /x HTTP/1.1"));
}

#[test]
fn connections_of_http2_upstreams_are_bounded_too() {
    let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: a.test\n  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}\n";
    let runtime = runtime();
    let upstream = runtime.block_on(h2_upstream());
    let gateway = Gateway::start(
        &(settings("") + &gateway(&[80]) + &service("a", "HTTP2", &[upstream]) + &routes("h", ALL) + rule),
    );
    // Both workers need the one connection; streams share it, and it moves when nobody uses it.
    for number in 0..40 {
        let answer = gateway.get("h", &format!("/{number}"));
        assert_eq!((answer.status, answer.text()), (200, format!("HTTP/2.0 GET h /{number}")));
    }
}

#[test]
fn connections_of_http2_upstreams_are_left_when_they_are_spent() {
    let rule = |pool: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\nspec:\n  host: a.test\n  trafficPolicy: {{connectionPool: {{{pool}}}}}\n"
        )
    };
    let runtime = runtime();
    let scene = |pool: &str| {
        let counts = Arc::new(Counts::default());
        let upstream = runtime.block_on(h2_upstream_counting(Arc::clone(&counts)));
        let config = settings("").replace("workers: 2", "workers: 1")
            + &gateway(&[80])
            + &service("a", "HTTP2", &[upstream])
            + &routes("h", ALL)
            + &rule(pool);
        (Gateway::start(&config), counts)
    };
    let requests = || (0..9).map(|_| get("http://h/")).collect::<Vec<_>>();

    let (gateway, counts) = scene("http: {maxRequestsPerConnection: 3}");
    let before = gateway.open_descriptors();
    let answers = runtime.block_on(ask(gateway.address(80), requests()));
    assert!(answers.iter().all(|it| it.as_ref().is_ok_and(|it| it.0 == 200)), "{answers:?}");
    // All at once made a connection each; as one is spent, those that lie unused are closed too.
    for _ in 0..30 {
        assert_eq!(gateway.get("h", "/").status, 200);
    }
    assert_eq!(counts.most.load(Ordering::SeqCst), 3);
    crate::harness::wait_for("the rest is closed", || (gateway.open_descriptors() <= before + 6).then_some(()));

    let (gateway, counts) = scene("tcp: {maxConnectionDuration: 300ms}");
    assert!((0..3).all(|_| gateway.get("h", "/").status == 200));
    crate::harness::wait_for("another connection", || {
        std::thread::park_timeout(Duration::from_millis(50));
        assert_eq!(gateway.get("h", "/").status, 200);
        (counts.connections.load(Ordering::SeqCst) >= 3).then_some(())
    });
}

/// Answers `/gap` with a pause inside, keeps the first request for `/late`, and answers whatever follows.
async fn hesitant_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let late = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let late = Arc::clone(&late);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut kept = Vec::new();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let path = request.uri().path().to_owned();
                    if path == "/late" && late.fetch_add(1, Ordering::SeqCst) == 0 {
                        kept.push(respond);
                        continue;
                    }
                    let mut body = respond.send_response(Response::new(()), false).unwrap();
                    tokio::spawn(async move {
                        body.send_data(Bytes::from_static(b"beg"), false).unwrap();
                        if path == "/gap" {
                            tokio::time::sleep(Duration::from_millis(700)).await;
                        }
                        drop(body.send_data(Bytes::from_static(b"end"), true));
                    });
                }
            });
        }
    });
    address
}

#[test]
fn a_try_of_http2_is_bounded_until_its_answer_begins() {
    let runtime = runtime();
    let upstream = runtime.block_on(hesitant_upstream());
    let rules =
        ALL.replacen("  - ", "  - retries: {attempts: 1, perTryTimeout: 200ms, retryOn: 5xx, backoff: 1ms}\n    ", 1);
    let gateway = Gateway::start(
        &(settings("").replace("workers: 2", "workers: 1")
            + &gateway(&[80])
            + &service("a", "HTTP2", &[upstream])
            + &routes("h", &rules)),
    );
    // The one that is given up takes no other with it.
    for _ in 0..2 {
        let paths = ["http://h/gap", "http://h/late", "http://h/gap"];
        for answer in runtime.block_on(ask(gateway.address(80), paths.map(get).into())) {
            assert_eq!(answer.unwrap(), (200, "begend".to_owned()));
        }
    }
}

/// Answers gRPC's health question with a state, and everything else with `sick`.
async fn health_upstream(state: Arc<AtomicU8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let mut body = respond.send_response(Response::new(()), false).unwrap();
                    if request.uri().path() == "/grpc.health.v1.Health/Check" {
                        let state = state.load(Ordering::SeqCst);
                        body.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, state]), false).unwrap();
                        let status = http::HeaderValue::from_static("0");
                        let trailers = [(http::HeaderName::from_static("grpc-status"), status)];
                        body.send_trailers(trailers.into_iter().collect()).unwrap();
                    } else {
                        body.send_data(Bytes::from_static(b"sick"), true).unwrap();
                    }
                }
            });
        }
    });
    address
}

#[test]
fn an_endpoint_that_grpcs_health_protocol_calls_unwell_gets_no_requests() {
    let (serving, not_serving) = (1, 2);
    let state = Arc::new(AtomicU8::new(not_serving));
    let runtime = runtime();
    let sick = runtime.block_on(health_upstream(Arc::clone(&state)));
    let well = runtime.block_on(health_upstream(Arc::new(AtomicU8::new(serving))));
    let check = "---\napiVersion: sluice.dev/v1alpha1\nkind: HealthCheck\nmetadata: {name: a}\nspec: {host: a.test, grpc: {service: shop}, interval: 100ms, healthyThreshold: 1, unhealthyThreshold: 1}\n";
    let gateway = Gateway::start(
        &(settings("") + &gateway(&[80]) + &service("a", "GRPC", &[sick, well]) + &routes("h", ALL) + check),
    );
    let usable = || {
        let dump = gateway.ask_admin("GET", "/config_dump").text();
        let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
        let endpoints = dump["clusters"][0]["endpoints"].as_array().unwrap().clone();
        endpoints.iter().filter(|it| it["failing"] == false).map(|it| it["address"].to_string()).collect::<Vec<_>>()
    };
    crate::harness::wait_for("one is left", || (usable() == [format!("\"{well}\"")]).then_some(()));
    assert!((0..10).all(|_| gateway.get("h", "/").status == 200));
    state.store(serving, Ordering::SeqCst);
    crate::harness::wait_for("both are used", || (usable().len() == 2).then_some(()));
}
