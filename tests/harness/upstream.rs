//! Upstreams: one that echoes what it got, and one that says what it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A server in threads of this process; it stops accepting when dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// A whole response.
pub(crate) fn response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Any\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

impl Upstream {
    /// Answers 200 with its name, the request line, the headers and the body.
    pub(crate) fn echo(name: &'static str) -> Self {
        Self::start(move |stream, requests| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            while let Some(request) = read_request(&mut reader) {
                requests.fetch_add(1, Ordering::SeqCst);
                let body = format!("{name}\n{request}");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers each request as the function says, which gets its number from 1 and its text.
    pub(crate) fn answering(answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> Self {
        Self::start(move |stream, requests| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            while let Some(request) = read_request(&mut reader) {
                let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
                let answer = answer(number, &request);
                if stream.write_all(answer.as_bytes()).is_err() || answer.is_empty() {
                    return;
                }
            }
        })
    }

    /// Answers every request with this status and its name.
    pub(crate) fn status(name: &'static str, status: u16) -> Self {
        Self::answering(move |_, _| response(status, name))
    }

    /// Reads one head and answers with these bytes, then closes.
    pub(crate) fn saying(answer: &'static str) -> Self {
        Self::start(move |stream, requests| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            if read_request(&mut reader).is_some() {
                requests.fetch_add(1, Ordering::SeqCst);
                stream.write_all(answer.as_bytes()).ok();
            }
        })
    }

    /// Answers every request in two parts with a pause between them.
    pub(crate) fn pausing(parts: [&'static str; 2], pause: Duration) -> Self {
        Self::start(move |mut stream, requests| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while read_request(&mut reader).is_some() {
                requests.fetch_add(1, Ordering::SeqCst);
                let [first, second] = parts.map(str::as_bytes);
                if stream.write_all(first).is_err() {
                    return;
                }
                thread::park_timeout(pause);
                if stream.write_all(second).is_err() {
                    return;
                }
            }
        })
    }

    fn start(serve: impl Fn(TcpStream, &AtomicUsize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (stop, count, served, serve) =
            (Arc::clone(&stopped), Arc::clone(&connections), Arc::clone(&requests), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                stream.set_nodelay(true).ok();
                count.fetch_add(1, Ordering::SeqCst);
                let (serve, served) = (Arc::clone(&serve), Arc::clone(&served));
                thread::spawn(move || serve(stream, &served));
            }
        });
        Self { address, stopped, connections, requests }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop so that it sees the flag.
        TcpStream::connect(self.address).ok();
    }
}

/// The request line, the headers in lower case and the body, a line each.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut out = String::new();
    let mut length = 0;
    let mut chunked = false;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            let name = name.to_ascii_lowercase();
            if name == "content-length" {
                length = value.parse().ok()?;
            }
            chunked |= name == "transfer-encoding";
            out.push_str(&format!("{name}: {value}\n"));
        } else {
            out.push_str(&format!("{line}\n"));
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut data = vec![0; size + 2];
        reader.read_exact(&mut data).ok()?;
        chunked = size > 0;
        body.extend_from_slice(&data[..size]);
    }
    out.push_str(&format!("body: {}\n", String::from_utf8_lossy(&body)));
    Some(out)
}
