//! CONFIGURE and SHOW.

use super::ast::Configure;
use super::print::Style;
use super::session::{Done, Rman};
use super::stack::Failed;
use crate::pieces::api::{self, Answer};

impl Rman<'_> {
    pub fn configure(&mut self, c: &Configure) -> Done {
        self.repository();
        if let Some(value) = &c.value {
            if c.name.ends_with("FORMAT FOR DEVICE TYPE") && !value.contains("%F") {
                return Err(Failed::rman("configure", 6503, "CONTROLFILE AUTOBACKUP FORMAT must contain %F"));
            }
            if value.contains("SBT") || c.name.starts_with("ENCRYPTION") && !value.starts_with("OFF") {
                return Err(Failed::unimplemented("configure", &format!("CONFIGURE {} {value}", c.name)));
            }
        }
        let mut printer = self.printer(Style::Other);
        let request = api::Request::Configure { name: c.name.clone(), value: c.value.clone() };
        self.job("configure", request, &mut printer)?;
        let Some((old, new)) = printer.configured else { return Ok(()) };
        for (word, value) in [("old", &old), ("new", &new)] {
            if let Some(value) = value {
                self.out
                    .line(&format!("{word} RMAN configuration parameters:\nCONFIGURE {} {value};", c.name));
            }
        }
        self.out.line(if new.is_some() {
            "new RMAN configuration parameters are successfully stored\n"
        } else {
            "RMAN configuration parameters are successfully reset to default value\n"
        });
        // Other channels from now on.
        if c.name == "DEVICE TYPE" || c.name == "CHANNEL" {
            for channel in std::mem::take(&mut self.automatic) {
                self.out.line(&format!("released channel: {}", channel.name));
            }
        }
        Ok(())
    }

    pub fn show(&mut self, name: Option<&str>) -> Done {
        self.repository();
        let Answer::Facts(facts) = self.engine("show", api::Request::Show)? else { return Ok(()) };
        self.out.line(&format!(
            "RMAN configuration parameters for database with db_unique_name {} are:",
            facts.unique_name
        ));
        for (setting, value, default) in &facts.configuration {
            if name.is_some_and(|n| {
                !setting.eq_ignore_ascii_case(n) && !format!("{setting} {value}").starts_with(n)
            }) {
                continue;
            }
            let default = if *default { " # default" } else { "" };
            self.out.line(&format!("CONFIGURE {setting} {value};{default}"));
        }
        Ok(())
    }
}
