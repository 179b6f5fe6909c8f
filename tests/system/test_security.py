"""Who may have the data, and what somebody on the way can do: the rows of ARCHITECTURE.md's threat model that need real
processes and real connections."""
import base64
import json
import os
import re
import shutil
import socket
import struct
import threading
import time
import urllib.request

import pytest

import lab as laboratory
from lab import HOST, small_zone, wait_until

ZONE = "secret-zone.example."
NAME = b"secret-zone"           # as it stands in keys: labels, and in zone data
WORD = b"a-word-that-nobody-else-says"


# --- changes -------------------------------------------------------------------------------------------------------
def put(core, key, value):
    """A change through the API; gives its seq."""
    request = urllib.request.Request(f"http://{HOST}:{core.ports['api']}/v1/kv/test/{key}", data=value, method="PUT",
                                     headers={"X-API-Key": laboratory.API_KEY})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)["seq"]


class Writer(threading.Thread):
    """Changes something all the time."""

    def __init__(self, core):
        super().__init__(daemon=True)
        self.core, self.seq, self.n, self.ending, self.wrong = core, 0, 0, False, None
        self.start()

    def run(self):
        try:
            while not self.ending:
                self.seq = put(self.core, f"load-{self.n % 50}", b"%d %s" % (self.n, WORD))
                self.n += 1
                time.sleep(0.005)
        except OSError as error:
            self.wrong = error

    def end(self):
        self.ending = True
        self.join(30)
        assert self.wrong is None, self.wrong


def secret_core(lab, encrypt=True, **more):
    zone = lab.zone_file("zone", small_zone(ZONE, 1, f'txt IN TXT "{WORD.decode()}"\n'))
    return lab.core({ZONE: zone}, api=True, core={"encrypt": encrypt}, **more)


def applied(node):
    return node.stat()["applied"]


# --- somebody on the way -------------------------------------------------------------------------------------------
class Tap(threading.Thread):
    """Forwards TCP connections to a port and keeps all that went by."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.heard, self.said = target, bytearray(), bytearray()   # to, and from, whoever is tapped
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection((HOST, self.target))
            except OSError:
                return
            for source, sink, kept in (near, far, self.heard), (far, near, self.said):
                threading.Thread(target=self.pump, args=(source, sink, kept), daemon=True).start()

    @staticmethod
    def pump(source, sink, kept):
        try:
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
        except OSError:
            pass
        for end in source, sink:
            end.close()

    def link(self):
        return f"tcp://{HOST}:{self.port}"

    def close(self):
        self.listener.close()


# nanomsg's wire format: a header that names the protocol, then messages behind their length in 8 bytes. Announcements go
# over BUS sockets.
PUB, REQ, REP, PUSH = 0x70, 0x30, 0x31, 0x50
HEADER = struct.Struct(">4sHH")


def frames(data):
    """The messages of one direction of one connection."""
    at, found = HEADER.size, []
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 8], "big")
        if at + 8 + size > len(data):
            break
        found.append(bytes(data[at + 8:at + 8 + size]))
        at += 8 + size
    return found


def take(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise OSError("closed")
        data += more
    return data


def pack(value):
    """MessagePack, the smallest form of each value."""
    if value is None:
        return b"\xc0"
    if isinstance(value, int):
        for most, form, size in (0x7f, None, 1), (0xff, 0xcc, 1), (0xffff, 0xcd, 2), (0xffffffff, 0xce, 4), (2**64 - 1, 0xcf, 8):
            if value <= most:
                return (b"" if form is None else bytes([form])) + value.to_bytes(size, "big")
    if isinstance(value, str):
        return bytes([0xa0 | len(value)]) + value.encode()
    if isinstance(value, bytes):
        size = 1 if len(value) < 256 else 2 if len(value) < 65536 else 4
        return bytes([0xc3 + {1: 1, 2: 2, 4: 3}[size]]) + len(value).to_bytes(size, "big") + value
    return bytes([0x90 | len(value)]) + b"".join(pack(v) for v in value)


class Asker:
    """A client of a serving node that says what it likes."""

    def __init__(self, port):
        self.sock = socket.create_connection((HOST, port), timeout=10)
        self.sock.sendall(HEADER.pack(b"\0SP\0", REQ, 0))
        take(self.sock, 8)
        self.n = 0

    def send(self, message):
        self.n += 1
        body = (0x80000000 | self.n).to_bytes(4, "big") + message
        self.sock.sendall(len(body).to_bytes(8, "big") + body)

    def reply(self, timeout):
        try:
            self.sock.settimeout(timeout)
            return take(self.sock, int.from_bytes(take(self.sock, 8), "big"))[4:]
        except OSError:
            return None


class Liar:
    """A relay that nobody should trust: announces what it was given, answers with what it makes up."""

    def __init__(self, announcements, pub, cluster):
        self.announcements, self.pub, self.cluster = announcements, pub, cluster
        self.asked = []
        self.listeners = {kind: socket.create_server((HOST, 0)) for kind in (PUB, REP)}
        for kind, serve in (PUB, self.publish), (REP, self.answer):
            threading.Thread(target=self.accept, args=(kind, serve), daemon=True).start()

    def links(self):
        return {"publish": f"tcp://{HOST}:{self.listeners[PUB].getsockname()[1]}",
                "serve": f"tcp://{HOST}:{self.listeners[REP].getsockname()[1]}"}

    def accept(self, kind, serve):
        while True:
            try:
                sock, _ = self.listeners[kind].accept()
            except OSError:
                return
            threading.Thread(target=self.guarded, args=(serve, sock, kind), daemon=True).start()

    @staticmethod
    def guarded(serve, sock, kind):
        try:
            sock.sendall(HEADER.pack(b"\0SP\0", kind, 0))
            take(sock, 8)
            serve(sock)
        except OSError:
            sock.close()

    @staticmethod
    def say(sock, message):
        sock.sendall(len(message).to_bytes(8, "big") + message)

    def publish(self, sock):
        n = 0
        while True:
            for message in self.announcements:
                self.say(sock, message)
                changed = bytearray(message)
                changed[n % len(changed)] ^= 1 << n % 8
                self.say(sock, bytes(changed))
                n += 1
            self.say(sock, os.urandom(100))
            self.say(sock, pack([1, b"x" * 60, b"y" * 64]))
            time.sleep(0.05)

    def answer(self, sock):
        while True:
            request = take(sock, int.from_bytes(take(sock, 8), "big"))
            id, body = request[:4], request[4:]
            self.asked.append(body)
            hello = body[:2] == b"\x92\x01"
            lies = [pack([1, os.urandom(16), self.cluster, 1, 10**9, "liar", self.pub])] if hello else [
                pack([2, 0, 1, 10**9, None, None, [b"record"]]), pack([5, [b"k" * 32]]), pack([16, b"n" * 24, os.urandom(90)]),
                pack([0, 6, "hello first", 0]), b"\xff", pack([3, b"h" * 60, b"s" * 64, 10, 0, b"manifest.."]), b""]
            self.say(sock, id + lies[len(self.asked) % len(lies)])

    def close(self):
        for listener in self.listeners.values():
            listener.close()


# --- the rows ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("encrypt", [True, False])
def test_a_wire_tapper(lab, encrypt):
    """With encryption neither port says anything of names and values; without it only what is fetched is secret."""
    core = secret_core(lab, encrypt).start()
    publish, serve = Tap(core.ports["publish"]), Tap(core.ports["serve"])
    edge = lab.edge("edge-1", core, links=[{"publish": publish.link(), "serve": serve.link()}]).start()
    lab.wait_equal([core, edge])                        # fetched, or copied
    for n in range(20):                                 # announced
        put(core, f"{NAME.decode()}-{n}", WORD)
    lab.wait_equal([core, edge])
    assert len(publish.said) > 2000 and len(serve.said) > 500 and len(serve.heard) > 100
    for text in NAME, WORD:
        assert text not in serve.said and text not in serve.heard
        assert (text not in publish.said) == encrypt, "and the tap does hear" if encrypt else "nothing to hear: a bad test"
    for tap in publish, serve:
        tap.close()


def test_an_unlisted_edge_gets_nothing_until_it_is_listed(lab):
    core = secret_core(lab).start()
    lab.barred.add("stranger")
    stranger = lab.edge("stranger", core)
    stranger.launch()
    line = stranger.wait_log(r"edge\.unlisted")
    assert f"{stranger.dir}/node.pub" in line and "stranger.pub" in line
    core.wait_log(r'publish\.unlisted node="stranger"')
    put(core, "k", WORD)                                # announced to all who listen
    wait_until("it hears", lambda: stranger.metric("azoth_edge_head_seq") >= applied(core))
    time.sleep(1)                                       # what it could do with it is done
    stat = stranger.stat()
    assert stat["applied"] == 0 and stranger.page("/readyz")[0] == 503
    key = stranger.dir / "node.key"                     # made by its first start
    assert key.stat().st_mode & 0o777 == 0o600 and stranger.wait_log(r"edge\.key").count(stranger.pub()) == 1
    for file in stranger.dir.rglob("*"):
        assert not file.is_file() or WORD not in file.read_bytes(), file
    lab.barred.discard("stranger")
    lab.admit()
    stranger.wait_ready()
    lab.wait_equal([core, stranger])


def test_a_removed_node_gets_nothing_more(lab):
    """Changes go on all the while; the relay and the edge behind it miss nothing."""
    core = secret_core(lab).start()
    relay = lab.edge("relay", core, relay=True).start()
    behind = lab.edge("behind", relay).start()
    thief = lab.edge("thief", core).start()
    writer = Writer(core)
    wait_until("all follow", lambda: min(applied(n) for n in (relay, behind, thief)) > 20)
    mark = core.mark()
    lab.bar(thief)
    core.wait_log(r'core\.cluster_key id=[0-9a-f]{16} why="a node was removed"', since=mark)
    time.sleep(0.3)                                     # what was encrypted before is on its way
    last = applied(thief)
    since = writer.seq
    wait_until("the others go on", lambda: min(applied(n) for n in (relay, behind)) > since + 50)
    put(core, "after", b"unheard-of-by-thieves")
    thief.wait_log(r"edge\.unlisted")
    assert applied(thief) <= last + 5, "it reads what it must not"
    writer.end()
    lab.wait_equal([core, relay, behind])
    thief.stop()
    for file in thief.dir.rglob("*"):
        assert not file.is_file() or b"unheard-of-by-thieves" not in file.read_bytes(), file
    for node in relay, behind:
        assert node.metric("azoth_edge_mismatches_total") == 0
    lab.barred.discard("thief")                         # listed again, it goes on where it was
    lab.admit()
    thief.start()
    lab.wait_equal([core, thief])


def test_a_node_removed_while_the_core_is_down(lab):
    core = secret_core(lab).start()
    edge = lab.edge("edge-1", core).start()
    thief = lab.edge("thief", core).start()
    lab.wait_equal([core, edge, thief])
    core.stop()
    lab.bar(thief)
    mark = core.mark()
    core.start()
    core.wait_log(r'core\.cluster_key id=[0-9a-f]{16} why="a node was removed"', since=mark)
    before = applied(thief)
    put(core, "k", WORD)
    wait_until("the edge reads it", lambda: applied(edge) > before)
    thief.wait_log(r"edge\.unlisted")
    assert applied(thief) == before
    core.stop()
    mark = core.mark()
    core.start()
    assert "core.cluster_key" not in core.log()[mark:], "once is enough"
    core.stop()
    (core.dir / "cluster.nodes").unlink()               # who knows the key is not known any more
    mark = core.mark()
    core.start()
    core.wait_log(r"core\.cluster_key id=", since=mark)
    put(core, "k", WORD)
    lab.wait_equal([core, edge])


def test_keys_change_without_a_gap(lab):
    """A new cluster key again and again while changes go through a relay: nobody waits long, copies or misses one."""
    core = secret_core(lab).start()
    relay = lab.edge("relay", core, relay=True).start()
    edges = [relay, lab.edge("edge-1", relay).start(), lab.edge("edge-2", relay).start()]
    writer = Writer(core)
    for n in range(8):
        lab.listed[f"leaver-{n}"] = "?"
        (lab.nodes / f"leaver-{n}.pub").write_text("ed25519:" + base64.b64encode(bytes([n + 1] * 32)).decode() + "\n")
        lab.relist()
        mark = core.mark()
        del lab.listed[f"leaver-{n}"]
        (lab.nodes / f"leaver-{n}.pub").unlink()
        lab.relist()
        core.wait_log(r"core\.cluster_key id=", since=mark)
        since = writer.seq
        wait_until("a change of behind it is everywhere", lambda: min(applied(e) for e in edges) > since + 5)
    writer.end()
    lab.wait_equal([core, *edges])
    ids = {n: set(re.findall(r"cluster_key id=([0-9a-f]{16})", n.log())) for n in [core, *edges]}
    assert len(ids[core]) == 9
    for edge in edges:
        assert len(ids[edge] & ids[core]) >= 8, "each key was fetched"
        assert edge.metric("azoth_edge_mismatches_total") == 0 and edge.metric("azoth_edge_copies_total") <= 1
    fresh = lab.edge("fresh", relay).start()            # and all of the log, or a copy, can be read by who comes late
    lab.wait_equal([core, fresh])


def test_a_key_that_nobody_keeps_any_more(lab):
    """Servers keep 64 cluster keys, and the log may be older than that: an edge that was away for so long copies."""
    core = secret_core(lab).start()
    edge = lab.edge("edge-1", core).start()
    lab.wait_equal([core, edge])
    edge.stop()

    def rotate():
        request = urllib.request.Request(f"http://{HOST}:{core.ports['api']}/v1/cluster/rotate-key", method="POST",
                                         headers={"X-API-Key": laboratory.API_KEY})
        urllib.request.urlopen(request, timeout=30).close()
    rotate()
    put(core, "k", b"under a key that the edge never saw")
    for _ in range(64):
        rotate()
    put(core, "k", b"under the newest")
    edge.start(timeout=60)
    edge.wait_log(r"edge\.copy why=no-cluster-key", timeout=90)
    lab.wait_equal([core, edge])
    put(core, "k", WORD)
    lab.wait_equal([core, edge])


def test_encryption_switched_off_and_on(lab):
    core = secret_core(lab).start()
    edge = lab.edge("edge-1", core).start()
    for encrypt in False, True, False:
        put(core, f"before-{encrypt}", WORD)
        core.stop()
        core.settings["core"]["encrypt"] = encrypt
        core.write_config()
        core.start()
        put(core, f"after-{encrypt}", WORD)
        lab.wait_equal([core, edge])
    late = lab.edge("late", core).start()
    lab.wait_equal([core, late])
    ids = [record["key_id"] for record in core.azoth("log", "--json").json_lines()]
    assert 0 in ids and any(ids) and len(set(ids)) == 2
    out = core.azoth("log").out
    assert "before-True" in out and "after-True" in out, "the core reads its own log"


def test_a_hostile_relay(lab):
    """It replays, alters, makes up. Alone it gets nobody to believe anything; beside a good upstream it is left."""
    core = secret_core(lab, encrypt=False).start()
    tap = Tap(core.ports["publish"])
    good = lab.edge("good", core, links=[{"publish": tap.link(), "serve": core.links()["serve"]}]).start()
    for n in range(10):
        put(core, f"k{n}", b"old")
    lab.wait_equal([core, good])
    old = frames(tap.said)
    assert len(old) > 5
    good.stop()
    tap.close()
    for n in range(10):
        put(core, f"k{n}", b"new")
    liar = Liar(old, base64.b64decode(core.pub().split(":")[1]), bytes.fromhex(core.stat()["cluster"]))
    alone = lab.edge("alone", core, links=[liar.links()])
    alone.launch()
    both = lab.edge("both", core, links=[liar.links(), {k: core.links()[k] for k in ("publish", "serve")}]).start(timeout=60)
    good.upstream_links = [liar.links(), {k: core.links()[k] for k in ("publish", "serve")}]
    good.write_config()
    good.start(timeout=60)                              # its data stands at the old state, and the liar replays just that
    lab.wait_equal([core, both, good], timeout=60)
    for node in both, good, alone:
        node.wait_log(r"edge\.bad-message")
    assert good.running() and both.running() and alone.running()
    assert len(liar.asked) > 10
    assert applied(alone) <= applied(good), "what was replayed to it is true, if old"
    assert alone.page("/readyz")[0] == 503
    put(core, "last", b"word")
    lab.wait_equal([core, both, good], timeout=60)
    liar.close()


def test_hostile_requests(lab):
    """A flood of what strangers can send: the core counts it, answers none of it with data, and serves its nodes."""
    core = secret_core(lab).start()
    edge = lab.edge("edge-1", core).start()
    asker = Asker(core.ports["serve"])
    asker.send(pack([1, "stranger"]))
    hello = asker.reply(10)
    assert hello[:2] == b"\x97\x01"
    nonce = hello[4:20]
    messages = {
        "unsigned": pack([2, 1, 0, 1000000]), "nonce": pack([16, "edge-1", b"n" * 16, 1, pack([2, 1, 0, 9]), b"s" * 64]),
        "unlisted": pack([16, "stranger", nonce, 1, pack([2, 1, 0, 9]), b"s" * 64]),
        "forged": pack([16, "edge-1", nonce, 1, pack([5]), b"s" * 64]), "malformed": b"\x93\x02",
        "unknown": pack([99]), "manifest": pack([3, 1, 1, 0]), "keys": pack([5]),
    }
    for why, message in messages.items():
        asker.send(message)
        reply = asker.reply(0.5 if why in ("forged", "malformed") else 10)
        assert (reply is None) == (why in ("forged", "malformed")), why
        if reply is not None:
            assert reply[:2] == b"\x94\x00", f"{why}: no error, but {reply[:40]!r}"
        else:
            asker = Asker(core.ports["serve"])          # its message may have been cut
    writer = Writer(core)
    flood = Asker(core.ports["serve"])
    ending = threading.Event()

    def hostile():
        try:
            while not ending.is_set():
                for message in list(messages.values()) + [os.urandom(300), pack([1, "x"])]:
                    flood.send(message)
        except OSError:
            pass
    thread = threading.Thread(target=hostile, daemon=True)
    thread.start()
    threading.Thread(target=lambda: [None for _ in iter(lambda: flood.reply(5), None)], daemon=True).start()
    since = applied(edge)
    wait_until("the edge follows", lambda: applied(edge) > since + 100, 60)
    late = lab.edge("late", core).start(timeout=60)     # and a new one gets its copy
    ending.set()
    thread.join(10)
    flood.sock.close()
    writer.end()
    lab.wait_equal([core, edge, late])
    refused = {why: core.metric("azoth_publish_refused_total", why=why) for why in
               ("unsigned", "nonce", "unlisted", "forged", "malformed", "unknown")}
    assert all(n > 0 for n in refused.values()), refused
    assert len(re.findall(r"publish\.(unlisted|forged)", core.log())) < 200, "bursts are held back"


def test_floods_leave_time_for_the_rest(lab):
    """More than the core can take at both ports where it takes anything: requests whose signatures it must check, and receipts.
    It goes on telling, serving, and answering pages."""
    core = secret_core(lab).start()
    edge = lab.edge("edge-1", core).start()
    asker = Asker(core.ports["serve"])
    asker.send(pack([1, "stranger"]))
    nonce = asker.reply(10)[4:20]
    forged = bytes([0x80, 0, 0, 1]) + pack([16, "edge-1", nonce, 1, pack([5]), os.urandom(32) + bytes([1]) + bytes(31)])
    ending = threading.Event()

    def flood(port, protocol, message):
        many = (len(message).to_bytes(8, "big") + message) * 1000
        with socket.create_connection((HOST, port)) as sock:
            sock.sendall(HEADER.pack(b"\0SP\0", protocol, 0))
            try:
                while not ending.is_set():
                    sock.sendall(many)
            except OSError:
                pass
    for port, protocol, message in [(core.ports["serve"], REQ, forged)] * 2 + [(core.ports["collect"], PUSH, os.urandom(40))] * 2:
        threading.Thread(target=flood, args=(port, protocol, message), daemon=True).start()
    wait_until("the floods are there", lambda: core.metric("azoth_publish_refused_total", why="forged") > 5000
               and core.metric("azoth_fleet_receipts_total", result="malformed") > 5000, 60)
    for _ in range(10):
        seq, taken = put(core, "k", WORD), core.metric("azoth_fleet_receipts_total", result="taken")
        wait_until("the edge has it", lambda: applied(edge) >= seq, 30)
        wait_until("and says so", lambda: core.metric("azoth_fleet_receipts_total", result="taken") > taken, 30)
    late = lab.edge("late", core).start(timeout=60)
    lab.wait_equal([core, edge, late])
    ending.set()


def test_a_bad_list_leaves_the_old_one(lab):
    core = secret_core(lab).start()
    edge = lab.edge("edge-1", core).start()
    mark = core.mark()
    (lab.nodes / "broken.pub").write_text("not a key\n")
    core.hup()
    assert "broken.pub:1" in core.wait_log(r"config\.bad", since=mark)
    put(core, "k", b"v")
    edge.stop()
    put(core, "k", b"w")
    edge.start()                                        # fetches: it is still listed
    lab.wait_equal([core, edge])
    core.stop()
    core.launch()
    assert core.ended() == 1 and "broken.pub:1" in core.log()
    (lab.nodes / "broken.pub").unlink()
    core.start()


def test_a_copy_of_an_edge_with_another_name(lab):
    """A stolen key under another name is nobody's."""
    core = secret_core(lab).start()
    edge = lab.edge("edge-1", core).start()
    lab.wait_equal([core, edge])
    lab.barred.add("edge-x")
    other = lab.edge("edge-x", core)
    for name in "node.key", "node.pub":
        shutil.copy(edge.dir / name, other.dir / name)
    other.launch()
    other.wait_log(r"edge\.unlisted")
    assert applied(other) == 0
