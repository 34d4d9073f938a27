//! Asks at a steady pace whatever the answers do, and writes down how long each took.
//!
//! Meanwhile it has the gateway reload once a second, after making LINK lead to A and B in turns.
//!
//! `steady ADDRESS HOST CONNECTIONS PER_SECOND SECONDS FILE ADMIN LINK A B`: each line of FILE is `request` or `reload`,
//! when it was sent, and how long its answer took, both in microseconds. `tests/bench/reload.py` reads them.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// One request, and one answer read to the end of its body.
fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let mut filled = 0;
    loop {
        let got = stream.read(buffer.get_mut(filled..).unwrap_or_default())?;
        if got == 0 {
            return Err(io::Error::other("the answer ended early, or is too long"));
        }
        filled += got;
        let answer = buffer.get(..filled).unwrap_or_default();
        if answer.ends_with(b"hello, bench\n") {
            return if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other("no 200")) };
        }
    }
}

type Noted = Vec<(SystemTime, Duration)>;

/// One connection: what it sent when, and what that took.
fn connection(address: SocketAddr, request: &[u8], times: impl Iterator<Item = Instant>) -> io::Result<Noted> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = [0_u8; 4096];
    let mut noted = Vec::new();
    for due in times {
        #[expect(clippy::disallowed_methods, reason = "the pace is what this program is for")]
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (sent, begun) = (SystemTime::now(), Instant::now());
        exchange(&mut stream, request, &mut buffer)?;
        noted.push((sent, begun.elapsed()));
    }
    Ok(noted)
}

/// Reloads once a second, each time with the other of two files.
fn reloads(admin: &str, link: &Path, files: [&str; 2], times: impl Iterator<Item = Instant>) -> io::Result<Noted> {
    // Two files that are one stand for no reload at all.
    let asks = if files[0] == files[1] { "GET /version" } else { "POST /reload" };
    let request = format!("{asks} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let beside = link.with_extension("next");
    let mut noted = Vec::new();
    for (due, file) in times.zip(files.iter().cycle()) {
        symlink(file, &beside)?;
        std::fs::rename(&beside, link)?;
        let mut stream = TcpStream::connect(admin)?;
        #[expect(clippy::disallowed_methods, reason = "the pace is what this program is for")]
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (sent, begun) = (SystemTime::now(), Instant::now());
        stream.write_all(request.as_bytes())?;
        let mut first = [0_u8; 12];
        stream.read_exact(&mut first)?;
        noted.push((sent, begun.elapsed()));
        if first != *b"HTTP/1.1 200" {
            return Err(io::Error::other("the reload failed"));
        }
    }
    Ok(noted)
}

fn main() -> io::Result<()> {
    let usage = || io::Error::other("usage: steady ADDRESS HOST CONNECTIONS PER_SECOND SECONDS FILE ADMIN LINK A B");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, host, connections, pace, seconds, file, admin, link, a, b] = &arguments[..] else {
        return Err(usage());
    };
    let number = |it: &str| it.parse::<u32>().map_err(|_| usage());
    let address: SocketAddr = address.parse().map_err(|_| usage())?;
    let (connections, pace, seconds) = (number(connections)?, number(pace)?, number(seconds)?);
    let request = format!("GET /r5000/item HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let begin = Instant::now() + Duration::from_millis(200);
    let gap = Duration::from_secs(1) / pace;
    let threads: Vec<_> = (0..connections)
        .map(|index| {
            let request = request.clone();
            let turns = (index..pace * seconds).step_by(connections as usize);
            thread::spawn(move || connection(address, &request, turns.map(|it| begin + gap * it)))
        })
        .collect();
    // In the middle of each second but the first and the last.
    let times = (1..seconds.saturating_sub(1)).map(|it| begin + Duration::from_millis(u64::from(it) * 1000 + 300));
    let reloads = reloads(admin, Path::new(link), [a, b], times)?;
    let mut out = BufWriter::new(File::create(file)?);
    let mut write = |kind: &str, noted: Noted| {
        noted.into_iter().try_for_each(|(sent, took)| {
            let since = sent.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            writeln!(out, "{kind} {} {}", since.as_micros(), took.as_micros())
        })
    };
    write("reload", reloads)?;
    for it in threads {
        write("request", it.join().map_err(|_| io::Error::other("a connection ended early"))??)?;
    }
    out.flush()
}
