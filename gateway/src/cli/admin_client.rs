//! Asks the operator's port of a running gateway.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

/// Longest wait for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// Which gateway is asked.
#[derive(Args)]
pub(super) struct Admin {
    /// The operator's port of a running gateway.
    #[arg(long = "admin", value_name = "ADDRESS", default_value = "127.0.0.1:15000")]
    pub(super) address: String,
}

/// The JSON that a gateway answers; `address` is `host:port` or `http://host:port`.
pub(super) fn ask(address: &str, method: &str, path: &str) -> Result<Value, String> {
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let wrong = |error: &dyn std::fmt::Display| format!("no answer from {address}: {error}");
    let answer = exchange(address, method, path).map_err(|error| wrong(&error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let value: Result<Value, _> = serde_json::from_str(body);
    if !head.starts_with("HTTP/1.1 200 ") {
        let told = value.ok().and_then(|it| it.get("error")?.as_str().map(str::to_owned));
        return Err(told.unwrap_or_else(|| wrong(&head.lines().next().unwrap_or_default())));
    }
    value.map_err(|error| wrong(&error))
}

fn exchange(address: &str, method: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
