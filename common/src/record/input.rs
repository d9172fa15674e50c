//! Reading records: every line is kept as it came, and decoded only by the tool that acts on it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::BufRead;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::Deserialize;

use super::{Out, Payload, RunEnd, VERSION};
use crate::exit::Exit;

/// The longest line that is kept; a longer one is no record, is passed on and counts as one bad line.
const LINE_MAX: usize = 16 << 20;

/// One line of input as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    raw: Vec<u8>,
    number: usize,
    /// Only its beginning is in `raw`.
    cut: bool,
}

/// Borrowed where nothing is escaped: a million records pass through here.
#[derive(Deserialize)]
struct Head<'a> {
    v: Option<u64>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    run: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool: Option<Cow<'a, str>>,
}

impl Line {
    pub fn new(raw: impl Into<Vec<u8>>, number: usize) -> Self {
        Self { raw: raw.into(), number, cut: false }
    }

    /// The bytes, newline included if there was one.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Position in the input, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    pub fn is_blank(&self) -> bool {
        self.raw.iter().all(u8::is_ascii_whitespace)
    }

    /// The `type` field; `None` for hand-made lines without one.
    ///
    /// # Errors
    /// The line is not a JSON object: one failed item, not the end of the stream.
    pub fn kind(&self) -> anyhow::Result<Option<String>> {
        Ok(self.head()?.kind.map(Cow::into_owned))
    }

    /// The line as a `P`, or `None` if it is of another type.
    ///
    /// # Errors
    /// Not JSON, a field missing, or a version of this type that we do not know.
    pub fn decode<P: Payload + DeserializeOwned>(&self) -> anyhow::Result<Option<P>> {
        let head = self.head()?;
        if head.kind.as_deref() != Some(P::TYPE) {
            return Ok(None);
        }
        self.refuse_newer(&head)?;
        self.as_payload().map(Some)
    }

    /// The line as a `P` whatever its type says; for hand-made lines.
    pub fn as_payload<P: DeserializeOwned>(&self) -> anyhow::Result<P> {
        self.parse()
    }

    fn parse<'a, P: Deserialize<'a>>(&'a self) -> anyhow::Result<P> {
        anyhow::ensure!(!self.cut, "line {} of the input: longer than {LINE_MAX} bytes", self.number);
        serde_json::from_slice(&self.raw).with_context(|| format!("line {} of the input", self.number))
    }

    fn head(&self) -> anyhow::Result<Head<'_>> {
        self.parse()
    }

    fn refuse_newer(&self, head: &Head<'_>) -> anyhow::Result<()> {
        match head.v {
            Some(v) if v > VERSION => anyhow::bail!(
                "line {} of the input: record version {v}, this program knows {VERSION}",
                self.number
            ),
            _ => Ok(()),
        }
    }
}

/// Reads lines, passes each on before anybody acts on it, and keeps account of the runs in them.
pub struct Input<R> {
    reader: R,
    out: Option<Out>,
    number: usize,
    open: HashSet<(String, String)>,
    worst: Exit,
}

impl<R: BufRead> Input<R> {
    /// With `out`, every line is forwarded byte for byte before it is returned.
    pub fn new(reader: R, out: Option<Out>) -> Self {
        Self { reader, out, number: 0, open: HashSet::new(), worst: Exit::Success }
    }

    /// The next line that is not blank, or `None` at the end.
    pub fn next_line(&mut self) -> anyhow::Result<Option<Line>> {
        loop {
            let mut raw = Vec::new();
            let mut limited = std::io::Read::take(&mut self.reader, LINE_MAX as u64 + 1);
            let n = limited.read_until(b'\n', &mut raw).context("read standard input")?;
            if n == 0 {
                return Ok(None);
            }
            self.number += 1;
            let mut line = Line::new(raw, self.number);
            if let Some(out) = &self.out {
                out.forward(&line)?;
            }
            if line.raw.len() > LINE_MAX {
                line.cut = true;
                self.pass_rest()?;
            }
            if !line.is_blank() {
                self.account(&line);
                return Ok(Some(line));
            }
        }
    }

    /// Passes the rest of a line on that is too long to be kept.
    fn pass_rest(&mut self) -> anyhow::Result<()> {
        loop {
            let mut piece = Vec::new();
            let mut limited = std::io::Read::take(&mut self.reader, 64 * 1024);
            let n = limited.read_until(b'\n', &mut piece).context("read standard input")?;
            if let (Some(out), true) = (&self.out, n > 0) {
                out.pass(&piece)?;
            }
            if n == 0 || piece.ends_with(b"\n") {
                return Ok(());
            }
        }
    }

    fn account(&mut self, line: &Line) {
        // A bad line is the caller's failed item; it says nothing about runs.
        let Ok(head) = line.head() else { return };
        let key = |head: Head<'_>| {
            let own = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned).unwrap_or_default();
            (own(head.tool), own(head.run))
        };
        match head.kind.as_deref() {
            Some("run_begin") => {
                self.open.insert(key(head));
            }
            Some("run_end") => {
                self.open.remove(&key(head));
                let exit = line.as_payload::<RunEnd>().map_or(Exit::Failed, |e| Exit::from_code(e.exit));
                self.worst = self.worst.worse(exit);
            }
            _ => {}
        }
    }

    /// The worst status among the `run_end`s so far.
    pub fn worst(&self) -> Exit {
        self.worst
    }

    /// The runs that have begun and not ended: at the end of the input their tools have died.
    pub fn died(&self) -> Vec<String> {
        let mut died: Vec<_> = self.open.iter().map(|(tool, run)| format!("{tool} (run {run})")).collect();
        died.sort();
        died
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::{ArchivedLog, Mode};
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn drain(input: &str) -> (Vec<Line>, Exit, Vec<String>, Vec<u8>) {
        let sink = Shared::default();
        let out = Out::to(Box::new(sink.clone()), "test", "r", Mode::Json);
        let mut input = Input::new(input.as_bytes(), Some(out));
        let mut lines = Vec::new();
        while let Some(line) = input.next_line().unwrap() {
            lines.push(line);
        }
        let copy = sink.0.lock().unwrap().clone();
        (lines, input.worst(), input.died(), copy)
    }

    #[test]
    fn what_comes_in_goes_out_byte_for_byte() {
        let text = "{\"type\":\"future\", \"v\":9,  \"x\":1e400}\r\n\nnot json\n{\"path\":\"/a\"}";
        let (lines, _, _, copy) = drain(text);
        assert_eq!(String::from_utf8(copy).unwrap(), text);
        assert_eq!(lines.len(), 3);
        assert!(lines[1].kind().is_err());
    }

    #[test]
    fn a_line_that_is_too_long_is_one_bad_line_and_still_passed_on() {
        let long = "x".repeat(LINE_MAX + 100_000);
        let text = format!("{long}\n{{\"path\":\"/a\"}}\n");
        let (lines, _, _, copy) = drain(&text);
        assert!(copy == text.as_bytes());
        assert_eq!(lines.len(), 2);
        let error = lines[0].kind().unwrap_err().to_string();
        assert_eq!(error, format!("line 1 of the input: longer than {LINE_MAX} bytes"));
        assert_eq!(lines[1].kind().unwrap(), None);
    }

    #[test]
    fn a_run_that_never_ended_has_died_and_the_worst_end_counts() {
        let text = "{\"type\":\"run_begin\",\"tool\":\"a\",\"run\":\"1\"}\n\
                    {\"type\":\"run_begin\",\"tool\":\"b\",\"run\":\"2\"}\n\
                    {\"type\":\"run_end\",\"tool\":\"b\",\"run\":\"2\",\"status\":\"partial\",\"exit\":1,\"seconds\":0,\"counts\":{}}\n";
        let (_, worst, died, _) = drain(text);
        assert_eq!((worst, died), (Exit::Partial, vec!["a (run 1)".to_owned()]));
    }

    #[test]
    fn a_newer_version_of_a_type_we_act_on_is_refused() {
        let line = Line::new(&b"{\"v\":2,\"type\":\"archived_log\",\"path\":\"/a\"}"[..], 7);
        let error = line.decode::<ArchivedLog>().unwrap_err();
        assert_eq!(error.to_string(), "line 7 of the input: record version 2, this program knows 1");
    }

    #[test]
    fn a_line_without_newline_is_closed_before_our_own_record() {
        let sink = Shared::default();
        let out = Out::to(Box::new(sink.clone()), "test", "r", Mode::Text);
        out.forward(&Line::new(&b"{}"[..], 1)).unwrap();
        out.emit(&super::super::Log::warning("x")).unwrap();
        assert_eq!(sink.0.lock().unwrap().as_slice(), b"{}\nwarning: x\n");
    }
}
