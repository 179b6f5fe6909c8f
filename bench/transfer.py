"""bench/run transfer: zones taken from a primary: from its NOTIFY until the azoth-dns of an edge answers with the change, beside
Knot, NSD, BIND and PowerDNS as secondaries of the same primary; whole zones from Knot; a change in a zone of a million; many
zones (transfer_many.py) and `azoth compare` (transfer_compare.py). `bench` is bench/run's own module."""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import select
import shutil
import statistics
import subprocess
import time

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query

import dns_peers
import lab as laboratory
import peers
import secondaries
from lab import HOST

ZONE = secondaries.ZONE
HOUR_S = 3600
ORDER_S = 120
SLOW_US = 200000
NEVER_MS = 20000


class Primary:
    """bench-transfer: the primary that says when who asked what, and the clock."""

    def __init__(self, bench, hosts, zones=0, refresh_s=HOUR_S, port=None):
        self.port = port or laboratory.port()
        self.process = subprocess.Popen([str(bench.BUILD / "bench/bench-transfer"), str(self.port), ZONE, str(hosts), str(zones), str(refresh_s)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.rest = b""
        self.answer(ORDER_S)

    def answer(self, patience):
        """The lines up to `done`."""
        lines, end = [], time.monotonic() + patience
        while True:
            line, newline, rest = self.rest.partition(b"\n")
            if newline:
                self.rest = rest
                if line == b"done":
                    return lines
                lines.append(line.decode().split())
                continue
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            got = self.process.stdout.read(65536) if ready else b""
            if not got:
                raise RuntimeError(f"bench-transfer: {'ended' if ready else f'no answer within {patience} s'}")
            self.rest += got

    def order(self, text, patience=ORDER_S):
        self.process.stdin.write(text.encode() + b"\n")
        return self.answer(patience)

    def stop(self):
        self.process.kill()
        self.process.communicate()


# --- secondaries ----------------------------------------------------------------------------------------------------------
class Core(laboratory.Core):
    def config(self):
        return {**super().config(), "log": {"level": "warn"}}


class Azoth:
    """Core, an edge, its azoth-dns. NOTIFY goes to core.dns, what is seen is the edge's answer."""
    name = "azoth, at an edge"

    def __init__(self, bench, folder, primary, patience=60):
        self.lab = laboratory.Lab(folder)
        self.notify_port = laboratory.port()
        self.core = Core(self.lab, {}, api=True, map_size="16G", core={"dns": {"listen": [f"{HOST}@{self.notify_port}"]}})
        self.edge = laboratory.Edge(self.lab, "edge", self.core, map_size="16G")
        self.edge.write_config()
        self.dns = self.lab.dns(self.edge)
        self.lab.admit()
        try:
            self.core.start()
            self.add(ZONE, primary)
            for daemon in self.edge, self.dns:      # an edge is ready when there is something to hold
                daemon.start(patience)
            laboratory.wait_until("azoth-dns answers", lambda: bench.answers(self.dns.port, ZONE), patience)
        except BaseException:
            self.stop()
            raise
        self.seen_port = self.dns.port

    def add(self, zone, primary):
        self.ask("POST", "/v1/zones", {"name": zone, "kind": "secondary", "primaries": [{"address": f"{HOST}@{primary}"}]})

    def ask(self, method, path, body):
        connection = http.client.HTTPConnection(HOST, self.core.ports["api"], timeout=60)
        connection.request(method, path, json.dumps(body), {"X-API-Key": laboratory.API_KEY})
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {text[:300]}")

    def pids(self):
        return [daemon.process.pid for daemon in (self.core, self.edge, self.dns)]

    def stop(self):
        for daemon in reversed(self.lab.daemons):
            if daemon.running():
                daemon.kill()                       # nobody looks at these stores again


class Peer:
    """A peer as secondary of the primary at that port, its delays tuned down (secondaries.py)."""
    name = kind = None

    def __init__(self, bench, folder, primary, patience=60):
        folder.mkdir(parents=True)
        self.seen_port = self.notify_port = laboratory.port()
        self.server = self.kind(folder / "secondary", self.seen_port, primary, folder / "copy")

    @classmethod
    def usable(cls, bench):
        return peers.server_command(cls.kind.program) is not None

    def pids(self):
        return [self.server.process.pid]

    def stop(self):
        self.server.stop()


class KnotPeer(Peer):
    name, kind = "Knot", secondaries.KnotSecondary


class NsdPeer(Peer):
    name, kind = "NSD", secondaries.NsdSecondary


class BindPeer(Peer):
    name, kind = "BIND", secondaries.BindSecondary


class PdnsSecondary(dns_peers.Pdns):
    """Without IXFR: what its LMDB back end has of one is not answered any more until somebody runs `pdnsutil rectify-zone`."""
    primary = None

    def prepare(self):
        self.database = self.folder
        text = self.config("lmdb", "secondary=yes\nxfr-cycle-interval=1\nzone-cache-refresh-interval=0\n")
        for name in "cache-ttl", "query-cache-ttl", "negquery-cache-ttl":
            text = text.replace(f"\n{name}=300\n", f"\n{name}=0\n")
        self.write("pdns.conf", text.replace("lmdb-sync-mode=nosync", "lmdb-sync-mode=sync"))
        self.util("create-secondary-zone", ZONE.rstrip("."), f"{HOST}:{self.primary}")


class PdnsPeer(Peer):
    name = "PowerDNS"

    def __init__(self, bench, folder, primary, patience=60):
        folder.mkdir(parents=True)
        self.seen_port = self.notify_port = laboratory.port()
        self.server = PdnsSecondary(bench.TOP, bench.SERVER_CORE)
        self.server.primary = primary
        dataset = type("Dataset", (), {"zones": {}, "probes": [f"{ZONE} SOA"], "signed": False, "folder": folder})
        self.server.start(dataset, folder, self.seen_port)
        for pid in bench.family(self.server.process.pid):       # the other servers are not pinned either
            subprocess.run(["taskset", "-a", "-p", "-c", "0-%d" % max(bench.CORES), str(pid)], capture_output=True)

    @classmethod
    def usable(cls, bench):
        return dns_peers.Pdns(bench.TOP, bench.SERVER_CORE).usable()


@contextlib.contextmanager
def secondaries_of(bench, folder, primary, classes):
    """Started, with the zone; who cannot be had or does not take the zone is said and left out."""
    started = []
    try:
        for i, make in enumerate(classes):
            if make is not Azoth and not make.usable(bench):
                print(f"{make.name} is not installed: left out", flush=True)
                continue
            try:
                started.append(make(bench, folder / f"secondary-{i}", primary))
            except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
                if make is Azoth:
                    raise
                print(f"{make.name} is left out: {str(error)[-300:]}", flush=True)
        os.sync()                                   # what the first transfer wrote is not to be in the way of later syncs
        yield started
    finally:
        for one in started:
            one.stop()
        shutil.rmtree(folder, ignore_errors=True)


# --- from NOTIFY to the answer ----------------------------------------------------------------------------------------------
def share(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def three(us):
    return f"{share(us, 0.5) / 1000:.2f} / {share(us, 0.99) / 1000:.2f} / {max(us) / 1000:.2f}"


def told(rows):
    """{name: [(visible, asked SOA, asked, sent, busy)]} in us; how often somebody did not show it."""
    seen, never = collections.defaultdict(list), collections.Counter()
    for _, name, *us in rows:
        figures = [int(v) for v in us]
        if figures[0] > 0:
            seen[name].append(figures)
        else:
            never[name] += 1
    return seen, never


def words(targets):
    """As bench-transfer takes them: a name is one word."""
    return {one.name.split(",")[0]: one for one in targets}


def ends_of(targets):
    return " ".join(f"{word}:{one.notify_port}:{one.seen_port}" for word, one in words(targets).items())


def warm(primary, targets):
    """A few changes; those that take them, and those of them that take 200 ms and more."""
    seen, never = told(primary.order(f"notify 1 2 50 {ends_of(targets)}", patience=2 * ORDER_S))
    for word in never:
        seen.pop(word, None)
        print(f"{word} does not answer with a change within 20 s: left out", flush=True)
    able = [(min(f[0] for f in seen[word]), one) for word, one in words(targets).items() if seen[word]]
    return [one for us, one in able if us < SLOW_US], [one for us, one in able if us >= SLOW_US]


def spread(primary, order, targets, rounds, patience):
    """Rounds in portions, so that one slow server does not hold up everything: when `patience` s are over, what is there counts."""
    rows, end, portion = [], time.monotonic() + patience, max(1, rounds // 20)
    for _ in range(rounds // portion):
        rows += primary.order(f"{order.format(rounds=portion)} {ends_of(targets)}", patience=ORDER_S + patience)
        _, never = told(rows)
        targets = [one for word, one in words(targets).items() if not never[word]]      # who was lost once is not waited for again
        if not targets or time.monotonic() > end:
            break
    return rows


def notify_rows(title, targets, rows):
    seen, never = told(rows)
    ours = statistics.median(f[0] for f in seen["azoth"]) if seen["azoth"] else None
    out = []
    for word, one in words(targets).items():
        got = seen[word]
        if not got:
            out.append([title, one.name, f"0 of {never[word]}", "", "", "", ""])
            continue
        middle = [statistics.median(column) / 1000 for column in zip(*got)]
        steps = f"{middle[1]:.2f}, {middle[2]:.2f}, {middle[3]:.2f}" if middle[2] > 0 else ""
        out.append([title, one.name, len(got) if not never[word] else f"{len(got)} of {len(got) + never[word]}", three([f[0] for f in got]), steps,
                    f"{middle[4]:.2f}" if middle[4] > 0 else "", f"{middle[0] * 1000 / ours:.2f}" if ours else ""])
    return out, seen["azoth"]


ALL = [Azoth, KnotPeer, NsdPeer, BindPeer, PdnsPeer]


def notified(bench, quick, folder):
    hosts, rounds, patience = (10000, 20, 15) if quick else (100000, 300, 45)
    primary = Primary(bench, hosts)
    try:
        with secondaries_of(bench, folder / "own", primary.port, ALL) as targets:
            quickly, slowly = warm(primary, targets)
            got = spread(primary, "notify 1 {rounds} 10", quickly, rounds, patience)
            if slowly:                              # those that wait for something would hold up the others
                got += spread(primary, "notify 1 {rounds} 10", slowly, 3 if quick else 15, patience)
            rows, ours = notify_rows("the bench's", quickly + slowly, got)
        more = []
        if KnotPeer.usable(bench):
            with knot(bench, folder, zone_text(hosts)) as real, secondaries_of(bench, folder / "knot", real.port, ALL[:3]) as targets:
                more, _ = notify_rows("Knot, changed by UPDATE", targets, spread(
                    primary, f"update {real.port} 1 {{rounds}} 10", targets, rounds // 3, patience / 2))
    finally:
        primary.stop()
    return hosts, rows + more, ours


# --- whole zones from Knot --------------------------------------------------------------------------------------------------
class KnotSource(secondaries.Tuned, peers.Knot):
    """Answers IXFR with all of the zone: it keeps no journal. Who is to be told, the bench tells."""

    def text(self):
        return secondaries.KNOT + "    zonefile-load: whole\n"


class KnotWhole(KnotSource):
    def text(self):
        return super().text().replace("journal-content: changes", "journal-content: none")


def zone_text(hosts, serial=1, moved=0):
    """The zone of bench-transfer; the addresses of the first `moved` hosts depend on the serial."""
    lines = [f"$ORIGIN {ZONE}\n$TTL 300\n@ SOA ns1 hostmaster {serial} {HOUR_S} {HOUR_S} 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\n"]
    lines += [f"h{i} A {11 + serial if i < moved else 10}.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}\n" for i in range(hosts)]
    return "".join(lines)


@contextlib.contextmanager
def knot(bench, folder, text, kind=KnotSource):
    where = folder / "knot-primary"
    where.mkdir(parents=True)
    path = where / "zone"
    path.write_text(text)
    port = laboratory.port()
    server = kind(where / "server", port, laboratory.port(), path)
    server.path = path
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(where, ignore_errors=True)


def serial_at(port):
    try:
        reply = dns.query.udp(dns.message.make_query(ZONE, "SOA"), HOST, timeout=0.25, port=port)
    except (dns.exception.DNSException, OSError):
        return None
    return reply.answer[0][0].serial if reply.answer else None


def send_notify(port):
    message = dns.message.make_query(ZONE, "SOA")
    message.flags = dns.flags.AA
    message.set_opcode(dns.opcode.NOTIFY)
    with contextlib.suppress(dns.exception.DNSException, OSError):
        dns.query.udp(message, HOST, timeout=1, port=port)


def taken(one, serial, patience):
    """Seconds from NOTIFY until it answers with this serial; None: not within patience."""
    since = told_at = time.monotonic()
    send_notify(one.notify_port)
    while time.monotonic() - since < patience:
        if serial_at(one.seen_port) == serial:
            return time.monotonic() - since
        if time.monotonic() - told_at > 5:          # it was dropped
            send_notify(one.notify_port)
            told_at = time.monotonic()
        time.sleep(0.002)
    return None


def replace_zone(server, hosts, serial, moved):
    new = server.path.with_name("new")
    new.write_text(zone_text(hosts, serial, moved))
    new.replace(server.path)
    server.process.send_signal(1)
    laboratory.wait_until("Knot has the new zone", lambda: serial_at(server.port) == serial, 60, pause=0.05)


def wholes(bench, quick, folder):
    """Rows: server, first time, again, CPU of the first; azoth's first time in s."""
    if not KnotPeer.usable(bench):
        return 0, [], None
    hosts, again, patience = (100000, 1, 30) if quick else (1000000, 3, 60)
    seconds, cpu = collections.defaultdict(list), {}
    with knot(bench, folder, zone_text(10), KnotWhole) as server, secondaries_of(bench, folder / "whole", server.port, ALL[:3]) as targets:
        for serial in range(2, 3 + again):
            replace_zone(server, hosts, serial, 1000)
            for one in targets:
                before = sum(bench.cpu_ns(pid) for pid in one.pids())
                seconds[one.name].append(taken(one, serial, patience))
                cpu.setdefault(one.name, (sum(bench.cpu_ns(pid) for pid in one.pids()) - before) / 1e9)
        memory = {one.name: sum(bench.rss_mb(pid) for pid in one.pids()) for one in targets}
    rows = []
    for name, (first, *later) in seconds.items():
        good = [s for s in later if s is not None]
        rows.append([name, f"{first:.2f}" if first else f"not within {patience} s", bench.median_text(good) if good else "", f"{cpu[name]:.2f}",
                     f"{memory[name]:.0f}"])
    return hosts, rows, seconds[Azoth.name][0]


# --- what a change costs in a large zone ------------------------------------------------------------------------------------
def costs(bench, quick, folder):
    """{records in a change: {zone: us of the core's CPU}}, rows."""
    sizes = [10, 100000 if quick else 1000000]
    rounds = 40 if quick else 200
    rows, cpu = [], collections.defaultdict(dict)
    for hosts in sizes:
        primary = Primary(bench, hosts)
        try:
            with secondaries_of(bench, folder / f"cost-{hosts}", primary.port, [Azoth]) as (one,):
                end = f"azoth:{one.notify_port}:{one.seen_port}"
                primary.order(f"notify 1 5 20 {end}")
                for records in 1, 10:
                    before = [bench.cpu_ns(pid) for pid in one.pids()]
                    seen, _ = told(primary.order(f"notify {records} {rounds} 5 {end}"))
                    n = len(seen["azoth"])
                    if n == 0:
                        raise RuntimeError(f"azoth does not answer with a change of {records} in a zone of {hosts}")
                    core, edge, _ = [(bench.cpu_ns(pid) - was) / 1000 / n for pid, was in zip(one.pids(), before)]
                    cpu[records][hosts] = core
                    rows.append([f"{hosts:,}", records, n, three([f[0] for f in seen["azoth"]]), f"{core:.0f}", f"{edge:.0f}"])
        finally:
            primary.stop()
    return sizes, cpu, rows


# --- the section ------------------------------------------------------------------------------------------------------------
def verdict(value, limit, text):
    return f"{text} ({'met' if value <= limit else '**missed**'})"


def section(bench, quick, folder):
    import transfer_compare
    import transfer_many
    folder = pathlib.Path(folder)
    hosts, rows, ours = notified(bench, quick, folder)
    visible = [f[0] / 1000 for f in ours] or [NEVER_MS]
    text = ["## Transfer: zones taken from a primary\n",
            f"**From NOTIFY to the new answer**, one address changed in a zone of {hosts:,}, all secondaries of one primary, told in turn; asked every"
            " 0.1 ms. Milliseconds, p50 / p99 / max;\nbehind it the medians of when the primary was asked for the SOA, for the transfer, and had sent it (0:"
            " was not asked), and what of the time was its own.\nBIND with notify-delay 0 and rates lifted, NSD with xfrd-reload-timeout 0, PowerDNS with LMDB"
            " (synced), caches off, AXFR.\n",
            bench.table(["primary", "secondary", "changes", "seen ms", "SOA, transfer asked, sent ms", "primary ms", "by azoth"], rows),
            f"\nTargets: azoth p50 under 5 ms, p99 under 20 ms: {verdict(share(visible, 0.5), 5, f'p50 {share(visible, 0.5):.2f}')}, "
            f"{verdict(share(visible, 0.99), 20, f'p99 {share(visible, 0.99):.2f}')}.\n"]
    hosts, rows, first = wholes(bench, quick, folder)
    if rows:
        text += [f"\n**Whole zone**: {hosts:,} addresses by AXFR from Knot, seconds from NOTIFY until the secondary answers with the new serial: first, over"
                 " a zone of 10; and again with 1,000 of them\nchanged. CPU seconds of the first, for azoth core, edge and azoth-dns together; memory that"
                 " is not mapped from files.\n",
                 bench.table(["secondary", "first s", "again s", "CPU s", "MB"], rows),
                 f"\nTarget: azoth under 6 s{'' if first is None else ': ' + verdict(first, 6, f'{first:.2f}')}.\n" if not quick else ""]
    sizes, cpu, rows = costs(bench, quick, folder)
    ratios = ", ".join(f"{cpu[r][sizes[1]] / cpu[r][sizes[0]]:.2f} with {r}" for r in cpu)
    text += ["\n**IXFR by the size of the zone**: seen at azoth's edge, ms p50 / p99 / max; CPU us of core and edge per change, syncs included\n",
             bench.table(["zone", "records changed", "changes", "seen ms", "core us", "edge us"], rows),
             f"\nThe larger by the smaller zone: {ratios}.\n"]
    text += transfer_many.section(bench, quick, folder)
    text += transfer_compare.section(bench, quick, folder)
    return "\n".join(text)
