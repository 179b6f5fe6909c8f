"""What a transfer from a primary may cost: records for ever, drops at long intervals, places and memory taken by few; steps over UDP where they
fit, over TCP where datagrams are lost; and steps that are too many for the writing thread."""
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import pytest

from lab import HOST, port, wait_until
from test_secondary import SECRET, Script, ZONE, notify, soa, values, wait_soa
from updates import add_key, call


def limited_core(lab, **limits):
    dns_port = port()
    core = lab.core(api=True, core={"dns": {"listen": [f"{HOST}@{dns_port}"], "transfers": limits}})
    core.dns_port = dns_port
    core.start()
    return core


def add(core, name, at, tsig=None):
    key = {"tsig": tsig} if tsig else {}
    call(core, "POST", "/v1/zones", {"name": name, "kind": "secondary", "primaries": [{"address": f"{HOST}@{at}", **key}]})


class Many(Script):
    """Of any zone, and with a thread for each connection."""

    def answer_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        with connection:
            try:
                size = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))[0]
                query = dns.message.from_wire(connection.recv(size, socket.MSG_WAITALL))
                self.transfers += 1
                self.play(self, connection, query)
            except (OSError, struct.error):
                pass

    def answer_udp(self):
        while True:
            try:
                data, source = self.udp.recvfrom(4096)
            except OSError:
                return
            if self.ended:
                return
            self.questions += 1
            query = dns.message.from_wire(data, question_only=True)
            reply = dns.message.make_response(query)
            reply.flags |= dns.flags.AA
            reply.answer.append(self.rrset(query.question[0].name, "SOA", self.soa_text()))
            try:
                self.udp.sendto(reply.to_wire(), source)
            except OSError:
                return


def body_of(records):
    """Records on the wire: dnspython is too slow to make many, and puts those of one name together."""
    body = b""
    for name, rrtype, rdata in records:
        body += dns.name.from_text(name).to_wire() + struct.pack("!HHIH", dns.rdatatype.from_text(rrtype), 1, 300, len(rdata)) + rdata
    return body


def send_part(connection, query, n, body):
    message = struct.pack("!HHHHHH", query.id, 0x8400, 1, n, 0, 0)
    message += query.question[0].name.to_wire() + struct.pack("!HH", query.question[0].rdtype, 1) + body
    connection.sendall(struct.pack("!H", len(message)) + message)


def soa_wire(self):
    return self.rrset(ZONE, "SOA", self.soa_text())[0].to_wire()


def send_many(self, connection, query, most):
    """A SOA, and records of 200 bytes as fast as they are taken."""
    apex = str(query.question[0].name)
    send_part(connection, query, 1, body_of([(apex, "SOA", soa_wire(self))]))
    n = 0
    while not self.ended and n < most:
        part = [(f"n{n + i}.{apex}", "TXT", bytes([200]) + b"x" * 200) for i in range(200)]
        n += 200
        send_part(connection, query, len(part), body_of(part))


def for_ever(self, connection, query):
    send_many(self, connection, query, float("inf"))


def hoard(self, connection, query):
    """Some 12 MB of them, and then next to nothing: it wants to stay."""
    send_many(self, connection, query, 40000)
    self.full = True
    while not self.ended:
        send_part(connection, query, 1, body_of([(str(query.question[0].name), "A", b"\xc0\0\2\1")]))
        time.sleep(0.2)


def some(self, connection, query):
    """A zone of 6 MB."""
    apex = str(query.question[0].name)
    send_many(self, connection, query, 20000)
    rest = [(apex, "NS", dns.name.from_text("ns1.elsewhere.example.").to_wire()), (apex, "SOA", soa_wire(self))]
    send_part(connection, query, len(rest), body_of(rest))


def soa_only(self, connection, query):
    """What there is over TCP for a question about the SOA."""
    if query.question[0].rdtype == dns.rdatatype.SOA:
        self.put(connection, query, self.records()[:1])
    else:
        self.transfers += 1
        self.whole(connection, query)


def dribble(self, connection, query):
    """A SOA, and one record a second: never long enough without a message to be given up."""
    apex = str(query.question[0].name)
    send_part(connection, query, 1, body_of([(apex, "SOA", soa_wire(self))]))
    for n in range(600):
        if self.ended:
            return
        send_part(connection, query, 1, body_of([(f"n{n}.{apex}", "A", b"\xc0\0\2\1")]))
        time.sleep(1)


def test_records_for_ever(lab):
    """Ended by the memory of all transfers, which is the first of the bounds that is met here; the old zone stays, others go on."""
    core = limited_core(lab, memory="16M", at_once=8)
    primary = Many()
    try:
        add(core, ZONE, primary.port)
        wait_soa(core, "NOERROR", 1)
        primary.play, primary.serial = for_ever, 2
        mark = core.mark()
        assert notify(core) == "NOERROR"
        core.wait_log(r"secondary.failed.*zone=moved.example. what=transfer.*hold more memory than they may", since=mark, timeout=60)
        assert soa(core) == ("NOERROR", 1)
        assert values(core, f"www.{ZONE}") == ["192.0.2.1"]
        primary.play = Many.whole
        wait_until("a look at the good zone", lambda: notify(core) == "NOERROR" and soa(core) == ("NOERROR", 2), timeout=60, pause=0.5)
    finally:
        primary.stop()


def test_the_largest_goes_first(lab):
    """A transfer that holds most of the memory and stays is no reason for others to end."""
    core = limited_core(lab, memory="16M", rate=0)
    hoarder, good = Many(1, hoard), Many(1, some)
    hoarder.full = False
    try:
        add(core, "hoard.example.", hoarder.port)
        wait_until("it holds what it wants", lambda: hoarder.full)
        add(core, ZONE, good.port)
        wait_soa(core, "NOERROR", 1)
        core.wait_log(r"secondary.failed.*zone=hoard.example. what=transfer.*hold more memory than they may")
        assert good.transfers == 1
    finally:
        hoarder.stop()
        good.stop()


@pytest.mark.long
def test_the_longest_time(lab):
    core = limited_core(lab, rate=0, time="10s")
    primary = Many(1, dribble)
    try:
        add(core, ZONE, primary.port)
        core.wait_log(r"secondary.failed.*zone=moved.example. what=transfer.*no more came in time", timeout=60)
    finally:
        primary.stop()


def test_a_primary_without_udp(lab):
    """Its SOA is asked for over TCP when datagrams are lost, and for some time over TCP alone."""
    class Deaf(Many):
        def answer_udp(self):
            while not self.ended:
                try:
                    self.udp.recvfrom(4096)
                    self.questions += 1
                except OSError:
                    return
    core = limited_core(lab)
    primary = Deaf(1, soa_only)
    try:
        add(core, ZONE, primary.port)
        wait_soa(core, "NOERROR", 1)
        asked = primary.questions
        assert asked == 3
        primary.serial = 2
        assert notify(core) == "NOERROR"
        wait_soa(core, "NOERROR", 2)
        assert primary.questions - asked <= 1       # an IXFR, which has a memory of its own
    finally:
        primary.stop()


@pytest.mark.parametrize("limits, why", [({"zone_records": 1000}, "more than 1000 records"), ({"zone_size": "100k"}, "more than 102400 bytes")])
def test_bounds_of_one_zone(lab, limits, why):
    core = limited_core(lab, **limits)
    primary = Many(1, for_ever)
    try:
        add(core, ZONE, primary.port)
        core.wait_log(f"secondary.failed.*what=transfer.*{why}", timeout=60)
        assert soa(core)[0] == "SERVFAIL"
    finally:
        primary.stop()


def test_drops_at_long_intervals(lab):
    """Four zones whose primary dribbles hold its four places and no more; the fifth of it waits, another primary's does not; the least rate ends them."""
    core = limited_core(lab, at_once=5, per_primary=4, rate="1k")
    slow, good = Many(1, dribble), Many(1)
    try:
        for i in range(5):
            add(core, f"slow{i}.example.", slow.port)
        wait_until("four connections", lambda: slow.transfers == 4)
        add(core, ZONE, good.port)
        wait_soa(core, "NOERROR", 1)
        assert slow.transfers == 4                  # the fifth had no place, this one had
        assert core.metric("azoth_core_secondary_transfers_running") == 4
        core.wait_log(r"secondary.failed.*zone=slow\d.example. what=transfer.*sends too slowly", timeout=60)
        wait_until("the fifth has its turn", lambda: slow.transfers > 4, timeout=60)
    finally:
        slow.stop()
        good.stop()


# --- IXFR over UDP ------------------------------------------------------------------------------------------------------
class Pipe:
    """In the place of a connection: what is sent, without its length."""

    def sendall(self, data):
        self.wire = data[2:]


class Steps(Script):
    """IXFR of one step, over UDP too; `reply` changes what goes out as a datagram, `lost` keeps those of IXFR."""

    def __init__(self, *args, **more):
        self.datagrams, self.lost, self.reply, self.extra = 0, False, None, 1
        super().__init__(*args, **more)
        self.play = Steps.transfer

    def steps(self):
        new, old = self.soa_text(), self.soa_text().replace(f" {self.serial} ", f" {self.serial - 1} ", 1)
        come = [(ZONE, "SOA", new)] + [(f"s{self.serial}-{i}.{ZONE}", "A", "192.0.2.7") for i in range(self.extra)]
        return [(ZONE, "SOA", new), (ZONE, "SOA", old)] + come + [(ZONE, "SOA", new)]

    def transfer(self, connection, query):
        if query.question[0].rdtype == dns.rdatatype.IXFR:
            self.put(connection, query, self.steps())
        else:
            self.put(connection, query, self.records())

    def packed(self, query, records):
        pipe = Pipe()
        self.put(pipe, query, records)
        return pipe.wire

    def datagram(self, query):
        if query.question[0].rdtype == dns.rdatatype.IXFR:
            self.datagrams += 1
            wire = self.packed(query, self.steps())
            wire = wire if len(wire) <= 1232 else self.packed(query, self.steps()[:1])
            return None if self.lost else self.reply(query, wire) if self.reply else wire
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        reply.answer.append(self.rrset(ZONE, "SOA", self.soa_text()))
        return reply.to_wire()

    def answer_udp(self):
        while True:
            try:
                data, source = self.udp.recvfrom(4096)
                if self.ended:
                    return
                self.questions += 1
                wire = self.datagram(dns.message.from_wire(data))
                for one in wire if isinstance(wire, list) else [wire] if wire else []:
                    self.udp.sendto(one, source)
            except OSError:
                return


def step_to(core, primary, serial):
    """The next version, and the log's line of its transfer."""
    primary.serial = serial
    mark = core.mark()
    assert notify(core) == "NOERROR"
    wait_soa(core, "NOERROR", serial)
    assert values(core, f"s{serial}-0.{ZONE}") == ["192.0.2.7"]
    return core.wait_log(rf"secondary.transfer.*to={serial} kind=\w+ over=\w+", since=mark)


def first(lab):
    core = limited_core(lab)
    primary = Steps()
    add(core, ZONE, primary.port)
    wait_soa(core, "NOERROR", 1)
    return core, primary


def test_small_steps_come_over_udp(lab):
    """One datagram there and back; what did not fit makes the next one go over TCP at once, until they are small again."""
    core, primary = first(lab)
    try:
        assert "kind=steps over=udp" in step_to(core, primary, 2)
        assert primary.transfers == 1 and primary.datagrams == 1
        primary.extra = 100
        assert "kind=steps over=tcp" in step_to(core, primary, 3)       # a lone SOA: it does not fit
        assert primary.transfers == 2 and primary.datagrams == 2
        assert "over=tcp" in step_to(core, primary, 4)                  # not even tried
        assert primary.datagrams == 2
        primary.extra = 1
        assert "over=tcp" in step_to(core, primary, 5)
        assert "over=udp" in step_to(core, primary, 6)                  # the last one would have fitted
        assert primary.datagrams == 3
    finally:
        primary.stop()


def test_lost_datagrams_are_not_waited_for_twice(lab):
    core, primary = first(lab)
    try:
        primary.lost = True
        assert "over=tcp" in step_to(core, primary, 2)
        assert primary.datagrams == 1
        assert "over=tcp" in step_to(core, primary, 3)
        assert primary.datagrams == 1                                   # for ten minutes
    finally:
        primary.stop()


def patched(wire, at, value):
    return wire[:at] + struct.pack("!H", value) + wire[at + 2:]


LIES = {
    "truncated": lambda q, w: patched(w, 2, 0x8605),                    # and REFUSED
    "refused": lambda q, w: patched(w, 2, 0x8405),
    "formerr": lambda q, w: patched(w, 2, 0x8401),
    "cut-off": lambda q, w: w[:-9],
    "bytes-behind": lambda q, w: w + b"x",
    "fewer-records": lambda q, w: patched(w, 6, 2),
    "no-question": lambda q, w: w[:20],
}


@pytest.mark.parametrize("lie", LIES)
def test_datagrams_that_lie(lab, lie):
    """Whatever a datagram says that is no good IXFR, of the primary or of somebody else, TCP has the last word: nothing ends, there is no AXFR."""
    core, primary = first(lab)
    primary.reply = LIES[lie]
    try:
        assert "kind=steps over=tcp" in step_to(core, primary, 2)
        assert primary.datagrams == 1 and primary.transfers == 2
        assert "over=tcp" in step_to(core, primary, 3)                  # small steps, but not over UDP: so is this primary, for ten minutes
        assert primary.datagrams == 1
    finally:
        primary.stop()


def test_datagrams_of_others(lab):
    """They are passed over, and the right one is taken."""
    core, primary = first(lab)
    primary.reply = lambda q, w: [patched(w, 0, (q.id + 1) & 0xffff), patched(w, 2, 0x0400), patched(w, 12 + len(ZONE) + 1, 252), w]
    try:
        assert "kind=steps over=udp" in step_to(core, primary, 2)
        assert primary.transfers == 1
    finally:
        primary.stop()


def test_a_primary_that_has_steps_for_tcp_alone(lab):
    core, primary = first(lab)
    primary.reply = lambda q, w: primary.packed(q, primary.steps()[:1])
    try:
        assert "over=tcp" in step_to(core, primary, 2)
        assert "over=tcp" in step_to(core, primary, 3)
        assert primary.datagrams == 1
    finally:
        primary.stop()


def test_an_unsigned_datagram_to_a_signed_question(lab):
    """With a key, a datagram without a good signature brings nothing: neither data nor an end."""
    core = limited_core(lab)
    add_key(core, update=[])
    ring = {dns.name.from_text("key.example."): dns.tsig.Key("key.example.", SECRET, "hmac-sha256")}

    class Signed(Steps):
        def answer_udp(self):
            while True:
                try:
                    data, source = self.udp.recvfrom(4096)
                    if self.ended:
                        return
                    query = dns.message.from_wire(data, keyring=ring)
                    if query.question[0].rdtype == dns.rdatatype.IXFR:
                        self.udp.sendto(self.datagram(query), source)
                        continue
                    reply = dns.message.make_response(query)
                    reply.flags |= dns.flags.AA
                    reply.answer.append(self.rrset(ZONE, "SOA", self.soa_text()))
                    self.udp.sendto(reply.to_wire(), source)
                except OSError:
                    return

        def put(self, connection, query, records, change=None):
            reply = dns.message.make_response(query)
            for name, rrtype, text in records:
                reply.answer.append(self.rrset(name, rrtype, text))
            if isinstance(connection, Pipe):
                reply.tsig = None
            wire = reply.to_wire()
            connection.sendall(struct.pack("!H", len(wire)) + wire)

        def one_of(self, connection):
            size = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))[0]
            query = dns.message.from_wire(connection.recv(size, socket.MSG_WAITALL), keyring=ring)
            self.transfers += 1
            self.play(self, connection, query)

        def answer_tcp(self):
            while True:
                try:
                    connection, _ = self.tcp.accept()
                    with connection:
                        self.one_of(connection)
                except (OSError, struct.error):
                    if self.ended:
                        return
    primary = Signed()
    try:
        add(core, ZONE, primary.port, tsig="key.example.")
        wait_soa(core, "NOERROR", 1)
        primary.serial = 2
        mark = core.mark()
        assert notify(core) == "NOERROR"
        core.wait_log(r"secondary.transfer.*to=2 kind=\w+ over=tcp", since=mark)
        assert primary.datagrams == 1
    finally:
        primary.stop()


def test_more_steps_than_the_writing_thread_takes(lab):
    """All of the zone is asked for in their place."""
    core = limited_core(lab, steps_records=10)
    primary = Steps()
    try:
        add(core, ZONE, primary.port)
        wait_soa(core, "NOERROR", 1)
        primary.serial, primary.extra = 2, 50
        mark = core.mark()
        assert notify(core) == "NOERROR"
        wait_soa(core, "NOERROR", 2)
        assert core.wait_log(r"secondary.transfer.*to=2 kind=whole over=tcp", since=mark)
        assert values(core, f"www.{ZONE}") == ["192.0.2.2"]
        assert primary.transfers == 3               # all, steps, all
    finally:
        primary.stop()


def test_steps_larger_than_the_zone(lab):
    """Beyond a thousand records, and as many as the zone has, all of it is less."""
    core, primary = first(lab)
    try:
        primary.serial, primary.extra = 2, 1100
        mark = core.mark()
        assert notify(core) == "NOERROR"
        wait_soa(core, "NOERROR", 2)
        assert core.wait_log(r"secondary.transfer.*to=2 kind=whole over=tcp", since=mark)
        primary.extra = 900
        assert "kind=steps over=tcp" in step_to(core, primary, 3)
    finally:
        primary.stop()
