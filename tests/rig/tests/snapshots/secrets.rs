//! Passwords, wherever they must not be: in arguments of any process, in files, in what the tools say.

use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::{ensure, Result};

use crate::bench::SYS_PASSWORD;

/// How often all processes are looked at. Those that live shorter are sqlplus, and the simulated database keeps the
/// arguments of each.
const LOOK: Duration = Duration::from_millis(30);

/// Every password in every form in which it is sent.
fn words() -> Vec<Vec<u8>> {
    let basic = |user: &str| base64(format!("{user}:{}", ibsim::PASSWORD).as_bytes());
    let mut all = vec![ibsim::PASSWORD.as_bytes().to_vec(), SYS_PASSWORD.as_bytes().to_vec()];
    for user in ["admin", "pool_admin", "monitor"] {
        // Of the last group the end depends on nothing, but a log may cut it off.
        all.push(basic(user).trim_end_matches('=').as_bytes().to_vec());
    }
    all
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0_u32, |v, b| v << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for n in 0..=group.len() {
            out.push(char::from(DIGITS[(value >> (18 - 6 * n) & 63) as usize]));
        }
    }
    out
}

fn holds(text: &[u8], words: &[Vec<u8>]) -> bool {
    words.iter().any(|word| text.windows(word.len()).any(|w| w == word))
}

static SEEN: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

/// Begins to look at the arguments of all processes, until this program ends.
pub fn watch() {
    SEEN.get_or_init(|| {
        std::thread::spawn(|| {
            let words = words();
            loop {
                for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                    let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
                    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                    if let (true, Some(seen)) = (holds(&line, &words), SEEN.get()) {
                        let name = line.split(|b| *b == 0).next().unwrap_or_default();
                        let told = format!("{} (pid {pid})", String::from_utf8_lossy(name));
                        seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(told);
                    }
                }
                std::thread::sleep(LOOK);
            }
        });
        Mutex::default()
    });
}

/// # Errors
/// A password was among the arguments of a process since [`watch`], or is in a file below `dir` or in its name. What
/// the simulated array keeps for itself does not count.
pub fn none_below(dir: &Path) -> Result<()> {
    if let Some(seen) = SEEN.get() {
        let seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ensure!(seen.is_empty(), "a password was an argument of {seen:?}");
    }
    let words = words();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if holds(&std::fs::read(&path).unwrap_or_default(), &words) {
                anyhow::bail!("a password is in {}", path.display());
            }
        }
    }
    Ok(())
}

#[test]
fn a_password_is_found_in_every_form() {
    assert_eq!(base64(b"admin:x"), "YWRtaW46eA");
    assert_eq!(base64(b"pool_admin"), "cG9vbF9hZG1pbg");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("log")).unwrap();
    none_below(dir.path()).unwrap();
    for word in words() {
        let text = [b"before ".as_slice(), &word, b" after"].concat();
        std::fs::write(dir.path().join("log/x"), text).unwrap();
        none_below(dir.path()).unwrap_err();
    }
}
