"""bench/run dns: azoth beside gdnsd, YADIFA, NSD, Knot, BIND and PowerDNS, with the physical limit in the same tables.

    for each size:  make zones and questions ► start all servers ► for each mix: check answers, ask in turns ► memory ► stop

dns_zones.py makes the data, dns_peers.py starts servers, dns_measure.py reads figures off them, dns_extra.py does what is
not a mix, dns_table.py writes the section."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import dns_extra
import dns_measure
import dns_peers
import dns_table
import dns_zones

QUICK_SIZES = ["100k", "signed-100k"]
QUICK_PEERS = ["gdnsd", "NSD", "Knot"]
INSTRUCTION_MIXES = ["zipf", "nxdomain", "mixed"]


def add_options(parser):
    group = parser.add_argument_group("dns (any of the first three: RESULTS.md stays as it is)")
    group.add_argument("--peers", help=f"comma-separated: {', '.join(p.name for p in dns_peers.PEERS)}; none: only azoth and the limits")
    group.add_argument("--sizes", help=f"comma-separated: {', '.join(dns_zones.SIZES)}")
    group.add_argument("--mixes", help=f"comma-separated: {', '.join(dns_zones.MIXES)}")
    group.add_argument("--rounds", type=int)
    group.add_argument("--seconds", type=float, help="of a server's turn in a round")
    group.add_argument("--instr", action="store_true", help="also instructions per answer, with valgrind")
    group.add_argument("--hardening", action="store_true", help="also what hardening costs (a build of its own)")


def is_restricted(options):
    return bool(options.peers or options.sizes or options.mixes)


def chosen(text, known, usual):
    """The words of a comma-separated list, as they are spelled in `known`."""
    if not text:
        return usual
    spelled = {word.lower(): word for word in known}
    words = [word.strip().lower() for word in text.split(",")]
    for word in words:
        if word not in spelled and word != "none":
            sys.exit(f"bench/run dns: there is no '{word}' among {', '.join(known)}")
    return [spelled[word] for word in words if word in spelled]


class Run:
    def __init__(self, bench, options, folder):
        self.options, self.folder = options, folder
        self.top, self.build = bench.TOP, bench.BUILD
        self.server_core, self.client_core = bench.SERVER_CORE, bench.CLIENT_CORE
        self.data = self.top / "build/bench-data"
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.seconds = options.seconds or (0.5 if options.quick else 0.7)
        self.warm_s = 4 if options.quick else 30        # at most, for a whole question file
        self.sample = 60 if options.quick else 120
        self.sizes = chosen(options.sizes, dns_zones.SIZES, QUICK_SIZES if options.quick else dns_zones.SIZES)
        self.mixes = chosen(options.mixes, dns_zones.MIXES, dns_zones.MIXES)
        names = [peer.name for peer in dns_peers.PEERS]
        self.peers = chosen(options.peers, names, QUICK_PEERS if options.quick else names)
        self.since = time.monotonic()
        self.results = {"sizes": {}, "versions": {}, "missing": {}, "settings": {}}

    def say(self, text):
        print(f"[{time.monotonic() - self.since:6.1f} s] {text}", file=sys.stderr, flush=True)

    # --- servers ---
    def makes(self):
        """Functions that give a server each, in the order of the tables."""
        def azoth(name, cache):
            return lambda: dns_peers.Azoth(self.top, self.server_core, self.build, name, cache)
        peers = [lambda kind=kind: kind(self.top, self.server_core) for kind in dns_peers.PEERS if kind.name in self.peers]
        return [azoth(dns_table.AZOTH, "128M"), azoth(dns_table.BARE, "0"), *peers]

    def limits(self):
        return [lambda looks_up=looks_up: dns_peers.Limit(self.top, self.server_core, self.build, looks_up) for looks_up in (False, True)]

    def find_peers(self):
        """Fetches packages that are not there, once, and says which servers there will be."""
        servers = [make() for make in self.makes()]
        if not all(server.usable() for server in servers):
            self.say("fetching peers (scripts/install-deps --bench)")
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run([self.top / "scripts/install-deps", "--bench"], stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=600)
        for server in servers:
            if server.usable():
                self.results["versions"][server.name] = server.version()
                self.results["settings"].setdefault(server.name.split(",")[0], dns_peers.SETTINGS[server.name.split(",")[0]])
            else:
                self.results["missing"][server.name] = "not installed and its package not to be had"
        if shutil.which("valgrind") is None and self.options.instr:
            self.say("valgrind is not installed: no instructions")

    @contextlib.contextmanager
    def started(self, dataset, makes, result):
        """Those servers that can serve the data set, all running; they end with the block."""
        up = []
        try:
            for make in makes:
                server = make()
                if server.name in self.results["missing"] or (dataset.signed and not server.dnssec):
                    continue
                try:
                    server.start(dataset, self.folder, dns_peers.free_port())
                except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                    server.stop()
                    self.say(f"{server.name} on {dataset.size}: {error}")
                    self.results["missing"][f"{server.name} on {dataset.size}"] = "did not start: " + " ".join(str(error).split())[:200]
                    continue
                up.append(server)
                if not server.limit:
                    made = result["azoth_load_s"] if isinstance(server, dns_peers.Azoth) else server.import_s
                    result["load"][server.name] = (made, server.load_s)
            yield up
        finally:
            for server in up:
                server.stop()

    # --- a size ---
    def run_mix(self, dataset, mix, servers, result):
        path = dataset.questions[mix]
        result["wrong"][mix] = dns_measure.check(servers, path, dataset.signed, self.sample)
        cells = {server.name: dns_measure.Cell() for server in servers}
        with dns_measure.Client(self.build / "bench/bench-udp", self.client_core, path, dataset.signed) as client:
            for server in servers:
                if server.caches and mix != "nxdomain":
                    client.ask(server.port, self.warm_s, 0, dataset.lines)
            for turn in range(self.rounds):
                for server in servers[turn % len(servers):] + servers[:turn % len(servers)]:
                    dns_measure.measure(server, client, self.seconds, turn * (dns_zones.NEW_QUESTIONS // self.rounds), cells[server.name])
        result["mixes"][mix] = {name: cell for name, cell in cells.items() if cell.us}
        for server in servers:
            self.mark_bad_codes(server, cells, mix, result)
        self.say(f"{dataset.size} {mix}: " + " ".join(f"{name}={cell.total():.2f}" for name, cell in result["mixes"][mix].items()))

    def mark_bad_codes(self, server, cells, mix, result):
        """An answer that no question of these files should get, seen while measuring."""
        sums = cells[server.name].sums
        bad = sum(sums[f"r{code}"] for code in range(16) if code not in (0, 3))
        if bad > 0 and server.name not in result["wrong"][mix]:
            result["wrong"][mix][server.name] = (0, f"{bad:.0f} of {sums['answered']:.0f} answers were errors while measuring")

    def run_size(self, size):
        self.say(f"{size}: zones and questions")
        dataset = dns_zones.dataset(size, self.data)
        load_s, _ = dns_peers.Azoth.shared_store(self.build, dataset, self.folder)
        result = {"title": dataset.title, "records": dataset.records, "sample": self.sample, "load": {}, "mixes": {}, "wrong": {},
                  "azoth_load_s": load_s}
        with self.started(dataset, self.makes() + self.limits(), result) as servers:
            self.say(f"{size}: {len(servers)} servers run")
            result["names"] = [server.name for server in servers]
            for mix in dataset.questions:
                if mix in self.mixes:
                    self.run_mix(dataset, mix, servers, result)
            result["memory"] = {server.name: dns_measure.memory_of(dns_measure.family(server.process.pid), self.folder / "store")
                                for server in servers if not server.limit}
        self.results["sizes"][size] = result
        return dataset

    # --- what is not a mix ---
    def run_extras(self, dataset):
        """On the largest data set that is one unsigned zone; its store is the newest."""
        azoth = self.makes()[0]
        self.results["memory_size"] = self.results["start_size"] = dataset.size
        self.results["memory"] = self.results["sizes"][dataset.size]["memory"]
        self.results["start_ms"] = dns_extra.starts(azoth, dataset, self.folder, 3 if self.options.quick else 9)
        server = azoth().start(dataset, self.folder, dns_peers.free_port())
        try:
            self.results["commits"] = dns_extra.commits(server, dataset, self.build, self.client_core, self.rounds, 2 * self.seconds)
        finally:
            server.stop()
        self.say(f"{dataset.size}: starts and commits")

    def run_hardening(self, dataset):
        self.say("building without hardening")
        soft = dns_extra.build_soft(self.top, len(os.sched_getaffinity(0)))
        pair = [dns_peers.Azoth(self.top, self.server_core, self.build, "hard", "0"), dns_peers.Azoth(self.top, self.server_core, soft, "soft", "0"),
                dns_peers.Azoth(self.top, self.server_core, self.build, "hard-cached", "128M"),
                dns_peers.Azoth(self.top, self.server_core, soft, "soft-cached", "128M")]
        rows = []
        try:
            for server in pair:
                server.start(dataset, self.folder, dns_peers.free_port())
            for hard, soft, title in (pair[0], pair[1], "cache 0"), (pair[2], pair[3], "cache 128M"):
                found = dns_extra.hardening(hard, soft, dataset, [m for m in ("zipf", "nxdomain") if m in dataset.questions], self.build,
                                            self.client_core, 2 * self.rounds, self.seconds)
                rows += [(f"{size}, {title}", *rest) for size, *rest in found]
        finally:
            for server in pair:
                server.stop()
        self.results["hardening"] = rows

    def run_instructions(self):
        dataset = dns_zones.dataset("1k", self.data)
        dns_peers.Azoth.shared_store(self.build, dataset, self.folder)
        makes = [make for make in self.makes() if make().name not in self.results["missing"]]
        mixes = [mix for mix in INSTRUCTION_MIXES if mix in self.mixes]
        self.results["instructions"] = dns_extra.instructions(makes, dataset, mixes, self.folder, self.build, self.client_core, self.say)

    def run(self):
        self.find_peers()
        one_zone = [size for size in dns_zones.NAMES if size in self.sizes]
        last = one_zone[-1] if one_zone else None
        for size in sorted(self.sizes, key=dns_zones.SIZES.index):
            dataset = self.run_size(size)
            if size == last and "zipf" in self.mixes:
                self.run_extras(dataset)
                if self.options.hardening:
                    self.run_hardening(dataset)
        if self.options.instr and shutil.which("valgrind"):
            self.run_instructions()
        (self.data / "last.json").write_text(json.dumps(self.results, default=lambda thing: thing.as_json(), indent=1))
        return dns_table.section(self.results)


def section(bench, options, folder):
    """Markdown of the section."""
    for ends in signal.SIGTERM, signal.SIGHUP:
        signal.signal(ends, lambda *_: sys.exit(1))
    return Run(bench, options, folder).run()
