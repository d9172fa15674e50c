//! A container database: names repeat, and a tablespace is put in backup mode only in its own container.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::{fs, path::Path};

use orasim::{
    engine::{BackupScope, Command, Engine, Recover, StartupMode, Until, Value},
    instance::{FileSpec, Instance, Spec, TablespaceSpec},
};
use support::{codes, Pair};

fn cdb(s: &mut Spec) {
    let dir = s.tablespaces[0].files[0].path.parent().unwrap().to_owned();
    s.pdbs = vec!["SALES".into(), "HR".into()];
    for pdb in ["SALES", "HR"] {
        for name in ["SYSTEM", "USERS"] {
            let path = dir.join(pdb).join(format!("{name}.dbf"));
            s.tablespaces.push(TablespaceSpec {
                pdb: Some(pdb.into()),
                ..TablespaceSpec::new(name, vec![FileSpec { path, bytes: 256 << 10 }])
            });
        }
    }
}

fn active(pair: &Pair) -> Vec<Value> {
    let view = pair.db.view("V$BACKUP", &None).unwrap().unwrap();
    view.rows.iter().filter(|r| r[1] == Value::Text("ACTIVE".into())).map(|r| r[0].clone()).collect()
}

#[test]
fn a_name_means_the_tablespace_of_the_own_container() {
    let pair = Pair::new(cdb);
    let view = pair.db.view("V$TABLESPACE", &None).unwrap().unwrap();
    let systems = view.rows.iter().filter(|r| r[1] == Value::Text("SYSTEM".into())).count();
    assert_eq!(systems, 4, "root, seed and two PDBs");
    let own = pair.db.view("DBA_DATA_FILES", &None).unwrap().unwrap().rows.len();
    let all = pair.db.view("CDB_DATA_FILES", &None).unwrap().unwrap().rows.len();
    assert_eq!((own, all), (6, 12));

    let users = BackupScope::Tablespace("USERS".into());
    assert_eq!(pair.run(Command::BeginBackup(users.clone())).unwrap_err().code(), 959);
    let mut session = None;
    pair.db.execute(&Command::SetContainer("HR".into()), &mut session).unwrap();
    pair.db.execute(&Command::BeginBackup(users.clone()), &mut session).unwrap();
    assert_eq!(active(&pair), [Value::Int(10)]);
    pair.db.execute(&Command::EndBackup(users), &mut session).unwrap();
    pair.begin();
    // All but the seed's two, the read-only and the offline one.
    assert_eq!(active(&pair).len(), 8);
    pair.end();
    assert_eq!(active(&pair).len(), 0);
}

#[test]
fn a_control_file_that_names_the_files_of_a_running_database_does_not_touch_them() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    // A standby whose files were not renamed sees nothing.
    let standby = pair.standby_control();
    pair.mount_standby(&standby).unwrap();
    let home = pair.path("other");
    let spec = |standby| Spec { name: "PROD".into(), sid: "OTHER".into(), standby, ..Spec::default() };
    let other = Instance::create(&home, &spec(true)).unwrap();
    fs::copy(&standby, home.join("control01.ctl")).unwrap();
    other.execute(&Command::Startup(StartupMode::Mount), &mut None).unwrap();
    let request = support::automatic(Until::End);
    assert_eq!(other.execute(&Command::Recover(request.clone()), &mut None).unwrap_err().code(), 1157);
    let headers = other.view("V$DATAFILE_HEADER", &None).unwrap().unwrap();
    assert_eq!(headers.rows[0][2], Value::Text("FILE NOT FOUND".into()));

    // A backup control file sees them, and they are locked.
    let backup = pair.path("backup.ctl");
    pair.run(Command::BackupControlfile { to: backup.clone(), reuse: false }).unwrap();
    assert_eq!(
        pair.run(Command::BackupControlfile { to: backup.clone(), reuse: false }).unwrap_err().code(),
        1580
    );
    other.crash();
    fs::copy(&backup, home.join("control01.ctl")).unwrap();
    other.execute(&Command::Startup(StartupMode::Mount), &mut None).unwrap();
    let open = other.execute(&Command::Open { read_only: false, resetlogs: false }, &mut None).unwrap_err();
    assert_eq!(codes(&open), [1589]);
    let request = Recover { standby: false, using_backup_controlfile: true, ..request };
    let error = other.execute(&Command::Recover(request), &mut None).unwrap_err();
    assert_eq!(codes(&error), [1157, 1110, 27086], "{error:?}");
    assert!(Path::new(&pair.db.datafiles()[&1]).exists());
    pair.db.write_batch(10).unwrap();
}
