//! The Kubernetes Gateway API: Gateway, HTTPRoute, ReferenceGrant.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::jwt::Issuer;
use crate::harness::tls::{Ask, Authority};
use crate::harness::upstream::response;
use crate::harness::{Client, Folder, Gateway, Upstream, settings, sluice};

/// A document of the Gateway API; `name` may begin with a namespace.
fn document(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{spec}"
    )
}

/// A Gateway with these listeners, each in flow form.
fn listeners(listeners: &[&str]) -> String {
    let listeners: String = listeners.iter().map(|it| format!("  - {{{it}}}\n")).collect();
    document("Gateway", "edge", &format!("  gatewayClassName: any\n  listeners:\n{listeners}"))
}

/// A listener of port 80 for a host, or for every one.
fn http(name: &str, host: &str) -> String {
    let host = if host.is_empty() { String::new() } else { format!(", hostname: \"{host}\"") };
    format!("name: {name}, port: 80, protocol: HTTP{host}")
}

/// A route at the Gateway with these hosts and rules, each rule in flow form.
fn route(name: &str, hosts: &str, rules: &[impl AsRef<str>]) -> String {
    let rules: String = rules.iter().map(|it| format!("  - {{{}}}\n", it.as_ref())).collect();
    document(
        "HTTPRoute",
        name,
        &format!("  parentRefs: [{{name: edge, namespace: default}}]\n  hostnames: [{hosts}]\n  rules:\n{rules}"),
    )
}

/// The Service of a name (`[namespace/]name`), as far as the gateway has to know it.
fn backend(name: &str, address: SocketAddr) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  hosts: [{name}.{namespace}.svc.cluster.local]\n  resolution: STATIC\n  ports: [{{number: 80, name: web, protocol: HTTP}}]\n  endpoints: [{{address: 127.0.0.1, ports: {{web: {}}}}}]\n",
        address.port()
    )
}

fn to(name: &str) -> String {
    format!("backendRefs: [{{name: {name}, port: 80}}]")
}

/// A gateway before two upstreams, `one` and `two`, with a listener for everything.
struct Scene {
    gateway: Gateway,
    one: Upstream,
    two: Upstream,
}

impl Scene {
    #[track_caller]
    fn start(documents: &str) -> Self {
        Self::with(&listeners(&[&http("http", "")]), documents)
    }

    #[track_caller]
    fn with(gateway: &str, documents: &str) -> Self {
        let (one, two) = (Upstream::echo("one"), Upstream::echo("two"));
        let backends = backend("one", one.address()) + &backend("two", two.address());
        Self { gateway: Gateway::start(&(settings("") + gateway + &backends + documents)), one, two }
    }

    /// Who answers; the status where nobody does.
    #[track_caller]
    fn who(&self, host: &str, path: &str, headers: &str) -> String {
        let mut client = Client::connect(self.gateway.address(80));
        let answer = client.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"));
        if answer.status == 200 { answer.upstream() } else { answer.status.to_string() }
    }
}

#[test]
fn the_most_specific_rule_wins_wherever_it_stands() {
    let rule = |number: usize, more: &str| {
        format!(
            "{more}filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-rule, value: '{number}'}}]}}}}], {}",
            to("one")
        )
    };
    let path = |kind: &str, value: &str, more: &str| {
        format!("matches: [{{path: {{type: {kind}, value: '{value}'}}{more}}}], ")
    };
    let below = |more: &str| path("PathPrefix", "/a/b", more);
    let first = [
        rule(0, ""),
        rule(1, &path("RegularExpression", "/a/b/.*", "")),
        rule(2, &path("PathPrefix", "/a", "")),
        rule(3, &path("PathPrefix", "/a/b/", "")),
    ];
    let second = [
        rule(4, &below(", headers: [{name: X-V, value: '2'}]")),
        rule(5, &below(", headers: [{name: X-V, value: '2'}, {name: X-W, value: 'w.*', type: RegularExpression}]")),
        rule(6, &below(", method: POST")),
        rule(7, &below(", queryParams: [{name: q, value: '1'}]")),
        rule(8, &path("Exact", "/a/b/c", "")),
    ];
    let scene = Scene::start(&(route("first", "", &first) + &route("second", "", &second)));
    for (target, headers, expected) in [
        ("/", "", "0"),
        ("/ab", "", "0"),
        ("/a", "", "2"),
        ("/a/", "", "2"),
        ("/a/x", "", "2"),
        ("/a/b", "", "3"),
        ("/a/bc", "", "2"),
        ("/a/b/x", "X-V: 1\r\n", "3"),
        ("/a/b/x", "x-v: 2\r\n", "4"),
        ("/a/b/x", "X-V: 2\r\nX-W: what\r\n", "5"),
        ("/a/b/x?q=1", "", "7"),
        ("/a/b/x?q=1", "X-V: 2\r\n", "4"),
        ("/a/b/c?q=1", "X-V: 2\r\n", "8"),
    ] {
        let mut client = Client::connect(scene.gateway.address(80));
        let answer = client.send(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
        assert_eq!(answer.echoed("x-rule").as_deref(), Some(expected), "{target} {headers}");
    }
    let mut client = Client::connect(scene.gateway.address(80));
    let answer = client.send("POST /a/b/x?q=1 HTTP/1.1\r\nHost: h\r\nX-V: 2\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(answer.echoed("x-rule").as_deref(), Some("6"));
}

#[test]
fn hosts_of_routes_and_listeners_meet_and_listeners_keep_apart() {
    let gateway = listeners(&[&http("wide", ""), &http("wild", "*.example.com"), &http("exact", "a.example.com")]);
    let section = |name: &str, section: &str, hosts: &str, to: &str| {
        document(
            "HTTPRoute",
            name,
            &format!(
                "  parentRefs: [{{name: edge, sectionName: {section}}}]\n  hostnames: [{hosts}]\n  rules: [{{{to}}}]\n"
            ),
        )
    };
    let routes = section("wide", "wide", "", &to("one"))
        + &section("wild", "wild", "'*.b.example.com', c.example.com, other.test, a.example.com", &to("two"));
    let scene = Scene::with(&gateway, &routes);
    for (host, expected) in [
        ("other.test", "one"),
        ("x.b.example.com", "two"),
        ("x.y.b.example.com", "two"),
        ("c.example.com", "two"),
        // The listener that fits best has no route for these.
        ("b.example.com", "404"),
        ("d.example.com", "404"),
        ("a.example.com", "404"),
    ] {
        assert_eq!(scene.who(host, "/", ""), expected, "{host}");
    }

    // On one listener a closer host comes first, and what it does not take is left to wider ones.
    let scene = Scene::start(
        &(route("wide", "'*.example.com'", &[&to("one")])
            + &route("close", "a.example.com", &[&format!("matches: [{{path: {{value: /a}}}}], {}", to("two"))])),
    );
    assert_eq!(scene.who("a.example.com", "/a/x", ""), "two");
    assert_eq!(scene.who("a.example.com", "/b", ""), "one");
    assert_eq!(scene.who("b.example.com", "/a/x", ""), "one");
    assert_eq!(scene.who("example.com", "/", ""), "404");
}

#[test]
fn redirects_rewrites_and_headers_are_as_written() {
    let filtered = |path: &str, filter: &str, more: &str| {
        format!("matches: [{{path: {{value: {path}}}}}], filters: [{filter}]{more}")
    };
    let redirect = |what: &str| format!("{{type: RequestRedirect, requestRedirect: {{{what}}}}}");
    let rewrite = |what: &str| format!("{{type: URLRewrite, urlRewrite: {{{what}}}}}");
    let to_one = format!(", {}", to("one"));
    let rules = [
        filtered("/r1", &redirect("hostname: o.test"), ""),
        filtered("/r2", &redirect("scheme: https, statusCode: 308"), ""),
        filtered("/r3", &redirect("port: 8081, path: {type: ReplacePrefixMatch, replacePrefixMatch: /n}"), ""),
        filtered("/r4", &redirect("path: {type: ReplaceFullPath, replaceFullPath: /full}"), ""),
        filtered(
            "/w1",
            &rewrite("hostname: new.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}"),
            &to_one,
        ),
        filtered("/w2", &rewrite("path: {type: ReplaceFullPath, replaceFullPath: /full}"), &to_one),
        filtered(
            "/h",
            "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: '100%'}], add: [{name: X-Add, value: b}], remove: [X-Gone]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-back, value: rule}]}}",
            ", backendRefs: [{name: one, port: 80, filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-own, value: backend}]}}]}]",
        ),
    ];
    let scene = Scene::start(&route("r", "", &rules));
    let gateway = &scene.gateway;
    for (path, status, location) in [
        ("/r1/x?q", 302, "http://o.test/r1/x?q"),
        ("/r2/x", 308, "https://h.test/r2/x"),
        ("/r3/x?q", 302, "http://h.test:8081/n/x?q"),
        ("/r3", 302, "http://h.test:8081/n"),
        ("/r4/x?q", 302, "http://h.test/full?q"),
    ] {
        let answer = gateway.get("h.test", path);
        assert_eq!((answer.status, answer.header("location")), (status, Some(location)), "{path}");
    }
    assert_eq!(gateway.get("h.test", "/w1/x?q").request_line(), "GET /x?q HTTP/1.1");
    assert_eq!(gateway.get("h.test", "/w1").request_line(), "GET / HTTP/1.1");
    assert_eq!(gateway.get("h.test", "/w1").echoed("host").as_deref(), Some("new.test"));
    assert_eq!(gateway.get("h.test", "/w2/x?q").request_line(), "GET /full?q HTTP/1.1");
    let mut client = Client::connect(gateway.address(80));
    let answer = client.send("GET /h HTTP/1.1\r\nHost: h\r\nX-Set: old\r\nX-Add: a\r\nX-Gone: x\r\n\r\n");
    assert_eq!((answer.echoed("x-set").as_deref(), answer.echoed("x-gone")), (Some("100%"), None));
    let echoed = answer.text().to_lowercase();
    assert!(echoed.contains("x-add: a") && echoed.contains("x-add: b"), "{echoed}");
    assert_eq!((answer.header("x-back"), answer.header("x-own")), (Some("rule"), Some("backend")));
}

#[test]
fn what_may_not_be_used_is_answered_with_500_for_its_share() {
    let rules = [
        "matches: [{path: {value: /none}}]".to_owned(),
        "matches: [{path: {value: /zero}}], backendRefs: [{name: one, port: 80, weight: 0}]".to_owned(),
        "matches: [{path: {value: /kind}}], backendRefs: [{group: x.test, kind: Thing, name: one}]".to_owned(),
        format!("matches: [{{path: {{value: /filter}}}}], filters: [{{type: ExtensionRef, extensionRef: {{group: x.test, kind: Thing, name: y}}}}], {}", to("one")),
        "matches: [{path: {value: /half}}], backendRefs: [{name: one, port: 80, weight: 3}, {group: x.test, kind: Thing, name: one, weight: 1}]".to_owned(),
        "matches: [{path: {value: /foreign}}], backendRefs: [{name: three, namespace: shop, port: 80}]".to_owned(),
        "matches: [{path: {value: /host}}], backendRefs: [{group: networking.istio.io, kind: Hostname, name: two.default.svc.cluster.local, port: 80}]".to_owned(),
        "matches: [{path: {value: /copy}}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}, percent: 100}}], backendRefs: [{name: one, port: 80}]".to_owned(),
    ];
    let three = Upstream::echo("three");
    let documents = route("r", "", &rules) + &backend("shop/three", three.address());
    let scene = Scene::start(&documents);
    assert_eq!(Scene::start(&document("HTTPRoute", "r", "  parentRefs: [{name: edge}]\n")).who("h", "/", ""), "500");
    for path in ["/none", "/zero", "/kind", "/filter", "/foreign"] {
        assert_eq!(scene.who("h", path, ""), "500", "{path}");
    }
    let answers: Vec<_> = (0..400).map(|_| scene.gateway.get("h", "/half").status).collect();
    let refused = answers.iter().filter(|it| **it == 500).count();
    assert!((60..140).contains(&refused) && answers.iter().all(|it| [200, 500].contains(it)), "{refused} of 400");
    assert_eq!(scene.who("h", "/host", ""), "two");
    let before = scene.two.requests();
    assert_eq!(scene.who("h", "/copy", ""), "one");
    crate::harness::wait_for("the copy", || (scene.two.requests() > before).then_some(()));
    assert!(scene.one.requests() > 0);

    // A grant of the other namespace lets it in.
    let grant = |to: &str| {
        document(
            "ReferenceGrant",
            "shop/g",
            &format!(
                "  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}}]\n  to: [{to}]\n"
            ),
        )
    };
    assert_eq!(
        Scene::start(&(documents.clone() + &grant("{group: '', kind: Service, name: three}"))).who("h", "/foreign", ""),
        "three"
    );
    assert_eq!(
        Scene::start(&(documents + &grant("{group: '', kind: Service, name: four}"))).who("h", "/foreign", ""),
        "500"
    );
}

#[test]
fn listeners_take_routes_of_the_namespaces_that_they_admit() {
    let listener = |name: &str, port: u16, from: &str| {
        format!("name: {name}, port: {port}, protocol: HTTP, allowedRoutes: {{namespaces: {{{from}}}}}")
    };
    let gateway = listeners(&[
        &listener("same", 80, "from: Same"),
        &listener("all", 8081, "from: All"),
        &listener("chosen", 8082, "from: Selector, selector: {matchLabels: {team: shop}}"),
        &listener("named", 8083, "from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: shop}}"),
        &listener("other", 8084, "from: Selector, selector: {matchLabels: {team: other}}"),
    ]);
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: shop}}\n";
    let upstream = Upstream::echo("shop");
    let route = route("shop/r", "", &[&to("web")]) + &backend("shop/web", upstream.address());
    let scene = Scene::with(&gateway, &(route + namespace));
    for (port, status) in [(80, 404), (8081, 200), (8082, 200), (8083, 200), (8084, 404)] {
        assert_eq!(Client::connect(scene.gateway.address(port)).get("h", "/").status, status, "{port}");
    }
}

#[test]
fn https_listeners_show_the_certificates_of_their_secrets() {
    let ours = Authority::new();
    let secret = |namespace: &str, name: &str, host: &str| {
        let signed = ours.sign(host);
        let indent = |pem: &str| pem.trim().replace('\n', "\n    ");
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indent(&signed.certificate),
            indent(&signed.key)
        )
    };
    let listener = |name: &str, host: &str, secret: &str| {
        format!("name: {name}, port: 443, protocol: HTTPS, hostname: {host}, tls: {{certificateRefs: [{{{secret}}}]}}")
    };
    let gateway = listeners(&[
        &listener("a", "a.test", "name: a"),
        &listener("b", "b.test", "name: b, namespace: certificates"),
        &listener("c", "c.test", "name: c, namespace: certificates"),
    ]);
    let grant = document(
        "ReferenceGrant",
        "certificates/g",
        "  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}]\n  to: [{group: '', kind: Secret, name: b}]\n",
    );
    let secrets = secret("default", "a", "a.test")
        + &secret("certificates", "b", "b.test")
        + &secret("certificates", "c", "c.test");
    let routes = route("a", "a.test", &[&to("one")]) + &route("b", "b.test", &[&to("two")]);
    let scene = Scene::with(&gateway, &(grant + &secrets + &routes));
    let address = scene.gateway.address(443);
    let ask = |name: &str| Ask::new(name, &ours).get(address, "/");
    assert_eq!(ask("a.test").unwrap().upstream(), "one");
    assert_eq!(ask("b.test").unwrap().upstream(), "two");
    assert!(ask("c.test").is_err(), "a Secret that nobody granted is not shown");
}

#[test]
fn times_and_retries_bound_what_backends_take() {
    let slow = Upstream::answering(|number, _| {
        if number % 2 == 1 {
            std::thread::park_timeout(Duration::from_secs(20));
        }
        response(200, "in time")
    });
    let failing =
        Upstream::answering(|number, _| if number % 3 == 0 { response(200, "third") } else { response(503, "") });
    let rules = [
        "matches: [{path: {value: /all}}], timeouts: {request: 300ms}, backendRefs: [{name: slow, port: 80}]",
        "matches: [{path: {value: /try}}], timeouts: {request: 10s, backendRequest: 300ms}, retry: {codes: [504], attempts: 2}, backendRefs: [{name: slow, port: 80}]",
        "matches: [{path: {value: /codes}}], retry: {codes: [503], attempts: 2, backoff: 1ms}, backendRefs: [{name: failing, port: 80}]",
        "matches: [{path: {value: /less}}], retry: {codes: [500], backoff: 1ms}, backendRefs: [{name: failing, port: 80}]",
    ];
    let scene = Scene::start(
        &(route("r", "", &rules) + &backend("slow", slow.address()) + &backend("failing", failing.address())),
    );
    let begun = Instant::now();
    assert_eq!(scene.who("h", "/all", ""), "504");
    assert!(begun.elapsed() < Duration::from_secs(5));
    // The first was odd, so this is answered; the one after it is given up once.
    assert_eq!(scene.gateway.get("h", "/try").text(), "in time");
    assert_eq!(scene.gateway.get("h", "/codes").text(), "third");
    assert_eq!(scene.gateway.get("h", "/less").status, 503);
}

#[test]
fn policies_attach_to_the_gateway_by_its_name() {
    let issuer = Issuer::new("k");
    let policies = |namespace: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: t, namespace: {namespace}}}\nspec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]\n  jwtRules: [{{issuer: me, jwks: '{}'}}]\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: {namespace}}}\nspec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]\n  rules: [{{from: [{{source: {{requestPrincipals: ['*']}}}}]}}]\n",
            issuer.keys()
        )
    };
    let token = issuer.token(&serde_json::json!({ "iss": "me", "sub": "alice" }));
    let scene = Scene::start(&(route("r", "", &[&to("one")]) + &policies("default")));
    assert_eq!(scene.who("h", "/", ""), "403");
    assert_eq!(scene.who("h", "/", &format!("Authorization: Bearer {token}\r\n")), "one");
    assert_eq!(scene.who("h", "/", "Authorization: Bearer x.y.z\r\n"), "401");

    // Of several Gateways, the settings say which one this process is; else nobody would enforce the policy.
    let folder = Folder::new();
    let other =
        document("Gateway", "other", "  gatewayClassName: any\n  listeners: [{name: o, port: 8081, protocol: HTTP}]\n");
    let config = settings("")
        + &listeners(&[&http("http", "")])
        + &other
        + &route("r", "", &[&to("one")])
        + &policies("default");
    folder.write("config.yaml", &config);
    let output = sluice().args(["check", "--config"]).arg(folder.path()).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && report.contains("this process serves several"), "{report}");
    // Keys, passwords and rate limits would be left out as silently.
    let plain = settings("") + &listeners(&[&http("http", "")]) + &other;
    for (kind, more) in [
        ("ApiKeyAuthentication", "clients: []"),
        ("BasicAuthentication", "users: []"),
        ("RateLimitPolicy", "rules: [{name: all, limits: [{requests: 2, per: 1h}]}]"),
    ] {
        let target = "{group: gateway.networking.k8s.io, kind: Gateway, name: edge}";
        let policy = format!(
            "---\napiVersion: sluice.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: p}}\nspec: {{targetRefs: [{target}], {more}}}\n"
        );
        folder.write("config.yaml", &(plain.clone() + &policy));
        let output = sluice().args(["check", "--config"]).arg(folder.path()).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(report.contains("this process serves several"), "{kind}: {report}");
    }
    let labels = "  node: {labels: {gateway.networking.k8s.io/gateway-name: edge}}\n";
    let config = config.replace(&settings(""), &settings(labels));
    let gateway = Gateway::start(&config);
    assert_eq!(gateway.get("h", "/").status, 403);
    assert!(!gateway.messages().contains("8081"), "the other Gateway is another process's");
}

#[test]
fn rate_limits_attach_to_routes_and_their_rules() {
    let limit = |name: &str, more: &str| {
        format!(
            "---\napiVersion: sluice.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: {{name: {name}}}\nspec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r{more}}}]\n  rules: [{{name: all, limits: [{{requests: 2, per: 1h}}]}}]\n"
        )
    };
    let rules = [
        format!("name: a, matches: [{{path: {{value: /a}}}}], {}", to("one")),
        format!("name: b, matches: [{{path: {{value: /b}}}}], {}", to("one")),
    ];
    let routes = route("r", "", &rules) + &route("other", "o.test", &[&to("two")]);
    let answers = |scene: &Scene, host: &str, path: &str| [(); 4].map(|()| scene.who(host, path, ""));
    let scene = Scene::start(&(routes.clone() + &limit("l", "")));
    assert_eq!(answers(&scene, "h", "/a"), ["one", "one", "429", "429"]);
    assert_eq!((scene.who("h", "/b", ""), scene.who("o.test", "/", "")), ("429".to_owned(), "two".to_owned()));
    let scene = Scene::start(&(routes + &limit("l", ", sectionName: b")));
    assert_eq!(answers(&scene, "h", "/a"), ["one"; 4]);
    assert_eq!(answers(&scene, "h", "/b"), ["one", "one", "429", "429"]);
}

#[test]
fn explain_tells_the_rule_by_its_line() {
    let folder = Folder::new();
    let rules = [
        format!("matches: [{{path: {{value: /a}}}}, {{method: GET}}], {}", to("one")),
        "matches: [{path: {value: /b}}], backendRefs: [{kind: Thing, group: x.test, name: y}]".to_owned(),
    ];
    let one = Upstream::echo("one");
    folder.write(
        "config.yaml",
        &(settings("")
            + &listeners(&[&http("http", "*.h.test")])
            + &route("r", "", &rules)
            + &backend("one", one.address())),
    );
    let explain = |url: &str| {
        let output = sluice().args(["explain", "--config"]).arg(folder.path()).args(["GET", url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = explain("http://x.h.test/a/1");
    assert!(told.contains("*.h.test:80") && told.contains("path is /a or below it"), "{told}");
    assert!(told.contains("default/r spec.rules[0].matches[0]") && told.contains("config.yaml:"), "{told}");
    assert!(told.contains("outbound|80||one.default.svc.cluster.local"), "{told}");
    let told = explain("http://x.h.test/b");
    assert!(told.contains("must not be used by this route: 500"), "{told}");
}

#[test]
fn many_routes_make_one_table() {
    let rules: Vec<String> = (0..2_000)
        .map(|it| format!("matches: [{{path: {{value: /r{it}/x}}}}], filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-rule, value: '{it}'}}]}}}}], {}", to("one")))
        .collect();
    let documents: String =
        rules.chunks(16).enumerate().map(|(number, rules)| route(&format!("r{number}"), "", rules)).collect();
    let scene = Scene::start(&documents);
    for it in [0, 1, 999, 1_999] {
        assert_eq!(scene.gateway.get("h", &format!("/r{it}/x/y")).echoed("x-rule"), Some(it.to_string()));
    }
    assert_eq!(scene.who("h", "/r1999", ""), "404");
}
