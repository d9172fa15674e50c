//! Every guess has two sides, and each can be seen.

use ibsim::{Array, Change, Config, Guesses};

use super::client::{call, get, on, try_as};

fn array(guesses: Guesses) -> Array {
    let array = Array::start(Config { guesses, ..Config::default() }).unwrap();
    array.add_volume("DATA1").unwrap();
    array
}

#[test]
fn no_guess_is_the_same_on_both_sides() {
    let (one, two) =
        (serde_json::to_value(Guesses::default()).unwrap(), serde_json::to_value(Guesses::other()).unwrap());
    for (name, value) in one.as_object().unwrap() {
        assert_ne!(value, &two[name], "{name}");
    }
}

/// What a client sees of the guesses, one after the other.
fn seen(guesses: Guesses) -> Vec<String> {
    let array = array(guesses);
    let id = array.object("DATA1").unwrap().id;
    array.add_snapshots("DATA1", [("orasync_a".to_owned(), 1_600_000_000_000)]).unwrap();
    let count = |path: &str| get(&array, path).json()["metadata"]["number_of_objects"].to_string();
    let said = |method: &str, path: &str, body: &str| {
        let answer = call(&array, method, path, body);
        let code = answer.json()["error"]["code"].as_str().unwrap_or("-").to_owned();
        format!("{} {code}", answer.status)
    };
    let mut out = vec![
        count("/volumes?name=like:sync"),
        count("/volumes?name=like:ORASYNC"),
        said("GET", "/volumes?page_size=1001", ""),
        get(&array, "/volumes?name=none").json()["metadata"]["pages_total"].to_string(),
        said("GET", "/volumes?type=eq:nonsense", ""),
        said("GET", "/volumes?evilmonkey=1", ""),
        said("POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"{}"}}"#, "n".repeat(100))),
        said("POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"sl/ash"}}"#)),
        said("POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"orasync_a"}}"#)),
        said("POST", "/volumes", "no json"),
    ];
    let body = r#"{"username":"admin","password":"wrong"}"#;
    let mut stream = super::client::connect(&array);
    out.push(on(&mut stream, "POST", "/users/login", "", body).unwrap().status.to_string());
    let made = call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"s1"}}"#)).result();
    out.push(made["write_protected"].to_string());
    out.push(made["lock_state"].to_string());
    let s1 = format!("/volumes/{}", made["id"]);
    array.change(&Change::Lock { volume: "s1".into(), until_ms: array.now() + 600_000 }).unwrap();
    let sooner = format!(r#"{{"lock_expires_at":{}}}"#, array.now() + 60_000);
    out.push(said("PUT", &format!("{s1}?approved=true"), &sooner));
    out.push(said("DELETE", &format!("{s1}?approved=true"), ""));
    out.push(said("DELETE", &format!("{s1}?approved=true&force_if_snapshot_locked=true"), ""));
    for (name, change) in [("m", Change::Map("m".into())), ("r", Change::Replicate("r".into()))] {
        let made =
            call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"{name}"}}"#)).result();
        array.change(&change).unwrap();
        out.push(said("DELETE", &format!("/volumes/{}?approved=true", made["id"]), ""));
    }
    let plain = array.object("orasync_a").unwrap().id;
    out.push(said("DELETE", &format!("/volumes/{plain}"), ""));
    out.push(said("PUT", &format!("/metadata/{id}"), r#"{"k":"v"}"#));
    out.push(said(
        "PUT",
        &format!("/metadata/{id}?approved=true"),
        &format!(r#"{{"k":"{}"}}"#, "v".repeat(300)),
    ));
    out.push(get(&array, &format!("/metadata/{id}")).json()["metadata"]["page"].to_string());
    array.change(&Change::PoolLocked(true)).unwrap();
    out.push(said("POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"p"}}"#)));
    out
}

/// The rest: what needs groups, hosts, other users and pools, and the clock.
fn seen_of_the_rest(guesses: Guesses) -> Vec<String> {
    let array = array(guesses);
    let said = |user: &str, method: &str, path: &str, body: &str| {
        let answer = try_as(&array, user, method, path, body).unwrap();
        format!("{} {}", answer.status, answer.json()["error"]["code"].as_str().unwrap_or("-"))
    };
    let admin = |method: &str, path: &str, body: &str| said("admin", method, path, body);
    let snap = |parent: u64, name: &str| {
        admin("POST", "/volumes", &format!(r#"{{"parent_id":{parent},"name":"{name}"}}"#))
    };
    let mut out = Vec::new();

    let member = array.add_volume("MEMBER").unwrap();
    let group = array.add_group("DB", &["MEMBER"]).unwrap();
    out.push(admin("DELETE", &format!("/volumes/{member}?approved=true"), ""));
    let wish = format!(r#"{{"parent_id":{group},"name":"SG","snap_prefix":"g_"}}"#);
    assert_eq!(admin("POST", "/cgs", &wish), "201 -");
    let of_group = array.object("g_MEMBER").unwrap().id;
    out.push(admin("DELETE", &format!("/volumes/{of_group}?approved=true"), ""));

    let parent = array.add_volume("PARENT").unwrap();
    assert_eq!(snap(parent, "child"), "201 -");
    out.push(admin("DELETE", &format!("/volumes/{parent}?approved=true"), ""));

    let host = array.with(|s| s.add_host("h1"));
    let mapped = array.add_volume("MAPPED").unwrap();
    let lun = format!(r#"{{"volume_id":{mapped}}}"#);
    assert_eq!(admin("POST", &format!("/hosts/{host}/luns"), &lun), "201 -");
    out.push(admin("POST", &format!("/hosts/{host}/luns"), &lun));

    out.push(said("monitor", "POST", "/hosts", r#"{"name":"h2"}"#));
    let other = array.with(|s| s.add_pool("pool2", 1 << 42));
    let foreign = array.with(|s| s.add_volume("FOREIGN", other, 1 << 30)).unwrap();
    out.push(said("pool_admin", "GET", &format!("/volumes/{foreign}"), ""));

    let limited = array.add_volume("LIMITED").unwrap();
    let first = r#"{"snap_prefix":"l_","entities":[{"id":ID}]}"#.replace("ID", &limited.to_string());
    assert_eq!(admin("POST", "/volumes/group_snapshot", &first), "201 -");
    assert_eq!(snap(array.object("l_LIMITED").unwrap().id, "l_child"), "201 -");
    array.with(|s| s.config.max_snapshots = 2);
    out.push(snap(limited, "l_three"));
    array.with(|s| s.config.max_snapshots = 1);
    out.push(snap(limited, "l_four"));

    array.with(|s| s.config.max_snapshots = 999);
    admin("PUT", &format!("/metadata/{limited}?approved=true"), r#"{"k":"v"}"#);
    assert_eq!(snap(limited, "l_five"), "201 -");
    out.push(array.object("l_five").unwrap().metadata.len().to_string());

    let probe = get(&array, "/system/ntp_status").result()[0]["last_probe_timestamp"].as_i64().unwrap();
    out.push((array.now() - probe > 30_000).to_string());
    array.set_clock_offset(86_400_000);
    let date = get(&array, "/system").header("date").unwrap().to_owned();
    let date = chrono::DateTime::parse_from_rfc2822(&date).unwrap().timestamp_millis();
    out.push((array.now() - date > 3_600_000).to_string());

    array.change(&Change::PoolFull(true)).unwrap();
    out.push(snap(limited, "l_full"));
    out
}

#[test]
fn a_client_sees_the_difference_of_each_guess() {
    let all = |guesses: Guesses| [seen(guesses.clone()), seen_of_the_rest(guesses)].concat();
    let (one, two) = (all(Guesses::default()), all(Guesses::other()));
    assert_eq!(one.len(), two.len());
    for (n, (a, b)) in one.iter().zip(&two).enumerate() {
        assert_ne!(a, b, "number {n}: {one:?}\n{two:?}");
    }
}
