//! A span of time as Istio writes it: `1.5s`, `100ms`, `1h30m`.

use std::borrow::Cow;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A non-negative duration in Go's notation (units `h`, `m`, `s`, `ms`, `us`, `ns`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub time::Duration);

/// Longest duration that protobuf can say.
const MAX_SECONDS: f64 = 315_576_000_000.0;

impl Duration {
    /// Reads Go's notation; `None` for anything else, negative values included.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self::default());
        }
        let mut seconds = 0.0_f64;
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
            let (amount, after) = rest.split_at(digits);
            let unit_length = after.find(|it: char| it.is_ascii_digit() || it == '.').unwrap_or(after.len());
            let (unit, next) = after.split_at(unit_length);
            let amount: f64 = amount.parse().ok()?;
            seconds += amount * unit_seconds(unit)?;
            rest = next;
        }
        if seconds > MAX_SECONDS {
            return None;
        }
        // Sums of decimal parts are off by less than a nanosecond; whole microseconds are exact.
        let nanos = (seconds * 1e9).round();
        Some(Self(time::Duration::from_secs_f64(nanos / 1e9)))
    }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "h" => Some(3600.0),
        "m" => Some(60.0),
        "s" => Some(1.0),
        "ms" => Some(1e-3),
        "us" | "µs" | "μs" => Some(1e-6),
        "ns" => Some(1e-9),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is no duration such as 1.5s, 100ms or 1h30m")))
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Duration")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time such as 1.5s, 100ms or 1h30m.",
            "pattern": "^([0-9]+(\\.[0-9]+)?(h|m|s|ms|us|ns))+$|^0$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let check = |text, millis| assert_eq!(Duration::parse(text).map(|it| it.0.as_millis()), millis, "{text}");
        check("1.5s", Some(1500));
        check("100ms", Some(100));
        check("1h30m", Some(5_400_000));
        check("0s", Some(0));
        check("0", Some(0));
        check("2.5", None);
        check("-1s", None);
        check("1 s", None);
        check("s", None);
        check("1d", None);
        check("", None);
        check("..s", None);
    }
}
