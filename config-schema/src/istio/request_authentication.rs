//! RequestAuthentication: which JSON Web Tokens are accepted.

use schemars::JsonSchema;
use serde::Deserialize;

use super::shared::{LabelSelector, TargetRef};
use crate::value::Duration;

/// Tokens that are checked; a request without one passes unauthenticated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RequestAuthentication {
    /// Workloads; not together with targetRefs.
    pub selector: Option<LabelSelector>,
    /// Use targetRefs.
    pub target_ref: Option<TargetRef>,
    /// Resources it attaches to.
    pub target_refs: Vec<TargetRef>,
    /// Issuers and their keys.
    pub jwt_rules: Vec<JwtRule>,
}

/// One issuer of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JwtRule {
    /// Must equal the token's `iss`.
    pub issuer: String,
    /// Of which the token's `aud` must name one; empty checks none.
    pub audiences: Vec<String>,
    /// URL of the keys; not together with jwks.
    pub jwks_uri: String,
    /// The keys themselves (JWKS JSON).
    pub jwks: String,
    /// Headers that carry the token; any location given turns the defaults off.
    pub from_headers: Vec<JwtHeader>,
    /// Query parameters that carry the token.
    pub from_params: Vec<String>,
    /// Header that gets the verified payload (base64url).
    pub output_payload_to_header: String,
    /// Cookies that carry the token.
    pub from_cookies: Vec<String>,
    /// Keeps the token for the upstream; default removes it.
    pub forward_original_token: bool,
    /// Headers that get claims.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// Bound on fetching keys; default 5s.
    pub timeout: Option<Duration>,
    /// Claims that are lists separated by spaces, besides `scope` and `permission`.
    pub space_delimited_claims: Vec<String>,
    /// Whether a token must be there.
    pub presence: Option<Presence>,
}

/// Whether a token must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Presence {
    /// OPTIONAL.
    Unspecified,
    /// A request without one passes unauthenticated.
    Optional,
    /// A request without one is refused.
    Required,
}

/// A header that carries a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JwtHeader {
    /// Name.
    pub name: String,
    /// Text before the token, with its trailing space.
    pub prefix: String,
}

/// A header that gets a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClaimToHeader {
    /// Header.
    pub header: String,
    /// Claim, nested with dots.
    pub claim: String,
}
