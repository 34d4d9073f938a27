//! TCP listeners: routes, half-close, idle connections, tunnels, metrics and the log.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::harness::{Gateway, PATIENCE, service, settings, wait_for};

const GATEWAY: &str = "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec:\n  servers:\n  - port: {number: 8081, name: tcp, protocol: TCP}\n    hosts: [\"*\"]\n";

fn start(services: &str, rules: &str) -> Gateway {
    let routes = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: tcp}}\nspec:\n  hosts: [\"*.test\"]\n  gateways: [edge]\n  tcp:\n{rules}"
    );
    Gateway::start(&(settings("") + GATEWAY + services + &routes))
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address(8081)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Serves each connection with this function, in a thread of its own.
fn server(serve: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads to the end, then answers: works only when each side may end on its own.
fn counting() -> SocketAddr {
    server(|mut stream| {
        let mut bytes = Vec::new();
        if stream.read_to_end(&mut bytes).is_ok() {
            stream.write_all(format!("{} bytes", bytes.len()).as_bytes()).ok();
        }
    })
}

/// Sends back what it gets.
fn echoing() -> SocketAddr {
    server(|mut stream| {
        let mut bytes = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..read]).unwrap();
        }
    })
}

const ALL: &str = "  - route: [{destination: {host: a.test, port: {number: 80}}}]\n";

#[test]
fn each_side_may_end_on_its_own_and_all_is_counted() {
    let gateway = start(&service("a", "TCP", &[counting()]), ALL);
    let mut client = connect(&gateway);
    client.write_all(&vec![b'x'; 200_000]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "200000 bytes");
    let log = wait_for("its line", || Some(gateway.output()).filter(|it| it.contains("outbound|80||a.test")));
    assert!(log.contains("\"- - -\" 0 - - - \"-\" 200000 12 "), "{log}");
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    for (name, value) in [
        ("istio_tcp_connections_opened_total", "1"),
        ("istio_tcp_connections_closed_total", "1"),
        ("istio_tcp_received_bytes_total", "200000"),
        ("istio_tcp_sent_bytes_total", "12"),
    ] {
        let line = metrics.lines().find(|it| it.starts_with(&format!("{name}{{"))).unwrap_or_default();
        assert!(line.ends_with(&format!(" {value}")) && line.contains("request_protocol=\"tcp\""), "{name}: {line}");
    }
}

#[test]
fn connections_are_split_by_weight() {
    let [a, b] = [
        server(|mut it| it.write_all(b"a").unwrap_or_default()),
        server(|mut it| it.write_all(b"b").unwrap_or_default()),
    ];
    let services = service("a", "TCP", &[a]) + &service("b", "TCP", &[b]);
    let rules = "  - match: [{port: 9}]\n    route: [{destination: {host: nobody.test}}]\n  - match: [{port: 8081}]\n    route:\n    - {destination: {host: a.test, port: {number: 80}}, weight: 80}\n    - {destination: {host: b.test, port: {number: 80}}, weight: 20}\n";
    let gateway = start(&services, rules);
    let first = (0..200).filter(|_| {
        let mut byte = [0];
        connect(&gateway).read_exact(&mut byte).unwrap();
        byte == *b"a"
    });
    let first = first.count();
    assert!((130..190).contains(&first), "{first} of 200");
}

#[test]
fn a_connection_without_a_destination_is_closed() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (services, rules, flag) in [
        (service("a", "TCP", &[dead]), ALL, " 0 UF "),
        (
            service("a", "TCP", &[counting()]),
            "  - match: [{port: 9}]\n    route: [{destination: {host: a.test}}]\n",
            " 0 NR ",
        ),
    ] {
        let gateway = start(&services, rules);
        let mut rest = Vec::new();
        // Closed or reset, both are the end.
        connect(&gateway).read_to_end(&mut rest).ok();
        assert!(rest.is_empty());
        wait_for("its flag", || gateway.output().contains(flag).then_some(()));
    }
}

#[test]
fn a_silent_connection_ends_after_its_time() {
    let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: a.test\n  trafficPolicy: {connectionPool: {tcp: {idleTimeout: 200ms}}}\n";
    let gateway = start(&(service("a", "TCP", &[counting()]) + rule), ALL);
    let mut client = connect(&gateway);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).ok();
    assert!(rest.is_empty());
    wait_for("its flag", || gateway.output().contains(" 0 SI ").then_some(()));
}

#[test]
fn connections_beyond_the_bound_are_closed_and_leave_the_others_alone() {
    let echo = echoing();
    let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: a.test\n  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}\n";
    let gateway = start(&(service("a", "TCP", &[echo]) + rule), ALL);
    let ask = |client: &mut TcpStream| {
        client.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).map(|()| answer)
    };
    let mut first = connect(&gateway);
    assert_eq!(ask(&mut first).unwrap(), *b"ping");
    for _ in 0..3 {
        let mut rest = Vec::new();
        connect(&gateway).read_to_end(&mut rest).ok();
        assert!(rest.is_empty());
        assert_eq!(ask(&mut first).unwrap(), *b"ping", "the first is in use");
    }
    wait_for("its flag", || gateway.output().contains(" 0 UO ").then_some(()));
    drop(first);
    wait_for("the place is free again", || ask(&mut connect(&gateway)).ok());
}

#[test]
fn a_tunnel_asks_the_proxy_to_carry_on() {
    let proxy = server(|stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|it| it > 0) {}
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        stream.write_all(format!("{}{line}", head.lines().next().unwrap_or_default()).as_bytes()).unwrap();
    });
    let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: a.test\n  trafficPolicy: {tunnel: {protocol: CONNECT, targetHost: db.example.com, targetPort: 5432}}\n";
    let gateway = start(&(service("a", "TCP", &[proxy]) + rule), ALL);
    let mut client = connect(&gateway);
    client.write_all(b" hello\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "CONNECT db.example.com:5432 HTTP/1.1 hello\n");
}

#[test]
fn a_reload_leaves_connections_alone_and_new_ones_take_the_new_route() {
    let echo = echoing();
    let config = |host: &str, upstream| {
        settings("")
            + GATEWAY
            + &service(host, "TCP", &[upstream])
            + &format!(
                "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: tcp}}\nspec:\n  hosts: [\"*.test\"]\n  gateways: [edge]\n  tcp:\n  - route: [{{destination: {{host: {host}.test, port: {{number: 80}}}}}}]\n"
            )
    };
    let gateway = Gateway::start(&config("a", echo));
    let mut old = connect(&gateway);
    let ask = |client: &mut TcpStream| {
        client.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        answer
    };
    assert_eq!(ask(&mut old), *b"ping");
    let greeter = server(|mut it| it.write_all(b"pong").unwrap_or_default());
    assert_eq!(gateway.reload(&config("b", greeter))["success"], true);
    assert_eq!(ask(&mut old), *b"ping", "the connection stays on its route");
    let mut answer = [0; 4];
    connect(&gateway).read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"pong");
}
