//! TLS at the edge: servers by SNI, client certificates, pass-through, rotation.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::harness::tls::{Ask, Authority, Signed, server};
use crate::harness::{Folder, Gateway, Upstream, routes, service, settings, wait_for};

const ALL: &str = "  - route: [{destination: {host: a.test}}]\n";

/// A credential of the secrets folder.
pub(crate) fn credential(folder: &Folder, name: &str, own: &Signed, authorities: Option<&Authority>) {
    let path = folder.path().join("secrets").join(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("tls.crt"), &own.certificate).unwrap();
    fs::write(path.join("tls.key"), &own.key).unwrap();
    if let Some(authorities) = authorities {
        fs::write(path.join("ca.crt"), authorities.pem()).unwrap();
    }
}

/// Settings with the secrets of a folder.
pub(crate) fn with_secrets(folder: &Folder, more: &str) -> String {
    settings(&format!("  secrets: {{directory: {}}}\n{more}", folder.path().join("secrets").display()))
}

/// A Gateway of port 443 with a server for each host and its TLS settings.
pub(crate) fn servers(servers: &[(&str, &str)]) -> String {
    let servers: String = servers
        .iter()
        .enumerate()
        .map(|(index, (host, tls))| {
            format!(
                "  - port: {{number: 443, name: https-{index}, protocol: HTTPS}}\n    hosts: [\"{host}\"]\n    tls: {{{tls}}}\n"
            )
        })
        .collect();
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\nspec:\n  servers:\n{servers}"
    )
}

/// A gateway with its secrets.
pub(crate) struct Scene {
    gateway: Gateway,
    _secrets: Folder,
}

impl Deref for Scene {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

#[track_caller]
pub(crate) fn start(secrets: Folder, config: &str) -> Scene {
    // The secrets lie apart from the configuration, all of which is read as YAML.
    Scene { gateway: Gateway::start(config), _secrets: secrets }
}

/// Waits for a line of the metrics, which are written after the client has its answer.
#[track_caller]
fn metric(gateway: &Gateway, line: &str) {
    wait_for(line, || gateway.ask_admin("GET", "/metrics").text().lines().any(|it| it.starts_with(line)).then_some(()));
}

#[test]
fn servers_are_chosen_by_name_and_show_their_own_certificates() {
    let ours = Authority::new();
    let (exact, wild) = (ours.sign("a.example.com"), ours.sign("*.example.com"));
    let folder = Folder::new();
    credential(&folder, "exact", &exact, None);
    credential(&folder, "wild", &wild, None);
    let upstream = Upstream::echo("a");
    let config = with_secrets(&folder, "")
        + &servers(&[
            ("*.example.com", "mode: SIMPLE, credentialName: wild"),
            ("a.example.com", "mode: SIMPLE, credentialName: exact"),
        ])
        + &service("a", "HTTP", &[upstream.address()])
        + &routes("a.example.com", "  - directResponse: {status: 201}\n")
        + &routes("*.example.com", ALL);
    let gateway = start(folder, &config);
    let address = gateway.address(443);
    for (name, own, status) in [("a.example.com", &exact, 201), ("b.example.com", &wild, 200)] {
        let ask = Ask::new(name, &ours);
        assert_eq!(ask.connect(address).unwrap().shown(), own.der(), "{name}");
        assert_eq!(ask.get(address, "/").unwrap().status, status);
    }
    let answer = Ask::new("b.example.com", &ours).get(address, "/x").unwrap();
    assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(answer.echoed("x-forwarded-client-cert"), None);
    let refused = Ask::new("other.test", &ours).connect(address).err().unwrap();
    assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
    metric(&gateway, "sluice_tls_handshakes_total{result=\"no_server\"} 1");
    metric(&gateway, "sluice_cert_expiry_timestamp_seconds{");
    wait_for("the name is logged", || gateway.output().contains(" b.example.com ").then_some(()));
    // Plain text on the port is no request.
    assert!(
        crate::harness::Client::connect(address).send_raw("GET / HTTP/1.1\r\nHost: h\r\n\r\n").starts_with(&[21, 3])
    );
}

#[test]
fn client_certificates_are_judged_as_the_server_says() {
    let (ours, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let own = ours.sign("a.test");
    let spiffe = clients.sign("spiffe://td/ns/shop/sa/web");
    let (good, revoked, stranger) =
        (clients.sign("client.test"), clients.sign("client.test"), strangers.sign("client.test"));
    let hash = |it: &Signed| crate::harness::tls::sha256_hex(&it.der());
    let crl = Folder::new();
    let crl_path = crl.write("ca.crl", &clients.revoke(&revoked)).display().to_string();
    let ca_path = crl.write("ca.pem", &clients.pem()).display().to_string();
    let [chain_path, key_path] = [("own.pem", &own.certificate), ("own.key", &own.key)]
        .map(|(name, text)| crl.write(name, text).display().to_string());
    let files = format!("serverCertificate: {chain_path}, privateKey: {key_path}, caCertificates: {ca_path}");
    let by_hash = format!("mode: MUTUAL, credentialName: own, verifyCertificateHash: [\"{}\"]", hash(&good));
    let by_list = format!("mode: MUTUAL, {files}, caCrl: {crl_path}");
    let upstream = Upstream::echo("a");
    for (tls, expected) in [
        // With no certificate, good, spiffe, revoked, stranger.
        ("mode: MUTUAL, credentialName: own", [false, true, true, true, false]),
        ("mode: OPTIONAL_MUTUAL, credentialName: own", [true, true, true, true, false]),
        ("mode: SIMPLE, credentialName: own", [true; 5]),
        ("mode: MUTUAL, credentialName: own, subjectAltNames: [client.test]", [false, true, false, true, false]),
        (
            "mode: MUTUAL, credentialName: own, subjectAltNames: ['spiffe://td/ns/shop/sa/web']",
            [false, false, true, false, false],
        ),
        (by_hash.as_str(), [false, true, false, false, false]),
        (by_list.as_str(), [false, true, true, false, false]),
        ("mode: MUTUAL, credentialName: own, insecureSkipVerify: true", [false, true, true, true, true]),
    ] {
        let folder = Folder::new();
        credential(&folder, "own", &own, Some(&clients));
        let config = with_secrets(&folder, "")
            + &servers(&[("a.test", tls)])
            + &service("a", "HTTP", &[upstream.address()])
            + &routes("a.test", ALL);
        let gateway = start(folder, &config);
        let ask = Ask::new("a.test", &ours);
        let identities = [None, Some(&good), Some(&spiffe), Some(&revoked), Some(&stranger)];
        for (identity, expected) in identities.into_iter().zip(expected) {
            let ask = identity.map_or(ask, |it| ask.with(it));
            let answer = ask.get(gateway.address(443), "/");
            assert_eq!(answer.is_ok(), expected, "{tls}: {answer:?}");
            let Ok(answer) = answer else { continue };
            let told = answer.echoed("x-forwarded-client-cert");
            match identity.filter(|_| !tls.contains("SIMPLE")) {
                None => assert_eq!(told, None),
                Some(it) => assert!(told.unwrap().starts_with(&format!("Hash={};Cert=", hash(it))), "{tls}"),
            }
        }
    }
}

#[test]
fn what_clients_say_of_certificates_is_not_believed() {
    let ours = Authority::new();
    let folder = Folder::new();
    credential(&folder, "own", &ours.sign("a.test"), None);
    let upstream = Upstream::echo("a");
    let config = with_secrets(&folder, "")
        + &servers(&[("a.test", "mode: SIMPLE, credentialName: own")])
        + &service("a", "HTTP", &[upstream.address()])
        + &routes("a.test", ALL);
    let gateway = start(folder, &config);
    let mut client = Ask::new("a.test", &ours).connect(gateway.address(443)).unwrap();
    let answer =
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Client-Cert: By=x;URI=spiffe://admin\r\n\r\n");
    assert_eq!((answer.status, answer.echoed("x-forwarded-client-cert")), (200, None));
}

#[test]
fn versions_are_bounded() {
    let ours = Authority::new();
    for (versions, with12, with13) in [
        ("", true, true),
        (", minProtocolVersion: TLSV1_3", false, true),
        (", maxProtocolVersion: TLSV1_2", true, false),
        (", maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256]", false, false),
        (", cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384, NONSENSE]", true, true),
    ] {
        let folder = Folder::new();
        credential(&folder, "own", &ours.sign("a.test"), None);
        let tls = format!("mode: SIMPLE, credentialName: own{versions}");
        let config = with_secrets(&folder, "")
            + &servers(&[("a.test", &tls)])
            + &routes("a.test", "  - directResponse: {status: 200}\n");
        let gateway = start(folder, &config);
        let ask = Ask::new("a.test", &ours);
        for (version, expected) in [(&TLS12, with12), (&TLS13, with13)] {
            let client = ask.connect_by(&Arc::new(ask.config(&[version])), gateway.address(443));
            assert_eq!(client.is_ok(), expected, "{versions} {version:?}");
        }
    }
}

#[test]
fn sessions_are_resumed_by_every_worker() {
    let ours = Authority::new();
    let folder = Folder::new();
    credential(&folder, "own", &ours.sign("a.test"), None);
    let config = with_secrets(&folder, "")
        + &servers(&[("a.test", "mode: SIMPLE, credentialName: own")])
        + &routes("a.test", "  - directResponse: {status: 200}\n");
    let gateway = start(folder, &config);
    let ask = Ask::new("a.test", &ours);
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(ask.config(&[version]));
        let mut resumed = 0;
        for _ in 0..20 {
            let mut client = ask.connect_by(&client, gateway.address(443)).unwrap();
            resumed += u32::from(client.is_resumed());
            // Tickets of TLS 1.3 come with the first answer.
            assert_eq!(client.get("a.test", "/").status, 200);
        }
        assert_eq!(resumed, 19, "{version:?}");
    }
}

fn passing(folder: &Folder, upstream: SocketAddr, through: SocketAddr) -> String {
    with_secrets(folder, "")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec:\n  servers:\n  - port: {number: 443, name: https, protocol: HTTPS}\n    hosts: [a.test]\n    tls: {mode: SIMPLE, credentialName: own}\n  - port: {number: 443, name: tls, protocol: TLS}\n    hosts: ['*.pass.test']\n    tls: {mode: PASSTHROUGH}\n  - port: {number: 443, name: tcp, protocol: TLS}\n    hosts: [tcp.test]\n    tls: {mode: SIMPLE, credentialName: tcp}\n"
        + &service("a", "HTTP", &[upstream])
        + &service("b", "TLS", &[through])
        + &service("c", "TCP", &[upstream])
        + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: pass}\nspec:\n  hosts: ['*.pass.test']\n  gateways: [edge]\n  tls:\n  - match: [{port: 443, sniHosts: [x.pass.test]}]\n    route: [{destination: {host: b.test}}]\n"
        + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: tcp}\nspec:\n  hosts: [tcp.test]\n  gateways: [edge]\n  tcp:\n  - route: [{destination: {host: c.test}}]\n"
        + &routes("a.test", ALL)
}

#[test]
fn termination_pass_through_and_tcp_share_a_port() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    credential(&folder, "own", &ours.sign("a.test"), None);
    credential(&folder, "tcp", &ours.sign("tcp.test"), None);
    let upstream = Upstream::echo("a");
    let through = theirs.sign("x.pass.test");
    let config = passing(&folder, upstream.address(), server(&through, None));
    let gateway = start(folder, &config);
    let address = gateway.address(443);
    assert_eq!(Ask::new("a.test", &ours).get(address, "/").unwrap().upstream(), "a");
    let mut client = Ask::new("x.pass.test", &theirs).connect(address).unwrap();
    assert_eq!(client.shown(), through.der(), "the upstream's own certificate");
    assert_eq!(client.get("x.pass.test", "/").echoed("sni").as_deref(), Some("x.pass.test"));
    drop(client);
    assert_eq!(Ask::new("tcp.test", &ours).get(address, "/t").unwrap().request_line(), "GET /t HTTP/1.1");
    assert!(Ask::new("y.pass.test", &theirs).connect(address).is_err());
    let log = wait_for("the connection is logged", || {
        Some(gateway.output()).filter(|it| it.contains("outbound|80||b.test") && it.contains(" x.pass.test "))
    });
    assert!(log.contains("outbound|80||b.test"), "{log}");
    metric(&gateway, "sluice_tls_handshakes_total{result=\"passed_through\"} 1");
}

#[test]
fn a_request_for_another_servers_host_has_to_come_by_its_own_connection() {
    let ours = Authority::new();
    let folder = Folder::new();
    credential(&folder, "one", &ours.sign("a.test"), None);
    credential(&folder, "other", &ours.sign("b.test"), None);
    let config = with_secrets(&folder, "")
        + &servers(&[
            ("a.test", "mode: SIMPLE, credentialName: one"),
            ("b.test", "mode: SIMPLE, credentialName: other"),
            ("c.test", "mode: SIMPLE, credentialName: one"),
        ])
        + &["a", "b", "c"].map(|it| routes(&format!("{it}.test"), "  - directResponse: {status: 200}\n")).concat();
    let gateway = start(folder, &config);
    let mut client = Ask::new("a.test", &ours).connect(gateway.address(443)).unwrap();
    // Of the same certificate and the same clients, hosts may share a connection.
    for (host, status) in [("a.test", 200), ("b.test", 421), ("c.test", 200), ("d.test", 404)] {
        assert_eq!(client.get(host, "/").status, status, "{host}");
    }
    wait_for("its line", || gateway.output().contains("421 NR misdirected_request").then_some(()));
    // The same on streams of one HTTP/2 connection, whose `:authority` says the host.
    let mut config = Ask::new("a.test", &ours).config(&[&TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statuses = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.address(443)).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect("a.test".try_into().unwrap(), stream).await.unwrap();
        let requests = ["a", "b", "c", "d"].map(|it| crate::http2::get(&format!("https://{it}.test/")));
        let answers = crate::http2::ask_over(stream, requests.into()).await;
        answers.into_iter().map(|it| it.unwrap().0).collect::<Vec<_>>()
    });
    assert_eq!(statuses, [200, 421, 200, 404]);
}

#[test]
fn an_ocsp_answer_beside_the_certificate_is_stapled() {
    let ours = Authority::new();
    let folder = Folder::new();
    credential(&folder, "own", &ours.sign("a.test"), None);
    let staple = folder.path().join("secrets/own/tls.ocsp-staple");
    let config = with_secrets(&folder, "")
        + &servers(&[("a.test", "mode: SIMPLE, credentialName: own")])
        + &routes("a.test", "  - directResponse: {status: 200}\n");
    let gateway = start(folder, &config);
    let port = gateway.address(443).port();
    let asked = || openssl(&["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "a.test", "-status"]);
    assert!(asked().contains("OCSP response: no response sent"));
    // What it says is between authority and client; the gateway passes it on as it stands.
    fs::write(staple, b"\x30\x0estaple-of-ours").unwrap();
    wait_for("the staple is shown", || asked().contains("staple-of-ours").then_some(()));
}

/// What openssl says to a command.
fn openssl(arguments: &[&str]) -> String {
    let output =
        std::process::Command::new("openssl").args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_reload_that_asks_for_certificates_asks_old_connections_too() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    credential(&folder, "own", &ours.sign("a.test"), Some(&clients));
    let config = |tls: &str| {
        with_secrets(&folder, "")
            + &servers(&[("a.test", tls)])
            + &routes("a.test", "  - directResponse: {status: 200}\n")
    };
    let (before, after) = (config("mode: SIMPLE, credentialName: own"), config("mode: MUTUAL, credentialName: own"));
    let gateway = start(folder, &before);
    let mut old = Ask::new("a.test", &ours).connect(gateway.address(443)).unwrap();
    assert_eq!(old.get("a.test", "/").status, 200);
    assert_eq!(gateway.reload(&after)["success"], true);
    assert_eq!(old.get("a.test", "/").status, 421);
    let own = clients.sign("client.test");
    assert_eq!(Ask::new("a.test", &ours).with(&own).get(gateway.address(443), "/").unwrap().status, 200);
}

#[test]
fn certificates_that_change_are_shown_without_a_reload() {
    let ours = Authority::new();
    let folder = Folder::new();
    let (first, second) = (ours.sign("a.test"), ours.sign("a.test"));
    credential(&folder, "own", &first, None);
    let secrets = folder.path().join("secrets");
    let config = with_secrets(&folder, "")
        + &servers(&[
            ("a.test", "mode: SIMPLE, credentialName: own"),
            ("late.test", "mode: SIMPLE, credentialName: late"),
        ])
        + &routes("a.test", "  - directResponse: {status: 200}\n")
        + &routes("late.test", "  - directResponse: {status: 200}\n");
    let gateway = start(folder, &config);
    let address = gateway.address(443);
    let ask = Ask::new("a.test", &ours);
    let mut old = ask.connect(address).unwrap();
    assert_eq!(old.shown(), first.der());
    // Half of a pair is not taken.
    fs::write(secrets.join("own/tls.crt"), &second.certificate).unwrap();
    metric(&gateway, "sluice_cert_reloads_total{result=\"failure\"} 1");
    assert!(gateway.messages().contains("do not belong together"), "{}", gateway.messages());
    assert_eq!(ask.connect(address).unwrap().shown(), first.der());
    fs::write(secrets.join("own/tls.key"), &second.key).unwrap();
    wait_for("the new one is shown", || (ask.connect(address).unwrap().shown() == second.der()).then_some(()));
    assert_eq!(old.get("a.test", "/").status, 200, "the old connection lives");
    assert!(!gateway.messages().contains("PRIVATE KEY"));
    // A secret that is not there disables its own server alone, until it comes.
    let late = Ask::new("late.test", &ours);
    let refused = late.connect(address).err().unwrap();
    assert!(refused.to_string().contains("InternalError"), "{refused}");
    let signed = ours.sign("late.test");
    fs::create_dir_all(secrets.join("late")).unwrap();
    fs::write(secrets.join("late/tls.crt"), &signed.certificate).unwrap();
    fs::write(secrets.join("late/tls.key"), &signed.key).unwrap();
    wait_for("it is served", || late.connect(address).is_ok().then_some(()));
    assert_eq!(gateway.generation(), 1, "no reload was needed");
}

#[test]
fn the_client_behind_a_trusted_proxy_is_who_its_header_says() {
    let ours = Authority::new();
    let upstream = Upstream::echo("a");
    let scene = |more: &str| {
        let folder = Folder::new();
        credential(&folder, "own", &ours.sign("a.test"), None);
        let edge = servers(&[("a.test", "mode: SIMPLE, credentialName: own")])
            + "  - port: {number: 80, name: http, protocol: HTTP}\n    hosts: [a.test]\n";
        let config =
            with_secrets(&folder, more) + &edge + &service("a", "HTTP", &[upstream.address()]) + &routes("a.test", ALL);
        start(folder, &config)
    };
    let v1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 5555 443\r\n".to_vec();
    let v2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 7, 10, 0, 0, 1, 0x15, 0xb3, 1, 0xbb]].concat();
    let ask = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for more in [
        "  proxyProtocol: {trustedSources: [127.0.0.0/8]}\n",
        "  meshConfig: {defaultConfig: {gatewayTopology: {proxyProtocol: {}}}}\n",
    ] {
        let gateway = scene(more);
        for header in [&v1, &v2] {
            let mut client = crate::harness::Client::connect(gateway.address(80));
            client.write(&[header.as_slice(), ask].concat());
            assert_eq!(client.response().unwrap().echoed("x-forwarded-for").as_deref(), Some("192.0.2.7"), "{more}");
            let mut stream = std::net::TcpStream::connect(gateway.address(443)).unwrap();
            std::io::Write::write_all(&mut stream, header).unwrap();
            let mut client = Ask::new("a.test", &ours).over(stream).unwrap();
            assert_eq!(client.get("a.test", "/").echoed("x-forwarded-for").as_deref(), Some("192.0.2.7"));
        }
        let mut silent = crate::harness::Client::connect(gateway.address(80));
        silent.write(ask);
        assert!(silent.response().is_err(), "without a header there is no answer");
    }
    let gateway = scene("  proxyProtocol: {trustedSources: [10.0.0.0/8]}\n");
    let mut direct = crate::harness::Client::connect(gateway.address(80));
    direct.write(ask);
    assert_eq!(direct.response().unwrap().echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    let mut liar = crate::harness::Client::connect(gateway.address(80));
    liar.write(&[v1.as_slice(), ask].concat());
    assert_eq!(liar.response().unwrap().status, 400, "who is not trusted cannot say who it is");
}

#[test]
fn identities_of_a_mesh_pass_servers_that_ask_for_them() {
    let mesh = Authority::new();
    let own = mesh.sign("a.test");
    let workload = mesh.sign("spiffe://cluster.local/ns/shop/sa/web");
    let folder = Folder::new();
    let [chain, key, roots] =
        [("chain.pem", own.certificate.clone()), ("key.pem", own.key.clone()), ("root.pem", mesh.pem())]
            .map(|(name, text)| folder.write(name, &text).display().to_string());
    let more =
        format!("  meshCertificates: {{certificateChain: {chain}, privateKey: {key}, rootCertificates: {roots}}}\n");
    let upstream = Upstream::echo("a");
    let config = settings(&more)
        + &servers(&[("a.test", "mode: ISTIO_MUTUAL")])
        + &service("a", "HTTP", &[upstream.address()])
        + &routes("a.test", ALL);
    let gateway = start(folder, &config);
    let ask = Ask::new("a.test", &mesh);
    assert!(ask.get(gateway.address(443), "/").is_err());
    let answer = ask.with(&workload).get(gateway.address(443), "/").unwrap();
    let told = answer.echoed("x-forwarded-client-cert").unwrap();
    assert!(told.contains(";URI=spiffe://cluster.local/ns/shop/sa/web"), "{told}");
}

fn report(config: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = Folder::new();
    let file = folder.write("config.yaml", config);
    let (verb, rest) = arguments.split_first().unwrap();
    let output = crate::harness::sluice().arg(verb).arg("--config").arg(file).args(rest).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[test]
fn check_reads_every_certificate() {
    let ours = Authority::new();
    let (good, other) = (ours.sign("a.test"), ours.sign("a.test"));
    let mixed = Signed { key: other.key.clone(), ..good.clone() };
    let disordered = Signed { certificate: good.certificate.clone() + &Authority::new().pem(), ..good.clone() };
    for (own, code, said) in [
        (&good, 0, "1 note"),
        (&ours.sign_until("a.test", 2025), 1, "SLU0030"),
        (&mixed, 1, "IST0161"),
        (&mixed, 1, "do not belong together"),
        (&disordered, 1, "SLU0031"),
        (&ours.sign("b.test"), 0, "SLU0032"),
        (&ours.sign("b.test"), 0, "does not cover the host `a.test`, only b.test"),
        (&ours.weak("a.test"), 1, "SLU0033"),
    ] {
        let folder = Folder::new();
        credential(&folder, "own", own, None);
        let config = with_secrets(&folder, "")
            + &servers(&[("a.test", "mode: SIMPLE, credentialName: own")])
            + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: skipped}\n"
            + &routes("a.test", "  - directResponse: {status: 200}\n");
        let (status, text) = report(&config, &["check"]);
        assert_eq!(status, Some(code), "{said}: {text}");
        assert!(text.contains(said), "{said}: {text}");
        assert!(!text.contains("PRIVATE KEY"));
        // One server's certificate is no reason not to start.
        assert!(start(folder, &config).ask_admin("GET", "/ready").status == 200);
    }
    // Those of egress policies are read too, but of other workloads'.
    for (labels, expected) in [("{istio: ingressgateway}", 1), ("{app: other}", 0)] {
        let folder = Folder::new();
        credential(&folder, "own", &ours.sign_until("a.test", 2025), None);
        let policy = format!(
            "---\napiVersion: sluice.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: p, namespace: istio-system}}\nspec: {{selector: {{matchLabels: {labels}}}, tls: {{mode: SIMPLE, credentialName: own}}}}\n"
        );
        let (status, text) = report(&(with_secrets(&folder, "") + &policy), &["check"]);
        assert_eq!(status, Some(expected), "{labels}: {text}");
    }
    let config = settings("") + &servers(&[("a.test", "mode: AUTO_PASSTHROUGH")]);
    let (status, text) = report(&config, &["check"]);
    assert!(status == Some(0) && text.contains("AUTO_PASSTHROUGH belongs to meshes"), "{text}");
}

#[test]
fn explain_tells_what_tls_does() {
    let ours = Authority::new();
    let folder = Folder::new();
    credential(&folder, "own", &ours.sign("a.test"), Some(&ours));
    credential(&folder, "tcp", &ours.sign("tcp.test"), None);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let config = passing(&folder, nobody, nobody);
    for (arguments, expected) in [
        (
            &["GET", "https://a.test/x"][..],
            &[
                "tls           a server answers to `a.test`, TLS 1.2 and 1.3",
                "certificate   own (serial",
                "no certificate is asked for",
                "virtual host",
            ][..],
        ),
        (
            &["--sni", "x.pass.test", "GET", "https://a.test/"],
            &["`x.pass.test` is passed on as it is", "outbound|80||b.test"],
        ),
        (&["--sni", "a.test", "GET", "https://x.pass.test/"], &["421"]),
        (&["GET", "https://nobody.test/"], &["no server answers to `nobody.test`"]),
        (&["GET", "http://a.test:443/"], &["plain text on a port of TLS"]),
    ] {
        let (status, text) = report(&config, &[&["explain"], arguments].concat());
        assert_eq!(status, Some(0), "{text}");
        for line in expected {
            assert!(text.contains(line), "{arguments:?}: {line}\n{text}");
        }
    }
}

#[test]
fn curl_and_openssl_are_served() {
    let ours = Authority::new();
    let folder = Folder::new();
    credential(&folder, "own", &ours.sign("a.test"), None);
    let ca = folder.write("ca.pem", &ours.pem());
    let config = with_secrets(&folder, "")
        + &servers(&[("a.test", "mode: SIMPLE, credentialName: own")])
        + &routes("a.test", "  - directResponse: {status: 200}\n");
    let gateway = start(folder, &config);
    let port = gateway.address(443).port();
    for (version, expected) in [("--http1.1", "200 1.1"), ("--http2", "200 2")] {
        let output = std::process::Command::new("curl")
            .args([
                "-sS",
                version,
                "--max-time",
                "20",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{http_version}",
                "--cacert",
            ])
            .arg(&ca)
            .args(["--resolve", &format!("a.test:{port}:127.0.0.1"), &format!("https://a.test:{port}/")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
    }
    let (address, ca) = (format!("127.0.0.1:{port}"), ca.display().to_string());
    for (more, expected) in [
        (&["-alpn", "h2"][..], "ALPN protocol: h2"),
        (&["-tls1_2"], "Protocol  : TLSv1.2"),
        (&["-tls1_3"], "Verify return code: 0 (ok)"),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "Cipher is (NONE)"),
    ] {
        let begin = ["s_client", "-connect", &address, "-servername", "a.test", "-CAfile", &ca];
        let text = openssl(&[&begin, more].concat());
        assert!(text.contains(expected), "{more:?}: {text}");
    }
}
