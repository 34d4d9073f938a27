//! Validation finds what is wrong inside one document and between several.

use super::*;
use crate::read::read_text;

const HEAD: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\nspec:\n  hosts: [shop.example.com]\n  gateways: [edge]\n";

/// The codes and messages found in a text.
fn found(text: &str, scope: Scope) -> Vec<String> {
    let (documents, mut problems) = read_text("test.yaml", text);
    problems.absorb(check(&documents, scope));
    problems.iter().map(|it| format!("{} {} {}", it.code.0, it.field, it.message)).collect()
}

#[track_caller]
fn check_rules(rules: &str, expected: &[&str]) {
    let found = found(&format!("{HEAD}{rules}"), Scope::Document);
    for expected in expected {
        assert!(found.iter().any(|it| it.contains(expected)), "{expected:?} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn every_mistake_of_a_rule_is_reported() {
    check_rules(
        "  http:\n  - match: [{uri: {regex: '['}}]\n    route: [{destination: {host: ''}}, {destination: {host: a}, weight: -1}]\n",
        &["spec.http[0].match[0].uri", "spec.http[0].route[0].destination.host", "spec.http[0].route[1].weight"],
    );
}

#[test]
fn weights_that_add_up_to_too_much_are_refused() {
    let destination = |name: char| format!("{{destination: {{host: {name}}}, weight: 2147483647}}");
    let rule = |names: &str| {
        format!("  http:\n  - route: [{}]\n", names.chars().map(destination).collect::<Vec<_>>().join(", "))
    };
    check_rules(&rule("ab"), &[]);
    check_rules(&rule("abc"), &["spec.http[0].route"]);
}

#[test]
fn a_rule_behind_a_catch_all_is_unreachable() {
    check_rules(
        "  http:\n  - route: [{destination: {host: a}}]\n  - match: [{uri: {prefix: /x}}]\n    route: [{destination: {host: a}}]\n",
        &["IST0130"],
    );
}

#[test]
fn a_good_rule_has_no_problem() {
    check_rules(
        "  http:\n  - match: [{uri: {prefix: /x}}]\n    rewrite: {uri: /y}\n    route: [{destination: {host: a}}]\n",
        &[],
    );
}

#[test]
fn a_missing_gateway_is_an_error_between_documents_only() {
    let text = format!("{HEAD}  http: [{{route: [{{destination: {{host: a.example.com}}}}]}}]\n");
    assert!(found(&text, Scope::Document).is_empty());
    let all = found(&text, Scope::All);
    assert!(all.iter().any(|it| it.starts_with("IST0101 spec.gateways[0]")), "{all:#?}");
}

#[test]
fn age_then_name_decides_the_order_not_the_file() {
    let one = |name: &str, time: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}{time}}}\nspec: {{servers: [{{port: {{number: 80, name: p, protocol: HTTP}}, hosts: ['*.{name}.example.com']}}]}}\n"
        )
    };
    let text = one("b", "") + &one("a", "") + &one("c", ", creationTimestamp: '2020-01-01T00:00:00Z'");
    let (documents, problems) = read_text("test.yaml", &text);
    let (config, _) = config(documents, problems).unwrap();
    let names: Vec<&str> = config.documents.gateways.iter().map(|it| it.metadata.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn a_health_check_needs_one_probe_and_a_host_it_can_ask() {
    let check = |spec: &str| {
        let text =
            format!("apiVersion: sluice.dev/v1alpha1\nkind: HealthCheck\nmetadata: {{name: a}}\nspec: {{{spec}}}\n");
        found(&text, Scope::Document)
    };
    assert!(check("host: a.test, tcp: {}, interval: 1s, unhealthyThreshold: 1").is_empty());
    for (spec, field) in [
        ("tcp: {}", "spec.host"),
        ("host: '*.test', tcp: {}", "spec.host"),
        ("host: a.test", " spec exactly one of"),
        ("host: a.test, tcp: {}, grpc: {}", " spec exactly one of"),
        ("host: a.test, http: {path: healthz}", "spec.http.path"),
        ("host: a.test, http: {expectedStatuses: [{from: 300, to: 200}]}", "spec.http.expectedStatuses[0]"),
        ("host: a.test, tcp: {}, interval: 10ms", "spec.interval"),
        ("host: a.test, tcp: {}, healthyThreshold: 0", "spec.healthyThreshold"),
        ("host: a.test, tcp: {}, port: 70000", "spec.port"),
    ] {
        let found = check(spec);
        assert!(found.len() == 1 && found[0].contains(field), "{spec}: {found:#?}");
    }
}
