"""Many zones and big zones: azoth load, answers right after, and the cost of an answer in descents."""
import random
import subprocess

import dns.rcode
import pytest

from genzone import generate_file
from lab import DATA, azoth, normal_records, read_gzip, small_zone

MILLION = "million.example."


def counted(server, step):
    labels = (("step", step),)
    values = server.metrics()
    return values.get(("azoth_dns_steps_total", labels), 0), values.get(("azoth_dns_descents_total", labels), 0)


def test_million_names(lab, figure):
    zone = lab.folder / "million.zone"
    questions = generate_file(1_000_000, MILLION, zone, 2000)
    assert len(questions) > 1000
    core = lab.core()
    took = core.load(f"{MILLION}={zone}").seconds
    figure("azoth load of 1,000,000 names (1.21 M records)", f"{took:.2f} s (limit 6 s)")
    assert took < 60

    server = lab.dns(core).start()      # the core's own folder, read only: answers right after the load
    before = counted(server, "exact")
    for name, rrtype in questions:
        assert server.values(name, rrtype), (name, rrtype)
    steps, descents = (after - was for after, was in zip(counted(server, "exact"), before))
    assert steps == len(questions), "each answer built from the store"
    figure("descents per exact step, positive answers among 1 M names", f"{descents / steps:.2f}")
    assert descents / steps == 1.0
    assert server.ask("no-such-name." + MILLION).rcode() == dns.rcode.NXDOMAIN

    stat = core.stat()
    figure("data file per record", f"{stat['bytes']} of data, {sum(f.stat().st_blocks for f in data_files(core)) * 512 / 1.2096e6:.0f} bytes of disk each")
    dumped = lab.folder / "million.dump"
    dumped.write_text(core.dump(MILLION))
    for check in ["named-checkzone", "-i", "none", MILLION], ["kzonecheck", "-o", MILLION]:
        done = subprocess.run([*check, str(dumped)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    assert normal_records(dumped.read_text(), None, lab.folder) == normal_records(zone.read_text(), None, lab.folder)


def data_files(node):
    return [f for f in node.dir.glob("data.*/data.mdb")]


def test_million_names_reach_an_edge(lab, figure):
    """One transaction of many parts; the edge holds all of it or nothing."""
    zone = lab.folder / "zone"
    generate_file(300_000, MILLION, zone)
    core = lab.core()
    core.load(f"{MILLION}={zone}")
    core.start()
    edge = lab.edge("edge-1", core).launch()
    server = lab.dns(edge)
    lab.wait_equal([core, edge], timeout=60)
    server.start()
    assert server.serial(MILLION) == 1
    assert edge.stat()["digest"] == core.stat()["digest"]


@pytest.mark.data
def test_fifty_thousand_zones(lab, figure):
    names = sorted(set(read_gzip(DATA / "domains-50k.txt.gz").split()))
    assert len(names) >= 50_000
    folder = lab.folder / "zones"
    folder.mkdir()
    listing = lab.folder / "list"
    with open(listing, "w") as out:
        for i, name in enumerate(names):
            path = folder / str(i)
            path.write_text(small_zone(name + ".", i + 1))
            out.write(f"{name}. {path}\n")
    core = lab.core()
    took = core.load("--list", listing).seconds
    figure(f"azoth load of {len(names)} zones of 4 records", f"{took:.2f} s")
    core.start()
    edge = lab.edge("edge-1", core).launch()
    lab.wait_equal([core, edge], timeout=120)
    server = lab.dns(edge).start()
    rng = random.Random(7)
    for i in rng.sample(range(len(names)), 2000):
        assert server.serial(names[i] + ".") == i + 1, names[i]
        assert server.values("www." + names[i] + ".") == ["192.0.2.80"]
        assert server.ask("nothing." + names[i] + ".").rcode() == dns.rcode.NXDOMAIN


def test_load_is_repeatable(lab):
    """The same zones into the same store a second time: no transaction."""
    zone = lab.zone_file("zone", small_zone("example.org."))
    core = lab.core()
    core.load(f"example.org.={zone}")
    before = core.stat()
    core.load(f"example.org.={zone}")
    after = core.stat()
    assert (before["applied"], before["digest"]) == (after["applied"], after["digest"])


def test_one_bad_zone_among_good_ones(lab):
    good = lab.zone_file("good", small_zone("good.example."))
    bad = lab.zone_file("bad", small_zone("bad.example.", extra="oops IN A not-an-address\n"))
    core = lab.core()
    result = core.load(f"good.example.={good}", f"bad.example.={bad}", code=2)
    assert "bad:7" in result.err and "Traceback" not in result.err
    assert core.azoth("get", "www.good.example.", "A").out
    core.azoth("get", "www.bad.example.", "A", code=None)
    assert "bad.example" not in core.dump()


def test_strict_loads_all_or_none(lab):
    good = lab.zone_file("good", small_zone("good.example."))
    bad = lab.zone_file("bad", "not a zone\n")
    core = lab.core()
    core.load("--strict", f"good.example.={good}", f"bad.example.={bad}", code=2)
    assert "good.example" not in core.azoth("dump", code=None).out
    core.load("--strict", f"good.example.={good}")
    assert "good.example" in core.dump()


def test_load_needs_the_core_stopped_and_a_cores_directory(lab):
    zone = lab.zone_file("zone", small_zone("example.org."))
    core = lab.core({"example.org.": zone}).start()
    edge = lab.edge("edge-1", core).start()
    lab.wait_equal([core, edge])
    result = core.load(f"example.org.={zone}", code=1)
    assert len(result.error_lines()) == 1, result.err
    edge.stop()
    result = azoth("load", "--dir", edge.dir, f"example.org.={zone}", code=1)
    assert len(result.error_lines()) == 1, result.err
    edge.start()
