//! Each fault, seen from the client and on the array.

use std::time::{Duration, Instant};

use ibsim::{Array, Change, Config, Fault, Lost, Rule};

use super::client::{basic, call, connect, get, on, try_as};

fn array() -> (Array, String) {
    let array = Array::start(Config::default()).unwrap();
    let id = array.add_volume("V").unwrap();
    (array, format!(r#"{{"parent_id":{id},"name":"s"}}"#))
}

fn post(array: &Array, body: &str) -> std::io::Result<u16> {
    answer_to(array, body).map(|a| a.status)
}

fn answer_to(array: &Array, body: &str) -> std::io::Result<super::client::Answer> {
    on(&mut connect(array), "POST", "/volumes", &basic("admin", ibsim::PASSWORD), body)
}

/// With a client that waits no longer than 300 ms.
fn impatient(array: &Array, body: &str) -> std::io::Result<u16> {
    let mut stream = connect(array);
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    on(&mut stream, "POST", "/volumes", &basic("admin", ibsim::PASSWORD), body).map(|a| a.status)
}

fn with(fault: Fault) -> (Array, String) {
    let (array, body) = array();
    array.faults(vec![Rule::on("POST", "^/volumes", fault).nth(1)]).unwrap();
    (array, body)
}

#[test]
fn what_hangs_is_executed_or_not_as_it_says() {
    let (array, body) = with(Fault::Hang);
    assert!(impatient(&array, &body).is_err());
    assert_eq!((array.snapshots().len(), array.log()[0].executed), (0, None));
    assert_eq!(post(&array, &body).unwrap(), 201);
    let (array, body) = with(Fault::HangAfter);
    assert!(impatient(&array, &body).is_err());
    assert_eq!(
        (array.snapshots().len(), array.log()[0].executed, array.log()[0].status),
        (1, Some(201), None)
    );
    assert_eq!(post(&array, &body).unwrap(), 409);
}

#[test]
fn a_late_execution_comes_after_the_client_has_given_up() {
    let lost = [(Lost::Silence, None), (Lost::Reset, None), (Lost::Status(503), Some(503))];
    for (answer, told) in lost {
        let (array, body) = with(Fault::late(Duration::from_millis(1500), answer));
        let began = array.now();
        let said = if told.is_some() { post(&array, &body) } else { impatient(&array, &body) };
        assert_eq!(said.ok(), told, "{answer:?}");
        assert_eq!(array.snapshots().len(), 0, "not yet");
        array.settle().unwrap();
        let made = array.snapshots();
        assert_eq!(made.len(), 1);
        assert!(made[0].created_at - began >= 1490, "{}", made[0].created_at - began);
        assert!(array.log()[0].executed_at.unwrap() - array.log()[0].at >= Duration::from_millis(1490));
    }
}

#[test]
fn resets_come_before_or_after_the_execution() {
    for (fault, made) in [(Fault::ResetBefore, 0), (Fault::ResetAfter, 1)] {
        let (array, body) = with(fault);
        let error = post(&array, &body).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(array.snapshots().len(), made);
    }
}

#[test]
fn errors_are_in_the_envelope_with_what_belongs_to_them() {
    for status in [401, 403, 404, 409, 500, 503] {
        let (array, body) = with(Fault::status(status));
        assert_eq!(post(&array, &body).unwrap(), status);
        assert_eq!((array.snapshots().len(), array.log()[0].executed), (0, None));
        let (array, body) = with(Fault::status_after(status));
        assert_eq!(post(&array, &body).unwrap(), status);
        assert_eq!((array.snapshots().len(), array.log()[0].executed), (1, Some(201)));
    }
    let (array, body) = with(Fault::too_many(7));
    let answer = answer_to(&array, &body).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
}

#[test]
fn bodies_that_are_no_answer() {
    let (array, body) = with(Fault::Html { status: 200, executed: true });
    let answer = answer_to(&array, &body).unwrap();
    assert!(
        answer.body.starts_with(b"<!DOCTYPE HTML")
            && answer.header("content-type").unwrap().starts_with("text/html")
    );
    assert_eq!(array.snapshots().len(), 1);
    let (array, body) = with(Fault::TruncatedJson);
    let answer = answer_to(&array, &body).unwrap();
    assert_eq!(answer.status, 201);
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err() && answer.body.len() > 100);
    let (array, body) = with(Fault::CutAnswer);
    assert!(post(&array, &body).is_err());
    assert_eq!(array.snapshots().len(), 1);
    let (array, body) = with(Fault::EmptyBody);
    assert_eq!(answer_to(&array, &body).unwrap().body, b"");
    let (array, body) = with(Fault::Body(r#"{"result":null}"#.into()));
    assert_eq!(answer_to(&array, &body).unwrap().json()["result"], serde_json::Value::Null);
}

#[test]
fn delays_add_up_and_go_with_other_faults() {
    let (array, body) = array();
    array.set_latency(Duration::from_millis(50));
    array
        .faults(vec![
            Rule::any(Fault::delay(Duration::from_millis(50))),
            Rule::any(Fault::slow_answer(Duration::from_millis(50))),
            Rule::on("POST", "", Fault::status(500)).nth(2),
        ])
        .unwrap();
    let began = Instant::now();
    assert_eq!((post(&array, &body).unwrap(), post(&array, &body).unwrap()), (201, 500));
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn objects_vanish_and_listings_move_between_two_requests() {
    let (array, _) = array();
    array.add_snapshots("V", (0..100).map(|n| (format!("o{n}"), 1_600_000_000_000 + n))).unwrap();
    let id = array.object("o5").unwrap().id;
    array
        .faults(vec![
            Rule::on("GET", &format!("^/volumes/{id}$"), Fault::Before(vec![Change::Remove("@".into())])),
            Rule::on(
                "GET",
                "page=1",
                Fault::After(vec![Change::Churn { containing: "o".into(), remove: 10, add: 3 }]),
            )
            .nth(1),
        ])
        .unwrap();
    let names = |page: u32| -> Vec<String> {
        let answer = get(&array, &format!("/volumes?type=SNAPSHOT&sort=id&page={page}&page_size=50"));
        answer.result().as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(1)[49], "o49");
    assert_eq!(names(2)[0], "o60", "ten were skipped by the move");
    assert_eq!(array.snapshots().len(), 93);
    assert_eq!(get(&array, &format!("/volumes/{id}")).status, 404);
    array.faults(vec![Rule::any(Fault::Before(vec![Change::Remove("nothing".into())]))]).unwrap();
    let answer = get(&array, "/system");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (500, "SIMULATOR_CHANGE_FAILED"),
        "no change is lost in silence"
    );
}

#[test]
fn a_lost_session_and_a_jumping_clock() {
    let (array, body) = array();
    array
        .faults(vec![
            Rule::on("GET", "^/system", Fault::Before(vec![Change::Clock(-60_000)])).nth(1),
            Rule::on("GET", "^/pools", Fault::SessionLost).nth(1),
        ])
        .unwrap();
    let login = format!(r#"{{"username":"admin","password":"{}"}}"#, ibsim::PASSWORD);
    let cookie = on(&mut connect(&array), "POST", "/users/login", "", &login).unwrap();
    let cookie = format!("Cookie: {}\r\n", cookie.header("set-cookie").unwrap().split(';').next().unwrap());
    let ask = |path: &str| on(&mut connect(&array), "GET", path, &cookie, "").unwrap().status;
    assert_eq!([ask("/volumes"), ask("/pools"), ask("/pools"), ask("/volumes")], [200, 401, 401, 401]);
    let before = array.now();
    assert_eq!(call(&array, "GET", "/system", "").status, 200);
    assert!(array.now() < before - 50_000);
    assert_eq!(try_as(&array, "admin", "POST", "/volumes", &body).unwrap().status, 201);
}
