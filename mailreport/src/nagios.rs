//! One status line with performance data, as the Nagios plugin guidelines have it.

use common::exit::Exit;

use crate::facts::Facts;
use crate::format;
use crate::verdict::Verdict;

/// The line with its newline, and the status for Nagios. `subject` says what happened.
pub fn line(facts: &Facts, exit: Exit, subject: &str) -> (String, u8) {
    let (word, code) = status(exit);
    // A bar begins the performance data; there is no way to write one before.
    let text = format::clean(subject, 200).replace('|', "/");
    let (done, partial, failed) = facts.items();
    let mut data = vec![
        format!("duration={:.3}s;;;0", facts.seconds()),
        format!("size={}B;;;0", facts.bytes()),
        format!("done={done};;;0"),
        format!("partial={partial};0;;0"),
        format!("failed={failed};;0;0"),
        format!("gaps={};;0;0", facts.gaps),
    ];
    if let Some(standby) = &facts.protection.standby {
        if let Some(lag) = standby.lag_seconds.filter(|lag| lag.is_finite()) {
            data.push(format!("lag={lag:.0}s;;;0"));
        }
    }
    (format!("ORAPIPE {word} - {text} | {}\n", data.join(" ")), code)
}

/// A bug and a wrong call say nothing about the backup: UNKNOWN.
pub fn status(exit: Exit) -> (&'static str, u8) {
    match (exit, Verdict::of(exit)) {
        (Exit::Bug | Exit::Usage, _) => ("UNKNOWN", 3),
        (_, Verdict::Success) => ("OK", 0),
        (_, Verdict::Partial) => ("WARNING", 1),
        (_, Verdict::Critical) => ("CRITICAL", 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_state() {
        let states: Vec<u8> =
            [0, 1, 75, 2, 4, 5, 124, 130, 143, 3, 64].iter().map(|c| status(Exit::from_code(*c)).1).collect();
        assert_eq!(states, [0, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3]);
    }

    #[test]
    fn it_is_one_line_with_one_bar() {
        let (line, _) = line(&Facts::default(), Exit::Failed, "CRITICAL FAILURE: a|b\nc");
        assert!(
            line.starts_with("ORAPIPE CRITICAL - CRITICAL FAILURE: a/b c | duration=0.000s;;;0 size=0B;;;0 ")
        );
        assert_eq!((line.matches('|').count(), line.matches('\n').count()), (1, 1));
    }
}
