"""Infinidat's own SDK against the simulator."""

import time
import uuid

import arrow
import requests as http
from capacity import GiB
from infinisdk import InfiniBox
from infinisdk.core.exceptions import APICommandFailed, ChangedDuringIteration, ObjectNotFound

import sim

NEW = tuple(int(n) for n in sim.RELEASE.split(".")[:3]) >= (3, 0, 0)
LOCKS = tuple(int(n) for n in sim.RELEASE.split(".")[:3]) >= (4, 0, 30)


def connect(user="admin", password=sim.PASSWORD, addresses=None):
    system = InfiniBox(addresses or sim.address(), auth=(user, password), use_ssl=False)
    if NEW:
        system.login()
    return system


box = connect()
pool = box.pools.get(name="pool1")


def name(prefix):
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


def volume(prefix="vol"):
    return box.volumes.create(name=name(prefix), pool=pool, size=GiB)


def login_and_version():
    assert box.get_version() == sim.RELEASE, box.get_version()
    assert box.api.get("system").get_result()["name"] == "box1"
    assert box.compat.can_run_on_system()
    used = [r for r in sim.door("GET", "log") if r["path"] == "/volumes" or r["path"] == "/pools"]
    assert used and all(r["credential"] == ("session_right" if NEW else "basic_right") for r in used), used
    features = sim.requests("GET", "_features")
    assert features and features[0]["status"] == 200
    if NEW:
        assert "none" in [f["credential"] for f in features], features
    wrong = sim.raises(APICommandFailed, lambda: InfiniBox(sim.address(), auth=("admin", "wrong")).login())
    assert wrong.status_code in (401, 403), wrong


def session_expires_and_comes_again():
    if not NEW:
        return
    sim.door("DELETE", "log")
    sim.door("POST", "change", ["expire_sessions"])
    assert box.pools.get(name="pool1") == pool
    seen = [(r["method"], r["path"], r["status"]) for r in sim.door("GET", "log")]
    assert ("GET", "/pools", 401) in seen and ("POST", "/users/login", 200) in seen, seen
    with box.api.disabled_login_refresh_context():
        sim.door("POST", "change", ["expire_sessions"])
        expired = sim.raises(APICommandFailed, lambda: box.pools.get(name="pool1"))
    assert expired.status_code == 401, expired
    sim.door("POST", "faults", [{"path": "^/pools", "which": {"nth": 1}, "fault": "session_lost"}])
    assert box.pools.get(name="pool1") == pool
    sim.door("DELETE", "faults")
    sim.door("POST", "settings", {"session_ms": 200})
    time.sleep(0.3)
    try:
        assert box.pools.get(name="pool1") == pool
    finally:
        sim.door("POST", "settings", {"session_ms": 3600000})
    assert [r["status"] for r in sim.requests("GET", "/pools")].count(401) == 4


def basic_without_login():
    with box.api.use_basic_auth_context():
        assert box.pools.get(name="pool1") == pool


def create_snapshot_and_delete():
    vol = volume()
    assert vol.is_master() and not vol.has_children() and vol.get_parent() is None and vol.get_cons_group() is None
    assert len(vol.get_serial().serial) == 31 and vol.get_serial().ieee_company_id == 0x742B0F
    snap = vol.create_snapshot(name=name("snap"))
    assert snap.is_snapshot() and snap.get_parent() == vol and snap.get_field("depth") == 1
    assert snap.get_type() == ("SNAPSHOT" if NEW else "SNAP"), snap.get_type()
    made = sim.requests("POST", "/volumes")[-1]
    assert made["status"] == 201
    assert abs(snap.get_created_at().timestamp() * 1000 - sim.door("GET", "now")) < 60_000
    assert vol.get_field("has_children", from_cache=False)
    child = snap.create_snapshot(name=name("child"))
    assert child.get_field("depth") == 2 and child.get_type() == ("SNAPSHOT" if NEW else "CLONE")
    if NEW:
        assert child.get_field("family_id") == vol.id
    taken = sim.raises(APICommandFailed, lambda: vol.create_snapshot(name=snap.get_name()))
    assert taken.status_code == 409, taken
    child.delete()
    assert not child.is_in_system() and snap.is_in_system()
    snap.delete()
    gone = sim.raises(APICommandFailed, snap.get_fields)
    assert gone.status_code == 404 and gone.error_code == "VOLUME_NOT_FOUND", gone
    snap.safe_delete()
    vol.delete()


def approval_and_cascade():
    vol = volume()
    snap = vol.create_snapshot(name=name("snap"))
    with box.api.get_unapproved_context():
        asked = sim.raises(APICommandFailed, vol.delete)
    assert asked.status_code == 403 and asked.error_code == "APPROVAL_REQUIRED_VOLUME_HAS_CHILDREN", asked
    assert asked.response.get_error()["reasons"][0]["message"]
    assert vol.is_in_system() and snap.is_in_system()
    vol.delete()
    assert not vol.is_in_system() and not snap.is_in_system()


def filters_and_sort():
    vol = volume("filter")
    mark = uuid.uuid4().hex[:8]
    sim.door("POST", "snapshots", {
        "parent": str(vol.id), "prefix": f"Old{mark}_", "count": 30, "first_ms": 1_600_000_000_000, "step_ms": 3_600_000})
    mine = box.volumes.find(parent=vol)
    assert len(mine) == 30
    cutoff = arrow.get(1_600_000_000 + 10 * 3600)
    old = box.volumes.find(box.volumes.fields.parent == vol, box.volumes.fields.created_at < cutoff)
    assert sorted(int(v.get_name().split("_")[1]) for v in old) == list(range(10)), old.to_list()
    low, high = arrow.get(1_600_000_000 + 3600), arrow.get(1_600_000_000 + 4 * 3600)
    between = box.volumes.find(box.volumes.fields.parent == vol, box.volumes.fields.created_at.between((low, high)))
    assert len(between) == 4, len(between)
    names = box.volumes.fields.name
    assert len(box.volumes.find(names.like(f"Old{mark}"))) == 30
    ids = [v.id for v in mine]
    assert len(box.volumes.find(box.volumes.fields.id.in_(ids[:7]))) == 7
    others = box.volumes.find(box.volumes.fields.parent == vol, box.volumes.fields.id.not_in(ids[:7]))
    assert len(others) == 23, len(others)
    newest = box.volumes.find(parent=vol).sort(-box.volumes.fields.created_at)
    assert [int(v.get_name().split("_")[1]) for v in newest] == list(range(29, -1, -1))
    few = box.volumes.find(parent=vol).only_fields(["name"])
    assert few[0].get_name().startswith("Old")
    raw = box.api.get(f"volumes?parent_id=eq:{vol.id}&fields=name,evilmonkey&page_size=2").get_result()
    assert [set(r) for r in raw] == [{"name"}, {"name"}], raw
    bad = sim.raises(APICommandFailed, lambda: box.api.get("volumes?evilmonkey=true"))
    assert bad.status_code == 400
    assert box.api.get(f"volumes?type=eq:{'snapshot' if NEW else 'snap'}&parent_id={vol.id}").get_result()
    bare = box.api.get(f"volumes?name={vol.get_name()}").get_result()
    assert [v["id"] for v in bare] == [vol.id]
    nothing = box.api.get(f"volumes?parent_id=eq:{vol.id}&page=9").get_result()
    assert nothing == []
    assert box.api.get("volumes?cg_id=eq:null&parent_id=eq:0").get_result()
    sim.raises(ObjectNotFound, lambda: box.volumes.get(name="no_such_volume"))
    vol.delete()


def paging_over_2500():
    vol = volume("many")
    sim.door("POST", "snapshots", {
        "parent": str(vol.id), "prefix": name("p"), "count": 2500, "first_ms": 1_500_000_000_000, "step_ms": 1000})
    query = box.volumes.find(parent=vol)
    sim.door("DELETE", "log")
    ids = [v.id for v in query]
    assert len(ids) == len(set(ids)) == 2500, len(ids)
    pages = [r["query"] for r in sim.requests("GET", "/volumes")]
    assert len(pages) == 4 and "page=3" in pages[-1] and "page_size=1000" in pages[-1], pages
    meta = box.api.get(f"volumes?parent_id=eq:{vol.id}").get_json()["metadata"]
    assert meta == {"ready": True, "number_of_objects": 2500, "page_size": 50, "pages_total": 50, "page": 1}, meta


def a_lazy_listing_is_no_snapshot():
    """What infinisdk's own example does: every second page is skipped."""
    vol = volume("lazy")
    sim.door("POST", "snapshots", {
        "parent": str(vol.id), "prefix": name("l"), "count": 120, "first_ms": 1_500_000_000_000, "step_ms": 1000})
    sim.raises(ChangedDuringIteration, lambda: [v.delete() for v in box.volumes.find(parent=vol)])
    assert len(box.volumes.find(parent=vol)) == 50


def groups():
    one, two = volume("one"), volume("two")
    group = box.cons_groups.create(name=name("cg"), pool=pool)
    group.add_member(one)
    group.add_member(two)
    assert {m.id for m in group.get_members()} == {one.id, two.id}
    assert one.get_cons_group(from_cache=False) == group
    member = sim.raises(APICommandFailed, one.delete)
    assert member.status_code in (403, 409)
    sg = group.create_snapgroup(name=name("sg"), prefix="pre_", suffix="_suf")
    assert sg.get_parent() == group
    members = list(sg.get_members())
    assert {m.get_name() for m in members} == {f"pre_{v.get_name()}_suf" for v in (one, two)}
    assert len({m.get_created_at() for m in members}) == 1
    assert {m.get_parent().id for m in members} == {one.id, two.id}
    sg.delete(delete_members=True)
    assert all(not m.is_in_system() for m in members)
    group.remove_member(one)
    assert {m.id for m in group.get_members()} == {two.id}
    group.delete()
    assert two.is_in_system()


def group_snapshot_without_group():
    three = [volume(f"gs{n}") for n in range(3)]
    snaps = box.volumes.create_group_snapshot(three, snap_prefix=name("g") + "_")
    assert [s.get_parent() for s in snaps] == three
    assert len({s.get_created_at() for s in snaps}) == 1
    missing = sim.raises(APICommandFailed, lambda: box.api.post("volumes/group_snapshot", data={
        "snap_prefix": name("x"), "entities": [{"id": three[0].id}, {"id": 1}]}))
    assert missing.status_code == 404
    assert len(box.volumes.find(parent=three[0])) == 1, "all or nothing"


def locks():
    if not LOCKS:
        return
    vol = volume("lock")
    now = sim.door("GET", "now")
    snap = vol.create_snapshot(name=name("locked"), lock_expires_at=arrow.get((now + 600_000) / 1000))
    assert snap.get_field("lock_state") == "LOCKED"
    refused = sim.raises(APICommandFailed, snap.delete)
    assert refused.status_code in (403, 409) and snap.is_in_system()
    family = sim.raises(APICommandFailed, vol.delete)
    assert family.status_code in (403, 409) and vol.is_in_system()
    snap.update_lock_expires_at(arrow.get((now + 900_000) / 1000))
    sim.raises(APICommandFailed, lambda: snap.update_lock_expires_at(arrow.get((now + 300_000) / 1000)))
    sim.door("POST", "settings", {"clock_offset_ms": 1_000_000})
    try:
        assert snap.get_field("lock_state", from_cache=False) != "LOCKED"
        snap.delete()
    finally:
        sim.door("POST", "settings", {"clock_offset_ms": 0})
    assert not snap.is_in_system()


def metadata():
    vol = volume("meta")
    vol.set_metadata_from_dict({"host.created_by": "orapipe", "retention": "14"})
    vol.set_metadata("äß", "ünï ✓")
    assert vol.get_metadata_value("äß") == "ünï ✓"
    assert vol.get_all_metadata() == {"host.created_by": "orapipe", "retention": "14", "äß": "ünï ✓"}
    vol.unset_metadata("retention")
    assert vol.get_metadata_value("retention", default=None) is None
    missing = sim.raises(APICommandFailed, lambda: vol.get_metadata_value("retention"))
    assert missing.status_code == 404
    if NEW:
        found = box.api.get("metadata?key=eq:host.created_by").get_result()
        assert vol.id in [f["object_id"] for f in found]
    vol.clear_metadata()
    assert vol.get_all_metadata() == {}
    vol.delete()


def mappings():
    vol = volume("map")
    host = box.hosts.create(name=name("host"))
    lun = host.map_volume(vol)
    assert int(lun) > 0 and vol.get_field("mapped", from_cache=False)
    assert [logical.get_host() for logical in vol.get_logical_units()] == [host]
    refused = sim.raises(APICommandFailed, vol.delete)
    assert refused.status_code in (403, 409)
    again = sim.raises(APICommandFailed, lambda: host.map_volume(vol))
    assert again.status_code == 409 and again.error_code == "MAPPING_ALREADY_EXISTS"
    host.unmap_volume(volume=vol)
    assert not vol.get_field("mapped", from_cache=False)
    vol.delete()
    host.delete()


def restore_and_refresh():
    vol = volume("restore")
    snap = vol.create_snapshot(name=name("snap"))
    vol.restore(snap)
    snap.refresh_snapshot()
    other = volume("other")
    sim.raises(APICommandFailed, lambda: other.restore(snap))


def roles():
    reader = connect("monitor")
    assert reader.pools.get(name="pool1").id == pool.id
    refused = sim.raises(APICommandFailed, lambda: reader.volumes.create(name=name("no"), pool=pool, size=GiB))
    assert refused.status_code == 403
    admin = connect("pool_admin")
    mine = admin.volumes.create(name=name("mine"), pool=admin.pools.get(name="pool1"), size=GiB)
    mine.create_snapshot(name=name("mine_snap"))
    mine.delete()
    assert [p.id for p in admin.pools.get_administered_pools()] == [pool.id]
    if NEW:
        assert connect("pool_admin").login().get_result()["roles"] == ["POOL_ADMIN"]


def fail_over():
    second = sim.door("GET", "addresses")["http"][1]
    sim.door("POST", "addresses", ["unavailable", "up"])
    try:
        two = connect(addresses=[sim.address(), sim.address(second)])
        assert two.pools.get(name="pool1").id == pool.id
    finally:
        sim.door("POST", "addresses", ["up", "up"])


def real_headers_and_tls():
    auth = ("admin", sim.PASSWORD)
    answer = http.get(f"https://{sim.HTTPS}/api/rest/system", auth=auth, verify=sim.CA_FILE, timeout=10)
    assert answer.status_code == 200
    have = answer.headers
    assert have["Server"] == "Apache" and have["Content-Encoding"] == "gzip"
    assert have["Transfer-Encoding"] == "chunked" and have["X-INFINIDAT-VERSION"] == sim.RELEASE
    assert have["Keep-Alive"].startswith("timeout=15, max="), have
    sim.raises(http.exceptions.SSLError, lambda: http.get(f"https://{sim.HTTPS}/api/rest/system", auth=auth, timeout=10))


sim.run([
    login_and_version, session_expires_and_comes_again, basic_without_login, create_snapshot_and_delete,
    approval_and_cascade, filters_and_sort, groups, group_snapshot_without_group, locks, metadata, mappings,
    restore_and_refresh, roles, fail_over, real_headers_and_tls, paging_over_2500,
    a_lazy_listing_is_no_snapshot,
])
