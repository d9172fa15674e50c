//! Records on standard input.

use anyhow::{ensure, Result};

use crate::logs::Incarnation;
use crate::pair::{said, with_status, Pair};

const BYTES: usize = 64 << 10;

fn bracket(kind: &str, rest: &str) -> String {
    format!(
        "{{\"v\":1,\"type\":\"{kind}\",\"tool\":\"rman-run\",\"run\":\"r7\",\"ts\":\"2026-11-20T09:00:00.000Z\",{rest}}}\n"
    )
}

fn begin() -> String {
    bracket("run_begin", "\"version\":\"0.1.0\",\"host\":\"h\"")
}

fn end(status: &str, exit: u8) -> String {
    bracket("run_end", &format!("\"status\":\"{status}\",\"exit\":{exit},\"seconds\":1.0,\"counts\":{{}}"))
}

#[test]
fn records_name_the_logs_and_come_out_as_they_came_in() -> Result<()> {
    let pair = Pair::new()?;
    let paths: Vec<String> =
        (1..=4).map(|s| Ok(pair.add(1, s, BYTES)?.display().to_string())).collect::<Result<_>>()?;
    let input = format!(
        "{}{{\"path\":\"{}\"}}\n{}{}{}",
        begin(),
        paths[0],
        bracket("file", &format!("\"path\":\"{}\",\"role\":\"archived_log\",\"bytes\":{BYTES}", paths[1])),
        bracket("of_the_future", "\"x\" : [1,  2]"),
        end("success", 0)
    );
    let outcome = pair.tool()?.arg("-").stdin(input.clone()).run()?.expect(0)?;
    ensure!(with_status(&outcome, "shipped") == 2, "{}", said(&outcome));
    ensure!(crate::pair::files(&pair.dst)?.len() == 2, "only what was named");
    let out = String::from_utf8_lossy(&outcome.stdout).into_owned();
    for line in input.lines() {
        ensure!(out.lines().any(|l| l == line), "{line} did not come out:\n{out}");
    }
    Ok(())
}

#[test]
fn the_exit_status_of_the_producer_passes_through() -> Result<()> {
    let pair = Pair::new()?;
    let path = pair.add(1, 1, BYTES)?.display().to_string();
    let line = format!("{{\"path\":\"{path}\"}}\n");
    for (status, exit) in [("partial", 1), ("failed", 2), ("finding", 5), ("error", 3)] {
        let input = format!("{}{line}{}", begin(), end(status, exit));
        let outcome = pair.tool()?.arg("-").stdin(input).run()?.expect(exit.into())?;
        ensure!(with_status(&outcome, "failed") == 0, "{}", said(&outcome));
    }
    // A dead producer: what it named whole is shipped, and the status says that it died.
    let outcome = pair.tool()?.arg("-").stdin(format!("{}{line}", begin())).run()?.expect(2)?;
    ensure!(said(&outcome).contains("its producer died"), "{}", said(&outcome));
    let input = format!("{}{line}", begin());
    let cut = pair.tool()?.arg("-").stdin(input[..input.len() - 4].to_owned()).run()?.expect(2)?;
    ensure!(said(&cut).contains("its producer died"), "{}", said(&cut));
    Ok(())
}

#[test]
fn a_bad_line_is_one_failed_item_and_a_false_claim_is_refused() -> Result<()> {
    let pair = Pair::new()?;
    let paths: Vec<String> =
        (1..=3).map(|s| Ok(pair.add(1, s, BYTES)?.display().to_string())).collect::<Result<_>>()?;
    let bad = format!("{{\"path\":\"{}\"}}\n{{\"path\":\n", paths[0]);
    let outcome = pair.tool()?.arg("-").stdin(bad).run()?.expect(1)?;
    ensure!(with_status(&outcome, "shipped") == 1, "the line before it counts: {}", said(&outcome));
    std::fs::remove_file(pair.dst.join(Incarnation::FIRST.name(1, 1)))?;
    let zeros = "0".repeat(64);
    let input = format!(
        "{{\"path\":\"{}\"}}\nthis is no record\n{{\"path\":\"/nowhere/1_9_1.dbf\"}}\n{}{}",
        paths[0],
        bracket(
            "file",
            &format!("\"path\":\"{}\",\"role\":\"archived_log\",\"sha256\":\"{zeros}\"", paths[1])
        ),
        bracket("archived_log", &format!("\"path\":\"{}\",\"thread\":1,\"sequence\":77", paths[2])),
    );
    let outcome = pair.tool()?.arg("-").stdin(input).run()?.expect(1)?;
    ensure!(with_status(&outcome, "shipped") == 1, "{}", said(&outcome));
    ensure!(pair.dst.join(Incarnation::FIRST.name(1, 1)).is_file(), "the good one arrives");
    ensure!(crate::pair::files(&pair.dst)?.len() == 1, "what its record does not fit is not shipped");
    ensure!(with_status(&outcome, "failed") >= 2, "{}", said(&outcome));
    Ok(())
}
