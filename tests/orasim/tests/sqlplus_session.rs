//! SQL*Plus as a script meets it: what it prints, what it eats, and the status it leaves.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orasim::instance::{FileSpec, Instance, Spec, TablespaceKind, TablespaceSpec};
use orasim::journal;
use orasim::server::admin::Admin;
use orasim::server::fault::{Fault, Kind, When};
use orasim::server::front::Front;
use orasim::server::{physics, Core};
use orasim::sqlplus::{run, Process};

const LONG: &str = "a_directory_with_a_name_that_is_long_enough_to_be_cut_in_the_middle_of_it_when_shown";

struct Site {
    dir: tempfile::TempDir,
    core: Arc<Core>,
    instance: Arc<Instance>,
    env: BTreeMap<String, String>,
}

impl Site {
    fn with(front: &Front) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("db");
        let file = |name: &str| FileSpec { path: dir.path().join(LONG).join(name), bytes: 512 << 10 };
        let undo = TablespaceSpec {
            kind: TablespaceKind::Undo,
            ..TablespaceSpec::new("UNDOTBS1", vec![file("undo01.dbf")])
        };
        let spec = Spec {
            tablespaces: vec![
                TablespaceSpec::new("SYSTEM", vec![file("system01.dbf")]),
                undo,
                TablespaceSpec::new("USERS", vec![file("users01.dbf")]),
            ],
            changes_per_second: 0,
            ..Spec::default()
        };
        let instance = Instance::create(&at, &spec).unwrap();
        front.save(&at).unwrap();
        let core = Core::with(&instance).unwrap();
        Self { dir, core, instance, env: BTreeMap::new() }
    }

    fn new() -> Self {
        Self::with(&Front::default())
    }

    fn bytes(&self, args: &str, script: &str) -> (i32, Vec<u8>) {
        let process = Process {
            argv: args.split(' ').map(str::to_string).collect(),
            env: self.env.clone(),
            cwd: self.dir.path().to_path_buf(),
            pid: 4711,
            ppid: 1,
            core: Some(Arc::clone(&self.core)),
        };
        let mut out = Vec::new();
        let status = run(&process, &mut script.as_bytes(), &mut out);
        (status, out)
    }

    fn sqlplus(&self, args: &str, script: &str) -> (i32, String) {
        let (status, bytes) = self.bytes(args, script);
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    fn dba(&self, script: &str) -> (i32, String) {
        self.sqlplus("-S -L / as sysdba", script)
    }

    fn fault(&self, pattern: &str, kind: Kind) {
        self.core
            .admin(&Admin::AddFault(Fault { pattern: pattern.into(), kind, times: Some(1), skip: 0 }))
            .unwrap();
    }
}

#[test]
fn sp2_errors_leave_status_zero() {
    let site = Site::new();
    let (status, out) = site.sqlplus(
        "-S /nolog",
        "whenever sqlerror exit failure\nselect 1 from dual;\nfrobnicate\nset wibble\nprompt end\n",
    );
    assert_eq!(status, 0);
    assert_eq!(
        out,
        "SP2-0640: Not connected\nSP2-0042: unknown command \"frobnicate\" - rest of line ignored.\nSP2-0158: unknown SET option \"wibble\"\nend\n"
    );
}

#[test]
fn sqlcode_is_cut_to_one_byte() {
    let site = Site::new();
    let error = |code, text: &str| Kind::Error { code, text: text.into() };
    site.fault("dual", error(1536, "space quota exceeded for tablespace 'USERS'"));
    let script = "whenever sqlerror exit sql.sqlcode\nselect 1 from dual;\nprompt not reached\n";
    let (status, out) = site.dba(script);
    assert_eq!(status, 0);
    assert!(out.contains("ORA-01536") && !out.contains("not reached"), "{out}");
    let (status, _) = site.dba("whenever sqlerror exit sql.sqlcode\nselect 1 from nowhere;\n");
    assert_eq!(status, 942 % 256);
    assert_eq!(site.dba("whenever sqlerror exit failure rollback\nselect 1 from nowhere;\n").0, 1);
    assert_eq!(site.dba("select 1 from nowhere;\n").0, 0);
}

#[test]
fn error_shows_line_and_place() {
    let site = Site::new();
    let (_, out) = site.dba("select name,\n       nope\n  from v$database;\n");
    assert_eq!(out, "       nope\n       *\nERROR at line 2:\nORA-00904: \"NOPE\": invalid identifier\n\n\n");
}

#[test]
fn headings_come_again_after_eleven_rows() {
    let site = Site::new();
    let (_, out) = site.dba("select level n from dual connect by level <= 12;\n");
    let heading = "\n\t N\n----------\n";
    assert_eq!(out.matches(heading).count(), 2, "{out}");
    assert!(out.ends_with(&format!("\t11\n{heading}\t12\n\n12 rows selected.\n\n")), "{out:?}");
    let (_, out) = site.dba("set pages 0 feedback off\nselect level n from dual connect by level <= 12;\n");
    assert_eq!(out.lines().count(), 12);
}

#[test]
fn a_path_is_cut_at_eighty() {
    let site = Site::new();
    let path = site.dir.path().join(LONG).join("users01.dbf").display().to_string();
    let query = "select name from v$datafile where name like '%users01%';\n";
    let (_, out) = site.dba(&format!("set pages 0 feedback off\n{query}"));
    assert!(!out.contains(&path) && out.starts_with(&path[..80]), "{out}");
    let (_, out) = site.dba(&format!("set pages 0 feedback off linesize 32767\n{query}"));
    assert_eq!(out, format!("{path}\n"));
}

#[test]
fn an_scn_of_twelve_digits_needs_to_char() {
    let site = Site::new();
    let (_, out) = site.dba("set pages 0 feedback off tab off\nselect 959994799549 s from dual;\nselect to_char(959994799549) s from dual;\n");
    assert_eq!(out, "9.5999E+11\n959994799549\n");
    let (_, out) =
        site.dba("col s format 9999\nset pages 0 feedback off tab off\nselect 959994799549 s from dual;\n");
    assert_eq!(out, "#####\n");
}

#[test]
fn prompts_eat_lines() {
    let site = Site::new();
    let (_, out) = site
        .dba("set pages 0 feedback off\nselect '&x' v from dual;\nselect 'lost' v from dual;\nprompt next\n");
    assert_eq!(out.matches("lost").count(), 2, "only in old and new: {out}");
    assert!(out.starts_with("Enter value for x: old   1: select '&x' v from dual\nnew   1:"), "{out}");
    // Without -L a wrong password turns the script into answers.
    let (status, out) = site
        .sqlplus("-S system/wrong", "select 'one' v from dual;\nselect 'two' v from dual;\nprompt three\n");
    assert_eq!(status, 1);
    assert!(
        out.contains("Enter user-name: ") && out.contains("SP2-0306") && !out.contains("three\n"),
        "{out}"
    );
    let (status, out) = site.sqlplus("-S -L system/wrong", "prompt never\n");
    assert_eq!(status, 1);
    assert_eq!(out, "ERROR:\nORA-01017: invalid username/password; logon denied\n\n\nSP2-0751: Unable to connect to Oracle.  Exiting SQL*Plus\n");
}

#[test]
fn a_failed_connect_drops_the_session() {
    let site = Site::new();
    let (status, out) = site.dba("whenever sqlerror exit failure\nconnect system/\"wrong\"\nselect 1 from dual;\nconnect system/\"manager\"\nshow user\n");
    assert_eq!(status, 0);
    assert!(out.ends_with("Warning: You are no longer connected to ORACLE.\nSP2-0640: Not connected\nConnected.\nUSER is \"SYSTEM\"\n"), "{out}");
}

#[test]
fn csv_only_since_12_2() {
    let site = Site::new();
    let script = "set markup csv on\nset feedback off\nselect name, 'a\"b' t, 7 n, null e from v$database;\n";
    assert_eq!(site.dba(script).1, "\n\"NAME\",\"T\",\"N\",\"E\"\n\"ORCL\",\"a\"\"b\",7,\n");
    let old = Site::with(&Front { release: "11.2.0.4.0".into(), ..Front::default() });
    let (status, out) = old.dba(script);
    assert!(status == 0 && out.starts_with("SP2-0158") && out.contains("ORCL"), "{out}");
}

#[test]
fn glogin_runs_before_and_after_connect() {
    let mut site = Site::new();
    let home = site.dir.path().join("home");
    std::fs::create_dir_all(home.join("sqlplus/admin")).unwrap();
    std::fs::write(
        home.join("sqlplus/admin/glogin.sql"),
        "prompt noise\nselect 1 from dual;\nset pagesize 50\n",
    )
    .unwrap();
    site.env.insert("ORACLE_HOME".into(), home.display().to_string());
    let (_, out) =
        site.sqlplus("-S /nolog", "show pagesize\nset pagesize 0\nconnect / as sysdba\nshow pagesize\n");
    assert!(out.starts_with("noise\nSP2-0640: Not connected\npagesize 50\nConnected.\nnoise\n"), "{out}");
    assert!(out.ends_with("pagesize 50\n"), "{out}");
}

#[test]
fn portuguese_in_its_bytes() {
    let front =
        Front { nls_lang: Some("BRAZILIAN PORTUGUESE_BRAZIL.WE8MSWIN1252".into()), ..Front::default() };
    let mut site = Site::with(&front);
    let script = "alter session set nls_language='AMERICAN';\nselect 1 from nowhere;\n";
    let (_, out) = site.bytes("-S -L / as sysdba", "select 1 from nowhere;\n");
    let wanted = b"ERRO na linha 1:\nORA-00942: a tabela ou view n\xe3o existe\n";
    assert!(out.windows(wanted.len()).any(|w| w == wanted), "{}", String::from_utf8_lossy(&out));
    assert!(!out.windows(5).any(|w| w == b"ERROR"));
    site.env.insert("NLS_LANG".into(), "AMERICAN_AMERICA.AL32UTF8".into());
    assert!(site.dba(script).1.contains("ERROR at line 1:\nORA-00942: table or view does not exist"));
    site.env.insert("NLS_LANG".into(), "BRAZILIAN PORTUGUESE_BRAZIL.AL32UTF8".into());
    assert!(site.dba("select 1 from nowhere;\n").1.contains("não existe"));
}

#[test]
fn an_empty_line_ends_a_statement_unrun() {
    let site = Site::new();
    assert_eq!(
        site.dba("set pages 0 feedback off\nselect 'ran' v\n\nfrom dual;\nprompt x\n").1,
        "SP2-0734: unknown command beginning \"from dual;\" - rest of line ignored.\nx\n"
    );
    assert_eq!(
        site.dba("set pages 0 feedback off sqlblanklines on\nselect 'ran' v\n\nfrom dual;\n").1,
        "ran\n"
    );
    // A hyphen at the end of a SQL*Plus command takes the next line with it.
    assert_eq!(site.dba("prompt one -\nprompt two\n").1, "one  prompt two\n");
}

#[test]
fn a_warning_is_a_working_session_and_an_expired_password_is_not() {
    let site = Site::new();
    site.fault("", Kind::ExpireWarning { days: 5 });
    let (_, out) = site.sqlplus("-S -L system/manager", "show user\n");
    assert_eq!(out, "ERROR:\nORA-28002: the password will expire within 5 days\n\n\nUSER is \"SYSTEM\"\n");
    site.fault("", Kind::Expired);
    let (_, out) =
        site.sqlplus("-S -L system/manager", "select 'a' from dual;\nselect 'b' from dual;\nshow user\n");
    assert!(out.contains("New password: ") && !out.contains("USER is"), "{out}");
}

#[test]
fn lost_sessions_and_journal() {
    let site = Site::new();
    let begin = "alter tablespace users begin backup;\n";
    site.fault("begin backup", Kind::KillSession { when: When::After });
    let (status, out) = site.dba(&format!("whenever sqlerror continue\n{begin}select 1 from dual;\n"));
    assert!(status == 0 && out.contains("ORA-03113") && out.contains("ORA-03114"), "{out}");
    let dir = site.instance.dir();
    let calls = journal::read(&dir).unwrap();
    assert!(journal::every_begin_has_its_end(&calls).unwrap_err().contains("USERS"));
    assert!(site.dba("alter tablespace users end backup;\n").1.contains("Tablespace altered."));
    let calls = journal::read(&dir).unwrap();
    journal::every_begin_has_its_end(&calls).unwrap();
    assert_eq!(calls[0].argv, ["-S", "-L", "/", "as", "sysdba"]);
    site.sqlplus("-S -L system/manager", "");
    let calls = journal::read(&dir).unwrap();
    assert!(journal::no_secret_in_argv(&calls, &["manager"]).is_err());
    site.fault("checkpoint", Kind::Crash { when: When::Before });
    let (_, out) = site.dba("alter system checkpoint;\nconnect / as sysdba\nselect 1 from dual;\n");
    assert!(
        out.contains("ORA-03113")
            && out.contains("Connected to an idle instance.")
            && out.contains("ORA-01034"),
        "{out}"
    );
}

#[test]
fn a_hang_lasts_as_long_as_it_is_told() {
    let site = Site::new();
    site.fault("dual", Kind::Hang { seconds: Some(0.5), when: When::Before });
    let start = std::time::Instant::now();
    assert!(site.dba("set pages 0 feedback off\nselect 'late' v from dual;\n").1.contains("late"));
    assert!((0.5..5.0).contains(&start.elapsed().as_secs_f64()));
}

fn arrive(from: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).unwrap();
    let target = to.join(from.file_name().unwrap());
    std::fs::copy(from, &target).unwrap();
    target
}

#[test]
fn a_backup_through_sqlplus_recovers_to_the_truth() {
    let site = Site::new();
    let list = |sql: &str| -> Vec<String> {
        let script = format!("set pages 0 feedback off lines 32767 tab off trimout on\n{sql}\n");
        site.dba(&script).1.lines().map(str::to_string).collect()
    };
    let standby = site.dir.path().join("standby");
    let copies = standby.join("data");
    let mut renames = String::new();
    for tablespace in ["SYSTEM", "UNDOTBS1", "USERS"] {
        assert!(site.dba(&format!("alter tablespace {tablespace} begin backup;\n")).1.contains("altered"));
        site.instance.write_batch(40).unwrap();
        for file in list(&format!("select d.name from v$datafile d, v$tablespace t where t.ts# = d.ts# and t.name = '{tablespace}';")) {
            let to = arrive(Path::new(&file), &copies);
            renames.push_str(&format!("alter database rename file '{file}' to '{}';\n", to.display()));
        }
        site.instance.write_batch(40).unwrap();
        assert!(site.dba(&format!("alter tablespace {tablespace} end backup;\n")).1.contains("altered"));
    }
    site.instance.write_batch(30).unwrap();
    let control = standby.join("control01.ctl");
    site.dba(&format!(
        "alter database create standby controlfile as '{}' reuse;\nalter system archive log current;\n",
        control.display()
    ));
    let arch = standby.join("arch");
    for log in list("select name from v$archived_log where name is not null;") {
        arrive(Path::new(&log), &arch);
    }
    let spec = Spec { standby: true, control_files: vec![control], dests: vec![], ..site.instance.spec() };
    let other = Instance::create(&standby, &spec).unwrap();
    let core = Core::with(&other).unwrap();
    let far = Site { dir: tempfile::tempdir().unwrap(), core, instance: other, env: BTreeMap::new() };
    let (_, out) = far.dba(&format!(
        "startup nomount\nalter database mount standby database;\n{renames}alter database recover automatic from '{0}' standby database;\nalter database recover cancel;\n",
        arch.display()
    ));
    assert!(out.contains("ORACLE instance started.") && out.contains("ORA-00308"), "{out}");
    let reached = far
        .core
        .admin(&Admin::Sql { text: "select to_char(max(checkpoint_change#)) from v$datafile_header".into() })
        .unwrap();
    let files = far.instance.datafiles();
    let comparison = orasim::truth::compare(&site.instance.dir(), &files, reached.parse().unwrap()).unwrap();
    assert!(comparison.equal(), "{:?}", comparison.explain());
    // The prompt of RECOVER takes the next line of the script.
    let (_, out) = far.dba("recover standby database\ncancel\nprompt after\n");
    assert!(
        out.contains(
            "Specify log: {<RET>=suggested | filename | AUTO | CANCEL}\nMedia recovery cancelled.\nafter\n"
        ),
        "{out}"
    );
    far.instance.crash();
    let comparison = physics::compare(&site.instance.dir(), &standby, None).unwrap();
    assert!(comparison.equal(), "{:?}", comparison.explain());
}
