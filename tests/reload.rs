//! Swap under load: no failed request, no request with two generations, a bad file changes nothing.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::harness::{Client, Gateway, Upstream, gateway, routes, service, settings, wait_for};

/// Swaps under load; the issue asks for this many.
const SWAPS: u32 = 200;
/// Connections that ask all the while.
const CLIENTS: usize = 16;

/// A configuration that marks requests and responses with its number.
fn marked(number: u32, upstream: &Upstream) -> String {
    let ports: &[u16] = if number.is_multiple_of(2) { &[80, 8081] } else { &[80] };
    let rules = format!(
        "  - route: [{{destination: {{host: a.test}}}}]\n    headers: {{request: {{set: {{x-generation: \"{number}\"}}}}, response: {{set: {{x-generation: \"{number}\"}}}}}}\n"
    );
    settings("") + &gateway(ports) + &service("a", "HTTP", &[upstream.address()]) + &routes("h", &rules)
}

/// A policy that keeps everybody out.
const ASK: &str = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ask, namespace: istio-system}\nspec: {rules: [{when: [{key: experimental.envoy.filters.a, values: [b]}]}]}\n";

#[test]
fn no_request_fails_or_sees_two_generations_while_the_configuration_is_swapped() {
    let upstream = Upstream::echo("a");
    let gateway = Arc::new(Gateway::start(&marked(0, &upstream)));
    let address = gateway.address(80);
    let done = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (done, asked) = (Arc::clone(&done), Arc::clone(&asked));
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut seen = 0;
                while !done.load(Ordering::SeqCst) {
                    let response = client.get("h", "/");
                    assert_eq!(response.status, 200, "{response:?}");
                    let generation = response.header("x-generation").unwrap().to_owned();
                    assert_eq!(response.echoed("x-generation").unwrap(), generation, "two generations in one request");
                    let number: u32 = generation.parse().unwrap();
                    assert!(number >= seen, "{number} after {seen}");
                    seen = number;
                    asked.fetch_add(1, Ordering::SeqCst);
                }
                seen
            })
        })
        .collect();
    for number in 1..=SWAPS {
        let report = gateway.reload(&marked(number, &upstream));
        assert_eq!(report["success"], true, "{report:#}");
    }
    let before = asked.load(Ordering::SeqCst);
    wait_for("clients see the last one", || (asked.load(Ordering::SeqCst) > before + CLIENTS * 4).then_some(()));
    done.store(true, Ordering::SeqCst);
    for client in clients {
        assert_eq!(client.join().unwrap(), SWAPS);
    }
    assert_eq!(gateway.generation(), u64::from(SWAPS) + 1);
    // One pool for each of two workers; unchanged clusters keep their connections over all swaps.
    assert!(upstream.connections() <= CLIENTS * 2, "{} upstream connections", upstream.connections());
}

#[test]
fn reloads_leave_no_descriptors_and_no_memory_behind() {
    let upstream = Upstream::echo("a");
    let gateway = Gateway::start(&marked(0, &upstream));
    let rounds = |count: u32| {
        for number in 0..count {
            assert_eq!(gateway.reload(&marked(number, &upstream))["success"], true);
            assert_eq!(gateway.get("h", "/").status, 200);
        }
        gateway.reload(&marked(0, &upstream));
        (gateway.open_descriptors(), gateway.resident_bytes())
    };
    let (descriptors, memory) = rounds(100);
    let (descriptors_later, memory_later) = rounds(300);
    assert!(descriptors_later <= descriptors + 4, "{descriptors} descriptors, then {descriptors_later}");
    assert!(memory_later < memory + (8 << 20), "{memory} bytes, then {memory_later}");
}

#[test]
fn ten_thousand_routes_cost_little_memory() {
    /// What they may add while they are reloaded: 80 MB less a gateway without any (19 MiB as released).
    const BOUND: u64 = 57 << 20;
    let upstream = Upstream::echo("a");
    let rules: String = (0..10_000)
        .map(|it| {
            format!("  - match: [{{uri: {{prefix: /r{it}/}}}}]\n    route: [{{destination: {{host: a.test}}}}]\n")
        })
        .collect();
    let config = |host: &str, rules: &str| {
        settings("") + &gateway(&[80]) + &service("a", "HTTP", &[upstream.address()]) + &routes(host, rules)
    };
    let running = Gateway::start(&config("none", "  - directResponse: {status: 404}\n"));
    let without = running.resident_bytes();
    for mark in 1..4 {
        assert_eq!(running.reload(&config(&format!("h{mark}"), &rules))["success"], true);
        assert_eq!(running.get(&format!("h{mark}"), "/r9999/x").status, 200);
    }
    let most = running.peak_resident_bytes();
    assert!(most <= without + BOUND, "{without} bytes before, {most} at most");
    let started = Gateway::start(&config("h0", &rules));
    let most = started.peak_resident_bytes();
    assert!(most <= without + BOUND, "{most} bytes at most at the start");
}

#[test]
fn a_gateway_that_was_killed_leaves_nothing_that_hinders_the_next() {
    let upstream = Upstream::echo("a");
    let mut gateway = Gateway::start(&marked(0, &upstream));
    let address = gateway.address(80);
    assert_eq!(gateway.get("h", "/").status, 200);
    gateway.signal("KILL");
    gateway.wait();
    let config = marked(0, &upstream).replace("\"80\": 0", &format!("\"80\": {}", address.port()));
    let next = Gateway::start(&config);
    assert_eq!(next.address(80), address);
    assert_eq!(next.get("h", "/").status, 200);
}

#[test]
fn serving_goes_on_when_descriptors_run_out() {
    let upstream = Upstream::echo("a");
    let gateway = Gateway::start_limited(&marked(1, &upstream), 100);
    let crowd: Vec<Client> = (0..120).map(|_| Client::connect(gateway.address(80))).collect();
    assert_eq!(gateway.ask_admin("GET", "/ready").status, 200);
    drop(crowd);
    wait_for("requests are served again", || {
        let mut client = Client::connect(gateway.address(80));
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.response().ok().filter(|it| it.status == 200)
    });
}

#[test]
fn sighup_takes_the_files_as_they_are() {
    let upstream = Upstream::echo("a");
    let gateway = Gateway::start(&marked(0, &upstream));
    gateway.write(&marked(1, &upstream));
    gateway.signal("HUP");
    wait_for("the new configuration serves", || {
        (gateway.get("h", "/").header("x-generation") == Some("1")).then_some(())
    });
}

#[test]
fn watched_files_are_taken_without_a_signal_even_behind_a_symlink() {
    let upstream = Upstream::echo("a");
    let folder = crate::harness::Folder::new();
    let place = |number: u32| {
        let inner = folder.path().join(format!("..{number}"));
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("config.yaml"), marked(number, &upstream)).unwrap();
        let link = folder.path().join("..new");
        std::os::unix::fs::symlink(format!("..{number}"), &link).unwrap();
        std::fs::rename(link, folder.path().join("..data")).unwrap();
    };
    place(0);
    std::os::unix::fs::symlink("..data/config.yaml", folder.path().join("config.yaml")).unwrap();
    let path = folder.path().to_owned();
    let gateway = Gateway::start_in(folder, &["--watch"]);
    let inner = path.join("..1");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::write(inner.join("config.yaml"), marked(1, &upstream)).unwrap();
    let link = path.join("..new");
    std::os::unix::fs::symlink("..1", &link).unwrap();
    std::fs::rename(link, path.join("..data")).unwrap();
    wait_for("the swapped configuration serves", || {
        (gateway.get("h", "/").header("x-generation") == Some("1")).then_some(())
    });
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported() {
    let upstream = Upstream::echo("a");
    let good = marked(0, &upstream);
    let mut gateway = Gateway::start(&good);
    let huge = format!("# {}\n{good}", "x".repeat(33 << 20));
    for (bad, expected) in [
        (good.replace("prefix", "perfix") + "---\nkind: [\n", "not valid YAML"),
        (good.replace("gateways: [edge]", "gatways: [edge]"), "did you mean `gateways`?"),
        (good.replace("gateways: [edge]", "gateways: [egde]"), "does not exist"),
        (huge, "larger than"),
        (format!("{good}{ASK}"), "not enforced yet"),
    ] {
        let report = gateway.reload(&bad);
        assert_eq!((&report["success"], &report["generation"]), (&false.into(), &1.into()));
        assert!(report.to_string().contains(expected), "{expected}: {report:#}");
        assert_eq!(gateway.get("h", "/").header("x-generation"), Some("0"));
    }
    std::fs::write(gateway.folder().join("config.yaml"), [0xff, 0xfe]).unwrap();
    assert!(gateway.ask_admin("POST", "/reload").text().contains("UTF-8"));
    std::fs::remove_file(gateway.folder().join("config.yaml")).unwrap();
    gateway.ask_admin("POST", "/reload");
    assert!(gateway.is_running());
    let metrics = gateway.ask_admin("GET", "/metrics").text();
    assert!(metrics.contains("sluice_config_reloads_total{result=\"failure\"} 6"), "{metrics}");
}

#[test]
fn a_port_that_is_taken_is_a_failed_reload() {
    let upstream = Upstream::echo("a");
    let gateway = Gateway::start(&marked(1, &upstream));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = marked(2, &upstream).replace("\"8081\": 0", &format!("\"8081\": {port}"));
    let report = gateway.reload(&config);
    assert_eq!(report["success"], false);
    assert!(report.to_string().contains("cannot listen"), "{report:#}");
    assert_eq!(gateway.get("h", "/").header("x-generation"), Some("1"));
}

#[test]
fn check_and_start_refuse_a_policy_that_would_not_be_enforced() {
    let folder = crate::harness::Folder::new();
    folder.write("policy.yaml", ASK);
    for command in ["check", "run"] {
        let output = crate::harness::sluice().args([command, "--config"]).arg(folder.path()).output().unwrap();
        let report = [output.stdout, output.stderr].concat();
        let report = String::from_utf8_lossy(&report);
        assert_eq!(output.status.code(), Some(1), "{command}: {report}");
        assert!(report.contains("would let in whom it keeps out") && report.contains("policy.yaml:5:"), "{report}");
    }
}

#[test]
fn a_broken_file_at_start_binds_nothing_and_says_why() {
    let folder = crate::harness::Folder::new();
    folder.write(
        "bad.yaml",
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {severs: []}\n",
    );
    let output = crate::harness::sluice().args(["run", "--config"]).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(report.contains("did you mean `servers`?") && report.contains("bad.yaml:4:8"), "{report}");
}

#[test]
fn sigterm_lets_requests_end_and_then_ends_the_process() {
    let upstream = Upstream::echo("a");
    let mut gateway = Gateway::start(&marked(0, &upstream));
    let mut idle = Client::connect(gateway.address(80));
    assert_eq!(idle.get("h", "/").status, 200);
    let mut busy = Client::connect(gateway.address(80));
    busy.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
    wait_for("the request is under way", || {
        let dump = gateway.ask_admin("GET", "/config_dump").text();
        dump.contains("\"active\": 1").then_some(())
    });
    gateway.signal("TERM");
    assert!(idle.is_closed(), "an idle connection is closed");
    assert!(gateway.is_running(), "a request is still under way");
    busy.write(b"cd");
    let response = busy.response().unwrap();
    assert_eq!((response.status, response.echoed("body").as_deref()), (200, Some("abcd")));
    assert_eq!(response.header("connection"), Some("close"));
    assert!(gateway.wait().success());
}
