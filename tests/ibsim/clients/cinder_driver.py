"""Infinidat's OpenStack driver of 2017 against the simulator.

It is the last release (cinder 10.0.8) that speaks to the array with `requests` itself: HTTP, Basic, bare `name=` filters, no SDK.
Its file is taken unchanged from the wheel; what it imports of OpenStack (settings, logging, exceptions) is replaced by the
few lines below, for none of that speaks to an array.
"""

import importlib.util
import sys
import types
import uuid
from unittest import mock

import requests

import sim


class Stub(types.ModuleType):
    """A module that has whatever is asked of it."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock(name=f"{self.__name__}.{name}")


def error(name):
    class Error(Exception):
        def __init__(self, message=None, **words):
            super().__init__(message or words)

    Error.__name__ = name
    return Error


def load(path):
    names = [
        "mock", "oslo_config", "oslo_log", "oslo_utils", "cinder", "cinder.exception", "cinder.i18n", "cinder.interface",
        "cinder.utils", "cinder.volume", "cinder.volume.drivers", "cinder.volume.drivers.san", "cinder.volume.utils",
        "cinder.zonemanager", "cinder.zonemanager.utils",
    ]
    stubs = {name: Stub(name) for name in names}
    for name in ["NotFound", "VolumeBackendAPIException", "InvalidVolume", "InvalidSnapshot", "VolumeIsBusy"]:
        setattr(stubs["cinder.exception"], name, error(name))
    stubs["cinder.exception"].VolumeDriverException = error("VolumeDriverException")
    stubs["cinder"].exception = stubs["cinder.exception"]
    stubs["cinder"].interface = stubs["cinder.interface"]
    stubs["cinder.interface"].volumedriver = lambda driver: driver
    stubs["cinder.i18n"]._ = lambda text: text
    stubs["oslo_utils"].units = types.SimpleNamespace(Gi=1 << 30, Ki=1 << 10)
    zones = stubs["cinder.zonemanager.utils"]
    zones.add_fc_zone = zones.remove_fc_zone = lambda work: work
    zones.create_lookup_service = lambda: None
    stubs["cinder.zonemanager"].utils = zones
    stubs["mock"].Mock = mock.Mock

    class SanDriver:
        def __init__(self, configuration):
            self.configuration = configuration

    san = Stub("cinder.volume.drivers.san.san")
    san.SanDriver = SanDriver
    stubs["cinder.volume.drivers.san"].san = san
    sys.modules.update(stubs)
    spec = importlib.util.spec_from_file_location("infinidat", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, stubs["cinder.exception"]


module, exception = load(sys.argv[1])
settings = mock.Mock(
    san_ip=sim.HTTP, san_login="admin", san_password=sim.PASSWORD, infinidat_pool_name="pool1", san_thin_provision=True)
driver = module.InfiniboxVolumeDriver(configuration=settings)
driver.do_setup(None)
CONNECTOR = {"wwpns": ["10:00:00:00:c9:00:00:01", "10:00:00:00:c9:00:00:02"]}


def volume(size=1):
    made = mock.Mock(id=str(uuid.uuid4()), size=size)
    driver.create_volume(made)
    return made


def on_array(what):
    return driver._get(f"volumes?name={what}")


def names():
    return {o["name"]: o for o in sim.door("GET", "objects")}


def pool_statistics():
    stats = driver.get_volume_stats(refresh=True)
    assert stats["total_capacity_gb"] == 100 * 1024 and 0 < stats["free_capacity_gb"] <= 100 * 1024, stats


def volume_made_extended_deleted():
    one = volume(2)
    name = f"openstack-vol-{one.id}"
    assert [v["size"] for v in on_array(name)] == [2 << 30]
    assert on_array(name)[0]["type"] == "MASTER" and on_array(name)[0]["provtype"] == "THIN"
    driver.extend_volume(one, 5)
    assert on_array(name)[0]["size"] == 5 << 30
    sim.raises(exception.VolumeBackendAPIException, lambda: driver.create_volume(one))
    assert sim.requests("POST", "/volumes")[-1]["status"] == 409
    driver.delete_volume(one)
    assert on_array(name) == [] and name not in names()
    driver.delete_volume(one)


def snapshot_and_its_volume():
    one = volume()
    snapshot = mock.Mock(id=str(uuid.uuid4()), volume=one)
    driver.create_snapshot(snapshot)
    made = sim.requests("POST", "/volumes")[-1]
    assert made["status"] == 201 and made["credential"] == "basic_right" and "approved" not in made["query"], made
    shown = on_array(f"openstack-snap-{snapshot.id}")[0]
    assert shown["type"] == ("SNAPSHOT" if sim.RELEASE >= "3" else "SNAP") and shown["depth"] == 1
    sim.raises(exception.VolumeIsBusy, lambda: driver.delete_volume(one))
    assert f"openstack-vol-{one.id}" in names()
    driver.delete_snapshot(snapshot)
    driver.delete_snapshot(snapshot)
    driver.delete_volume(one)
    assert not [n for n in names() if one.id in n or snapshot.id in n]


def connection():
    one = volume()
    told = driver.initialize_connection(one, CONNECTOR)
    assert told["driver_volume_type"] == "fibre_channel" and told["data"]["target_lun"] == 1
    assert len(told["data"]["target_wwn"]) == 3, told
    assert on_array(f"openstack-vol-{one.id}")[0]["mapped"] is True
    again = driver.initialize_connection(one, CONNECTOR)
    assert again["data"]["target_lun"] == 1
    two = volume()
    assert driver.initialize_connection(two, CONNECTOR)["data"]["target_lun"] == 2
    assert len(driver._get(f"volumes/{on_array('openstack-vol-' + one.id)[0]['id']}/luns")) == 2
    sim.raises(exception.VolumeBackendAPIException, lambda: driver._asssert_volume_not_mapped(one))
    sim.raises(exception.VolumeBackendAPIException, lambda: driver.delete_volume(one))
    driver.terminate_connection(one, CONNECTOR)
    driver.terminate_connection(one, CONNECTOR)
    driver.terminate_connection(two, CONNECTOR)
    driver._asssert_volume_not_mapped(one)
    driver.delete_volume(one)
    driver.delete_volume(two)


def volume_from_snapshot():
    one = volume()
    snapshot = mock.Mock(id=str(uuid.uuid4()), volume=one)
    driver.create_snapshot(snapshot)
    driver._device_connect_context = mock.MagicMock()
    target = mock.Mock(id=str(uuid.uuid4()), size=1)
    sim.door("DELETE", "log")
    driver.create_volume_from_snapshot(target, snapshot)
    clone = [r for r in sim.requests("POST", "/volumes") if "-internal" in r["body"]][0]
    assert clone["status"] == 201
    gone = sim.requests("DELETE", "/volumes/")[-1]
    assert gone["status"] == 200 and gone["query"] == "approved=true"
    assert not [n for n in names() if n.endswith("-internal")]
    assert names()[f"openstack-vol-{target.id}"]["is_snapshot"] is False
    driver.delete_snapshot(snapshot)


def errors_are_json():
    missing = sim.raises(exception.NotFound, lambda: driver._get("volumes/1"))
    assert missing is not None
    assert sim.requests("GET", "/volumes/1")[-1]["status"] == 404
    driver._session.auth = ("admin", "wrong")
    refused = sim.raises(exception.VolumeBackendAPIException, driver._get_infinidat_pool)
    assert refused is not None
    driver._session.auth = ("admin", sim.PASSWORD)
    sim.door("POST", "faults", [{"fault": {"html": {"status": 502}}}])
    sim.raises(requests.exceptions.JSONDecodeError, driver._get_infinidat_pool)
    sim.door("DELETE", "faults")
    driver._get_infinidat_pool()


sim.run([
    pool_statistics, volume_made_extended_deleted, snapshot_and_its_volume, connection, volume_from_snapshot,
    errors_are_json,
])
