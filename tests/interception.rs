//! TLS that ends inside of tunnels, so that requests in them are judged one by one. See `egress` for where these run.

use crate::egress::{INTERNET, ask_for_tunnel, entry, names, own, proxy, tunnel};
use crate::harness::dns::NameServer;
use crate::harness::tls::{Ask, Authority, Secure, Signed};
use crate::harness::{Client, Folder, Gateway, Upstream, routes, service, sluice, wait_for};
use crate::tls::{Scene, credential, servers, start, with_secrets};

/// A destination behind TLS that tells what it got: the gateway itself, of another process.
fn destination(authority: &Authority, upstream: &Upstream) -> Scene {
    let folder = Folder::new();
    credential(&folder, "api", &authority.sign("api.test"), None);
    let hosts = servers(&[("api.test", "mode: SIMPLE, credentialName: api")]);
    let rules = "  - route: [{destination: {host: a.test}}]\n";
    let config = with_secrets(&folder, "") + &hosts + &service("a", "HTTP", &[upstream.address()]);
    start(folder, &(config + &routes("api.test", rules)))
}

/// A Secret of the gateway's namespace.
fn secret(name: &str, own: &Signed) -> String {
    let text = |it: &str| it.replace('\n', "\n    ");
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        text(own.certificate.trim()),
        text(own.key.trim())
    )
}

/// What makes the gateway trust the authority of the destination.
fn trust(port: u16, authority: &Authority) -> String {
    let pem = authority.pem().trim().replace('\n', "\n    ");
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: far, namespace: istio-system}}\nstringData:\n  ca.crt: |\n    {pem}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: api}}\nspec: {{host: api.test, trafficPolicy: {{portLevelSettings: [{{port: {{number: {port}}}, tls: {{mode: SIMPLE, sni: api.test, credentialName: far}}}}]}}}}\n"
    )
}

const INTERCEPTION: &str = "interception: {hosts: ['*.test'], credentialName: inspection}";

fn inside_of(gateway: &Gateway, target: &str, authority: &Authority) -> Client<Secure> {
    Ask::new("api.test", authority).over(tunnel(gateway, target)).unwrap()
}

/// A destination, who signs for it, and who signs what clients are shown.
struct Stage {
    far: Authority,
    near: Authority,
    upstream: Upstream,
    names: NameServer,
    port: u16,
    _destination: Scene,
}

impl Stage {
    fn set() -> Self {
        let (far, near) = (Authority::new(), Authority::new());
        let upstream = Upstream::echo("far");
        let destination = destination(&far, &upstream);
        let port = destination.address(443).port();
        let names = names(&[("api.test", [127, 0, 0, 1]), ("other.test", [127, 0, 0, 1])]);
        Self { far, near, upstream, names, port, _destination: destination }
    }

    /// A proxy that may reach the destination and ends TLS, as far as it finds the authority.
    fn base(&self) -> String {
        proxy(&self.names, INTERNET, "")
            + &entry("api.test", self.port, "TLS", "resolution: DNS")
            + &own("EgressPolicy", "inspect", INTERCEPTION)
    }

    /// The same with its authority, and trust in that of the destination.
    fn whole(&self) -> String {
        self.base() + &secret("inspection", &self.near.signed()) + &trust(self.port, &self.far)
    }

    fn target(&self) -> String {
        format!("api.test:{}", self.port)
    }
}

#[test]
fn explain_tells_where_tls_ends_and_check_whether_it_can() {
    let base = crate::harness::settings("")
        + "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: egress, namespace: istio-system}\nspec: {egress: [{port: {number: 8081, name: proxy, protocol: HTTP_PROXY}, hosts: [\"*/*\"]}]}\n"
        + &entry("api.test", 443, "TLS", "resolution: DNS")
        + &own("EgressPolicy", "inspect", INTERCEPTION);
    let run = |own: &Signed, arguments: &[&str]| {
        let folder = Folder::new();
        let file = folder.write("all.yaml", &(base.clone() + &secret("inspection", own)));
        let (verb, rest) = arguments.split_first().unwrap();
        let output = sluice().arg(verb).arg("--config").arg(file).args(rest).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let authority = Authority::new();
    let (good, bad) = (authority.signed(), authority.sign("api.test"));
    let ask = ["explain", "CONNECT", "api.test:443"];
    let (_, told) = run(&good, &ask);
    assert!(told.contains("TLS ends here") && told.contains("istio-system/inspect"), "{told}");
    assert_eq!(run(&good, &["check"]).0, Some(0));
    let (_, told) = run(&bad, &ask);
    assert!(told.contains("503 egress_no_authority[api.test:443]"), "{told}");
    let (code, told) = run(&bad, &["check"]);
    assert!(code == Some(1) && told.contains("inspection: the certificate is not one of an authority"), "{told}");
}

mod inside {
    use super::*;

    #[test]
    #[ignore = "runs in a network namespace"]
    fn requests_in_a_tunnel_are_judged_one_by_one() {
        let stage = Stage::set();
        let policies = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny, namespace: istio-system}\nspec: {action: DENY, rules: [{to: [{operation: {methods: [GET], paths: ['/admin*']}}]}]}\n";
        let token = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: partner, namespace: istio-system}\nstringData: {token: hunter2}\n";
        let (near, port, target) = (&stage.near, stage.port, stage.target());
        let config = stage.whole()
            + &entry("other.test", port, "TLS", "resolution: DNS")
            + &own("EgressCredential", "c", "hosts: [api.test], prefix: 'Bearer ', credentialName: partner")
            + policies
            + token;
        let gateway = Gateway::start(&config);
        let mut client = inside_of(&gateway, &target, near);
        let ask = |client: &mut Client<Secure>, path: &str, host: &str| {
            client.send(&format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: mine\r\nX-Forwarded-For: 10.1.1.1\r\nVia: 1.1 in\r\n\r\n"
            ))
        };
        let good = ask(&mut client, "/x?y=1", &target);
        assert_eq!((good.status, good.request_line().as_str()), (200, "GET /x?y=1 HTTP/1.1"), "{}", good.text());
        assert_eq!(good.echoed("authorization").as_deref(), Some("Bearer hunter2"), "the secret of the edge");
        assert_eq!(good.echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"), "only what the destination saw");
        assert_eq!(good.echoed("via"), None);
        // Another host, also one that is allowed, is not what the tunnel was asked for.
        assert_eq!(ask(&mut client, "/", &format!("other.test:{port}")).status, 421);
        assert_eq!(ask(&mut client, "/", "api.test").status, 421, "its port is 443");
        assert_eq!(ask(&mut client, "/admin/x", &target).status, 403);
        assert_eq!(ask(&mut client, "/last", &format!("API.test.:{port}")).status, 200, "the connection goes on");
        assert_eq!(client.send(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).status, 405);
        let certificates = || inside_of(&gateway, &target, near).shown();
        assert_eq!(certificates(), certificates(), "it is made once");
        drop(client);
        let log = wait_for("the log", || {
            let tunnel = format!("\"CONNECT {target}");
            Some(gateway.output()).filter(|it| it.contains(&tunnel) && it.contains("GET /admin/x"))
        });
        assert!(!log.contains("hunter2"), "{log}");
        assert!(!gateway.ask_admin("GET", "/config_dump").text().contains("PRIVATE"));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn streams_for_another_host_are_misdirected_and_the_others_go_on() {
        use tokio_rustls::TlsConnector;
        use tokio_rustls::rustls::ALL_VERSIONS;

        let stage = Stage::set();
        let port = stage.port;
        let gateway = Gateway::start(&(stage.whole() + &entry("other.test", port, "TLS", "resolution: DNS")));
        let (stream, _) = ask_for_tunnel(&gateway, &stage.target(), "");
        stream.set_nonblocking(true).unwrap();
        let mut config = Ask::new("api.test", &stage.near).config(ALL_VERSIONS);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answers = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let connector = TlsConnector::from(std::sync::Arc::new(config));
            let stream = connector.connect("api.test".try_into().unwrap(), stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let requests =
                ["api", "other", "nobody", "api"].map(|it| crate::http2::get(&format!("https://{it}.test:{port}/")));
            crate::http2::ask_over(stream, requests.into()).await
        });
        let statuses: Vec<u16> = answers.iter().map(|it| it.as_ref().unwrap().0).collect();
        assert_eq!(statuses, [200, 421, 421, 200], "{answers:?}");
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn nothing_passes_unread_that_should_be_read() {
        let stage = Stage::set();
        // Without a DestinationRule the destination is checked by the system's authorities, which do not know it.
        let (base, near, target) = (stage.base(), &stage.near, stage.target());
        let mut gateway = Gateway::start(&(base.clone() + &secret("inspection", &near.signed())));
        let answer = inside_of(&gateway, &target, near).get(&target, "/");
        assert_eq!((answer.status, stage.upstream.requests()), (503, 0), "{}", answer.text());
        // Another name than that of CONNECT is refused before anything is shown.
        let (stream, _) = ask_for_tunnel(&gateway, &target, "");
        assert!(Ask::new("other.test", near).over(stream).is_err());
        // A certificate that is no authority's signs nothing, and then nobody gets a tunnel.
        let report = gateway.reload(&(base.clone() + &secret("inspection", &near.sign("api.test"))));
        assert_eq!(report["success"], true, "{report:#}");
        assert!(report.to_string().contains("not one of an authority"), "{report:#}");
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let refused = Client::connect(gateway.address(8081)).send(&head);
        assert_eq!((refused.status, refused.text()), (503, format!("{target}: egress_no_authority\n")));
        assert!(gateway.is_running());
        // Hosts that nobody names pass as they are.
        let others = base.replace("'*.test'", "api.example");
        assert_eq!(gateway.reload(&(others + &secret("inspection", &near.signed())))["success"], true);
        let answer = inside_of(&gateway, &target, &stage.far).get("api.test", "/");
        assert_eq!(answer.status, 200);
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn who_asked_for_the_tunnel_asks_in_it() {
        let stage = Stage::set();
        let target = stage.target();
        let passwords = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: istio-system}\nstringData: {ann: k-ann, bob: k-bob}\n";
        let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: allow, namespace: istio-system}\nspec: {rules: [{to: [{operation: {methods: [CONNECT]}}]}, {from: [{source: {requestPrincipals: [apikey/ann]}}]}]}\n";
        let config = stage.whole()
            + &own("ApiKeyAuthentication", "k", "keyFrom: [{header: x-api-key}], credentialName: keys")
            + passwords
            + policy;
        let gateway = Gateway::start(&config);
        for (key, said, status) in [("k-ann", "", 200), ("k-ann", "k-bob", 200), ("k-bob", "k-ann", 403)] {
            let (stream, head) = ask_for_tunnel(&gateway, &target, &format!("X-Api-Key: {key}\r\n"));
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let mut client = Ask::new("api.test", &stage.near).over(stream).unwrap();
            let answer = client.send(&format!("GET / HTTP/1.1\r\nHost: {target}\r\nX-Api-Key: {said}\r\n\r\n"));
            assert_eq!(answer.status, status, "{key} {said}: {}", answer.text());
        }
    }
}
