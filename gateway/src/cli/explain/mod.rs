//! `sluice explain`: which route a request takes, told by the engine that serves traffic.

mod access;
mod asked;
mod credentials;
mod egress;
mod forwarding;
mod limits;
mod live;
mod teller;
mod tls;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::asked::Asked;
use self::live::Live;
use self::teller::Teller;
use super::{ConfigPaths, EXIT_PROBLEMS, EXIT_USAGE, Output, fail, print};
use crate::reload;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigPaths,
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// A header of the request, as `name: value`; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Address of the client; loopback when it is not given.
    #[arg(long)]
    source_ip: Option<IpAddr>,
    /// Server name of the TLS handshake; for servers that are chosen by it.
    #[arg(long)]
    sni: Option<String>,
    /// A file with the JSON Web Token of the request.
    #[arg(long, value_name = "FILE")]
    jwt: Option<PathBuf>,
    /// A file with the client's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// Size of the request's body in bytes; for policies by size.
    #[arg(long, value_name = "BYTES")]
    data: Option<u64>,
    /// The operator's port of a running gateway, whose endpoints and counts are told too.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Asks the forward proxy, with the whole URL; CONNECT does so anyway.
    #[arg(long)]
    proxy: bool,
    /// Method of the request.
    method: String,
    /// URL of the request; its port chooses the listener. For CONNECT, `host:port`.
    url: String,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let asked = match Asked::parse(arguments) {
        Ok(asked) => asked,
        Err(message) => {
            let code = fail(&message);
            return if code == ExitCode::from(EXIT_PROBLEMS) { ExitCode::from(EXIT_USAGE) } else { code };
        }
    };
    let candidate = match reload::candidate(&arguments.config.paths, None) {
        Ok(candidate) => candidate,
        Err(problems) => return fail(&format!("{}\n{}", problems.summary(), problems.render_text())),
    };
    let (documents, _) = config_schema::read(&arguments.config.paths);
    let live = match arguments.admin.as_deref().map(Live::ask).transpose() {
        Ok(live) => live,
        Err(message) => return fail(&message),
    };
    let mut teller = Teller::new(&documents, &asked, live.as_ref());
    if let Some(bytes) = arguments.data {
        teller.step("body", format!("{bytes} bytes; no policy asks for it yet"));
    }
    teller.decide(&candidate.snapshot);
    match arguments.output {
        Output::Text => print(&teller.text()),
        Output::Json => print(&format!("{:#}\n", teller.json())),
    }
}
