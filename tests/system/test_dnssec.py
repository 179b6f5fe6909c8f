"""Signed zones: what ldns-signzone, dnssec-signzone and Knot sign is served so that each answer proves itself, and as NSD and Knot
serve it; `azoth dump` gives back a zone that verifies."""
import base64
import random
import subprocess

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rdatatype as T
import pytest

import peers
import signers
import validator
from lab import DATA, HOST, read_gzip

pytestmark = pytest.mark.skipif(bool(peers.missing()), reason=f"not installed: {peers.missing()} (scripts/install-deps --test)")

ZONE = r"""$ORIGIN {origin}
$TTL 600
@ IN SOA ns hostmaster 1 7200 900 1209600 300
@ IN NS ns
@ IN NS ns.insecure
@ IN MX 10 mail
@ IN CAA 0 issue "ca.example"
ns IN A 192.0.2.1
mail IN A 192.0.2.2
mail IN AAAA 2001:db8::2
www IN A 192.0.2.80
www IN TXT "one" "two"
*.wild IN A 192.0.2.3
*.wild IN TXT "wild"
host.wild IN A 192.0.2.4
below.host.wild IN A 192.0.2.5
*.deep.er.wild IN TXT "deeper"
under.*.star IN A 192.0.2.6
*.alias IN CNAME foo.wild
*.chain IN CNAME bar.alias
a.b.c.ent IN A 192.0.2.7
z.c.ent IN TXT "z"
insecure IN NS ns.insecure
insecure IN NS ns
ns.insecure IN A 192.0.2.8
secure IN NS ns.secure
secure IN DS 12345 13 2 0102030405060708091011121314151617181920212223242526272829303132
ns.secure IN AAAA 2001:db8::8
cut.only.ent2 IN NS ns.insecure
cut2.only.ent2 IN NS ns
cut.mixed IN NS ns
more.mixed IN A 192.0.2.9
dname IN DNAME target
dname IN TXT "beside"
x.target IN A 192.0.2.10
*.y.target IN A 192.0.2.11
dwild IN DNAME wild
dout IN DNAME elsewhere.example.
dtwice IN DNAME dname
c1 IN CNAME c2
c2 IN CNAME c3
c3 IN CNAME www
cwild IN CNAME any.wild
cnone IN CNAME not.there.ent
cnodata IN CNAME ns
cinsecure IN CNAME www.insecure
csecure IN CNAME www.secure
cout IN CNAME www.elsewhere.example.
cdname IN CNAME x.dname
cdgone IN CNAME gone.dwild
loop1 IN CNAME loop2
loop2 IN CNAME loop1
*a IN TXT "no wildcard"
a\.b IN A 192.0.2.12
\000.x\001y IN A 192.0.2.13
\255\200 IN TXT "high"
UPPER.Case IN A 192.0.2.14
abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk IN A 192.0.2.15
_443._tcp.www IN TLSA 3 1 1 0102030405060708091011121314151617181920212223242526272829303132
svc IN HTTPS 1 www alpn=h2
1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20 IN PTR www
"""
# Beside unsigned cuts that opt-out leaves out, such a wildcard makes some absent names impossible to prove, for everybody.
AT_THE_TOP = r"""* IN TYPE65400 \# 2 abcd
\* IN AAAA 2001:db8::3
"""
TYPES = ["A", "AAAA", "TXT", "NS", "DS", "CNAME", "SOA", "MX", "DNSKEY", "NSEC", "NSEC3", "NSEC3PARAM", "DNAME", "TYPE65400"]


def zone_text(origin, mode):
    return ZONE.format(origin=origin) + ("" if mode == "optout" else AT_THE_TOP)


def owners_of(origin):
    origin_name = dns.name.from_text(origin)
    found = {origin_name}
    for line in ZONE.splitlines()[2:]:
        word = line.split()[0]
        found.add(origin_name if word == "@" else dns.name.from_text(word, origin_name))
    return sorted(found)


def names_around(owners, apex, rng):
    """Owners, their ancestors, and names below, beside, before and behind them."""
    found = set(owners)
    for owner in owners:
        at = owner
        while at != apex:
            at = at.parent()
            found.add(at)
        for label in b"*", b"x", b"zzz", b"\x00", b"mail", b"a.b":
            found.add(prefixed([label], owner))
        found.add(prefixed([b"x", b"y", b"z"], owner))
        if owner != apex:
            first, parent = owner[0], owner.parent()
            found |= {prefixed([label], parent) for label in (first.upper(), first[:30] + b"\x00", first[:-1] or b"q",
                                                              first[:30] + b"-", bytes([rng.randrange(256)]) + first[:20])}
    return sorted(name for name in found if name is not None)


def prefixed(labels, name):
    try:
        return dns.name.Name(labels) + name
    except dns.exception.DNSException:
        return None


def ask(port, name, rrtype, tcp=False):
    query = dns.message.make_query(name, rrtype, use_edns=0, payload=4096, want_dnssec=True)
    if not tcp:
        reply = dns.query.udp(query, HOST, timeout=20, port=port)
        if not reply.flags & dns.flags.TC:
            return reply
    return dns.query.tcp(query, HOST, timeout=20, port=port)


def records(section, lower=True):
    return frozenset((str(s.name).lower(), s.ttl, T.to_text(s.rdtype), rd.to_text().lower()) for s in section for rd in s)


def essence(reply):
    """Name servers beside an answer are courtesy, what proves it is not; in the additional section all is courtesy."""
    authority = records(reply.authority)
    if reply.answer:
        authority = frozenset(r for r in authority if r[2] != "NS" and not (r[2] == "RRSIG" and r[3].startswith("ns ")))
    return reply.rcode(), bool(reply.flags & dns.flags.AA), records(reply.answer), authority


def show(seen):
    return f"rcode {seen[0]} {'aa' if seen[1] else ''} answer {sorted(seen[2])}\n      authority {sorted(seen[3])}"


def compare(questions, others, ours, keys):
    """Each of our answers proves itself, and equals those of the peers where these two agree. Gives counts and steps."""
    wrong, agreed, seen = [], 0, set()
    for name, rrtype in questions:
        reply = ask(ours.port, name, rrtype)
        try:
            seen.update(validator.check(reply, keys))
        except (validator.Bogus, dns.exception.DNSException) as error:
            wrong.append(f"{name} {rrtype}: {error}\n    azoth: {show(essence(reply))}\n" + "\n".join(
                f"    {p.program}: {show(essence(ask(p.port, name, rrtype)))}" for p in others))
            continue
        theirs = [essence(ask(peer.port, name, rrtype)) for peer in others]
        if theirs[0] == theirs[1]:
            agreed += 1
            if essence(reply) != theirs[0]:
                wrong.append(f"{name} {rrtype}\n    the two: {show(theirs[0])}\n    azoth:   {show(essence(reply))}")
    assert not wrong, f"{len(wrong)} of {len(questions)}:\n" + "\n".join(wrong[:20])
    return agreed, seen


@pytest.fixture
def beside(lab):
    """beside(zones): NSD, Knot and azoth-dns on the same zones."""
    started = []

    def start(zones):
        core = lab.core()
        core.load(*(f"{zone}={path}" for zone, path in zones.items()))
        ours = lab.dns(core).start()
        for peer in peers.Nsd, peers.Knot:
            started.append(peer(lab.folder, zones))
        return started, ours, core
    yield start
    for peer in started:
        peer.stop()


def verify_dump(core, origin, folder):
    """What azoth gives back is a signed zone, says who signs for a living."""
    path = folder / f"{origin}dump"
    path.write_text(core.dump(origin))
    for command in (["dnssec-verify", "-q", "-o", origin, str(path)], ["ldns-verify-zone", "-V", "1", str(path)]):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-1000:]}"


ALL_STEPS = {"data", "wildcard", "alias", "dname", "no data", "no name", "insecure referral", "secure referral", "elsewhere", "loop"}


ITERATIONS = {"ldns": 5, "bind": 0, "knot": 150}       # 0 is what one should take (RFC 9276), 150 what validators once took


def every_signer(lab, beside, figure, per_zone):
    zones = {}
    for signer in signers.SIGNERS:
        for mode in signers.MODES:
            origin = f"{mode}.{signer}."
            zones[origin] = signers.sign(lab.folder / f"{signer}-{mode}", signer, origin, zone_text(origin, mode), mode,
                                         ITERATIONS[signer])
    others, ours, core = beside(zones)
    rng = random.Random(5)
    total = 0
    for origin in zones:
        keys = validator.Keys()
        keys.learn(lambda name, rrtype: ask(ours.port, name, rrtype), origin)
        names = names_around(owners_of(origin), dns.name.from_text(origin), rng)
        every = [(name, rrtype) for name in names for rrtype in TYPES]
        questions = [(name, "A") for name in owners_of(origin)] + rng.sample(every, min(per_zone, len(every)))
        agreed, seen = compare(questions, others, ours, keys)
        assert agreed > 0.8 * len(questions), f"{origin}: the two agree on {agreed} of {len(questions)} only"
        assert seen >= ALL_STEPS, f"{origin}: never seen: {ALL_STEPS - seen}"
        total += agreed
        verify_dump(core, origin, lab.folder)
    figure("signed answers that validate and equal those of NSD and Knot", total)


def test_every_signer_and_proof(lab, beside, figure):
    every_signer(lab, beside, figure, 100)


# What a validator of the field says of answers of each kind; the words are its own.
DELV = [("www.{}", "A", "; fully validated"), ("deep.c1.{}", "A", "; negative response, fully validated"),
        ("foo.wild.{}", "A", "; fully validated"), ("foo.wild.{}", "MX", "; negative response, fully validated"),
        ("b.c.ent.{}", "A", "; negative response, fully validated"), ("insecure.{}", "DS", "; negative response, fully validated"),
        ("c1.{}", "A", "; fully validated"), ("a.chain.{}", "A", "; fully validated"), ("x.dname.{}", "A", "; fully validated"),
        ("q.y.dtwice.{}", "TXT", "; fully validated"), ("secure.{}", "DS", "; fully validated"),
        ("a.b.{}", "TXT", "; negative response, fully validated")]


def test_delv_validates(lab, figure):
    """BIND's validator, on answers of every kind."""
    zones = {f"{mode}.{signer}.": signers.sign(lab.folder / f"{signer}-{mode}", signer, f"{mode}.{signer}.",
                                              zone_text(f"{mode}.{signer}.", mode), mode)
             for signer, mode in (("ldns", "nsec"), ("bind", "nsec3"), ("knot", "optout"), ("bind", "optout"))}
    core = lab.core()
    core.load(*(f"{zone}={path}" for zone, path in zones.items()))
    ours = lab.dns(core).start()
    wrong, asked = [], 0
    for origin in zones:
        anchors = lab.folder / f"{origin}anchors"
        keys = [rd for rd in ask(ours.port, origin, "DNSKEY").answer[0] if rd.flags & 1]
        anchors.write_text("trust-anchors {\n" + "".join(
            f'  "{origin}" static-key {rd.flags} 3 {rd.algorithm} "{base64.b64encode(rd.key).decode()}";\n' for rd in keys) + "};\n")
        for name, rrtype, words in DELV:
            done = subprocess.run(["delv", f"@{HOST}", "-p", str(ours.port), "-a", str(anchors), f"+root={origin}",
                                   name.format(origin), rrtype], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            asked += 1
            said = done.stdout.splitlines()
            if words in said or ("optout" in origin and words.replace("fully validated", "unsigned answer") in said):
                continue                # where a span opts out, what is not there may yet be, unsigned
            wrong.append(f"{name.format(origin)} {rrtype}: {words}\n{done.stdout}{done.stderr}")
    assert not wrong, f"{len(wrong)} of {asked}\n" + "\n".join(wrong[:8])
    figure("answers that delv validates", asked)


NESTED = {".": r"""$TTL 600
. IN SOA ns.test. hostmaster.test. 1 7200 900 1209600 300
. IN NS ns.test.
test. IN NS ns.test.
test. IN DS 1 13 2 0102030405060708091011121314151617181920212223242526272829303132
bare. IN NS ns.bare.
ns.bare. IN A 192.0.2.90
away. IN NS ns.away.
ns.away. IN A 192.0.2.91
zone. IN NS ns.test.
""", "test.": r"""$ORIGIN test.
$TTL 600
@ IN SOA ns hostmaster 1 7200 900 1209600 300
@ IN NS ns
ns IN A 192.0.2.1
alone IN TXT "x"
child IN NS ns.child
ns.child IN A 192.0.2.2
down IN NS ns.down
ns.down IN A 192.0.2.3
gone IN NS ns
last IN A 192.0.2.4
into IN CNAME www.child
wild.into IN CNAME no.such.child
out IN CNAME q.bare.
up IN CNAME nothing.
*.w IN CNAME x.y.child
""", "child.test.": r"""$ORIGIN child.test.
$TTL 600
@ IN SOA ns hostmaster 2 7200 900 1209600 300
@ IN NS ns
ns IN A 192.0.2.2
www IN A 192.0.2.80
back IN CNAME alone.test.
*.y IN A 192.0.2.81
sub IN NS ns.sub
ns.sub IN AAAA 2001:db8::5
""", "down.test.": r"""$ORIGIN down.test.
$TTL 600
@ IN SOA ns hostmaster 3 7200 900 1209600 300
@ IN NS ns
ns IN A 192.0.2.3
zz.zz IN A 192.0.2.83
to IN CNAME none.child.test.
""", "bare.": r"""$ORIGIN bare.
$TTL 600
@ IN SOA ns hostmaster 4 7200 900 1209600 300
@ IN NS ns
ns IN A 192.0.2.90
q IN DNAME child.test.
*.all IN A 192.0.2.92
"""}
UNSIGNED = "down.test."


@pytest.mark.parametrize("signer,mode", [("ldns", "nsec"), ("bind", "nsec3"), ("knot", "optout")])
def test_zones_within_zones(lab, beside, figure, signer, mode):
    """The root, and signed and unsigned zones below each other, all served here: each proves its own names only."""
    zones, names, rng = {}, set(), random.Random(7)
    for origin, text in NESTED.items():
        folder = lab.folder / ("sign" + origin)
        if origin == UNSIGNED:
            zones[origin] = lab.zone_file("unsigned", text)
        else:
            zones[origin] = signers.sign(folder, signer, origin, text, mode, 2)
        apex = dns.name.from_text(origin)
        owners = {dns.name.from_text(line.split()[0], apex) for line in text.splitlines()
                  if line[0] not in "$@"} | {apex}
        names |= set(names_around(sorted(owners), apex, rng))
    others, ours, core = beside(zones)
    keys = validator.Keys()
    for origin in zones:
        if origin != UNSIGNED:
            keys.learn(lambda name, rrtype: ask(ours.port, name, rrtype), origin)
    keys.unsigned.add(dns.name.from_text(UNSIGNED))
    names = sorted(names)
    every = [(name, rrtype) for name in names for rrtype in ("A", "NS", "DS", "SOA", "TXT", "CNAME", "NSEC")]
    agreed, seen = compare([(n, "A") for n in names] + rng.sample(every, 150), others, ours, keys)
    assert seen >= {"data", "wildcard", "alias", "dname", "no data", "no name", "insecure referral", "elsewhere"}, seen
    for origin in zones:
        if origin != UNSIGNED:
            verify_dump(core, origin, lab.folder)
    figure(f"zones within zones, signed by {signer}: answers that validate and equal the two peers'", agreed)


def test_signed_anew(lab, figure):
    """A zone changes, changes its signer, its kind of proof, its salt and keys, and loses and finds its signatures; edges follow."""
    text = zone_text("z.test.", "nsec")
    path = lab.zone_file("z", text)
    core, one, two, dns_one, dns_two = lab.chain({"z.test.": path})
    turns = [("knot", "nsec3"), ("ldns", "nsec3"), ("bind", "optout"), ("bind", "nsec"), (None, None), ("knot", "optout"), ("ldns", "nsec")]
    rng = random.Random(11)
    apex, asked = dns.name.from_text("z.test."), 0
    for serial, (signer, mode) in enumerate(turns, 2):
        more = "".join(f"n{serial}x{i} IN A 192.0.2.{i}\n" for i in range(20))
        now = (text if mode != "optout" else zone_text("z.test.", mode)).replace("hostmaster 1 ", f"hostmaster {serial} ") + more
        source = signers.sign(lab.folder / f"turn{serial}", signer, "z.test.", now, mode).read_text() if signer else now
        lab.zone_file("z", source)
        core.hup()
        soa = next(line for line in source.splitlines() if " SOA" in line or "\tSOA" in line)
        wanted = serial if signer != "knot" else None
        if wanted is None:                              # kzonesign counts on
            wanted = int(soa.replace("(", " ").split()[soa.replace("(", " ").split().index("SOA") + 3])
        for server in dns_one, dns_two:
            server.wait_serial("z.test.", wanted)
        if signer is None:
            reply = ask(dns_two.port, "nothing.at.z.test.", "A")
            assert [T.to_text(rrset.rdtype) for rrset in reply.authority] == ["SOA"]
            continue
        lab.wait_equal([core, one, two])
        verify_dump(two, "z.test.", lab.folder)
        keys = validator.Keys()
        keys.learn(lambda name, rrtype: ask(dns_two.port, name, rrtype), "z.test.")
        names = names_around(owners_of("z.test."), apex, rng)
        for name in rng.sample(names, 60) + [apex]:
            validator.check(ask(dns_two.port, name, "A"), keys)
            asked += 1
    figure("answers of a zone signed anew that validate", asked)


@pytest.mark.data
def test_root_of_the_data(lab, beside, figure):
    """The real root zone, whose signatures were taken off but for those of SOA and DNSKEY: NSEC are served all the same."""
    path = lab.zone_file("root", read_gzip(DATA / "root" / "base.zone.gz"))
    others, ours, _ = beside({".": path})
    rng = random.Random(3)
    owners = sorted({line.split()[0].lower() for line in open(path) if not line[0].isspace() and not line.startswith(";")})
    names = rng.sample(owners, 120) + [f"{rng.randrange(1 << 40):x}.{o}" for o in rng.sample(owners, 50)] \
        + [f"{o[:3]}{rng.choice('0az-')}." for o in rng.sample(owners, 100)] + ["."]
    wrong, agreed = [], 0
    for name in names:
        for rrtype in "A", "DS", "NS", "DNSKEY":
            seen = [essence(ask(peer.port, name, rrtype)) for peer in others]
            got = essence(ask(ours.port, name, rrtype))
            if seen[0] == seen[1]:
                agreed += 1
                if got != seen[0]:
                    wrong.append(f"{name} {rrtype}\n    the two: {show(seen[0])}\n    azoth:   {show(got)}")
    assert not wrong, f"{len(wrong)} of {agreed}:\n" + "\n".join(wrong[:10])
    assert agreed > 0.9 * 4 * len(names)
    figure("root zone with DO: answers equal to those of NSD and Knot", agreed)


@pytest.mark.long
def test_every_name_and_type(lab, beside, figure):
    every_signer(lab, beside, figure, 100_000)
