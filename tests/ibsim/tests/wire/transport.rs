//! Connections, headers, sessions, clocks.

use std::io::Read;
use std::time::{Duration, Instant};

use ibsim::{Address, Array, Config, Credential, Version, PASSWORD};

use super::client::{basic, call, connect, get, on};

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    for fin in [true, false] {
        let array =
            Array::start(Config { keep_alive: Duration::from_millis(300), ..Config::default() }).unwrap();
        array.set_guesses(|g| g.idle_close_is_fin = fin);
        let mut stream = connect(&array);
        let headers = basic("admin", PASSWORD);
        assert_eq!(on(&mut stream, "GET", "/system", &headers, "").unwrap().status, 200);
        assert_eq!(on(&mut stream, "GET", "/system", &headers, "").unwrap().status, 200);
        let idle = Instant::now();
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
        assert_eq!(end.is_ok(), fin, "{end:?}");
        assert!((250..10_000).contains(&idle.elapsed().as_millis()), "{:?}", idle.elapsed());
        assert!(on(&mut stream, "POST", "/volumes", &headers, "{}").is_err());
        assert_eq!(array.count("POST", ""), 0);
        assert_eq!(array.log()[1].connection, array.log()[0].connection);
    }
}

#[test]
fn a_slow_request_is_not_an_idle_connection() {
    let array = Array::start(Config { keep_alive: Duration::from_millis(200), ..Config::default() }).unwrap();
    array.set_latency(Duration::from_millis(600));
    assert_eq!(get(&array, "/system").status, 200);
}

#[test]
fn the_answer_looks_like_that_of_a_real_array() {
    let array = Array::start(Config::default()).unwrap();
    let mut stream = connect(&array);
    let headers = format!("{}Accept-Encoding: gzip\r\n", basic("admin", PASSWORD));
    let answer = on(&mut stream, "GET", "/system", &headers, "").unwrap();
    assert_eq!(answer.header("server"), Some("Apache"));
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.header("keep-alive"), Some("timeout=15, max=999"));
    assert_eq!(answer.header("X-INFINIDAT-VERSION"), Some("8.4.6.0"));
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut plain).unwrap();
    assert!(plain.contains(r#""error":null"#), "{plain}");
}

#[test]
fn a_session_lives_by_its_cookie_and_ends() {
    let array = Array::start(Config::default()).unwrap();
    let body = format!(r#"{{"username":"admin","password":"{PASSWORD}"}}"#);
    let login = on(&mut connect(&array), "POST", "/users/login", "", &body).unwrap();
    assert_eq!(login.result()["roles"][0], "ADMIN");
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("JSESSIONID="));
    let ask =
        || on(&mut connect(&array), "GET", "/volumes", &format!("Cookie: {cookie}\r\n"), "").unwrap().status;
    assert_eq!(ask(), 200);
    array.expire_sessions();
    assert_eq!(ask(), 401);
    assert_eq!(on(&mut connect(&array), "GET", "/_features", "", "").unwrap().status, 200);
    assert_eq!(on(&mut connect(&array), "GET", "/volumes", "", "").unwrap().status, 401);
    let seen: Vec<Credential> = array.log().iter().map(|r| r.credential).collect();
    assert_eq!(
        seen,
        [
            Credential::None,
            Credential::SessionRight,
            Credential::SessionWrong,
            Credential::None,
            Credential::None
        ]
    );
    let old = Array::start(Config::version(Version::V2_2)).unwrap();
    assert_eq!(on(&mut connect(&old), "POST", "/users/login", "", &body).unwrap().status, 401);
}

#[test]
fn the_log_has_no_secret_and_the_credential_all_the_same() {
    let array = Array::start(Config::default()).unwrap();
    get(&array, "/system");
    on(&mut connect(&array), "GET", "/system", &basic("admin", "wrong"), "").unwrap();
    let body = format!(r#"{{"username":"admin","password":"{PASSWORD}"}}"#);
    on(&mut connect(&array), "POST", "/users/login", "", &body).unwrap();
    let log = array.log();
    assert_eq!((log[0].credential, log[1].credential), (Credential::BasicRight, Credential::BasicWrong));
    assert_eq!((log[0].user.as_deref(), log[1].user.as_deref()), (Some("admin"), None));
    let all = format!("{log:?}");
    assert!(!all.contains(PASSWORD) && !all.contains(&basic("admin", PASSWORD)[21..40]), "{all}");
    assert_eq!(log[2].header("host"), Some("box"));
    assert!(log[2].body.contains(r#""password":"***""#));
}

#[test]
fn the_clock_is_the_arrays_own() {
    let array = Array::start(Config { clock_offset_ms: -7_200_000, ..Config::default() }).unwrap();
    let id = array.add_volume("V").unwrap();
    let host = chrono::Utc::now().timestamp_millis();
    let answer = call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"s"}}"#));
    let made = answer.result()["created_at"].as_i64().unwrap();
    assert!((made + 7_200_000 - host).abs() < 5_000);
    let date = chrono::DateTime::parse_from_rfc2822(answer.header("date").unwrap()).unwrap();
    assert!((date.timestamp_millis() - made).abs() < 5_000);
    let ntp = get(&array, "/system/ntp_status").result()[0]["last_probe_timestamp"].as_i64().unwrap();
    assert!((ntp - made).abs() < 5_000);
}

#[test]
fn the_management_moves_between_two_addresses() {
    let array = Array::start(Config { addresses: 2, ..Config::default() }).unwrap();
    array.fail_over_to(1);
    assert_eq!(get(&array, "/system").status, 503);
    assert_eq!(array.log()[0].executed, None);
    array.set_address(0, Address::Closed);
    assert!(on(&mut connect(&array), "GET", "/system", "", "").is_err());
    array.fail_over_to(0);
    assert_eq!(get(&array, "/system").status, 200);
}
