//! Keeps certificates fresh while the configuration stays: files that change are read anew.
//!
//! A server takes what fits together and keeps what it has otherwise, so nothing of this can
//! fail a handshake. How long each certificate holds is a metric, and a line in the log as
//! its end comes near.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Reloader;
use crate::listener::tls::config::Shown;
use crate::listener::tls::server::{Refreshed, State, TlsServer};
use crate::telemetry::tls_metrics::TlsMetrics;

/// How often files are looked at, so that a new certificate is in force a moment after it is there.
const INTERVAL: Duration = Duration::from_millis(100);
/// Where there are many files, looking at them takes at most this part of the time.
const PART: u32 = 50;
/// Days before the end of a certificate at which its operator is told.
const WARNINGS: [i64; 3] = [30, 7, 1];

/// Looks after the certificates of whatever configuration runs; never ends.
pub async fn follow(reloader: Arc<Reloader>) {
    let mut told = Told::default();
    loop {
        let begun = Instant::now();
        let servers: Vec<_> = reloader.live().pin().tls_servers.values().map(Arc::clone).collect();
        let metrics = Arc::clone(reloader.telemetry());
        // Reading files blocks, and nobody waits for it.
        let round = tokio::task::spawn_blocking(move || {
            refresh(&servers, &metrics.metrics.tls);
            told.tell(&servers, &metrics.metrics.tls, SystemTime::now());
            told
        });
        match round.await {
            Ok(it) => told = it,
            Err(error) => {
                log::error!("certificates could not be looked at: {error}");
                told = Told::default();
            }
        }
        tokio::time::sleep(INTERVAL.max(begun.elapsed() * PART)).await;
    }
}

fn refresh(servers: &[Arc<TlsServer>], metrics: &TlsMetrics) {
    for server in servers {
        let name = server.definition().sources.pairs.first().map_or("", |it| it.name.as_ref());
        match server.refresh() {
            None => {}
            Some(Refreshed::Replaced) => {
                log::info!("the certificate {name} was replaced");
                metrics.certificate_reloads.with_label_values(&["success"]).inc();
            }
            Some(Refreshed::Kept(message)) => {
                log::error!("a changed certificate is not taken, what was in force stays: {message}");
                metrics.certificate_reloads.with_label_values(&["failure"]).inc();
            }
        }
    }
}

/// What was said of which certificate.
#[derive(Default)]
struct Told {
    /// By name and serial number: the days at which the last warning was given.
    warned: HashMap<(Box<str>, Box<str>), i64>,
    shown: Vec<Shown>,
}

impl Told {
    fn tell(&mut self, servers: &[Arc<TlsServer>], metrics: &TlsMetrics, now: SystemTime) {
        let mut shown: Vec<Shown> = Vec::new();
        for server in servers {
            match server.state().as_ref() {
                State::Ready(ready) => shown.extend(ready.certificates.iter().cloned()),
                State::Unavailable(_) => {}
            }
        }
        if shown != self.shown {
            // Certificates that are gone must not look as if they ended.
            metrics.certificate_expiry.reset();
            for it in &shown {
                #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit for millions of years")]
                metrics.certificate_expiry.with_label_values(&[&it.name, &it.serial]).set(it.not_after as f64);
            }
        }
        for it in &shown {
            let key = (it.name.clone(), it.serial.clone());
            if let Some((days, message)) = due(it, self.warned.get(&key).copied(), now) {
                log::warn!("{message}");
                self.warned.insert(key, days);
            }
        }
        self.warned.retain(|key, _| shown.iter().any(|it| (&it.name, &it.serial) == (&key.0, &key.1)));
        self.shown = shown;
    }
}

/// The warning that is due for a certificate, with the days that it stands for; `before` are those of the last one.
fn due(shown: &Shown, before: Option<i64>, now: SystemTime) -> Option<(i64, String)> {
    let left = shown.days_left(now);
    let Shown { name, serial, not_before: _, not_after: _ } = shown;
    if left < 0 {
        return (before != Some(-1)).then(|| (-1, format!("the certificate {name} (serial {serial}) has expired")));
    }
    let days = WARNINGS.into_iter().rev().find(|it| left < *it)?;
    before
        .is_none_or(|it| it > days)
        .then(|| (days, format!("the certificate {name} (serial {serial}) expires in {left} days")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_given_once_at_each_mark() {
        let shown = Shown { name: "a".into(), serial: "01".into(), not_before: 0, not_after: 100 * 86_400 };
        let at = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
        let mut before = None;
        let mut given = Vec::new();
        for day in 0..110 {
            for _ in 0..2 {
                if let Some((days, _)) = due(&shown, before, at(day)) {
                    given.push((day, days));
                    before = Some(days);
                }
            }
        }
        assert_eq!(given, [(71, 30), (94, 7), (100, 1), (101, -1)]);
    }
}
