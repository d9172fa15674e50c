//! Chooses what the command asks for.

use common::app::{Frame, Report};
use common::exit::{Exit, Failure};

use crate::backup::plan::Kind;
use crate::cli::{Cli, Command};
use crate::{backup, check, crosscheck, drill, restore, solver, status, validate};

/// The tool's body.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    fitting(cli)?;
    match cli.command {
        Command::Plan => solver::run::run(cli, frame),
        Command::CheckLog => check::run(cli, frame),
        Command::Restore => restore::run::run(cli, frame),
        Command::Full => backup::run::run(cli, frame, Kind::Full),
        Command::Incremental => backup::run::run(cli, frame, Kind::Incremental),
        Command::Archivelog => backup::run::run(cli, frame, Kind::Archivelog),
        Command::Validate => validate::run(cli, frame),
        Command::Crosscheck => crosscheck::run(cli, frame),
        Command::Status => status::run(cli, frame),
        Command::Drill => drill::run(cli, frame),
    }
}

/// A flag that would have no effect is a misunderstanding. One that comes from the environment is not.
fn fitting(cli: &Cli) -> Result<(), Failure> {
    let word = cli.command.word();
    let refuse = |flag: &str, of: &str| {
        Err(Failure::new(Exit::Usage, format!("{flag} has no effect with {word}"))
            .hint(format!("it is for {of}")))
    };
    let backs_up = matches!(cli.command, Command::Full | Command::Incremental | Command::Archivelog);
    let restores = matches!(cli.command, Command::Plan | Command::Restore);
    let backup = &cli.backup;
    let of_backup = [
        ("--compressed", backup.compressed),
        ("--section-size", backup.section_size.is_some()),
        ("--max-piece-size", backup.max_piece_size.is_some()),
        ("--tag", backup.tag.is_some()),
    ];
    if let Some((flag, _)) = of_backup.iter().find(|(_, given)| *given && !backs_up) {
        return refuse(flag, "full, incremental and archivelog");
    }
    let until = &cli.until;
    let of_until = [
        ("--until-time", until.until_time.is_some()),
        ("--until-scn", until.until_scn.is_some()),
        ("--until-sequence", until.until_sequence.is_some()),
    ];
    if let Some((flag, _)) = of_until.iter().find(|(_, given)| *given && !restores) {
        return refuse(flag, "plan and restore");
    }
    let restore = &cli.restore;
    let of_restore = [
        ("--controlfile", restore.controlfile),
        ("--spfile", restore.spfile),
        ("--map", !restore.map.is_empty()),
        ("--resetlogs", restore.resetlogs),
        ("--no-resetlogs", restore.no_resetlogs),
        ("--force", restore.force),
    ];
    if let Some((flag, _)) = of_restore.iter().find(|(_, given)| *given && cli.command != Command::Restore) {
        return refuse(flag, "restore");
    }
    let of_both = [("--without", !restore.without.is_empty()), ("--dbid", restore.dbid.is_some())];
    if let Some((flag, _)) = of_both.iter().find(|(_, given)| *given && !restores) {
        return refuse(flag, "plan and restore");
    }
    let drill = &cli.drill;
    let of_drill = [("--recover", drill.recover), ("--verify-evidence", drill.verify_evidence)];
    if let Some((flag, _)) = of_drill.iter().find(|(_, given)| *given && cli.command != Command::Drill) {
        return refuse(flag, "drill");
    }
    let takes = restores || matches!(cli.command, Command::CheckLog | Command::Status);
    match cli.args.first() {
        Some(extra) if !takes => {
            Err(Failure::new(Exit::Usage, format!("{word} takes no argument, and there is {extra:?}"))
                .hint("see rman-run --help"))
        }
        _ => Ok(()),
    }
}
