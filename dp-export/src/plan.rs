//! From a schema and the facts to the export that is to be run: pure.

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDateTime;
use common::exit::Failure;
use common::record::Planned;
use common::weekday::Language;

use crate::facts::{Facts, Moment};
use crate::name;
use crate::spec::Spec;

/// What the command line decides for every schema.
#[derive(Debug, Clone)]
pub struct Policy {
    pub directory: String,
    /// Where the dumps appear on this host, when it is not the path that the server uses.
    pub dir: Option<PathBuf>,
    pub name: String,
    pub language: Language,
    pub timeout: Duration,
    pub parameters: Vec<(String, String)>,
    pub db: String,
    pub run: String,
    pub now: NaiveDateTime,
}

/// One export: names, parameters, limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub schema: String,
    /// Owner and name of the job in the server.
    pub owner: String,
    pub job: String,
    /// Directory on this host.
    pub dir: PathBuf,
    /// Dump file as expdp is told: with `%U` when there may be several.
    pub dump: String,
    /// Log file of the server.
    pub log: String,
    /// The name that a proven dump gets.
    pub final_dump: String,
    pub final_log: String,
    /// Lines of the parameter file after `userid`.
    pub parameters: Vec<String>,
    pub timeout: Duration,
    pub scn: Option<u64>,
    pub reason: String,
}

/// Jobs of ours begin so; the number after it makes each one's name its own.
pub const JOB_PREFIX: &str = "ORAPIPE_";

/// # Errors
/// The template of the name is wrong.
pub fn plan(spec: &Spec, facts: &Facts, policy: &Policy, nonce: &str) -> Result<Export, Failure> {
    let words = name::Words {
        schema: &spec.schema,
        db: &policy.db,
        run: &policy.run,
        now: policy.now,
        language: policy.language,
    };
    let final_dump = name::fill(&policy.name, &words)?;
    let final_log = name::with(&final_dump, "", Some("LOG"));
    let has = |parameter: &str| policy.parameters.iter().any(|(name, _)| name == parameter);
    let several = has("FILESIZE") || policy.parameters.iter().any(|(n, v)| n == "PARALLEL" && v != "1");
    let job = format!("{JOB_PREFIX}{nonce}");
    let stem = job.to_lowercase();
    let dump = if several { format!("{stem}_%U.dmp") } else { format!("{stem}.dmp") };
    let log = format!("{stem}.log");
    let mut parameters = vec![
        format!("schemas={}", list_item(&spec.schema)),
        format!("directory={}", policy.directory),
        format!("dumpfile={dump}"),
        format!("logfile={log}"),
        format!("job_name={job}"),
    ];
    let scn = match &facts.moment {
        Moment::Scn(scn) => {
            parameters.push(format!("flashback_scn={scn}"));
            Some(*scn)
        }
        Moment::Now => {
            parameters.push("flashback_time=systimestamp".to_owned());
            None
        }
        Moment::None => None,
    };
    parameters
        .extend(policy.parameters.iter().map(|(name, value)| format!("{}={value}", name.to_lowercase())));
    let moment = match &facts.moment {
        Moment::Scn(scn) => format!("as of SCN {scn}"),
        Moment::Now => "as of one moment".to_owned(),
        Moment::None => "each table as of its own moment".to_owned(),
    };
    Ok(Export {
        schema: spec.schema.clone(),
        owner: facts.owner.clone(),
        job,
        dir: policy.dir.clone().unwrap_or_else(|| facts.directory_path.clone()),
        dump,
        log,
        final_dump,
        final_log,
        parameters,
        timeout: spec.timeout.unwrap_or(policy.timeout),
        scn,
        reason: format!("schema {} with {} tables, {moment}", spec.schema, facts.tables.len()),
    })
}

/// A name that is not a plain identifier has to be quoted.
fn list_item(schema: &str) -> String {
    let plain = schema.starts_with(|c: char| c.is_ascii_uppercase())
        && schema.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "_$#".contains(c));
    if plain {
        schema.to_owned()
    } else {
        format!("\"{schema}\"")
    }
}

impl Export {
    pub fn planned(&self) -> Planned {
        Planned {
            action: "export".to_owned(),
            reason: self.reason.clone(),
            path: Some(self.schema.clone()),
            dest: Some(self.dir.join(&self.final_dump).to_string_lossy().into_owned()),
            script: Some(self.parameters.join("\n")),
            ..Planned::default()
        }
    }

    /// All names that its dump may get.
    pub fn names(&self) -> Vec<String> {
        let several = if self.dump.contains("%U") { 99 } else { 0 };
        let numbered = (0..several).map(|n| self.final_name(n, 2));
        std::iter::once(self.final_dump.clone()).chain(numbered).collect()
    }

    /// The name that the n-th of `count` dump files gets, from 0.
    pub fn final_name(&self, n: usize, count: usize) -> String {
        if count <= 1 {
            self.final_dump.clone()
        } else {
            name::with(&self.final_dump, &format!("_{:02}", n + 1), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::oracle::connect::Connect;
    use std::collections::BTreeSet;

    fn export(parameters: &[(&str, &str)], moment: Moment) -> Export {
        let spec = Spec { schema: "GOLD".into(), connect: Connect::sysdba(), timeout: None, unknown: vec![] };
        let facts = Facts {
            owner: "SYS".into(),
            directory_path: "/dp".into(),
            tables: BTreeSet::from(["\"GOLD\".\"T\"".to_owned()]),
            moment,
        };
        let policy = Policy {
            directory: "DP".into(),
            dir: None,
            name: "{schema}_{weekday}.DMP".into(),
            language: Language::En,
            timeout: Duration::from_secs(3600),
            parameters: parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            db: "PROD".into(),
            run: "r".into(),
            now: chrono::NaiveDate::from_ymd_opt(2026, 11, 20).unwrap().and_hms_opt(1, 0, 0).unwrap(),
        };
        plan(&spec, &facts, &policy, "7F").unwrap()
    }

    #[test]
    fn the_dump_gets_a_name_of_its_own_first() {
        let export = export(&[], Moment::Scn(42));
        assert_eq!(export.dump, "orapipe_7f.dmp");
        assert_eq!(export.final_dump, "GOLD_friday.DMP");
        assert_eq!(export.final_log, "GOLD_friday.LOG");
        assert_eq!(
            export.parameters,
            [
                "schemas=GOLD",
                "directory=DP",
                "dumpfile=orapipe_7f.dmp",
                "logfile=orapipe_7f.log",
                "job_name=ORAPIPE_7F",
                "flashback_scn=42"
            ]
        );
    }

    #[test]
    fn several_files_get_numbers() {
        let export = export(&[("FILESIZE", "4G")], Moment::Now);
        assert_eq!(export.dump, "orapipe_7f_%U.dmp");
        assert_eq!(export.final_name(1, 3), "GOLD_friday_02.DMP");
        assert_eq!(export.final_name(0, 1), "GOLD_friday.DMP");
        assert!(export.parameters.contains(&"flashback_time=systimestamp".to_owned()));
    }

    #[test]
    fn a_schema_in_small_letters_is_quoted() {
        assert_eq!(list_item("GOLD$1"), "GOLD$1");
        assert_eq!(list_item("gold"), "\"gold\"");
    }
}
