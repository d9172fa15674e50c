use super::database::State;
use super::script::{mapped, open, unknown_log, Job, Until};

fn job() -> Job {
    Job {
        state: State::Down,
        dbid: 42,
        controlfile: Some("/r/c-42-20261004-00".to_owned()),
        spfile: None,
        pieces: vec!["/r/a".to_owned(), "/r/it's".to_owned()],
        logs: vec!["/arch/1_7.arc".to_owned()],
        directory: None,
        incarnation: None,
        until: Until::Scn(4711),
        newnames: Vec::new(),
        files: Vec::new(),
        channels: 1,
    }
}

#[test]
fn a_machine_with_nothing_gets_its_parameter_file_and_control_file_first() {
    let job = Job { spfile: Some("/r/c-42-20261004-00".to_owned()), ..job() };
    assert_eq!(
        job.mount().unwrap(),
        "SET DBID 42;\nSTARTUP NOMOUNT;\nRESTORE SPFILE FROM '/r/c-42-20261004-00';\nSHUTDOWN IMMEDIATE;\n\
         STARTUP NOMOUNT;\nRESTORE CONTROLFILE FROM '/r/c-42-20261004-00';\nALTER DATABASE MOUNT;\nEXIT;\n"
    );
}

#[test]
fn a_control_file_that_is_there_is_kept_unless_asked() {
    let job = Job { controlfile: None, ..job() };
    assert_eq!(job.mount().unwrap(), "STARTUP MOUNT;\nEXIT;\n");
    assert_eq!(Job { state: State::Mounted, ..job.clone() }.mount(), None);
    let open = Job { state: State::Open, ..job };
    assert_eq!(open.mount().unwrap(), "SHUTDOWN IMMEDIATE;\nSTARTUP MOUNT;\nEXIT;\n");
}

#[test]
fn pieces_and_logs_are_made_known_by_name() {
    assert_eq!(
        job().catalog().unwrap(),
        "CATALOG BACKUPPIECE '/r/a', '/r/it''s';\nCATALOG ARCHIVELOG '/arch/1_7.arc';\nEXIT;\n"
    );
    let many = Job { pieces: (0..51).map(|n| format!("/r/{n}")).collect(), ..job() };
    assert_eq!(many.catalog().unwrap().matches("CATALOG BACKUPPIECE").count(), 2);
}

#[test]
fn restore_and_recover_have_the_same_end() {
    let job = Job {
        newnames: vec![(3, "/new/f3.dbf".to_owned())],
        incarnation: Some(2),
        until: Until::Time("2026-10-04 15:00:00".to_owned()),
        ..job()
    };
    assert_eq!(
        job.restore(),
        "RESET DATABASE TO INCARNATION 2;\nRUN {\n\
         SET UNTIL TIME \"TO_DATE('2026-10-04 15:00:00', 'YYYY-MM-DD HH24:MI:SS')\";\n\
         SET NEWNAME FOR DATAFILE 3 TO '/new/f3.dbf';\nRESTORE DATABASE;\nSWITCH DATAFILE ALL;\n}\nEXIT;\n"
    );
    let end = Job { until: Until::Sequence { thread: 2, sequence: 9 }, channels: 2, ..job };
    assert_eq!(
        end.recover(),
        "RUN {\nALLOCATE CHANNEL c1 DEVICE TYPE DISK;\nALLOCATE CHANNEL c2 DEVICE TYPE DISK;\n\
         SET UNTIL SEQUENCE 9 THREAD 2;\nRECOVER DATABASE;\n}\nEXIT;\n"
    );
    assert_eq!(open(true), "ALTER DATABASE OPEN RESETLOGS;\nEXIT;\n");
}

#[test]
fn the_longest_prefix_moves_a_path_at_a_directory() {
    let maps = [("/u01".to_owned(), "/a".to_owned()), ("/u01/oradata".to_owned(), "/b/".to_owned())];
    assert_eq!(mapped("/u01/oradata/x.dbf", &maps).as_deref(), Some("/b/x.dbf"));
    assert_eq!(mapped("/u01/x.dbf", &maps).as_deref(), Some("/a/x.dbf"));
    assert_eq!(mapped("/u011/x.dbf", &maps), None);
}

#[test]
fn the_log_that_is_asked_for_is_read_in_the_words_of_all_releases() {
    let old = "RMAN-06054: media recovery requesting unknown log: thread 1 seq 26 lowscn 662459\n";
    let new = "RMAN-06054: media recovery requesting unknown archived log for thread 2 with sequence 31 and starting\n SCN of 8910961765228\n";
    assert_eq!(unknown_log(old), Some((1, 26, 662_459)));
    assert_eq!(unknown_log(new), Some((2, 31, 8_910_961_765_228)));
    assert_eq!(unknown_log("RMAN-03002: failure of recover command"), None);
}
