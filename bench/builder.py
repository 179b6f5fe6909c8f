"""bench/run builder: zones edited through azoth's API, as UPDATEs and through PowerDNS's API, beside PowerDNS itself (LMDB) and
UPDATEs to Knot: whole builds, one change at a time, many changes; and from a change to an edge's answer. `bench` is bench/run's
own module."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import dns_peers
import lab as laboratory
import peers
import secondaries
from lab import HOST

ZONE = "bench.example."
KEY = laboratory.API_KEY
VISIBLE_PAUSE_MS = 3
SIZES = {"10": 10, "1 k": 1000, "100 k": 100000, "1 M": 1000000}
DONE = re.compile(r"done (\d+) ([\d.]+) refused (\d+) us (\d+) (\d+) (\d+)")


def zone_text(hosts):
    lines = [f"$ORIGIN {ZONE}\n$TTL 3600\n@ SOA ns1 hostmaster 1 3600 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\n"]
    lines += [f"h{i} 300 A 10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}\n" for i in range(hosts)]
    return "".join(lines)


class Servant:
    """What all of them have: name, whole_s (texts to records to answers), pids for CPU, and ways to change."""
    whole_s = again_s = None
    ways = {}
    few = 20                                        # changes, where each costs as much as the zone is large

    def __init__(self, bench):
        self.bench = bench

    def changes(self, way, hosts, changes, ops, at_once):
        """(changes a second, refused, [p50, p99, max] ms, CPU us a change)"""
        arguments = self.ways[way](hosts, changes, ops, at_once)
        before = sum(self.bench.cpu_ns(pid) for pid in self.pids())
        done = subprocess.run([str(self.bench.BUILD / "bench/bench-changes"), *map(str, arguments)], capture_output=True, text=True)
        cpu = sum(self.bench.cpu_ns(pid) for pid in self.pids()) - before
        found = DONE.match(done.stdout)
        if not found:
            raise RuntimeError(f"{self.name}: bench-changes {way}: {done.stderr.strip()}")
        n, seconds, refused, *us = (float(v) for v in found.groups())
        return n / seconds, int(refused), [v / 1000 for v in us], cpu / 1000 / n


class Core(laboratory.Core):
    def config(self):
        config = super().config()
        config["log"] = {"level": "warn"}
        return config

    def own_config(self):
        return {**super().own_config(), "dns": {"listen": [f"{HOST}@{self.dns_port}"]}}


class Azoth(Servant):
    name = "azoth"

    def __init__(self, bench, folder, edge=False):
        super().__init__(bench)
        self.lab = laboratory.Lab(folder)
        Core.dns_port = self.dns_port = laboratory.port()
        self.core = Core(self.lab, {}, api=True, map_size="16G")
        self.later = []                             # an edge is ready when there is something to hold
        if edge:
            self.edge = laboratory.Edge(self.lab, "edge", self.core, map_size="16G")
            self.dns = self.lab.dns(self.edge)
            self.later = [self.edge, self.dns]
        self.lab.admit()
        self.core.start()
        self.port = self.core.ports["api"]
        self.ways = {
            "API": lambda *a: ["native", self.port, KEY, ZONE, *a],
            "PowerDNS's API": lambda *a: ["pdns", self.port, KEY, ZONE, *a],
            "UPDATE": lambda *a: ["update", self.dns_port, ZONE, *a],
        }

    def pids(self):
        return [self.core.process.pid]

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(HOST, self.port, timeout=300)
        connection.request(method, path, body, {"X-API-Key": KEY})
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {text[:300]}")
        return text

    def load(self, text, folder):
        self.ask("POST", "/v1/zones", json.dumps({"name": ZONE, "nameservers": ["ns1." + ZONE], "update_acl": [HOST]}))
        since = time.monotonic()
        self.ask("POST", f"/v1/zones/{ZONE}/import?force=1", text)
        self.whole_s = time.monotonic() - since
        since = time.monotonic()
        self.ask("POST", f"/v1/zones/{ZONE}/rebuild", "")
        self.again_s = time.monotonic() - since

    def bytes(self):
        stat = json.loads(self.core.azoth("stat", "--json").out)
        return stat["records"]["used_bytes"]

    def stop(self):
        self.lab.end()


class Pdns(Servant):
    """PowerDNS with LMDB as it comes: synced. whole: pdnsutil load-zone."""
    name = "PowerDNS"
    few = 5

    class Server(dns_peers.Pdns):
        def prepare(self):
            self.database = self.folder
            self.write("pdns.conf", self.config("lmdb", f"api=yes\napi-key={KEY}\nwebserver=yes\nwebserver-address={HOST}\nwebserver-port={self.web}\n"
                                                        f"webserver-allow-from={HOST}\n")
                       .replace("lmdb-sync-mode=nosync", "lmdb-sync-mode=sync"))
            since = time.monotonic()
            self.util("load-zone", ZONE, str(self.dataset.zones[ZONE]))
            self.import_s = time.monotonic() - since

    def __init__(self, bench, folder):
        super().__init__(bench)
        self.server = self.Server(bench.TOP, bench.SERVER_CORE)
        self.folder = folder
        self.server.web = laboratory.port()
        self.ways = {"PowerDNS's API": lambda *a: ["pdns", self.server.web, KEY, ZONE, *a]}

    @staticmethod
    def usable(bench):
        return dns_peers.Pdns(bench.TOP, bench.SERVER_CORE).usable()

    def pids(self):
        return [self.server.process.pid]

    def load(self, text, folder):
        path = folder / "pdns-zone"
        path.write_text(text)
        dataset = type("Dataset", (), {"zones": {ZONE: path}, "probes": [f"{ZONE} SOA"], "signed": False, "folder": self.folder})
        self.server.start(dataset, self.folder, laboratory.port())
        for pid in self.bench.family(self.server.process.pid):      # the other servers are not pinned either
            subprocess.run(["taskset", "-a", "-p", "-c", "0-%d" % max(self.bench.CORES), str(pid)], capture_output=True)
        self.whole_s = self.server.import_s

    def stop(self):
        self.server.stop()


class Knot(Servant):
    """Knot with its zone file, journal on; whole: until its first answer."""
    name = "Knot"

    def __init__(self, bench, folder):
        super().__init__(bench)
        self.folder = folder
        self.ways = {"UPDATE": lambda *a: ["update", self.server.port, ZONE, *a]}

    @staticmethod
    def usable(bench):
        return peers.server_command("knotd") is not None

    def pids(self):
        return [self.server.process.pid]

    def load(self, text, folder):
        path = folder / "knot-zone"
        path.write_text(text)
        since = time.monotonic()
        self.server = Plain(folder / "knot", laboratory.port(), laboratory.port(), path)
        self.whole_s = time.monotonic() - since

    def stop(self):
        self.server.stop()


class Plain(secondaries.Tuned, peers.Knot):
    def text(self):
        return secondaries.KNOT + "    zonefile-load: whole\n"


def milliseconds(values):
    return " / ".join(f"{v:.2f}" for v in values)


def rounds(bench, quick, size, hosts, folder):
    """Rows of one size: whole builds, and one change at a time."""
    classes = [Azoth] + [c for c in (Pdns, Knot) if c.usable(bench)]
    text, whole, single, per_rr = zone_text(hosts), [], [], None
    for make in classes:
        where = folder / make.name
        where.mkdir()
        servant = make(bench, where)
        try:
            servant.load(text, where)
            whole.append([size, make.name, f"{servant.whole_s:.2f}", f"{servant.again_s:.2f}" if servant.again_s is not None else ""])
            n = 1000 if make is Azoth and not quick else 100 if hosts < 100000 or make is Azoth else make.few
            for way in servant.ways:
                rate, refused, ms, cpu = servant.changes(way, hosts, n, 1, 1)
                single.append([size, make.name, way, f"{rate:,.0f}", milliseconds(ms), f"{cpu:.0f}", refused or ""])
            if make is Azoth and hosts >= 1000:
                per_rr = servant.bytes() / hosts
        finally:
            servant.stop()
            shutil.rmtree(where, ignore_errors=True)
    return whole, single, per_rr


@contextlib.contextmanager
def awake(bench):
    """No processor goes to sleep meanwhile. Whoever wakes one pays for it, and in a virtual machine that is the hypervisor's time too."""
    spin = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True:\n    pass"
    spinning = [subprocess.Popen(["taskset", "-c", str(core), sys.executable, "-c", spin]) for core in bench.CORES]
    try:
        time.sleep(0.3)
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def besides_the_sync(bench, quick, hosts):
    """{(way, processors): CPU us a change} of azoth on a RAM disk, where a sync costs nothing; the middle one of three rounds."""
    n, rounds = (300, 1) if quick else (3000, 3)
    os.sync()                   # what the parts before left for the disk goes there now, not beside this

    def of_all(how):
        seen = [{(way, how): servant.changes(way, hosts, n, 1, 1)[3] for way in servant.ways} for _ in range(rounds)]
        return {key: statistics.median(one[key] for one in seen) for key in seen[0]}
    with tempfile.TemporaryDirectory(prefix="azoth-bench-", dir="/dev/shm") as folder:
        folder = pathlib.Path(folder)
        servant = Azoth(bench, folder / "lab")
        try:
            servant.load(zone_text(hosts), folder)
            for way in servant.ways:
                servant.changes(way, hosts, 200, 1, 1)
            costs = of_all("asleep between")
            with awake(bench):
                return costs | of_all("kept awake")
        finally:
            servant.stop()


def many(bench, quick, folder):
    seconds = 4 if quick else 15
    rows = []
    for name, make in [("azoth", Azoth)] + [(c.name, c) for c in (Pdns, Knot) if c.usable(bench)]:
        where = folder / f"many-{name}"
        where.mkdir()
        servant = make(bench, where)
        try:
            servant.load(zone_text(50000), where)
            for way in servant.ways:
                for ops, at_once in ((1, 48), (20 if way == "UPDATE" else 100, 16)):
                    rate = servant.changes(way, 50000, 200 if make is Azoth else 20, ops, at_once)[0]        # how long a longer run will take
                    n = int(min(max(rate * seconds, ops), 500000))
                    rate, refused, ms, cpu = servant.changes(way, 50000, n, ops, at_once)
                    rows.append([name, way, ops, at_once, f"**{rate:,.0f}**", milliseconds(ms), f"{cpu:.0f}", refused or ""])
        finally:
            servant.stop()
            shutil.rmtree(where, ignore_errors=True)
    return rows


def flushes(folder, n):
    """What the machine allows: [p50, p99, max] ms of one block overwritten in place and flushed, with the same pauses."""
    took = []
    with open(folder / "flushes", "wb", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        for i in range(n):
            time.sleep(VISIBLE_PAUSE_MS / 1000)
            since = time.perf_counter()
            os.pwrite(file.fileno(), bytes([i % 256]) * 4096, i % 256 * 4096)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - since) * 1000)
    return quantiles(took)


def visible(bench, quick, folder):
    """UPDATE at the core until the azoth-dns of an edge answers with it; a zone of 1,000 and of many names."""
    n = 50 if quick else 1000
    rows = [["one flush of a block, alone", n, milliseconds(flushes(folder, n)), ""]]
    for hosts in (1000, 100000 if quick else 1000000):
        where = folder / f"visible-{hosts}"
        servant = Azoth(bench, where, edge=True)
        try:
            servant.load(zone_text(hosts), where)
            for daemon in servant.later:
                daemon.start()
            laboratory.wait_until("the edge answers", lambda: bench.answers(servant.dns.port, ZONE), 60)
            got = secondaries.run(bench, "update", servant.dns_port, servant.dns.port, ZONE, 1, n, VISIBLE_PAUSE_MS)
        finally:
            servant.stop()
            shutil.rmtree(where, ignore_errors=True)
        rows.append([f"{hosts:,}", len(got), milliseconds(quantiles([r[0] / 1000 for r in got])), milliseconds(quantiles([r[1] / 1000 for r in got]))])
    return rows


def quantiles(values):
    values = sorted(values)
    return [statistics.median(values), values[min(len(values) - 1, int(len(values) * 0.99))], values[-1]]


def section(bench, quick, folder):
    folder = pathlib.Path(folder)
    whole, single, costs, per_rr = [], [], {}, None
    for size, hosts in SIZES.items():
        if quick and hosts > 100000:
            continue
        w, s, rr = rounds(bench, quick, size, hosts, folder)
        costs[size] = besides_the_sync(bench, quick, hosts)
        whole += w
        single += s
        per_rr = rr or per_rr
    largest = list(costs)[-1]
    rows = [[*way, *(f"{costs[size][way]:.0f}" for size in costs), f"**{costs[largest][way] / costs['10'][way]:.2f}**"] for way in costs["10"]]
    text = ["## Builder: zones edited\n\n**Whole zones** of so many addresses, seconds, everything synced: azoth: a zone file imported through the API"
            " (records, log and data), and a rebuild without\nchanges; PowerDNS: `pdnsutil load-zone` (LMDB); Knot: until it answers from the file.\n",
            bench.table(["zone", "server", "whole s", "again, without changes s"], whole),
            "\nTarget: full build of 1 M records without changes under 3 s.\n",
            "\n**One change at a time**, one connection (UPDATE: UDP), an A record replaced; answered ms p50 / p99 / max; CPU us per change of the server\n",
            bench.table(["zone", "server", "through", "changes/s", "answered ms", "CPU us", "refused"], single),
            "\n**The same besides the sync**: CPU us per change of azoth on a RAM disk, by the size of the zone; with processors that go to sleep between"
            " the steps of a change, and whose waking is paid\nby who wakes them, and with processors that a loop of the lowest priority keeps awake\n",
            bench.table(["through", "processors", *costs, f"{largest} by 10"], rows),
            "\nTargets: under 200 us; at most 1.5 times that of a zone of 10.\n",
            f"Record store: {per_rr:.0f} bytes of DIR/records per RR (target at most 200).\n",
            "\n**Many changes** in a zone of 50,000 names, RRsets in a request and requests under way; changes are RRsets\n",
            bench.table(["server", "through", "RRsets", "at once", "changes/s", "answered ms", "CPU us", "refused"], many(bench, quick, folder)),
            "\nTargets: 20,000 changes/s in batches, 3,000/s one by one.\n",
            "\n**From an UPDATE to an edge's answer**, milliseconds p50 / p99 / max, one at a time\n",
            bench.table(["zone", "changes", "answered ms", "seen at the edge ms"], visible(bench, quick, folder)),
            "\nTarget: seen p50 under 1.2 ms, p99 under 3 ms.\n"]
    return "\n".join(text)
