//! Asks a running gateway for the state of its clusters.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Longest wait for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// The state of a running gateway.
pub(super) struct Live(Value);

impl Live {
    /// Asks the operator's port, given as `host:port` or `http://host:port`.
    pub(super) fn ask(address: &str) -> Result<Self, String> {
        let address = address.trim_start_matches("http://").trim_end_matches('/');
        let wrong = |error: &dyn std::fmt::Display| format!("no answer from {address}: {error}");
        let answer = dump(address).map_err(|error| wrong(&error))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(wrong(&head.lines().next().unwrap_or_default()));
        }
        serde_json::from_str(body).map(Self).map_err(|error| wrong(&error))
    }

    /// The cluster of a name.
    pub(super) fn cluster(&self, name: &str) -> Option<&Value> {
        self.0.get("clusters")?.as_array()?.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(name))
    }
}

fn dump(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("GET /config_dump HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
