//! Forward proxies, in a network namespace without a way out: a wrong answer can reach nobody.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::harness::dns::{Answer, NameServer};
use crate::harness::tls::{Ask, Authority, server};
use crate::harness::{Client, Gateway, Response, Upstream, settings, wait_for};

/// Runs the ignored tests of this file, `egress_clients` and `egress_tunnels` in a namespace of their own, whose only network is loopback.
#[test]
fn nothing_leaves_but_what_is_allowed() {
    // The last one is public as addresses go, and is the gateway's own here.
    let own = ["203.0.113.7", "10.9.9.9", "192.0.3.7"].map(|it| format!("ip addr add {it}/32 dev lo"));
    let script = format!("ip link set lo up && {} && exec \"$0\" \"$@\"", own.join(" && "));
    // As root of a user namespace, or as the root that one is.
    let makes = |flags: &&str| Command::new("unshare").args([flags, "true"]).status().is_ok_and(|it| it.success());
    let flags = ["-rn", "-n"].into_iter().find(makes).expect("network namespaces can be made (unshare -rn)");
    let mut inside = Command::new("unshare");
    inside.args([flags, "sh", "-c", &script]).arg(std::env::current_exe().unwrap());
    let output = inside.args(["::inside::", "--ignored", "--test-threads", "2"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("0 failed") && !text.contains("running 0"), "{text}");
}

/// A ServiceEntry.
pub(crate) fn entry(host: &str, port: u16, protocol: &str, more: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: e{}}}\nspec: {{hosts: [\"{host}\"], ports: [{{number: {port}, name: p{port}, protocol: {protocol}}}], {more}}}\n",
        host.replace(['*', '.'], "-").trim_matches('-').to_owned() + &port.to_string()
    )
}

/// Settings with a forward proxy on port 8081.
pub(crate) fn proxy(names: &NameServer, settings_more: &str, sidecar: &str) -> String {
    settings(&format!("  dns: {{servers: [\"{}\"]}}\n{settings_more}", names.address()))
        + &format!(
            "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: egress, namespace: istio-system}}\nspec: {{{sidecar} egress: [{{port: {{number: 8081, name: proxy, protocol: HTTP_PROXY}}, hosts: [\"*/*\"]}}]}}\n"
        )
}

/// Loopback plays the internet here.
pub(crate) const INTERNET: &str = "  egress: {allowedAddresses: [127.0.0.0/8]}";

pub(crate) fn names(all: &[(&str, [u8; 4])]) -> NameServer {
    let server = NameServer::start();
    for (name, address) in all {
        server.set(name, Answer::Addresses(vec![Ipv4Addr::from(*address)], 0));
    }
    server
}

pub(crate) fn connect(gateway: &Gateway, target: &str, more: &str) -> (Client, Response) {
    let mut client = Client::connect(gateway.address(8081));
    let answer = client.send(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n"));
    (client, answer)
}

/// A forward proxy with one way out, to this port of loopback by this name; `more` documents beside it.
pub(crate) fn one_way_out(host: &str, port: u16, more: &str) -> (NameServer, Gateway) {
    let names = names(&[(host, [127, 0, 0, 1])]);
    let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entry(host, port, "TCP", "resolution: DNS") + more));
    (names, gateway)
}

/// Asks for a tunnel; the stream, and the head of the answer.
pub(crate) fn ask_for_tunnel(gateway: &Gateway, target: &str, more: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(gateway.address(8081)).unwrap();
    stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

/// A tunnel that was granted, as a stream.
pub(crate) fn tunnel(gateway: &Gateway, target: &str) -> TcpStream {
    let (stream, head) = ask_for_tunnel(gateway, target, "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    stream
}

/// Counts connections, and keeps what they bring.
pub(crate) fn listener() -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let notes = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut bytes = Vec::new();
            stream.unwrap().read_to_end(&mut bytes).ok();
            notes.lock().unwrap().push(bytes);
        }
    });
    (address, seen)
}

/// A document of our own kinds.
pub(crate) fn own(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: sluice.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: istio-system}}\nspec: {{{spec}}}\n"
    )
}

mod inside {
    use super::*;

    #[test]
    #[ignore = "runs in a network namespace"]
    fn tunnels_reach_what_is_declared_and_nothing_else() {
        let authority = Authority::new();
        let address = server(&authority.sign("api.test"), None);
        let port = address.port();
        let names = names(&[
            ("api.test", [127, 0, 0, 1]),
            ("a.b.wild.test", [127, 0, 0, 1]),
            ("private.wild.test", [10, 9, 9, 9]),
            ("meta.wild.test", [169, 254, 169, 254]),
            ("own.wild.test", [192, 0, 3, 7]),
        ]);
        let entries = entry("api.test", port, "TLS", "resolution: DNS")
            + &entry("*.wild.test", port, "TLS", "resolution: DYNAMIC_DNS")
            + &entry("web.test", 80, "HTTP", "resolution: DNS");
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entries));
        let ask = Ask::new("api.test", &authority);
        let stream = tunnel(&gateway, &format!("API.test.:{port}"));
        assert_eq!(ask.over(stream).unwrap().get("api.test", "/").text(), "tls\nsni: api.test\ncertificates: 0\n");
        let queries = names.asked().len();
        for (target, status, code) in [
            ("other.test:443".to_owned(), 403, "egress_host_not_allowed"),
            ("wild.test:443".to_owned(), 403, "egress_host_not_allowed"),
            ("api.test.evil.test:443".to_owned(), 403, "egress_host_not_allowed"),
            ("api.test:22".to_owned(), 403, "egress_port_not_allowed"),
            ("web.test:80".to_owned(), 403, "egress_protocol_not_allowed"),
            ("127.0.0.1:443".to_owned(), 403, "egress_host_not_allowed"),
            ("2130706433:443".to_owned(), 400, "egress_bad_target"),
            ("127.1:443".to_owned(), 400, "egress_bad_target"),
        ] {
            let (_, answer) = connect(&gateway, &target, "");
            assert_eq!(answer.status, status, "{target}: {}", answer.text());
            assert!(answer.text().contains(code), "{target}: {}", answer.text());
        }
        assert_eq!(names.asked().len(), queries, "no name is looked up that is not allowed");
        for name in ["private", "meta", "own"] {
            let (_, answer) = connect(&gateway, &format!("{name}.wild.test:{port}"), "");
            assert_eq!(answer.status, 403, "{name}");
            assert!(answer.text().contains("egress_address_forbidden"), "{name}: {}", answer.text());
        }
        let named = "  egress: {allowedAddresses: [127.0.0.0/8, 192.0.3.7/32]}";
        let meant = Gateway::start(&(proxy(&names, named, "") + &entries));
        let (_, answer) = connect(&meant, &format!("own.wild.test:{port}"), "");
        assert_eq!(answer.status, 200, "a document means it: {}", answer.text());
        let (_, answer) = connect(&gateway, &format!("nobody.wild.test:{port}"), "");
        assert_eq!((answer.status, answer.text().contains("egress_dns_failure")), (502, true));
        let metrics = gateway.ask_admin("GET", "/metrics").text();
        assert!(metrics.contains("destination_service_name=\"BlackHoleCluster\""), "{metrics}");
        let log = wait_for("the log", || {
            Some(gateway.output()).filter(|it| it.contains("egress_port_not_allowed[api.test:22]"))
        });
        assert!(log.contains("outbound|") && log.contains("127.0.0.1:"), "{log}");
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn what_is_said_in_a_tunnel_must_name_its_host() {
        let authority = Authority::new();
        let (address, seen) = listener();
        let port = address.port();
        let names = names(&[("api.test", [127, 0, 0, 1]), ("raw.test", [127, 0, 0, 1])]);
        let entries =
            entry("api.test", port, "TLS", "resolution: DNS") + &entry("raw.test", port, "TCP", "resolution: DNS");
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entries));
        for name in ["evil.test", "raw.test", "x.api.test"] {
            let stream = tunnel(&gateway, &format!("api.test:{port}"));
            assert!(
                Ask::new(name, &authority).over(stream).is_err_and(|it| it.to_string().contains("UnrecognisedName")),
                "{name}"
            );
        }
        for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", &[0x80, 0x2b, 1, 0, 2]] {
            let mut stream = tunnel(&gateway, &format!("api.test:{port}"));
            stream.write_all(said).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).ok();
            assert!(!rest.starts_with(b"HTTP"), "{said:?}");
        }
        assert!(seen.lock().unwrap().is_empty(), "nothing came to the destination");
        let mut stream = tunnel(&gateway, &format!("raw.test:{port}"));
        stream.write_all(b"hello").unwrap();
        drop(stream);
        wait_for("plain bytes where the port is TCP", || {
            (seen.lock().unwrap().as_slice() == [b"hello".to_vec()]).then_some(())
        });
        wait_for("the log", || gateway.output().contains("egress_sni_mismatch[api.test:").then_some(()));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn requests_are_judged_one_by_one_and_say_nothing_of_the_inside() {
        let upstream = Upstream::echo("far");
        let port = upstream.address().port();
        let names = names(&[("web.test", [127, 0, 0, 1]), ("evil.test", [127, 0, 0, 1])]);
        let entries =
            entry("web.test", port, "HTTP", "resolution: DNS") + &entry("tls.test", port, "TLS", "resolution: DNS");
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entries));
        let mut client = Client::connect(gateway.address(8081));
        let mut ask = |url: &str, host: &str, more: &str| {
            client.send(&format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"))
        };
        let host = format!("web.test:{port}");
        let inside = "Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\nX-Forwarded-For: 10.1.1.1\r\nVia: 1.1 inner\r\nForwarded: for=10.1.1.1\r\nAuthorization: mine\r\n";
        let good = ask(&format!("http://{host}/x?y=1"), &host, inside);
        assert_eq!((good.status, good.request_line().as_str()), (200, "GET /x?y=1 HTTP/1.1"), "{}", good.text());
        assert_eq!(good.echoed("authorization").as_deref(), Some("mine"));
        for name in ["proxy-authorization", "proxy-connection", "x-forwarded-for", "via", "forwarded", "x-request-id"] {
            assert_eq!(good.echoed(name), None, "{name}");
        }
        let keeping = "  egress: {allowedAddresses: [127.0.0.0/8], keepVia: true}";
        let keeping = Gateway::start(&(proxy(&names, keeping, "") + &entries));
        let kept = Client::connect(keeping.address(8081))
            .send(&format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n{inside}\r\n"));
        assert_eq!(kept.echoed("via").as_deref(), Some("1.1 inner"));
        assert_eq!(kept.echoed("x-forwarded-for"), None);
        let bad = ask("http://evil.test/", "evil.test", "");
        assert_eq!((bad.status, bad.text().contains("egress_host_not_allowed")), (403, true));
        assert_eq!(ask(&format!("http://{host}/"), &host, "").status, 200, "the connection goes on");
        assert_eq!(ask(&format!("http://tls.test:{port}/"), &format!("tls.test:{port}"), "").status, 403);
        for (line, host) in [
            ("GET / HTTP/1.1", "web.test"),
            ("GET https://web.test/ HTTP/1.1", "web.test"),
            ("GET http://web.test/ HTTP/1.1", "evil.test"),
            ("GET http://u:p@web.test/ HTTP/1.1", "web.test"),
        ] {
            let answer = Client::connect(gateway.address(8081)).send(&format!("{line}\r\nHost: {host}\r\n\r\n"));
            assert_eq!(answer.status, 400, "{line}");
        }
        assert!(!names.asked().contains(&"evil.test".to_owned()));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn a_name_is_looked_up_once_and_judged_anew_each_time() {
        let (address, seen) = listener();
        let port = address.port();
        let (names, gateway) = one_way_out("rebind.test", port, "");
        drop(tunnel(&gateway, &format!("rebind.test:{port}")));
        wait_for("the first one came", || (seen.lock().unwrap().len() == 1).then_some(()));
        names.set("rebind.test", Answer::Addresses(vec![Ipv4Addr::new(10, 9, 9, 9)], 0));
        let (_, answer) = connect(&gateway, &format!("rebind.test:{port}"), "");
        assert_eq!(answer.status, 403, "{}", answer.text());
        names.set("rebind.test", Answer::Addresses(vec![Ipv4Addr::new(10, 9, 9, 9), Ipv4Addr::LOCALHOST], 0));
        drop(tunnel(&gateway, &format!("rebind.test:{port}")));
        wait_for("the vetted address was dialled", || (seen.lock().unwrap().len() == 2).then_some(()));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn who_may_reach_what_is_said_by_policies() {
        let upstream = Upstream::echo("far");
        let port = upstream.address().port();
        let names = names(&[("web.test", [127, 0, 0, 1]), ("more.test", [127, 0, 0, 1])]);
        let users = format!(
            "---\napiVersion: sluice.dev/v1alpha1\nkind: BasicAuthentication\nmetadata: {{name: u, namespace: istio-system}}\nspec: {{htpasswd: \"ann:{0}\\nbob:{0}\"}}\n",
            bcrypt::hash("secret", 4).unwrap()
        );
        let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\nspec: {rules: [{from: [{source: {requestPrincipals: [basic/ann]}}]}, {from: [{source: {requestPrincipals: [basic/bob]}}], to: [{operation: {hosts: ['web.test*'], methods: [GET]}}]}]}\n";
        let limit = "---\napiVersion: sluice.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: {name: l, namespace: istio-system}\nspec: {rules: [{name: r, match: [{requestPrincipals: [basic/ann]}], key: [{host: {}}], limits: [{requests: 3, per: 1h}]}]}\n";
        let entries =
            entry("web.test", port, "HTTP", "resolution: DNS") + &entry("more.test", port, "HTTP", "resolution: DNS");
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entries + &users + policy + limit));
        let ask = |method: &str, host: &str, user: &str| {
            use base64::Engine as _;
            let coded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:secret"));
            let login = if user.is_empty() { String::new() } else { format!("Proxy-Authorization: Basic {coded}\r\n") };
            Client::connect(gateway.address(8081)).send(&format!(
                "{method} http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n{login}Content-Length: 0\r\n\r\n"
            ))
        };
        let unknown = ask("GET", "web.test", "");
        assert_eq!((unknown.status, unknown.header("proxy-authenticate")), (407, Some("Basic realm=\"egress\"")));
        assert_eq!(unknown.header("www-authenticate"), None);
        for (method, host, user, status) in [
            ("GET", "web.test", "bob", 200),
            ("POST", "web.test", "bob", 403),
            ("GET", "more.test", "bob", 403),
            ("GET", "more.test", "eve", 407),
            ("POST", "more.test", "ann", 200),
            ("POST", "more.test", "ann", 200),
            ("POST", "more.test", "ann", 200),
            ("POST", "more.test", "ann", 429),
            ("POST", "web.test", "ann", 200),
        ] {
            assert_eq!(ask(method, host, user).status, status, "{method} {host} {user}");
        }
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn documents_decide_and_a_reload_takes_effect_at_once() {
        let (address, seen) = listener();
        let port = address.port();
        let names = names(&[("a.test", [127, 0, 0, 1]), ("any.test", [127, 0, 0, 1]), ("inner.test", [10, 9, 9, 9])]);
        let base = proxy(&names, INTERNET, "");
        let gateway = Gateway::start(&base);
        let status = |target: &str| connect(&gateway, target, "").1.status;
        assert_eq!(status(&format!("a.test:{port}")), 403);
        let with = base.clone()
            + &entry("a.test", port, "TCP", "resolution: DNS")
            + &entry("fixed.test", port, "TCP", "resolution: STATIC, endpoints: [{address: 127.0.0.1}]")
            + &entry("net.test", port, "TCP", "resolution: NONE, addresses: [127.0.0.0/24]");
        assert_eq!(gateway.reload(&with)["success"], true);
        let open = tunnel(&gateway, &format!("a.test:{port}"));
        assert_eq!(status(&format!("fixed.test:{port}")), 200, "an endpoint of the document needs no name server");
        assert_eq!([status(&format!("127.0.0.1:{port}")), status(&format!("127.0.1.1:{port}"))], [200, 403]);
        assert!(!names.asked().contains(&"fixed.test".to_owned()));
        assert_eq!(gateway.reload(&base)["success"], true);
        assert_eq!(status(&format!("a.test:{port}")), 403);
        drop(open);
        let anything = proxy(&names, INTERNET, "outboundTrafficPolicy: {mode: ALLOW_ANY},");
        assert_eq!(gateway.reload(&anything)["success"], true);
        assert_eq!(status(&format!("inner.test:{port}")), 403, "the guard stays");
        assert!(connect(&gateway, &format!("any.test:{port}"), "").1.status == 200);
        wait_for("tunnels came", || (seen.lock().unwrap().len() >= 3).then_some(()));
        let narrow = base.replace("hosts: [\"*/*\"]", "hosts: [\"other/*\", \"./x.test\"]")
            + &entry("a.test", port, "TCP", "resolution: DNS");
        assert_eq!(gateway.reload(&narrow)["success"], true);
        assert_eq!(status(&format!("a.test:{port}")), 403, "the listener does not offer it");
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn explain_tells_what_a_client_of_the_proxy_may_reach() {
        let names = names(&[]);
        let folder = crate::harness::Folder::new();
        let config = proxy(&names, "", "") + &entry("api.test", 443, "TLS", "resolution: DNS");
        let path = folder.write("config.yaml", &config);
        let explain = |arguments: &[&str]| {
            let mut explain = crate::harness::sluice();
            explain.args(["explain", "--config"]).arg(&path).args(arguments);
            String::from_utf8(explain.output().unwrap().stdout).unwrap()
        };
        let told = explain(&["CONNECT", "api.test:443"]);
        assert!(told.contains("api.test is declared, ports 443") && told.contains("config.yaml:"), "{told}");
        assert!(told.contains("names api.test") && told.contains("allowed"), "{told}");
        assert!(explain(&["CONNECT", "api.test:22"]).contains("403 egress_port_not_allowed[api.test:22]"));
        assert!(
            explain(&["--proxy", "GET", "http://evil.test/"]).contains("403 egress_host_not_allowed[evil.test:80]")
        );
        assert!(names.asked().is_empty());
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn the_egress_example_lets_out_what_it_declares() {
        let upstream = Upstream::echo("far");
        let names = names(&[("www.example.com", [127, 0, 0, 1])]);
        let port = upstream.address().port();
        let folder = crate::examples::localized(
            "egress",
            &[
                (
                    "bindAddress: 0.0.0.0",
                    format!(
                        "bindAddress: 127.0.0.1\n  portMap: {{\"3128\": 0}}\n  dns: {{servers: [\"{}\"]}}",
                        names.address()
                    ),
                ),
                ("tlsInTunnel: Verify", "allowedAddresses: [127.0.0.0/8]\n    tlsInTunnel: Verify".to_owned()),
                ("127.0.0.1:15000", "127.0.0.1:0".to_owned()),
                ("0.0.0.0:15021", "127.0.0.1:0".to_owned()),
                ("number: 80,", format!("number: {port},")),
            ],
        );
        let gateway = Gateway::start_in(folder, &[]);
        let ask = |method: &str, host: &str| {
            let head = format!("{method} http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
            Client::connect(gateway.address(3128)).send(&head).status
        };
        let partner = format!("www.example.com:{port}");
        assert_eq!([ask("GET", &partner), ask("POST", &partner), ask("GET", "example.com")], [200, 403, 403]);
    }

    /// A Gateway with a port for requests and one for TLS that is passed on, whose routes lead to a wildcard.
    fn outwards() -> &'static str {
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: out}\nspec:\n  servers:\n  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*.wild.test\"]}\n  - {port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [\"*.wild.test\"]}\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: out}\nspec:\n  hosts: [\"*.wild.test\"]\n  gateways: [out]\n  http:\n  - route: [{destination: {host: \"*.wild.test\", port: {number: 80}}}]\n  tls:\n  - match: [{sniHosts: [\"*.wild.test\"], port: 443}]\n    route: [{destination: {host: \"*.wild.test\", port: {number: 443}}}]\n"
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn wildcards_are_ways_out_of_a_gateway_too() {
        let authority = Authority::new();
        let (plain, secure) = (Upstream::echo("far"), server(&authority.sign("b.wild.test"), None));
        let names = names(&[
            ("a.wild.test", [127, 0, 0, 1]),
            ("b.wild.test", [127, 0, 0, 1]),
            ("inner.wild.test", [10, 9, 9, 9]),
        ]);
        let entry = format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: wild}}\nspec: {{hosts: [\"*.wild.test\"], resolution: DYNAMIC_DNS, ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {}}}, {{number: 443, name: tls, protocol: TLS, targetPort: {}}}]}}\n",
            plain.address().port(),
            secure.port()
        );
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + outwards() + &entry));
        let answer = gateway.get("a.wild.test", "/x");
        assert_eq!((answer.status, answer.upstream().as_str()), (200, "far"), "{}", answer.text());
        assert_eq!(gateway.get("inner.wild.test", "/").status, 403, "a private address");
        assert_eq!(gateway.get("nobody.wild.test", "/").status, 502);
        assert_eq!(gateway.get("wild.test", "/").status, 404);
        let ask = Ask::new("b.wild.test", &authority);
        assert_eq!(ask.get(gateway.address(443), "/").unwrap().text(), "tls\nsni: b.wild.test\ncertificates: 0\n");
        assert!(Ask::new("inner.wild.test", &authority).get(gateway.address(443), "/").is_err());
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn what_is_outside_never_leads_inside() {
        let upstream = Upstream::echo("a");
        let names = names(&[("out.test", [127, 0, 0, 1]), ("in.test", [127, 0, 0, 1]), ("back.test", [192, 0, 3, 7])]);
        let entry = |name: &str, location: &str| {
            format!(
                "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: [{name}.test], location: {location}, resolution: DNS, ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {}}}]}}\n",
                upstream.address().port()
            ) + &crate::harness::routes(
                &format!("{name}.test"),
                &format!("  - route: [{{destination: {{host: {name}.test}}}}]\n"),
            )
        };
        let config = |settings: &str| {
            proxy(&names, settings, "")
                + &crate::harness::gateway(&[80])
                + &entry("out", "MESH_EXTERNAL")
                + &entry("in", "MESH_INTERNAL")
                + &entry("back", "MESH_EXTERNAL")
        };
        let gateway = Gateway::start(&config(""));
        assert_eq!([gateway.get("out.test", "/").status, gateway.get("in.test", "/").status], [503, 200]);
        let allowed = Gateway::start(&config(INTERNET));
        assert_eq!(allowed.get("out.test", "/").status, 200);
        assert_eq!(allowed.get("back.test", "/").status, 503);
        wait_for("that it has no address", || {
            allowed.output().lines().any(|it| it.contains(" 503 UH ") && it.contains("back.test")).then_some(())
        });
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn what_is_tried_out_is_noted_and_learned_from() {
        let upstream = Upstream::echo("far");
        let port = upstream.address().port();
        let (tunnelled, _) = listener();
        let names = names(&[
            ("api.partner.test", [127, 0, 0, 1]),
            ("www.partner.test", [127, 0, 0, 1]),
            ("in.partner.test", [10, 9, 9, 9]),
        ]);
        let audit = proxy(&names, INTERNET, "") + &own("EgressPolicy", "p", "mode: Audit");
        let gateway = Gateway::start(&audit);
        let ask = |host: &str| {
            let head = format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
            Client::connect(gateway.address(8081)).send(&head).status
        };
        assert_eq!([ask("api.partner.test"), ask("api.partner.test"), ask("www.partner.test")], [200, 200, 200]);
        assert_eq!(ask("in.partner.test"), 403, "the guard is not tried out");
        drop(tunnel(&gateway, &format!("api.partner.test:{}", tunnelled.port())));
        wait_for("the log", || {
            gateway.output().contains("would_deny:egress_host_not_allowed[api.partner.test:").then_some(())
        });
        let admin = gateway.admin().to_string();
        let egress = |verb: &str| {
            let output =
                crate::harness::sluice().args(["egress", verb, "--since", "1h", "--admin", &admin]).output().unwrap();
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
        };
        let blocked = egress("blocked");
        assert!(blocked.contains("egress_address_forbidden") && blocked.contains("in.partner.test"), "{blocked}");
        let learned = egress("learn");
        assert!(learned.contains("- api.partner.test   # 3 times, by 127.0.0.1"), "{learned}");
        // What was learned is a configuration that allows just that.
        let enforced = proxy(&names, INTERNET, "") + &learned;
        assert_eq!(gateway.reload(&enforced)["success"], true, "{learned}");
        assert_eq!([ask("api.partner.test"), ask("www.partner.test"), ask("other.test")], [200, 200, 403]);
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn secrets_go_to_their_hosts_and_to_nobody_else() {
        let upstream = Upstream::echo("far");
        let port = upstream.address().port();
        let names =
            names(&[("api.test", [127, 0, 0, 1]), ("other.test", [127, 0, 0, 1]), ("a.wild.test", [127, 0, 0, 1])]);
        let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: partner, namespace: istio-system}\nstringData: {token: hunter2}\n";
        let credential = own(
            "EgressCredential",
            "c",
            "hosts: [api.test, '*.wild.test'], prefix: 'Bearer ', credentialName: partner",
        );
        let reverse = crate::harness::gateway(&[80])
            + &crate::harness::routes("inside", "  - route: [{destination: {host: api.test}}]\n");
        let entries = entry("api.test", port, "HTTP", "resolution: DNS")
            + &entry("other.test", port, "HTTP", "resolution: DNS")
            + &entry("*.wild.test", port, "HTTP", "resolution: DYNAMIC_DNS");
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entries + secret + &credential + &reverse));
        let ask = |host: &str| {
            let head =
                format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: mine\r\n\r\n");
            Client::connect(gateway.address(8081)).send(&head).echoed("authorization")
        };
        assert_eq!(ask("api.test").as_deref(), Some("Bearer hunter2"));
        assert_eq!(ask("a.wild.test").as_deref(), Some("Bearer hunter2"));
        assert_eq!(ask("other.test").as_deref(), Some("mine"));
        assert_eq!(gateway.get("inside", "/").echoed("authorization").as_deref(), Some("Bearer hunter2"));
        let told = gateway.output() + &gateway.messages() + &gateway.ask_admin("GET", "/config_dump").text();
        assert!(!told.contains("hunter2"), "no secret is told");
    }
}
