//! Lets browsers call gRPC: turns gRPC-Web into gRPC and back, binary and text.
//!
//! Browsers see no trailers, so those go into the body, in a frame of their own; the text
//! form is the same bytes in base64, which may come in padded pieces. (The protocol is
//! PROTOCOL-WEB.md of gRPC.)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};

const GRPC: &str = "application/grpc";
const WEB: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";
/// Marks the frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// The form in which a client speaks gRPC-Web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// `+proto` and the like.
    suffix: Box<str>,
    encoding: Encoding,
    /// Letters of a request that do not make whole bytes yet.
    rest: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Binary,
    Text,
}

/// The body is not in the form that its content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBody;

impl Bridge {
    /// The form of a request with this content type, if it is gRPC-Web.
    pub fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        let text = content_type?.to_str().ok()?.to_ascii_lowercase();
        let (encoding, rest) = match text.strip_prefix(TEXT) {
            Some(rest) => (Encoding::Text, rest),
            None => (Encoding::Binary, text.strip_prefix(WEB)?),
        };
        let is_whole = rest.is_empty() || rest.starts_with(['+', ';']);
        is_whole.then(|| Self { suffix: rest.into(), encoding, rest: Vec::new() })
    }

    /// The content type that the upstream gets.
    pub fn grpc_type(&self) -> HeaderValue {
        HeaderValue::try_from(format!("{GRPC}{}", self.suffix)).unwrap_or_else(|_| HeaderValue::from_static(GRPC))
    }

    /// The content type that the client gets for one of the upstream's.
    pub fn web_type(&self, upstream: Option<&HeaderValue>) -> Option<HeaderValue> {
        let rest = upstream?.to_str().ok()?.strip_prefix(GRPC)?;
        let kind = match self.encoding {
            Encoding::Binary => WEB,
            Encoding::Text => TEXT,
        };
        HeaderValue::try_from(format!("{kind}{rest}")).ok()
    }

    /// Begins a body, of which each try sends all.
    pub fn begin(&mut self) {
        self.rest.clear();
    }

    /// Whether bodies change their length on the way.
    pub fn changes_length(&self) -> bool {
        self.encoding == Encoding::Text
    }

    /// A part of the request's body as the upstream gets it.
    pub fn request(&mut self, part: &Bytes, ends: bool) -> Result<Bytes, BadBody> {
        match self.encoding {
            Encoding::Binary => Ok(part.clone()),
            Encoding::Text => {
                self.rest.extend(part.iter().filter(|it| !it.is_ascii_whitespace()));
                let whole = self.rest.len() - self.rest.len() % 4;
                if ends && whole != self.rest.len() {
                    return Err(BadBody);
                }
                let letters: Vec<u8> = self.rest.drain(..whole).collect();
                decode(&letters)
            }
        }
    }

    /// A part of the response's body as the client gets it.
    pub fn response(&self, part: Bytes) -> Bytes {
        match self.encoding {
            Encoding::Binary => part,
            Encoding::Text => encode(&part),
        }
    }

    /// The trailers, as the last part of the body.
    pub fn trailers(&self, trailers: &HeaderMap) -> Bytes {
        let mut lines = Vec::new();
        for (name, value) in trailers {
            lines.extend([name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"].concat());
        }
        let mut frame = BytesMut::with_capacity(lines.len() + 5);
        frame.put_u8(TRAILERS);
        frame.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
        frame.put_slice(&lines);
        self.response(frame.freeze())
    }
}

fn encode(bytes: &[u8]) -> Bytes {
    STANDARD.encode(bytes).into()
}

/// Whole groups of four letters, each of which may be padded.
fn decode(letters: &[u8]) -> Result<Bytes, BadBody> {
    let mut out = Vec::with_capacity(letters.len() / 4 * 3);
    let mut rest = letters;
    while !rest.is_empty() {
        // A padded group ends a piece; what follows is another.
        let end = rest.iter().position(|it| *it == b'=').map_or(rest.len(), |at| (at / 4 + 1) * 4);
        let (piece, more) = rest.split_at_checked(end).ok_or(BadBody)?;
        STANDARD.decode_vec(piece, &mut out).map_err(|_| BadBody)?;
        rest = more;
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(content_type: &'static str) -> Option<Bridge> {
        Bridge::of(Some(&HeaderValue::from_static(content_type)))
    }

    #[test]
    fn content_types_go_there_and_back() {
        for (web, grpc, back) in [
            ("application/grpc-web", "application/grpc", "application/grpc-web+proto"),
            ("application/grpc-web+proto", "application/grpc+proto", "application/grpc-web+proto"),
            ("application/grpc-web-text+proto", "application/grpc+proto", "application/grpc-web-text+proto"),
        ] {
            let bridge = bridge(web).unwrap();
            assert_eq!(bridge.grpc_type(), grpc);
            assert_eq!(bridge.web_type(Some(&HeaderValue::from_static("application/grpc+proto"))).unwrap(), back);
            assert_eq!(bridge.web_type(Some(&HeaderValue::from_static("text/html"))), None);
        }
        for other in ["application/grpc", "application/grpc-website", "text/plain"] {
            assert_eq!(bridge(other), None, "{other}");
        }
    }

    #[test]
    fn text_comes_in_any_pieces() {
        let message = b"\0\0\0\0\x05hello";
        let text = [encode(&message[..4]), encode(&message[4..])].concat();
        for size in 1..text.len() {
            let mut bridge = bridge("application/grpc-web-text").unwrap();
            let mut out = Vec::new();
            for part in text.chunks(size) {
                out.extend(bridge.request(&Bytes::copy_from_slice(part), false).unwrap());
            }
            out.extend(bridge.request(&Bytes::new(), true).unwrap());
            assert_eq!(out, message, "in pieces of {size}");
        }
    }

    #[test]
    fn text_that_is_no_base64_is_refused() {
        for (text, ends) in [("ab*d", false), ("a===", false), ("abc", true), ("=abc", false)] {
            let mut bridge = bridge("application/grpc-web-text").unwrap();
            assert_eq!(bridge.request(&Bytes::from_static(text.as_bytes()), ends), Err(BadBody), "{text}");
        }
    }

    #[test]
    fn trailers_are_a_frame_of_the_body() {
        let trailers =
            HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        let frame = bridge("application/grpc-web").unwrap().trailers(&trailers);
        assert_eq!(frame.as_ref(), b"\x80\0\0\0\x0fgrpc-status:0\r\n");
        let text = bridge("application/grpc-web-text").unwrap().trailers(&trailers);
        assert_eq!(decode(&text).unwrap(), frame);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_encoded_is_decoded(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(decode(&encode(&bytes)).unwrap().to_vec(), bytes);
        }
    }
}
