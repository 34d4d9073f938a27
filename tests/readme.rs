//! The commands of README.md run as they stand; what needs a container engine is marked `text` there.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_command_block_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```sh\n").skip(1).map(|it| it.split("```").next().unwrap_or_default()).collect();
    assert!(blocks.len() >= 3, "README.md has {} command blocks", blocks.len());
    let folder = Path::new(env!("CARGO_BIN_EXE_sluice")).parent().unwrap();
    for block in blocks {
        let path = format!("{}:{}", folder.display(), std::env::var_os("PATH").unwrap().to_string_lossy());
        let output = Command::new("bash").args(["-euc", block]).env("PATH", path).current_dir(&root).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{text}");
    }
}

#[test]
fn the_quickstarts_routes_are_the_readmes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let routes = fs::read_to_string(root.join("examples/quickstart/routes.yaml")).unwrap();
    let shown = readme.split("```yaml\n").nth(1).and_then(|it| it.split("```").next()).unwrap();
    for line in shown.lines() {
        assert!(routes.contains(line.trim()), "{line:?} is not in the quickstart");
    }
}
