//! The directory of a control socket.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `sun_path` is 104 or 108 bytes, and ssh binds a name that is 17 bytes longer before it renames.
const LONGEST_SOCKET: usize = 104 - 18;
const PREFIX: &str = "orapipe-ssh-";

/// A private directory with a name short enough for a socket in it.
pub(super) fn dir() -> anyhow::Result<tempfile::TempDir> {
    let mut bases = vec![std::env::temp_dir()];
    bases.extend(["/tmp", "/var/tmp"].map(PathBuf::from));
    let mut last = None;
    for base in bases {
        let long = base.as_os_str().len() + PREFIX.len() + 24 > LONGEST_SOCKET;
        // ssh expands % in the path of a control socket.
        if long || !base.is_absolute() || base.to_string_lossy().contains('%') {
            continue;
        }
        sweep(&base);
        let made = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&base);
        match made {
            Ok(dir) => return Ok(dir),
            Err(e) => {
                last = Some(anyhow::Error::from(e).context(format!("make a directory in {}", base.display())))
            }
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no directory for ssh control sockets: set TMPDIR")))
}

/// Removes what killed runs left: directories of processes that are gone, and only empty ones.
fn sweep(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // A master that still lives keeps its socket there, so that this fails; so it does for other users'.
            let _kept = std::fs::remove_dir(entry.path());
        }
    }
}
