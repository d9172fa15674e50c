//! One JSON Schema per record type, and the table of all of them for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{ensure, Context, Result};
use serde_json::Value;

const HEAD: &str = "\
# Records

Made by `cargo run -p rig --bin docs` from `common/src/record/types.rs`; change it there.

Each tool writes one JSON object per line to standard output. Every record begins with the envelope; a field that is
not *always* there is left out when it is unknown. Bytes and SCNs are integers, durations are seconds, hashes are
lower-case hex. Readers must pass on types and fields that they do not know. `docs/schemas/` has a JSON Schema per type.

";

pub(super) fn files() -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    let mut table = HEAD.to_owned();
    let envelope: Vec<String> = ["v", "type", "tool", "run", "ts"].map(str::to_owned).into();
    for (index, (name, schema)) in common::record::schemas().into_iter().enumerate() {
        let mut schema = serde_json::to_value(schema).context("encode a schema")?;
        bind_type(&mut schema, name);
        if index == 0 {
            table.push_str("## The envelope\n\n");
            fields(&mut table, &schema, |field| envelope.contains(field))?;
        }
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        write!(table, "\n## `{name}`\n\n{about}\n\n")?;
        fields(&mut table, &schema, |field| !envelope.contains(field))
            .with_context(|| format!("describe {name}"))?;
        let text = serde_json::to_string_pretty(&schema).context("print a schema")? + "\n";
        files.insert(PathBuf::from(format!("docs/schemas/{name}.json")), text);
    }
    files.insert(PathBuf::from("docs/RECORDS.md"), table);
    Ok(files)
}

/// The schema of one type accepts no record of another.
pub(crate) fn bind_type(schema: &mut Value, name: &str) {
    if let Some(kind) = schema.pointer_mut("/properties/type").and_then(Value::as_object_mut) {
        kind.insert("const".to_owned(), name.into());
    }
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), name.into());
    }
}

fn fields(table: &mut String, schema: &Value, wanted: impl Fn(&String) -> bool) -> Result<()> {
    let properties =
        schema.get("properties").and_then(Value::as_object).context("a schema has no properties")?;
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    table.push_str("| field | value | always | meaning |\n|---|---|---|---|\n");
    // What a reader can count on comes first.
    let (always, sometimes): (Vec<_>, Vec<_>) = properties
        .iter()
        .filter(|(name, _)| wanted(name))
        .partition(|(name, _)| required.contains(&name.as_str()));
    for (name, property) in always.into_iter().chain(sometimes) {
        let always = if required.contains(&name.as_str()) { "yes" } else { "" };
        let meaning = meaning(property, schema);
        ensure!(!meaning.is_empty(), "the field {name} says nowhere what it means");
        writeln!(table, "| `{name}` | {} | {always} | {meaning} |", kind(property, schema))?;
    }
    Ok(())
}

fn resolve<'a>(property: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = |value: &Value| value.get("$ref").and_then(Value::as_str).map(str::to_owned);
    let own = reference(property);
    let alternative =
        property.get("anyOf").and_then(Value::as_array).and_then(|list| list.iter().find_map(reference));
    match own.or(alternative) {
        Some(path) => schema.pointer(path.trim_start_matches('#')).unwrap_or(property),
        None => property,
    }
}

fn kind(property: &Value, schema: &Value) -> String {
    let target = resolve(property, schema);
    let words = choices(target);
    if !words.is_empty() {
        let words: Vec<_> = words.iter().map(|w| format!("`{w}`")).collect();
        return words.join(", ");
    }
    let name = match target.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|n| *n != "null").unwrap_or("any").to_owned()
        }
        _ => "any".to_owned(),
    };
    match (name.as_str(), target.get("items")) {
        ("array", Some(items)) => format!("list of {}", nested(items, schema)),
        ("object", _) if target.get("additionalProperties").is_some() => "numbers by name".to_owned(),
        _ => name,
    }
}

fn nested(items: &Value, schema: &Value) -> String {
    let target = resolve(items, schema);
    match target.get("properties").and_then(Value::as_object) {
        Some(properties) => {
            let names: Vec<_> = properties.keys().map(|n| format!("`{n}`")).collect();
            format!("{{{}}}", names.join(", "))
        }
        None => kind(items, schema),
    }
}

/// The words of an enum, however the generator wrote it: one list, or one constant each with its description.
fn choices(target: &Value) -> Vec<String> {
    let words = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if let Some(list) = target.get("enum") {
        return words(list);
    }
    let Some(alternatives) = target.get("oneOf").and_then(Value::as_array) else { return Vec::new() };
    alternatives
        .iter()
        .flat_map(|one| match one.get("const").and_then(Value::as_str) {
            Some(word) => vec![word.to_owned()],
            None => one.get("enum").map(words).unwrap_or_default(),
        })
        .collect()
}

fn meaning(property: &Value, schema: &Value) -> String {
    let own = property.get("description");
    let text = own.or_else(|| resolve(property, schema).get("description")).and_then(Value::as_str);
    text.unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}
