//! The command line: one file for each verb.

mod admin_client;
mod check;
mod demo;
mod echo;
mod egress;
mod explain;
mod health;
mod ratelimit;
mod run;
mod schema;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::telemetry::messages;

/// An API gateway and egress gateway that reads Istio's YAML.
#[derive(Parser)]
#[command(name = "sluice", version, propagate_version = true)]
struct Cli {
    /// Messages of this level and above are printed on the standard error.
    #[arg(long, global = true, default_value = "info")]
    log_level: log::LevelFilter,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs the gateway.
    Run(run::Arguments),
    /// Checks configuration and reports every problem.
    Check(check::Arguments),
    /// Shows which route a request takes, and why not the others.
    Explain(explain::Arguments),
    /// Prints the JSON Schema of a kind, or the list of kinds.
    Schema(schema::Arguments),
    /// Runs a gateway with two echo upstreams, to try things out.
    Demo,
    /// Runs an upstream that answers with what it was asked.
    Echo(echo::Arguments),
    /// Asks a running gateway whether it takes requests.
    Health(health::Arguments),
    /// Shows or resets what a key of a rate limit has used.
    Ratelimit(ratelimit::Arguments),
    /// Shows what forward proxies refused, and what would allow it.
    Egress(egress::Arguments),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints the version.
    Version,
}

/// Where configuration is read from.
#[derive(Args)]
struct ConfigPaths {
    /// A YAML or JSON file, or a folder that is read recursively; may be given several times.
    #[arg(long = "config", required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Form of output.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Exit code for configuration with errors.
const EXIT_PROBLEMS: u8 = 1;
/// Exit code for wrong usage, as clap uses it.
const EXIT_USAGE: u8 = 2;

/// Runs the verb that the arguments name.
pub fn main() -> ExitCode {
    let Cli { log_level, verb } = Cli::parse();
    messages::start(log_level);
    match verb {
        Verb::Run(arguments) => run::run(arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Demo => demo::run(),
        Verb::Echo(arguments) => echo::run(arguments),
        Verb::Health(arguments) => health::run(&arguments),
        Verb::Egress(arguments) => egress::run(&arguments),
        Verb::Ratelimit(arguments) => ratelimit::run(&arguments),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sluice", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Verb::Version => print(&format!("sluice {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

/// Prints to the standard output; a reader that went away is no mistake of ours.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(EXIT_PROBLEMS),
    }
}

/// One line on the standard error, and the exit code of a failure.
fn fail(message: &str) -> ExitCode {
    // Nothing is left to do when even this cannot be written.
    writeln!(io::stderr(), "sluice: {message}").unwrap_or_default();
    ExitCode::from(EXIT_PROBLEMS)
}
