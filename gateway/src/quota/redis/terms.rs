//! Which Redis counts, and how it is reached; two stores with the same terms are the same store.

use std::fmt;
use std::time::Duration;

use redis::{ClientTlsConfig, TlsCertificates};

/// Which Redis, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its servers.
    pub servers: Servers,
    /// User, instead of the one of the URL.
    pub username: Option<String>,
    /// Password, instead of the one of the URL.
    pub password: Option<String>,
    /// User and password of sentinels.
    pub sentinel_login: Option<(String, String)>,
    /// How servers are verified; the system's authorities where nothing is said.
    pub tls: Option<Tls>,
    /// Begins every key.
    pub prefix: String,
    /// Longest time that a request waits.
    pub deadline: Duration,
}

/// Servers, each as URL.
#[derive(Clone, PartialEq, Eq)]
pub enum Servers {
    /// One.
    One(String),
    /// The master that sentinels tell.
    Sentinel {
        /// The sentinels.
        nodes: Vec<String>,
        /// Name of the master.
        master: String,
    },
    /// Those that hold the slots, found by some of them.
    Cluster(Vec<String>),
}

/// How a server is verified, and what it is shown; in PEM.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Authorities instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// Chain and key of a client certificate.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether any certificate is taken.
    pub insecure: bool,
}

impl Terms {
    /// Certificates as the client library takes them.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        let tls = self.tls.as_ref().filter(|it| it.authorities.is_some() || it.identity.is_some())?;
        let identity = tls.identity.clone();
        Some(TlsCertificates {
            client_tls: identity.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
            root_cert: tls.authorities.clone(),
        })
    }

    /// Whether a URL is one of a Redis, and why not.
    pub fn check(url: &str) -> Result<(), String> {
        use redis::IntoConnectionInfo as _;
        url.into_connection_info().map(|_| ()).map_err(|error| error.detail().unwrap_or(error.category()).to_owned())
    }
}

/// URLs and passwords are secrets.
impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("prefix", &self.prefix).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
