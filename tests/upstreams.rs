//! Upstreams that fail, go away, or are found by DNS.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::harness::dns::{Answer, NameServer};
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
    // The retry avoids the endpoint that was tried.
    assert!((0..40).all(|_| gateway.get("h", "/").status == 200));
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
        "\"GET /dead HTTP/1.1\" 503 UF,URX ",
        "\"GET /broken HTTP/1.1\" 502 UPE ",
        "\"GET /closing HTTP/1.1\" 503 UC,URX ",
        "\"GET /none HTTP/1.1\" 503 UH no_healthy_upstream ",
        "\"GET /other HTTP/1.1\" 404 NR route_not_found ",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
}

#[test]
fn a_route_has_no_more_time_than_it_says() {
    // Accepts and says nothing: the connection is made by the kernel.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rules = "  - timeout: 200ms\n    route: [{destination: {host: a.test}}]\n";
    let gateway = with(&service("a", "HTTP", &[silent.local_addr().unwrap()]), rules);
    let begun = std::time::Instant::now();
    let response = gateway.get("h", "/");
    assert_eq!((response.status, response.text().as_str()), (504, "upstream request timeout"));
    assert!(begun.elapsed() >= std::time::Duration::from_millis(200));
    wait_for("its flag", || gateway.output().contains("\" 504 UT response_timeout ").then_some(()));
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
fn names_are_followed_and_the_last_good_answer_is_kept() {
    let [first, second] = [Upstream::echo("first"), Upstream::echo("second")];
    let names = NameServer::start();
    let loopback = vec![Ipv4Addr::LOCALHOST];
    let entry = |name: &str, upstream: &Upstream| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{name}.test]\n  resolution: DNS\n  ports: [{{number: 80, name: web, protocol: HTTP, targetPort: {}}}]\n",
            upstream.address().port()
        )
    };
    names.set("first.test", Answer::Addresses(loopback.clone(), 1));
    let rules = "  - match: [{uri: {prefix: /second}}]\n    route: [{destination: {host: second.test}}]\n  - route: [{destination: {host: first.test}}]\n";
    let config = settings(&format!("  dns: {{servers: [\"{}\"]}}", names.address()))
        + &gateway(&[80])
        + &entry("first", &first)
        + &entry("second", &second)
        + &routes("h", rules);
    let gateway = Gateway::start(&config);
    assert_eq!(gateway.get("h", "/").upstream(), "first");
    assert_eq!(gateway.get("h", "/second").text(), "no healthy upstream");

    // Its address appears: the failed query is repeated.
    names.set("second.test", Answer::Addresses(loopback, 60));
    wait_for("the second name is found", || (gateway.get("h", "/second").status == 200).then_some(()));

    // The server fails, then denies the name: the last good address stays.
    for failure in [Answer::Failure, Answer::NoSuchName] {
        names.set("first.test", failure);
        for _ in 0..30 {
            assert_eq!(gateway.get("h", "/").upstream(), "first");
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
    }

    // It moves to an address where nobody listens.
    names.set("first.test", Answer::Addresses(vec![Ipv4Addr::new(127, 0, 0, 99)], 60));
    wait_for("the new address is used", || (gateway.get("h", "/").status == 503).then_some(()));
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

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Switches protocols, then echoes lines; an eager one does not wait for the request.
fn websocket_server(eager: bool) -> SocketAddr {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                let mut line = String::new();
                while !eager && reader.read_line(&mut line).is_ok_and(|it| it > 2) {
                    line.clear();
                }
                let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
                stream.write_all(head.as_bytes()).ok();
                while eager && reader.read_line(&mut line).is_ok_and(|it| it > 2) {
                    line.clear();
                }
                loop {
                    line.clear();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    stream.write_all(format!("echo {line}").as_bytes()).ok();
                }
            });
        }
    });
    address
}

#[test]
fn a_websocket_passes_in_both_directions() {
    let gateway = with(&service("a", "HTTP", &[websocket_server(false)]), ALL);
    let mut client = Client::connect(gateway.address(80));
    assert_eq!(client.send(UPGRADE).status, 101);
    for word in ["one", "two"] {
        client.write(format!("{word}\n").as_bytes());
        assert_eq!(client.line().unwrap(), format!("echo {word}\n"));
    }
}

/// An answer that came before the empty body of its request was sent on used to end the tunnel.
#[test]
fn no_websocket_is_lost_however_fast_the_upstream_answers() {
    let rounds = 20_000;
    let gateway = with(&service("a", "HTTP", &[websocket_server(true)]), ALL);
    let address = gateway.address(80);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let works = |_: &usize| {
                    let mut client = Client::connect(address);
                    let switched = client.send(UPGRADE).status == 101;
                    client.write(b"word\n");
                    switched && client.line().is_ok_and(|it| it == "echo word\n")
                };
                (0..rounds / 8).filter(|it| !works(it)).count()
            })
        })
        .collect();
    let lost: usize = threads.into_iter().map(|it| it.join().unwrap()).sum();
    assert_eq!(lost, 0, "of {rounds}");
}

/// Reads a head up to its empty line.
fn skip_head(reader: &mut impl std::io::BufRead) {
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
}

#[test]
fn events_reach_the_client_while_the_upstream_still_speaks() {
    use std::io::{BufReader, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        skip_head(&mut reader);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for event in ["one", "two"] {
            stream.write_all(format!("b\r\ndata: {event}\n\n\r\n").as_bytes()).unwrap();
            waits.recv().unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let gateway = with(&service("a", "HTTP", &[address]), ALL);
    let mut client = Client::connect(gateway.address(80));
    client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut event = |expected: &str| while client.line().unwrap() != format!("data: {expected}\n") {};
    event("one");
    go_on.send(()).unwrap();
    event("two");
    go_on.send(()).unwrap();
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    use std::io::{BufReader, Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        skip_head(&mut reader);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let mut body = [0; 4];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").unwrap();
        stream.write_all(&body).unwrap();
    });
    let gateway = with(&service("a", "HTTP", &[address]), ALL);
    let mut client = Client::connect(gateway.address(80));
    let head = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(client.send(head).status, 100);
    assert_eq!(client.send("body").text(), "body");
}
