//! Answers cross-origin preflights and marks responses for origins that may read them.
//!
//! As Envoy does it: a request whose origin does not match passes unmarked, and a preflight
//! of such an origin goes to the upstream unless the policy says otherwise. The matching
//! origin is echoed, never `*`.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::filter::header_edits::Headers;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::text::TextPattern;

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Origins that may call; an exact `*` is any.
    pub origins: Vec<TextPattern>,
    /// Lists for preflights, joined as they are sent.
    pub allow_methods: Option<HeaderValue>,
    /// As above.
    pub allow_headers: Option<HeaderValue>,
    /// Headers that a page may read.
    pub expose_headers: Option<HeaderValue>,
    /// Seconds that a preflight may be cached.
    pub max_age: Option<HeaderValue>,
    /// Whether credentials may be sent.
    pub allow_credentials: bool,
    /// Whether a preflight of another origin is answered here, without permission.
    pub answers_unmatched: bool,
}

impl Cors {
    /// Answers a preflight; other requests go on.
    pub fn on_request(&self, method: &str, headers: &HeaderMap) -> Flow {
        let is_preflight = method == "OPTIONS"
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight {
            return Flow::Continue(());
        }
        let mut reply = LocalReply::because(Reason::Preflight);
        match self.matching(headers) {
            Some(origin) => {
                reply.headers = self.permission(origin);
                let more = [
                    (header::ACCESS_CONTROL_ALLOW_METHODS, &self.allow_methods),
                    (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.allow_headers),
                    (header::ACCESS_CONTROL_MAX_AGE, &self.max_age),
                ];
                reply.headers.extend(more.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
                Flow::Break(reply)
            }
            None if self.answers_unmatched => Flow::Break(reply),
            None => Flow::Continue(()),
        }
    }

    /// Marks the response to a request of an origin that may read it.
    pub fn on_response(&self, request: &HeaderMap, response: &mut impl Headers) {
        let Some(origin) = self.matching(request) else { return };
        for (name, value) in self.permission(origin) {
            response.set(name, value);
        }
        if let Some(value) = &self.expose_headers {
            response.set(header::ACCESS_CONTROL_EXPOSE_HEADERS, value.clone());
        }
    }

    fn matching<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?;
        let any = |it: &TextPattern| matches!(it, TextPattern::Exact(it) if it.as_ref() == "*");
        self.origins.iter().any(|it| any(it) || it.matches(text)).then_some(origin)
    }

    fn permission(&self, origin: &HeaderValue) -> Vec<(HeaderName, HeaderValue)> {
        let mut out = vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())];
        if self.allow_credentials {
            out.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(answers_unmatched: bool) -> Cors {
        Cors {
            origins: vec![TextPattern::Exact("https://a.example".into())],
            allow_methods: Some(HeaderValue::from_static("GET,POST")),
            allow_headers: None,
            expose_headers: None,
            max_age: None,
            allow_credentials: true,
            answers_unmatched,
        }
    }

    fn preflight(origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        headers
    }

    #[test]
    fn preflights_of_known_origins_are_answered() {
        let Flow::Break(reply) = cors(false).on_request("OPTIONS", &preflight("https://a.example")) else {
            panic!("not answered")
        };
        let value = |name: HeaderName| reply.headers.iter().find(|it| it.0 == name).map(|it| it.1.to_str().unwrap());
        assert_eq!(value(header::ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://a.example"));
        assert_eq!(value(header::ACCESS_CONTROL_ALLOW_METHODS), Some("GET,POST"));
    }

    #[test]
    fn preflights_of_others_pass_or_get_no_permission() {
        let headers = preflight("https://b.example");
        assert!(cors(false).on_request("OPTIONS", &headers).is_continue());
        let Flow::Break(reply) = cors(true).on_request("OPTIONS", &headers) else { panic!("not answered") };
        assert!(reply.headers.is_empty());
        assert!(cors(true).on_request("GET", &headers).is_continue());
    }
}
