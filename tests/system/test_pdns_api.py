"""PowerDNS's API here and there: the same calls go to azoth-core and to PowerDNS's own server, and status, body and effect are
compared. What differs stands in DIFFERENT, with the reason."""
import json
import re
import subprocess

import dns.rdatatype
import dns.zone
import pytest

import acme
import lab
import pdns
import updates

pytestmark = pytest.mark.skipif(pdns.folder() is None, reason="no PowerDNS here: scripts/install-deps --test")

SERVER = "/api/v1/servers/localhost"
ZONES = SERVER + "/zones"
Z = "$Z"                                    # the zone of a row: one of its own
ZONE = ZONES + "/" + Z
NOBODY = "a.misconfigured.dns.server.invalid."


def rrset(name, rtype, contents=None, ttl=300, change="REPLACE", **more):
    """An RRset as clients send it; name relative to the zone of the row, "" its apex; None: left out."""
    got = {"name": f"{name}.{Z}" if name else Z, "type": rtype, "changetype": change, "ttl": ttl, **more}
    if contents is not None:
        got["records"] = [c if isinstance(c, dict) else {"content": c, "disabled": False} for c in contents]
    return {member: value for member, value in got.items() if value is not None}


def patch(*rrsets):
    return "PATCH", ZONE, {"rrsets": list(rrsets)}


def create(**more):
    return "POST", ZONES, {"name": Z, "kind": "Native", "nameservers": ["ns1.example.net."], **more}


GET = "GET", ZONE, None
NEW = create()
WWW = rrset("www", "A", ["192.0.2.1"])

# --- flows: what clients do, call by call ----------------------------------------------------------------------------------
# (what, backend, calls)
FLOWS = [
    ("lego: version, zone, a challenge set and taken away, notify", pdns.LMDB, [
        create(kind="Master"), ("GET", "/api", None), GET,
        patch(rrset("_acme-challenge", "TXT", [{"content": '"token-1"', "disabled": False, "type": "TXT", "name": f"_acme-challenge.{Z}",
                                                "ttl": 120}], ttl=120, kind="Master")),
        GET, ("PUT", ZONE + "/notify", None),
        patch(rrset("_acme-challenge", "TXT", ['"token-1"', '"token-2"'], ttl=120)), GET,
        patch(rrset("_acme-challenge", "TXT", [], change="DELETE")), GET]),
    ("certbot dns-pdns: servers, zones, one RRset", pdns.LMDB, [
        NEW, ("GET", SERVER[:-len("/localhost")], None), ("GET", ZONE, None), patch(rrset("_acme-challenge", "TXT", ['"x"'], ttl=10)),
        ("PUT", ZONE + "/notify", None), patch(rrset("_acme-challenge", "TXT", change="DELETE", ttl=None)), GET]),
    ("octoDNS: a zone that is missing is made with its records, then changed", pdns.LMDB, [
        ("GET", SERVER, None), ("GET", ZONE, None),
        ("POST", ZONES, {"name": Z, "kind": "Master", "masters": [], "nameservers": [], "soa_edit_api": "DEFAULT",
                         "rrsets": [rrset("", "NS", ["1.1.1.1.", "4.4.4.4."], ttl=600), rrset("", "A", ["192.0.2.9"]),
                                    rrset("", "CAA", ['0 issue "ca.example.net"'], ttl=3600),
                                    rrset("loc", "LOC", ["31 58 52.100 S 115 49 11.700 E 20.00m 10.00m 10.00m 2.00m"]),
                                    rrset("_srv._tcp", "SRV", ["10 20 30 foo-1.example.net.", "12 20 30 foo-2.example.net."], ttl=600),
                                    rrset("naptr", "NAPTR", ['10 100 "S" "SIP+D2U" "!^.*$!sip:info@bar.example.com!" .']),
                                    rrset("sshfp", "SSHFP", ["1 1 bf6b6825d2977c511a475bbefb88aad54a92ac73"], ttl=3600),
                                    rrset("txt", "TXT", ['"Bah bah black sheep"', '"v=DKIM1\\;k=rsa"']),
                                    rrset("www.sub", "A", ["192.0.2.6"]), rrset("*.w", "AAAA", ["2001:db8::1"])]}),
        GET, patch(rrset("www.sub", "A", ["192.0.2.7", "192.0.2.8"]), rrset("txt", "TXT", change="DELETE", ttl=None),
                   rrset("mx", "MX", ["10 a.example.net.", "20 b.example.net."])),
        GET, ("PUT", ZONE + "/notify", None)]),
    ("external-dns: zones, one zone, several RRsets at once, and away again", pdns.LMDB, [
        NEW, ("GET", ZONES + "?zone=" + Z, None), GET,
        patch(rrset("app", "A", ["192.0.2.44"]), rrset("a-app", "TXT", ['"heritage=external-dns,external-dns/owner=default"'])), GET,
        patch(rrset("app", "CNAME", ["lb.example.net."]), rrset("app", "A", change="DELETE", ttl=None)),
        patch(rrset("app", "A", [], change="DELETE"), rrset("app", "CNAME", ["lb.example.net."])), GET,
        patch(rrset("app", "CNAME", change="DELETE"), rrset("a-app", "TXT", change="DELETE")), GET]),
    ("Terraform: a zone through its life", pdns.LMDB, [
        ("GET", SERVER, None), create(soa_edit_api="DEFAULT", account="tf"), ("GET", ZONE + "?rrsets=false", None), patch(WWW),
        ("GET", ZONE + f"?rrset_name=www.{Z}&rrset_type=A", None), ("PUT", ZONE, {"kind": "Master", "account": "other"}),
        ("GET", ZONE + "?rrsets=false", None), patch(rrset("www", "A", [], change="DELETE")), ("DELETE", ZONE, None), GET,
        ("DELETE", ZONE, None)]),
    ("PowerDNS-Admin: a zone with its settings, records, metadata and away", pdns.LMDB, [
        ("GET", SERVER, None), ("GET", ZONE, None),
        create(nameservers=["ns1.example.net.", "ns2.example.net."], soa_edit_api="INCREASE", account="customer"), GET,
        patch(rrset("", "A", ["192.0.2.1"]), rrset("www", "CNAME", [f"{Z}"]), rrset("off", "A", [{"content": "192.0.2.5", "disabled": True}])),
        GET, ("PUT", ZONE, {"kind": "Master", "masters": []}), ("PUT", ZONE, {"soa_edit_api": "EPOCH"}), ("GET", ZONE + "?rrsets=false", None),
        ("GET", ZONE + "/cryptokeys", None), ("GET", ZONE + "/metadata", None), ("PUT", ZONE + "/rectify", None),
        ("PUT", ZONE + "/axfr-retrieve", None), ("PUT", SERVER + "/cache/flush?domain=" + Z, None), ("DELETE", ZONE, None)]),
    ("PowerDNS-Admin: a secondary zone", pdns.LMDB, [
        ("POST", ZONES, {"name": Z, "kind": "Slave", "masters": ["192.0.2.1", "192.0.2.2:5300", "[2001:db8::1]:53", "2001:db8::2"]}), GET,
        ("PUT", ZONE, {"masters": ["192.0.2.9"]}), ("GET", ZONES + "?zone=" + Z, None), ("PUT", ZONE + "/notify", None), ("PUT", ZONE + "/axfr-retrieve", None),
        ("GET", ZONE + "/export", None), ("DELETE", ZONE, None), GET]),
    ("Proxmox SDN: the zone's content, then one RRset", pdns.LMDB, [
        NEW, ("GET", ZONE, None, {"Content-Type": "application/json; charset=UTF-8"}), patch(rrset("vm1", "A", ["192.0.2.50"], ttl=14400)),
        patch(rrset("vm1", "A", ["192.0.2.50", "192.0.2.51"], ttl=14400)), GET, patch(rrset("vm1", "A", change="DELETE", ttl=None))]),
    ("a zone from the text of a zone file, exported as text and as JSON", pdns.LMDB, [
        ("POST", ZONES, {"name": Z, "kind": "Native", "zone": f"$ORIGIN {Z}\n@ 60 IN SOA ns.{Z} h.{Z} 5 1 1 1 1\n@ 60 IN NS ns.{Z}\n"
                                                               "ns 60 IN A 192.0.2.9\nw 60 IN TXT \"a\" \"b\"\n"}),
        GET, ("GET", ZONE + "/export", None), ("GET", ZONE + "/export", None, {"Accept": "application/json"})]),
    ("a long string is cut into pieces, as DKIM keys need", pdns.LMDB, [
        NEW, patch(rrset("k._domainkey", "TXT", ['"v=DKIM1; k=rsa; p=' + "A\\065" * 200 + '"'])), GET]),
    ("comments: kept beside records, alone, and gone with the records", pdns.SQLITE, [
        NEW, patch(rrset("c", "A", ["192.0.2.1"], comments=[{"content": "why", "account": "me", "modified_at": 7}])), GET,
        patch(rrset("c", "A", ["192.0.2.2"])), GET, patch(rrset("c", "A", ["192.0.2.3"], comments=[])), GET,
        patch(rrset("c", "A", comments=[{"content": "now", "account": "", "modified_at": 8}], ttl=None)), GET,
        patch(rrset("c", "A", [])), GET, patch(rrset("c", "A", change="DELETE")), GET]),
    ("disabled records are shown and not served", pdns.SQLITE, [
        NEW, patch(rrset("d", "A", [{"content": "192.0.2.1", "disabled": True}, {"content": "192.0.2.2", "disabled": False}])), GET,
        patch(rrset("d", "A", [{"content": "192.0.2.1", "disabled": True}])), GET, patch(rrset("d", "CNAME", ["x.example.net."])), GET]),
    ("search: zones, records, comments", pdns.SQLITE, [
        NEW, patch(rrset("find", "A", ["192.0.2.77"], comments=[{"content": "text of row $N", "account": "me", "modified_at": 7}])),
        ("GET", SERVER + "/search-data?q=find.row$N*", None), ("GET", SERVER + "/search-data?q=FIND.row$N*&object_type=record", None),
        ("GET", SERVER + "/search-data?q=*row $N&object_type=comment", None), ("GET", SERVER + "/search-data?q=row$N.example&object_type=zone", None),
        ("GET", SERVER + "/search-data?q=fin?.row$N.example&max=1&object_type=record", None), ("GET", SERVER + "/search-data?q=nothing*", None)]),
    ("metadata: made, added to, replaced, removed", pdns.LMDB, [
        NEW, ("POST", ZONE + "/metadata", {"kind": "ALLOW-AXFR-FROM", "metadata": ["AUTO-NS", "2001:db8::/48"]}),
        ("POST", ZONE + "/metadata", {"kind": "ALLOW-AXFR-FROM", "metadata": ["192.0.2.0/24"]}),
        ("PUT", ZONE + "/metadata/X-MINE", {"metadata": ["a", "b"]}), ("GET", ZONE + "/metadata", None),
        ("GET", ZONE + "/metadata/ALLOW-AXFR-FROM", None), ("PUT", ZONE + "/metadata/ALLOW-AXFR-FROM", {"metadata": ["10.0.0.0/8"]}),
        ("GET", ZONE + "/metadata/X-OTHER", None), ("DELETE", ZONE + "/metadata/X-MINE", None), ("DELETE", ZONE + "/metadata/X-MINE", None),
        ("GET", ZONE + "/metadata", None)]),
    ("TSIG keys: made, drawn, changed, renamed, named by a zone, removed", pdns.LMDB, [
        ("POST", SERVER + "/tsigkeys", {"name": "k$N", "algorithm": "hmac-sha256", "key": "4fTM2o4XqzO9Gd4PmKfRHQ=="}),
        ("POST", SERVER + "/tsigkeys", {"name": "k$N.", "algorithm": "hmac-sha256"}), ("GET", SERVER + "/tsigkeys", None),
        ("GET", SERVER + "/tsigkeys/k$N.", None), ("GET", SERVER + "/tsigkeys/k$N", None), create(master_tsig_key_ids=["k$N."]),
        ("PUT", ZONE, {"slave_tsig_key_ids": ["k$N"]}), ("GET", ZONE + "?rrsets=false", None), ("GET", ZONE + "/metadata", None),
        ("PUT", SERVER + "/tsigkeys/k$N.", {"name": "new$N"}), ("GET", SERVER + "/tsigkeys/k$N.", None),
        ("DELETE", SERVER + "/tsigkeys/new$N.", None), ("DELETE", SERVER + "/tsigkeys/new$N.", None)]),
    ("settings: each is kept and shown", pdns.LMDB, [
        create(account="a", soa_edit="EPOCH", soa_edit_api="INCREASE", api_rectify=True, catalog="catalog.example.net."), GET,
        ("GET", ZONE + "/metadata", None), ("PUT", ZONE, {"api_rectify": False, "soa_edit": "", "soa_edit_api": "", "catalog": "", "account": "b"}),
        ("GET", ZONE + "?rrsets=false", None), ("PUT", ZONE, {}), ("PUT", ZONE, {"kind": "Native", "foo": 1}), ("GET", ZONE + "?rrsets=false", None)]),
    ("kinds by all their names", pdns.LMDB, [create(kind="primary"), ("GET", ZONE + "?rrsets=false", None), ("PUT", ZONE, {"kind": "producer"}),
                                             ("GET", ZONE + "?rrsets=false", None), ("PUT", ZONE, {"kind": "bogus"}),
                                             ("GET", ZONE + "?rrsets=false", None)]),
]

# --- single calls: each on a fresh zone with www A 192.0.2.1 and alias CNAME ---------------------------------------------------
CALLS = [
    ("the root", ("GET", "/api", None)), ("version 1", ("GET", "/api/v1", None)), ("servers", ("GET", "/api/v1/servers", None)),
    ("the server", ("GET", SERVER, None)), ("another server", ("GET", "/api/v1/servers/other", None)),
    ("a slash too many", ("GET", "/api/v1/", None)), ("a slash behind a zone", ("GET", ZONE + "/", None)),
    ("no such version", ("GET", "/api/v2", None)), ("no such path of a zone", ("GET", ZONE + "/nosuch", None)),
    ("PUT of the list", ("PUT", ZONES, {})), ("POST to a server", ("POST", SERVER, {})), ("HEAD", ("HEAD", ZONES, None)),
    ("OPTIONS without a key", ("OPTIONS", ZONES, None, {}, None)), ("without a key", ("GET", ZONES, None, {}, None)),
    ("with a wrong key", ("GET", ZONES, None, {}, "wrong")), ("no such zone", ("GET", ZONES + "/nosuch.example.", None)),
    ("a name that is none", ("GET", ZONES + "/nosuch..example.", None)), ("a zone in capitals", ("GET", ZONES + "/ROW$N.EXAMPLE?rrsets=false", None)),
    ("a zone's id with a wrong escape", ("GET", ZONES + "/a=zz", None)), ("a zone below ours", ("GET", ZONES + f"/sub.{Z}", None)),
    ("a zone without its final dot", ("GET", ZONES + "/row$N.example", None)),
    ("rrsets=false", ("GET", ZONE + "?rrsets=false", None)), ("rrsets=foo", ("GET", ZONE + "?rrsets=foo", None)),
    ("one owner", ("GET", ZONE + f"?rrset_name=www.{Z}", None)), ("one RRset", ("GET", ZONE + f"?rrset_name=www.{Z}&rrset_type=A", None)),
    ("an RRset that is not there", ("GET", ZONE + f"?rrset_name=www.{Z}&rrset_type=MX", None)),
    ("a type alone filters nothing", ("GET", ZONE + "?rrset_type=MX", None)),
    ("a list of one", ("GET", ZONES + "?zone=" + Z, None)), ("a list of none", ("GET", ZONES + "?zone=nosuch.example.", None)),
    ("a list by a name without its dot", ("GET", ZONES + "?zone=row$N.example", None)),
    ("a list without DNSSEC", ("GET", ZONES + "?dnssec=false&zone=" + Z, None)),
    ("create: no JSON", ("POST", ZONES, "{")), ("create: nothing", ("POST", ZONES, "")), ("create: a list", ("POST", ZONES, "[]")),
    ("create: no name", ("POST", ZONES, {})), ("create: a number as name", ("POST", ZONES, {"name": 5, "kind": "Native"})),
    ("create: no final dot", ("POST", ZONES, {"name": "x.example", "kind": "Native"})),
    ("create: no kind", ("POST", ZONES, {"name": "x.example."})), ("create: an empty label", ("POST", ZONES, {"name": "x..example.", "kind": "Native"})),
    ("create: letters", ("POST", ZONES, {"name": "x\\.y.example.", "kind": "Native"})), ("create: a space", ("POST", ZONES, {"name": "x y.example.", "kind": "Native"})),
    ("create: it is there", NEW), ("create: nameserver without dot", create(name=f"n1.{Z}", nameservers=["ns1.example.net"])),
    ("create: nameserver no string", create(name=f"n2.{Z}", nameservers=[3])), ("create: nameservers no list", create(name=f"n3.{Z}", nameservers="a")),
    ("create: nameservers twice", create(name=f"n4.{Z}", nameservers=["a.", "a."])),
    ("create: nameservers and NS", create(name=f"n5.{Z}", rrsets=[{"name": f"n5.{Z}", "type": "NS", "ttl": 5, "records": [{"content": "a."}]}])),
    ("create: out of zone", create(name=f"n6.{Z}", rrsets=[{"name": "y.example.", "type": "A", "ttl": 5, "records": [{"content": "192.0.2.1"}]}])),
    ("create: text and RRsets", create(name=f"n7.{Z}", zone="a 60 IN A 192.0.2.1\n", rrsets=[{"name": f"n7.{Z}", "type": "A", "ttl": 5, "records": []}])),
    ("create: CNAME and A", create(name=f"n8.{Z}", rrsets=[{"name": f"a.n8.{Z}", "type": t, "ttl": 5, "records": [{"content": c}]}
                                                            for t, c in (("CNAME", "a."), ("A", "192.0.2.1"))])),
    ("create: two CNAMEs", create(name=f"n9.{Z}", rrsets=[{"name": f"a.n9.{Z}", "type": "CNAME", "ttl": 5, "records": [{"content": "a."}, {"content": "b."}]}])),
    ("create: a master that is no address", ("POST", ZONES, {"name": f"n10.{Z}", "kind": "Slave", "masters": ["foo"]})),
    ("create: NSEC3 without DNSSEC", create(name=f"n11.{Z}", nsec3param="1 0 1 ab")), ("create: no such TSIG key", create(name=f"n12.{Z}", master_tsig_key_ids=["nokey."])),
    ("create: unknown type", create(name=f"n13.{Z}", rrsets=[{"name": f"n13.{Z}", "type": "FOO", "ttl": 5, "records": [{"content": "x"}]}])),
    ("create: without RRsets in the reply", ("POST", ZONES + "?rrsets=false", {"name": f"n14.{Z}", "kind": "Native", "nameservers": ["a."]})),
    ("create: capitals, a slash and an underscore", create(name=f"N_15/26.{Z}")), ("create: nulls", create(name=f"n16.{Z}", masters=None, account=None, rrsets=None)),
    ("patch: no JSON", ("PATCH", ZONE, "{")), ("patch: no rrsets", ("PATCH", ZONE, {})), ("patch: rrsets no list", ("PATCH", ZONE, {"rrsets": {}})),
    ("patch: none", patch()), ("patch: a number", ("PATCH", ZONE, {"rrsets": [5]})), ("patch: no such zone", ("PATCH", ZONES + "/nosuch.example.", {"rrsets": []})),
    ("patch: no such zone before bad JSON", ("PATCH", ZONES + "/nosuch.example.", "{")),
    ("patch: no changetype", patch(rrset("www", "A", ["192.0.2.2"], change=None))), ("patch: changetype FOO", patch(rrset("www", "A", ["192.0.2.2"], change="FOO"))),
    ("patch: changetype in small letters", patch(rrset("www", "A", ["192.0.2.2"], change="replace"))),
    ("patch: no name", ("PATCH", ZONE, {"rrsets": [{"type": "A", "changetype": "REPLACE"}]})), ("patch: no type", ("PATCH", ZONE, {"rrsets": [{"name": Z, "changetype": "REPLACE"}]})),
    ("patch: name without dot", ("PATCH", ZONE, {"rrsets": [{"name": "www.row$N.example", "type": "A", "changetype": "REPLACE", "ttl": 5, "records": []}]})),
    ("patch: an empty label", patch(rrset("a.", "A", ["192.0.2.1"]))), ("patch: a label of 64", patch(rrset("a" * 64, "A", ["192.0.2.1"]))),
    ("patch: another zone's name", ("PATCH", ZONE, {"rrsets": [{"name": "a.other.", "type": "A", "changetype": "REPLACE", "ttl": 5, "records": []}]})),
    ("patch: unknown type", patch(rrset("www", "FOO", ["x"]))), ("patch: a meta type", patch(rrset("www", "TSIG", ["x"]))), ("patch: no ttl", patch(rrset("www", "A", ["192.0.2.2"], ttl=None))),
    ("patch: ttl as text", patch(rrset("www", "A", ["192.0.2.2"], ttl="600"))), ("patch: neither records nor comments", patch(rrset("www", "A"))),
    ("patch: no content", patch(rrset("www", "A", [{"disabled": False}]))), ("patch: content a number", patch(rrset("www", "A", [{"content": 5}]))),
    ("patch: disabled a text", patch(rrset("www", "A", [{"content": "192.0.2.2", "disabled": "x"}]))), ("patch: without disabled", patch(rrset("www", "A", [{"content": "192.0.2.2"}]))),
    ("patch: no records any more", patch(rrset("www", "A", []))), ("patch: a record twice", patch(rrset("www", "A", ["192.0.2.2", "192.0.2.2"]))),
    ("patch: an RRset twice", patch(WWW, rrset("www", "A", ["192.0.2.2"]))), ("patch: deleted twice", patch(*[rrset("www", "A", change="DELETE")] * 2)),
    ("patch: CNAME beside A", patch(rrset("www", "CNAME", ["a.example.net."]))), ("patch: A beside CNAME", patch(rrset("alias", "A", ["192.0.2.2"]))),
    ("patch: CNAME before the A goes", patch(rrset("www", "CNAME", ["a.example.net."]), rrset("www", "A", change="DELETE"))),
    ("patch: CNAME behind the A that goes", patch(rrset("www", "A", change="DELETE"), rrset("www", "CNAME", ["a.example.net."]))),
    ("patch: two CNAMEs", patch(rrset("alias", "CNAME", ["a.", "b."]))), ("patch: relative CNAME", patch(rrset("alias", "CNAME", ["a.example"]))),
    ("patch: an empty content", patch(rrset("www", "A", [""]))),
    ("patch: one RRset is wrong, nothing is done", patch(rrset("www", "A", ["192.0.2.9"]), rrset("bad", "A", ["x"]))),
    ("patch: no address", patch(rrset("www", "A", ["foo"]))), ("patch: no IPv6 address", patch(rrset("www", "AAAA", ["192.0.2.1"]))),
    ("patch: an IPv6 address in long", patch(rrset("www", "AAAA", ["2001:DB8:0:0::1"]))), ("patch: an address with a space", patch(rrset("www", "A", [" 192.0.2.1"]))),
    ("patch: MX without a preference", patch(rrset("www", "MX", ["mail.example.net."]))),
    ("patch: a relative MX", patch(rrset("www", "MX", ["10 mail.example.net"]))), ("patch: MX with spaces", patch(rrset("www", "MX", ["10  mail.example.net."]))),
    ("patch: MX in capitals", patch(rrset("www", "MX", ["10 Mail.Example.net."]))), ("patch: SRV port", patch(rrset("www", "SRV", ["0 5 x sip.example.net."]))),
    ("patch: a relative SRV", patch(rrset("www", "SRV", ["0 5 5060 sip.example.net"]))), ("patch: unquoted TXT", patch(rrset("www", "TXT", ["foo"]))),
    ("patch: TXT without an end", patch(rrset("www", "TXT", ['"foo']))), 
    ("patch: TXT of two strings", patch(rrset("www", "TXT", ['"foo" "bar"']))), ("patch: TXT with escapes", patch(rrset("www", "TXT", ['"a\\"b;c\\\\ \\200\\009"']))),
    ("patch: an empty TXT string", patch(rrset("www", "TXT", ['""']))), ("patch: SSHFP in capitals", patch(rrset("www", "SSHFP", ["1 1 AABB" + "0" * 36]))),
    ("patch: TLSA", patch(rrset("www", "TLSA", ["3 1 1 " + "ab" * 32]))), ("patch: CAA that allows nobody", patch(rrset("www", "CAA", ['0 issue ";"']))), ("patch: CAA", patch(rrset("www", "CAA", ['0 issue "letsencrypt.org"']))),
    ("patch: HTTPS", patch(rrset("www", "HTTPS", ["1 . alpn=h2,h3"]))), ("patch: unknown type by number", patch(rrset("www", "TYPE65280", ["\\# 2 0102"]))),
    ("patch: a known type by number", patch(rrset("www", "TYPE99", ['"v=spf1"']))), ("patch: DS", patch(rrset("sub", "NS", ["a.example.net."]), rrset("sub", "DS", ["1 8 2 " + "ab" * 32]))),
    ("patch: SOA below the apex", patch(rrset("www", "SOA", ["ns.example.net. h.example.net. 5 1 2 3 4"]))),
    ("patch: two SOAs", patch(rrset("", "SOA", ["ns.example.net. h.example.net. 5 1 2 3 4", "ns.example.net. h.example.net. 6 1 2 3 4"]))),
    ("patch: the SOA", patch(rrset("", "SOA", ["ns.example.net. h.example.net. 2099010101 1 2 3 4"]))), ("patch: a wildcard", patch(rrset("*", "A", ["192.0.2.2"]))),
    ("patch: a wildcard inside", patch(rrset("a.*", "A", ["192.0.2.2"]))), ("patch: an owner in capitals", patch(rrset("WWW", "A", ["192.0.2.2"]))),
    ("patch: a name with a space", patch(rrset("a b", "A", ["192.0.2.2"]))), ("patch: a name with a slash", patch(rrset("a/b", "A", ["192.0.2.2"]))),
    ("patch: a name with an at", patch(rrset("a@b", "A", ["192.0.2.2"]))), ("patch: DELETE of nothing", patch(rrset("nosuch", "A", change="DELETE", ttl=None))),
    ("patch: DELETE of an unknown type", patch(rrset("www", "FOO", change="DELETE"))), ("patch: comment without content", patch(rrset("www", "A", ["192.0.2.2"], comments=[{"account": "x"}]))),
    ("patch: comment without account", patch(rrset("www", "A", ["192.0.2.2"], comments=[{"content": "x"}]))),
    ("put: no JSON", ("PUT", ZONE, "{")), ("put: no such zone", ("PUT", ZONES + "/nosuch.example.", {})), ("put: a master that is no address", ("PUT", ZONE, {"masters": ["x"]})),
    ("put: NSEC3 without DNSSEC", ("PUT", ZONE, {"nsec3param": "1 0 1 ab"})), ("put: no such TSIG key", ("PUT", ZONE, {"master_tsig_key_ids": ["nokey."]})),
    ("delete: no such zone", ("DELETE", ZONES + "/nosuch.example.", None)), ("notify", ("PUT", ZONE + "/notify", None)), ("notify: GET", ("GET", ZONE + "/notify", None)),
    ("notify: no such zone", ("PUT", ZONES + "/nosuch.example./notify", None)), ("retrieve: no secondary", ("PUT", ZONE + "/axfr-retrieve", None)),
    ("rectify", ("PUT", ZONE + "/rectify", None)), ("export: no such zone", ("GET", ZONES + "/nosuch.example./export", None)),
    ("keys: none", ("GET", ZONE + "/cryptokeys", None)), ("keys: no such key", ("GET", ZONE + "/cryptokeys/1", None)), ("keys: no keytype", ("POST", ZONE + "/cryptokeys", {})),
    ("keys: a wrong keytype", ("POST", ZONE + "/cryptokeys", {"keytype": "foo"})), ("keys: PATCH", ("PATCH", ZONE + "/cryptokeys", {})),
    ("metadata: unknown kind", ("GET", ZONE + "/metadata/NOSUCH", None)), ("metadata: a kind with settings of its own", ("PUT", ZONE + "/metadata/SOA-EDIT-API", {"metadata": ["EPOCH"]})),
    ("metadata: hidden kind", ("GET", ZONE + "/metadata/NSEC3PARAM", None)), ("metadata: no list", ("POST", ZONE + "/metadata", {"kind": "X-Y", "metadata": "a"})),
    ("metadata: no kind", ("POST", ZONE + "/metadata", {"metadata": ["a"]})), ("metadata: a number", ("POST", ZONE + "/metadata", {"kind": "X-Y", "metadata": [5]})),
    ("metadata: no JSON", ("POST", ZONE + "/metadata", "{")), ("metadata: DELETE of all", ("DELETE", ZONE + "/metadata", None)),
    ("metadata: no such zone", ("GET", ZONES + "/nosuch.example./metadata", None)), ("metadata: SOA-EDIT", ("PUT", ZONE + "/metadata/SOA-EDIT", {"metadata": ["EPOCH"]})),
    ("tsig: no name", ("POST", SERVER + "/tsigkeys", {"algorithm": "hmac-md5"})), ("tsig: no algorithm", ("POST", SERVER + "/tsigkeys", {"name": "a"})),
    ("tsig: unknown algorithm", ("POST", SERVER + "/tsigkeys", {"name": "a", "algorithm": "foo", "key": "aGVsbG8="})), ("tsig: nothing to draw for", ("POST", SERVER + "/tsigkeys", {"name": "a", "algorithm": "foo"})),
    ("tsig: no base64", ("POST", SERVER + "/tsigkeys", {"name": "a", "algorithm": "hmac-md5", "key": "!!"})), ("tsig: no such key", ("GET", SERVER + "/tsigkeys/nosuch", None)),
    ("tsig: PUT of no such key", ("PUT", SERVER + "/tsigkeys/nosuch.", {})), ("tsig: DELETE of the list", ("DELETE", SERVER + "/tsigkeys", None)),
    ("search: no pattern", ("GET", SERVER + "/search-data", None)), ("search: max 0", ("GET", SERVER + "/search-data?q=a&max=0", None)),
    ("search: wrong object", ("GET", SERVER + "/search-data?q=a&object_type=foo", None)), ("search: POST", ("POST", SERVER + "/search-data?q=a", None)),
    ("flush: a name without its dot", ("PUT", SERVER + "/cache/flush?domain=example.com", None)), ("flush: nothing", ("PUT", SERVER + "/cache/flush", None)),
    ("flush: no such zone", ("PUT", SERVER + "/cache/flush?domain=nosuch.example.", None)), ("flush: GET", ("GET", SERVER + "/cache/flush", None)),
    ("config: POST", ("POST", SERVER + "/config", {})), ("statistics: no such one", ("GET", SERVER + "/statistics?statistic=nosuch", None)),
]

# --- what is different, and why --------------------------------------------------------------------------------------------
# (what, why, call, (status, what PowerDNS's body has), (status, what ours has))
DIFFERENT = [
    ("patch: the NS at the apex goes", "a zone without one is not published", patch(rrset("", "NS", change="DELETE")), (204, ""), (422, "the zone has no NS at its apex")),
    ("patch: the SOA goes", "a zone without one is not published", patch(rrset("", "SOA", change="DELETE")), (204, ""), (422, "the zone has no SOA at its apex")),
    ("patch: a negative TTL", "there it is taken for another number", patch(rrset("www", "A", ["192.0.2.2"], ttl=-5)), (204, ""), (422, "Key 'ttl' is not from 0 to 2147483647")),
    ("patch: TTL foo", "an error of the client is told as one", patch(rrset("www", "A", ["192.0.2.2"], ttl="foo")), (500, "Internal"), (422, "Key 'ttl' not an Integer")),
    ("patch: @ as a name", "the apex of nothing", patch(rrset("alias", "CNAME", ["@"])), (422, "parsed as '@.'"), (422, "parsed as '.'")),
    ("patch: an address with a zero", "no address, in most eyes", patch(rrset("www", "A", ["01.2.3.4"])), (422, "parsed as '1.2.3.4'"), (422, "not an IPv4")),
    ("patch: TXT without quotes at its end", "let pass: what is meant is clear", patch(rrset("www", "TXT", ['"a" b'])), (422, "parsed as"), (204, "")),
    ("patch: EXTEND", "of a later version there", patch(rrset("www", "A", ["192.0.2.2"], change="EXTEND")), (422, "Changetype not understood"), (204, "")),
    ("patch: PRUNE", "of a later version there", patch(rrset("www", "A", ["192.0.2.1"], change="PRUNE")), (422, "Changetype not understood"), (204, "")),
    ("put: DNSSEC", "nothing is signed here", ("PUT", ZONE, {"dnssec": True}), (204, ""), (422, "This server does not sign zones")),
    ("keys: a new one", "nothing is signed here", ("POST", ZONE + "/cryptokeys", {"keytype": "ksk", "active": True}), (201, "dnskey"), (422, "This server does not sign zones")),
    ("put: another kind", "records of a secondary come from transfers alone", ("PUT", ZONE, {"kind": "Slave", "masters": ["192.0.2.1"]}), (204, ""), (422, "cannot change between Native and Slave")),
    ("create: text that is wrong", "an error of the client is told as one", create(name=f"n1.{Z}", zone="@ 60 IN A foo"), (500, "Internal"), (422, "Zone text, line 1")),
    ("create: a secondary with records", "records of a secondary come from transfers alone", create(name=f"n2.{Z}", kind="Slave"), (422, "Failed to rectify"), (422, "has its records from its masters")),
    ("create: DNSSEC", "nothing is signed here", create(name=f"n3.{Z}", dnssec=True), (201, '"dnssec": true'), (422, "This server does not sign zones")),
    ("rrset_name that is none", "an error of the client is told as one", ("GET", ZONE + "?rrset_name=a..b.", None), (500, "Internal"), (422, "Unable to parse DNS Name 'a..b.'")),
    ("autoprimaries", "there are none", ("GET", SERVER + "/autoprimaries", None), (500, "Internal"), (200, "[]")),
    ("a new autoprimary", "there are none", ("POST", SERVER + "/autoprimaries", {"ip": "192.0.2.1", "nameserver": "a.", "account": ""}), (500, "Internal"), (422, "autoprimaries")),
    ("search: max foo", "an error of the client is told as one", ("GET", SERVER + "/search-data?q=a&max=foo", None), (500, "Internal"), (422, "Maximum entries must be a number")),
    ("tsig: a name that is none", "an error of the client is told as one", ("POST", SERVER + "/tsigkeys", {"name": "a..b", "algorithm": "hmac-sha256"}), (500, "Internal"), (422, "Unable to parse DNS Name")),
]


# --- the two servers -------------------------------------------------------------------------------------------------------
class Ours(pdns.Api):
    def __init__(self, core):
        super().__init__(core.ports["api"], lab.API_KEY)
        self.core = core

    def records(self, zone):
        got = dns.zone.from_text(self.core.dump(zone), origin=zone, relativize=False)
        return {(str(name), dns.rdatatype.to_text(rdataset.rdtype)): {rd.to_text() for rd in rdataset}
                for name, node in got.nodes.items() for rdataset in node.rdatasets}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pdns")
    with_core = lab.Lab(folder)
    theirs = []
    try:
        theirs = [pdns.Pdns(folder, backend) for backend in (pdns.LMDB, pdns.SQLITE)]
        yield {"ours": Ours(with_core.core(api=True).start()), pdns.LMDB: theirs[0], pdns.SQLITE: theirs[1]}
        with_core.verify()
    finally:
        for server in theirs:
            server.stop()
        with_core.end()


def filled(value, number):
    text = json.dumps(value).replace(Z, f"row{number}.example.").replace("$N", str(number))
    return json.loads(text)


def ask(server, call, number):
    method, path, body, headers, key = filled([*call, *[{}, True][len(call) - 3:]], number)
    return server.call(method, path, body, key=key, headers=headers)


# --- what is not compared, each with its reason ----------------------------------------------------------------------------
SOA_SERIAL = re.compile(r"^(\S+ \S+) \d+ (\d+ \d+ \d+ \d+)$")


def normal(value, member=None):
    if member in ("serial", "edited_serial", "notified_serial"):
        return "N"              # ours begin at 00 of a day; nobody is notified by us
    if member == "modified_at" and value > 1000000000:
        return "T"              # now
    if isinstance(value, dict):
        return {name: normal(v, name) for name, v in value.items()}
    if isinstance(value, list):
        items = [normal(v) for v in value]
        items = [v for v in items if not (isinstance(v, dict) and v.get("type") == "NS"         # ours: no zone is without one
                                          and [r["content"] for r in v.get("records", [])] == [NOBODY])]
        return sorted(items, key=json.dumps)    # RRsets, records and zones have no order
    if member == "content":
        return SOA_SERIAL.sub(r"\1 N \2", value)
    if member == "error":       # why a content does not parse is told in other words
        return re.sub(r"(Parsing record content).*", r"\1", value)
    if member == "ttl" and value in (0, 300):
        return "TTL"            # of comments alone: 0 there, that of the RRset before here
    if member == "key" and len(value) > 80:
        return "DRAWN"
    if member == "zone" and "\n" in value:
        return sorted(SOA_SERIAL.sub("", line) for line in re.sub(r"\d{10}", "N", value).splitlines())      # an export
    return value


def told(reply):
    """What is compared of a reply."""
    status, body, _ = reply
    if body[:1] in ("{", "["):
        return status, normal(json.loads(body))
    if "\tIN\t" in body:
        return status, sorted(line for line in re.sub(r"\d{10}", "N", body).splitlines() if line)
    return status, body


def served(server, zone):
    return {key: {re.sub(r" \d+ (?=\d+ \d+ \d+ \d+$)", " N ", rdata) if key[1] == "SOA" else rdata for rdata in rdatas}
            for key, rdatas in server.records(zone).items() if rdatas != {NOBODY}}


def compare(what, call, theirs, ours):
    assert told(ours) == told(theirs), f"{what}: {call[0]} {call[1]} {json.dumps(call[2])[:300]}\n  PowerDNS {theirs[:2]}\n  ours     {ours[:2]}"


@pytest.mark.parametrize("number", range(len(FLOWS)), ids=[flow[0] for flow in FLOWS])
def test_client_flow(servers, number):
    what, backend, calls = FLOWS[number]
    zone = f"row{number}.example."
    for call in calls:
        compare(what, call, ask(servers[backend], call, number), ask(servers["ours"], call, number))
    state = ask(servers["ours"], GET, number)
    if state[0] == 200 and json.loads(state[1])["kind"] != "Slave":
        assert served(servers["ours"], zone) == served(servers[backend], zone), what


def test_single_calls(servers):
    """Each on zones of their own; what the zone is behind it is compared too."""
    wrong = []
    for i, (what, call) in enumerate(CALLS):
        number, theirs, ours = 1000 + i, servers[pdns.SQLITE], servers["ours"]
        prepare = patch(WWW, rrset("alias", "CNAME", ["www.example.net."]))
        for step in NEW, prepare, call, GET:
            try:
                compare(what, step, ask(theirs, step, number), ask(ours, step, number))
            except AssertionError as difference:
                wrong.append(str(difference))
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong)


def test_what_is_different(servers):
    """The table of differences is true on both sides."""
    for i, (what, why, call, there, here) in enumerate(DIFFERENT):
        number = 2000 + i
        for server, (status, text) in (servers[pdns.LMDB], there), (servers["ours"], here):
            for step in NEW, patch(WWW):
                assert ask(server, step, number)[0] in (201, 204)
            got = ask(server, call, number)
            assert (got[0], text in got[1]) == (status, True), f"{what} ({why}): {got[:2]}, expected {status} with {text!r}"


def test_serial_moves_as_soa_edit_api_says(servers):
    """DEFAULT, INCREASE and EPOCH move it with each change, all others leave it alone; here it never goes back."""
    for i, mode in enumerate(("DEFAULT", "INCREASE", "EPOCH", "SOA-EDIT-INCREASE", "SOA-EDIT", "OFF", "")):
        number = 3000 + i
        moved = {}
        for name in "ours", pdns.LMDB:
            serials = []
            soa = {"name": Z, "type": "SOA", "ttl": 60, "records": [{"content": "ns.example.net. h.example.net. 7 1 1 1 1"}]}
            assert ask(servers[name], create(soa_edit_api=mode, rrsets=[soa]), number)[0] == 201
            for address in "192.0.2.1", "192.0.2.2":
                assert ask(servers[name], patch(rrset("a", "A", [address])), number)[0] == 204
                serials.append(json.loads(ask(servers[name], GET, number)[1])["serial"])
            moved[name] = serials[0] > 7, mode == "EPOCH" or serials[1] > serials[0]    # EPOCH: twice within a second
        assert moved["ours"] == moved[pdns.LMDB], mode


def test_what_is_asked_most(servers):
    """The figures and settings that dashboards read."""
    for path, members in (SERVER + "/statistics", {"uptime"}), (SERVER + "/config", {"api", "default-soa-content", "webserver"}):
        status, body, headers = servers["ours"].call("GET", path)
        items = json.loads(body)
        assert status == 200 and members <= {item["name"] for item in items}, path
        assert all(set(item) == {"name", "type", "value"} and isinstance(item["value"], str) for item in items)
        assert headers["Access-Control-Allow-Origin"] == "*"


def test_key_that_may_only_read(tmp_path):
    with_core = lab.Lab(tmp_path)
    try:
        core = with_core.core(api=True)
        key_file = tmp_path / "core.api.key"
        key_file.write_text(f"{lab.API_KEY}\nonly-for-reading-0 ro reader\n")
        core.start()
        api = Ours(core)
        assert ask(api, NEW, 1)[0] == 201
        assert api.call("GET", ZONES + "/row1.example.", key="only-for-reading-0")[0] == 200
        assert api.call("DELETE", ZONES + "/row1.example.", key="only-for-reading-0")[:2] == (403, "Forbidden")
        assert api.call("POST", SERVER + "/tsigkeys", {"name": "k", "algorithm": "hmac-sha256"})[0] == 201
        assert json.loads(api.call("GET", SERVER + "/tsigkeys/k.", key="only-for-reading-0")[1])["key"] == ""
        for method, body in (("GET", None), ("PUT", {"metadata": ["a"]})):      # bytes that are no text
            assert api.call(method, ZONES + "/row1.example./metadata/X-%ff", body)[0] == 422
    finally:
        with_core.end()


def test_what_many_records_cost(tmp_path):
    """The memory of a call goes by what it says, not by the number of its records times the most that one could be."""
    def virtual_kb():
        return int(re.search(r"VmPeak:\s+(\d+)", open(f"/proc/{api.core.process.pid}/status").read()).group(1))
    with_core = lab.Lab(tmp_path)
    try:
        api = Ours(with_core.core(api=True).start())
        assert ask(api, NEW, 1)[0] == 201
        sets = [rrset(f"a{i}", "AAAA", [f"2001:db8::{i:x}:{k + 1:x}" for k in range(500)]) for i in range(20)]
        assert ask(api, patch(*sets[:1]), 1)[0] == 204              # what the first one brings is there: threads, views
        before = virtual_kb()
        assert ask(api, patch(*sets), 1)[0] == 204
        assert virtual_kb() - before < 200 * 1024
        types = [rrset("a0", f"TYPE{t}", ["\\# 1 00"]) for t in range(1000, 4000)]       # at one name: no edit reads all the others
        assert ask(api, patch(*types), 1)[0] == 204 and ask(api, patch(*types), 1)[0] == 204
        assert virtual_kb() - before < 200 * 1024
        assert "Conflicts with pre-existing RRset" in ask(api, patch(rrset("a0", "CNAME", ["b.example."])), 1)[1]
    finally:
        with_core.end()


@pytest.mark.skipif(updates.client_command("lego") is None, reason="no lego (scripts/install-deps --test)")
def test_lego(tmp_path):
    """The program itself: a certificate by dns-01 through this API, from the first call to the TXT record that is gone again."""
    with_core, server = lab.Lab(tmp_path), None
    name = "_acme-challenge.www.row1.example."
    try:
        api = Ours(with_core.core(api=True).start())
        assert ask(api, create(kind="Master"), 1)[0] == 201
        front = with_core.dns(api.core).start()
        server = acme.Acme(lambda host: front.values(f"_acme-challenge.{host}.", "TXT"))
        front.wait_serial("row1.example.", json.loads(ask(api, GET, 1)[1])["serial"])
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PDNS_API_URL": f"http://{lab.HOST}:{api.api_port}",
                       "PDNS_API_KEY": api.key, "PDNS_POLLING_INTERVAL": "1", "PDNS_PROPAGATION_TIMEOUT": "20"}
        done = subprocess.run([*updates.client_command("lego"), "--server", server.url("directory"), "--email", "a@example.com", "--accept-tos",
                               "--domains", "www.row1.example", "--dns", "pdns", "--dns.resolvers", f"{lab.HOST}:{front.port}",
                               "--dns.disable-cp", "--path", str(tmp_path / "lego"), "run"],
                              env=environment, capture_output=True, text=True, timeout=100 * lab.SLOW)
        assert done.returncode == 0, done.stdout + done.stderr
        assert server.seen and len(server.seen) == 1
        assert name not in api.call("GET", ZONES + "/row1.example.")[1]
    finally:
        if server is not None:
            server.stop()
        with_core.end()
