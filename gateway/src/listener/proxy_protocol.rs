//! Reads the header of the PROXY protocol, versions 1 and 2 (HAProxy's specification, §2).
//!
//! Who may send one is decided by the caller. What is read beyond the header belongs to the
//! connection and is given back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Begins every header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header of version 1, its line end included.
const MAX_V1: usize = 107;
/// Longest header of version 2; what a proxy adds to the addresses is skipped.
const MAX_V2: usize = 16 + 4096;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The client and the address that it came to; none when the proxy speaks for itself.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// What followed the header.
    pub rest: Bytes,
}

/// Reads a header; an error when there is none.
pub async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Told> {
    let mut bytes = BytesMut::with_capacity(256);
    loop {
        match parse(&bytes)? {
            Some((addresses, length)) => {
                bytes.advance(length);
                return Ok(Told { addresses, rest: bytes.freeze() });
            }
            None if bytes.len() >= MAX_V2 => return Err(io::ErrorKind::InvalidData.into()),
            None => {}
        }
        if io.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

type Parsed = (Option<(SocketAddr, SocketAddr)>, usize);

/// The addresses and the length of the header; `None` when more is needed.
fn parse(bytes: &[u8]) -> io::Result<Option<Parsed>> {
    let shared = bytes.len().min(SIGNATURE.len());
    if bytes.get(..shared) == SIGNATURE.get(..shared) {
        return if shared == SIGNATURE.len() { version2(bytes) } else { Ok(None) };
    }
    version1(bytes)
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn version1(bytes: &[u8]) -> io::Result<Option<Parsed>> {
    const START: &[u8] = b"PROXY ";
    let shared = bytes.len().min(START.len());
    if bytes.get(..shared) != START.get(..shared) {
        return Err(malformed());
    }
    let head = bytes.get(..bytes.len().min(MAX_V1)).unwrap_or_default();
    let Some(end) = head.windows(2).position(|it| it == b"\r\n") else {
        return if bytes.len() >= MAX_V1 { Err(malformed()) } else { Ok(None) };
    };
    let line = std::str::from_utf8(head.get(..end).unwrap_or_default()).map_err(|_| malformed())?;
    let words: Vec<&str> = line.split(' ').collect();
    let addresses = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let address = |ip: &str, port: &str| {
                let ip: IpAddr = ip.parse().ok().filter(|it: &IpAddr| it.is_ipv4() == (*family == "TCP4"))?;
                Some(SocketAddr::new(ip, port.parse().ok()?))
            };
            Some(address(from, from_port).zip(address(to, to_port)).ok_or_else(malformed)?)
        }
        _ => return Err(malformed()),
    };
    Ok(Some((addresses, end + 2)))
}

fn version2(bytes: &[u8]) -> io::Result<Option<Parsed>> {
    let Some(([command, family, high, low], body)) = bytes.get(SIGNATURE.len()..).and_then(|it| it.split_first_chunk())
    else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if SIGNATURE.len() + 4 + length > MAX_V2 {
        return Err(malformed());
    }
    let Some(body) = body.get(..length) else { return Ok(None) };
    let addresses = match (command, family >> 4) {
        // LOCAL: a health check of the proxy's own.
        (0x20, _) => None,
        (0x21, 1) => Some(pair(body, |it: [u8; 4]| Ipv4Addr::from(it).into()).ok_or_else(malformed)?),
        (0x21, 2) => Some(pair(body, |it: [u8; 16]| Ipv6Addr::from(it).into()).ok_or_else(malformed)?),
        // Families without addresses of the internet.
        (0x21, 0 | 3) => None,
        _ => return Err(malformed()),
    };
    Ok(Some((addresses, SIGNATURE.len() + 4 + length)))
}

/// Two addresses, then their ports.
fn pair<const N: usize>(body: &[u8], address: fn([u8; N]) -> IpAddr) -> Option<(SocketAddr, SocketAddr)> {
    let (from, rest) = body.split_first_chunk::<N>()?;
    let (to, rest) = rest.split_first_chunk::<N>()?;
    let (from_port, rest) = rest.split_first_chunk::<2>()?;
    let (to_port, _) = rest.split_first_chunk::<2>()?;
    let port = |it: &[u8; 2]| u16::from_be_bytes(*it);
    Some((SocketAddr::new(address(*from), port(from_port)), SocketAddr::new(address(*to), port(to_port))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::definition::ProxyHeader;
    use crate::upstream::proxy_header;

    #[tokio::test]
    async fn what_is_written_is_read_and_the_rest_is_given_back() {
        for (client, own) in [("192.0.2.1:1000", "10.0.0.1:443"), ("[2001:db8::1]:1000", "[fd00::1]:443")] {
            let (client, own): (SocketAddr, SocketAddr) = (client.parse().unwrap(), own.parse().unwrap());
            for version in [ProxyHeader::V1, ProxyHeader::V2] {
                let sent = [proxy_header::write(version, client, own), b"GET / ".to_vec()].concat();
                for step in [1, sent.len()] {
                    let (mut near, mut far) = tokio::io::duplex(sent.len());
                    for part in sent.chunks(step) {
                        tokio::io::AsyncWriteExt::write_all(&mut near, part).await.unwrap();
                    }
                    let told = read(&mut far).await.unwrap();
                    assert_eq!(told.addresses, Some((client, own)), "{version:?} in steps of {step}");
                    assert!(b"GET / ".starts_with(told.rest.as_ref()));
                }
            }
        }
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        let local = [SIGNATURE, &[0x20, 0, 0, 3, 1, 2, 3][..], b"rest"].concat();
        assert_eq!(parse(&local).unwrap(), Some((None, 19)));
        assert_eq!(parse(b"PROXY UNKNOWN\r\nrest").unwrap(), Some((None, 15)));
    }

    #[test]
    fn what_is_no_header_is_an_error() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n".to_vec(),
            b"PROXY TCP4 fd00::1 fd00::2 1 2\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n".to_vec(),
            [b"PROXY TCP6 ".to_vec(), vec![b'f'; 200]].concat(),
            [SIGNATURE, &[0x31, 0x11, 0, 0][..]].concat(),
            [SIGNATURE, &[0x21, 0x11, 0, 4, 1, 2, 3, 4][..]].concat(),
            [SIGNATURE, &[0x21, 0x11, 0xff, 0xff][..]].concat(),
        ] {
            assert!(parse(&bytes).is_err(), "{bytes:?}");
        }
    }
}
