//! Lowers how one endpoint is chosen: the policy, the key that keeps a request on one, the warm-up.

use config_schema::Problem;
use config_schema::istio::load_balancer::{
    ConsistentHash, CookieAttribute, HttpCookie, LoadBalancer, SimpleBalancer, Warmup as WrittenWarmup,
};
use http::{HeaderName, HeaderValue};

use super::matches::broken;
use super::traffic_policy::parts;
use crate::upstream::balancer::Policy;
use crate::upstream::definition::HashKey;
use crate::upstream::hash::{DEFAULT_RING, DEFAULT_TABLE, Spread};
use crate::upstream::tiers::Warmup;

/// How an endpoint is chosen, and what keeps a request on one.
pub(super) fn policy(balancer: Option<&LoadBalancer>) -> Result<(Policy, Option<HashKey>), Box<Problem>> {
    let hash = balancer.and_then(|it| it.consistent_hash.as_ref());
    if let Some(hash) = hash {
        let key = hash_key(hash).map_err(broken)?;
        return Ok((Policy::Hash(spread(hash)), Some(key)));
    }
    let simple = balancer.and_then(|it| it.simple).unwrap_or(SimpleBalancer::Unspecified);
    let policy = match simple {
        SimpleBalancer::RoundRobin => Policy::RoundRobin,
        SimpleBalancer::Random => Policy::Random,
        SimpleBalancer::Unspecified
        | SimpleBalancer::LeastConn
        | SimpleBalancer::LeastRequest
        | SimpleBalancer::Passthrough => Policy::LeastRequest,
    };
    Ok((policy, None))
}

/// How new endpoints warm up.
pub(super) fn warmup(balancer: Option<&LoadBalancer>) -> Option<Warmup> {
    let balancer = balancer?;
    let short = balancer.warmup_duration_secs.map(|it| it.0);
    let written = balancer.warmup.as_ref();
    let WrittenWarmup { duration, minimum_percent, aggression } =
        written.cloned().unwrap_or(WrittenWarmup { duration: None, minimum_percent: None, aggression: None });
    Some(Warmup {
        duration: duration.map(|it| it.0).or(short)?,
        minimum: parts(minimum_percent.unwrap_or(10.0), 100.0),
        aggression: parts(aggression.unwrap_or(1.0), 1000.0),
    })
}

fn spread(hash: &ConsistentHash) -> Spread {
    let given = |size: u64, default| if size == 0 { default } else { size };
    match (&hash.maglev, &hash.ring_hash) {
        (Some(maglev), _) => Spread::Maglev(given(maglev.table_size, DEFAULT_TABLE)),
        (None, Some(ring)) => Spread::Ring(given(ring.minimum_ring_size, DEFAULT_RING)),
        (None, None) => Spread::Ring(given(hash.minimum_ring_size, DEFAULT_RING)),
    }
}

fn hash_key(hash: &ConsistentHash) -> Result<HashKey, String> {
    let ConsistentHash {
        http_header_name,
        http_cookie,
        use_source_ip: _,
        http_query_parameter_name,
        ring_hash: _,
        maglev: _,
        minimum_ring_size: _,
    } = hash;
    if let Some(name) = http_header_name {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| format!("`{name}` is no header name"))?;
        return Ok(HashKey::Header(name));
    }
    if let Some(cookie) = http_cookie {
        let given = given_cookie(cookie);
        let whole = format!("{}={}", cookie.name, given.as_deref().unwrap_or_default());
        HeaderValue::try_from(whole).map_err(|_| format!("`{}` is no cookie", cookie.name))?;
        return Ok(HashKey::Cookie { name: cookie.name.as_str().into(), given });
    }
    Ok(match http_query_parameter_name {
        Some(name) => HashKey::Query(name.as_str().into()),
        None => HashKey::ClientAddress,
    })
}

/// What follows `name=value` in the cookie that is given out; none when it is only read.
fn given_cookie(cookie: &HttpCookie) -> Option<Box<str>> {
    let HttpCookie { name: _, path, ttl, attributes } = cookie;
    let ttl = ttl.as_ref()?.0;
    let mut out = String::new();
    if !ttl.is_zero() {
        out.push_str(&format!("; Max-Age={}", ttl.as_secs()));
    }
    if !path.is_empty() {
        out.push_str(&format!("; Path={path}"));
    }
    for CookieAttribute { name, value } in attributes {
        out.push_str(&format!("; {name}"));
        if !value.is_empty() {
            out.push_str(&format!("={value}"));
        }
    }
    out.push_str("; HttpOnly");
    Some(out.into())
}
