//! gRPC through the gateway with tonic on both ends, and gRPC-Web to gRPC.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::runtime::Runtime;
use tonic::Code;

use crate::harness::grpc::{METHOD, call, channel, server, server_counting};
use crate::harness::{Client, Gateway, gateway, routes, service, settings, wait_for};

fn scene(rules: &str) -> (Runtime, Gateway) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let upstream = runtime.block_on(server());
    let config = settings("") + &gateway(&[80]) + &service("a", "GRPC", &[upstream]) + &routes("h", rules);
    (runtime, Gateway::start(&config))
}

const ALL: &str = "  - route: [{destination: {host: a.test}}]\n";

#[test]
fn calls_of_every_kind_pass_with_their_status() {
    let (runtime, gateway) = scene(ALL);
    runtime.block_on(async {
        let mut channel = channel(gateway.address(80)).await;
        for (messages, answers, code) in [
            (&["one"][..], &["one"][..], Code::Ok),
            (&["one", "two", "three"], &["one", "two", "three"], Code::Ok),
            (&["one", "fail"], &["one"], Code::NotFound),
            (&["refuse"], &[], Code::PermissionDenied),
            (&[], &[], Code::Ok),
        ] {
            let (got, status) = call(&mut channel, messages, None).await;
            assert_eq!(
                (got.as_slice(), status),
                (&answers.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..], code)
            );
        }
    });
    let metrics = wait_for("the calls are counted", || {
        let text = gateway.ask_admin("GET", "/metrics").text();
        (text.matches("istio_requests_total{").count() >= 3).then_some(text)
    });
    for status in ["0", "5", "7"] {
        let label = format!("grpc_response_status=\"{status}\"");
        assert!(metrics.lines().any(|it| it.starts_with("istio_requests_total") && it.contains(&label)), "{status}");
    }
}

#[test]
fn a_call_ends_when_its_client_waits_no_longer() {
    let (runtime, gateway) = scene(ALL);
    runtime.block_on(async {
        let mut channel = channel(gateway.address(80)).await;
        let begun = std::time::Instant::now();
        let (_, code) = call(&mut channel, &["stall"], Some(Duration::from_millis(200))).await;
        // The answer had begun, so the call is reset; before that it would be DEADLINE_EXCEEDED.
        assert_ne!(code, Code::Ok);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_call_that_its_client_cancels_is_cancelled_at_the_server() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let cancelled = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let upstream = runtime.block_on(server_counting(Arc::clone(&cancelled)));
    let config = settings("") + &gateway(&[80]) + &service("a", "GRPC", &[upstream]) + &routes("h", ALL);
    let gateway = Gateway::start(&config);
    runtime.block_on(async {
        let mut channel = channel(gateway.address(80)).await;
        channel.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(METHOD);
        let request = tonic::Request::new(tokio_stream::iter([bytes::Bytes::from_static(b"wait")]));
        let mut answers = channel.streaming(request, path, crate::harness::grpc::Raw).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        assert_eq!(cancelled.load(Ordering::SeqCst), 0);
        // Dropped, it resets its stream; the connection stays.
        drop(answers);
        tokio::task::spawn_blocking(move || {
            wait_for("the server hears of it", || (cancelled.load(Ordering::SeqCst) == 1).then_some(()));
        })
        .await
        .unwrap();
        let (got, code) = call(&mut channel, &["next"], None).await;
        assert_eq!((got, code), (vec!["next".to_owned()], Code::Ok));
    });
    wait_for("its line", || gateway.output().contains(" DC downstream_remote_disconnect ").then_some(()));
}

#[test]
fn a_stream_goes_both_ways_at_once() {
    use bytes::Bytes;
    use tokio_stream::wrappers::ReceiverStream;
    let (runtime, gateway) = scene(ALL);
    runtime.block_on(async {
        let mut channel = channel(gateway.address(80)).await;
        channel.ready().await.unwrap();
        let (send, asked) = tokio::sync::mpsc::channel(1);
        let path = http::uri::PathAndQuery::from_static(METHOD);
        send.send(Bytes::from_static(b"first")).await.unwrap();
        let request = tonic::Request::new(ReceiverStream::new(asked));
        let mut answers = channel.streaming(request, path, crate::harness::grpc::Raw).await.unwrap().into_inner();
        for word in ["second", "third", ""] {
            let answer = answers.message().await.unwrap().unwrap();
            assert!(!answer.is_empty());
            if !word.is_empty() {
                send.send(Bytes::from_static(word.as_bytes())).await.unwrap();
            }
        }
        drop(send);
        assert_eq!(answers.message().await.unwrap(), None);
    });
}

/// A gRPC-Web call over HTTP/1.1.
fn web_call(gateway: &Gateway, content_type: &str, body: &[u8]) -> (Option<String>, Vec<u8>) {
    let mut client = Client::connect(gateway.address(80));
    let head = format!(
        "POST {METHOD} HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write(&[head.as_bytes(), body].concat());
    let answer = client.response().unwrap();
    assert_eq!(answer.status, 200);
    (answer.header("content-type").map(str::to_owned), answer.body)
}

/// The messages and the trailers of a gRPC-Web body.
fn frames(mut body: &[u8]) -> (Vec<String>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while let [flags, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let text = String::from_utf8_lossy(&rest[..length]).into_owned();
        if flags & 0x80 == 0 {
            messages.push(text)
        } else {
            trailers = text
        }
        body = &rest[length..];
    }
    (messages, trailers)
}

#[test]
fn browsers_call_grpc_in_binary_and_in_text() {
    let (_runtime, gateway) = scene(ALL);
    let message = |text: &str| [&[0, 0, 0, 0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    for (text, expected, status) in [("hello", &["hello"][..], "grpc-status:0"), ("fail", &[], "grpc-status:5")] {
        let (kind, body) = web_call(&gateway, "application/grpc-web+proto", &message(text));
        assert!(kind.is_some_and(|it| it.starts_with("application/grpc-web")));
        let (messages, trailers) = frames(&body);
        assert_eq!(messages, expected);
        assert!(trailers.contains(status), "{trailers}");

        let (kind, body) = web_call(&gateway, "application/grpc-web-text", STANDARD.encode(message(text)).as_bytes());
        assert!(kind.is_some_and(|it| it.starts_with("application/grpc-web-text")));
        let whole: Vec<u8> = body.chunks(4).flat_map(|it| STANDARD.decode(it).unwrap()).collect();
        let (messages, trailers) = frames(&whole);
        assert_eq!(messages, expected);
        assert!(trailers.contains(status), "{trailers}");
    }
}
