//! `sluice egress`: what a forward proxy refused lately, and the ServiceEntries that would allow what it let pass.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::admin_client::{self, Admin};
use super::{fail, print};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Lists what was refused.
    Blocked(Since),
    /// Prints ServiceEntries that allow what an EgressPolicy of mode Audit let pass.
    Learn(Since),
}

#[derive(Args)]
struct Since {
    #[command(flatten)]
    admin: Admin,
    /// How far back, such as 1h or 30m.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: String,
}

/// One line of what the gateway remembers.
struct Line {
    host: String,
    port: u64,
    code: String,
    passed: bool,
    tunnel: bool,
    count: u64,
    clients: String,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let since = match &arguments.verb {
        Verb::Blocked(since) | Verb::Learn(since) => since,
    };
    let Some(span) = config_schema::value::Duration::parse(&since.since).map(|it| it.0) else {
        return fail(&format!("`{}` is no time such as 1h", since.since));
    };
    let lines = match lines(&since.admin.address, span) {
        Ok(lines) => lines,
        Err(message) => return fail(&message),
    };
    match &arguments.verb {
        Verb::Blocked(_) => print(&blocked(&lines)),
        Verb::Learn(_) => print(&learned(&lines)),
    }
}

fn lines(admin: &str, span: Duration) -> Result<Vec<Line>, String> {
    let answer = admin_client::ask(admin, "GET", "/egress")?;
    let oldest = SystemTime::now().checked_sub(span).and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    let oldest = oldest.map_or(0.0, |it| it.as_secs_f64());
    let all = answer.get("asked").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let fresh = all.iter().filter(|it| it.get("last").and_then(Value::as_f64).unwrap_or(0.0) >= oldest);
    Ok(fresh.map(line).collect())
}

fn line(it: &Value) -> Line {
    let text = |key: &str| it.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |key: &str| it.get(key).and_then(Value::as_u64).unwrap_or_default();
    let flag = |key: &str| it.get(key).and_then(Value::as_bool).unwrap_or_default();
    let clients = it.get("clients").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let clients: Vec<&str> = clients.iter().filter_map(Value::as_str).collect();
    Line {
        host: text("host"),
        port: number("port"),
        code: text("code"),
        passed: flag("passed"),
        tunnel: flag("tunnel"),
        count: number("count"),
        clients: clients.join(", "),
    }
}

fn blocked(lines: &[Line]) -> String {
    let mut out = String::new();
    for it in lines.iter().filter(|it| !it.passed) {
        let how = if it.tunnel { "CONNECT" } else { "request" };
        // Writing to a String cannot fail.
        writeln!(
            out,
            "{:<32} {} {} {} times, by {}",
            it.code,
            format_args!("{}:{}", it.host, it.port),
            how,
            it.count,
            it.clients
        )
        .unwrap_or_default();
    }
    if out.is_empty() { "nothing was refused\n".to_owned() } else { out }
}

/// Hosts of one registrable domain with the same ports, in one document.
fn learned(lines: &[Line]) -> String {
    let mut hosts: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for it in lines.iter().filter(|it| it.passed) {
        hosts.entry(&it.host).or_default().push(it);
    }
    let mut groups: BTreeMap<(String, Vec<String>), Vec<&str>> = BTreeMap::new();
    for (host, lines) in &hosts {
        let domain = psl::domain_str(host).unwrap_or(host).to_owned();
        let mut ports: Vec<String> = lines.iter().map(|it| port(it)).collect();
        ports.sort();
        ports.dedup();
        groups.entry((domain, ports)).or_default().push(host);
    }
    let mut out = String::new();
    for (number, ((domain, ports), names)) in groups.iter().enumerate() {
        let name = format!("{}-{number}", domain.replace(['.', ':', '[', ']'], "-").trim_matches('-'));
        out.push_str("---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n");
        // Writing to a String cannot fail.
        writeln!(out, "metadata: {{name: {name}}}\nspec:\n  hosts:").unwrap_or_default();
        for host in names {
            let seen = hosts.get(host).map_or(&[][..], Vec::as_slice);
            let count: u64 = seen.iter().map(|it| it.count).sum();
            let clients = seen.first().map_or("", |it| it.clients.as_str());
            writeln!(out, "  - {host}   # {count} times, by {clients}").unwrap_or_default();
        }
        writeln!(out, "  ports:\n{}  resolution: DNS", ports.join("")).unwrap_or_default();
    }
    if out.is_empty() { "# nothing passed that is not declared\n".to_owned() } else { out }
}

fn port(it: &Line) -> String {
    let protocol = match (it.tunnel, it.port) {
        (false, _) => "HTTP",
        (true, 443) => "TLS",
        (true, _) => "TCP",
    };
    format!("  - {{number: {}, name: {}-{}, protocol: {protocol}}}\n", it.port, protocol.to_lowercase(), it.port)
}
