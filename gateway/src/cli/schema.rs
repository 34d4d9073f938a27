//! `sluice schema`: JSON Schema for editors, and the compatibility page.

use std::process::ExitCode;

use clap::Args;
use config_schema::document::{KINDS, Kind};
use config_schema::support;

use super::{fail, print};

#[derive(Args)]
pub(super) struct Arguments {
    /// The kind, as `VirtualService`; without it the kinds are listed.
    kind: Option<String>,
    /// Prints what Sluice does with every field, as Markdown.
    #[arg(long, conflicts_with = "kind")]
    compatibility: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    if arguments.compatibility {
        return print(&support::render_markdown());
    }
    let Some(name) = &arguments.kind else {
        let names: Vec<String> = KINDS.iter().map(Kind::full_name).collect();
        return print(&format!("{}\n", names.join("\n")));
    };
    match KINDS.iter().find(|it| it.full_name().eq_ignore_ascii_case(name)) {
        Some(kind) => print(&format!("{:#}\n", (kind.schema)().to_value())),
        None => fail(&format!("there is no kind `{name}`; `sluice schema` lists them")),
    }
}
