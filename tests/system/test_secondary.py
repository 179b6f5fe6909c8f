"""Zones taken from Knot, NSD and BIND: by AXFR, by NOTIFY and IXFR, by address and by key, through expiry and a restart."""
import base64
import os
import re
import signal
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

import peers
from lab import API_KEY, HOST, azoth, port, wait_until
from updates import SECRET, add_key, call, send

ZONE = "moved.example."


def zone_text(serial, extra="", refresh=300, retry=15, expire=1209600):
    return f"""$ORIGIN {ZONE}
$TTL 300
@ IN SOA ns1 hostmaster {serial} {refresh} {retry} {expire} 300
@ IN NS ns1
ns1 IN A 192.0.2.1
www IN A 192.0.2.{serial}
{extra}
"""


# --- real primaries -------------------------------------------------------------------------------------------------
KEY, SECRET64 = "key.example.", base64.b64encode(SECRET).decode()


class Primary:
    """A peer that lets everybody on this machine take its zones, or with `signed` who has the key, and tells `notify` of changes."""
    notify, signed, changes = 0, False, 0

    def change(self, path, text):
        path.write_text(text)
        self.changes += 1                           # a file's time has whole seconds for some of them
        os.utime(path, (time.time() + 2 * self.changes,) * 2)
        self.process.send_signal(signal.SIGHUP)


class Nsd(Primary, peers.Nsd):
    def config(self, zones):
        key = KEY if self.signed else "NOKEY"
        more = f"    provide-xfr: {HOST} {key}\n    notify: {HOST}@{self.notify} {key}\n    store-ixfr: yes\n    create-ixfr: yes\n"
        head, *parts = super().config(zones).split("zone:\n")
        if self.signed:
            head += f'key:\n    name: "{KEY}"\n    algorithm: hmac-sha256\n    secret: "{SECRET64}"\n'
        return head + "".join("zone:\n" + part + more for part in parts)


class Knot(Primary, peers.Knot):
    def config(self, zones):
        key, who = (f"    key: {KEY}\n", f"    key: {KEY}\n") if self.signed else ("", f"    address: {HOST}\n")
        text = super().config(zones)
        text = text.replace("template:\n", f"remote:\n  - id: azoth\n    address: {HOST}@{self.notify}\n{key}"
                            f"acl:\n  - id: here\n{who}    action: transfer\ntemplate:\n")
        text = text.replace("    zonefile-load: whole\n", "    zonefile-load: difference\n    acl: here\n    notify: azoth\n") \
            .replace("journal-content: none", "journal-content: changes")
        return (f"key:\n  - id: {KEY}\n    algorithm: hmac-sha256\n    secret: {SECRET64}\n" if self.signed else "") + text


class Bind(Primary, peers.Bind):
    def config(self, zones):
        key = f' key "{KEY}"' if self.signed else ""
        text = super().config(zones).replace("    notify no;\n", f"""    notify explicit;
    also-notify {{ {HOST} port {self.notify}{key}; }};
    allow-transfer {{ {key + ";" if self.signed else "any;"} }};
    ixfr-from-differences yes;
    max-ixfr-ratio unlimited;
    notify-delay 0;
""")
        return (f'key "{KEY}" {{ algorithm hmac-sha256; secret "{SECRET64}"; }};\n' if self.signed else "") + text


def secondary_core(lab, **transfers):
    """transfers: of core.dns.transfers."""
    dns_port = port()
    core = lab.core(api=True, core={"dns": {"listen": [f"{HOST}@{dns_port}"], "transfers": transfers}})
    core.dns_port = dns_port
    core.start()
    return core


def add_zone(core, *ports, tsig=None):
    key = {"tsig": tsig} if tsig else {}
    call(core, "POST", "/v1/zones", {"name": ZONE, "kind": "secondary", "primaries": [{"address": f"{HOST}@{p}", **key} for p in ports]})


def soa(core, name=ZONE):
    """(rcode, serial) as core.dns has it, which answers from the store as every edge does."""
    reply = send(dns.message.make_query(name, "SOA"), core.dns_port)
    return dns.rcode.to_text(reply.rcode()), reply.answer[0][0].serial if reply.answer else None


def values(core, name, rrtype="A"):
    reply = send(dns.message.make_query(name, rrtype), core.dns_port)
    return sorted(str(r) for rrset in reply.answer for r in rrset)


def wait_soa(core, rcode, serial, timeout=30):
    wait_until(f"{ZONE} {rcode} {serial}", lambda: soa(core) == (rcode, serial), timeout=timeout, pause=0.02)


def start_primary(lab, kind, **members):
    """(the server, the zone's file)"""
    if peers.server_command(kind.program) is None:
        pytest.skip(f"no {kind.program} here")
    folder = lab.folder / "primary"
    folder.mkdir()
    path = folder / "moved.zone"
    path.write_text(zone_text(1))
    return type(kind.__name__, (kind,), members)(folder, {ZONE: path}), path


@pytest.mark.parametrize("signed", [False, True], ids=["acl", "tsig"])
@pytest.mark.parametrize("kind", [Knot, Nsd, Bind], ids=lambda k: k.program)
def test_a_zone_of_a_real_primary(lab, kind, signed):
    core = secondary_core(lab)
    if signed:
        add_key(core, update=[])
    primary, path = start_primary(lab, kind, notify=core.dns_port, signed=signed)
    try:
        add_zone(core, primary.port, tsig=KEY if signed else None)
        wait_soa(core, "NOERROR", 1)
        assert values(core, "www.moved.example.") == ["192.0.2.1"]
        core.wait_log(r"secondary.transfer.*zone=moved.example. .*to=1 kind=whole")
        mark = core.mark()
        primary.change(path, zone_text(2, "new IN A 192.0.2.77"))
        wait_soa(core, "NOERROR", 2)                # by NOTIFY: its refresh time is 5 minutes
        assert values(core, "new.moved.example.") == ["192.0.2.77"] and values(core, "www.moved.example.") == ["192.0.2.2"]
        core.wait_log(r"secondary.transfer.*from=1 to=2 kind=steps", since=mark)
        assert "secondary.failed" not in core.log() and core.metric("azoth_core_dns_tsig_refused_total") == 0
    finally:
        primary.stop()


def test_a_transfer_on_request(lab):
    """The command asks now, where the refresh time is minutes away and nobody sends NOTIFY; --axfr takes all of the zone again."""
    core = secondary_core(lab)
    primary, path = start_primary(lab, Nsd, notify=port())      # nobody there
    cli = ["--api", f"http://{HOST}:{core.ports['api']}"]
    env = {**os.environ, "AZOTH_API_KEY": API_KEY}
    try:
        add_zone(core, primary.port)
        wait_soa(core, "NOERROR", 1)
        primary.change(path, zone_text(2))
        wait_until("the primary has it", lambda: send(dns.message.make_query(ZONE, "SOA"), primary.port).answer[0][0].serial == 2)
        assert soa(core) == ("NOERROR", 1)
        done = azoth("zone", "transfer", ZONE, *cli, env=env)
        assert done.out == f"{ZONE}: its primaries are being asked\n"
        wait_soa(core, "NOERROR", 2)
        mark = core.mark()
        assert azoth("zone", "transfer", ZONE, "--axfr", "--json", *cli, env=env).json()["asked"] is True
        core.wait_log(r"secondary.transfer.*from=2 to=2 kind=whole", since=mark)
        bad = azoth("zone", "notify", ZONE, *cli, env=env, code=2)
        assert "notify is empty" in bad.err
        call(core, "POST", "/v1/zones", {"name": "own.example.", "nameservers": ["ns1.example.net."]})
        bad = azoth("zone", "transfer", "own.example", *cli, env=env, code=2)
        assert "not a secondary" in bad.err
        assert azoth("zone", "transfer", "nosuch.example", *cli, env=env, code=2).err
    finally:
        primary.stop()


@pytest.mark.parametrize("kind", [Knot, Nsd, Bind], ids=lambda k: k.program)
def test_a_key_with_another_secret(lab, kind):
    """Of the same name: nothing is taken, and the log says what is wrong with whom."""
    core = secondary_core(lab)
    add_key(core, secret=bytes(32), update=[])
    primary, _ = start_primary(lab, kind, notify=core.dns_port, signed=True)
    try:
        add_zone(core, primary.port, tsig=KEY)
        core.wait_log(r"secondary.failed zone=moved.example. .*BADSIG: its TSIG key has another secret than ours")
        assert soa(core)[0] == "SERVFAIL"
    finally:
        primary.stop()


def test_a_dead_primary_and_a_second_one(lab):
    core = secondary_core(lab)
    primary = Script()
    try:
        add_zone(core, port(), primary.port)        # nobody listens at the first
        wait_soa(core, "NOERROR", 1)
        core.wait_log(r"secondary.failed.*what=soa")
    finally:
        primary.stop()


def test_a_primary_that_lags_hides_nobody(lab):
    """One whose serial is older than ours counts as failed: the next one is asked, and has news."""
    core = secondary_core(lab)
    first, second = Script(5), Script(5)
    try:
        add_zone(core, first.port, second.port)
        wait_soa(core, "NOERROR", 5)
        first.serial, second.serial = 3, 6
        wait_until("a look at both", lambda: notify(core) == "NOERROR" and soa(core) == ("NOERROR", 6), timeout=60, pause=0.5)
        core.wait_log(r"secondary.failed.*what=soa .*serial is older than ours")
    finally:
        first.stop()
        second.stop()


# --- a primary that does what a test says -----------------------------------------------------------------------------
class Script:
    """SOA over UDP and TCP, transfers by `play(connection, query)`."""

    def __init__(self, serial=1, play=None, refresh=30, retry=15, expire=100, at=None):
        self.port = at or port()
        self.serial, self.play, self.questions, self.transfers = serial, play or Script.whole, 0, 0
        self.timers = refresh, retry, expire
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((HOST, self.port))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((HOST, self.port))
        self.tcp.listen()
        self.ended = False
        for work in self.answer_udp, self.answer_tcp:
            threading.Thread(target=work, daemon=True).start()

    def soa_text(self):
        refresh, retry, expire = self.timers
        return f"ns1.{ZONE} hostmaster.{ZONE} {self.serial} {refresh} {retry} {expire} 300"

    def rrset(self, name, rrtype, text):
        return dns.rrset.from_text(name, 300, "IN", rrtype, text)

    def answer_udp(self):
        while True:
            try:
                data, source = self.udp.recvfrom(4096)
            except OSError:
                return
            if self.ended:
                return
            self.questions += 1
            reply = dns.message.make_response(dns.message.from_wire(data, question_only=True))
            reply.flags |= dns.flags.AA
            reply.answer.append(self.rrset(ZONE, "SOA", self.soa_text()))
            try:
                self.udp.sendto(reply.to_wire(), source)
            except OSError:
                return

    def answer_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection:
                try:
                    size = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))[0]
                    query = dns.message.from_wire(connection.recv(size, socket.MSG_WAITALL))
                    self.transfers += 1
                    self.play(self, connection, query)
                except (OSError, struct.error):
                    pass

    def put(self, connection, query, records, change=None):
        query.use_edns(False)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        if change:
            change(reply)
        wire = bytearray(reply.to_wire())
        body = b""
        for name, rrtype, text in records:
            one = self.rrset(name, rrtype, text)[0].to_wire()
            body += dns.name.from_text(name).to_wire() + struct.pack("!HHIH", dns.rdatatype.from_text(rrtype), 1, 300, len(one)) + one
        wire[6:8] = struct.pack("!H", len(records))
        wire = bytes(wire) + body
        connection.sendall(struct.pack("!H", len(wire)) + wire)

    def records(self):
        apex = (ZONE, "SOA", self.soa_text())
        return [apex, (ZONE, "NS", f"ns1.{ZONE}"), (f"ns1.{ZONE}", "A", "192.0.2.1"), (f"www.{ZONE}", "A", f"192.0.2.{self.serial}"), apex]

    def whole(self, connection, query):
        if query.question[0].rdtype == dns.rdatatype.IXFR:
            self.put(connection, query, [], lambda reply: reply.set_rcode(dns.rcode.REFUSED))
        else:
            self.put(connection, query, self.records())

    def stop(self):
        self.ended = True
        for s in self.udp, self.tcp:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


def notify(core, to=None):
    message = dns.message.make_query(ZONE, "SOA")
    message.flags = dns.flags.AA
    message.set_opcode(dns.opcode.NOTIFY)
    return dns.rcode.to_text(send(message, to or core.dns_port).rcode())


def one_step(self, connection, query):
    new, old = self.soa_text(), self.soa_text().replace(f" {self.serial} ", f" {self.serial - 1} ", 1)
    steps = [(ZONE, "SOA", old), (ZONE, "SOA", new), (f"www.{ZONE}", "A", f"192.0.2.{self.serial}")]
    if query.question[0].rdtype == dns.rdatatype.IXFR:
        self.put(connection, query, [(ZONE, "SOA", new)] + steps + [(ZONE, "SOA", new)])
    else:
        self.put(connection, query, self.records())


@pytest.mark.parametrize("serial", [0, 1])              # the same: nothing is transferred; the next: steps do not fit what has expired
def test_expires_and_comes_back_across_a_restart(lab, serial):
    core = secondary_core(lab, refresh_min="1s", retry_min="1s")
    primary = Script(0, refresh=1, retry=1, expire=4)
    add_zone(core, primary.port)
    wait_soa(core, "NOERROR", 0)
    edge = lab.edge("edge-1", upstream=core)
    edge.start()
    front = lab.dns(edge)
    front.start()
    wait_until("the edge has it", lambda: front.ask("www.moved.example.", "A").rcode() == dns.rcode.NOERROR)
    primary.stop()
    wait_soa(core, "SERVFAIL", None, timeout=90)
    wait_until("the edge too", lambda: front.ask("www.moved.example.", "A").rcode() == dns.rcode.SERVFAIL)
    assert core.metric("azoth_core_secondary_zones_expired") == 1
    told = azoth("zone", "show", ZONE, "--api", f"http://{HOST}:{core.ports['api']}", env={**os.environ, "AZOTH_API_KEY": API_KEY}).out
    assert re.search(r"^checked +\d+ s ago.*; EXPIRED$", told, re.M) and re.search(r"^failing +\d+ times", told, re.M), told
    core.stop()
    core.start()
    assert soa(core) == ("SERVFAIL", None)
    primary = Script(serial, one_step, at=primary.port)
    try:
        wait_soa(core, "NOERROR", serial, timeout=60)
        assert primary.transfers == 2 * serial          # steps, then all
        assert values(core, "www.moved.example.") == [f"192.0.2.{serial}"]
        wait_until("the edge too", lambda: front.ask("www.moved.example.", "A").rcode() == dns.rcode.NOERROR)
    finally:
        primary.stop()
