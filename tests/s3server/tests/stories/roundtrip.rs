//! From the disk into the bucket and back by the manifest alone; listings in pages; an old server.

use anyhow::{ensure, Context, Result};
use s3server::proxy::{Fault, Rule};
use s3server::store::Rules;
use s3server::Operation;

use crate::stage::{bytes, sha256, Stage, PART};

#[test]
fn a_manifest_brings_everything_back() -> Result<()> {
    let stage = Stage::with(Rules { page: 2, ..Rules::default() })?;
    let mut files = Vec::new();
    for n in 0..5 {
        let size = if n == 3 { PART + 77 } else { 1000 * n };
        let name = format!("db_backup_FULL_{n} ç+.bkp");
        files.push((stage.file(&name, &bytes(size, 40 + n as u32))?, name, bytes(size, 40 + n as u32)));
    }
    // Two runs: two manifests, on more than one page with the objects.
    for half in [&files[..2], &files[2..]] {
        let lines: String =
            half.iter().map(|f| serde_json::json!({ "path": f.0 }).to_string() + "\n").collect();
        let put = stage.at(stage.proxy.address(), "s3-put")?;
        let outcome =
            put.args(["--key", "{prefix}{name}", "--part-size", "5m"]).stdin(lines).run()?.expect(0)?;
        ensure!(outcome.of("object").len() == half.len(), "{}", String::from_utf8_lossy(&outcome.stdout));
    }
    let manifests = stage.at(stage.proxy.address(), "s3-get")?.arg("--manifests").run_raw()?;
    let got = stage.get()?.stdin(manifests).run()?.expect(0)?;
    for (_, name, content) in &files {
        ensure!(std::fs::read(stage.got(name))? == *content, "{name}: other bytes");
        let told = got.of("file").into_iter().find(|r| r.text("path").is_some_and(|p| p.ends_with(name)));
        ensure!(told.context("no file record")?.text("sha256") == Some(&sha256(content)), "{name}");
    }
    Ok(())
}

/// `--manifests` prints records of other runs, which are not the tool's own.
trait Raw {
    fn run_raw(&self) -> Result<Vec<u8>>;
}

impl Raw for rig::tool::Tool {
    fn run_raw(&self) -> Result<Vec<u8>> {
        let mut run = self.start()?;
        while run.is_running()? {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        ensure!(run.stderr()?.is_empty(), "{}", run.stderr()?);
        Ok(run.stdout()?.into_bytes())
    }
}

#[test]
fn a_server_of_ten_years_ago_is_served() -> Result<()> {
    let stage = Stage::new()?;
    let content = bytes(2 * PART + 1, 6);
    let path = stage.file("old.bkp", &content)?;
    stage.proxy.rules(Fault::old());
    let stored = stage.put()?.arg(&path).run()?.expect(0)?;
    stage.check_object("p/old.bkp", &content)?;
    // By its name alone nothing proves the content, and that is said; by its record it is proven.
    let outcome = stage.get()?.arg("p/old.bkp").run()?.expect(1)?;
    stage.check_told(&outcome)?;
    std::fs::remove_file(stage.got("old.bkp"))?;
    stage.get()?.stdin(stored.of("object")[0].line.clone() + "\n").run()?.expect(0)?;
    ensure!(std::fs::read(stage.got("old.bkp"))? == content, "other bytes");
    Ok(())
}

#[test]
fn another_region_is_followed_once_and_remembered() -> Result<()> {
    let stage = Stage::new()?;
    let path = stage.file("a.bkp", &bytes(2 * PART + 1, 8))?;
    stage.proxy.rules(vec![Rule::any(Fault::Redirect("sa-east-1"))]);
    stage.put()?.arg(&path).args(["--concurrency", "1"]).run()?.expect(0)?;
    let passed = stage.proxy.passed();
    let wrong = passed.iter().filter(|p| p.region != "sa-east-1").count();
    ensure!(
        wrong <= 2 && wrong < passed.len() / 2,
        "{wrong} of {} requests went to the wrong region",
        passed.len()
    );
    ensure!(stage.server.count(Operation::CompleteMultipartUpload) == 1, "it was completed once");
    Ok(())
}
