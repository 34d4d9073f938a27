//! Every folder of `examples/` is valid and serves what its README promises.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::jwt::Issuer;
use crate::harness::redis::Redis;
use crate::harness::tls::{Ask, Authority};
use crate::harness::{Folder, Gateway, Upstream, sluice};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

#[test]
fn every_example_is_valid() {
    let folders: Vec<_> =
        fs::read_dir(examples()).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_dir()).collect();
    assert!(folders.len() >= 2);
    for folder in folders {
        let output = sluice().args(["check", "--config"]).arg(&folder).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}:\n{report}", folder.display());
    }
}

/// The configuration of an example with its upstreams and ports replaced by the test's.
pub(crate) fn localized(example: &str, replacements: &[(&str, String)]) -> Folder {
    let folder = Folder::new();
    for file in fs::read_dir(examples().join(example)).unwrap() {
        let path = file.unwrap().path();
        let mut text = fs::read_to_string(&path).unwrap();
        for (from, to) in replacements {
            text = text.replace(from, to);
        }
        folder.write(path.file_name().unwrap().to_str().unwrap(), &text);
    }
    folder
}

/// The configuration that the ConfigMap of the Kubernetes example holds.
fn kubernetes_config() -> String {
    let text = fs::read_to_string(examples().join("kubernetes/sluice.yaml")).unwrap();
    let block = text.split("  config.yaml: |\n").nth(1).unwrap();
    let lines = block.lines().take_while(|it| it.starts_with("    ") || it.is_empty());
    lines.map(|it| format!("{}\n", it.strip_prefix("    ").unwrap_or(it))).collect()
}

#[test]
fn the_kubernetes_example_serves_the_shop_by_its_service() {
    let shop = Upstream::echo("shop");
    let entry = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: shop}}\nspec:\n  hosts: [shop.shop.svc.cluster.local]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints: [{{address: 127.0.0.1, ports: {{http: {}}}}}]\n",
        shop.address().port()
    );
    let config = kubernetes_config()
        .replace("\"80\": 8080", "\"80\": 0")
        .replace("127.0.0.1:15000", "127.0.0.1:0")
        .replace("0.0.0.0:15021", "127.0.0.1:0");
    let gateway = Gateway::start(&(config + &entry));
    assert_eq!(gateway.get("shop.example.com", "/").upstream(), "shop");
}

#[test]
fn the_quickstart_serves_shop_and_cart() {
    let (shop, cart) = (Upstream::echo("shop"), Upstream::echo("cart"));
    let folder = localized(
        "quickstart",
        &[
            ("bindAddress: 0.0.0.0", "bindAddress: 127.0.0.1".to_owned()),
            ("\"80\": 8080", "\"80\": 0".to_owned()),
            ("127.0.0.1:15000", "127.0.0.1:0".to_owned()),
            ("0.0.0.0:15021", "127.0.0.1:0".to_owned()),
            (
                "address: shop, ports: {http: 8080}",
                format!("address: 127.0.0.1, ports: {{http: {}}}", shop.address().port()),
            ),
            (
                "address: cart, ports: {http: 8080}",
                format!("address: 127.0.0.1, ports: {{http: {}}}", cart.address().port()),
            ),
        ],
    );
    let gateway = Gateway::start_in(folder, &[]);
    let served = gateway.get("shop.example.com", "/items");
    assert_eq!((served.status, served.upstream().as_str()), (200, "shop"));
    assert_eq!(served.header("x-served-by"), Some("sluice"));
    let rewritten = gateway.get("shop.example.com", "/cart/7");
    assert_eq!((rewritten.upstream().as_str(), rewritten.request_line().as_str()), ("cart", "GET /7 HTTP/1.1"));
    assert_eq!(gateway.get("shop.example.com", "/old").status, 301);
    assert_eq!(gateway.get("other.example.org", "/").status, 404);
}

#[test]
fn the_gateway_api_example_serves_routes_of_another_namespace() {
    let (shop, next, cart) = (Upstream::echo("shop"), Upstream::echo("next"), Upstream::echo("cart"));
    let at = |from: &'static str, upstream: &Upstream| {
        (from, format!("address: 127.0.0.1, ports: {{http: {}}}", upstream.address().port()))
    };
    let folder = localized(
        "gateway-api",
        &[
            ("bindAddress: 0.0.0.0", "bindAddress: 127.0.0.1".to_owned()),
            ("\"80\": 8080", "\"80\": 0".to_owned()),
            ("127.0.0.1:15000", "127.0.0.1:0".to_owned()),
            ("0.0.0.0:15021", "127.0.0.1:0".to_owned()),
            at("address: shop, ports: {http: 8080}", &shop),
            at("address: shop-next, ports: {http: 8080}", &next),
            at("address: cart, ports: {http: 8080}", &cart),
        ],
    );
    let gateway = Gateway::start_in(folder, &[]);
    let answers: Vec<_> = (0..200).map(|_| gateway.get("shop.example.com", "/items").upstream()).collect();
    let share = answers.iter().filter(|it| *it == "next").count();
    assert!((4..50).contains(&share) && answers.iter().all(|it| it == "next" || it == "shop"), "{share} of 200");
    let cart = gateway.get("shop.example.com", "/cart/7");
    assert_eq!((cart.upstream().as_str(), cart.request_line().as_str()), ("cart", "GET /7 HTTP/1.1"));
    let old = gateway.get("shop.example.com", "/old");
    assert_eq!((old.status, old.header("location")), (302, Some("http://shop.example.com/items")));
    assert_eq!(gateway.get("shop.example.com", "/admin/x").status, 403);
    assert_eq!(gateway.get("other.example.com", "/").status, 404);
}

#[test]
fn the_resilience_example_splits_sticks_and_passes_tcp_on() {
    use std::io::{Read as _, Write as _};
    let [first, second, far] = [Upstream::echo("v1"), Upstream::echo("v2"), Upstream::echo("far")];
    let database = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = database.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = database.accept().unwrap();
        stream.write_all(b"ready").unwrap();
    });
    let at = |from: &'static str, port: u16| (from, format!("address: 127.0.0.1, ports: {{http: {port}}}, locality"));
    let folder = localized(
        "resilience",
        &[
            (
                "bindAddress: 0.0.0.0",
                "bindAddress: 127.0.0.1\n  admin: {address: \"127.0.0.1:0\"}\n  health: {address: \"127.0.0.1:0\"}"
                    .to_owned(),
            ),
            ("\"80\": 8080, \"5432\": 5432", "\"80\": 0, \"5432\": 0".to_owned()),
            at("address: 10.1.0.1, locality", first.address().port()),
            at("address: 10.1.0.2, locality", second.address().port()),
            at("address: 10.2.0.1, locality", far.address().port()),
            ("address: 10.1.0.9", format!("address: 127.0.0.1, ports: {{tcp: {port}}}")),
        ],
    );
    let gateway = Gateway::start_in(folder, &[]);
    let mut client = crate::harness::Client::connect(gateway.address(80));
    let answers: Vec<_> = (0..300).map(|_| client.get("shop.example.com", "/")).collect();
    let from = |name: &str| answers.iter().filter(|it| it.upstream() == name).count();
    assert!((240..295).contains(&from("v1")), "{} of 300", from("v1"));
    assert_eq!(from("far"), 0, "the far one is for worse times");
    let seated = answers.iter().find(|it| it.upstream() == "v2").unwrap();
    assert!(seated.header("set-cookie").unwrap().starts_with("seat="));
    let mut stream = std::net::TcpStream::connect(gateway.address(5432)).unwrap();
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"ready");
}

#[test]
fn the_secured_example_redirects_shows_its_certificate_and_asks_who_is_there() {
    let (shop, beta) = (Upstream::echo("shop"), Upstream::echo("beta"));
    let (authority, issuer, secrets) = (Authority::new(), Issuer::new("k"), Folder::new());
    crate::tls::credential(&secrets, "shop", &authority.sign("shop.example.com"), None);
    let at = |from: &'static str, upstream: &Upstream| {
        (from, format!("address: 127.0.0.1, ports: {{http: {}}}", upstream.address().port()))
    };
    let folder = localized(
        "secured",
        &[
            (
                "bindAddress: 0.0.0.0",
                "bindAddress: 127.0.0.1\n  admin: {address: \"127.0.0.1:0\"}\n  health: {address: \"127.0.0.1:0\"}"
                    .to_owned(),
            ),
            ("\"80\": 8080, \"443\": 8443", "\"80\": 0, \"443\": 0".to_owned()),
            ("./secrets}", format!("{}}}", secrets.path().join("secrets").display())),
            ("jwksUri: https://accounts.example.com/jwks.json", format!("jwks: '{}'", issuer.keys())),
            at("address: 10.1.0.1", &shop),
            at("address: 10.1.0.2", &beta),
        ],
    );
    let gateway = Gateway::start_in(folder, &[]);
    let moved = gateway.get("shop.example.com", "/items");
    assert_eq!((moved.status, moved.header("location")), (301, Some("https://shop.example.com/items")));
    // Policies come first, as in Istio.
    assert_eq!(gateway.get("shop.example.com", "/orders").status, 403);
    let token = |groups: serde_json::Value| {
        let claims = json!({ "iss": "https://accounts.example.com", "sub": "ann", "aud": "shop", "groups": groups });
        format!("Authorization: Bearer {}\r\n", issuer.token(&claims))
    };
    let mut client = Ask::new("shop.example.com", &authority).connect(gateway.address(443)).unwrap();
    for (method, path, token, expected) in [
        ("GET", "/", String::new(), (200, "shop")),
        ("POST", "/", String::new(), (403, "")),
        ("POST", "/orders", String::new(), (403, "")),
        ("POST", "/orders", token(json!([])), (200, "shop")),
        ("GET", "/", token(json!(["beta"])), (200, "beta")),
        ("GET", "/office", token(json!([])), (403, "")),
        ("GET", "/office/x", token(json!(["staff"])), (200, "shop")),
        ("GET", "/", "Authorization: Bearer a.b.c\r\n".to_owned(), (401, "")),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: shop.example.com\r\n{token}Content-Length: 0\r\n\r\n");
        let answer = client.send(&head);
        let upstream = if answer.status == 200 { answer.upstream() } else { String::new() };
        assert_eq!((answer.status, upstream.as_str()), expected, "{method} {path} {token}");
    }
}

#[test]
fn the_rate_limits_example_counts_in_redis() {
    let (shop, cart, redis) = (Upstream::echo("shop"), Upstream::echo("cart"), Redis::start());
    let folder = localized(
        "rate-limits",
        &[
            ("bindAddress: 0.0.0.0", "bindAddress: 127.0.0.1".to_owned()),
            ("\"80\": 8080", "\"80\": 0".to_owned()),
            ("127.0.0.1:15000", "127.0.0.1:0".to_owned()),
            ("0.0.0.0:15021", "127.0.0.1:0".to_owned()),
            ("redis://redis:6379", redis.url()),
            ("timeout: 20ms", "timeout: 2s".to_owned()),
            (
                "address: shop, ports: {http: 8080}",
                format!("address: 127.0.0.1, ports: {{http: {}}}", shop.address().port()),
            ),
            (
                "address: cart, ports: {http: 8080}",
                format!("address: 127.0.0.1, ports: {{http: {}}}", cart.address().port()),
            ),
        ],
    );
    let gateway = Gateway::start_in(folder, &[]);
    let mut client = crate::harness::Client::connect(gateway.address(80));
    let mut order = || client.send("POST /orders HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 0\r\n\r\n");
    let answers: Vec<_> = (0..4).map(|_| order()).collect();
    let statuses: Vec<u16> = answers.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert!(answers[0].header("ratelimit-policy").unwrap().contains("\"orders\";q=3;w=60"));
    assert!(answers[3].header("retry-after").is_some());
    assert_eq!(gateway.get("shop.example.com", "/health").header("ratelimit"), None);
    assert!(redis.calls("evalsha") >= 4);
}
