//! Time limits, signals, dead clients and dead runs: no job and no file is left in the server.

use std::time::Duration;

use anyhow::{ensure, Result};
use orasim::datapump::Kind;
use rustix::process::Signal;

use crate::lab::{export, gold, names, wait_for, Lab};

#[test]
fn a_time_limit_stops_the_job_in_the_server_and_the_next_schema_goes_on() -> Result<()> {
    let lab = Lab::new()?;
    lab.fault("GOLD", &[Kind::Hang])?;
    let input = "{\"schema\":\"GOLD\",\"timeout\":\"2s\"}\n{\"schema\":\"FIN\"}\n";
    let run = lab.tool()?.stdin(input).run()?.expect(1)?;
    let record = export(&run, "GOLD")?;
    ensure!(
        record.text("status") == Some("failed")
            && record.text("reason").unwrap_or_default().contains("did not end within 2s"),
        "{}",
        record.line
    );
    ensure!(lab.dump("FIN_day.DMP")?.len() == 2);
    lab.check_clean(Some(&run))?;
    let run = lab.tool()?.args(["--schema", "GOLD", "--timeout", "1s"]).run()?.expect(124)?;
    lab.check_clean(Some(&run))
}

#[test]
fn a_job_that_is_not_running_any_more_loses_its_master_table() -> Result<()> {
    let lab = Lab::new()?;
    lab.fault("GOLD", &[Kind::Hang, Kind::KillLeavesMaster])?;
    let run = lab.tool()?.args(["--schema", "GOLD", "--timeout", "1s"]).run()?.expect(124)?;
    lab.check_clean(Some(&run))
}

#[test]
fn a_job_that_does_not_stop_is_told_with_the_way_to_stop_it() -> Result<()> {
    let lab = Lab::new()?;
    lab.fault("GOLD", &[Kind::Hang, Kind::KillTakes { seconds: 30.0 }])?;
    let run = lab.tool()?.args(["--schema", "GOLD", "--timeout", "1s", "--sql-timeout", "2s"]).run()?;
    ensure!(run.status != Some(0), "{:?}", run.records);
    // It was asked to stop before the answer was held back, so it may be gone; what counts is that nothing is claimed.
    ensure!(export(&run, "GOLD")?.text("status") == Some("failed"));
    lab.fault("GOLD", &[])?;
    wait_for("the job has gone", || Ok(lab.jobs()?.is_empty()))?;
    let run = lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(0)?;
    lab.check_clean(Some(&run))
}

#[test]
fn a_client_that_dies_leaves_no_job_behind() -> Result<()> {
    for signal in [9, 11] {
        let lab = Lab::new()?;
        lab.config(|c| {
            c.table_seconds = 0.5;
            c.faults =
                vec![orasim::datapump::Fault { schema: "GOLD".into(), kind: Kind::ClientDies { signal } }];
        })?;
        let run = lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(2)?;
        let record = export(&run, "GOLD")?;
        let reason = format!("was killed by signal {signal}");
        ensure!(record.text("reason").unwrap_or_default().contains(&reason), "{}", record.line);
        ensure!(record.number("expdp_exit").is_none());
        lab.check_clean(Some(&run))?;
    }
    Ok(())
}

#[test]
fn a_signal_stops_the_job_and_leaves_the_rest() -> Result<()> {
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let lab = Lab::new()?;
        lab.fault("GOLD", &[Kind::Hang])?;
        let mut run = lab.tool()?.args(["--schema", "GOLD", "--schema", "FIN"]).start()?;
        run.until(Duration::from_secs(20), "the job runs", |_| Ok(lab.jobs()?.contains("EXECUTING")))?;
        run.signal(signal)?;
        let run = run.wait()?;
        // Failed exports are worse than the signal: the status says that nothing was exported.
        ensure!(run.status == Some(2) || run.status == Some(status), "{:?}", run.status);
        ensure!(run.count("failed") == 2, "{:?}", run.records);
        lab.check_clean(Some(&run))?;
    }
    Ok(())
}

#[test]
fn after_kill_9_the_next_run_cleans_up_and_exports() -> Result<()> {
    let lab = Lab::new()?;
    lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(0)?;
    let good = std::fs::read(lab.dp("GOLD_day.DMP"))?;
    lab.fault("GOLD", &[Kind::Hang])?;
    let mut run = lab.tool()?.args(["--schema", "GOLD"]).start()?;
    run.until(Duration::from_secs(20), "a half dump", |_| Ok(lab.jobs()?.contains("EXECUTING")))?;
    run.signal_group(Signal::KILL)?;
    drop(run);
    ensure!(lab.jobs()?.contains("EXECUTING"), "the job lives in the server");
    ensure!(std::fs::read(lab.dp("GOLD_day.DMP"))? == good);
    lab.fault("GOLD", &[])?;
    let run = lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(0)?;
    ensure!(run.stderr.contains("left by a run that died") || !run.of("log").is_empty(), "{}", run.stderr);
    ensure!(lab.dump("GOLD_day.DMP")? == gold());
    lab.check_clean(Some(&run))
}

#[test]
fn killed_at_random_moments_the_dump_is_always_a_whole_one() -> Result<()> {
    let lab = Lab::new()?;
    lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(0)?;
    lab.config(|c| c.table_seconds = 0.05)?;
    for round in 0..12u64 {
        let run = lab.tool()?.args(["--schema", "GOLD"]).start()?;
        let pause = 60 + round * 90;
        std::thread::sleep(Duration::from_millis(pause));
        let mut run = run;
        if run.is_running()? {
            run.signal(Signal::KILL)?;
        }
        drop(run);
        ensure!(lab.dump("GOLD_day.DMP")? == gold(), "round {round}");
    }
    let run = lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(0)?;
    ensure!(lab.dump("GOLD_day.DMP")? == gold());
    lab.check_clean(Some(&run))?;
    let left = names(&lab.at("dp"))?;
    ensure!(left == ["GOLD_day.DMP", "GOLD_day.LOG"], "{left:?}");
    Ok(())
}
