//! Finds what ties a request to one endpoint, and gives it a cookie when it has none.

use http::{HeaderMap, HeaderValue, header};

use super::exchange::{Affinity, Exchange};
use crate::routing::request::Request;
use crate::routing::route::Target;
use crate::text::cookie;
use crate::upstream::definition::HashKey;
use crate::upstream::hash;

/// The key of a request for the cluster that it goes to; `draw` makes a new cookie.
pub(super) fn find(request: &Request<'_>, exchange: &Exchange, draw: impl Fn() -> u64) -> Affinity {
    let Some((_, destination)) = exchange.forward() else { return Affinity::default() };
    let Target::Cluster(cluster) = &destination.target else { return Affinity::default() };
    let key = match &cluster.definition().key {
        None => None,
        Some(HashKey::Header(name)) => header_key(request.headers, name),
        Some(HashKey::Query(name)) => request.query_param(name).map(|it| hash::key(it.as_bytes())),
        Some(HashKey::ClientAddress) => exchange.known().map(|it| hash::key(it.address.to_string().as_bytes())),
        Some(HashKey::Cookie { name, given }) => match (cookie(request.headers, name), given) {
            (Some(value), _) => Some(hash::key(value.as_bytes())),
            (None, None) => None,
            (None, Some(given)) => {
                let value = format!("{:016x}", draw());
                let key = Some(hash::key(value.as_bytes()));
                // Compiled from text that can stand in a header, so this is never absent.
                let cookie = HeaderValue::try_from(format!("{name}={value}{given}")).ok();
                return Affinity { key, cookie };
            }
        },
    };
    Affinity { key, cookie: None }
}

/// All values of a header; the order of the lines counts.
fn header_key(headers: &HeaderMap, name: &header::HeaderName) -> Option<u64> {
    let mut values = headers.get_all(name).iter();
    let first = hash::key(values.next()?.as_bytes());
    Some(values.fold(first, |key, it| hash::mix(key ^ hash::key(it.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_header_counts() {
        let name = header::HeaderName::from_static("x-user");
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name.clone(), HeaderValue::from_static(value));
            }
            header_key(&headers, &name)
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&["a", "b"]), with(&["a", "b"]));
        assert_ne!(with(&["a"]), with(&["a", "b"]));
    }
}
