//! Every way in which expdp ends, through the whole pipeline: record, archive, status, mail.

use anyhow::{ensure, Context, Result};
use orasim::datapump::{Fault, Kind};
use rig::host::write_program;

use crate::archives::{dumps, look};
use crate::stage::{names, schemas, verdict, Call, Ran, Stage, PASSWORD};

/// A night went well; now GOLD ends in another way.
struct Scene {
    stage: Stage,
    /// Bytes of the good archive.
    good: (String, Vec<u8>),
    /// The mails that were read.
    mails: usize,
}

/// GOLD by its own password and with a limit, FIN as well.
fn lines(timeout: &str) -> String {
    format!(
        "{{\"user\":\"GOLD\",\"password_env\":\"GOLD_PW\",\"timeout\":\"{timeout}\"}}\n\
         {{\"user\":\"FIN\",\"password_env\":\"FIN_PW\"}}\n"
    )
}

fn call(timeout: &str, password: &str) -> Call {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let env = vec![set("GOLD_PW", password), set("FIN_PW", PASSWORD), set("ORACLE_USERS", "")];
    Call { schemas: Some(lines(timeout)), env, ..Call::default() }
}

impl Scene {
    fn new() -> Result<Self> {
        let stage = Stage::new()?;
        let ran = stage.run(&call("60s", PASSWORD))?;
        ran.expect(0)?;
        let (name, _) = ran.archive(stage.local.path()).context("no archive")?;
        let good = std::fs::read(stage.local.path().join(&name))?;
        let scene = Self { stage, good: (name, good), mails: 1 };
        ensure!(scene.stage.server.expect(1).map(|m| verdict(&m[0]))? == "SUCCESS");
        Ok(scene)
    }

    fn faults(&self, kinds: &[Kind]) -> Result<()> {
        let faults = kinds.iter().map(|k| Fault { schema: "GOLD".into(), kind: k.clone() }).collect();
        self.stage.database(0, |config| config.faults = faults)?;
        Ok(())
    }

    /// GOLD ends so, FIN goes on; one mail says PARTIAL; the good archive and its copy are what they were; the new one
    /// has what there is; nothing was removed and nothing is left.
    fn ends(&mut self, call: &Call, status: &str, exit: Option<i64>, reason: &str) -> Result<Ran> {
        let ran = self.stage.run(call)?;
        let what = || format!("{reason}:\n{}", ran.said);
        ran.expect(1)?;
        let export = ran.export("GOLD")?;
        ensure!(export["status"] == status && export["expdp_exit"].as_i64() == exit, "{}", what());
        ensure!(export["reason"].as_str().unwrap_or_default().contains(reason), "{}", what());
        ensure!(ran.export("FIN")?["status"] == "success", "{}", what());
        self.mails += 1;
        let mails = self.stage.server.expect(self.mails)?;
        let mail = &mails[self.mails - 1];
        ensure!(verdict(mail) == "PARTIAL", "{:?} {}", mail.header("Subject"), what());
        ensure!(mail.text().contains("GOLD"), "the mail does not name GOLD");
        for (n, mail) in mails.iter().enumerate() {
            let id = mail.header("Message-ID");
            ensure!(mails[..n].iter().all(|m| m.header("Message-ID") != id), "{id:?} came twice");
        }
        let ends: Vec<_> = ran.of("run_end").map(|r| (r["tool"].as_str(), r["exit"].as_i64())).collect();
        let expected = ["dp-export", "zip-rotate", "mailreport"].map(|tool| (Some(tool), Some(1)));
        ensure!(ends == expected, "{ends:?}");
        ensure!(ran.of("removed").count() == 0, "{}", what());
        let (name, bytes) = &self.good;
        for dir in [self.stage.local.path().to_owned(), self.stage.cloud()] {
            ensure!(std::fs::read(dir.join(name))? == *bytes, "{name} in {} was changed", dir.display());
        }
        let (made, _) = ran.archive(self.stage.local.path()).context("no archive")?;
        let (here, there) = look(self.stage.local.path(), &self.stage.cloud())?;
        ensure!(made != *name && here == there, "{here:?} {there:?}");
        let new = here.iter().find(|a| a.name == made).with_context(|| made.clone())?;
        ensure!(new.bad.is_none() && new.comment.contains("; partial; "), "{new:?}");
        let found = dumps(&self.stage.local.path().join(&made))?;
        ensure!(found.keys().filter(|n| n.starts_with("FIN_")).count() == 1, "{:?}", found.keys());
        let whole = found.keys().any(|n| n.starts_with("GOLD_") && !n.ends_with(".PARTIAL.DMP"));
        ensure!(!whole, "the archive has a dump of GOLD: {:?}", found.keys());
        self.stage.check_clean().with_context(what)?;
        Ok(ran)
    }

    /// Puts a program before expdp.
    fn instead(&self, script: &str) -> Result<()> {
        let expdp = rig::tool::program("expdp")?;
        let text = format!("#!/bin/bash\nexpdp='{}'\n{script}\n", expdp.display());
        write_program(&self.stage.at("home/bin/expdp"), &text)
    }
}

const NOTAS: &str = "\"GOLD\".\"NOTAS\"";

#[test]
fn what_expdp_says_and_what_it_leaves() -> Result<()> {
    let mut scene = Scene::new()?;
    let usual = call("60s", PASSWORD);
    // 0, and no dump.
    scene.faults(&[Kind::NoDump])?;
    scene.ends(&usual, "failed", Some(0), "is not there")?;
    // 5, with a table skipped: what was exported is kept, and is not called whole.
    scene.faults(&[Kind::Skip { object: NOTAS.into(), code: 1555 }])?;
    let ran = scene.ends(&usual, "partial", Some(5), "not exported: \"GOLD\".\"NOTAS\" (ORA-01555)")?;
    ensure!(ran.export("GOLD")?["skipped"][0]["object"] == NOTAS, "{}", ran.said);
    // 1.
    scene.faults(&[Kind::Fatal { code: 600, text: "internal error code, arguments: [x]".into() }])?;
    scene.ends(&usual, "failed", Some(1), "expdp exited 1")?;
    // Half a dump: the disk is full, and once with a client that says that all went well.
    scene.faults(&[Kind::DiskFull])?;
    scene.ends(&usual, "failed", Some(1), "No space left on device")?;
    scene.faults(&[Kind::DiskFull, Kind::Status { status: 0 }])?;
    scene.ends(&usual, "failed", Some(0), "expdp exited 0, but")?;
    // A signal.
    for signal in [9, 11] {
        scene.faults(&[Kind::ClientDies { signal }])?;
        scene.ends(&usual, "failed", None, &format!("was killed by signal {signal}"))?;
    }
    // It hangs: the limit ends the job in the server.
    scene.faults(&[Kind::Hang])?;
    scene.ends(&call("1s", PASSWORD), "failed", None, "did not end within 1s")?;
    scene.mended()
}

#[test]
fn an_expdp_that_asks_for_a_password() -> Result<()> {
    let mut scene = Scene::new()?;
    // The password is wrong: it ends before expdp is asked for anything.
    scene.ends(&call("60s", "lion"), "failed", None, "ORA-01017")?;
    // It is right, and expdp asks all the same; nobody is there to answer, and it must not wait for the night to end.
    let script = format!(
        "if [ ! -e '{0}' ]; then : >'{0}'; printf 'Password: ' >&2; if read -r word; then exit 99; fi; \
         printf '\\nUDE-01017: operation generated ORACLE error 1017\\n\
         ORA-01017: invalid username/password; logon denied\\n' >&2; exit 1; fi\nexec \"$expdp\" \"$@\"",
        scene.stage.at("asked").display()
    );
    scene.instead(&script)?;
    scene.ends(&call("60s", PASSWORD), "failed", Some(1), "ORA-01017")?;
    scene.mended()
}

#[test]
fn when_all_fail_or_a_tool_dies_the_mail_is_critical() -> Result<()> {
    let mut scene = Scene::new()?;
    let kind = Kind::Fatal { code: 600, text: "internal error code".into() };
    let faults = ["GOLD", "FIN"].map(|s| Fault { schema: s.into(), kind: kind.clone() });
    scene.stage.database(0, |config| config.faults = faults.into())?;
    let before = (names(scene.stage.local.path())?, names(&scene.stage.cloud())?);
    let ran = scene.stage.run(&call("60s", PASSWORD))?;
    ran.expect(2)?;
    // The logs of what failed are kept, in an archive that counts for nothing.
    let (logs, _) = ran.archive(scene.stage.local.path()).context("no archive of the logs")?;
    ensure!(dumps(&scene.stage.local.path().join(&logs))?.is_empty() && logs != scene.good.0, "{}", ran.said);
    let (here, _) = look(scene.stage.local.path(), &scene.stage.cloud())?;
    ensure!(here.iter().filter(|a| a.good()).map(|a| &a.name).eq([&scene.good.0]), "{here:?}");
    let after = (names(scene.stage.local.path())?, names(&scene.stage.cloud())?);
    let added: Vec<_> = after.0.iter().filter(|n| !before.0.contains(n)).collect();
    ensure!(added.iter().all(|n| n.ends_with(".FAILED.LOG") || **n == logs), "{added:?}");
    ensure!(before.0.iter().all(|n| after.0.contains(n)), "{after:?}");
    scene.mails += 1;
    ensure!(verdict(&scene.stage.server.expect(2)?[1]) == "CRITICAL FAILURE");
    // A tool that dies of kill -9 is told as well.
    let zip = scene.stage.at("bin");
    std::fs::create_dir(&zip)?;
    for tool in ["arch-ship", "dp-export", "mailreport"] {
        std::os::unix::fs::symlink(rig::tool::program(tool)?, zip.join(tool))?;
    }
    write_program(
        &zip.join("zip-rotate"),
        "#!/bin/bash\nread -r line; printf '%s\\n' \"$line\"; kill -9 $$\n",
    )?;
    scene.stage.database(0, |_| {})?;
    let mut call = call("60s", PASSWORD);
    call.env.push(("ORAPIPE_BIN".into(), zip.to_string_lossy().into_owned()));
    let ran = scene.stage.run(&call)?;
    ran.expect(2)?;
    scene.mails += 1;
    ensure!(verdict(&scene.stage.server.expect(3)?[2]) == "CRITICAL FAILURE");
    scene.mended()
}

impl Scene {
    /// The next night is as good as ever.
    fn mended(self) -> Result<()> {
        self.stage.database(0, |_| {})?;
        let ran = self.stage.run(&call("60s", PASSWORD))?;
        ran.expect(0)?;
        let (name, _) = ran.archive(self.stage.local.path()).context("no archive")?;
        let found: Vec<_> = dumps(&self.stage.cloud().join(name))?.into_values().collect();
        let truth = schemas(0).1;
        ensure!(found.len() == 2 && found.iter().all(|c| truth.values().any(|t| t == c)), "{found:?}");
        let mails = self.stage.server.expect(self.mails + 1)?;
        ensure!(verdict(&mails[self.mails]) == "SUCCESS");
        self.stage.check_clean()
    }
}
