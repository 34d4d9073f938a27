//! A share of requests in percent.

use schemars::JsonSchema;
use serde::Deserialize;

/// Percentage from 0 to 100, in steps of 0.0001.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Percent {
    /// 0, or 0.0001 to 100.
    pub value: f64,
}

impl Percent {
    /// Whether the value is one that Istio admits.
    pub fn is_valid(self) -> bool {
        self.value == 0.0 || (0.0001..=100.0).contains(&self.value)
    }
}
