//! Host names as Istio's documents write them: names, wildcards, namespaces and overlap.

use std::net::IpAddr;

/// Longest name that DNS carries.
const MAX_NAME: usize = 255;
/// Longest part between dots.
const MAX_LABEL: usize = 63;

/// Whether `text` is a DNS-1123 label: letters, digits and inner hyphens.
pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alnum = |it: Option<&u8>| it.is_some_and(u8::is_ascii_alphanumeric);
    !bytes.is_empty()
        && bytes.len() <= MAX_LABEL
        && alnum(bytes.first())
        && alnum(bytes.last())
        && bytes.iter().all(|it| it.is_ascii_alphanumeric() || *it == b'-')
}

/// Whether `text` is a DNS-1123 label in lower case, as Kubernetes names are.
pub fn is_lower_label(text: &str) -> bool {
    is_label(text) && !text.bytes().any(|it| it.is_ascii_uppercase())
}

/// Whether `text` is a DNS-1123 subdomain in lower case, as the names of resources are.
pub fn is_resource_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && text.split('.').all(is_lower_label)
}

/// Why `name` is no fully qualified domain name, if it is none.
pub fn check_fqdn(name: &str) -> Result<(), String> {
    check_length(name)?;
    check_labels(name.strip_suffix('.').unwrap_or(name), name)
}

/// Why `name` is neither a domain name nor one with a wildcard on the left.
pub fn check_wildcard(name: &str) -> Result<(), String> {
    check_length(name)?;
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let label = first.strip_prefix('*').map_or(first, |it| it.strip_prefix('-').unwrap_or(it));
    if first != "*" && !is_label(label) {
        return Err(format!("`{name}` is no domain name; a wildcard stands only on the left, as in *.example.com"));
    }
    match rest {
        None if first == "*" => Ok(()),
        None => Ok(()),
        Some(rest) => check_labels(rest.strip_suffix('.').unwrap_or(rest), name),
    }
}

fn check_length(name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err("a host must not be empty".to_owned()),
        1..=MAX_NAME => Ok(()),
        _ => Err(format!("`{name}` is longer than {MAX_NAME} characters")),
    }
}

fn check_labels(labels: &str, name: &str) -> Result<(), String> {
    match labels.split('.').find(|it| !is_label(it)) {
        None => Ok(()),
        Some(label) => Err(format!("`{name}` is no domain name: `{label}` is no DNS label")),
    }
}

/// Whether `text` is an IP address; brackets around IPv6 are not part of one.
pub fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// Whether every host that `narrow` matches is one that `wide` matches.
pub fn is_subset(narrow: &str, wide: &str) -> bool {
    match (narrow.strip_prefix('*'), wide.strip_prefix('*')) {
        (Some(narrow), Some(wide)) => narrow.len() >= wide.len() && narrow.ends_with(wide),
        (None, Some(wide)) => narrow.len() > wide.len() && narrow.ends_with(wide),
        (Some(_), None) => false,
        (None, None) => narrow == wide,
    }
}

/// The hosts that both match: the narrower of the two, if one holds the other.
pub fn intersect<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    if is_subset(a, b) {
        Some(a)
    } else if is_subset(b, a) {
        Some(b)
    } else {
        None
    }
}

/// A short name of a document as a full one: `reviews` in `prod` is `reviews.prod.svc.<domain>`.
pub fn qualify(host: &str, namespace: &str, cluster_domain: &str) -> String {
    let full = host.contains('.') || host.starts_with('*') || is_ip(host);
    let mut name = if full { host.to_owned() } else { format!("{host}.{namespace}.svc.{cluster_domain}") };
    name.make_ascii_lowercase();
    name
}

/// Whether `text` is an SNI name: as a host, and multi-cluster names carry underscores.
pub fn check_sni(name: &str) -> Result<(), String> {
    // An underscore may stand where a letter may; for the rest of the rules it is one.
    check_wildcard(&name.replace('_', "x"))
}

/// The name, then `*.` over each of its suffixes, the longest first.
pub fn widening(name: &str) -> impl Iterator<Item = String> {
    let mut rest = name;
    std::iter::once(name.to_owned()).chain(std::iter::from_fn(move || {
        let (_, parent) = rest.split_once('.')?;
        rest = parent;
        Some(format!("*.{parent}"))
    }))
}

/// Splits `ns/name`; a bare name belongs to `own`, and `.` stands for it.
pub fn split_namespace<'a>(text: &'a str, own: &'a str) -> (&'a str, &'a str) {
    match text.split_once('/') {
        Some((".", name)) => (own, name),
        Some((namespace, name)) => (namespace, name),
        None => (own, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_on_the_left() {
        for good in ["*", "*.example.com", "*-a.example.com", "*a.example.com", "example.com", "a", "1.2.3.4"] {
            assert!(check_wildcard(good).is_ok(), "{good}");
        }
        for bad in ["", "a.*.com", "*.*.com", "a..b", "-a.com", "a_b.com", "a.com/x", "example.com:80"] {
            assert!(check_wildcard(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_narrower_host_is_the_intersection() {
        assert_eq!(intersect("*", "a.com"), Some("a.com"));
        assert_eq!(intersect("*.a.com", "*.b.a.com"), Some("*.b.a.com"));
        assert_eq!(intersect("*.a.com", "a.com"), None);
        assert_eq!(intersect("a.com", "b.com"), None);
        assert_eq!(intersect("*", "*"), Some("*"));
    }
}
