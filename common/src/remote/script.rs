//! A fixed POSIX sh script with values that never become part of its text.

use std::time::Duration;

use super::nonce;
use super::quote::{octal, sh_quote};

/// One remote process. The text runs in dash, bash and ksh, whatever the login shell is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub text: &'static str,
    /// `$1`, `$2`, …: any bytes but NUL.
    pub args: Vec<Vec<u8>>,
    pub stdin: Vec<u8>,
    pub limit: Duration,
}

impl Script {
    pub fn new(text: &'static str, limit: Duration) -> Self {
        Self { text, args: Vec::new(), stdin: Vec::new(), limit }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<[u8]>) -> Self {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    #[must_use]
    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = bytes;
        self
    }

    /// A NUL-separated list for `xargs -0`.
    #[must_use]
    pub fn list<B: AsRef<[u8]>>(mut self, items: impl IntoIterator<Item = B>) -> Self {
        self.stdin = Vec::new();
        for item in items {
            self.stdin.extend_from_slice(item.as_ref());
            self.stdin.push(0);
        }
        self
    }

    pub(super) fn wire(&self, marks: &Marks) -> String {
        let mut text = b"LC_ALL=C; export LC_ALL; unset CDPATH ENV BASH_ENV; set --".to_vec();
        for arg in &self.args {
            text.push(b' ');
            text.extend_from_slice(&sh_quote(arg));
        }
        text.extend_from_slice(format!("\nprintf '\\n%s\\n' {}\n(\n", marks.begin).as_bytes());
        text.extend_from_slice(self.text.as_bytes());
        text.extend_from_slice(format!("\n)\nprintf '%s %d\\n' {} $?\n", marks.end).as_bytes());
        wire(&text)
    }
}

/// The command line for a login shell of any kind that runs `script` in `sh`.
pub(super) fn wire(script: &[u8]) -> String {
    format!("exec sh -c 'eval \"$(printf %b \"{}\")\"'", octal(script))
}

/// The lines around a script's output: what a login prints before or after does not matter.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    begin: String,
    end: String,
}

impl Marks {
    pub(super) fn new() -> Self {
        let nonce = nonce();
        Self { begin: format!("orapipe-begin-{nonce}"), end: format!("orapipe-end-{nonce}") }
    }

    /// The script's own output and status; `None` when it did not come to its end.
    pub(super) fn cut<'a>(&self, stdout: &'a [u8]) -> Option<(&'a [u8], i32)> {
        let begin = format!("\n{}\n", self.begin);
        let from = find(stdout, begin.as_bytes())? + begin.len();
        let rest = &stdout[from..];
        let end = format!("{} ", self.end);
        let at = rest.windows(end.len()).rposition(|w| w == end.as_bytes())?;
        let status = rest[at + end.len()..].split(|b| *b == b'\n').next()?;
        let status = std::str::from_utf8(status).ok()?.trim().parse().ok()?;
        Some((&rest[..at], status))
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn output_is_cut_out_of_the_noise_of_a_login() {
        let marks = Marks::new();
        let mut out = b"Welcome!\r\n".to_vec();
        out.extend(format!("\n{}\n", marks.begin).into_bytes());
        out.extend(b"a\0b\n");
        assert!(marks.cut(&out).is_none());
        out.extend(format!("{} 3\nbye\n", marks.end).into_bytes());
        assert_eq!(marks.cut(&out), Some((&b"a\0b\n"[..], 3)));
    }

    #[test]
    fn arguments_arrive_byte_for_byte() {
        let marks = Marks::new();
        let odd: &[&[u8]] =
            &[b"a b", b"it's", b"$(touch x)`id`", b"new\nline\n", b"-n", b"!h", b"\xff\\0101", b""];
        let mut script = Script::new("printf '%s\\0' \"$@\"; exit 7", Duration::from_secs(5));
        for arg in odd {
            script = script.arg(arg);
        }
        let wire = script.wire(&marks);
        let out = std::process::Command::new("sh")
            .arg("-c")
            .arg(std::ffi::OsStr::from_bytes(wire.as_bytes()))
            .output()
            .unwrap();
        let (stdout, status) = marks.cut(&out.stdout).unwrap();
        assert_eq!(status, 7);
        let got: Vec<&[u8]> = stdout.split(|b| *b == 0).collect();
        assert_eq!(got[..odd.len()], *odd);
    }
}
