//! What a code in a Data Pump log means for the data.

/// What a message says about what was to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// An object or some of its rows are not in the dump.
    Lost,
    /// The job could not do its work at all.
    Failed,
    /// The job waited for space and may have gone on.
    Waited,
    /// Reported as an error although the data is there.
    Warned,
    /// Worth knowing; not counted as an error.
    Note,
    Unknown,
}

/// Objects or rows that are missing from what was saved or loaded.
const LOST: &[&str] = &[
    "ORA-31693", // table data object failed to load/unload and is being skipped
    "ORA-31694", // master table failed to load/unload
    "ORA-31679", // longs cannot be unloaded over a network link
    "ORA-02354", // error in exporting/importing data
    "ORA-01555", // snapshot too old
    "ORA-22924", // the same for a LOB
    "ORA-39181", // only partial table data because of fine grain access control
    "ORA-39125", // worker unexpected fatal error
    "ORA-39126", // the same
    "ORA-39127", // unexpected error from an export procedure action
    "ORA-39083", // object type failed to create
    "ORA-39117", // type needed by the table is not there
    "ORA-39120", // table cannot be truncated
    "ORA-39152", // table exists, data not loaded
    "ORA-39346", // data loss in character set conversion
    "ORA-39776", // direct path load failed
    "ORA-39779", // the type has changed
    "ORA-39142", // incompatible version in the dump
    "ORA-39246", // cannot locate the master table
    "ORA-30032", // the suspended statement has timed out
];

/// The job did not start, or broke off.
const FAILED: &[&str] = &[
    "ORA-39000",
    "ORA-39001",
    "ORA-39002",
    "ORA-39005",
    "ORA-39006",
    "ORA-39012",
    "ORA-39014",
    "ORA-39029",
    "ORA-39062",
    "ORA-39065",
    "ORA-39070",
    "ORA-39079",
    "ORA-39087",
    "ORA-39094",
    "ORA-39095",
    "ORA-39097",
    "ORA-39145",
    "ORA-39147",
    "ORA-39155",
    "ORA-39165",
    "ORA-39166",
    "ORA-39168",
    "ORA-39170",
    "ORA-39194",
    "ORA-39213",
    "ORA-31617",
    "ORA-31626",
    "ORA-31631",
    "ORA-31633",
    "ORA-31634",
    "ORA-31637",
    "ORA-31640",
    "ORA-31641",
    "ORA-31644",
    "ORA-31655",
    "ORA-31671",
    "ORA-31672",
    "ORA-27038",
    "ORA-27040",
    "ORA-27041",
    "ORA-27061",
    "ORA-27072",
    "ORA-19502",
    "ORA-19505",
    "ORA-29283",
    "ORA-29284",
    "ORA-29285",
    "ORA-29434",
    "ORA-00018",
    "ORA-00020",
    "ORA-00028",
    "ORA-00600",
    "ORA-00604",
    "ORA-01017",
    "ORA-01031",
    "ORA-01033",
    "ORA-01034",
    "ORA-01089",
    "ORA-01950",
    "ORA-03113",
    "ORA-03114",
    "ORA-03135",
    "ORA-04031",
    "ORA-07445",
    "ORA-12154",
    "ORA-12170",
    "ORA-12505",
    "ORA-12514",
    "ORA-12518",
    "ORA-12528",
    "ORA-12541",
    "ORA-12543",
    "ORA-12547",
    "ORA-12560",
    "ORA-12571",
    "ORA-28000",
    "ORA-28001",
    "ORA-28009",
    "ORA-28365",
    "ORA-28547",
];

/// Reported and counted by an import although nothing is missing: the object is there already, or came in invalid.
const WARNED: &[&str] = &[
    "ORA-31684", // object exists already
    "ORA-39111", // dependent object skipped, its base exists already
    "ORA-39151", // table exists, all of it skipped by TABLE_EXISTS_ACTION
    "ORA-39082", // created with compilation warnings
    "ORA-39384", // user will be created with an expired password
];

/// Not counted as an error by Oracle.
const NOTES: &[&str] = &[
    "ORA-39173", // encrypted data stored unencrypted
    "ORA-39357", // connected to the root of a CDB
    "ORA-28002", // the password will expire
    "ORA-28011", // the same
    "UDE-28002",
    "UDI-28002",
    "UDE-28011",
    "UDI-28011",
];

/// What a code at the head of a message means.
pub fn meaning(code: &str) -> Meaning {
    let among = |list: &[&str]| list.contains(&code);
    if among(LOST) {
        Meaning::Lost
    } else if code == "ORA-39171" {
        Meaning::Waited
    } else if among(WARNED) {
        Meaning::Warned
    } else if among(NOTES) {
        Meaning::Note
    } else if among(FAILED)
        || ["UDE-", "UDI-", "LRM-", "TNS-", "DUE-", "DUI-"].iter().any(|p| code.starts_with(p))
    {
        Meaning::Failed
    } else {
        Meaning::Unknown
    }
}

/// Codes that begin a message of their own even right after another one.
pub fn is_head(code: &str) -> bool {
    const HEADS: &[&str] = &["ORA-31693", "ORA-31694", "ORA-39083", "ORA-39126", "ORA-39127", "ORA-39125"];
    // Only as a detail: ORA-02354 and the ORA-01555 below an ORA-31693.
    HEADS.contains(&code)
        || (matches!(meaning(code), Meaning::Waited | Meaning::Warned | Meaning::Note) && code != "ORA-28002")
        || code == "ORA-39181"
        || code == "ORA-39346"
}

/// Codes that only say where: the one below them says why.
pub fn is_place(code: &str) -> bool {
    matches!(code, "ORA-02354" | "ORA-02373" | "ORA-06512" | "ORA-00604")
}
