//! RMAN's forms: command line, echo, prompts, syntax errors, channels, and what needs no backup.
#![allow(clippy::unwrap_used, clippy::panic)]

mod rman_support;

use orasim::journal;
use orasim::server::front::Front;
use rman_support::{Site, FRAME};

const HEAD: &str = "\nRecovery Manager: Release 19.0.0.0.0 - Production on <day>\nVersion 19.3.0.0.0\n\nCopyright (c) 1982, 2019, Oracle and/or its affiliates.  All rights reserved.\n\nconnected to target database: ORCL (DBID=1497201050)\n\n";

#[test]
fn a_command_file_is_echoed_with_prompts_and_then_run() {
    let site = Site::new();
    let (status, said) = site.file(
        "RUN {\n  SET COMMAND ID TO 'CLOUDCR_9001';\n  ALLOCATE CHANNEL c1 DEVICE TYPE DISK FORMAT '@@/bk/%U.bkp';\n  SET CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE DISK TO '@@/bk/%F';\n  RELEASE CHANNEL c1;\n}\n",
    );
    // As rman/31 of the corpus, up to its error.
    let expected = format!(
        "{HEAD}RMAN> RUN {{\n2>   SET COMMAND ID TO 'CLOUDCR_9001';\n3>   ALLOCATE CHANNEL c1 DEVICE TYPE DISK FORMAT '/u01/bk/%U.bkp';\n4>   SET CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE DISK TO '/u01/bk/%F';\n5>   RELEASE CHANNEL c1;\n6> }}\n7> \nexecuting command: SET COMMAND ID\n\nusing target database control file instead of recovery catalog\nallocated channel: c1\nchannel c1: SID=<n> device type=DISK\n\nexecuting command: SET CONTROLFILE AUTOBACKUP FORMAT\n\nreleased channel: c1\n\nRecovery Manager complete.\n"
    );
    assert_eq!(site.masked(&said), expected);
    assert_eq!(status, 0);
}

#[test]
fn standard_input_glues_its_prompts_and_echoes_nothing() {
    let site = Site::new();
    let (status, said) = site.rman(
        &["target", "/", "nocatalog"],
        "run {\nallocate channel c1\ntype disk;\n}\n\nsql 'alter system switch logfile';\nexit\nlist backup;\n",
    );
    let expected = format!(
        "{}using target database control file instead of recovery catalog\n\nRMAN> 2> 3> 4> \nallocated channel: c1\nchannel c1: SID=<n> device type=DISK\n\nreleased channel: c1\n\nRMAN> \nRMAN> \nsql statement: alter system switch logfile\n\nRMAN> \n\nRecovery Manager complete.\n",
        HEAD.trim_end_matches('\n').to_string() + "\n",
    );
    assert_eq!(site.masked(&said), expected);
    assert_eq!(status, 0);
}

#[test]
fn a_parse_error_in_a_block_on_standard_input_lets_every_later_line_run_by_itself() {
    let site = Site::new();
    let (status, said) = site.rman(
        &["target", "/"],
        "run {\nalocate channel c1 type disk;\nsql 'alter tablespace users offline';\nrelease channel c1;\n}\n",
    );
    assert_eq!(status, 1);
    let said = site.masked(&said);
    assert!(
        said.contains(&format!(
            "RMAN> 2> \n{FRAME}RMAN-00558: error encountered while parsing input commands\nRMAN-01009: syntax error: found \"identifier\": expecting one of: \"advise, allocate, alter, backup,"
        )),
        "{said}"
    );
    assert!(said.contains("RMAN-01008: the bad identifier was: alocate\nRMAN-01007: at line 2 column 1 file: standard input\n"), "{said}");
    assert!(said.contains("\nRMAN> \nusing target database control file instead of recovery catalog\n\nsql statement: alter tablespace users offline\n\nRMAN> \n"), "{said}");
    assert!(
        said.contains(
            "RMAN-01009: syntax error: found \"}\": expecting one of: \"advise, allocate, alter, analyze,"
        ),
        "{said}"
    );
    assert!(said.ends_with("RMAN> \n\nRecovery Manager complete.\n"), "{said}");
    // It was really done: the hazard of the corpus' rman/09.
    assert_eq!(site.sql("SELECT status FROM v$datafile WHERE file# = 3"), "OFFLINE");
}

#[test]
fn a_syntax_error_anywhere_in_a_command_file_means_that_nothing_runs() {
    let site = Site::new();
    let (status, said) = site.file("sql 'alter tablespace users offline';\nbackup datbase;\nlist backup;\n");
    let expected = format!(
        "{HEAD}RMAN> sql 'alter tablespace users offline';\n2> backup datbase;\n{FRAME}RMAN-00558: error encountered while parsing input commands\nRMAN-01009: syntax error: found \"identifier\": expecting one of: \"archivelog, as, "
    );
    let said = site.masked(&said);
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.ends_with("RMAN-01008: the bad identifier was: datbase\nRMAN-01007: at line 2 column 8 file: script.rman\n\nRecovery Manager complete.\n"), "{said}");
    assert_eq!(status, 1);
    assert_eq!(site.sql("SELECT status FROM v$datafile WHERE file# = 3"), "ONLINE");
}

#[test]
fn the_first_error_ends_a_command_file_but_not_standard_input() {
    let site = Site::new();
    let text = "sql 'alter tablespace nope offline';\nsql 'alter tablespace users offline';\n";
    let (status, said) = site.script(text);
    assert_eq!(status, 1);
    let failed = format!(
        "using target database control file instead of recovery catalog\n\nsql statement: alter tablespace nope offline\n{FRAME}RMAN-03009: failure of sql command on default channel at <stack date>\nRMAN-11003: failure during parse/execution of SQL statement: alter tablespace nope offline\nORA-00959: tablespace 'NOPE' does not exist\n"
    );
    let said = site.masked(&said);
    assert!(
        said.contains(&failed) && said.ends_with("does not exist\n\nRecovery Manager complete.\n"),
        "{said}"
    );
    assert_eq!(site.sql("SELECT status FROM v$datafile WHERE file# = 3"), "ONLINE");
    let (status, _) = site.rman(&["target", "/"], text);
    assert_eq!(status, 1, "an earlier error still counts");
    assert_eq!(site.sql("SELECT status FROM v$datafile WHERE file# = 3"), "OFFLINE");
}

#[test]
fn a_missing_brace_or_quote_is_found_at_the_end_of_the_file() {
    let site = Site::new();
    let (status, said) = site.script("run {\nbackup database;\n");
    assert_eq!(status, 1);
    assert!(said.contains("RMAN-01009: syntax error: found \"end-of-file\": expecting one of: \""), "{said}");
    assert!(said.contains("RMAN-01007: at line 2 column 1 file: script.rman"), "{said}");
    let (status, said) = site.script("catalog start with '/x noprompt;\n");
    assert_eq!(status, 1);
    assert!(said.contains("RMAN-01006: error signaled during parse\nRMAN-02002: unexpected end of input file reached\nRMAN-01007: at line 1 column 20"), "{said}");
    let (_, said) = site.script("backup ^ database;\n");
    assert!(said.contains("RMAN-02001: unrecognized punctuation symbol \"^\""), "{said}");
}

#[test]
fn words_that_are_right_elsewhere_are_refused_in_oracles_way() {
    let site = Site::new();
    for (text, line) in [
        ("allocate channel c1 type disk;\n", "RMAN-06453: RMAN command ALLOCATE CHANNEL must be used within RUN"),
        ("run { execute script nightly; }\n", "RMAN-06002: command not allowed when not connected to a recovery catalog"),
        ("backup as copy database;\n", "ORA-03001: unimplemented feature"),
        ("host 'ls';\n", "ORA-03001: unimplemented feature: orasim has no HOST"),
        ("duplicate target database to x;\n", "ORA-03001: unimplemented feature: orasim has no DUPLICATE"),
        ("run { allocate channel t type 'sbt_tape'; }\n", "ORA-27211: Failed to load Media Management Library"),
        ("run { set controlfile autobackup format for device type disk to '/x/%U'; }\n", "RMAN-06503: CONTROLFILE AUTOBACKUP FORMAT must contain %F"),
        ("set dbid 17;\n", "RMAN-06189: current DBID 17 does not match target mounted database (1497201050)"),
        ("release channel;\n", "RMAN-06012: channel: maintenance not allocated"),
        ("set until scn 5;\n", "RMAN-01009: syntax error: found \"until\": expecting one of: \"command, controlfile, dbid, echo\""),
        ("backup incremental level 7 database;\n", "RMAN-01009: syntax error: found \";\""),
        ("run { }\n", "RMAN-01009: syntax error: found \"}\""),
    ] {
        let (status, said) = site.script(text);
        assert_eq!(status, 1, "{text}: {said}");
        if !text.contains("level 7") {
            assert!(said.contains(line), "{text}: {said}");
        }
    }
}

#[test]
fn arguments_and_logs() {
    let site = Site::new();
    let (status, said) = site.rman(&["target", "/", "bogus"], "");
    assert_eq!(status, 1);
    assert!(
        said.starts_with(&format!("{FRAME}RMAN-00552: syntax error in command line arguments\nRMAN-01009: ")),
        "{said}"
    );
    assert!(!said.contains("Recovery Manager complete."), "{said}");

    std::fs::write(site.at("x.rcv"), "sql '&1';\n").unwrap();
    let (status, said) =
        site.rman(&["target=/", "@x", "log=x.log", "using", "alter system switch logfile"], "");
    assert_eq!((status, said.as_str()), (0, ""), "log= silences the terminal");
    let first = std::fs::read_to_string(site.at("x.log")).unwrap();
    assert!(first.contains("RMAN> sql 'alter system switch logfile';\n2> \nusing target"), "{first}");
    site.rman(
        &["target", "/", "cmdfile", "x.rcv", "msglog", "x.log", "append", "using", "alter system checkpoint"],
        "",
    );
    let both = std::fs::read_to_string(site.at("x.log")).unwrap();
    assert!(both.starts_with(&first) && both.matches("Recovery Manager complete.").count() == 2, "{both}");
    site.rman(&["target", "/", "cmdfile", "x.rcv", "log", "x.log", "using", "alter system checkpoint"], "");
    let anew = std::fs::read_to_string(site.at("x.log")).unwrap();
    assert_eq!(anew.matches("Recovery Manager complete.").count(), 1);

    let (status, said) = site.rman(&["target", "/", "cmdfile=nowhere.rman"], "");
    assert!(status == 1 && said.contains("cannot open command file nowhere.rman"), "{said}");
    let (status, said) = site.rman(&["target", "/", "catalog", "rman/rman@cat"], "");
    assert!(
        status == 1 && said.contains("RMAN-04004: error from recovery catalog database: ORA-12154"),
        "{said}"
    );
    assert!(!said.contains("Recovery Manager complete."), "{said}");
    let (status, said) = site.rman(&[], "list backup;\nconnect target /\nsql 'alter system checkpoint';\n");
    assert_eq!(status, 1);
    assert!(
        said.contains("RMAN-06171: not connected to target database")
            && said.contains("connected to target database: ORCL"),
        "{said}"
    );
    let (status, said) = site.rman(&["target", "sys/wrong@prod"], "");
    assert!(status == 1 && said.contains("RMAN-04005: error from target database: \nORA-01017"), "{said}");
    std::fs::write(
        site.at("c.rman"),
        "connect target sys/change_on_install@prod\nsql 'alter system checkpoint';\n",
    )
    .unwrap();
    let (status, said) = site.rman(&["cmdfile=c.rman"], "");
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("RMAN> connect target *\n") && !said.contains("change_on_install"), "{said}");
    let journal = std::fs::read_to_string(site.at("db/journal.jsonl")).unwrap();
    assert!(!journal.contains("change_on_install"), "{journal}");
}

#[test]
fn dates_follow_nls_date_format_only_beside_nls_lang() {
    let mut site = Site::new();
    site.env.insert("NLS_DATE_FORMAT".into(), "YYYY-MM-DD HH24:MI:SS".into());
    let text = "list incarnation;\n";
    assert!(site.masked(&site.good(text)).contains(" DD-MON-YY\n"));
    site.env.insert("NLS_LANG".into(), "AMERICAN_AMERICA.AL32UTF8".into());
    let said = site.masked(&site.good(text));
    assert!(said.contains(" <iso date>\n"), "{said}");
    let expected = "List of Database Incarnations\nDB Key  Inc Key DB Name  DB ID            STATUS  Reset SCN  Reset Time\n------- ------- -------- ---------------- --- ---------- ----------\n1       1       ORCL     1497201050       CURRENT ";
    assert!(said.contains(expected), "{said}");
    // The error stack never does.
    let (_, said) = site.script("sql 'alter tablespace nope offline';\n");
    assert!(site.masked(&said).contains("on default channel at <stack date>"), "{said}");
}

#[test]
fn sql_startup_and_shutdown() {
    let site = Site::new();
    let (status, said) = site.rman(
        &["target", "/"],
        "select file#, name from v$datafile where file# < 3;\nalter system checkpoint;\nalter database nonsense;\nshutdown immediate\nstartup mount\nalter database open;\n",
    );
    let said = site.masked(&said);
    assert_eq!(status, 1);
    for part in [
        "\nFILE#      NAME  ",
        "\n         1 /u01/data/system01.dbf ",
        "\nStatement processed\n",
        "RMAN-03002: failure of sql statement command at <stack date>\nORA-",
        "RMAN> \ndatabase closed\ndatabase dismounted\nOracle instance shut down\n\nRMAN> \nOracle instance started\ndatabase mounted\n\nTotal System Global Area     583000016 bytes\n",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(site.core.admin(&orasim::server::admin::Admin::State).unwrap(), "Open");
    // Named by the state that it finds.
    site.rman(&["target", "/"], "shutdown immediate\n");
    let (_, said) = site.rman(&["target", "/"], "list backup;\nstartup nomount\n");
    assert!(said.contains("connected to target database (not started)\n"), "{said}");
    let (_, said) = site.rman(&["target", "/"], "alter database mount;\n");
    assert!(said.contains("connected to target database: ORCL (not mounted)\n"), "{said}");
    let (_, said) = site.rman(&["target", "/"], "");
    assert!(said.contains("connected to target database: ORCL (DBID=1497201050, not open)\n"), "{said}");
}

#[test]
fn older_releases_say_it_in_their_words() {
    let front = Front { release: "11.2.0.4.0".into(), ..Front::default() };
    let site = Site::with(&front, |_| {});
    site.rman(&["target", "/"], "shutdown immediate\nstartup mount\n");
    let (status, said) = site.rman(&["target", "/"], "alter database open;\nselect 1 from dual;\n");
    assert_eq!(status, 1);
    let said = site.masked(&said);
    assert!(
        said.starts_with(
            "\nRecovery Manager: Release 11.2.0.4.0 - Production on <day>\n\nCopyright (c) 1982, 2009"
        ),
        "{said}"
    );
    assert!(
        said.contains("\ndatabase opened\n") && said.contains("RMAN-01008: the bad identifier was: select"),
        "{said}"
    );
}

#[test]
fn files_within_files_and_the_spool_log() {
    let site = Site::new();
    std::fs::write(site.at("inner.rman"), "sql 'alter system checkpoint';\n").unwrap();
    let (status, said) = site.rman(
        &["target", "/"],
        "@inner.rman\nspool log to 'spool.log';\nlist incarnation;\nspool log off;\n",
    );
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("RMAN> sql 'alter system checkpoint';\n"), "{said}");
    assert!(said.contains("**end-of-file**\n"), "{said}");
    let spool = std::fs::read_to_string(site.at("spool.log")).unwrap();
    assert!(spool.contains("List of Database Incarnations") && !said.contains("List of Database"), "{spool}");
}

#[test]
fn the_journal_has_every_command() {
    let site = Site::new();
    site.rman(&["target", "/"], "list incarnation;\nsql 'alter tablespace nope offline';\n");
    let calls = journal::read(&site.at("db")).unwrap();
    let call = calls.iter().find(|c| c.program == "rman").unwrap();
    assert_eq!((call.status, call.argv.clone()), (Some(1), vec!["target".to_string(), "/".into()]));
    let found: Vec<(&str, Option<u32>)> =
        call.statements.iter().filter_map(|s| Some((s.text.strip_prefix("RMAN> ")?, s.code))).collect();
    assert_eq!(found, [("list incarnation;", Some(0)), ("sql 'alter tablespace nope offline';", Some(3009))]);
}
