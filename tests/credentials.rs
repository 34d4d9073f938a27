//! Keys and passwords of clients (ApiKeyAuthentication, BasicAuthentication), over the real process.

use std::time::Instant;

use crate::harness::tls::sha256_hex;
use crate::harness::{Client, Folder, Gateway, Response, Upstream, gateway, routes, service, settings, sluice};

const ALL: &str = "  - route: [{destination: {host: a.test}}]\n";

fn kind(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: sluice.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: istio-system}}\nspec: {{{spec}}}\n"
    )
}

fn config(upstream: &Upstream, more: &str) -> String {
    settings("") + &gateway(&[80]) + &service("a", "HTTP", &[upstream.address()]) + &routes("h", ALL) + more
}

fn ask(gateway: &Gateway, path: &str, headers: &str) -> Response {
    Client::connect(gateway.address(80)).send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"))
}

fn basic(credential: &str) -> String {
    use base64::Engine as _;
    format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(credential))
}

#[test]
fn keys_name_clients_for_upstreams_and_policies() {
    let upstream = Upstream::echo("a");
    let folder = Folder::new();
    let file = folder.write("keys", &format!("# partners\nbob:{}\n", sha256_hex(b"k-bob")));
    let keys = kind(
        "ApiKeyAuthentication",
        "partners",
        &format!(
            "keyFrom: [{{header: x-api-key}}, {{query: key}}, {{cookie: key}}], clientHeader: x-client, file: {}, credentialName: more, clients: [{{name: ann, sha256: [{}]}}]",
            file.display(),
            sha256_hex(b"k-ann")
        ),
    );
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: more, namespace: istio-system}\nstringData: {cas: k-cas}\n";
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\nspec: {action: DENY, rules: [{from: [{source: {requestPrincipals: [apikey/bob]}}], to: [{operation: {paths: [/ann]}}]}]}\n";
    let gateway = Gateway::start(&config(&upstream, &(keys + secret + policy)));
    let good = ask(&gateway, "/ann?key=k-cas&x=1", "X-Api-Key: k-ann\r\nX-Client: root\r\nx_client: root\r\n");
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(good.echoed("x-client").as_deref(), Some("ann"));
    assert_eq!((good.echoed("x-api-key"), good.echoed("x_client")), (None, None));
    assert_eq!(good.request_line(), "GET /ann?x=1 HTTP/1.1", "no key goes on");
    for (path, headers, status, text) in [
        ("/", "X-Api-Key: k-bob\r\n", 200, None),
        ("/ann", "X-Api-Key: k-bob\r\n", 403, Some("RBAC: access denied")),
        ("/", "Cookie: a=b; key=k-cas\r\n", 200, None),
        ("/", "X-Api-Key: nobody\r\n", 401, Some("Client authentication failed.")),
        ("/?key=nobody", "X-Api-Key: k-ann\r\n", 401, Some("Client authentication failed.")),
        ("/", "", 401, Some("Client authentication failed.")),
        ("/", "X-Api-Key: k-ann\r\nConnection: x-client\r\n", 400, None),
    ] {
        let answer = ask(&gateway, path, headers);
        assert_eq!(answer.status, status, "{path} {headers}: {}", answer.text());
        assert!(text.is_none_or(|it| answer.text() == it), "{path} {headers}: {}", answer.text());
    }
    crate::harness::wait_for("the log", || gateway.output().contains("401 - unknown_api_key").then_some(()));
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    assert!(metrics.contains("sluice_credentials_validations_total{kind=\"apikey\",result=\"missing_api_key\"} 1"));
    let told = gateway.output() + &gateway.messages() + &metrics + &gateway.ask_admin("GET", "/config_dump").text();
    for key in ["k-ann", "k-bob"] {
        assert!(!told.contains(key), "no key is told");
    }
}

#[test]
fn passwords_are_checked_aside_and_remembered() {
    let upstream = Upstream::echo("a");
    let hash = bcrypt::hash("secret", 11).unwrap();
    let users =
        kind("BasicAuthentication", "staff", &format!("htpasswd: 'ann:{hash}', userHeader: x-user, realm: staff only"));
    let gateway = Gateway::start(&config(&upstream, &users));
    let first = Instant::now();
    let good = ask(&gateway, "/", &(basic("ann:secret") + "X-User: root\r\n"));
    let first = first.elapsed();
    assert_eq!((good.status, good.echoed("x-user").as_deref()), (200, Some("ann")), "{}", good.text());
    assert_eq!(good.echoed("authorization"), None);
    // Both workers check it once.
    let again = Instant::now();
    for _ in 0..40 {
        assert_eq!(ask(&gateway, "/", &basic("ann:secret")).status, 200);
    }
    assert!(again.elapsed() < first * 20, "{:?} and then {:?} for forty", first, again.elapsed());
    for (headers, text) in [
        (String::new(), "User authentication failed. Missing username and password."),
        (basic("ann:wrong"), "User authentication failed. Invalid username/password combination."),
        (basic("eve:secret"), "User authentication failed. Invalid username/password combination."),
    ] {
        let answer = ask(&gateway, "/", &headers);
        assert_eq!((answer.status, answer.text().as_str()), (401, text));
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"staff only\""));
    }
    // Others are served meanwhile: checks take threads of their own.
    let address = gateway.address(80);
    let guesses: Vec<_> = (0..20)
        .map(|it| {
            let headers = basic(&format!("ann:guess-{it}"));
            std::thread::spawn(move || {
                Client::connect(address).send(&format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n")).status
            })
        })
        .collect();
    assert_eq!(ask(&gateway, "/", &basic("ann:secret")).status, 200);
    assert!(guesses.into_iter().all(|it| it.join().unwrap() == 401));
}

#[test]
fn both_can_be_left_to_policies_and_stand_beside_tokens() {
    let upstream = Upstream::echo("a");
    let hash = bcrypt::hash("secret", 4).unwrap();
    let more = kind("BasicAuthentication", "staff", &format!("htpasswd: 'ann:{hash}', optional: true"))
        + &kind(
            "ApiKeyAuthentication",
            "keys",
            &format!("optional: true, clients: [{{name: bob, sha256: [{}]}}]", sha256_hex(b"k")),
        )
        + "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\nspec: {rules: [{to: [{operation: {paths: [/open]}}]}, {from: [{source: {requestPrincipals: ['basic/*', apikey/bob]}}]}]}\n";
    let gateway = Gateway::start(&config(&upstream, &more));
    for (path, headers, status) in [
        ("/open", String::new(), 200),
        ("/", String::new(), 403),
        ("/", basic("ann:secret"), 200),
        ("/", "X-Api-Key: k\r\n".to_owned(), 200),
        ("/open", "X-Api-Key: no\r\n".to_owned(), 401),
        ("/", "Authorization: Bearer x\r\n".to_owned(), 403),
    ] {
        assert_eq!(ask(&gateway, path, &headers).status, status, "{path} {headers}");
    }
}

#[test]
fn mistakes_are_told_without_telling_secrets() {
    let upstream = Upstream::echo("a");
    for (more, expected) in [
        (kind("ApiKeyAuthentication", "k", ""), "nobody is known"),
        (kind("ApiKeyAuthentication", "k", "clients: [{name: a, sha256: [hunter2]}]"), "not a SHA-256 in hex"),
        (
            kind("ApiKeyAuthentication", "k", "file: /nowhere, keyFrom: [{header: a, query: b}]"),
            "exactly one of header",
        ),
        (kind("ApiKeyAuthentication", "k", "file: /nowhere"), "cannot be read"),
        (kind("ApiKeyAuthentication", "k", "credentialName: none"), "there is no Secret `none`"),
        (kind("BasicAuthentication", "b", ""), "exactly one of htpasswd"),
        (kind("BasicAuthentication", "b", "htpasswd: 'a:hunter2'"), "neither bcrypt"),
        (
            kind(
                "BasicAuthentication",
                "b",
                "htpasswd: 'a:{SHA}x', selector: {}, targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: g}]",
            ),
            "only one of selector",
        ),
    ] {
        let folder = Folder::new();
        let path = folder.write("c.yaml", &config(&upstream, &more));
        let output = sluice().args(["check", "--config"]).arg(path).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{more}: {report}");
        assert!(report.contains(expected) && report.contains("c.yaml:"), "{expected}: {report}");
    }
}

#[test]
fn explain_tells_whom_a_key_names() {
    let folder = Folder::new();
    let keys = kind("ApiKeyAuthentication", "k", &format!("clients: [{{name: ann, sha256: [{}]}}]", sha256_hex(b"k")));
    let text = settings("") + &gateway(&[80]) + &routes("h", "  - directResponse: {status: 200}\n") + &keys;
    let path = folder.write("c.yaml", &text);
    for (header, expected) in [("x-api-key: k", "of `ann`, for policies apikey/ann"), ("x: y", "missing_api_key")] {
        let output = sluice()
            .args(["explain", "--config"])
            .arg(&path)
            .args(["-H", header, "GET", "http://h/"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains(expected), "{told}");
    }
}
