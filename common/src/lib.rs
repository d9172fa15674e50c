//! What two or more orapipe tools need.

pub mod durable;
pub mod exit;
pub mod process;
pub mod secret;
pub mod signals;
