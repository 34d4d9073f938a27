//! Asks a proxy to carry a connection on (Istio's `tunnel`: CONNECT or POST, RFC 9110 §9.3.6).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head of the proxy's answer.
const MAX_ANSWER: usize = 8 * 1024;

/// Where a proxy shall carry connections, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// `CONNECT` or `POST`.
    pub method: Method,
    /// `host:port`.
    pub target: Box<str>,
}

/// How a proxy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// As a forward proxy is.
    Connect,
    /// With a request whose body and response body are the connection.
    Post,
}

/// Asks; the connection carries the tunnelled bytes from here on.
///
/// The caller bounds the time that this takes.
pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, tunnel: &Tunnel) -> io::Result<()> {
    let target = &tunnel.target;
    let head = match tunnel.method {
        Method::Connect => format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"),
        Method::Post => format!("POST / HTTP/1.1\r\nHost: {target}\r\n\r\n"),
    };
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to the tunnel already.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_ANSWER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the proxy's answer is too long"));
        }
        answer.push(stream.read_u8().await?);
    }
    let status = answer.split(|it| *it == b' ').nth(1).unwrap_or_default();
    if answer.starts_with(b"HTTP/1.") && status.first() == Some(&b'2') && status.len() == 3 {
        return Ok(());
    }
    let status = String::from_utf8_lossy(status).into_owned();
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the proxy refuses with {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(answer: &'static [u8]) -> (io::Result<()>, String, Vec<u8>) {
        let (mut ours, mut proxy) = tokio::io::duplex(1024);
        let tunnel = Tunnel { method: Method::Connect, target: "db.test:5432".into() };
        let serve = async move {
            let mut asked = vec![0; 53];
            proxy.read_exact(&mut asked).await.unwrap();
            proxy.write_all(answer).await.unwrap();
            String::from_utf8(asked).unwrap()
        };
        let (opened, asked) = tokio::join!(open(&mut ours, &tunnel), serve);
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        (opened, asked, rest)
    }

    #[tokio::test]
    async fn what_follows_the_answer_belongs_to_the_tunnel() {
        let (opened, asked, rest) = ask(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nhello").await;
        assert!(opened.is_ok());
        assert_eq!(asked, "CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n");
        assert_eq!(rest, b"hello");
    }

    #[tokio::test]
    async fn a_refusal_and_nonsense_are_errors() {
        assert!(ask(b"HTTP/1.1 403 No\r\n\r\n").await.0.unwrap_err().to_string().contains("403"));
        assert!(ask(b"SSH-2.0-x 200 \r\n\r\n").await.0.is_err());
        assert!(ask(b"HTTP/1.1 200").await.0.is_err());
    }
}
