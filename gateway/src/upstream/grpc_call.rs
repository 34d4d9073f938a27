//! One gRPC call to a cluster: one message there, one back.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, header};
use pingora::http::RequestHeader;
use prost::Message;

use super::client::{Answer, Client, Question};
use super::cluster::Cluster;

/// Bytes before a message: whether it is compressed, and its length.
const FRAME: usize = 5;
/// Longest answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// Calls a method of a service that speaks HTTP/2; says why there is no answer.
pub async fn call<A: Message + Default>(
    client: &Client,
    cluster: &Cluster,
    (path, message): (&'static str, &impl Message),
    (patience, random): (Duration, u64),
) -> Result<A, String> {
    let failed = |error: Box<pingora::Error>| error.to_string();
    let mut head = RequestHeader::build("POST", path.as_bytes(), None).map_err(failed)?;
    head.insert_header(header::CONTENT_TYPE, "application/grpc").map_err(failed)?;
    head.insert_header(header::TE, "trailers").map_err(failed)?;
    head.insert_header("grpc-timeout", format!("{}m", patience.as_millis().clamp(1, 99_999_999))).map_err(failed)?;
    let authority = cluster.definition().host.to_string();
    let question = Question { head, authority, body: frame(message), max_answer: MAX_ANSWER, patience, repeats: true };
    let asked = tokio::time::timeout(patience, client.ask(cluster, question, random)).await;
    let answer = asked.map_err(|_| format!("no answer within {patience:?}"))?.map_err(failed)?;
    read(&answer)
}

/// A message in gRPC's frame, not compressed.
pub fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(FRAME + length);
    out.put_u8(0);
    // Messages of ours are far below 4 GiB.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put(message.encode_to_vec().as_slice());
    out.freeze()
}

/// The message of an answer in gRPC's frame.
pub fn unframe<A: Message + Default>(body: &[u8]) -> Option<A> {
    let (frame, message) = body.split_at_checked(FRAME)?;
    (frame.first() == Some(&0)).then(|| A::decode(message).ok()).flatten()
}

fn read<A: Message + Default>(answer: &Answer) -> Result<A, String> {
    if answer.status != http::StatusCode::OK {
        return Err(format!("HTTP status {}", answer.status));
    }
    let text = |headers: &HeaderMap, name: &str| headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    // Without a body the status stands in the head.
    let places = [answer.trailers.as_ref(), Some(&answer.headers)];
    let status = places.iter().flatten().find_map(|it| text(it, "grpc-status"));
    match status.as_deref() {
        Some("0") => unframe(&answer.body).ok_or_else(|| "its message cannot be read".to_owned()),
        Some(code) => {
            let message = places.iter().flatten().find_map(|it| text(it, "grpc-message"));
            Err(format!("gRPC status {code}: {}", message.unwrap_or_default()))
        }
        None => Err("no gRPC status".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Text {
        #[prost(string, tag = "1")]
        text: String,
    }

    fn answer(headers: &[(&'static str, &'static str)], trailers: Option<&[(&'static str, &'static str)]>) -> Answer {
        let map = |list: &[(&'static str, &'static str)]| -> HeaderMap {
            list.iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
                .collect()
        };
        let body = frame(&Text { text: "hi".to_owned() }).to_vec();
        Answer { status: http::StatusCode::OK, headers: map(headers), body, trailers: trailers.map(map) }
    }

    #[test]
    fn an_answer_needs_a_status_that_says_all_is_well() {
        let good = read::<Text>(&answer(&[], Some(&[("grpc-status", "0")])));
        assert_eq!(good.unwrap().text, "hi");
        for (headers, trailers) in [
            (&[][..], None),
            (&[("grpc-status", "7"), ("grpc-message", "no")][..], None),
            (&[][..], Some(&[("grpc-status", "14")][..])),
        ] {
            assert!(read::<Text>(&answer(headers, trailers)).is_err());
        }
        assert_eq!(unframe::<Text>(&[1, 0, 0, 0, 0]), None);
        assert_eq!(unframe::<Text>(&[0, 0]), None);
    }
}
