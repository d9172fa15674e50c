//! BACKUP.

use super::ast::{Backup, DeleteInput, Filter, LogRange, NotBackedUp, Options, What};
use super::print::{Printer, Style};
use super::session::{Done, Rman};
use super::stack::Failed;
use crate::oratime;
use crate::pieces::api;
use crate::server::wire::{Request, Response};

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Rman<'_> {
    pub fn printer(&self, style: Style) -> Printer {
        Printer::new(style, &self.nls, self.front.major())
    }

    pub fn backup(&mut self, b: &Backup) -> Done {
        let Some(plus) = &b.plus_archivelog else { return self.phase(b, &b.specs, true) };
        // Three commands in one: logs, the files, and the logs that were written meanwhile.
        let general =
            Options { tag: b.options.tag.clone(), format: b.options.format.clone(), ..Options::default() };
        let logs = [(What::Archivelog(LogRange::default()), plus.over(&general))];
        self.phase(b, &logs, false)?;
        self.phase(b, &b.specs, false)?;
        self.phase(b, &logs, true)
    }

    /// One "Starting backup at … Finished backup at".
    fn phase(&mut self, b: &Backup, specs: &[(What, Options)], last: bool) -> Done {
        self.out.paragraph(&format!("Starting backup at {}", self.now()));
        if let Some(what) = &b.refused {
            return Err(Failed::unimplemented("backup", what));
        }
        self.recorded("BACKUP", None, |rman| rman.phase_work(b, specs, last))
    }

    fn phase_work(&mut self, b: &Backup, specs: &[(What, Options)], last: bool) -> Done {
        let whole_logs = specs.iter().any(|(w, _)| {
            matches!(w, What::Archivelog(r) if r.until.is_none() && r.like.is_none() && r.names.is_empty())
        });
        if whole_logs && !b.validate {
            self.archive_current()?;
        }
        let channels = self.use_channels();
        // What has the same options is one job; the tag is one for the whole phase.
        let tag = self.tag();
        let mut groups: Vec<(Vec<&What>, Options)> = Vec::new();
        for (what, own) in specs {
            let options = own.over(&b.options);
            match groups.last_mut() {
                Some((list, same)) if *same == options => list.push(what),
                _ => groups.push((vec![what], options)),
            }
        }
        let count = groups.len();
        let mut printer = self.printer(Style::Backup);
        printer.command = "backup";
        for (n, (list, options)) in groups.into_iter().enumerate() {
            let mut request = self.request(b, &list, &options)?;
            request.channels = channels;
            request.tag.get_or_insert_with(|| tag.clone());
            request.autobackup = last && self.autobackup_due && n + 1 == count && !b.validate;
            self.job("backup", api::Request::Backup(request), &mut printer)?;
        }
        if printer.sets == 0 && printer.skipped && !printer.finished {
            self.out.line("backup cancelled because there are no files to backup");
        }
        printer.finish(&self.out, oratime::now());
        Ok(())
    }

    /// A tag that no earlier phase of this run has, also when they began within one second.
    fn tag(&mut self) -> String {
        let mut at = oratime::now();
        if let Some(before) = self.last_tag.filter(|b| *b >= at) {
            at = before + chrono::Duration::seconds(1);
        }
        self.last_tag = Some(at);
        at.format("TAG%Y%m%dT%H%M%S").to_string()
    }

    /// An open database archives its current log before all logs are backed up.
    fn archive_current(&mut self) -> Done {
        let open =
            self.one("SELECT 'Y' FROM v$database WHERE open_mode = 'READ WRITE' AND log_mode = 'ARCHIVELOG'");
        if open.is_none() {
            return Ok(());
        }
        match self.ask(Request::Sql { text: "ALTER SYSTEM ARCHIVE LOG CURRENT".into() }) {
            Response::Error { dead: true, .. } => Err(Failed::died("default")),
            Response::Error { stack, .. } => {
                let mut lines = vec![
                    "RMAN-11003: failure during parse/execution of SQL statement: alter system archive log current".to_string(),
                ];
                lines.extend(super::stack::ora_lines(&stack));
                Err(Failed::new("backup", None, lines))
            }
            _ => {
                self.out.line("current log archived");
                Ok(())
            }
        }
    }

    fn request(&mut self, b: &Backup, list: &[&What], o: &Options) -> Result<api::Backup, Failed> {
        let channel = match &o.channel {
            Some(name) => {
                let found = self.channels().iter().find(|c| c.name.eq_ignore_ascii_case(name)).cloned();
                let none = || Failed::rman("backup", 6012, format!("channel: {name} not allocated"));
                Some(found.ok_or_else(none)?)
            }
            None => self.channels().first().cloned(),
        };
        if o.device.as_deref().is_some_and(|d| d != "DISK") {
            let lines = vec![
                "ORA-19554: error allocating device, device type: SBT_TAPE, device name: ".to_string(),
                "ORA-27211: Failed to load Media Management Library\nAdditional information: 2".to_string(),
            ];
            return Err(Failed::new("backup", Some("ORA_SBT_TAPE_1"), lines));
        }
        let mut since = None;
        let mut times = None;
        match &o.not_backed_up {
            None => {}
            Some(NotBackedUp::Ever) => {
                since = Some(oratime::unpack(0).unwrap_or_default());
                times = Some(1);
            }
            Some(NotBackedUp::Times(n)) => times = Some(small(*n)),
            Some(NotBackedUp::Since(text)) => {
                let text = text.clone();
                since = Some(self.time("backup", &text)?);
            }
        }
        let mut what = Vec::new();
        for one in list {
            what.push(match one {
                What::Files(files) => api::What::Files(self.files("backup", files)?),
                What::Archivelog(range) => {
                    let mut logs = self.logs("backup", range, &Filter::default())?;
                    logs.not_backed_up = times;
                    api::What::Logs(logs)
                }
                What::Controlfile => api::What::CurrentControlfile,
                What::Spfile => api::What::Spfile,
            });
        }
        let formats =
            |f: &[String]| -> Vec<String> {
                f.iter()
                    .map(|f| {
                        if f.starts_with('%') {
                            f.clone()
                        } else {
                            self.path(f).to_string_lossy().into_owned()
                        }
                    })
                    .collect()
            };
        let format = match (&o.format, &channel) {
            (own, _) if !own.is_empty() => formats(own),
            (_, Some(c)) => formats(&c.format),
            _ => vec![],
        };
        Ok(api::Backup {
            what,
            level: b.level.map(u32::from),
            cumulative: b.cumulative,
            format,
            old_u: self.front.major() < 19,
            tag: o.tag.clone(),
            max_piece_size: channel.and_then(|c| c.maxpiecesize),
            max_set_size: o.maxsetsize,
            section_size: o.section_size,
            files_per_set: o.filesperset.map(small),
            compressed: b.compressed,
            copies: o.copies.map_or(1, small),
            channels: 1,
            skip_read_only: o.skip.readonly,
            skip_offline: o.skip.offline,
            skip_inaccessible: o.skip.inaccessible,
            delete_input: o.delete != DeleteInput::No,
            delete_all: o.delete == DeleteInput::AllInput,
            include_controlfile: o.include_controlfile,
            force: o.force,
            not_backed_up_since: since,
            max_corrupt: self.settings.max_corrupt.clone(),
            validate: b.validate,
            autobackup: false,
        })
    }

    /// VALIDATE DATABASE, TABLESPACE, ARCHIVELOG: a backup that writes nothing.
    pub fn validate_live(&mut self, what: api::What) -> Done {
        let channels = self.use_channels();
        let o = Options::default();
        let mut request = self.request(&Backup::default(), &[], &o)?;
        request.what = vec![what];
        request.channels = channels;
        request.validate = true;
        let mut printer = self.printer(Style::Validate);
        self.job("validate", api::Request::Backup(request), &mut printer)
    }
}
