//! Envoy's `envoy.service.auth.v3.Authorization/Check`: the messages that are used of it, what is asked and what is answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use prost::{Message, Oneof};

use super::{Asked, AskedRequest, Change, Changes, Denial, How, Shown, Verdict, is_framing};

/// The method.
pub(super) const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";

#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<AttributeContext>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeContext {
    #[prost(message, optional, tag = "1")]
    source: Option<Peer>,
    #[prost(message, optional, tag = "2")]
    destination: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    request: Option<Request>,
}

#[derive(Clone, PartialEq, Message)]
struct Peer {
    #[prost(message, optional, tag = "1")]
    address: Option<Address>,
    #[prost(string, tag = "4")]
    principal: String,
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket_address: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, Message)]
struct SocketAddress {
    #[prost(string, tag = "2")]
    address: String,
    #[prost(uint32, tag = "3")]
    port_value: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "1")]
    time: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(map = "string, string", tag = "3")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
    #[prost(string, tag = "6")]
    scheme: String,
    #[prost(int64, tag = "9")]
    size: i64,
    #[prost(string, tag = "10")]
    protocol: String,
    #[prost(string, tag = "11")]
    body: String,
    #[prost(bytes = "bytes", tag = "12")]
    raw_body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    http_response: Option<HttpResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Oneof)]
enum HttpResponse {
    #[prost(message, tag = "2")]
    Denied(DeniedHttpResponse),
    #[prost(message, tag = "3")]
    Ok(OkHttpResponse),
}

#[derive(Clone, PartialEq, Message)]
struct DeniedHttpResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderValueOption>,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct OkHttpResponse {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderValueOption>,
    #[prost(string, repeated, tag = "5")]
    headers_to_remove: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    response_headers_to_add: Vec<HeaderValueOption>,
    #[prost(message, repeated, tag = "7")]
    query_parameters_to_set: Vec<QueryParameter>,
    #[prost(string, repeated, tag = "8")]
    query_parameters_to_remove: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    header: Option<NamedValue>,
    #[prost(message, optional, tag = "2")]
    append: Option<BoolValue>,
    #[prost(int32, tag = "3")]
    append_action: i32,
}

#[derive(Clone, PartialEq, Message)]
struct NamedValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "bytes", tag = "3")]
    raw_value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct BoolValue {
    #[prost(bool, tag = "1")]
    value: bool,
}

#[derive(Clone, PartialEq, Message)]
struct QueryParameter {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// What the service is asked.
pub(super) fn question(asked: &Asked<'_>, as_bytes: bool) -> CheckRequest {
    let peer = |address: SocketAddr, principal: &str| Peer {
        address: Some(Address {
            socket_address: Some(SocketAddress {
                address: address.ip().to_canonical().to_string(),
                port_value: u32::from(address.port()),
            }),
        }),
        principal: principal.to_owned(),
    };
    let principal = asked.principal.map(|it| format!("spiffe://{it}")).unwrap_or_default();
    let since = asked.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    };
    let http = asked.request.as_ref().map(|it| describe(it, as_bytes));
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(peer(asked.source, &principal)),
            destination: Some(peer(asked.destination, "")),
            request: Some(Request { time: Some(time), http }),
        }),
    }
}

fn describe(request: &AskedRequest<'_>, as_bytes: bool) -> HttpRequest {
    let AskedRequest { method, target, authority, scheme, protocol, headers, body } = request;
    let mut listed: HashMap<String, String> = HashMap::with_capacity(headers.keys_len() + 5);
    for (name, value) in *headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        listed
            .entry(name.as_str().to_owned())
            .and_modify(|it| {
                it.push(',');
                it.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    // HTTP/1.1 and HTTP/2 look alike to the service.
    listed.remove(header::HOST.as_str());
    for (name, value) in [(":method", method), (":path", target), (":authority", authority), (":scheme", scheme)] {
        listed.insert(name.to_owned(), (*value).to_owned());
    }
    let (mut text, mut raw) = (String::new(), Bytes::new());
    if let Some(Shown { bytes, is_part }) = body {
        listed.insert(super::http_service::PARTIAL.as_str().to_owned(), is_part.to_string());
        if as_bytes {
            raw = bytes.clone();
        } else {
            text = String::from_utf8_lossy(bytes).into_owned();
        }
    }
    let length = |name| headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok()?.parse().ok());
    HttpRequest {
        id: headers.get("x-request-id").and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned(),
        method: (*method).to_owned(),
        headers: listed,
        path: (*target).to_owned(),
        host: (*authority).to_owned(),
        scheme: (*scheme).to_owned(),
        size: length(header::CONTENT_LENGTH).unwrap_or(-1),
        protocol: (*protocol).to_owned(),
        body: text,
        raw_body: raw,
    }
}

/// What the service said.
pub(super) fn verdict(answer: CheckResponse) -> Verdict {
    let is_ok = answer.status.is_none_or(|it| it.code == 0);
    match (is_ok, answer.http_response) {
        (true, Some(HttpResponse::Ok(it))) => Verdict::Allowed(Box::new(changes(it))),
        (true, Some(HttpResponse::Denied(_)) | None) => Verdict::Allowed(Box::default()),
        (false, Some(HttpResponse::Denied(it))) => {
            let status = it.status.and_then(|it| StatusCode::from_u16(u16::try_from(it.code).ok()?).ok());
            let headers = it.headers.into_iter().filter_map(change).map(|it| (it.name, it.value)).collect();
            let status = status.unwrap_or(StatusCode::FORBIDDEN);
            Verdict::Denied(Box::new(Denial { status, headers, body: it.body }))
        }
        (false, Some(HttpResponse::Ok(_)) | None) => {
            Verdict::Denied(Box::new(Denial { status: StatusCode::FORBIDDEN, headers: Vec::new(), body: Bytes::new() }))
        }
    }
}

fn changes(answer: OkHttpResponse) -> Changes {
    let OkHttpResponse {
        headers,
        headers_to_remove,
        response_headers_to_add,
        query_parameters_to_set,
        query_parameters_to_remove,
    } = answer;
    let remove = headers_to_remove.iter().filter_map(|it| HeaderName::try_from(it.as_str()).ok());
    // What is added to the answer stands beside what is there, unless the service says otherwise.
    let added = |it: HeaderValueOption| {
        let says = it.append.is_some() || it.append_action != 0;
        change(it).map(|it| if says { it } else { Change { how: How::Add, ..it } })
    };
    Changes {
        request: headers.into_iter().filter_map(change).collect(),
        remove: remove.filter(|it| !is_framing(it)).collect(),
        response: response_headers_to_add.into_iter().filter_map(added).collect(),
        set_query: query_parameters_to_set.into_iter().map(|it| (it.key, it.value)).collect(),
        remove_query: query_parameters_to_remove,
    }
}

/// A change of a header; none when the service has no say in it.
fn change(option: HeaderValueOption) -> Option<Change> {
    let HeaderValueOption { header, append, append_action } = option;
    let NamedValue { key, value, raw_value } = header?;
    let name = HeaderName::try_from(key).ok().filter(|it| !is_framing(it))?;
    let value = if value.is_empty() { HeaderValue::from_bytes(&raw_value) } else { HeaderValue::from_str(&value) };
    let how = match (append, append_action) {
        (Some(BoolValue { value: true }), _) => How::AppendIfThere,
        (Some(BoolValue { value: false }), _) => How::Set,
        (None, 1) => How::AddIfAbsent,
        (None, 3) => How::SetIfThere,
        // Without a word the check's answers replace.
        (None, _) => How::Set,
    };
    Some(Change { name, value: value.ok()?, how })
}
