"""Transfers out: azoth-core as the primary of Knot, NSD and BIND, and what dig gets of it."""
import base64
import itertools
import os
import select
import socket
import struct
import subprocess
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.xfr
import dns.zone
import pytest

import lab as labs
import peers
import updates
from lab import HOST, port, wait_until
from updates import SECRET, call

ZONE = "example.com."
SIGNER = "xfr.example."
TSIG = dns.tsig.Key(SIGNER, SECRET, "hmac-sha256")
SECRET64 = base64.b64encode(SECRET).decode()
LOOPBACK = ["127.0.0.0/8"]


def settings(core, zone=ZONE, **members):
    call(core, "PATCH", f"/v1/zones/{zone}", members)


def add_key(core, transfer):
    call(core, "POST", "/v1/tsig", {"name": SIGNER, "algorithm": "hmac-sha256", "secret": SECRET64, "rights": {"transfer": transfer}})


def edit(core, *rrsets, zone=ZONE):
    """(owner, type, ttl, records...); none: the RRset goes."""
    body = [{"name": n, "type": t, "ttl": ttl, "records": [{"content": x} for x in r]} if r else {"name": n, "type": t, "change": "delete"}
            for n, t, ttl, *r in rrsets]
    return call(core, "PATCH", f"/v1/zones/{zone}/rrsets", {"rrsets": body})["serial"]


def of_peer(peer_port, zone=ZONE, key=None):
    z = dns.zone.from_xfr(dns.query.xfr(HOST, zone, port=peer_port, keyring=key, relativize=False, timeout=20 * labs.SLOW), relativize=False)
    return sorted(f"{n} {ttl} {rd.rdtype} {rd.to_text()}".lower() for n, ttl, rd in z.iterate_rdatas())


def of_core(core, zone=ZONE):
    text = call(core, "GET", f"/v1/zones/{zone}/export")
    z = dns.zone.from_text(text, zone, relativize=False, check_origin=False)
    return sorted(f"{n} {ttl} {rd.rdtype} {rd.to_text()}".lower() for n, ttl, rd in z.iterate_rdatas())


def refusal(core, rdtype="AXFR", zone=ZONE, key=None, serial=0, udp=False, timeout=10):
    """The rcode of the one message that a client gets."""
    q = dns.message.make_query(zone, rdtype)
    if rdtype == "IXFR":
        q.authority.append(dns.rrset.from_text(zone, 0, "IN", "SOA", f". . {serial} 1 1 1 1"))
    if key:
        q.use_tsig(key)
    r = (dns.query.udp if udp else dns.query.tcp)(q, HOST, port=core.dns_port, timeout=timeout * labs.SLOW, one_rr_per_rrset=True)
    return r if r.rcode() == 0 else dns.rcode.to_text(r.rcode())


# --- who may -------------------------------------------------------------------------------------------------------
def test_who_may(lab):
    core = updates.updating_core(lab)
    core_zones = {"none.example.": [], "net.example.": LOOPBACK, "other.example.": ["192.0.2.0/24"], "key.example.": [f"key:{SIGNER}"],
                  "right.example.": []}
    add_key(core, ["right.example."])
    for zone, acl in core_zones.items():
        updates.make_zone(core, zone, updates.ZONE)
        settings(core, zone, transfer_acl=acl)
    wrong = dns.tsig.Key(SIGNER, bytes(32), "hmac-sha256")
    rows = [("nobody is named", "none.example.", None, "REFUSED"),
            ("nor does a key help", "none.example.", TSIG, "REFUSED"),
            ("the address is another network's", "other.example.", None, "REFUSED"),
            ("the key is named, and was not used", "key.example.", None, "REFUSED"),
            ("no such zone", "absent.example.", None, "NOTAUTH"),
            ("a name in the zone is no zone", "www.net.example.", None, "NOTAUTH")]
    for why, zone, key, want in rows:
        assert refusal(core, zone=zone, key=key) == want, why
        assert refusal(core, "IXFR", zone=zone, key=key, udp=True) == want, why
    for zone, key in ("net.example.", None), ("net.example.", TSIG), ("key.example.", TSIG), ("right.example.", TSIG):
        assert of_peer(core.dns_port, zone, key) == of_core(core, zone), zone
    with pytest.raises(dns.exception.DNSException):
        of_peer(core.dns_port, "net.example.", wrong)       # a forged signature is not an unsigned message
    assert refusal(core, "AXFR", "net.example.", udp=True) in ("REFUSED", "NOTIMP", "FORMERR")
    settings(core, "net.example.", transfer_acl=[])
    assert refusal(core, zone="net.example.") == "REFUSED"
    assert core.metric("azoth_core_dns_transfers_total", form="axfr") == 4
    assert core.metric("azoth_core_dns_transfers_refused_total") >= 12
    assert "transfer.refused" in core.log() and "transfer.out" in core.log()


def test_notify_on_request(lab):
    """POST .../notify tells those whom the setting names, though nothing changed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((HOST, 0))
        s.settimeout(20)
        core = updates.updating_core(lab)
        call(core, "POST", "/v1/zones", {"name": "told.example.", "nameservers": ["ns1.example.net."]})
        call(core, "PATCH", "/v1/zones/told.example.", {"notify": [f"{HOST}@{s.getsockname()[1]}"]})
        call(core, "POST", "/v1/zones/told.example./notify", want=(202,))
        query = dns.message.from_wire(s.recv(4096))
        assert query.opcode() == dns.opcode.NOTIFY and query.question[0].name == dns.name.from_text("told.example.")


def test_notify_of_more_than_the_ring_holds(lab):
    """One commit of many keys: the ring says no more which they were, and all zones that have somebody to tell are gone through."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((HOST, 0))
        s.settimeout(20 * labs.SLOW)
        core = updates.updating_core(lab)
        for name in "a.example.", "told.example.", "z.example.":
            call(core, "POST", "/v1/zones", {"name": name, "nameservers": ["ns1.example.net."]})
        settings(core, "told.example.", notify=[f"{HOST}@{s.getsockname()[1]}"])
        serial = edit(core, *[(f"h{n}.told.example.", "A", 60, "192.0.2.1") for n in range(200)], zone="told.example.")
        query = dns.message.from_wire(s.recv(4096))
        assert query.question[0].name == dns.name.from_text("told.example.") and query.answer[0][0].serial == serial


def test_zone_that_is_not_live(lab):
    core = updates.updating_core(lab)
    call(core, "POST", "/v1/zones", {"name": "sec.example.", "kind": "secondary", "transfer_acl": LOOPBACK,
                                     "primaries": [{"address": f"{HOST}@{port()}"}]})
    assert refusal(core, zone="sec.example.") in ("SERVFAIL", "NOTAUTH")


# --- forms ---------------------------------------------------------------------------------------------------------
def dig(core, *args, code=0):
    done = subprocess.run(["dig", "+nottlid", "+nocmd", "+nostats", "+tries=1", f"@{HOST}", "-p", str(core.dns_port), *args],
                          capture_output=True, text=True, timeout=60 * labs.SLOW)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_dig(lab):
    core = updates.updating_core(lab)
    settings(core, transfer_acl=LOOPBACK)
    add_key(core, [ZONE])
    first = call(core, "GET", f"/v1/zones/{ZONE}")["serial"]
    second = edit(core, ("new.example.com.", "A", 60, "192.0.2.77"))
    third = edit(core, ("www.example.com.", "TXT", 60))
    for more in ([], ["-y", f"hmac-sha256:{SIGNER}:{SECRET64}"]):
        text = dig(core, *more, ZONE, "axfr")
        assert text.count("\tSOA\t") == 2 and "192.0.2.77" in text and "192.0.2.30" in text, text
        text = dig(core, *more, ZONE, f"ixfr={first}")
        assert text.count("\tSOA\t") == 4 and '"x"' in text and "192.0.2.77" in text and "192.0.2.30" not in text, text
        text = dig(core, *more, "+notcp", ZONE, f"ixfr={second}")
        assert text.count("\tSOA\t") == 4 and '"x"' in text and "192.0.2.77" not in text, text
        assert dig(core, *more, ZONE, f"ixfr={third}").count("\tSOA\t") == 1
        text = dig(core, *more, ZONE, "ixfr=4000000000")
        assert text.count("\tSOA\t") == 2 and "192.0.2.30" in text, "a serial that was never ours"
    assert core.metric("azoth_core_dns_transfers_total", form="axfr-style") == 2
    assert core.metric("azoth_core_dns_transfers_total", form="ixfr") == 4


def test_udp_that_does_not_fit(lab):
    core = updates.updating_core(lab)
    settings(core, transfer_acl=LOOPBACK)
    first = call(core, "GET", f"/v1/zones/{ZONE}")["serial"]
    last = edit(core, *[(f"h{i}.example.com.", "TXT", 60, '"' + "x" * 200 + '"') for i in range(20)])
    reply = refusal(core, "IXFR", serial=first, udp=True)
    assert [r.rdtype for r in reply.answer] == [dns.rdatatype.SOA] and reply.answer[0][0].serial == last


# --- a client that does not take what it asked for --------------------------------------------------------------------
def test_slow_client(lab):
    core = updates.updating_core(lab)
    settings(core, transfer_acl=LOOPBACK)
    lines = "".join(f"h{i} IN TXT \"{'y' * 200}\"\n" for i in range(60000))
    call(core, "POST", f"/v1/zones/{ZONE}/import", f"$ORIGIN {ZONE}\n" + updates.ZONE + lines, type="text/dns")
    query = dns.message.make_query(ZONE, "AXFR").to_wire()
    other = dns.message.make_query(f"www.{ZONE}", "A").to_wire()
    with socket.create_connection((HOST, core.dns_port)) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.sendall(struct.pack("!H", len(query)) + query + struct.pack("!H", len(other)) + other)
        wait_until("it is made", lambda: core.metric("azoth_core_dns_transfers_running") == 1 and core.metric("azoth_core_dns_transfer_bytes_total") > 0)
        assert refusal(core, "IXFR", serial=100, udp=True).answer           # others are served meanwhile
        edit(core, ("new.example.com.", "A", 60, "192.0.2.78"))            # and the zone moves: the transfer does not
        sent = core.metric("azoth_core_dns_transfer_bytes_total")
        time.sleep(0.2)
        assert core.metric("azoth_core_dns_transfer_bytes_total") - sent < 1 << 20 and sent < 11 << 20
        s.settimeout(30 * labs.SLOW)
        f = s.makefile("rb")
        serials = set()
        records = soas = 0
        while soas < 2:
            message = dns.message.from_wire(f.read(struct.unpack("!H", f.read(2))[0]), xfr=True, one_rr_per_rrset=True)
            records += len(message.answer)
            for rrset in message.answer:
                if rrset.rdtype == dns.rdatatype.SOA:
                    soas += 1
                    serials.add(rrset[0].serial)
                assert rrset.name != dns.name.from_text("new.example.com.")
        assert len(serials) == 1 and records > 60000
        reply = dns.message.from_wire(f.read(struct.unpack("!H", f.read(2))[0]))       # the question behind it
        assert reply.answer[0].name == dns.name.from_text(f"www.{ZONE}")
    wait_until("it is over", lambda: core.metric("azoth_core_dns_transfers_running") == 0)


def test_clients_that_go(lab):
    core = updates.updating_core(lab)
    settings(core, transfer_acl=LOOPBACK)
    query = dns.message.make_query(ZONE, "AXFR").to_wire()
    for cut in 0, 2, 100:
        for _ in range(20):
            with socket.create_connection((HOST, core.dns_port)) as s:
                s.sendall(struct.pack("!H", len(query)) + query)
                if cut:
                    s.recv(cut)
    wait_until("all are over", lambda: core.metric("azoth_core_dns_transfers_running") == 0)
    assert of_peer(core.dns_port) == of_core(core)


# --- forged addresses ----------------------------------------------------------------------------------------------
def flood(core, rdtype, n=400):
    """How many whole answers, and how many truncated ones, n equal questions over UDP get, and in how many seconds."""
    q = dns.message.make_query(ZONE, rdtype)
    if rdtype == "IXFR":
        q.authority.append(dns.rrset.from_text(ZONE, 0, "IN", "SOA", ". . 0 1 1 1 1"))
    wire = q.to_wire()
    began, rest, got = time.monotonic(), n, []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        while rest > 0 or s in select.select([s], [], [], 1)[0]:
            for _ in range(min(rest, 20)):
                s.sendto(wire, (HOST, core.dns_port))
            rest -= min(rest, 20)
            while select.select([s], [], [], 0.005)[0]:
                got.append(s.recv(65535)[2] & 2 != 0)
    return got.count(False), got.count(True), time.monotonic() - began


def all_answered(core, rdtype, n=300, name=ZONE, **tsig):
    q = dns.message.make_query(name, rdtype)
    if tsig:
        q.use_tsig(**tsig)
    return all(dns.query.udp(q, HOST, port=core.dns_port, timeout=20 * labs.SLOW).flags & dns.flags.TC == 0 for _ in range(n))


def test_answers_over_udp_are_limited(lab):
    """Who forges an address has few answers sent there; a zone's secondaries, signed questions and TCP are answered each time."""
    core = updates.updating_core(lab)
    add_key(core, [ZONE])
    whole, short, seconds = flood(core, "SOA")
    assert 1 <= whole <= 101 + 100 * seconds, (whole, short, seconds)
    assert core.metric("azoth_core_dns_rrl_total", result="slipped") >= short
    settings(core, transfer_acl=LOOPBACK)
    assert all_answered(core, "SOA") and all_answered(core, "SOA", name=ZONE.title())
    whole, short, seconds = flood(core, "IXFR")
    assert whole <= 101 + 100 * seconds, "nor has a forged secondary steps of the zone sent there"
    settings(core, transfer_acl=[], notify=[f"{HOST}@{port()}"])
    assert all_answered(core, "SOA")
    whole, short, seconds = flood(core, "NS")
    assert whole <= 101 + 100 * seconds, "of other types nobody needs so many"
    assert core.metric("azoth_core_dns_rrl_total", result="dropped") > 0 or seconds > 2
    assert all_answered(core, "NS", keyring=TSIG)
    q = dns.message.make_query(ZONE, "NS")
    for _ in range(50):
        assert not dns.query.tcp(q, HOST, port=core.dns_port, timeout=20 * labs.SLOW).flags & dns.flags.TC


# --- other servers as secondaries ----------------------------------------------------------------------------------------
class Secondary:
    """Of peers.py, with one zone that comes from azoth."""

    def __init__(self, core_port, key):
        self.core_port, self.key = core_port, key


class KnotSecondary(peers.Knot):
    primary, key = None, None

    def config(self, zones):
        text = super().config({})
        head, _, _ = text.partition("template:")
        if self.key:
            head += f"key:\n  - id: {SIGNER}\n    algorithm: hmac-sha256\n    secret: {SECRET64}\n"
        head += f"remote:\n  - id: azoth\n    address: {HOST}@{self.primary}\n" + (f"    key: {SIGNER}\n" if self.key else "")
        head += f"acl:\n  - id: all\n    address: 127.0.0.0/8\n    action: [{'transfer' if self.key else 'notify, transfer'}]\n"
        if self.key:
            head += f"  - id: keyed\n    key: {SIGNER}\n    action: [notify, transfer]\n"
        return head + f"""template:
  - id: default
    zonefile-sync: -1
    semantic-checks: off
zone:
""" + "".join(f'  - domain: "{z}"\n    master: azoth\n    acl: [all{", keyed" if self.key else ""}]\n' for z in zones)


class NsdSecondary(peers.Nsd):
    primary, key = None, None

    def config(self, zones):
        text = super().config({})
        if self.key:
            text += f'key:\n    name: "{SIGNER}"\n    algorithm: hmac-sha256\n    secret: "{SECRET64}"\n'
        name = SIGNER if self.key else "NOKEY"
        for zone in zones:
            text += f"""zone:
    name: "{zone}"
    zonefile: "{self.folder}/{zone}zone"
    request-xfr: {HOST}@{self.primary} {name}
    allow-notify: 127.0.0.0/8 {name}
    provide-xfr: 127.0.0.0/8 NOKEY
"""
        return text


class BindSecondary(peers.Bind):
    primary, key = None, None

    def config(self, zones):
        text = super().config({})
        if self.key:
            text += f'key "{SIGNER}" {{ algorithm hmac-sha256; secret "{SECRET64}"; }};\n'
        key = f' key "{SIGNER}"' if self.key else ""
        for zone in zones:
            text += (f'zone "{zone}" {{ type secondary; file "{self.folder}/{zone}db"; masterfile-format text; '
                     f"primaries {{ {HOST} port {self.primary}{key}; }}; allow-transfer {{ any; }}; allow-notify {{ {key or ' any'}; }}; }};\n")
        return text


SECONDARIES = [KnotSecondary, NsdSecondary, BindSecondary]


def serial_at(peer):
    try:
        answer = dns.query.udp(dns.message.make_query(ZONE, "SOA"), HOST, port=peer.port, timeout=1).answer
        return answer[0][0].serial if answer else None
    except (dns.exception.DNSException, OSError):
        return None


@pytest.mark.parametrize("signed", [False, True], ids=["acl", "tsig"])
@pytest.mark.parametrize("kind", SECONDARIES, ids=lambda k: k.program)
def test_secondary(lab, tmp_path, kind, signed):
    if peers.server_command(kind.program) is None:
        pytest.skip(f"no {kind.program}")
    core = updates.updating_core(lab)
    settings(core, transfer_acl=[] if signed else LOOPBACK)
    add_key(core, [ZONE])
    made = type(kind.__name__, (kind,), {"primary": core.dns_port, "key": signed})
    peer = made(tmp_path, {ZONE: None})
    try:
        wait_until("the first copy", lambda: serial_at(peer) is not None, timeout=60)
        assert of_peer(peer.port) == of_core(core)
        settings(core, notify=[f"{HOST}@{peer.port}" + (f" key:{SIGNER}" if signed else "")])
        for n in range(4):
            last = edit(core, (f"n{n}.example.com.", "A", 60, f"192.0.2.{100 + n}", f"192.0.2.{110 + n}"),
                        ("www.example.com.", "A", 60 + n, "192.0.2.10"), *([(f"n{n - 1}.example.com.", "A", 60)] if n else []))
            wait_until(f"change {n} at the secondary", lambda: serial_at(peer) == last, timeout=60)
        wait_until("the same records", lambda: of_peer(peer.port) == of_core(core), timeout=30)
        assert core.metric("azoth_core_dns_transfers_total", form="ixfr") >= 1
        assert core.metric("azoth_core_dns_notifies_total", end="answered") >= 1
        assert core.metric("azoth_core_dns_notifies_refused_total") == 0 and "notify.refused" not in core.log()
    finally:
        peer.stop()


def test_steady_changes_are_told_together(lab):
    """Many changes of one zone: the first NOTIFY leaves at once, the newest serial is told in the end, and not each of them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((HOST, 0))
        s.settimeout(20 * labs.SLOW)
        core = updates.updating_core(lab)
        settings(core, notify=[f"{HOST}@{s.getsockname()[1]}"])
        told, last = [], None
        for n in range(40):
            last = edit(core, ("many.example.com.", "A", 60, f"192.0.2.{n + 1}"))
        while last not in told:
            data, sender = s.recvfrom(4096)
            query = dns.message.from_wire(data)
            told.append(query.answer[0][0].serial)
            answer = dns.message.make_response(query)
            s.sendto(answer.to_wire(), sender)
        assert len(set(told)) < 20 and told == sorted(told), told
        wait_until("nothing is open", lambda: core.metric("azoth_core_dns_notifies_open") == 0)


def test_signed_notify_without_its_key(lab):
    """A target whose key is gone is not told unsigned; with the key it is, without another change."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((HOST, 0))
        core = updates.updating_core(lab)
        settings(core, notify=[f"{HOST}@{s.getsockname()[1]} key:{SIGNER}"])
        assert call(core, "GET", f"/v1/zones/{ZONE}")["notify"] == [f"{HOST}@{s.getsockname()[1]} key:{SIGNER}"]
        edit(core, ("a.example.com.", "A", 60, "192.0.2.1"))
        core.wait_log("notify.unsigned")
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.recv(4096)
        add_key(core, [ZONE])
        s.settimeout(40 * labs.SLOW)
        query = dns.message.from_wire(s.recv(4096), keyring=TSIG)
        assert query.had_tsig and query.opcode() == dns.opcode.NOTIFY


@pytest.mark.parametrize("kind", SECONDARIES, ids=lambda k: k.program)
def test_serials_that_wrap_around(lab, tmp_path, kind):
    """Behind 4294967295 comes a serial that RFC 1982 calls later, by NOTIFY and IXFR."""
    if peers.server_command(kind.program) is None:
        pytest.skip(f"no {kind.program}")
    core = updates.updating_core(lab)
    settings(core, transfer_acl=LOOPBACK)
    for serial in 2000000000, 4000000000, 4294967294:       # each later than the one before
        assert edit(core, (ZONE, "SOA", 3600, f"ns1.{ZONE} hostmaster.{ZONE} {serial} 7200 900 1209600 300")) == serial
    peer = type(kind.__name__, (kind,), {"primary": core.dns_port})(tmp_path, {ZONE: None})
    try:
        first = wait_until("the first copy", lambda: serial_at(peer), timeout=60)
        assert first == 4294967294
        settings(core, notify=[f"{HOST}@{peer.port}"])
        serials = [first]
        for n in range(4):
            serials.append(edit(core, (f"n{n}.example.com.", "A", 60, "192.0.2.100"), *([(f"n{n - 1}.example.com.", "A", 60)] if n else [])))
            wait_until(f"serial {serials[-1]} at the secondary", lambda: serial_at(peer) == serials[-1], timeout=60)
        assert serials[1] == 4294967295 and serials[2] in (0, 1) and serials[4] == serials[2] + 2
        wait_until("the same records", lambda: of_peer(peer.port) == of_core(core), timeout=30)
        assert core.metric("azoth_core_dns_transfers_total", form="ixfr") >= 1
        assert core.metric("azoth_core_dns_transfers_total", form="axfr-style") == 0
        assert core.metric("azoth_core_dns_transfers_total", form="axfr") == 1         # the first copy
    finally:
        peer.stop()
