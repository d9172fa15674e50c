//! Reads what a tool wrote to standard output and holds every line to the contract.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{bail, ensure, Context, Result};
use jsonschema::Validator;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One record as a test looks at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub kind: String,
    pub fields: Value,
    /// The line as it came, without its newline.
    pub line: String,
}

impl Record {
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    pub fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field).and_then(Value::as_u64)
    }

    /// The record as one of `common`'s types.
    pub fn decode<P: DeserializeOwned>(&self) -> Result<P> {
        serde_json::from_value(self.fields.clone()).with_context(|| format!("decode {}", self.line))
    }
}

/// The schemas of all record types, ready to check with.
pub struct Contract {
    types: BTreeMap<&'static str, Checked>,
}

struct Checked {
    validator: Validator,
    fields: BTreeSet<String>,
}

impl Contract {
    pub fn load() -> Result<Self> {
        let mut types = BTreeMap::new();
        for (name, schema) in common::record::schemas() {
            let mut schema = serde_json::to_value(schema).context("encode a schema")?;
            crate::docs::bind_type(&mut schema, name);
            let properties = schema.get("properties").and_then(Value::as_object);
            let fields = properties.context("a schema has no properties")?.keys().cloned().collect();
            let validator = jsonschema::validator_for(&schema)
                .map_err(|e| anyhow::anyhow!("the schema of {name} is none: {e}"))?;
            types.insert(name, Checked { validator, fields });
        }
        Ok(Self { types })
    }

    /// Checks one line: an object of a known type that its schema accepts, with no field that the schema does not name.
    pub fn check(&self, line: &str) -> Result<Record> {
        let fields: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let object = fields.as_object().with_context(|| format!("not an object: {line}"))?;
        let kind = object.get("type").and_then(Value::as_str).with_context(|| format!("no type: {line}"))?;
        let Some(checked) = self.types.get(kind) else { bail!("unknown type {kind}: {line}") };
        if let Err(error) = checked.validator.validate(&fields) {
            bail!("against the schema of {kind}: {error}: {line}");
        }
        for name in object.keys() {
            ensure!(checked.fields.contains(name), "{kind} has no field {name}: {line}");
        }
        Ok(Record { kind: kind.to_owned(), line: line.to_owned(), fields })
    }
}

/// The records of one run of `tool`; lines of `forwarded` were passed on from its input and are not its own.
///
/// # Errors
/// A line that breaks the contract, another run id, a missing or misplaced bracket, or an exit status that the last record
/// does not tell. `status` is `None` for a run that was killed: then only the end may be missing.
pub fn read(
    tool: &str,
    stdout: &[u8],
    forwarded: &[u8],
    status: Option<i32>,
    contract: &Contract,
) -> Result<Vec<Record>> {
    let text = std::str::from_utf8(stdout).context("standard output is not UTF-8")?;
    let passed: BTreeSet<&[u8]> = forwarded.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
    let mut lines: Vec<&str> = text.lines().collect();
    if status.is_none() && !text.ends_with('\n') {
        // Killed in the middle of a write.
        lines.pop();
    }
    let mut records = Vec::new();
    for line in lines {
        if passed.contains(line.as_bytes()) {
            continue;
        }
        records.push(contract.check(line)?);
    }
    let Some(first) = records.first() else {
        ensure!(status.is_none(), "{tool} wrote no record");
        return Ok(records);
    };
    ensure!(first.kind == "run_begin", "{tool} begins with {}", first.line);
    let run = first.text("run").unwrap_or_default().to_owned();
    for record in &records {
        ensure!(record.text("tool") == Some(tool), "a record of another tool: {}", record.line);
        ensure!(record.text("run") == Some(run.as_str()), "a record of another run: {}", record.line);
    }
    let count = |kind: &str| records.iter().filter(|r| r.kind == kind).count();
    ensure!(count("run_begin") == 1, "{tool} begins {} times", count("run_begin"));
    if let Some(status) = status {
        ensure!(count("run_end") == 1, "{tool} ends {} times", count("run_end"));
        let end = records.last().filter(|r| r.kind == "run_end").context("run_end is not the last record")?;
        let told = end.fields.get("exit").and_then(Value::as_i64);
        ensure!(told == Some(status.into()), "{tool} exited {status} and told {told:?}: {}", end.line);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::record::{Log, Mode, Out, RunBegin};

    fn line(payload: &impl common::record::Payload) -> String {
        let out = Out::to(Box::new(std::io::sink()), "t", "r1", Mode::Json);
        String::from_utf8(out.line(payload).unwrap()).unwrap()
    }

    fn end(exit: common::exit::Exit) -> String {
        line(&common::record::RunEnd {
            status: exit.word(),
            exit: exit.code().into(),
            seconds: 0.1,
            counts: BTreeMap::new(),
            message: None,
        })
    }

    #[test]
    fn a_run_that_keeps_the_contract_is_read_and_each_breach_is_named() {
        let contract = Contract::load().unwrap();
        let begin = line(&RunBegin { version: "1".into(), host: "h".into(), db: None });
        let log = line(&Log::info("x"));
        let good = end(common::exit::Exit::Success);
        let run = |lines: &[&str], status| {
            read("t", (lines.join("\n") + "\n").as_bytes(), b"{\"path\":\"/x\"}\n", status, &contract)
                .map(|r| r.len())
                .map_err(|e| format!("{e:#}"))
        };
        assert_eq!(run(&[&begin, "{\"path\":\"/x\"}", &log, &good], Some(0)), Ok(3));
        assert_eq!(run(&[&begin, &log], None), Ok(2));
        let breach = |lines: &[&str], status, what: &str| {
            let error = run(lines, status).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        breach(&[&begin, &log], Some(0), "ends 0 times");
        breach(&[&log, &good], Some(0), "begins with");
        breach(&[&begin, &good], Some(2), "exited 2 and told Some(0)");
        breach(&[&begin, "{\"path\":\"/y\"}", &good], Some(0), "no type");
        breach(&[&begin, &log.replace("\"info\"", "\"fine\""), &good], Some(0), "schema of log");
        breach(
            &[&begin, &log.replace("\"level\"", "\"extra\":1,\"level\""), &good],
            Some(0),
            "no field extra",
        );
        breach(&[&begin, &log.replace("\"r1\"", "\"r2\""), &good], Some(0), "another run");
        breach(&[&begin, &good, &log], Some(0), "not the last");
    }
}
