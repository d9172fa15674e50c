//! Which cipher ssh tries first.

use std::time::Duration;

use crate::process::Cmd;

use super::target::Target;

/// The ciphers that ssh may use, AES-GCM first, where this CPU has AES and ssh would otherwise prefer chacha20.
///
/// `ssh -G` says what ssh would do with the user's own configuration, so nothing that was forbidden comes back; only
/// the order changes. `None`: leave it alone.
pub(super) fn preferred(target: &Target) -> Option<String> {
    let host = target.host.as_deref()?;
    if target.gives("Ciphers", Some('c')) || !has_aes() {
        return None;
    }
    let mut cmd = Cmd::new("ssh", Duration::from_secs(10)).arg("-G").args(&target.ssh_options);
    cmd = cmd.arg("--").arg(host);
    let done = cmd.run().ok().filter(crate::process::Done::success)?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let list = text.lines().find_map(|l| l.strip_prefix("ciphers "))?;
    reorder(list.trim())
}

fn has_aes() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        text.lines()
            .find(|l| l.starts_with("flags") || l.starts_with("Features"))
            .is_some_and(|l| l.split_whitespace().any(|w| w == "aes"))
    })
}

fn reorder(list: &str) -> Option<String> {
    let all: Vec<&str> = list.split(',').collect();
    let is_gcm = |c: &&str| c.contains("-gcm@");
    if all.first().is_none_or(is_gcm) || !all.iter().any(is_gcm) {
        return None;
    }
    let (gcm, rest): (Vec<&str>, Vec<&str>) = all.iter().partition(|c| is_gcm(c));
    Some([gcm, rest].concat().join(","))
}

#[cfg(test)]
mod tests {
    use super::reorder;

    #[test]
    fn the_order_changes_and_nothing_else() {
        let list = "chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com";
        let want = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr";
        assert_eq!(reorder(list).as_deref(), Some(want));
        assert_eq!(reorder("aes256-gcm@openssh.com,chacha20-poly1305@openssh.com"), None);
        assert_eq!(reorder("aes128-ctr,aes256-ctr"), None);
    }
}
