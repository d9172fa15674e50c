//! Lines of a log of any size and encoding.

use std::io::Read;

/// What is kept of a line; an Oracle message is never so long.
const LINE_MAX: usize = 16 * 1024;
const CHUNK: usize = 256 * 1024;

/// Splits bytes into lines: LF or CRLF, invalid UTF-8 replaced, NUL and control bytes dropped (a log in UTF-16, or one with a
/// hole where it was truncated), long lines cut.
pub struct Lines<R> {
    reader: R,
    chunk: Vec<u8>,
    at: usize,
    end: usize,
    line: Vec<u8>,
    text: String,
    done: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(reader: R) -> Self {
        let chunk = vec![0; CHUNK];
        Self { reader, chunk, at: 0, end: 0, line: Vec::new(), text: String::new(), done: false }
    }

    /// The next line without its end; `None` after the last.
    pub fn next_line(&mut self) -> std::io::Result<Option<&str>> {
        if self.done {
            return Ok(None);
        }
        self.line.clear();
        let mut any = false;
        loop {
            if self.at == self.end {
                self.end = match self.reader.read(&mut self.chunk) {
                    Ok(n) => n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(e) => return Err(e),
                };
                self.at = 0;
                if self.end == 0 {
                    self.done = true;
                    if !any {
                        return Ok(None);
                    }
                    break;
                }
            }
            let rest = &self.chunk[self.at..self.end];
            any = true;
            match rest.iter().position(|b| *b == b'\n') {
                Some(n) => {
                    keep(&mut self.line, &rest[..n]);
                    self.at += n + 1;
                    break;
                }
                None => {
                    keep(&mut self.line, rest);
                    self.at = self.end;
                }
            }
        }
        self.text.clear();
        self.text.push_str(&String::from_utf8_lossy(&self.line));
        Ok(Some(self.text.trim_start_matches(['\u{feff}', '\u{fffd}']).trim_end()))
    }
}

fn keep(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = LINE_MAX.saturating_sub(line.len());
    if room == 0 {
        return;
    }
    if bytes.iter().all(|b| *b >= b' ') {
        line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    } else {
        line.extend(bytes.iter().copied().filter(|b| *b >= b' ' || *b == b'\t').take(room));
    }
}
