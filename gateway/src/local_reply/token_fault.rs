//! Why a token is not accepted: a closed set, with Envoy's texts, which clients and dashboards match on.

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFault {
    /// There is none where one is required.
    Missing,
    /// Not three parts, too long, or not at the place where it should begin.
    Format,
    /// The header is no base64url.
    HeaderEncoding,
    /// The header is no JSON object with unique members, or has one that must not be ignored.
    HeaderJson,
    /// The header's `alg` is no text.
    HeaderAlgorithm,
    /// The algorithm is not one that is admitted.
    Algorithm,
    /// The header's `kid` is no text.
    HeaderKey,
    /// The payload is no base64url.
    PayloadEncoding,
    /// The payload is no JSON object with unique members.
    PayloadJson,
    /// A registered claim has the wrong type.
    ClaimType,
    /// The signature is no base64url.
    SignatureEncoding,
    /// Nobody here knows the issuer.
    Issuer,
    /// None of its audiences is admitted.
    Audience,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// No key fits.
    NoKey,
    /// There are no keys to check it with.
    NoKeys,
    /// The signature is not that of a key.
    Signature,
}

impl TokenFault {
    /// Status of the answer: 403 for who is known and not meant, 401 for everybody else.
    pub fn status(self) -> u16 {
        if self == Self::Audience { 403 } else { 401 }
    }

    /// Envoy's text.
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing => "Jwt is missing",
            Self::Format => "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            Self::HeaderEncoding => "Jwt header is an invalid Base64url encoded",
            Self::HeaderJson => "Jwt header is an invalid JSON",
            Self::HeaderAlgorithm => "Jwt header [alg] field is required and must be a string",
            Self::Algorithm => "Jwt header [alg] is not supported",
            Self::HeaderKey => "Jwt header [kid] field is not a string",
            Self::PayloadEncoding => "Jwt payload is an invalid Base64url encoded",
            Self::PayloadJson | Self::ClaimType => "Jwt payload is an invalid JSON",
            Self::SignatureEncoding => "Jwt signature is an invalid Base64url encoded",
            Self::Issuer => "Jwt issuer is not configured",
            Self::Audience => "Audiences in Jwt are not allowed",
            Self::NotYetValid => "Jwt not yet valid",
            Self::Expired => "Jwt is expired",
            Self::NoKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Self::NoKeys => "Jwks remote fetch is failed",
            Self::Signature => "Jwt verification fails",
        }
    }

    /// Envoy's response code detail.
    pub fn details(self) -> &'static str {
        match self {
            Self::Missing => "jwt_authn_access_denied{Jwt_is_missing}",
            Self::Format => {
                "jwt_authn_access_denied{Jwt_is_not_in_the_form_of_Header.Payload.Signature_with_two_dots_and_3_sections}"
            }
            Self::HeaderEncoding => "jwt_authn_access_denied{Jwt_header_is_an_invalid_Base64url_encoded}",
            Self::HeaderJson => "jwt_authn_access_denied{Jwt_header_is_an_invalid_JSON}",
            Self::HeaderAlgorithm => "jwt_authn_access_denied{Jwt_header_[alg]_field_is_required_and_must_be_a_string}",
            Self::Algorithm => "jwt_authn_access_denied{Jwt_header_[alg]_is_not_supported}",
            Self::HeaderKey => "jwt_authn_access_denied{Jwt_header_[kid]_field_is_not_a_string}",
            Self::PayloadEncoding => "jwt_authn_access_denied{Jwt_payload_is_an_invalid_Base64url_encoded}",
            Self::PayloadJson | Self::ClaimType => "jwt_authn_access_denied{Jwt_payload_is_an_invalid_JSON}",
            Self::SignatureEncoding => "jwt_authn_access_denied{Jwt_signature_is_an_invalid_Base64url_encoded}",
            Self::Issuer => "jwt_authn_access_denied{Jwt_issuer_is_not_configured}",
            Self::Audience => "jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}",
            Self::NotYetValid => "jwt_authn_access_denied{Jwt_not_yet_valid}",
            Self::Expired => "jwt_authn_access_denied{Jwt_is_expired}",
            Self::NoKey => "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}",
            Self::NoKeys => "jwt_authn_access_denied{Jwks_remote_fetch_is_failed}",
            Self::Signature => "jwt_authn_access_denied{Jwt_verification_fails}",
        }
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Format
            | Self::HeaderEncoding
            | Self::HeaderJson
            | Self::HeaderAlgorithm
            | Self::HeaderKey
            | Self::PayloadEncoding
            | Self::PayloadJson
            | Self::ClaimType
            | Self::SignatureEncoding => "malformed",
            Self::Algorithm => "algorithm",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::NoKey => "no_key",
            Self::NoKeys => "no_keys",
            Self::Signature => "signature",
        }
    }
}
