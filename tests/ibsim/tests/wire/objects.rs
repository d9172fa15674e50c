//! Volumes, snapshots, groups: what the API does with them.

use std::time::Instant;

use ibsim::{Array, Config, Version};

use super::client::{call, get, try_as};

fn array() -> Array {
    let array = Array::start(Config::default()).unwrap();
    array.add_volume("DATA1").unwrap();
    array.add_volume("DATA2").unwrap();
    array
}

#[test]
fn a_snapshot_needs_no_approval_and_its_deletion_does() {
    let array = array();
    let id = array.object("DATA1").unwrap().id;
    let before = array.now();
    let made = call(
        &array,
        "POST",
        "/volumes",
        &format!(r#"{{"parent_id":{id},"name":"snap1","write_protected":true}}"#),
    );
    assert_eq!(made.status, 201);
    let snap = made.result();
    assert_eq!(
        (&snap["type"], &snap["depth"], &snap["parent_id"]),
        (&"SNAPSHOT".into(), &1.into(), &id.into())
    );
    assert_eq!((&snap["cg_id"], &snap["write_protected"]), (&serde_json::Value::Null, &true.into()));
    assert_eq!(snap["serial"].as_str().unwrap().len(), 31);
    assert!((before..=array.now()).contains(&snap["created_at"].as_i64().unwrap()));
    let path = format!("/volumes/{}", snap["id"]);
    let asked = call(&array, "DELETE", &path, "");
    assert_eq!((asked.status, asked.code().as_str()), (403, "APPROVAL_REQUIRED"));
    assert!(asked.json()["error"]["reasons"][0]["message"].is_string());
    let gone = call(&array, "DELETE", &format!("{path}?approved=yes"), "");
    assert_eq!(gone.result()["id"], snap["id"], "a deletion shows what was deleted");
    assert_eq!((get(&array, &path).status, get(&array, &path).code()), (404, "VOLUME_NOT_FOUND".to_owned()));
    assert_eq!(array.snapshots(), []);
    assert_eq!(
        array.requests("DELETE", "^/volumes/").iter().map(|r| r.executed.unwrap()).collect::<Vec<_>>(),
        [403, 200]
    );
}

#[test]
fn an_approved_deletion_takes_children_along_and_locks_stop_it() {
    let array = array();
    let id = array.object("DATA1").unwrap().id;
    let until = array.now() + 60_000;
    let locked = format!(r#"{{"parent_id":{id},"name":"locked","lock_expires_at":{until}}}"#);
    assert_eq!(call(&array, "POST", "/volumes", &locked).status, 403);
    assert_eq!(call(&array, "POST", "/volumes?approved=true", &locked).result()["lock_state"], "LOCKED");
    let refused = call(&array, "DELETE", &format!("/volumes/{id}?approved=true"), "");
    assert_eq!((refused.status, refused.code().as_str()), (403, "SNAPSHOT_LOCKED"));
    assert_eq!(array.snapshots().len(), 1);
    array.advance(std::time::Duration::from_secs(61));
    assert_eq!(call(&array, "DELETE", &format!("/volumes/{id}?approved=true"), "").status, 200);
    assert!(array.object("locked").is_err() && array.object("DATA1").is_err());
}

#[test]
fn a_group_snapshot_is_all_or_nothing_and_one_instant() {
    let array = array();
    let group = array.add_group("DB", &["DATA1", "DATA2"]).unwrap();
    let wish = format!(
        r#"{{"parent_id":{group},"name":"set1","snap_prefix":"orasync_data_2026_","snap_suffix":null}}"#
    );
    assert_eq!(call(&array, "POST", "/cgs", &wish).status, 201);
    let snaps = array.snapshots();
    let names: Vec<&str> = snaps.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["orasync_data_2026_DATA1", "orasync_data_2026_DATA2"]);
    assert_eq!(snaps[0].created_at, snaps[1].created_at);
    assert!(snaps[0].cg_id.is_some() && snaps[0].cg_id == snaps[1].cg_id);
    let (one, two) = (array.object("DATA1").unwrap().id, array.object("DATA2").unwrap().id);
    // One of the two names is taken: none is made.
    let taken = call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{one},"name":"x_DATA2"}}"#));
    assert_eq!(taken.status, 201);
    let both = format!(r#"{{"snap_prefix":"x_","entities":[{{"id":{one}}},{{"id":{two}}}]}}"#);
    let refused = call(&array, "POST", "/volumes/group_snapshot", &both);
    assert_eq!((refused.status, refused.code().as_str()), (409, "VOLUME_NAME_CONFLICT"));
    assert!(array.object("x_DATA1").is_err());
    let empty = call(&array, "POST", "/cgs", r#"{"name":"E","pool_id":1005}"#).result()["id"].clone();
    let none =
        call(&array, "POST", "/cgs", &format!(r#"{{"parent_id":{empty},"name":"S","snap_prefix":"s_"}}"#));
    assert_eq!(none.status, 409);
}

#[test]
fn ten_thousand_snapshots_are_made_and_listed_quickly() {
    let array = array();
    let began = Instant::now();
    array
        .add_snapshots("DATA1", (0..10_000).map(|n| (format!("orasync_{n}"), 1_600_000_000_000 + n)))
        .unwrap();
    assert!(began.elapsed().as_millis() < 2_000, "{:?}", began.elapsed());
    let page =
        get(&array, "/volumes?type=eq:SNAPSHOT&name=like:orasync&sort=id&page=10&page_size=1000").json();
    assert_eq!(page["result"].as_array().unwrap().len(), 1000);
    assert_eq!(page["metadata"]["number_of_objects"], 10_000);
    assert_eq!(page["result"][999]["name"], "orasync_9999");
    assert_eq!(page["result"][999]["created_at"], 1_600_000_009_999_i64);
}

#[test]
fn users_may_do_what_their_roles_allow() {
    let array = array();
    let id = array.object("DATA1").unwrap().id;
    let wish = format!(r#"{{"parent_id":{id},"name":"s"}}"#);
    let refused = try_as(&array, "monitor", "POST", "/volumes", &wish).unwrap();
    assert_eq!(refused.status, 403);
    assert_eq!(try_as(&array, "monitor", "GET", "/volumes", "").unwrap().status, 200);
    assert_eq!(try_as(&array, "pool_admin", "POST", "/volumes", &wish).unwrap().status, 201);
    let other = array.with(|s| s.add_pool("pool2", 1 << 42));
    let foreign = array.with(|s| s.add_volume("FOREIGN", other, 1 << 30).map_err(|e| e.code)).unwrap();
    let wish = format!(r#"{{"parent_id":{foreign},"name":"f"}}"#);
    assert_eq!(try_as(&array, "pool_admin", "POST", "/volumes", &wish).unwrap().status, 403);
    assert_eq!(try_as(&array, "nobody", "GET", "/volumes", "").unwrap().status, 401);
}

#[test]
fn limits_and_pools_refuse_more_snapshots() {
    let array = Array::start(Config { max_snapshots: 3, ..Config::default() }).unwrap();
    let id = array.add_volume("V").unwrap();
    let make =
        |n: u32| call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"s{n}"}}"#)).status;
    assert_eq!([make(1), make(2), make(3), make(4)], [201, 201, 201, 409]);
    assert_eq!(
        get(&array, "/config/limits?fields=max_snapshots_per_volume").result()["max_snapshots_per_volume"],
        3
    );
    array.change(&ibsim::Change::Remove("s1".into())).unwrap();
    array.change(&ibsim::Change::PoolLocked(true)).unwrap();
    assert_eq!(make(5), 403);
}

#[test]
fn metadata_is_kept_and_inside_its_version_form() {
    for (version, listed) in [(Version::V2_2, false), (Version::V8_4, true)] {
        let array = Array::start(Config::version(version)).unwrap();
        let id = array.add_volume("V").unwrap();
        let path = format!("/metadata/{id}");
        assert_eq!(call(&array, "PUT", &path, r#"{"orapipe.run":"7","a":"b"}"#).status, 200);
        assert_eq!(array.object("V").unwrap().metadata["orapipe.run"], "7");
        let all = get(&array, &path).result();
        if listed {
            assert_eq!((&all[0]["key"], &all[0]["value"]), (&"a".into(), &"b".into()));
            assert_eq!(get(&array, "/metadata?key=eq:orapipe.run").result()[0]["object_id"], id);
        } else {
            assert_eq!(all["orapipe.run"], "7");
        }
        assert_eq!(call(&array, "DELETE", &format!("{path}/a"), "").status, 200);
        assert_eq!(get(&array, &format!("{path}/a")).status, 404);
        assert_eq!(get(&array, "/metadata/99").status, 404);
    }
}

#[test]
fn the_array_deletes_by_itself_what_expires_and_is_not_locked() {
    let array = array();
    let id = array.object("DATA1").unwrap().id;
    let make = |name: &str, more: &str| {
        let wish = format!(r#"{{"parent_id":{id},"name":"{name}","snapshot_retention":60{more}}}"#);
        call(&array, "POST", "/volumes?approved=true", &wish).result()
    };
    let snap = make("e1", "");
    assert_eq!(snap["snapshot_expires_at"], snap["created_at"].as_i64().unwrap() + 60_000);
    make("e2", &format!(r#","lock_expires_at":{}"#, array.now() + 600_000));
    array.advance(std::time::Duration::from_secs(61));
    assert_eq!(get(&array, "/volumes?type=SNAPSHOT").result()[0]["name"], "e2");
    array.advance(std::time::Duration::from_secs(600));
    assert_eq!(get(&array, "/volumes?type=SNAPSHOT").json()["metadata"]["number_of_objects"], 0);
}

#[test]
fn a_promoted_snapshot_is_no_snapshot_any_more() {
    let array = array();
    let id = array.object("DATA1").unwrap().id;
    let snap = call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"p"}}"#)).result();
    let volume = call(&array, "POST", &format!("/volumes/{}/promote", snap["id"]), "").result();
    assert_eq!(
        (&volume["type"], &volume["parent_id"], &volume["depth"]),
        (&"MASTER".into(), &0.into(), &0.into())
    );
    assert!(!array.object("DATA1").unwrap().has_children);
    let old = Array::start(Config::version(Version::V7_3)).unwrap();
    assert_eq!(call(&old, "POST", "/volumes/1/promote", "").status, 404);
}
