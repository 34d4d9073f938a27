//! Reads the first message of a TLS client, before it is known who answers it.
//!
//! The bytes are kept, so that a connection can be passed on as it came. Whatever a client
//! sends, no more than [`MAX_HELLO`] bytes of it are waited for; messages over several
//! segments and records (post-quantum key shares, ECH) are as good as others.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_rustls::rustls::server::{Accepted, Acceptor};

use super::turns::Turns;

/// Longest first message, its records included.
pub const MAX_HELLO: usize = 64 * 1024;

/// The first message of a client.
pub struct Hello {
    /// Name of the server that is asked for, in lower case; empty when there is none.
    pub server_name: Box<str>,
    /// What was read, as it came.
    pub bytes: Bytes,
    /// What goes on with the handshake.
    pub accepted: Accepted,
}

/// Why there is no first message.
#[derive(Debug)]
pub enum Bad {
    /// The connection ended.
    Gone(io::Error),
    /// It is no TLS, or too long; these bytes tell the client.
    Refused(Vec<u8>),
}

/// An alert of TLS that ends a connection before its handshake (RFC 8446 §6).
pub fn alert(description: Alert) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, 3, 0, 2, FATAL, description as u8]
}

/// Why a handshake is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Alert {
    /// The message is longer than is admitted.
    DecodeError = 50,
    /// The server has no certificate to show.
    InternalError = 80,
    /// No server has that name.
    UnrecognizedName = 112,
}

/// Reads until the message is whole; `early` is what was read before. What came is looked at in `turns`.
pub async fn read(io: &mut (impl AsyncRead + Unpin), early: &[u8], turns: &Turns) -> Result<Hello, Bad> {
    let mut bytes = BytesMut::from(early);
    let mut acceptor = Acceptor::default();
    let mut seen = 0;
    loop {
        if seen < bytes.len() {
            let fresh = bytes.get(seen..).unwrap_or_default();
            if let Some(accepted) = turns.take(|| look_at(&mut acceptor, fresh)).await? {
                let name = accepted.client_hello().server_name().unwrap_or_default().to_ascii_lowercase();
                return Ok(Hello { server_name: name.into(), bytes: bytes.freeze(), accepted });
            }
            seen = bytes.len();
        }
        if seen >= MAX_HELLO {
            return Err(Bad::Refused(alert(Alert::DecodeError).to_vec()));
        }
        if io.read_buf(&mut bytes).await.map_err(Bad::Gone)? == 0 {
            return Err(Bad::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// What the next bytes make of the message; nothing while more are needed.
fn look_at(acceptor: &mut Acceptor, mut fresh: &[u8]) -> Result<Option<Accepted>, Bad> {
    while !fresh.is_empty() {
        acceptor.read_tls(&mut fresh).map_err(Bad::Gone)?;
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(Some(accepted)),
            Ok(None) => {}
            Err((_, mut refusal)) => {
                let mut told = Vec::new();
                // Writing to a Vec cannot fail.
                refusal.write_all(&mut told).unwrap_or_default();
                if told.is_empty() {
                    told.extend(alert(Alert::DecodeError));
                }
                return Err(Bad::Refused(told));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring};

    use super::*;

    fn hello(name: &str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let mut out = Vec::new();
        client.write_tls(&mut out).unwrap();
        out
    }

    #[tokio::test]
    async fn a_name_is_read_however_the_bytes_come() {
        for step in [1, 7, 10_000] {
            let sent = hello("A.Example.com");
            let (mut client, mut server) = duplex(64);
            let parts = sent.clone();
            let writer = tokio::spawn(async move {
                for part in parts.chunks(step) {
                    client.write_all(part).await.unwrap();
                }
                client
            });
            let read = read(&mut server, &[], &Turns::default()).await.ok().unwrap();
            assert_eq!((read.server_name.as_ref(), read.bytes.as_ref()), ("a.example.com", sent.as_slice()));
            drop(writer.await);
        }
    }

    #[tokio::test]
    async fn what_is_no_tls_is_refused_with_an_alert_and_within_bounds() {
        let endless = [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 200_000]].concat();
        for sent in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), endless, vec![0x80; 100]] {
            let (mut client, mut server) = duplex(512 * 1024);
            client.write_all(&sent).await.unwrap();
            match read(&mut server, &[], &Turns::default()).await {
                Err(Bad::Refused(told)) => assert_eq!(told.first(), Some(&21), "{:?}", sent.get(..9)),
                Err(Bad::Gone(error)) => panic!("{error}"),
                Ok(_) => panic!("no TLS"),
            }
        }
        let (client, mut server) = duplex(16);
        drop(client);
        assert!(matches!(read(&mut server, &[], &Turns::default()).await, Err(Bad::Gone(_))));
    }
}
