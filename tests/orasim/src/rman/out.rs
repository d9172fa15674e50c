//! Where RMAN writes: the terminal or the log, and the spool file beside it; and the blank lines between its messages.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::rc::Rc;

struct Sink<'a> {
    main: Box<dyn Write + 'a>,
    /// SPOOL LOG: takes the place of the main one until SPOOL LOG OFF.
    spool: Option<File>,
    /// Line ends at the end of what was written; 2 is a blank line, 0 a prompt.
    newlines: u8,
    /// What V$RMAN_OUTPUT has not got yet.
    pending: String,
}

/// Shared by the reader, which echoes and prompts, and by the commands.
#[derive(Clone)]
pub struct Out<'a>(Rc<RefCell<Sink<'a>>>);

impl<'a> Out<'a> {
    pub fn new(main: Box<dyn Write + 'a>) -> Self {
        Self(Rc::new(RefCell::new(Sink { main, spool: None, newlines: 1, pending: String::new() })))
    }

    /// Text as it is. What cannot be written (a closed pipe) is lost, as RMAN goes on then too.
    pub fn raw(&self, text: &str) {
        let Some(last) = text.chars().last() else { return };
        let sink = &mut *self.0.borrow_mut();
        let _ = match &mut sink.spool {
            Some(file) => file.write_all(text.as_bytes()),
            None => sink.main.write_all(text.as_bytes()),
        };
        sink.pending.push_str(text);
        sink.newlines = match last {
            '\n' if text.ends_with("\n\n") || (text == "\n" && sink.newlines > 0) => 2,
            '\n' => 1,
            _ => 0,
        };
    }

    /// A message on a line of its own.
    pub fn line(&self, text: &str) {
        if self.0.borrow().newlines == 0 {
            self.raw("\n");
        }
        self.raw(text);
        self.raw("\n");
    }

    /// One blank line, unless there is one already.
    pub fn blank(&self) {
        while self.0.borrow().newlines < 2 {
            self.raw("\n");
        }
    }

    /// The blank line is there only if something was said before: after a prompt or an echo none follows.
    pub fn paragraph(&self, text: &str) {
        if self.0.borrow().newlines == 0 {
            self.raw("\n");
        } else {
            self.blank();
        }
        self.raw(text);
        self.raw("\n");
    }

    /// After the echo of a command file messages follow at once.
    pub fn settle(&self) {
        self.0.borrow_mut().newlines = 2;
    }

    /// What was written so far reaches the reader: before a wait, so that a killed program leaves it behind.
    pub fn flush(&self) {
        let sink = &mut *self.0.borrow_mut();
        let _ = match &mut sink.spool {
            Some(file) => file.flush(),
            None => sink.main.flush(),
        };
    }

    /// Lines that were written since the last call.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().pending).lines().map(str::to_string).collect()
    }

    /// `None` is SPOOL LOG OFF.
    pub fn spool(&self, file: Option<File>) {
        self.flush();
        self.0.borrow_mut().spool = file;
    }
}
