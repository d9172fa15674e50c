//! CREATE DATABASE: the first control file, the files, the logs, and a past if one is wanted.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{bail, ensure, Context, Result};
use chrono::TimeDelta;

use super::{spec::FileSpec, Inner, Spec, TablespaceKind, TablespaceSpec};
use crate::{
    block::SIZE,
    controlfile::{
        self, Archived, ContainerRec, ControlFile, Datafile, History, Incarnation, Kind, LogRec, LogStatus,
        Tablespace, Tempfile, ThreadRec,
    },
    datafile::{self, Header},
    oratime,
    redolog::{LogHeader, Order},
    truth::{Event, Ledger},
};

const SEED: &str = "PDB$SEED";

/// Refuses what no database could be.
pub(super) fn check(spec: &Spec) -> Result<()> {
    ensure!(!spec.name.is_empty() && spec.name.len() <= 8, "DB_NAME must have 1 to 8 characters");
    if spec.standby {
        return Ok(());
    }
    ensure!(spec.threads >= 1 && spec.groups >= 2, "at least one thread and two groups");
    ensure!(spec.log_bytes >= 256 << 10, "an online log has at least 256 KiB");
    ensure!([512, 1024, 4096].contains(&spec.redo_block_size), "redo blocks have 512, 1024 or 4096 bytes");
    ensure!(spec.idle_threads.len() < usize::from(spec.threads), "one thread must not be idle");
    ensure!(!spec.tablespaces.is_empty(), "a database without tablespaces");
    for ts in &spec.tablespaces {
        ensure!(!ts.files.is_empty(), "tablespace {} has no file", ts.name);
        ensure!(ts.name.len() <= 30, "tablespace name {} is longer than 30 bytes", ts.name);
        if let Some(pdb) = &ts.pdb {
            ensure!(spec.pdbs.contains(pdb) || pdb == SEED && !spec.pdbs.is_empty(), "no PDB {pdb}");
        }
    }
    Ok(())
}

fn blocks(bytes: u64) -> Result<u32> {
    let blocks = u32::try_from(bytes / SIZE as u64).context("file too large")?;
    if blocks < 2 {
        bail!("a datafile has at least two blocks");
    }
    Ok(blocks)
}

pub(super) fn database(inner: &mut Inner) -> Result<()> {
    let spec = inner.spec.clone();
    let created = spec.resetlogs_time;
    let resetlogs_scn = spec.start_scn;
    let resetlogs_id = spec.resetlogs_id.unwrap_or_else(|| oratime::pack(created));
    inner.scn = resetlogs_scn;
    let mut control = ControlFile {
        uid: inner.random(),
        kind: Kind::Current,
        name: spec.name.to_uppercase(),
        dbid: spec.dbid,
        created,
        sequence: 1,
        scn: resetlogs_scn,
        time: created,
        archivelog: spec.archivelog,
        force_logging: spec.force_logging,
        in_use: false,
        activation: spec.dbid ^ 0x00A5_5A00,
        redo_block_size: spec.redo_block_size,
        incarnations: vec![Incarnation {
            number: 1,
            resetlogs_scn,
            resetlogs_time: created,
            resetlogs_id,
            prior_scn: 0,
            prior_time: None,
            prior_number: 0,
            current: true,
        }],
        threads: Vec::new(),
        logs: Vec::new(),
        containers: containers(&spec),
        tablespaces: Vec::new(),
        datafiles: Vec::new(),
        tempfiles: Vec::new(),
        last_recid: 0,
        archived: Vec::new(),
        history: Vec::new(),
        rman: crate::pieces::records::Records::default(),
    };
    history(inner, &spec, &mut control)?;
    logs(inner, &spec, &mut control)?;
    tablespaces(inner, &spec, &mut control)?;
    control.scn = inner.scn;
    controlfile::Open::new(control, &inner.control_files())?;
    inner.scn = 0;
    Ok(())
}

fn containers(spec: &Spec) -> Vec<ContainerRec> {
    if spec.pdbs.is_empty() {
        return Vec::new();
    }
    let names = ["CDB$ROOT", SEED].into_iter().map(str::to_owned).chain(spec.pdbs.iter().cloned());
    names
        .enumerate()
        .map(|(i, name)| ContainerRec {
            con_id: i as u32 + 1,
            dbid: if i == 0 { spec.dbid } else { spec.dbid.wrapping_add(i as u32 * 7919) },
            open_mode: if name == SEED { "READ ONLY" } else { "READ WRITE" }.to_owned(),
            name,
        })
        .collect()
}

fn tablespaces(inner: &mut Inner, spec: &Spec, control: &mut ControlFile) -> Result<()> {
    let mut wanted = spec.tablespaces.clone();
    if !spec.pdbs.is_empty() && !wanted.iter().any(|t| t.pdb.as_deref() == Some(SEED)) {
        for name in ["SYSTEM", "SYSAUX"] {
            let path = inner.dir.join("pdbseed").join(format!("{}01.dbf", name.to_lowercase()));
            wanted.push(TablespaceSpec {
                pdb: Some(SEED.to_owned()),
                read_only: true,
                ..TablespaceSpec::new(name, vec![FileSpec { path, bytes: 16 * SIZE as u64 }])
            });
        }
    }
    let (mut ledger, _) = Ledger::open(&inner.dir)?;
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    let (mut file_number, mut temp_number) = (0, 0);
    for ts in &wanted {
        let con_id = match (&ts.pdb, control.containers.is_empty()) {
            (_, true) => 0,
            (None, false) => 1,
            (Some(pdb), false) => {
                control.containers.iter().find(|c| c.name == *pdb).map(|c| c.con_id).context("no such PDB")?
            }
        };
        let next = numbers.entry(con_id).or_insert(0);
        // Number 3 was the temporary tablespace of the creation script; the numbers of real databases have holes.
        let number = *next;
        *next += 1;
        control.tablespaces.push(Tablespace {
            con_id,
            ts: number,
            name: ts.name.clone(),
            kind: ts.kind,
            read_only: ts.read_only,
            offline: ts.offline,
            created: spec.resetlogs_time,
        });
        for file in &ts.files {
            inner.scn += 11;
            let scn = inner.scn;
            let size = blocks(file.bytes).with_context(|| format!("tablespace {}", ts.name))?;
            if ts.kind == TablespaceKind::Temporary {
                temp_number += 1;
                make_tempfile(&file.path, size)?;
                control.tempfiles.push(Tempfile {
                    file: temp_number,
                    con_id,
                    ts: number,
                    path: file.path.clone(),
                    blocks: size,
                    creation_scn: scn,
                    creation_time: spec.resetlogs_time,
                });
                continue;
            }
            file_number += 1;
            ledger.stage(scn, file_number, Event::Add { blocks: size });
            control.datafiles.push(Datafile {
                file: file_number,
                con_id,
                ts: number,
                path: file.path.clone(),
                identity: None,
                blocks: size,
                create_blocks: size,
                creation_scn: scn,
                creation_time: spec.resetlogs_time,
                checkpoint_scn: scn,
                checkpoint_time: spec.resetlogs_time,
                checkpoint_count: 1,
                offline: ts.offline,
                read_only: ts.read_only,
                last_scn: None,
                last_time: None,
                unrecoverable_scn: 0,
                unrecoverable_time: None,
                backup_active: false,
                backup_scn: 0,
                backup_time: None,
            });
        }
    }
    inner.scn += 1;
    let checkpoint = inner.scn;
    let names: BTreeMap<(u32, u32), String> =
        control.tablespaces.iter().map(|t| ((t.con_id, t.ts), t.name.clone())).collect();
    let incarnation = control.incarnation().cloned().context("no incarnation")?;
    for rec in &mut control.datafiles {
        rec.checkpoint_scn = checkpoint;
        if rec.read_only || rec.offline {
            rec.last_scn = Some(checkpoint);
            rec.last_time = Some(spec.resetlogs_time);
            if rec.read_only {
                ledger.stage(checkpoint, rec.file, Event::ReadOnly(true));
            }
            if rec.offline {
                ledger.stage(checkpoint, rec.file, Event::Offline(true));
            }
        }
        let header = Header {
            dbid: control.dbid,
            db_name: control.name.clone(),
            control_seq: control.sequence,
            blocks: rec.blocks,
            file: rec.file,
            creation_scn: rec.creation_scn,
            creation_time: oratime::pack(rec.creation_time),
            resetlogs_id: incarnation.resetlogs_id,
            resetlogs_scn: incarnation.resetlogs_scn,
            checkpoint_count: 1,
            ts: rec.ts,
            ts_name: names.get(&(rec.con_id, rec.ts)).cloned().unwrap_or_default(),
            checkpoint_scn: checkpoint,
            checkpoint_time: oratime::pack(rec.checkpoint_time),
            thread: 1,
            rba_seq: control.threads.first().map_or(0, |t| t.sequence + 1),
            rba_block: 2,
            ..Header::default()
        };
        datafile::create(&rec.path, &header)
            .with_context(|| format!("make datafile {}", rec.path.display()))?;
    }
    ledger.flush()?;
    Ok(())
}

pub(super) fn make_tempfile(path: &Path, blocks: u32) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    let file = fs::File::create_new(path).with_context(|| format!("make tempfile {}", path.display()))?;
    // Sparse, as Oracle's own.
    file.set_len((u64::from(blocks) + 1) * SIZE as u64).with_context(|| format!("size {}", path.display()))
}

fn logs(inner: &Inner, spec: &Spec, control: &mut ControlFile) -> Result<()> {
    let dir = spec.log_dir.clone().unwrap_or_else(|| inner.dir.join("onlinelog"));
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let mut group = 0;
    for thread in 1..=spec.threads {
        for _ in 0..spec.groups {
            group += 1;
            let path = dir.join(format!("redo{group:02}.log"));
            let file = fs::File::create_new(&path).with_context(|| format!("make {}", path.display()))?;
            file.set_len(spec.log_bytes).with_context(|| format!("size {}", path.display()))?;
            control.logs.push(LogRec {
                group,
                thread,
                path,
                bytes: spec.log_bytes,
                sequence: 0,
                status: LogStatus::Unused,
                archived: true,
                first_scn: 0,
                first_time: spec.resetlogs_time,
                next_scn: None,
                next_time: None,
                nab: None,
                identity: None,
            });
        }
        control.threads.push(ThreadRec {
            thread,
            enabled: true,
            current_group: 0,
            sequence: spec.fake_logs.count,
            checkpoint_scn: inner.scn,
            checkpoint_time: spec.resetlogs_time,
            last_scn: inner.scn,
        });
    }
    Ok(())
}

/// Old archived logs: rows, and files if wanted.
fn history(inner: &mut Inner, spec: &Spec, control: &mut ControlFile) -> Result<()> {
    let incarnation = control.incarnation().cloned().context("no incarnation")?;
    let dests = inner.dests();
    for i in 0..spec.fake_logs.count {
        let first_scn = inner.scn;
        inner.scn += 1000;
        let next_scn = inner.scn;
        let first_time = spec.resetlogs_time + TimeDelta::minutes(i64::from(i));
        let next_time = first_time + TimeDelta::minutes(1);
        for thread in 1..=spec.threads {
            let sequence = i + 1;
            control.last_recid += 1;
            control.history.push(History {
                recid: control.last_recid,
                thread,
                sequence,
                first_scn,
                first_time,
                next_scn,
                resetlogs_scn: incarnation.resetlogs_scn,
                resetlogs_time: incarnation.resetlogs_time,
                resetlogs_id: incarnation.resetlogs_id,
            });
            for dest in &dests {
                let name = match (&dest.directory, &dest.service) {
                    (_, Some(service)) => service.clone(),
                    (Some(directory), None) => {
                        let format =
                            if dest.omf { "o1_mf_%t_%s_0000fake_.arc" } else { &spec.log_archive_format };
                        let file = super::archiver::archive_name(
                            format,
                            thread,
                            sequence,
                            incarnation.resetlogs_id,
                            control.dbid,
                            control.activation,
                        );
                        let path = directory.join(file);
                        if spec.fake_logs.files {
                            let ends = ((first_scn, first_time), (next_scn, next_time));
                            fake_log(&path, spec, control, &incarnation, (thread, sequence), ends)?;
                        }
                        path.to_string_lossy().into_owned()
                    }
                    (None, None) => continue,
                };
                control.last_recid += 1;
                control.archived.push(Archived {
                    recid: control.last_recid,
                    stamp: oratime::pack(next_time),
                    name: Some(name),
                    dest_id: dest.id,
                    thread,
                    sequence,
                    resetlogs_scn: incarnation.resetlogs_scn,
                    resetlogs_time: incarnation.resetlogs_time,
                    resetlogs_id: incarnation.resetlogs_id,
                    first_scn,
                    first_time,
                    next_scn,
                    next_time,
                    blocks: 1,
                    block_size: spec.redo_block_size,
                    creator: "ARCH".to_owned(),
                    registrar: "ARCH".to_owned(),
                    standby_dest: dest.service.is_some(),
                    applied: false,
                    deleted: false,
                    completion: next_time,
                    activation: control.activation,
                    in_recovery_area: dest.omf,
                    identity: None,
                });
            }
        }
    }
    Ok(())
}

type Moment = (u64, chrono::NaiveDateTime);

/// A valid log without redo.
fn fake_log(
    path: &Path,
    spec: &Spec,
    control: &ControlFile,
    incarnation: &Incarnation,
    (thread, sequence): (u16, u32),
    (from, to): (Moment, Moment),
) -> Result<()> {
    let header = LogHeader {
        order: if spec.big_endian_redo { Order::Big } else { Order::Little },
        block_size: spec.redo_block_size,
        dbid: control.dbid,
        db_name: control.name.clone(),
        control_seq: sequence,
        file_blocks: (spec.log_bytes / u64::from(spec.redo_block_size)) as u32 - 1,
        group: 1,
        activation: control.activation,
        thread,
        sequence,
        nab: 2,
        resetlogs_id: incarnation.resetlogs_id,
        resetlogs_scn: incarnation.resetlogs_scn,
        low_scn: from.0,
        low_time: oratime::pack(from.1),
        next_scn: to.0,
        next_time: oratime::pack(to.1),
        previous_resetlogs_id: 0,
        previous_resetlogs_scn: 0,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    fs::write(path, header.encode()).with_context(|| format!("make {}", path.display()))
}
