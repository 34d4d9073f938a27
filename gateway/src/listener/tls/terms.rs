//! What a server asks of a handshake besides its certificates.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use super::source::Sources;

/// Everything that makes a server what it is; two equal definitions are the same server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Definition {
    /// Where its certificates come from.
    pub sources: Sources,
    /// What it asks.
    pub terms: Terms,
}

impl Definition {
    /// A number for who is let in: the same clients pass servers with the same number.
    pub fn verification(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.terms.clients, &self.sources.authorities, &self.sources.revoked).hash(&mut hasher);
        hasher.finish()
    }
}

/// What a server asks of a handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Versions of TLS.
    pub versions: Versions,
    /// Admitted cipher suites of TLS 1.2 by their IANA numbers; empty admits all.
    pub suites: Box<[u16]>,
    /// Admitted groups by their IANA numbers, the best first; empty admits all.
    pub groups: Box<[u16]>,
    /// What clients must show.
    pub clients: Clients,
}

/// Versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Versions {
    /// 1.2 and 1.3.
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
    /// None: what is asked for is too old.
    Neither,
}

/// What clients must show.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Clients {
    /// Nothing.
    Anonymous,
    /// A certificate.
    Certified(ClientTerms),
}

/// What a client's certificate must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientTerms {
    /// Whether there must be one.
    pub required: bool,
    /// Whether one that no authority signed is admitted, though not believed.
    pub admits_untrusted: bool,
    /// Names of which it must carry one; empty asks for none.
    pub names: Box<[Box<str>]>,
    /// SHA-256 of certificates of which it must be one.
    pub hashes: Box<[[u8; 32]]>,
    /// SHA-256 of public keys of which it must have one.
    pub key_hashes: Box<[[u8; 32]]>,
}
