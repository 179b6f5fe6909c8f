"""The servers of `bench/run dns`: each with one worker, without rate limits, query log and recursion, set up as an operator
who cares for speed would; `SETTINGS` says the same in a line each, for the table's foot.

A server is started in a process group and a session of its own, pinned to one core, and ends with it."""
import ctypes
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.request

HOST = "127.0.0.1"
START_S = 180
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
PR_SET_PDEATHSIG = 1

SETTINGS = {
    "azoth": "azoth-dns with workers: 1 and dns.cache: 128M, or 0 where the name says so; no rrl",
    "gdnsd": "udp_threads 1, tcp_threads 1, experimental_no_chain false (follows CNAME as the others do); has no DNSSEC",
    "YADIFA": "one thread per address, cpu-count-override 1, no statistics, no query log, rrl off",
    "NSD": "server-count 1, minimal-responses, no rrl, no zone file checks or writes",
    "Knot": "udp-workers 1, tcp-workers 1, journal off, semantic checks off",
    "BIND": "named -n 1 -U 1, no recursion, minimal-responses, rrset-order none, no query log, no zone statistics",
    "PowerDNS": "LMDB back end; receiver-, distributor- and retrieval-threads 1, reuseport, packet, query and negative cache on (their time "
                "raised to 300 s), loglevel 0, signed zones as presigned",
}


def make_child_of(core):
    def prepare():
        os.sched_setaffinity(0, {core})
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return prepare


def answers(port, probe, timeout=0.1):
    """Does the server give an answer with records to `NAME TYPE`?"""
    name, rrtype = probe.split()
    number = random.randrange(65536)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    query = struct.pack(">6H", number, 0, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, TYPES[rrtype], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        try:
            s.connect((HOST, port))
            s.send(query)
            reply = s.recv(4096)
        except OSError:
            return False
    return len(reply) >= 12 and reply[:2] == query[:2] and reply[3] & 15 == 0 and reply[6:8] != b"\0\0"


class Server:
    """name: as in the tables. program: of its packages. start() waits for the first answers; load_s says how long."""
    name = program = None
    dnssec = True
    caches = False              # keeps answers: gets to see the questions once before it is measured
    limit = False               # no server, but what the machine allows
    import_s = None

    def __init__(self, top, core):
        self.top, self.core = top, core
        self.process = self.log = None

    def command(self, program=None):
        """The command line of a program of its packages, or None."""
        program = program or self.program
        for folder in self.top / "build/bench-peers" / self.program, self.top / "build/peers":
            if any((folder / place / program).exists() for place in ("usr/sbin", "usr/bin")):
                return [str(folder / "run"), program]
        path = shutil.which(program, path="/usr/sbin:/usr/bin")
        return [path] if path else None

    def usable(self):
        return self.command() is not None

    def version(self):
        done = subprocess.run([*self.command(), self.version_flag], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        found = re.search(r"\d+\.\d+[.\d]*", done.stdout + done.stderr)
        return found.group(0) if found else "?"

    def start(self, dataset, folder, port, wrapper=()):
        """wrapper: command words before the server's own (valgrind)."""
        self.dataset, self.port = dataset, port
        self.folder = pathlib.Path(folder) / re.sub(r"\W+", "-", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.prepare()
        self.log = open(self.folder / "log", "wb")
        since = time.monotonic()
        self.process = subprocess.Popen([*wrapper, *self.arguments()], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=self.folder, start_new_session=True, preexec_fn=make_child_of(self.core))
        waiting = list(dataset.probes)
        while waiting and not self.limit:
            if self.process.poll() is not None:
                self.fail(f"ended with {self.process.returncode}")
            if time.monotonic() - since > START_S * (5 if wrapper else 1):
                self.fail(f"no answer to {waiting[-1].strip()} in time")
            if answers(port, waiting[-1]):
                waiting.pop()
            else:
                time.sleep(0.0005)
        self.load_s = time.monotonic() - since
        if self.limit:
            time.sleep(0.1)
        return self

    def fail(self, why):
        end = (self.folder / "log").read_text(errors="replace")[-600:]
        raise RuntimeError(f"{self.name}: {why}: {end}")

    def stop(self, patience=5):
        if self.process is None:
            return
        process, self.process = self.process, None
        for sent in signal.SIGTERM, signal.SIGKILL:
            try:
                os.killpg(process.pid, sent)
            except ProcessLookupError:
                pass
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
            if sent == signal.SIGTERM:
                time.sleep(0.05)            # children of it that are ending too; what is left then is killed
        self.log.close()

    def settle(self):
        """Until it has done what it does beside its first answers."""

    def prepare(self):
        pass

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def for_zones(self, line):
        """line: format of one zone, with {zone}, {bare} (no final dot) and {file}."""
        return "".join(line.format(zone=zone, bare=zone.rstrip("."), file=file) for zone, file in self.dataset.zones.items())


class Azoth(Server):
    """The store is made once for a data set (shared_store) and read by all servers of this kind."""
    name, program, cache, caches = "azoth", "azoth-dns", "128M", True

    def __init__(self, top, core, build, name=None, cache=None):
        super().__init__(top, core)
        self.build = build
        self.name = name or self.name
        self.cache = cache or self.cache
        self.caches = self.cache != "0"

    def command(self, program=None):
        path = self.build / (program or self.program)
        return [str(path)] if path.exists() else None

    @staticmethod
    def shared_store(build, dataset, folder):
        """Seconds of `azoth load`, and the store."""
        store = pathlib.Path(folder) / "store"
        shutil.rmtree(store, ignore_errors=True)
        listed = pathlib.Path(folder) / "zones.list"
        listed.write_text("".join(f"{origin} {path}\n" for origin, path in dataset.zones.items()))
        subprocess.run([build / "azoth", "keygen", "--dir", store], check=True, capture_output=True, timeout=20)
        since = time.monotonic()
        subprocess.run([build / "azoth", "load", "--dir", store, "--list", listed], check=True, capture_output=True, timeout=300)
        return time.monotonic() - since, store

    def prepare(self):
        self.http_port = free_port()
        self.store = self.folder.parent / "store"
        self.write("azoth.yaml", f"node: {{ dir: {self.store} }}\nlog: {{ level: warn }}\ndns: {{ listen: [{HOST}@{self.port}], workers: 1, "
                                 f"cache: {self.cache}, http: {{ listen: {HOST}@{self.http_port} }} }}\n")

    def arguments(self):
        return [*self.command(), "-c", str(self.folder / "azoth.yaml")]

    def settle(self, timeout=60):
        """The filter of known names is filled by a thread of low priority."""
        end = time.monotonic() + timeout
        while self.caches and time.monotonic() < end:
            with urllib.request.urlopen(f"http://{HOST}:{self.http_port}/metrics", timeout=30) as page:
                if re.search(r"^azoth_dns_names_fills_total [1-9]", page.read().decode(), re.M):
                    return
            time.sleep(0.2)

    def version(self):
        return ""


class Limit(Server):
    """bench-limit: what no server can undercut."""
    limit = True
    program = "bench/bench-limit"

    def __init__(self, top, core, build, looks_up):
        super().__init__(top, core)
        self.build, self.looks_up = build, looks_up
        self.name = "limit: echo and mdb_get" if looks_up else "limit: UDP echo"

    def command(self, program=None):
        return [str(self.build / self.program)]

    def arguments(self):
        data = next((self.folder.parent / "store").glob("data.*"))
        return [*self.command(), HOST, str(self.port), *([str(data)] if self.looks_up else [])]


class Gdnsd(Server):
    name, program, version_flag, dnssec = "gdnsd", "gdnsd", "-V", False

    def prepare(self):
        for sub in "conf/zones", "run", "state":
            (self.folder / sub).mkdir(parents=True)
        for origin, path in self.dataset.zones.items():
            (self.folder / "conf/zones" / origin.rstrip(".")).symlink_to(path)
        self.write("conf/config", f"options => {{\n  listen => {HOST}:{self.port}\n  udp_threads => 1\n  tcp_threads => 1\n"
                                  f"  experimental_no_chain => false\n  run_dir => {self.folder}/run\n  state_dir => {self.folder}/state\n}}\n")

    def arguments(self):
        return [*self.command(), "-c", str(self.folder / "conf"), "start"]


class Yadifa(Server):
    name, program, version_flag = "YADIFA", "yadifad", "-V"

    def prepare(self):
        for sub in "keys", "xfr", "logs":
            (self.folder / sub).mkdir()
        levels = "".join(f"  {part} CRIT,ALERT,EMERG,ERR stderr\n" for part in ("database", "dnssec", "server", "system", "zone"))
        self.write("conf", f"<main>\n  daemon off\n  user root\n  group root\n  port {self.port}\n  listen {HOST} port {self.port}\n"
                   f"  pidfile {self.folder}/pid\n  datapath {self.folder}\n  xfrpath {self.folder}/xfr\n  keyspath {self.folder}/keys\n"
                   f"  logpath {self.folder}/logs\n  statistics off\n  queries-log-type 0\n  cpu-count-override 1\n  thread-count-by-address 1\n"
                   "  allow-query any\n  allow-transfer none\n  allow-update none\n  allow-notify none\n  allow-control none\n</main>\n"
                   f"<rrl>\n  enabled no\n</rrl>\n<channels>\n  stderr STDERR\n</channels>\n<loggers>\n{levels}</loggers>\n"
                   + self.for_zones("<zone>\n  type primary\n  domain {bare}\n  file {file}\n" +
                                    ("  maintain-dnssec no\n" if self.dataset.signed else "") + "</zone>\n"))

    def arguments(self):
        return [*self.command(), "-c", str(self.folder / "conf")]


class Nsd(Server):
    name, program, version_flag = "NSD", "nsd", "-v"

    def prepare(self):
        where = self.folder
        self.write("conf", f"server:\n  server-count: 1\n  ip-address: {HOST}@{self.port}\n  username: \"\"\n  zonesdir: \"{where}\"\n"
                   f"  database: \"\"\n  zonelistfile: \"{where}/zones\"\n  xfrdfile: \"{where}/xfrd\"\n  xfrdir: \"{where}\"\n"
                   f"  pidfile: \"{where}/pid\"\n  verbosity: 0\n  minimal-responses: yes\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n"
                   "  zonefiles-check: no\n  zonefiles-write: 0\nremote-control:\n  control-enable: no\n"
                   + self.for_zones("zone:\n  name: \"{zone}\"\n  zonefile: \"{file}\"\n"))

    def arguments(self):
        return [*self.command(), "-d", "-c", str(self.folder / "conf")]


class Knot(Server):
    name, program, version_flag = "Knot", "knotd", "-V"

    def prepare(self):
        self.write("conf", f"server:\n  rundir: {self.folder}\n  listen: {HOST}@{self.port}\n  udp-workers: 1\n  tcp-workers: 1\n"
                   f"  background-workers: 1\ndatabase:\n  storage: {self.folder}\nlog:\n  - target: stderr\n    any: error\n"
                   "template:\n  - id: default\n    journal-content: none\n    zonefile-load: whole\n    zonefile-sync: -1\n"
                   "    semantic-checks: off\nzone:\n" + self.for_zones("  - domain: {zone}\n    file: {file}\n"))

    def arguments(self):
        return [*self.command(), "-c", str(self.folder / "conf")]


class Bind(Server):
    name, program, version_flag = "BIND", "named", "-v"

    def prepare(self):
        self.write("conf", f"options {{\n  directory \"{self.folder}\";\n  listen-on port {self.port} {{ {HOST}; }};\n  listen-on-v6 {{ none; }};\n"
                   f"  pid-file none;\n  lock-file none;\n  session-keyfile \"{self.folder}/session.key\";\n  recursion no;\n  allow-query {{ any; }};\n"
                   "  allow-transfer { none; };\n  notify no;\n  minimal-responses yes;\n  rrset-order { order none; };\n"
                   "  dnssec-validation no;\n  empty-zones-enable no;\n  zone-statistics none;\n  querylog no;\n  check-integrity no;\n"
                   "  check-names primary ignore;\n};\ncontrols { };\nlogging { category default { null; }; category unmatched { null; }; };\n"
                   + self.for_zones("zone \"{zone}\" {{ type primary; file \"{file}\"; }};\n"))

    def arguments(self):
        return [*self.command(), "-f", "-n", "1", "-U", "1", "-c", str(self.folder / "conf")]


class Pdns(Server):
    """The LMDB files are filled once for a data set and kept beside it; `import_s` is what that took."""
    name, program, version_flag, caches = "PowerDNS", "pdns_server", "--version", True

    def modules(self):
        return next((self.top / "build/bench-peers/pdns_server").glob("usr/lib/*/pdns"), pathlib.Path("/usr/lib/x86_64-linux-gnu/pdns"))

    def config(self, launch, more=""):
        return (f"module-dir={self.modules()}\nlaunch={launch}\nlmdb-filename={self.database}/pdns.lmdb\nlmdb-sync-mode=nosync\n"
                f"local-address={HOST}\nlocal-port={self.port}\nsocket-dir={self.folder}\ndaemon=no\nguardian=no\ndisable-syslog=yes\n"
                "loglevel=0\nreceiver-threads=1\ndistributor-threads=1\nretrieval-threads=1\nsigning-threads=1\nreuseport=yes\n"
                "consistent-backends=yes\ncache-ttl=300\nquery-cache-ttl=300\nnegquery-cache-ttl=300\nmax-cache-entries=4000000\n"
                "max-packet-cache-entries=4000000\nlog-dns-queries=no\nversion-string=anonymous\nsecurity-poll-suffix=\n" + more)

    def prepare(self):
        self.database = self.dataset.folder / "pdns"
        if not (self.database / "done.json").exists():
            self.fill()
        self.import_s = json.loads((self.database / "done.json").read_text())["import_s"]
        self.write("pdns.conf", self.config("lmdb"))

    def fill(self):
        shutil.rmtree(self.database, ignore_errors=True)
        self.database.mkdir()
        self.write("zones", self.for_zones("zone \"{zone}\" {{ type master; file \"{file}\"; }};\n"))
        self.write("pdns.conf", self.config("bind,lmdb", f"bind-config={self.folder}/zones\n"))
        since = time.monotonic()
        self.util("b2b-migrate", "bind", "lmdb") if len(self.dataset.zones) > 1 else self.fill_one()
        (self.database / "done.json").write_text(json.dumps({"import_s": time.monotonic() - since}))

    def fill_one(self):
        (zone, path), = self.dataset.zones.items()
        self.write("pdns.conf", self.config("lmdb"))
        if self.dataset.signed:
            self.util("create-zone", zone)
            self.util("set-presigned", zone)
        self.util("load-zone", zone, str(path))

    def util(self, *arguments):
        done = subprocess.run([*self.command("pdnsutil"), f"--config-dir={self.folder}", *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=600, cwd=self.folder)
        if done.returncode != 0:
            raise RuntimeError(f"pdnsutil {arguments[0]}: {done.stderr[-300:]}{done.stdout[-300:]}")

    def arguments(self):
        return [*self.command(), f"--config-dir={self.folder}"]


PEERS = [Gdnsd, Yadifa, Nsd, Knot, Bind, Pdns]
_given = set()


def free_port():
    """A loopback port, free for UDP and TCP, outside the range of outgoing connections."""
    while True:
        n = random.randrange(15000, 20000)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((HOST, n))
                udp.bind((HOST, n))
            except OSError:
                continue
        if n not in _given:
            _given.add(n)
            return n
