//! The same against three Garage nodes, one of which dies in the middle of an upload.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rig::tool::Tool;
use rustix::process::Signal;
use s3server::garage::Cluster;
use s3server::proxy::{Fault, Proxy, Rule};
use s3server::Operation;
use tempfile::TempDir;

use crate::stage::{bytes, sha256, tool, PART};

#[test]
fn uploads_and_downloads_survive_the_death_of_a_node() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let dir = TempDir::new()?;
    for name in ["files", "got"] {
        std::fs::create_dir(dir.path().join(name))?;
    }
    let proxy = Proxy::start(cluster.address(0))?;
    let credentials = cluster.credentials();
    let run = |name: &str| -> Result<Tool> {
        tool(name, dir.path(), &proxy.endpoint(), credentials.clone(), "60s")
    };
    let put = || -> Result<Tool> {
        Ok(run("s3-put")?.args(["--key", "{prefix}{name}", "--part-size", "5m", "--no-manifest"]))
    };
    let get = |key: &str| -> Result<()> {
        let get = run("s3-get")?.args(["--range-size", "5m", "--dest"]).arg(dir.path().join("got")).arg(key);
        get.run()?.expect(0).with_context(|| format!("get {key}")).map(drop)
    };
    let file = |name: &str, content: &[u8]| -> Result<std::path::PathBuf> {
        let path = dir.path().join("files").join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    };
    let same = |name: &str, content: &[u8]| -> Result<()> {
        ensure!(std::fs::read(dir.path().join("got").join(name))? == content, "{name}: other bytes");
        Ok(())
    };

    // Sizes and names.
    for (n, (name, size)) in
        [("zero.bkp", 0), ("a b+ç%.bkp", 70_001), ("part.bkp", PART), ("parts.bkp", 2 * PART + 1)]
            .into_iter()
            .enumerate()
    {
        let content = bytes(size, n as u32);
        let outcome = put()?.arg(file(name, &content)?).run()?.expect(0)?;
        let object = outcome.of("object").into_iter().next().context("no object record")?;
        ensure!(object.text("sha256") == Some(&sha256(&content)), "{}", object.line);
        get(&format!("p/{name}"))?;
        same(name, &content)?;
    }

    // One node dies in the middle of an upload; the tool is connected to another.
    let content = bytes(5 * PART + 1, 77);
    let path = file("dies.bkp", &content)?;
    proxy.rules(vec![Rule::on(Operation::UploadPart, Fault::Slow(6 << 20))]);
    proxy.clear();
    let mut upload = put()?.arg(&path).args(["--concurrency", "2"]).start()?;
    upload
        .until(Duration::from_secs(60), "the third part", |_| Ok(proxy.count(Operation::UploadPart) >= 3))?;
    cluster.kill(2)?;
    upload.wait()?.expect(0).context("a node died in the middle")?;
    proxy.rules(Vec::new());
    get("p/dies.bkp")?;
    same("dies.bkp", &content)?;

    // The node that the tool talks to dies, and the next run goes on at another one: no finished part is sent twice.
    cluster.start_again(2)?;
    let content = bytes(3 * PART + 1, 78);
    let path = file("moves.bkp", &content)?;
    proxy.clear();
    proxy.rules(vec![Rule::on(Operation::UploadPart, Fault::Hold { executed: false }).part(3)]);
    let mut upload = put()?.arg(&path).args(["--concurrency", "1"]).start()?;
    upload.until(Duration::from_secs(60), "the third part", |_| Ok(proxy.held() > 0))?;
    upload.signal(Signal::KILL)?;
    upload.wait()?;
    cluster.kill(0)?;
    proxy.upstream(cluster.address(1));
    proxy.rules(Vec::new());
    put()?.arg(&path).run()?.expect(0).context("at another node")?;
    let mut parts: Vec<u32> = proxy
        .passed()
        .iter()
        .filter(|p| p.call.operation == Operation::UploadPart && p.server == Some(200))
        .map(|p| p.call.part)
        .collect();
    parts.sort_unstable();
    ensure!(parts == [1, 2, 3, 4], "parts stored: {parts:?}");
    get("p/moves.bkp")?;
    same("moves.bkp", &content)
}
