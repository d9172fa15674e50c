//! The run: read everything, decide, put the mail into the spool, then the other reports, then send.

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::app::{Frame, Report};
use common::durable;
use common::exit::{failure, status_of, Exit, Failure};
use common::lock::Lock;
use common::logfile::LogFile;
use common::record::{Input, Log, Mail, MailStatus, Out, Planned};
use common::signals;
use rustix::event::{poll, PollFd, PollFlags, Timespec};

use crate::cli::{Cli, Only, STATUS_LINE};
use crate::deliver::{self, Event};
use crate::facts::Facts;
use crate::history::{Entry, History};
use crate::message::{self, Head, Made};
use crate::plan::{self, Delivery, Transport};
use crate::prometheus::Mails;
use crate::protection::Asset;
use crate::spool::{Meta, Spool};
use crate::verdict::{self, Verdict};
use crate::view::{self, Context, View};
use crate::{logs, nagios, ping, prometheus};

/// A file system in memory, for a mail when the spool cannot be written.
const MEMORY: &str = "/dev/shm";
const IN_MEMORY: &str = "orapipe-mail-";
/// How long a run waits for another one that is sending.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the tool.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let delivery = plan::delivery(cli, &common::app::host(), plan::secret_in(std::env::args_os()));
    if cli.flush || cli.test {
        let delivery = delivery?;
        let mut session = Session::new(cli, frame)?;
        if cli.test {
            session.test(&delivery)?;
        } else {
            session.flush_only(&delivery)?;
        }
        return Ok(session.finish());
    }
    if rustix::termios::isatty(std::io::stdin()) {
        return Err(Failure::new(
            Exit::Usage,
            "standard input is a terminal, and no tool writes records to it",
        )
        .hint("put it at the end of a pipeline, or use --flush or --test")
        .into());
    }
    // The records first, whatever is wrong with the mail: a filter that ends early breaks the tools before it.
    let (facts, closed) = read(cli, frame);
    let mut session = Session::new(cli, frame)?;
    session.worse(facts.exit.unwrap_or(Exit::Failed));
    let reported = session.report(facts, delivery);
    match closed {
        // The mail has gone its way; its receipt has nowhere to go, as the records had.
        Some(error) => Err(error),
        None => reported.map(|()| session.finish()),
    }
}

/// Standard input that passes on what it reads, and that ends when a signal asks us to stop: a read that has begun
/// would wait for the next record.
struct Stdin<'a> {
    out: &'a Out,
    /// Why nothing is passed on any more. The report is made all the same.
    closed: &'a RefCell<Option<anyhow::Error>>,
}

impl std::io::Read for Stdin<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let stdin = std::io::stdin();
        loop {
            if signals::pending().is_some() {
                return Ok(0);
            }
            let wait = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => {
                    let n = rustix::io::read(&stdin, &mut *buffer)?;
                    let mut closed = self.closed.borrow_mut();
                    if n > 0 && closed.is_none() {
                        *closed = self.out.pass(&buffer[..n]).err();
                    }
                    return Ok(n);
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn read(cli: &Cli, frame: &Frame) -> (Facts, Option<anyhow::Error>) {
    let closed = RefCell::new(None);
    let stdin = Stdin { out: &frame.out, closed: &closed };
    let facts = facts_of(std::io::BufReader::with_capacity(256 * 1024, stdin), &cli.expect);
    (facts, closed.into_inner())
}

/// What the input tells. One that cannot be read any further has told what it has: the mail says both.
fn facts_of(input: impl std::io::BufRead, expect: &[String]) -> Facts {
    let mut facts = Facts::default();
    let mut input = Input::new(input, None);
    let mut broken = Exit::Success;
    loop {
        match input.next_line() {
            Ok(Some(line)) => facts.take(&line),
            Ok(None) => break,
            Err(error) => {
                facts.broken(&format!("{error:#}"));
                broken = Exit::Failed;
                break;
            }
        }
    }
    facts.conclude(input.worst().worse(broken), input.died(), expect);
    facts
}

/// Passes on what is left of the input after a run that ended before it: a wrong setting must not break the pipe of
/// the tools before, which are in the middle of a backup.
pub fn drain() {
    let reads_nothing =
        ["--flush", "--test", "--help", "-h", "--version", "-V", "--show-config", "--explain"];
    let args: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let none = args.iter().any(|a| reads_nothing.contains(&a.as_str()) || a.starts_with("--explain="));
    let mut stdin = std::io::stdin();
    if none || signals::pending().is_some() || rustix::termios::isatty(&stdin) {
        return;
    }
    // Whether it can be passed on is not known any better here; that it is read is what counts.
    let mut sink: Box<dyn Write> = match args.iter().any(|a| a == "--nagios") {
        true => Box::new(std::io::sink()),
        false => Box::new(std::io::stdout()),
    };
    if std::io::copy(&mut stdin, &mut sink).is_err() {
        let _ended = std::io::copy(&mut stdin, &mut std::io::sink());
    }
}

struct Session<'a> {
    cli: &'a Cli,
    frame: &'a Frame,
    log: LogFile,
    report: Report,
    exit: Exit,
    now: DateTime<Utc>,
}

impl<'a> Session<'a> {
    fn new(cli: &'a Cli, frame: &'a Frame) -> anyhow::Result<Self> {
        let log = if cli.common.dry_run {
            LogFile::open(None, frame.tool, frame.verbose)?
        } else {
            // A report without a log is better than none.
            frame
                .log(&cli.common, "mailreport.log")
                .or_else(|_| LogFile::open(None, frame.tool, frame.verbose))?
        };
        Ok(Self { cli, frame, log, report: Report::default(), exit: Exit::Success, now: Utc::now() })
    }

    fn worse(&mut self, exit: Exit) {
        self.exit = self.exit.worse(exit);
    }

    fn finish(mut self) -> Report {
        self.report.exit = Some(self.exit);
        self.report
    }

    /// A problem with a report: said everywhere, and at least status 1.
    fn trouble(&mut self, error: &anyhow::Error) -> anyhow::Result<()> {
        let hint = failure(error).and_then(|f| f.hint.clone());
        self.problem(&format!("{error:#}"), hint.as_deref())
    }

    fn problem(&mut self, message: &str, hint: Option<&str>) -> anyhow::Result<()> {
        self.worse(Exit::Partial);
        self.report.count("problems", 1);
        if self.report.message.is_none() {
            self.report.message = Some(message.to_owned());
        }
        let text = hint.map_or_else(|| message.to_owned(), |hint| format!("{message}; hint: {hint}"));
        self.log.warning(&text);
        self.frame.out.emit(&Log::warning(text))
    }

    fn report(&mut self, mut facts: Facts, delivery: anyhow::Result<Delivery>) -> anyhow::Result<()> {
        let history = match self.cli.history.as_deref().map(History::load) {
            Some(Ok(history)) => history,
            Some(Err(error)) => {
                self.trouble(&error)?;
                History::default()
            }
            None => History::default(),
        };
        let db = facts.db.clone();
        let before = history.of(db.as_deref());
        if let Some(last) = before.last() {
            facts.protection.remember(&last.good);
        }
        let verdict = Verdict::of(facts.exit.unwrap_or(Exit::Failed));
        let last_lines = std::mem::take(&mut facts.logs).finish(&logs::secrets());
        let context = Context {
            language: self.cli.language(),
            prefix: self.cli.subject_prefix.as_deref(),
            history: &before,
            log: &last_lines,
            now: self.now,
            run: &self.frame.run,
        };
        let wanted = verdict::wanted(self.cli.only, verdict, before.last().map(|e| e.verdict));
        let delivery = match delivery {
            Ok(delivery) => Some(delivery),
            Err(error) => {
                common::app::report_error(self.frame.tool, &error);
                self.trouble(&error)?;
                None
            }
        };
        let subject = view::subject(&facts, &context);
        if self.cli.common.dry_run {
            self.rehearse(delivery.as_ref(), wanted, &subject)?;
        } else {
            let made = match &delivery {
                Some(delivery) => {
                    self.make(delivery, verdict, |limits| View::new(&facts, &context, limits))?
                }
                None => None,
            };
            let spool = self.put(delivery.as_ref(), made.as_ref(), wanted)?;
            // After the mail is in the spool: a run that dies before, or that could not keep its mail, has told nobody,
            // and its verdict is no old one.
            let told = match &delivery {
                Some(delivery) => {
                    !wanted || delivery.transport.is_none() || (spool.is_some() && made.is_some())
                }
                None => !wanted,
            };
            if told || self.cli.only != Only::Change {
                self.remember(&facts, verdict)?;
            }
            self.metrics(&facts, None)?;
            self.files(made.as_ref(), delivery.as_ref())?;
            if let (Some(spool), Some(Delivery { transport: Some(transport), .. })) = (&spool, &delivery) {
                self.send(spool, transport)?;
                self.mails(&facts, spool)?;
                let in_memory = spool.dir().parent() == Some(Path::new(MEMORY))
                    && spool.dir().file_name().is_some_and(|n| n.to_string_lossy().starts_with(IN_MEMORY));
                if in_memory && spool.is_done()? {
                    let _gone = std::fs::remove_dir_all(spool.dir());
                }
            }
            self.ping(verdict)?;
        }
        if self.cli.nagios {
            let _first = STATUS_LINE.set(nagios::line(&facts, self.exit, &subject));
        }
        self.report.count("records", facts.records);
        if facts.bad_lines > 0 {
            self.report.count("bad_lines", facts.bad_lines);
        }
        if self.exit == facts.exit.unwrap_or(Exit::Failed) && self.report.message.is_none() {
            self.report.message = (verdict != Verdict::Success).then_some(subject);
        }
        Ok(())
    }

    fn make(
        &mut self,
        delivery: &Delivery,
        verdict: Verdict,
        view: impl Fn(view::Limits) -> View,
    ) -> anyhow::Result<Option<Made>> {
        let head = Head {
            from: &delivery.from,
            to: if delivery.to.is_empty() { std::slice::from_ref(&delivery.from) } else { &delivery.to },
            message_id: message::id(&self.frame.run, self.now, &common::app::host()),
            verdict: verdict.word(),
            at: self.now,
        };
        match message::make(&head, view) {
            Ok(made) => Ok(Some(made)),
            Err(error) => {
                self.trouble(&error)?;
                Ok(None)
            }
        }
    }

    /// Opens the spool, and puts the mail in if there is one to be sent.
    fn put(
        &mut self,
        delivery: Option<&Delivery>,
        made: Option<&Made>,
        wanted: bool,
    ) -> anyhow::Result<Option<Spool>> {
        let Some(delivery) = delivery.filter(|d| d.transport.is_some()) else { return Ok(None) };
        let put = || -> anyhow::Result<Spool> {
            let spool = self.spool()?;
            if let Some(made) = made.filter(|_| wanted) {
                spool.put(&self.meta(delivery, made), &made.bytes)?;
            }
            Ok(spool)
        };
        match put() {
            Ok(spool) => Ok(Some(spool)),
            Err(error) => {
                self.trouble(&error.context("the mail could not be kept on disk"))?;
                self.put_in_memory(delivery, made.filter(|_| wanted))
            }
        }
    }

    /// A full disk is what the mail is to tell of: it is tried from memory then. What is not sent stays there, and a
    /// log record says where.
    fn put_in_memory(&mut self, delivery: &Delivery, made: Option<&Made>) -> anyhow::Result<Option<Spool>> {
        let Some(made) = made else { return Ok(None) };
        let put = || -> anyhow::Result<Spool> {
            // Of a name that nobody knows before, for its owner only.
            let dir = tempfile::Builder::new().prefix(IN_MEMORY).tempdir_in(MEMORY)?;
            let spool = Spool::open(dir.path())?;
            spool.put(&self.meta(delivery, made), &made.bytes)?;
            let _kept = dir.keep();
            Ok(spool)
        };
        match put() {
            Ok(spool) => Ok(Some(spool)),
            Err(error) => {
                self.trouble(
                    &error.context("the mail could not be kept in memory either, and was not sent"),
                )?;
                Ok(None)
            }
        }
    }

    fn spool(&self) -> anyhow::Result<Spool> {
        match &self.cli.spool {
            Some(dir) => Spool::open(dir),
            None => Spool::open(&self.cli.common.state_dir()?.join("spool")),
        }
    }

    fn meta(&self, delivery: &Delivery, made: &Made) -> Meta {
        let to: Vec<String> = delivery.to.iter().map(|to| to.email.to_string()).collect();
        Meta {
            v: 1,
            from: delivery.from.email.to_string(),
            all: to.clone(),
            to,
            subject: made.subject.clone(),
            message_id: made.message_id.clone(),
            made: self.now,
            attempts: 0,
            doubtful: 0,
            in_flight: false,
            last_error: None,
        }
    }

    fn rehearse(&mut self, delivery: Option<&Delivery>, wanted: bool, subject: &str) -> anyhow::Result<()> {
        let plan = |action: &str, path: Option<String>, reason: String| {
            self.frame.out.emit(&Planned { action: action.to_owned(), reason, path, ..Planned::default() })
        };
        if let Some(Delivery { transport: Some(transport), to, .. }) = delivery {
            let to: Vec<String> = to.iter().map(|to| to.email.to_string()).collect();
            let action = if wanted { "send mail" } else { "send no mail" };
            plan(action, None, format!("{subject}; to {} by {}", to.join(", "), transport.describe()))?;
        }
        let files = [
            ("write mail", &self.cli.output),
            ("write HTML", &self.cli.html),
            ("write metrics", &self.cli.prometheus),
            ("add to history", &self.cli.history),
        ];
        for (action, path) in files {
            if let Some(path) = path {
                plan(action, Some(path.display().to_string()), subject.to_owned())?;
            }
        }
        Ok(())
    }

    fn remember(&mut self, facts: &Facts, verdict: Verdict) -> anyhow::Result<()> {
        let Some(path) = &self.cli.history else { return Ok(()) };
        if facts.is_rehearsal() {
            return Ok(());
        }
        let (done, partial, failed) = facts.items();
        let entry = Entry {
            v: 1,
            ts: self.now,
            run: self.frame.run.clone(),
            db: facts.db.clone(),
            host: facts.host.clone(),
            verdict,
            exit: facts.exit.unwrap_or(Exit::Failed).code(),
            seconds: facts.seconds(),
            bytes: facts.bytes(),
            done,
            partial,
            failed,
            good: facts.protection.good.iter().map(|(asset, at): (&Asset, _)| (asset.name(), *at)).collect(),
        };
        let write = || -> anyhow::Result<Option<(usize, PathBuf)>> {
            let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::create_dir_all(dir)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let _lock = wait_for(dir, &name, self)?;
            // Another run may have added a line meanwhile.
            let fresh = History::load(path)?;
            let aside = fresh.append(path, &entry)?;
            Ok(aside.map(|aside| (fresh.corrupt(), aside)))
        };
        match write() {
            Ok(None) => Ok(()),
            Ok(Some((corrupt, aside))) => {
                let text = format!(
                    "history {}: {corrupt} lines could not be understood and are in {} now",
                    path.display(),
                    aside.display()
                );
                self.problem(&text, None)
            }
            Err(error) => self.trouble(&error.context(format!("add to history {}", path.display()))),
        }
    }

    fn metrics(&mut self, facts: &Facts, mails: Option<Mails>) -> anyhow::Result<()> {
        let Some(path) = &self.cli.prometheus else { return Ok(()) };
        if let Err(error) = prometheus::write(
            path,
            &prometheus::text(facts, mails, self.now.timestamp(), &prometheus::pipeline(path)),
        ) {
            self.trouble(&error)?;
        }
        Ok(())
    }

    fn mails(&mut self, facts: &Facts, spool: &Spool) -> anyhow::Result<()> {
        let mails = Mails { waiting: spool.names()?.len() as u64, failed: spool.failed()? as u64 };
        self.metrics(facts, Some(mails))
    }

    fn files(&mut self, made: Option<&Made>, delivery: Option<&Delivery>) -> anyhow::Result<()> {
        let (Some(made), Some(delivery)) = (made, delivery) else { return Ok(()) };
        if let Some(path) = &self.cli.html {
            match durable::write(path, made.html.as_bytes()) {
                Ok(()) => self.log.info(&format!("wrote {}", path.display())),
                Err(error) => self.trouble(&error)?,
            }
        }
        if let Some(path) = &self.cli.output {
            match durable::write(path, &made.bytes) {
                Ok(()) => {
                    self.report.count("written", 1);
                    self.frame.out.emit(&Mail {
                        to: delivery.to.iter().map(|to| to.email.to_string()).collect(),
                        subject: made.subject.clone(),
                        message_id: made.message_id.clone(),
                        status: MailStatus::Written,
                        path: Some(path.display().to_string()),
                        reason: None,
                    })?;
                }
                Err(error) => self.trouble(&error)?,
            }
        }
        Ok(())
    }

    fn flush_only(&mut self, delivery: &Delivery) -> anyhow::Result<()> {
        let Some(transport) = &delivery.transport else { return Ok(()) };
        if self.cli.common.dry_run {
            let dir = match &self.cli.spool {
                Some(dir) => dir.clone(),
                None => self.cli.common.state_dir_path()?.join("spool"),
            };
            let waiting = if dir.is_dir() { Spool::open(&dir)?.names()? } else { Vec::new() };
            for name in waiting {
                let reason = format!("it waits in the spool; by {}", transport.describe());
                let path = Some(dir.join(name).display().to_string());
                self.frame.out.emit(&Planned {
                    action: "send mail".to_owned(),
                    reason,
                    path,
                    ..Planned::default()
                })?;
            }
            return Ok(());
        }
        let spool = self.spool()?;
        self.send(&spool, transport)
    }

    fn test(&mut self, delivery: &Delivery) -> anyhow::Result<()> {
        let context = Context {
            language: self.cli.language(),
            prefix: self.cli.subject_prefix.as_deref(),
            history: &[],
            log: &[],
            now: self.now,
            run: &self.frame.run,
        };
        let host = common::app::host();
        if self.cli.common.dry_run {
            return self.rehearse(Some(delivery), true, &View::test(&context, &host).subject);
        }
        let made = self.make(delivery, Verdict::Success, |_| View::test(&context, &host))?;
        let spool = self.put(Some(delivery), made.as_ref(), true)?;
        self.files(made.as_ref(), Some(delivery))?;
        match (&spool, &delivery.transport) {
            (Some(spool), Some(transport)) => self.send(spool, transport),
            _ => Ok(()),
        }
    }

    fn send(&mut self, spool: &Spool, transport: &Transport) -> anyhow::Result<()> {
        if spool.names()?.is_empty() {
            return Ok(());
        }
        let stalled = self.cli.common.lock_timeout;
        let lock = match deliver::lock(spool, &self.frame.run, stalled, PATIENCE) {
            Ok(lock) => lock,
            Err(error) => {
                // The holder lists the spool again after each mail, so ours is sent by it or by the next run.
                self.waits(spool, &error)?;
                return Ok(());
            }
        };
        let to = transport.describe();
        let ended = deliver::flush(spool, &lock, transport, &mut |event| self.tell(event, &to));
        if let Err(error) = ended {
            self.trouble(&error)?;
        }
        Ok(())
    }

    fn waits(&mut self, spool: &Spool, error: &anyhow::Error) -> anyhow::Result<()> {
        for name in spool.names()? {
            if let Ok(Some(mail)) = spool.read(&name) {
                self.spooled(mail.meta, &mail.path, &format!("{error:#}"))?;
            }
        }
        self.trouble(error)
    }

    fn spooled(&mut self, meta: Meta, path: &Path, reason: &str) -> anyhow::Result<()> {
        self.report.count("spooled", 1);
        self.frame.out.emit(&Mail {
            to: meta.to,
            subject: meta.subject,
            message_id: meta.message_id,
            status: MailStatus::Spooled,
            path: Some(path.display().to_string()),
            reason: Some(reason.to_owned()),
        })
    }

    fn tell(&mut self, event: Event, server: &str) -> anyhow::Result<()> {
        match event {
            Event::Sent(meta) => {
                self.log.info(&format!("{server} took {} for {}", meta.message_id, meta.to.join(", ")));
                self.report.count("sent", 1);
                self.frame.out.emit(&Mail {
                    to: meta.to,
                    subject: meta.subject,
                    message_id: meta.message_id,
                    status: MailStatus::Sent,
                    path: None,
                    reason: None,
                })
            }
            Event::Waits(meta, path, attempt) => {
                let mut reason = attempt.reason.unwrap_or_else(|| "not tried".to_owned());
                if attempt.doubtful {
                    reason.push_str(
                        "; the server may have taken it, and it is sent again with the same Message-ID",
                    );
                }
                let what = format!("mail {} waits in the spool: {reason}", meta.message_id);
                self.spooled(meta, &path, &reason)?;
                self.problem(&what, attempt.hint.as_deref())
            }
            Event::Failed(meta, path, bounces) => {
                let reasons: Vec<_> = bounces.iter().map(ToString::to_string).collect();
                self.report.count("refused", 1);
                let reason = format!("refused for good: {}", reasons.join("; "));
                self.frame.out.emit(&Mail {
                    to: bounces.into_iter().map(|b| b.to).collect(),
                    subject: meta.subject,
                    message_id: meta.message_id.clone(),
                    status: MailStatus::Spooled,
                    path: Some(path.display().to_string()),
                    reason: Some(reason.clone()),
                })?;
                let hint =
                    format!("when the cause is mended, move {} to the directory above it", path.display());
                self.problem(&format!("mail {} {reason}", meta.message_id), Some(&hint))
            }
            Event::SetAside(path, error) => {
                self.problem(&format!("{error}; it is {} now", path.display()), None)
            }
        }
    }

    fn ping(&mut self, verdict: Verdict) -> anyhow::Result<()> {
        let Some(url) = &self.cli.ping else { return Ok(()) };
        if let Err(error) = ping::send(url, verdict == Verdict::Success) {
            // A warning only: who waits for the ping will notice that it did not come.
            let text = format!("{error:#}");
            self.log.warning(&text);
            self.frame.out.emit(&Log::warning(text))?;
        }
        Ok(())
    }
}

/// The lock of the history; the line of another run is written in a moment.
fn wait_for(dir: &Path, name: &str, session: &Session<'_>) -> anyhow::Result<Lock> {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        match Lock::take(dir, name, "mailreport", &session.frame.run, session.cli.common.lock_timeout) {
            Ok(lock) => return Ok(lock),
            Err(error) if status_of(&error) != Exit::TryAgain || std::time::Instant::now() >= end => {
                return Err(error)
            }
            Err(_) => {
                signals::sleep(Duration::from_millis(50));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("input/output error"))
        }
    }

    #[test]
    fn an_input_that_breaks_is_a_failure_that_tells_what_was_read() {
        let text = "{\"path\":\"/a\",\"bytes\":3}\n";
        let facts = facts_of(BufReader::new(text.as_bytes().chain(Broken)), &[]);
        assert_eq!((facts.records, facts.bytes(), facts.exit), (1, 3, Some(Exit::Failed)));
        assert_eq!(facts.problems[0].name, "standard input");
        assert!(facts.problems[0].reason.contains("input/output error"), "{:?}", facts.problems);
        assert_eq!(facts_of(text.as_bytes(), &[]).exit, Some(Exit::Success));
    }
}
