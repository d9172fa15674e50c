//! What an exit status or an error code means, and what to do.

/// Meaning, cause and cure of `code`, as lines of text.
pub fn explain(code: &str) -> String {
    format!("{code}: see\n{}", crate::exit::HELP)
}
