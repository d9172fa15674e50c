//! Whole scripts of RMAN against an instance that has lost something: what comes back is compared with the truth.
#![allow(clippy::unwrap_used, clippy::panic)]

mod rman_support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use orasim::truth;
use rman_support::{Site, FRAME};

const CONFIGURE: &str = "configure controlfile autobackup on;\nconfigure controlfile autobackup format for device type disk to '@@/bk/%F';\n";
const FULL: &str = "run {\nallocate channel c1 device type disk format '@@/bk/%U';\nbackup incremental level 0 database tag full0 plus archivelog tag logs0;\n}\n";
const LEVEL1: &str = "run {\nallocate channel c1 device type disk format '@@/bk/%U';\nbackup incremental level 1 database plus archivelog;\n}\n";

impl Site {
    fn scn(&self) -> u64 {
        self.sql("SELECT TO_CHAR(current_scn) FROM v$database").parse().unwrap()
    }

    fn backed_up() -> Self {
        let site = Self::new();
        site.db.write_batch(200).unwrap();
        site.good(CONFIGURE);
        site.good(FULL);
        site.db.write_batch(200).unwrap();
        site
    }

    /// Datafiles, control file and online logs go; the backups stay.
    fn disaster(&self) {
        self.db.crash();
        for name in ["data", "db/onlinelog", "db/arch"] {
            std::fs::remove_dir_all(self.at(name)).unwrap();
            std::fs::create_dir_all(self.at(name)).unwrap();
        }
        std::fs::remove_file(self.at("db/control01.ctl")).unwrap();
    }

    fn reached(&self) -> u64 {
        self.sql("SELECT TO_CHAR(MAX(checkpoint_change#)) FROM v$datafile_header").parse().unwrap()
    }

    fn equal_at(&self, scn: u64) {
        let files: BTreeMap<u32, PathBuf> = self.db.datafiles();
        let comparison = truth::compare(&self.at("db"), &files, scn).unwrap();
        assert!(comparison.equal(), "{:#?}", comparison.explain());
    }
}

const FROM_NOTHING: &str = "startup nomount;\nset dbid 1497201050;\nrun {\nset controlfile autobackup format for device type disk to '@@/bk/%F';\nrestore controlfile from autobackup;\n}\nalter database mount;\ncatalog start with '@@/bk/' noprompt;\n";

#[test]
fn everything_is_lost_and_comes_back_up_to_the_last_archived_log() {
    let site = Site::backed_up();
    site.good(LEVEL1);
    let until = site.scn();
    site.db.write_batch(50).unwrap();
    site.disaster();

    let (status, said) = site.file(FROM_NOTHING);
    let said = site.masked(&said);
    assert_eq!(status, 0, "{said}");
    for part in [
        "connected to target database (not started)\n",
        "Oracle instance started\n",
        "executing command: SET DBID\n",
        "\nStarting restore at DD-MON-YY\nusing target database control file instead of recovery catalog\nallocated channel: ORA_DISK_1\nchannel ORA_DISK_1: SID=<n> device type=DISK\n\nchannel ORA_DISK_1: looking for AUTOBACKUP on day: ",
        "channel ORA_DISK_1: AUTOBACKUP found: /u01/bk/c-1497201050-<day>-",
        "channel ORA_DISK_1: restoring control file from AUTOBACKUP /u01/bk/c-1497201050-<day>-",
        "channel ORA_DISK_1: control file restore from AUTOBACKUP complete\noutput file name=/u01/db/control01.ctl\nFinished restore at DD-MON-YY\n",
        "Statement processed\n",
        "searching for all files that match the pattern /u01/bk/\n",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }

    // Without UNTIL the end is where the logs end.
    let (status, said) = site.file("restore database;\nrecover database;\n");
    assert_eq!(status, 1, "{said}");
    let said = site.masked(&said);
    for part in [
        "channel ORA_DISK_1: starting datafile backup set restore\nchannel ORA_DISK_1: specifying datafile(s) to restore from backup set\nchannel ORA_DISK_1: restoring datafile 00001 to /u01/data/system01.dbf\n",
        "channel ORA_DISK_1: restored backup piece 1\nchannel ORA_DISK_1: restore complete, elapsed time: <t>\n",
        "channel ORA_DISK_1: starting incremental datafile backup set restore\nchannel ORA_DISK_1: specifying datafile(s) to restore from backup set\ndestination for restore of datafile 00001: /u01/data/system01.dbf\n",
        "\nstarting media recovery\n\n",
        "channel ORA_DISK_1: starting archived log restore to default destination\nchannel ORA_DISK_1: restoring archived log\narchived log thread=1 sequence=",
        "unable to find archived log\narchived log thread=1 sequence=",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(said.contains(&format!("{FRAME}RMAN-03002: failure of recover command at <stack date>\nRMAN-06054: media recovery requesting unknown archived log for thread 1 with sequence ")), "{said}");
    assert!(said.contains(" and starting SCN of <scn>\n\nRecovery Manager complete.\n"), "{said}");
    let reached = site.reached();
    assert!(reached >= until, "{reached} {until}");
    site.equal_at(reached);
    let (status, said) = site.file("alter database open resetlogs;\nlist incarnation;\n");
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(" PARENT  ") && said.contains(" CURRENT "), "{said}");
}

#[test]
fn set_until_stops_at_that_change_and_no_other() {
    let site = Site::backed_up();
    let middle = site.scn();
    site.db.write_batch(100).unwrap();
    site.good(LEVEL1);
    site.disaster();
    site.good(FROM_NOTHING);
    let said =
        site.good(&format!("run {{\nset until scn {middle};\nrestore database;\nrecover database;\n}}\n"));
    assert!(said.contains("executing command: SET until clause\n"), "{said}");
    assert!(
        said.contains("media recovery complete, elapsed time: ") && said.contains("Finished recover at "),
        "{said}"
    );
    assert_eq!(site.reached(), middle);
    site.equal_at(middle);
}

#[test]
fn one_datafile_under_a_new_name() {
    let site = Site::backed_up();
    site.db.crash();
    std::fs::remove_file(site.at("data/users01.dbf")).unwrap();
    let (status, said) = site.file("startup;\n");
    assert_eq!(status, 1);
    let expected = "Oracle instance started\ndatabase mounted\n".to_string()
        + FRAME
        + "RMAN-03002: failure of startup command at <stack date>\nORA-01157: cannot identify/lock data file 3 - see DBWR trace file\nORA-01110: data file 3: '/u01/data/users01.dbf'\n";
    assert!(site.masked(&said).contains(&expected), "{said}");
    let said = site.good("run {\nset newname for datafile 3 to '@@/data/new users.dbf';\nrestore datafile 3;\nswitch datafile all;\nrecover database;\nalter database open;\n}\n");
    let said = site.masked(&said);
    for part in [
        "executing command: SET NEWNAME\n\nStarting restore at DD-MON-YY\n",
        "channel ORA_DISK_1: restoring datafile 00003 to /u01/data/new users.dbf\n",
        "datafile 3 switched to datafile copy\ninput datafile copy RECID=",
        " file name=/u01/data/new users.dbf\n",
        "media recovery complete, elapsed time: <t>\n",
        "Statement processed\n",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(site.sql("SELECT open_mode FROM v$database"), "READ WRITE");
    assert!(site.sql("SELECT name FROM v$datafile WHERE file# = 3").ends_with("/new users.dbf"));
}

#[test]
fn a_damaged_piece_is_an_error_and_with_an_older_one_a_failover() {
    let site = Site::backed_up();
    site.good(FULL);
    let mut pieces = site.handles("full0");
    pieces.reverse();
    let mut bytes = std::fs::read(&pieces[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&pieces[0], bytes).unwrap();
    site.db.crash();
    site.good("startup mount;\n");
    for file in ["system01.dbf", "undo01.dbf", "users01.dbf", "hist01.dbf"] {
        let _gone = std::fs::remove_file(site.at("data").join(file));
    }
    let (status, said) = site.file("restore database validate;\n");
    assert_eq!(status, 0, "another backup is whole: {said}");
    let (status, said) = site.file("restore database;\nrecover database;\n");
    let said = site.masked(&said);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("channel ORA_DISK_1: ORA-19870: error while restoring backup piece /u01/bk/"),
        "{said}"
    );
    assert!(said.contains("\nfailover to previous backup\n"), "{said}");
    site.equal_at(site.reached());

    for piece in &pieces {
        let _gone = std::fs::remove_file(piece);
    }
    std::fs::remove_file(site.at("data/users01.dbf")).unwrap();
    let (status, said) = site.file("restore datafile 3;\n");
    let said = site.masked(&said);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(&format!("{FRAME}RMAN-03002: failure of restore command at <stack date>\nRMAN-06026: some targets not found - aborting restore\nRMAN-06023: no backup or copy of datafile 3 found to restore\n")), "{said}");
}

#[test]
fn a_known_log_that_is_nowhere_is_named() {
    let site = Site::backed_up();
    site.sql("ALTER SYSTEM ARCHIVE LOG CURRENT");
    site.db.write_batch(20).unwrap();
    site.sql("ALTER SYSTEM ARCHIVE LOG CURRENT");
    site.good(LEVEL1.replace("incremental level 1 database plus archivelog", "current controlfile").as_str());
    let log = site.sql("SELECT name FROM v$archived_log ORDER BY sequence# DESC");
    site.disaster();
    site.good(FROM_NOTHING);
    site.good("restore database;\n");
    let (status, said) = site.file("recover database;\n");
    let said = site.masked(&said);
    assert_eq!(status, 1, "{said} {log}");
    assert!(said.contains("RMAN-06053: unable to perform media recovery because of missing log\nRMAN-06025: no backup of archived log for thread 1 with sequence "), "{said}");
    assert!(said.contains(" and starting SCN of <scn> found to restore\n"), "{said}");
}

#[test]
fn preview_and_logs_from_pieces() {
    let site = Site::backed_up();
    let said = site.good("restore database preview summary;\n");
    assert!(said.contains("List of Backups\n===============\nKey     TY LV S Device Type Completion Time #Pieces #Copies Compressed Tag\n"), "{said}");
    assert!(said.contains("Media recovery start SCN is "), "{said}");
    let sequence = 1;
    std::fs::create_dir_all(site.at("t")).unwrap();
    let said = site.good(&format!(
        "run {{\nset archivelog destination to '@@/t';\nrestore archivelog sequence {sequence};\n}}\n"
    ));
    let said = site.masked(&said);
    assert!(said.contains("executing command: SET ARCHIVELOG DESTINATION\n"), "{said}");
    assert!(
        said.contains(
            "starting archived log restore to user-specified destination\narchived log destination=/u01/t\n"
        ),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(site.at("t")).unwrap().count(), 1);
}

#[test]
fn an_open_database_is_not_recovered() {
    let site = Site::backed_up();
    let (status, said) = site.file("recover database;\n");
    assert_eq!(status, 1);
    assert!(
        said.contains("RMAN-03002: failure of recover command at ") && said.contains("ORA-01124"),
        "{said}"
    );
}
