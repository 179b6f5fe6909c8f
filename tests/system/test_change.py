"""Truth under change: zones change, come and go, generations flip, the map grows, the replicator is killed, the store is
replaced; all the while clients ask a DNS server, and every answer must be, whole, that of one state that was published.

Each change of a zone has a number, greater than all before it: the version. Every record of the zone carries it, some in
the names that others point to, so that a mix of two versions shows within one answer. Changes are made one after the other
and waited for at the core, so the states are known: which version each zone had after which change."""
import collections
import os
import random
import re
import shutil
import signal
import socket
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from lab import HOST, small_zone, wait_until
from traffic import LOST_S, put

ABSENT = 0
PARENT, CHILD = "z0.example.", "sub.z0.example."
LEADS = {"z0.example.": ["z1.example.", CHILD], "z1.example.": ["z2.example.", "z0.example."], "z2.example.": ["z3.example.", CHILD],
         "z3.example.": ["z0.example.", "z2.example."], CHILD: ["z1.example.", "z0.example."]}       # where aliases lead
ZONES = sorted(LEADS, key=len, reverse=True)
PIECES = "s.example."       # a zone of which a change touches little: each of its parts has a version of its own
PARTS = [*(f"r{n}" for n in range(8)), "p0", "p1", "p2", "w", "x.w", "k0", "k1"]
TTL_BASE = 100_000          # an alias of PIECES says its version with its TTL
SECONDS = float(os.environ.get("AZOTH_CHANGE_SECONDS", "15"))
NUMBERS = re.compile(r"\bv(\d+)\b")


def zone_text(origin, v, size):
    """A zone of version v."""
    others = LEADS[origin]
    a, b = v >> 8 & 255, v & 255
    lines = [f"$ORIGIN {origin}", "$TTL 300", f"@ IN SOA ns.v{v} hostmaster {v} 7200 900 1209600 60",
             f"@ IN NS ns.v{v}", f"@ IN NS ns2.v{v}", f"ns.v{v} IN A 10.1.{a}.{b}", f"ns2.v{v} IN A 10.2.{a}.{b}",
             f"@ IN MX 10 mx.v{v}", f"@ IN MX 20 mx2.v{v}", f"mx.v{v} IN A 10.3.{a}.{b}", f"mx2.v{v} IN AAAA 2001:db8::{v:x}",
             *(f"txt IN TXT v{v} t{n}" for n in range(3)), *(f"addr IN A 10.{n}.{a}.{b}" for n in range(4, 9)),
             f"addr IN AAAA 2001:db8:1::{v:x}", f"alias IN CNAME target.v{v}", f"target.v{v} IN A 10.9.{a}.{b}",
             f"long IN CNAME one.v{v}", f"one.v{v} IN CNAME two.v{v}", f"two.v{v} IN TXT v{v}",
             f"*.wild IN TXT v{v}", f"*.wild IN A 10.10.{a}.{b}", f"*.walias IN CNAME target.v{v}",
             f"tree IN DNAME real.v{v}", f"leaf.real.v{v} IN TXT v{v}", f"_s._tcp IN SRV 1 1 53 ns.v{v}",
             f"cut IN NS n.v{v}.cut", f"cut IN NS m.v{v}.cut", f"n.v{v}.cut IN A 10.11.{a}.{b}", f"m.v{v}.cut IN A 10.12.{a}.{b}",
             *(line for n, other in enumerate(others) for line in (f"to{n} IN CNAME on{n}.v{v}", f"on{n}.v{v} IN CNAME txt.{other}")),
             *(f"big IN TXT v{v} {'x' * 200} {n}" for n in range(20)),
             "now IN TXT " + f"v{v}" if v % 2 else f"then IN TXT v{v}",         # appears and vanishes
             ("flip IN CNAME txt" if v % 3 == 0 else f"flip IN A 10.13.{a}.{b}" if v % 3 == 1 else f"under.flip IN TXT v{v}"),
             *(f"h{n} IN A 10.14.{a}.{b}" for n in range(size))]
    if origin == PARENT:
        lines += [f"sub IN NS ns.v{v}.sub", f"ns.v{v}.sub IN A 10.15.{a}.{b}", f"x.sub IN TXT v{v}"]
    return "\n".join(lines) + "\n"


QUESTIONS = [("", "SOA"), ("", "NS"), ("", "MX"), ("txt", "TXT"), ("addr", "A"), ("addr", "AAAA"), ("alias", "A"), ("long", "TXT"),
             ("a.wild", "TXT"), ("b.c.wild", "A"), ("d.wild", "MX"), ("x.walias", "A"), ("leaf.tree", "TXT"), ("_s._tcp", "SRV"),
             ("cut", "NS"), ("x.y.cut", "A"), ("now", "TXT"), ("then", "TXT"), ("flip", "A"), ("flip", "TXT"), ("under.flip", "TXT"),
             ("nothing", "A"), ("nothing.h1", "A"), ("txt", "A"), ("alias", "TXT"), ("to0", "TXT"), ("to1", "TXT"), ("big", "TXT")]


def pieces_text(serial, parts):
    """parts: {part: its version or ABSENT}. Only what changed, and the SOA, differs from the text before."""
    lines = [f"$ORIGIN {PIECES}", "$TTL 300", f"@ IN SOA ns.v{serial} hostmaster {serial} 7200 900 1209600 60", "@ IN NS ns", "ns IN A 192.0.2.1",
             *(f"c{n} IN CNAME r{n}" for n in range(8)), "cc IN CNAME c3", "deep.k0 IN TXT below", "deep.k1 IN TXT below"]
    for part, v in parts.items():
        if v == ABSENT:
            continue
        if part.startswith("r"):
            lines.append(f"{part} IN A 10.20.{v >> 8 & 255}.{v & 255}")
        elif part.startswith("p"):
            lines.append(f"{part} {TTL_BASE + v} IN CNAME r{v % 8}")
        elif part.startswith("k"):
            lines += [f"{part} IN NS ns.v{v}.{part}", f"ns.v{v}.{part} IN A 10.21.{v >> 8 & 255}.{v & 255}"]
        else:
            lines.append(f"{'*.w' if part == 'w' else part} IN TXT {part} v{v}")
    return "\n".join(lines) + "\n"


PIECES_QUESTIONS = [*((f"r{n}", "A") for n in range(8)), ("r0", "TXT"), ("r1", "MX"), *((f"c{n}", "A") for n in range(8)), ("cc", "A"),
                    *((f"p{n}", "A") for n in range(3)), ("p0", "MX"), ("x.w", "TXT"), ("y.w", "TXT"), ("a.x.w", "TXT"), ("deep.k0", "TXT"), ("deep.k1", "TXT"),
                    ("k0", "A"), ("nothing", "A"), ("", "SOA")]


class States:
    """Which version each zone, and each part of PIECES, had after which change. A change is told before it is made and is waited for at the core, so
    no server has it earlier and no two change places."""

    def __init__(self):
        self.lock = threading.Lock()
        self.history = {what: [(0, ABSENT)] for what in [*ZONES, *PARTS, PIECES]}
        self.last = 0
        self.floor = 0          # some answer was of the state behind this change, or of a later one

    def tell(self, versions):
        with self.lock:
            self.last += 1
            for what, version in versions.items():
                self.history[what].append((self.last, version))

    def now(self, what):
        return self.history[what][-1][1]

    def earliest(self, seen, since):
        """The first change not before `since` behind which all zones of `seen` had these versions; None: never."""
        with self.lock:
            spans = [(since, 1 << 60)]
            for zone, version in seen.items():
                told = self.history[zone]
                ends = [change - 1 for change, _ in told[1:]] + [1 << 60]
                mine = [(change, end) for (change, had), end in zip(told, ends) if had == version and end >= since]
                spans = [(max(a, c), min(b, d)) for a, b in spans for c, d in mine if max(a, c) <= min(b, d)]
            return min(spans)[0] if spans else None

    def raise_floor(self, change):
        with self.lock:
            self.floor = max(self.floor, change)


# --- what an answer shows ---------------------------------------------------------------------------------------------
def versions_in(rrset):
    """As words and labels v123, as the ends of addresses, as a serial."""
    found = {int(n) for n in NUMBERS.findall(rrset.to_text())}
    for rd in rrset:
        if rrset.rdtype == dns.rdatatype.A:
            high, low = rd.address.split(".")[2:]
            found.add(int(high) << 8 | int(low))
        elif rrset.rdtype == dns.rdatatype.AAAA:
            found.add(int(rd.address.rpartition(":")[2], 16))
        elif rrset.rdtype == dns.rdatatype.SOA:
            found.add(rd.serial)
    return found


def home_of(owner, parents):
    """The zone that an owner's records come from; parents: those at and below CHILD are its parent's."""
    zone = next((z for z in ZONES if owner == z or owner.endswith("." + z)), None)
    return PARENT if zone == CHILD and parents else zone


def shown_by(reply, zone, label):
    """{zone: the set of versions that the reply shows of it}; {ABSENT}: it shows that the zone was not there."""
    sections = [*reply.answer, *reply.authority, *reply.additional]
    parents = any(r.rdtype == dns.rdatatype.NS and r.name.to_text() == CHILD for r in reply.authority)      # a referral to CHILD
    asked = {zone, LEADS[zone][int(label[2:])]} if label.startswith("to") and reply.answer else {zone}
    shown = collections.defaultdict(set)
    if reply.rcode() == dns.rcode.REFUSED:
        assert not sections, f"REFUSED, with records\n{reply}"
    for rrset in sections:
        home = home_of(rrset.name.to_text(), parents)
        assert home is not None, f"a record of no zone of ours\n{reply}"
        shown[home].update(versions_in(rrset))
    if not reply.flags & dns.flags.TC:
        for missing in asked - shown.keys():
            shown[missing] = {ABSENT}
            if missing == CHILD and PARENT not in shown:
                shown[PARENT] = {ABSENT}
    return {home: found for home, found in shown.items() if found}


def pieces_shown(reply, label, rrtype):
    """The same for PIECES: {part: versions}; the zone itself stands for its serial."""
    assert reply.rcode() != dns.rcode.REFUSED, f"PIECES never vanishes\n{reply}"
    shown = collections.defaultdict(set)
    wanted = [label] if label in PARTS else [label[5:]] if label.startswith("deep.") else ["r3"] if label == "cc" else ["r" + label[1:]] \
        if label[:1] == "c" else []
    for rrset in [*reply.answer, *reply.authority, *reply.additional]:
        owner = rrset.name.to_text().removesuffix("." + PIECES)
        if rrset.rdtype == dns.rdatatype.SOA:
            shown[PIECES].update(versions_in(rrset))
        elif rrset.rdtype == dns.rdatatype.TXT and owner.endswith("w"):
            shown[rrset[0].strings[0].decode()].update(versions_in(rrset))          # from the wildcard, or not
        elif rrset.rdtype == dns.rdatatype.CNAME and owner in PARTS:
            shown[owner].add(rrset.ttl - TTL_BASE)
            wanted.append(rrset[0].target.to_text().removesuffix("." + PIECES))
        elif rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.NS):
            shown[owner if owner in PARTS else owner[-2:]].update(versions_in(rrset))
    if rrtype != "A" and label.startswith(("r", "p")) and reply.rcode() == dns.rcode.NOERROR:
        wanted = []                         # NODATA: it is there, in a version that does not show
    for part in wanted:
        if part not in shown:
            shown[part] = {ABSENT}
    if label == "x.w" and "w" in shown:
        shown["x.w"] = {ABSENT}
    return shown


def shape_of(reply):
    """The reply with its versions taken out: the same for all versions of one kind (zone_text knows six)."""
    def line(rrset):
        text = re.sub(r"\b(10\.\d+)\.\d+\.\d+\b", r"\1.V", NUMBERS.sub("V", rrset.to_text()))
        text = re.sub(r"(2001:db8:[0-9a-f:]*:)[0-9a-f]+\b", r"\1V", text)
        text = re.sub(r"(SOA \S+ \S+) \d+", r"\1 V", text)
        return "\n".join(sorted(text.splitlines()))
    return tuple("\n".join(sorted(line(r) for r in section)) for section in (reply.answer, reply.authority, reply.additional))


# --- who asks ---------------------------------------------------------------------------------------------------------
class Checker(threading.Thread):
    """Asks one question after the other; a question without an answer is lost."""
    shapes = {}                 # (question, kind of version of each zone) -> shape; the same for all checkers

    def __init__(self, server, states, seed, tcp):
        super().__init__(daemon=True)
        self.server, self.states, self.tcp = server, states, tcp
        self.rng = random.Random(seed)
        self.asked, self.slowest = 0, 0.0
        self.wrong = []
        self.kinds = collections.Counter()
        self.going = True
        self.start()

    def run(self):
        s = None
        while self.going and len(self.wrong) < 10:
            if self.asked % 300 == 0:           # the same few for a while: what a cache keeps
                hot = [self.question() for _ in range(12)]
            zone, label, rrtype = self.rng.choice(hot) if self.rng.random() < 0.8 else self.question()
            try:
                if s is None:
                    s = self.open()
                self.ask(s, zone, label, rrtype)
            except (OSError, dns.exception.DNSException, AssertionError) as error:
                self.wrong.append(f"question {self.asked}, {label} of {zone}, {rrtype}: {error!r}")
            self.asked += 1
            if s is not None and (self.wrong or self.rng.random() < 0.02):      # another socket may reach another worker
                s.close()
                s = None
            time.sleep(0.001)
        if s is not None:
            s.close()

    def question(self):
        if self.rng.random() < 0.5:
            return PIECES, *self.rng.choice(PIECES_QUESTIONS)
        return self.rng.choice(ZONES), *self.rng.choice(QUESTIONS)

    def open(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM)
        s.settimeout(LOST_S)
        s.connect((HOST, self.server.port))
        return s

    def exchange(self, s, wire):
        if not self.tcp:
            s.send(wire)
            return s.recv(65535)
        s.sendall(len(wire).to_bytes(2, "big") + wire)
        return self.read(s, int.from_bytes(self.read(s, 2), "big"))

    @staticmethod
    def read(s, n):
        got = b""
        while len(got) < n:
            more = s.recv(n - len(got))
            if not more:
                raise OSError("the server closed the connection")
            got += more
        return got

    def ask(self, s, zone, label, rrtype):
        query = dns.message.make_query(f"{label}.{zone}" if label else zone, rrtype, use_edns=0, payload=1232)
        since, begin = self.states.floor, time.monotonic()
        reply = dns.message.from_wire(self.exchange(s, query.to_wire()))
        self.slowest = max(self.slowest, time.monotonic() - begin)
        assert reply.id == query.id and reply.question == query.question, "the answer to another question"
        self.judge(reply, zone, label, rrtype, since)

    def judge(self, reply, zone, label, rrtype, since):
        """Whole, of one state that was published, and of none older than what was answered before the question was asked."""
        cut_off = bool(reply.flags & dns.flags.TC)
        assert reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.REFUSED), f"{dns.rcode.to_text(reply.rcode())}"
        self.kinds[dns.rcode.to_text(reply.rcode()) + (" TC" if cut_off else "")] += 1
        shown = pieces_shown(reply, label, rrtype) if zone == PIECES else shown_by(reply, zone, label)
        assert all(len(found) == 1 for found in shown.values()), f"two versions in one answer: {dict(shown)}\n{reply}"
        state = {home: min(found) for home, found in shown.items()}
        change = self.states.earliest(state, since)
        assert change is not None, f"{state}: there was no such state since change {since} (of {self.states.last})\n{reply}"
        self.states.raise_floor(change)
        if zone == PIECES and label.startswith("p"):
            return                              # leads elsewhere with each version
        mod = 1 if zone == PIECES else 6        # zone_text makes six kinds of a zone
        kind = (label, zone, rrtype, cut_off, tuple(sorted((home, version % mod if version != ABSENT else None) for home, version in state.items())))
        shape = shape_of(reply)
        assert Checker.shapes.setdefault(kind, shape) == shape, f"not whole: as\n{reply}\nbut before, of the like version,\n{Checker.shapes[kind]}"

    def finish(self):
        self.going = False
        self.join()


# --- what happens -----------------------------------------------------------------------------------------------------
class Scene:
    """A core, an edge and its DNS server, zones that change."""

    def __init__(self, lab, seed, checkers=4):
        self.lab, self.rng, self.states = lab, random.Random(seed), States()
        self.version = self.puts = 0
        self.done = []
        self.core = lab.core({}, api=True).start()
        for zone in ZONES:
            self.change(zone)
        self.parts(PARTS)
        self.edge = lab.edge("edge-1", self.core, map_size="64M", dns={"workers": 2, "cache": "4M"}).start()
        self.server = lab.dns(self.edge).start()
        self.level()
        self.pid = self.server.process.pid
        Checker.shapes.clear()
        self.checkers = [Checker(self.server, self.states, f"{seed} {n}", tcp=n % 4 == 3) for n in range(checkers)]

    # One change, and the core has it.
    def publish(self, zone, text, versions):
        before = self.core.metric("azoth_core_applied_seq")
        self.states.tell(versions)
        if text is None:
            del self.core.zones[zone]
        else:
            self.core.zones[zone] = self.lab.zone_file(f"{zone}zone", text)
        self.core.write_config()
        self.core.hup()
        wait_until(f"the core has {zone}, {versions}", lambda: self.core.metric("azoth_core_applied_seq") > before, pause=0.002)

    def change(self, zone=None):
        self.version += 1
        zone = zone or self.rng.choice(ZONES)
        self.publish(zone, zone_text(zone, self.version, 20), {zone: self.version})

    def parts(self, some=None):
        """One or two parts of PIECES change, appear or vanish in one commit."""
        self.version += 1
        some = list(some or self.rng.sample(PARTS, self.rng.choice([1, 1, 2])))
        if some[0].startswith("p"):
            some.append(f"r{self.version % 8}")         # where it leads from now on
        changed = {part: ABSENT if self.states.now(part) != ABSENT and self.rng.random() < 0.4 else self.version for part in some}
        now = {part: changed.get(part, self.states.now(part)) for part in PARTS}
        self.publish(PIECES, pieces_text(self.version, now), {**changed, PIECES: self.version})

    def vanish(self):
        there = [zone for zone in ZONES if zone in self.core.zones]
        if len(there) > 2:
            zone = self.rng.choice(there)
            self.publish(zone, None, {zone: ABSENT})

    def put(self):
        """Commits that touch no zone, and make the file grow."""
        for _ in range(self.rng.randrange(1, 5)):
            self.puts += 1
            put(self.core, f"key-{self.puts % 40}", os.urandom(self.rng.choice([10, 10_000, 200_000])))

    # What is done to the stores.
    def compact(self):
        for node in self.rng.sample([self.core, self.edge], self.rng.randrange(1, 3)):
            mark = node.mark()
            node.process.send_signal(signal.SIGUSR1)
            node.wait_log(r" (store|edge)\.compacted ", since=mark)

    def kill_edge(self):
        self.edge.kill()
        self.change()
        self.edge.start()

    def kill_core(self):
        self.core.kill()
        self.core.start()

    def restore(self):
        """The core's state under a new epoch: the edge copies it into a new generation."""
        backup = self.lab.folder / "backup"
        backup.unlink(missing_ok=True)
        self.core.azoth("backup", backup)
        self.core.stop()
        self.core.azoth("restore", "--replace", backup)
        self.core.start()

    def replace(self):
        """The edge's folder is emptied beside the running DNS server and filled anew: the same generation number."""
        self.edge.stop()
        for path in self.edge.dir.iterdir():
            if path.name not in ("node.key", "node.pub"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.change()
        self.edge.start()

    def grow(self):
        self.edge.stop()
        self.edge.map_size = f"{int(self.edge.map_size[:-1]) + 64}M"
        self.edge.write_config()
        self.edge.start()
        self.put()

    def reload_dns(self):
        self.server.hup()

    def do(self, what):
        begin = self.states.last
        what()
        self.done.append(f"{begin}..{self.states.last} {what.__name__}")

    def step(self):
        does = self.rng.choices([self.parts, self.change, self.put, self.vanish, self.compact, self.kill_edge, self.kill_core, self.restore, self.replace,
                                 self.grow, self.reload_dns], [80, 30, 10, 6, 2, 1, 1, 1, 1, 1, 2])[0]
        self.do(does)

    def level(self):
        """The DNS server answers from the newest state of every zone."""
        for zone in ZONES:
            version = self.states.now(zone)
            if version != ABSENT:
                self.server.wait_serial(zone, version)
            else:
                wait_until(f"{zone} is gone", lambda: self.server.serial(zone) is None)

    def end(self):
        self.level()
        for checker in self.checkers:
            checker.finish()
        asked = sum(c.asked for c in self.checkers)
        wrong = [text for c in self.checkers for text in c.wrong]
        assert not wrong, f"{len(wrong)} of {asked} answers are wrong:\n" + "\n\n".join(wrong[:4]) \
            + "\nwhat was done, behind which changes: " + ", ".join(line for line in self.done if not line.endswith((" parts", " change", " put")))
        assert asked > 100 and self.server.process.pid == self.pid and self.server.running()
        assert self.server.metric("azoth_dns_view_failed_total") == 0 and self.server.metric("azoth_dns_broken_total") == 0
        kinds = sum((c.kinds for c in self.checkers), collections.Counter())
        return asked, kinds, max(c.slowest for c in self.checkers)


def old_files(pid):
    """Data of generations that are gone, which a process keeps open or mapped, and so on the disk."""
    with open(f"/proc/{pid}/maps") as maps:
        return {line.split(maxsplit=5)[5].strip() for line in maps if "data.mdb (deleted)" in line}


# --- the tests --------------------------------------------------------------------------------------------------------
def test_random_changes(lab, figure):
    """Everything in a random order; AZOTH_SEED plays it again, as far as clocks allow."""
    seed = os.environ.get("AZOTH_SEED") or str(random.randrange(1 << 32))
    print(f"AZOTH_SEED={seed}")
    scene = Scene(lab, seed)
    end = time.monotonic() + SECONDS
    for each in scene.compact, scene.kill_edge, scene.restore, scene.replace, scene.vanish, scene.grow:     # each at least once
        for _ in range(3):
            scene.do(scene.parts)
            scene.do(scene.change)
        scene.do(each)
    while time.monotonic() < end:
        scene.step()
    asked, kinds, slowest = scene.end()
    done = collections.Counter(line.split()[1] for line in scene.done)
    hits = {result: scene.server.metric(f"azoth_dns_cache_{result}_total") for result in ("hits", "misses", "drops")}
    figure("truth under change: the answer cache", ", ".join(f"{n:.0f} {result}" for result, n in hits.items()))
    figure(f"truth under change: {scene.states.last} changes ({', '.join(f'{n} {what}' for what, n in sorted(done.items()))}), "
           "answers checked, slowest", f"{asked} ({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}), {slowest * 1000:.0f} ms")


def test_old_generations_are_let_go(lab):
    """Also by a server that nobody asks anything: its threads hold a view each, which moves on within seconds."""
    core = lab.core({"z.example.": lab.zone_file("zone", small_zone("z.example.", 1))}).start()
    edge = lab.edge("edge-1", core, dns={"workers": 2}).start()
    server = lab.dns(edge).start()
    for generation in 1, 2:
        edge.process.send_signal(signal.SIGUSR1)
        wait_until("the edge let go", lambda: not (edge.dir / f"data.{generation}").exists())
        wait_until("so did the server", lambda: not old_files(server.process.pid), pause=0.1)      # (its pages would move its view)
    server.wait_serial("z.example.", 1)
    assert server.metric("azoth_dns_generation") == 3
