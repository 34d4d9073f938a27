//! Tells how a request is forwarded: what may happen to it, where to, and how hard is tried.

use serde_json::Value;

use super::teller::Teller;
use crate::filter::fault::{Abort, Share, WHOLE};
use crate::filter::header_edits::{HeaderEdits, Mode};
use crate::routing::request::Request;
use crate::routing::route::{Destination, Forward, Route, Target};
use crate::upstream::cluster::Cluster;
use crate::upstream::definition::Discovery;

impl Teller<'_> {
    /// What may happen before anything is forwarded.
    pub(super) fn policies(&mut self, route: &Route) {
        let Some(fault) = &route.fault else { return };
        if let Some((share, time)) = fault.delay {
            self.step("fault", format!("{} of requests wait {time:?}", percent(share)));
        }
        if let Some((share, abort)) = fault.abort {
            let answer = match abort {
                Abort::Http(status) => format!("status {}", status.as_u16()),
                Abort::Grpc(status) => format!("gRPC status {status}"),
            };
            self.step("fault", format!("{} of requests are answered with {answer}", percent(share)));
        }
    }

    /// Where it goes.
    pub(super) fn forward(&mut self, forward: &Forward, request: &Request<'_>) {
        let timeout = forward.timeout.map_or("none".to_owned(), |it| format!("{it:?}"));
        self.step("timeout", timeout);
        let retry = &forward.retry;
        let per_try = retry.per_try.map_or(String::new(), |it| format!(", {it:?} for each try"));
        self.step(
            "retries",
            match retry.attempts {
                0 => "none".to_owned(),
                attempts => format!("{attempts} on {}{per_try}", retry.describe()),
            },
        );
        for it in &forward.mirrors {
            self.step("mirror", format!("{} of requests are copied to {}", percent(it.share), it.target.name()));
        }
        let path = forward.rewrite.apply(request.target);
        if path != request.target {
            self.step("rewrite", format!("path becomes {path}"));
        }
        for it in &forward.destinations {
            self.step("destination", format!("{} ({} of {})", it.target.name(), it.weight, forward.total_weight));
            self.head(it);
            match &it.target {
                Target::Cluster(cluster) => self.cluster(cluster),
                Target::Missing(_) => self.step("cluster", "does not exist: 503 NC"),
                Target::Refused(_) => self.step("cluster", "must not be used by this route: 500"),
            }
        }
    }

    /// What changes in the head.
    fn head(&mut self, destination: &Destination) {
        if let Some(authority) = &destination.authority {
            self.step("header", format!("host: {authority}"));
        }
        for edits in destination.request_edits.iter() {
            self.edits(edits);
        }
    }

    fn edits(&mut self, edits: &HeaderEdits) {
        for name in &edits.remove {
            self.step("header", format!("{name} is removed"));
        }
        for (write, value) in edits.values(self.asked()) {
            let value = value.map_or("(left out)".to_owned(), |it| String::from_utf8_lossy(it.as_bytes()).into_owned());
            let how = match write.mode {
                Mode::Set => "",
                Mode::Add => " (added)",
            };
            self.step("header", format!("{}: {value}{how}", write.name));
        }
    }

    /// The cluster by configuration, and as it is where a gateway was asked.
    fn cluster(&mut self, cluster: &Cluster) {
        let definition = cluster.definition();
        self.step("balancing", definition.division.policy.describe());
        if let Some(detection) = &definition.detection {
            let limit = detection.consecutive_5xx.max(detection.consecutive_gateway);
            self.step(
                "ejection",
                format!("after {limit} failures in a row, for {:?} at first", detection.base_ejection),
            );
        }
        if let Some(live) = self.live() {
            return match live.cluster(cluster.name()) {
                Some(state) => self.running(state),
                None => self.step("endpoints", "the running gateway has no such cluster; was it reloaded?"),
            };
        }
        match &definition.discovery {
            Discovery::Static(members) => {
                for it in members {
                    let place = it.place.share.map_or(format!("priority {}", it.place.priority), |share| {
                        format!(
                            "{} percent with its locality",
                            definition.division.shares.get(usize::from(share)).copied().unwrap_or(0)
                        )
                    });
                    self.step("endpoint", format!("{} weight {}, {place}", it.target, it.weight));
                }
                if members.is_empty() {
                    self.step("endpoints", "none: 503 UH");
                }
            }
            Discovery::Dns(dns) => {
                for it in &dns.names {
                    self.step(
                        "endpoint",
                        format!("the addresses of {}, port {}", it.target.candidates.join(" or "), it.target.port),
                    );
                }
            }
            Discovery::ByHost(_) => self.step("endpoint", "the public addresses of the request's own host"),
            Discovery::Nowhere => self.step("endpoints", "none, nobody says where it is: 503 UH"),
        }
    }

    /// The endpoints as a running gateway sees them.
    fn running(&mut self, state: &Value) {
        let endpoints = state.get("endpoints").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for it in endpoints {
            let text = |key: &str| it.get(key).map(Value::to_string).unwrap_or_default();
            let flag = |key: &str| it.get(key).and_then(Value::as_bool) == Some(true);
            let usable = match (flag("ejected"), flag("failing")) {
                (true, _) => "not used, its requests failed",
                (false, true) => "not used, it fails its health check",
                (false, false) => "used",
            };
            let address = text("address").replace('"', "");
            self.step(
                "endpoint",
                format!(
                    "{address} weight {}, priority {}, {} requests: {usable}",
                    text("weight"),
                    text("priority"),
                    text("active")
                ),
            );
        }
        if endpoints.is_empty() {
            self.step("endpoints", "none: 503 UH");
        }
    }
}

fn percent(share: Share) -> String {
    format!("{}%", f64::from(share.0) * 100.0 / f64::from(WHOLE))
}
