//! Checks the JSON Web Tokens of a request (Istio's RequestAuthentication).
//!
//! A request without a token passes without an identity; every token that is presented must
//! be valid. Headers that this policy gives out are taken from every request first, so that
//! nobody gives himself an identity. What was verified is remembered by each worker, by a
//! digest, until the token ends or the keys change.

pub mod claims;
mod json;
pub mod keys;
pub mod location;
pub mod provider;
pub mod tell;
mod token;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use self::claims::{ClaimPath, Claims};
use self::location::{Location, Removal, header_value};
use self::provider::Provider;
use self::token::Token;
use crate::digest::sha256;
use crate::filter::own_headers::OwnHeaders;
use crate::local_reply::token_fault::TokenFault;
use crate::origin::DocumentOrigin;

/// Most verified tokens that a worker remembers.
const MAX_REMEMBERED: usize = 4096;

/// The rules of all RequestAuthentications that apply.
#[derive(Debug, Default)]
pub struct Authentication {
    rules: Box<[Rule]>,
    /// Every place where a rule looks, with the rules that do.
    places: Box<[(Location, Vec<usize>)]>,
    /// Headers that only this policy may set.
    pub own: OwnHeaders,
}

/// One issuer.
#[derive(Debug)]
pub struct Rule {
    /// What `iss` must be; empty admits any.
    pub issuer: Box<str>,
    /// Of which `aud` must name one; empty asks for none.
    pub audiences: Box<[Box<str>]>,
    /// Its keys.
    pub provider: Arc<Provider>,
    /// Where its tokens stand.
    pub places: Vec<Location>,
    /// Whether the token goes on to the upstream.
    pub forwards: bool,
    /// Whether a request must have one.
    pub required: bool,
    /// Header that gets the payload.
    pub payload_header: Option<HeaderName>,
    /// Headers that get claims.
    pub claim_headers: Box<[(HeaderName, ClaimPath)]>,
    /// Claims that are lists separated by spaces.
    pub spaced: Box<[Box<str>]>,
    /// Where it was written: the document and its index there.
    pub origin: (Arc<DocumentOrigin>, usize),
    /// Tells rules apart, also over reloads.
    number: u64,
}

/// A token that was verified.
#[derive(Debug)]
pub struct Identity {
    /// What it says.
    pub claims: Claims,
    /// The payload, as it came.
    payload: Box<str>,
}

/// What becomes of a request whose tokens are all valid.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Who asks, if a token says so.
    pub identity: Option<Arc<Identity>>,
    /// Headers to remove.
    pub remove: Vec<HeaderName>,
    /// Headers to set.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// The target without its token, if it had one.
    pub target: Option<String>,
}

/// What of a request is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a str,
    /// Path with query.
    pub target: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
}

struct Remembered {
    set: u64,
    until: Option<i64>,
    identity: Arc<Identity>,
}

thread_local! {
    /// What this worker has verified, by rule and digest.
    static REMEMBERED: RefCell<HashMap<(u64, [u8; 32]), Remembered>> = RefCell::default();
}

impl Rule {
    /// A rule of an issuer with nothing but its keys.
    pub fn new(issuer: &str, provider: Arc<Provider>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self {
            issuer: issuer.into(),
            audiences: Box::default(),
            provider,
            places: Location::usual(),
            forwards: false,
            required: false,
            payload_header: None,
            claim_headers: Box::default(),
            spaced: Box::default(),
            origin: (Arc::default(), 0),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Whether a token is one of this rule's, and whom it is about.
    fn verify(&self, digest: [u8; 32], token: &Token<'_>, now: i64) -> Result<Arc<Identity>, TokenFault> {
        let claims = Claims::read(token.claims.clone(), &self.spaced)?;
        let until = claims.holds(now)?;
        if !self.audiences.is_empty() && !claims.audiences.iter().any(|it| self.audiences.contains(it)) {
            return Err(TokenFault::Audience);
        }
        let keys = self.provider.keys().ok_or(TokenFault::NoKeys)?;
        keys.verify(token).inspect_err(|fault| {
            if *fault == TokenFault::NoKey {
                self.provider.want();
            }
        })?;
        let identity = Arc::new(Identity { claims, payload: token.payload.into() });
        let remembered = Remembered { set: keys.number(), until, identity: Arc::clone(&identity) };
        REMEMBERED.with_borrow_mut(|all| {
            if all.len() >= MAX_REMEMBERED {
                all.clear();
            }
            all.insert((self.number, digest), remembered);
        });
        Ok(identity)
    }

    /// What was verified before and still holds.
    fn remembered(&self, digest: [u8; 32], now: i64) -> Option<Arc<Identity>> {
        let set = self.provider.keys()?.number();
        REMEMBERED.with_borrow(|all| {
            let it = all.get(&(self.number, digest))?;
            let holds = it.set == set && it.until.is_none_or(|until| now <= until);
            holds.then(|| Arc::clone(&it.identity))
        })
    }
}

impl Authentication {
    /// The rules of all policies, in order.
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut places: Vec<(Location, Vec<usize>)> = Vec::new();
        let mut own: Vec<HeaderName> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            for place in &rule.places {
                match places.iter_mut().find(|it| it.0 == *place) {
                    Some((_, rules)) => rules.push(index),
                    None => places.push((place.clone(), vec![index])),
                }
            }
            own.extend(rule.payload_header.iter().cloned().chain(rule.claim_headers.iter().map(|it| it.0.clone())));
        }
        Self { rules: rules.into(), places: places.into(), own: OwnHeaders::new(own) }
    }

    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The issuers' keys.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.rules.iter().map(|it| &it.provider)
    }

    /// Judges all tokens of a request; `now` in seconds since 1970.
    pub fn judge(&self, asked: Asked<'_>, now: i64) -> Result<Outcome, TokenFault> {
        let mut outcome = Outcome { remove: self.own.claimed(asked.headers), ..Outcome::default() };
        // A preflight cannot carry a token, and browsers do not show why it was refused.
        let is_preflight = asked.method == "OPTIONS"
            && asked.headers.contains_key(header::ORIGIN)
            && asked.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight {
            return Ok(outcome);
        }
        let mut valid: Vec<(usize, Arc<Identity>)> = Vec::new();
        let mut target = asked.target.to_owned();
        for (place, rules) in &self.places {
            for token in place.tokens(asked.headers, asked.target)? {
                let (rule, identity) = self.one(&token, rules, now)?;
                if self.rules.get(rule).is_some_and(|it| !it.forwards) {
                    match place.without(&target) {
                        Removal::Nothing => {}
                        Removal::Header(name) => outcome.remove.push(name),
                        Removal::Target(without) => target = without,
                    }
                }
                valid.push((rule, identity));
            }
        }
        let has = |index: &usize| valid.iter().any(|it| it.0 == *index);
        if self.rules.iter().enumerate().any(|(index, it)| it.required && !has(&index)) {
            return Err(TokenFault::Missing);
        }
        outcome.target = (target != asked.target).then_some(target);
        if let Some((rule, identity)) = valid.into_iter().min_by_key(|it| it.0) {
            outcome.set = self.rules.get(rule).map(|it| given(it, &identity)).unwrap_or_default();
            outcome.identity = Some(identity);
        }
        Ok(outcome)
    }

    /// The first of the rules that a token fits, or why it fits none.
    fn one(&self, text: &str, rules: &[usize], now: i64) -> Result<(usize, Arc<Identity>), TokenFault> {
        let digest = sha256(text.as_bytes());
        let rules = || rules.iter().filter_map(|index| Some((*index, self.rules.get(*index)?)));
        if let Some((index, identity)) = rules().find_map(|(index, it)| Some((index, it.remembered(digest, now)?))) {
            return Ok((index, identity));
        }
        let token = Token::parse(text)?;
        let issuer = match token.claims.get("iss") {
            None => "",
            Some(serde_json::Value::String(it)) => it.as_str(),
            Some(_) => return Err(TokenFault::ClaimType),
        };
        let mut fault = TokenFault::Issuer;
        for (index, rule) in rules().filter(|(_, it)| it.issuer.is_empty() || *it.issuer == *issuer) {
            match rule.verify(digest, &token, now) {
                Ok(identity) => return Ok((index, identity)),
                Err(it) => fault = it,
            }
        }
        Err(fault)
    }
}

/// The headers that a rule gives out for a token; what cannot stand in one is left out.
fn given(rule: &Rule, identity: &Identity) -> Vec<(HeaderName, HeaderValue)> {
    let payload = rule.payload_header.iter().filter_map(|it| Some((it.clone(), header_value(&identity.payload)?)));
    let claims = rule
        .claim_headers
        .iter()
        .filter_map(|(name, path)| Some((name.clone(), header_value(&identity.claims.shown(path)?)?)));
    payload.chain(claims).collect()
}
