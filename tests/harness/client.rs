//! A raw HTTP/1.1 client that sends what it is told, and reads one response at a time.

use std::io;
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// One connection.
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

/// One response.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// First value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.as_str())
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A line of the echo that begins so, without the beginning.
    pub(crate) fn echoed(&self, name: &str) -> Option<String> {
        let prefix = format!("{}: ", name.to_ascii_lowercase());
        self.text().lines().find_map(|it| it.strip_prefix(&prefix).map(str::to_owned))
    }

    /// The request line that the upstream got.
    pub(crate) fn request_line(&self) -> String {
        self.text().lines().nth(1).unwrap_or_default().to_owned()
    }

    /// The upstream that answered.
    pub(crate) fn upstream(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: io::Read + io::Write> Client<S> {
    /// A client on a stream that is there.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends these bytes and reads until the other side closes.
    pub(crate) fn send_raw(&mut self, bytes: &str) -> Vec<u8> {
        self.write(bytes.as_bytes());
        while self.fill().is_ok() {}
        std::mem::take(&mut self.unread)
    }

    /// Asks for a path of a host.
    #[track_caller]
    pub(crate) fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Sends these bytes and reads the response.
    #[track_caller]
    pub(crate) fn send(&mut self, request: &str) -> Response {
        self.write(request.as_bytes());
        self.response().expect("a response")
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // A gateway that refuses may close before it has read everything.
        self.stream.write_all(bytes).ok();
    }

    /// The next response, or why there is none.
    pub(crate) fn response(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        self.unread.drain(..end);
        let mut lines = head.lines();
        let status = lines.next().and_then(|it| it.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
        let headers: Vec<(String, String)> = lines
            .filter_map(|it| it.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut response = Response { status, headers, body: Vec::new() };
        if response.header("transfer-encoding").is_some() {
            response.body = self.chunks()?;
        } else {
            let length = response.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
            response.body = self.take(length)?;
        }
        Ok(response)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = self.unread.windows(2).position(|it| it == b"\r\n") {
                    break self.take(at + 2)?;
                }
                self.fill()?;
            };
            let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
            let data = self.take(size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&data[..size]);
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut space = [0; 16 * 1024];
        match self.stream.read(&mut space)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.unread.extend_from_slice(&space[..read]);
                Ok(())
            }
        }
    }

    /// The next line, after an upgrade.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.unread.iter().position(|it| *it == b'\n') {
                return Ok(String::from_utf8_lossy(&self.take(at + 1)?).into_owned());
            }
            self.fill()?;
        }
    }

    /// Whether the other side has closed, waiting for it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.fill().is_err_and(|it| it.kind() != io::ErrorKind::WouldBlock)
    }
}
