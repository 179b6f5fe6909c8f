"""PowerDNS as the primary of a zone of azoth's, and as its secondary: AXFR, IXFR and NOTIFY, by address and by TSIG key, ending with the
same records."""
import re

import pytest

import pdns
import updates
from lab import HOST, wait_until
from test_secondary import secondary_core
from test_xfrout import LOOPBACK, SECRET64, SIGNER, TSIG, add_key, edit, of_core, of_peer, serial_at, settings
from updates import call

ZONE = "example.com."
SIGNED = pytest.mark.parametrize("signed", [False, True], ids=["acl", "tsig"])
pytestmark = pytest.mark.skipif(pdns.folder() is None, reason="no PowerDNS (scripts/install-deps --test)")

# Of types whose text and packing differ between servers; names in mixed case; an empty non-terminal, a wildcard, a cut with glue.
RECORDS = [("@", "NS", 3600, "ns1.example.com.", "ns.example.net."), ("ns1", "A", 3600, "192.0.2.1"), ("ns1", "AAAA", 3600, "2001:db8::1"),
           ("@", "MX", 300, "10 mail.example.com.", "20 mail.example.net."), ("mail", "A", 300, "192.0.2.2"),
           ("@", "CAA", 300, '0 issue "ca.example.net"'), ("@", "TXT", 300, '"v=spf1 -all"', '"two" "strings; and a \\"quote\\""'),
           ("_sip._tcp", "SRV", 300, "1 2 5060 mail.example.com."), ("alias", "CNAME", 300, "www.example.com."),
           ("host", "SSHFP", 300, "1 1 0123456789abcdef0123456789abcdef01234567"),
           ("_443._tcp", "TLSA", 300, "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
           ("e164", "NAPTR", 300, '100 10 "u" "E2U+sip" "!^.*$!sip:info@example.com!" .'), ("a.ent", "A", 300, "192.0.2.3"),
           ("*.wild", "TXT", 60, '"any"'), ("sub", "NS", 300, "ns.sub.example.com."), ("ns.sub", "A", 300, "192.0.2.4"),
           ("svc", "HTTPS", 300, "1 . alpn=h2,h3 port=8443")]


def owner(name):
    return ZONE if name == "@" else f"{name}.{ZONE}"


def rrsets(lines):
    return [{"name": owner(n), "type": t, "ttl": ttl, "changetype": "REPLACE", "records": [{"content": c, "disabled": False} for c in contents]}
            for n, t, ttl, *contents in lines]


@pytest.fixture
def server(lab):
    started = []

    def start(more):
        started.append(pdns.Pdns(lab.folder, pdns.LMDB, more))
        return started[0]
    yield start
    for it in started:
        it.stop()


def done(server, method, path, body=None, want=(200, 201, 204)):
    status, text, _ = server.call(method, f"/api/v1/servers/localhost{path}", body)
    assert status in want, f"{method} {path}: {status} {text}"


def add_pdns_key(server):
    done(server, "POST", "/tsigkeys", {"name": SIGNER, "algorithm": "hmac-sha256", "key": SECRET64})


@SIGNED
def test_powerdns_is_the_primary(lab, server, signed):
    core = secondary_core(lab)
    if signed:
        add_key(core, [])
    theirs = server(f"primary=yes\nallow-axfr-ips={'' if signed else HOST}\nxfr-cycle-interval=1\nonly-notify=\nsend-signed-notify={'yes' if signed else 'no'}\n")
    if signed:
        add_pdns_key(theirs)
    done(theirs, "POST", "/zones", {"name": ZONE, "kind": "Master", "nameservers": [], "rrsets": rrsets(RECORDS), "soa_edit_api": "INCREASE",
                                    "master_tsig_key_ids": [SIGNER] if signed else []})
    done(theirs, "POST", f"/zones/{ZONE}/metadata", {"kind": "ALSO-NOTIFY", "metadata": [f"{HOST}:{core.dns_port}"]})
    key = TSIG if signed else None
    call(core, "POST", "/v1/zones", {"name": ZONE, "kind": "secondary",
                                     "primaries": [{"address": f"{HOST}@{theirs.port}", **({"tsig": SIGNER} if signed else {})}]})
    wait_until("the first copy", lambda: call(core, "GET", f"/v1/zones/{ZONE}").get("serial"), timeout=60)
    assert of_core(core) == of_peer(theirs.port, key=key)
    for n in range(2):
        before = serial_at(theirs)
        done(theirs, "PATCH", f"/zones/{ZONE}", {"rrsets": rrsets([("www", "A", 60 + n, f"192.0.2.{100 + n}", f"192.0.2.{110 + n}")])})
        assert serial_at(theirs) != before
        wait_until("its NOTIFY brings the change", lambda: call(core, "GET", f"/v1/zones/{ZONE}")["serial"] == serial_at(theirs), timeout=60)
    done(theirs, "PATCH", f"/zones/{ZONE}", {"rrsets": [{"name": owner("mail"), "type": "A", "changetype": "DELETE"}]})
    wait_until("the same records", lambda: of_core(core) == of_peer(theirs.port, key=key), timeout=60)
    assert not any(line.startswith("mail.example.com. 300 1 ") for line in of_core(core))
    assert core.metric("azoth_core_dns_notifies_received_total", **{"from": "primary"}) >= 2
    assert core.metric("azoth_core_dns_tsig_refused_total") == 0
    if signed:
        call(core, "PATCH", f"/v1/zones/{ZONE}", {"primaries": [{"address": f"{HOST}@{theirs.port}"}]})

        def refused():                              # the key is what opened the zone
            call(core, "POST", f"/v1/zones/{ZONE}/transfer?axfr=1", want=(202,))
            return re.search(r"secondary\.failed.*what=transfer", core.log())
        wait_until("a transfer without the key fails", refused, pause=0.3)


@SIGNED
def test_powerdns_is_the_secondary(lab, server, signed):
    core = updates.updating_core(lab, text="@ 3600 IN SOA ns1 hostmaster 100 7200 900 1209600 300\n@ IN NS ns1\n")
    settings(core, transfer_acl=[] if signed else LOOPBACK)
    add_key(core, [ZONE])
    edit(core, *[(owner(n), *rest) for n, *rest in RECORDS])
    theirs = server(f"secondary=yes\nallow-axfr-ips={HOST}\nxfr-cycle-interval=1\n")
    if signed:
        add_pdns_key(theirs)
    done(theirs, "POST", "/zones", {"name": ZONE, "kind": "Slave", "masters": [f"{HOST}:{core.dns_port}"], "nameservers": [],
                                    "slave_tsig_key_ids": [SIGNER] if signed else []})
    done(theirs, "POST", f"/zones/{ZONE}/metadata", {"kind": "IXFR", "metadata": ["1"]})
    done(theirs, "PUT", f"/zones/{ZONE}/axfr-retrieve")
    wait_until("the first copy", lambda: serial_at(theirs) is not None, timeout=60)
    assert of_peer(theirs.port) == of_core(core)
    settings(core, notify=[f"{HOST}@{theirs.port}"])
    for n in range(3):
        last = edit(core, (f"n{n}.{ZONE}", "A", 60, f"192.0.2.{100 + n}", f"192.0.2.{110 + n}"), (f"www.{ZONE}", "A", 60 + n, "192.0.2.10"),
                    *([(f"n{n - 1}.{ZONE}", "A", 60)] if n else []))
        wait_until(f"change {n} at the secondary", lambda: serial_at(theirs) == last, timeout=60)
    wait_until("the same records", lambda: of_peer(theirs.port) == of_core(core), timeout=30)
    assert core.metric("azoth_core_dns_transfers_total", form="ixfr") >= 1
    assert core.metric("azoth_core_dns_notifies_total", end="answered") >= 1
