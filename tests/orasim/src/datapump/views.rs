//! Dictionary views that Data Pump needs: users, tables, directory objects, jobs.

use super::jobs::Pump;
use super::Config;
use crate::engine::{Column, Command, Container, Engine, OraError, Reply, State, Type, Value, View};

/// An engine that also knows the dictionary of `datapump.json`, as one user sees it.
pub struct WithDictionary<'a> {
    pub engine: &'a dyn Engine,
    pub pump: &'a Pump,
    pub user: &'a str,
    pub dba: bool,
}

impl Engine for WithDictionary<'_> {
    fn state(&self) -> State {
        self.engine.state()
    }

    fn view(&self, name: &str, container: &Container) -> Option<Result<View, OraError>> {
        let plain = name.strip_prefix("SYS.").unwrap_or(name);
        match self.dictionary(plain) {
            Some(view) => Some(Ok(view)),
            None => self.engine.view(name, container),
        }
    }

    fn execute(&self, command: &Command, container: &mut Container) -> Result<Reply, OraError> {
        self.engine.execute(command, container)
    }
}

fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

fn columns(names: &[&'static str]) -> Vec<Column> {
    names.iter().map(|name| Column { name, ty: Type::Varchar(4000) }).collect()
}

impl WithDictionary<'_> {
    fn dictionary(&self, name: &str) -> Option<View> {
        // A file that is not valid is a dictionary without rows; the job that reads it says why.
        let config = Config::load(self.pump.dir()).unwrap_or_default();
        let mine = name.starts_with("USER_");
        let sees = |owner: &str| if mine { owner == self.user } else { self.dba || owner == self.user };
        match name {
            "DBA_USERS" | "ALL_USERS" => {
                let mut users: Vec<String> = vec!["SYS".into(), "SYSTEM".into(), self.user.to_owned()];
                users.extend(config.schemas.keys().cloned());
                users.sort();
                users.dedup();
                let rows = users.into_iter().map(|u| vec![text(u)]).collect();
                Some(View { columns: columns(&["USERNAME"]), rows })
            }
            "DBA_TABLES" | "ALL_TABLES" | "USER_TABLES" => {
                let mut rows = Vec::new();
                for (owner, schema) in config.schemas.iter().filter(|(owner, _)| sees(owner)) {
                    for table in &schema.tables {
                        let temporary = if table.temporary { "Y" } else { "N" };
                        let partitioned = if table.partitions.is_empty() { "NO" } else { "YES" };
                        rows.push(vec![
                            text(owner),
                            text(&table.name),
                            text(temporary),
                            text("NO"),
                            text("N"),
                            Value::Null,
                            text(partitioned),
                        ]);
                    }
                }
                let names =
                    ["OWNER", "TABLE_NAME", "TEMPORARY", "NESTED", "SECONDARY", "IOT_TYPE", "PARTITIONED"];
                let mut view = View { columns: columns(&names), rows };
                if mine {
                    view.columns.remove(0);
                    view.rows.iter_mut().for_each(|row| drop(row.remove(0)));
                }
                Some(view)
            }
            "DBA_EXTERNAL_TABLES" | "ALL_EXTERNAL_TABLES" => {
                let of = |(owner, schema): (&String, &super::Schema)| {
                    let names = schema.tables.iter().filter(|t| t.external);
                    names.map(|t| vec![text(owner), text(&t.name)]).collect::<Vec<_>>()
                };
                let rows = config.schemas.iter().filter(|(owner, _)| sees(owner)).flat_map(of).collect();
                Some(View { columns: columns(&["OWNER", "TABLE_NAME"]), rows })
            }
            "DBA_DIRECTORIES" | "ALL_DIRECTORIES" => {
                let rows = config
                    .directories
                    .iter()
                    .filter(|(_, d)| self.dba || d.grantees.iter().any(|g| g == self.user))
                    .map(|(name, d)| vec![text("SYS"), text(name), text(d.path.to_string_lossy())])
                    .collect();
                Some(View { columns: columns(&["OWNER", "DIRECTORY_NAME", "DIRECTORY_PATH"]), rows })
            }
            "DBA_DATAPUMP_JOBS" | "USER_DATAPUMP_JOBS" => {
                let jobs = self.pump.jobs().into_iter().filter(|j| !mine || j.0 == self.user);
                let rows = jobs.map(|(owner, job, state)| {
                    vec![text(owner), text(job), text("EXPORT"), text("SCHEMA"), text(state)]
                });
                let mut view = View {
                    columns: columns(&["OWNER_NAME", "JOB_NAME", "OPERATION", "JOB_MODE", "STATE"]),
                    rows: rows.collect(),
                };
                if mine {
                    view.columns.remove(0);
                    view.rows.iter_mut().for_each(|row| drop(row.remove(0)));
                }
                Some(view)
            }
            _ => None,
        }
    }
}
