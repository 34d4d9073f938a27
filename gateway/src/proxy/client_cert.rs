//! What upstreams learn of a client's certificate: `x-forwarded-client-cert`, in Envoy's form.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use crate::digest::hex;
use crate::listener::tls::certificate::ClientCertificate;
use crate::snapshot::ForwardClientCert;

const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// Characters in a line of PEM.
const PEM_LINE: usize = 64;

/// Sets the header as the configuration says; `shown` is the certificate of the connection.
pub(super) fn forward(request: &mut RequestHeader, how: ForwardClientCert, shown: Option<&ClientCertificate>) {
    let said = |request: &RequestHeader| request.headers.get(&X_FORWARDED_CLIENT_CERT).cloned();
    let value = match (how, shown) {
        (ForwardClientCert::AlwaysForwardOnly, _) | (ForwardClientCert::ForwardOnly, Some(_)) => return,
        (ForwardClientCert::SanitizeSet, Some(shown)) => element(shown),
        (ForwardClientCert::AppendForward, Some(shown)) => match (said(request), element(shown)) {
            (Some(said), Some(own)) => HeaderValue::from_bytes(&[said.as_bytes(), b",", own.as_bytes()].concat()).ok(),
            (_, own) => own,
        },
        (ForwardClientCert::Sanitize, _)
        | (ForwardClientCert::ForwardOnly | ForwardClientCert::AppendForward | ForwardClientCert::SanitizeSet, None) => {
            None
        }
    };
    request.remove_header(&X_FORWARDED_CLIENT_CERT);
    if let Some(value) = value {
        // The name is a constant, so this cannot fail.
        request.insert_header(X_FORWARDED_CLIENT_CERT, value).unwrap_or_default();
    }
}

/// Hash, certificate, subject and names of a certificate.
fn element(shown: &ClientCertificate) -> Option<HeaderValue> {
    let ClientCertificate { is_verified: _, hash, subject, uris, dns_names, der } = shown;
    let subject = subject.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = format!("Hash={};Cert=\"{}\";Subject=\"{subject}\"", hex(hash), encoded_pem(der));
    // The key is there though a certificate may have no URI.
    if uris.is_empty() {
        out.push_str(";URI=");
    }
    for (key, names) in [("URI", uris), ("DNS", dns_names)] {
        for name in names {
            // Writing to a String cannot fail.
            write!(out, ";{key}={}", quoted(name)).unwrap_or_default();
        }
    }
    HeaderValue::try_from(out).ok()
}

/// A value in quotes where it contains what separates values.
fn quoted(value: &str) -> String {
    if value.contains([',', ';', '=', '"']) {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        value.to_owned()
    }
}

/// The certificate as PEM, with what cannot stand in a header escaped as in URLs.
fn encoded_pem(der: &[u8]) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, it) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % PEM_LINE == 0 {
            pem.push('\n');
        }
        pem.push(it);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    let mut out = String::with_capacity(pem.len() + pem.len() / 8);
    for it in pem.chars() {
        match it {
            '\n' => out.push_str("%0A"),
            ' ' => out.push_str("%20"),
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> ClientCertificate {
        ClientCertificate {
            is_verified: true,
            hash: [0xab; 32],
            subject: "CN=a \"b\",O=c".into(),
            uris: ["spiffe://td/ns/a/sa/b".into()].into(),
            dns_names: ["a.test".into(), "b.test".into()].into(),
            der: [1, 2, 3].into(),
        }
    }

    #[track_caller]
    fn check(how: ForwardClientCert, shown: bool, said: bool, expected: &[&str]) {
        let client = client();
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        if said {
            request.insert_header(X_FORWARDED_CLIENT_CERT, "By=x").unwrap();
        }
        forward(&mut request, how, shown.then_some(&client));
        let values: Vec<_> = request.headers.get_all(&X_FORWARDED_CLIENT_CERT).iter().collect();
        assert_eq!(values, expected, "{how:?} {shown} {said}");
    }

    #[test]
    fn the_header_is_what_the_configuration_says() {
        let own = format!(
            "Hash={};Cert=\"-----BEGIN%20CERTIFICATE-----%0AAQID%0A-----END%20CERTIFICATE-----%0A\";Subject=\"CN=a \\\"b\\\",O=c\";URI=spiffe://td/ns/a/sa/b;DNS=a.test;DNS=b.test",
            "ab".repeat(32)
        );
        let appended = format!("By=x,{own}");
        check(ForwardClientCert::SanitizeSet, true, true, &[&own]);
        check(ForwardClientCert::SanitizeSet, false, true, &[]);
        check(ForwardClientCert::Sanitize, true, true, &[]);
        check(ForwardClientCert::ForwardOnly, true, true, &["By=x"]);
        check(ForwardClientCert::ForwardOnly, false, true, &[]);
        check(ForwardClientCert::AppendForward, true, true, &[&appended]);
        check(ForwardClientCert::AppendForward, true, false, &[&own]);
        check(ForwardClientCert::AppendForward, false, true, &[]);
        check(ForwardClientCert::AlwaysForwardOnly, false, true, &["By=x"]);
    }
}
