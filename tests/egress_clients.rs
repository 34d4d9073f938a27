//! Clients of forward proxies as they are: curl, a proxy behind TLS, tunnels in streams of HTTP/2. See `egress` for where they run.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use bytes::Bytes;

use crate::egress::{INTERNET, entry, names, own, proxy};
use crate::harness::tls::{Authority, server};
use crate::harness::{Client, Gateway, Upstream, wait_for};

/// Sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).ok());
        }
    });
    address
}

/// Sends as many bytes as there is room for, until these many are sent, and counts what comes back meanwhile.
async fn through(mut up: h2::SendStream<Bytes>, mut down: h2::RecvStream, size: usize) -> usize {
    let sending = async {
        let mut left = size;
        while left > 0 {
            up.reserve_capacity(left.min(16 * 1024));
            let room = std::future::poll_fn(|cx| up.poll_capacity(cx)).await.unwrap().unwrap().min(left);
            up.send_data(vec![7; room].into(), false).unwrap();
            left -= room;
        }
        up.send_data(Bytes::new(), true).unwrap();
    };
    let receiving = async {
        let mut got = 0;
        while let Some(part) = down.data().await {
            let part = part.unwrap();
            assert!(part.iter().all(|it| *it == 7));
            got += part.len();
            down.flow_control().release_capacity(part.len()).unwrap();
        }
        got
    };
    tokio::join!(receiving, sending).0
}

mod inside {
    use super::*;

    #[test]
    #[ignore = "runs in a network namespace"]
    fn tunnels_are_asked_for_as_clients_do() {
        let port = echo().port();
        let names = names(&[("a.test", [127, 0, 0, 1])]);
        let entries = entry("a.test", port, "TCP", "resolution: DNS");
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entries));
        for (head, status) in [
            // Python's, before 3.12.
            (format!("CONNECT a.test:{port} HTTP/1.0\r\n\r\n"), 200),
            // Java's.
            (format!("CONNECT a.test:{port} HTTP/1.1\r\nHost: a.test\r\n\r\n"), 200),
            (format!("CONNECT a.test:{port} HTTP/1.1\r\nHost: b.test\r\n\r\n"), 400),
            (format!("CONNECT a.test:{port} HTTP/1.1\r\n\r\n"), 400),
            ("CONNECT other.test:443 HTTP/1.0\r\n\r\n".to_owned(), 403),
            ("GET http://a.test/ HTTP/1.0\r\nHost: a.test\r\n\r\n".to_owned(), 426),
        ] {
            let answer = Client::connect(gateway.address(8081)).send(&head);
            assert_eq!(answer.status, status, "{head}");
        }
        let line = "\"CONNECT other.test:443 HTTP/1.0\" 403 ";
        wait_for("its line", || gateway.output().contains(line).then_some(()));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn curl_goes_through_with_its_usual_options() {
        let authority = Authority::new();
        let secure = server(&authority.sign("api.test"), None);
        let plain = Upstream::echo("far");
        let names = names(&[("api.test", [127, 0, 0, 1]), ("web.test", [127, 0, 0, 1])]);
        let entries = entry("api.test", secure.port(), "HTTPS", "resolution: DNS")
            + &entry("web.test", plain.address().port(), "HTTP", "resolution: DNS");
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entries));
        let folder = crate::harness::Folder::new();
        let authorities = folder.write("ca.pem", &authority.pem());
        let curl = |url: &str| {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--max-time", "20", "--cacert"]).arg(&authorities);
            curl.env("https_proxy", format!("http://{}", gateway.address(8081)));
            curl.env("http_proxy", format!("http://{}", gateway.address(8081)));
            let output = curl.arg(url).output().unwrap();
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
        };
        assert!(curl(&format!("https://api.test:{}/", secure.port())).contains("sni: api.test"));
        assert!(curl(&format!("http://web.test:{}/x", plain.address().port())).contains("GET /x"));
        assert!(curl("https://evil.test/").contains("403"));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn a_proxy_behind_tls_knows_its_clients_by_their_certificates() {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let secure = server(&theirs.sign("api.test"), None);
        let plain = Upstream::echo("far");
        let names = names(&[("api.test", [127, 0, 0, 1]), ("web.test", [127, 0, 0, 1])]);
        let folder = crate::harness::Folder::new();
        let files = |name: &str, signed: &crate::harness::tls::Signed| {
            let chain = folder.write(&format!("{name}.crt"), &signed.certificate);
            (chain.display().to_string(), folder.write(&format!("{name}.key"), &signed.key).display().to_string())
        };
        let (chain, key) = files("proxy", &ours.sign("proxy.test"));
        let (client, client_key) = files("client", &ours.sign("client.test"));
        let roots = folder.write("ca.pem", &ours.pem()).display().to_string();
        let far_roots = folder.write("far.pem", &theirs.pem()).display().to_string();
        let with = |tls: &str| {
            proxy(&names, INTERNET, "").replace("protocol: HTTP_PROXY", "protocol: HTTPS_PROXY")
                + &entry("api.test", secure.port(), "HTTPS", "resolution: DNS")
                + &entry("web.test", plain.address().port(), "HTTP", "resolution: DNS")
                + &own("EgressPolicy", "tls", tls)
        };
        let config = with(&format!(
            "ports: [8081], tls: {{mode: MUTUAL, serverCertificate: {chain}, privateKey: {key}, caCertificates: {roots}}}"
        ));
        let gateway = Gateway::start(&config);
        let curl = |url: &str, identity: &[&str]| {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--max-time", "20", "--cacert", &far_roots, "--proxy-cacert", &roots]).args(identity);
            curl.args(["--resolve", &format!("proxy.test:{}:127.0.0.1", gateway.address(8081).port())]);
            curl.args(["-x", &format!("https://proxy.test:{}", gateway.address(8081).port())]);
            let output = curl.arg(url).output().unwrap();
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
        };
        let known = ["--proxy-cert", client.as_str(), "--proxy-key", client_key.as_str()];
        let inside = curl(&format!("https://api.test:{}/", secure.port()), &known);
        assert!(inside.contains("sni: api.test"), "{inside}");
        let request = curl(&format!("http://web.test:{}/x", plain.address().port()), &known);
        assert!(request.contains("GET /x"), "{request}");
        assert!(curl("https://evil.test/", &known).contains("403"));
        let unknown = curl(&format!("https://api.test:{}/", secure.port()), &[]);
        assert!(!unknown.contains("sni: api.test"), "{unknown}");
        let refused = gateway.reload(&with("ports: [9], mode: Audit"));
        assert_eq!(refused["success"], false);
        assert!(refused.to_string().contains("a listener of protocol HTTPS_PROXY has no certificate"), "{refused}");
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn streams_of_http2_are_tunnels_too() {
        const SIZE: usize = 1 << 20;
        let address = echo();
        let names = names(&[("a.test", [127, 0, 0, 1])]);
        let plain = Upstream::echo("far");
        let (port, web) = (address.port(), plain.address().port());
        let entries =
            entry("a.test", port, "TCP", "resolution: DNS") + &entry("a.test", web, "HTTP", "resolution: DNS");
        let gateway = Gateway::start(&(proxy(&names, INTERNET, "") + &entries));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(gateway.address(8081)).await.unwrap();
            let (client, connection) = h2::client::handshake(stream).await.unwrap();
            let driver = tokio::spawn(connection);
            let mut client = client.ready().await.unwrap();
            let connect =
                |target: String| http::Request::connect(target).version(http::Version::HTTP_2).body(()).unwrap();
            let (refused, _) = client.send_request(connect("other.test:443".to_owned()), true).unwrap();
            assert_eq!(refused.await.unwrap().status(), 403);
            let mut grpc = connect("other.test:443".to_owned());
            grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            let (refused, _) = client.send_request(grpc, true).unwrap();
            assert_eq!(refused.await.unwrap().status(), 403, "200 would say that there is a tunnel");
            let request = http::Request::get(format!("http://a.test:{web}/x")).version(http::Version::HTTP_2);
            let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
            let request = http::Request::get("https://a.test/x").version(http::Version::HTTP_2);
            let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 400, "TLS is for the client to begin");
            let (answer, up) = client.send_request(connect(format!("a.test:{port}")), false).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            let got = through(up, answer.into_body(), SIZE).await;
            assert_eq!(got, SIZE);
            drop(client);
            driver.abort();
        });
        let line = format!("\"CONNECT a.test:{port} HTTP/2\" 200 ");
        wait_for("its line", || gateway.output().contains(&line).then_some(()));
    }
}
