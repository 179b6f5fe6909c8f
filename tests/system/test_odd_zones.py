"""The differential test: random odd zones (oddzones.py) in NSD, Knot, BIND and azoth-dns, and thousands of questions to all
four. Whatever the three agree on, azoth must do too, field by field; exceptions stand in EXCEPTIONS, each with its reason.

The seeds are always the same; AZOTH_SEED=N takes N alone (a failure names its seed), `--long` takes AZOTH_SEEDS (30) new ones."""
import os
import time

import pytest

import asking
import peers
import signers
from asking import A, AAAA, CNAME, DNAME, NS, NSEC, RRSIG, SOA, Reply
from oddzones import World

QUESTIONS = 5000                    # per seed
pytestmark = pytest.mark.skipif(bool(peers.missing()), reason=f"not installed: {peers.missing()} (scripts/install-deps --test)")

TYPE_NUMBERS = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28, "LOC": 29,
                "SRV": 33, "NAPTR": 35, "DNAME": 39, "DS": 43, "SSHFP": 44, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48,
                "NSEC3PARAM": 51, "TLSA": 52, "CDS": 59, "SVCB": 64, "HTTPS": 65, "ANY": 255, "CAA": 257}


def type_number(text):
    return TYPE_NUMBERS.get(text) or int(text[4:])


# --- what is compared -----------------------------------------------------------------------------------------------
def glue(reply):
    """Of a referral: the addresses of the name servers at or below the cut, without which nobody gets further."""
    if reply.aa and not reply.an:
        return frozenset()
    inside = reply.referral_names()
    return frozenset(r for r in reply.ar if r[0] in inside and r[1] in (A, AAAA))


def fields(reply):
    authority = frozenset(reply.ns)
    if reply.an and reply.rcode == 0 and not any(r[1] == SOA for r in reply.ns) and reply.an[-1][1] not in (CNAME, DNAME):
        authority = frozenset(r for r in authority if r[1] != NS)       # name servers beside a positive answer: courtesy
    return {"rcode": reply.rcode, "aa": reply.aa, "tc": reply.tc, "answer": frozenset(reply.an), "authority": authority,
            "glue": glue(reply), "question": reply.question, "opt": reply.opt and reply.opt[0]}


def needed_bytes(reply):
    """Of a whole reply: without the additional records that may be left out."""
    extra = set(reply.ar) - glue(reply)
    return len(reply.wire) - sum(reply.sizes[r] for r in extra)


def faults_alone(query, reply):
    """What is wrong with a reply of ours whatever others say."""
    for part, section in zip(("answer", "authority", "additional"), reply.sections):
        if len(set(section)) != len(section):
            yield f"a record twice in {part}"
    if reply.question != query[12:12 + len(reply.question)]:
        yield "the question is not echoed byte for byte"
    known = {asking.read_name(query, 12)[0].lower()}
    for owner, rrtype, _, rdata in reply.an:
        if rrtype != RRSIG and rrtype != DNAME and owner not in known:
            yield f"{asking.name_text(owner)} stands before what leads to it"
        if rrtype == CNAME:
            known.add(rdata)


# --- exceptions: (reason, what decides) -------------------------------------------------------------------------------
def fuller_proof(case):
    more = set(case.ours.ns) - set(case.theirs[0].ns)
    return case.field == "authority" and not set(case.theirs[0].ns) - set(case.ours.ns) and \
        all(r[1] in (NSEC, RRSIG) for r in more) and any(r[1] == NSEC and b"\1*" in r[3] for r in more)


def ds_from_inside(case):
    last = case.ours.an[-1] if case.ours.an else None
    return case.question[1] == "DS" and case.field == "authority" and last and last[1] == CNAME and \
        any(r[1] == SOA and r[0] == last[3] for r in case.theirs[0].ns)


EXCEPTIONS = [
    ("an alias within a zone leads to its own apex, and DS is asked: azoth answers as when it is asked for directly, from above",
     ds_from_inside),
    ("no data at an asterisk label that is itself empty: azoth sends the NSEC that shows so too (RFC 4035 section 3.1.3.4)",
     fuller_proof),
]


def excused(case):
    return next((reason for reason, applies in EXCEPTIONS if applies(case)), None)


class Case:
    def __init__(self, world, question, theirs, ours, field):
        self.world, self.question, self.theirs, self.ours, self.field = world, question, theirs, ours, field

    def text(self):
        name, rrtype, size, dnssec, rd = self.question
        lines = [f"{name} {rrtype} edns={size}{' do' if dnssec else ''}{' rd' if rd else ''}: {self.field}"]
        alike = all(fields(reply) == fields(self.theirs[0]) for reply in self.theirs)
        shown = [("the three", self.theirs[0])] if alike else list(zip(("nsd", "knot", "bind"), self.theirs))
        for who, reply in [*shown, ("azoth", self.ours)]:
            lines.append(f"  {who}: {asking.RCODES.get(reply.rcode, reply.rcode)}{' aa' if reply.aa else ''}{' tc' if reply.tc else ''} {len(reply.wire)} bytes")
            for part, section in zip(("an", "ns", "ar"), reply.sections):
                lines += [f"    {part} {asking.record_text(r)}" for r in section[:30]]
        return "\n".join(lines)


class Duel:
    """The servers on one world."""

    def __init__(self, lab, beside, seed, signed=False):
        self.world, self.signed = World(seed, signed), signed
        zones = {}
        for n, (origin, zone) in enumerate(self.world.zones.items()):
            text = zone.text()
            zones[origin] = signers.sign(lab.folder / f"s{seed}-{n}", "bind", origin, text, zone.signed) if zone.signed \
                else lab.zone_file(f"s{seed}-{n}", text)
        self.others, self.ours = beside(zones)
        self.ports = [p.port for p in self.others] + [self.ours.port]
        self.agreed = self.excused = self.asked = 0
        self.cases = []

    def run(self, n):
        questions = list(self.world.questions(n))
        queries = [asking.query_wire(i & 0xffff, name, type_number(t), size, dnssec, rd)
                   for i, (name, t, size, dnssec, rd) in enumerate(questions)]
        udp = asking.Udp(self.ports)
        replies = udp.ask(queries)
        udp.close()
        again = [i for i in range(n) if any(r[i][2] & 2 for r in replies)]
        whole = [dict(zip(again, asking.ask_tcp(p, [queries[i] for i in again]))) for p in self.ports] if again else []
        for i, question in enumerate(questions):
            got = [Reply(r[i]) for r in replies]
            over_tcp = [Reply(r[i]) for r in whole] if whole and i in whole[0] else None
            self.judge(question, queries[i], got, over_tcp and over_tcp[-1])
            if over_tcp:
                self.judge(question, queries[i], over_tcp)
        self.asked += n

    def judge(self, question, query, replies, whole=None):
        *theirs, ours = replies
        name, rrtype, *_ = question
        faults = list(faults_alone(query, ours))
        if whole and not ours.tc and (set(ours.an) != set(whole.an) or set(ours.ns) != set(whole.ns) or glue(ours) != glue(whole)):
            faults.append("cut short without TC")
        for fault in faults:
            self.cases.append(Case(self.world, question, theirs, ours, fault))
        seen, got = [fields(r) for r in theirs], fields(ours)
        cut_short = any(r.tc for r in replies)
        compared = list(got)
        if cut_short:           # what is left out differs; azoth's rcode is that of the last name that it had room for
            compared = ["tc", "question", "opt"] if ours.tc else ["rcode", "tc", "question", "opt"]
        if seen[0] == seen[1] == seen[2]:
            self.agreed += 1
        for part in "answer", "authority":
            if not seen[0][part] == seen[1][part] == seen[2][part]:
                compared = [f for f in compared if f not in ("rcode", "glue") and (f != "authority" or part == "authority")]
        if any(r[1] == CNAME for r in theirs[0].an) and any(s[f] != seen[0][f] for s in seen for f in ("rcode", "answer", "authority")):
            compared = [f for f in compared if f in ("aa", "tc", "question", "opt")]     # they followed the alias differently far
        for field in compared:
            values = [s[field] for s in seen]
            if not values[0] == values[1] == values[2] or values[0] == got[field]:
                continue
            if field == "tc" and (not ours.tc or needed_bytes(whole) > max(512, min(question[2], 1232))):
                continue                    # in both cases right: the whole answer comes over TCP, and is compared there
            case = Case(self.world, question, theirs, ours, field)
            if excused(case):
                self.excused += 1
            else:
                self.cases.append(case)
            break


def check(duel, figure):
    signed = ", signed" if duel.signed else ""
    figure(f"odd zones, seed {duel.world.seed}{signed}",
           f"{duel.asked} questions, the three agree on {duel.agreed}, {duel.excused} excused")
    assert not duel.cases, f"{len(duel.cases)} differences (AZOTH_SEED={duel.world.seed}{signed}):\n" + \
        "\n".join(c.text() for c in duel.cases[:25])


def seeds():
    """(seed, signed): always the same, or the one asked for."""
    if "AZOTH_SEED" in os.environ:
        return [(int(os.environ["AZOTH_SEED"]), False), (int(os.environ["AZOTH_SEED"]), True)]
    return [(1, False), (2, True), (3, False), (4, True)]


@pytest.mark.parametrize("seed, signed", seeds())
def test_odd_zones(lab, beside, figure, seed, signed):
    duel = Duel(lab, beside, seed, signed)
    duel.run(QUESTIONS)
    check(duel, figure)


def new_seeds():
    first = time.time_ns() // 1000 % (1 << 40)
    return [first + i for i in range(int(os.environ.get("AZOTH_SEEDS", "30")))]


@pytest.mark.long
def test_odd_zones_new_seeds(tmp_path, beside_in, figure):
    for i, seed in enumerate(new_seeds()):
        with beside_in(tmp_path / str(i)) as (lab, beside):
            duel = Duel(lab, beside, seed, i % 2 == 1)
            duel.run(2 * QUESTIONS)
            check(duel, figure)
