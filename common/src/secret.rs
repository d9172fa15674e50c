//! A string that never shows itself.

use std::fmt;

/// A password or a connect string that holds one.
///
/// `Display` and `Debug` print `***`; the text comes out only through [`Secret::expose`], which is called where the
/// bytes are written to a child's standard input or to a 0600 file.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Replaces every occurrence of a secret in `bytes` by `***`.
pub fn redact(bytes: &[u8], secrets: &[Secret]) -> Vec<u8> {
    let mut clean = bytes.to_vec();
    for secret in secrets.iter().filter(|s| !s.is_empty()) {
        let needle = secret.0.as_bytes();
        let mut from = 0;
        while let Some(at) = clean[from..].windows(needle.len()).position(|w| w == needle) {
            clean.splice(from + at..from + at + needle.len(), *b"***");
            from += at + 3;
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_stars_only() {
        let secret = Secret::new("tiger");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn every_occurrence_is_redacted() {
        let secrets = [Secret::new("tiger"), Secret::new("")];
        assert_eq!(redact(b"scott/tiger@x tiger", &secrets), b"scott/***@x ***");
    }
}
