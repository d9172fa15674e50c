//! What can be judged without an array; the calls themselves are tested between ib-snap, ib-prune and a simulated one.

use super::clock::Sample;
use super::*;

fn sample(sent: i64, answered: i64, probe: Option<i64>, date: Option<i64>) -> Sample {
    Sample { sent, answered, probe, date }
}

fn clock(samples: &[Sample]) -> Clock {
    let mut probe = ClockProbe::default();
    samples.iter().for_each(|s| probe.add(*s));
    probe.clock().unwrap()
}

#[test]
fn a_probe_that_goes_on_with_time_is_a_clock_of_milliseconds() {
    let seen = clock(&[
        sample(10_000, 10_010, Some(310_005), Some(310_000)),
        sample(10_500, 10_508, Some(310_503), Some(310_000)),
    ]);
    assert!(seen.earliest <= 300_000 && seen.latest >= 300_000, "{seen:?}");
    assert!(seen.latest - seen.earliest <= 20 && !seen.contradictory, "{seen:?}");
}

#[test]
fn a_probe_of_minutes_ago_is_no_clock() {
    // It stands still, and Date says now: both stay possible, and Date is the better guess.
    let seen = clock(&[
        sample(500_000, 500_010, Some(100_000), Some(500_000)),
        sample(500_700, 500_710, Some(100_000), Some(500_000)),
    ]);
    assert!(seen.contradictory && seen.earliest < -390_000 && seen.latest >= 0, "{seen:?}");
    assert!(seen.best.abs() < 1_000, "{seen:?}");
}

#[test]
fn date_alone_is_known_to_a_second() {
    let seen =
        clock(&[sample(10_300, 10_310, None, Some(10_000)), sample(10_900, 10_910, None, Some(10_000))]);
    assert!(seen.earliest <= 0 && seen.latest >= 0 && seen.latest - seen.earliest <= 1_010, "{seen:?}");
    assert!(ClockProbe::default().clock().is_none());
}

#[test]
fn an_event_narrows_the_clock_and_a_contradiction_widens_it() {
    let seen = clock(&[sample(10_300, 10_310, None, Some(10_000))]);
    let narrow = seen.with_event(20_000, 19_990, 20_010);
    assert!(narrow.latest - narrow.earliest <= 21 && !narrow.contradictory, "{narrow:?}");
    let wide = seen.with_event(90_000, 19_990, 20_010);
    assert!(wide.contradictory && wide.earliest <= seen.earliest && wide.latest >= 69_000, "{wide:?}");
}

#[test]
fn addresses_are_hosts_with_or_without_a_port() {
    let parse = |text: &str, plain| Address::parse(text, plain).map(|a| (a.host, a.port));
    assert_eq!(parse("ibox1", false).unwrap(), ("ibox1".to_owned(), 443));
    assert_eq!(parse("ibox1", true).unwrap().1, 80);
    assert_eq!(parse("https://ibox1:8443/", false).unwrap(), ("ibox1".to_owned(), 8443));
    assert_eq!(parse("[::1]:8080", true).unwrap(), ("[::1]".to_owned(), 8080));
    assert_eq!(parse("fe80::1", false).unwrap(), ("[fe80::1]".to_owned(), 443));
    let bad = ["", "ibox1:x", "ibox1:0", "user:pw@ibox1", "ibox1/api", "http://ibox1", "a b"];
    let secret = ["http://user:pw@ibox1", "https://user:pw@ibox1", "ftp://user:p@pw@ibox1", "user:pw@"];
    for bad in bad.into_iter().chain(secret) {
        let error = parse(bad, false).unwrap_err();
        assert_eq!(error.exit, crate::exit::Exit::Usage, "{bad}");
        assert!(!error.message.contains("pw"), "{error}");
    }
}

#[test]
fn a_mark_is_read_as_it_was_written_and_what_is_unknown_is_incomplete() {
    let mark = SetMark {
        run: "PROD-20261120T150827123Z-1234567".to_owned(),
        db: "PROD".to_owned(),
        dbid: 4_294_967_295,
        kind: SetKind::Archive,
        stamp: "2026-11-20_150827".to_owned(),
        n: 12,
        state: SetState::Complete,
        archive: true,
    };
    assert_eq!(SetMark::parse(&mark.text()), Some(mark.clone()));
    assert!(mark.text().len() < 250, "{}", mark.text());
    let later = mark.text().replace("complete", "glorious").replace("{", "{\"new\":1,");
    assert_eq!(SetMark::parse(&later).unwrap().state, SetState::Incomplete);
    assert_eq!(SetMark::parse("orapipe"), None);
    let redo = RedoMark { begin: 1, end: 2, resetlogs: 3, threads: vec![(1, 10, 12), (2, 4, 4)] };
    assert_eq!(RedoMark::parse(&redo.text()), Some(redo));
}

#[test]
fn types_of_all_versions_are_understood() {
    let volume = |json: &str| serde_json::from_str::<Volume>(json).unwrap();
    assert!(volume(r#"{"id":1,"name":"v","type":"MASTER","parent_id":0,"new":{"x":1}}"#).is_master());
    assert!(volume(r#"{"id":1,"name":"v","type":"SNAP","parent_id":7}"#).is_snapshot());
    let snapshot = volume(
        r#"{"id":1,"name":"v","type":"SNAPSHOT","parent_id":7,"lock_expires_at":1000,"replica_ids":[]}"#,
    );
    assert!(snapshot.is_snapshot() && !snapshot.is_master() && !snapshot.is_replicated());
    assert!(snapshot.is_locked(999) && !snapshot.is_locked(1000));
}
