"""Differential test: the same zones served by NSD, Knot, BIND and azoth-dns. Where the three agree, azoth must too."""
import gzip
import random
import subprocess

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

import peers
from lab import DATA, HOST, SAMPLE

TYPES = ["A", "AAAA", "MX", "TXT", "NS", "SOA", "CNAME", "SRV", "CAA", "DS", "DNAME", "HTTPS", "PTR", "TYPE65400", "NAPTR"]
pytestmark = pytest.mark.skipif(bool(peers.missing()), reason=f"not installed: {peers.missing()} (scripts/install-deps --test)")


def records(section):
    """A section as a set of (name, ttl, type, rdata), names in lower case."""
    return frozenset((rrset.name.to_text().lower(), rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), rd.to_text().lower())
                     for rrset in section for rd in rrset if rrset.rdtype != dns.rdatatype.OPT)


def needed_glue(reply):
    """Of a referral's additional section, the addresses of the name servers that stand below the cut: a resolver cannot
    go on without them. All else in that section is courtesy, on which servers differ."""
    if reply.answer or not reply.authority or reply.authority[0].rdtype != dns.rdatatype.NS:
        return frozenset()
    inside = {rd.target.to_text().lower() for rd in reply.authority[0] if rd.target.is_subdomain(reply.authority[0].name)}
    return frozenset(r for r in records(reply.additional) if r[0] in inside)


def essence(reply):
    """What makes up the answer to a resolver."""
    is_answer = bool(reply.answer) and reply.rcode() == dns.rcode.NOERROR
    authority = records(reply.authority)
    if is_answer:       # name servers beside a positive answer are courtesy; an SOA beside it is not
        authority = frozenset(r for r in authority if r[2] == "SOA")
    return (dns.rcode.to_text(reply.rcode()), bool(reply.flags & dns.flags.AA), records(reply.answer), authority,
            needed_glue(reply))


def ask(server_port, name, rrtype):
    query = dns.message.make_query(name, rrtype, use_edns=0, payload=1232)
    reply = dns.query.udp(query, HOST, timeout=5, port=server_port)
    if reply.flags & dns.flags.TC:
        reply = dns.query.tcp(query, HOST, timeout=5, port=server_port)
    return essence(reply)


def compare(questions, others, ours, agree_least):
    """Fails with each question on which the three agree and we do not."""
    differences, agreed = [], 0
    for name, rrtype in questions:
        seen = [ask(peer.port, name, rrtype) for peer in others]
        if not seen[0] == seen[1] == seen[2]:
            continue
        agreed += 1
        got = ask(ours.port, name, rrtype)
        if got != seen[0]:
            differences.append(f"{name} {rrtype}\n  the three: {show(seen[0])}\n  azoth:     {show(got)}")
    assert agreed >= agree_least * len(questions), f"the three agree on {agreed} of {len(questions)} only"
    assert not differences, f"{len(differences)} of {agreed}:\n" + "\n".join(differences[:40])
    return agreed


def show(seen):
    return " ".join(str(part if not isinstance(part, frozenset) else sorted(part)) for part in seen)


def names_around(owners, rng, extra=3):
    """Each owner, its parents, names below it, beside it, before and after it in the order, with other case."""
    found = set()
    for owner in owners:
        labels = owner.rstrip(".").split(".")
        for i in range(len(labels)):
            found.add(".".join(labels[i:]) + ".")
        base = owner if owner != "." else ""
        found |= {f"below.{base}", f"a.b.c.{base}", f"*.{base}", f"zzz.{base}"}
        if len(labels) > 1:
            parent = ".".join(labels[1:]) + "."
            for _ in range(extra):
                found.add(labels[0].replace("*", "star")[:40] + rng.choice("09az-_") + "." + parent)
            found.add(labels[0].upper() + "." + parent)
            found.add(labels[0][:-1] + "." + parent if len(labels[0]) > 1 else parent)
    good = []
    for name in found:
        try:
            dns.name.from_text(name)
            good.append(name)
        except dns.exception.DNSException:
            pass
    return sorted(good)


def test_sample_zone(lab, beside, figure):
    path = lab.zone_file("sample", SAMPLE.read_text())
    others, ours = beside({"example.com.": path})
    rng = random.Random(1)
    done = subprocess.run(["ldns-read-zone", str(SAMPLE)], capture_output=True, text=True, check=True)
    owners = {line.split()[0].lower() for line in done.stdout.splitlines() if line and not line.startswith(";")}
    names = names_around(owners, rng)
    questions = [(name, rrtype) for name in names for rrtype in TYPES]
    rng.shuffle(questions)
    agreed = compare(questions[:4000], others, ours, 0.9)
    figure("sample zone: answers equal to those of NSD, Knot and BIND", f"{agreed} of {agreed} on which they agree")


PARENT = """$ORIGIN test.
$TTL 600
@ IN SOA ns hostmaster 1 7200 900 1209600 60
@ IN NS ns
ns IN A 192.0.2.1
child IN NS ns.child
child IN DS 1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
ns.child IN A 192.0.2.2
into IN CNAME www.child
wild.into IN CNAME no.such.child
away IN CNAME www.other.example.
*.w IN CNAME www.child
a.ent IN A 192.0.2.3
"""
CHILD = """$ORIGIN child.test.
$TTL 600
@ IN SOA ns hostmaster 2 7200 900 1209600 60
@ IN NS ns
ns IN A 192.0.2.2
www IN A 192.0.2.80
back IN CNAME a.ent.test.
sub IN NS ns.sub
ns.sub IN AAAA 2001:db8::5
* IN TXT "wild child"
x.y IN A 192.0.2.4
"""
OTHER = """$ORIGIN other.example.
$TTL 600
@ IN SOA ns.other.example. hostmaster 3 7200 900 1209600 60
@ IN NS ns
ns IN A 192.0.2.7
www IN A 192.0.2.77
t IN DNAME child.test.
"""


def test_parent_and_child_zones(lab, beside, figure):
    zones = {"test.": lab.zone_file("p", PARENT), "child.test.": lab.zone_file("c", CHILD),
             "other.example.": lab.zone_file("o", OTHER)}
    others, ours = beside(zones)
    owners = set()
    for text in PARENT, CHILD, OTHER:
        origin = text.split()[1]
        for line in text.splitlines()[2:]:
            owner = line.split()[0]
            owners.add(origin if owner == "@" else f"{owner}.{origin}")
    rng = random.Random(2)
    names = names_around(owners, rng, 1)
    questions = [(name, rrtype) for name in names for rrtype in ("A", "AAAA", "NS", "SOA", "DS", "CNAME", "TXT", "MX")]
    agreed = compare(questions, others, ours, 0.8)
    figure("parent and child zones: answers equal to the three peers'", agreed)


@pytest.mark.data
def test_root_zone(lab, beside, figure):
    with gzip.open(DATA / "root" / "base.zone.gz", "rt") as f:
        path = lab.zone_file("root", f.read())
    others, ours = beside({".": path})
    rng = random.Random(3)
    with open(path) as f:
        owners = sorted({line.split()[0].lower() for line in f if not line[0].isspace() and not line.startswith(";")})
    tlds = [o for o in owners if o.count(".") == 1]
    names = names_around(rng.sample(tlds, 150), rng, 2) + rng.sample(owners, 150) + ["."]
    questions = [(name, rrtype) for name in names for rrtype in ("A", "NS", "DS", "SOA", "AAAA", "DNSKEY")]
    rng.shuffle(questions)
    agreed = compare(questions[:3000], others, ours, 0.9)
    figure("root zone: answers equal to those of NSD, Knot and BIND", f"{agreed} of {agreed} on which they agree")
