"""core.dns behind a real proxy (dnsdist, PROXY protocol version 2): the true source counts for NOTIFY, UPDATE and transfers, and what
comes without the header, or with one of somebody else, is dropped."""
import contextlib
import socket
import struct
import subprocess

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import dns.zone
import pytest

import lab as labs
import updates
from lab import HOST, port, wait_until
from test_transport import dnsdist, header
from test_xfrout import of_core
from updates import call

PROXY, STRANGER, PRIMARY, EDITOR, SECONDARY = HOST, "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"
ZONE = "example.com."
pytestmark = pytest.mark.skipif(dnsdist() is None, reason="no dnsdist (scripts/install-deps --test)")


@contextlib.contextmanager
def proxied_core(lab, proxies=(PROXY,)):
    """A core, and dnsdist before it; core.front: where clients ask. Each of three addresses may do one thing."""
    core = updates.updating_core(lab, acl=[EDITOR], proxies=list(proxies))
    call(core, "PATCH", f"/v1/zones/{ZONE}", {"transfer_acl": [SECONDARY]})
    core.front = port()
    config = lab.folder / "dnsdist.conf"
    config.write_text(f"""setLocal('{HOST}:{core.front}')
setACL('127.0.0.0/8')
setSecurityPollSuffix('')
newServer({{address='{HOST}:{core.dns_port}', useProxyProtocol=true, checkName='{ZONE}', checkType='SOA', checkInterval=1, mustResolve=true}})
""")
    with open(lab.folder / "dnsdist.log", "wb") as log:
        process = subprocess.Popen([*dnsdist(), "--supervised", "-C", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        def answered():
            assert process.poll() is None, (lab.folder / "dnsdist.log").read_text()[-2000:]
            try:
                return asked(core, dns.message.make_query(ZONE, "SOA"), STRANGER, timeout=1).answer
            except (dns.exception.DNSException, OSError):
                return None
        wait_until("an answer through dnsdist", answered, 30)
        yield core
    finally:
        process.terminate()
        process.wait(10 * labs.SLOW)


def asked(core, message, source, tcp=False, timeout=10):
    send = dns.query.tcp if tcp else dns.query.udp
    return send(message, HOST, port=core.front, source=source, timeout=timeout * labs.SLOW, one_rr_per_rrset=True)


def rcode(core, message, source, tcp=False):
    return dns.rcode.to_text(asked(core, message, source, tcp).rcode())


BOTH = pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])


def notify(zone):
    message = dns.message.make_query(zone, "SOA")
    message.flags = dns.flags.AA
    message.set_opcode(dns.opcode.NOTIFY)
    return message


def addition(n, key=None):
    u = dns.update.Update(ZONE, keyring=key)
    u.add(f"n{n}", 60, "A", "192.0.2.50")
    return u


@BOTH
def test_who_may(lab, tcp):
    """NOTIFY, UPDATE and transfers, by address alone: each of its one address, none of the proxy's, none of a stranger's."""
    with proxied_core(lab) as core:
        call(core, "POST", "/v1/zones", {"name": "moved.example.", "kind": "secondary", "primaries": [{"address": f"{PRIMARY}@{port()}"}]})
        wait_until("the zone is known", lambda: rcode(core, notify("moved.example."), PRIMARY, tcp) == "NOERROR")
        for n, source in enumerate((PROXY, STRANGER, PRIMARY, EDITOR, SECONDARY)):
            assert rcode(core, notify("moved.example."), source, tcp) == ("NOERROR" if source == PRIMARY else "REFUSED"), source
            assert rcode(core, addition(n), source, tcp) == ("NOERROR" if source == EDITOR else "REFUSED"), source
            ixfr = dns.message.make_query(ZONE, "IXFR")
            ixfr.authority.append(dns.rrset.from_text(ZONE, 0, "IN", "SOA", ". . 0 1 1 1 1"))
            assert rcode(core, ixfr, source, tcp) == ("NOERROR" if source == SECONDARY else "REFUSED"), source
        log = call(core, "GET", f"/v1/zones/{ZONE}/log")["changes"]
        assert [c["address"] for c in log if c["via"] == "update"] == [EDITOR]
        core.wait_log(rf"update\.refused zone=example\.com\. from={STRANGER.replace('.', '[.]')} ")
        assert core.metric("azoth_core_dns_proxy_refused_total") == 0


@BOTH
def test_signed_messages(lab, tcp):
    """The proxy gives messages other ids: TSIG has the id of before."""
    with proxied_core(lab) as core:
        key = updates.add_key(core)
        for n in range(3):
            assert rcode(core, addition(n, key), STRANGER, tcp) == "NOERROR"
        wrong = dns.tsig.Key("key.example.", bytes(32), "hmac-sha256")
        with pytest.raises(dns.tsig.PeerBadSignature):
            asked(core, addition(9, wrong), STRANGER, tcp)
        q = dns.message.make_query(ZONE, "SOA")
        q.use_tsig(key)
        assert asked(core, q, STRANGER, tcp).answer


def test_transfers(lab):
    """AXFR of many messages and IXFR over TCP, by address and by key; one address's share of connections is counted by the true source."""
    with proxied_core(lab) as core:
        lines = "".join(f"h{i} IN TXT \"{'y' * 200}\"\n" for i in range(2000))
        call(core, "POST", f"/v1/zones/{ZONE}/import", f"$ORIGIN {ZONE}\n" + updates.ZONE + lines, type="text/dns")
        call(core, "POST", "/v1/tsig", {"name": "xfr.example.", "algorithm": "hmac-sha256", "secret": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
                                        "rights": {"transfer": [ZONE]}})
        key = dns.tsig.Key("xfr.example.", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "hmac-sha256")
        serial = call(core, "GET", f"/v1/zones/{ZONE}")["serial"]
        want = of_core(core)
        for source, with_key in (SECONDARY, None), (SECONDARY, key), (STRANGER, key):
            z = dns.zone.from_xfr(dns.query.xfr(HOST, ZONE, port=core.front, source=source, keyring=with_key, relativize=False,
                                                timeout=20 * labs.SLOW), relativize=False)
            assert sorted(f"{n} {ttl} {rd.rdtype} {rd.to_text()}".lower() for n, ttl, rd in z.iterate_rdatas()) == want
        with pytest.raises(dns.query.TransferError):
            list(dns.query.xfr(HOST, ZONE, port=core.front, source=STRANGER, timeout=10 * labs.SLOW))
        assert rcode(core, addition(1), EDITOR) == "NOERROR"
        q = dns.message.make_query(ZONE, "IXFR")
        q.authority.append(dns.rrset.from_text(ZONE, 0, "IN", "SOA", f". . {serial} 1 1 1 1"))
        steps = asked(core, q, SECONDARY, tcp=True)
        assert [r.rdtype for r in steps.answer].count(dns.rdatatype.SOA) == 4 and f"n1.{ZONE} 60 IN A 192.0.2.50" in map(str, steps.answer)
        assert core.metric("azoth_core_dns_transfers_total", form="ixfr") == 1
        assert core.metric("azoth_core_dns_transfers_total", form="axfr") == 3


def exchange(core, data, source, tcp):
    """What comes back for these bytes, from that source, at core.dns itself; None: nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.bind((source, 0))
        s.settimeout(0.7 * labs.SLOW)
        s.connect((HOST, core.dns_port))
        s.sendall(data)
        try:
            if tcp:
                s.shutdown(socket.SHUT_WR)
            return s.recv(4096) or None
        except OSError:
            return None


@BOTH
def test_headers_that_lie(lab, tcp):
    """The proxy without its header, with half of one, with version 1; and somebody else with a good one: nobody is answered, nothing is
    done. The proxy with a good one is."""
    core = updates.updating_core(lab, acl=[EDITOR], proxies=[PROXY])

    def framed(message):
        wire = message.to_wire()
        return (struct.pack("!H", len(wire)) if tcp else b"") + wire
    good = header(EDITOR, stream=tcp)
    rows = [("no header", PROXY, framed(addition(0)), False), ("half a header", PROXY, good[:20], False),
            ("version 1", PROXY, b"PROXY TCP4 127.0.0.4 127.0.0.1 4711 53\r\n" + framed(addition(1)), False),
            ("a longer header than there are bytes", PROXY, good[:14] + b"\x07\xff" + good[16:] + framed(addition(2)), False),
            ("somebody else's header", STRANGER, good + framed(addition(3)), False),
            ("the editor's own", EDITOR, good + framed(addition(4)), False),
            ("the editor without", EDITOR, framed(addition(5)), True),
            ("the proxy for the editor", PROXY, good + framed(addition(6)), True),
            ("the proxy for a stranger", PROXY, header(STRANGER, stream=tcp) + framed(addition(7)), True)]
    for why, source, data, answered in rows:
        got = exchange(core, data, source, tcp)
        assert (got is not None) == answered, why
    assert core.metric("azoth_core_dns_proxy_refused_total") >= (2 if tcp else 6)
    core.wait_log(r" WARN core\.dns\.proxy from=127\.0\.0\.\d err=")
    assert [n for n in range(8) if f"n{n}.example.com." in core.dump(ZONE)] == [5, 6]


def test_a_secondary_behind_the_proxys_address(lab):
    """Its answers to NOTIFY come straight, and without a header."""
    core = updates.updating_core(lab, proxies=["127.0.0.0/8"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((HOST, 0))
        s.settimeout(20 * labs.SLOW)
        call(core, "PATCH", f"/v1/zones/{ZONE}", {"notify": [f"{HOST}@{s.getsockname()[1]}"]})
        call(core, "POST", f"/v1/zones/{ZONE}/notify", want=(202,))
        data, core_at = s.recvfrom(4096)
        s.sendto(dns.message.make_response(dns.message.from_wire(data)).to_wire(), core_at)
        wait_until("it was heard", lambda: core.metric("azoth_core_dns_notifies_total", end="answered") == 1)


def test_connections_of_one_client(lab):
    """Behind a proxy each client has its own 64."""
    core = updates.updating_core(lab, proxies=[PROXY])
    query = dns.message.make_query(ZONE, "SOA").to_wire()
    framed = struct.pack("!H", len(query)) + query

    def connect(client):
        s = socket.create_connection((HOST, core.dns_port), timeout=10 * labs.SLOW)
        s.sendall(header(client, stream=True) + framed)
        try:
            return s, bool(s.recv(2))
        except OSError:
            return s, False
    open_ones = [connect("192.0.2.1") for _ in range(66)]
    try:
        assert [answered for _, answered in open_ones] == [True] * 64 + [False] * 2
        open_ones.append(connect("192.0.2.2"))
        assert open_ones[-1][1]
    finally:
        for s, _ in open_ones:
            s.close()
