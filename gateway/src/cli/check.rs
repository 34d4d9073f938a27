//! `sluice check`: every problem of a configuration, for people or programs.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use config_schema::validate::{self, Scope};

use super::{ConfigPaths, EXIT_PROBLEMS, print};
use crate::reload;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigPaths,
    /// Whether documents are judged together or each by itself.
    #[arg(long, value_enum, default_value = "all")]
    scope: Reach,
    /// Form of the report.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reach {
    /// Together, with what they refer to.
    All,
    /// Each by itself.
    Document,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For code hosts.
    Sarif,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let paths = &arguments.config.paths;
    let problems = match arguments.scope {
        // What a start would say, and what is wrong with certificates as the errors that they are for clients.
        Reach::All => reload::candidate(paths, None).map_or_else(
            |refused| refused,
            |mut it| {
                it.problems.absorb(it.certificates);
                it.problems
            },
        ),
        Reach::Document => {
            let (documents, mut problems) = config_schema::read(paths);
            problems.absorb(validate::check(&documents, Scope::Document));
            problems.locate();
            problems
        }
    };
    let report = match arguments.output {
        Format::Text => format!("{}{}\n", problems.render_text(), problems.summary()),
        Format::Json => format!("{:#}\n", problems.render_json()),
        Format::Sarif => format!("{:#}\n", problems.render_sarif()),
    };
    let printed = print(&report);
    if problems.has_errors() { ExitCode::from(EXIT_PROBLEMS) } else { printed }
}
