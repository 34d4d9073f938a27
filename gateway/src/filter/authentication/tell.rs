//! Tells for each token which rules looked at it, by which key, and what about it failed: for `sluice explain`.

use std::fmt;

use serde_json::Value;

use super::location::Location;
use super::token::Token;
use super::{Asked, Authentication, Rule};
use crate::digest::sha256;
use crate::local_reply::token_fault::TokenFault;

/// What is said of a token.
#[derive(Debug)]
pub struct Told<'a> {
    /// The rule that says it; none where no rule is asked yet.
    pub rule: Option<&'a Rule>,
    /// What.
    pub said: String,
}

impl Authentication {
    /// What each rule says of each token of a request; `now` in seconds since 1970.
    pub fn tell(&self, asked: Asked<'_>, now: i64) -> Vec<Told<'_>> {
        let mut out = Vec::new();
        for (place, rules) in &self.places {
            let tokens = match place.tokens(asked.headers, asked.target) {
                Ok(it) => it,
                Err(fault) => {
                    out.push(Told { rule: None, said: format!("{place}: {}", fault.text()) });
                    continue;
                }
            };
            for text in tokens {
                match Token::parse(&text) {
                    Err(fault) => out.push(Told { rule: None, said: format!("{place}: {}", fault.text()) }),
                    Ok(token) => out.extend(rules.iter().filter_map(|it| self.rules.get(*it)).map(|rule| {
                        let said = format!("{place}: {}", rule.said(&text, &token, now));
                        Told { rule: Some(rule), said }
                    })),
                }
            }
        }
        out
    }
}

impl Rule {
    /// What it says of a token.
    fn said(&self, text: &str, token: &Token<'_>, now: i64) -> String {
        let claim = |name: &str| token.claims.get(name).map_or("nothing".to_owned(), Value::to_string);
        if !self.issuer.is_empty() && token.claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return format!("is not for it: the rule is for issuer `{}`, `iss` is {}", self.issuer, claim("iss"));
        }
        let key = match &token.key {
            Some(id) => format!("key `{id}`, {:?}", token.algorithm),
            None => format!("a key of {:?}, it names none", token.algorithm),
        };
        let fault = match self.verify(sha256(text.as_bytes()), token, now) {
            Ok(_) => return format!("valid by {key}"),
            Err(it) => it,
        };
        let because = match fault {
            TokenFault::Audience => format!("`aud` is {}, admitted are {:?}", claim("aud"), self.audiences),
            TokenFault::Expired => format!("`exp` is {}, now is {now}", claim("exp")),
            TokenFault::NotYetValid => format!("`nbf` is {}, now is {now}", claim("nbf")),
            TokenFault::NoKeys => "keys that are fetched are not known offline".to_owned(),
            TokenFault::NoKey | TokenFault::Signature => format!("by {key}"),
            TokenFault::ClaimType => "a registered claim has the wrong type".to_owned(),
            TokenFault::Missing
            | TokenFault::Format
            | TokenFault::HeaderEncoding
            | TokenFault::HeaderJson
            | TokenFault::HeaderAlgorithm
            | TokenFault::Algorithm
            | TokenFault::HeaderKey
            | TokenFault::PayloadEncoding
            | TokenFault::PayloadJson
            | TokenFault::SignatureEncoding
            | TokenFault::Issuer => return fault.text().to_owned(),
        };
        format!("{} ({because})", fault.text())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name, _) => write!(f, "header {name}"),
            Self::Param(name) => write!(f, "parameter {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}
