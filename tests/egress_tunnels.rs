//! How tunnels through a forward proxy begin and end, in a network namespace without a way out.

mod inside {
    use std::io::{Read as _, Write as _};

    use crate::egress::{INTERNET, connect, entry, listener, names, one_way_out, own, proxy, tunnel};
    use crate::harness::tls::{Ask, Authority};
    use crate::harness::{Client, Gateway, wait_for};

    #[test]
    #[ignore = "runs in a network namespace"]
    fn a_refusal_is_an_answer_after_which_the_client_may_ask_again() {
        let (address, _) = listener();
        let (_names, gateway) = one_way_out("a.test", address.port(), "");
        let target = format!("a.test:{}", address.port());
        let ask = |target: &str, version: &str, more: &str| {
            format!("CONNECT {target} HTTP/{version}\r\nHost: {target}\r\n{more}\r\n")
        };
        let mut client = Client::connect(gateway.address(8081));
        for _ in 0..2 {
            // 200 would say that there is a tunnel, whatever gRPC makes of it.
            let refused = client.send(&ask("other.test:443", "1.1", "Content-Type: application/grpc\r\n"));
            assert_eq!((refused.status, refused.header("connection")), (403, Some("keep-alive")));
            assert_eq!(refused.text(), "other.test:443: egress_host_not_allowed\n");
            assert!(refused.header("date").is_some() && refused.header("server") == Some("sluice"));
            assert_eq!(refused.header("content-type"), Some("text/plain"));
        }
        assert_eq!(client.send(&ask("other.test:443", "1.0", "Connection: keep-alive\r\n")).status, 403);
        client.write(ask(&target, "1.1", "").as_bytes());
        assert!(client.line().unwrap().starts_with("HTTP/1.1 200 "));
        for (version, more) in [("1.1", "Connection: x, Close\r\n"), ("1.0", "")] {
            let mut client = Client::connect(gateway.address(8081));
            let refused = client.send(&ask("other.test:443", version, more));
            assert_eq!((refused.status, refused.header("connection")), (403, Some("close")), "{version} {more}");
            assert!(client.is_closed(), "{version} {more}");
        }
        let line = " egress_host_not_allowed[other.test:443] - \"-\" 0 40 ";
        wait_for("its line", || gateway.output().contains(line).then_some(()));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn what_comes_with_the_request_for_a_tunnel_is_passed_on_and_counted() {
        let (address, seen) = listener();
        let (_names, gateway) = one_way_out("a.test", address.port(), "");
        let target = format!("a.test:{}", address.port());
        let mut client = Client::connect(gateway.address(8081));
        client.write(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nearly").as_bytes());
        assert!(client.line().unwrap().starts_with("HTTP/1.1 200 "));
        client.write(b", late");
        drop(client);
        wait_for("what came", || seen.lock().unwrap().contains(&b"early, late".to_vec()).then_some(()));
        wait_for("its count", || {
            let metrics = gateway.ask_admin("GET", "/metrics").text();
            let counted = metrics.lines().find(|it| it.starts_with("istio_tcp_received_bytes_total"))?;
            counted.ends_with(" 11").then_some(())
        });
        wait_for("its line", || gateway.output().contains(" 11 0 ").then_some(()));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn tunnels_have_bounds() {
        let (address, seen) = listener();
        let port = address.port();
        let bounds = own("EgressPolicy", "p", "tunnels: {perClient: 2, maxBytes: 1000}");
        let (_names, gateway) = one_way_out("a.test", port, &bounds);
        let target = format!("a.test:{port}");
        let (first, mut second) = (tunnel(&gateway, &target), tunnel(&gateway, &target));
        assert_eq!(connect(&gateway, &target, "").1.status, 503, "two are enough");
        second.write_all(&[1; 800]).unwrap();
        wait_for("more than may pass ends it", || second.write_all(&[1; 300]).is_err().then_some(()));
        drop((first, second));
        wait_for("places are free again", || (connect(&gateway, &target, "").1.status == 200).then_some(()));
        wait_for("no more than the bound came", || {
            let seen = seen.lock().unwrap();
            (seen.len() >= 2 && seen.iter().all(|it| it.len() <= 1000)).then_some(())
        });
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn a_tunnel_ends_some_time_after_its_destination_is_gone() {
        let port = listener().0.port();
        let names = names(&[("a.test", [127, 0, 0, 1]), ("b.test", [127, 0, 0, 1])]);
        let base = proxy(&names, "  egress: {allowedAddresses: [127.0.0.0/8], revocationGrace: 100ms}", "");
        let [a, b] = ["a.test", "b.test"].map(|it| entry(it, port, "TCP", "resolution: DNS"));
        let gateway = Gateway::start(&(base.clone() + &a + &b));
        let [mut gone, mut stays] = ["a.test", "b.test"].map(|it| tunnel(&gateway, &format!("{it}:{port}")));
        assert_eq!(gateway.reload(&(base + &b))["success"], true);
        assert_eq!(gone.read(&mut [0]).unwrap_or(0), 0, "it is closed");
        stays.write_all(b"still here").unwrap();
        stays.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        assert!(stays.read(&mut [0]).is_err(), "nobody closed it");
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn a_tunnel_ends_too_whose_destination_went_before_anything_was_said_in_it() {
        let (address, seen) = listener();
        let port = address.port();
        let names = names(&[("a.test", [127, 0, 0, 1])]);
        let base = proxy(&names, "  egress: {allowedAddresses: [127.0.0.0/8], revocationGrace: 100ms}", "");
        let gateway = Gateway::start(&(base.clone() + &entry("a.test", port, "TLS", "resolution: DNS")));
        let mut begun = tunnel(&gateway, &format!("a.test:{port}"));
        assert_eq!(gateway.reload(&base)["success"], true);
        begun.write_all(&Ask::new("a.test", &Authority::new()).hello()).unwrap();
        assert_eq!(begun.read(&mut [0]).ok(), Some(0), "it is closed");
        wait_for("the destination's side is closed", || (!seen.lock().unwrap().is_empty()).then_some(()));
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn a_listener_says_itself_what_must_be_said_in_its_tunnels() {
        let (address, seen) = listener();
        let port = address.port();
        let target = format!("a.test:{port}");
        let speak = |more: &str| {
            let (_names, gateway) = one_way_out("a.test", port, more);
            let mut stream = tunnel(&gateway, &target);
            stream.write_all(b"no handshake").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Nobody answers, so it ends when what was said has passed, or may not.
            stream.read_to_end(&mut Vec::new()).ok();
        };
        let policy = |name: &str, ports: &str, says: &str| {
            own("EgressPolicy", name, &format!("ports: [{ports}], tunnels: {{tlsInTunnel: {says}}}"))
        };
        speak(&(policy("strict", "8081", "Require") + &policy("lax", "8081", "Off")));
        assert!(seen.lock().unwrap().is_empty(), "the strictest says");
        speak(&policy("elsewhere", "8082", "Require"));
        wait_for("what another listener would refuse", || {
            (seen.lock().unwrap().as_slice() == [b"no handshake".to_vec()]).then_some(())
        });
    }

    #[test]
    #[ignore = "runs in a network namespace"]
    fn a_tunnel_may_end_at_shutdown_and_does_not_keep_the_process() {
        let (address, seen) = listener();
        let target = format!("a.test:{}", address.port());
        let (_names, mut gateway) = one_way_out("a.test", address.port(), "");
        let proxy_address = gateway.address(8081);
        let mut stream = tunnel(&gateway, &target);
        gateway.signal("TERM");
        wait_for("no new clients", || std::net::TcpStream::connect(proxy_address).is_err().then_some(()));
        stream.write_all(b"late").unwrap();
        assert!(gateway.is_running(), "a tunnel is still open");
        drop(stream);
        assert!(gateway.wait().success());
        assert_eq!(seen.lock().unwrap().as_slice(), [b"late".to_vec()]);

        let names = names(&[("a.test", [127, 0, 0, 1])]);
        let brief = format!("{INTERNET}\n  meshConfig: {{defaultConfig: {{terminationDrainDuration: 1s}}}}");
        let entry = entry("a.test", address.port(), "TCP", "resolution: DNS");
        let mut gateway = Gateway::start(&(proxy(&names, &brief, "") + &entry));
        let mut stream = tunnel(&gateway, &target);
        gateway.signal("TERM");
        assert!(gateway.wait().success());
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "it ends with the process");
    }
}
