//! The operator's port and the health checks' port.
//!
//! The operator's port answers on loopback by default and changes nothing but by POST and DELETE.
//! Neither shows a secret: what is dumped is made from the snapshot, which holds none.

mod config_dump;
mod rate_limit;
mod serve;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

pub use serve::Port;

use crate::reload::Reloader;
use crate::telemetry::egress_log::{Asked, Seen};

/// Begins the paths of keys of rate limits.
const RATE_LIMITS: &str = "/ratelimit/";

/// Whether the gateway takes requests.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// Says whether it does from now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether it does.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Answers health checks.
pub struct Health {
    /// Whether the gateway takes requests.
    pub readiness: Arc<Readiness>,
}

#[async_trait]
impl ServeHttp for Health {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        match session.req_header().uri.path() {
            "/healthz/ready" => ready(&self.readiness),
            "/healthz/live" => text(StatusCode::OK, "LIVE\n"),
            _ => text(StatusCode::NOT_FOUND, ""),
        }
    }
}

/// Answers the operator.
pub struct Admin {
    /// What is reloaded and shown.
    pub reloader: Arc<Reloader>,
    /// Whether the gateway takes requests.
    pub readiness: Arc<Readiness>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let accepts_gzip = request
            .headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|it| it.to_str().ok())
            .any(|it| it.contains("gzip"));
        match (request.method.clone(), request.uri.path()) {
            (Method::GET, "/ready") => ready(&self.readiness),
            (Method::GET, "/metrics" | "/stats/prometheus") => {
                self.refresh();
                let body = self.reloader.telemetry().metrics.render();
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                compressed(kind, body, accepts_gzip)
            }
            (Method::GET, "/config_dump") => {
                let dump = config_dump::render(&self.reloader.live().pin(), &self.reloader.last());
                compressed("application/json", json_bytes(&dump), accepts_gzip)
            }
            (Method::GET, "/version") => {
                let version = serde_json::json!({ "name": "sluice", "version": env!("CARGO_PKG_VERSION") });
                json(StatusCode::OK, &version)
            }
            (Method::POST, "/reload") => {
                let report = self.reloader.reload().await;
                let status = if report.success { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
                json(status, &config_dump::report(&report))
            }
            (Method::GET, "/egress") => json(StatusCode::OK, &self.egress()),
            (_, "/reload") => text(StatusCode::METHOD_NOT_ALLOWED, "POST only\n"),
            (method @ (Method::GET | Method::DELETE), path) if path.starts_with(RATE_LIMITS) => {
                let key = path.strip_prefix(RATE_LIMITS).unwrap_or_default();
                let snapshot = self.reloader.live().pin();
                let (status, answer) = match method {
                    Method::DELETE => rate_limit::reset(&snapshot, key).await,
                    _ => rate_limit::show(&snapshot, key).await,
                };
                json(status, &answer)
            }
            (Method::GET, "/") => text(
                StatusCode::OK,
                "GET /ready\nGET /metrics\nGET /config_dump\nGET /version\nPOST /reload\nGET or DELETE /ratelimit/KEY\nGET /egress\n",
            ),
            _ => text(StatusCode::NOT_FOUND, ""),
        }
    }
}

impl Admin {
    /// What forward proxies refused, or would have.
    fn egress(&self) -> serde_json::Value {
        let all = self.reloader.telemetry().egress.all();
        let each = all.into_iter().map(|(asked, seen)| {
            let Asked { host, port, code, passed, tunnel } = asked;
            let Seen { count, last, clients } = seen;
            let last = last.duration_since(UNIX_EPOCH).map_or(0.0, |it| it.as_secs_f64());
            serde_json::json!({
                "host": host, "port": port, "code": code, "passed": passed, "tunnel": tunnel,
                "count": count, "last": last, "clients": clients,
            })
        });
        serde_json::json!({ "asked": each.collect::<Vec<_>>() })
    }

    /// Brings the metrics that are kept elsewhere up to date.
    fn refresh(&self) {
        let telemetry = self.reloader.telemetry();
        let counts = self.reloader.counts();
        let metrics = &telemetry.metrics;
        metrics.connections.set(i64::from(counts.open()));
        let catch_up = |counter: &prometheus::IntCounter, now: u64| counter.inc_by(now.saturating_sub(counter.get()));
        catch_up(&metrics.connections_refused, counts.refused());
        catch_up(&metrics.access_log_dropped, telemetry.access_log.dropped());
    }
}

fn ready(readiness: &Readiness) -> Response<Vec<u8>> {
    if readiness.get() { text(StatusCode::OK, "LIVE\n") } else { text(StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n") }
}

fn respond(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    headers.insert(header::SERVER, crate::local_reply::SERVER);
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Vec<u8>> {
    respond(status, "text/plain", body.as_bytes().to_vec())
}

fn json_bytes(value: &serde_json::Value) -> Vec<u8> {
    let mut body = serde_json::to_vec_pretty(value).unwrap_or_default();
    body.push(b'\n');
    body
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Vec<u8>> {
    respond(status, "application/json", json_bytes(value))
}

/// A body, compressed when the other side can read that: metrics shrink to a fiftieth.
fn compressed(kind: &'static str, body: Vec<u8>, accepts_gzip: bool) -> Response<Vec<u8>> {
    if !accepts_gzip {
        return respond(StatusCode::OK, kind, body);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(small) => {
            let mut response = respond(StatusCode::OK, kind, small);
            response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
            response
        }
        Err(_) => respond(StatusCode::OK, kind, body),
    }
}
