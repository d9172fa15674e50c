//! The HTML in a browser: on a desk, on a phone, in the dark.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context, Result};
use rig::host::program_path;

use crate::pair::{bracket, tool};

/// What looks at the page from inside: how far it is wider than the window, and its colours.
const SCRIPT: &str = "<script>addEventListener('load',()=>{const w=document.documentElement.clientWidth;\
    let worst=document.documentElement.scrollWidth-w,who='';\
    for(const e of document.body.querySelectorAll('*')){const r=e.getBoundingClientRect().right-w;if(r>worst){worst=r;who=e.outerHTML.slice(0,80)}}\
    const hidden=[...document.body.querySelectorAll('td,p,div')].filter(e=>e.scrollWidth>e.clientWidth+1&&e.clientWidth>0).length;\
    document.documentElement.dataset.report=[w,Math.ceil(worst),getComputedStyle(document.body).backgroundColor,hidden,who].join('|')})</script>";

fn browser() -> Result<PathBuf> {
    ["chromium-headless-shell", "chromium", "chromium-browser", "headless_shell"]
        .iter()
        .find_map(|name| program_path(name).ok())
        .or_else(|| Some(PathBuf::from("/usr/lib64/chromium-browser/headless_shell")).filter(|p| p.is_file()))
        .context("no chromium is installed, and the tests need it")
}

struct Look {
    width: u32,
    overflow: i64,
    background: String,
    hidden: u32,
    whole: String,
}

fn look(dir: &Path, html: &str, width: u32, dark: bool) -> Result<Look> {
    let page = dir.join("page.html");
    std::fs::write(&page, html.replace("</body>", &format!("{SCRIPT}</body>")))?;
    let out = Command::new(browser()?)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=3000",
        ])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg(format!("--window-size={width},1000"))
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .context("start the browser")?;
    let dom = String::from_utf8_lossy(&out.stdout);
    let report =
        dom.split_once("data-report=\"").and_then(|(_, r)| r.split_once('"')).map(|(r, _)| r.to_owned());
    let report = report.with_context(|| format!("no report: {}", String::from_utf8_lossy(&out.stderr)))?;
    let mut parts = report.split('|');
    let mut next = || parts.next().map(str::to_owned).context("a part is missing");
    Ok(Look {
        width: next()?.parse()?,
        overflow: next()?.parse()?,
        background: next()?,
        hidden: next()?.parse()?,
        whole: report.clone(),
    })
}

/// A night with everything in it, and texts that nobody has foreseen.
fn nights() -> Vec<String> {
    let path = format!("/u02/{}/1_48213_99.arc", "x".repeat(250));
    let lines = vec![
        "{\"type\":\"export\",HEAD,\"schema\":\"IMG_HORIZONTE\",\"status\":\"success\",\"bytes\":51539607552}".to_owned(),
        format!("{{\"type\":\"export\",HEAD,\"schema\":\"{}\",\"status\":\"failed\",\"reason\":\"ORA-01555\"}}", "W".repeat(128)),
        format!("{{\"type\":\"archived_log\",HEAD,\"path\":\"{path}\",\"status\":\"failed\",\"reason\":\"{path}\"}}"),
        "{\"type\":\"standby\",HEAD,\"threads\":[{\"thread\":1,\"applied\":1,\"received\":2,\"current\":3}],\"recoverable_to_scn\":959994830198,\"recoverable_to_time\":\"2026-11-20T01:29:33\",\"lag_seconds\":47}".to_owned(),
        format!("{{\"type\":\"log\",HEAD,\"level\":\"error\",\"message\":\"{}\"}}", "lange_zeile_".repeat(60)),
        "{\"type\":\"removed\",HEAD,\"path\":\"/b\",\"bytes\":9000000000000,\"reason\":\"old\"}".to_owned(),
    ];
    vec![bracket("dp-export", "partial", 1, &lines), crate::pair::success(), String::new()]
}

#[test]
fn it_fits_a_desk_and_a_phone_and_follows_the_dark() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (night, language) in nights().iter().zip(["pt", "en", "pt"]) {
        let html_file = dir.path().join("m.html");
        tool(dir.path())?
            .args(["--history", "h.jsonl", "--language", language, "--html"])
            .arg(&html_file)
            .stdin(night.clone())
            .run()?;
        let html = std::fs::read_to_string(&html_file)?;
        ensure!(!html.contains("<img") && !html.contains("http"), "it loads something");
        for (width, dark) in [(1200, false), (390, false), (390, true), (320, false)] {
            let seen = look(dir.path(), &html, width, dark)?;
            ensure!(seen.width == width, "{}", seen.whole);
            ensure!(seen.overflow <= 0, "{width} px: {}", seen.whole);
            ensure!(seen.hidden == 0, "{width} px: text sticks out: {}", seen.whole);
            let expected = if dark { "rgb(13, 17, 23)" } else { "rgb(243, 244, 246)" };
            ensure!(seen.background == expected, "{}", seen.whole);
        }
    }
    Ok(())
}
