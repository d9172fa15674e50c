//! mailreport, a mail server, and what both need.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rig::smtp::{Authority, Manners, Server};
use rig::tool::{Outcome, Tool};
use tempfile::TempDir;

pub const TO: &str = "dba@example.com";
pub const FROM: &str = "backup@example.com";

/// A directory, an authority and a server.
pub struct Pair {
    pub dir: TempDir,
    pub authority: Authority,
    pub server: Server,
}

impl Pair {
    pub fn new(manners: Manners) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let authority = Authority::new(&dir.path().join("tls"))?;
        let server = Server::start(&authority, manners)?;
        Ok(Self { dir, authority, server })
    }

    /// mailreport set up for the server, without encryption.
    pub fn tool(&self) -> Result<Tool> {
        self.patient("2s")
    }

    /// The same with so long for each step.
    pub fn patient(&self, step: &str) -> Result<Tool> {
        Ok(patient(self.dir.path(), step)?
            .env("SMTP_SERVER", "127.0.0.1")
            .env("SMTP_PORT", self.server.port().to_string())
            .env("SMTP_TLS", "none"))
    }

    pub fn spool(&self) -> PathBuf {
        self.dir.path().join("state/spool")
    }

    /// The files that wait in the spool.
    pub fn waiting(&self) -> Vec<PathBuf> {
        mails(&self.spool())
    }

    /// The files that no server wanted.
    pub fn failed(&self) -> Vec<PathBuf> {
        mails(&self.spool().join("failed"))
    }
}

/// mailreport without a way to send.
pub fn tool(dir: &Path) -> Result<Tool> {
    patient(dir, "2s")
}

/// The same with so long for each step of the dialogue.
pub fn patient(dir: &Path, step: &str) -> Result<Tool> {
    Ok(Tool::new("mailreport", dir)?
        .env("STATE_DIR", dir.join("state"))
        .env("EMAIL_TO", TO)
        .env("EMAIL_FROM", FROM)
        .env("TZ", "America/Sao_Paulo")
        .arg("--smtp-timeout")
        .arg(step)
        .limit(Duration::from_secs(60))
        .stdin(success()))
}

pub fn mails(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut found: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == "mail")).collect();
    found.sort();
    found
}

/// All that a run told of mails, as one text.
pub fn said(outcome: &Outcome) -> String {
    outcome.records.iter().map(|r| r.line.clone()).collect::<Vec<_>>().join("\n") + "\n" + &outcome.stderr
}

/// The records of a pipeline of one tool.
pub fn bracket(tool: &str, status: &str, exit: i32, inside: &[String]) -> String {
    let head = format!("\"tool\":\"{tool}\",\"run\":\"PROD-1\",\"ts\":\"2026-11-20T06:00:00.000Z\"");
    let mut text = format!(
        "{{\"v\":1,\"type\":\"run_begin\",{head},\"version\":\"0.1.0\",\"host\":\"dbprod01\",\"db\":\"PROD\"}}\n"
    );
    for line in inside {
        text.push_str(&line.replace("HEAD", &format!("\"v\":1,{head}")));
        text.push('\n');
    }
    text.push_str(&format!(
        "{{\"v\":1,\"type\":\"run_end\",{head},\"status\":\"{status}\",\"exit\":{exit},\"seconds\":753.2,\"counts\":{{}}}}\n"
    ));
    text
}

pub fn success() -> String {
    let export =
        "{\"type\":\"export\",HEAD,\"schema\":\"HR\",\"status\":\"success\",\"bytes\":1073741824}".to_owned();
    bracket("dp-export", "success", 0, &[export])
}

pub fn failure() -> String {
    let export = "{\"type\":\"export\",HEAD,\"schema\":\"HR\",\"status\":\"failed\",\"reason\":\"expdp exited 1: ORA-01555: snapshot too old\"}";
    bracket("dp-export", "failed", 2, &[export.to_owned()])
}

/// What Python's mail parser makes of a mail: subject, text and HTML, told apart by a line of its own.
pub fn python(dir: &Path, mail: &[u8]) -> Result<(String, String, String)> {
    let path = dir.join("parse.eml");
    std::fs::write(&path, mail)?;
    let script = "import sys,email,email.policy\n\
                  m=email.message_from_binary_file(open(sys.argv[1],'rb'),policy=email.policy.default)\n\
                  def walk(p):\n yield p\n for s in (p.iter_parts() if p.is_multipart() else []): yield from walk(s)\n\
                  d=[str(x) for p in walk(m) for x in p.defects]\n\
                  assert not d, d\n\
                  assert m['message-id'] and m['date'].datetime and m['to'] and m['from']\n\
                  sys.stdout.reconfigure(encoding='utf-8',newline='')\n\
                  b=lambda k: m.get_body((k,)).get_content()\n\
                  print('\\x01'.join([m['subject'],b('plain'),b('html')]),end='')\n";
    let out = std::process::Command::new("python3")
        .arg("-c")
        .arg(script)
        .arg(&path)
        .output()
        .context("start python3")?;
    ensure!(out.status.success(), "python3: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout)?;
    let mut parts = text.split('\u{1}').map(str::to_owned);
    let mut next = || parts.next().context("a part is missing");
    Ok((next()?, next()?, next()?))
}
