//! Which machine, and how ssh gets there.

use std::path::Path;

use crate::exit::{Exit, Failure};

use super::quote::{sh_quote, split_words};

/// Options of ssh(1) that take a value; all others are flags (OpenSSH 7.4 to 9.9).
const WITH_VALUE: &str = "BbcDEeFIiJLlmOoPpQRSWw";
/// Options that would take the connection out of our hands: background, control socket, no session, terminal.
const OURS: &str = "fGMNnOQSstVW";

/// NFS, SMB, SMB2 and CIFS, FUSE, Ceph (statfs(2), linux/magic.h).
const NETWORK: [u32; 6] = [0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x6573_5546, 0x00c3_6400];

/// Where files go. No host: a directory of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    pub host: Option<String>,
    pub user: Option<String>,
    /// Words for ssh, already split.
    pub ssh_options: Vec<String>,
}

impl Target {
    pub fn local() -> Self {
        Self::default()
    }

    /// Checks what the user gave. Each of `options` is one `--ssh-option` or all of SSH_OPTIONS, and is split like
    /// a shell line. `user@host` is understood, and `[::1]`.
    ///
    /// # Errors
    /// [`Exit::Usage`]: a host or user that ssh would read as an option, or an ssh option that cannot be honoured.
    pub fn new(host: Option<&str>, user: Option<&str>, options: &[String]) -> Result<Self, Failure> {
        let usage = |text: String| Failure::new(Exit::Usage, text);
        let mut ssh_options = Vec::new();
        for option in options {
            let words = split_words(option).map_err(|e| usage(format!("ssh options {option:?}: {e}")))?;
            ssh_options.extend(words);
        }
        check_options(&ssh_options)?;
        let Some(host) = host.map(str::trim).filter(|h| !h.is_empty()) else {
            return Ok(Self { host: None, user: None, ssh_options });
        };
        let (user, host) = match (user.filter(|u| !u.is_empty()), host.rsplit_once('@')) {
            (Some(user), _) => (Some(user), host),
            (None, Some((user, host))) => (Some(user), host),
            (None, None) => (None, host),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/@'\"\\$`;&|<>()*?!#".contains(c);
        if host.is_empty() || host.starts_with('-') || host.contains(odd) {
            return Err(usage(format!("{host:?} is not a host name")));
        }
        if let Some(user) = user {
            // A domain user is DOMAIN\name or name@realm.
            let odd = |c: char| c.is_whitespace() || c.is_control() || "/'\"$`;&|<>()*?!#:".contains(c);
            if user.is_empty() || user.starts_with('-') || user.contains(odd) {
                return Err(usage(format!("{user:?} is not a user name")));
            }
        }
        Ok(Self { host: Some(host.to_owned()), user: user.map(str::to_owned), ssh_options })
    }

    pub fn is_local(&self) -> bool {
        self.host.is_none()
    }

    /// What has to be said when copies for a standby stay on this machine because no host is named; `None` where a host
    /// is named, or `dir` (which need not exist yet) is on a file system of the network.
    pub fn stays_here(&self, dir: &Path) -> Option<String> {
        let there = dir.ancestors().find_map(|dir| rustix::fs::statfs(dir).ok());
        // The field is signed on some architectures, and the numbers have 32 bits.
        let network = there.is_some_and(|s| NETWORK.contains(&(s.f_type as u32)));
        (self.is_local() && !network)
            .then(|| format!("DEST_HOST is not set: the copies stay on this host, in {}", dir.display()))
    }

    /// For messages: the host, or "this host".
    pub fn label(&self) -> &str {
        self.host.as_deref().unwrap_or("this host")
    }

    /// The ssh that has to work without a question, as a person types it.
    pub fn login_command(&self) -> String {
        let mut words: Vec<&str> = self.ssh_options.iter().map(String::as_str).collect();
        if let Some(user) = &self.user {
            words.extend(["-l", user]);
        }
        words.extend(["-o", "BatchMode=yes", self.label(), "true"]);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,~".contains(c);
        let typed = words.iter().map(|word| match !word.is_empty() && word.chars().all(plain) {
            true => (*word).to_owned(),
            false => String::from_utf8_lossy(&sh_quote(word.as_bytes())).into_owned(),
        });
        format!("ssh {}", typed.collect::<Vec<_>>().join(" "))
    }

    /// For names of log files, as the originals had them: the host without its domain, or "local".
    pub fn log_name(&self) -> &str {
        let host = self.host.as_deref().unwrap_or("local");
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        match host.split_once('.') {
            Some((name, _)) if !is_address && !name.is_empty() => name,
            _ => host,
        }
    }

    /// The value of `-o Name=…` (or the short option that means the same) in the user's options.
    pub(super) fn gives(&self, name: &str, short: Option<char>) -> bool {
        let mut words = self.ssh_options.iter();
        while let Some(word) = words.next() {
            let Some(letter) = word.chars().nth(1) else { continue };
            let value = match WITH_VALUE.contains(letter) {
                true if word.len() > 2 => Some(&word[2..]),
                true => words.next().map(String::as_str),
                false => None,
            };
            if Some(letter) == short {
                return true;
            }
            let key = value.and_then(|v| v.trim_start().split(['=', ' ', '\t']).next());
            if letter == 'o' && key.is_some_and(|k| k.eq_ignore_ascii_case(name)) {
                return true;
            }
        }
        false
    }

    /// `-o SendEnv=…` and `-o SetEnv=…`: what has to be repeated for each session over the master.
    pub(super) fn session_options(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut words = self.ssh_options.iter();
        while let Some(word) = words.next() {
            let Some(letter) = word.chars().nth(1) else { continue };
            if !WITH_VALUE.contains(letter) {
                continue;
            }
            let value = if word.len() > 2 { Some(word[2..].to_owned()) } else { words.next().cloned() };
            let Some(value) = value else { continue };
            let lower = value.trim_start().to_ascii_lowercase();
            if letter == 'o' && (lower.starts_with("sendenv") || lower.starts_with("setenv")) {
                found.extend(["-o".to_owned(), value]);
            }
        }
        found
    }
}

/// A word that is no option would become the host name, and the host the first word of the command.
fn check_options(words: &[String]) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let letters: Vec<char> = match word.strip_prefix('-') {
            Some(rest) if !rest.is_empty() && !rest.starts_with('-') && word.is_ascii() => {
                rest.chars().collect()
            }
            _ => return Err(usage(format!("ssh option {word:?} is not an option of ssh"))),
        };
        for (at, letter) in letters.iter().enumerate() {
            if OURS.contains(*letter) {
                return Err(usage(format!(
                    "ssh option -{letter} would take the connection out of our hands"
                )));
            }
            if WITH_VALUE.contains(*letter) {
                if at > 0 {
                    return Err(usage(format!("ssh option {word:?}: write -{letter} on its own")));
                }
                if letters.len() == 1 && words.next().is_none() {
                    return Err(usage(format!("ssh option {word:?} needs a value")));
                }
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, user: Option<&str>, options: &[&str]) -> Result<Target, Failure> {
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        Target::new(Some(host), user, &options)
    }

    #[test]
    fn a_host_that_ssh_would_take_for_an_option_is_refused() {
        for host in ["-oProxyCommand=touch /tmp/x", "a b", "$(id)", "u@-x", "a;b", "-"] {
            assert_eq!(target(host, None, &[]).unwrap_err().exit, Exit::Usage, "{host}");
        }
        for user in ["-l", "a b", "x$(id)"] {
            assert_eq!(target("dr1", Some(user), &[]).unwrap_err().exit, Exit::Usage, "{user}");
        }
    }

    #[test]
    fn copies_that_stay_here_are_told() {
        let dir = Path::new("/no/such/directory");
        let said = "DEST_HOST is not set: the copies stay on this host, in /no/such/directory";
        assert_eq!(Target::local().stays_here(dir).as_deref(), Some(said));
        assert_eq!(target("dr1", None, &[]).unwrap().stays_here(dir), None);
    }

    #[test]
    fn log_files_are_named_by_the_host_without_its_domain() {
        let name = |host: &str| target(host, None, &[]).unwrap().log_name().to_owned();
        assert_eq!(name("pamvs0003l.example.com.br"), "pamvs0003l");
        assert_eq!(name("oracle@dr1"), "dr1");
        assert_eq!(name("10.0.0.7"), "10.0.0.7");
        assert_eq!(name("[::1]"), "::1");
        assert_eq!(name(""), "local");
    }

    #[test]
    fn hosts_are_taken_as_people_write_them() {
        assert_eq!(target("oracle@dr1", None, &[]).unwrap().user.as_deref(), Some("oracle"));
        assert_eq!(target("[::1]", None, &[]).unwrap().host.as_deref(), Some("::1"));
        assert_eq!(target("fe80::1%eth0", None, &[]).unwrap().host.as_deref(), Some("fe80::1%eth0"));
        assert!(target("", None, &[]).unwrap().is_local());
        let domain = target("dr1", Some("CORP\\ora"), &[]).unwrap();
        assert_eq!(domain.user.as_deref(), Some("CORP\\ora"));
    }

    #[test]
    fn ssh_options_come_as_one_string_or_several() {
        let one = target("dr1", None, &["-p 2222 -i '/a b/k'"]).unwrap();
        let many = target("dr1", None, &["-p", "2222", "-i", "'/a b/k'"]).unwrap();
        assert_eq!(one, many);
        assert_eq!(one.ssh_options, ["-p", "2222", "-i", "/a b/k"]);
    }

    #[test]
    fn an_option_that_breaks_the_connection_is_refused() {
        for option in ["-f", "-N", "-S /x", "2222", "-p", "--", "-vN", "-Cp 22", "-"] {
            assert_eq!(target("dr1", None, &[option]).unwrap_err().exit, Exit::Usage, "{option}");
        }
        assert!(target("dr1", None, &["-vvC -4 -p2222 -oPort=22 -J jump"]).is_ok());
    }

    #[test]
    fn what_the_user_gave_is_seen() {
        let t = target("dr1", None, &["-oServerAliveInterval=3 -c aes256-ctr -o 'SetEnv A=b'"]).unwrap();
        assert!(t.gives("serveraliveinterval", None) && t.gives("Ciphers", Some('c')));
        assert!(!t.gives("ConnectTimeout", None));
        assert_eq!(t.session_options(), ["-o", "SetEnv A=b"]);
    }
}
