//! RECOVER, SWITCH, RESET DATABASE.

use super::ast::{FileRef, Recover};
use super::convert::tablespace;
use super::print::Style;
use super::session::{Done, Rman};
use super::stack::Failed;
use crate::pieces::api::{self, Answer};

impl Rman<'_> {
    pub fn recover(&mut self, r: &Recover) -> Done {
        self.out.paragraph(&format!("Starting recover at {}", self.now()));
        if let Some(what) = &r.refused {
            return Err(Failed::unimplemented("recover", what));
        }
        if r.from_tag.is_some() {
            return Err(Failed::unimplemented("recover", "RECOVER FROM TAG"));
        }
        self.recorded("RECOVER", None, |rman| rman.recover_work(r))
    }

    fn recover_work(&mut self, r: &Recover) -> Done {
        self.implicit_crosscheck();
        let channels = self.use_channels();
        let request = api::Request::Recover(api::Recover {
            files: self.files("recover", &r.files)?,
            until: self.until("recover", r.until.as_ref())?,
            delete_archivelog: r.delete_archivelog,
            noredo: r.noredo,
            destination: self.settings.destination.clone(),
            skip: r.skip.iter().map(tablespace).collect(),
            channels,
        });
        let mut printer = self.printer(Style::Restore);
        self.job("recover", request, &mut printer)?;
        self.out.line(&format!("Finished recover at {}\n", self.now()));
        Ok(())
    }

    pub fn switch(&mut self, files: Option<&[(FileRef, Option<String>)]>) -> Done {
        let numbers = match files {
            None => vec![],
            // SWITCH TEMPFILE ALL: no tempfile got a new name here.
            Some([]) => return Ok(()),
            Some(list) => {
                if list.iter().any(|(_, to)| to.is_some()) {
                    return Err(Failed::unimplemented("switch", "SWITCH TO DATAFILECOPY 'name'"));
                }
                let numbers: Result<Vec<u32>, Failed> =
                    list.iter().map(|(f, _)| self.file_number("switch", f)).collect();
                numbers?
            }
        };
        let mut printer = self.printer(Style::Other);
        self.out.blank();
        self.job("switch", api::Request::Switch(numbers), &mut printer)?;
        self.out.blank();
        Ok(())
    }

    pub fn reset_incarnation(&mut self, n: u64) -> Done {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        match self.engine("reset database", api::Request::ResetIncarnation(n))? {
            Answer::Step(api::Step { failure: Some(f), .. }) => {
                let lines = f.lines.iter().map(super::stack::message).collect();
                Err(Failed::new("reset database", None, lines))
            }
            _ => {
                self.repository();
                self.out.line(&format!("database reset to incarnation {n}"));
                Ok(())
            }
        }
    }
}
