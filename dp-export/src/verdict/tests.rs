//! Logs in the forms that Data Pump has had since 10g; names and numbers are invented.

use super::*;

fn verdict(log: &str) -> Verdict {
    of_log(log.as_bytes()).unwrap()
}

fn session(log: &str) -> Session {
    sessions(log.as_bytes()).unwrap().remove(0)
}

const BANNER: &str =
    "Export: Release 19.0.0.0.0 - Production on Fri Nov 20 01:00:02 2026\nVersion 19.24.0.0.0\n\n\
    Connected to: Oracle Database 19c Standard Edition 2 Release 19.0.0.0.0 - Production\n";
const START: &str = "Starting \"GOLD\".\"ORAPIPE_1\":  gold/******** parfile=/x/orapipe_1.par\n";
const DUMPS: &str = "Master table \"GOLD\".\"ORAPIPE_1\" successfully loaded/unloaded\n\
    ******************************************************************************\n\
    Dump file set for GOLD.ORAPIPE_1 is:\n  /dp/orapipe_1_01.dmp\n  /dp/with blank_02.dmp\n";
const DONE: &str =
    "Job \"GOLD\".\"ORAPIPE_1\" successfully completed at Fri Nov 20 01:02:00 2026 elapsed 0 00:01:58\n";

fn whole(middle: &str, end: &str) -> String {
    format!("{BANNER}{START}{middle}{DUMPS}{end}")
}

#[test]
fn a_whole_export_is_a_success_with_its_rows() {
    let log = whole(
        ". . exported \"GOLD\".\"CLIENTES\"            17.08 KB     107 rows\n\
         . . exported \"GOLD\".\"VENDAS\":\"P_2026\"       2.5 GB 9000000 rows\n\
         . . exported \"GOLD\".\"V\":\"P1\".\"SP2\"          0 KB       0 rows\n",
        DONE,
    );
    assert_eq!(verdict(&log).outcome, Outcome::Success);
    let session = session(&log);
    assert_eq!(session.rows(), 9_000_107);
    assert_eq!(session.bytes, 17_489 + 2_684_354_560);
    assert_eq!(session.objects[1].0, "\"GOLD\".\"VENDAS\":\"P_2026\"");
    assert_eq!(session.dumps, ["/dp/orapipe_1_01.dmp", "/dp/with blank_02.dmp"]);
    assert_eq!(session.job, Some(("GOLD".into(), "ORAPIPE_1".into())));
    assert!(session.connected_to.unwrap().contains("Standard Edition 2"));
}

#[test]
fn skipped_tables_are_named_with_the_cause() {
    let log = whole(
        "ORA-31693: Table data object \"GOLD\".\"A\" failed to load/unload and is being skipped due to error:\n\
         ORA-02354: error in exporting/importing data\n\
         ORA-01555: snapshot too old: rollback segment number 9 with name \"_SYSSMU9$\" too small\n\
         ORA-31693: Table data object \"GOLD\".\"V\":\"P2\" failed to load/unload and is being skipped due to error:\n\
         ORA-28365: wallet is not open\n\
         . . exported \"GOLD\".\"B\"   1 KB  1 rows\n",
        "Job \"GOLD\".\"ORAPIPE_1\" completed with 2 error(s) at Fri Nov 20 01:02:00 2026 elapsed 0 00:01:58\n",
    );
    let verdict = verdict(&log);
    assert_eq!(verdict.outcome, Outcome::Failure);
    let skipped: Vec<_> = verdict.skipped.iter().map(|s| (s.object.as_str(), s.code.as_str())).collect();
    assert_eq!(skipped, [("\"GOLD\".\"A\"", "ORA-01555"), ("\"GOLD\".\"V\":\"P2\"", "ORA-28365")]);
}

#[test]
fn every_end_counts_for_what_it_says() {
    let end = |text: &str| verdict(&whole(". . exported \"GOLD\".\"B\"   1 KB  1 rows\n", text)).outcome;
    assert_eq!(end("Job \"GOLD\".\"ORAPIPE_1\" successfully completed at 16:45:27\n"), Outcome::Success);
    assert_eq!(end("Job \"GOLD\".\"ORAPIPE_1\" completed with 4 error(s) at 16:45:27\n"), Outcome::Failure);
    assert_eq!(
        end("Job \"GOLD\".\"ORAPIPE_1\" stopped due to fatal error at Fri Nov 20 01:02:00 2026\n"),
        Outcome::Failure
    );
    assert_eq!(
        end("O job \"GOLD\".\"ORAPIPE_1\" foi concludo com 3 erro(s) em Sex Nov 20 01:02:00 2026\n"),
        Outcome::Failure
    );
    assert_eq!(
        end("O job \"GOLD\".\"ORAPIPE_1\" foi concluído com sucesso em Sex Nov 20 01:02:00 2026\n"),
        Outcome::Success
    );
    assert_eq!(
        end(
            "O job \"GOLD\".\"ORAPIPE_1\" foi interrompido devido a erro fatal em Sex Nov 20 01:02:00 2026\n"
        ),
        Outcome::Failure
    );
    assert_eq!(
        end("El trabajo \"GOLD\".\"ORAPIPE_1\" ha terminado correctamente en Vie Nov 20 01:02:00 2026\n"),
        Outcome::Success
    );
    assert_eq!(
        end("El trabajo \"GOLD\".\"ORAPIPE_1\" ha terminado con 2 error(es) en Vie Nov 20 01:02:00 2026\n"),
        Outcome::Failure
    );
    assert_eq!(end("Job \"GOLD\".\"ORAPIPE_1\" mit 7 Fehler(n) beendet bei 01:02:00\n"), Outcome::Failure);
    assert_eq!(end(""), Outcome::Failure, "no final line");
    assert_eq!(end("Job \"GOLD\".\"OTHER\" successfully completed at 16:45:27\n"), Outcome::Failure);
}

#[test]
fn waits_for_space_are_a_warning_and_their_time_limit_is_a_failure() {
    let wait = "ORA-39171: Job is experiencing a resumable wait.\n\
                ORA-01653: unable to extend table GOLD.ORAPIPE_1 by 128 in tablespace USERS\n";
    let row = ". . exported \"GOLD\".\"B\"   1 KB  1 rows\n";
    let end = "Job \"GOLD\".\"ORAPIPE_1\" completed with 1 error(s) at 16:45:27\n";
    assert_eq!(verdict(&whole(&format!("{wait}{row}"), end)).outcome, Outcome::Warning);
    let out = "ORA-39171: Job is experiencing a resumable wait.\nORA-30032: the suspended (resumable) statement has timed out\n";
    assert_eq!(verdict(&whole(&format!("{out}{row}"), end)).outcome, Outcome::Failure);
}

#[test]
fn notes_are_told_and_change_nothing() {
    let log = whole(
        "ORA-39173: Encrypted data has been stored unencrypted in dump file set.\n. . exported \"GOLD\".\"B\"   1 KB  1 rows\n",
        DONE,
    );
    let verdict = verdict(&format!("UDE-28002: operation generated ORACLE error 28002\nORA-28002: the password will expire within 7 days\n{log}"));
    assert_eq!(verdict.outcome, Outcome::Success);
    let codes: Vec<_> = verdict.findings.iter().filter_map(|f| f.code.as_deref()).collect();
    assert_eq!(codes, ["UDE-28002", "ORA-39173"]);
    assert_eq!(
        super::of_log(&b"UDI-28002: operation generated ORACLE error 28002\n"[..]).unwrap().outcome,
        Outcome::Warning
    );
}

#[test]
fn what_never_started_is_a_failure() {
    for stack in [
        "ORA-39002: invalid operation\nORA-39070: Unable to open the log file.\nORA-39087: directory name DPX is invalid\n",
        "ORA-39001: invalid argument value\nORA-39000: bad dump file specification\nORA-31641: unable to create dump file \"/dp/x.dmp\"\nORA-27038: created file already exists\nAdditional information: 1\n",
        "UDE-01017: operation generated ORACLE error 1017\nORA-01017: invalid username/password; logon denied\n\nUsername: \nPassword: \n",
        "LRM-00101: unknown parameter name 'comressed'\n",
        "Username: \n",
        "",
    ] {
        assert_eq!(verdict(&format!("{BANNER}{stack}")).outcome, Outcome::Failure, "{stack}");
    }
    for noise in ["", "hello\nworld\n", "\0\0\0\n"] {
        let verdict = verdict(noise);
        assert_eq!(verdict.outcome, Outcome::Failure);
        assert!(verdict.findings[0].message.contains("proves nothing"));
    }
}

#[test]
fn every_line_may_carry_a_time_and_a_worker() {
    let log = format!(
        "{BANNER}20-NOV-26 01:00:03.191: {START}20-NOV-26 01:00:04.000: W-1 Startup took 0 seconds\n\
         20-NOV-26 01:00:05.000: W-2 . . exported \"GOLD\".\"B\"     37.81 KB    1112 rows in 0 seconds using external_table\n\
         20-NOV-26 01:00:06.000: Dump file set for GOLD.ORAPIPE_1 is:\n20-NOV-26 01:00:06.100:   /dp/a.dmp\n20-NOV-26 01:00:07.000: {DONE}"
    );
    let session = session(&log);
    assert_eq!((session.rows(), session.dumps.len()), (1112, 1));
    assert_eq!(verdict(&log).outcome, Outcome::Success);
}

#[test]
fn an_excerpt_without_trouble_is_no_failure() {
    let verdict = verdict(". . exported \"F\".\"W\"   37.81 KB    1112 rows\n");
    assert_eq!(verdict.outcome, Outcome::Success);
    assert!(verdict.findings[0].message.contains("excerpt"));
}

#[test]
fn no_rows_at_all_is_a_success_that_is_told() {
    let verdict = verdict(&whole("", DONE));
    assert_eq!(verdict.outcome, Outcome::Success);
    assert!(verdict.findings.iter().any(|f| f.level == Level::Warning && f.message.contains("no table")));
}

#[test]
fn the_worst_of_several_sessions_counts() {
    let good = whole(". . exported \"GOLD\".\"B\"   1 KB  1 rows\n", DONE);
    let bad = format!("{BANNER}{START}");
    assert_eq!(verdict(&format!("{bad}{good}")).outcome, Outcome::Failure);
    assert_eq!(verdict(&format!("{good}{good}")).outcome, Outcome::Success);
}

#[test]
fn line_ends_and_characters_of_other_systems_are_read() {
    let log = whole(". . exported \"GOLD\".\"B\"   1 KB  1 rows\n", DONE).replace('\n', "\r\n");
    assert_eq!(verdict(&log).outcome, Outcome::Success);
    let mut bytes = whole(". . exported \"GOLD\".\"B\"   1 KB  1 rows\n", "").into_bytes();
    bytes.extend_from_slice(
        b"O job \"GOLD\".\"ORAPIPE_1\" foi conclu\xeddo com sucesso em S\xe1b Nov 21 01:02:00 2026\n",
    );
    assert_eq!(of_log(bytes.as_slice()).unwrap().outcome, Outcome::Success);
}

#[test]
fn the_old_exp_ends_with_zero_after_warnings() {
    let rows = "Export: Release 9.2.0.8.0 - Production on Fri Nov 20 01:00:00 2026\n\nAbout to export specified tables via Conventional Path ...\n\
                . . exporting table                       CLIENTES         14 rows exported\n";
    let end = |text: &str| verdict(&format!("{rows}{text}")).outcome;
    assert_eq!(end("Export terminated successfully without warnings.\n"), Outcome::Success);
    assert_eq!(
        end("EXP-00091: Exporting questionable statistics.\nExport terminated successfully with warnings.\n"),
        Outcome::Warning
    );
    assert_eq!(end("EXP-00008: ORACLE error 1555 encountered\nORA-01555: snapshot too old\nExport terminated successfully with warnings.\n"), Outcome::Failure);
    assert_eq!(end("Export terminated unsuccessfully\n"), Outcome::Failure);
    assert_eq!(end(""), Outcome::Failure);
}

#[test]
fn an_unknown_code_is_not_passed_over() {
    let odd = "ORA-55555: something new\n. . exported \"GOLD\".\"B\"   1 KB  1 rows\n";
    assert_eq!(verdict(&whole(odd, DONE)).outcome, Outcome::Warning);
    let errors = "Job \"GOLD\".\"ORAPIPE_1\" completed with 1 error(s) at 16:45:27\n";
    assert_eq!(verdict(&whole(odd, errors)).outcome, Outcome::Failure);
}

proptest::proptest! {
    #[test]
    fn no_log_makes_it_fail(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let _verdict = of_log(bytes.as_slice()).unwrap();
    }

    #[test]
    fn a_cut_log_is_never_a_success(at in 0usize..700) {
        let log = whole(". . exported \"GOLD\".\"B\"   1 KB  1 rows\n", DONE);
        let end = log.rfind("Job \"").unwrap() + 60;
        let cut = &log.as_bytes()[..at.min(end)];
        let verdict = of_log(cut).unwrap();
        // Before the banner is whole it is not the log of anything.
        proptest::prop_assert!(verdict.outcome != Outcome::Success, "{}", String::from_utf8_lossy(cut));
    }
}
