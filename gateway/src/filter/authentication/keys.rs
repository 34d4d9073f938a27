//! The keys of an issuer: which are usable, for which algorithms, and whether one of them made a signature.
//!
//! The key decides what it can verify, by its type, its curve and what its owner says of it;
//! a token only says what it claims to be. A key that is not usable is skipped and counted,
//! the others stay.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

use super::token::{self, Token};
use crate::local_reply::token_fault::TokenFault;

/// Most keys of a set; more are skipped.
const MAX_KEYS: usize = 1000;
/// Most keys that a token without `kid` is tried with.
const MAX_TRIES: usize = 10;
/// RSA keys below this many bits can be broken (RFC 7518 §3.3).
const MIN_RSA_BITS: usize = 2048;
/// Shortest shared secret (RFC 7518 §3.2, for SHA-256).
const MIN_SECRET: usize = 32;

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// Where a set comes from, which decides what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Written by the operator: secrets can be shared with it.
    Inline,
    /// Fetched: everybody can read it.
    Fetched,
}

/// One key.
struct Key {
    id: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys of an issuer.
pub struct KeySet {
    /// Tells sets apart, also those of one issuer over time.
    number: u64,
    keys: Vec<Key>,
    skipped: Vec<String>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({} keys, {} skipped)", self.keys.len(), self.skipped.len())
    }
}

impl KeySet {
    /// The usable keys of a JSON Web Key Set; an error when it is none, or no key is usable.
    pub fn parse(text: &[u8], origin: Origin) -> Result<Self, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let set: Value = serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
        let Some(Value::Array(entries)) = set.get("keys") else { return Err("there are no `keys`".to_owned()) };
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate().take(MAX_KEYS) {
            match entry.as_object().ok_or_else(|| "not an object".to_owned()).and_then(|it| key(it, origin)) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(format!("key {index}: {why}")),
            }
        }
        if keys.is_empty() {
            return Err(format!("no key is usable: {}", skipped.join("; ")));
        }
        Ok(Self { number: NUMBER.fetch_add(1, Ordering::Relaxed), keys, skipped })
    }

    /// Tells sets apart.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Why keys are left out, one text for each.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Whether one of the keys made the signature; `NoKey` when none can have.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), TokenFault> {
        let fits = |it: &&Key| {
            let named = match (&token.key, &it.id) {
                (Some(asked), Some(own)) => **asked == **own,
                (Some(_), None) | (None, _) => true,
            };
            named && it.algorithms.contains(&token.algorithm)
        };
        let mut tried = false;
        for it in self.keys.iter().filter(fits).take(MAX_TRIES) {
            tried = true;
            if crypto::verify(token.signature, token.message.as_bytes(), &it.key, token.algorithm) == Ok(true) {
                return Ok(());
            }
        }
        Err(if tried { TokenFault::Signature } else { TokenFault::NoKey })
    }
}

fn text<'a>(entry: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match entry.get(name) {
        None => Ok(None),
        Some(Value::String(it)) => Ok(Some(it)),
        Some(_) => Err(format!("`{name}` is no text")),
    }
}

fn needed<'a>(entry: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    text(entry, name)?.ok_or_else(|| format!("there is no `{name}`"))
}

fn key(entry: &Map<String, Value>, origin: Origin) -> Result<Key, String> {
    if text(entry, "use")?.is_some_and(|it| it != "sig") {
        return Err("it is not for signatures".to_owned());
    }
    if let Some(operations) = entry.get("key_ops") {
        let verifies = operations.as_array().is_some_and(|it| it.iter().any(|it| it == "verify"));
        if !verifies {
            return Err("`key_ops` has no `verify`".to_owned());
        }
    }
    if entry.contains_key("d") {
        return Err("its private half is published".to_owned());
    }
    let (possible, key) = match needed(entry, "kty")? {
        "RSA" => (RSA.to_vec(), rsa(entry)?),
        "EC" => elliptic(entry)?,
        "OKP" if needed(entry, "crv")? == "Ed25519" => {
            let x = needed(entry, "x")?;
            sized(x, 32)?;
            (vec![Algorithm::EdDSA], DecodingKey::from_ed_components(x).map_err(|it| it.to_string())?)
        }
        "oct" if origin == Origin::Inline => {
            let secret = URL_SAFE_NO_PAD.decode(needed(entry, "k")?).map_err(|_| "`k` is no base64url".to_owned())?;
            if secret.len() < MIN_SECRET {
                return Err(format!("a secret of {} bytes can be guessed; {MIN_SECRET} are needed", secret.len()));
            }
            (HMAC.to_vec(), DecodingKey::from_secret(&secret))
        }
        "oct" => return Err("a shared secret cannot be public".to_owned()),
        other => return Err(format!("keys of type `{other}` are not supported")),
    };
    let algorithms = match text(entry, "alg")? {
        None => possible,
        Some(name) => {
            let only = token::algorithm(name).filter(|it| possible.contains(it));
            vec![only.ok_or_else(|| format!("the algorithm `{name}` does not go with the key or is not supported"))?]
        }
    };
    Ok(Key { id: text(entry, "kid")?.map(Into::into), algorithms, key })
}

fn sized(part: &str, length: usize) -> Result<(), String> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| "a coordinate is no base64url".to_owned())?;
    if bytes.len() == length {
        Ok(())
    } else {
        Err(format!("a coordinate has {} bytes instead of {length}", bytes.len()))
    }
}

fn rsa(entry: &Map<String, Value>) -> Result<DecodingKey, String> {
    let (n, e) = (needed(entry, "n")?, needed(entry, "e")?);
    let decode = |it: &str| URL_SAFE_NO_PAD.decode(it).map_err(|_| "`n` or `e` is no base64url".to_owned());
    let modulus = decode(n)?;
    let leading = modulus.iter().position(|it| *it != 0).unwrap_or(modulus.len());
    let bits = (modulus.len() - leading) * 8 - modulus.get(leading).map_or(0, |it| it.leading_zeros() as usize);
    if bits < MIN_RSA_BITS {
        return Err(format!("an RSA key of {bits} bits can be broken"));
    }
    let exponent = decode(e)?;
    let is_one = exponent.iter().rev().skip(1).all(|it| *it == 0) && exponent.last().is_none_or(|it| *it <= 1);
    if is_one || exponent.last().is_none_or(|it| it % 2 == 0) {
        return Err("the exponent of the RSA key protects nothing".to_owned());
    }
    DecodingKey::from_rsa_components(n, e).map_err(|it| it.to_string())
}

fn elliptic(entry: &Map<String, Value>) -> Result<(Vec<Algorithm>, DecodingKey), String> {
    let (algorithm, length) = match needed(entry, "crv")? {
        "P-256" => (Algorithm::ES256, 32),
        "P-384" => (Algorithm::ES384, 48),
        "P-521" => return Err("ES512 cannot be verified; use ES256, ES384 or EdDSA".to_owned()),
        other => return Err(format!("the curve `{other}` is not supported")),
    };
    let (x, y) = (needed(entry, "x")?, needed(entry, "y")?);
    sized(x, length)?;
    sized(y, length)?;
    Ok((vec![algorithm], DecodingKey::from_ec_components(x, y).map_err(|it| it.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, origin: Origin, expected: Option<&str>) {
        let set = KeySet::parse(format!(r#"{{"keys":[{key}]}}"#).as_bytes(), origin);
        match expected {
            None => assert!(set.is_ok(), "{key}: {set:?}"),
            Some(why) => assert!(set.as_ref().is_err_and(|it| it.contains(why)), "{key}: {set:?}"),
        }
    }

    #[test]
    fn only_keys_that_protect_are_used() {
        let n = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
        let rsa = |n: &str, e: &str, more: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"{more}}}"#);
        check(&rsa(&n(256), "AQAB", ""), Origin::Fetched, None);
        check(&rsa(&n(256), "AQAB", r#","alg":"PS256","use":"sig","key_ops":["verify"]"#), Origin::Fetched, None);
        check(&rsa(&n(64), "AQAB", ""), Origin::Fetched, Some("512 bits"));
        check(&rsa(&n(256), "AQ", ""), Origin::Fetched, Some("exponent"));
        check(&rsa(&n(256), "AQAB", r#","use":"enc""#), Origin::Fetched, Some("not for signatures"));
        check(&rsa(&n(256), "AQAB", r#","key_ops":["encrypt"]"#), Origin::Fetched, Some("key_ops"));
        check(&rsa(&n(256), "AQAB", r#","d":"AQAB""#), Origin::Fetched, Some("private"));
        check(&rsa(&n(256), "AQAB", r#","alg":"ES256""#), Origin::Fetched, Some("does not go"));
        let secret = format!(r#"{{"kty":"oct","k":"{}"}}"#, URL_SAFE_NO_PAD.encode([7; 32]));
        check(&secret, Origin::Inline, None);
        check(&secret, Origin::Fetched, Some("cannot be public"));
        check(r#"{"kty":"oct","k":"YQ"}"#, Origin::Inline, Some("can be guessed"));
        check(r#"{"kty":"EC","crv":"P-521","x":"","y":""}"#, Origin::Inline, Some("ES512"));
        check(r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, Origin::Inline, Some("coordinate"));
        check(r#"{"kty":"new"}"#, Origin::Inline, Some("not supported"));
        assert!(KeySet::parse(b"<html>", Origin::Fetched).is_err());
        assert!(KeySet::parse(b"{}", Origin::Fetched).is_err());
    }

    #[test]
    fn a_bad_key_does_not_take_the_others_with_it() {
        let good = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, URL_SAFE_NO_PAD.encode(vec![0xff; 256]));
        let set = KeySet::parse(format!(r#"{{"keys":[{{}},{good}]}}"#).as_bytes(), Origin::Fetched).unwrap();
        assert_eq!((set.keys.len(), set.skipped().len()), (1, 1));
    }
}
