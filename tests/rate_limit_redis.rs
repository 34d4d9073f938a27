//! Rate limits that several gateways count in one Redis: exact, and safe while it is slow, gone or somebody else.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::redis::{Redis, Sentinels, cluster};
use crate::harness::tls::Authority;
use crate::harness::{Client, Folder, Gateway, Upstream, wait_for, wait_within};
use crate::rate_limit::{config, policy};

/// Requests of an hour, one at a time.
const HOURLY: &str = "rules: [{name: r, key: [{header: {name: x-user}}], limits: [{requests: 5, per: 1h}]}]";

/// The configuration with a Redis.
fn with_redis(upstream: &Upstream, settings: &str, policies: &str) -> String {
    config(upstream, policies).replace("workers: 2", &format!("workers: 2\n  redis: {{{settings}}}"))
}

fn url(redis: &Redis) -> String {
    // A test machine that is busy is no reason to give up.
    format!("url: '{}', timeout: 2s", redis.url())
}

fn status(address: SocketAddr, user: &str) -> u16 {
    Client::connect(address).send(&format!("GET / HTTP/1.1\r\nHost: h\r\nX-User: {user}\r\n\r\n")).status
}

fn statuses(gateway: &Gateway, user: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| status(gateway.address(80), user)).collect()
}

fn metric(gateway: &Gateway, name: &str) -> f64 {
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    let line = metrics.lines().find_map(|it| it.strip_prefix(name));
    line.and_then(|it| it.trim().parse().ok()).unwrap_or(0.0)
}

#[test]
fn replicas_share_a_limit_and_remember_refusals() {
    let (upstream, redis) = (Upstream::echo("a"), Redis::start());
    let config = with_redis(&upstream, &url(&redis), &policy("p", HOURLY));
    let (one, two) = (Gateway::start(&config), Gateway::start(&config));
    assert_eq!(statuses(&one, "ann", 3), [200, 200, 200]);
    assert_eq!(statuses(&two, "ann", 3), [200, 200, 429]);
    assert_eq!(statuses(&one, "ann", 1), [429]);
    assert_eq!(statuses(&one, "bob", 1), [200]);
    let before = redis.calls("evalsha");
    assert_eq!(statuses(&one, "ann", 50), [429; 50]);
    assert_eq!(redis.calls("evalsha"), before, "who is refused costs Redis nothing");
    for key in redis.cli(&["KEYS", "sluice:1:*"]).lines() {
        let left: i64 = redis.cli(&["PTTL", key]).parse().unwrap();
        assert!(left > 0 && left <= 3_601_000, "{key} {left}");
    }
    assert_eq!(metric(&one, "sluice_ratelimit_redis_up"), 1.0);
    // A server that lost its scripts is told them again.
    redis.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(statuses(&one, "cas", 6), [200, 200, 200, 200, 200, 429]);
    // Who forgets everything begins anew, at each replica at latest when the refusal could change.
    redis.cli(&["FLUSHALL"]);
    assert_eq!(statuses(&two, "dan", 6), [200, 200, 200, 200, 200, 429]);
}

/// Moves what a key remembers by these seconds, which is what a jump of the server's clock the other way does.
const JUMP: &str = "local d, s, w = struct.unpack('<ddd', redis.call('GET', KEYS[1])) redis.call('SET', KEYS[1], struct.pack('<ddd', d, s + ARGV[1] * 1000000, w), 'KEEPTTL') return 'moved'";

#[test]
fn a_clock_of_redis_that_jumps_refuses_nobody_for_long() {
    let (upstream, redis) = (Upstream::echo("a"), Redis::start());
    let gateway = Gateway::start(&with_redis(&upstream, &url(&redis), &policy("p", HOURLY)));
    for (user, jump, after) in [
        // Back: what was used stays used, and no more than that.
        ("ann", "86400", [200, 200, 429, 429, 429, 429]),
        // Forth: an hour is over.
        ("bob", "-86400", [200, 200, 200, 200, 200, 429]),
    ] {
        assert_eq!(statuses(&gateway, user, 3), [200; 3]);
        let key = redis.cli(&["KEYS", "sluice:1:*"]);
        assert_eq!(redis.cli(&["EVAL", JUMP, "1", &key, jump]), "moved");
        assert_eq!(statuses(&gateway, user, 6), after, "{user}");
        redis.cli(&["DEL", &key]);
    }
}

/// Asks as fast as it gets answers; the number that was admitted, and how long it took.
fn hammer(gateways: &[Gateway], clients: usize, time: Duration) -> (u64, Duration) {
    let (admitted, stops) = (AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    let took = std::thread::scope(|scope| {
        for number in 0..clients {
            let address = gateways[number % gateways.len()].address(80);
            let (admitted, stops) = (&admitted, &stops);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                while !stops.load(Ordering::Relaxed) {
                    let answer = client.send("GET / HTTP/1.1\r\nHost: h\r\nX-User: u\r\n\r\n");
                    admitted.fetch_add(u64::from(answer.status == 200), Ordering::Relaxed);
                }
            });
        }
        std::thread::park_timeout(time);
        stops.store(true, Ordering::Relaxed);
        begun.elapsed()
    });
    (admitted.into_inner(), took.max(begun.elapsed()))
}

#[test]
fn four_gateways_admit_exactly_the_limit() {
    let (upstream, redis) = (Upstream::echo("a"), Redis::start());
    for (rate, time) in [(1_u64, 2.0), (40, 2.0), (1000, 2.0)] {
        let rules = format!("rules: [{{name: r{rate}, limits: [{{requests: {rate}, per: 1s}}]}}]");
        let config = with_redis(&upstream, &url(&redis), &policy("p", &rules));
        let gateways: Vec<Gateway> = (0..4).map(|_| Gateway::start(&config)).collect();
        // What the test takes longer counts too; the clock of the test is not the one of Redis.
        let (admitted, took) = hammer(&gateways, 16, Duration::from_secs_f64(time));
        let most = rate as f64 + rate as f64 * took.as_secs_f64();
        assert!(admitted as f64 <= most + 1.0, "{rate}/s admitted {admitted}, at most {most}");
        if rate < 1000 {
            // Clients of a busy machine begin late, and what they do not ask for is not admitted.
            let least = (rate as f64 + rate as f64 * time) * 0.8;
            assert!(admitted as f64 >= least.floor() - 1.0, "{rate}/s admitted {admitted}, at least {least}");
        }
        for gateway in &gateways {
            let failed: f64 = metric(gateway, "sluice_ratelimit_redis_errors_total{kind=\"timeout\"}");
            assert_eq!(failed, 0.0);
        }
    }
}

#[test]
fn leases_admit_no_more_than_their_bound() {
    let (upstream, redis) = (Upstream::echo("a"), Redis::start());
    let rules =
        "consistency: {type: Leased, share: 10, maxAge: 5s}, rules: [{name: r, limits: [{requests: 200, per: 1h}]}]";
    let config = with_redis(&upstream, &url(&redis), &policy("p", rules));
    let gateways: Vec<Gateway> = (0..4).map(|_| Gateway::start(&config)).collect();
    let before = redis.calls("evalsha");
    let (admitted, _) = hammer(&gateways, 8, Duration::from_secs(2));
    // What is leased was taken from the limit, so nothing is admitted twice; a share of each may be unused.
    assert!((160..=201).contains(&admitted), "{admitted}");
    let calls = redis.calls("evalsha") - before;
    assert!(calls < 150, "{calls} calls for {admitted} requests");
}

/// A gateway with a policy for each of the ways to go on without Redis.
struct Modes(Gateway);

impl Modes {
    fn start(upstream: &Upstream, redis: &Redis) -> Self {
        let of = |name: &str, mode: &str| {
            policy(
                name,
                &format!(
                    "onStoreFailure: {mode}, rules: [{{name: r, match: [{{headers: {{x-mode: {{exact: {mode}}}}}}}], key: [{{header: {{name: x-user}}}}], limits: [{{requests: 2, per: 1h}}]}}]"
                ),
            )
        };
        let all = of("a", "Allow") + &of("d", "Deny") + &of("l", "Local");
        let settings = format!("url: '{}', timeout: 50ms", redis.url());
        Self(Gateway::start(&with_redis(upstream, &settings, &all)))
    }

    fn ask(&self, mode: &str) -> (u16, Duration) {
        let begun = Instant::now();
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX-User: u\r\nX-Mode: {mode}\r\n\r\n");
        (Client::connect(self.0.address(80)).send(&head).status, begun.elapsed())
    }

    fn all(&self, mode: &str) -> Vec<u16> {
        (0..4).map(|_| self.ask(mode).0).collect()
    }

    /// Waits until it knows that Redis does not answer, and looks at what it does.
    #[track_caller]
    fn without(&self, why: &str) {
        // The first ones may wait for the deadline; then nobody does.
        wait_for(why, || {
            self.ask("Allow");
            (metric(&self.0, "sluice_ratelimit_redis_up") == 0.0).then_some(())
        });
        assert_eq!(self.all("Allow"), [200; 4], "{why}");
        assert_eq!(self.all("Deny"), [503; 4], "{why}");
        let fastest = (0..20).map(|_| self.ask("Allow").1).min().unwrap();
        assert!(fastest < Duration::from_millis(40), "{why}: nobody waits: {fastest:?}");
    }

    #[track_caller]
    fn with(&self, why: &str) {
        let begun = Instant::now();
        wait_for(why, || (metric(&self.0, "sluice_ratelimit_redis_up") == 1.0).then_some(()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{why}: it is noticed soon");
    }
}

#[test]
fn each_policy_decides_what_happens_without_redis() {
    let (upstream, mut redis) = (Upstream::echo("a"), Redis::start());
    let modes = Modes::start(&upstream, &redis);
    redis.signal("STOP");
    modes.without("stopped");
    assert_eq!(modes.all("Local"), [200, 200, 429, 429]);
    wait_for("the log", || modes.0.output().contains("503 RLSE rate_limiter_error").then_some(()));
    redis.signal("CONT");
    modes.with("continued");
    assert_eq!(modes.ask("Deny").0, 200);
    redis.stop();
    modes.without("killed");
    redis.restart();
    modes.with("restarted");
    redis.cli(&["CONFIG", "SET", "requirepass", "secret"]);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    modes.without("a password is asked for");
    redis.cli(&["-a", "secret", "CONFIG", "SET", "requirepass", ""]);
    modes.with("no password any more");
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    modes.without("it became a replica");
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    modes.with("it is a master again");
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    modes.without("it has no memory");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    modes.with("it has memory again");
    let told = modes.0.ask_admin("GET", "/metrics").text();
    for kind in ["breaker_open", "timeout"] {
        assert!(told.contains(&format!("sluice_ratelimit_redis_errors_total{{kind=\"{kind}\"}}")), "{told}");
    }
}

#[test]
fn a_redis_that_reads_its_data_does_not_count_yet() {
    let (upstream, redis) = (Upstream::echo("a"), Redis::start_with(&["--enable-debug-command", "yes"]));
    let rules = HOURLY.replace("rules:", "onStoreFailure: Allow, rules:");
    let gateway = Gateway::start(&with_redis(&upstream, &url(&redis), &policy("p", &rules)));
    let counts = |user: &str| assert_eq!(statuses(&gateway, user, 6), [200, 200, 200, 200, 200, 429], "{user}");
    counts("before");
    redis.cli(&["DEBUG", "POPULATE", "6000"]);
    // Slowly, and with an ear for clients.
    redis.cli(&["CONFIG", "SET", "key-load-delay", "500"]);
    redis.cli(&["CONFIG", "SET", "loading-process-events-interval-bytes", "1024"]);
    std::thread::scope(|scope| {
        scope.spawn(|| redis.cli(&["DEBUG", "RELOAD"]));
        wait_for("it says so", || {
            // Each time somebody else, or the refusal would be remembered and nobody asked.
            assert_eq!(status(gateway.address(80), &format!("{:?}", Instant::now())), 200);
            (metric(&gateway, "sluice_ratelimit_redis_errors_total{kind=\"loading\"}") > 0.0).then_some(())
        });
    });
    wait_for("it has read everything", || (metric(&gateway, "sluice_ratelimit_redis_up") == 1.0).then_some(()));
    counts("after");
}

#[test]
fn a_gateway_starts_without_its_redis_and_finds_it_later() {
    let (upstream, mut redis) = (Upstream::echo("a"), Redis::start());
    redis.stop();
    let gateway = Gateway::start(&with_redis(&upstream, &url(&redis), &policy("p", HOURLY)));
    assert_eq!(statuses(&gateway, "u", 6), [200, 200, 200, 200, 200, 429], "it counts by itself");
    redis.restart();
    wait_for("it is found", || (metric(&gateway, "sluice_ratelimit_redis_up") == 1.0).then_some(()));
    assert_eq!(statuses(&gateway, "u", 6), [200, 200, 200, 200, 200, 429]);
    assert!(redis.calls("evalsha") >= 5);
}

#[test]
fn a_key_that_holds_something_else_harms_nobody_else() {
    let (upstream, redis) = (Upstream::echo("a"), Redis::start());
    let gateway = Gateway::start(&with_redis(&upstream, &url(&redis), &policy("p", HOURLY)));
    assert_eq!(statuses(&gateway, "ann", 1), [200]);
    let key = redis.cli(&["KEYS", "sluice:1:*"]);
    redis.cli(&["DEL", &key]);
    redis.cli(&["HSET", &key, "a", "b"]);
    assert_eq!(statuses(&gateway, "ann", 7), [200, 200, 200, 200, 200, 429, 429], "by itself");
    assert_eq!(statuses(&gateway, "bob", 6), [200, 200, 200, 200, 200, 429]);
    assert_eq!(metric(&gateway, "sluice_ratelimit_redis_up"), 1.0);
    assert!(metric(&gateway, "sluice_ratelimit_redis_errors_total{kind=\"wrong_type\"}") >= 5.0);
    assert_eq!(redis.cli(&["HGET", &key, "a"]), "b", "what belongs to somebody else stays");
}

#[test]
fn sentinels_tell_who_counts_after_a_failover() {
    let upstream = Upstream::echo("a");
    let mut redis = Sentinels::start();
    let nodes: Vec<String> = redis.sentinels.iter().map(|it| format!("'{}'", it.url())).collect();
    let settings =
        format!("mode: Sentinel, masterName: edge, timeout: 2s, url: {}, nodes: [{}]", nodes[0], nodes[1..].join(", "));
    let gateway = Gateway::start(&with_redis(&upstream, &settings, &policy("p", HOURLY)));
    assert_eq!(statuses(&gateway, "ann", 3), [200, 200, 200]);
    assert!(redis.master.calls("evalsha") >= 3);
    // What comes before something that the replica has is there as well.
    redis.master.cli(&["SET", "after", "1"]);
    wait_for("the replica has it", || (redis.replica.cli(&["GET", "after"]) == "1").then_some(()));
    redis.master.stop();
    // Sentinels that were kept from running for 2 s trust no clock for the next 30 s (TILT), and fail nothing over.
    let patience = Duration::from_secs(90);
    wait_within(patience, "the replica was made master", || {
        redis.replica.cli(&["ROLE"]).starts_with("master").then_some(())
    });
    wait_for("the gateway counts there", || {
        status(gateway.address(80), "somebody");
        (redis.replica.calls("evalsha") > 0).then_some(())
    });
    assert_eq!(statuses(&gateway, "ann", 3), [200, 200, 429], "what was used before is known");
}

#[test]
fn a_cluster_counts_each_key_where_it_lives() {
    let upstream = Upstream::echo("a");
    let mut nodes = cluster();
    let settings = format!("mode: Cluster, timeout: 2s, url: '{}', nodes: ['{}']", nodes[0].url(), nodes[1].url());
    let both = policy("p", HOURLY)
        + &policy("wide", "rules: [{name: w, key: [{header: {name: x-team}}], limits: [{requests: 7, per: 1h}]}]");
    let gateway = Gateway::start(&with_redis(&upstream, &settings, &both));
    let ask = |user: &str, team: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX-User: {user}\r\nX-Team: {team}\r\n\r\n");
        Client::connect(gateway.address(80)).send(&head).status
    };
    let ann: Vec<u16> = (0..20).map(|_| ask("ann", "red")).collect();
    assert_eq!(ann.iter().filter(|it| **it == 200).count(), 5);
    let bob: Vec<u16> = (0..4).map(|_| ask("bob", "red")).collect();
    assert_eq!(bob, [200, 200, 429, 429], "what the other slot refused was given back: 7 - 5 are left");
    for user in 0..12 {
        assert_eq!(ask(&format!("user-{user}"), "blue") == 200, user < 7, "{user}");
    }
    assert!(nodes[..3].iter().filter(|it| it.calls("evalsha") > 0).count() > 1, "keys are spread");
    // One master dies; its replica takes its slots.
    nodes[0].stop();
    wait_for("the cluster serves again", || {
        nodes[1].cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok").then_some(())?;
        nodes[1].cli(&["CLUSTER", "NODES"]).contains("fail").then_some(())
    });
    wait_for("the gateway counts again", || {
        let fresh = format!("after-{:?}", Instant::now());
        let statuses: Vec<u16> = (0..6).map(|_| ask(&fresh, &fresh)).collect();
        let up = metric(&gateway, "sluice_ratelimit_redis_up") == 1.0;
        (up && statuses == [200, 200, 200, 200, 200, 429]).then_some(())
    });
}

/// A server with TLS, a user and a socket, and the settings that reach it by TLS.
fn guarded(folder: &Folder) -> (Redis, String) {
    let authority = Authority::new();
    let own = authority.sign("localhost");
    let client = authority.sign("gateway");
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("cert.pem", own.certificate.clone()),
        ("key.pem", own.key.clone()),
        ("client.pem", client.certificate.clone()),
        ("client-key.pem", client.key.clone()),
        ("password", "secret\n".to_owned()),
    ] {
        folder.write(name, &text);
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let tls_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = Redis::start_with(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &path("cert.pem"),
        "--tls-key-file",
        &path("key.pem"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--unixsocket",
        &path("redis.sock"),
        "--user",
        "edge",
        "on",
        ">secret",
        "~sluice:*",
        "+@all",
    ]);
    let tls = format!(
        "url: 'rediss://localhost:{tls_port}', timeout: 2s, username: edge, passwordFile: {}, tls: {{caCertificates: {}, clientCertificate: {}, privateKey: {}}}",
        path("password"),
        path("ca.pem"),
        path("client.pem"),
        path("client-key.pem")
    );
    (redis, tls)
}

#[test]
fn redis_is_reached_by_tls_with_user_and_certificate_or_by_socket() {
    let upstream = Upstream::echo("a");
    let folder = Folder::new();
    let (redis, tls) = guarded(&folder);
    let gateway = Gateway::start(&with_redis(&upstream, &tls, &policy("p", HOURLY)));
    assert_eq!(statuses(&gateway, "ann", 3), [200, 200, 200]);
    assert!(redis.calls("evalsha") >= 3, "{}", gateway.messages());
    let socket = format!("url: 'unix://{}', timeout: 2s", folder.path().join("redis.sock").display());
    let other = Gateway::start(&with_redis(&upstream, &socket, &policy("p", HOURLY)));
    assert_eq!(statuses(&other, "ann", 3), [200, 200, 429]);
    let told = gateway.messages() + &gateway.ask_admin("GET", "/config_dump").text();
    assert!(!told.contains("secret"), "no password is told");
    // A server that others vouch for is not believed.
    let stranger = Authority::new();
    folder.write("ca.pem", &stranger.pem());
    let wary = Gateway::start(&with_redis(&upstream, &tls, &policy("p", HOURLY)));
    assert_eq!(metric(&wary, "sluice_ratelimit_redis_up"), 0.0);
    assert!(metric(&wary, "sluice_ratelimit_redis_up") == 0.0 && wary.messages().contains("does not answer"));
}

/// A way to a Redis that can be made slow, silent, or cut.
struct Way {
    address: SocketAddr,
    /// Milliseconds that answers are held back; the largest number holds them for ever.
    delay: Arc<AtomicU64>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    fn to(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { address: listener.local_addr().unwrap(), delay: Arc::default(), streams: Arc::default() };
        let (target, delay, streams) = (redis.address(), Arc::clone(&way.delay), Arc::clone(&way.streams));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(target).unwrap());
                streams.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let none = Arc::new(AtomicU64::new(0));
                copy(client.try_clone().unwrap(), server.try_clone().unwrap(), none);
                copy(server, client, Arc::clone(&delay));
            }
        });
        way
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, delay: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read) = from.read(&mut buffer) {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(delay.load(Ordering::SeqCst)) {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            if read == 0 || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        to.shutdown(std::net::Shutdown::Both).ok();
    });
}

#[test]
fn late_lost_and_missing_answers_are_nobody_elses() {
    let (upstream, redis) = (Upstream::echo("a"), Redis::start());
    let way = Way::to(&redis);
    let rules = HOURLY.replace("rules:", "onStoreFailure: Allow, rules:");
    let settings = format!("url: '{}', timeout: 500ms", way.url());
    let gateway = Gateway::start(&with_redis(&upstream, &settings, &policy("p", &rules)));
    let is_up = |up: f64| {
        // Each time somebody else, or the refusal would be remembered and nobody asked.
        status(gateway.address(80), &format!("{:?}", Instant::now()));
        (metric(&gateway, "sluice_ratelimit_redis_up") == up).then_some(())
    };
    let counts = |user: &str| assert_eq!(statuses(&gateway, user, 6), [200, 200, 200, 200, 200, 429], "{user}");
    counts("before");
    for (delay, what) in [(1000, "slow by a second"), (u64::MAX, "silent")] {
        way.delay.store(delay, Ordering::SeqCst);
        wait_for(what, || is_up(0.0));
        assert_eq!(statuses(&gateway, "other", 6), [200; 6], "{what}: requests pass");
        way.delay.store(0, Ordering::SeqCst);
        // What was held back comes now; nobody waits for it any more.
        wait_for("it answers again", || is_up(1.0));
        counts(what);
        assert_eq!(statuses(&gateway, "before", 1), [429], "{what}: what was counted stays counted");
    }
    for number in 0..5 {
        way.cut();
        wait_for("it answers again", || is_up(1.0));
        wait_for("a connection is made", || {
            let user = format!("cut-{number}-{:?}", Instant::now());
            (statuses(&gateway, &user, 6) == [200, 200, 200, 200, 200, 429]).then_some(())
        });
    }
}
