//! Reads, validates, compiles and publishes; or keeps what runs and says why.
//!
//! One path for the first start, SIGHUP, `POST /reload` and watched files. All or nothing:
//! ports are bound before anything is published, so a port that is taken is a failed
//! reload. Reading and compiling run beside the workers.

mod aftermath;
mod background;
pub mod certificates;
mod fixed;
pub mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config_schema::problem::code;
use config_schema::{Documents, Memory, Problem, Problems, Severity, validate};

use self::background::{Attempt, Background};
use self::fixed::Fixed;
use crate::compile;
use crate::listener::limits::ConnectionCounts;
use crate::listener::set::{ListenerKey, ListenerSet};
use crate::snapshot::{AccessLog, Live, Snapshot};
use crate::telemetry::Telemetry;
use crate::upstream::care;
use crate::upstream::dns::Resolver;
use crate::upstream::fetch::Fetcher;

/// Longest wait for the first addresses of new clusters before they are published all the same.
const WARM_UP: Duration = Duration::from_secs(2);

/// What a reload did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whether the new configuration runs.
    pub success: bool,
    /// Number of the configuration that runs.
    pub generation: u64,
    /// When it was tried.
    pub time: SystemTime,
    /// What was found, with places.
    pub problems: Problems,
}

/// A configuration that compiled, with what was found on the way.
pub struct Candidate {
    /// The compiled configuration.
    pub snapshot: Snapshot,
    /// Warnings.
    pub problems: Problems,
    /// What is wrong with certificates: errors of their servers, which do not stop the others.
    pub certificates: Problems,
    /// What only a start can change.
    pub fixed: Fixed,
}

/// Reads, validates and compiles; nothing is bound, asked or published.
pub fn candidate(paths: &[PathBuf], before: Option<&Snapshot>) -> Result<Candidate, Problems> {
    prepare(|| config_schema::read(paths), before, &Attempt::default())
}

/// Reads what changed since the last reading; everything, while another attempt does the same.
fn read_again(paths: &[PathBuf], memory: &Mutex<Memory>) -> (Documents, Problems) {
    match memory.try_lock() {
        Ok(mut memory) => config_schema::read_again(paths, &mut memory),
        Err(_) => config_schema::read(paths),
    }
}

/// [`candidate`], stopping between its steps when nobody waits for it any more.
fn prepare(
    read: impl FnOnce() -> (Documents, Problems),
    before: Option<&Snapshot>,
    attempt: &Attempt,
) -> Result<Candidate, Problems> {
    let (documents, read) = read();
    if attempt.is_over() {
        return Err(Problems::default());
    }
    let (config, mut problems) = validate::config(documents, read).map_err(located)?;
    if attempt.is_over() {
        return Err(Problems::default());
    }
    let fixed = Fixed::of(&config.settings);
    let result = compile::snapshot(&config, before, SystemTime::now());
    match result {
        Ok(snapshot) => {
            let certificates = located(compile::certificate_check::check(&config, SystemTime::now()));
            Ok(Candidate { fixed, snapshot, problems: located(problems), certificates })
        }
        Err(problem) => {
            problems.push(*problem);
            Err(located(problems))
        }
    }
}

fn unstarted(error: &std::io::Error) -> Problem {
    Problem::new(code::UNREADABLE, Severity::Error, format!("no configuration can be read beside the workers: {error}"))
}

fn located(mut problems: Problems) -> Problems {
    problems.locate();
    problems
}

/// Everything that a reload touches.
pub struct Reloader {
    paths: Vec<PathBuf>,
    /// What the files said at the last reload.
    memory: Arc<Mutex<Memory>>,
    live: Arc<Live>,
    listeners: tokio::sync::Mutex<ListenerSet>,
    counts: Arc<ConnectionCounts>,
    resolver: Resolver,
    telemetry: Arc<Telemetry>,
    last: Mutex<Report>,
    /// Held while a reload runs, so that each builds on the one before.
    turn: tokio::sync::Mutex<()>,
    background: Arc<Background>,
    /// What only a start can change.
    fixed: Fixed,
}

impl Reloader {
    /// Publishes the first configuration: binds its ports, or fails.
    pub async fn start(
        paths: Vec<PathBuf>,
        first: Candidate,
        (live, listeners, counts): (Arc<Live>, ListenerSet, Arc<ConnectionCounts>),
        resolver: Resolver,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, Box<Problem>> {
        let background = Background::start().map_err(|error| Box::new(unstarted(&error)))?;
        let background = Arc::new(background);
        let report = Report { success: true, generation: 1, time: SystemTime::now(), problems: Problems::default() };
        let reloader = Self {
            paths,
            memory: Arc::default(),
            live,
            listeners: tokio::sync::Mutex::new(listeners),
            counts,
            resolver,
            telemetry,
            last: Mutex::new(report),
            turn: tokio::sync::Mutex::new(()),
            background: Arc::clone(&background),
            fixed: first.fixed,
        };
        let mut problems = first.problems;
        problems.absorb(first.certificates.as_warnings());
        reloader.publish(Arc::new(first.snapshot), None).await?;
        reloader.note(Report { problems, ..reloader.last() });
        tokio::spawn(aftermath::settle(background));
        Ok(reloader)
    }

    /// Takes the files as they are now.
    pub async fn reload(&self) -> Report {
        let _turn = self.turn.lock().await;
        let before = self.live.pin();
        let (paths, memory, current) = (self.paths.clone(), Arc::clone(&self.memory), Arc::clone(&before));
        let work = move |attempt: &Attempt| prepare(|| read_again(&paths, &memory), Some(&current), attempt);
        let result = match self.background.run(work).await {
            Ok(Ok(Candidate { snapshot, mut problems, certificates, fixed })) => {
                problems.absorb(certificates.as_warnings());
                self.fixed.compare(&fixed, &mut problems);
                match self.publish(Arc::new(snapshot), Some(&before)).await {
                    Ok(()) => Ok(problems),
                    Err(problem) => {
                        problems.push(*problem);
                        Err(problems)
                    }
                }
            }
            Ok(Err(problems)) => Err(problems),
            Err(error) => {
                let mut problems = Problems::default();
                problems.push(unstarted(&error));
                Err(problems)
            }
        };
        tokio::spawn(aftermath::bury(before, Arc::clone(&self.background)));
        let success = result.is_ok();
        let problems = result.unwrap_or_else(|problems| problems);
        let report = Report { success, generation: self.live.pin().generation, time: SystemTime::now(), problems };
        self.note(report.clone());
        report
    }

    /// Binds, waits for the first addresses, publishes, and lets go of what is gone.
    async fn publish(&self, next: Arc<Snapshot>, before: Option<&Snapshot>) -> Result<(), Box<Problem>> {
        let mut listeners = self.listeners.lock().await;
        let wanted: Vec<_> = next.listeners.iter().map(|it| it.wanted).collect();
        let prepared = listeners.prepare(&wanted).map_err(|(wanted, error)| {
            let message = format!("cannot listen on {}:{}: {error}", wanted.key.bind, wanted.real_port);
            Box::new(
                Problem::new(code::UNREADABLE, Severity::Error, message)
                    .help("is another process listening there? portMap of GatewaySettings chooses another port"),
            )
        })?;
        let fresh = compile::fresh_clusters(&next, before);
        fresh.iter().for_each(|it| care::start(it));
        let names = fresh.into_iter().filter_map(|it| self.resolver.follow(it));
        let fetcher = Fetcher::new(self.resolver.clone());
        let keys = compile::fresh_providers(&next, before);
        let keys = keys.into_iter().filter_map(|it| it.follow(&fetcher, &self.telemetry.metrics.access.jwks));
        let redis = next.counters.redis.as_ref().and_then(|it| it.store.start(&self.telemetry.metrics.quota.redis));
        let first_answers: Vec<_> = names.chain(keys).chain(redis).collect();
        let warm = async {
            for answer in first_answers {
                // A cluster that went away meanwhile has nobody to answer.
                answer.await.unwrap_or_default();
            }
        };
        drop(tokio::time::timeout(WARM_UP, warm).await);
        let settings = &next.settings;
        self.counts.set_bounds(settings.max_connections, settings.max_connections_per_client);
        let log_file = match &settings.access_log {
            AccessLog::Off => None,
            AccessLog::On { file, format: _ } => Some(file.as_ref()),
        };
        self.telemetry.access_log.write_to(log_file);
        self.live.publish(Arc::clone(&next));
        listeners.commit(prepared);
        Ok(())
    }

    /// What the last reload did.
    pub fn last(&self) -> Report {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, report: Report) {
        let metrics = &self.telemetry.metrics;
        let result = if report.success { "success" } else { "failure" };
        metrics.config_last_reload_success.set(i64::from(report.success));
        metrics.config_reloads.with_label_values(&[result]).inc();
        if report.success {
            metrics.config_generation.set(i64::try_from(report.generation).unwrap_or(i64::MAX));
            let warnings = report.problems.count(Severity::Warning);
            metrics.config_warnings.set(i64::try_from(warnings).unwrap_or(i64::MAX));
            let since = report.time.duration_since(UNIX_EPOCH).unwrap_or_default();
            metrics.config_last_reload_timestamp.set(since.as_secs_f64());
            log::info!("configuration {} runs: {}", report.generation, report.problems.summary());
        } else {
            let kept = report.generation;
            log::error!(
                "the configuration is refused, {kept} still runs: {}\n{}",
                report.problems.summary(),
                report.problems.render_text()
            );
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// Closes every port.
    pub async fn close(&self) {
        self.listeners.lock().await.close_all();
    }

    /// Ports as declared, and the addresses that are really bound.
    pub async fn addresses(&self) -> Vec<(ListenerKey, SocketAddr)> {
        self.listeners.lock().await.addresses().collect()
    }

    /// The files that are watched.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The configuration that runs.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Connections of clients.
    pub fn counts(&self) -> &Arc<ConnectionCounts> {
        &self.counts
    }

    /// Where everything is reported.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }
}
