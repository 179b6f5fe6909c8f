"""Lines between nodes that are slow, lossy, cut or silent, and strangers at every port. By nft between network namespaces
where the machine can (else skipped, with the reason), and by a TCP proxy everywhere."""
import contextlib
import os
import random
import resource
import socket
import statistics
import struct
import time

import pytest

from genzone import generate_file
from lab import HOST, SLOW, small_zone, wait_until
from netns import Net
from proxy import Proxy
from traffic import Asker, Writer, put, rss_own

ZONE = "example.org."
LINKS = ("publish", "serve", "collect")


def change(lab, core, serial):
    lab.zone_file("zone", small_zone(ZONE, serial))
    core.hup()


# --- by proxy -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def behind(lab):
    """behind(core): a Proxy before each link of the core, by name, and what an edge's `upstream` says to go through them."""
    made = []

    def make(core):
        proxies = {key: Proxy(core.ports[key]) for key in LINKS}
        made.extend(proxies.values())
        return proxies, {key: p.link() for key, p in proxies.items()}
    yield make
    for daemon in reversed(lab.daemons):
        daemon.stop()
    for p in made:
        p.close()


def visible_ms(core, edge, n):
    """From a change's acknowledgement to the edge's data having it, as seen from outside."""
    _, seq = put(core, f"small-{n}", str(n))
    begin = time.monotonic()
    wait_until(f"{edge} has {seq}", lambda: edge.metric("azoth_edge_applied_seq") >= seq, pause=0.001)
    return (time.monotonic() - begin) * 1000


def test_a_slow_edge_does_not_slow_its_sibling(lab, behind, figure):
    """One edge behind 200 ms and 1 Mbit/s, its sibling beside the core: the sibling has everything at once while the other is
    still far behind."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))}, api=True).start()
    fast = lab.edge("fast", core).start()
    alone = statistics.median(visible_ms(core, fast, n) for n in range(20))
    proxies, links = behind(core)
    for p in proxies.values():
        p.delay, p.rate = 0.2, 125_000
    slow = lab.edge("slow", core, links=[links]).start()
    server = lab.dns(slow).start()
    asker = Asker(server, ZONE)
    beside, behind_by = [], []
    for n in range(40):
        put(core, f"big-{n}", random.Random(n).randbytes(60_000))
        beside.append(visible_ms(core, fast, n))
        behind_by.append(core.stat()["applied"] - slow.metric("azoth_edge_applied_seq"))
    assert behind_by[-1] > 20, "the slow edge was not slow"
    beside_ms = statistics.median(beside)
    assert beside_ms < 10 * alone + 100 * SLOW, f"{beside_ms:.1f} ms beside a slow edge, {alone:.1f} ms alone"
    for p in proxies.values():
        p.delay, p.rate = 0.0, None
    lab.wait_equal([core, fast, slow], timeout=60)
    asker.finish()
    figure("change to visible (with the reading of metrics): alone, beside a slow edge", f"{alone:.1f} ms, {beside_ms:.1f} ms")


@pytest.mark.parametrize("how", ["silent", "cut"])
def test_upstream_lost_behind_a_proxy(lab, behind, figure, how):
    """The line goes silent, or breaks again and again: the edge goes over to its second upstream."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))}).start()
    relay = lab.edge("relay", core, relay=True).start()
    proxies, links = behind(core)
    edge = lab.edge("edge-1", core, links=[links, relay.links()]).start()
    server = lab.dns(edge).start()
    asker = Asker(server, ZONE)
    assert edge.metric("azoth_edge_upstream") == 0
    begin = time.monotonic()
    for p in proxies.values():
        p.silent = how == "silent"
        p.cut() if how == "cut" else None
        p.target = (HOST, 1) if how == "cut" else p.target      # nobody is there any more
    change(lab, core, 2)
    server.wait_serial(ZONE, 2, timeout=12)
    took = time.monotonic() - begin
    assert edge.metric("azoth_edge_upstream") == 1
    asker.finish()
    lab.wait_equal([core, relay, edge])
    figure(f"upstream lost ({how}): level again through the next one after", f"{took:.1f} s")


def test_the_only_upstream_goes_silent_and_comes_back(lab, behind, figure):
    """Nothing says that the connection is dead but the silence: the edge opens the links anew, and they work."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))}).start()
    proxies, links = behind(core)
    edge = lab.edge("edge-1", core, links=[links]).start()
    server = lab.dns(edge).start()
    asker = Asker(server, ZONE)
    mark = edge.mark()
    for p in proxies.values():
        p.silent = True
    change(lab, core, 2)
    edge.wait_log(r" edge\.silent ", since=mark, timeout=8)
    assert server.serial(ZONE) == 1
    for p in proxies.values():
        p.silent = False
    begin = time.monotonic()
    server.wait_serial(ZONE, 2)
    asker.finish()
    figure("silence ends: level after", f"{time.monotonic() - begin:.1f} s")


def test_only_the_line_for_fetching_goes_silent(lab, behind, figure):
    """Heads come, but what is asked for does not. A line that a box on the way forgot is opened anew, long before TCP gives up;
    an upstream that never answers over a new line either is left for the next one."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))}, api=True)
    relay = lab.edge("relay", core, relay=True)
    (forgotten, links_1), (dead, links_2) = behind(core), behind(core)
    one, two = lab.edge("edge-1", core, links=[links_1]), lab.edge("edge-2", core, links=[links_2, relay.links()])
    for node in core, relay, one, two:
        node.start()
    askers = [Asker(lab.dns(edge).start(), ZONE) for edge in (one, two)]
    forgotten["serve"].silent = dead["serve"].silent = True
    begin = time.monotonic()
    _, seq = put(core, "big", random.Random(1).randbytes(100_000))      # too large for an announcement
    one.wait_log(r" edge\.timeout ", timeout=15)
    forgotten["serve"].forget()                 # what lay on the line is gone for ever; new connections work
    for edge, upstream in (one, 0), (two, 1):
        wait_until(f"{edge} has fetched", lambda edge=edge: edge.metric("azoth_edge_applied_seq") >= seq, timeout=30)
        assert edge.metric("azoth_edge_upstream") == upstream
        figure(f"line for fetching dead ({edge.name}): level after", f"{time.monotonic() - begin:.1f} s")
    for asker in askers:
        asker.finish()


def test_lines_that_break_all_the_time(lab, behind):
    """Every 50 ms all connections are reset: what can be fetched in between is; then all is level."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))}, api=True).start()
    proxies, links = behind(core)
    edge = lab.edge("edge-1", core, links=[links]).start()
    server = lab.dns(edge).start()
    asker, writer = Asker(server, ZONE), Writer(core, pause=0.005, filler=20_000)
    for n in range(60):
        time.sleep(0.05)
        for p in proxies.values():
            p.cut()
        if n % 10 == 0:
            change(lab, core, 2 + n // 10)
    writer.finish()
    server.wait_serial(ZONE, 7)
    lab.wait_equal([core, edge])
    writer.check([core, edge])
    asker.finish()


@pytest.fixture
def snapshot_only(lab):
    """A core whose log does not go back to its beginning: who comes new must copy a snapshot, of some MB."""
    path = lab.folder / "zone"
    generate_file(60_000, ZONE, path)
    core = lab.core({ZONE: path}, api=True, core={"log_retention": {"age": "7d", "size": "256k"}})
    core.start()
    for n in range(10):
        put(core, f"big-{n}", random.Random(n).randbytes(100_000))
    wait_until("the log begins later", lambda: core.stat()["log"]["first"] > 1)
    return core


@pytest.mark.parametrize("what", ["connections are cut", "the edge is killed", "the core is killed"])
def test_a_snapshot_over_a_bad_line(lab, behind, snapshot_only, figure, what):
    """Faults while a snapshot comes over a slow line. After a cut it goes on from the chunk at which it was."""
    core = snapshot_only
    proxies, links = behind(core)
    proxies["serve"].rate = 1_000_000
    edge = lab.edge("edge-1", core, links=[links]).launch()
    for n in range(6):
        came = proxies["serve"].forwarded
        wait_until("some of it came", lambda: proxies["serve"].forwarded > came + 200_000 or edge.is_ready(), timeout=60)
        if what == "connections are cut":
            for p in proxies.values():
                p.cut()
        else:
            victim = edge if what == "the edge is killed" else core
            victim.kill()
            victim.launch()
            if n > 2:
                proxies["serve"].rate = None        # an edge that dies begins anew: let it come to an end
    edge.wait_ready(60)
    server = lab.dns(edge).start()
    assert server.values("ns1." + ZONE) == ["192.0.2.53"]
    core.wait_ready()
    lab.wait_equal([core, edge])
    figure(f"snapshot over a bad line ({what}): bytes over the line", f"{proxies['serve'].forwarded >> 10} KB")


# --- by nft ---------------------------------------------------------------------------------------------------------------
@pytest.fixture
def net():
    why = Net.why_not()
    if why is not None:
        pytest.skip(why)
    it = Net()
    try:
        yield it
    finally:
        it.close()


class Places:
    """core | relay | edge, each in a network namespace; the edge knows both upstreams. With DNS servers, asked all the time."""

    def __init__(self, lab, net):
        self.lab, self.net = lab, net
        self.at = {name: net.host() for name in ("core", "relay", "edge")}
        zone = lab.zone_file("zone", small_zone(ZONE, 1))
        self.core = lab.core({ZONE: zone}, api=True, host=self.at["core"].address)
        self.relay = lab.edge("relay", self.core, relay=True, host=self.at["relay"].address)
        self.edge = lab.edge("edge", [self.relay, self.core])
        self.servers = {"relay": lab.dns(self.relay), "edge": lab.dns(self.edge)}
        for daemon in self.core, self.relay, self.edge, *self.servers.values():     # all listed before the first one starts
            with self.at[daemon.node.name]:
                daemon.start()
        self.askers = [Asker(server, ZONE, inside=self.at[name]) for name, server in self.servers.items()]

    def wait_serial(self, name, serial, timeout=30):
        with self.at[name]:
            self.servers[name].wait_serial(ZONE, serial, timeout)

    def end(self, serial):
        for name in self.servers:
            self.wait_serial(name, serial)
        self.lab.wait_equal([self.core, self.relay, self.edge])
        for asker in self.askers:
            asker.finish()


@pytest.mark.parametrize("percent", [5, 20])
def test_packets_are_lost_between_namespaces(lab, net, figure, percent):
    p = Places(lab, net)
    net.loss(p.at["core"], p.at["relay"], percent)
    net.loss(p.at["relay"], p.at["edge"], percent)
    writer = Writer(p.core, pause=0.005, filler=2000, inside=p.at["core"])
    for serial in range(2, 17):
        change(lab, p.core, serial)
        time.sleep(0.25)
    writer.finish()
    net.heal()
    begin = time.monotonic()
    p.end(16)
    writer.check([p.core, p.relay, p.edge])
    figure(f"{percent} % of packets lost: level after", f"{time.monotonic() - begin:.1f} s, {len(writer.acked)} keys of {writer.n} writes")


def test_a_silent_line_between_namespaces(lab, net, figure):
    """Every packet to and from the upstream is dropped; no side hears of it. Then the line between the other two goes too, and
    both come back."""
    p = Places(lab, net)
    net.silence(p.at["relay"], p.at["edge"])
    begin = time.monotonic()
    change(lab, p.core, 2)
    p.wait_serial("edge", 2, timeout=12)
    took = time.monotonic() - begin
    with p.at["edge"]:
        assert p.edge.metric("azoth_edge_upstream") == 1
    net.silence(p.at["core"], p.at["edge"])
    net.silence(p.at["core"], p.at["relay"])
    mark = p.relay.mark()
    change(lab, p.core, 3)
    p.relay.wait_log(r" edge\.silent ", since=mark, timeout=10)
    with p.at["edge"]:
        assert p.servers["edge"].serial(ZONE) == 2
    net.heal()
    p.end(3)
    figure("silent line (nft): level through the next upstream after", f"{took:.1f} s")


# --- strangers -----------------------------------------------------------------------------------------------------------------
def greeting(protocol):
    return b"\0SP\0" + struct.pack(">HH", protocol, 0)


# What nanomsg's protocols call themselves, and the sizes that a message may claim.
PROTOCOLS = {"pair": 0x10, "pub": 0x20, "sub": 0x21, "req": 0x30, "rep": 0x31, "push": 0x50, "pull": 0x51, "surveyor": 0x62,
             "respondent": 0x63, "bus": 0x70}
GARBAGE = 50_000


def strange_bytes(rng):
    """(what is sent at once, ...) of one connection: nanomsg's greetings with messages behind them, true and false sizes."""
    yield rng.randbytes(GARBAGE)
    for protocol in PROTOCOLS.values():
        hello = greeting(protocol)
        yield hello + struct.pack(">Q", 0)
        yield hello + struct.pack(">Q", 5) + b"hello" + struct.pack(">Q", 4) + b"\x80\0\0\1"
        yield hello + struct.pack(">Q", 12) + b"\x80\0\0\1" + b"\x92\x10\xc4\xff\xff\xff\xff\xff"
        yield hello + struct.pack(">Q", 1 << 62) + b"x" * 100
        yield hello + struct.pack(">Q", GARBAGE) + rng.randbytes(GARBAGE)
        yield hello + rng.randbytes(GARBAGE)
    yield b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 8000
    yield b"PUT /v1/kv/app/x HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n" + b"x" * GARBAGE
    yield b"POST " + b"/" * GARBAGE
    yield struct.pack(">H", 65535) + rng.randbytes(GARBAGE)
    yield struct.pack(">H", 12) + b"\0" * 12 + struct.pack(">H", 3) + b"abc"


def tcp_ports(core, relay, servers):
    for node in core, relay:
        for key in ("publish", "serve", "collect", "http", "api"):
            if key != "api" or node is core:
                yield f"{node} {key}", node.ports[key]
    for server in servers:
        yield f"{server} dns", server.port
        yield f"{server} http", server.http_port


def can_connect(number):
    with contextlib.suppress(OSError), socket.create_connection((HOST, number), timeout=2):
        return True
    return False


def test_strangers_at_every_port(lab, figure):
    """Garbage of 50,000 bytes, messages of protocols that are not meant there, sizes that nobody has, UDP of all lengths; and
    meanwhile connections that say nothing, or half a greeting, and stay. Nothing ends, grows or loses a question."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))}, api=True).start()
    relay = lab.edge("relay", core, relay=True).start()
    edge = lab.edge("edge-1", relay).start()
    servers = [lab.dns(relay).start(), lab.dns(edge).start()]
    daemons = [core, relay, edge, *servers]
    askers = [Asker(server, ZONE) for server in servers]
    before = {d: rss_own(d.process.pid) for d in daemons}
    rng = random.Random(8)
    ports = [(what, number) for what, number in tcp_ports(core, relay, servers) if can_connect(number)]
    assert len(ports) >= 2 * 2 + 2 + 1 + 2 * 2, ports
    idle = []
    for what, number in ports:
        for n in range(15):
            s = socket.create_connection((HOST, number), timeout=2)
            s.sendall([b"", b"\0SP", greeting(rng.choice(list(PROTOCOLS.values()))), b"GET /me", b"\0\x20abc"][n % 5])
            idle.append(s)
        said = []
        for data in strange_bytes(rng):
            with contextlib.suppress(OSError):      # cut off in the middle is what it may do
                said.append(socket.create_connection((HOST, number), timeout=2))
                said[-1].sendall(data)
        time.sleep(0.1)                             # some stay until they were heard
        for s in said:
            if rng.random() < 0.3:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        for d in daemons:
            assert d.running(), f"{d} did not survive strangers at {what}\n{d.log()[-2000:]}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for server in servers:
            for _ in range(2000):
                udp.sendto(rng.randbytes(rng.randrange(0, 1500)), (HOST, server.port))
            for _ in range(2):
                udp.sendto(rng.randbytes(GARBAGE), (HOST, server.port))
    for serial in range(2, 5):
        change(lab, core, serial)
        for server in servers:
            server.wait_serial(ZONE, serial)
    put(core, "key", "value")
    for daemon in daemons:
        assert daemon.page("/healthz")[0] == 200
        grown = rss_own(daemon.process.pid) - before[daemon]
        assert grown < 64 << 20, f"{daemon} has grown by {grown >> 20} MB"
    for s in idle:
        s.close()
    for asker in askers:
        asker.finish()
    lab.wait_equal([core, relay, edge])


def test_more_connections_than_a_daemon_may_have_files(lab):
    """Strangers take every descriptor that the core may have: it lives, and goes on when they are gone. A SIGHUP that found no descriptor
    free is not lost: it is made up for, without another one."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        core.launch()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    core.wait_ready()
    edge = lab.edge("edge-1", core).start()
    server = lab.dns(edge).start()
    many = []
    with contextlib.suppress(OSError):              # in the end nobody is taken any more
        for n in range(400):
            key = "publish" if n % 2 else "serve"
            many.append(socket.create_connection((HOST, core.ports[key]), timeout=1))
            many[-1].sendall(greeting(PROTOCOLS["bus" if key == "publish" else "req"]))
    assert len(os.listdir(f"/proc/{core.process.pid}/fd")) == 100
    assert core.running() and server.serial(ZONE) == 1
    lab.zone_file("zone", small_zone(ZONE, 2))
    core.hup()
    core.wait_log(r"reload\.again")
    with socket.create_connection((HOST, core.ports["http"]), timeout=2):     # waits, and does not keep the core busy
        core.wait_log(r"http\.accept")
        before = core.mark()
        time.sleep(1)
        assert core.mark() - before < 10_000, core.log()[before:][:2000]
    for s in many:
        s.close()
    wait_until("the core answers", lambda: core.page("/healthz")[0] == 200)
    server.wait_serial(ZONE, 2)
    lab.zone_file("zone", small_zone(ZONE, 3))
    core.hup()
    server.wait_serial(ZONE, 3)
    lab.wait_equal([core, edge])
