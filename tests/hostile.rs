//! Heads, bodies and connections that a polite client does not send.

use std::time::{Duration, Instant};

use crate::harness::{Client, Gateway, Upstream, gateway, routes, service, settings};

fn scene(limits: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::echo("a");
    let config = settings(limits)
        + &gateway(&[80])
        + &service("a", "HTTP", &[upstream.address()])
        + &routes(
            "h",
            "  - match: [{uri: {exact: /denied}}]\n    directResponse: {status: 403}\n  - route: [{destination: {host: a.test}}]\n",
        );
    (Gateway::start(&config), upstream)
}

#[test]
fn ambiguous_heads_are_refused_and_reach_nobody() {
    let (gateway, upstream) = scene("");
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h,g\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
        "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\nx",
        "GET http://g/ HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let mut client = Client::connect(gateway.address(80));
        let response = client.send(head);
        assert_eq!((response.status, response.header("server")), (400, Some("sluice")), "{head:?}");
        assert!(client.is_closed(), "{head:?}");
    }
    assert_eq!(Client::connect(gateway.address(80)).send("GET / HTTP/1.0\r\nHost: h\r\n\r\n").status, 426);
    assert_eq!(Client::connect(gateway.address(80)).send("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n").status, 405);
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn a_head_is_bounded_in_size_count_and_time() {
    let (gateway, _upstream) = scene("  limits: {headTimeout: 300ms, idleTimeout: 300ms}");
    let big = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(61 * 1024));
    assert_eq!(Client::connect(gateway.address(80)).send(&big).status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(Client::connect(gateway.address(80)).send(&many).status, 431);

    let mut slow = Client::connect(gateway.address(80));
    let begun = Instant::now();
    slow.write(b"GET / HTTP/1.1\r\nHost: h\r\n");
    assert_eq!(slow.response().unwrap().status, 408);
    assert!(begun.elapsed() >= Duration::from_millis(300));

    let mut silent = Client::connect(gateway.address(80));
    assert!(silent.is_closed(), "a connection without a request is closed");
    let mut idle = Client::connect(gateway.address(80));
    assert_eq!(idle.get("h", "/").status, 200);
    assert!(idle.is_closed(), "an idle connection is closed");
}

#[test]
fn loose_chunks_end_the_request() {
    let (gateway, _upstream) = scene("");
    for body in
        ["0x5\r\nhello\r\n0\r\n\r\n", "5;\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n"]
    {
        let mut client = Client::connect(gateway.address(80));
        client.write(format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes());
        let status = client.response().map(|it| it.status);
        assert_eq!(status.unwrap(), 400, "{body:?}");
    }
}

#[test]
fn what_follows_a_body_is_the_next_request_and_nothing_else() {
    let (gateway, upstream) = scene("");
    let mut client = Client::connect(gateway.address(80));
    client.write(
        b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloPOST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /denied HTTP/1.1\r\nHost: h\r\n\r\nJUNK\r\n\r\n",
    );
    let first = client.response().unwrap();
    assert_eq!((first.request_line().as_str(), first.echoed("body").as_deref()), ("POST /1 HTTP/1.1", Some("hello")));
    let second = client.response().unwrap();
    assert_eq!((second.request_line().as_str(), second.echoed("body").as_deref()), ("POST /2 HTTP/1.1", Some("abc")));
    assert_eq!(client.response().unwrap().status, 403);
    assert_eq!(client.response().unwrap().status, 400);
    assert!(client.is_closed());
    assert_eq!(upstream.requests(), 2);
}

#[test]
fn one_client_cannot_take_all_connections() {
    let (gateway, _upstream) = scene("  limits: {maxConnectionsPerClient: 3}");
    let mut kept: Vec<Client> = (0..3).map(|_| Client::connect(gateway.address(80))).collect();
    for client in &mut kept {
        assert_eq!(client.get("h", "/").status, 200);
    }
    assert!(Client::connect(gateway.address(80)).is_closed());
    drop(kept);
    crate::harness::wait_for("places are given back", || {
        let mut client = Client::connect(gateway.address(80));
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.response().ok().filter(|it| it.status == 200)
    });
}

#[test]
fn a_reply_of_our_own_keeps_the_connection_only_for_small_bodies() {
    let (gateway, _upstream) = scene("");
    let mut client = Client::connect(gateway.address(80));
    assert_eq!(client.send("POST /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").status, 403);
    assert_eq!(client.get("h", "/").status, 200);
    let large = client.send("POST /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
    assert_eq!((large.status, large.header("connection")), (403, Some("close")));
}
