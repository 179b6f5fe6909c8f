"""A core, edges, relays and DNS servers on loopback, under one temporary folder: started, asked and stopped by tests.

    lab = Lab(folder)
    core = lab.core({"example.com.": zone_file}); core.start()
    edge = lab.edge("edge-1", upstream=core, relay=True); edge.start()
    dns = lab.dns(edge); dns.start()
    dns.ask("www.example.com.", "A")

A node is a folder with a store and a configuration; a core and an edge are nodes with one daemon, dns is a second
daemon on an edge's (or core's) folder. Everything listens on free ports below the range of outgoing connections."""
import fcntl
import gzip
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("AZOTH_BUILD", TOP / "build")).resolve()
DATA = pathlib.Path(os.environ.get("AZOTH_TEST_DATA", TOP.parent / "shared" / "data"))
SAMPLE = TOP / "etc" / "example.com.zone"
HOST = "127.0.0.1"
SLOW = 4 if os.environ.get("AZOTH_SLOW") else 1     # builds with sanitizers: longer patience, not other tests
READY_S = 20 * SLOW
STOP_S = 10 * SLOW
TEST_S = 600 * SLOW + float(os.environ.get("AZOTH_CHANGE_SECONDS", 0))      # a test that takes longer hangs
API_KEY = "a-key-of-these-tests-only"


def program(name):
    """Path of a built program."""
    path = BUILD / name
    assert os.access(path, os.X_OK), f"{path} is not there (scripts/build, or set AZOTH_BUILD)"
    return str(path)


# --- ports --------------------------------------------------------------------------------------------------------
_given = set()
_claims = open(pathlib.Path(tempfile.gettempdir()) / f"azoth-test-ports-{os.geteuid()}", "ab")


def claim(n):
    """Ours until this process ends, among all that run these tests on this machine: byte n of one file is locked."""
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, n)
        return True
    except OSError:
        return False


def port():
    """A loopback port that is free for TCP and UDP and was given to nobody else. Those from 20000 on are the unit tests'."""
    for _ in range(200000):
        n = random.randrange(26000, 32000)
        if n in _given or not claim(n):
            continue
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((HOST, n))
                udp.bind((HOST, n))
            except OSError:
                continue
        _given.add(n)
        return n
    raise AssertionError("no port is left: run fewer files at a time, as scripts/test does")


# --- waiting ------------------------------------------------------------------------------------------------------
def wait_until(what, check, timeout=20.0, pause=0.01):
    """Calls check until it gives something true; what it gave last when the time is over stands in the failure."""
    end = time.monotonic() + timeout * SLOW
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout * SLOW:.0f} s (last: {got!r})")
        time.sleep(pause)


# --- the azoth command --------------------------------------------------------------------------------------------
class Result:
    def __init__(self, done, seconds):
        self.code, self.out, self.err, self.seconds = done.returncode, done.stdout, done.stderr, seconds

    def json(self):
        return json.loads(self.out)

    def json_lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    def error_lines(self):
        return [line for line in self.err.splitlines() if line.strip()]


def azoth(*args, code=0, timeout=300, **more):
    """Runs the azoth command; code: the exit code that is expected, None for any."""
    start = time.monotonic()
    done = subprocess.run([program("azoth"), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout * SLOW, **more)
    if code is not None:
        assert done.returncode == code, f"azoth {' '.join(map(str, args))}: exit {done.returncode}, wanted {code}\n" \
            f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return Result(done, time.monotonic() - start)


# --- metrics ------------------------------------------------------------------------------------------------------
METRIC = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


def parse_metrics(text):
    """{(name, ((label, value), ...)): number}; fails on a line that is not of the exposition format."""
    values, typed = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            assert line.split()[3] in ("counter", "gauge", "histogram", "summary", "untyped"), line
            typed.add(line.split()[2])
            continue
        if not line or line.startswith("#"):
            continue
        m = METRIC.match(line)
        assert m, f"not a metric line: {line!r}"
        labels = m.group(2) or ""
        pairs = LABEL.findall(labels)
        assert len(LABEL.sub("", labels)) == 0, f"labels break their format: {line!r}"
        key = (m.group(1), tuple(sorted(pairs)))
        assert key not in values, f"twice on one page: {line!r}"
        values[key] = float(m.group(3))
    for name, _ in values:
        assert name in typed or re.sub("_(bucket|sum|count)$", "", name) in typed, f"{name} has no TYPE line"
    return values


# --- daemons ------------------------------------------------------------------------------------------------------
class Daemon:
    """One process of a node. Its log is the file `log_path`, kept over restarts."""

    def __init__(self, lab, kind, node, http_port):
        self.lab, self.kind, self.node, self.http_port = lab, kind, node, http_port
        self.log_path = lab.folder / f"{node.name}-{kind}.log"
        self.process = None
        lab.daemons.append(self)

    def launch(self):
        """Starts the process without waiting for anything."""
        assert self.process is None, f"{self} runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program(self.kind), "-c", str(self.node.config_path)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def start(self, timeout=READY_S):
        self.launch()
        self.wait_ready(timeout)
        return self

    def page(self, path):
        """(status, text) of a page of this daemon, or (0, "") when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.http_port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def is_ready(self):
        code = self.process.poll()
        assert code is None, f"{self} ended with {code}\n{self.log()[-3000:]}"
        return self.page("/readyz")[0] == 200

    def wait_ready(self, timeout=READY_S):
        wait_until(f"{self} ready", self.is_ready, timeout / SLOW)

    def metrics(self):
        status, text = self.page("/metrics")
        assert status == 200
        return parse_metrics(text)

    def metric(self, name, **labels):
        return self.metrics().get((name, tuple(sorted(labels.items()))), 0.0)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, pattern, since=0, timeout=20):
        """The first log line after byte `since` that matches the regular expression."""
        def look():
            found = [line for line in self.log()[since:].splitlines() if re.search(pattern, line)]
            return found[0] if found else None
        return wait_until(f"{self} log line /{pattern}/", look, timeout, pause=0.05)

    def mark(self):
        return len(self.log())

    def running(self):
        return self.process is not None and self.process.poll() is None

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """SIGTERM; the process must end by itself with exit code 0."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self} did not end within {STOP_S} s after SIGTERM\n{self.log()[-2000:]}") from None
        assert code == 0, f"{self} ended with {code} after SIGTERM\n{self.log()[-3000:]}"

    def kill(self):
        """kill -9."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def ended(self, timeout=10):
        """Waits for a process that is expected to end by itself; gives its exit code."""
        process, self.process = self.process, None
        try:
            return process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self} was expected to end\n{self.log()[-2000:]}") from None

    def __str__(self):
        return f"{self.kind} of {self.node.name}"


class Dns(Daemon):
    def __init__(self, lab, node):
        super().__init__(lab, "azoth-dns", node, node.ports["dns_http"])
        self.port = node.ports["dns"]

    def ask(self, name, rrtype="A", tcp=False, timeout=5 * SLOW, payload=1232, **options):
        """The reply as dnspython's message. Over UDP with EDNS and TC set it is what came over UDP."""
        query = dns.message.make_query(name, rrtype, use_edns=0 if payload else -1, payload=payload or 0, **options)
        send = dns.query.tcp if tcp else dns.query.udp
        return send(query, HOST, timeout=timeout, port=self.port)

    def values(self, name, rrtype="A", tcp=False):
        """The RDATA texts of the answer's RRsets of that type; None when there is no good answer (also: no reply)."""
        try:
            reply = self.ask(name, rrtype, tcp=tcp, timeout=1)
        except (dns.exception.DNSException, OSError):
            return None
        if reply.rcode() != dns.rcode.NOERROR:
            return None
        wanted = dns.rdatatype.from_text(rrtype)
        return sorted(rd.to_text() for rrset in reply.answer if rrset.rdtype == wanted for rd in rrset)

    def serial(self, zone):
        got = self.values(zone, "SOA")
        return int(got[0].split()[2]) if got else None

    def wait_serial(self, zone, serial, timeout=30):
        wait_until(f"{self}: serial {serial} of {zone}", lambda: self.serial(zone) == serial, timeout, pause=0.005)


class Node(Daemon):
    """A folder with a store, a configuration, and its daemon."""
    role = None

    def __init__(self, lab, name, **settings):
        self.name = name
        self.dir = lab.folder / name
        self.config_path = lab.folder / f"{name}.yaml"
        self.settings = settings
        self.ports = {key: port() for key in ("publish", "serve", "collect", "http", "api", "dns", "dns_http")}
        self.host = settings.get("host", HOST)          # where other nodes find its links
        super().__init__(lab, f"azoth-{self.role}", self, self.ports["http"])
        self.map_size = settings.get("map_size", "4G")
        self.dns_settings = settings.get("dns", {})
        self.dir.mkdir(exist_ok=True)
        self.write_config()

    def launch(self):
        self.lab.admit()
        self.listed = dict(self.lab.listed)
        return super().launch()

    def serves(self):
        return False

    def links(self):
        return {key: f"tcp://{self.host}:{self.ports[key]}" for key in ("publish", "serve", "collect")}

    def own_config(self):
        raise NotImplementedError

    def config(self):
        dns_part = {"listen": [f"{HOST}@{self.ports['dns']}"], "http": {"listen": f"{HOST}@{self.ports['dns_http']}"}}
        dns_part.update(self.dns_settings)
        return {
            "node": {"name": self.name, "dir": str(self.dir), "map_size": self.map_size},
            self.role: {**self.own_config(), "http": {"listen": f"{HOST}@{self.ports['http']}"},
                        **self.settings.get(self.role, {})},
            "dns": dns_part,
            "log": {"level": "debug"},
        }

    def write_config(self):
        """JSON, which is YAML too."""
        self.config_path.write_text(json.dumps(self.config(), indent=2) + "\n")

    def azoth(self, command, *args, **more):
        return azoth(command, "--dir", self.dir, *args, **more)

    def stat(self):
        return self.azoth("stat", "--json").json()

    def digest(self):
        return self.stat()["digest"]

    def dump(self, zone=None):
        """The lines of a dump in zone file format."""
        args = ["--zone", zone] if zone else []
        return self.azoth("dump", "--format", "zone", *args).out

    def verify(self):
        self.azoth("verify")

    def pub(self):
        return (self.dir / "node.pub").read_text().strip()


class Core(Node):
    role = "core"

    def __init__(self, lab, zones=None, name="core", **settings):
        self.zones = dict(zones or {})
        super().__init__(lab, name, **settings)
        if not (self.dir / "node.key").exists():
            self.azoth("keygen")

    def own_config(self):
        part = {**self.links(), "nodes": str(self.lab.nodes), "zones": [{"name": z, "file": str(f)} for z, f in self.zones.items()]}
        if self.settings.get("api"):
            key_file = self.lab.folder / f"{self.name}.api.key"
            key_file.write_text(API_KEY + " test\n")
            key_file.chmod(0o600)
            part["api"] = {"listen": f"{HOST}@{self.ports['api']}", "key_file": str(key_file)}
        return part

    def serves(self):
        return True

    def load(self, *args, **more):
        return self.azoth("load", *args, **more)


class Edge(Node):
    role = "edge"

    def __init__(self, lab, name, upstream, relay=False, core=None, links=None, **settings):
        self.upstreams = upstream if isinstance(upstream, list) else [upstream]
        self.relay = relay
        self.core_key = (core or self._core_of(self.upstreams[0])).pub()
        self.upstream_links = links                     # instead of those of the upstream nodes, e.g. through a proxy
        super().__init__(lab, name, **settings)

    @staticmethod
    def _core_of(node):
        while isinstance(node, Edge):
            node = node.upstreams[0]
        return node

    def own_config(self):
        part = {"core_key": self.core_key, "upstream": self.upstream_links or [u.links() for u in self.upstreams]}
        if self.relay:
            part["relay"] = {**self.links(), "nodes": str(self.lab.nodes)}
        return part

    def serves(self):
        return self.relay

    def verify(self):
        self.azoth("verify", "--core-key", self.core_key)


class Lab:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.nodes = self.folder / "nodes.d"            # whom the core and every relay serve
        self.nodes.mkdir(parents=True, exist_ok=True)
        self.listed = {}                                # name -> public line of those
        self.barred = set()                             # names that are not to be listed
        self.daemons = []

    def admit(self):
        """Every edge has a key, as `azoth keygen` makes it, and is listed at every node that serves."""
        for edge in self.daemons:
            if isinstance(edge, Edge) and edge.name not in self.barred and edge.dir.is_dir():
                if not (edge.dir / "node.key").exists():
                    edge.azoth("keygen")
                if self.listed.get(edge.name) != edge.pub():
                    self.listed[edge.name] = edge.pub()
                    (self.nodes / f"{edge.name}.pub").write_text(edge.pub() + "\n")
        self.relist()

    def bar(self, node):
        """Takes a node off the lists."""
        self.barred.add(node.name)
        if self.listed.pop(node.name, None):
            (self.nodes / f"{node.name}.pub").unlink()
        self.relist()

    def relist(self):
        """Running nodes that serve read their list again when it changed."""
        told = []
        for node in self.daemons:
            if isinstance(node, Node) and node.serves() and node.running() and node.listed != self.listed:
                wait_until(f"{node} takes signals", lambda: not node.running() or node.page("/healthz")[0] == 200, READY_S / SLOW)
                told.append((node, node.mark()))
                node.listed = dict(self.listed)
                node.hup()
        for node, mark in told:
            node.wait_log(rf"\.nodes listed={len(self.listed)}\b", since=mark)

    def core(self, zones=None, **settings):
        return Core(self, zones, **settings)

    def edge(self, name, upstream, **settings):
        return Edge(self, name, upstream, **settings)

    def dns(self, node):
        return Dns(self, node)

    def zone_file(self, name, text):
        """Writes (or replaces, as an editor would: by rename) a zone file of this lab."""
        path = self.folder / name
        new = self.folder / f"{name}.new"
        new.write_text(text)
        os.replace(new, path)
        return path

    def chain(self, zones, **settings):
        """core -> edge-1 (relay) -> edge-2, a DNS server on each edge; all started and ready."""
        core = self.core(zones, **settings).start()
        one = self.edge("edge-1", core, relay=True, **settings).start()
        two = self.edge("edge-2", one, **settings).start()
        return core, one, two, self.dns(one).start(), self.dns(two).start()

    def wait_equal(self, nodes, timeout=30):
        """Until all nodes stand at the same epoch, seq and digest; gives the stat of the first."""
        def look():
            if not all((node.dir / "current").exists() for node in nodes):
                return None                     # one that was just launched
            stats = [node.stat() for node in nodes]
            same = {(s["epoch"], s["applied"], s["digest"]) for s in stats}
            return stats[0] if len(same) == 1 else None
        return wait_until("stores equal: " + ", ".join(n.name for n in nodes), look, timeout, pause=0.05)

    def verify(self):
        """`azoth verify` on every store of this lab that was started once."""
        for daemon in self.daemons:
            if isinstance(daemon, Node) and (daemon.dir / "current").exists():
                daemon.verify()

    def end(self):
        """Ends what still runs; a daemon that does not end in order fails the test."""
        wrong = []
        for daemon in reversed(self.daemons):
            try:
                daemon.stop()
            except AssertionError as error:
                wrong.append(str(error))
            if "ERROR: AddressSanitizer" in daemon.log() or "WARNING: ThreadSanitizer" in daemon.log() \
                    or "runtime error:" in daemon.log():
                wrong.append(f"{daemon}: a sanitizer found something\n{daemon.log()[-6000:]}")
        assert not wrong, "\n".join(wrong)


# --- zone files and records ---------------------------------------------------------------------------------------
def read_gzip(path):
    with gzip.open(path, "rt") as f:
        return f.read()


COMMENT = re.compile(r" ;\{.*\}$")      # ldns writes key ids and the like behind some records


def normal_records(text, origin=None, folder=None):
    """The set of records of a zone file in one form (that of ldns-read-zone), owner names in lower case, however the
    file wrote them. A record that stands there twice counts once."""
    path = pathlib.Path(folder) / "normal.zone"
    path.write_text((f"$ORIGIN {origin}\n" if origin else "") + text)
    done = subprocess.run(["ldns-read-zone", str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"ldns-read-zone: {done.stderr[-500:]}"
    records = set()
    for line in done.stdout.splitlines():
        if line and not line.startswith(";"):
            owner, rest = line.split("\t", 1)
            records.add(owner.lower() + "\t" + COMMENT.sub("", rest).rstrip())
    return records


def bump_serial(text, old, new):
    assert text.count(str(old)) == 1
    return text.replace(str(old), str(new))


def small_zone(origin, serial=1, extra=""):
    """A zone of a handful of records; origin with final dot."""
    return f"$ORIGIN {origin}\n$TTL 300\n@ IN SOA ns hostmaster {serial} 7200 900 1209600 60\n@ IN NS ns\nns IN A 192.0.2.1\n" \
           f"www IN A 192.0.2.80\n{extra}"
