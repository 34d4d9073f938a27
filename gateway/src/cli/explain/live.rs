//! What a running gateway says of its clusters and of what its limits leave.

use serde_json::Value;

use crate::cli::admin_client;

/// The state of a running gateway.
pub(super) struct Live {
    address: String,
    dump: Value,
}

impl Live {
    /// Asks the operator's port, given as `host:port` or `http://host:port`.
    pub(super) fn ask(address: &str) -> Result<Self, String> {
        Ok(Self { address: address.to_owned(), dump: admin_client::ask(address, "GET", "/config_dump")? })
    }

    /// The cluster of a name.
    pub(super) fn cluster(&self, name: &str) -> Option<&Value> {
        self.dump.get("clusters")?.as_array()?.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(name))
    }

    /// What a rate limit leaves to a key.
    pub(super) fn rate_limit(&self, key: &str) -> Result<Value, String> {
        admin_client::ask(&self.address, "GET", &format!("/ratelimit/{key}"))
    }
}
