"""Catalog zones (RFC 9432): thousands of zones from one. Knot, BIND and PowerDNS as producers; what they say is what is here."""
import os
import re
import signal
import time

import dns.message
import dns.query
import pytest

import pdns
import peers
from lab import API_KEY, HOST, azoth, wait_until
from primaries import Primary
from test_secondary import Bind as BindPrimary
from test_secondary import secondary_core
from updates import call

CATALOG = "catalog.example."
MEMBER = """$TTL 300
@ IN SOA ns1 hostmaster 1 300 15 1209600 300
@ IN NS ns1
ns1 IN A 192.0.2.1
www IN A 192.0.2.2
"""


def add_catalog(core, at, name=CATALOG, **settings):
    call(core, "POST", "/v1/zones", {"name": name, "kind": "secondary", "primaries": [{"address": f"{HOST}@{at}"}], "catalog": settings or True})


def zones(core, **want):
    """Names of the zones that are here, with these settings."""
    found, after = {}, ""
    while after is not None:
        page = call(core, "GET", f"/v1/zones?limit=10000&after={after}" if after else "/v1/zones?limit=10000")
        found.update({z["name"]: z for z in page["zones"]})
        after = page["next"]
    return {name: z for name, z in found.items() if all(z.get(k) == v for k, v in want.items())}


def members(core, catalog=CATALOG):
    return {name: z for name, z in zones(core).items() if z.get("member_of", {}).get("catalog") == catalog}


def wait_members(core, names, catalog=CATALOG, timeout=60):
    wait_until(f"members {sorted(names)}", lambda: set(members(core, catalog)) == set(names), timeout=timeout, pause=0.1)


def wait_live(core, names, timeout=60):
    wait_until("all have data", lambda: all(zones(core).get(n, {}).get("state") == "live" for n in names), timeout=timeout, pause=0.1)


def zone(core, *args):
    """What azoth zone prints."""
    return azoth("zone", *args, "--api", f"http://{HOST}:{core.ports['api']}", env={**os.environ, "AZOTH_API_KEY": API_KEY}).out


def state(core, name=CATALOG):
    return call(core, "GET", f"/v1/zones/{name}")["catalog_state"]


# --- Knot generates it ------------------------------------------------------------------------------------------------
class KnotProducer(peers.Knot):
    """Serves every zone of self.members (name to group or None) and the catalog that it makes of them."""
    notify = 0

    def config(self, zones):
        return self.text(zones)

    def text(self, zones):
        base = super().config({}).replace("template:\n", f"""remote:
  - id: azoth
    address: {HOST}@{self.notify}
acl:
  - id: here
    address: {HOST}
    action: transfer
template:
""").replace("journal-content: none", "journal-content: changes")
        peer = "    acl: here\n    notify: azoth\n"
        base += f'  - domain: "{CATALOG}"\n    catalog-role: generate\n    zonefile-load: none\n{peer}'
        for name, group in zones.items():
            base += f'  - domain: "{name}"\n    file: "{self.folder}/member.zone"\n    catalog-role: member\n    catalog-zone: "{CATALOG}"\n{peer}'
            base += f'    catalog-group: "{group}"\n' if group else ""
        (self.folder / "member.zone").write_text(MEMBER)
        return base

    def members(self, zones):
        (self.folder / "conf").write_text(self.text(zones))
        self.process.send_signal(signal.SIGHUP)


@pytest.fixture
def producer(lab):
    started = []

    def start(core, names):
        KnotProducer.notify = core.dns_port
        folder = lab.folder / f"producer{len(started)}"
        folder.mkdir()
        started.append(KnotProducer(folder, names))
        return started[-1]
    if peers.server_command("knotd") is None:
        pytest.skip("no knotd here")
    yield start
    for it in started:
        it.stop()


def test_knot_generates_the_catalog(lab, producer):
    """Members come and go with it; a group has settings of its own; what changed while the core was dead is made up for at its start."""
    core = secondary_core(lab)
    names = {f"m{i}.example.": None for i in range(4)}
    knot = producer(core, names)
    add_catalog(core, knot.port, groups={"eu": {"notify": ["192.0.2.7"]}})
    wait_members(core, names)
    wait_live(core, names)
    assert all(z["primaries"] == [{"address": f"{HOST}@{knot.port}"}] and z["notify"] == [] for z in members(core).values())
    names = {"m1.example.": None, "m2.example.": "eu", "new.example.": "eu"}
    knot.members(names)
    wait_members(core, names)
    wait_live(core, names)
    wait_until("the group's settings", lambda: members(core)["m2.example."]["notify"] == ["192.0.2.7"], timeout=30, pause=0.1)
    assert members(core)["new.example."]["notify"] == ["192.0.2.7"] and members(core)["m1.example."]["notify"] == []
    core.kill()
    names = {"m1.example.": None, "later.example.": None}
    knot.members(names)
    core.start()
    call(core, "POST", f"/v1/zones/{CATALOG}/transfer", want=(202,))       # its NOTIFY went to nobody, and its refresh time is long
    wait_members(core, names)
    wait_live(core, names)
    assert state(core) | {"members": 2, "state": "good", "clashes": 0, "held": 0} == state(core)


def test_two_thousand_members(lab, producer):
    """All of them are served at an edge; the core is killed twice while they are made."""
    core = secondary_core(lab)
    names = {f"z{i}.example.": None for i in range(2000)}
    knot = producer(core, names)
    add_catalog(core, knot.port)
    for part in (100, 900):
        wait_until(f"{part} are made", lambda: len(members(core)) >= part, timeout=240, pause=0.1)
        core.kill()
        core.start()
    edge = lab.edge("edge", core)
    edge.start()
    dns_of = lab.dns(edge)
    dns_of.start()
    began = time.monotonic()
    wait_members(core, names, timeout=240)
    print(f"{time.monotonic() - began:.1f} s for the rest")
    left = set(names)

    def asked():
        for name in sorted(left):
            if dns_of.values(f"www.{name}") == ["192.0.2.2"]:
                left.discard(name)
            else:
                break
        return not left
    wait_until("all are answered", asked, timeout=240, pause=0.5)
    print(f"{time.monotonic() - began:.1f} s until all were answered")


# --- by hand, at BIND ----------------------------------------------------------------------------------------------------
class Bind:
    """Catalogs and members as zone files; each change is told by NOTIFY."""

    def __init__(self, core, folder, catalogs, names, timers="3600 600 1209600"):
        self.folder, self.timers = folder, timers
        self.serial = 1
        member = folder / "member.zone"
        member.write_text(MEMBER)
        self.files = {name: folder / f"{name}zone" for name in catalogs}
        for name, lines in catalogs.items():
            self.write(name, lines)
        BindPrimary.notify = core.dns_port
        self.server = BindPrimary(folder, {**self.files, **{name: member for name in names}})
        self.port = self.server.port

    def write(self, name, lines):
        self.files[name].write_text(f"$ORIGIN {name}\n$TTL 0\n@ IN SOA invalid. invalid. {self.serial} {self.timers} 0\n@ IN NS invalid.\n"
                                    + "\n".join(lines) + "\n")

    def say(self, core, name, *lines):
        """The catalog says this now, and the core has it."""
        self.serial += 1
        self.write(name, lines)
        mark = time.monotonic()
        time.sleep(max(0.0, 1.1 - (time.monotonic() - mark)))       # a file's time has whole seconds
        self.server.process.send_signal(signal.SIGHUP)
        wait_until(f"{name} at {self.serial}", lambda: call(core, "GET", f"/v1/zones/{name}")["serial"] == self.serial, timeout=60, pause=0.05)

    def stop(self):
        self.server.stop()


VERSION = 'version IN TXT "2"'


def listed(names):
    """One node each; its label is that of the name."""
    return [VERSION, *(f"{name.split('.')[0]}.zones IN PTR {name}" for name in names)]


@pytest.fixture
def bind(lab):
    started = []

    def start(core, catalogs, names, **more):
        folder = lab.folder / "bind"
        folder.mkdir()
        started.append(Bind(core, folder, catalogs, names, **more))
        return started[-1]
    if peers.server_command("named") is None:
        pytest.skip("no named here")
    yield start
    for it in started:
        it.stop()


def error(core, method, path, body=None, want=(400, 403, 404, 409, 422)):
    return call(core, method, path, body, want=want)["error"]


def test_what_a_catalog_may_not_do(lab, bind):
    """Broken ones change nothing, zones of others stay, most members at once do not go unless forced; members are not edited by hand."""
    core = secondary_core(lab)
    names = [f"m{i}.example." for i in range(16)]
    call(core, "POST", "/v1/zones", {"name": "own.example.", "nameservers": ["ns.example."]})
    primary = bind(core, {CATALOG: listed(names)}, names)
    zone(core, "add", CATALOG, "--kind", "secondary", "--primary", f"{HOST}@{primary.port}", "--catalog")
    wait_members(core, names)
    wait_live(core, names)
    assert re.search(r"^catalog +good, 16 members$", zone(core, "show", CATALOG), re.M)
    assert re.search(r"^member of +catalog.example. as m3$", zone(core, "show", "m3.example"), re.M)
    for lines, why in (["version IN TXT \"3\""], "version is not"), ([VERSION, "a.zones IN PTR a.example.", "a.zones IN PTR b.example."], "a.zones has more than one PTR"), \
            ([VERSION, "a.zones IN PTR a.example.", "b.zones IN PTR a.example."], "a.example. is listed twice"):
        primary.say(core, CATALOG, *lines)
        wait_until(why, lambda: why in state(core).get("why", ""), timeout=30, pause=0.05)
        assert state(core)["state"] == "broken" and set(members(core)) == set(names)
    primary.say(core, CATALOG, *listed([*names, "own.example."]))
    wait_until("a clash", lambda: state(core)["clashes"] == 1, timeout=30, pause=0.05)
    assert state(core)["clash"] == "own.example." and zones(core)["own.example."]["kind"] == "native"
    call(core, "DELETE", "/v1/zones/own.example.")
    wait_until("it is a member when it may be", lambda: "own.example." in members(core), timeout=60, pause=0.1)
    primary.say(core, CATALOG, *listed(names[:5]))
    wait_until("too many go", lambda: state(core)["held"] == 12, timeout=30, pause=0.05)
    assert len(members(core)) == 17
    assert "held back      12 members" in zone(core, "show", CATALOG)
    seq = call(core, "GET", "/v1/zones/m9.example./log")["changes"][0]["seq"]
    zone(core, "transfer", CATALOG, "--force")
    wait_members(core, names[:5])
    assert "was a member of the catalog zone" in error(core, "POST", "/v1/zones/m9.example./rollback", {"to": seq})
    assert "take it out there" in error(core, "DELETE", "/v1/zones/m1.example.")
    assert "come from that zone's setting catalog" in error(core, "PATCH", "/v1/zones/m1.example.", {"notify": ["192.0.2.1"]})
    assert "not set by hand" in error(core, "PATCH", "/v1/zones/m1.example.", {"member_of": None})
    call(core, "PATCH", "/v1/zones/m1.example.", {"account": "me"})
    zone(core, "set", CATALOG, 'catalog={"notify": ["192.0.2.7"]}')
    wait_until("members have it", lambda: all(z["notify"] == ["192.0.2.7"] for z in members(core).values()), timeout=30, pause=0.1)
    assert members(core)["m1.example."]["account"] == "me"


def test_catalogs_end(lab, bind):
    """A catalog zone that is none any more lets its members go; one that is removed takes them along, when that was forced."""
    core = secondary_core(lab)
    first, second = ["m0.example.", "m1.example."], ["m2.example.", "m3.example."]
    primary = bind(core, {"one.example.": listed(first), "two.example.": listed(second)}, first + second)
    for name, own in ("one.example.", first), ("two.example.", second):
        add_catalog(core, primary.port, name)
        wait_members(core, own, name)
    wait_live(core, first + second)
    call(core, "PATCH", "/v1/zones/one.example.", {"catalog": None})
    wait_members(core, [], "one.example.")
    assert all(zones(core)[name]["state"] == "live" for name in first)
    call(core, "PATCH", "/v1/zones/m0.example.", {"notify": ["192.0.2.1"]})
    call(core, "DELETE", "/v1/zones/m1.example.")
    assert "has 2 members, which go with it" in error(core, "DELETE", "/v1/zones/two.example.")
    core.kill()
    core.start()
    assert set(members(core, "two.example.")) == set(second)
    call(core, "DELETE", "/v1/zones/two.example.?force=1")
    core.kill()                                     # whatever of them is there still goes at the next start
    core.start()
    wait_until("they went", lambda: set(zones(core)) == {"one.example.", "m0.example."}, timeout=60, pause=0.1)


def test_a_large_catalog_holds_nobody_up(lab):
    """One that makes zones for minutes: another catalog has its turn meanwhile, and who removes the large one ends it."""
    core = secondary_core(lab)
    large = Primary("large.example.", records=[("version", "TXT", '"2"'), *((f"m{i}.zones", "PTR", f"m{i}.test.") for i in range(20000))])
    small = Primary("small.example.", records=[("version", "TXT", '"2"'), ("m.zones", "PTR", "m.example.")])
    try:
        add_catalog(core, large.port, "large.example.")
        wait_until("the first of many", lambda: members(core, "large.example."), timeout=60, pause=0.1)
        add_catalog(core, small.port, "small.example.")
        wait_members(core, ["m.example."], "small.example.")
        assert len(members(core, "large.example.")) < 20000
        call(core, "DELETE", "/v1/zones/large.example.?force=1")
        wait_until("its members went", lambda: set(zones(core)) == {"small.example.", "m.example."}, timeout=120, pause=0.2)
    finally:
        large.stop()
        small.stop()


def test_members_outlive_an_expired_catalog(lab, bind):
    """Its primary is gone for good: the members stay, also over a restart."""
    core = secondary_core(lab, refresh_min="1s", retry_min="1s")
    names = ["m0.example.", "m1.example."]
    primary = bind(core, {CATALOG: listed(names)}, names, timers="1 1 4")
    add_catalog(core, primary.port)
    wait_members(core, names)
    wait_live(core, names)
    primary.stop()
    wait_until("it expired", lambda: zones(core)[CATALOG]["state"] == "expired", timeout=60, pause=0.1)
    core.kill()
    core.start()
    wait_until("it was looked at", lambda: state(core)["members"] == 2, timeout=30, pause=0.05)
    assert set(members(core)) == set(names) and all(zones(core)[n]["state"] == "live" for n in names)


def test_members_change_hands(lab, bind):
    """With coo a member goes over with its data; without, it stays where it is. Another label makes it anew."""
    core = secondary_core(lab)
    names = ["m0.example.", "m1.example."]
    primary = bind(core, {"one.example.": listed(names), "two.example.": [VERSION]}, names)
    for name in "one.example.", "two.example.":
        add_catalog(core, primary.port, name)
    wait_members(core, names, "one.example.")
    wait_live(core, names)
    made = {name: z["created"] for name, z in members(core, "one.example.").items()}
    primary.say(core, "two.example.", *listed(names))
    wait_until("both clash", lambda: state(core, "two.example.")["clashes"] == 2, timeout=30, pause=0.05)
    primary.say(core, "one.example.", *listed(names), "coo.m0.zones IN PTR two.example.")
    wait_members(core, ["m0.example."], "two.example.")
    wait_members(core, ["m1.example."], "one.example.")
    assert zones(core)["m0.example."]["created"] == made["m0.example."] and zones(core)["m0.example."]["state"] == "live"
    primary.say(core, "one.example.", *listed(["m1.example."]))
    wait_until("one is done", lambda: state(core, "one.example.")["members"] == 1, timeout=30, pause=0.05)
    assert set(members(core, "two.example.")) == {"m0.example."}
    mark = core.mark()
    primary.say(core, "one.example.", VERSION, "anew.zones IN PTR m1.example.")
    wait_until("another label", lambda: members(core, "one.example.").get("m1.example.", {}).get("member_of", {}).get("id") == "anew", timeout=30, pause=0.05)
    core.wait_log(r"secondary.transfer.*zone=m1.example. .*from=0 to=1 kind=whole", since=mark)
    wait_live(core, names)


def serial_at(of):
    return dns.query.udp(dns.message.make_query(CATALOG, "SOA"), HOST, timeout=10, port=of).answer[0][0].serial


# --- PowerDNS --------------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(pdns.folder() is None, reason="no PowerDNS (scripts/install-deps --test)")
def test_powerdns_is_the_producer(lab):
    """A zone of kind Producer there; here it is added through PowerDNS's API as kind Consumer."""
    core = secondary_core(lab)
    theirs = pdns.Pdns(lab.folder, pdns.LMDB, f"primary=yes\nallow-axfr-ips={HOST}\nxfr-cycle-interval=1\nonly-notify=\n")
    ours = pdns.Api(core.ports["api"], API_KEY)

    def done(server, method, path, body=None, want=(200, 201, 204)):
        status, text, _ = server.call(method, f"/api/v1/servers/localhost{path}", body)
        assert status in want, f"{method} {path}: {status} {text}"
        return text

    def add(name):
        done(theirs, "POST", "/zones", {"name": name, "kind": "Master", "nameservers": ["ns.example.net."], "catalog": CATALOG})
    try:
        done(theirs, "POST", "/zones", {"name": CATALOG, "kind": "Producer", "nameservers": []})
        done(theirs, "POST", f"/zones/{CATALOG}/metadata", {"kind": "ALSO-NOTIFY", "metadata": [f"{HOST}:{core.dns_port}"]})
        add("m0.example.")
        add("m1.example.")
        # It begins with a serial that is a date, and the first look at its members makes it a time, which is an earlier one.
        wait_until("its serial is a time", lambda: serial_at(theirs.port) < 2000000000, timeout=60, pause=0.1)
        done(ours, "POST", "/zones", {"name": CATALOG, "kind": "Consumer", "masters": [f"{HOST}:{theirs.port}"], "nameservers": []})
        assert '"kind": "Consumer"' in done(ours, "GET", f"/zones/{CATALOG}")
        call(core, "POST", f"/v1/zones/{CATALOG}/transfer", want=(202,))
        wait_members(core, ["m0.example.", "m1.example."], timeout=120)
        wait_live(core, ["m0.example.", "m1.example."])
        assert f'"catalog": "{CATALOG}"' in done(ours, "GET", "/zones/m0.example.")
        done(theirs, "DELETE", "/zones/m0.example.")
        add("m2.example.")

        def asked():
            call(core, "POST", f"/v1/zones/{CATALOG}/transfer", want=(202,))
            return set(members(core)) == {"m1.example.", "m2.example."}
        wait_until("the members of now", asked, timeout=120, pause=1)
        assert "take it out there" in done(ours, "DELETE", "/zones/m1.example.", want=(422,))
        assert "has 2 members, which go with it" in done(ours, "DELETE", f"/zones/{CATALOG}", want=(422,))
        assert "is a member of the catalog zone" in done(ours, "PUT", "/zones/m1.example.", {"catalog": "other.example."}, want=(422,))
        done(ours, "PUT", f"/zones/{CATALOG}", {"kind": "Slave"})
        wait_members(core, [])
        assert zones(core)["m1.example."]["state"] == "live"
    finally:
        theirs.stop()
