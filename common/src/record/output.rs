//! The record writer: the only thing that prints to standard output.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use chrono::{SecondsFormat, Utc};
use serde::Serialize;

use super::{Envelope, Line, Payload, VERSION};

/// How records appear on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// JSON Lines, flushed record by record.
    Json,
    /// One readable line per record, for a terminal.
    Text,
}

impl Mode {
    /// JSON unless standard output is a terminal and `--json` is absent.
    pub fn choose(json: bool) -> Self {
        if json || !std::io::stdout().is_terminal() {
            Self::Json
        } else {
            Self::Text
        }
    }
}

/// Writes records; clones share one writer, so workers may emit at the same time.
#[derive(Clone)]
pub struct Out {
    inner: Arc<Mutex<Writer>>,
    tool: &'static str,
    run: Arc<str>,
    mode: Mode,
}

struct Writer {
    sink: Box<dyn Write + Send>,
    /// Whether the last forwarded line lacked its newline.
    open_line: bool,
}

#[derive(Serialize)]
struct Record<'a, P> {
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(flatten)]
    payload: &'a P,
}

impl Out {
    /// Records to standard output.
    pub fn stdout(tool: &'static str, run: &str, mode: Mode) -> Self {
        Self::to(Box::new(std::io::stdout()), tool, run, mode)
    }

    pub fn to(sink: Box<dyn Write + Send>, tool: &'static str, run: &str, mode: Mode) -> Self {
        let writer = Writer { sink, open_line: false };
        Self { inner: Arc::new(Mutex::new(writer)), tool, run: run.into(), mode }
    }

    /// The run id that every record of this writer carries.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Writes one record. Call it after the fact is durable: a record is a receipt.
    ///
    /// # Errors
    /// Standard output is closed or full. A lost receipt is not success, so callers pass this on.
    pub fn emit<P: Payload>(&self, payload: &P) -> anyhow::Result<()> {
        let mut line = match self.mode {
            Mode::Json => self.line(payload)?,
            Mode::Text => payload.human().into_bytes(),
        };
        line.push(b'\n');
        self.write(&line, false).with_context(|| format!("write a {} record", P::TYPE))
    }

    /// The record as one line of JSON without its newline, for files that keep records.
    pub fn line<P: Payload>(&self, payload: &P) -> anyhow::Result<Vec<u8>> {
        let envelope = Envelope {
            v: VERSION,
            kind: P::TYPE.to_owned(),
            tool: self.tool.to_owned(),
            run: self.run.to_string(),
            ts: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        };
        serde_json::to_vec(&Record { envelope, payload })
            .with_context(|| format!("encode a {} record", P::TYPE))
    }

    /// Writes a record that [`Out::line`] has made for a file already: in JSON the same bytes.
    ///
    /// # Errors
    /// As [`Out::emit`].
    pub fn emit_kept<P: Payload>(&self, payload: &P, line: &[u8]) -> anyhow::Result<()> {
        let mut line = match self.mode {
            Mode::Json => line.to_vec(),
            Mode::Text => payload.human().into_bytes(),
        };
        line.push(b'\n');
        self.write(&line, false).with_context(|| format!("write a {} record", P::TYPE))
    }

    /// Passes a line on, byte for byte.
    pub fn forward(&self, line: &Line) -> anyhow::Result<()> {
        self.write(line.raw(), !line.raw().ends_with(b"\n")).context("forward a record")
    }

    /// Passes bytes on as they come: a part of a line, or many lines in one write for a filter that reads in blocks.
    pub fn pass(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut writer = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        writer.open_line = !bytes.ends_with(b"\n");
        writer.sink.write_all(bytes).and_then(|()| writer.sink.flush()).context("forward a record")
    }

    fn write(&self, bytes: &[u8], leaves_line_open: bool) -> std::io::Result<()> {
        let mut writer = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.open_line {
            writer.sink.write_all(b"\n")?;
        }
        writer.open_line = leaves_line_open;
        writer.sink.write_all(bytes)?;
        writer.sink.flush()
    }
}
