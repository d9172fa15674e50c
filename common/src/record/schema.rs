//! Every record type with its JSON Schema.

use super::*;

macro_rules! payload_types {
    ($($name:ident),*) => {
        /// Every record type: its name and its JSON Schema, the envelope included.
        #[cfg(feature = "schema")]
        pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
            #[derive(schemars::JsonSchema)]
            #[allow(dead_code)]
            struct Whole<P> {
                #[serde(flatten)]
                envelope: Envelope,
                #[serde(flatten)]
                payload: P,
            }
            vec![$({
                let mut whole = schemars::schema_for!(Whole<$name>);
                // Flattening keeps the description of the envelope; the record's own says more.
                if let Some(about) = schemars::schema_for!($name).get("description") {
                    whole.insert("description".to_owned(), about.clone());
                }
                (<$name as Payload>::TYPE, whole)
            }),*]
        }
    };
}

payload_types!(
    RunBegin,
    RunEnd,
    File,
    ArchivedLog,
    Gap,
    Standby,
    Tablespace,
    Datafile,
    RecoveryWindow,
    Object,
    Export,
    Snapshot,
    Drill,
    Kept,
    Removed,
    Mail,
    Planned,
    Log
);
