//! Opens tunnels through a forward proxy and closes them again, as fast as they come: the load of `tests/bench/egress.py`.
//!
//! `tunnels PROXY_PORT ORIGIN_PORT COUNT AT_ONCE`; ends with an error when a tunnel is refused. One thread, so that
//! what waits is the proxy, and not a crowd of threads for each other.

use std::cell::Cell;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// One tunnel, from its connection to its end.
async fn tunnel(proxy: u16, head: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy)).await?;
    stream.write_all(head).await?;
    let mut answer = [0_u8; 4096];
    let got = stream.read(&mut answer).await?;
    let answer = answer.get(..got).unwrap_or_default();
    let status = answer.split(|it| *it == b' ').nth(1);
    if status == Some(b"200".as_slice()) { Ok(()) } else { Err(io::Error::other("no tunnel")) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let usage = || io::Error::other("usage: tunnels PROXY_PORT ORIGIN_PORT COUNT AT_ONCE");
    let [proxy, origin, count, at_once] = numbers[..] else { return Err(usage()) };
    let proxy = u16::try_from(proxy).map_err(|_| usage())?;
    let head: Rc<[u8]> =
        format!("CONNECT 127.0.0.1:{origin} HTTP/1.1\r\nHost: 127.0.0.1:{origin}\r\n\r\n").into_bytes().into();
    let left = Rc::new(Cell::new(count));
    let local = LocalSet::new();
    let clients = (0..at_once).map(|_| {
        let (head, left) = (Rc::clone(&head), Rc::clone(&left));
        local.spawn_local(async move {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                tunnel(proxy, &head).await?;
            }
            io::Result::Ok(())
        })
    });
    let clients: Vec<_> = clients.collect();
    local
        .run_until(async {
            for it in clients {
                it.await.map_err(|_| io::Error::other("a client ended early"))??;
            }
            Ok(())
        })
        .await
}
