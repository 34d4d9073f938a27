//! How long the guard waits, on a clock that the test moves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Arrival, GuardedStream};
use crate::listener::connection::{Connection, Fault};
use crate::listener::limits::{BODY_IDLE, WRITE_STALL};
use crate::listener::set::ListenerKey;
use crate::local_reply::Reason;

const IDLE: Duration = Duration::from_secs(600);
const HEAD: Duration = Duration::from_secs(10);
/// Capacity of the pipe in each direction.
const PIPE: usize = 1024;

fn connect() -> (DuplexStream, GuardedStream<DuplexStream>) {
    let (client, server) = duplex(PIPE);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let key = ListenerKey { bind: address.ip(), port: address.port() };
    let (_, closing) = watch::channel(false);
    let connection =
        Connection::new((key, crate::listener::http1::head::Role::Server), address, address, closing, None);
    (client, GuardedStream::new(server, connection, None))
}

/// Reads the message that was judged, as the parser behind the guard does.
async fn take_head(stream: &mut GuardedStream<DuplexStream>, length: usize) {
    let mut head = vec![0; length];
    stream.read_exact(&mut head).await.unwrap();
}

/// Sends a whole request and takes it.
async fn ask(client: &mut DuplexStream, stream: &mut GuardedStream<DuplexStream>) {
    let head = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.write_all(head).await.unwrap();
    assert_eq!(stream.read_head(IDLE, HEAD).await, Arrival::Request);
    take_head(stream, head.len()).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_refused_after_its_timeout() {
    let (mut client, mut stream) = connect();
    let drip = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nHost: a.test\r\n" {
            if client.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let start = Instant::now();
    assert_eq!(stream.read_head(IDLE, HEAD).await, Arrival::Refused(Reason::HeadTimeout));
    assert!(start.elapsed() >= HEAD && start.elapsed() < HEAD * 2, "{:?}", start.elapsed());
    drip.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_without_an_answer() {
    let (_client, mut stream) = connect();
    let start = Instant::now();
    assert_eq!(stream.read_head(IDLE, HEAD).await, Arrival::Gone);
    assert!(start.elapsed() >= IDLE, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_arriving_is_given_up() {
    let (mut client, mut stream) = connect();
    let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\n";
    client.write_all(head).await.unwrap();
    client.write_all(b"half").await.unwrap();
    assert_eq!(stream.read_head(IDLE, HEAD).await, Arrival::Request);
    take_head(&mut stream, head.len() + 4).await;
    let start = Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= BODY_IDLE && start.elapsed() < BODY_IDLE * 2, "{:?}", start.elapsed());
    assert_eq!(stream.connection().fault(), Some(Fault::Idle));
}

/// While a response is written the request side is watched for the client's end. That watch
/// must neither end the connection nor put off the end of a stalled write.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_while_its_end_is_watched() {
    let (mut client, mut stream) = connect();
    ask(&mut client, &mut stream).await;

    let (mut read, mut write) = tokio::io::split(stream);
    let start = Instant::now();
    let writing = async {
        write.write_all(&[b'x'; PIPE * 4]).await?;
        write.flush().await
    };
    let watching = async {
        loop {
            // Polled again and again, as a proxy does between the chunks of a response.
            let wait = tokio::time::timeout(Duration::from_secs(1), read.read_u8());
            assert!(wait.await.is_err(), "a finished request has no more bytes and no deadline");
        }
    };
    let error = tokio::select! {
        result = writing => result.unwrap_err(),
        () = watching => unreachable!("watches for ever"),
        () = tokio::time::sleep(WRITE_STALL * 3) => panic!("the stalled write is never given up"),
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= WRITE_STALL && start.elapsed() < WRITE_STALL * 2, "{:?}", start.elapsed());
    assert_eq!(read.unsplit(write).connection().fault(), Some(Fault::Stalled));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_little_now_and_then_is_served() {
    let (mut client, mut stream) = connect();
    ask(&mut client, &mut stream).await;
    let taking = async {
        let mut taken = 0;
        while taken < PIPE * 4 {
            tokio::time::sleep(WRITE_STALL / 2).await;
            taken += client.read(&mut [0; PIPE]).await.unwrap();
        }
    };
    let writing = async {
        stream.write_all(&[b'x'; PIPE * 4]).await.unwrap();
        stream.flush().await.unwrap();
    };
    tokio::join!(taking, writing);
    assert_eq!(stream.connection().fault(), None);
}
