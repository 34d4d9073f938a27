//! Where tokens are looked for in a request, and how one is taken out of it.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::local_reply::token_fault::TokenFault;

/// A place in a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A header, behind a prefix.
    Header(HeaderName, Box<str>),
    /// A query parameter.
    Param(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
}

impl Location {
    /// Istio's default places.
    pub fn usual() -> Vec<Self> {
        vec![Self::Header(header::AUTHORIZATION, "Bearer ".into()), Self::Param("access_token".into())]
    }

    /// All tokens that stand there.
    pub fn tokens(&self, headers: &HeaderMap, target: &str) -> Result<Vec<String>, TokenFault> {
        match self {
            Self::Header(name, prefix) => {
                let mut out = Vec::new();
                for value in headers.get_all(name) {
                    let value = value.to_str().map_err(|_| TokenFault::Format)?;
                    match value.strip_prefix(prefix.as_ref()) {
                        Some(token) => out.push(token.to_owned()),
                        // Another reader may look for the prefix anywhere.
                        None if !prefix.is_empty() && value.contains(prefix.as_ref()) => {
                            return Err(TokenFault::Format);
                        }
                        None => {}
                    }
                }
                Ok(out)
            }
            Self::Param(name) => {
                params(target).filter(|(key, _)| *key == name.as_ref()).map(|it| decode(it.1)).collect()
            }
            Self::Cookie(name) => {
                let lines = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
                let pairs = lines.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
                Ok(pairs.filter(|(key, _)| *key == name.as_ref()).map(|(_, it)| it.to_owned()).collect())
            }
        }
    }

    /// What of the request changes when the token is not to go on; a cookie stays, as in Envoy.
    pub fn without(&self, target: &str) -> Removal {
        match self {
            Self::Header(name, _) => Removal::Header(name.clone()),
            Self::Param(name) => {
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let kept: Vec<&str> =
                    query.split('&').filter(|it| it.split('=').next() != Some(name.as_ref())).collect();
                let mark = if kept.is_empty() { "" } else { "?" };
                Removal::Target(format!("{path}{mark}{}", kept.join("&")))
            }
            Self::Cookie(_) => Removal::Nothing,
        }
    }
}

/// How a token is taken out of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    /// Nothing does.
    Nothing,
    /// A header goes.
    Header(HeaderName),
    /// The target becomes this.
    Target(String),
}

fn params(target: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = target.split_once('?').map_or("", |it| it.1);
    query.split('&').filter_map(|it| it.split_once('='))
}

/// A value with its escapes undone, once.
fn decode(value: &str) -> Result<String, TokenFault> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next().unwrap_or_default(), bytes.next().unwrap_or_default()];
        let digits = std::str::from_utf8(&digits).map_err(|_| TokenFault::Format)?;
        out.push(u8::from_str_radix(digits, 16).map_err(|_| TokenFault::Format)?);
    }
    String::from_utf8(out).map_err(|_| TokenFault::Format)
}

/// Whether a header value shows a text as it is.
pub(super) fn header_value(text: &str) -> Option<HeaderValue> {
    let is_plain = text.bytes().all(|it| it.is_ascii_graphic() || it == b' ');
    HeaderValue::from_str(text).ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_at_their_places() {
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Basic x"));
        headers.append(header::COOKIE, HeaderValue::from_static("x=1; t=d.e.f"));
        let target = "/p?x=1&access_token=g%2Eh.i&access_token=j";
        let [bearer, param] = Location::usual().try_into().unwrap();
        assert_eq!(bearer.tokens(&headers, target).unwrap(), ["a.b.c"]);
        assert_eq!(param.tokens(&headers, target).unwrap(), ["g.h.i", "j"]);
        assert_eq!(Location::Cookie("t".into()).tokens(&headers, target).unwrap(), ["d.e.f"]);
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Basic x, Bearer a.b.c"));
        assert_eq!(bearer.tokens(&headers, target), Err(TokenFault::Format));
        assert_eq!(param.without(target), Removal::Target("/p?x=1".into()));
        assert_eq!(param.without("/p?access_token=a"), Removal::Target("/p".into()));
    }
}
