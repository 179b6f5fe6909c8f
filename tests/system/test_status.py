"""What is told of secondary zones: azoth zone show, list --failing, transfer --wait, the API and PowerDNS's, metrics and the log, step by
step as primaries go, lie, lag and come back."""
import base64
import os
import re
import time

import dns.rcode

from lab import API_KEY, HOST, azoth, port, wait_until
from test_secondary import ZONE, Script, add_zone, notify, secondary_core, wait_soa
from updates import add_key, call

PATH = f"/v1/zones/{ZONE}"


def cli(core, *words, **more):
    return azoth("zone", *words, "--api", f"http://{HOST}:{core.ports['api']}", env={**os.environ, "AZOTH_API_KEY": API_KEY}, **more)


def secondary(core):
    return call(core, "GET", PATH)["secondary"]


def wait_failing(core, failing, timeout=60):
    return wait_until(f"failing {failing}", lambda: call(core, "GET", PATH).get("failing") is failing, timeout=timeout, pause=0.1)


def failing_list(core):
    return [z["name"] for z in call(core, "GET", "/v1/zones?failing=1")["zones"]]


def test_a_primary_comes_goes_and_comes_back(lab):
    core = secondary_core(lab)
    at = port()
    call(core, "POST", "/v1/zones", {"name": "own.example.", "nameservers": ["ns1.example.net."]})
    add_zone(core, at)                                  # nobody is there
    wait_failing(core, True)
    zone = call(core, "GET", PATH)
    s = zone["secondary"]
    assert zone["state"] == "empty" and s["checked"] is None and s["transferred"] is None and s["transfer"] is None and s["expires"] is None
    assert s["failures"] >= 1 and s["next"] > s["now"] - 5
    assert s["primaries"][0]["address"] == f"{HOST}@{at}" and s["primaries"][0]["serial"] is None and s["primaries"][0]["error"]
    text = cli(core, "show", ZONE).out
    assert re.search(r"^checked +never", text, re.M) and re.search(rf"^primary +{HOST}@{at}: no serial; FAILED \d+ s ago: \w+", text, re.M), text
    assert re.search(r"^failing +\d+ times in a row", text, re.M), text
    assert failing_list(core) == [ZONE]
    table = cli(core, "list", "--failing").out
    assert re.search(rf"^{re.escape(ZONE)} +empty +- +never +{HOST}@{at}: ", table, re.M) and "own.example" not in table
    wait_until("metrics", lambda: core.metric("azoth_core_secondary_zones_failing") == 1)
    assert core.page("/readyz")[0] == 200
    core.wait_log(rf"WARN secondary.failed zone={ZONE} what=soa primary={HOST}@{at} err=\"")
    bad = cli(core, "transfer", ZONE, "--wait", code=1)
    assert "no primary would do" in bad.err and f"{HOST}@{at}" in bad.err

    primary = Script(7, at=at)
    try:
        done = cli(core, "transfer", ZONE, "--wait")    # also while the primary is being left alone
        assert done.out.startswith(f"{ZONE}: serial 7\n") and "all of it (AXFR), 4 records" in done.out, done.out
        assert call(core, "GET", PATH)["failing"] is False and failing_list(core) == []
        core.wait_log(rf"INFO secondary.recovered zone={ZONE} primary={HOST}@{at} serial=7")
        s = secondary(core)
        assert s["primaries"] == [{"address": f"{HOST}@{at}", "tsig": "", "serial": 7, "heard": s["primaries"][0]["heard"], "failed": None, "error": None}]
        assert s["transfer"]["primary"] == f"{HOST}@{at}" and s["transfer"]["whole"] and s["transfer"]["from"] is None
        assert s["transfer"]["records"] == 4 and s["transfer"]["bytes"] > 100
        assert s["request"]["outcome"] == "transferred"
        assert 0 <= s["now"] - s["checked"] < 60 and s["next"] > s["now"] and s["expires"] > s["now"]
        text = cli(core, "show", ZONE, "--counts").out
        assert re.search(r"^checked +\d+ s ago; next in \d+ s; expires in \d+ s", text, re.M), text
        assert re.search(rf"^primary +{HOST}@{at}: serial 7, \d+ s ago$", text, re.M), text
        assert re.search(rf"^nameservers +ns1.{ZONE}$", text, re.M) and re.search(r"^records +4$", text, re.M) and re.search(r"^rrsets +4$", text, re.M), text
        assert cli(core, "transfer", ZONE, "--wait").out == f"{ZONE}: serial 7, as the primary has it\n"
        assert cli(core, "transfer", ZONE, "--axfr", "--wait", "--json").json()["secondary"]["transfer"]["from"] == 7
        assert "takes no share" in cli(core, "transfer", ZONE, "--wait=50%", code=1).err
        assert "not a time" in cli(core, "transfer", ZONE, "--wait", "--timeout", "soon", code=1).err
        pdns = call(core, "GET", f"/api/v1/servers/localhost/zones/{ZONE}")
        assert abs(pdns["last_check"] - time.time()) < 600 and pdns["serial"] == 7
        wait_until("metrics", lambda: core.metric("azoth_core_secondary_zones_failing") == 0)

        primary.play = lambda self, connection, query: time.sleep(20)
        primary.serial = 8
        slow = cli(core, "transfer", ZONE, "--wait", "--timeout", "1s", code=3)
        assert "has not ended in time" in slow.err
        assert secondary(core)["request"]["outcome"] == "pending"
    finally:
        primary.stop()
    native = call(core, "GET", "/v1/zones/own.example.?counts=1")
    assert native["nameservers"] == ["ns1.example.net."] and native["records"] == 2 and "secondary" not in native and "failing" not in native
    assert call(core, "GET", "/v1/zones?failing=maybe", want=(400,))["error"] and call(core, "GET", "/v1/zones/own.example.?counts=x", want=(400,))["error"]


def refuses(self, connection, query):
    self.put(connection, query, [], lambda reply: reply.set_rcode(dns.rcode.REFUSED))


def test_two_primaries_that_differ(lab):
    """What each says, and why one would not do; a restart keeps the times, and the reasons are found again."""
    core = secondary_core(lab)
    first, second = Script(5, refresh=86400, retry=15, expire=1000000), Script(5, refresh=86400, retry=15, expire=1000000)
    try:
        add_zone(core, first.port, second.port)
        wait_soa(core, "NOERROR", 5)
        first.serial, second.serial = 3, 6
        done = cli(core, "transfer", ZONE, "--wait")
        assert done.out.startswith(f"{ZONE}: serial 6\n"), done.out
        zone = call(core, "GET", PATH)
        lagging, good = zone["secondary"]["primaries"]
        assert (lagging["serial"], good["serial"]) == (3, 6) and "older than ours" in lagging["error"] and good["error"] is None
        assert zone["failing"] is False
        assert "transfer" in zone["secondary"] and zone["secondary"]["transfer"]["primary"] == f"{HOST}@{second.port}"
        text = cli(core, "show", ZONE).out
        assert re.search(rf"^primary +{HOST}@{first.port}: serial 3, \d+ s ago; FAILED \d+ s ago: .*older than ours", text, re.M), text
        second.serial, second.play = 7, refuses
        bad = cli(core, "transfer", ZONE, "--wait", code=1)
        assert "no primary would do" in bad.err
        s = secondary(core)
        assert s["primaries"][1]["serial"] == 7 and re.search("REFUSED", s["primaries"][1]["error"]), s
        assert call(core, "GET", PATH)["failing"] is True

        before = secondary(core)
        core.stop()
        core.start()
        wait_until("the zone is known", lambda: "secondary" in call(core, "GET", PATH))
        after = secondary(core)
        for member in "checked", "transferred":
            assert after[member] == before[member], member
        assert abs(after["expires"] - before["expires"]) <= 2
        assert after["transfer"] is None and after["request"] is None
        second.play = Script.whole
        assert cli(core, "transfer", ZONE, "--wait").out.startswith(f"{ZONE}: serial 7\n")
        core.kill()                                     # what was known a second ago is kept
        time.sleep(0)
        core.start()
        wait_until("the zone is known", lambda: "secondary" in call(core, "GET", PATH))
        assert secondary(core)["transferred"] is not None
    finally:
        first.stop()
        second.stop()


def test_a_wrong_key(lab):
    """An unsigned answer, then no such key: the reason is the key's."""
    core = secondary_core(lab)
    add_key(core, update=[])
    primary = Script()
    try:
        add_zone(core, primary.port, tsig="key.example.")
        wait_failing(core, True)
        p = secondary(core)["primaries"][0]
        assert p["tsig"] == "key.example." and re.search("TSIG|sign", p["error"]), p
        call(core, "DELETE", "/v1/tsig/key.example.", want=(200, 409))
        assert f"{HOST}@{primary.port}/key.example.: no serial; FAILED" in cli(core, "show", ZONE).out
        assert primary.transfers == 0
    finally:
        primary.stop()


def test_a_zone_is_asked_for_as_soon_as_it_is_made(lab):
    """The wait knows the end also when the zone is too new for core.dns's thread."""
    core = secondary_core(lab)
    primary = Script(4)
    try:
        for i in range(3):
            call(core, "POST", "/v1/zones", {"name": ZONE, "kind": "secondary", "primaries": [{"address": f"{HOST}@{primary.port}"}]})
            done = cli(core, "transfer", ZONE, "--wait")
            assert done.out.startswith(f"{ZONE}: serial 4"), done.out
            call(core, "DELETE", PATH)
    finally:
        primary.stop()


def test_many_zones_of_a_dead_primary(lab):
    """All of them are told to fail, though most wait in line and were never asked about; a wish goes before those who wait."""
    core = secondary_core(lab)
    at = port()
    names = [f"customer-{i}.example." for i in range(50)]
    for name in names:
        call(core, "POST", "/v1/zones", {"name": name, "kind": "secondary", "primaries": [{"address": f"{HOST}@{at}"}]})
    wait_until("all fail", lambda: sorted(failing_list(core)) == sorted(names), timeout=60, pause=0.2)
    wait_until("metrics", lambda: core.metric("azoth_core_secondary_zones_failing") == len(names))
    table = cli(core, "list", "--failing").out.splitlines()
    assert len(table) == 1 + len(names) and all(f"{HOST}@{at}: " in line for line in table[1:]), table[:5]
    page = call(core, "GET", "/v1/zones?failing=1&limit=20")
    assert len(page["zones"]) == 20 and page["next"] and all(z["secondary"]["primaries"][0]["error"] for z in page["zones"])
    for name in names[0], names[-1]:
        assert f"{HOST}@{at}" in cli(core, "transfer", name, "--wait", code=1).err
