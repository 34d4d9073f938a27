//! Assembles the process: workers, ports, background tasks, signals, and the way out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::admin::{Admin, Health, Port, Readiness};
use crate::listener::accept::Serve;
use crate::listener::limits::ConnectionCounts;
use crate::listener::set::{ListenerKey, ListenerSet, Worker};
use crate::proxy::serve::ServeHttp;
use crate::reload::watch::{self, Fingerprint};
use crate::reload::{Candidate, Reloader, certificates};
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::Telemetry;
use crate::telemetry::log_writer::LogWriter;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::route_series::RouteSeries;
use crate::telemetry::series::{RequestSeries, SourceLabels};
use crate::telemetry::tcp_series::TcpSeries;
use crate::upstream::dns::Resolver;

/// How often watched files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How often the end of the last connection is looked for while draining.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// What the operator asked for.
pub struct Options {
    /// Files and folders of configuration.
    pub paths: Vec<PathBuf>,
    /// Written once every port is bound.
    pub ready_file: Option<PathBuf>,
    /// Where changed files are taken without a signal: what they were before they were read.
    pub watched: Option<Fingerprint>,
}

/// Runs until a signal ends it; the candidate is the configuration it begins with.
pub fn run(options: Options, first: Candidate) -> anyhow::Result<()> {
    let workers = match first.fixed.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => asked as usize,
    };
    let telemetry = Arc::new(telemetry(&first.snapshot, workers)?);
    // Replaced by the real one before any port accepts.
    let live = Arc::new(Live::new(Arc::new(placeholder(&first.snapshot))));
    let settings = &first.snapshot.settings;
    let counts = Arc::new(ConnectionCounts::new(settings.max_connections, settings.max_connections_per_client));
    let servers = &first.fixed.dns_servers;
    let workers = (0..workers).map(|index| worker(index, (&live, &telemetry), servers));
    let workers = workers.collect::<anyhow::Result<Vec<_>>>()?;
    let (workers, _threads): (Vec<Worker>, Vec<oneshot::Sender<()>>) = workers.into_iter().unzip();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listeners = ListenerSet::new(workers, Arc::clone(&counts));
    let result = runtime.block_on(serve(options, first, (live, listeners, counts), Arc::clone(&telemetry)));
    telemetry.access_log.stop();
    runtime.shutdown_background();
    result
}

fn telemetry(snapshot: &Snapshot, workers: usize) -> anyhow::Result<Telemetry> {
    let node = &snapshot.settings.node;
    let metrics = Metrics::new()?;
    let source = SourceLabels {
        workload: node.name.to_string(),
        namespace: node.namespace.to_string(),
        app: node.app.to_string(),
        version: node.version.to_string(),
        cluster_domain: node.cluster_domain.to_string(),
    };
    let tcp = TcpSeries::new(source.clone(), &metrics)?;
    let series = RequestSeries::new(source, &metrics)?;
    let routes = RouteSeries::new(&metrics)?;
    Ok(Telemetry { access_log: LogWriter::start(workers)?, series, tcp, routes, egress: Default::default(), metrics })
}

/// A configuration without ports.
fn placeholder(first: &Snapshot) -> Snapshot {
    use crate::filter::authentication::Authentication;
    use crate::filter::authorization::Authorization;
    use crate::snapshot::{AccessLog, Settings};
    Snapshot {
        generation: 0,
        compiled: SystemTime::UNIX_EPOCH,
        listeners: Vec::new(),
        retired: Vec::new(),
        clusters: std::collections::HashMap::new(),
        tls_servers: std::collections::HashMap::new(),
        authentication: Authentication::default(),
        api_keys: Default::default(),
        basic: None,
        custom: None,
        limits: Default::default(),
        egress_credentials: Default::default(),
        limits_ahead: false,
        descriptor_limits: Default::default(),
        limit_rules: Vec::new(),
        counters: first.counters.clone(),
        authorization: Authorization::default(),
        settings: Settings { access_log: AccessLog::Off, ..first.settings.clone() },
    }
}

/// One thread with a runtime of its own, so that a connection never changes threads: 2–3 % less CPU
/// for a request and a quarter less p99 than the same thread in a multi-threaded runtime.
fn worker(
    index: usize,
    (live, telemetry): (&Arc<Live>, &Arc<Telemetry>),
    dns_servers: &[SocketAddr],
) -> anyhow::Result<(Worker, oneshot::Sender<()>)> {
    let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let serve: Arc<dyn Serve> = {
        let _entered = runtime.enter();
        let resolver = Resolver::new(dns_servers).map_err(anyhow::Error::msg)?;
        Arc::new(ServeHttp::new((Arc::clone(live), Arc::clone(telemetry)), index, handle.clone(), resolver))
    };
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        // Ends when the process does; the sender is dropped then.
        runtime.block_on(stopped).unwrap_or_default();
        runtime.shutdown_background();
    })?;
    Ok((Worker { handle, serve }, stop))
}

async fn serve(
    options: Options,
    first: Candidate,
    (live, listeners, counts): (Arc<Live>, ListenerSet, Arc<ConnectionCounts>),
    telemetry: Arc<Telemetry>,
) -> anyhow::Result<()> {
    let Options { paths, ready_file, watched } = options;
    let resolver = Resolver::new(&first.fixed.dns_servers).map_err(anyhow::Error::msg)?;
    let mut signals = Signals::new()?;
    let admin = bind("admin.address", first.fixed.admin).await?;
    let health = bind("health.address", first.fixed.health).await?;
    let reloader = Reloader::start(paths, first, (live, listeners, counts), resolver, telemetry).await;
    let reloader = Arc::new(reloader.map_err(|problem| anyhow::anyhow!("{}", problem.message))?);
    let readiness = Arc::new(Readiness::default());
    let admin_address = admin.address();
    tokio::spawn(health.serve(Arc::new(Health { readiness: Arc::clone(&readiness) })));
    tokio::spawn(admin.serve(Arc::new(Admin { reloader: Arc::clone(&reloader), readiness: Arc::clone(&readiness) })));
    tokio::spawn(certificates::follow(Arc::clone(&reloader)));
    if let Some(seen) = watched {
        tokio::spawn(follow_files(Arc::clone(&reloader), seen));
    }
    readiness.set(true);
    if let Some(file) = ready_file {
        announce(&file, admin_address, &reloader).await?;
    }
    loop {
        match signals.next().await {
            Event::Reload => {
                reloader.reload().await;
            }
            Event::Drain => break,
            Event::Stop => return Ok(()),
        }
    }
    log::info!("draining");
    readiness.set(false);
    reloader.close().await;
    drain(&reloader, &mut signals).await;
    Ok(())
}

async fn bind(field: &str, address: SocketAddr) -> anyhow::Result<Port> {
    Port::bind(address).await.with_context(|| format!("cannot listen on {address} ({field} of GatewaySettings)"))
}

/// Waits for the last connection, the deadline, or a second signal.
async fn drain(reloader: &Reloader, signals: &mut Signals) {
    let deadline = Instant::now() + reloader.live().pin().settings.drain;
    let done = async {
        while reloader.counts().open() > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_TICK).await;
        }
    };
    let again = async { while signals.next().await == Event::Reload {} };
    tokio::select! {
        () = done => {}
        () = again => log::warn!("a second signal ends the drain"),
    }
    let left = reloader.counts().open();
    if left > 0 {
        log::warn!("{left} connections are cut off");
    }
}

/// Tells scripts that every port is bound, and where.
async fn announce(file: &std::path::Path, admin: SocketAddr, reloader: &Reloader) -> anyhow::Result<()> {
    let snapshot = reloader.live().pin();
    let listener = |(key, address): (ListenerKey, SocketAddr)| {
        let protocol = snapshot.listener(key).map_or("HTTP", |it| it.service.protocol());
        json!({ "port": key.port, "bind": address.to_string(), "protocol": protocol })
    };
    let listeners: Vec<_> = reloader.addresses().await.into_iter().map(listener).collect();
    let ready = json!({ "admin": admin.to_string(), "listeners": listeners });
    // Written beside and moved, so that nobody reads half of it.
    let beside = file.with_extension("partial");
    let write = || std::fs::write(&beside, ready.to_string()).and_then(|()| std::fs::rename(&beside, file));
    write().with_context(|| format!("cannot write the ready file {}", file.display()))
}

/// Reloads when the files are not any more what they were when they were `seen`.
async fn follow_files(reloader: Arc<Reloader>, mut seen: Fingerprint) {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let now = watch::fingerprint(reloader.paths());
        if now != seen {
            // A file that is being written changes again; it is taken when it has settled.
            tokio::time::sleep(WATCH_INTERVAL / 4).await;
            let settled = watch::fingerprint(reloader.paths());
            if settled == now {
                seen = now;
                reloader.reload().await;
            }
        }
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Reload,
    Drain,
    Stop,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Reload,
            _ = self.terminate.recv() => Event::Drain,
            _ = self.interrupt.recv() => Event::Stop,
        }
    }
}
