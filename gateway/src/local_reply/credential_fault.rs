//! Why a key or a password is not accepted: a closed set, with Envoy's texts.

/// Why a key or a password is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialFault {
    /// There is no key.
    MissingKey,
    /// Nobody has this key.
    UnknownKey,
    /// There is no password.
    MissingPassword,
    /// Nobody has this name and password.
    WrongPassword,
    /// Too many passwords are being looked at.
    Busy,
}

impl CredentialFault {
    /// Status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::MissingKey | Self::UnknownKey | Self::MissingPassword | Self::WrongPassword => 401,
            Self::Busy => 503,
        }
    }

    /// Envoy's text.
    pub fn text(self) -> &'static str {
        match self {
            Self::MissingKey | Self::UnknownKey => "Client authentication failed.",
            Self::MissingPassword => "User authentication failed. Missing username and password.",
            Self::WrongPassword => "User authentication failed. Invalid username/password combination.",
            Self::Busy => "",
        }
    }

    /// Envoy's response code detail.
    pub fn details(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_api_key",
            Self::UnknownKey => "unknown_api_key",
            Self::MissingPassword => "no_credential_found_for_basic_auth",
            Self::WrongPassword => "invalid_credential_for_basic_auth",
            Self::Busy => "basic_auth_overloaded",
        }
    }
}
