//! Messages to the operator, on the standard error.

use std::io::Write as _;

use env_logger::{Builder, Target};
use log::LevelFilter;

use super::time_format::TimeFormat;

/// Sends messages of this level and above to the standard error, one line each.
pub fn start(level: LevelFilter) {
    let time = TimeFormat::parse("");
    let started = Builder::new()
        .target(Target::Stderr)
        .filter_level(LevelFilter::Warn)
        .filter_module("gateway", level)
        .filter_module("sluice", level)
        // What goes wrong with a request is in the access log.
        .filter_module("pingora_proxy", LevelFilter::Off)
        .filter_module("pingora_core", LevelFilter::Error)
        .filter_module("hickory_resolver", LevelFilter::Off)
        .filter_module("hickory_net", LevelFilter::Off)
        .format(move |out, record| {
            let mut stamp = Vec::new();
            time.write(std::time::SystemTime::now(), &mut stamp);
            let stamp = String::from_utf8_lossy(&stamp);
            writeln!(out, "{stamp} {:<5} {}", record.level().as_str().to_lowercase(), record.args())
        })
        .try_init();
    // A second start in one process keeps the first one's settings.
    started.unwrap_or_default();
}
