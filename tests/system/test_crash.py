"""kill -9 of every process at any moment, and links that break: after quiet all stores are equal."""
import random
import select
import socket
import subprocess
import threading
import time

import pytest

from genzone import generate_file
from lab import HOST, azoth, port, program, small_zone, wait_until

ZONE = "example.org."


@pytest.fixture
def big(lab):
    """A zone file of 60,000 names and a function that gives it another serial and a few other records."""
    path = lab.folder / "zone"
    generate_file(60_000, ZONE, path)
    text = path.read_text()

    def change(serial):
        lab.zone_file("zone", text.replace("hostmaster 1 ", f"hostmaster {serial} ", 1)
                      + "".join(f"new-{serial}-{i} IN A 192.0.2.{i}\n" for i in range(200)))
    return path, change


@pytest.mark.parametrize("seed", range(4))
def test_kill_in_the_middle_of_azoth_load(lab, figure, seed):
    """Some zones are in, each whole; what is missing goes in with the next load."""
    zones = [f"z{i}.example." for i in range(30)]
    for z in zones:
        generate_file(3000, z, lab.folder / z)
    arguments = [f"{z}={lab.folder / z}" for z in zones]
    core, whole = lab.core(), lab.core(name="whole")
    took = whole.load(*arguments).seconds
    process = subprocess.Popen([program("azoth"), "load", "--dir", str(core.dir), *arguments], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(random.Random(seed).uniform(0.1, 0.95) * took)
    process.kill()
    process.wait()
    if (core.dir / "current").exists():
        core.verify()
    core.load(*arguments)
    core.verify()
    assert core.stat()["digest"] == whole.stat()["digest"]


@pytest.mark.parametrize("seed", range(3))
def test_kill_the_core_in_the_middle_of_a_load(lab, big, seed):
    path, change = big
    core = lab.core({ZONE: path}).start()
    edge = lab.edge("edge-1", core).start()
    server = lab.dns(edge).start()
    rng = random.Random(seed)
    for serial in range(2, 6):
        change(serial)
        core.hup()
        time.sleep(rng.uniform(0, 0.4))
        core.kill()
        assert server.serial(ZONE) is not None
        core.start()
    server.wait_serial(ZONE, 5)
    lab.wait_equal([core, edge])


@pytest.mark.parametrize("seed", range(3))
def test_kill_edges_in_the_middle_of_a_load(lab, big, seed):
    """The relay and the edge behind it die again and again while they fetch a big transaction."""
    path, change = big
    core = lab.core({ZONE: path}).start()
    one = lab.edge("edge-1", core, relay=True).launch()
    two = lab.edge("edge-2", one).launch()
    rng = random.Random(seed)
    for serial in range(2, 5):
        change(serial)
        core.hup()
        for edge in rng.sample([one, two], 2):
            time.sleep(rng.uniform(0, 0.3))
            edge.kill()
            edge.launch()
    for edge in one, two:
        edge.wait_ready()
    lab.dns(two).start().wait_serial(ZONE, 4)       # the core may still be at it
    lab.wait_equal([core, one, two])


def test_kill_dns_while_it_answers(lab, big):
    path, change = big
    core = lab.core({ZONE: path}).start()
    edge = lab.edge("edge-1", core).start()
    server = lab.dns(edge).start()
    for serial in range(2, 8):
        for _ in range(20):
            assert server.values("ns1." + ZONE) == ["192.0.2.53"]
        server.kill()
        change(serial)
        core.hup()
        server.start()
        server.wait_serial(ZONE, serial)
    lab.wait_equal([core, edge])


def test_kill_everything_at_once(lab, big):
    path, change = big
    core, one, two, dns_one, dns_two = lab.chain({ZONE: path})
    rng = random.Random(5)
    for serial in range(2, 6):
        change(serial)
        core.hup()
        time.sleep(rng.uniform(0, 0.3))
        daemons = [core, one, two, dns_one, dns_two]
        rng.shuffle(daemons)
        for daemon in daemons:
            daemon.kill()
        rng.shuffle(daemons)
        for daemon in daemons:
            daemon.launch()
        for daemon in daemons:
            daemon.wait_ready()
    for server in dns_one, dns_two:
        server.wait_serial(ZONE, 5)
    lab.wait_equal([core, one, two])


def test_many_small_changes_while_processes_die(lab):
    core, one, two, dns_one, dns_two = lab.chain({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))})
    rng = random.Random(6)
    for serial in range(2, 62):
        lab.zone_file("zone", small_zone(ZONE, serial, f"n{serial % 7} IN TXT \"{serial}\"\n"))
        core.hup()
        if serial % 6 == 0:
            victim = rng.choice([core, one, two, dns_one, dns_two])
            victim.kill()
            victim.start()
        time.sleep(rng.uniform(0, 0.03))
    core.hup()
    for server in dns_one, dns_two:
        server.wait_serial(ZONE, 61)
    lab.wait_equal([core, one, two])


# --- broken links -------------------------------------------------------------------------------------------------
class Proxy(threading.Thread):
    """Forwards TCP connections to a port; in between it may flip bits, cut connections or hold everything back."""

    def __init__(self, target, seed):
        super().__init__(daemon=True)
        self.target, self.rng = target, random.Random(seed)
        self.port = port()
        self.listener = socket.create_server((HOST, self.port))
        self.flip = self.cut = 0.0
        self.hold = False
        self.pairs = {}
        self.going = True
        self.flipped = self.cuts = 0
        self.start()

    def run(self):
        while self.going:
            ready = select.select([self.listener, *self.pairs], [], [], 0.05)[0]
            if self.hold:
                time.sleep(0.02)
                continue
            for s in ready:
                if s is self.listener:
                    self.accept()
                elif s in self.pairs:
                    self.forward(s)

    def accept(self):
        client, _ = self.listener.accept()
        try:
            upstream = socket.create_connection((HOST, self.target), timeout=1)
        except OSError:
            client.close()
            return
        self.pairs[client], self.pairs[upstream] = upstream, client

    def drop(self, s):
        other = self.pairs.pop(s)
        self.pairs.pop(other, None)
        s.close()
        other.close()

    def forward(self, s):
        try:
            data = bytearray(s.recv(65536))
            if not data or self.rng.random() < self.cut:
                self.cuts += bool(data)
                self.drop(s)
                return
            if self.rng.random() < self.flip:
                self.flipped += 1
                data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            self.pairs[s].sendall(data)
        except OSError:
            if s in self.pairs:
                self.drop(s)

    def stop(self):
        self.going = False
        self.join()
        for s in list(self.pairs):
            s.close()
        self.listener.close()


@pytest.fixture
def behind_proxies(lab):
    """core -> proxies -> edge with a DNS server; `proxies` is the list, for settings."""
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))}).start()
    proxies = {key: Proxy(core.ports[key], n) for n, key in enumerate(("publish", "serve", "collect"))}
    edge = lab.edge("edge-1", core, links=[{key: f"tcp://{HOST}:{p.port}" for key, p in proxies.items()}]).start()
    yield core, edge, lab.dns(edge).start(), list(proxies.values())
    edge.stop()
    for p in proxies.values():
        p.stop()


@pytest.mark.parametrize("what,flip,cut", [("bits flip", 0.2, 0), ("connections break", 0, 0.2), ("both", 0.1, 0.1)])
def test_lossy_links(lab, behind_proxies, figure, what, flip, cut):
    core, edge, server, proxies = behind_proxies
    for p in proxies:
        p.flip, p.cut = flip, cut
    serial, end = 1, time.monotonic() + 60
    while serial < 40 or sum(p.flipped + p.cuts for p in proxies) < 8:
        assert time.monotonic() < end, "the links were not as bad as meant"
        serial += 1
        lab.zone_file("zone", small_zone(ZONE, serial, "".join(f"n{i} IN TXT {serial}\n" for i in range(serial % 9))))
        core.hup()
        time.sleep(0.05)
        answer = server.serial(ZONE)
        assert answer is not None and answer <= serial and edge.running()
    for p in proxies:
        p.flip = p.cut = 0
    healed = time.monotonic()
    server.wait_serial(ZONE, serial, timeout=25)
    figure(f"lossy links ({what}): level again after they healed", f"{time.monotonic() - healed:.1f} s")
    lab.wait_equal([core, edge])


def test_silence_and_return(lab, behind_proxies):
    """The link stays open but nothing comes through: the edge says so, serves on, and comes back."""
    core, edge, server, proxies = behind_proxies
    mark = edge.mark()
    for p in proxies:
        p.hold = True
    lab.zone_file("zone", small_zone(ZONE, 2))
    core.hup()
    edge.wait_log(r" (WARN|ERROR) ", since=mark, timeout=15)
    assert server.serial(ZONE) == 1
    for p in proxies:
        p.hold = False
    server.wait_serial(ZONE, 2, timeout=30)
    lab.wait_equal([core, edge])


def test_garbage_on_the_ports(lab):
    """Bytes that are no nanomsg, and connections that say nothing, harm neither core nor edge."""
    core, one, two, dns_one, dns_two = lab.chain({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))})
    rng = random.Random(3)
    idle = []
    for node in core, one:
        for key in "publish", "serve", "http":
            for n in range(8):
                s = socket.create_connection((HOST, node.ports[key]), timeout=2)
                if n % 2:
                    idle.append(s)
                    continue
                # every other one with nanomsg's greeting in front (SP, version 0, protocol REQ), then garbage
                s.sendall((b"\0SP\0\0\x30\0\0" if n % 4 else b"") + rng.randbytes(rng.randrange(1, 5000)))
                s.close()
    for server in dns_one, dns_two:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for _ in range(300):
                udp.sendto(rng.randbytes(rng.randrange(0, 1500)), (HOST, server.port))
        for _ in range(20):
            s = socket.create_connection((HOST, server.port), timeout=2)
            s.sendall(rng.randbytes(rng.randrange(1, 3000)))
            s.close()
    for serial in range(2, 6):
        lab.zone_file("zone", small_zone(ZONE, serial))
        core.hup()
        for server in dns_one, dns_two:
            server.wait_serial(ZONE, serial)
    for s in idle:
        s.close()
    lab.wait_equal([core, one, two])
    wait_until("alive", lambda: all(d.running() for d in (core, one, two, dns_one, dns_two)))
    assert azoth("verify", "--dir", core.dir).code == 0
