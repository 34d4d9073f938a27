//! A text with `%COMMAND%` parts, compiled once and rendered for each request.
//!
//! Header values and access logs share it. A [`Field`] is a closed set; who renders says
//! through [`Facts`] what each one is for the request at hand.

use http::HeaderName;

use super::time_format::TimeFormat;

/// What one command stands for.
#[derive(Debug, Clone)]
pub enum Field {
    /// A request header, or `:method`, `:path`, `:authority`, `:scheme`; else the second one.
    Request(HeaderRef, Option<HeaderRef>),
    /// A response header; else the second one.
    Response(HeaderRef, Option<HeaderRef>),
    /// When the request began.
    StartTime(TimeFormat),
    /// `HTTP/1.1`, `HTTP/2`.
    Protocol,
    /// Status, 0 if none was sent.
    ResponseCode,
    /// Envoy's short flags.
    ResponseFlags,
    /// Why the status is what it is.
    ResponseCodeDetails,
    /// Why the connection ended.
    ConnectionTerminationDetails,
    /// Why the upstream's transport failed.
    UpstreamTransportFailureReason,
    /// Body bytes from the client.
    BytesReceived,
    /// Body bytes to the client.
    BytesSent,
    /// Milliseconds from the first byte to the last.
    Duration,
    /// Milliseconds until the upstream's first byte.
    ResponseDuration,
    /// Address of the endpoint.
    UpstreamHost,
    /// `outbound|port|subset|host`.
    UpstreamCluster,
    /// Own address towards the endpoint.
    UpstreamLocalAddress,
    /// Own address towards the client.
    DownstreamLocalAddress,
    /// The same without port.
    DownstreamLocalAddressWithoutPort,
    /// Its port.
    DownstreamLocalPort,
    /// The client, behind trusted proxies.
    DownstreamRemoteAddress,
    /// The same without port.
    DownstreamRemoteAddressWithoutPort,
    /// The peer of the connection.
    DownstreamDirectRemoteAddress,
    /// The same without port.
    DownstreamDirectRemoteAddressWithoutPort,
    /// SNI.
    RequestedServerName,
    /// Name of the route.
    RouteName,
    /// Name of this gateway.
    Hostname,
    /// A command whose value no request has.
    Absent,
}

/// A header by name, pseudo headers included.
#[derive(Debug, Clone)]
pub enum HeaderRef {
    /// A field.
    Field(HeaderName),
    /// `:method`.
    Method,
    /// `:path`, with query.
    Path,
    /// `:authority`.
    Authority,
    /// `:scheme`.
    Scheme,
    /// `:status`.
    Status,
}

/// Says what each field is for a request.
pub trait Facts {
    /// Writes the value, or says that there is none.
    fn write(&self, field: &Field, out: &mut Vec<u8>) -> bool;
}

#[derive(Debug, Clone)]
enum Piece {
    Text(Box<[u8]>),
    Field(Field, Option<usize>),
}

/// A compiled text.
#[derive(Debug, Clone)]
pub struct Template {
    pieces: Box<[Piece]>,
}

/// One part before compilation: text, or a command with argument and longest value.
pub enum Part<'a> {
    /// As it is.
    Text(&'a str),
    /// A command.
    Command(&'a str, Option<&'a str>, Option<usize>),
}

impl Template {
    /// Compiles the parts of a text; an unknown command is an error that names it.
    pub fn new<'a>(parts: impl IntoIterator<Item = Part<'a>>) -> Result<Self, String> {
        let pieces = parts
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => Ok(Piece::Text(text.as_bytes().into())),
                Part::Command(name, argument, length) => Ok(Piece::Field(Field::parse(name, argument)?, length)),
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { pieces })
    }

    /// The text itself, if it has no commands.
    pub fn as_text(&self) -> Option<Vec<u8>> {
        self.pieces
            .iter()
            .map(|it| match it {
                Piece::Text(text) => Some(text.as_ref()),
                Piece::Field(_, _) => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(|it| it.concat())
    }

    /// Writes the text; `absent` stands for values that a request does not have.
    pub fn render(&self, facts: &dyn Facts, absent: &[u8], out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Field(field, length) => {
                    let start = out.len();
                    if !facts.write(field, out) {
                        out.truncate(start);
                        out.extend_from_slice(absent);
                    }
                    if let Some(length) = length {
                        out.truncate(start + (out.len() - start).min(*length));
                    }
                }
            }
        }
    }
}

impl HeaderRef {
    fn parse(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            ":method" => Ok(Self::Method),
            ":path" => Ok(Self::Path),
            ":authority" | "host" => Ok(Self::Authority),
            ":scheme" => Ok(Self::Scheme),
            ":status" => Ok(Self::Status),
            lower => HeaderName::try_from(lower).map(Self::Field).map_err(|_| format!("`{name}` is no header name")),
        }
    }
}

impl Field {
    fn parse(name: &str, argument: Option<&str>) -> Result<Self, String> {
        let headers = || {
            let text = argument.ok_or_else(|| format!("%{name}% needs a header name in parentheses"))?;
            let (first, second) = text.split_once('?').map_or((text, None), |(first, second)| (first, Some(second)));
            Ok::<_, String>((HeaderRef::parse(first)?, second.map(HeaderRef::parse).transpose()?))
        };
        Ok(match name {
            "REQ" => headers().map(|(first, second)| Self::Request(first, second))?,
            "RESP" => headers().map(|(first, second)| Self::Response(first, second))?,
            "START_TIME" => Self::StartTime(TimeFormat::parse(argument.unwrap_or_default())),
            "PROTOCOL" => Self::Protocol,
            "RESPONSE_CODE" => Self::ResponseCode,
            "RESPONSE_FLAGS" => Self::ResponseFlags,
            "RESPONSE_CODE_DETAILS" => Self::ResponseCodeDetails,
            "CONNECTION_TERMINATION_DETAILS" => Self::ConnectionTerminationDetails,
            "UPSTREAM_TRANSPORT_FAILURE_REASON" => Self::UpstreamTransportFailureReason,
            "BYTES_RECEIVED" => Self::BytesReceived,
            "BYTES_SENT" => Self::BytesSent,
            "DURATION" => Self::Duration,
            "RESPONSE_DURATION" => Self::ResponseDuration,
            "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Self::UpstreamHost,
            "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Self::UpstreamCluster,
            "UPSTREAM_LOCAL_ADDRESS" => Self::UpstreamLocalAddress,
            "DOWNSTREAM_LOCAL_ADDRESS" => Self::DownstreamLocalAddress,
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Self::DownstreamLocalAddressWithoutPort,
            "DOWNSTREAM_LOCAL_PORT" => Self::DownstreamLocalPort,
            "DOWNSTREAM_REMOTE_ADDRESS" => Self::DownstreamRemoteAddress,
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Self::DownstreamRemoteAddressWithoutPort,
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Self::DownstreamDirectRemoteAddress,
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Self::DownstreamDirectRemoteAddressWithoutPort,
            "REQUESTED_SERVER_NAME" => Self::RequestedServerName,
            "ROUTE_NAME" => Self::RouteName,
            "HOSTNAME" => Self::Hostname,
            "DOWNSTREAM_LOCAL_URI_SAN"
            | "DOWNSTREAM_PEER_URI_SAN"
            | "DOWNSTREAM_PEER_SUBJECT"
            | "DOWNSTREAM_TLS_VERSION"
            | "DOWNSTREAM_TLS_CIPHER"
            | "DYNAMIC_METADATA"
            | "FILTER_STATE"
            | "PER_REQUEST_STATE"
            | "UPSTREAM_METADATA"
            | "VIRTUAL_CLUSTER_NAME"
            | "TRACE_ID"
            | "SPAN_ID" => Self::Absent,
            other => return Err(format!("unknown command `%{other}%`")),
        })
    }
}
