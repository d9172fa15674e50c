//! Bytes of the terminal: NLS_LANG decides how text leaves and enters the client.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// What a client without NLS_LANG has: other characters become `?`.
    Ascii,
    Latin1,
    Utf8,
}

impl Charset {
    /// From the part of NLS_LANG after the dot.
    pub fn of(nls_lang: &str) -> Self {
        match nls_lang.rsplit_once('.').map(|(_, c)| c.to_ascii_uppercase()).as_deref() {
            Some("AL32UTF8" | "UTF8") => Self::Utf8,
            Some("US7ASCII") | None => Self::Ascii,
            Some(_) => Self::Latin1,
        }
    }

    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Latin1 => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
            Self::Ascii => text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect(),
        }
    }

    pub fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Latin1 => bytes.iter().map(|b| char::from(*b)).collect(),
            // The server takes the eighth bit as it comes; file names survive only if they are ASCII or UTF-8.
            Self::Ascii => match std::str::from_utf8(bytes) {
                Ok(text) => text.into(),
                Err(_) => bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { '?' }).collect(),
            },
        }
    }
}
