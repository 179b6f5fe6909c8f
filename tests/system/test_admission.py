"""Many edges want a copy at once: a few are let in at a time, at the rate that is set, the others in turn; one that dies
in the middle does not hold them up, and the core goes on."""
import random
import shutil
import time

from lab import small_zone, wait_until

ZONE = "example.org."
LEASE_S = 15            # SNAPSERVE_LEASE_MS


def core_without_a_log(lab, megabytes, **snapshots):
    """A running core with so much data that does not compress, which its log does not lead to."""
    rng = random.Random(3)
    texts = "".join(f"h{i} IN TXT \"{rng.randbytes(100).hex()}\"\n" for i in range(megabytes * 8000))
    core = lab.core(core={"snapshots": snapshots})
    core.load(f"{ZONE}={lab.zone_file('zone', small_zone(ZONE, 1, texts))}")
    shutil.rmtree(core.dir / "log")
    return core.start()


def leases(core):
    return core.metric("azoth_snapshot_leases")


def later(core):
    return core.metric("azoth_snapshot_replies_total", type="later")


def test_one_at_a_time(lab, figure):
    core = core_without_a_log(lab, 1, at_once=1, rate="1M")
    edges = [lab.edge(f"edge-{i}", core) for i in range(5)]
    lab.admit()
    began, most = time.monotonic(), 0
    for edge in edges:
        edge.launch()
    while not all(edge.page("/readyz")[0] == 200 for edge in edges):
        most = max(most, leases(core))
        assert time.monotonic() - began < 240, "not all in time"
        time.sleep(0.05)
    took = time.monotonic() - began
    figure("5 edges, one copy at a time", f"{took:.1f} s")
    assert most == 1
    assert core.metric("azoth_snapshot_made_total", result="done") == 1
    assert later(core) > 5
    size = core.metric("azoth_snapshot_bytes_total")
    assert size > 5 * 800_000 and took > size / (1 << 20) - 2      # the rate, and a burst
    lab.wait_equal([core] + edges)
    assert all(edge.metric("azoth_edge_copies_total") == 1 for edge in edges)
    wait_until("all leases ended", lambda: leases(core) == 0)


def test_who_dies_is_not_waited_for(lab):
    """Killed with the only lease: the next one has its turn when the lease ends. Meanwhile the core does its work."""
    core = core_without_a_log(lab, 2, at_once=1, rate="256k")
    dies, waits, live = (lab.edge(name, core) for name in ("dies", "waits", "live"))
    lab.admit()
    dies.launch()
    wait_until("it copies", lambda: core.metric("azoth_snapshot_replies_total", type="chunk") >= 1, timeout=60)
    waits.launch()
    wait_until("another one waits", lambda: core.metric("azoth_snapshot_waiting") == 1)
    assert leases(core) == 1
    dies.kill()
    began = time.monotonic()
    wait_until("its turn", lambda: core.metric("azoth_snapshot_waiting") == 0, timeout=LEASE_S + 30)
    assert time.monotonic() - began > 1          # not before the lease ended
    waits.wait_ready(90)
    dies.start(90)
    live.start(90)
    lab.wait_equal([core, dies, waits, live])


def test_killed_core_leaves_no_file(lab):
    """kill -9 while a snapshot is served and another is wanted: nothing stays on the disk, and the copy is had afterwards."""
    core = core_without_a_log(lab, 1, at_once=2, rate="256k")
    edge = lab.edge("edge-1", core)
    lab.admit()
    edge.launch()
    wait_until("it copies", lambda: core.metric("azoth_snapshot_replies_total", type="chunk") >= 1, timeout=60)
    assert core.metric("azoth_snapshot_file_bytes") > 800_000
    core.kill()
    assert not list(core.dir.glob("*snapshot*"))
    core.start()
    edge.wait_ready(90)
    lab.wait_equal([core, edge])
