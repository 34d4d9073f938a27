//! Upstreams that fail, go away, or are found by DNS.

use std::net::{SocketAddr, TcpListener};

use crate::harness::{Client, Gateway, Upstream, gateway, routes, service, settings, wait_for};

const ALL: &str = "  - route: [{destination: {host: a.test}}]\n";

fn with(services: &str, rules: &str) -> Gateway {
    Gateway::start(&(settings("") + &gateway(&[80]) + services + &routes("h", rules)))
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_endpoint_that_is_gone_is_passed_over() {
    let upstream = Upstream::echo("a");
    let gateway = with(&service("a", "HTTP", &[nobody(), upstream.address()]), ALL);
    let good = (0..40).filter(|_| gateway.get("h", "/").status == 200).count();
    // Three tries with power of two choices: a request fails only when all meet the dead one.
    assert!(good >= 25, "{good} of 40");
}

#[test]
fn failures_have_envoys_status_text_and_flag() {
    let broken = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n");
    let closing = Upstream::saying("");
    let services = service("dead", "HTTP", &[nobody()])
        + &service("broken", "HTTP", &[broken.address()])
        + &service("closing", "HTTP", &[closing.address()])
        + "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: none}\nspec:\n  hosts: [none.test]\n  ports: [{number: 80, name: web, protocol: HTTP}]\n";
    let to = |path: &str, host: &str| {
        format!("  - match: [{{uri: {{exact: {path}}}}}]\n    route: [{{destination: {{host: {host}}}}}]\n")
    };
    let rules = to("/dead", "dead.test")
        + &to("/broken", "broken.test")
        + &to("/closing", "closing.test")
        + &to("/none", "none.test");
    let gateway = with(&services, &rules);
    for (path, status, text) in [
        ("/dead", 503, "reset reason: connection failure"),
        ("/broken", 502, "reset reason: protocol error"),
        ("/closing", 503, "reset reason: connection termination"),
        ("/none", 503, "no healthy upstream"),
        ("/other", 404, ""),
    ] {
        let response = gateway.get("h", path);
        assert_eq!(response.status, status, "{path}");
        assert!(response.text().contains(text), "{path}: {}", response.text());
    }
    let log = wait_for("five lines", || Some(gateway.output()).filter(|it| it.lines().count() >= 5));
    for expected in [
        "\"GET /dead HTTP/1.1\" 503 UF ",
        "\"GET /broken HTTP/1.1\" 502 UPE ",
        "\"GET /closing HTTP/1.1\" 503 UC ",
        "\"GET /none HTTP/1.1\" 503 UH no_healthy_upstream ",
        "\"GET /other HTTP/1.1\" 404 NR route_not_found ",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_refused() {
    let upstream = Upstream::saying("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n");
    let gateway = with(&service("a", "HTTP", &[upstream.address()]), ALL);
    assert_eq!(gateway.get("h", "/").status, 502);
}

#[test]
fn a_host_that_nobody_declared_is_looked_up() {
    let upstream = Upstream::echo("a");
    let port = upstream.address().port();
    let gateway = with("", &format!("  - route: [{{destination: {{host: localhost, port: {{number: {port}}}}}}}]\n"));
    wait_for("localhost has an address", || (gateway.get("h", "/").status == 200).then_some(()));
}

#[test]
fn a_unix_socket_can_be_an_endpoint() {
    use std::io::{Read as _, Write as _};
    let folder = crate::harness::Folder::new();
    let path = folder.path().join("up.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        assert!(read > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix").unwrap();
    });
    let entry = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec:\n  hosts: [a.test]\n  resolution: STATIC\n  ports: [{{number: 80, name: web, protocol: HTTP}}]\n  endpoints: [{{address: 'unix://{}'}}]\n",
        path.display()
    );
    let gateway = with(&entry, ALL);
    assert_eq!(gateway.get("h", "/").text(), "unix");
}

#[test]
fn a_websocket_passes_in_both_directions() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
            .unwrap();
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            stream.write_all(format!("echo {line}").as_bytes()).unwrap();
        }
    });
    let gateway = with(&service("a", "HTTP", &[address]), ALL);
    let mut client = Client::connect(gateway.address(80));
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(client.send(upgrade).status, 101);
    for word in ["one", "two"] {
        client.write(format!("{word}\n").as_bytes());
        assert_eq!(client.line().unwrap(), format!("echo {word}\n"));
    }
}
