//! An issuer of tokens, and a server of keys that does what it is told.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::Upstream;

/// An issuer with one key (ES256).
pub(crate) struct Issuer {
    key: KeyPair,
    id: &'static str,
}

impl Issuer {
    pub(crate) fn new(id: &'static str) -> Self {
        Self { key: KeyPair::generate().unwrap(), id }
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }

    /// Its key as others see it.
    pub(crate) fn key(&self) -> Value {
        let point = self.key.der_bytes();
        let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": part(1..33), "y": part(33..65) })
    }

    /// A set of its key alone.
    pub(crate) fn keys(&self) -> String {
        json!({ "keys": [self.key()] }).to_string()
    }
}

/// An answer that never comes.
const STALL: &str = "stall";

/// A server that answers every request with what it was told last.
pub(crate) struct KeyServer {
    pub(crate) upstream: Upstream,
    answer: Arc<Mutex<String>>,
}

impl KeyServer {
    pub(crate) fn new(keys: &str) -> Self {
        let answer = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&answer);
        let say = move |_: usize, _: &str| {
            let answer = said.lock().unwrap().clone();
            if answer == STALL {
                std::thread::park_timeout(super::PATIENCE);
            }
            answer
        };
        let server = Self { upstream: Upstream::answering(say), answer };
        server.serve(keys);
        server
    }

    /// Answers with these keys from now on.
    pub(crate) fn serve(&self, keys: &str) {
        self.say(&super::upstream::response(200, keys));
    }

    /// Answers with these bytes from now on.
    pub(crate) fn say(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap());
    }

    /// Answers nothing from now on, and keeps its clients waiting.
    pub(crate) fn stall(&self) {
        self.say(STALL);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/keys", self.upstream.address())
    }
}
