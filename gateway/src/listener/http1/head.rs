//! Judges a complete request head by its bytes, and says how the body is framed.
//!
//! Admitted is what every parser reads the same way: single blanks in the request line,
//! CRLF only, names right before their colon, one valid `Host`, and at most one framing
//! field with one value. Anything else is refused, not repaired (RFC 9112 §3, §6.3).

use http::Version;
use memchr::{memchr, memchr_iter};

use super::host;
use crate::listener::limits::{MAX_HEAD_FIELDS, MAX_NAME_BYTES};
use crate::local_reply::Reason;
use crate::local_reply::egress_fault::EgressFault;

/// The only scheme that a forward proxy is asked for with the whole URL.
const HTTP: &[u8] = b"http://";

/// How the body after a head ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// Where a head ends in `bytes`: the index after the blank line.
///
/// `searched` is how far earlier calls looked, so that a head that drips in costs no more
/// than one that comes at once.
pub fn end(bytes: &[u8], searched: &mut usize) -> Option<usize> {
    const BLANK_LINE: &[u8] = b"\r\n\r\n";
    let from = searched.saturating_sub(BLANK_LINE.len() - 1);
    *searched = bytes.len();
    let mut ends = memchr_iter(b'\n', bytes.get(from..)?).map(|it| from + it + 1);
    ends.find(|end| bytes.get(..*end).is_some_and(|it| it.ends_with(BLANK_LINE)))
}

/// Whether the beginning of a head already shows that it cannot be one.
///
/// Without this, a head of bare line feeds would wait for its blank line until the deadline.
pub fn is_hopeless(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    // Every byte is looked at, so that many are at once.
    let lone = pairs.fold(false, |bad, (first, second)| bad | ((*first == b'\r') != (*second == b'\n')));
    lone || bytes.first() == Some(&b'\n') || memchr(0, bytes).is_some()
}

/// What a listener is to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The server they ask.
    Server,
    /// A proxy that they ask for others: by CONNECT, or with the whole URL.
    Proxy,
}

/// Judges a head, its blank line included.
pub fn judge(head: &[u8], role: Role) -> Result<Framing, Reason> {
    if is_hopeless(head) {
        return Err(Reason::MalformedHead);
    }
    let mut lines = lines(head);
    let request = request_line(lines.next().unwrap_or_default(), role)?;
    let mut fields = Fields::default();
    for line in lines {
        fields.read(line)?;
    }
    fields.framing(request)
}

/// What a judged head of CONNECT asks for, its version, and its fields.
pub fn connect(judged: &[u8]) -> (&[u8], Version, impl Iterator<Item = (&[u8], &[u8])>) {
    let mut lines = lines(judged);
    let mut words = lines.next().unwrap_or_default().split(|it| *it == b' ').skip(1);
    let target = words.next().unwrap_or_default();
    let version = if words.next() == Some(b"HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
    (target, version, lines.filter_map(field))
}

/// The lines of a head, without their ends and without the blank one.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|it| *it == b'\n').map(|it| it.strip_suffix(b"\r").unwrap_or(it)).take_while(|it| !it.is_empty())
}

/// What the request line asks.
#[derive(Debug, Clone, Copy, Default)]
struct RequestLine<'a> {
    authority: Option<&'a [u8]>,
    is_connect: bool,
    /// HTTP/1.0, which knows no `Host`.
    is_old: bool,
}

impl RequestLine<'_> {
    /// Whether a `Host` says the same; of a tunnel it may leave out the port (as Java's does).
    fn agrees(&self, host: Option<&[u8]>) -> bool {
        match (self.authority, host) {
            (_, None) => self.is_old,
            (None, Some(_)) => true,
            (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => true,
            (Some(authority), Some(host)) => {
                let colon = authority.iter().rposition(|it| *it == b':').filter(|_| self.is_connect);
                colon.and_then(|at| authority.get(..at)).is_some_and(|it| it.eq_ignore_ascii_case(host))
            }
        }
    }
}

fn request_line(line: &[u8], role: Role) -> Result<RequestLine<'_>, Reason> {
    let mut parts = line.split(|it| *it == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::MalformedHead);
    };
    if method.is_empty() || !method.iter().all(|it| is_token(*it)) || method.iter().any(u8::is_ascii_lowercase) {
        return Err(Reason::MalformedHead);
    }
    let is_old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(Reason::MalformedHead),
    };
    // Clients that ask for tunnels in the old version are many (Python's is one), and a tunnel has no version.
    if is_old && (role != Role::Proxy || method != b"CONNECT") {
        return Err(Reason::OldProtocol);
    }
    Ok(RequestLine { is_old, ..target_form(method, target, role)? })
}

/// Origin, absolute, authority or asterisk form, whichever the method allows (RFC 9112 §3.2).
fn target_form<'a>(method: &[u8], target: &'a [u8], role: Role) -> Result<RequestLine<'a>, Reason> {
    if target.is_empty() || !target.iter().all(|it| is_target_byte(*it)) {
        return Err(Reason::MalformedHead);
    }
    if method == b"CONNECT" {
        return match (host::is_valid(target), role) {
            (true, Role::Proxy) => {
                Ok(RequestLine { authority: Some(target), is_connect: true, ..RequestLine::default() })
            }
            (true, Role::Server) => Err(Reason::ConnectRefused),
            (false, _) => Err(Reason::MalformedHead),
        };
    }
    if role == Role::Proxy && !target.get(..HTTP.len()).is_some_and(|it| it.eq_ignore_ascii_case(HTTP)) {
        // TLS is for the client to begin, in a tunnel; a path alone names no destination.
        return Err(Reason::Egress(EgressFault::NoTarget));
    }
    if target == b"*" {
        return if method == b"OPTIONS" { Ok(RequestLine::default()) } else { Err(Reason::MalformedHead) };
    }
    if target.starts_with(b"/") {
        return Ok(RequestLine::default());
    }
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let authority = rest.and_then(|it| it.split(|it| matches!(it, b'/' | b'?')).next());
    match authority {
        Some(authority) if host::is_valid(authority) => {
            Ok(RequestLine { authority: Some(authority), ..RequestLine::default() })
        }
        Some(_) | None => Err(Reason::MalformedHead),
    }
}

/// Printable ASCII without what no target holds: blanks, quotes, angle brackets, fragments.
fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'#')
}

/// For each byte, whether tokens may hold it (RFC 9110 §5.6.2).
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &mut [bool] = &mut table;
    let mut byte = 0_u8;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte = byte.wrapping_add(1);
        rest = others;
    }
    table
};

fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Splits a field line; the name stands right before its colon and the value holds no controls.
pub(super) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
    let value = value.get(1..)?;
    // Judged with the blanks around it: `trim_ascii` would also take form feeds and the like, which are controls.
    let clean = value.iter().fold(true, |clean, it| clean & (*it == b'\t' || (*it >= 0x20 && *it != 0x7f)));
    let named = !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.iter().all(|it| is_token(*it));
    (clean && named).then_some((name, value.trim_ascii()))
}

/// The fields that decide host and framing.
#[derive(Debug, Default)]
struct Fields<'a> {
    count: usize,
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
}

impl<'a> Fields<'a> {
    fn read(&mut self, line: &'a [u8]) -> Result<(), Reason> {
        self.count += 1;
        if self.count > MAX_HEAD_FIELDS {
            return Err(Reason::HeadTooLarge);
        }
        let (name, value) = field(line).ok_or(Reason::MalformedHead)?;
        if name.eq_ignore_ascii_case(b"host") {
            if !host::is_valid(value) || self.host.replace(value).is_some() {
                return Err(Reason::MalformedHead);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = length(value).ok_or(Reason::MalformedHead)?;
            if self.length.replace(length).is_some() {
                return Err(Reason::MalformedHead);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Reason::MalformedHead);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"expect") && !value.eq_ignore_ascii_case(b"100-continue")
            // Spelled with an underscore, some servers take these for the real ones.
            || is_framing_alias(name)
        {
            return Err(Reason::MalformedHead);
        }
        Ok(())
    }

    fn framing(&self, request: RequestLine<'_>) -> Result<Framing, Reason> {
        if !request.agrees(self.host) {
            return Err(Reason::MalformedHead);
        }
        if request.is_connect && (self.chunked || self.length.is_some_and(|it| it > 0)) {
            // What follows belongs to the tunnel.
            return Err(Reason::MalformedHead);
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Reason::MalformedHead),
            (true, None) => Ok(Framing::Chunked),
            (false, None | Some(0)) => Ok(Framing::Empty),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

fn is_framing_alias(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content_length") || name.eq_ignore_ascii_case(b"transfer_encoding")
}

/// A `Content-Length` in the only spelling that all parsers agree on.
fn length(value: &[u8]) -> Option<u64> {
    let canonical = value == b"0" || !value.starts_with(b"0");
    if value.is_empty() || !canonical || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (length <= i64::MAX.unsigned_abs()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, expected: Result<Framing, Reason>) {
        assert_eq!(judge(head.as_bytes(), Role::Server), expected, "{head:?}");
    }

    #[test]
    fn plain_requests_pass_with_their_framing() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Framing::Empty));
        check("POST /x?y=\\z HTTP/1.1\r\nHost: a:80\r\nContent-Length:\t5 \r\n\r\n", Ok(Framing::Length(5)));
        check("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n", Ok(Framing::Chunked));
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Framing::Empty));
        check("GET http://A/x HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Framing::Empty));
        check("GET / HTTP/1.1\r\nHost: a\r\nX-Latin: \u{e4}\r\n\r\n", Ok(Framing::Empty));
    }

    #[test]
    fn the_parts_of_a_tunnels_head_are_what_was_judged() {
        let head = b"CONNECT a.test:443 HTTP/1.0\r\nHost: a.test:443\r\nX-Empty:\r\nx: \t1, \xe4 \r\n\r\n";
        assert_eq!(judge(head, Role::Proxy), Ok(Framing::Empty));
        let (target, version, fields) = connect(head);
        assert_eq!((target, version), (&b"a.test:443"[..], Version::HTTP_10));
        let expected: [(&[u8], &[u8]); 3] = [(b"Host", b"a.test:443"), (b"X-Empty", b""), (b"x", b"1, \xe4")];
        assert_eq!(fields.collect::<Vec<_>>(), expected);
        assert_eq!(connect(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").1, Version::HTTP_11);
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for line in [
            "GET  / HTTP/1.1",
            "GET / x HTTP/1.1",
            "get / HTTP/1.1",
            "GET /#f HTTP/1.1",
            "GET x HTTP/1.1",
            "GET * HTTP/1.1",
            "GET / HTTP/1.2",
            "GET / http/1.1",
            "GET http:///x HTTP/1.1",
            "GET http://u@a/ HTTP/1.1",
            "GET http://b/ HTTP/1.1",
            "GET ftp://a/ HTTP/1.1",
            "G(T / HTTP/1.1",
            " GET / HTTP/1.1",
        ] {
            check(&format!("{line}\r\nHost: a\r\n\r\n"), Err(Reason::MalformedHead));
        }
        for field in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length: 05",
            "Content-Length: 9223372036854775808",
            "Content-Length: ",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: ",
            "X : y",
            " X: y",
            "X: y\r\n folded",
            ": y",
            "X: a\x0bb",
            "X: \x0cb",
            "X: \x7f",
            "Xy",
            "Host: a",
            "X: a\nY: b",
            "X: a\rb",
            "X: \0",
            "Content_Length: 5",
            "Expect: y 100-continue",
        ] {
            check(&format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"), Err(Reason::MalformedHead));
        }
    }

    #[test]
    fn other_heads_are_refused_for_their_own_reasons() {
        check("GET / HTTP/1.1\r\n\r\n", Err(Reason::MalformedHead));
        check("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Err(Reason::OldProtocol));
        check("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", Err(Reason::ConnectRefused));
        let many = "X: y\r\n".repeat(MAX_HEAD_FIELDS);
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), Err(Reason::HeadTooLarge));
    }

    #[test]
    fn a_proxy_is_asked_for_others_and_a_server_is_not() {
        let judged =
            |line: &str, host: &str| judge(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), Role::Proxy);
        assert_eq!(judged("CONNECT a:443", "a:443"), Ok(Framing::Empty));
        assert_eq!(judged("GET HTTP://a/x", "a"), Ok(Framing::Empty));
        assert_eq!(judged("CONNECT a:443", "A"), Ok(Framing::Empty));
        for host in ["b:443", "b", "a:80", "a:"] {
            assert_eq!(judged("CONNECT a:443", host), Err(Reason::MalformedHead), "{host}");
        }
        assert_eq!(judge(b"CONNECT a:443 HTTP/1.0\r\n\r\n", Role::Proxy), Ok(Framing::Empty));
        assert_eq!(judge(b"CONNECT a:443 HTTP/1.1\r\n\r\n", Role::Proxy), Err(Reason::MalformedHead));
        assert_eq!(judge(b"GET http://a/ HTTP/1.0\r\nHost: a\r\n\r\n", Role::Proxy), Err(Reason::OldProtocol));
        assert_eq!(judged("CONNECT *", "a"), Err(Reason::MalformedHead));
        for line in ["GET /", "GET https://a/", "OPTIONS *"] {
            assert_eq!(judged(line, "a"), Err(Reason::Egress(EgressFault::NoTarget)), "{line}");
        }
        let body = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(judge(body.as_bytes(), Role::Proxy), Err(Reason::MalformedHead));
    }

    #[test]
    fn the_end_of_a_dripping_head_is_found() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        let mut searched = 0;
        let found = (1..=head.len()).find_map(|length| end(&head[..length], &mut searched));
        assert_eq!(found, Some(head.len() - 4));
    }
}
