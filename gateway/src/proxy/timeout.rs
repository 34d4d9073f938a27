//! How long an exchange may take: what the route says, and what a gRPC client asks for.

use std::time::Duration;

use http::HeaderMap;

use crate::local_reply::Reason;

/// The shorter of the route's time and the client's `grpc-timeout`, and what its end is called.
pub(super) fn of(route: Option<Duration>, headers: &HeaderMap) -> Option<(Duration, Reason)> {
    let asked = headers.get("grpc-timeout").and_then(|it| parse(it.to_str().ok()?));
    let route = route.map(|it| (it, Reason::UpstreamTimeout));
    route.into_iter().chain(asked.map(|it| (it, Reason::Deadline))).min_by_key(|it| it.0)
}

/// gRPC's form: at most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_have_a_unit() {
        for (text, expected) in [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("3S", Some(3_000)),
            ("250m", Some(250)),
            ("4000u", Some(4)),
            ("5000000n", Some(5)),
            ("99999999S", Some(99_999_999_000)),
            ("100000000S", None),
            ("-1S", None),
            ("+1S", None),
            ("1", None),
            ("S", None),
            ("", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(parse(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn the_shorter_time_holds() {
        let asked = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-timeout"),
            http::HeaderValue::from_static("1S"),
        )]);
        let seconds = Duration::from_secs;
        let short = Duration::from_millis(5);
        assert_eq!(of(Some(seconds(5)), &asked), Some((seconds(1), Reason::Deadline)));
        assert_eq!(of(Some(short), &asked), Some((short, Reason::UpstreamTimeout)));
        assert_eq!(of(None, &asked), Some((seconds(1), Reason::Deadline)));
        assert_eq!(of(None, &HeaderMap::new()), None);
    }
}
