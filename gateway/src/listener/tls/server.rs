//! One server of a port that speaks TLS: what is in force, and how it is replaced.
//!
//! What is in force is swapped whole: a handshake takes it once. When files change they are
//! read anew; what does not fit together, as a pair that is half written, changes nothing.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::config::{self, Ready};
use super::terms::Definition;

/// One server.
#[derive(Debug)]
pub struct TlsServer {
    definition: Definition,
    verification: u64,
    state: ArcSwap<State>,
    /// What the files looked like when they were read last, and what was wrong with them.
    last: Mutex<(u64, Option<String>)>,
}

/// Whether a server can be spoken to.
#[derive(Debug)]
pub enum State {
    /// With these.
    Ready(Ready),
    /// Not, for this reason.
    Unavailable(String),
}

/// What became of changed files.
#[derive(Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// They are in force.
    Replaced,
    /// They do not fit together; what was in force stays.
    Kept(String),
}

impl TlsServer {
    /// A server with what its sources hold now.
    pub fn new(definition: Definition) -> Self {
        let fingerprint = definition.sources.fingerprint();
        let (state, wrong) = match config::ready(&definition, None) {
            Ok(ready) => (State::Ready(ready), None),
            Err(message) => (State::Unavailable(message.clone()), Some(message)),
        };
        Self {
            verification: definition.verification(),
            definition,
            state: ArcSwap::from_pointee(state),
            last: Mutex::new((fingerprint, wrong)),
        }
    }

    /// What it was made of.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// A number for who is let in.
    pub fn verification(&self) -> u64 {
        self.verification
    }

    /// What is in force.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Reads files that changed; nothing when none did, or when the same is wrong with them.
    pub fn refresh(&self) -> Option<Refreshed> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = self.definition.sources.fingerprint();
        // What failed is tried again, since a file may have been read while it was written.
        if fingerprint == last.0 && last.1.is_none() {
            return None;
        }
        let state = self.state.load();
        let before = match state.as_ref() {
            State::Ready(ready) => Some(ready),
            State::Unavailable(_) => None,
        };
        match config::ready(&self.definition, before) {
            Ok(ready) => {
                self.state.store(Arc::new(State::Ready(ready)));
                *last = (fingerprint, None);
                Some(Refreshed::Replaced)
            }
            Err(message) => {
                let is_known = last.1.as_ref() == Some(&message);
                *last = (fingerprint, Some(message.clone()));
                (!is_known).then_some(Refreshed::Kept(message))
            }
        }
    }
}
