//! Accepts users by name and password (the native kind `BasicAuthentication`, RFC 7617).
//!
//! Passwords are checked against bcrypt or argon2 hashes, which is slow on purpose: whoever
//! serves requests looks here for what was checked before, and has the rest checked
//! elsewhere. A user that does not exist costs as much as one that does.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHash, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, header};

use super::credential::{Outcome, Principal};
use super::own_headers::OwnHeaders;
use crate::digest::sha256;
use crate::local_reply::credential_fault::CredentialFault;

/// How policies call users with a password.
pub const KIND: &str = "basic";
/// How long a password that was right is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// Most passwords that a worker remembers.
const MAX_REMEMBERED: usize = 10_000;
/// Longest name and password together.
const MAX_CREDENTIAL: usize = 1024;
/// Most work factor of bcrypt; each more doubles the time.
const MAX_COST: u32 = 15;
/// Most memory of argon2, in KiB.
const MAX_MEMORY: u32 = 256 * 1024;
/// Most passes of argon2.
const MAX_PASSES: u32 = 64;

/// The users and what becomes of their requests.
#[derive(Debug)]
pub struct BasicAuthentication {
    users: HashMap<Box<str>, Hash>,
    /// What those are shown who are asked; nothing is the address that they asked for.
    pub realm: Option<Box<str>>,
    /// Whether requests without a password pass.
    pub optional: bool,
    /// Whether the password goes on to the upstream.
    pub forwards: bool,
    /// Header that tells the upstream the user's name.
    pub user_header: Option<HeaderName>,
    /// Headers that only this policy may set.
    pub own: OwnHeaders,
    /// Tells policies apart, also over reloads.
    number: u64,
}

/// The hash of a password.
#[derive(Debug, Clone)]
enum Hash {
    Bcrypt(Arc<str>),
    Argon2(Arc<str>),
}

/// A name and password that were presented.
pub struct Presented {
    user: Box<str>,
    password: Box<str>,
    digest: [u8; 32],
}

/// The check of a password: slow, and it needs nothing of the policy.
pub struct Check {
    password: Box<str>,
    hash: Hash,
    exists: bool,
}

thread_local! {
    /// Until when this worker takes a password for right, by policy and digest.
    static REMEMBERED: RefCell<HashMap<(u64, [u8; 32]), Instant>> = RefCell::default();
}

impl BasicAuthentication {
    /// The users of lines `user:hash`; says which line cannot be used, without repeating it.
    pub fn parse(lines: &str) -> Result<Self, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut users = HashMap::new();
        for (index, line) in lines.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |why: &str| format!("line {}: {why}", index + 1);
            let (user, hash) = line.split_once(':').ok_or_else(|| at("not `user:hash`"))?;
            if user.is_empty() || users.insert(user.into(), Hash::parse(hash).map_err(|it| at(&it))?).is_some() {
                return Err(at("a user needs a name of its own"));
            }
        }
        if users.is_empty() {
            return Err("there are no users".to_owned());
        }
        Ok(Self {
            users,
            realm: None,
            optional: false,
            forwards: false,
            user_header: None,
            own: OwnHeaders::default(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// What a request presents.
    pub fn read(&self, headers: &HeaderMap) -> Result<Option<Presented>, CredentialFault> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let Some(field) = fields.next() else { return self.without() };
        let text = field.to_str().map_err(|_| CredentialFault::WrongPassword)?;
        let Some((scheme, encoded)) = text.split_once(' ') else { return self.without() };
        if !scheme.eq_ignore_ascii_case("basic") {
            return self.without();
        }
        let is_long = encoded.len() > MAX_CREDENTIAL * 4 / 3 + 4;
        if fields.next().is_some() || is_long {
            return Err(CredentialFault::WrongPassword);
        }
        let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|it| String::from_utf8(it).ok());
        let decoded = decoded.ok_or(CredentialFault::WrongPassword)?;
        let (user, password) = decoded.split_once(':').ok_or(CredentialFault::WrongPassword)?;
        Ok(Some(Presented { user: user.into(), password: password.into(), digest: sha256(decoded.as_bytes()) }))
    }

    fn without(&self) -> Result<Option<Presented>, CredentialFault> {
        if self.optional { Ok(None) } else { Err(CredentialFault::MissingPassword) }
    }

    /// Whether this was right a moment ago.
    pub fn remembers(&self, presented: &Presented, now: Instant) -> bool {
        let until = REMEMBERED.with_borrow(|all| all.get(&(self.number, presented.digest)).copied());
        until.is_some_and(|it| now < it)
    }

    /// Notes that it was right.
    pub fn remember(&self, presented: &Presented, now: Instant) {
        REMEMBERED.with_borrow_mut(|all| {
            if all.len() >= MAX_REMEMBERED {
                all.clear();
            }
            all.insert((self.number, presented.digest), now + REMEMBERED_FOR);
        });
    }

    /// What has to be checked.
    pub fn check(&self, presented: &Presented) -> Option<Check> {
        let known = self.users.get(&presented.user);
        // Somebody's hash stands in for that of nobody, so that names cannot be found out by time.
        let hash = known.or_else(|| self.users.values().next())?;
        Some(Check { password: presented.password.clone(), hash: hash.clone(), exists: known.is_some() })
    }

    /// What becomes of a request that presents something right, or nothing.
    pub fn outcome(&self, headers: &HeaderMap, presented: Option<&Presented>) -> Outcome {
        let mut outcome = Outcome { remove: self.own.claimed(headers), ..Outcome::default() };
        let Some(presented) = presented else { return outcome };
        if !self.forwards {
            outcome.remove.push(header::AUTHORIZATION);
        }
        outcome.tell(self.user_header.as_ref(), &presented.user);
        outcome.principal = Some(Principal { kind: KIND, name: presented.user.as_ref().into() });
        outcome
    }
}

impl Check {
    /// Whether the password is right; takes tens of milliseconds or more.
    pub fn run(&self) -> bool {
        self.hash.verifies(&self.password) && self.exists
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("$2") {
            let cost = text.split('$').nth(2).and_then(|it| it.parse::<u32>().ok());
            let is_whole = text.len() == 60 && ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|it| text.starts_with(it));
            return match cost.filter(|_| is_whole) {
                None => Err("not a whole bcrypt hash".to_owned()),
                Some(cost) if cost > MAX_COST => Err(format!("a bcrypt cost of {cost}; at most {MAX_COST} is checked")),
                Some(_) => Ok(Self::Bcrypt(text.into())),
            };
        }
        if text.starts_with("$argon2") {
            let hash = PasswordHash::new(text).map_err(|error| format!("not an argon2 hash: {error}"))?;
            let params = Params::try_from(&hash).map_err(|error| format!("not an argon2 hash: {error}"))?;
            if params.m_cost() > MAX_MEMORY || params.t_cost() > MAX_PASSES {
                return Err(format!("argon2 with more than {MAX_MEMORY} KiB or {MAX_PASSES} passes"));
            }
            return Ok(Self::Argon2(text.into()));
        }
        Err("neither bcrypt (`htpasswd -B`) nor argon2, and others are not safe".to_owned())
    }

    fn verifies(&self, password: &str) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2(hash) => PasswordHash::new(hash).is_ok_and(|hash| {
                // The hash says its own algorithm and parameters; these are only where it is silent.
                let verifier = Argon2::new(Algorithm::default(), Version::default(), Params::default());
                verifier.verify_password(password.as_bytes(), &hash).is_ok()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// `secret` by bcrypt of cost 4, and by argon2id with 64 KiB and one pass.
    const USERS: &str = "# users\nann:BCRYPT\n\nbob:ARGON\n";

    fn policy() -> BasicAuthentication {
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        let salt = argon2::password_hash::SaltString::encode_b64(b"saltsaltsalt").unwrap();
        let cheap = Argon2::new(Algorithm::Argon2id, Version::default(), Params::new(64, 1, 1, None).unwrap());
        let argon = argon2::password_hash::PasswordHasher::hash_password(&cheap, b"secret", &salt).unwrap().to_string();
        BasicAuthentication::parse(&USERS.replace("BCRYPT", &bcrypt).replace("ARGON", &argon)).unwrap()
    }

    fn headers(credential: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(credential));
        [(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap())].into_iter().collect()
    }

    #[test]
    fn passwords_are_checked_and_remembered() {
        let policy = policy();
        for (credential, expected) in
            [("ann:secret", true), ("bob:secret", true), ("ann:wrong", false), ("eve:secret", false), ("bob:", false)]
        {
            let presented = policy.read(&headers(credential)).unwrap().unwrap();
            assert!(!policy.remembers(&presented, Instant::now()));
            assert_eq!(policy.check(&presented).unwrap().run(), expected, "{credential}");
        }
        let presented = policy.read(&headers("ann:secret")).unwrap().unwrap();
        let now = Instant::now();
        policy.remember(&presented, now);
        assert!(policy.remembers(&presented, now + REMEMBERED_FOR - Duration::from_secs(1)));
        assert!(!policy.remembers(&presented, now + REMEMBERED_FOR));
    }

    #[test]
    fn what_is_no_credential_is_wrong_or_missing() {
        let policy = policy();
        let with = |text: &'static str| -> HeaderMap {
            [(header::AUTHORIZATION, HeaderValue::from_static(text))].into_iter().collect()
        };
        for (text, fault) in [
            ("Bearer x", CredentialFault::MissingPassword),
            ("Basic ???", CredentialFault::WrongPassword),
            ("basic YW5u", CredentialFault::WrongPassword),
        ] {
            assert_eq!(policy.read(&with(text)).err(), Some(fault), "{text}");
        }
        assert_eq!(policy.read(&HeaderMap::new()).err(), Some(CredentialFault::MissingPassword));
    }

    #[test]
    fn hashes_that_are_weak_or_ruinous_are_refused() {
        let strong = bcrypt::hash("x", 4).unwrap();
        for line in [
            "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".to_owned(),
            "a:$apr1$x$y".to_owned(),
            "a:plain".to_owned(),
            "no hash".to_owned(),
            strong.replace("$04$", "$31$").replace("$2b", "a:$2b"),
            "a:$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            format!("a:{strong}\na:{strong}"),
        ] {
            assert!(BasicAuthentication::parse(&line).is_err(), "{line}");
        }
    }
}
