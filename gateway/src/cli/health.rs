//! `sluice health`: asks a running gateway whether it takes requests, for container health checks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::fail;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(super) struct Arguments {
    /// Address of the health checks' port.
    #[arg(long, default_value = "127.0.0.1:15021")]
    address: SocketAddr,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match ask(arguments.address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(answer) => fail(answer.lines().next().unwrap_or("no answer")),
        Err(error) => fail(&format!("no answer from {}: {error}", arguments.address)),
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz/ready HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 256];
    let read = stream.read(&mut head)?;
    Ok(String::from_utf8_lossy(head.get(..read).unwrap_or_default()).into_owned())
}
