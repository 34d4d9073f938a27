//! Opens tunnels through a forward proxy and closes them again, as fast as they come: the load of `tests/bench/egress.py`.
//!
//! `tunnels PROXY_PORT ORIGIN_PORT COUNT AT_ONCE`; ends with an error when a tunnel is refused.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// One tunnel, from its connection to its end.
fn tunnel(proxy: u16, head: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy))?;
    stream.write_all(head)?;
    let mut answer = [0_u8; 4096];
    let got = stream.read(&mut answer)?;
    let answer = answer.get(..got).unwrap_or_default();
    let status = answer.split(|it| *it == b' ').nth(1);
    if status == Some(b"200".as_slice()) { Ok(()) } else { Err(io::Error::other("no tunnel")) }
}

fn main() -> io::Result<()> {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let usage = || io::Error::other("usage: tunnels PROXY_PORT ORIGIN_PORT COUNT AT_ONCE");
    let [proxy, origin, count, at_once] = numbers[..] else { return Err(usage()) };
    let proxy = u16::try_from(proxy).map_err(|_| usage())?;
    let head = format!("CONNECT 127.0.0.1:{origin} HTTP/1.1\r\nHost: 127.0.0.1:{origin}\r\n\r\n").into_bytes();
    let opened = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..at_once)
        .map(|_| {
            let (head, opened) = (head.clone(), Arc::clone(&opened));
            thread::spawn(move || {
                while opened.fetch_add(1, Ordering::Relaxed) < count {
                    tunnel(proxy, &head)?;
                }
                Ok(())
            })
        })
        .collect();
    threads.into_iter().try_for_each(|it| it.join().map_err(|_| io::Error::other("a client ended early"))?)
}
