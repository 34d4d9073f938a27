//! TLS towards upstreams: who is trusted, what is shown, and that nothing goes out when it cannot be right.

use std::net::SocketAddr;

use crate::harness::tls::{Authority, server};
use crate::harness::{Folder, Gateway, gateway, routes, service, settings, wait_for};

const ALL: &str = "  - route: [{destination: {host: a.test}}]\n";

fn config(upstream: SocketAddr, tls: &str) -> String {
    settings("")
        + &gateway(&[80])
        + &service("a", "HTTP", &[upstream])
        + &format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\nspec:\n  host: a.test\n  trafficPolicy: {{tls: {{{tls}}}}}\n"
        )
        + &routes("h", ALL)
}

#[test]
fn the_servers_certificate_is_checked_against_the_authorities_and_the_name() {
    let (ours, other) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    let trusted = folder.write("ca.pem", &ours.pem());
    let stranger = folder.write("other.pem", &other.pem());
    let upstream = server(&ours.sign("a.test"), None);
    for (tls, status) in [
        (format!("mode: SIMPLE, sni: a.test, caCertificates: {}", trusted.display()), 200),
        (format!("mode: SIMPLE, subjectAltNames: [a.test], caCertificates: {}", trusted.display()), 200),
        (format!("mode: SIMPLE, sni: b.test, caCertificates: {}", trusted.display()), 503),
        (format!("mode: SIMPLE, sni: a.test, caCertificates: {}", stranger.display()), 503),
        ("mode: SIMPLE, sni: a.test".to_owned(), 503),
        ("mode: SIMPLE, sni: a.test, insecureSkipVerify: true".to_owned(), 200),
        ("mode: SIMPLE, sni: a.test, caCertificates: /nowhere.pem".to_owned(), 503),
        ("mode: ISTIO_MUTUAL".to_owned(), 503),
    ] {
        let gateway = Gateway::start(&config(upstream, &tls));
        let answer = gateway.get("h", "/");
        assert_eq!(answer.status, status, "{tls}: {}", answer.text());
        if status == 200 {
            assert_eq!(answer.echoed("sni").as_deref(), Some("a.test"), "{tls}");
        } else {
            wait_for("its flag", || gateway.output().contains("\" 503 UF").then_some(()));
        }
    }
}

#[test]
fn a_revoked_certificate_is_not_accepted() {
    let ours = Authority::new();
    let (revoked, good) = (ours.sign("a.test"), ours.sign("a.test"));
    let folder = Folder::new();
    let [ca, crl] = [("ca.pem", ours.pem()), ("ca.crl", ours.revoke(&revoked))]
        .map(|(name, text)| folder.write(name, &text).display().to_string());
    let tls = |crl: &str| format!("mode: SIMPLE, sni: a.test, caCertificates: {ca}, caCrl: {crl}");
    for (own, crl, status) in [(&good, &crl, 200), (&revoked, &crl, 503), (&good, &ca, 503)] {
        let gateway = Gateway::start(&config(server(own, None), &tls(crl)));
        assert_eq!(gateway.get("h", "/").status, status);
        if status != 200 {
            wait_for("its flag", || gateway.output().contains("\" 503 UF").then_some(()));
        }
    }
}

#[test]
fn a_certificate_is_shown_from_files_and_from_secrets() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let upstream = server(&ours.sign("a.test"), Some(&clients));
    let client = clients.sign("gateway");
    let folder = Folder::new();
    let [ca, chain, key] =
        [("ca.pem", ours.pem()), ("tls.crt", client.certificate.clone()), ("tls.key", client.key.clone())]
            .map(|(name, text)| folder.write(name, &text).display().to_string());
    let files =
        format!("mode: MUTUAL, sni: a.test, clientCertificate: {chain}, privateKey: {key}, caCertificates: {ca}");
    let indent = |text: &str| text.lines().map(|it| format!("    {it}\n")).collect::<String>();
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: client, namespace: istio-system}}\ntype: Opaque\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}  ca.crt: |\n{}",
        indent(&client.certificate),
        indent(&client.key),
        indent(&ours.pem())
    );
    let without = format!("mode: SIMPLE, sni: a.test, caCertificates: {ca}");
    for (config, expected) in [
        (config(upstream, &files), Some("1")),
        (config(upstream, "mode: MUTUAL, sni: a.test, credentialName: client") + &secret, Some("1")),
        (config(upstream, "mode: MUTUAL, sni: a.test, credentialName: nobody"), None),
        (config(upstream, &without), None),
    ] {
        let gateway = Gateway::start(&config);
        assert_eq!(gateway.get("h", "/").echoed("certificates").as_deref(), expected);
        let shown = gateway.ask_admin("GET", "/config_dump").text() + &gateway.messages();
        assert!(!shown.contains("PRIVATE KEY"), "no key is shown");
    }
}

#[test]
fn names_that_cannot_be_verified_are_refused() {
    let folder = Folder::new();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    for (tls, message) in [
        ("mode: SIMPLE, sni: a.test, subjectAltNames: [b.test]", "do not name the SNI `a.test`"),
        ("mode: SIMPLE, subjectAltNames: ['spiffe://x/ns/y']", "it is no DNS name"),
    ] {
        let file = folder.write("config.yaml", &config(nobody, tls));
        let output = crate::harness::sluice().args(["check", "--config"]).arg(file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(message), "{text}");
    }
}
