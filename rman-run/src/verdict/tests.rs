//! Invented logs in the forms that RMAN prints, from 9i to 23ai.

use super::*;

const BANNER: &str =
    "\nRecovery Manager: Release 19.0.0.0.0 - Production on Sun Aug 2 22:00:01 2026\nVersion 19.22.0.0.0\n\n\
Copyright (c) 1982, 2019, Oracle and/or its affiliates.  All rights reserved.\n\n\
connected to target database: SHOP (DBID=812345678)\n\nRMAN> run {\n2> backup database;\n3> }\n4>\n";
const END: &str = "\n\nRecovery Manager complete.\n";
const STACK: &str = "RMAN-00571: ===========================================================\n\
RMAN-00569: =============== ERROR MESSAGE STACK FOLLOWS ===============\n\
RMAN-00571: ===========================================================\n";
const PIECE: &str = "channel ORA_DISK_1: starting piece 1 at 02-AUG-26\n\
channel ORA_DISK_1: finished piece 1 at 02-AUG-26\n\
piece handle=/b/x_1_1_1 tag=TAG20260802T220003 comment=NONE\n\
channel ORA_DISK_1: backup set complete, elapsed time: 00:00:35\n";

fn verdict(log: impl AsRef<[u8]>) -> Verdict {
    judge(log.as_ref(), Beside::default()).unwrap()
}

fn whole(body: &str) -> String {
    format!("{BANNER}{body}{END}")
}

fn backup(body: &str) -> String {
    whole(&format!("Starting backup at 02-AUG-26\n{body}{PIECE}Finished backup at 02-AUG-26\n"))
}

fn check(name: &str, log: impl AsRef<[u8]>, outcome: Outcome, code: &str) {
    let found = verdict(log);
    assert_eq!(found.outcome, outcome, "{name}: {:#?}", found.findings);
    if !code.is_empty() {
        let named =
            found.findings.iter().any(|f| f.code.as_deref() == Some(code) || f.message.contains(code));
        assert!(named, "{name}: {code} is not in {:#?}", found.findings);
    }
}

use Outcome::{Failure, Success, Warning};

#[test]
fn a_whole_backup_is_a_success() {
    check("plain", backup(""), Success, "");
    check("crlf", backup("").replace('\n', "\r\n"), Success, "");
    assert_eq!(verdict(backup("")).handles, ["/b/x_1_1_1"]);
    let autobackup = "\nStarting Control File and SPFILE Autobackup at 02-AUG-26\n\
        piece handle=/b/c-812345678-20260802-00 comment=NONE\nFinished Control File and SPFILE Autobackup at 02-AUG-26\n";
    check("autobackup", whole(&(PIECE.to_owned() + autobackup)), Success, "");
}

#[test]
fn sentences_that_hide_a_loss_are_warnings_although_rman_ends_with_0() {
    for (name, body) in [
        ("RMAN-06060", "RMAN-06060: WARNING: skipping datafile compromises tablespace APP recoverability\n"),
        ("offline", "skipping offline file 7\n"),
        ("read-only", "skipping read-only file 9\n"),
        ("another backup", "skipping datafile 4; already backed up 2 time(s)\n"),
        ("RMAN-06061", "RMAN-06061: WARNING: skipping archived log compromises recoverability\n"),
        ("RMAN-06554", "RMAN-06554: WARNING: file 1 is in backup mode\n"),
        ("RMAN-08120", "RMAN-08120: WARNING: archived log not deleted, not yet applied by standby\n"),
        ("RMAN-08137", "RMAN-08137: WARNING: archived log not deleted, needed for standby or upstream capture process\n"),
        ("RMAN-08138", "RMAN-08138: WARNING: archived log not deleted - must create more backups\n"),
        ("RMAN-08187", "RMAN-08187: WARNING: media recovery until SCN 4711 complete\n"),
        ("RMAN-06908", "RMAN-06908: WARNING: operation will not run in parallel on the allocated channels\n"),
        ("RMAN-06909", "RMAN-06909: WARNING: parallelism require Enterprise Edition\n"),
        ("RMAN-06207", "RMAN-06207: warning: 3 objects could not be deleted for DISK channel(s) due\nRMAN-06208:          to mismatched status.  Use CROSSCHECK command to fix status\n"),
        ("RMAN-06207", "RMAN-06210: List of Mismatched objects\nRMAN-06211: ==========================\nRMAN-06214: Backup Piece    0ri9uu08_1_1\n"),
        ("repository", "crosschecked backup piece: found to be 'EXPIRED'\nbackup piece handle=/b/01 RECID=1 STAMP=12\nCrosschecked 1 objects\n"),
        ("repository", "validation failed for archived log\narchived log file name=/a/1_5_1.arc RECID=5 STAMP=1\n"),
        ("catalogued", "List of Files Which Were Not Cataloged\n=====\nFile Name: /b/x\n  RMAN-07517: Reason: The file header is corrupted\n"),
        ("older one", "channel c1: reading from backup piece x\nORA-19870: error reading backup piece x\nORA-19507: failed to retrieve sequential file, handle=\"x\"\nfailover to previous backup\n"),
        ("RMAN-06900", "RMAN-06900: WARNING: unable to generate V$RMAN_STATUS or V$RMAN_OUTPUT row\nRMAN-06901: WARNING: disabling update\nORACLE error from target database:\nORA-19921: maximum number of 64 rows exceeded\n"),
        ("RMAN-07999", "RMAN-07999: WARNING: something that nobody has seen yet\n"),
    ] {
        check(name, backup(body), Warning, name);
        // The same as a few lines that somebody has cut out.
        check(name, body, Warning, name);
    }
}

#[test]
fn a_new_datafile_is_no_loss_and_a_missing_level_0_is() {
    let set = "channel c1: starting incremental level 1 datafile backup set\n";
    let input = |file: u32| format!("input datafile file number={file:05} name=/u/{file}.dbf\n");
    let none = |file: u32| format!("no parent backup or copy of datafile {file} found\n");
    check("new", backup(&(none(7) + set + &input(1) + &input(2))), Success, "datafiles 7 are new");
    check("all", backup(&(none(1) + &none(2) + set + &input(1) + &input(2))), Warning, "no level 0");
    check("old wording", backup(&(none(1) + set).replace("backup set", "backupset")), Warning, "no level 0");
}

#[test]
fn error_stacks_are_failures_wherever_they_are() {
    for (code, stack) in [
        ("ORA-19506", "RMAN-03009: failure of backup command on c1 channel at 08/02/2026 02:14:32\nORA-19506: failed to create sequential file\nORA-27028: skgfqcre: sbtbackup returned error\nORA-19511: Error received from media manager layer, error text:\n   Failed to open\n"),
        ("RMAN-06059", "RMAN-03002: failure of backup plus archivelog command at 08/02/2026 02:14:32\nRMAN-06059: expected archived log not found, loss of archived log compromises recoverability\nORA-19625: error identifying file /a/1_5_1.arc\n"),
        ("ORA-19602", "RMAN-03002: failure of backup command at 08/02/2026 02:14:32\nORA-19602: cannot backup or copy active file in NOARCHIVELOG mode\n"),
        ("ORA-19804", "RMAN-03009: failure of backup command on c1 channel at 08/02/2026 02:14:32\nORA-19809: limit exceeded for recovery files\nORA-19804: cannot reclaim 100 bytes disk space\n"),
        ("ORA-27040", "RMAN-03009: failure of backup command on c1 channel at 08/02/2026 02:14:32\nORA-19504: failed to create file \"Z:\\x\"\nORA-27040: file create error, unable to create file\nOSD-04002: unable to open file\nO/S-Error: (OS 3) The system cannot find the path specified.\n"),
        ("ORA-00235", "RMAN-03009: failure of backup command on c1 channel at 08/02/2026 02:14:32\nORA-00235: controlfile read without a lock inconsistent due to concurrent update\n"),
        ("RMAN-20208", "RMAN-03002: failure of set command at 08/02/2026 02:14:32\nRMAN-06003: ORACLE error from recovery catalog:\nRMAN-20208: UNTIL CHANGE is before RESETLOGS change\n"),
        ("RMAN-06053", "RMAN-03002: failure of recover command at 08/02/2026 02:14:32\nRMAN-06053: unable to perform media recovery because of missing log\nRMAN-06025: no backup of archived log for thread 1 with sequence 5 and starting SCN of 7 found to restore\n"),
        ("RMAN-06160", "RMAN-03002: failure of validate command at 08/02/2026 02:14:32\nRMAN-06160: no backup pieces found for backup set key: 4\n"),
        ("ORA-28365", "RMAN-03009: failure of backup command on c1 channel at 08/02/2026 02:14:32\nORA-19914: unable to encrypt backup\nORA-28365: wallet is not open\n"),
    ] {
        check(code, whole(&format!("{PIECE}{STACK}{stack}")), Failure, code);
        check(code, format!("{STACK}{stack}"), Failure, code);
        // Somebody has left the frame out.
        check(code, stack, Failure, code);
    }
}

#[test]
fn one_failed_channel_fails_the_job_though_others_go_on() {
    let body = "RMAN-03009: failure of backup command on c1 channel at 08/02/2026 02:14:32\nORA-19914: unable to encrypt backup\n\
        ORA-28365: wallet is not open\ncontinuing other job steps, job failed will not be re-run\n";
    check("inline", backup(body), Failure, "RMAN-03009");
    check("excerpt", body.to_owned() + PIECE, Failure, "RMAN-03009");
}

#[test]
fn recover_that_succeeds_and_cannot_be_opened_is_a_failure() {
    let body = "Starting recover at 02-AUG-26\nOracle Error: \n\
        ORA-01547: warning: RECOVER succeeded but OPEN RESETLOGS would get error below\n\
        ORA-01194: file 1 needs more recovery to be consistent\nORA-01110: data file 1: '/u/system01.dbf'\n\n\
        media recovery complete, elapsed time: 00:00:01\nFinished recover at 02-AUG-26\n";
    check("whole", whole(body), Failure, "ORA-01547");
    check("excerpt", body, Failure, "ORA-01194");
}

#[test]
fn a_log_file_without_its_end_is_a_failure_and_an_excerpt_is_judged_by_what_is_in_it() {
    check("killed between two pieces", format!("{BANNER}{PIECE}"), Failure, "closing line");
    check(
        "killed in a piece",
        format!("{BANNER}channel c1: starting piece 1 at 02-AUG-26\n"),
        Failure,
        "closing line",
    );
    check("no more than a banner", BANNER, Failure, "closing line");
    check("excerpt", PIECE, Success, "");
    check("excerpt cut in a piece", "channel c1: starting piece 1 at 02-AUG-26\n", Failure, "never finished");
    check(
        "elided",
        "channel c1: starting piece 1 at 02-AUG-26\n...\nFinished backup at 02-AUG-26\n",
        Success,
        "",
    );
    check("terminal", format!("[oracle@db1 ~]$ rman target /\n{BANNER}{PIECE}\nRMAN>\n"), Success, "");
    check("script", format!("$ rman target / cmdfile=x.rman\n{BANNER}{PIECE}"), Failure, "closing line");
    check("prompt", format!("{BANNER}{PIECE}\nRMAN> \n"), Success, "");
    check(
        "job open at prompt",
        format!("{BANNER}Starting backup at 02-AUG-26\n{PIECE}\nRMAN> \n"),
        Failure,
        "",
    );
    assert_eq!(judge(PIECE.as_bytes(), Beside { whole: true }).unwrap().outcome, Failure);
    check(
        "piece open in a whole log",
        backup("channel c2: starting piece 1 at 02-AUG-26\n"),
        Failure,
        "channel c2",
    );
    check("job open in a whole log", whole("Starting backup at 02-AUG-26\n"), Failure, "backup was started");
}

#[test]
fn an_empty_log_and_one_of_another_program_prove_nothing() {
    check("empty", "", Failure, "empty");
    check("blank", "\n \r\n\0\0\0", Failure, "empty");
    check("expdp", "\nExport: Release 19.0.0.0.0 - Production on Thu Aug 29 16:45:01 2026\n. . exported \"A\".\"B\" 1 KB 1 rows\n", Failure, "expdp");
    check("sqlplus", "SQL*Plus: Release 19.0.0.0.0\n\nSQL> select 1 from dual;\n", Failure, "SQL*Plus");
    check(
        "alert",
        "Sun Jul 24 13:02:27 2026\nMedia Recovery Waiting for thread 1 sequence 5\nORA-16014: x\n",
        Failure,
        "alert log",
    );
    check("bytes", [0x89, b'P', b'N', b'G', 0, 1, 2, 0xff, 0xfe], Failure, "no log of RMAN");
    check("prose", "Backup finalizado com sucesso.\n", Failure, "no log of RMAN");
    check(
        "idle",
        "\nRecovery Manager: Release 19.0.0.0.0 - Production\n\nRecovery Manager complete.\n",
        Warning,
        "did nothing",
    );
}

#[test]
fn other_languages_are_judged_by_codes_and_structure() {
    let spanish = "Recovery Manager: Release 21.0.0.0.0 - Production on Mar Nov 18 12:10:20 2025\nVersión 21.3.0.0.0\n\
        conectado a la base de datos destino: XE (DBID=1)\n\nIniciando backup en 18/11/2025\n\
        canal ORA_DISK_1: iniciando parte 1 en 18/11/2025\ncanal ORA_DISK_1: parte 1 terminada en 18/11/2025\n\
        manejador de parte=C:\\APP\\DATABASE\\0A_1_1 etiqueta=TAG20251118T121028 comentario=NONE\n";
    check("spanish", format!("{spanish}\nRecovery Manager terminado.\n"), Success, "ORACLE_HOME");
    check("spanish, cut", spanish, Failure, "closing line");
    let open = "canal ORA_DISK_1: iniciando parte 1 en 18/11/2025\n";
    check(
        "spanish, open piece",
        format!("{spanish}{open}\nRecovery Manager terminado.\n"),
        Failure,
        "never finished",
    );
    let portuguese = "Gerenciador de Recuperação: Release 11.2.0.4.0 - Production em Dom Ago 2 22:00:01 2026\n\n\
        conectado ao banco de dados de destino: LOJA (DBID=1)\n\nIniciando backup em 02/08/2026\n\
        canal ORA_DISK_1: iniciando a peça 1 em 02/08/2026\ncanal ORA_DISK_1: peça 1 finalizada em 02/08/2026\n\
        handle de peça=/b/0238ifdj_1_1 tag=TAG20260802T220000 comentário=NONE\n";
    let end = "\n\nGerenciador de Recuperação concluído.\n";
    check("portuguese", format!("{portuguese}{end}"), Success, "");
    let latin1 =
        |text: String| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect::<Vec<_>>();
    check("portuguese in Latin-1", latin1(format!("{portuguese}{end}")), Success, "");
    check("portuguese in Latin-1, cut", latin1(portuguese.to_owned()), Failure, "closing line");
    let stack = "RMAN-00571: ====\nRMAN-00569: ===== A PILHA DE MENSAGENS DE ERRO É A SEGUINTE ====\nRMAN-00571: ====\n\
        RMAN-03002: falha do comando backup em 08/02/2026 22:00:01\nORA-19809: limite excedido para arquivos de recuperação\n";
    check("portuguese stack", latin1(format!("{portuguese}{stack}{end}")), Failure, "ORA-19809");
    let warning = "RMAN-06060: ADVERTÊNCIA: ignorar o arquivo de dados compromete a recuperação\n";
    check("portuguese warning", format!("{portuguese}{warning}{end}"), Warning, "RMAN-06060");
    let expired = "pieza de copia de seguridad comprobada: se ha encontrado 'EXPIRED'\n";
    check(
        "spanish expired",
        format!("{spanish}{expired}\nRecovery Manager terminado.\n"),
        Warning,
        "repository",
    );
}

#[test]
fn shell_noise_stamps_and_utf_16_do_not_hide_anything() {
    let bad = whole(&format!(
        "{STACK}RMAN-03002: failure of backup command at 08/02/2026 02:14:32\nORA-00257: archiver error\n"
    ));
    let stamped: String = bad.lines().map(|l| format!("2026-08-02 22:00:01 INFO - {l}\n")).collect();
    check("stamped", stamped, Failure, "ORA-00257");
    let syslog: String = bad.lines().map(|l| format!("Aug  2 22:00:01 db1 backup[77]: {l}\n")).collect();
    check("syslog", syslog, Failure, "ORA-00257");
    let good: String = backup("").lines().map(|l| format!("[2026-08-02T22:00:01Z] {l}\n")).collect();
    check("stamped and good", good, Success, "");
    let utf16 = |text: &str| {
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect::<Vec<u8>>()
    };
    check("utf-16", utf16(&bad), Failure, "ORA-00257");
    check("utf-16 and good", utf16(&backup("")), Success, "");
    check(
        "noise",
        format!("+ date\nstarting backup job\n{}RMAN completed successfully.\ncod ret = 0\n", backup("")),
        Success,
        "",
    );
    let hole = [&vec![0; 100_000][..], backup("").as_bytes()].concat();
    check("a hole of NULs", hole, Success, "");
}

#[test]
fn any_failed_session_fails_the_log() {
    let bad = whole(&format!("{STACK}RMAN-03002: failure of backup command at 08/02/2026 02:14:32\n"));
    check("last good", format!("{bad}{}", backup("")), Failure, "RMAN-03002");
    check("first good", format!("{}{bad}", backup("")), Failure, "RMAN-03002");
    check("first cut", format!("{BANNER}{PIECE}{}", backup("")), Failure, "closing line");
    check("two good", format!("{0}{0}", backup("")), Success, "");
}

#[test]
fn standard_input_that_rman_rejected_and_ran_line_by_line_is_told() {
    let log = format!(
        "\nRecovery Manager: Release 9.2.0.2.0 - Production\n\nRMAN> 2> 3> 4> \n{STACK}RMAN-00558: error encountered while parsing input commands\n\
        RMAN-01005: syntax error: found \"end-of-file\"\nRMAN-01007: at line 4 column 1 file: standard input\n\nRMAN> \n{STACK}\
        RMAN-00558: error encountered while parsing input commands\n\nRMAN> \nsql statement: alter tablespace APP online\n{END}"
    );
    check("stdin", log, Failure, "line by line");
}

#[test]
fn echoed_commands_and_comments_are_no_messages() {
    let log = backup("").replace(
        "2> backup database;",
        "2> # RMAN-03002 and ORA-00600 are mailed to us\n3> backup database;",
    );
    check("echo", log, Success, "");
    check("names", backup("archived log file name=/a/RMAN-03002_x.log RECID=1 STAMP=2\n"), Success, "");
}

#[test]
fn every_message_with_its_number_is_no_error() {
    let log = "RMAN-06005: connected to target database: SHOP (DBID=1)\nRMAN-03022: compiling command: backup\n\
        RMAN-08030: allocated channel: c1\nRMAN-08500: channel c1: sid=12 devtype=DISK\nRMAN-03090: Starting backup at 02-AUG-26\n\
        RMAN-08008: channel c1: starting full datafile backupset\nRMAN-08503: piece handle=/b/x tag=T comment=NONE\n\
        RMAN-03091: Finished backup at 02-AUG-26\nRMAN-08031: released channel: c1\n";
    check("msgno", log, Success, "");
    check(
        "msgno and an error",
        format!("{log}RMAN-03002: failure of backup command\n"),
        Failure,
        "RMAN-03002",
    );
}

#[test]
fn damage_that_validate_found_is_a_failure_although_rman_ends_with_0() {
    let table = |status: &str| {
        format!("Starting backup at 02-AUG-26\nList of Datafiles\n=================\nFile Status Marked Corrupt Empty Blocks Blocks Examined High SCN\n\
        ---- ------ -------------- ------------ --------------- ----------\n4    {status}     0              12           6400            4711\n\
        Finished backup at 02-AUG-26\n")
    };
    check("ok", whole(&table("OK    ")), Success, "");
    check("failed", whole(&table("FAILED")), Failure, "VALIDATE found damage");
    check(
        "sentence",
        backup("validate found one or more corrupt blocks\nSee trace file /t for details\n"),
        Failure,
        "damaged",
    );
}

#[test]
fn memory_does_not_grow_with_the_log() {
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let text = format!("RMAN-06100: no channel to restore a backup or copy of datafile {}\n", self.0);
            if self.0 == 200_000 {
                return Ok(0);
            }
            self.0 += 1;
            buffer[..text.len()].copy_from_slice(text.as_bytes());
            Ok(text.len())
        }
    }
    let found = judge(Endless(0), Beside::default()).unwrap();
    assert_eq!((found.findings.len(), found.findings[0].count, found.lines), (1, 200_000, 200_000));
    let long = vec![b'x'; 5 << 20];
    assert_eq!(verdict([&long[..], b"\n", PIECE.as_bytes()].concat()).outcome, Success);
}
