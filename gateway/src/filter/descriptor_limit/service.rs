//! Asks a rate-limit service (Envoy's `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`), where its limits are not compiled in.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use prost::Message;

use super::action::Part;
use crate::upstream::client::Client;
use crate::upstream::cluster::Cluster;
use crate::upstream::grpc_call;

/// The method.
const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
/// The code of a refusal.
const OVER_LIMIT: i32 = 2;

/// A rate-limit service.
#[derive(Debug)]
pub struct LimitService {
    /// Where it is.
    pub cluster: Arc<Cluster>,
    /// Longest wait for its answer.
    pub timeout: Duration,
}

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether the request is over a limit.
    pub is_over: bool,
    /// Headers for the client.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone, PartialEq, Message)]
struct RateLimitRequest {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(message, repeated, tag = "2")]
    descriptors: Vec<Descriptor>,
    #[prost(uint32, tag = "3")]
    hits_addend: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Descriptor {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Pair>,
}

/// A key and a value: an entry of a descriptor, or a header.
#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct RateLimitResponse {
    #[prost(int32, tag = "1")]
    overall_code: i32,
    #[prost(message, repeated, tag = "3")]
    response_headers_to_add: Vec<Pair>,
}

impl LimitService {
    /// Asks about the descriptors of a request; says why there is no answer.
    pub async fn ask(
        &self,
        client: &Client,
        (domain, descriptors): (&str, &[Vec<Part<'_>>]),
        random: u64,
    ) -> Result<Said, String> {
        let pair = |(key, value): &Part<'_>| Pair { key: key.to_string(), value: value.to_string() };
        let descriptor = |it: &Vec<Part<'_>>| Descriptor { entries: it.iter().map(pair).collect() };
        let message = RateLimitRequest {
            domain: domain.to_owned(),
            descriptors: descriptors.iter().map(descriptor).collect(),
            hits_addend: 1,
        };
        let call = grpc_call::call(client, &self.cluster, (METHOD, &message), (self.timeout, random));
        let RateLimitResponse { overall_code, response_headers_to_add } = call.await?;
        let header = |it: Pair| Some((HeaderName::try_from(it.key).ok()?, HeaderValue::try_from(it.value).ok()?));
        let headers = response_headers_to_add.into_iter().filter_map(header).collect();
        Ok(Said { is_over: overall_code == OVER_LIMIT, headers })
    }
}
