//! Lowers the settings of Redis; a store with the same terms is taken over with its connections.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config_schema::native::settings::{RedisMode, RedisSettings, RedisTls};
use config_schema::problem::code;
use config_schema::{Config, Problem, Severity};

use crate::quota::counters::{Counters, Remote};
use crate::quota::redis::RedisStore;
use crate::quota::redis::terms::{Servers, Terms, Tls};
use crate::snapshot::Snapshot;

/// Longest time that a request waits, when the settings do not say (Envoy's default for its rate-limit service).
const DEADLINE: Duration = Duration::from_millis(20);
/// Begins every key, when the settings do not say.
const PREFIX: &str = "sluice:";

/// Where limits are counted; what was counted in this process stays.
pub(super) fn counters(config: &Config, before: Option<&Snapshot>) -> Result<Counters, Box<Problem>> {
    let mut kept = before.map_or_else(|| Counters::new(Instant::now()), |it| it.counters.clone());
    kept.redis = match &config.settings.redis {
        None => None,
        Some(settings) => {
            let terms = terms(settings)?;
            let known = kept.redis.take().filter(|it| *it.store.terms() == terms);
            Some(known.unwrap_or_else(|| Arc::new(Remote::new(RedisStore::new(terms)))))
        }
    };
    Ok(kept)
}

fn wrong(field: &str, message: String) -> Box<Problem> {
    Box::new(Problem::new(code::SCHEMA, Severity::Error, message).field(&format!("spec.redis.{field}")))
}

fn terms(settings: &RedisSettings) -> Result<Terms, Box<Problem>> {
    let RedisSettings {
        url,
        nodes,
        mode,
        master_name,
        username,
        password_file,
        sentinel_username,
        sentinel_password_file,
        tls,
        timeout,
        key_prefix,
    } = settings;
    for (field, url) in std::iter::once(("url".to_owned(), url))
        .chain(nodes.iter().enumerate().map(|(index, it)| (format!("nodes[{index}]"), it)))
        .filter(|(_, it)| !it.is_empty())
    {
        // The URL may hold a password, so it is not repeated.
        Terms::check(url).map_err(|why| {
            let problem = *wrong(&field, format!("this is no URL of a Redis: {why}"));
            Box::new(problem.help("redis://[user:password@]host:port/db, rediss:// for TLS, or unix:///path"))
        })?;
    }
    let all = || std::iter::once(url).chain(nodes).filter(|it| !it.is_empty()).cloned().collect();
    Ok(Terms {
        servers: match mode.unwrap_or(RedisMode::Single) {
            RedisMode::Single => Servers::One(url.clone()),
            RedisMode::Sentinel => Servers::Sentinel { nodes: all(), master: master_name.clone() },
            RedisMode::Cluster => Servers::Cluster(all()),
        },
        username: (!username.is_empty()).then(|| username.clone()),
        password: secret("passwordFile", password_file)?,
        sentinel_login: secret("sentinelPasswordFile", sentinel_password_file)?
            .map(|password| (sentinel_username.clone(), password)),
        tls: tls.as_ref().map(certificates).transpose()?,
        prefix: if key_prefix.is_empty() { PREFIX.to_owned() } else { key_prefix.clone() },
        deadline: timeout.map_or(DEADLINE, |it| it.0),
    })
}

fn secret(field: &str, path: &str) -> Result<Option<String>, Box<Problem>> {
    if path.is_empty() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(field, format!("`{path}` cannot be read: {error}")))?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

fn certificates(written: &RedisTls) -> Result<Tls, Box<Problem>> {
    let RedisTls { ca_certificates, client_certificate, private_key, insecure_skip_verify } = written;
    let read = |field: &str, path: &str| {
        let bytes = fs::read(path);
        bytes.map_err(|error| wrong(&format!("tls.{field}"), format!("`{path}` cannot be read: {error}")))
    };
    let authorities = (!ca_certificates.is_empty()).then(|| read("caCertificates", ca_certificates)).transpose()?;
    let identity = if client_certificate.is_empty() {
        None
    } else {
        Some((read("clientCertificate", client_certificate)?, read("privateKey", private_key)?))
    };
    Ok(Tls { authorities, identity, insecure: *insecure_skip_verify })
}
