//! The form of an access log line: Istio's default text, or one JSON object.

use super::template::{Facts, Template};

/// Istio's default text, which consoles take apart.
pub const DEFAULT_TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Istio's default fields in JSON.
pub const DEFAULT_JSON: &[(&str, &str)] = &[
    ("start_time", "%START_TIME%"),
    ("route_name", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
];

/// A compiled form.
#[derive(Debug)]
pub enum AccessLogFormat {
    /// Text; a line end is added when it has none.
    Text(Template),
    /// Fields of an object; a value that is a number stays one.
    Json(Box<[(Box<str>, Template)]>),
}

impl AccessLogFormat {
    /// Appends one line.
    pub fn render(&self, facts: &dyn Facts, out: &mut Vec<u8>) {
        match self {
            Self::Text(template) => {
                let start = out.len();
                template.render(facts, b"-", out);
                escape_controls(out, start);
                if out.last() != Some(&b'\n') {
                    out.push(b'\n');
                }
            }
            Self::Json(fields) => {
                let mut value = Vec::new();
                for (index, (key, template)) in fields.iter().enumerate() {
                    out.extend_from_slice(if index == 0 { b"{" } else { b"," });
                    quote(key.as_bytes(), out);
                    out.push(b':');
                    value.clear();
                    template.render(facts, b"-", &mut value);
                    if is_number(&value) {
                        out.extend_from_slice(&value);
                    } else {
                        quote(&value, out);
                    }
                }
                out.extend_from_slice(b"}\n");
            }
        }
    }
}

/// A client must not be able to write lines of its own into the log.
fn escape_controls(out: &mut [u8], start: usize) {
    let end = out.len().saturating_sub(1);
    for byte in out.get_mut(start..end).unwrap_or_default() {
        // Written back in any case, which is done for many bytes at once.
        *byte = if *byte < 0x20 { b'?' } else { *byte };
    }
}

fn is_number(value: &[u8]) -> bool {
    let plain = !value.is_empty() && value.len() < 19 && value.iter().all(u8::is_ascii_digit);
    plain && (value.len() == 1 || value.first() != Some(&b'0'))
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    let quoted = serde_json::to_vec(&String::from_utf8_lossy(text)).unwrap_or_default();
    out.extend_from_slice(&quoted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::template::{Field, Part};

    struct Hostile;

    impl Facts for Hostile {
        fn write(&self, field: &Field, out: &mut Vec<u8>) -> bool {
            if matches!(field, Field::ResponseCode) {
                out.extend_from_slice(b"200");
            } else if matches!(field, Field::Protocol) {
                out.extend_from_slice(b"a\"b\nforged");
            } else {
                return false;
            }
            true
        }
    }

    fn template(commands: &[&'static str]) -> Template {
        Template::new(commands.iter().map(|it| Part::Command(it, None, None))).unwrap()
    }

    #[test]
    fn a_value_cannot_begin_a_line() {
        let mut out = Vec::new();
        AccessLogFormat::Text(template(&["PROTOCOL", "ROUTE_NAME"])).render(&Hostile, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a\"b?forged-\n");
    }

    #[test]
    fn json_quotes_texts_and_keeps_numbers() {
        let mut out = Vec::new();
        let fields = [("code", "RESPONSE_CODE"), ("text", "PROTOCOL"), ("none", "ROUTE_NAME")];
        let fields = fields.map(|(key, command)| (key.into(), template(&[command])));
        AccessLogFormat::Json(fields.into()).render(&Hostile, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"code\":200,\"text\":\"a\\\"b\\nforged\",\"none\":\"-\"}\n");
    }
}
