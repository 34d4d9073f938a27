//! Golden reports: each `problems/*.yaml` beside the report that `check` prints for it.
//!
//! `UPDATE=1 cargo test` writes the reports anew; read the difference before committing it.

use std::fs;
use std::path::Path;

use crate::harness::sluice;

#[test]
fn reports_read_as_they_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/problems");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "yaml"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for input in names {
        let output =
            sluice().current_dir(&folder).args(["check", "--config"]).arg(input.file_name().unwrap()).output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        let golden = input.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &found).unwrap();
        }
        assert_eq!(found, fs::read_to_string(&golden).unwrap_or_default(), "{}", input.display());
    }
}
