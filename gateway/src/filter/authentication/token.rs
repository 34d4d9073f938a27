//! Takes a compact token apart, strictly: what a lenient reader might see differently is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::json;
use crate::local_reply::token_fault::TokenFault;

/// Longest token.
const MAX_TOKEN: usize = 16 * 1024;

/// A token that is not verified yet.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// What is signed.
    pub(super) message: &'a str,
    /// The signature, as it came.
    pub(super) signature: &'a str,
    /// The payload, as it came.
    pub(super) payload: &'a str,
    /// What it says it is signed with.
    pub(super) algorithm: Algorithm,
    /// Which key it says.
    pub(super) key: Option<String>,
    /// What it claims.
    pub(super) claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    /// The parts of a token.
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenFault> {
        if text.len() > MAX_TOKEN {
            return Err(TokenFault::Format);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Format);
        };
        let (algorithm, key) = self::header(header)?;
        let decoded = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenFault::PayloadEncoding)?;
        let claims = json::object(&decoded).ok_or(TokenFault::PayloadJson)?;
        if signature.is_empty() || URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err(TokenFault::SignatureEncoding);
        }
        let message = text.get(..header.len() + 1 + payload.len()).unwrap_or_default();
        Ok(Self { message, signature, payload, algorithm, key, claims })
    }
}

/// Algorithm and key of a header. Members that lead elsewhere (`jku`, `x5u`, `jwk`, `x5c`) are never looked at.
fn header(text: &str) -> Result<(Algorithm, Option<String>), TokenFault> {
    let decoded = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenFault::HeaderEncoding)?;
    let header = json::object(&decoded).ok_or(TokenFault::HeaderJson)?;
    // What must be understood (RFC 7515 §4.1.11), changes the payload (RFC 7797) or belongs to encryption.
    if ["crit", "b64", "zip", "enc"].iter().any(|it| header.contains_key(*it)) {
        return Err(TokenFault::HeaderJson);
    }
    let Some(Value::String(name)) = header.get("alg") else { return Err(TokenFault::HeaderAlgorithm) };
    let algorithm = algorithm(name).ok_or(TokenFault::Algorithm)?;
    let key = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err(TokenFault::HeaderKey),
    };
    Ok((algorithm, key))
}

/// An algorithm by its exact name; `none` is not one.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, payload: &str, expected: Result<(), TokenFault>) {
        let token = format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        assert_eq!(Token::parse(&token).map(|_| ()), expected, "{header} {payload}");
    }

    #[test]
    fn only_what_every_reader_sees_alike_is_taken() {
        check(r#"{"alg":"RS256","kid":"a","jku":"http://x"}"#, "{}", Ok(()));
        check(r#"{"alg":"none"}"#, "{}", Err(TokenFault::Algorithm));
        check(r#"{"alg":"rs256"}"#, "{}", Err(TokenFault::Algorithm));
        check(r#"{"alg":"ES512"}"#, "{}", Err(TokenFault::Algorithm));
        check(r#"{"kid":"a"}"#, "{}", Err(TokenFault::HeaderAlgorithm));
        check(r#"{"alg":"RS256","kid":1}"#, "{}", Err(TokenFault::HeaderKey));
        check(r#"{"alg":"RS256","crit":[]}"#, "{}", Err(TokenFault::HeaderJson));
        check(r#"{"alg":"RS256","b64":true}"#, "{}", Err(TokenFault::HeaderJson));
        check(r#"{"alg":"none","alg":"RS256"}"#, "{}", Err(TokenFault::HeaderJson));
        check(r#"{"alg":"RS256"}"#, "[]", Err(TokenFault::PayloadJson));
        for text in ["", "..", "...", "a.b", "a.b.c.d", &"x".repeat(MAX_TOKEN + 1)] {
            assert!(Token::parse(text).is_err(), "{text:.20}");
        }
    }
}
