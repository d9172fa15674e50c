//! The V$ and DBA_ views.

mod database;
mod files;
mod logs;
mod parameters;
mod rman;
mod shop;

use chrono::NaiveDateTime;

use super::Inner;
use crate::engine::{Column, Container, OraError, State, Type, Value, View};

/// Rows are made by closures that may look only at what their view is allowed to see.
type Rows = Vec<Vec<Value>>;

fn n<T: TryInto<i64>>(v: T) -> Value {
    v.try_into().map_or(Value::Null, Value::Int)
}

fn t(v: impl Into<String>) -> Value {
    Value::Text(v.into())
}

fn d(v: NaiveDateTime) -> Value {
    Value::Date(v)
}

fn od(v: Option<NaiveDateTime>) -> Value {
    v.map_or(Value::Null, Value::Date)
}

fn yes(v: bool) -> Value {
    t(if v { "YES" } else { "NO" })
}

/// Columns from `NAME n`, `NAME d` or `NAME v30` separated by commas.
fn columns(text: &'static str) -> Vec<Column> {
    text.split(',')
        .filter_map(|column| {
            let (name, ty) = column.trim().split_once(' ')?;
            let ty = match ty.trim() {
                "n" => Type::Number,
                "d" => Type::Date,
                width => Type::Varchar(width.trim_start_matches('v').parse().unwrap_or(30)),
            };
            Some(Column { name, ty })
        })
        .collect()
}

fn make(text: &'static str, rows: Rows) -> View {
    View { columns: columns(text), rows }
}

/// The least state of the instance in which a view answers.
fn needs(name: &str) -> State {
    match name {
        "V$INSTANCE"
        | "GV$INSTANCE"
        | "V$PARAMETER"
        | "V$PARAMETER2"
        | "V$SYSTEM_PARAMETER"
        | "V$SPPARAMETER"
        | "V$VERSION"
        | "V$OPTION"
        | "PRODUCT_COMPONENT_VERSION"
        | "V$MANAGED_STANDBY"
        | "V$DATAGUARD_PROCESS"
        | "V$ENCRYPTION_WALLET"
        | "V$CONTROLFILE"
        | "V$BGPROCESS"
        | "V$PROCESS"
        | "V$SESSION"
        | "V$ARCHIVE_PROCESSES"
        | "NLS_DATABASE_PARAMETERS"
        | "V$NLS_PARAMETERS" => State::Nomount,
        "LOJA.VENDAS" => State::OpenReadOnly,
        _ if name.starts_with("DBA_") || name.starts_with("CDB_") => State::OpenReadOnly,
        _ => State::Mounted,
    }
}

pub(super) fn view(inner: &Inner, name: &str, container: &Container) -> Option<Result<View, OraError>> {
    let name = name.strip_prefix("SYS.").unwrap_or(name);
    // GV$ is V$ with INST_ID; V_$ is what V$ is a synonym of.
    let name = name.replace("V_$", "V$");
    if name == "LOJA.VENDAS" && inner.state >= State::OpenReadOnly {
        return Some(shop::view(inner));
    }
    let make: fn(&Inner, &Container, &str) -> Result<Option<View>, OraError> = |inner, container, name| {
        if let Some(view) = database::view(inner, container, name)? {
            return Ok(Some(view));
        }
        if let Some(view) = files::view(inner, container, name)? {
            return Ok(Some(view));
        }
        if let Some(view) = logs::view(inner, name)? {
            return Ok(Some(view));
        }
        if let Some(view) = rman::view(inner, name)? {
            return Ok(Some(view));
        }
        Ok(parameters::view(inner, name))
    };
    if !KNOWN.contains(&name.as_str()) && !KNOWN_RMAN.contains(&name.as_str()) {
        return None;
    }
    let needed = needs(&name);
    if inner.state == State::Down {
        return Some(Err(OraError::new(1034, "ORACLE not available")));
    }
    if inner.state < needed {
        return Some(Err(match (inner.state, needed) {
            (State::Nomount, _) => OraError::new(1507, "database not mounted"),
            _ => OraError::new(
                1219,
                "database or pluggable database not open: queries allowed on fixed tables or views only",
            ),
        }));
    }
    match make(inner, container, &name) {
        Ok(Some(view)) => Some(Ok(view)),
        Ok(None) => None,
        Err(e) => Some(Err(e)),
    }
}

const KNOWN_RMAN: &[&str] = &[
    "V$BACKUP_SET",
    "V$BACKUP_SET_DETAILS",
    "V$BACKUP_PIECE",
    "V$BACKUP_PIECE_DETAILS",
    "V$BACKUP_DATAFILE",
    "V$BACKUP_DATAFILE_DETAILS",
    "V$BACKUP_REDOLOG",
    "V$BACKUP_ARCHIVELOG_DETAILS",
    "V$BACKUP_SPFILE",
    "V$BACKUP_FILES",
    "V$DATAFILE_COPY",
    "V$BACKUP_CORRUPTION",
    "V$RMAN_STATUS",
    "V$RMAN_OUTPUT",
    "V$RMAN_BACKUP_JOB_DETAILS",
    "V$RMAN_CONFIGURATION",
    "V$FLASH_RECOVERY_AREA_USAGE",
    "V$RECOVERY_AREA_USAGE",
];

const KNOWN: &[&str] = &[
    "V$DATABASE",
    "V$INSTANCE",
    "GV$INSTANCE",
    "V$THREAD",
    "V$DATABASE_INCARNATION",
    "V$CONTAINERS",
    "V$PDBS",
    "V$VERSION",
    "PRODUCT_COMPONENT_VERSION",
    "V$OPTION",
    "V$CONTROLFILE",
    "V$ENCRYPTION_WALLET",
    "V$DATABASE_BLOCK_CORRUPTION",
    "V$TABLESPACE",
    "DBA_TABLESPACES",
    "CDB_TABLESPACES",
    "V$DATAFILE",
    "DBA_DATA_FILES",
    "CDB_DATA_FILES",
    "V$TEMPFILE",
    "DBA_TEMP_FILES",
    "CDB_TEMP_FILES",
    "V$DATAFILE_HEADER",
    "V$BACKUP",
    "V$RECOVER_FILE",
    "V$LOG",
    "V$LOGFILE",
    "V$STANDBY_LOG",
    "V$ARCHIVED_LOG",
    "V$LOG_HISTORY",
    "V$ARCHIVE_DEST",
    "V$ARCHIVE_DEST_STATUS",
    "V$ARCHIVE_GAP",
    "V$MANAGED_STANDBY",
    "V$DATAGUARD_PROCESS",
    "V$ARCHIVE_PROCESSES",
    "V$RECOVERY_LOG",
    "V$RECOVERY_FILE_DEST",
    "V$PARAMETER",
    "V$PARAMETER2",
    "V$SYSTEM_PARAMETER",
    "V$SPPARAMETER",
    "NLS_DATABASE_PARAMETERS",
    "V$NLS_PARAMETERS",
    "LOJA.VENDAS",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::Engine,
        instance::{FileSpec, Instance, Spec, TablespaceKind, TablespaceSpec},
    };

    #[test]
    fn every_row_has_every_column() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| vec![FileSpec { path: dir.path().join(name), bytes: 200_000 }];
        let spec = Spec {
            tablespaces: vec![
                TablespaceSpec::new("SYSTEM", file("s")),
                TablespaceSpec { kind: TablespaceKind::Temporary, ..TablespaceSpec::new("TEMP", file("t")) },
            ],
            changes_per_second: 0,
            ..Spec::default()
        };
        let instance = Instance::create(&dir.path().join("db"), &spec).unwrap();
        instance.execute(&crate::engine::Command::ArchiveLogCurrent, &mut None).unwrap();
        for name in KNOWN.iter().chain(KNOWN_RMAN) {
            let view = instance
                .view(name, &None)
                .unwrap_or_else(|| panic!("{name} is listed and not made"))
                .unwrap();
            assert!(!view.columns.is_empty(), "{name}");
            for row in &view.rows {
                assert_eq!(row.len(), view.columns.len(), "{name}");
                for (value, column) in row.iter().zip(&view.columns) {
                    let fits = match (value, column.ty) {
                        (Value::Null, _) | (Value::Int(_), Type::Number) | (Value::Date(_), Type::Date) => {
                            true
                        }
                        (Value::Text(text), Type::Varchar(width)) => text.len() <= width,
                        _ => false,
                    };
                    assert!(fits, "{name}.{} = {value:?}", column.name);
                }
            }
        }
    }
}
