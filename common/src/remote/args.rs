//! The flags that name the standby's host, the same in every tool that sends something there.

use crate::exit::Failure;

use super::target::Target;

/// To be flattened into a tool's arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct TargetArgs {
    /// Host of the standby [default: none, the destination is a local or NFS path; second name: DRSERVER]
    #[arg(long, value_name = "HOST", env = "DEST_HOST")]
    pub dest_host: Option<String>,

    /// User at the standby [second name: SSHUSER]
    #[arg(long, value_name = "USER", env = "DEST_USER")]
    pub dest_user: Option<String>,

    /// Options for ssh, as in "-p 2222 -i key". May be repeated
    #[arg(long = "ssh-option", value_name = "OPTION", env = "SSH_OPTIONS", allow_hyphen_values = true)]
    pub ssh_option: Vec<String>,
}

impl TargetArgs {
    /// # Errors
    /// As [`Target::new`].
    pub fn target(&self) -> Result<Target, Failure> {
        Target::new(self.dest_host.as_deref(), self.dest_user.as_deref(), &self.ssh_option)
    }
}
