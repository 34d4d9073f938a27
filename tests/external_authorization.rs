//! Services outside that say who may pass (CUSTOM), over the real process: one that speaks HTTP, one that speaks gRPC.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envoy_types::ext_authz::v3::pb::{Authorization, AuthorizationServer, CheckRequest, CheckResponse};
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, QueryParameter};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::harness::upstream::response;
use crate::harness::{Client, Gateway, Upstream, gateway, routes, service, settings, wait_for};

const ALL: &str = "  - route: [{destination: {host: a.test}}]\n";

fn provider(kind: &str, address: SocketAddr, more: &str) -> String {
    settings(&format!(
        "  meshConfig:\n    extensionProviders:\n    - name: judge\n      {kind}: {{service: {}, port: {}, {more}}}\n",
        address.ip(),
        address.port()
    ))
}

fn custom(rules: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: ask, namespace: istio-system}}\nspec: {{action: CUSTOM, provider: {{name: judge}}, rules: {rules}}}\n"
    )
}

fn scene(settings: String, upstream: &Upstream, rules: &str) -> Gateway {
    let config =
        settings + &gateway(&[80]) + &service("a", "HTTP", &[upstream.address()]) + &routes("h", ALL) + &custom(rules);
    Gateway::start(&config)
}

/// A service that answers each request with what the function makes of it, and remembers what it was asked.
fn judge(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Upstream, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&asked);
    let upstream = Upstream::answering(move |_, request| {
        remembered.lock().unwrap().push(request.to_owned());
        answer(request)
    });
    (upstream, asked)
}

#[test]
fn a_service_that_speaks_http_is_asked_and_changes_what_goes_on() {
    let (service, asked) = judge(|request| {
        if request.contains("x-token: good") {
            "HTTP/1.1 200 OK\r\nX-User: ann\r\nX-User: bob\r\nX-Told: you\r\nX-Hidden: y\r\nX-Envoy-Auth-Headers-To-Remove: x-token\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else if request.contains("x-token: broken") {
            response(500, "")
        } else {
            "HTTP/1.1 302 Found\r\nLocation: https://login.test/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: text/html\r\nX-Hidden: y\r\nContent-Length: 5\r\n\r\nlogin".to_owned()
        }
    });
    let upstream = Upstream::echo("a");
    let terms = "pathPrefix: /check, timeout: 5s, includeRequestHeadersInCheck: [x-token], includeAdditionalHeadersInCheck: {x-from: edge}, headersToUpstreamOnAllow: [x-user, authorization], headersToDownstreamOnAllow: ['*told'], headersToDownstreamOnDeny: [set-cookie, content-type]";
    let settings = provider("envoyExtAuthzHttp", service.address(), terms);
    let gateway = scene(settings, &upstream, "[{to: [{operation: {notPaths: [/open]}}]}]");
    let ask = |path: &str, headers: &str| {
        Client::connect(gateway.address(80))
            .send(&format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: 2\r\n\r\nhi"))
    };

    let passed = ask("/p?q=1", "X-Token: good\r\nX-User: root\r\nAuthorization: Basic x\r\nX-Other: z\r\n");
    assert_eq!(passed.status, 200, "{}", passed.text());
    let text = passed.text();
    assert!(text.contains("x-user: ann\nx-user: bob\n") && !text.contains("root"), "{text}");
    assert_eq!((passed.echoed("x-token"), passed.echoed("x-hidden")), (None, None));
    assert_eq!(passed.echoed("authorization").as_deref(), Some("Basic x"), "it was shown, so it may stay");
    assert_eq!((passed.header("x-told"), passed.header("x-hidden")), (Some("you"), None));
    let question = asked.lock().unwrap()[0].clone();
    assert!(question.starts_with("POST /check/p?q=1 HTTP/1.1\n"), "{question}");
    for line in ["host: h\n", "x-token: good\n", "x-from: edge\n", "authorization: Basic x\n", "content-length: 0\n"] {
        assert!(question.contains(line), "{line}: {question}");
    }
    assert!(!question.contains("x-other") && !question.contains("root"), "{question}");

    let refused = ask("/p", "");
    assert_eq!((refused.status, refused.text().as_str()), (302, "login"));
    assert_eq!(refused.header("location"), Some("https://login.test/"));
    assert_eq!(refused.header("content-type"), Some("text/html"));
    assert_eq!(refused.header("x-hidden"), None);
    assert_eq!(refused.headers("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(ask("/p", "X-Token: broken\r\n").status, 403);

    let before = asked.lock().unwrap().len();
    let open = ask("/open", "X-User: root\r\n");
    assert_eq!((open.status, open.echoed("x-user")), (200, None), "only the service says who somebody is");
    assert_eq!(asked.lock().unwrap().len(), before, "nobody asked about it");
    assert!(service.connections() <= 2, "connections are kept: {}", service.connections());
    wait_for("the log", || gateway.output().contains("302 UAEX ext_authz_denied").then_some(()));
    wait_for("the log", || gateway.output().contains("403 UAEX ext_authz_error").then_some(()));
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    for result in ["allowed", "denied", "failed"] {
        let line = format!("sluice_ext_authz_requests_total{{provider=\"judge\",result=\"{result}\"}} 1");
        assert!(metrics.contains(&line), "{line}");
    }
}

#[test]
fn a_service_that_is_gone_refuses_unless_the_operator_says_otherwise() {
    let upstream = Upstream::echo("a");
    let gone = Upstream::status("gone", 200).address();
    for (terms, status) in
        [("statusOnError: '503'", 503), ("failOpen: true", 200), ("timeout: 1s", 403)].map(|(it, status)| (it, status))
    {
        let gateway = scene(provider("envoyExtAuthzHttp", gone, terms), &upstream, "[{}]");
        assert_eq!(gateway.get("h", "/").status, status, "{terms}");
    }
    let slow = Upstream::answering(|_, _| {
        std::thread::park_timeout(Duration::from_secs(20));
        response(200, "")
    });
    let gateway = scene(provider("envoyExtAuthzHttp", slow.address(), "timeout: 200ms"), &upstream, "[{}]");
    assert_eq!(gateway.get("h", "/").status, 403);
    wait_for("the log", || gateway.output().contains("403 UAEX ext_authz_error").then_some(()));
}

#[test]
fn bodies_are_shown_up_to_their_bound_and_reach_the_upstream_whole() {
    let (service, asked) = judge(|_| response(200, ""));
    let upstream = Upstream::echo("a");
    let post = |gateway: &Gateway, headers: &str, body: &str| {
        Client::connect(gateway.address(80)).send(&format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n{body}"))
    };
    let long = "x".repeat(200_000);
    let sized = |body: &str| format!("Content-Length: {}\r\n", body.len());
    let whole = provider("envoyExtAuthzHttp", service.address(), "includeRequestBodyInCheck: {maxRequestBytes: 1000}");
    let gateway = scene(whole, &upstream, "[{}]");
    let answer = post(&gateway, &sized("hello"), "hello");
    assert_eq!(answer.echoed("body").as_deref(), Some("hello"), "{}", answer.text());
    let question = asked.lock().unwrap().pop().unwrap();
    assert!(
        question.contains("x-envoy-auth-partial-body: false\n") && question.contains("body: hello\n"),
        "{question}"
    );
    let chunked = post(&gateway, "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(chunked.echoed("body").as_deref(), Some("abcde"));
    assert_eq!(post(&gateway, &sized(&long), &long).status, 413);
    assert_eq!(gateway.get("h", "/").status, 200, "no body is one too");

    let part = "includeRequestBodyInCheck: {maxRequestBytes: 1000, allowPartialMessage: true}";
    let gateway = scene(provider("envoyExtAuthzHttp", service.address(), part), &upstream, "[{}]");
    for length in [1001, 65_536, 65_537, 66_000, 200_000] {
        let body = "x".repeat(length);
        let answer = post(&gateway, &sized(&body), &body);
        assert_eq!(answer.echoed("body").map(|it| it.len()), Some(body.len()), "{}", answer.status);
        let question = asked.lock().unwrap().pop().unwrap();
        assert!(question.contains("x-envoy-auth-partial-body: true\n"));
        assert!(question.contains(&format!("body: {}\n", "x".repeat(1000))));
    }

    // A client that waits for a word before it sends its body.
    let mut stream = TcpStream::connect(gateway.address(80)).unwrap();
    stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").unwrap();
    let mut word = [0; 25];
    stream.read_exact(&mut word).unwrap();
    assert!(word.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&word));
    stream.write_all(b"ok").unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

/// A real ext_authz server: it does what the request's path says.
#[derive(Clone, Default)]
struct Judge {
    asked: Arc<Mutex<Vec<CheckRequest>>>,
}

fn option(key: &str, value: &str, append_action: i32) -> HeaderValueOption {
    let header = HeaderValue { key: key.to_owned(), value: value.to_owned(), ..HeaderValue::default() };
    HeaderValueOption { header: Some(header), append_action, ..HeaderValueOption::default() }
}

fn answer(code: i32, http_response: Option<HttpResponse>) -> CheckResponse {
    let status = rpc::Status { code, ..rpc::Status::default() };
    CheckResponse { status: Some(status), http_response, ..CheckResponse::default() }
}

#[tonic::async_trait]
impl Authorization for Judge {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner();
        let http = http_of(&request);
        self.asked.lock().unwrap().push(request);
        let path = http.map(|it| it.path).unwrap_or_default();
        Ok(Response::new(if path.starts_with("/no") {
            let denied = DeniedHttpResponse {
                status: Some(HttpStatus { code: 451 }),
                headers: vec![option("x-why", "law", 0)],
                body: "for reasons".to_owned(),
            };
            answer(7, Some(HttpResponse::DeniedResponse(denied)))
        } else if path.starts_with("/plain") {
            answer(16, None)
        } else if path.starts_with("/broken") {
            return Err(Status::unavailable("not now"));
        } else {
            let parameter = QueryParameter { key: "who".to_owned(), value: "a b".to_owned() };
            let ok = OkHttpResponse {
                headers: vec![option("x-user", "ann", 0), option("x-new", "n", 1), option("x-there", "t", 3)],
                headers_to_remove: vec!["x-secret".to_owned(), "host".to_owned()],
                response_headers_to_add: vec![option("x-seen", "s", 0)],
                query_parameters_to_set: vec![parameter],
                query_parameters_to_remove: vec!["token".to_owned()],
                ..OkHttpResponse::default()
            };
            answer(0, Some(HttpResponse::OkResponse(ok)))
        }))
    }
}

fn http_of(request: &CheckRequest) -> Option<HttpRequest> {
    request.attributes.as_ref()?.request.as_ref()?.http.clone()
}

fn grpc_judge() -> (tokio::runtime::Runtime, SocketAddr, Judge) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let judge = Judge::default();
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(AuthorizationServer::new(judge.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    });
    (runtime, address, judge)
}

#[test]
fn a_service_that_speaks_grpc_is_asked_in_envoys_own_words() {
    let (_runtime, address, judge) = grpc_judge();
    let upstream = Upstream::echo("a");
    let terms = "timeout: 5s, includeRequestBodyInCheck: {maxRequestBytes: 1000, packAsBytes: true}";
    let gateway = scene(provider("envoyExtAuthzGrpc", address, terms), &upstream, "[{}]");
    let ask = |path: &str, headers: &str| {
        Client::connect(gateway.address(80))
            .send(&format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: 2\r\n\r\nhi"))
    };
    let passed = ask("/p?token=t&x=1", "X-User: root\r\nX-Secret: s\r\nX-New: old\r\nX-There: old\r\nA: 1\r\nA: 2\r\n");
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert_eq!(passed.request_line(), "POST /p?x=1&who=a%20b HTTP/1.1");
    let echoed: HashMap<_, _> = ["x-user", "x-secret", "x-new", "x-there"].map(|it| (it, passed.echoed(it))).into();
    assert_eq!(echoed["x-user"].as_deref(), Some("ann"));
    assert_eq!(echoed["x-secret"], None);
    assert_eq!(echoed["x-new"].as_deref(), Some("old"));
    assert_eq!(echoed["x-there"].as_deref(), Some("t"));
    assert_eq!(passed.header("x-seen"), Some("s"));
    let question = judge.asked.lock().unwrap()[0].clone();
    let http = http_of(&question).unwrap();
    assert_eq!((http.method.as_str(), http.path.as_str(), http.host.as_str()), ("POST", "/p?token=t&x=1", "h"));
    assert_eq!((http.scheme.as_str(), http.protocol.as_str(), http.size), ("http", "HTTP/1.1", 2));
    assert_eq!((http.raw_body.as_slice(), http.body.as_str()), (&b"hi"[..], ""));
    assert_eq!(http.headers["a"], "1,2");
    assert_eq!(http.headers[":path"], "/p?token=t&x=1");
    assert!(!http.id.is_empty());
    assert!(question.attributes.unwrap().source.unwrap().address.is_some());

    let refused = ask("/no", "");
    assert_eq!((refused.status, refused.text().as_str(), refused.header("x-why")), (451, "for reasons", Some("law")));
    assert_eq!((ask("/plain", "").status, ask("/broken", "").status), (403, 403));
    let text = gateway.ask_admin("GET", "/metrics").text();
    assert!(text.contains("sluice_ext_authz_duration_seconds_count{provider=\"judge\"} 4"), "{text}");
}

#[test]
fn connections_without_requests_are_asked_about_too() {
    let (_runtime, address, judge) = grpc_judge();
    let upstream = Upstream::echo("a");
    let tcp = "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec:\n  servers:\n  - port: {number: 8081, name: tcp, protocol: TCP}\n    hosts: ['*']\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: t}\nspec:\n  hosts: ['*']\n  gateways: [edge]\n  tcp:\n  - route: [{destination: {host: a.test}}]\n";
    let with = |settings: String| {
        Gateway::start(&(settings + tcp + &service("a", "TCP", &[upstream.address()]) + &custom("[{}]")))
    };
    let gateway = with(provider("envoyExtAuthzGrpc", address, "timeout: 5s"));
    assert_eq!(Client::connect(gateway.address(8081)).get("h", "/").status, 200);
    let question = judge.asked.lock().unwrap()[0].clone();
    assert!(http_of(&question).is_none());
    // One that speaks HTTP has no words for it.
    let gateway = with(provider("envoyExtAuthzHttp", upstream.address(), "timeout: 5s"));
    let mut stream = TcpStream::connect(gateway.address(8081)).unwrap();
    stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    let mut nothing = [0; 1];
    assert!(matches!(stream.read(&mut nothing), Ok(0) | Err(_)));
}

#[test]
fn mistakes_are_told_with_place_and_remedy() {
    let address = "127.0.0.1:9000".parse().unwrap();
    let all = |settings: String, policies: String| settings + &gateway(&[80]) + &routes("h", ALL) + &policies;
    let other = custom("[{}]").replace("name: ask", "name: other").replace("name: judge", "name: jury");
    let good = provider("envoyExtAuthzHttp", address, "timeout: 1s");
    for (config, expected) in [
        (all(settings(""), custom("[{}]")), "no provider `judge` is declared"),
        (all(good.clone(), custom("[{}]") + &other), "asks `judge` already"),
        (
            all(settings("  meshConfig: {extensionProviders: [{name: judge, prometheus: {}}]}\n"), custom("[{}]")),
            "is neither envoyExtAuthzHttp nor",
        ),
        (all(good.replace("port: 9000", "port: 0"), custom("[{}]")), "port 0 must be between"),
        (all(provider("envoyExtAuthzHttp", address, "statusOnError: no"), custom("[{}]")), "is no HTTP status"),
        (all(provider("envoyExtAuthzHttp", address, "pathPrefix: check"), custom("[{}]")), "begins with `/`"),
    ] {
        let folder = crate::harness::Folder::new();
        let output =
            crate::harness::sluice().args(["check", "--config"]).arg(folder.write("c.yaml", &config)).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert!(report.contains(expected) && report.contains("c.yaml:"), "{expected}: {report}");
    }
}

#[test]
fn explain_says_who_would_be_asked() {
    let address = "127.0.0.1:9000".parse().unwrap();
    let folder = crate::harness::Folder::new();
    let config = provider("envoyExtAuthzHttp", address, "timeout: 1s")
        + &gateway(&[80])
        + &routes("h", "  - directResponse: {status: 200}\n")
        + &custom("[{to: [{operation: {paths: [/a]}}]}]");
    let path = folder.write("c.yaml", &config);
    let explain = |url: &str| {
        let output =
            crate::harness::sluice().args(["explain", "--config"]).arg(&path).args(["GET", url]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let asked = explain("http://h/a");
    assert!(asked.contains("CUSTOM ns[istio-system]-policy[ask]-rule[0]: matches"), "{asked}");
    assert!(asked.contains("judge at outbound|9000||127.0.0.1 is asked"), "{asked}");
    assert!(asked.contains("c.yaml:") && asked.contains("spec.rules[0]"), "{asked}");
    assert!(explain("http://h/b").contains("judge is not asked"));
}
