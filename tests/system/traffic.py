"""What goes on while faults happen: clients that ask a DNS server all the time, and a writer of changes at the core's API.

    asker = Asker(server, "example.org.")      asker.finish()   fails when a question got no good answer
    writer = Writer(core)                      writer.finish(); writer.check(nodes)   nothing acknowledged is missing"""
import http.client
import json
import socket
import threading
import time

import dns.exception
import dns.message
import dns.rcode

from lab import API_KEY, HOST, SLOW, azoth

LOST_S = 3 * SLOW       # a question without an answer for so long was lost: over loopback nothing else loses it


class Asker(threading.Thread):
    """Asks for a zone's SOA over UDP, one question after the other; good answers have rcode 0 and a serial that never
    goes back. inside: a network namespace (netns.py) where the server is."""

    def __init__(self, server, zone, pause=0.002, inside=None):
        super().__init__(daemon=True)
        self.server, self.zone, self.pause, self.inside = server, zone, pause, inside
        self.query = dns.message.make_query(zone, "SOA", use_edns=0)
        self.asked = self.serial = 0
        self.slowest = 0.0
        self.wrong = []
        self.going = True
        self.start()

    def run(self):
        if self.inside is not None:
            self.inside.enter()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((HOST, self.server.port))
            s.settimeout(LOST_S)
            while self.going:
                self.ask(s)
                time.sleep(self.pause)

    def ask(self, s):
        self.query.id = self.asked % 65536
        begin = time.monotonic()
        try:
            s.send(self.query.to_wire())
            reply = dns.message.from_wire(s.recv(4096))
        except (OSError, dns.exception.DNSException) as error:
            self.wrong.append(f"question {self.asked}: {error!r}")
            self.asked += 1
            return
        self.asked += 1
        self.slowest = max(self.slowest, time.monotonic() - begin)
        serials = [rd.serial for rrset in reply.answer for rd in rrset]
        if reply.id != self.query.id or reply.rcode() != dns.rcode.NOERROR or len(serials) != 1 or serials[0] < self.serial:
            self.wrong.append(f"question {self.asked}: after serial {self.serial}: {reply.to_text()}")
            return
        self.serial = serials[0]

    def finish(self):
        self.going = False
        self.join()
        assert self.asked > 0 and not self.wrong, \
            f"{self.server}: {len(self.wrong)} of {self.asked} questions without a good answer:\n" + "\n".join(self.wrong[:5])


class Writer(threading.Thread):
    """Writes entries of the namespace `app` at the core's API, each key's value a growing number, whatever happens to the
    core meanwhile. acked: what the core said is on its disk; tried: what was sent."""

    def __init__(self, core, keys=50, pause=0.0, filler=0, inside=None):
        super().__init__(daemon=True)
        self.core, self.keys, self.pause, self.filler, self.inside = core, keys, pause, "x" * filler, inside
        self.acked, self.tried = {}, {}
        self.n = self.refused = 0
        self.going = True
        self.start()

    def run(self):
        if self.inside is not None:
            self.inside.enter()
        connection = None
        while self.going:
            self.n += 1
            key, value = f"k{self.n % self.keys:03}", self.n
            self.tried[key] = value
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(HOST, self.core.ports["api"], timeout=10 * SLOW)
                connection.request("PUT", f"/v1/kv/app/{key}", body=f"{value} {self.filler}", headers={"X-API-Key": API_KEY})
                reply = connection.getresponse()
                reply.read()
                if reply.status == 200:
                    self.acked[key] = value
                else:
                    self.refused += 1
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.02)
            time.sleep(self.pause)

    def finish(self):
        self.going = False
        self.join()
        assert self.acked, "the core took nothing at all"

    def check(self, nodes):
        """Every store holds, for each key, the last value that was acknowledged, or a later one that was sent."""
        for node in nodes:
            for key, least in self.acked.items():
                value = entry(node, key)
                assert least <= value <= self.tried[key], f"{node}: {key} is {value}, acknowledged was {least}, sent {self.tried[key]}"


def entry(node, key, ns="app"):
    """The number at the front of a value, read from a node's store."""
    return int(azoth("kv", "get", "--dir", node.dir, ns, key).out.split()[0])


def put(core, key, value, ns="app"):
    """One write; the core's (epoch, seq)."""
    connection = http.client.HTTPConnection(HOST, core.ports["api"], timeout=20 * SLOW)
    connection.request("PUT", f"/v1/kv/{ns}/{key}", body=value, headers={"X-API-Key": API_KEY})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert reply.status == 200, (reply.status, body)
    got = json.loads(body)
    return got["epoch"], got["seq"]


def rss_own(pid):
    """Bytes of memory that are the process's own: the maps of the store do not count."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))
