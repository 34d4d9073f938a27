//! Reads base64 as YAML holds it: standard or URL-safe, padded or not, over several lines.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The bytes; none when it is no base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let letters: Vec<u8> = text
        .bytes()
        .filter(|it| !it.is_ascii_whitespace())
        .map(|it| match it {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        })
        .collect();
    LENIENT.decode(letters).ok()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn every_usual_form_is_read() {
        for text in ["aGk/", "aGk_", " aG\n k/ "] {
            assert_eq!(decode(text).as_deref(), Some(&b"hi?"[..]), "{text}");
        }
        assert_eq!(decode("aGk"), decode("aGk="));
        assert_eq!(decode("a*"), None);
    }
}
