//! Real redis-servers: single, with TLS, behind sentinels, as a cluster.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::{Folder, wait_for};

/// A running redis-server.
pub(crate) struct Redis {
    child: Child,
    folder: Folder,
    port: u16,
    arguments: Vec<String>,
}

/// A port that was free just now.
fn free_port() -> u16 {
    // Cluster nodes also take the port 10,000 above.
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < 50_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
        let low = 20_000 + port % 20_000;
        if TcpListener::bind(("127.0.0.1", low)).is_ok() && TcpListener::bind(("127.0.0.1", low + 10_000)).is_ok() {
            return low;
        }
    }
}

impl Redis {
    /// A server without persistence.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        for _ in 0..10 {
            let port = free_port();
            let folder = Folder::new();
            let child = spawn(&folder, port, &arguments);
            let mut redis = Self { child, folder, port, arguments: arguments.clone() };
            if redis.listens() {
                return redis;
            }
        }
        panic!("no redis-server could be started: is it installed?");
    }

    /// Starts it again on its port, empty.
    pub(crate) fn restart(&mut self) {
        self.stop();
        wait_for("redis is back", || {
            self.child = spawn(&self.folder, self.port, &self.arguments);
            self.listens().then_some(())
        });
    }

    fn listens(&mut self) -> bool {
        wait_for("redis listens, or ends", || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let is_up = log.lines().last().is_some_and(|it| !it.is_empty());
            (is_up && TcpStream::connect(self.address()).is_ok()).then_some(true)
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command with redis-cli, and gives its output.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        let output = command.args(["-p", &self.port.to_string()]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// How often a command was called.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let stats = self.cli(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|it| it.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|it| it.split(',').next()?.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(folder: &Folder, port: u16, arguments: &[String]) -> Child {
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut command = Command::new("redis-server");
    if let Some(file) = arguments.first().filter(|it| it.ends_with(".conf")) {
        command.arg(folder.path().join(file));
    }
    let rest = arguments.iter().filter(|it| !it.ends_with(".conf"));
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--repl-diskless-sync-delay", "0", "--dir"])
        .arg(folder.path())
        .args(rest)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed (make tools)")
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sentinels of a master and its replica, and a name for them.
pub(crate) struct Sentinels {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
    pub(crate) sentinels: Vec<Redis>,
}

impl Sentinels {
    /// Three sentinels, of which two must agree.
    pub(crate) fn start() -> Self {
        let master = Redis::start();
        let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
        let sentinels = (0..3).map(|_| sentinel(&master)).collect();
        let all = Self { master, replica, sentinels };
        wait_for("the sentinels know each other and the replica", || {
            let knows = |it: &Redis| {
                let told = it.cli(&["SENTINEL", "MASTER", "edge"]);
                let number = |key: &str| {
                    let mut lines = told.lines().skip_while(|it| *it != key);
                    lines.nth(1).and_then(|it| it.parse().ok()).unwrap_or(0)
                };
                number("num-other-sentinels") >= 2 && number("num-slaves") >= 1
            };
            all.sentinels.iter().all(knows).then_some(())
        });
        wait_for("the replica follows", || {
            all.replica.cli(&["INFO", "replication"]).contains("master_link_status:up").then_some(())
        });
        all
    }
}

/// Ten times the span after which it says that the master is down must be longer than a TILT: by then the replica has
/// missed its master for so long, and would be taken for one with old data, for ever.
fn sentinel(master: &Redis) -> Redis {
    for _ in 0..10 {
        let (port, folder) = (free_port(), Folder::new());
        folder.write(
            "sentinel.conf",
            &format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor edge 127.0.0.1 {} 2\nsentinel down-after-milliseconds edge 4000\nsentinel failover-timeout edge 3000\n",
                master.port
            ),
        );
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("redis-server")
            .arg(folder.path().join("sentinel.conf"))
            .arg("--sentinel")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut redis = Redis { child, folder, port, arguments: Vec::new() };
        if redis.listens() {
            return redis;
        }
    }
    panic!("no sentinel could be started");
}

/// A cluster of three masters, each with a replica.
pub(crate) fn cluster() -> Vec<Redis> {
    let node = || Redis::start_with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"]);
    let nodes: Vec<Redis> = (0..6).map(|_| node()).collect();
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]).args(nodes.iter().map(|it| it.address().to_string()));
    let done = create.args(["--cluster-replicas", "1", "--cluster-yes"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    wait_for("the cluster serves", || {
        let serves = |it: &Redis| {
            let replication = it.cli(&["INFO", "replication"]);
            // A replica that never had the data of its master cannot take its place.
            (replication.contains("role:master") || replication.contains("master_link_status:up"))
                && it.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                && it.cli(&["CLUSTER", "NODES"]).lines().filter(|it| it.contains("slave")).count() == 3
        };
        nodes.iter().all(serves).then_some(())
    });
    nodes
}
