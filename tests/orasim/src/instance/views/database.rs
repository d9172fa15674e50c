use super::{d, make, n, od, t, yes, Inner, OraError, State, Value, View};
use crate::{
    controlfile::{ContainerRec, Kind},
    engine::{Column, Container, Type},
    oratime,
};

pub(super) fn view(inner: &Inner, container: &Container, name: &str) -> Result<Option<View>, OraError> {
    Ok(Some(match name {
        "V$DATABASE" => v_database(inner)?,
        "V$INSTANCE" => v_instance(inner),
        "GV$INSTANCE" => gv_instance(inner),
        "V$THREAD" => v_thread(inner)?,
        "V$DATABASE_INCARNATION" => v_incarnation(inner)?,
        "V$CONTAINERS" => v_containers(inner, container)?,
        "V$PDBS" => v_pdbs(inner)?,
        "V$VERSION" => v_version(inner),
        "PRODUCT_COMPONENT_VERSION" => make(
            "PRODUCT v64,VERSION v64,VERSION_FULL v64,STATUS v64",
            vec![vec![
                t(format!("Oracle Database 19c {} ", inner.spec.edition)),
                t(inner.spec.version.clone()),
                t(inner.spec.version.clone()),
                t("Production"),
            ]],
        ),
        "V$OPTION" => v_option(inner),
        "V$CONTROLFILE" => make(
            "STATUS v7,NAME v513,IS_RECOVERY_DEST_FILE v3,BLOCK_SIZE n,FILE_SIZE_BLKS n,CON_ID n",
            inner
                .control_files()
                .iter()
                .map(|p| vec![Value::Null, t(p.to_string_lossy()), t("NO"), n(16384), n(646), n(0)])
                .collect(),
        ),
        "V$ENCRYPTION_WALLET" => make(
            "WRL_TYPE v20,WRL_PARAMETER v4000,STATUS v30,WALLET_TYPE v20,WALLET_ORDER v9,KEYSTORE_MODE v8,FULLY_BACKED_UP v9,CON_ID n",
            vec![vec![
                t("FILE"),
                t(inner.spec.parameters.get("wallet_root").cloned().unwrap_or_default()),
                t(if inner.spec.parameters.contains_key("wallet_root") { "OPEN" } else { "NOT_AVAILABLE" }),
                t("UNKNOWN"),
                t("SINGLE"),
                t("NONE"),
                t("UNDEFINED"),
                n(1),
            ]],
        ),
        "V$DATABASE_BLOCK_CORRUPTION" => make(
            "FILE# n,BLOCK# n,BLOCKS n,CORRUPTION_CHANGE# n,CORRUPTION_TYPE v9,CON_ID n",
            inner
                .corrupt
                .iter()
                .map(|(f, b, scn)| vec![n(*f), n(*b), n(1), n(*scn), t("NOLOGGING"), n(0)])
                .chain(
                    inner
                        .bad_blocks
                        .iter()
                        .map(|(f, b)| vec![n(*f), n(*b), n(1), n(0), t("CHECKSUM"), n(0)]),
                )
                .collect(),
        ),
        _ => return Ok(None),
    }))
}

fn v_database(inner: &Inner) -> Result<View, OraError> {
    let c = inner.control()?;
    let standby = c.kind == Kind::Standby;
    let i = c.incarnation().ok_or_else(super::super::not_mounted)?;
    let open_mode = match inner.state {
        State::Open => "READ WRITE",
        State::OpenReadOnly => "READ ONLY",
        _ => "MOUNTED",
    };
    let checkpoint = c
        .datafiles
        .iter()
        .filter(|f| !f.offline && !f.read_only)
        .map(|f| f.checkpoint_scn)
        .min()
        .unwrap_or(c.scn);
    let current = if inner.state == State::Mounted && !standby { 0 } else { inner.scn };
    let prior = c.incarnations.iter().find(|p| p.number == i.prior_number);
    let unique = inner.spec.unique_name.clone().unwrap_or_else(|| inner.spec.name.clone());
    Ok(make(
        "DBID n,NAME v9,CREATED d,RESETLOGS_CHANGE# n,RESETLOGS_TIME d,PRIOR_RESETLOGS_CHANGE# n,PRIOR_RESETLOGS_TIME d,\
         LOG_MODE v12,CHECKPOINT_CHANGE# n,ARCHIVE_CHANGE# n,CONTROLFILE_TYPE v7,CONTROLFILE_CREATED d,\
         CONTROLFILE_SEQUENCE# n,CONTROLFILE_CHANGE# n,CONTROLFILE_TIME d,OPEN_RESETLOGS v11,VERSION_TIME d,OPEN_MODE v20,\
         PROTECTION_MODE v20,PROTECTION_LEVEL v20,REMOTE_ARCHIVE v8,ACTIVATION# n,SWITCHOVER# n,DATABASE_ROLE v16,\
         ARCHIVELOG_CHANGE# n,ARCHIVELOG_COMPRESSION v8,SWITCHOVER_STATUS v20,DATAGUARD_BROKER v8,GUARD_STATUS v7,\
         SUPPLEMENTAL_LOG_DATA_MIN v8,FORCE_LOGGING v39,PLATFORM_ID n,PLATFORM_NAME v101,RECOVERY_TARGET_INCARNATION# n,\
         LAST_OPEN_INCARNATION# n,CURRENT_SCN n,FLASHBACK_ON v18,SUPPLEMENTAL_LOG_DATA_FK v3,DB_UNIQUE_NAME v30,\
         STANDBY_BECAME_PRIMARY_SCN n,FS_FAILOVER_STATUS v22,CONTROLFILE_CONVERTED v3,PRIMARY_DB_UNIQUE_NAME v30,CDB v3,\
         CON_ID n,PENDING_ROLE_CHANGE_TASKS v512,CON_DBID n,FORCE_FULL_DB_CACHING v3",
        vec![vec![
            n(c.dbid),
            t(c.name.clone()),
            d(c.created),
            n(i.resetlogs_scn),
            d(i.resetlogs_time),
            n(prior.map_or(0, |p| p.resetlogs_scn)),
            od(prior.map(|p| p.resetlogs_time)),
            t(if c.archivelog { "ARCHIVELOG" } else { "NOARCHIVELOG" }),
            n(checkpoint),
            n(c.archived.last().map_or(0, |a| a.first_scn)),
            t(match c.kind {
                Kind::Current => "CURRENT",
                Kind::Standby => "STANDBY",
                Kind::Backup => "BACKUP",
            }),
            d(c.created),
            n(c.sequence),
            n(c.scn),
            d(c.time),
            t(if c.kind == Kind::Backup { "REQUIRED" } else { "NOT ALLOWED" }),
            d(c.created),
            t(open_mode),
            t(inner.faults.protection_mode.as_deref().unwrap_or("MAXIMUM PERFORMANCE")),
            t(if c.archivelog { "MAXIMUM PERFORMANCE" } else { "UNPROTECTED" }),
            t("ENABLED"),
            n(c.activation),
            n(c.activation),
            t(if standby { "PHYSICAL STANDBY" } else { "PRIMARY" }),
            n(c.archived.last().map_or(0, |a| a.next_scn)),
            t("DISABLED"),
            t("NOT ALLOWED"),
            t("DISABLED"),
            t("NONE"),
            t("NO"),
            yes(c.force_logging),
            n(13),
            t(inner.spec.platform.clone()),
            n(i.number),
            n(i.number),
            n(current),
            t("NO"),
            t("NO"),
            t(unique.clone()),
            n(0),
            t("DISABLED"),
            t("NO"),
            if standby { Value::Null } else { t(unique) },
            yes(!c.containers.is_empty()),
            n(0),
            t("NOT APPLICABLE"),
            n(c.dbid),
            t("NO"),
        ]],
    ))
}

fn v_instance(inner: &Inner) -> View {
    let status = match inner.state {
        State::Nomount | State::Down => "STARTED",
        State::Mounted => "MOUNTED",
        State::OpenReadOnly | State::Open => "OPEN",
    };
    let standby = inner.control.as_ref().is_some_and(|c| c.data.kind == Kind::Standby);
    let archiver = if inner.dest_errors.is_empty() { "STARTED" } else { "FAILED" };
    make(
        "INSTANCE_NUMBER n,INSTANCE_NAME v16,HOST_NAME v64,VERSION v17,VERSION_LEGACY v17,VERSION_FULL v17,STARTUP_TIME d,STATUS v12,PARALLEL v3,THREAD# n,\
         ARCHIVER v7,LOG_SWITCH_WAIT v15,LOGINS v10,SHUTDOWN_PENDING v3,DATABASE_STATUS v17,INSTANCE_ROLE v18,\
         ACTIVE_STATE v9,BLOCKED v3,CON_ID n,INSTANCE_MODE v11,EDITION v7,FAMILY v80,DATABASE_TYPE v15",
        vec![vec![
            n(1),
            t(inner.spec.sid.clone()),
            t(rustix::system::uname().nodename().to_string_lossy()),
            t(inner.spec.version.clone()),
            t(inner.spec.version.clone()),
            t(inner.spec.version.clone()),
            d(inner.started),
            t(status),
            yes(inner.spec.threads > 1),
            n(u32::from(inner.state >= State::Mounted)),
            t(archiver),
            if inner.dest_errors.is_empty() { Value::Null } else { t("ARCHIVE LOG") },
            t("ALLOWED"),
            t("NO"),
            t("ACTIVE"),
            t(match (standby, inner.state) {
                (_, State::Nomount | State::Down) => "UNKNOWN",
                (true, _) => "STANDBY_INSTANCE",
                (false, _) => "PRIMARY_INSTANCE",
            }),
            t("NORMAL"),
            t("NO"),
            n(0),
            t("REGULAR"),
            t(if inner.spec.edition.starts_with("Enterprise") { "EE" } else { "SE" }),
            Value::Null,
            t(if inner.spec.threads > 1 { "RAC" } else { "SINGLE" }),
        ]],
    )
}

fn gv_instance(inner: &Inner) -> View {
    let mut view = v_instance(inner);
    view.columns.insert(0, Column { name: "INST_ID", ty: Type::Number });
    let first = view.rows.pop().unwrap_or_default();
    view.rows = (1..=1 + inner.faults.other_instances)
        .map(|i| std::iter::once(n(i)).chain(first.iter().cloned()).collect())
        .collect();
    view
}

fn v_thread(inner: &Inner) -> Result<View, OraError> {
    let c = inner.control()?;
    let enabled = c.incarnation();
    let rows = c
        .threads
        .iter()
        .map(|th| {
            let log = c.logs.iter().find(|l| l.group == th.current_group);
            let groups = c.logs.iter().filter(|l| l.thread == th.thread).count();
            vec![
                n(th.thread),
                t(if inner.state == State::Open { "OPEN" } else { "CLOSED" }),
                t(if th.enabled { "PUBLIC" } else { "DISABLED" }),
                n(groups),
                t(format!(
                    "{}{}",
                    inner.spec.sid,
                    if c.threads.len() > 1 { th.thread.to_string() } else { String::new() }
                )),
                d(inner.started),
                n(th.current_group),
                n(th.sequence),
                n(th.checkpoint_scn),
                d(th.checkpoint_time),
                n(enabled.map_or(0, |i| i.resetlogs_scn)),
                od(enabled.map(|i| i.resetlogs_time)),
                n(0),
                Value::Null,
                n(log.map_or(0, |_| inner.scn)),
                d(oratime::now()),
                n(0),
            ]
        })
        .collect();
    Ok(make(
        "THREAD# n,STATUS v6,ENABLED v8,GROUPS n,INSTANCE v80,OPEN_TIME d,CURRENT_GROUP# n,SEQUENCE# n,\
         CHECKPOINT_CHANGE# n,CHECKPOINT_TIME d,ENABLE_CHANGE# n,ENABLE_TIME d,DISABLE_CHANGE# n,DISABLE_TIME d,\
         LAST_REDO_CHANGE# n,LAST_REDO_TIME d,CON_ID n",
        rows,
    ))
}

fn v_incarnation(inner: &Inner) -> Result<View, OraError> {
    let c = inner.control()?;
    let line: Vec<u32> = c.lineage().iter().map(|(i, _)| i.number).collect();
    let rows = c
        .incarnations
        .iter()
        .map(|i| {
            vec![
                n(i.number),
                n(i.resetlogs_scn),
                d(i.resetlogs_time),
                n(i.prior_scn),
                od(i.prior_time),
                t(match (i.current, line.contains(&i.number)) {
                    (true, _) => "CURRENT",
                    (false, true) => "PARENT",
                    (false, false) => "ORPHAN",
                }),
                n(i.resetlogs_id),
                n(i.prior_number),
                t("NO"),
                n(0),
            ]
        })
        .collect();
    Ok(make(
        "INCARNATION# n,RESETLOGS_CHANGE# n,RESETLOGS_TIME d,PRIOR_RESETLOGS_CHANGE# n,PRIOR_RESETLOGS_TIME d,STATUS v7,\
         RESETLOGS_ID n,PRIOR_INCARNATION# n,FLASHBACK_DATABASE_ALLOWED v26,CON_ID n",
        rows,
    ))
}

fn v_containers(inner: &Inner, container: &Container) -> Result<View, OraError> {
    let c = inner.control()?;
    let own = inner.con_id(container)?;
    let rows = if c.containers.is_empty() {
        vec![vec![n(0), n(c.dbid), n(c.dbid), t(c.name.clone()), t(open_mode(inner, "READ WRITE")), t("NO")]]
    } else {
        c.containers
            .iter()
            .filter(|k| own == 1 || k.con_id == own)
            .map(|k| {
                vec![n(k.con_id), n(k.dbid), n(k.dbid), t(k.name.clone()), t(pdb_mode(inner, k)), t("NO")]
            })
            .collect()
    };
    Ok(make("CON_ID n,DBID n,CON_UID n,NAME v128,OPEN_MODE v10,RESTRICTED v3", rows))
}

fn open_mode(inner: &Inner, when_open: &str) -> String {
    match inner.state {
        State::Open => when_open.to_owned(),
        State::OpenReadOnly => "READ ONLY".to_owned(),
        _ => "MOUNTED".to_owned(),
    }
}

fn pdb_mode(inner: &Inner, k: &ContainerRec) -> String {
    let closed = inner.state == State::OpenReadOnly && k.con_id > 2 && !inner.pdbs_open.contains(&k.con_id);
    if closed {
        "MOUNTED".to_owned()
    } else {
        open_mode(inner, &k.open_mode)
    }
}

fn v_pdbs(inner: &Inner) -> Result<View, OraError> {
    let c = inner.control()?;
    let rows = c
        .containers
        .iter()
        .filter(|k| k.con_id > 1)
        .map(|k| {
            let size: u64 =
                c.datafiles.iter().filter(|f| f.con_id == k.con_id).map(|f| u64::from(f.blocks) * 8192).sum();
            vec![
                n(k.con_id),
                n(k.dbid),
                n(k.dbid),
                t(k.name.clone()),
                t(pdb_mode(inner, k)),
                t("NO"),
                Value::Null,
                n(size),
                n(8192),
                t("ENABLED"),
            ]
        })
        .collect();
    Ok(make(
        "CON_ID n,DBID n,CON_UID n,NAME v128,OPEN_MODE v10,RESTRICTED v3,OPEN_TIME d,TOTAL_SIZE n,BLOCK_SIZE n,RECOVERY_STATUS v8",
        rows,
    ))
}

fn v_version(inner: &Inner) -> View {
    let banner =
        format!("Oracle Database 19c {} Release {} - Production", inner.spec.edition, inner.spec.version);
    make(
        "BANNER v80,BANNER_FULL v160,BANNER_LEGACY v80,CON_ID n",
        vec![vec![
            t(banner.clone()),
            t(format!("{banner}\nVersion {}", inner.spec.version)),
            t(banner),
            n(0),
        ]],
    )
}

fn v_option(inner: &Inner) -> View {
    let enterprise = inner.spec.edition.starts_with("Enterprise");
    let on = |v: bool| t(if v { "TRUE" } else { "FALSE" });
    let rows = [
        ("Partitioning", enterprise),
        ("Real Application Clusters", inner.spec.threads > 1),
        ("Managed Standby", enterprise),
        ("Active Data Guard", enterprise),
        ("Fast-Start Fault Recovery", enterprise),
        ("Block Change Tracking", enterprise),
        ("Flashback Database", enterprise),
        ("Parallel backup and recovery", enterprise),
        ("Backup Encryption", enterprise),
        ("Transparent Data Encryption", enterprise),
    ];
    make(
        "PARAMETER v64,VALUE v64,CON_ID n",
        rows.iter().map(|(name, v)| vec![t(*name), on(*v), n(0)]).collect(),
    )
}
