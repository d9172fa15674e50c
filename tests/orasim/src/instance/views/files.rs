use super::{d, make, n, od, t, yes, Inner, OraError, Rows, State, Value, View};
use crate::{
    block::SIZE,
    controlfile::{ControlFile, Datafile, Kind},
    datafile::{self, Header, HeaderError},
    engine::Container,
    instance::TablespaceKind,
    oratime,
};

fn bytes(blocks: u32) -> Value {
    n(u64::from(blocks) * SIZE as u64)
}

pub(super) fn view(inner: &Inner, container: &Container, name: &str) -> Result<Option<View>, OraError> {
    let c = match inner.control() {
        Ok(c) => c,
        Err(e) if inner.state == State::Down => return Err(e),
        Err(_) => return Ok(None),
    };
    let own = inner.con_id(container)?;
    // In a PDB one sees its own, in the root V$ shows all and DBA_ only the root's.
    let visible = |con_id: u32| own <= 1 || con_id == own;
    let in_dba = |con_id: u32| con_id == own;
    Ok(Some(match name {
        "V$TABLESPACE" => make(
            "TS# n,NAME v30,INCLUDED_IN_DATABASE_BACKUP v3,BIGFILE v3,FLASHBACK_ON v3,ENCRYPT_IN_BACKUP v3,CON_ID n",
            c.tablespaces
                .iter()
                .filter(|ts| visible(ts.con_id))
                .map(|ts| vec![n(ts.ts), t(ts.name.clone()), t("YES"), t("NO"), t("YES"), Value::Null, n(ts.con_id)])
                .collect(),
        ),
        "DBA_TABLESPACES" => dba_tablespaces(c, in_dba),
        "CDB_TABLESPACES" => dba_tablespaces(c, visible),
        "V$DATAFILE" => v_datafile(inner, c, visible),
        "DBA_DATA_FILES" => dba_data_files(c, in_dba),
        "CDB_DATA_FILES" => dba_data_files(c, visible),
        "V$TEMPFILE" => make(
            "FILE# n,CREATION_CHANGE# n,CREATION_TIME d,TS# n,RFILE# n,STATUS v7,ENABLED v10,BYTES n,BLOCKS n,CREATE_BYTES n,BLOCK_SIZE n,NAME v513,CON_ID n",
            c.tempfiles
                .iter()
                .filter(|f| visible(f.con_id))
                .map(|f| {
                    vec![
                        n(f.file),
                        n(f.creation_scn),
                        d(f.creation_time),
                        n(f.ts),
                        n(f.file),
                        t("ONLINE"),
                        t("READ WRITE"),
                        bytes(f.blocks),
                        n(f.blocks),
                        bytes(f.blocks),
                        n(SIZE),
                        t(f.path.to_string_lossy()),
                        n(f.con_id),
                    ]
                })
                .collect(),
        ),
        "DBA_TEMP_FILES" => dba_temp_files(c, in_dba),
        "CDB_TEMP_FILES" => dba_temp_files(c, visible),
        "V$DATAFILE_HEADER" => v_datafile_header(inner, c, visible),
        "V$BACKUP" => v_backup(inner, c, visible),
        "V$RECOVER_FILE" => v_recover_file(inner, c, visible),
        _ => return Ok(None),
    }))
}

fn dba_tablespaces(c: &ControlFile, visible: impl Fn(u32) -> bool) -> View {
    let rows = c
        .tablespaces
        .iter()
        .filter(|ts| visible(ts.con_id))
        .map(|ts| {
            let status = match (ts.offline, ts.read_only) {
                (true, _) => "OFFLINE",
                (_, true) => "READ ONLY",
                _ => "ONLINE",
            };
            vec![
                t(ts.name.clone()),
                n(SIZE),
                n(65536),
                n(1),
                n(2_147_483_645),
                t(status),
                t(match ts.kind {
                    TablespaceKind::Permanent => "PERMANENT",
                    TablespaceKind::Undo => "UNDO",
                    TablespaceKind::Temporary => "TEMPORARY",
                }),
                t(if ts.kind == TablespaceKind::Temporary { "NOLOGGING" } else { "LOGGING" }),
                t("NO"),
                t("LOCAL"),
                t("SYSTEM"),
                t(if ts.kind == TablespaceKind::Permanent { "AUTO" } else { "MANUAL" }),
                t(if ts.kind == TablespaceKind::Undo { "NOGUARANTEE" } else { "NOT APPLY" }),
                t("NO"),
                t("NO"),
                n(ts.con_id),
            ]
        })
        .collect();
    make(
        "TABLESPACE_NAME v30,BLOCK_SIZE n,INITIAL_EXTENT n,MIN_EXTENTS n,MAX_EXTENTS n,STATUS v9,CONTENTS v21,LOGGING v9,\
         FORCE_LOGGING v3,EXTENT_MANAGEMENT v10,ALLOCATION_TYPE v9,SEGMENT_SPACE_MANAGEMENT v6,RETENTION v11,BIGFILE v3,\
         ENCRYPTED v3,CON_ID n",
        rows,
    )
}

fn status(c: &ControlFile, f: &Datafile) -> &'static str {
    let system = c.tablespace_of(f).is_some_and(|ts| ts.name == "SYSTEM");
    match (system, f.offline) {
        (true, _) => "SYSTEM",
        (_, true) => "OFFLINE",
        _ => "ONLINE",
    }
}

fn v_datafile(inner: &Inner, c: &ControlFile, visible: impl Fn(u32) -> bool) -> View {
    let rows = c
        .datafiles
        .iter()
        .filter(|f| visible(f.con_id))
        .map(|f| {
            vec![
                n(f.file),
                n(f.creation_scn),
                d(f.creation_time),
                n(f.ts),
                n(f.file),
                t(status(c, f)),
                t(match (f.offline, f.read_only) {
                    (true, _) => "DISABLED",
                    (_, true) => "READ ONLY",
                    _ => "READ WRITE",
                }),
                // Frozen here as in the header, though the control file keeps count for END BACKUP after a crash.
                n(if f.backup_active { f.backup_scn } else { f.checkpoint_scn }),
                d(f.backup_time.filter(|_| f.backup_active).unwrap_or(f.checkpoint_time)),
                n(f.unrecoverable_scn),
                od(f.unrecoverable_time),
                f.last_scn.map_or(Value::Null, n),
                od(f.last_time),
                n(f.last_scn.unwrap_or(0)),
                Value::Null,
                bytes(f.blocks),
                n(f.blocks),
                bytes(f.create_blocks),
                n(SIZE),
                t(f.path.to_string_lossy()),
                n(0),
                n(0),
                t("NONE"),
                n(f.creation_scn),
                t(if f.read_only { "NO" } else { "YES" }),
                n(f.con_id),
            ]
        })
        .collect();
    let _ = inner;
    make(
        "FILE# n,CREATION_CHANGE# n,CREATION_TIME d,TS# n,RFILE# n,STATUS v7,ENABLED v10,CHECKPOINT_CHANGE# n,\
         CHECKPOINT_TIME d,UNRECOVERABLE_CHANGE# n,UNRECOVERABLE_TIME d,LAST_CHANGE# n,LAST_TIME d,OFFLINE_CHANGE# n,\
         ONLINE_TIME d,BYTES n,BLOCKS n,CREATE_BYTES n,BLOCK_SIZE n,NAME v513,PLUGGED_IN n,BLOCK1_OFFSET n,AUX_NAME v513,\
         FIRST_NONLOGGED_SCN n,SPACEBG v3,CON_ID n",
        rows,
    )
}

fn dba_data_files(c: &ControlFile, visible: impl Fn(u32) -> bool) -> View {
    let rows = c
        .datafiles
        .iter()
        .filter(|f| visible(f.con_id))
        .map(|f| {
            let ts = c.tablespace_of(f).map(|ts| ts.name.clone()).unwrap_or_default();
            let online = match (f.offline, status(c, f)) {
                (true, _) => "OFFLINE",
                (_, "SYSTEM") => "SYSTEM",
                _ => "ONLINE",
            };
            // Nothing is known of the inside of an offline file.
            let size = |v: Value| if f.offline { Value::Null } else { v };
            vec![
                t(f.path.to_string_lossy()),
                n(f.file),
                t(ts),
                size(bytes(f.blocks)),
                size(n(f.blocks)),
                t("AVAILABLE"),
                n(f.file),
                if f.offline { Value::Null } else { t("NO") },
                size(n(0)),
                size(n(0)),
                size(n(0)),
                size(bytes(f.blocks.saturating_sub(1))),
                size(n(f.blocks.saturating_sub(1))),
                t(online),
                n(f.con_id),
            ]
        })
        .collect();
    make(
        "FILE_NAME v513,FILE_ID n,TABLESPACE_NAME v30,BYTES n,BLOCKS n,STATUS v9,RELATIVE_FNO n,AUTOEXTENSIBLE v3,MAXBYTES n,\
         MAXBLOCKS n,INCREMENT_BY n,USER_BYTES n,USER_BLOCKS n,ONLINE_STATUS v7,CON_ID n",
        rows,
    )
}

fn dba_temp_files(c: &ControlFile, visible: impl Fn(u32) -> bool) -> View {
    let rows = c
        .tempfiles
        .iter()
        .filter(|f| visible(f.con_id))
        .map(|f| {
            let ts = c.tablespace(f.con_id, f.ts).map(|ts| ts.name.clone()).unwrap_or_default();
            vec![
                t(f.path.to_string_lossy()),
                n(f.file),
                t(ts),
                bytes(f.blocks),
                n(f.blocks),
                t("ONLINE"),
                n(f.file),
                t("NO"),
                n(f.con_id),
            ]
        })
        .collect();
    make(
        "FILE_NAME v513,FILE_ID n,TABLESPACE_NAME v30,BYTES n,BLOCKS n,STATUS v7,RELATIVE_FNO n,AUTOEXTENSIBLE v3,CON_ID n",
        rows,
    )
}

impl Inner {
    /// The header of a file on disk. A standby does not see the files that are still the primary's own.
    pub(in crate::instance) fn header_of(&self, file: &Datafile) -> Result<Header, HeaderError> {
        let standby = self.control.as_ref().is_some_and(|c| c.data.kind == Kind::Standby);
        if standby && file.identity.is_some() && crate::controlfile::Identity::of(&file.path) == file.identity
        {
            return Err(HeaderError::NotFound);
        }
        let header = Header::read_path(&file.path)?;
        let size = std::fs::metadata(&file.path).map_err(HeaderError::Unreadable)?.len();
        if size < (u64::from(header.blocks) + 1) * SIZE as u64 {
            return Err(HeaderError::Corrupt);
        }
        Ok(header)
    }
}

fn v_datafile_header(inner: &Inner, c: &ControlFile, visible: impl Fn(u32) -> bool) -> View {
    let rows: Rows = c
        .datafiles
        .iter()
        .filter(|f| visible(f.con_id))
        .map(|f| {
            let online = t(if f.offline { "OFFLINE" } else { "ONLINE" });
            let name = t(f.path.to_string_lossy());
            match inner.header_of(f) {
                Err(e) => {
                    let mut row = vec![
                        n(f.file),
                        online,
                        t(e.text()),
                        n(0),
                        Value::Null,
                        Value::Null,
                        n(0),
                        Value::Null,
                    ];
                    row.extend([
                        n(0),
                        n(0),
                        n(0),
                        n(0),
                        Value::Null,
                        n(0),
                        Value::Null,
                        n(0),
                        n(0),
                        n(0),
                        name,
                    ]);
                    row.extend([n(SIZE), n(0), Value::Null, n(0), Value::Null, n(f.con_id)]);
                    row
                }
                Ok(h) => {
                    let behind =
                        inner.state == State::Open && h.checkpoint_scn < f.checkpoint_scn && !f.backup_active;
                    let error = (h.dbid != c.dbid || h.file != f.file).then(|| t("WRONG FILE"));
                    vec![
                        n(f.file),
                        online,
                        error.unwrap_or(Value::Null),
                        n(10),
                        if inner.state == State::Open { yes(behind) } else { Value::Null },
                        yes(h.is_fuzzy()),
                        n(h.creation_scn),
                        od(oratime::unpack(h.creation_time)),
                        n(h.dbid),
                        n(h.file),
                        n(h.file),
                        n(h.ts),
                        t(h.ts_name.clone()),
                        n(h.resetlogs_scn),
                        od(oratime::unpack(h.resetlogs_id)),
                        n(h.checkpoint_scn),
                        n(h.checkpoint_count),
                        n(u64::from(h.blocks) * SIZE as u64),
                        name,
                        n(SIZE),
                        n(h.blocks),
                        od(oratime::unpack(h.checkpoint_time)),
                        n(h.backup_scn),
                        if h.backup_time == 0 { Value::Null } else { od(oratime::unpack(h.backup_time)) },
                        n(f.con_id),
                    ]
                }
            }
        })
        .collect();
    make(
        "FILE# n,STATUS v7,ERROR v65,FORMAT n,RECOVER v3,FUZZY v3,CREATION_CHANGE# n,CREATION_TIME d,DBID n,HXFIL n,RFILE# n,\
         TS# n,TABLESPACE_NAME v30,RESETLOGS_CHANGE# n,RESETLOGS_TIME d,CHECKPOINT_CHANGE# n,CHECKPOINT_COUNT n,BYTES n,\
         NAME v513,BLOCK_SIZE n,BLOCKS n,CHECKPOINT_TIME d,UNDO_OPT_CURRENT_CHANGE# n,BACKUP_TIME d,CON_ID n",
        rows,
    )
}

fn v_backup(inner: &Inner, c: &ControlFile, visible: impl Fn(u32) -> bool) -> View {
    let rows = c
        .datafiles
        .iter()
        .filter(|f| visible(f.con_id))
        .map(|f| {
            let header = inner.header_of(f);
            let status = match &header {
                _ if f.offline => "OFFLINE NORMAL",
                Err(HeaderError::NotFound) => "FILE NOT FOUND",
                Err(e) => e.text(),
                Ok(h) if h.flags & datafile::HOT_BACKUP != 0 => "ACTIVE",
                Ok(_) => "NOT ACTIVE",
            };
            let (scn, time) = match &header {
                Ok(h) if h.backup_scn != 0 => (h.backup_scn, oratime::unpack(h.backup_time)),
                _ => (0, None),
            };
            vec![n(f.file), t(status), n(scn), od(time), n(f.con_id)]
        })
        .collect();
    make("FILE# n,STATUS v18,CHANGE# n,TIME d,CON_ID n", rows)
}

fn v_recover_file(inner: &Inner, c: &ControlFile, visible: impl Fn(u32) -> bool) -> View {
    let mut rows: Rows = Vec::new();
    for f in c.datafiles.iter().filter(|f| visible(f.con_id)) {
        let online = if f.offline { "OFFLINE" } else { "ONLINE" };
        let (error, change, time) = match inner.header_of(f) {
            Err(e) => (t(e.text()), 0, None),
            Ok(h) => {
                let behind = match inner.state {
                    State::Open => false,
                    _ => !f.offline && !f.read_only && (h.is_fuzzy() || h.checkpoint_scn < f.checkpoint_scn),
                };
                if !behind {
                    continue;
                }
                (Value::Null, h.checkpoint_scn, oratime::unpack(h.checkpoint_time))
            }
        };
        rows.push(vec![n(f.file), t(online), t(online), error, n(change), od(time), n(f.con_id)]);
    }
    make("FILE# n,ONLINE v7,ONLINE_STATUS v7,ERROR v65,CHANGE# n,TIME d,CON_ID n", rows)
}
