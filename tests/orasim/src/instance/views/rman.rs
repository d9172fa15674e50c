//! V$ views of RMAN: sets, pieces, what is in them, jobs and settings.

use super::{d, make, n, od, t, yes, Inner, OraError, Rows, Value, View};
use crate::{
    block::SIZE,
    controlfile::ControlFile,
    pieces::records::{BackupSet, Piece, PieceStatus, Records, Status},
};

fn seconds(from: chrono::NaiveDateTime, to: chrono::NaiveDateTime) -> Value {
    n((to - from).num_seconds())
}

fn letter(status: PieceStatus) -> &'static str {
    match status {
        PieceStatus::Available => "A",
        PieceStatus::Expired => "X",
        PieceStatus::Deleted => "D",
        PieceStatus::Unavailable => "U",
    }
}

fn word(status: PieceStatus) -> &'static str {
    match status {
        PieceStatus::Available => "AVAILABLE",
        PieceStatus::Expired => "EXPIRED",
        PieceStatus::Deleted => "DELETED",
        PieceStatus::Unavailable => "UNAVAILABLE",
    }
}

/// As Oracle's …_DISPLAY columns: `365.34M`.
fn display(bytes: u64) -> Value {
    let (value, unit) = match bytes {
        0..=1_023 => (bytes as f64, ""),
        1_024..=1_048_575 => (bytes as f64 / 1024.0, "K"),
        1_048_576..=1_073_741_823 => (bytes as f64 / 1_048_576.0, "M"),
        _ => (bytes as f64 / 1_073_741_824.0, "G"),
    };
    t(format!("{value:10.2}{unit}"))
}

fn optional(value: Option<&String>) -> Value {
    value.map_or(Value::Null, |v| t(v.clone()))
}

fn bytes_of(records: &Records, set: &BackupSet) -> u64 {
    let own = records.pieces.iter().filter(|p| (p.set_stamp, p.set_count) == (set.set_stamp, set.set_count));
    own.filter(|p| p.copy == 1).map(|p| p.bytes).sum()
}

fn controlfile(set: &BackupSet) -> Value {
    t(if set.controlfile.is_some() { "YES" } else { "NO" })
}

pub(super) fn view(inner: &Inner, name: &str) -> Result<Option<View>, OraError> {
    if !super::KNOWN_RMAN.contains(&name) {
        return Ok(None);
    }
    let c = inner.control()?;
    let r = &c.rman;
    Ok(Some(match name {
        "V$BACKUP_SET" => make(
            "RECID n,STAMP n,SET_STAMP n,SET_COUNT n,BACKUP_TYPE v1,CONTROLFILE_INCLUDED v3,INCREMENTAL_LEVEL n,PIECES n,\
             START_TIME d,COMPLETION_TIME d,ELAPSED_SECONDS n,BLOCK_SIZE n,INPUT_FILE_SCAN_ONLY v3,KEEP v3,KEEP_UNTIL d,\
             KEEP_OPTIONS v11,MULTI_SECTION v3,CON_ID n",
            r.sets.iter().map(set_row).collect(),
        ),
        "V$BACKUP_SET_DETAILS" => set_details(r),
        "V$BACKUP_PIECE" => make(
            "RECID n,STAMP n,SET_STAMP n,SET_COUNT n,PIECE# n,COPY# n,DEVICE_TYPE v17,HANDLE v513,COMMENTS v64,MEDIA v65,\
             MEDIA_POOL n,CONCUR v3,TAG v32,STATUS v1,START_TIME d,COMPLETION_TIME d,ELAPSED_SECONDS n,DELETED v3,BYTES n,\
             IS_RECOVERY_DEST_FILE v3,RMAN_STATUS_RECID n,RMAN_STATUS_STAMP n,COMPRESSED v3,BACKED_BY_VSS v3,ENCRYPTED v3,\
             BACKED_BY_OSB v3,CON_ID n",
            r.pieces.iter().map(piece_row).collect(),
        ),
        "V$BACKUP_PIECE_DETAILS" => piece_details(r),
        "V$BACKUP_DATAFILE" => backup_datafile(r),
        "V$BACKUP_DATAFILE_DETAILS" => backup_datafile_details(r),
        "V$BACKUP_REDOLOG" => backup_redolog(r),
        "V$BACKUP_ARCHIVELOG_DETAILS" => archivelog_details(r),
        "V$BACKUP_SPFILE" => backup_spfile(r),
        "V$BACKUP_FILES" => backup_files(c),
        "V$DATAFILE_COPY" => datafile_copy(c),
        "V$BACKUP_CORRUPTION" => make(
            "RECID n,STAMP n,SET_STAMP n,SET_COUNT n,PIECE# n,FILE# n,BLOCK# n,BLOCKS n,CORRUPTION_CHANGE# n,\
             MARKED_CORRUPT v3,CORRUPTION_TYPE v9,CON_ID n",
            r.corruption
                .iter()
                .enumerate()
                .map(|(i, (file, block, stamp, count, piece))| {
                    let key = [n(i + 1), n(*stamp), n(*stamp), n(*count), n(*piece), n(*file), n(*block)];
                    key.into_iter().chain([n(1), n(0), t("YES"), t("CORRUPT"), n(0)]).collect()
                })
                .collect(),
        ),
        "V$RMAN_STATUS" => rman_status(r),
        "V$RMAN_OUTPUT" => make(
            "SID n,RECID n,STAMP n,SESSION_RECID n,SESSION_STAMP n,OUTPUT v130,RMAN_STATUS_RECID n,RMAN_STATUS_STAMP n,\
             SESSION_KEY n,CON_ID n",
            inner
                .rman_output
                .iter()
                .enumerate()
                .map(|(i, (recid, stamp, session, session_stamp, line))| {
                    let text: String = line.chars().scan(0, |len, c| {
                        *len += c.len_utf8();
                        (*len <= 130).then_some(c)
                    }).collect();
                    vec![
                        n(12),
                        n(i + 1),
                        n(*stamp),
                        n(*session),
                        n(*session_stamp),
                        t(text),
                        n(*recid),
                        n(*stamp),
                        n(*session),
                        n(0),
                    ]
                })
                .collect(),
        ),
        "V$RMAN_BACKUP_JOB_DETAILS" => job_details(r),
        "V$RMAN_CONFIGURATION" => make(
            "CONF# n,NAME v65,VALUE v1025,CON_ID n",
            r.configuration
                .iter()
                .enumerate()
                .map(|(i, (name, value))| vec![n(i + 1), t(name.clone()), t(value.clone()), n(0)])
                .collect(),
        ),
        "V$FLASH_RECOVERY_AREA_USAGE" | "V$RECOVERY_AREA_USAGE" => area_usage(inner),
        _ => return Ok(None),
    }))
}

fn set_row(s: &BackupSet) -> Vec<Value> {
    vec![
        n(s.recid),
        n(s.stamp),
        n(s.set_stamp),
        n(s.set_count),
        t(s.set_type.letter()),
        controlfile(s),
        s.set_type.level().map_or(Value::Null, n),
        n(s.pieces),
        d(s.start),
        d(s.completion),
        seconds(s.start, s.completion),
        n(if s.logs.is_empty() { SIZE as u32 } else { s.logs[0].block_size }),
        t("NO"),
        yes(s.keep),
        Value::Null,
        Value::Null,
        yes(s.datafiles.iter().any(|f| f.section_blocks > 0)),
        n(s.con_id),
    ]
}

fn set_details(r: &Records) -> View {
    let rows = r
        .sets
        .iter()
        .map(|s| {
            let own = r.pieces.iter().find(|p| (p.set_stamp, p.set_count) == (s.set_stamp, s.set_count));
            let copies = r
                .pieces
                .iter()
                .filter(|p| (p.set_stamp, p.set_count) == (s.set_stamp, s.set_count) && p.piece == 1)
                .count();
            let status = own.map_or(PieceStatus::Deleted, |p| p.status);
            let mut row = vec![
                own.map_or(Value::Null, |p| n(p.session_recid)),
                own.map_or(Value::Null, |p| n(p.session_recid)),
            ];
            row.push(own.map_or(Value::Null, |p| n(p.session_stamp)));
            row.push(n(s.recid));
            row.extend(set_row(s));
            let output = bytes_of(r, s);
            row.extend([
                t("DISK"),
                yes(s.compressed),
                n(copies),
                n(output),
                n(s.input_bytes),
                n(s.input_bytes.checked_div(output.max(1)).unwrap_or(1)),
                t(letter(status)),
                display(s.input_bytes),
                display(output),
            ]);
            row
        })
        .collect();
    make(
        "SESSION_KEY n,SESSION_RECID n,SESSION_STAMP n,BS_KEY n,RECID n,STAMP n,SET_STAMP n,SET_COUNT n,BACKUP_TYPE v1,\
         CONTROLFILE_INCLUDED v3,INCREMENTAL_LEVEL n,PIECES n,START_TIME d,COMPLETION_TIME d,ELAPSED_SECONDS n,BLOCK_SIZE n,\
         INPUT_FILE_SCAN_ONLY v3,KEEP v3,KEEP_UNTIL d,KEEP_OPTIONS v11,MULTI_SECTION v3,CON_ID n,DEVICE_TYPE v17,\
         COMPRESSED v3,NUM_COPIES n,OUTPUT_BYTES n,ORIGINAL_INPUT_BYTES n,COMPRESSION_RATIO n,STATUS v1,\
         ORIGINAL_INPRATE_BYTES_DISPLAY v40,OUTPUT_BYTES_DISPLAY v40",
        rows,
    )
}

fn piece_row(p: &Piece) -> Vec<Value> {
    vec![
        n(p.recid),
        n(p.stamp),
        n(p.set_stamp),
        n(p.set_count),
        n(p.piece),
        n(p.copy),
        t("DISK"),
        t(p.handle.to_string_lossy()),
        Value::Null,
        Value::Null,
        n(0),
        t("NO"),
        optional(p.tag.as_ref()),
        t(letter(p.status)),
        d(p.start),
        d(p.completion),
        seconds(p.start, p.completion),
        yes(p.status == PieceStatus::Deleted),
        n(p.bytes),
        yes(p.in_recovery_area),
        n(p.session_recid),
        n(p.session_stamp),
        yes(p.compressed),
        t("NO"),
        t("NO"),
        t("NO"),
        n(0),
    ]
}

fn piece_details(r: &Records) -> View {
    let rows = r
        .pieces
        .iter()
        .filter(|p| p.status == PieceStatus::Available)
        .map(|p| {
            let set = r.set(p.set_stamp, p.set_count).map_or(0, |s| s.recid);
            let mut row = vec![n(p.session_recid), n(p.session_recid), n(p.session_stamp), n(set)];
            row.extend([n(p.set_count), n(p.set_stamp), n(p.recid)]);
            row.extend(piece_row(p));
            row.push(display(p.bytes));
            row
        })
        .collect();
    make(
        "SESSION_KEY n,SESSION_RECID n,SESSION_STAMP n,BS_KEY n,BS_COUNT n,BS_STAMP n,BP_KEY n,RECID n,STAMP n,SET_STAMP n,\
         SET_COUNT n,PIECE# n,COPY# n,DEVICE_TYPE v17,HANDLE v513,COMMENTS v64,MEDIA v65,MEDIA_POOL n,CONCUR v3,TAG v32,\
         STATUS v1,START_TIME d,COMPLETION_TIME d,ELAPSED_SECONDS n,DELETED v3,BYTES n,IS_RECOVERY_DEST_FILE v3,\
         RMAN_STATUS_RECID n,RMAN_STATUS_STAMP n,COMPRESSED v3,BACKED_BY_VSS v3,ENCRYPTED v3,BACKED_BY_OSB v3,CON_ID n,\
         SIZE_BYTES_DISPLAY v40",
        rows,
    )
}

fn backup_datafile(r: &Records) -> View {
    let mut rows: Rows = Vec::new();
    for s in &r.sets {
        let head = |i: usize| vec![n(s.recid * 1000 + i as u32), n(s.stamp), n(s.set_stamp), n(s.set_count)];
        for (i, f) in s.datafiles.iter().enumerate() {
            let mut row = head(i);
            row.extend([
                n(f.file),
                n(f.creation_scn),
                d(f.creation_time),
                n(f.resetlogs_scn),
                d(f.resetlogs_time),
                f.level.map_or(Value::Null, n),
                n(f.incremental_scn),
                n(f.checkpoint_scn),
                d(f.checkpoint_time),
                n(f.fuzzy_scn),
                n(f.corrupt),
                n(0),
                n(0),
                n(f.datafile_blocks),
                n(f.blocks),
                n(SIZE),
                n(0),
                d(s.completion),
                Value::Null,
                t("NO"),
                n(f.blocks_read),
                t("NO"),
                n(f.section_blocks),
                n(f.con_id),
            ]);
            rows.push(row);
        }
        if let Some(f) = &s.controlfile {
            let mut row = head(s.datafiles.len());
            row.extend([
                n(0),
                n(0),
                d(f.creation_time),
                n(f.resetlogs_scn),
                d(f.resetlogs_time),
                Value::Null,
                n(0),
                n(f.checkpoint_scn),
                d(f.checkpoint_time),
                n(0),
                n(0),
                n(0),
                n(0),
                n(f.blocks),
                n(f.blocks),
                n(16384),
                n(0),
                d(s.completion),
                t(f.kind.to_string()),
                t("NO"),
                n(f.blocks),
                t("NO"),
                n(0),
                n(0),
            ]);
            rows.push(row);
        }
    }
    make(
        "RECID n,STAMP n,SET_STAMP n,SET_COUNT n,FILE# n,CREATION_CHANGE# n,CREATION_TIME d,RESETLOGS_CHANGE# n,\
         RESETLOGS_TIME d,INCREMENTAL_LEVEL n,INCREMENTAL_CHANGE# n,CHECKPOINT_CHANGE# n,CHECKPOINT_TIME d,\
         ABSOLUTE_FUZZY_CHANGE# n,MARKED_CORRUPT n,MEDIA_CORRUPT n,LOGICALLY_CORRUPT n,DATAFILE_BLOCKS n,BLOCKS n,\
         BLOCK_SIZE n,OLDEST_OFFLINE_RANGE n,COMPLETION_TIME d,CONTROLFILE_TYPE v1,USED_CHANGE_TRACKING v3,BLOCKS_READ n,\
         USED_OPTIMIZATION v3,SECTION_SIZE n,CON_ID n",
        rows,
    )
}

fn backup_datafile_details(r: &Records) -> View {
    let mut rows: Rows = Vec::new();
    for s in &r.sets {
        let session = r.pieces.iter().find(|p| (p.set_stamp, p.set_count) == (s.set_stamp, s.set_count));
        for f in &s.datafiles {
            rows.push(vec![
                t("BACKUPSET"),
                n(s.recid),
                session.map_or(Value::Null, |p| n(p.session_recid)),
                session.map_or(Value::Null, |p| n(p.session_recid)),
                session.map_or(Value::Null, |p| n(p.session_stamp)),
                n(s.set_count),
                n(s.set_stamp),
                n(f.file),
                n(f.creation_scn),
                n(f.checkpoint_scn),
                d(f.checkpoint_time),
                n(f.incremental_scn),
                f.level.map_or(Value::Null, n),
                n(u64::from(f.datafile_blocks) * SIZE as u64),
                n(f.ts),
                t(f.tablespace.clone()),
                t(f.path.to_string_lossy()),
            ]);
        }
    }
    make(
        "BTYPE v9,BTYPE_KEY n,SESSION_KEY n,SESSION_RECID n,SESSION_STAMP n,ID1 n,ID2 n,FILE# n,CREATION_CHANGE# n,\
         CHECKPOINT_CHANGE# n,CHECKPOINT_TIME d,INCREMENTAL_CHANGE# n,INCREMENTAL_LEVEL n,FILESIZE n,TS# n,TSNAME v30,\
         FNAME v513",
        rows,
    )
}

fn backup_redolog(r: &Records) -> View {
    let rows = r.sets.iter().flat_map(|s| {
        s.logs.iter().enumerate().map(move |(i, l)| {
            vec![
                n(s.recid * 1000 + i as u32),
                n(s.stamp),
                n(s.set_stamp),
                n(s.set_count),
                n(l.thread),
                n(l.sequence),
                n(l.resetlogs_scn),
                d(l.resetlogs_time),
                n(l.first_scn),
                d(l.first_time),
                n(l.next_scn),
                d(l.next_time),
                n(l.blocks),
                n(l.block_size),
                t("NO"),
                n(0),
            ]
        })
    });
    make(
        "RECID n,STAMP n,SET_STAMP n,SET_COUNT n,THREAD# n,SEQUENCE# n,RESETLOGS_CHANGE# n,RESETLOGS_TIME d,\
         FIRST_CHANGE# n,FIRST_TIME d,NEXT_CHANGE# n,NEXT_TIME d,BLOCKS n,BLOCK_SIZE n,TERMINAL v3,CON_ID n",
        rows.collect(),
    )
}

fn archivelog_details(r: &Records) -> View {
    let mut rows: Rows = Vec::new();
    for s in &r.sets {
        let session = r.pieces.iter().find(|p| (p.set_stamp, p.set_count) == (s.set_stamp, s.set_count));
        for l in &s.logs {
            let bytes = (u64::from(l.blocks) + 1) * u64::from(l.block_size);
            rows.push(vec![
                session.map_or(Value::Null, |p| n(p.session_recid)),
                session.map_or(Value::Null, |p| n(p.session_recid)),
                session.map_or(Value::Null, |p| n(p.session_stamp)),
                t("BACKUPSET"),
                n(s.recid),
                n(s.set_count),
                n(s.set_stamp),
                n(l.thread),
                n(l.sequence),
                n(l.resetlogs_scn),
                d(l.resetlogs_time),
                n(l.first_scn),
                d(l.first_time),
                n(l.next_scn),
                d(l.next_time),
                n(bytes),
                display(bytes),
            ]);
        }
    }
    make(
        "SESSION_KEY n,SESSION_RECID n,SESSION_STAMP n,BTYPE v9,BTYPE_KEY n,ID1 n,ID2 n,THREAD# n,SEQUENCE# n,\
         RESETLOGS_CHANGE# n,RESETLOGS_TIME d,FIRST_CHANGE# n,FIRST_TIME d,NEXT_CHANGE# n,NEXT_TIME d,FILESIZE n,\
         FILESIZE_DISPLAY v40",
        rows,
    )
}

fn backup_spfile(r: &Records) -> View {
    let rows = r.sets.iter().filter_map(|s| {
        let f = s.spfile.as_ref()?;
        Some(vec![
            n(s.recid),
            n(s.stamp),
            n(s.set_stamp),
            n(s.set_count),
            d(f.modified),
            n(f.bytes),
            d(s.completion),
            t(f.unique_name.clone()),
            n(0),
        ])
    });
    make(
        "RECID n,STAMP n,SET_STAMP n,SET_COUNT n,MODIFICATION_TIME d,BYTES n,COMPLETION_TIME d,DB_UNIQUE_NAME v30,CON_ID n",
        rows.collect(),
    )
}

/// One row per piece and per content, as Oracle has it.
fn backup_files(c: &ControlFile) -> View {
    let r = &c.rman;
    let mut rows: Rows = Vec::new();
    for p in r.pieces.iter().filter(|p| p.status != PieceStatus::Deleted) {
        let Some(s) = r.set(p.set_stamp, p.set_count) else { continue };
        let kind = match s.set_type.letter() {
            "L" => "ARCHIVED LOG",
            _ => "DATAFILE",
        };
        let set = [n(s.recid), n(s.set_count), n(s.set_stamp), t(kind)];
        let common = |file_type: &str, fname: Value, bytes: u64| {
            let mut row =
                vec![n(p.recid), t("BACKUP SET"), t(file_type), yes(s.keep), t(word(p.status)), fname];
            row.extend([optional(p.tag.as_ref()), n(p.recid), n(p.stamp), t("DISK"), d(p.completion)]);
            row.extend([yes(p.compressed), t("NO"), n(bytes)]);
            row.extend(set.clone());
            row.extend([
                s.set_type.level().map_or(t("FULL"), |l| t(format!("INCR{l}"))),
                n(s.pieces),
                d(s.completion),
                n(bytes_of(r, s)),
                n(p.piece),
                n(p.copy),
            ]);
            row
        };
        let nulls = |row: &mut Vec<Value>, count: usize| row.extend(vec![Value::Null; count]);
        let mut row = common("PIECE", t(p.handle.to_string_lossy()), p.bytes);
        nulls(&mut row, 13);
        rows.push(row);
        if p.piece != 1 || p.copy != 1 {
            continue;
        }
        for f in &s.datafiles {
            let mut row =
                common("DATAFILE", t(f.path.to_string_lossy()), u64::from(f.datafile_blocks) * SIZE as u64);
            row.extend([
                n(f.file),
                t(f.tablespace.clone()),
                n(f.resetlogs_scn),
                n(f.creation_scn),
                n(f.checkpoint_scn),
                d(f.checkpoint_time),
                n(f.incremental_scn),
            ]);
            nulls(&mut row, 6);
            rows.push(row);
        }
        for l in &s.logs {
            let bytes = (u64::from(l.blocks) + 1) * u64::from(l.block_size);
            let mut row = common("ARCHIVED LOG", Value::Null, bytes);
            nulls(&mut row, 7);
            row.extend([
                n(l.thread),
                n(l.sequence),
                n(l.resetlogs_scn),
                n(l.first_scn),
                n(l.next_scn),
                Value::Null,
            ]);
            rows.push(row);
        }
        if let Some(f) = &s.controlfile {
            let mut row = common("CONTROLFILE", Value::Null, u64::from(f.blocks) * 16384);
            nulls(&mut row, 4);
            row.extend([n(f.checkpoint_scn), d(f.checkpoint_time)]);
            nulls(&mut row, 7);
            rows.push(row);
        }
        if let Some(f) = &s.spfile {
            let mut row = common("SPFILE", Value::Null, f.bytes);
            nulls(&mut row, 12);
            row.push(t(f.unique_name.clone()));
            rows.push(row);
        }
    }
    make(
        "PKEY n,BACKUP_TYPE v32,FILE_TYPE v32,KEEP v3,STATUS v16,FNAME v1024,TAG v32,RECID n,STAMP n,DEVICE_TYPE v255,\
         COMPLETION_TIME d,COMPRESSED v3,OBSOLETE v3,BYTES n,BS_KEY n,BS_COUNT n,BS_STAMP n,BS_TYPE v32,BS_INCR_TYPE v32,\
         BS_PIECES n,BS_COMPLETION_TIME d,BS_BYTES n,BP_PIECE# n,BP_COPY# n,DF_FILE# n,DF_TABLESPACE v30,\
         DF_RESETLOGS_CHANGE# n,DF_CREATION_CHANGE# n,DF_CHECKPOINT_CHANGE# n,DF_CKP_MOD_TIME d,DF_INCREMENTAL_CHANGE# n,\
         RL_THREAD# n,RL_SEQUENCE# n,RL_RESETLOGS_CHANGE# n,RL_FIRST_CHANGE# n,RL_NEXT_CHANGE# n,SF_DB_UNIQUE_NAME v30",
        rows,
    )
}

fn datafile_copy(c: &ControlFile) -> View {
    let rows = c.rman.copies.iter().map(|p| {
        vec![
            n(p.recid),
            n(p.stamp),
            t(p.path.to_string_lossy()),
            optional(p.tag.as_ref()),
            n(p.file),
            n(p.file),
            n(p.creation_scn),
            n(p.resetlogs_scn),
            d(p.resetlogs_time),
            Value::Null,
            n(p.checkpoint_scn),
            d(p.checkpoint_time),
            n(p.fuzzy_scn),
            n(p.blocks),
            n(SIZE),
            t(letter(p.status)),
            yes(p.status == PieceStatus::Deleted),
            d(p.completion),
            n(0),
        ]
    });
    make(
        "RECID n,STAMP n,NAME v513,TAG v32,FILE# n,RFILE# n,CREATION_CHANGE# n,RESETLOGS_CHANGE# n,RESETLOGS_TIME d,\
         INCREMENTAL_LEVEL n,CHECKPOINT_CHANGE# n,CHECKPOINT_TIME d,ABSOLUTE_FUZZY_CHANGE# n,BLOCKS n,BLOCK_SIZE n,\
         STATUS v1,DELETED v3,COMPLETION_TIME d,CON_ID n",
        rows.collect(),
    )
}

fn rman_status(r: &Records) -> View {
    let rows = r.statuses.iter().map(|s| {
        vec![
            n(12),
            n(s.recid),
            n(s.stamp),
            s.parent_recid.map_or(Value::Null, n),
            s.parent_stamp.map_or(Value::Null, n),
            n(s.session_recid),
            n(s.session_stamp),
            n(s.row_level),
            t(s.row_type.clone()),
            t(s.command_id.clone()),
            t(s.operation.clone()),
            t(s.status.clone()),
            n(s.output_bytes >> 20),
            d(s.start),
            od(s.end),
            n(s.input_bytes),
            n(s.output_bytes),
            t("NO"),
            optional(s.object_type.as_ref()),
            if s.output_bytes > 0 { t("DISK") } else { Value::Null },
            t("NO"),
            n(0),
        ]
    });
    make(
        "SID n,RECID n,STAMP n,PARENT_RECID n,PARENT_STAMP n,SESSION_RECID n,SESSION_STAMP n,ROW_LEVEL n,ROW_TYPE v19,\
         COMMAND_ID v33,OPERATION v33,STATUS v23,MBYTES_PROCESSED n,START_TIME d,END_TIME d,INPUT_BYTES n,OUTPUT_BYTES n,\
         OPTIMIZED v3,OBJECT_TYPE v13,OUTPUT_DEVICE_TYPE v17,OSB_ALLOCATED v3,CON_ID n",
        rows.collect(),
    )
}

fn weight(status: &str) -> u32 {
    match status {
        "COMPLETED" => 1000,
        "COMPLETED WITH WARNINGS" => 900,
        "COMPLETED WITH ERRORS" => 800,
        "FAILED" => 100,
        _ => 950,
    }
}

/// One row per session that has made a backup.
fn job_details(r: &Records) -> View {
    let mut rows: Rows = Vec::new();
    for session in r.statuses.iter().filter(|s| s.row_level == 0) {
        let own: Vec<&Status> = r
            .statuses
            .iter()
            .filter(|s| {
                s.row_level > 0 && s.session_recid == session.recid && s.operation.starts_with("BACKUP")
            })
            .collect();
        if own.is_empty() {
            continue;
        }
        let rank =
            ["DB FULL", "DB INCR", "DATAFILE FULL", "DATAFILE INCR", "ARCHIVELOG", "CONTROLFILE", "SPFILE"];
        let kind = rank.iter().find(|k| own.iter().any(|s| s.object_type.as_deref() == Some(k)));
        let status = own.iter().map(|s| s.status.clone()).min_by_key(|s| weight(s)).unwrap_or_default();
        let input: u64 = own.iter().map(|s| s.input_bytes).sum();
        let output: u64 = own.iter().map(|s| s.output_bytes).sum();
        let start = own.iter().map(|s| s.start).min().unwrap_or(session.start);
        let end = own.iter().filter_map(|s| s.end).max();
        let autobackups = own.iter().filter(|s| s.autobackup_done).count();
        let took = end.map_or(0, |e| (e - start).num_seconds());
        rows.push(vec![
            n(session.recid),
            n(session.recid),
            n(session.stamp),
            t(session.command_id.clone()),
            d(start),
            od(end),
            n(input),
            n(output),
            n(weight(&status)),
            t("DISK"),
            n(autobackups),
            yes(autobackups > 0),
            t(status),
            kind.map_or(Value::Null, |k| t(*k)),
            t("NO"),
            n(took),
            n(input.checked_div(output.max(1)).unwrap_or(1)),
            display(input),
            display(output),
            t(format!("{:02}:{:02}:{:02}", took / 3600, took / 60 % 60, took % 60)),
        ]);
    }
    make(
        "SESSION_KEY n,SESSION_RECID n,SESSION_STAMP n,COMMAND_ID v33,START_TIME d,END_TIME d,INPUT_BYTES n,OUTPUT_BYTES n,\
         STATUS_WEIGHT n,OUTPUT_DEVICE_TYPE v17,AUTOBACKUP_COUNT n,AUTOBACKUP_DONE v3,STATUS v23,INPUT_TYPE v13,OPTIMIZED v3,\
         ELAPSED_SECONDS n,COMPRESSION_RATIO n,INPUT_BYTES_DISPLAY v40,OUTPUT_BYTES_DISPLAY v40,TIME_TAKEN_DISPLAY v40",
        rows,
    )
}

fn area_usage(inner: &Inner) -> View {
    let limit = inner.recovery_area_limit().max(1);
    let [logs, pieces] = inner.recovery_area_used();
    let none = (0, 0);
    let kinds = [
        ("CONTROL FILE", none),
        ("REDO LOG", none),
        ("ARCHIVED LOG", logs),
        ("BACKUP PIECE", pieces),
        ("IMAGE COPY", none),
        ("FLASHBACK LOG", none),
    ];
    let rows = kinds
        .iter()
        .map(|(name, (bytes, files))| vec![t(*name), n(bytes * 100 / limit), n(0), n(*files), n(0)]);
    make(
        "FILE_TYPE v23,PERCENT_SPACE_USED n,PERCENT_SPACE_RECLAIMABLE n,NUMBER_OF_FILES n,CON_ID n",
        rows.collect(),
    )
}
