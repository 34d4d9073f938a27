//! `sluice ratelimit`: shows what a key has left, or forgets what it used.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::admin_client::{self, Admin};
use super::{fail, print};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Shows what a key has left.
    Show(Key),
    /// Forgets what a key used; it may ask again at once.
    Reset(Key),
}

#[derive(Args)]
struct Key {
    /// The key, as `explain` names it: namespace/policy/rule/digest.
    key: String,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (method, key) = match &arguments.verb {
        Verb::Show(key) => ("GET", key),
        Verb::Reset(key) => ("DELETE", key),
    };
    match admin_client::ask(&key.admin.address, method, &format!("/ratelimit/{}", key.key)) {
        Ok(answer) => print(&format!("{answer:#}\n")),
        Err(message) => fail(&message),
    }
}
