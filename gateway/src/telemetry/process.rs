//! Prometheus' standard metrics of a process, read from `/proc` when they are asked for.

use std::fmt::Write as _;
use std::fs;

/// Clock ticks of a second; Linux shows user space always this many.
const TICKS: f64 = 100.0;
/// Bytes of a page, on the machines that the gateway is built for.
const PAGE: f64 = 4096.0;

/// The metrics in text format; what cannot be read is left out.
pub(super) fn render() -> String {
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n").unwrap_or_default();
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program stands in parentheses and may hold blanks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|it| it.parse::<f64>().ok());
    let cpu = field(11).zip(field(12)).map(|(user, system)| (user + system) / TICKS);
    metric("process_cpu_seconds_total", "counter", "CPU time used.", cpu);
    metric("process_resident_memory_bytes", "gauge", "Memory in use.", field(21).map(|it| it * PAGE));
    metric("process_virtual_memory_bytes", "gauge", "Address space in use.", field(20));
    let open = fs::read_dir("/proc/self/fd").ok().map(|it| f64::from(u32::try_from(it.count()).unwrap_or(u32::MAX)));
    metric("process_open_fds", "gauge", "Open file descriptors.", open);
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = boot.lines().find_map(|it| it.strip_prefix("btime ")?.parse::<f64>().ok());
    let start = boot.zip(field(19)).map(|(boot, ticks)| boot + ticks / TICKS);
    metric("process_start_time_seconds", "gauge", "When the process began, since 1970.", start);
    out
}
