//! Writes points in time, in UTC, the way access logs show them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Millis,
    Epoch,
}

impl TimeFormat {
    /// Reads `strftime`'s `%Y %m %d %H %M %S %3f %s %F %T`; empty is ISO 8601 with milliseconds.
    pub fn parse(text: &str) -> Self {
        let text = if text.is_empty() { "%Y-%m-%dT%H:%M:%S.%3fZ" } else { text };
        let text = text.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S").replace("%3f", "%f");
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let piece = if letter == '%' { letters.next().and_then(piece) } else { None };
            match piece {
                Some(piece) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(piece);
                }
                None => plain.push(letter),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Self { pieces }
    }

    /// Appends the time.
    pub fn write(&self, time: SystemTime, out: &mut Vec<u8>) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil(days);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Year => digits(year, 4, out),
                Piece::Month => digits(month, 2, out),
                Piece::Day => digits(day, 2, out),
                Piece::Hour => digits(second / 3600, 2, out),
                Piece::Minute => digits(second / 60 % 60, 2, out),
                Piece::Second => digits(second % 60, 2, out),
                Piece::Millis => digits(u64::from(since.subsec_millis()), 3, out),
                Piece::Epoch => digits(since.as_secs(), 1, out),
            }
        }
    }
}

fn piece(letter: char) -> Option<Piece> {
    Some(match letter {
        'Y' => Piece::Year,
        'm' => Piece::Month,
        'd' => Piece::Day,
        'H' => Piece::Hour,
        'M' => Piece::Minute,
        'S' => Piece::Second,
        'f' => Piece::Millis,
        's' => Piece::Epoch,
        _ => return None,
    })
}

/// Writes at least `width` digits.
pub(super) fn digits(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number).as_bytes();
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(text.len())));
    out.extend_from_slice(text);
}

/// Year, month and day of a day since 1970 in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted in eras of 400 years that begin on 1 March, so that leap days end a year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, millis: u64, expected: &str) {
        let mut out = Vec::new();
        TimeFormat::parse(format).write(UNIX_EPOCH + Duration::from_millis(millis), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn times_are_written_in_utc() {
        check("", 0, "1970-01-01T00:00:00.000Z");
        check("", 951_827_696_007, "2000-02-29T12:34:56.007Z");
        check("%F %T", 4_102_444_799_000, "2099-12-31 23:59:59");
        check("at %s", 1_700_000_000_000, "at 1700000000");
    }
}
