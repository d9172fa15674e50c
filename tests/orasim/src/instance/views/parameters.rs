use std::collections::BTreeMap;

use super::{make, n, t, Inner, OraError, Value, View};
use crate::instance::DestSpec;

impl Inner {
    /// Initialisation parameters in lower case, those that follow from the spec and those that were set.
    pub(in crate::instance) fn parameters(&self) -> BTreeMap<String, String> {
        let spec = &self.spec;
        let mut p = BTreeMap::new();
        let mut put = |name: &str, value: String| {
            p.insert(name.to_owned(), value);
        };
        let list: Vec<String> =
            self.control_files().iter().map(|f| f.to_string_lossy().into_owned()).collect();
        put("control_files", list.join(", "));
        put("db_name", spec.name.clone());
        put("db_unique_name", spec.unique_name.clone().unwrap_or_else(|| spec.name.clone()));
        put("instance_name", spec.sid.clone());
        put("db_block_size", "8192".to_owned());
        put("db_block_checksum", "TYPICAL".to_owned());
        put("compatible", "19.0.0".to_owned());
        put("log_archive_format", spec.log_archive_format.clone());
        put("log_archive_max_processes", "4".to_owned());
        put("log_archive_dest", String::new());
        put("standby_archive_dest", String::new());
        put("control_file_record_keep_time", "7".to_owned());
        put("db_unrecoverable_scn_tracking", "TRUE".to_owned());
        put("archive_lag_target", "0".to_owned());
        let spfile = self.dir.join(format!("spfile{}.ora", spec.sid)).to_string_lossy().into_owned();
        put("spfile", if self.faults.no_spfile { String::new() } else { spfile });
        put("dg_broker_start", "FALSE".to_owned());
        put("undo_tablespace", "UNDOTBS1".to_owned());
        put("cluster_database", if spec.threads > 1 { "TRUE" } else { "FALSE" }.to_owned());
        put(
            "standby_file_management",
            if spec.standby_file_management_auto { "AUTO" } else { "MANUAL" }.to_owned(),
        );
        put("enable_pluggable_database", if spec.pdbs.is_empty() { "FALSE" } else { "TRUE" }.to_owned());
        put(
            "db_create_file_dest",
            spec.create_file_dest.as_ref().map_or(String::new(), |d| d.to_string_lossy().into_owned()),
        );
        put("remote_login_passwordfile", "EXCLUSIVE".to_owned());
        put("diagnostic_dest", self.dir.to_string_lossy().into_owned());
        put("background_dump_dest", self.dir.join("trace").to_string_lossy().into_owned());
        for id in 1..=31 {
            put(&format!("log_archive_dest_{id}"), String::new());
            put(&format!("log_archive_dest_state_{id}"), "enable".to_owned());
        }
        let (mut area, mut size) = (String::new(), "0".to_owned());
        for dest in self.dests() {
            let value = match (&dest.service, &dest.directory) {
                (Some(service), _) => {
                    format!("SERVICE={service} ASYNC VALID_FOR=(ONLINE_LOGFILES,PRIMARY_ROLE)")
                }
                (_, Some(directory)) if dest.omf => {
                    area = directory.to_string_lossy().into_owned();
                    size = (100u64 << 30).to_string();
                    "LOCATION=USE_DB_RECOVERY_FILE_DEST".to_owned()
                }
                (_, Some(directory)) => format!("LOCATION={}", directory.display()),
                _ => continue,
            };
            put(&format!("log_archive_dest_{}", dest.id), value);
        }
        put("db_recovery_file_dest", area);
        put("db_recovery_file_dest_size", size);
        p.extend(spec.parameters.clone());
        p
    }

    pub(in crate::instance) fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), OraError> {
        let value = value.trim();
        if !self.parameters().contains_key(name) {
            return Err(OraError::new(2065, "illegal option for ALTER SYSTEM"));
        }
        match name {
            "log_archive_format" => value.clone_into(&mut self.spec.log_archive_format),
            "standby_file_management" => {
                self.spec.standby_file_management_auto = value.eq_ignore_ascii_case("AUTO")
            }
            "db_create_file_dest" => self.spec.create_file_dest = (!value.is_empty()).then(|| value.into()),
            _ => {
                if let Some(Ok(id)) = name.strip_prefix("log_archive_dest_").map(str::parse::<u32>) {
                    let mut dests = self.dests();
                    dests.retain(|d| d.id != id);
                    if let Some(dest) =
                        destination(id, value, &dests, self.spec.parameters.get("db_recovery_file_dest"))?
                    {
                        dests.push(dest);
                        dests.sort_by_key(|d| d.id);
                    }
                    self.spec.dests = dests;
                } else {
                    self.spec.parameters.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(())
    }
}

fn destination(
    id: u32,
    value: &str,
    _others: &[DestSpec],
    area: Option<&String>,
) -> Result<Option<DestSpec>, OraError> {
    if value.is_empty() {
        return Ok(None);
    }
    for word in value.split_whitespace() {
        let Some((key, v)) = word.split_once('=') else { continue };
        match key.to_lowercase().as_str() {
            "location" if v.eq_ignore_ascii_case("USE_DB_RECOVERY_FILE_DEST") => {
                let directory = area.filter(|a| !a.is_empty()).map(Into::into);
                if directory.is_none() {
                    return Err(OraError::new(32017, "failure in updating SPFILE").then(
                        16179,
                        format!("incremental changes to \"log_archive_dest_{id}\" not allowed with SPFILE"),
                    ));
                }
                return Ok(Some(DestSpec { id, directory, omf: true, service: None }));
            }
            "location" => {
                // The rest of the value may contain blanks only when it is nothing but the place.
                let whole =
                    value.split_once('=').map_or(v, |(_, rest)| if rest.contains('=') { v } else { rest });
                return Ok(Some(DestSpec {
                    id,
                    directory: Some(whole.trim().into()),
                    omf: false,
                    service: None,
                }));
            }
            "service" => {
                return Ok(Some(DestSpec { id, directory: None, omf: false, service: Some(v.to_owned()) }))
            }
            _ => {}
        }
    }
    Err(OraError::new(32017, "failure in updating SPFILE")
        .then(16179, "incremental changes not allowed with SPFILE"))
}

pub(super) fn view(inner: &Inner, name: &str) -> Option<View> {
    Some(match name {
        "V$PARAMETER" | "V$PARAMETER2" | "V$SYSTEM_PARAMETER" => make(
            "NUM n,NAME v80,TYPE n,VALUE v4000,DISPLAY_VALUE v4000,DEFAULT_VALUE v255,ISDEFAULT v9,ISSES_MODIFIABLE v5,\
             ISSYS_MODIFIABLE v9,ISMODIFIED v10,DESCRIPTION v255,CON_ID n",
            inner
                .parameters()
                .into_iter()
                .enumerate()
                .map(|(i, (name, value))| {
                    // An empty string is NULL in Oracle.
                    let value = if value.is_empty() { Value::Null } else { t(value) };
                    let set = value != Value::Null;
                    vec![
                        n(i),
                        t(name),
                        n(2),
                        value.clone(),
                        value,
                        Value::Null,
                        t(if set { "FALSE" } else { "TRUE" }),
                        t("FALSE"),
                        t("IMMEDIATE"),
                        t("FALSE"),
                        Value::Null,
                        n(0),
                    ]
                })
                .collect(),
        ),
        "V$SPPARAMETER" => make(
            "FAMILY v80,SID v80,NAME v80,TYPE v11,VALUE v255,DISPLAY_VALUE v255,ISSPECIFIED v6,ORDINAL n,CON_ID n",
            inner
                .parameters()
                .into_iter()
                .map(|(name, value)| {
                    let short: String = value.chars().take(60).collect();
                    let v = if short.is_empty() { Value::Null } else { t(short) };
                    let set = t(if v == Value::Null { "FALSE" } else { "TRUE" });
                    vec![Value::Null, t("*"), t(name), t("string"), v.clone(), v, set, n(1), n(0)]
                })
                .collect(),
        ),
        "NLS_DATABASE_PARAMETERS" | "V$NLS_PARAMETERS" => {
            let rows = [
                ("NLS_LANGUAGE", "AMERICAN"),
                ("NLS_TERRITORY", "AMERICA"),
                ("NLS_CHARACTERSET", "AL32UTF8"),
                ("NLS_NCHAR_CHARACTERSET", "AL16UTF16"),
                ("NLS_DATE_FORMAT", "DD-MON-RR"),
            ];
            make("PARAMETER v128,VALUE v64", rows.iter().map(|(p, v)| vec![t(*p), t(*v)]).collect())
        }
        _ => return None,
    })
}
