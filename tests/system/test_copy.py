"""An edge that must start over copies a snapshot: from the core, from a relay, through bad links, killed in between."""
import random
import time

import pytest

from genzone import generate_file
from lab import HOST, small_zone, wait_until
from test_crash import Proxy

BIG, SMALL = "example.org.", "small.test."
SHORT_LOG = {"age": "1h", "size": "128K"}


@pytest.fixture
def trimmed(lab):
    """A core whose log begins behind its big zone, and a function that changes the small one."""
    path, rng = lab.folder / "big", random.Random(7)
    generate_file(60_000, BIG, path)

    def make(**snapshots):
        core = lab.core({BIG: path, SMALL: lab.zone_file("small", small_zone(SMALL, 1))},
                        core={"log_retention": SHORT_LOG, "snapshots": snapshots})
        core.start()
        wait_until("both zones are in", lambda: core.metric("azoth_core_zone_loads_total") >= 2)
        return core

    def change(core, serial):
        texts = "".join(f"n{i} IN TXT \"{rng.randbytes(60).hex()}\"\n" for i in range(100))
        lab.zone_file("small", small_zone(SMALL, serial, texts))
        loads = core.metric("azoth_core_zone_loads_total")
        core.hup()
        wait_until("loaded", lambda: core.metric("azoth_core_zone_loads_total") > loads)

    def trim(core, serial, behind=2):
        """Changes from this serial on until the log begins behind that seq; gives the serial behind the last."""
        for serial in range(serial, serial + 60):
            change(core, serial)
            time.sleep(0.2)
            if core.metric("azoth_log_first_seq") > behind:
                return serial + 1
        raise AssertionError("the log is not trimmed")
    return make, change, trim


def test_bootstrap_through_a_relay(lab, trimmed, figure):
    make, change, trim = trimmed
    core = make()
    serial = trim(core, 2)
    began = time.monotonic()
    one = lab.edge("edge-1", core, relay=True).start()
    two = lab.edge("edge-2", one).start()
    figure("60,000 names copied to a relay, and from it to an edge", f"{time.monotonic() - began:.1f} s")
    servers = [lab.dns(one).start(), lab.dns(two).start()]
    for edge in one, two:
        edge.wait_log(r"edge\.copied .*entries=")
        assert edge.metric("azoth_edge_copies_total") == 1
    change(core, serial)
    for server in servers:
        server.wait_serial(SMALL, serial)
        assert server.values("ns1." + BIG) == ["192.0.2.53"]
    lab.wait_equal([core, one, two])
    for edge in two, one:           # and over a restart
        edge.stop()
    one.start()
    two.start()
    change(core, serial + 1)
    for server in servers:
        server.wait_serial(SMALL, serial + 1)
    assert all(edge.metric("azoth_edge_copies_total") == 0 for edge in (one, two))


def test_left_behind(lab, trimmed):
    """The log has gone on without it: the old data answers until the copy is whole, then the new, without a gap."""
    make, change, trim = trimmed
    core = make()
    edge = lab.edge("edge-1", core).start()
    server = lab.dns(edge).start()
    server.wait_serial(SMALL, 1)
    seq = edge.stat()["applied"]
    edge.stop()
    serial = trim(core, 2, seq + 1)
    edge.launch()
    serials = []
    wait_until("copied", lambda: serials.append(server.serial(SMALL)) or serials[-1] == serial - 1, timeout=60)
    assert set(serials) == {1, serial - 1}
    assert "edge.log-begins-later" in edge.log() and "why=log-begins-later" in edge.log()
    lab.wait_equal([core, edge])
    change(core, serial)
    server.wait_serial(SMALL, serial)


@pytest.mark.parametrize("victim", ["edge", "relay", "core"])
def test_killed_while_copying(lab, trimmed, victim):
    make, change, trim = trimmed
    core = make(rate="400k")        # some seconds
    serial = trim(core, 2)
    one = lab.edge("edge-1", core, relay=True).start(timeout=60)
    two = lab.edge("edge-2", one if victim == "relay" else core).launch()
    rng = random.Random(victim)
    node = {"edge": two, "relay": one, "core": core}[victim]
    for _ in range(3):
        time.sleep(rng.uniform(0.2, 1.0))
        node.kill()
        node.launch()
    node.wait_ready(60)
    two.wait_ready(90)
    lab.wait_equal([core, one, two], timeout=60)
    change(core, serial)
    lab.wait_equal([core, one, two], timeout=60)
    assert len(list(two.dir.glob("data.*"))) == 1


def test_bits_flip_while_copying(lab, trimmed):
    make, _, trim = trimmed
    core = make()
    trim(core, 2)
    proxies = {key: Proxy(core.ports[key], n) for n, key in enumerate(("publish", "serve", "collect"))}
    try:
        proxies["serve"].flip = 0.03
        edge = lab.edge("edge-1", core, links=[{key: f"tcp://{HOST}:{p.port}" for key, p in proxies.items()}]).launch()
        wait_until("bits flipped", lambda: proxies["serve"].flipped >= 3 or edge.page("/readyz")[0] == 200, timeout=120)
        proxies["serve"].flip = 0
        edge.wait_ready(90)
        lab.wait_equal([core, edge])
        edge.stop()
    finally:
        for p in proxies.values():
            p.stop()


def test_no_room_for_a_copy(lab, trimmed):
    """A map that is too small: the edge says so and stays up; with a larger one it copies."""
    make, _, trim = trimmed
    core = make()
    trim(core, 2)
    edge = lab.edge("edge-1", core, map_size="2M").launch()
    edge.wait_log(r"edge\.full ", timeout=40)
    assert edge.running() and edge.metric("azoth_edge_full") == 1
    edge.stop()
    edge.map_size = "1G"
    edge.write_config()
    edge.start()
    lab.wait_equal([core, edge])
