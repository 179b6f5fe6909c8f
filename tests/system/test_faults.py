"""Processes that die, stop, run out of space or start over, under load: every DNS server answers all the while, and after
quiet all stores are equal and hold what was acknowledged."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest

from lab import API_KEY, HOST, SLOW, azoth, small_zone, wait_until
from traffic import Asker, Writer, put

ZONE = "example.org."


class Cluster:
    """A core with an API, a relay and edges on loopback; a DNS server on each edge, asked all the time."""

    def __init__(self, lab, edges=1, filler="", **core):
        self.lab = lab
        self.filler = filler
        self.zone = lab.zone_file("zone", small_zone(ZONE, 1, filler))
        self.serial = 1
        self.core = lab.core({ZONE: self.zone}, api=True, core=core)
        self.relay = lab.edge("relay", self.core, relay=True)
        self.edges = [lab.edge(f"edge-{n}", [self.relay, self.core]) for n in range(1, edges + 1)]
        self.nodes = [self.core, self.relay, *self.edges]
        for node in self.nodes:
            node.start()
        self.servers = [lab.dns(node).start() for node in self.nodes[1:]]
        self.askers = [Asker(server, ZONE) for server in self.servers]

    def change_zone(self):
        self.serial += 1
        self.lab.zone_file("zone", small_zone(ZONE, self.serial, self.filler + f"n{self.serial % 7} IN TXT {self.serial}\n"))
        if self.core.running():
            self.core.hup()

    def quiet(self, writer=None):
        """No change comes any more: all become level, nothing acknowledged is missing, no question was lost."""
        if writer is not None:
            writer.finish()
        self.change_zone()
        for server in self.servers:
            server.wait_serial(ZONE, self.serial)
        self.lab.wait_equal(self.nodes)
        if writer is not None:
            writer.check(self.nodes)
        for asker in self.askers:
            asker.finish()

    def slowest_ms(self):
        return max(asker.slowest for asker in self.askers) * 1000


# --- kill -9 --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("victims", ["core", "relay", "edges", "all"])
def test_kill_in_a_loop_under_load(lab, figure, victims):
    c = Cluster(lab)
    writer = Writer(c.core, pause=0.002)
    rng = random.Random(victims)
    chosen = {"core": [c.core], "relay": [c.relay], "edges": c.edges, "all": c.nodes}[victims]
    for _ in range(6):
        c.change_zone()
        time.sleep(rng.uniform(0, 0.3))
        dead = chosen if victims == "all" and rng.random() < 0.3 else [rng.choice(chosen)]
        for node in dead:
            node.kill()
        c.change_zone()
        time.sleep(rng.uniform(0, 0.2))
        for node in dead:
            node.launch()
        for node in dead:
            node.wait_ready()
    c.quiet(writer)
    figure(f"kill -9 in a loop ({victims}): acknowledged writes, questions answered, slowest answer",
           f"{len(writer.acked)} keys of {writer.n} writes, {sum(a.asked for a in c.askers)}, {c.slowest_ms():.0f} ms")


# --- paused processes -------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def paused(*daemons):
    for daemon in daemons:
        daemon.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for daemon in daemons:
            daemon.process.send_signal(signal.SIGCONT)


def test_relay_and_edge_paused_for_ten_seconds(lab, figure):
    """The edge behind the relay that goes on changes over to the core, and is level while the relay still sleeps."""
    c = Cluster(lab, edges=2)
    writer = Writer(c.core, pause=0.002)
    awake = c.edges[1]
    with paused(c.relay, c.edges[0]):
        begin = time.monotonic()
        c.change_zone()
        c.servers[2].wait_serial(ZONE, c.serial, timeout=9)
        took = time.monotonic() - begin
        _, seq = put(c.core, "while-it-slept", "1")
        wait_until("the edge that is awake follows", lambda: awake.metric("azoth_edge_applied_seq") >= seq, timeout=9)
        for server in c.servers[:2]:
            assert server.serial(ZONE) == c.serial - 1          # what they had; nobody is without an answer
        time.sleep(max(0.0, begin + 10 - time.monotonic()))
    c.quiet(writer)
    figure("upstream paused: seen through the next upstream after", f"{took:.1f} s")


@pytest.mark.parametrize("who", ["edge", "relay"])
def test_paused_for_longer_than_the_log_goes_back(lab, who):
    """What it needs is gone from every log: a snapshot is copied over the wire."""
    c = Cluster(lab, log_retention={"age": "7d", "size": "256k"})
    for node in c.nodes:
        node.azoth("stat")
    sleeper = c.edges[0] if who == "edge" else c.relay
    with paused(sleeper, *([c.relay] if who == "edge" else [])):
        have = sleeper.stat()["applied"]
        for n in range(80):
            put(c.core, f"big-{n % 20}", os.urandom(100_000))       # too large to stand in an announcement
        wait_until("the core's log begins behind the edge", lambda: log_first(c.core) > have + 1)
    c.quiet()
    assert sum(node.metric("azoth_edge_copies_total") for node in c.nodes[1:]) >= 1


def log_first(node):
    return node.stat()["log"]["first"]


def test_burst_to_a_stopped_edge(lab):
    """20,000 changes in 4,000 transactions while the edges sleep: most announcements are lost, without a hole behind which
    more would come; the heartbeat tells, and they fetch."""
    c = Cluster(lab, edges=1)

    def some(part):
        connection = http.client.HTTPConnection(HOST, c.core.ports["api"], timeout=20 * SLOW)
        last = 0
        for n in range(500):
            ops = [{"op": "put", "ns": "app", "key": f"{part}-{n}-{i}", "value": str(n)} for i in range(5)]
            connection.request("POST", "/v1/kv", body=json.dumps({"ops": ops}), headers={"X-API-Key": API_KEY})
            reply = connection.getresponse()
            body = reply.read()
            assert reply.status == 200, body
            last = json.loads(body)["seq"]
        connection.close()
        return last

    with paused(*c.edges):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            last = max(pool.map(some, range(8)))
    for node in c.nodes[1:]:
        wait_until(f"{node} has {last}", lambda node=node: node.metric("azoth_edge_applied_seq") >= last)
    c.quiet()


# --- full disk ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def small_disk(tmp_path, request):
    """A file system of 48 MB at the folder of a node, `edge-1` unless said otherwise."""
    if os.geteuid() != 0:
        pytest.skip("a small file system needs root (mount -t tmpfs)")
    folder = tmp_path / getattr(request, "param", "edge-1")
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no small file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder):
    """Leaves no page free."""
    with open(folder / "ballast", "ab", buffering=0) as f:
        for size in 1 << 20, 4096:
            with contextlib.suppress(OSError):
                while f.write(b"\1" * size) == size:
                    pass


def test_full_disk_on_an_edge(small_disk, lab):
    """It says so, serves what it has and what is new does not stop its sibling; a DNS server may start anew meanwhile, and so
    may the edge. It goes on when there is space."""
    zone = lab.zone_file("zone", small_zone(ZONE, 1))
    core = lab.core({ZONE: zone}, api=True).start()
    edge, sibling = lab.edge("edge-1", core).start(), lab.edge("edge-2", core).start()
    server = lab.dns(edge).start()
    asker = Asker(server, ZONE)
    mark = edge.mark()
    fill(small_disk)
    for n in range(30):
        _, seq = put(core, f"big-{n}", os.urandom(60_000))
    edge.wait_log(r" edge\.(full|store) ", since=mark)
    wait_until("the page says that it is full", lambda: edge.page("/readyz")[0] == 503)
    assert edge.metric("azoth_edge_full") == 1
    wait_until("the sibling follows", lambda: sibling.metric("azoth_edge_applied_seq") >= seq)
    asker.finish()
    server.kill()
    server.start()
    edge.kill()
    edge.launch()
    again = Asker(server, ZONE)
    time.sleep(1)
    assert edge.running()
    os.unlink(small_disk / "ballast")
    wait_until("the edge follows again", lambda: edge.metric("azoth_edge_applied_seq") >= seq, timeout=30)
    again.finish()
    lab.wait_equal([core, edge, sibling])


@pytest.mark.parametrize("small_disk", ["core"], indirect=True)
def test_full_disk_on_a_core(small_disk, lab):
    """What is refused as "full" is nowhere; what was told to the edges before the data found no room comes true at the core,
    though nobody changes anything any more."""
    core = lab.core(api=True).start()
    zeros = bytes(200_000)                              # little in the log, which is compressed, much in the data
    for n in range(20):
        put(core, f"before-{n}", zeros)
    edge = lab.edge("edge-1", core).start()
    fill(small_disk)
    kept, full, unknown = [], [], []
    for n in range(20):
        try:
            put(core, f"late-{n}", zeros)
            kept.append(f"late-{n}")
        except AssertionError as refusal:
            (full if refusal.args[0][0] == 507 else unknown).append(f"late-{n}")
    assert full or unknown
    os.unlink(small_disk / "ballast")
    lab.wait_equal([core, edge])
    stored = set(re.findall(r"late-\d+", azoth("kv", "list", "--dir", edge.dir, "app").out))
    assert set(kept) <= stored <= set(kept + unknown)
    lab.verify()


def test_full_map_on_an_edge(lab):
    """The same with node.map_size; the edge is started again with a larger one."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))}, api=True)
    edge = lab.edge("edge-1", core, map_size="2M")
    for node in core, edge:
        node.start()
    server = lab.dns(edge).start()
    asker = Asker(server, ZONE)
    mark = edge.mark()
    for n in range(40):
        _, seq = put(core, f"big-{n}", os.urandom(100_000))
    edge.wait_log(r" edge\.(full|store) ", since=mark)
    wait_until("the page says that it is full", lambda: edge.page("/readyz")[0] == 503)
    edge.stop()
    edge.map_size = "64M"
    edge.write_config()
    edge.start()
    wait_until("the edge follows again", lambda: edge.metric("azoth_edge_applied_seq") >= seq, timeout=30)
    lab.wait_equal([core, edge])
    asker.finish()


# --- generations -----------------------------------------------------------------------------------------------------------
def test_no_question_is_lost_while_stores_are_compacted(lab, figure):
    """SIGUSR1: data is copied into a new generation, to which azoth-dns changes over."""
    c = Cluster(lab, filler="".join(f"h{n} IN A 192.0.2.{n % 250}\n" for n in range(3000)))
    writer = Writer(c.core, pause=0.01)
    for n in range(5):
        marks = [node.mark() for node in c.nodes]
        for node in c.nodes:
            node.process.send_signal(signal.SIGUSR1)
        c.change_zone()
        for node, mark in zip(c.nodes, marks):
            node.wait_log(r" (store|edge)\.compacted ", since=mark)
    c.quiet(writer)
    figure("DNS beside compaction: questions, slowest answer", f"{sum(a.asked for a in c.askers)}, {c.slowest_ms():.0f} ms")


def test_no_question_is_lost_while_snapshots_are_copied(lab, figure):
    """The core is restored from a backup that is older than what the edges have: a new epoch, and all copy."""
    c = Cluster(lab, filler="".join(f"h{n} IN A 192.0.2.{n % 250}\n" for n in range(3000)))
    for n in range(20):
        put(c.core, f"before-{n}", "1")
    backup = lab.folder / "backup"
    c.core.azoth("backup", backup)
    for n in range(20):
        put(c.core, f"after-{n}", "1")
    lab.wait_equal(c.nodes)
    c.core.stop()
    c.core.azoth("restore", "--replace", backup)
    c.core.start()
    c.quiet()
    assert c.core.stat()["epoch"] == 2
    assert all(node.metric("azoth_edge_copies_total") >= 1 for node in c.nodes[1:])
    figure("DNS beside a copied snapshot: questions, slowest answer", f"{sum(a.asked for a in c.askers)}, {c.slowest_ms():.0f} ms")
