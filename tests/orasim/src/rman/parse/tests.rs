//! Which sentences are RMAN, and which are not.

use std::io::BufRead;

use super::*;
use crate::rman::ast::*;
use crate::rman::out::Out;
use crate::rman::source::Input;

fn parse(text: &str) -> Parsed<Vec<Command>> {
    let mut empty: &[u8] = b"";
    let input: &mut dyn BufRead = &mut empty;
    let _unused = Input::new(input);
    let mut source = Source::file(text, "x", Out::new(Box::new(std::io::sink())));
    let mut out = Vec::new();
    loop {
        match Parser::new(&mut source).command()? {
            Some(command) => out.push(command),
            None => return Ok(out),
        }
    }
}

fn one(text: &str) -> Command {
    let mut all = parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

#[test]
fn sentences_of_the_documentation_are_taken() {
    for text in [
        "BACKUP INCREMENTAL LEVEL 1 CUMULATIVE TABLESPACE XEPDB1:USERS TAG 'EST001_T1_2610040251';",
        "BACKUP CURRENT CONTROLFILE TAG 'EST001_T1_2610040251';",
        "backup filesperset 5 format 'bkp_arc_%d_s%s_p%p.rman' archivelog all delete input;",
        "backup as compressed backupset incremental level = 0 database format '/b/db_%U' tag full0 plus archivelog format '/b/ar_%U' delete all input;",
        "backup section size 2G device type disk datafile 1, 2, '/u01/x.dbf' filesperset 1;",
        "backup archivelog from sequence 10 until sequence 20 thread 2 not backed up 1 times;",
        "backup archivelog sequence between 3 and 9 thread 1;",
        "backup archivelog from time 'sysdate-1' skip inaccessible;",
        "backup validate check logical database;",
        "backup database not backed up since time 'sysdate-3' skip readonly skip offline include current controlfile;",
        "backup spfile; backup pluggable database pdb1, pdb2; backup database root; backup copies 2 maxsetsize 10M tablespace \"Mixed Case\";",
        "restore database until time \"to_date('2026-10-04','yyyy-mm-dd')\" preview summary;",
        "restore controlfile from autobackup maxdays 10 maxseq 3; restore controlfile to '/x' from '/p'; restore standby controlfile from '/p';",
        "restore spfile to pfile '/x/init.ora' from autobackup;",
        "restore archivelog from scn 5 until scn 9 validate; restore archivelog all preview; restore tablespace a, b force;",
        "restore database from tag full0 skip forever tablespace hist validate check logical;",
        "recover database until sequence 10 thread 1 skip forever tablespace \"Nota Fiscal\", users delete archivelog maxsize 2G;",
        "recover standby database until scn = 5; recover datafile 3; recover tablespace users; recover database noredo;",
        "switch datafile all; switch datafile 4 to copy; switch tempfile all;",
        "catalog start with '/z02/restore' noprompt; catalog archivelog '/a', '/b'; catalog backuppiece '/p'; catalog recovery area noprompt;",
        "crosscheck backup of database tag x; crosscheck archivelog all; crosscheck backupset 5, 6; crosscheck copy of database;",
        "delete noprompt archivelog all backed up 1 times to device type disk completed before 'sysdate-1';",
        "delete force noprompt expired backup; delete noprompt obsolete redundancy 2; delete obsolete recovery window of 3 days;",
        "delete noprompt backuppiece '/x'; delete backupset 7 tag a;",
        "change backupset 3 unavailable; change backup tag x uncatalog; change archivelog all crosscheck;",
        "list backup; list backup summary; list backup of database summary; list backup of archivelog all; list backupset 4; list expired backup; list copy;",
        "list archivelog all; list archivelog from sequence 5 thread 1; list incarnation; list incarnation of database; list failure;",
        "report schema; report obsolete; report need backup; report need backup redundancy 2 database; report unrecoverable;",
        "validate database; validate backupset 3, 4; validate check logical datafile 1; validate archivelog all; validate current controlfile;",
        "configure controlfile autobackup on; configure controlfile autobackup format for device type disk to '/b/%F'; configure default device type to disk;",
        "configure device type disk parallelism 3; configure channel device type disk format '/b/%U' maxpiecesize 1G; configure channel device type disk clear;",
        "configure retention policy to recovery window of 7 days; configure retention policy to none; configure archivelog deletion policy to backed up 1 times to disk;",
        "configure backup optimization on; configure snapshot controlfile name to '/x'; configure compression algorithm 'BASIC'; configure retention policy clear;",
        "show all; show retention policy; reset database to incarnation 2; set dbid 5; set dbid = 5",
        "startup nomount\nstartup force mount;\nshutdown abort\nshutdown;\nexit",
        "alter database open resetlogs; select * from v$database where name = 'a;b'; mount database; open database resetlogs;",
        "allocate channel for maintenance device type disk; release channel; spool log to x.log append\nspool log off\nset echo on\n",
        "run { allocate channel c1 type disk format '/b/%U' maxpiecesize 500 M; set until scn 5; set newname for datafile 3 to '/x'; set newname for database to '/x/%b'; set archivelog destination to '/t'; set maxcorrupt for datafile 1 to 2; restore database; switch datafile all; recover database; release channel c1; }",
        "begin null; end;\n/\nshow all;",
        "# a comment\nbackup database # another\n;\n",
    ] {
        if let Err(e) = parse(text) {
            panic!("{text}: {e:?}");
        }
    }
}

#[test]
fn what_a_sentence_means() {
    let Command::Backup(b) =
        one("backup tag t0 database format '/a' filesperset 4 current controlfile format '/c' tag t1;")
    else {
        panic!()
    };
    assert_eq!(b.options.tag.as_deref(), Some("T0"));
    let options: Vec<Options> = b.specs.iter().map(|(_, o)| o.over(&b.options)).collect();
    assert_eq!((options[0].tag.as_deref(), options[0].filesperset), (Some("T0"), Some(4)));
    assert_eq!((options[1].tag.as_deref(), options[1].filesperset), (Some("T1"), None));
    assert_eq!((options[0].format[0].as_str(), options[1].format[0].as_str()), ("/a", "/c"));

    let Command::Backup(b) = one("backup incremental level 1 database plus archivelog delete input;") else {
        panic!()
    };
    assert_eq!((b.level, b.specs[0].1.delete), (Some(1), DeleteInput::No));
    assert_eq!(b.plus_archivelog.unwrap().delete, DeleteInput::Input);

    let Command::Recover(r) =
        one("recover database until scn 77 skip forever tablespace \"Nota Fiscal\", users;")
    else {
        panic!()
    };
    assert_eq!(r.until, Some(Until::Scn(77)));
    let names: Vec<&str> = r.skip.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["Nota Fiscal", "USERS"]);
    assert!(r.skip_forever);

    let Command::Configure(c) = one("configure channel device type disk maxpiecesize 2G format '/b/%U';")
    else {
        panic!()
    };
    assert_eq!(
        (c.name.as_str(), c.value.as_deref()),
        ("CHANNEL", Some("DEVICE TYPE DISK MAXPIECESIZE 2 G FORMAT '/b/%U'"))
    );
    let Command::Configure(c) = one("configure device type disk parallelism 2;") else { panic!() };
    assert_eq!(c.value.as_deref(), Some("DISK PARALLELISM 2 BACKUP TYPE TO BACKUPSET"));

    let Command::Statement(s) = one("alter database rename file 'a;b' to\n 'c';") else { panic!() };
    assert_eq!(s, "alter database rename file 'a;b' to\n 'c'");
    let Command::Sql(s) = one("sql 'alter tablespace ''x'' online';") else { panic!() };
    assert_eq!(s, "alter tablespace ''x'' online");
}

#[test]
fn what_is_refused_and_how() {
    for (text, first, last) in [
        ("backup;", "found \";\": expecting one of: \"archivelog, as,", "line 1 column 7 file: x"),
        (
            "backup database\n plus;",
            "found \";\": expecting one of: \"archivelog\"",
            "line 2 column 6 file: x",
        ),
        ("restore controlfile from nowhere;", "found \"identifier\"", "line 1 column 26 file: x"),
        ("delete everything;", "found \"identifier\"", "line 1 column 8"),
        ("delete noprompt\n\n 5;", "found \"integer\"", "line 3 column 2"),
        (
            "catalog start with /x;",
            "found \"identifier\": expecting one of: \"double-quoted-string, single-quoted-string\"",
            "column 20",
        ),
        (
            "uncatalog backup;",
            "found \"uncatalog\": expecting one of: \"advise, allocate,",
            "line 1 column 1",
        ),
        ("run { run { list backup; } }", "found \"run\"", "line 1 column 7"),
        ("recover database until yesterday;", "expecting one of: \"scn, sequence, time\"", "column 24"),
        ("configure backup database;", "found \"database\": expecting one of: \"optimization\"", "column 18"),
        ("startup now", "expecting one of: \";, dba, force, mount, nomount, pfile\"", "column 9"),
    ] {
        let Err(ParseError(lines)) = parse(text) else { panic!("{text} was taken") };
        assert_eq!(lines[0].0, 1009, "{text}");
        assert!(lines[0].1.contains(first), "{text}: {lines:?}");
        let (code, at) = lines.last().unwrap();
        assert!(*code == 1007 && at.contains(last), "{text}: {lines:?}");
    }
}
