//! Reading decides place and remedy of every mistake in form.

use std::fs;

use super::*;

#[track_caller]
fn messages(text: &str) -> Vec<String> {
    let (_, mut problems) = read_text("test.yaml", text);
    problems.locate();
    problems
        .iter()
        .map(|it| {
            let at = it.position.map_or((0, 0), |at| (at.line, at.column));
            format!("{}:{} {} {} {}", at.0, at.1, it.code.0, it.message, it.help)
        })
        .collect()
}

const HEAD: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n";

#[test]
fn every_mistake_of_a_document_is_found_with_its_place() {
    let found = messages(&format!(
        "{HEAD}spec:\n  hosts: [a.example.com]\n  http:\n  - timout: 5s\n    timeout: soon\n    match:\n    - port: many\n"
    ));
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().any(|it| it.contains("8:5 SLU0005") && it.contains("soon")), "{found:#?}");
    assert!(found.iter().any(|it| it.contains("10:7 SLU0005")), "{found:#?}");
    assert!(found.iter().any(|it| it.contains("7:5 SLU0003") && it.contains("`timeout`")), "{found:#?}");
}

#[test]
fn a_duplicate_key_does_not_hide_the_next_document() {
    let found = messages(&format!("{HEAD}spec: {{}}\nspec: {{}}\n---\n{HEAD}spec: {{hots: [a]}}\n"));
    assert!(found.iter().any(|it| it.contains("duplicate entry")), "{found:#?}");
    assert!(found.iter().any(|it| it.contains("`hosts`")), "{found:#?}");
}

#[test]
fn an_unknown_kind_names_the_nearest() {
    let found = messages("apiVersion: networking.istio.io/v1\nkind: VirtualServcie\nmetadata: {name: a}\n");
    assert!(found.iter().any(|it| it.contains("SLU0004") && it.contains("VirtualService`?")), "{found:#?}");
}

#[test]
fn aliases_merge_keys_lists_and_dumps_load() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: Gateway\n  metadata: {name: g, creationTimestamp: '2024-01-02T03:04:05Z', managedFields: [{a: 1}]}\n  status: {x: y}\n  spec:\n    servers:\n    - &s\n      port: {number: 80, name: http, protocol: HTTP}\n      hosts: ['*']\n    - <<: *s\n      port: {number: 81, name: http2, protocol: HTTP}\n";
    let (documents, problems) = read_text("list.yaml", text);
    assert!(!problems.has_errors(), "{}", problems.render_text());
    assert_eq!(documents.gateways[0].spec.servers.len(), 2);
    assert_eq!(documents.gateways[0].spec.servers[1].hosts, ["*"]);
}

#[test]
fn a_place_inside_a_list_is_found() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: Gateway\n  metadata: {name: g}\n  spec:\n    severs: []\n";
    assert!(messages(text)[0].starts_with("8:5 "), "{:#?}", messages(text));
}

#[test]
fn json_with_tabs_loads() {
    let text = "{\n\t\"apiVersion\": \"networking.istio.io/v1\",\n\t\"kind\": \"Gateway\",\n\t\"metadata\": {\"name\": \"g\"},\n\t\"spec\": {\"servers\": []}\n}";
    let (documents, problems) = read_text("g.json", text);
    assert!(!problems.has_errors(), "{}", problems.render_text());
    assert_eq!(documents.gateways.len(), 1);
}

/// Each file as a whole.
fn at_once(paths: &[PathBuf]) -> (Documents, Problems) {
    let (mut reader, mut files) = (Reader::default(), Vec::new());
    paths.iter().for_each(|it| reader.path(it, &mut files));
    files.into_iter().for_each(|it| reader.take(File { documents: None, ..it.unwrap() }));
    reader.finish()
}

#[test]
fn what_is_remembered_reads_as_if_it_were_read() {
    let folder = std::env::temp_dir().join(format!("sluice-memory-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let good = format!("{HEAD}spec: {{hosts: [a.test]}}\n---\n{HEAD}spec: {{hosts: [b.test], exprtTo: []}}\n");
    let bad = format!("{HEAD}spec: {{hosts: [a.test\n");
    let inert = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g}, spec: {servers: [{defaultEndpoint: x}]}}\n";
    let mut memory = Memory::default();
    for files in [
        [good.as_str(), inert, ""],
        [good.as_str(), inert, ""],
        // Each stands under another name, and what was twice alike is not any more.
        ["", &good, inert],
        [&good, &good, &bad],
        [&bad, inert, &good],
        [inert, inert, &bad],
    ] {
        for (name, text) in ["a.yaml", "b.yaml", "c.yaml"].iter().zip(files) {
            fs::write(folder.join(name), text).unwrap();
        }
        let paths = [folder.clone()];
        let said = |(documents, mut problems): (Documents, Problems)| {
            problems.locate();
            format!("{documents:#?}{problems:#?}")
        };
        assert_eq!(said(read_again(&paths, &mut memory)), said(at_once(&paths)), "{files:?}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_document_that_is_known_is_told_of_where_it_stands_now() {
    let folder = std::env::temp_dir().join(format!("sluice-read-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("a.yaml");
    let mut memory = Memory::default();
    let mut read = |text: &str| {
        fs::write(&file, text).unwrap();
        let report = |(documents, mut problems): (Documents, Problems)| {
            problems.locate();
            let origins: Vec<_> = documents.virtual_services.iter().map(|it| it.origin).collect();
            let found: Vec<_> = problems.iter().map(|it| (it.message.clone(), it.position)).collect();
            (origins, found)
        };
        let again = report(read_again(std::slice::from_ref(&file), &mut memory));
        assert_eq!(again, report(at_once(std::slice::from_ref(&file))), "{text}");
        again
    };
    let one = |name: &str, more: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec: {{hosts: [h], {more}}}\n"
        )
    };
    let (good, odd) = (one("a", ""), one("b", "hots: [x]"));
    let (origins, found) = read(&format!("# c\n---\n{good}---\n{odd}"));
    assert_eq!((origins.len(), found.len()), (2, 1), "{found:?}");
    // The same documents elsewhere; the mistake moves with its document.
    let (_, moved) = read(&format!("{odd}---\n{good}---\n{good}"));
    assert_ne!(moved, found);
    for text in [
        format!("{good}---\n{good}---\n{odd}"),
        format!("{good}---\nkey: [\n---\n{odd}"),
        format!("{good}---\nspec: 1\nspec: 2\n---\n{odd}"),
        format!("%YAML 1.2\n---\n{good}...\n---\n{odd}"),
        format!("---\n{good}---\n---\n{odd}"),
    ] {
        read(&text);
    }
    fs::remove_dir_all(&folder).unwrap();
}
