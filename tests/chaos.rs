//! Endpoints that are killed and come back, under steady load: the default retries keep it from clients.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Client, Gateway, gateway, routes, service, settings, sluice, wait_for};

const ENDPOINTS: usize = 5;
const CLIENTS: usize = 64;
const TIME: Duration = Duration::from_secs(60);
/// Shortest pause of a client between its requests: the load shall be steady, not all that the machine gives.
const PACE: Duration = Duration::from_millis(50);
/// A pause is at least this many times what the answer took, so that a slow machine has no more requests under way:
/// where all clients wait at once, the dead endpoint's share is what the retry budget admits.
const REST: u32 = 10;

/// An echo server in a process of its own.
struct Endpoint {
    address: SocketAddr,
    child: Child,
}

impl Endpoint {
    fn start(address: SocketAddr) -> Self {
        let child = sluice()
            .args(["echo", "--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the endpoint listens", || TcpStream::connect(address).ok());
        Self { address, child }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn killed_endpoints_are_hardly_noticed() {
    let _quiet = crate::harness::quiet::Quiet::begin();
    let mut endpoints: Vec<Endpoint> = (0..ENDPOINTS).map(|_| Endpoint::start(free_address())).collect();
    let addresses: Vec<_> = endpoints.iter().map(|it| it.address).collect();
    let rules = "  - route: [{destination: {host: a.test}}]\n";
    let config = settings("") + &gateway(&[80]) + &service("a", "HTTP", &addresses) + &routes("h", rules);
    let gateway = Gateway::start(&config);
    let (address, over) = (gateway.address(80), Arc::new(AtomicBool::new(false)));
    let (good, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (over, good, bad) = (Arc::clone(&over), Arc::clone(&good), Arc::clone(&bad));
            thread::spawn(move || {
                let mut client = Client::connect(address);
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                    match client.response() {
                        Ok(answer) if answer.status == 200 => good.fetch_add(1, Ordering::Relaxed),
                        Ok(_) | Err(_) => {
                            client = Client::connect(address);
                            bad.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                    thread::park_timeout(PACE.max(begun.elapsed() * REST));
                }
            })
        })
        .collect();
    let begun = Instant::now();
    let mut round = 0;
    while begun.elapsed() < TIME {
        let killed = &mut endpoints[round % ENDPOINTS];
        killed.kill();
        thread::park_timeout(Duration::from_millis(500));
        *killed = Endpoint::start(killed.address);
        thread::park_timeout(Duration::from_millis(500));
        round += 1;
    }
    over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|it| it.join().unwrap());
    let (good, bad) = (good.load(Ordering::Relaxed), bad.load(Ordering::Relaxed));
    let failed: Vec<String> =
        gateway.output().lines().filter(|it| !it.contains("\" 200 ")).take(10).map(str::to_owned).collect();
    assert!(round >= 30, "{round} rounds");
    assert!(bad * 10_000 <= good + bad, "{bad} of {} failed: {failed:#?}", good + bad);
}
