//! Why Redis did not say what was asked: a closed set, with a name for metrics.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The breaker is open: the server did not answer lately.
    Open,
    /// The deadline passed.
    Timeout,
    /// No connection, or it ended.
    Connection,
    /// More is asked than the lane takes.
    Overload,
    /// It is reading its data set.
    Loading,
    /// It is a replica.
    ReadOnly,
    /// It has no memory left.
    OutOfMemory,
    /// It does not know us, or does not let us.
    NotAllowed,
    /// The cluster does not serve the slot.
    ClusterDown,
    /// The key holds something else.
    WrongType,
    /// It answered something else.
    Protocol,
}

impl Failure {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "breaker_open",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Overload => "overload",
            Self::Loading => "loading",
            Self::ReadOnly => "read_only",
            Self::OutOfMemory => "out_of_memory",
            Self::NotAllowed => "not_allowed",
            Self::ClusterDown => "cluster_down",
            Self::WrongType => "wrong_type",
            Self::Protocol => "protocol",
        }
    }

    /// What an error of the client library means.
    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        match (error.code(), error.kind()) {
            (Some("OOM"), _) => Self::OutOfMemory,
            (Some("NOAUTH" | "WRONGPASS" | "NOPERM"), _) | (_, ErrorKind::AuthenticationFailed) => Self::NotAllowed,
            (Some("WRONGTYPE"), _) => Self::WrongType,
            (Some("CLUSTERDOWN"), _) | (_, ErrorKind::ClusterConnectionNotFound) => Self::ClusterDown,
            (Some("READONLY"), _) => Self::ReadOnly,
            (Some("LOADING"), _) => Self::Loading,
            (_, ErrorKind::Server(ServerErrorKind::MasterDown)) => Self::ReadOnly,
            _ if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal() => {
                Self::Connection
            }
            _ => Self::Protocol,
        }
    }
}
