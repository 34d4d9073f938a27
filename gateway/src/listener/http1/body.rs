//! Follows the framing of a request body to its last byte, and refuses chunks that are not strict.

use super::head::{self, Framing};
use crate::listener::limits::MAX_CHUNK_META_BYTES;

/// Most digits of a chunk size; more would pass 2⁶⁴.
const MAX_SIZE_DIGITS: usize = 15;

/// Where a body stands.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    /// Bytes of extensions and trailers so far.
    meta: usize,
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    Length(u64),
    /// In the digits of a chunk size, this many so far.
    Size {
        digits: usize,
        size: u64,
    },
    Extension {
        size: u64,
    },
    /// After the CR of a size line.
    SizeEnd {
        size: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    /// In a trailer line; the line is collected.
    Trailer,
    TrailerLf,
}

/// The body breaks its framing.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl BodyReader {
    /// A body that begins now.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { digits: 0, size: 0 },
        };
        Self { state, meta: 0, line: Vec::new() }
    }

    /// Whether the last byte has passed.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many of these bytes belong to the body.
    pub fn admit(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|it| !it.is_empty()) {
            match self.state {
                State::Done => break,
                State::Length(left) => {
                    let (step, left) = advance(left, rest.len());
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    taken += step;
                }
                State::Data(left) => {
                    let (step, left) = advance(left, rest.len());
                    self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                    taken += step;
                }
                State::Size { .. }
                | State::Extension { .. }
                | State::SizeEnd { .. }
                | State::DataCr
                | State::DataLf
                | State::Trailer
                | State::TrailerLf => {
                    let byte = rest.first().copied().ok_or(Malformed)?;
                    self.state = self.step(byte)?;
                    taken += 1;
                }
            }
        }
        Ok(taken)
    }

    /// One byte between the data of chunks.
    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        match (self.state, byte) {
            (State::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).map(u64::from).ok_or(Malformed)?;
                if digits == MAX_SIZE_DIGITS {
                    return Err(Malformed);
                }
                Ok(State::Size { digits: digits + 1, size: size * 16 + digit })
            }
            (State::Size { digits: 1.., size }, b';') => Ok(State::Extension { size }),
            (State::Size { digits: 1.., size } | State::Extension { size }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Extension { size }, b'\t' | 0x20..=0x7e) => {
                self.count_meta()?;
                Ok(State::Extension { size })
            }
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::Trailer),
            (State::SizeEnd { size }, b'\n') => Ok(State::Data(size)),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { digits: 0, size: 0 }),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::Trailer, byte) if byte != b'\n' => {
                self.count_meta()?;
                self.line.push(byte);
                Ok(State::Trailer)
            }
            (State::TrailerLf, b'\n') => self.trailer(),
            _ => Err(Malformed),
        }
    }

    fn count_meta(&mut self) -> Result<(), Malformed> {
        self.meta += 1;
        if self.meta > MAX_CHUNK_META_BYTES { Err(Malformed) } else { Ok(()) }
    }

    /// The end of a trailer line; the empty one ends the body.
    fn trailer(&mut self) -> Result<State, Malformed> {
        if self.line.is_empty() {
            return Ok(State::Done);
        }
        head::field(&self.line).ok_or(Malformed)?;
        self.line.clear();
        Ok(State::Trailer)
    }
}

/// How far to go with `left` bytes to come and `available` at hand, and what is left then.
fn advance(left: u64, available: usize) -> (usize, u64) {
    let step = usize::try_from(left).map_or(available, |it| it.min(available));
    (step, left - step as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of the text is body, fed at once and byte by byte.
    #[track_caller]
    fn check(framing: Framing, text: &str, expected: Result<usize, Malformed>) {
        let mut whole = BodyReader::new(framing);
        let admitted = whole.admit(text.as_bytes());
        assert_eq!(admitted, expected, "{text:?}");
        let mut slow = BodyReader::new(framing);
        let mut taken = 0;
        for byte in text.as_bytes().chunks(1) {
            match slow.admit(byte) {
                Ok(step) => taken += step,
                Err(error) => return assert_eq!(Err(error), expected, "{text:?} byte by byte"),
            }
        }
        assert_eq!(Ok(taken), expected, "{text:?} byte by byte");
    }

    #[test]
    fn bodies_end_where_their_framing_says() {
        check(Framing::Empty, "GET", Ok(0));
        check(Framing::Length(3), "abcGET", Ok(3));
        check(Framing::Chunked, "5\r\nhello\r\n0\r\n\r\nGET", Ok(15));
        check(Framing::Chunked, "A;x=y\r\n0123456789\r\n000\r\nX: y\r\n\r\nGET", Ok(32));
    }

    #[test]
    fn loose_chunks_are_refused() {
        for body in [
            "0x5\r\nhello",
            "+5\r\n",
            "-0\r\n\r\n",
            " 5\r\n",
            "5zz\r\n",
            "10000000000000005\r\n",
            "5\r\nhello\n",
            "5\r\nhello0\r\n",
            "5\r\r;a\r\n",
            "5;\nhello",
            "\r\nhello",
            "5\nhello",
            "0\r\nX y\r\n\r\n",
            "0\r\n X: y\r\n\r\n",
            "5;\x01\r\n",
            ";a\r\n",
        ] {
            check(Framing::Chunked, body, Err(Malformed));
        }
        check(Framing::Chunked, &format!("5;{}", "a".repeat(MAX_CHUNK_META_BYTES + 1)), Err(Malformed));
    }
}
