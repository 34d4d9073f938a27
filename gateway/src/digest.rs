//! SHA-256 and hex, for whoever compares by digest.

use tokio_rustls::rustls::crypto::ring::cipher_suite;

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let suite = cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite.tls13().map(|it| it.common.hash_provider.hash(bytes));
    hash.and_then(|it| it.as_ref().try_into().ok()).expect("the suite's hash is SHA-256")
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|it| hex_digits(*it)).map(char::from).collect()
}

/// The two lower-case hex digits of a byte.
pub fn hex_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0xf].map(|it| if it < 10 { b'0' + it } else { b'a' + it - 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sha_256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(&sha256(b"")), empty);
    }
}
