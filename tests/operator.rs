//! The operator's port, metrics and the access log.

use std::io::Read as _;

use serde_json::Value;

use crate::harness::{Client, Gateway, Upstream, gateway, routes, service, settings, wait_for};

const ALL: &str = "  - name: all\n    route: [{destination: {host: a.test}}]\n";

fn scene(more: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::echo("a");
    let config = settings(more) + &gateway(&[80]) + &service("a", "HTTP", &[upstream.address()]) + &routes("h", ALL);
    (Gateway::start(&config), upstream)
}

#[test]
fn istios_metrics_count_requests_with_istios_labels() {
    let (gateway, _upstream) = scene("");
    assert_eq!(gateway.get("h", "/").status, 200);
    assert_eq!(gateway.get("other", "/").status, 404);
    let metrics = wait_for("both are counted", || {
        let text = gateway.ask_admin("GET", "/metrics").text();
        (text.matches("istio_requests_total{").count() == 2).then_some(text)
    });
    let line = |code: &str| {
        let mut lines = metrics.lines().filter(|it| it.starts_with("istio_requests_total{"));
        lines.find(|it| it.contains(&format!("response_code=\"{code}\""))).unwrap().to_owned()
    };
    for label in
        ["reporter=\"source\"", "destination_service=\"a.test\"", "source_workload=\"sluice\"", "response_flags=\"-\""]
    {
        assert!(line("200").contains(label), "{label}: {}", line("200"));
    }
    for label in ["destination_service=\"unknown\"", "response_flags=\"NR\""] {
        assert!(line("404").contains(label), "{label}: {}", line("404"));
    }
    for name in [
        "istio_request_duration_milliseconds_bucket",
        "istio_request_bytes_sum",
        "istio_response_bytes_count",
        "istio_build{component=\"proxy\"",
        "sluice_config_last_reload_success 1",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[test]
fn metrics_are_compressed_for_those_who_can_read_it() {
    let (gateway, _upstream) = scene("");
    let request = "GET /metrics HTTP/1.1\r\nHost: admin\r\nAccept-Encoding: gzip\r\n\r\n";
    let response = Client::connect(gateway.admin()).send(request);
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(response.body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.contains("sluice_config_generation 1"));
}

#[test]
fn the_access_log_has_istios_default_text() {
    let (gateway, _upstream) = scene("");
    let request = "GET /x?y HTTP/1.1\r\nHost: h\r\nUser-Agent: probe\r\n\r\n";
    assert_eq!(Client::connect(gateway.address(80)).send(request).status, 200);
    let log = wait_for("a line", || Some(gateway.output()).filter(|it| it.ends_with('\n')));
    let expected = [
        "] \"GET /x?y HTTP/1.1\" 200 - via_upstream - \"-\" 0 ",
        " \"127.0.0.1\" \"probe\" \"",
        " \"h\" \"127.0.0.1:",
        " outbound|80||a.test 127.0.0.1:",
        " - all\n",
    ];
    for part in expected {
        assert!(log.contains(part), "{part:?} in {log}");
    }
}

#[test]
fn the_access_log_can_be_json_with_fields_of_ones_own() {
    let format = "  meshConfig: {accessLogEncoding: JSON, accessLogFormat: '{\"code\": \"%RESPONSE_CODE%\", \"agent\": \"%REQ(USER-AGENT)%\"}'}";
    let (gateway, _upstream) = scene(format);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: \"quoted\"\r\n\r\n";
    assert_eq!(Client::connect(gateway.address(80)).send(request).status, 200);
    let log = wait_for("a line", || Some(gateway.output()).filter(|it| it.ends_with('\n')));
    let line: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(line, serde_json::json!({ "code": 200, "agent": "\"quoted\"" }));
}

#[test]
fn refused_heads_are_logged_too() {
    let (gateway, _upstream) = scene("");
    Client::connect(gateway.address(80)).send("BROKEN\r\n\r\n");
    wait_for("a line", || gateway.output().contains("\"- - HTTP/1.1\" 400 DPE http1.codec_error").then_some(()));
}

#[test]
fn serving_goes_on_when_the_log_cannot_be_written() {
    let (gateway, _upstream) = scene("  meshConfig: {accessLogFile: /dev/full}");
    for _ in 0..20 {
        assert_eq!(gateway.get("h", "/").status, 200);
    }
    wait_for("dropped lines are counted", || {
        gateway.ask_admin("GET", "/metrics").text().contains("sluice_access_log_dropped_total 20").then_some(())
    });
}

#[test]
fn the_operators_port_answers_what_it_promises() {
    let (gateway, _upstream) = scene("");
    assert_eq!(gateway.ask_admin("GET", "/ready").text(), "LIVE\n");
    let version: Value = serde_json::from_str(&gateway.ask_admin("GET", "/version").text()).unwrap();
    assert_eq!(version["name"], "sluice");
    assert_eq!(gateway.ask_admin("GET", "/reload").status, 405);
    assert_eq!(gateway.ask_admin("GET", "/nothing").status, 404);
    let dump: Value = serde_json::from_str(&gateway.ask_admin("GET", "/config_dump").text()).unwrap();
    assert_eq!(dump["listeners"][0]["virtualHosts"][0]["routes"][0]["name"], "all");
}
