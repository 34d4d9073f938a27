//! What a verified token says, and how policies and routes look it up.

use serde_json::{Map, Value};

use crate::local_reply::token_fault::TokenFault;

/// Seconds that clocks may differ (Envoy's default).
const SKEW: i64 = 60;
/// Claims that are always lists separated by spaces (Istio).
const SPACED: [&str; 2] = ["scope", "permission"];

/// The names that lead to a claim, from the outside in.
pub type ClaimPath = Box<[Box<str>]>;

/// What a verified token says.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// Its issuer; empty when it names none.
    pub issuer: Box<str>,
    /// Whom it is about; empty when it names nobody.
    pub subject: Box<str>,
    /// For whom it is.
    pub audiences: Box<[Box<str>]>,
    /// To whom it was issued (`azp`); empty when it does not say.
    pub presenter: Box<str>,
    all: Map<String, Value>,
    spaced: Box<[Box<str>]>,
}

impl Claims {
    /// The registered claims, each of its type.
    pub(super) fn read(all: Map<String, Value>, spaced: &[Box<str>]) -> Result<Self, TokenFault> {
        let text = |name: &str| match all.get(name) {
            None => Ok(Box::default()),
            Some(Value::String(it)) => Ok(Box::from(it.as_str())),
            Some(_) => Err(TokenFault::ClaimType),
        };
        let audiences = match all.get("aud") {
            None => Box::default(),
            Some(Value::String(it)) => [Box::from(it.as_str())].into(),
            Some(Value::Array(entries)) => entries
                .iter()
                .map(|it| it.as_str().map(Box::from).ok_or(TokenFault::ClaimType))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(TokenFault::ClaimType),
        };
        if all.get("jti").is_some_and(|it| !it.is_string()) || all.get("iat").is_some_and(|it| !it.is_number()) {
            return Err(TokenFault::ClaimType);
        }
        let presenter = all.get("azp").and_then(Value::as_str).unwrap_or_default().into();
        let (issuer, subject) = (text("iss")?, text("sub")?);
        Ok(Self { issuer, subject, audiences, presenter, spaced: spaced.into(), all })
    }

    /// Whether it holds now; says until when, in seconds since 1970, if it ends.
    pub(super) fn holds(&self, now: i64) -> Result<Option<i64>, TokenFault> {
        let not_before = self.time("nbf")?;
        if not_before.is_some_and(|it| it > now.saturating_add(SKEW)) {
            return Err(TokenFault::NotYetValid);
        }
        let end = self.time("exp")?.map(|it| it.saturating_add(SKEW));
        if end.is_some_and(|it| it < now) { Err(TokenFault::Expired) } else { Ok(end) }
    }

    /// A time in seconds since 1970.
    fn time(&self, name: &str) -> Result<Option<i64>, TokenFault> {
        /// The year 9999; what lies behind it is no time that anybody meant, except in milliseconds.
        const LAST: f64 = 253_402_300_799_000.0;
        let Some(value) = self.all.get(name) else { return Ok(None) };
        let value = value.as_f64().filter(|it| (0.0..=LAST).contains(it)).ok_or(TokenFault::ClaimType)?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
        let seconds = value as i64;
        Ok(Some(seconds))
    }

    /// The value of a claim by the names that lead to it.
    fn find(&self, path: &[Box<str>]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.all.get(first.as_ref())?, |value, name| value.get(name.as_ref()))
    }

    /// Whether a claim is, or contains, a text for which this holds.
    pub fn any(&self, path: &[Box<str>], mut holds: impl FnMut(&str) -> bool) -> bool {
        let is_spaced = path
            .first()
            .is_some_and(|name| path.len() == 1 && (SPACED.contains(&name.as_ref()) || self.spaced.contains(name)));
        match self.find(path) {
            Some(Value::String(it)) if is_spaced => it.split(' ').any(holds),
            Some(Value::String(it)) => holds(it),
            Some(Value::Array(entries)) => entries.iter().filter_map(Value::as_str).any(holds),
            Some(Value::Bool(it)) => holds(if *it { "true" } else { "false" }),
            Some(Value::Null | Value::Number(_) | Value::Object(_)) | None => false,
        }
    }

    /// A claim as a header shows it: texts, numbers and truths, and lists of texts.
    pub(super) fn shown(&self, path: &[Box<str>]) -> Option<String> {
        match self.find(path)? {
            Value::String(it) => Some(it.clone()),
            Value::Number(it) => Some(it.to_string()),
            Value::Bool(it) => Some(it.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Result<Claims, TokenFault> {
        Claims::read(super::super::json::object(text.as_bytes()).unwrap(), &["own".into()])
    }

    #[test]
    fn registered_claims_have_their_types() {
        for (text, expected) in [
            (r#"{"iss":"a","sub":"b","aud":["c"],"azp":"d"}"#, true),
            ("{}", true),
            (r#"{"iss":1}"#, false),
            (r#"{"iss":null}"#, false),
            (r#"{"sub":["a"]}"#, false),
            (r#"{"aud":["a",1]}"#, false),
            (r#"{"aud":{}}"#, false),
            (r#"{"jti":5}"#, false),
        ] {
            assert_eq!(claims(text).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn times_are_numbers_within_a_minute_of_skew() {
        for (text, expected) in [
            ("{}", Ok(None)),
            (r#"{"exp":1000}"#, Ok(Some(1060))),
            (r#"{"exp":941.5}"#, Ok(Some(1001))),
            (r#"{"exp":939}"#, Err(TokenFault::Expired)),
            (r#"{"nbf":1060}"#, Ok(None)),
            (r#"{"nbf":1061}"#, Err(TokenFault::NotYetValid)),
            (r#"{"exp":"2000"}"#, Err(TokenFault::ClaimType)),
            (r#"{"exp":null}"#, Err(TokenFault::ClaimType)),
            (r#"{"exp":1e300}"#, Err(TokenFault::ClaimType)),
            (r#"{"exp":-1}"#, Err(TokenFault::ClaimType)),
        ] {
            assert_eq!(claims(text).unwrap().holds(1000), expected, "{text}");
        }
    }

    #[test]
    fn claims_are_found_by_path_and_compared_as_texts() {
        let claims = claims(r#"{"a":{"b":["x","y"]},"scope":"r w","own":"p q","other":"r w","n":1,"t":true}"#).unwrap();
        for (path, value, expected) in [
            (&["a", "b"][..], "y", true),
            (&["a"], "y", false),
            (&["a", "c"], "y", false),
            (&["scope"], "w", true),
            (&["own"], "q", true),
            (&["other"], "w", false),
            (&["other"], "r w", true),
            (&["n"], "1", false),
            (&["t"], "true", true),
        ] {
            let path: Vec<Box<str>> = path.iter().map(|it| Box::from(*it)).collect();
            assert_eq!(claims.any(&path, |it| it == value), expected, "{path:?} {value}");
        }
    }
}
