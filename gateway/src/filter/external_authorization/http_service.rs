//! Asks a service by a request that looks like the one it is about: 200 is yes, 5xx a failure, all else no.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora::http::RequestHeader;

use super::{AskedRequest, Change, Changes, Denial, How, Provider, Shown, Verdict, is_framing};
use crate::filter::authorization::values::Texts;
use crate::text::listed;
use crate::upstream::client::{Answer, Question};

/// Longest answer.
const MAX_ANSWER: usize = 256 * 1024;
/// Headers of an answer that name those to be taken from the request (Envoy's).
const TO_REMOVE: &str = "x-envoy-auth-headers-to-remove";
/// Says whether a body is shown in part (Envoy's).
pub(super) const PARTIAL: HeaderName = HeaderName::from_static("x-envoy-auth-partial-body");
/// Headers that clients always get with a refusal.
const ALWAYS: [HeaderName; 2] = [header::WWW_AUTHENTICATE, header::LOCATION];

/// A service that speaks HTTP.
#[derive(Debug)]
pub struct HttpService {
    /// Put before the path.
    pub prefix: Box<str>,
    /// Headers that it is shown.
    pub shows: Texts,
    /// Headers that are added to what it is shown.
    pub adds: Vec<(HeaderName, HeaderValue)>,
    /// Headers of its answer that the request gets.
    pub to_upstream: Texts,
    /// Headers of its refusal that the client gets; all when nobody says.
    pub on_deny: Option<Texts>,
    /// Headers of its consent that the client gets.
    pub on_allow: Texts,
}

impl HttpService {
    /// Whether a header is only for the service to say.
    pub(super) fn reserves(&self, name: &HeaderName) -> bool {
        self.to_upstream.hold(name.as_str()) && !self.shows.hold(name.as_str())
    }

    pub(super) fn question(&self, request: &AskedRequest<'_>, provider: &Provider) -> Result<Question, String> {
        let path = format!("{}{}", self.prefix, request.target);
        let failed = |error: Box<pingora::Error>| error.to_string();
        let mut head = RequestHeader::build(request.method, path.as_bytes(), None).map_err(failed)?;
        for (name, value) in request.headers {
            if self.shows.hold(name.as_str()) && !is_framing(name) {
                head.append_header(name, value).map_err(failed)?;
            }
        }
        for (name, value) in &self.adds {
            head.insert_header(name, value).map_err(failed)?;
        }
        let body = match &request.body {
            Some(Shown { bytes, is_part }) => {
                head.insert_header(PARTIAL, is_part.to_string()).map_err(failed)?;
                bytes.clone()
            }
            None => Bytes::new(),
        };
        head.insert_header(header::CONTENT_LENGTH, body.len()).map_err(failed)?;
        Ok(Question {
            head,
            authority: request.authority.to_owned(),
            body,
            max_answer: MAX_ANSWER,
            patience: provider.timeout,
            repeats: true,
        })
    }

    pub(super) fn verdict(&self, answer: Answer) -> Result<Verdict, String> {
        let Answer { status, headers, body, trailers: _ } = answer;
        if status.is_server_error() {
            return Err(format!("status {status}"));
        }
        if status != StatusCode::OK {
            let admits = |name: &HeaderName| match &self.on_deny {
                None => true,
                Some(names) => ALWAYS.contains(name) || names.hold(name.as_str()),
            };
            let headers = chosen(&headers, admits).map(|(name, value)| (name.clone(), value.clone())).collect();
            return Ok(Verdict::Denied(Box::new(Denial { status, headers, body: body.into() })));
        }
        let to_request = chosen(&headers, |it| self.to_upstream.hold(it.as_str()));
        let to_client = chosen(&headers, |it| self.on_allow.hold(it.as_str()));
        let mut request: Vec<Change> = Vec::new();
        for (name, value) in to_request {
            // The first value replaces what the client sent, the others stand beside it.
            let how = if request.iter().any(|it| it.name == *name) { How::Add } else { How::Set };
            request.push(Change { name: name.clone(), value: value.clone(), how });
        }
        let added =
            to_client.map(|(name, value)| Change { name: name.clone(), value: value.clone(), how: How::Add }).collect();
        let named = listed(headers.get_all(TO_REMOVE));
        let remove = named.filter_map(|it| HeaderName::try_from(it).ok()).filter(|it| !is_framing(it)).collect();
        Ok(Verdict::Allowed(Box::new(Changes { request, remove, response: added, ..Changes::default() })))
    }
}

fn chosen(
    headers: &HeaderMap,
    admits: impl Fn(&HeaderName) -> bool,
) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    headers.iter().filter(move |(name, _)| !is_framing(name) && name.as_str() != TO_REMOVE && admits(name))
}
