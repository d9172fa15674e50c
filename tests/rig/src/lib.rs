//! Servers, faults and stories that test orapipe from the outside.

pub mod docs;
pub mod licences;
pub mod records;
pub mod tool;
