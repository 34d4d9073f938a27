//! `sluice run`: the gateway itself.

use std::io::{self, Write as _};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::Args;

use super::{ConfigPaths, EXIT_PROBLEMS, fail};
use crate::reload::{self, watch::fingerprint};
use crate::server::{self, Options};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigPaths,
    /// Written once every port is bound: a JSON object with the addresses.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Takes changed files without a signal.
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { config, ready_file, watch } = arguments;
    start(config.paths, ready_file, watch)
}

/// Starts the gateway, or reports why its configuration cannot be served and binds nothing.
pub(super) fn start(paths: Vec<PathBuf>, ready_file: Option<PathBuf>, watch: bool) -> ExitCode {
    let watched = watch.then(|| fingerprint(&paths));
    // In a thread of its own: memory that it used belongs to nobody when it ends, so reloads use it again.
    let read = thread::scope(|it| it.spawn(|| reload::candidate(&paths, None)).join());
    let candidate = match read.unwrap_or_else(|panicked| resume_unwind(panicked)) {
        Ok(candidate) => candidate,
        Err(problems) => {
            let report = format!("{}{}\n", problems.render_text(), problems.summary());
            // Nothing is left to do when even this cannot be written.
            io::stderr().write_all(report.as_bytes()).unwrap_or_default();
            return ExitCode::from(EXIT_PROBLEMS);
        }
    };
    match server::run(Options { paths, ready_file, watched }, candidate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}
