//! The command line.

use std::process::Output;

use serde_json::Value;

use crate::harness::{Folder, gateway, routes, service, settings, sluice};

fn run(folder: &Folder, verb: &str, arguments: &[&str]) -> Output {
    sluice().arg(verb).arg("--config").arg(folder.path()).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn good() -> Folder {
    let folder = Folder::new();
    let rules = "  - name: items\n    match: [{uri: {prefix: /items}, headers: {x-new: {}}}]\n    rewrite: {uri: /things}\n    route: [{destination: {host: a.test}}]\n  - name: rest\n    route: [{destination: {host: a.test}}]\n";
    let address = "127.0.0.1:9".parse().unwrap();
    folder.write("a.yaml", &(settings("") + &gateway(&[80]) + &service("a", "HTTP", &[address]) + &routes("h", rules)));
    folder
}

#[test]
fn check_says_nothing_and_succeeds_when_all_is_well() {
    let output = run(&good(), "check", &[]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "no problems\n"));
}

#[test]
fn check_prints_json_with_place_and_help_and_fails() {
    let folder = Folder::new();
    folder.write("a.yaml", &gateway(&[80]).replace("servers", "severs"));
    let output = run(&folder, "check", &["--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let problems = report["problems"].as_array().unwrap();
    let problem = problems.iter().find(|it| it["code"] == "SLU0003").unwrap();
    assert_eq!(problem["severity"], "error");
    assert_eq!(problem["resource"]["kind"], "Gateway");
    assert_eq!(problem["field"], "spec.severs");
    assert_eq!(problem["line"], 6);
    assert_eq!(problem["help"], "did you mean `servers`?");
}

#[test]
fn check_prints_sarif() {
    let folder = Folder::new();
    folder.write("a.yaml", &gateway(&[80]).replace("HTTP", "HTPP"));
    let report: Value = serde_json::from_str(&stdout(&run(&folder, "check", &["--output", "sarif"]))).unwrap();
    assert_eq!(report["version"], "2.1.0");
    assert_eq!(report["runs"][0]["results"][0]["level"], "error");
}

#[test]
fn check_of_single_documents_ignores_what_they_refer_to() {
    let folder = Folder::new();
    folder.write("a.yaml", &routes("h", "  - route: [{destination: {host: a.test}}]\n"));
    assert_eq!(run(&folder, "check", &[]).status.code(), Some(1));
    assert_eq!(run(&folder, "check", &["--scope", "document"]).status.code(), Some(0));
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_eq!(sluice().arg("check").output().unwrap().status.code(), Some(2));
    assert_eq!(run(&good(), "explain", &["GET", "not a url"]).status.code(), Some(2));
}

#[test]
fn explain_tells_each_step_with_its_place() {
    let folder = good();
    let text = stdout(&run(&folder, "explain", &["GET", "http://h/items/1"]));
    let steps: Vec<&str> = text.lines().collect();
    assert!(steps[0].starts_with("listener      port 80"), "{text}");
    assert!(steps[1].contains("h:80"), "{text}");
    assert!(steps[2].contains("does not match: header x-new present") && steps[2].contains("a.yaml:"), "{text}");
    assert!(steps[3].contains("matches: any path"), "{text}");
    assert!(text.contains("destination   outbound|80||a.test (1 of 1)"), "{text}");

    let output = run(&folder, "explain", &["--output", "json", "-H", "x-new: 1", "GET", "http://h/items/1"]);
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let rewrite = answer["steps"].as_array().unwrap().iter().find(|it| it["step"] == "rewrite").unwrap();
    assert_eq!(rewrite["result"], "path becomes /things/1");
}

#[test]
fn explain_tells_why_nothing_serves_a_request() {
    let folder = good();
    assert!(stdout(&run(&folder, "explain", &["GET", "http://other/"])).contains("none for `other`: 404 NR"));
    assert!(stdout(&run(&folder, "explain", &["GET", "http://h:81/"])).contains("known ports: 80"));
}

#[test]
fn schema_describes_every_kind() {
    let kinds = stdout(&sluice().arg("schema").output().unwrap());
    assert!(kinds.lines().count() >= 15, "{kinds}");
    for kind in kinds.lines() {
        let schema = stdout(&sluice().args(["schema", kind]).output().unwrap());
        let schema: Value = serde_json::from_str(&schema).unwrap();
        assert!(schema["properties"].is_object(), "{kind}");
    }
}

#[test]
fn completions_and_version_are_printed() {
    assert!(stdout(&sluice().args(["completions", "bash"]).output().unwrap()).contains("sluice"));
    assert!(stdout(&sluice().arg("version").output().unwrap()).starts_with("sluice "));
}

#[test]
fn explain_tells_what_is_tried_where_and_how_a_running_gateway_sees_it() {
    let upstream = crate::harness::Upstream::status("bad", 500);
    let rules = "  - timeout: 3s\n    retries: {attempts: 4, retryOn: '5xx,429', perTryTimeout: 1s}\n    fault: {delay: {fixedDelay: 1ms, percentage: {value: 0.5}}}\n    mirrors: [{destination: {host: a.test}, percentage: {value: 25}}]\n    headers: {request: {set: {x-path: '%REQ(:path)%'}, remove: [x-secret]}}\n    route: [{destination: {host: a.test}}]\n";
    let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: a.test\n  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 2, maxEjectionPercent: 100}}\n";
    let config =
        settings("") + &gateway(&[80]) + &service("a", "HTTP", &[upstream.address()]) + &routes("h", rules) + rule;
    let running = crate::harness::Gateway::start(&config);
    let explain = |more: &[&str]| {
        let output = sluice()
            .args(["explain", "--config"])
            .arg(running.folder().join("config.yaml"))
            .args(more)
            .args(["GET", "http://h/x?y"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stdout(&output)
    };
    let text = explain(&[]);
    for line in [
        "fault         0.5% of requests wait 1ms",
        "timeout       3s",
        "retries       4 on 5xx, retriable-status-codes, 429, 1s for each try",
        "mirror        25% of requests are copied to outbound|80||a.test",
        "header        x-secret is removed",
        "header        x-path: /x?y",
        "ejection      after 2 failures in a row, for 30s at first",
        &format!("endpoint      {} weight 1, priority 0", upstream.address()),
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let admin = running.admin().to_string();
    assert!(explain(&["--admin", &admin]).contains("0 requests: used"));
    for _ in 0..4 {
        running.get("h", "/");
    }
    let text = explain(&["--admin", &format!("http://{admin}")]);
    assert!(text.contains("not used, its requests failed"), "{text}");
}
