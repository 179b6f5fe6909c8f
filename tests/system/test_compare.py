"""azoth compare: no differences where servers have the same zone, whoever made them; each kind of difference is shown; what stands
between (a server that is not there, goes away, forges, cuts off) is told and does not pass for a difference of the zone."""
import gzip
import os
import re
import socket
import threading
import time

import dns.message
import dns.query
import pytest

import genzone
import peers
import signers
from lab import DATA, HOST, azoth, port, small_zone
from oddzones import World
from test_cli_zone import on_terminal

needs_peers = pytest.mark.skipif(bool(peers.missing()), reason=f"not installed: {peers.missing()} (scripts/install-deps --test)")


def compare(a, b, *args, code=0):
    return azoth("compare", "--server", f"{HOST}@{a}", "--server", f"{HOST}@{b}", *args, code=code)


def found(result):
    """{(name, type): what differs}"""
    return {(d["name"], d["type"]): set(d["differs"]) for d in result.json()["differences"]}


class Meddler:
    """Passes datagrams on to a server; change(question, answer) gives what the asker gets: bytes, or None for nothing."""

    def __init__(self, to, change, rude=False):
        self.to, self.change, self.port, self.seen = to, change, port(), 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((HOST, self.port))
        self.sock.settimeout(0.1)
        self.rude = rude
        self.listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self.pipe, daemon=True).start()
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.settimeout(5)
        out.connect((HOST, self.to))
        while self.running:
            try:
                question, who = self.sock.recvfrom(4096)
            except TimeoutError:
                continue
            self.seen += 1
            out.send(question)
            answer = out.recv(65535)
            for piece in self.change(question, answer) or []:
                self.sock.sendto(piece, who)

    def pipe(self):
        """One connection after the other; of a rude one the first is closed without an answer."""
        first = self.rude
        while True:
            try:
                asker, _ = self.listener.accept()
            except OSError:
                return
            if first:
                first = False
                asker.recv(10)
                asker.close()
                continue
            with asker, socket.create_connection((HOST, self.to)) as server:
                back = threading.Thread(target=self.copy, args=(server, asker), daemon=True)
                back.start()
                self.copy(asker, server)

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass

    def stop(self):
        self.running = False
        self.thread.join()
        self.sock.close()
        self.listener.close()


@pytest.fixture
def meddler():
    started = []

    def make(*args, **more):
        started.append(Meddler(*args, **more))
        return started[-1]
    yield make
    for one in started:
        one.stop()


@pytest.fixture
def served(lab):
    """served(zones): azoth-dns with these zone files."""
    def make(zones, **settings):
        core = lab.core(name=f"core-{port()}", **settings)
        core.load(*(f"{zone}={path}" for zone, path in zones.items()))
        return lab.dns(core).start()
    return make


# --- the same everywhere ----------------------------------------------------------------------------------------------------
@needs_peers
def test_servers_with_the_same_zone_answer_alike(lab, beside, figure):
    zone = lab.folder / "gen.zone"
    genzone.generate_file(1000, "gen.example.", zone)
    (nsd, knot, bind), ours = beside({"gen.example.": zone})
    for other in nsd, knot, bind:
        done = compare(ours.port, other.port, "--zone", f"gen.example={zone}", "--dnssec", "--json").json()
        assert done["different"] == 0 and done["questions"] > 10000 and done["unanswered"] == [0, 0] and "serials" not in done
    figure("azoth compare, azoth-dns and BIND", f"{done['questions'] / done['seconds']:,.0f} questions/s")
    assert compare(ours.port, ours.port, "--zone", f"gen.example={zone}", "--strict").out.rstrip().endswith(" answered alike, 0 not")
    strict = compare(ours.port, nsd.port, "--zone", f"gen.example={zone}", "--strict", "--json", "--types", "A,TXT", code=None).json()
    assert strict["questions"] > 0 and set(strict["kinds"]) <= {"authority", "additional"}     # courtesy


@needs_peers
@pytest.mark.parametrize("seed,signed", [(3, False), (11, False), (1, True), (2, True)])
def test_odd_zones(lab, beside, seed, signed):
    """Escapes, cuts of all kinds, DNAMEs, wildcards, empty names: what the peers agree on is no difference to azoth either."""
    world = World(seed, signed)
    files = {origin: signers.sign(lab.folder / f"odd-{n}", "bind", origin, zone.text(), zone.signed) if zone.signed
             else lab.zone_file(f"odd-{n}", zone.text()) for n, (origin, zone) in enumerate(world.zones.items())}
    (nsd, knot, _), ours = beside(files)
    asked = apart = 0
    for origin, path in files.items():
        def run(a, b):
            return compare(a.port, b.port, "--zone", f"{origin}={path}", "--dnssec", "--json", "--limit-differences", "100000", code=None)
        peers_differ = set(found(run(nsd, knot)))
        apart += len(peers_differ)
        done = run(ours, nsd)
        asked += done.json()["questions"]
        wrong = {k: v for k, v in found(done).items() if k not in peers_differ}
        assert not wrong, f"{origin} in {lab.folder}: {wrong}"
    assert asked > 2000 and apart * 10 < asked, (apart, asked)


@pytest.mark.skipif(not (DATA / "root" / "base.zone.gz").exists(), reason="no root zone")
def test_the_root_zone(lab, served):
    path = lab.zone_file("root.zone", gzip.open(DATA / "root" / "base.zone.gz", "rt").read())
    nsd = peers.Nsd(lab.folder, {".": path}) if not peers.missing() else None
    ours = served({".": path})
    try:
        done = compare(ours.port, nsd.port if nsd else ours.port, "--zone", path, "--dnssec", "--json").json()
        assert done["zone"] == "." and done["different"] == 0 and done["questions"] > 50000
    finally:
        if nsd:
            nsd.stop()


# --- differences --------------------------------------------------------------------------------------------------------------
COMMON = "ns A 192.0.2.1\n*.wild A 192.0.2.7\nsub NS ns.sub\nalias CNAME www\nfar CNAME www.example.net.\na.b.c TXT deep\nlong TXT " + \
    " ".join(f'"{"x" * 250}{i}"' for i in range(12)) + "\nl\\.o\\000d A 192.0.2.9\n" + ".".join("abcdefghij"[i % 10] for i in range(121)) + \
    " A 192.0.2.10\n"
HEAD = "$ORIGIN z.example.\n$TTL 300\n@ SOA ns hostmaster {} 7200 900 1209600 60\n@ NS ns\n"


@pytest.fixture
def pair(lab, served):
    """Two servers on zones that are alike but for these records."""
    def make(left="", right="", serials=(1, 1)):
        files = [lab.zone_file(f"z{i}", HEAD.format(serials[i]) + COMMON + extra) for i, extra in enumerate((left, right))]
        return [served({"z.example.": f}) for f in files], files
    return make


def test_each_difference_is_shown(pair):
    left = "www A 192.0.2.2\nns.sub A 192.0.2.3\nonly A 192.0.2.4\nttl 300 MX 1 ns\nx 60 A 192.0.2.5\nx TXT same\n"
    right = "www A 192.0.2.99\nns.sub A 192.0.2.33\nttl 301 MX 1 ns\nx 60 A 192.0.2.5\nx TXT same\nmore.deep A 192.0.2.6\n"
    (one, two), (file, other) = pair(left, right, serials=(5, 6))
    done = compare(one.port, two.port, "--zone", file, "--json", code=2)
    differ = found(done)
    assert done.json()["zone"] == "z.example." and done.json()["serials"] == [5, 6]
    assert differ[("www.z.example.", "A")] == {"answer"} and differ[("only.z.example.", "A")] == {"rcode", "answer"}
    assert differ[("only.z.example.", "TXT")] == {"rcode"} and differ[("ttl.z.example.", "MX")] == {"ttl"}
    assert differ[("alias.z.example.", "A")] == {"answer"} and differ[("sub.z.example.", "A")] == {"glue"}
    assert differ[("azoth-compare.sub.z.example.", "A")] == {"glue"}
    assert not any(name.split(".")[0] in ("x", "ns", "far", "long", "b", "c", "wild") for name, _ in differ if not name.startswith("ns.sub"))
    assert ("more.deep.z.example.", "A") in found(compare(one.port, two.port, "--zone", other, "--json", code=2))
    ttl = [d for d in done.json()["differences"] if d["type"] == "MX" and d["name"].startswith("ttl")][0]
    assert [a["only"] for a in ttl["answers"]] == [["ttl.z.example. 300 IN MX 1 ns.z.example."], ["ttl.z.example. 301 IN MX 1 ns.z.example."]]
    assert ("ttl.z.example.", "MX") not in found(compare(one.port, two.port, "--zone", file, "--json", "--ignore-ttl", code=2))
    text = compare(one.port, two.port, "--zone", file, "--types", "A", code=2).out
    assert f"--- {HOST}@{one.port}\n+++ {HOST}@{two.port}\n" in text
    assert "www.z.example. A: answer\n- www.z.example. 300 IN A 192.0.2.2\n+ www.z.example. 300 IN A 192.0.2.99\n" in text
    assert "only.z.example. A: rcode, answer\n- NOERROR aa, answer\n+ NXDOMAIN aa, nxdomain\n- only.z.example. 300 IN A 192.0.2.4\n" in text
    assert text.count("serial: ") == 1 and f"serial: 5 at {HOST}@{one.port}, 6 at {HOST}@{two.port}\n" in text
    cut = compare(one.port, two.port, "--zone", file, "--json", "--limit-differences", "1", code=2).json()
    assert cut["cut"] and len(cut["differences"]) == 1 and cut["different"] == done.json()["different"] > 5


def test_a_serial_alone_is_a_difference_told_once(pair):
    (one, two), (file, _) = pair(serials=(1, 4294967295))
    done = compare(one.port, two.port, "--zone", file, "--dnssec", "--json", code=2).json()
    assert done["different"] == 0 and done["serials"] == [1, 4294967295] and done["questions"] > 60


def test_flags_and_truncation(pair, meddler):
    """AA cleared is shown; TC leads to TCP, where the answers are the same; a connection that is closed is made again."""
    (one, two), (file, _) = pair()
    no_aa = meddler(two.port, lambda q, a: [a[:2] + bytes([a[2] & ~4]) + a[3:]])
    done = compare(one.port, no_aa.port, "--zone", file, "--json", code=2).json()
    assert set(done["kinds"]) == {"aa"} and done["different"] > 20
    cut = meddler(two.port, lambda q, a: [a[:2] + bytes([a[2] | 2]) + a[3:4] + a[4:6] + bytes(6) + q[12:-11]], rude=True)
    done = compare(one.port, cut.port, "--zone", file, "--json").json()
    assert done["different"] == 0 and cut.seen >= done["questions"]


def test_what_is_no_answer_to_us_is_none(pair, meddler):
    """Wrong id, wrong question, the question come back: none of them counts, the right answer behind them does."""
    (one, two), (file, _) = pair()

    def forge(question, answer):
        other = bytes([answer[0] ^ 0x80]) + answer[1:]
        renamed = answer[:13] + bytes([answer[13] ^ 1]) + answer[14:] if answer[12] else answer
        return [question, other, renamed, b"", answer[:7], answer, answer]
    assert compare(one.port, meddler(two.port, forge).port, "--zone", file, "--json").json()["different"] == 0
    broken = meddler(two.port, lambda q, a: [a if b"\x04only" not in q and b"\x04wild" not in q else a[:-12]])
    done = compare(one.port, broken.port, "--zone", file, "--json", code=2).json()
    assert set(done["kinds"]) == {"malformed"}


def test_lost_answers_are_asked_for_again(pair, meddler):
    (one, two), (file, _) = pair()
    seen = set()

    def lose(question, answer):
        new = question[12:] not in seen
        seen.add(question[12:])
        return [] if new else [answer]
    done = compare(one.port, meddler(two.port, lose).port, "--zone", file, "--types", "A", "--timeout", "100ms", "--retries", "20", "--json").json()
    assert done["different"] == 0 and done["unanswered"] == [0, 0] and done["retries"][1] >= done["questions"]


# --- servers that are not there -------------------------------------------------------------------------------------------------
def test_a_server_that_is_not_there(pair):
    (one, _), (file, _) = pair()
    nobody = port()
    done = compare(one.port, nobody, "--zone", file, "--timeout", "200ms", "--retries", "1", code=1)
    assert done.error_lines() == [f"azoth: compare: {HOST}@{nobody} does not answer: asked 2 times, 200 ms each: Connection refused"]
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind((HOST, 0))
    done = compare(silent.getsockname()[1], one.port, "--zone", file, "--timeout", "200ms", "--retries", "0", code=1)
    assert "does not answer: asked 1 times, 200 ms each" in done.err
    silent.close()


def test_a_server_that_goes_away(pair, meddler):
    names = "".join(f"n{i} A 192.0.2.1\n" for i in range(200))
    (one, two), (file, _) = pair(names, names)
    answered = []

    def tire(question, answer):
        answered.append(1)
        return [answer] if len(answered) < 300 else []
    tired = meddler(two.port, tire)
    done = compare(one.port, tired.port, "--zone", file, "--timeout", "200ms", "--retries", "1", code=1)
    assert f"{HOST}@{tired.port} does not answer any more" in done.err and "questions to" in done.out


def test_some_questions_without_an_answer(pair, meddler):
    (one, two), (file, _) = pair()
    picky = meddler(two.port, lambda q, a: [] if b"\x04wild" in q else [a])
    done = compare(one.port, picky.port, "--zone", file, "--timeout", "200ms", "--retries", "1", "--json", code=2).json()
    assert set(done["kinds"]) == {"unanswered"} and done["unanswered"][0] == 0 and done["unanswered"][1] == done["different"] > 3


def test_a_zone_that_nobody_has(pair, lab):
    (one, two), _ = pair()
    other = lab.zone_file("other", small_zone("other.example."))
    done = compare(one.port, two.port, "--zone", other, code=1)
    assert "neither server has the zone other.example." in done.err and "REFUSED" in done.err


# --- arguments ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("args,words", [
    ([], "--server twice"),
    (["--server", "127.0.0.1"], "--server twice"),
    (["--server", "127.0.0.1", "--server", "example.com"], "'example.com' is no ADDRESS"),
    (["--server", "127.0.0.1", "--server", "::1@0"], "'::1@0' is no ADDRESS"),
    (["--server", "127.0.0.1", "--server", "::1", "--types", "A,NONE"], "'NONE' is no type"),
    (["--server", "127.0.0.1", "--server", "::1", "--retries", "x"], "--retries"),
    (["--server", "127.0.0.1", "--server", "::1", "--timeout", "0"], "--timeout"),
    (["--server", "127.0.0.1", "--server", "::1", "--axfr", "x"], "one of them"),
    (["--server", "127.0.0.1", "--server", "::1", "--key", "a:hmac-sha256:AAAA"], "--key is for --axfr"),
])
def test_wrong_usage(lab, args, words):
    done = azoth("compare", "--zone", lab.zone_file("z", small_zone("z.")), *args, code=1)
    assert words in done.err and len(done.error_lines()) == 1


def test_a_file_that_does_not_read(lab):
    bad = lab.zone_file("bad", "$ORIGIN z.\n@ 60 A 192.0.2.256\n")
    assert "bad:2: " in azoth("compare", "--server", HOST, "--server", HOST, "--zone", f"z={bad}", code=1).err
    none = lab.zone_file("none", "a.z. 60 IN A 192.0.2.1\n")
    assert "there is no SOA" in azoth("compare", "--server", HOST, "--server", HOST, "--zone", none, code=1).err
    outside = lab.zone_file("outside", small_zone("z.", extra="www.example.com. A 192.0.2.1\n"))
    assert "www.example.com" in azoth("compare", "--server", HOST, "--server", HOST, "--zone", outside, code=1).err


# --- transfers -----------------------------------------------------------------------------------------------------------------------
SECRET = "c2VjcmV0IG9mIHRoZXNlIHRlc3RzIG9ubHk="


class KeyedBind(peers.Bind):
    def config(self, zones):
        text = super().config(zones).replace("recursion no;", "recursion no; allow-transfer { key k.example.; };")
        return f'key "k.example." {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n' + text


@needs_peers
def test_names_by_transfer(lab, served):
    zone = lab.folder / "gen.zone"
    genzone.generate_file(2000, "gen.example.", zone)
    bind = KeyedBind(lab.folder, {"gen.example.": zone})
    ours = served({"gen.example.": zone})
    try:
        by_file = compare(bind.port, ours.port, "--zone", f"gen.example={zone}", "--json").json()
        done = compare(bind.port, ours.port, "--axfr", "gen.example", "--key", f"k.example:hmac-sha256:{SECRET}", "--json").json()
        assert done["questions"] == by_file["questions"] and done["different"] == 0
        assert "does not give the zone" in compare(bind.port, ours.port, "--axfr", "gen.example", code=1).err
        wrong = f"k.example:hmac-sha256:{SECRET[4:]}"
        assert "does not give the zone" in compare(bind.port, ours.port, "--axfr", "gen.example", "--key", wrong, code=1).err
        assert "is no algorithm" in compare(bind.port, ours.port, "--axfr", "gen.example", "--key", "k:md4:AAAA", code=1).err
        assert "connecting over TCP" in compare(port(), ours.port, "--axfr", "gen.example", code=1).err
    finally:
        bind.stop()


def test_a_rate(pair):
    (one, two), (file, _) = pair()
    start = time.monotonic()
    done = compare(one.port, two.port, "--zone", file, "--rate", "200", "--types", "A", "--json").json()
    assert done["questions"] > 25 and time.monotonic() - start > (done["questions"] - 2) / 200


def test_progress_on_a_terminal(pair):
    """A bar that grows while it asks, and is gone at the end; without a terminal there is none."""
    (one, two), (file, _) = pair()
    args = ["compare", "--server", f"{HOST}@{one.port}", "--server", f"{HOST}@{two.port}", "--zone", file, "--types", "A", "--rate", "150"]
    code, text = on_terminal(args, os.environ)
    shares = [int(share) for share in re.findall(r"compare \[[#.]{30}\] +(\d+) %  \d+ of \d+ questions", text)]
    assert code == 0 and len(shares) >= 2 and shares == sorted(shares) and shares[0] < shares[-1], text
    assert text.rpartition("\r\033[K")[2].startswith("z.example.: ")
    assert "[" not in azoth(*args).err
