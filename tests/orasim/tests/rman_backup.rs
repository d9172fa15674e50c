//! BACKUP and what goes with it: the whole transcript, and every loss that ends with status 0.
#![allow(clippy::unwrap_used, clippy::panic)]

mod rman_support;

use orasim::server::fault::{Kind, When};
use orasim::server::front::Front;
use rman_support::{Site, FRAME};

const CONFIGURE: &str = "configure controlfile autobackup on;\nconfigure controlfile autobackup format for device type disk to '@@/bk/%F';\nconfigure channel device type disk format '@@/bk/%U';\n";

fn configured() -> Site {
    let site = Site::new();
    site.db.write_batch(100).unwrap();
    site.good(CONFIGURE);
    site
}

/// What comes after the echo.
fn after(said: &str, echo: &str) -> String {
    said.split_once(echo).unwrap_or_else(|| panic!("{echo:?} not in {said}")).1.to_string()
}

#[test]
fn a_level_0_backup_plus_archivelog_in_full() {
    let site = configured();
    let (status, said) = site.file(
        "run {\nallocate channel c1 device type disk format '@@/bk/%U';\nbackup incremental level 0 database plus archivelog;\n}\n",
    );
    assert_eq!(status, 0, "{said}");
    let said = after(&site.masked(&said), "4> }\n5> \n");
    let expected = "\
using target database control file instead of recovery catalog
allocated channel: c1
channel c1: SID=<n> device type=DISK

Starting backup at DD-MON-YY
current log archived
channel c1: starting archived log backup set
channel c1: specifying archived log(s) in backup set
input archived log thread=1 sequence=1 RECID=<n> STAMP=<n>
channel c1: starting piece 1 at DD-MON-YY
channel c1: finished piece 1 at DD-MON-YY
piece handle=/u01/bk/<u>_1_1_1 tag=TAG<t> comment=NONE
channel c1: backup set complete, elapsed time: <t>
Finished backup at DD-MON-YY

Starting backup at DD-MON-YY
channel c1: starting incremental level 0 datafile backup set
channel c1: specifying datafile(s) in backup set
input datafile file number=00001 name=/u01/data/system01.dbf
input datafile file number=00002 name=/u01/data/undo01.dbf
input datafile file number=00003 name=/u01/data/users01.dbf
input datafile file number=00004 name=/u01/data/hist01.dbf
channel c1: starting piece 1 at DD-MON-YY
channel c1: finished piece 1 at DD-MON-YY
piece handle=/u01/bk/<u>_2_1_1 tag=TAG<t> comment=NONE
channel c1: backup set complete, elapsed time: <t>
Finished backup at DD-MON-YY

Starting backup at DD-MON-YY
current log archived
channel c1: starting archived log backup set
channel c1: specifying archived log(s) in backup set
input archived log thread=1 sequence=1 RECID=<n> STAMP=<n>
input archived log thread=1 sequence=2 RECID=<n> STAMP=<n>
channel c1: starting piece 1 at DD-MON-YY
channel c1: finished piece 1 at DD-MON-YY
piece handle=/u01/bk/<u>_3_1_1 tag=TAG<t> comment=NONE
channel c1: backup set complete, elapsed time: <t>
Finished backup at DD-MON-YY

Starting Control File and SPFILE Autobackup at DD-MON-YY
piece handle=/u01/bk/c-1497201050-<day>-00 comment=NONE
Finished Control File and SPFILE Autobackup at DD-MON-YY

released channel: c1

Recovery Manager complete.
";
    assert_eq!(said, expected);
    let listed = site.good("list backup summary;\n");
    let tags: std::collections::BTreeSet<&str> =
        listed.lines().filter_map(|l| l.split_whitespace().find(|w| w.starts_with("TAG2"))).collect();
    assert_eq!(tags.len(), 3, "each phase has its own tag: {tags:?} {listed}");
    site.good("backup tag mine database plus archivelog;\n");
    assert_eq!(site.handles("mine").len(), 3);
}

#[test]
fn only_the_last_backup_of_a_block_makes_an_autobackup() {
    let site = configured();
    let said = site.good("run {\nbackup tablespace users;\nbackup current controlfile;\nbackup spfile;\n}\n");
    assert_eq!(said.matches("Starting Control File and SPFILE Autobackup at").count(), 1, "{said}");
    assert_eq!(said.matches("Starting backup at").count(), 3, "{said}");
    assert!(
        said.contains("including current control file in backup set\n")
            && said.contains("including current SPFILE in backup set\n"),
        "{said}"
    );
    assert_eq!(said.matches("using channel ORA_DISK_1\n").count(), 2, "{said}");
    let said = site.good("backup tablespace users;\nbackup tablespace system;\n");
    assert_eq!(said.matches("Starting Control File and SPFILE Autobackup at").count(), 2, "{said}");
}

#[test]
fn the_autobackup_goes_where_the_block_says() {
    let site = configured();
    std::fs::create_dir_all(site.at("run")).unwrap();
    let said = site.good("run {\nset controlfile autobackup format for device type disk to '@@/run/%F';\nbackup format '@@/run/%U' spfile;\n}\nbackup spfile;\n");
    let said = site.masked(&said);
    assert!(said.contains("piece handle=/u01/run/c-1497201050-<day>-00 comment=NONE\n"), "{said}");
    assert!(
        said.contains("piece handle=/u01/bk/c-1497201050-<day>-01 comment=NONE\n"),
        "after the block CONFIGURE counts again: {said}"
    );
    assert_eq!(std::fs::read_dir(site.at("run")).unwrap().count(), 2);
}

#[test]
fn several_channels_work_one_after_the_other_on_standard_edition() {
    let site = configured();
    let text = "run {\nallocate channel c1 device type disk;\nallocate channel c2 device type disk;\nbackup database filesperset 1;\n}\n";
    let said = site.good(text);
    let warned = "RMAN-06908: warning: operation will not run in parallel on the allocated channels\nRMAN-06909: warning: parallelism require Enterprise Edition\n";
    assert!(said.contains(warned), "{said}");
    assert!(!said.contains("channel c2: starting"), "{said}");
    assert!(
        said.ends_with("released channel: c1\nreleased channel: c2\n\nRecovery Manager complete.\n"),
        "{said}"
    );

    let front = Front { edition: "Enterprise Edition".into(), ..Front::default() };
    let site = Site::with(&front, |_| {});
    site.good(CONFIGURE);
    let said = site.good(text);
    assert!(!said.contains("RMAN-06908"), "{said}");
    // Both begin before the first one ends.
    let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what} not in {said}"));
    assert!(
        at("channel c2: starting full datafile backup set") < at("channel c1: backup set complete"),
        "{said}"
    );
    site.good("configure device type disk parallelism 2;\n");
    let said = site.good("backup tablespace users, system;\n");
    assert!(
        said.contains("allocated channel: ORA_DISK_1\n") && said.contains("allocated channel: ORA_DISK_2\n"),
        "{said}"
    );
}

#[test]
fn what_is_left_out_is_only_a_line() {
    let site = configured();
    site.good("backup tablespace hist;\n");
    let said = site.good("backup database skip readonly;\n");
    assert!(said.contains("skipping read-only file 4\n"), "{said}");
    site.sql("ALTER TABLESPACE users OFFLINE");
    let said = site.good("backup database skip offline;\n");
    assert!(said.contains("skipping offline file 3\n"), "{said}");
    let site = configured();
    site.sql("ALTER TABLESPACE users OFFLINE");
    let said = site.good("backup database skip offline;\n");
    assert!(said.contains("skipping offline file 3\nRMAN-06060: warning: skipping datafile compromises tablespace USERS recoverability\n"), "{said}");
    let said = site.good("backup incremental level 1 tablespace system;\n");
    assert!(
        said.contains("no parent backup or copy of datafile 1 found\n")
            && said.contains("starting incremental level 0 datafile")
                | said.contains("starting incremental level 1 datafile"),
        "{said}"
    );
    let said =
        site.good("configure backup optimization on;\nbackup archivelog all;\nbackup archivelog all;\n");
    assert!(said.contains("; already backed up\n"), "{said}");
    let said = site.good("backup archivelog from sequence 4711;\n");
    assert!(said.contains("specification does not match any archived log in the repository\nbackup cancelled because there are no files to backup\nFinished backup at "), "{said}");
}

#[test]
fn a_log_that_is_missing_on_disk_stops_everything() {
    let site = configured();
    site.sql("ALTER SYSTEM ARCHIVE LOG CURRENT");
    let log = site.sql("SELECT name FROM v$archived_log ORDER BY sequence#");
    let log = log.lines().next().unwrap();
    std::fs::remove_file(log).unwrap();
    let (status, said) = site.file("backup database plus archivelog;\n");
    assert_eq!(status, 1);
    let said = site.masked(&said);
    let expected = format!(
        "{FRAME}RMAN-03002: failure of backup command at <stack date>\nRMAN-06059: expected archived log not found, loss of archived log compromises recoverability\nORA-19625: error identifying file {}\nORA-27037: unable to obtain file status\nLinux-x86_64 Error: 2: No such file or directory\n",
        site.masked(log)
    );
    assert!(said.contains(&expected), "{said}");
    assert!(!said.contains("datafile backup set"), "{said}");
    let said = site.good("crosscheck archivelog all;\ndelete noprompt expired archivelog all;\nbackup database plus archivelog;\n");
    let said = site.masked(&said);
    assert!(
        said.contains(&format!(
            "validation failed for archived log\narchived log file name={} RECID=<n> STAMP=<n>\n",
            site.masked(log)
        )),
        "{said}"
    );
    assert!(said.contains("deleted archived log\n") && said.contains("Deleted 1 objects\n"), "{said}");
}

#[test]
fn pieces_that_are_gone_expire_and_are_deleted_from_the_repository() {
    let site = configured();
    site.good("backup tag a tablespace users;\nbackup tag b tablespace users;\n");
    let piece = site.handles("a").remove(0);
    std::fs::remove_file(&piece).unwrap();
    let (status, said) = site.file("delete noprompt backup tag a;\n");
    assert_eq!(status, 0);
    let said = site.masked(&said);
    let table = format!(
        "RMAN-06207: warning: 1 objects could not be deleted for DISK channel(s) due\nRMAN-06208:          to mismatched status.  Use CROSSCHECK command to fix status\nRMAN-06210: List of Mismatched objects\nRMAN-06211: ==========================\nRMAN-06212:   Object Type   Filename/Handle\nRMAN-06213: --------------- ---------------------------------------------------\nRMAN-06214: Backup Piece    {}\n",
        site.masked(&piece)
    );
    assert!(said.contains(&table), "{said}");
    let key = site.set_key("a");
    let (_, said) = site.file(&format!("validate backupset {key};\n"));
    assert!(said.contains("RMAN-06160") || said.contains("ORA-19505"), "{said}");
    let said = site.masked(&site.good("crosscheck backup;\n"));
    assert!(
        said.contains("crosschecked backup piece: found to be 'EXPIRED'\nbackup piece handle=")
            && said.contains("crosschecked backup piece: found to be 'AVAILABLE'\n"),
        "{said}"
    );
    assert!(site.good("list expired backup;\n").contains("Status: EXPIRED"));
    let said = site.masked(&site.good("delete noprompt expired backup;\n"));
    assert!(said.contains("List of Backup Pieces\nBP Key  BS Key  Pc# Cp# Status      Device Type Piece Name\n------- ------- --- --- ----------- ----------- ----------\n"), "{said}");
    assert!(
        said.contains("deleted backup piece\nbackup piece handle=")
            && said.contains("Deleted 1 EXPIRED objects\n"),
        "{said}"
    );
    assert!(site
        .good("delete noprompt expired backup;\n")
        .contains("specification does not match any backup in the repository\n"));
}

#[test]
fn delete_asks_and_eats_the_next_line() {
    let site = configured();
    site.good("backup tablespace users;\n");
    let count = || site.good("list backup;\n").matches("Piece Name: ").count();
    let before = count();
    let (_, said) = site.rman(&["target", "/"], "delete backup;\nlist incarnation;\nno\nshow all;\n");
    assert!(said.contains("\nDo you really want to delete the above objects (enter YES or NO)? \n\"list incarnation;\" is an invalid response - please re-enter.\n"), "{said}");
    assert!(!said.contains("List of Database Incarnations") && said.contains("CONFIGURE "), "{said}");
    assert_eq!(count(), before);
    // Nobody answers a command file.
    let (_, said) = site.file("delete backup;\n");
    assert!(said.contains("(enter YES or NO)? \n"), "{said}");
    assert_eq!(count(), before);
    site.rman(&["target", "/"], "delete backup;\nyes\n");
    assert_eq!(count(), 0);
}

#[test]
fn list_report_and_show() {
    let site = configured();
    site.good("backup incremental level 0 tag l0 database;\nbackup incremental level 1 tag l1 database;\nbackup archivelog all tag logs;\n");
    let said = site.masked(&site.good("list backup of database;\n"));
    assert!(said.contains("\nList of Backup Sets\n===================\n\n\nBS Key  Type LV Size       Device Type Elapsed Time Completion Time\n------- ---- -- ---------- ----------- ------------ ---------------\n"), "{said}");
    assert!(said.contains("   Status: AVAILABLE  Compressed: NO  Tag: L0\n        Piece Name: /u01/bk/<u>_1_1_1\n  List of Datafiles in backup set ") && said.contains("\n  File LV Type Ckp SCN    Ckp Time  Abs Fuz SCN Sparse Name\n  ---- -- ---- ---------- --------- ----------- ------ ----\n  1    0  Incr <scn> DD-MON-YY"), "{said}");
    let said = site.masked(&site.good("list backup of archivelog all;\nlist backup of controlfile;\n"));
    assert!(
        said.contains("  List of Archived Logs in backup set ")
            && said.contains("  Thrd Seq     Low SCN    Low Time  Next SCN   Next Time\n"),
        "{said}"
    );
    assert!(
        said.contains("  Control File Included: Ckp SCN: <scn> Ckp time: DD-MON-YY\n")
            && said.contains("  SPFILE db_unique_name: ORCL\n"),
        "{said}"
    );
    let said = site.masked(&site.good("list backup summary;\nlist archivelog all;\n"));
    assert!(said.contains(" B  0  A DISK        DD-MON-YY       1       1       NO         L0\n"), "{said}");
    assert!(said.contains("List of Archived Log Copies for database with db_unique_name ORCL\n=====================================================================\n\nKey     Thrd Seq     S Low Time \n------- ---- ------- - ---------\n") && said.contains(" 1    1       A DD-MON-YY\n        Name: /u01/db/arch/"), "{said}");
    let said = site.masked(&site.good("show all;\nreport schema;\nreport need backup;\nreport obsolete;\n"));
    assert!(said.contains("RMAN configuration parameters for database with db_unique_name ORCL are:\nCONFIGURE RETENTION POLICY TO REDUNDANCY 1; # default\nCONFIGURE BACKUP OPTIMIZATION OFF; # default\n"), "{said}");
    assert!(
        said.contains("CONFIGURE CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE DISK TO '/u01/bk/%F';\n"),
        "{said}"
    );
    assert!(said.contains("Report of database schema for database with db_unique_name ORCL\n\nList of Permanent Datafiles\n===========================\nFile Size(MB) Tablespace           RB segs Datafile Name\n"), "{said}");
    assert!(said.contains("Report of files with less than 1 redundant backups\nFile #bkps Name\n"), "{said}");
    let said = site.good("configure controlfile autobackup off;\nconfigure controlfile autobackup clear;\n");
    assert!(said.contains("old RMAN configuration parameters:\nCONFIGURE CONTROLFILE AUTOBACKUP ON;\nnew RMAN configuration parameters:\nCONFIGURE CONTROLFILE AUTOBACKUP OFF;\nnew RMAN configuration parameters are successfully stored\n"), "{said}");
    assert!(
        said.contains("RMAN configuration parameters are successfully reset to default value\n"),
        "{said}"
    );
}

#[test]
fn obsolete_backups_and_catalogued_ones() {
    let site = configured();
    site.good("backup tag a database;\nbackup tag b database;\n");
    let said = site.masked(&site.good("delete noprompt obsolete;\n"));
    assert!(said.contains("RMAN retention policy will be applied to the command\nRMAN retention policy is set to redundancy 1\n"), "{said}");
    assert!(said.contains("Deleting the following obsolete backups and copies:\nType                 Key    Completion Time    Filename/Handle\n-------------------- ------ ------------------ --------------------\nBackup Set           "), "{said}");
    let piece = site.handles("b").remove(0);
    let said = site.good("change backup tag b uncatalog;\n");
    assert!(said.contains("uncataloged backup piece\n") && said.contains("Uncataloged "), "{said}");
    std::fs::write(site.at("bk/readme.txt"), "no piece").unwrap();
    let said = site.masked(&site.good("catalog start with '@@/bk' noprompt;\n"));
    let expected = "searching for all files that match the pattern /u01/bk\n\nList of Files Unknown to the Database\n=====================================\nFile Name: /u01/bk/";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("cataloging files...\ncataloging done\n\nList of Cataloged Files\n=======================\nFile Name: /u01/bk/"), "{said}");
    assert!(said.contains("\n\nList of Files Which Were Not Cataloged\n=======================================\nFile Name: /u01/bk/readme.txt\n  RMAN-07517: Reason: The file header is corrupted\n"), "{said}");
    assert!(said.contains(&site.masked(&piece)), "{said}");
    assert!(site
        .good("catalog start with '@@/none/' noprompt;\n")
        .contains("no files found to be unknown to the database\n"));
    let (status, said) = site.file("catalog backuppiece '@@/bk/readme.txt';\n");
    assert!(status == 1 && said.contains("RMAN-03002: failure of catalog command at "), "{said}");
}

#[test]
fn validation_reads_and_writes_nothing() {
    let site = configured();
    let pieces = || std::fs::read_dir(site.at("bk")).unwrap().count();
    let said = site.masked(&site.good("backup validate check logical database;\nvalidate datafile 3;\n"));
    assert_eq!(pieces(), 0);
    assert!(said.contains("List of Datafiles\n=================\nFile Status Marked Corrupt Empty Blocks Blocks Examined High SCN\n---- ------ -------------- ------------ --------------- ----------\n1    OK     0 "), "{said}");
    assert!(said.contains("channel ORA_DISK_1: starting validation of datafile\nchannel ORA_DISK_1: specifying datafile(s) for validation\ninput datafile file number=00003 name=/u01/data/users01.dbf\n"), "{said}");
    assert!(said.contains("Finished validate at DD-MON-YY\n") && !said.contains("piece handle="), "{said}");
    site.good("backup tag u tablespace users;\n");
    let key = site.set_key("u");
    let said =
        site.masked(&site.good(&format!("validate backupset {key};\nrestore tablespace users validate;\n")));
    assert!(said.contains("channel ORA_DISK_1: starting validation of datafile backup set\nchannel ORA_DISK_1: reading from backup piece /u01/bk/"), "{said}");
    assert_eq!(
        said.matches("channel ORA_DISK_1: validation complete, elapsed time: <t>\n").count(),
        2,
        "{said}"
    );
}

#[test]
fn faults_in_the_middle() {
    // An error after some sets: those stay, the command fails in its channel.
    let site = configured();
    site.fault(
        "^rman next$",
        Kind::Error {
            code: 19502,
            text: "write error on file \"x\", block number 1 (block size=8192)".into(),
        },
        3,
    );
    let (status, said) = site.file("backup database filesperset 1;\n");
    let said = site.masked(&said);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(&format!("{FRAME}RMAN-03009: failure of backup command on ORA_DISK_1 channel at <stack date>\nORA-19502: write error on file \"x\"")), "{said}");
    assert!(said.contains("finished piece 1") && said.ends_with("Recovery Manager complete.\n"), "{said}");
    assert!(site.good("list backup;\n").contains("Piece Name: "));

    // The channel's session dies: RMAN itself goes, without its closing line.
    let site = configured();
    site.fault("^rman next$", Kind::KillSession { when: When::Before }, 0);
    let (status, said) = site.file("run {\nallocate channel c1 device type disk;\nbackup database;\n}\n");
    assert_eq!(status, 1);
    assert!(said.ends_with(&format!("{FRAME}RMAN-00601: fatal error in recovery manager\nRMAN-03004: fatal error during execution of command\nRMAN-10038: database session for channel c1 terminated unexpectedly\n")), "{said}");
    assert!(said.contains("channel c1: starting piece 1") && !said.contains("finished piece 1"), "{said}");

    // The instance dies.
    let site = configured();
    site.fault("^rman next$", Kind::Crash { when: When::Before }, 0);
    let (status, said) = site.file("backup database;\n");
    assert!(status == 1 && !said.contains("Recovery Manager complete."), "{said}");

    // The current log cannot be archived.
    let site = configured();
    site.fault(
        "archive log current",
        Kind::Error { code: 19809, text: "limit exceeded for recovery files".into() },
        0,
    );
    let (status, said) = site.file("backup database plus archivelog;\n");
    assert!(status == 1 && said.contains("RMAN-11003: failure during parse/execution of SQL statement: alter system archive log current\nORA-19809"), "{said}");
}

#[test]
fn input_is_deleted_after_its_set() {
    let site = configured();
    let said = site.masked(&site.good("backup archivelog all delete input;\n"));
    assert!(said.contains("channel ORA_DISK_1: backup set complete, elapsed time: <t>\nchannel ORA_DISK_1: deleting archived log(s)\narchived log file name=/u01/db/arch/1_1_"), "{said}");
    assert_eq!(std::fs::read_dir(site.at("db/arch")).unwrap().count(), 0);
    let said = site.good("configure archivelog deletion policy to backed up 2 times to disk;\nalter system archive log current;\nbackup archivelog all delete input;\n");
    assert!(
        said.contains("RMAN-08138: warning: archived log not deleted - must create more backups\n"),
        "{said}"
    );
}
