//! The real gateway on free ports: ready before `start` returns, gone when dropped.

pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod grpc;
pub(crate) mod jwt;
pub(crate) mod quiet;
pub(crate) mod redis;
pub(crate) mod tls;
pub(crate) mod upstream;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use client::{Client, Response};
pub(crate) use upstream::Upstream;

/// Longest wait for anything that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test.
pub(crate) fn sluice() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sluice"))
}

/// A folder of its own, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sluice-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Waits until `ready` gives something; panics with `what` when it never does.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, ready)
}

/// The same for what others than the program under test may delay.
#[track_caller]
pub(crate) fn wait_within<T>(patience: Duration, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(it) = ready() {
            return it;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("never happened: {what}");
}

/// Settings that bind everything on loopback; the ports of Gateways become free ones.
pub(crate) fn settings(more: &str) -> String {
    let ports: String = (8081..=8089).chain([443]).map(|it| format!("\"{it}\": 0, ")).collect();
    format!(
        "apiVersion: sluice.dev/v1alpha1\nkind: GatewaySettings\nmetadata: {{name: default}}\nspec:\n  bindAddress: 127.0.0.1\n  portMap: {{\"80\": 0, {ports}}}\n  admin: {{address: \"127.0.0.1:0\"}}\n  health: {{address: \"127.0.0.1:0\"}}\n  workers: 2\n{more}\n"
    )
}

/// A Gateway for any host on these ports.
pub(crate) fn gateway(ports: &[u16]) -> String {
    let servers: String = ports
        .iter()
        .map(|it| format!("  - port: {{number: {it}, name: http-{it}, protocol: HTTP}}\n    hosts: [\"*\"]\n"))
        .collect();
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\nspec:\n  servers:\n{servers}"
    )
}

/// A service `name` whose endpoints are these addresses.
pub(crate) fn service(name: &str, protocol: &str, endpoints: &[SocketAddr]) -> String {
    let endpoints: String =
        endpoints.iter().map(|it| format!("  - {{address: {}, ports: {{web: {}}}}}\n", it.ip(), it.port())).collect();
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{name}.test]\n  resolution: STATIC\n  ports: [{{number: 80, name: web, protocol: {protocol}}}]\n  endpoints:\n{endpoints}"
    )
}

/// A VirtualService of the Gateway `edge` with these rules, indented by two.
pub(crate) fn routes(host: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {}}}\nspec:\n  hosts: [\"{host}\"]\n  gateways: [edge]\n  http:\n{rules}",
        host.replace('*', "any")
    )
}

/// Gives a command a clock that a file sets forward or back, as `+1d`; only the wall clock, not the passing of time.
pub(crate) fn by_clock(command: &mut Command, clock: &Path) {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|it| it.unwrap().path());
    let mut libraries = folders.map(|it| it.join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|it| it.exists()).expect("libfaketime is there: make tools");
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", clock);
    command.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")]);
}

/// A running gateway.
pub(crate) struct Gateway {
    _running: quiet::Running,
    child: Child,
    folder: Folder,
    ready: Value,
}

impl Gateway {
    /// Starts it with this configuration.
    #[track_caller]
    pub(crate) fn start(config: &str) -> Self {
        let folder = Folder::new();
        folder.write("config.yaml", config);
        Self::start_in(folder, &[])
    }

    /// Starts it with the files of a folder.
    #[track_caller]
    pub(crate) fn start_in(folder: Folder, arguments: &[&str]) -> Self {
        Self::spawn(folder, arguments, sluice())
    }

    /// Starts it with a bound on its descriptors.
    #[track_caller]
    pub(crate) fn start_limited(config: &str, descriptors: u32) -> Self {
        let folder = Folder::new();
        folder.write("config.yaml", config);
        let mut command = Command::new("bash");
        let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_sluice")]);
        Self::spawn(folder, &[], command)
    }

    /// Starts it with a clock that a file sets.
    #[track_caller]
    pub(crate) fn start_by_clock(config: &str, clock: &Path) -> Self {
        let folder = Folder::new();
        folder.write("config.yaml", config);
        let mut command = sluice();
        by_clock(&mut command, clock);
        Self::spawn(folder, &[], command)
    }

    #[track_caller]
    fn spawn(folder: Folder, arguments: &[&str], mut command: Command) -> Self {
        let running = quiet::Running::begin();
        let log = fs::File::create(folder.path().join("out.log")).unwrap();
        let messages = fs::File::create(folder.path().join("err.log")).unwrap();
        let ready_file = folder.path().join("ready.json.out");
        let mut child = command
            .args(["run", "--config"])
            .arg(folder.path())
            .arg("--ready-file")
            .arg(&ready_file)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(messages)
            .spawn()
            .unwrap();
        let messages = folder.path().join("err.log");
        let ready = wait_for("the gateway is ready", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the gateway ended with {status}: {}", fs::read_to_string(&messages).unwrap_or_default());
            }
            serde_json::from_str(&fs::read_to_string(&ready_file).ok()?).ok()
        });
        Self { _running: running, child, folder, ready }
    }

    /// Address of the listener that is declared with this port.
    #[track_caller]
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        let listeners = self.ready["listeners"].as_array().unwrap();
        let listener = listeners.iter().find(|it| it["port"] == port).unwrap_or_else(|| panic!("no port {port}"));
        listener["bind"].as_str().unwrap().parse().unwrap()
    }

    /// Address of the operator's port.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.ready["admin"].as_str().unwrap().parse().unwrap()
    }

    /// Asks the listener of port 80 by this host.
    #[track_caller]
    pub(crate) fn get(&self, host: &str, path: &str) -> Response {
        Client::connect(self.address(80)).get(host, path)
    }

    /// Asks the operator's port.
    #[track_caller]
    pub(crate) fn ask_admin(&self, method: &str, path: &str) -> Response {
        Client::connect(self.admin())
            .send(&format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n"))
    }

    /// Replaces the configuration.
    pub(crate) fn write(&self, config: &str) {
        // Moved into place, so that no reload sees half of it.
        let new = self.folder.write("config.new", config);
        fs::rename(new, self.folder.path().join("config.yaml")).unwrap();
    }

    /// Reloads through the operator's port and says what it reported.
    #[track_caller]
    pub(crate) fn reload(&self, config: &str) -> Value {
        self.write(config);
        serde_json::from_str(&self.ask_admin("POST", "/reload").text()).unwrap()
    }

    /// The configuration that runs.
    pub(crate) fn generation(&self) -> u64 {
        let dump: Value = serde_json::from_str(&self.ask_admin("GET", "/config_dump").text()).unwrap();
        dump["generation"].as_u64().unwrap()
    }

    /// What it wrote to its standard output: the access log.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("out.log")).unwrap()
    }

    /// What it wrote to its standard error.
    pub(crate) fn messages(&self) -> String {
        fs::read_to_string(self.folder.path().join("err.log")).unwrap()
    }

    /// Folder of its configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Descriptors that it has open.
    pub(crate) fn open_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// What the scheduler says of each thread whose name begins so: files as `schedstat` of proc(5).
    pub(crate) fn threads(&self, name: &str) -> Vec<PathBuf> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().map(|it| it.unwrap().path());
        let named = tasks.filter(|it| fs::read_to_string(it.join("comm")).unwrap_or_default().starts_with(name));
        named.map(|it| it.join("schedstat")).collect()
    }

    /// Memory that it holds.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that it ever took.
    pub(crate) fn peak_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the gateway ends", || self.child.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- messages of the gateway\n{}", self.messages());
        }
    }
}
