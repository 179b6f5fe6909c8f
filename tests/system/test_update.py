"""UPDATE on core.dns with real clients, and the same random updates to azoth and to BIND."""
import base64
import os
import random
import re
import socket
import struct
import subprocess
import threading
import time

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import dns.zone
import pytest

import acme
import lab as labs
import peers
import updates
from lab import HOST, wait_until
from updates import SECRET, ask, call, send, serial, update, updating_core, values

KEY64 = base64.b64encode(SECRET).decode()
LOOPBACK = ["127.0.0.0/8"]


def run(*command, text=None, code=0):
    done = subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, timeout=60 * labs.SLOW)
    assert code is None or done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


# --- clients ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("algorithm", ["hmac-sha1", "hmac-sha256", "hmac-sha512"])
def test_nsupdate(lab, algorithm, tcp):
    core = updating_core(lab)
    updates.add_key(core, algorithm=algorithm)
    lines = f"""server {HOST} {core.dns_port}
prereq nxdomain new.example.com.
prereq yxrrset www.example.com. A
update add new.example.com. 60 A 192.0.2.50
update add new.example.com. 60 TXT "a text"
update delete www.example.com. TXT
send
"""
    before = serial(core)
    run("nsupdate", *(["-v"] if tcp else []), "-y", f"{algorithm}:key.example.:{KEY64}", text=lines)       # finds the zone by its SOA
    assert values(core, "new.example.com.", "A") == ["192.0.2.50"]
    assert values(core, "new.example.com.", "TXT") == ['"a text"']
    assert values(core, "www.example.com.", "TXT") == []
    assert serial(core) == before + 1
    got = run("nsupdate", "-y", f"{algorithm}:key.example.:{KEY64}", text=lines, code=2)
    assert "YXDOMAIN" in got, got
    assert serial(core) == before + 1


def test_nsupdate_is_told_why(lab):
    core = updating_core(lab)
    updates.add_key(core)
    lines = f"server {HOST} {core.dns_port}\nzone example.com.\nupdate add a.example.com. 60 A 192.0.2.1\nsend\n"
    assert "BADKEY" in run("nsupdate", "-y", f"hmac-sha256:other.example.:{KEY64}", text=lines, code=2)
    assert "BADSIG" in run("nsupdate", "-y", "hmac-sha256:key.example.:AAAAAAAAAAAAAAAAAAAAAA==", text=lines, code=2)
    assert "BADKEY" in run("nsupdate", "-y", f"hmac-sha384:key.example.:{KEY64}", text=lines, code=2)
    assert "REFUSED" in run("nsupdate", text=lines, code=2)
    other = lines.replace("example.com.", "example.org.")
    assert "NOTAUTH" in run("nsupdate", "-y", f"hmac-sha256:key.example.:{KEY64}", text=other, code=2)
    assert values(core, "a.example.com.", "A") == []
    for key, says in [("other.example.", "no such key"), ("key.example.", "BADSIG"), ("key.example.", "another algorithm"), ("-", "no key, and the zone's update_acl")]:
        core.wait_log(rf"update\.refused .*key={re.escape(key)} .*({says})")
    assert core.metric("azoth_core_dns_tsig_refused_total") >= 3
    assert core.metric("azoth_core_dns_updates_total", rcode="REFUSED") >= 1


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha224"])
def test_knsupdate(lab, algorithm):
    core = updating_core(lab)
    updates.add_key(core, algorithm=algorithm)
    lines = f"""server {HOST} {core.dns_port}
zone example.com.
key {algorithm}:key.example. {KEY64}
add k.example.com. 60 AAAA 2001:db8::50
del mail.example.com. A
send
answer
"""
    got = run("knsupdate", text=lines)
    assert "NOERROR" in got, got
    assert values(core, "k.example.com.", "AAAA") == ["2001:db8::50"]
    assert values(core, "mail.example.com.", "A") == []
    assert "NXRRSET" in run("knsupdate", text=lines.replace("add k", "prereq yxrrset none.example.com. A\nadd k"), code=None)


def test_signed_questions(lab):
    """dig -y and kdig -y check the reply's TSIG themselves; a large one over UDP is cut, with room for it."""
    core = updating_core(lab, text=updates.ZONE + "".join(f'big IN TXT "{i:0200}"\n' for i in range(20)))
    updates.add_key(core)
    at = ["-p", str(core.dns_port)]
    got = run("dig", "-y", f"hmac-sha256:key.example.:{KEY64}", *at, f"@{HOST}", "example.com", "SOA")
    assert "NOERROR" in got and "TSIG" in got and "could not be validated" not in got and "failure" not in got, got
    got = run("dig", "-y", f"hmac-sha256:key.example.:{KEY64}", *at, f"@{HOST}", "big.example.com", "TXT")
    assert "MSG SIZE" in got and "could not be validated" not in got and len(re.findall(r"IN\s+TXT", got)) >= 20, got
    got = run("kdig", "-y", f"hmac-sha256:key.example.:{KEY64}", *at, f"@{HOST}", "+noedns", "www.example.com", "A")
    assert "NOERROR" in got and "WARNING" not in got, got
    q = dns.message.make_query("big.example.com.", "TXT", use_edns=-1)
    q.use_tsig(SECRET_KEY)
    wire = run_raw(core, q.to_wire())
    reply = dns.message.from_wire(wire, keyring=SECRET_KEY, request_mac=q.mac)
    assert reply.flags & dns.flags.TC and reply.had_tsig and len(wire) <= 512
    with pytest.raises(dns.tsig.PeerBadKey):
        ask(core, "example.com.", "SOA", key=dns.tsig.Key("other.example.", SECRET))
    with pytest.raises(dns.tsig.PeerBadSignature):
        ask(core, "example.com.", "SOA", key=dns.tsig.Key("key.example.", bytes(32)))
    call(core, "POST", "/api/v1/servers/localhost/tsigkeys", {"name": "old.example", "algorithm": "hmac-md5", "key": KEY64})
    with pytest.raises(dns.tsig.PeerBadKey):            # kept for PowerDNS's clients, and not ours to check
        ask(core, "example.com.", "SOA", key=dns.tsig.Key("old.example.", SECRET, "hmac-md5.sig-alg.reg.int."))


SECRET_KEY = dns.tsig.Key("key.example.", SECRET, "hmac-sha256")


def run_raw(core, wire, timeout=5):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout * labs.SLOW)
        s.sendto(wire, (HOST, core.dns_port))
        return s.recv(65535)


def test_a_clock_that_is_wrong(lab):
    """BADTIME is signed and says our time; nsupdate has no clock to set, so the message is made by hand."""
    core = updating_core(lab)
    updates.add_key(core)
    u = dns.update.Update("example.com.")
    u.add("a", 60, "A", "192.0.2.1")
    key, real = SECRET_KEY, time.time
    u.use_tsig(key, fudge=300)
    time.time = lambda: real() - 1000
    try:
        wire = u.to_wire()
    finally:
        time.time = real
    reply = run_raw(core, wire)
    assert reply[3] & 15 == dns.rcode.NOTAUTH
    at = reply.rindex(struct.pack(">HH", 18, 6))        # BADTIME, 6 bytes of other data
    ours = int.from_bytes(reply[at + 4:at + 10], "big")
    assert abs(ours - real()) < 60
    assert values(core, "a.example.com.", "A") == []


@pytest.mark.skipif(updates.client_command("kea-dhcp-ddns") is None, reason="no kea-dhcp-ddns (scripts/install-deps --test)")
def test_kea(lab, tmp_path):
    """A lease, another client that wants its name (its DHCID differs: a prerequisite does not hold), and the lease's end."""
    core = updating_core(lab)
    updates.make_zone(core, "2.0.192.in-addr.arpa.", "@ 300 IN SOA ns1.example.com. h 1 2 3 4 5\n@ 300 IN NS ns1.example.com.\n")
    kea = updates.Kea(tmp_path, core, updates.add_key(core, update=[{"zone": "*"}]))
    try:
        kea.lease("host.example.com.", "192.0.2.60", "0001" + "AB" * 33)
        wait_until("the address", lambda: values(core, "host.example.com.", "A") == ["192.0.2.60"])
        wait_until("the pointer", lambda: values(core, "60.2.0.192.in-addr.arpa.", "PTR") == ["host.example.com."])
        assert len(values(core, "host.example.com.", "DHCID")) == 1
        kea.lease("host.example.com.", "192.0.2.61", "0001" + "CD" * 33)
        wait_until("kea gives up", lambda: "DHCP_DDNS_ADD_FAILED" in kea.log() or "DHCP_DDNS_FORWARD_ADD_REJECTED" in kea.log())
        assert values(core, "host.example.com.", "A") == ["192.0.2.60"]
        kea.lease("host.example.com.", "192.0.2.60", "0001" + "AB" * 33, add=False)
        wait_until("it is gone", lambda: ask(core, "host.example.com.", "A").rcode() == dns.rcode.NXDOMAIN)
    finally:
        kea.stop()


@pytest.mark.skipif(updates.client_command("lego") is None, reason="no lego (scripts/install-deps --test)")
def test_lego(lab, tmp_path):
    """A certificate by dns-01: the TXT record is there when it is looked for, and gone afterwards."""
    core = updating_core(lab)
    updates.add_key(core, update=[{"zone": "example.com.", "names": ["_acme-challenge.host.example.com."], "types": ["TXT"]}])
    server = acme.Acme(lambda name: values(core, f"_acme-challenge.{name}.", "TXT"))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "RFC2136_NAMESERVER": f"{HOST}:{core.dns_port}",
                   "RFC2136_TSIG_ALGORITHM": "hmac-sha256.", "RFC2136_TSIG_KEY": "key.example.", "RFC2136_TSIG_SECRET": KEY64,
                   "RFC2136_POLLING_INTERVAL": "1", "RFC2136_PROPAGATION_TIMEOUT": "10"}
    try:
        done = subprocess.run([*updates.client_command("lego"), "--server", server.url("directory"), "--email", "a@example.com",
                               "--accept-tos", "--domains", "host.example.com", "--dns", "rfc2136", "--dns.resolvers",
                               f"{HOST}:{core.dns_port}", "--dns.disable-cp", "--path", str(tmp_path / "lego"), "run"],
                              env=environment, capture_output=True, text=True, timeout=100 * labs.SLOW)
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.seen and len(server.seen) == 1
    assert values(core, "_acme-challenge.host.example.com.", "TXT") == []


def test_the_serial_moves_whatever_the_policy(lab):
    """RFC 2136 section 3.6: unless the update says how; a zone whose serial is kept is no exception."""
    core = updating_core(lab, acl=["127.0.0.1/32"])
    call(core, "PATCH", "/v1/zones/example.com.", {"serial_policy": "keep"})
    before = serial(core)
    call(core, "PUT", "/v1/zones/example.com./rrsets/api/A", {"ttl": 60, "records": [{"content": "192.0.2.1"}]})
    assert serial(core) == before                       # the API says what the serial is, by not saying it
    assert update(core, ("add", "a", 60, "A", "192.0.2.1")) == "NOERROR"
    assert serial(core) == before + 1
    assert update(core, ("add", "a", 60, "A", "192.0.2.1")) == "NOERROR"
    assert serial(core) == before + 1                   # nothing changed
    soa = updates.ask(core, "example.com.", "SOA").answer[0][0].to_text().split()
    soa[2] = str(before + 100)
    assert update(core, ("add", "@", 3600, "SOA", " ".join(soa)), ("add", "b", 60, "A", "192.0.2.1")) == "NOERROR"
    assert serial(core) == before + 100


# --- who may ------------------------------------------------------------------------------------------------------
def test_update_acl(lab):
    core = updating_core(lab, acl=["127.0.0.1/32"])
    assert update(core, ("add", "a", 60, "A", "192.0.2.1")) == "NOERROR"
    assert update(core, ("add", "b", 60, "A", "192.0.2.1"), tcp=True) == "NOERROR"
    call(core, "PATCH", "/v1/zones/example.com.", {"update_acl": ["192.0.2.0/24"]})
    assert update(core, ("add", "c", 60, "A", "192.0.2.1")) == "REFUSED"
    assert values(core, "a.example.com.", "A") == ["192.0.2.1"] and values(core, "c.example.com.", "A") == []
    core.wait_log(r"update\.refused zone=example\.com\. from=127\.0\.0\.1 .*rcode=REFUSED")


def test_rights_of_keys(lab):
    core = updating_core(lab)
    key = updates.add_key(core, update=[{"zone": "example.com.", "names": ["_acme-challenge.example.com."], "types": ["TXT"]}])
    wide = updates.add_key(core, "wide.example.", update=[{"zone": "*"}])
    none = updates.add_key(core, "none.example.", update=[])
    assert update(core, ("add", "_acme-challenge", 60, "TXT", "token"), key=key) == "NOERROR"
    assert update(core, ("add", "_acme-challenge", 60, "A", "192.0.2.1"), key=key) == "REFUSED"
    assert update(core, ("add", "www", 60, "TXT", "token"), key=key) == "REFUSED"
    assert update(core, ("add", "_acme-challenge", 60, "TXT", "b"), ("delete", "www", "TXT"), key=key) == "REFUSED"
    assert update(core, ("delete", "www"), key=key) == "REFUSED"
    assert update(core, ("delete", "_acme-challenge"), key=key) == "NOERROR"       # TXT is all that is there
    assert update(core, ("add", "_acme-challenge", 60, "A", "192.0.2.1"), key=wide) == "NOERROR"
    assert update(core, ("delete", "_acme-challenge"), key=key) == "REFUSED"
    assert update(core, ("add", "www", 60, "TXT", "token"), key=none) == "REFUSED"
    assert values(core, "www.example.com.", "TXT") == ['"x"']
    call(core, "DELETE", "/v1/tsig/wide.example.", want=(200, 204))
    with pytest.raises(dns.tsig.PeerBadKey):
        update(core, ("add", "a", 60, "A", "192.0.2.1"), key=wide)


def test_guards_look_at_updates(lab):
    """Most of a large zone deleted in one message: refused, nothing done, and the log says which guard."""
    core = updating_core(lab, acl=LOOPBACK, text=updates.ZONE + "".join(f"n{i} IN A 192.0.2.1\n" for i in range(150)))
    before = core.dump("example.com.")
    assert update(core, *[("delete", f"n{i}") for i in range(120)], tcp=True) == "REFUSED"
    core.wait_log(r"update\.refused zone=example\.com\. .*half")
    assert core.dump("example.com.") == before
    assert update(core, *[("delete", f"n{i}") for i in range(20)], tcp=True) == "NOERROR"


def test_an_address_in_use(lab):
    core = updating_core(lab)
    other = lab.core(name="other", core={"dns": {"listen": [f"{HOST}@{core.dns_port}"]}})
    other.launch()
    assert other.ended() == 1
    assert f"{HOST}@{core.dns_port}" in other.log()


def test_zones_that_take_no_updates(lab):
    path = lab.zone_file("file.zone", updates.ZONE)
    core = updating_core(lab, acl=LOOPBACK, zones={"file.example.": path})
    core.wait_log(r"zones\.done configured=1 loaded=1")
    key = updates.add_key(core, update=[{"zone": "*"}])
    assert update(core, ("add", "a", 60, "A", "192.0.2.1"), zone="file.example.", key=key) == "REFUSED"
    assert update(core, ("add", "a", 60, "A", "192.0.2.1"), zone="nobody.example.", key=key) == "NOTAUTH"
    assert update(core, ("add", "a", 60, "A", "192.0.2.1"), zone="www.example.com.", key=key) == "NOTAUTH"     # no apex
    call(core, "POST", "/v1/zones", {"name": "second.example.", "kind": "secondary", "primaries": [{"address": "192.0.2.1"}]})
    assert update(core, ("add", "a", 60, "A", "192.0.2.1"), zone="second.example.", key=key) == "REFUSED"
    core.wait_log(r"update\.refused zone=second\.example\. .*not passed on")


def test_other_messages_are_told_the_truth(lab):
    core = updating_core(lab, acl=LOOPBACK)
    notify = dns.message.make_query("example.com.", "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    assert send(notify, core.dns_port).rcode() == dns.rcode.REFUSED             # the zone is nobody's secondary
    axfr = dns.message.make_query("example.com.", "AXFR")
    assert send(axfr, core.dns_port, tcp=True).rcode() == dns.rcode.REFUSED
    assert ask(core, "nobody.example.", "A").rcode() == dns.rcode.REFUSED
    assert ask(core, "nothing.example.com.", "A").rcode() == dns.rcode.NXDOMAIN
    assert values(core, "www.example.com.", "A") == ["192.0.2.10", "192.0.2.11"]


def test_a_replay_changes_nothing(lab):
    """Who caught a signed update cannot have it made once more, from wherever, with another id, or with its MAC cut short."""
    core = updating_core(lab)
    key = updates.add_key(core)
    u = dns.update.Update("example.com.", keyring=key)
    u.add("flip", 60, "A", "192.0.2.1")
    wire = u.to_wire()
    assert run_raw(core, wire)[3] & 15 == dns.rcode.NOERROR
    assert update(core, ("delete", "flip"), key=key) == "NOERROR"
    before = serial(core)
    cut = wire.rindex(struct.pack(">H", 32) + u.mac)            # length and MAC; the length of all RDATA stands 10 + 13 bytes before
    rdlength = struct.pack(">H", int.from_bytes(wire[cut - 23:cut - 21], "big") - 16)
    short = wire[:cut - 23] + rdlength + wire[cut - 21:cut] + struct.pack(">H", 16) + u.mac[:16] + wire[cut + 34:]
    for again in wire, b"\x12\x34" + wire[2:], short, wire + b"x":
        assert run_raw(core, again)[3] & 15 == dns.rcode.NOERROR                # what it brought when it was made
    assert values(core, "flip.example.com.", "A") == [] and serial(core) == before
    assert core.metric("azoth_core_dns_replays_total") == 4
    u = dns.update.Update("example.com.", keyring=key)
    u.absent("www")
    wire = u.to_wire()
    assert [run_raw(core, wire)[3] & 15 for _ in range(2)] == [dns.rcode.YXDOMAIN] * 2


# --- transports ---------------------------------------------------------------------------------------------------
def test_a_datagram_sent_again_is_one_update(lab):
    """Ten copies at once: those that find the first one waiting are not made again, and one reply comes for each that is made."""
    core = updating_core(lab, acl=LOOPBACK)
    before = serial(core)
    u = dns.update.Update("example.com.")
    u.absent("once")
    u.add("once", 60, "A", "192.0.2.1")
    wire = u.to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2 * labs.SLOW)
        for _ in range(10):
            s.sendto(wire, (HOST, core.dns_port))
        rcodes = [s.recv(512)[3] & 15]
        s.settimeout(0.3 * labs.SLOW)
        try:
            while True:
                rcodes.append(s.recv(512)[3] & 15)
        except TimeoutError:
            pass
    assert rcodes[0] == dns.rcode.NOERROR and set(rcodes[1:]) <= {dns.rcode.YXDOMAIN}
    assert serial(core) == before + 1
    assert len(rcodes) + core.metric("azoth_core_dns_repeats_total") == 10


def test_pipelined_updates(lab):
    """500 updates on one connection, written before any reply is read: all are made, and replies come by their ids."""
    core = updating_core(lab, acl=LOOPBACK)
    before = serial(core)
    out = b""
    for i in range(500):
        u = dns.update.Update("example.com.")
        u.id = i
        u.add(f"p{i}", 60, "A", f"192.0.2.{i % 250}")
        out += struct.pack(">H", len(u.to_wire())) + u.to_wire()
    seen = set()
    with socket.create_connection((HOST, core.dns_port), timeout=30 * labs.SLOW) as s:
        writer = threading.Thread(target=s.sendall, args=(out,))
        writer.start()
        stream = s.makefile("rb")
        while len(seen) < 500:
            reply = stream.read(struct.unpack(">H", stream.read(2))[0])
            assert reply[3] & 15 == 0
            seen.add(struct.unpack(">H", reply[:2])[0])
        writer.join()
    assert seen == set(range(500))
    assert values(core, "p499.example.com.", "A") == ["192.0.2.249"]
    assert before < serial(core) <= before + 500


def test_half_closed_and_broken_streams(lab):
    core = updating_core(lab, acl=LOOPBACK)
    u = dns.update.Update("example.com.")
    u.add("half", 60, "A", "192.0.2.1")
    wire = struct.pack(">H", len(u.to_wire())) + u.to_wire()
    with socket.create_connection((HOST, core.dns_port), timeout=10 * labs.SLOW) as s:
        s.sendall(wire)
        s.shutdown(socket.SHUT_WR)                      # the reply still comes, then the end
        got = b""
        while part := s.recv(4096):
            got += part
    assert got[2 + 3] & 15 == 0
    for _ in range(20):                                 # gone before the reply: nobody minds
        with socket.create_connection((HOST, core.dns_port), timeout=10 * labs.SLOW) as s:
            s.sendall(wire)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.create_connection((HOST, core.dns_port), timeout=10 * labs.SLOW) as s:
        s.sendall(b"\0\0")
        assert s.recv(1) == b""                         # a message of no bytes: closed
    with socket.create_connection((HOST, core.dns_port), timeout=10 * labs.SLOW) as s:
        for byte in wire:
            s.sendall(bytes([byte]))
        assert s.recv(4096)[2 + 3] & 15 == 0
    rng = random.Random(7)
    for n in range(200):                                # whatever comes, the next one is answered
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"\0\1\x28\0" + rng.randbytes(rng.randrange(80)), (HOST, core.dns_port))
    assert values(core, "half.example.com.", "A") == ["192.0.2.1"]


def test_proxies_speak_for_others(lab):
    core = updating_core(lab, acl=["192.0.2.77/32"], proxies=LOOPBACK)
    u = dns.update.Update("example.com.")
    u.add("a", 60, "A", "192.0.2.1")

    def header(client):
        return (b"\r\n\r\n\0\r\nQUIT\n\x21\x12" + struct.pack(">H", 12) + socket.inet_aton(client) + socket.inet_aton(HOST)
                + struct.pack(">HH", 4000, 53))

    def datagram(client):
        return run_raw(core, header(client) + u.to_wire())[3] & 15
    assert datagram("192.0.2.78") == dns.rcode.REFUSED
    assert datagram("192.0.2.77") == dns.rcode.NOERROR
    with socket.create_connection((HOST, core.dns_port), timeout=10 * labs.SLOW) as s:
        s.sendall(header("192.0.2.77") + struct.pack(">H", len(u.to_wire())) + u.to_wire())
        assert s.recv(4096)[2 + 3] & 15 == 0


def test_history_names_the_key(lab):
    core = updating_core(lab, acl=LOOPBACK)
    key = updates.add_key(core)
    assert update(core, ("add", "a", 60, "A", "192.0.2.1"), key=key) == "NOERROR"
    newest = call(core, "GET", "/v1/zones/example.com./log")["changes"][0]
    assert (newest["via"], newest["name"], newest["address"]) == ("update", "key.example.", "127.0.0.1"), newest


# --- durable ------------------------------------------------------------------------------------------------------
def test_what_was_answered_is_there(lab):
    """kill -9 in the middle of updates over UDP: each one that was answered NOERROR is there after the start."""
    core = updating_core(lab, acl=LOOPBACK)
    done, stop = [], threading.Event()

    def worker(number):
        for i in range(100000):
            if stop.is_set():
                return
            u = dns.update.Update("example.com.")
            u.add(f"w{number}-{i}", 60, "A", "192.0.2.1")
            try:
                if dns.query.udp(u, HOST, port=core.dns_port, timeout=1).rcode() == 0:
                    done.append(f"w{number}-{i}")
            except (dns.exception.DNSException, OSError):
                return

    for _ in range(2):
        stop.clear()
        del done[:]
        threads = [threading.Thread(target=worker, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        wait_until("updates", lambda: len(done) > 100)
        core.kill()
        stop.set()
        for t in threads:
            t.join()
        core.start()
        assert len(done) > 100
        dumped = core.dump("example.com.")
        missing = [n for n in done if f"{n}.example.com." not in dumped]
        assert not missing, missing[:5]
        assert update(core, ("delete", done[0]), ("add", "again", 60, "A", "192.0.2.1")) == "NOERROR"
        for n in done[1:]:
            assert f"{n}.example.com." in dumped


# --- BIND ---------------------------------------------------------------------------------------------------------
class UpdatedBind(peers.Bind):
    def config(self, zones):
        return super().config(zones).replace(' file "', ' allow-update { any; }; allow-transfer { any; }; file "')


NAMES = ["@", "www", "alias", "new", "a.new", "x.wild", "*.wild", "ent", "a.ent", "sub", "ns.sub", "d", "mail"]
DATA = {
    "A": ["192.0.2.10", "192.0.2.11", "192.0.2.40"],
    "AAAA": ["2001:db8::1", "2001:db8::2"],
    "TXT": ['"x"', '"y"', '"X"'],
    "MX": ["10 mail", "10 MAIL", "20 www"],
    "CNAME": ["www", "mail", "WWW"],
    "NS": ["ns1", "ns.example.net.", "NS.example.net."],
    "SRV": ["0 0 53 ns1", "0 0 53 NS1"],
    "SOA": ["ns1 hostmaster %d 7200 900 1209600 300"],
    "TYPE65400": [r"\# 2 0102", r"\# 2 0103"],
}


def random_update(rng, serial_now):
    u = dns.update.Update("example.com.")

    def data(rrtype):
        text = rng.choice(DATA[rrtype])
        return text % (serial_now + rng.choice([-1, 0, 1, 5])) if "%d" in text else text

    def fit(rrtype):
        return rng.choice(NAMES) if rrtype not in ("NS", "SOA") else rng.choice(["@", "@", "sub"])
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        rrtype = rng.choice([t for t in DATA if t != "SOA"])
        name = rng.choice(NAMES)
        form = rng.randrange(5)
        if form == 0:
            u.present(name)
        elif form == 1:
            u.present(name, rrtype)
        elif form == 2:
            u.absent(name)
        elif form == 3:
            u.absent(name, rrtype)
        else:
            said = {}                                   # BIND counts a record twice that is said twice
            for text in rng.sample(DATA[rrtype], rng.randrange(1, len(DATA[rrtype]) + 1)):
                said[text if rrtype == "TXT" else text.lower()] = text
            for text in said.values():
                u.present(name, rrtype, text)
    for _ in range(rng.choice([1, 1, 2, 3, 5])):
        rrtype = rng.choice(list(DATA))
        name = fit(rrtype)
        form = rng.randrange(8)
        if form < 4:
            u.add(name, rng.choice([0, 60, 300, 3600]), rrtype, data(rrtype))
        elif form < 5:
            u.delete(name)
        elif form < 6:
            u.delete(name, rrtype)
        else:
            u.delete(name, rrtype, data(rrtype))
    return u


def records(lines):
    """What a zone holds, its SOA's serial apart; names in lower case where that does not matter."""
    zone = dns.zone.from_text(lines, origin="example.com.", relativize=False, check_origin=False)
    found = set()
    for name, ttl, rd in zone.iterate_rdatas():
        text = rd.to_text() if rd.rdtype == dns.rdatatype.TXT else rd.to_text().lower()
        if rd.rdtype == dns.rdatatype.SOA:
            text = re.sub(r" \d+ ", " SERIAL ", text, count=1)
        found.add((str(name).lower(), ttl, dns.rdatatype.to_text(rd.rdtype), text))
    return found


def of_bind(bind):
    zone = dns.zone.from_xfr(dns.query.xfr(HOST, "example.com.", port=bind.port, relativize=False, timeout=30 * labs.SLOW), relativize=False)
    return records(zone.to_text(relativize=False))


@pytest.mark.skipif(peers.server_command("named") is None, reason="no named (scripts/install-deps --test)")
def test_as_bind_does(lab, tmp_path):
    """The same updates, one after the other, to both: the same rcodes, and the same zones."""
    seed = int(os.environ.get("AZOTH_SEED", 1))
    rounds = int(os.environ.get("AZOTH_UPDATES", 400))
    rng = random.Random(seed)
    core = updating_core(lab, acl=LOOPBACK)
    path = lab.zone_file("bind.zone", updates.ZONE)
    bind = UpdatedBind(tmp_path, {"example.com.": path})
    try:
        for i in range(rounds):
            u = random_update(rng, serial(core))
            ours, theirs = send(u, core.dns_port, tcp=True).rcode(), send(u, bind.port, tcp=True).rcode()
            assert ours == theirs, f"seed {seed} update {i}: azoth {dns.rcode.to_text(ours)}, BIND {dns.rcode.to_text(theirs)}\n{u}"
            theirs = send(dns.message.make_query("example.com.", "SOA"), bind.port).answer[0][0].serial
            assert serial(core) == theirs, f"seed {seed} update {i}: serial {serial(core)}, BIND {theirs}\n{u}"
            if i % 10 == 9 or i + 1 == rounds:
                a, b = records(core.dump("example.com.")), of_bind(bind)
                assert a == b, f"seed {seed} update {i - 9}..{i}: only azoth {sorted(a - b)}, only BIND {sorted(b - a)}"
    finally:
        bind.stop()
