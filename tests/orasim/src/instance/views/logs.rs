use super::{d, make, n, od, t, yes, Inner, OraError, Rows, State, Value, View};
use crate::controlfile::{Archived, ControlFile, Kind, LogStatus};

pub(super) fn view(inner: &Inner, name: &str) -> Result<Option<View>, OraError> {
    match name {
        "V$MANAGED_STANDBY" => return Ok(Some(managed_standby(inner))),
        "V$DATAGUARD_PROCESS" => return Ok(Some(dataguard_process(inner))),
        "V$ARCHIVE_PROCESSES" => {
            return Ok(Some(make(
                "PROCESS n,STATUS v10,LOG_SEQUENCE n,STATE v4,ROLES v36,CON_ID n",
                (0..4).map(|i| vec![n(i), t("ACTIVE"), n(0), t("IDLE"), Value::Null, n(0)]).collect(),
            )))
        }
        _ => {}
    }
    let c = match inner.control() {
        Ok(c) => c,
        Err(e) if inner.state == State::Down => return Err(e),
        Err(_) => return Ok(None),
    };
    Ok(Some(match name {
        "V$LOG" => v_log(inner, c),
        "V$LOGFILE" => make(
            "GROUP# n,STATUS v7,TYPE v7,MEMBER v513,IS_RECOVERY_DEST_FILE v3,CON_ID n",
            c.logs
                .iter()
                .map(|l| vec![n(l.group), Value::Null, t("ONLINE"), t(l.path.to_string_lossy()), t("NO"), n(0)])
                .collect(),
        ),
        "V$STANDBY_LOG" => make(
            "GROUP# n,DBID v40,THREAD# n,SEQUENCE# n,BYTES n,BLOCKSIZE n,USED n,ARCHIVED v3,STATUS v10,FIRST_CHANGE# n,\
             FIRST_TIME d,NEXT_CHANGE# n,NEXT_TIME d,LAST_CHANGE# n,LAST_TIME d,CON_ID n",
            Vec::new(),
        ),
        "V$ARCHIVED_LOG" => v_archived_log(c),
        "V$LOG_HISTORY" => make(
            "RECID n,STAMP n,THREAD# n,SEQUENCE# n,FIRST_CHANGE# n,FIRST_TIME d,NEXT_CHANGE# n,RESETLOGS_CHANGE# n,RESETLOGS_TIME d,CON_ID n",
            c.history
                .iter()
                .map(|h| {
                    vec![
                        n(h.recid),
                        n(crate::oratime::pack(h.first_time)),
                        n(h.thread),
                        n(h.sequence),
                        n(h.first_scn),
                        d(h.first_time),
                        n(h.next_scn),
                        n(h.resetlogs_scn),
                        d(h.resetlogs_time),
                        n(0),
                    ]
                })
                .collect(),
        ),
        "V$ARCHIVE_DEST" => archive_dest(inner, c),
        "V$ARCHIVE_DEST_STATUS" => archive_dest_status(inner, c),
        // As on a real standby that nobody recovers managed: empty whatever is missing.
        "V$ARCHIVE_GAP" => make("THREAD# n,LOW_SEQUENCE# n,HIGH_SEQUENCE# n,CON_ID n", Vec::new()),
        "V$RECOVERY_LOG" => make("THREAD# n,SEQUENCE# n,TIME d,ARCHIVE_NAME v513,CON_ID n", inner.recovery_log_rows()),
        "V$RECOVERY_FILE_DEST" => recovery_file_dest(inner),
        _ => return Ok(None),
    }))
}

fn v_log(inner: &Inner, c: &ControlFile) -> View {
    let standby = c.kind == Kind::Standby;
    let rows = c
        .logs
        .iter()
        .map(|l| {
            let status = match l.status {
                LogStatus::Unused => "UNUSED",
                LogStatus::Current => "CURRENT",
                LogStatus::Active => "ACTIVE",
                LogStatus::Inactive => "INACTIVE",
            };
            let next = match l.status {
                // "No end yet" is 9295429630892703743 in 19c, more than a signed number holds.
                LogStatus::Current => Value::Int(i64::MAX),
                _ => l.next_scn.map_or(n(0), n),
            };
            vec![
                n(l.group),
                n(l.thread),
                n(l.sequence),
                n(l.bytes),
                n(c.redo_block_size),
                n(1),
                yes(l.archived && l.status != LogStatus::Unused),
                t(if standby { "CLEARING" } else { status }),
                n(l.first_scn),
                d(l.first_time),
                next,
                od(l.next_time),
                n(0),
            ]
        })
        .collect();
    let _ = inner;
    make(
        "GROUP# n,THREAD# n,SEQUENCE# n,BYTES n,BLOCKSIZE n,MEMBERS n,ARCHIVED v3,STATUS v16,FIRST_CHANGE# n,FIRST_TIME d,\
         NEXT_CHANGE# n,NEXT_TIME d,CON_ID n",
        rows,
    )
}

fn archived_row(a: &Archived) -> Vec<Value> {
    vec![
        n(a.recid),
        n(a.stamp),
        a.name.clone().map_or(Value::Null, Value::Text),
        n(a.dest_id),
        n(a.thread),
        n(a.sequence),
        n(a.resetlogs_scn),
        d(a.resetlogs_time),
        n(a.resetlogs_id),
        n(a.first_scn),
        d(a.first_time),
        n(a.next_scn),
        d(a.next_time),
        n(a.blocks),
        n(a.block_size),
        t(a.creator.clone()),
        t(a.registrar.clone()),
        yes(a.standby_dest),
        t("YES"),
        yes(a.applied),
        yes(a.deleted),
        t(if a.deleted { "D" } else { "A" }),
        d(a.completion),
        t("NO"),
        t("NO"),
        t("NO"),
        n(0),
        n(0),
        n(a.activation),
        yes(a.in_recovery_area),
        t("NO"),
        t("NO"),
        t("NO"),
        t("NO"),
        n(0),
    ]
}

fn v_archived_log(c: &ControlFile) -> View {
    make(
        "RECID n,STAMP n,NAME v513,DEST_ID n,THREAD# n,SEQUENCE# n,RESETLOGS_CHANGE# n,RESETLOGS_TIME d,RESETLOGS_ID n,\
         FIRST_CHANGE# n,FIRST_TIME d,NEXT_CHANGE# n,NEXT_TIME d,BLOCKS n,BLOCK_SIZE n,CREATOR v7,REGISTRAR v7,\
         STANDBY_DEST v3,ARCHIVED v3,APPLIED v9,DELETED v3,STATUS v1,COMPLETION_TIME d,DICTIONARY_BEGIN v3,\
         DICTIONARY_END v3,END_OF_REDO v3,BACKUP_COUNT n,ARCHIVAL_THREAD# n,ACTIVATION# n,IS_RECOVERY_DEST_FILE v3,\
         COMPRESSED v3,FAL v3,END_OF_REDO_TYPE v10,BACKED_BY_VSS v3,CON_ID n",
        c.archived.iter().map(archived_row).collect(),
    )
}

fn archive_dest(inner: &Inner, c: &ControlFile) -> View {
    let dests = inner.dests();
    let rows: Rows = (1..=31u32)
        .map(|id| {
            let dest = dests.iter().find(|x| x.id == id);
            let error = inner.dest_errors.get(&id);
            let status = match (dest, error) {
                (None, _) => "INACTIVE",
                (Some(_), Some(_)) => "ERROR",
                (Some(_), None) => "VALID",
            };
            let last = c.archived.iter().rev().find(|a| a.dest_id == id).map_or(0, |a| a.sequence);
            let place = dest.map(|x| match (&x.service, &x.directory) {
                (Some(service), _) => service.clone(),
                (_, Some(_)) if x.omf => "USE_DB_RECOVERY_FILE_DEST".to_owned(),
                (_, Some(directory)) => directory.to_string_lossy().into_owned(),
                _ => String::new(),
            });
            let remote = dest.is_some_and(|x| x.service.is_some());
            vec![
                n(id),
                t(format!("LOG_ARCHIVE_DEST_{id}")),
                t(status),
                t(if dest.is_some() { "MANDATORY" } else { "OPTIONAL" }),
                t("SYSTEM"),
                t(if remote {
                    "STANDBY"
                } else if dest.is_some() {
                    "PRIMARY"
                } else {
                    "LOCAL"
                }),
                t(if remote { "LGWR" } else { "ARCH" }),
                t(if dest.is_some() { "ACTIVE" } else { "INACTIVE" }),
                place.map_or(Value::Null, Value::Text),
                n(last),
                n(0),
                n(300),
                error.map_or(Value::Null, |e| t(e.chars().take(256).collect::<String>())),
                t("ASYNCHRONOUS"),
                t("ALL_LOGFILES"),
                t("ALL_ROLES"),
                t("YES"),
                n(0),
            ]
        })
        .collect();
    make(
        "DEST_ID n,DEST_NAME v256,STATUS v9,BINDING v9,NAME_SPACE v7,TARGET v16,ARCHIVER v10,SCHEDULE v8,DESTINATION v256,\
         LOG_SEQUENCE n,DELAY_MINS n,REOPEN_SECS n,ERROR v256,TRANSMIT_MODE v12,VALID_TYPE v15,VALID_ROLE v12,\
         VERIFY v3,CON_ID n",
        rows,
    )
}

fn archive_dest_status(inner: &Inner, c: &ControlFile) -> View {
    let dests = inner.dests();
    let rows = (1..=31u32)
        .map(|id| {
            let dest = dests.iter().find(|x| x.id == id);
            let last = c.archived.iter().rev().find(|a| a.dest_id == id);
            let remote = dest.is_some_and(|x| x.service.is_some());
            let error = inner.dest_errors.get(&id);
            vec![
                n(id),
                t(format!("LOG_ARCHIVE_DEST_{id}")),
                t(match (dest, error) {
                    (None, _) => "INACTIVE",
                    (_, Some(_)) => "ERROR",
                    _ => "VALID",
                }),
                t(if remote { "PHYSICAL" } else { "LOCAL" }),
                t(if inner.state == State::Open { "OPEN" } else { "MOUNTED" }),
                t(match (dest, inner.managed) {
                    (Some(_), Some(true)) if !remote => "MANAGED REAL TIME APPLY",
                    (Some(_), Some(false)) if !remote => "MANAGED",
                    _ => "IDLE",
                }),
                t("MAXIMUM PERFORMANCE"),
                n(last.map_or(0, |a| a.thread)),
                n(last.map_or(0, |a| a.sequence)),
                n(0),
                n(0),
                error.map_or(Value::Null, |e| t(e.chars().take(256).collect::<String>())),
                t("NO"),
                if remote { t("NO GAP") } else { Value::Null },
                n(0),
            ]
        })
        .collect();
    make(
        "DEST_ID n,DEST_NAME v256,STATUS v9,TYPE v16,DATABASE_MODE v15,RECOVERY_MODE v34,PROTECTION_MODE v20,\
         ARCHIVED_THREAD# n,ARCHIVED_SEQ# n,APPLIED_THREAD# n,APPLIED_SEQ# n,ERROR v256,SRL v3,GAP_STATUS v24,CON_ID n",
        rows,
    )
}

fn recovery_file_dest(inner: &Inner) -> View {
    let rows = inner
        .recovery_area()
        .map(|directory| {
            let used = inner.recovery_area_used();
            vec![
                t(directory.to_string_lossy()),
                n(inner.recovery_area_limit()),
                n(used.iter().map(|u| u.0).sum::<u64>()),
                n(0),
                n(used.iter().map(|u| u.1).sum::<u64>()),
                n(0),
            ]
        })
        .into_iter()
        .collect();
    make("NAME v513,SPACE_LIMIT n,SPACE_USED n,SPACE_RECLAIMABLE n,NUMBER_OF_FILES n,CON_ID n", rows)
}

fn managed_standby(inner: &Inner) -> View {
    let rows = if inner.state >= State::Mounted {
        (0..4)
            .map(|_| {
                vec![
                    t("ARCH"),
                    n(std::process::id()),
                    t("CONNECTED"),
                    t("ARCH"),
                    n(0),
                    n(0),
                    n(0),
                    n(0),
                    n(0),
                ]
            })
            .chain(inner.faults.receives_redo.then(|| {
                let mut row = vec![t("RFS"), n(std::process::id()), t("IDLE"), t("LGWR")];
                row.extend((0..5).map(|_| n(0)));
                row
            }))
            .chain(inner.managed.iter().map(|_| {
                vec![
                    t("MRP0"),
                    n(std::process::id()),
                    t("WAIT_FOR_LOG"),
                    t("N/A"),
                    n(1),
                    n(0),
                    n(0),
                    n(0),
                    n(0),
                ]
            }))
            .collect()
    } else {
        Vec::new()
    };
    make(
        "PROCESS v9,PID n,STATUS v12,CLIENT_PROCESS v8,THREAD# n,SEQUENCE# n,BLOCK# n,BLOCKS n,DELAY_MINS n",
        rows,
    )
}

fn dataguard_process(inner: &Inner) -> View {
    let rows = if inner.state >= State::Mounted {
        (0..4)
            .map(|i| {
                vec![
                    t(format!("ARC{i}")),
                    n(std::process::id()),
                    t("ARCH"),
                    t("archive local"),
                    t("IDLE"),
                    n(0),
                    n(0),
                    n(0),
                    n(0),
                ]
            })
            .chain(inner.faults.receives_redo.then(|| {
                let words = ["net", "RFS async", "IDLE"].map(t);
                let mut row = vec![t("rfs"), n(std::process::id())];
                row.extend(words);
                row.extend((0..4).map(|_| n(0)));
                row
            }))
            .chain(inner.managed.iter().map(|_| {
                vec![
                    t("MRP0"),
                    n(std::process::id()),
                    t("KSV"),
                    t("managed recovery"),
                    t("WAIT_FOR_LOG"),
                    n(1),
                    n(0),
                    n(0),
                    n(0),
                ]
            }))
            .collect()
    } else {
        Vec::new()
    };
    make("NAME v5,PID n,TYPE v5,ROLE v24,ACTION v12,THREAD# n,SEQUENCE# n,BLOCK# n,CON_ID n", rows)
}
