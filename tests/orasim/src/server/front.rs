//! `front.json`: what the listener side of an instance knows: accounts, language, release.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub password: String,
    #[serde(default)]
    pub dba: bool,
    #[serde(default)]
    pub sysdba: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Front {
    /// What a client without NLS_LANG gets, as `BRAZILIAN PORTUGUESE_BRAZIL.WE8MSWIN1252`; `None` is American.
    pub nls_lang: Option<String>,
    /// By upper-case name.
    pub users: BTreeMap<String, Account>,
    /// Five-part release, for the banner and for what SQL*Plus can do: `19.3.0.0.0`, `11.2.0.4.0`.
    pub release: String,
    pub edition: String,
    /// Account behind `CONNECT /@alias`, as a wallet on the client would hold it.
    pub wallet: Option<(String, String)>,
}

impl Default for Front {
    fn default() -> Self {
        let account = |password: &str, sysdba| Account { password: password.into(), dba: true, sysdba };
        Self {
            nls_lang: None,
            users: BTreeMap::from([
                ("SYS".into(), account("change_on_install", true)),
                ("SYSTEM".into(), account("manager", false)),
            ]),
            release: "19.3.0.0.0".into(),
            edition: "Standard Edition 2".into(),
            wallet: None,
        }
    }
}

impl Front {
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("front.json")
    }

    /// An absent file gives the defaults.
    ///
    /// # Errors
    /// When the file is there and no `Front`.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = Self::path(dir);
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("{} is not valid", path.display()))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = Self::path(dir);
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// First part of the release: 11, 12, 19.
    pub fn major(&self) -> u32 {
        self.release.split('.').next().and_then(|p| p.parse().ok()).unwrap_or(19)
    }

    /// `SET MARKUP CSV` came with 12.2.
    pub fn has_csv(&self) -> bool {
        let minor: u32 = self.release.split('.').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
        (self.major(), minor) >= (12, 2)
    }
}
