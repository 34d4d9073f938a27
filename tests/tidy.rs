//! House rules as tests: imports point the way requests flow, files stay small and say what they decide.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::sluice;

/// Modules of the gateway from the highest layer to the lowest; a module imports only lower ones.
const LAYERS: [&[&str]; 14] = [
    &["cli"],
    &["server"],
    &["admin"],
    &["reload"],
    &["compile", "proxy"],
    &["snapshot"],
    &["listener"],
    &["routing"],
    &["filter"],
    &["quota", "egress"],
    &["upstream"],
    &["l4"],
    &["telemetry"],
    &["local_reply", "text", "network", "digest", "origin"],
];

/// Where the schema may be named: what reads, compiles or shows it.
const SCHEMA_USERS: [&str; 4] = ["cli", "reload", "compile", "lib"];

/// Longest file, tests not counted.
const MAX_LINES: usize = 300;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, out);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                out.push((path, text));
            }
        }
    }
    let mut out = Vec::new();
    collect(&root().join(folder), &mut out);
    assert!(!out.is_empty());
    out
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|it| it.contains(&module))
}

/// The top module of a file under `gateway/src`.
fn module(path: &Path) -> String {
    let inner = path.strip_prefix(root().join("gateway/src")).unwrap();
    inner.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

#[test]
fn every_code_of_a_problem_is_used_explained_and_tested() {
    let codes = fs::read_to_string(root().join("config-schema/src/problem/code.rs")).unwrap();
    let page = fs::read_to_string(root().join("docs/problems.md")).unwrap();
    let all: String = ["config-schema/src", "gateway/src"]
        .into_iter()
        .flat_map(sources)
        .filter(|(path, _)| !path.ends_with("problem/code.rs"))
        .map(|(_, text)| text)
        .collect();
    let golden = fs::read_dir(root().join("tests/problems")).unwrap().map(|it| it.unwrap().path());
    let reports = golden.filter(|it| it.extension().is_some_and(|it| it == "txt"));
    let tested: String = reports
        .map(|it| fs::read_to_string(it).unwrap())
        .chain(sources("tests").into_iter().map(|(_, text)| text))
        .collect();
    let mut known = 0;
    for line in codes.lines().filter_map(|it| it.strip_prefix("pub const ")) {
        let (name, rest) = line.split_once(':').unwrap();
        let code = rest.split('"').nth(1).unwrap();
        assert!(page.contains(code), "{code} is not explained");
        assert!(tested.contains(code), "{code} is in no test");
        assert!(all.contains(&format!("code::{name}")) || all.contains(&format!("{name},")), "{name} is never given");
        known += 1;
    }
    assert!(known > 40, "{known}");
}

#[test]
fn imports_point_the_way_requests_flow() {
    for (path, text) in sources("gateway/src") {
        let own = module(&path);
        let Some(own_layer) = layer(&own) else { continue };
        let text = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in text.lines().enumerate() {
            for import in line.split("crate::").skip(1) {
                let name: String = import.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
                let Some(target) = layer(&name) else { continue };
                let down = target > own_layer || name == own;
                assert!(down, "{}:{} {own} imports {name}, which stands above it", path.display(), number + 1);
            }
            let names_schema = line.contains("config_schema") && !line.trim_start().starts_with("//");
            assert!(
                !names_schema || SCHEMA_USERS.contains(&own.as_str()),
                "{}:{} names the schema",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn files_are_small_and_open_by_saying_what_they_decide() {
    for folder in ["gateway/src", "config-schema/src", "tests"] {
        for (path, text) in sources(folder) {
            assert!(
                text.starts_with("//! ") || path.ends_with("tests.rs"),
                "{} does not open with //!",
                path.display()
            );
            let lines = text.lines().take_while(|it| *it != "#[cfg(test)]").count();
            let is_test = folder == "tests" || path.ends_with("tests.rs");
            // The schema's longest kinds and this project's tables of codes are lists, not logic.
            let is_list = path.ends_with("problem/mod.rs") || path.ends_with("istio/destination_rule.rs");
            let limit = if is_test || is_list { 2 * MAX_LINES } else { MAX_LINES };
            assert!(lines <= limit, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn configuration_is_published_in_one_place() {
    let published = sources("gateway/src").iter().filter(|(_, text)| text.contains("ArcSwap<Snapshot>")).count();
    assert_eq!(published, 1);
}

#[test]
fn the_compatibility_page_is_what_the_schema_says() {
    let output = sluice().args(["schema", "--compatibility"]).output().unwrap();
    let fresh = String::from_utf8(output.stdout).unwrap();
    let page = fs::read_to_string(root().join("docs/compatibility.md")).unwrap_or_default();
    assert!(page == fresh, "docs/compatibility.md is stale: run `make docs`");
}
