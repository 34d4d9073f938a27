//! Lowers the parts of a rate limit's key.

use config_schema::native::rate_limit_policy::{ClientAddressKey, KeyPart, NamedKey, SourceKey};
use http::HeaderName;

use crate::filter::rate_limit::key::{Missing, Part};

/// A part; `None` for one that validation refuses.
pub(super) fn part(written: &KeyPart) -> Option<Part> {
    let KeyPart {
        client_address,
        header,
        cookie,
        query,
        claim,
        api_key_client,
        client_certificate,
        path,
        method,
        host,
        constant,
    } = written;
    let missing = |it: &NamedKey| -> Missing { it.if_missing.as_ref().map(|it| it.value.as_str().into()) };
    let or = |it: &SourceKey| -> Missing { it.if_missing.as_ref().map(|it| it.value.as_str().into()) };
    let bits = |written: Option<u32>, usual: u8| written.and_then(|it| u8::try_from(it).ok()).unwrap_or(usual);
    let address = client_address.as_ref().map(|ClientAddressKey { ipv4_prefix, ipv6_prefix }| {
        Part::ClientAddress(bits(*ipv4_prefix, 32), bits(*ipv6_prefix, 64))
    });
    address
        .or_else(|| {
            header.as_ref().and_then(|it| Some(Part::Header(HeaderName::try_from(&it.name).ok()?, missing(it))))
        })
        .or_else(|| cookie.as_ref().map(|it| Part::Cookie(it.name.as_str().into(), missing(it))))
        .or_else(|| query.as_ref().map(|it| Part::Query(it.name.as_str().into(), missing(it))))
        .or_else(|| claim.as_ref().map(|it| Part::Claim(it.name.split('.').map(Box::from).collect(), missing(it))))
        .or_else(|| api_key_client.as_ref().map(|it| Part::ApiKeyClient(or(it))))
        .or_else(|| client_certificate.as_ref().map(|it| Part::ClientCertificate(or(it))))
        .or_else(|| path.as_ref().map(|_| Part::Path))
        .or_else(|| method.as_ref().map(|_| Part::Method))
        .or_else(|| host.as_ref().map(|_| Part::Host))
        .or_else(|| constant.as_ref().map(|it| Part::Constant(it.as_str().into())))
}
