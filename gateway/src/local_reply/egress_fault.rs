//! Why a destination is not reached: a closed set, with the code that clients and logs see.

/// Why a destination is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EgressFault {
    /// What was asked for is no destination, or not in a form that a forward proxy takes.
    NoTarget,
    /// No document allows the host.
    Host,
    /// Documents allow the host, but not this port.
    Port,
    /// The port is not for this: CONNECT to a port of HTTP, or requests to a port of TLS.
    Protocol,
    /// The name has no address.
    Unresolved,
    /// The name leads to an address that nobody may be led to.
    Address,
    /// What is said in the tunnel is not TLS, or too late.
    NoHello,
    /// The handshake in the tunnel names another server, or none.
    ServerName,
    /// The host's TLS shall end here, and there is no certificate to show for it.
    NoAuthority,
}

impl EgressFault {
    /// Status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::NoTarget => 400,
            Self::Host | Self::Port | Self::Protocol | Self::Address | Self::NoHello | Self::ServerName => 403,
            Self::Unresolved => 502,
            Self::NoAuthority => 503,
        }
    }

    /// Its name in logs and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoTarget => "egress_bad_target",
            Self::Host => "egress_host_not_allowed",
            Self::Port => "egress_port_not_allowed",
            Self::Protocol => "egress_protocol_not_allowed",
            Self::Unresolved => "egress_dns_failure",
            Self::Address => "egress_address_forbidden",
            Self::NoHello => "egress_no_tls",
            Self::ServerName => "egress_sni_mismatch",
            Self::NoAuthority => "egress_no_authority",
        }
    }
}
