//! Tokens and access policies, over the real process.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::harness::jwt::{Issuer, KeyServer};
use crate::harness::tls::{Ask, Authority};
use crate::harness::{Client, Folder, Gateway, Response, Upstream, gateway, routes, service, settings, wait_for};

const ALL: &str = "  - route: [{destination: {host: a.test}}]\n";

fn authentication(rules: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: tokens, namespace: istio-system}}\nspec:\n  jwtRules:\n{rules}"
    )
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: istio-system}}\nspec: {spec}\n"
    )
}

fn config(upstream: &Upstream, more: &str) -> String {
    settings("") + &gateway(&[80]) + &service("a", "HTTP", &[upstream.address()]) + &routes("h", ALL) + more
}

#[track_caller]
fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    Client::connect(gateway.address(80)).send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn claims(more: Value) -> Value {
    let mut claims = json!({ "iss": "me", "sub": "alice", "exp": 4_000_000_000_u64 });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

#[test]
fn a_token_that_is_presented_must_be_valid() {
    let (issuer, stranger) = (Issuer::new("k"), Issuer::new("k"));
    let upstream = Upstream::echo("a");
    let rules = format!(
        "  - {{issuer: me, audiences: [shop], jwks: '{}', outputPayloadToHeader: x-payload, outputClaimToHeaders: [{{header: x-role, claim: user.role}}]}}\n",
        issuer.keys()
    );
    let gateway = Gateway::start(&config(&upstream, &authentication(&rules)));
    let good = issuer.token(&claims(json!({ "aud": "shop", "user": { "role": "admin" } })));
    let answer = ask(&gateway, "/x?access_token=none", &[("X-Role", "root"), ("x_role", "root")]);
    assert_eq!(answer.status, 401, "what stands where a token stands is one");
    let answer = ask(&gateway, "/", &[("X-Role", "root"), ("X-Payload", "root")]);
    assert_eq!((answer.status, answer.echoed("x-role"), answer.echoed("x-payload")), (200, None, None));
    for _ in 0..2 {
        let answer = ask(&gateway, "/", &[("Authorization", &bearer(&good)), ("X-Role", "root")]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.echoed("x-role").as_deref(), Some("admin"));
        assert_eq!(answer.echoed("x-payload").as_deref(), good.split('.').nth(1));
        assert_eq!(answer.echoed("authorization"), None);
    }
    let answer = ask(&gateway, &format!("/p?a=1&access_token={good}&b=2"), &[]);
    assert_eq!((answer.status, answer.request_line().as_str()), (200, "GET /p?a=1&b=2 HTTP/1.1"));
    for (token, status, text) in [
        (stranger.token(&claims(json!({ "aud": "shop" }))), 401, "Jwt verification fails"),
        (issuer.token(&claims(json!({ "aud": "other" }))), 403, "Audiences in Jwt are not allowed"),
        (issuer.token(&claims(json!({ "aud": "shop", "exp": 1 }))), 401, "Jwt is expired"),
        (issuer.token(&claims(json!({ "aud": "shop", "nbf": 4_000_000_000_u64 }))), 401, "Jwt not yet valid"),
        (issuer.token(&claims(json!({ "iss": "you" }))), 401, "Jwt issuer is not configured"),
        ("a.b".to_owned(), 401, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"),
    ] {
        let answer = ask(&gateway, "/secret", &[("Authorization", &bearer(&token))]);
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
        let challenge = "Bearer realm=\"http://h/secret\", error=\"invalid_token\"";
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
    }
    assert_eq!(upstream.requests(), 4);
    wait_for("why is logged", || {
        gateway.output().contains(" 401 - jwt_authn_access_denied{Jwt_is_expired} ").then_some(())
    });
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    for line in
        ["sluice_jwt_validations_total{result=\"valid\"} 3", "sluice_jwt_validations_total{result=\"expired\"} 1"]
    {
        assert!(metrics.contains(line), "{line}");
    }
}

#[test]
fn keys_are_fetched_kept_and_fetched_again() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let upstream = Upstream::echo("a");
    let server = KeyServer::new("nonsense");
    let inline = Issuer::new("inline");
    let rules = format!(
        "  - {{issuer: me, jwksUri: \"{}\"}}\n  - {{issuer: other, jwks: '{}'}}\n",
        server.url(),
        inline.keys()
    );
    let gateway = Gateway::start(&config(&upstream, &authentication(&rules)));
    let status = |issuer: &Issuer, name: &str| {
        let token = issuer.token(&claims(json!({ "iss": name })));
        ask(&gateway, "/", &[("Authorization", &bearer(&token))]).status
    };
    // Without keys its tokens are refused, and nobody else is.
    assert_eq!((status(&old, "me"), status(&inline, "other"), ask(&gateway, "/", &[]).status), (401, 200, 200));
    server.serve(&old.keys());
    wait_for("the keys are fetched in the end", || (status(&old, "me") == 200).then_some(()));
    // A key that is not known is asked for at once.
    server.serve(&json!({ "keys": [old.key(), new.key(), { "kty": "what" }] }).to_string());
    wait_for("the new key is fetched", || (status(&new, "me") == 200).then_some(()));
    let fetches = server.upstream.requests();
    // Many unknown keys are no reason for many fetches.
    let strangers = Issuer::new("stranger");
    server.say("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/keys\r\nContent-Length: 0\r\n\r\n");
    assert!((0..50).all(|_| status(&strangers, "me") == 401));
    assert!(server.upstream.requests() <= fetches + 1);
    assert_eq!((status(&old, "me"), status(&new, "me")), (200, 200), "the last good keys stay");
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    assert!(metrics.contains("sluice_jwks_keys_skipped_total 1"), "{metrics}");
    assert!(gateway.messages().contains("the keys of http://"), "{}", gateway.messages());
    // The same keys go on after a reload, without a fetch.
    let before = server.upstream.requests();
    let again = config(&upstream, &(authentication(&rules) + &policy("p", "{rules: [{}]}")));
    assert_eq!(gateway.reload(&again)["success"], true);
    assert_eq!((status(&new, "me"), server.upstream.requests()), (200, before));
}

#[test]
fn policies_say_who_may_pass_before_routes_are_looked_up() {
    let issuer = Issuer::new("k");
    let upstream = Upstream::echo("a");
    let rules = format!("  - {{issuer: me, jwks: '{}', forwardOriginalToken: true}}\n", issuer.keys());
    let policies = policy(
        "deny",
        "{action: DENY, rules: [{to: [{operation: {paths: [\"/admin*\"]}}], from: [{source: {notRequestPrincipals: [\"me/root\"]}}]}]}",
    ) + &policy(
        "allow",
        "{rules: [{to: [{operation: {paths: [\"/open*\"], methods: [GET]}}]}, {from: [{source: {requestPrincipals: [\"me/*\"]}}], when: [{key: \"request.auth.claims[groups]\", values: [staff]}]}]}",
    ) + &policy("watch", "{action: AUDIT, rules: [{to: [{operation: {paths: [\"/open/watched\"]}}]}]}")
        + "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: rehearsal, namespace: istio-system, annotations: {istio.io/dry-run: \"true\"}}\nspec: {action: DENY, rules: [{}]}\n";
    let gateway = Gateway::start(&config(&upstream, &(authentication(&rules) + &policies)));
    let token =
        |subject: &str, groups: &[&str]| bearer(&issuer.token(&claims(json!({ "sub": subject, "groups": groups }))));
    let (staff, guest, root) = (token("a", &["x", "staff"]), token("b", &["x"]), token("root", &["staff"]));
    for (path, token, status) in [
        ("/open", None, 200),
        ("/open/watched", None, 200),
        ("/closed", None, 403),
        ("/closed", Some(&guest), 403),
        ("/closed", Some(&staff), 200),
        ("/admin", Some(&staff), 403),
        ("/x/../admin", Some(&staff), 403),
        ("/%61dmin", Some(&staff), 403),
        ("/admin", Some(&root), 200),
    ] {
        let token = token.map(|it| ("Authorization", it.as_str()));
        let answer = ask(&gateway, path, token.as_slice());
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        if status == 403 {
            assert_eq!(answer.text(), "RBAC: access denied");
        }
    }
    let unknown = Client::connect(gateway.address(80)).get("nobody", "/closed");
    assert_eq!(unknown.status, 403, "what there is is not told to who may not pass");
    for line in ["matched_policy[none]", "matched_policy[ns[istio-system]-policy[deny]-rule[0]]"] {
        wait_for("which rule refused is logged", || gateway.output().contains(line).then_some(()));
    }
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    for line in [
        "sluice_authz_decisions_total{decision=\"allowed\",policy=\"\"} 4",
        "sluice_authz_decisions_total{decision=\"audited\",policy=\"ns[istio-system]-policy[watch]-rule[0]\"} 1",
        "sluice_authz_decisions_total{decision=\"denied\",policy=\"none\"} 3",
        "sluice_authz_decisions_total{decision=\"would_deny\",policy=\"ns[istio-system]-policy[rehearsal]-rule[0]\"} 10",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn routes_are_chosen_by_claims() {
    let issuer = Issuer::new("k");
    let upstream = Upstream::echo("a");
    let rules = format!("  - {{issuer: me, jwks: '{}'}}\n", issuer.keys());
    let route = "  - match: [{headers: {\"@request.auth.claims.user.tier\": {exact: gold}}}]\n    directResponse: {status: 201}\n  - match: [{withoutHeaders: {\"@request.auth.claims[blocked]\": {exact: \"true\"}}}]\n    directResponse: {status: 202}\n";
    let config = settings("") + &gateway(&[80]) + &routes("h", route) + &authentication(&rules);
    let gateway = Gateway::start(&(config + &service("a", "HTTP", &[upstream.address()])));
    for (more, status) in [
        (json!({ "user": { "tier": "gold" } }), 201),
        (json!({ "user": { "tier": ["silver", "gold"] } }), 201),
        (json!({ "user": "gold" }), 202),
        (json!({ "blocked": true }), 404),
    ] {
        let token = bearer(&issuer.token(&claims(more)));
        assert_eq!(ask(&gateway, "/", &[("Authorization", &token)]).status, status);
    }
    let spoofed = ask(&gateway, "/", &[("@request.auth.claims.user.tier", "gold")]);
    assert_ne!(spoofed.status, 201, "a header is no claim");
}

#[test]
fn certificates_and_connections_are_judged_too() {
    let (ours, mesh) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    crate::tls::credential(&folder, "own", &ours.sign("a.test"), Some(&mesh));
    let upstream = Upstream::echo("a");
    let base = crate::tls::with_secrets(&folder, "")
        + &crate::tls::servers(&[("a.test", "mode: OPTIONAL_MUTUAL, credentialName: own")])
        + "  - port: {number: 8081, name: tcp, protocol: TCP}\n    hosts: [\"*\"]\n"
        + &service("a", "HTTP", &[upstream.address()])
        + &routes("a.test", ALL)
        + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: tcp}\nspec: {hosts: [\"*\"], gateways: [edge], tcp: [{match: [{port: 8081}], route: [{destination: {host: a.test}}]}]}\n";
    let web = mesh.sign("spiffe://td/ns/shop/sa/web");
    let rules = "{rules: [{from: [{source: {principals: [\"td/ns/shop/*\"]}}], when: [{key: connection.sni, values: [a.test]}]}, {from: [{source: {namespaces: [ops]}}]}, {to: [{operation: {ports: [\"8081\"]}}], from: [{source: {ipBlocks: [127.0.0.0/8]}}]}]}";
    let gateway = Gateway::start(&(base.clone() + &policy("p", rules)));
    let ask = Ask::new("a.test", &ours);
    let (address, tcp) = (gateway.address(443), gateway.address(8081));
    assert_eq!(ask.get(address, "/").unwrap().status, 403);
    assert_eq!(ask.with(&web).get(address, "/").unwrap().status, 200);
    let other = mesh.sign("spiffe://td/ns/other/sa/web");
    assert_eq!(ask.with(&other).get(address, "/").unwrap().status, 403);
    assert_eq!(Client::connect(tcp).get("h", "/").status, 200);
    // What only HTTP knows cannot let a connection in.
    assert_eq!(
        gateway.reload(&(base.clone() + &policy("p", "{rules: [{to: [{operation: {paths: [\"/*\"]}}]}]}")))["success"],
        true
    );
    assert_eq!(ask.get(address, "/").unwrap().status, 200);
    assert!(Client::connect(tcp).is_closed());
}

#[test]
fn cors_can_come_before_everybody_who_asks_for_something() {
    let upstream = Upstream::echo("a");
    let cors = "  - corsPolicy: {allowOrigins: [{exact: https://page.test}], allowMethods: [GET]}\n    route: [{destination: {host: a.test}}]\n";
    let config = |more: &str| {
        settings(more)
            + &gateway(&[80])
            + &service("a", "HTTP", &[upstream.address()])
            + &routes("h", cors)
            + &policy("nobody", "{}")
    };
    for (more, preflight, readable) in
        [("", 403, None), ("  corsBeforeAuthentication: true\n", 200, Some("https://page.test"))]
    {
        let gateway = Gateway::start(&config(more));
        let answer = Client::connect(gateway.address(80)).send(
            "OPTIONS / HTTP/1.1\r\nHost: h\r\nOrigin: https://page.test\r\nAccess-Control-Request-Method: GET\r\n\r\n",
        );
        assert_eq!(answer.status, preflight, "{more}");
        let refused = ask(&gateway, "/", &[("Origin", "https://page.test")]);
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, readable), "{more}");
    }
}

#[test]
fn explain_tells_what_tokens_and_policies_say() {
    let issuer = Issuer::new("k");
    let upstream = Upstream::echo("a");
    let rules = format!(
        "  - {{issuer: other, jwksUri: 'http://127.0.0.1:1/'}}\n  - {{issuer: me, audiences: [shop], jwks: '{}'}}\n",
        issuer.keys()
    );
    let policies = policy("deny", "{action: DENY, rules: [{from: [{source: {remoteIpBlocks: [10.0.0.0/8]}}]}]}")
        + &policy(
            "allow",
            "{rules: [{from: [{source: {requestPrincipals: [\"me/*\"]}}], to: [{operation: {paths: [\"/x*\"]}}]}]}",
        );
    let folder = Folder::new();
    let file = folder.write("config.yaml", &config(&upstream, &(authentication(&rules) + &policies)));
    let token = |name: &str, claimed: Value| folder.write(name, &issuer.token(&claims(claimed))).display().to_string();
    let good = token("good.jwt", json!({ "aud": "shop" }));
    let old = token("old.jwt", json!({ "aud": "shop", "exp": 1 }));
    let strange = token("strange.jwt", json!({ "aud": "bank" }));
    let bad = folder.write("bad.jwt", "a.b.c").display().to_string();
    let explain = |arguments: &[&str]| {
        let output =
            crate::harness::sluice().args(["explain", "--config"]).arg(&file).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    for (arguments, expected) in [
        (
            &["--jwt", &good, "GET", "http://h/x"][..],
            &[
                "is not for it: the rule is for issuer `other`, `iss` is \"me\"",
                "valid by key `k`, ES256",
                "istio-system/tokens spec.jwtRules[1]",
                "valid, issued by `me` about `alice`",
                "allowed",
                "destination",
            ][..],
        ),
        (&["--jwt", &old, "GET", "http://h/x"], &["Jwt is expired (`exp` is 1, now is "]),
        (&["--jwt", &strange, "GET", "http://h/x"], &["(`aud` is \"bank\", admitted are [\"shop\"])"]),
        (&["--jwt", &good, "GET", "http://h/y"], &["to: the path is none of those", "no ALLOW rule matches: 403"]),
        (
            &["GET", "http://h/x"],
            &["none: the request has no identity", "from: request.auth.principal is none of those"],
        ),
        (&["--jwt", &bad, "GET", "http://h/x"], &["Jwt header is an invalid"]),
        (
            &["--source-ip", "10.1.1.1", "--jwt", &good, "GET", "http://h/x"],
            &["denied, by ns[istio-system]-policy[deny]-rule[0]"],
        ),
    ] {
        let text = explain(arguments);
        for line in expected {
            assert!(text.contains(line), "{arguments:?}: {line}\n{text}");
        }
    }
}

#[test]
fn keys_that_cannot_be_fetched_any_more_are_too_old_some_day() {
    let issuer = Issuer::new("k");
    let upstream = Upstream::echo("a");
    let server = KeyServer::new(&issuer.keys());
    let rules = authentication(&format!("  - {{issuer: me, jwksUri: \"{}\"}}\n", server.url()));
    let more = "  jwks: {maxAge: 1s}";
    let gateway =
        Gateway::start(&config(&upstream, &rules).replace("  workers: 2\n", &format!("  workers: 2\n{more}\n")));
    let status = |issuer: &Issuer| {
        let token = issuer.token(&claims(json!({})));
        ask(&gateway, "/", &[("Authorization", &bearer(&token))]).status
    };
    assert_eq!(status(&issuer), 200);
    server.say("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    // An unknown key makes the gateway ask, and find out.
    assert_eq!(status(&Issuer::new("stranger")), 401);
    wait_for("the keys are too old", || (status(&issuer) == 401).then_some(()));
    assert!(gateway.messages().contains("the last ones are too old"), "{}", gateway.messages());
    server.serve(&issuer.keys());
    wait_for("new ones are taken", || (status(&issuer) == 200).then_some(()));
}

#[test]
fn a_server_of_keys_that_stalls_or_never_ends_harms_nobody() {
    let (issuer, stranger) = (Issuer::new("k"), Issuer::new("stranger"));
    let (upstream, server) = (Upstream::echo("a"), KeyServer::new(""));
    let rules = format!("  - {{issuer: me, jwksUri: \"{}\", timeout: 300ms}}\n", server.url());
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n".to_owned() + &" ".repeat(10 << 20);
    let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(64);
    for answer in [None, Some(&long), Some(&endless)] {
        server.serve(&issuer.keys());
        let gateway = Gateway::start(&config(&upstream, &authentication(&rules)));
        let status = |issuer: &Issuer| {
            let token = issuer.token(&claims(json!({})));
            ask(&gateway, "/", &[("Authorization", &bearer(&token))]).status
        };
        assert_eq!(status(&issuer), 200);
        answer.map_or_else(|| server.stall(), |it| server.say(it));
        // An unknown key makes the gateway ask; who has a known one never waits for that.
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| status(&stranger));
            assert!((0..20).all(|_| status(&issuer) == 200));
            assert_eq!(asking.join().unwrap(), 401);
        });
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        wait_for("the reason", || gateway.messages().contains("the keys of http://").then_some(()));
        assert_eq!(status(&issuer), 200, "the last good keys stay");
    }
}

#[test]
fn a_clock_that_jumps_moves_the_ends_of_tokens_and_nothing_else() {
    let issuer = Issuer::new("k");
    let (upstream, server) = (Upstream::echo("a"), KeyServer::new(&issuer.keys()));
    let rules = format!("  - {{issuer: me, jwksUri: \"{}\"}}\n", server.url());
    let folder = Folder::new();
    let clock = folder.write("clock", "+0");
    let gateway = Gateway::start_by_clock(&config(&upstream, &authentication(&rules)), &clock);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let token = issuer.token(&claims(json!({ "nbf": now - 3600, "exp": now + 3600 })));
    let said = || ask(&gateway, "/", &[("Authorization", &bearer(&token))]).text();
    assert!(said().starts_with('a'));
    for (jump, text) in [("+1d", "Jwt is expired"), ("-1d", "Jwt not yet valid"), ("+0", "a\nGET / ")] {
        folder.write("clock", jump);
        wait_for("the clock jumped", || said().starts_with(text).then_some(()));
    }
    assert_eq!(server.upstream.requests(), 1, "keys are fetched by the passing of time");
}

#[test]
fn keys_are_fetched_from_servers_of_our_own_authority_and_through_a_proxy() {
    let issuer = Issuer::new("k");
    let upstream = Upstream::echo("a");
    let authority = Authority::new();
    let folder = Folder::new();
    crate::tls::credential(&folder, "own", &authority.sign("localhost"), None);
    let ca = folder.write("ca.pem", &authority.pem()).display().to_string();
    let keys =
        routes("localhost", &format!("  - directResponse: {{status: 200, body: {{string: '{}'}}}}\n", issuer.keys()));
    let server = crate::tls::with_secrets(&folder, "")
        + &crate::tls::servers(&[("*", "mode: SIMPLE, credentialName: own")])
        + &keys;
    let server = crate::tls::start(folder, &server);
    let target = server.address(443);
    // It carries every connection to our server of keys, whatever name it is asked for.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_address = proxy.local_addr().unwrap();
    let (asked, names) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in proxy.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            asked.send(String::from_utf8(head).unwrap()).unwrap();
            let mut to = std::net::TcpStream::connect(target).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut back, mut from) = (stream.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
            std::thread::spawn(move || std::io::copy(&mut stream, &mut to));
        }
    });
    let start = |url: String, terms: String| {
        let rules = authentication(&format!("  - {{issuer: me, jwksUri: \"{url}\"}}\n"));
        let more = format!("  workers: 2\n  jwks: {{{terms}}}\n");
        Gateway::start(&config(&upstream, &rules).replace("  workers: 2\n", &more))
    };
    let status = |gateway: &Gateway| {
        let token = issuer.token(&claims(json!({})));
        ask(gateway, "/", &[("Authorization", &bearer(&token))]).status
    };
    let direct = format!("https://localhost:{}/keys", target.port());
    assert_eq!(status(&start(direct.clone(), String::new())), 401, "the system does not know our authority");
    assert_eq!(status(&start(direct, format!("caCertificates: {ca}"))), 200);
    let through = format!("caCertificates: {ca}, proxy: \"{proxy_address}\"");
    let gateway = start("https://localhost/keys".to_owned(), through);
    assert_eq!(status(&gateway), 200);
    assert!(names.recv().unwrap().starts_with("CONNECT localhost:443 HTTP/1.1\r\n"));
}
