"""DNS changes from primary to secondary: BIND, Knot and NSD with NOTIFY and IXFR, their delays tuned down as far as their
settings go, and azoth from zone file to the azoth-dns of an edge. All are up at once and take turns."""
import collections
import os
import statistics
import subprocess

import lab as laboratory
import peers
from lab import HOST

ZONE = "bench.example."
PAUSE_MS = 40           # between UPDATEs
FILE_PAUSE_MS = 1100    # between files: NSD compares times in seconds

BIND_OPTIONS = """options {{
    directory "{folder}"; listen-on port {port} {{ {host}; }}; listen-on-v6 {{ none; }};
    recursion no; pid-file none; lock-file none; session-keyfile "{folder}/session.key"; minimal-responses yes;
    dnssec-validation no; empty-zones-enable no; querylog no; check-integrity no;
    notify-delay 0; notify-rate 100000; startup-notify-rate 100000; serial-query-rate 100000; {more}
}};
controls {{ }};
logging {{ category default {{ null; }}; }};
"""
KNOT = """server:
    rundir: "{folder}"
    listen: {host}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 2
database:
    storage: "{folder}"
    journal-db-max-size: 256M
log:
  - target: stderr
    any: error
remote:
  - id: other
    address: {host}@{other}
acl:
  - id: all
    address: 127.0.0.0/8
    action: [update, transfer, notify]
zone:
  - domain: "{zone}"
    file: "{file}"
    zonefile-sync: -1
    journal-content: changes
    semantic-checks: off
    acl: all
"""
NSD = """server:
    server-count: 1
    ip-address: {host}@{port}
    do-ip6: no
    username: ""
    chroot: ""
    database: ""
    pidfile: ""
    zonesdir: "{folder}"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    xfrdir: "{folder}"
    minimal-responses: yes
    rrl-ratelimit: 0
    zonefiles-write: 0
    xfrd-reload-timeout: 0
remote-control:
    control-enable: no
zone:
    name: "{zone}"
    zonefile: "{file}"
"""


class Tuned:
    """Mixed into a peer: a given port, and the other side's."""

    def __init__(self, folder, own, other, file):
        folder.mkdir()
        self.own, self.other, self.file = own, other, file
        super().__init__(folder, {ZONE: file})

    def config(self, zones):
        self.port = self.own
        return self.text().format(folder=self.folder, host=HOST, port=self.port, other=self.other, zone=ZONE, file=self.file, more=self.more)

    more = ""


class BindPrimary(Tuned, peers.Bind):
    more = "ixfr-from-differences yes;"
    update = ""

    def text(self):
        return BIND_OPTIONS + 'zone "{zone}" {{ type primary; file "{file}"; allow-transfer {{ any; }}; notify explicit; ' \
            'also-notify {{ {host} port {other}; }}; ' + self.update + '}};\n'


class BindUpdates(BindPrimary):
    more = ""
    update = "allow-update {{ any; }}; "


class BindSecondary(Tuned, peers.Bind):
    more = "notify no; transfers-in 10;"

    def text(self):
        return BIND_OPTIONS + 'zone "{zone}" {{ type secondary; file "{file}"; primaries {{ {host} port {other}; }}; allow-notify {{ any; }}; }};\n'


class KnotPrimary(Tuned, peers.Knot):
    def text(self):
        return KNOT + "    zonefile-load: difference\n    notify: other\n"


class KnotUpdates(Tuned, peers.Knot):
    def text(self):
        return KNOT + "    zonefile-load: whole\n    notify: other\n"


class KnotSecondary(Tuned, peers.Knot):
    def text(self):
        return KNOT + "    master: other\n"


class NsdPrimary(Tuned, peers.Nsd):
    def text(self):
        return NSD + "    provide-xfr: {host} NOKEY\n    notify: {host}@{other} NOKEY\n    create-ixfr: yes\n    store-ixfr: yes\n"


class NsdSecondary(Tuned, peers.Nsd):
    def text(self):
        return NSD + "    request-xfr: {host}@{other} NOKEY\n    allow-notify: {host} NOKEY\n"


# --- pairs --------------------------------------------------------------------------------------------------------------
class Pair:
    """One primary with one secondary; change(first, n): n changes, [(ack us, visible us)]."""

    def __init__(self, bench, folder, name, primary, secondary, text):
        self.bench, self.name, self.folder = bench, name, folder
        folder.mkdir()
        self.text, self.file = text, folder / "zone"
        self.file.write_text(text)
        own, other = laboratory.port(), laboratory.port()
        self.updates = primary in (BindUpdates, KnotUpdates)
        self.primary = primary(folder / "primary", own, other, self.file)
        try:
            self.secondary = secondary(folder / "secondary", other, own, folder / "copy")
        except BaseException:
            self.primary.stop()
            raise
        self.seen_port, self.pid = other, self.primary.process.pid

    def change(self, first, n):
        if self.updates:
            return run(self.bench, "update", self.primary.port, self.seen_port, ZONE, first, n, PAUSE_MS)
        write_files(self.file, self.text, first, n)
        return run(self.bench, "file", self.pid, self.file, self.seen_port, ZONE, first, n, FILE_PAUSE_MS)

    def stop(self):
        self.primary.stop()
        self.secondary.stop()


class OurPair(Pair):
    """Core, perhaps a relay, an edge and its azoth-dns."""
    updates = False

    def __init__(self, bench, folder, name, relay, text):
        import propagation
        self.bench, self.name, self.folder, self.text = bench, name, folder, text
        self.lab = laboratory.Lab(folder)
        self.file = folder / "zone"
        self.file.write_text(text)
        core = propagation.Core(self.lab, {ZONE: self.file}, map_size="4G")
        first = propagation.Edge(self.lab, "first", core, relay=relay)
        edge = propagation.Edge(self.lab, "second", first) if relay else first
        self.dns = self.lab.dns(edge)
        self.lab.admit()
        for daemon in dict.fromkeys((core, first, edge, self.dns)):
            daemon.start()
        laboratory.wait_until("azoth-dns answers", lambda: bench.answers(self.dns.port, ZONE), 60)
        self.seen_port, self.pid = self.dns.port, core.process.pid

    def stop(self):
        self.lab.end()


def write_files(path, text, first, n):
    """FILE.N for each N: serial N + 1, with the names of all changes so far."""
    for i in range(first, first + n):
        more = "".join(f"u{k} IN A 10.9.{k >> 8}.{k & 255}\n" for k in range(first, i + 1))
        new = text.replace(" hostmaster 1 ", f" hostmaster {i + 1} ", 1)
        path.with_name(f"{path.name}.{i}").write_text(new + more)


def run(bench, *command):
    done = subprocess.run([str(bench.BUILD / "bench/bench-visible"), *map(str, command)], capture_output=True, text=True)
    rows = [[int(v) for v in line.split()] for line in done.stdout.splitlines()]
    if done.returncode != 0:
        print(f"bench-visible: {done.stderr.strip()}", flush=True)
    return rows


PAIRS = [("zone file: azoth, an edge", None, False), ("zone file: azoth, an edge behind a relay", None, True),
         ("zone file: BIND to BIND", BindPrimary, BindSecondary), ("zone file: Knot to Knot", KnotPrimary, KnotSecondary),
         ("zone file: NSD to NSD", NsdPrimary, NsdSecondary),
         ("UPDATE: BIND to BIND", BindUpdates, BindSecondary), ("UPDATE: Knot to Knot", KnotUpdates, KnotSecondary),
         ("UPDATE: Knot to NSD", KnotUpdates, NsdSecondary)]


def start(bench, folder, text):
    pairs = []
    try:
        for i, (name, primary, secondary) in enumerate(PAIRS):
            programs = [] if primary is None else [primary.program, secondary.program]
            if any(peers.server_command(p) is None for p in programs):
                print(f"{name}: not installed, left out", flush=True)
            elif primary is None:
                pairs.append(OurPair(bench, folder / f"pair-{i}", name, secondary, text))
            else:
                pairs.append(Pair(bench, folder / f"pair-{i}", name, primary, secondary, text))
    except BaseException:
        for pair in pairs:
            pair.stop()
        raise
    return pairs


def three(values):
    values = sorted(values)
    at = lambda part: values[min(len(values) - 1, int(len(values) * part))] / 1000      # noqa: E731
    return f"{at(0.5):.1f} / {at(0.99):.1f} / {values[-1] / 1000:.1f}"


def section(bench, quick, folder, kv_ms):
    names, rounds, updates, files = (10000, 2, 8, 3) if quick else (100000, 5, 20, 4)
    zone = bench.zone_one(folder, names)[0][ZONE]
    got, updating = collections.defaultdict(list), set()
    pairs = start(bench, folder, zone.read_text())
    try:
        for turn in range(rounds):
            for pair in pairs:
                n = updates if pair.updates else files
                updating |= {pair.name} if pair.updates else set()
                got[pair.name] += pair.change(1 + turn * n, n)
    finally:
        for pair in pairs:
            pair.stop()
    medians = {name: statistics.median(row[1] for row in rows) / 1000 for name, rows in got.items() if rows}
    ours = min((v for n, v in medians.items() if "azoth" in n), default=None)
    best = min((v for n, v in medians.items() if n in updating), default=None)
    rows = [[name, len(changes), three([r[0] for r in changes]) if name in updating else "", three([r[1] for r in changes]),
             f"{medians[name] / ours:.2f}" if ours and name not in updating else ""] for name, changes in got.items() if changes]
    text = (f"**DNS, from primary to secondary**: one record added to a zone of {names:,} names, until the secondary (for azoth the azoth-dns of an edge) answers"
            "\nwith it, asked every 0.05 ms. Milliseconds, p50 / p99 / max. Zone file: replaced, SIGHUP. UPDATE: RFC 2136 over UDP. NOTIFY and IXFR,"
            "\nBIND with notify-delay 0 and rates lifted, NSD with xfrd-reload-timeout 0; Knot waits a second before its NOTIFY, which no setting changes.\n\n"
            + bench.table(["what, from and to", "changes", "UPDATE answered ms", "seen ms", "by azoth's edge"], rows))
    if best:
        text += f"\n\nazoth's general namespaces, API to edge ({kv_ms:.2f} ms): **{kv_ms / best:.2f}** of the best UPDATE to secondary ({best:.2f} ms)."
    return text
