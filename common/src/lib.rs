//! What two or more orapipe tools need.

pub mod app;
pub mod durable;
pub mod exit;
pub mod explain;
pub mod guardian;
pub mod infinibox;
pub mod lock;
pub mod logfile;
pub mod oracle;
pub mod process;
pub mod record;
pub mod remote;
pub mod secret;
pub mod settings;
pub mod signals;
pub mod values;
pub mod weekday;
