"""bench/run propagation: from the API call until readers of the edges' stores see the change; fleets under load; and DNS
changes beside BIND, Knot and NSD (secondaries.py). `bench` is bench/run's own module, for its tables and clocks."""
import collections
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

import builder
import lab as laboratory
import secondaries

MAP = "128M"
PAUSE_US = 3000
MEMORY = "/dev/shm"
SHAPES = {      # name: relays, edges below each, edges at the core; are the edges' stores in memory?
    "1 edge": (0, 0, 1, False),
    "1 edge behind a relay": (1, 1, 0, False),
    "10 edges, flat": (0, 0, 10, False),
    "10 edges, 2 relays with 4 each": (2, 4, 0, False),
    "100 edges, flat": (0, 0, 100, False),
    "100 edges, 20 relays with 4 each": (20, 4, 0, False),
    "100 edges, flat; theirs in memory": (0, 0, 100, True),
    "100 edges, 20 relays with 4 each; theirs in memory": (20, 4, 0, True),
}
MOVED = {way: re.compile(rf"bytes_{way}:(\d+)") for way in ("received", "sent")}
OWNER = re.compile(r"pid=(\d+),")


def calm(config):
    config["log"] = {"level": "warn"}
    return config


class Core(laboratory.Core):
    def config(self):
        return calm(super().config())


class Edge(laboratory.Edge):
    def config(self):
        return calm(super().config())


class Fleet:
    """A core with its API, relays and edges, all caught up. in_memory: those of the edges and relays are on no disk, which a hundred of
    them would share otherwise; the core's is."""

    def __init__(self, folder, relays, below, flat, in_memory=False, map_size=MAP):
        self.lab = laboratory.Lab(folder)
        self.memory = pathlib.Path(tempfile.mkdtemp(prefix="azoth-bench-", dir=MEMORY)) if in_memory else None
        self.core = Core(self.lab, {}, api=True, map_size="4G")
        self.relays = [self.edge(f"relay-{i}", self.core, relay=True, map_size=map_size) for i in range(relays)]
        self.leaves = [self.edge(f"edge-{i}-{k}", relay, map_size=map_size) for i, relay in enumerate(self.relays) for k in range(below)]
        self.leaves += [self.edge(f"edge-{i}", self.core, map_size=map_size) for i in range(flat)]
        self.nodes = self.relays + self.leaves

    def edge(self, name, upstream, **more):
        if self.memory:
            (self.memory / name).mkdir()
            (self.lab.folder / name).symlink_to(self.memory / name)
        return Edge(self.lab, name, upstream, **more)

    def __enter__(self):
        try:
            self.core.start()
            for node in self.nodes:
                node.launch()
            self.put("bench", "first", b"1")
            for node in self.nodes:
                laboratory.wait_until(f"{node} ready", node.is_ready, 120, pause=0.05)
            time.sleep(1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Quickly: nobody looks at these stores again."""
        for daemon in reversed(self.lab.daemons):
            if daemon.running():
                with contextlib.suppress(AssertionError):
                    daemon.kill()
        shutil.rmtree(self.lab.folder, ignore_errors=True)
        if self.memory:
            shutil.rmtree(self.memory, ignore_errors=True)

    def ask(self, method, path, body=None):
        """Headers and body of the core's answer."""
        request = urllib.request.Request(f"http://{laboratory.HOST}:{self.core.ports['api']}{path}", data=body, method=method,
                                         headers={"X-API-Key": laboratory.API_KEY})
        with urllib.request.urlopen(request, timeout=300) as reply:
            return reply.headers, reply.read()

    def put(self, ns, key, value):
        return self.ask("PUT", f"/v1/kv/{ns}/{key}", value)[0]["X-Azoth-Seq"]

    def wait_for_all(self):
        """Until every node has told that it has all that is written now."""
        seq = self.put("bench", "last", b"1")
        if not json.loads(self.ask("GET", f"/v1/changes/{seq}?wait=60s&quorum=100%25")[1])["done"]:
            raise RuntimeError(f"not every node has seq {seq}")

    def run(self, bench, mode, *args):
        done = subprocess.run([bench.BUILD / "bench/bench-propagation", mode, str(self.core.ports["api"]), laboratory.API_KEY,
                               *map(str, args), *(str(n.dir) for n in self.nodes)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"bench-propagation {mode}: {done.stderr.strip()}")
        return [line.split() for line in done.stdout.splitlines()]

    def cpu_ns(self, bench):
        """Of the core, the relays together, the edges below or beside them together."""
        return [sum(bench.cpu_ns(n.process.pid) for n in group) for group in ([self.core], self.relays, self.leaves)]

    def moved(self):
        """Bytes that the edges' connections to their upstreams have received and sent, per edge."""
        pids = {n.process.pid for n in self.leaves}
        out = subprocess.run(["ss", "-tinpOH", "state", "established"], capture_output=True, text=True).stdout
        total = {"received": 0, "sent": 0}
        for line in out.splitlines():
            owner = OWNER.search(line)
            if owner and int(owner.group(1)) in pids:
                for way, number in MOVED.items():
                    got = number.search(line)
                    total[way] += int(got.group(1)) if got else 0
        return {way: n / len(self.leaves) for way, n in total.items()}


def share(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def three(values, unit=1000):
    return f"{share(values, 0.5) / unit:.2f} / {share(values, 0.99) / unit:.2f} / {max(values) / unit:.2f}"


# --- one change at a time -----------------------------------------------------------------------------------------------
def latency_row(bench, name, fleet, changes):
    rows = [[float(v) for v in row] for row in fleet.run(bench, "latency", changes, PAUSE_US)]
    relays = len(fleet.relays)
    seen = [v for row in rows for v in row[1 + relays:]]
    last = [max(row[1 + relays:]) for row in rows]
    return [name, changes, three([row[0] for row in rows]), three(seen), three(last)], share(seen, 0.5)


def idle_figures(bench, fleet, seconds=5):
    """Per second without changes: bytes that an edge receives and sends, CPU us of the core and of an edge."""
    moved, cpu = fleet.moved(), fleet.cpu_ns(bench)
    time.sleep(seconds)
    now, cpu_now = fleet.moved(), fleet.cpu_ns(bench)
    return [(now["received"] - moved["received"]) / seconds, (now["sent"] - moved["sent"]) / seconds,
            (cpu_now[0] - cpu[0]) / 1000 / seconds, (cpu_now[2] - cpu[2]) / 1000 / seconds / len(fleet.leaves)]


# --- many ---------------------------------------------------------------------------------------------------------------
def flood_row(bench, name, fleet, rate, seconds, ops, connections):
    before, cpu_before = fleet.moved(), fleet.cpu_ns(bench)
    got = collections.defaultdict(list, {row[0]: row[1:] for row in fleet.run(bench, "flood", rate, seconds, ops, connections)})
    sent, took = int(got["sent"][0]), float(got["sent"][1])
    cpu = [(now - was) / 1000 / sent for was, now in zip(cpu_before, fleet.cpu_ns(bench))]
    taken = (fleet.moved()["received"] - before["received"]) / sent
    settled = dict(zip(["seconds", "_", "keys", "_", "equal"], got["settled"]))
    whole = "all, digests equal" if settled["equal"] == "1" and got["refused"] == ["0"] else "**NOT ALL**"
    ms = lambda key: " / ".join(f"{int(v) / 1000:.1f}" for v in got[key][:3])       # noqa: E731
    return [name, f"{sent / took:,.0f}", f"{took:.0f} s", whole, f"{float(settled['seconds']) * 1000:.0f} ms", ms("ack"), ms("seen"), ms("last"),
            f"{cpu[0]:.1f}", f"{cpu[1] / max(1, len(fleet.relays)):.1f}" if fleet.relays else "", f"{cpu[2] / len(fleet.leaves):.1f}", f"{taken:.0f}"]


FLOOD_HEAD = ["fleet", "changes/s", "for", "arrived", "last one behind by", "answered ms", "seen ms", "seen by the last ms", "core us", "relay us", "edge us",
              "bytes"]


def zone_row(bench, name, fleet, changes):
    """RRsets of a zone of 50,000 names changed through the API, as many as go, until every node has told that it has them."""
    hosts = 50000
    fleet.ask("POST", "/v1/zones", json.dumps({"name": builder.ZONE, "nameservers": ["ns1." + builder.ZONE]}).encode())
    fleet.ask("POST", f"/v1/zones/{builder.ZONE}/import?force=1", builder.zone_text(hosts).encode())
    fleet.wait_for_all()
    time.sleep(6)                                   # what that wrote is on the disk
    before, since = fleet.cpu_ns(bench), time.monotonic()
    done = subprocess.run([bench.BUILD / "bench/bench-changes", "native", str(fleet.core.ports["api"]), laboratory.API_KEY, builder.ZONE,
                           str(hosts), str(changes), "10", "40"], capture_output=True, text=True)
    found, answered = builder.DONE.match(done.stdout), time.monotonic()
    if not found or found.group(3) != "0":
        raise RuntimeError(f"bench-changes: {done.stdout} {done.stderr.strip()}")
    fleet.wait_for_all()
    took = time.monotonic() - since
    cpu = [(now - was) / 1000 / changes for was, now in zip(before, fleet.cpu_ns(bench))]
    return [name, f"**{changes / took:,.0f}**", f"{took:.0f} s", f"{(time.monotonic() - answered) * 1000:.0f} ms",
            " / ".join(f"{int(us) / 1000:.0f}" for us in found.groups()[3:]), f"{cpu[0]:.1f}",
            f"{cpu[1] / len(fleet.relays):.1f}" if fleet.relays else "", f"{cpu[2] / len(fleet.leaves):.1f}"]


def zones(bench, quick, folder):
    rows = []
    for name in ("100 edges, flat", "100 edges, 20 relays with 4 each"):
        with Fleet(folder / "fleet", *SHAPES[name]) as fleet:
            rows.append(zone_row(bench, name, fleet, 10000 if quick else 100000))
    return ("\n**RRsets of a zone** of 50,000 names changed through the API, as many as go: 10 in a request, 40 requests at once; until every node has told"
            " that it has them all\n\n"
            + bench.table(["fleet", "changes/s", "for", "last one behind by", "answered ms", "core us", "relay us", "edge us"], rows)
            + "\n\nTarget: 1,000 changes/s for 60 s to 100 edges.\n")


def fleets(bench, quick, folder):
    latency, idle, floods, medians = [], [], [], {}
    changes = {1: 100, 2: 100, 10: 60, 100: 25} if quick else {1: 1000, 2: 1000, 10: 400, 100: 200}
    for name, shape in SHAPES.items():
        with Fleet(folder / "fleet", *shape) as fleet:
            row, medians[name] = latency_row(bench, name, fleet, changes[len(fleet.nodes)])
            latency.append(row)
            if len(fleet.nodes) == 100 and not fleet.memory:
                idle.append([name, *(f"{v:.0f}" for v in idle_figures(bench, fleet))])
            if len(fleet.nodes) == 100:
                floods.append(flood_row(bench, name, fleet, 1000, 10 if quick else 60, 10, 60))
    seconds = 10 if quick else 30
    for name, rate, ops, connections in (("1 relay with 2 edges, 20 changes a request", 20000, 20, 60), ("the same, as many as go", 0, 20, 60),
                                         ("the same, 1 change a request, as many as go", 0, 1, 60)):
        with Fleet(folder / "fleet", 1, 2, 0, map_size="1G") as fleet:
            floods.append(flood_row(bench, name, fleet, rate, seconds if rate else seconds / 2, ops, connections))
    return latency, idle, floods, medians


def section(bench, quick, folder):
    latency, idle, floods, medians = fleets(bench, quick, folder)
    text = ["## Propagation: from the change to the readers\n\n**One change at a time**: PUT over the core's API, synced to disk there; a reader"
            " (libazoth) of every edge's store looks for it.\nMilliseconds from sending the request, p50 / p99 / max: until it was answered; until an edge"
            " shows it (over all edges, relays\nthat have edges below not counted); until the last edge does. Theirs in memory: the stores of edges and"
            " relays are on a RAM disk, as if each had a disk\nof its own; else all are on the one disk that the core flushes to as well.\n",
            bench.table(["fleet", "changes", "answered ms", "seen at an edge ms", "seen at all ms"], latency),
            "\nTargets: 1 edge p50 under 1.2 ms, p99 under 3 ms; the last of 100 edges p50 under 20 ms, p99 under 50 ms.\n"]
    text += ["\n**Many changes**, written in turn to 50,000 keys with values of 40 bytes, every node a process of this machine; latencies p50 / p99 / max;"
             " CPU us per change of the\ncore, of each relay and each edge; bytes per change that each edge received.\n",
             bench.table(FLOOD_HEAD, floods),
             "\nTargets: 1,000 changes/s for 60 s to 100 edges; 20,000/s through a relay and out of two edges, none lost.\n",
             zones(bench, quick, folder)]
    text += ["\n**Without changes**, per second: bytes that an edge received (heartbeats) and sent (receipts), CPU us of the core, of an edge\n",
             bench.table(["fleet", "bytes received", "bytes sent", "core us", "edge us"], idle)]
    text += ["\n" + secondaries.section(bench, quick, folder, medians["1 edge"] / 1000)]
    return "\n".join(text)
