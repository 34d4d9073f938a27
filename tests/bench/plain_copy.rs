//! The least that a tunnel can be: what `tests/bench/egress.py` compares the forward proxy with.
//!
//! Reads a head and looks at nothing in it, connects to one address, and copies with tokio. One worker.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

async fn tunnel(mut client: TcpStream, origin: SocketAddr) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let mut upstream = TcpStream::connect(origin).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let ports: Vec<u16> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let [own, origin] = ports[..] else { return Err(std::io::Error::other("usage: plain_copy PORT ORIGIN_PORT")) };
    let listener = TcpListener::bind(("127.0.0.1", own)).await?;
    loop {
        let (client, _) = listener.accept().await?;
        // A client that goes away in the middle is no concern of a benchmark.
        tokio::spawn(async move { tunnel(client, SocketAddr::from(([127, 0, 0, 1], origin))).await.ok() });
    }
}
