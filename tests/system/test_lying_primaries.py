"""Transfers in, from primaries that are told what to do (primaries.py): every form a transfer may have, every lie there is, storms of
NOTIFY, back-off, and serials that wrap around. Each row is a zone with a primary of its own; all rows of a test happen at once."""
import re
import socket
import struct
import time

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import pytest

import lab as labs
from lab import HOST, wait_until
from primaries import Message, Primary, condensed, current, honest, in_messages, refusing, step_records, steps_from, whole
from test_secondary import secondary_core
from updates import SECRET, add_key, call, send

KEY = dns.tsig.Key("key.example.", SECRET, "hmac-sha256")
NEW = ("new", "TXT", '"it is here"')


class Bed:
    """A core and its primaries, one for each zone."""

    def __init__(self, lab, **transfers):
        self.core, self.all = secondary_core(lab, **transfers), {}
        add_key(self.core, update=[])

    def add(self, name, settings=None, **options):
        p = Primary(f"{name}.example.", **options)
        self.all[name] = p
        key = {"tsig": str(p.key.name)} if p.key else {}
        call(self.core, "POST", "/v1/zones", {"name": p.zone, "kind": "secondary", "primaries": [{"address": f"{HOST}@{p.port}", **key}],
                                              **(settings or {})})
        return p

    def soa(self, p):
        """(rcode, serial) as core.dns has it, which answers from the store as every edge does."""
        reply = send(dns.message.make_query(p.zone, "SOA"), self.core.dns_port)
        return dns.rcode.to_text(reply.rcode()), reply.answer[0][0].serial if reply.answer else None

    def wait(self, p, serial, timeout=30):
        wait_until(f"{p.zone} {serial}", lambda: self.soa(p) == ("NOERROR", serial), timeout, pause=0.02)

    def has(self, p, name, rrtype):
        return send(dns.message.make_query(f"{name}.{p.zone}", rrtype), self.core.dns_port).answer

    def notify(self, p, serial=None, tcp=False, key=None, source=None):
        message = dns.message.make_query(p.zone, "SOA")
        message.flags = dns.flags.AA
        message.set_opcode(dns.opcode.NOTIFY)
        if serial is not None:
            message.answer.append(dns.rrset.from_text(p.zone, 300, "IN", "SOA", f"ns1.{p.zone} hostmaster.{p.zone} {serial} 1 1 1 1"))
        if key:
            message.use_tsig(key)
        reply = send(message, self.core.dns_port, tcp, source=source)
        assert reply.opcode() == dns.opcode.NOTIFY and reply.flags & dns.flags.QR and reply.question == message.question
        return dns.rcode.to_text(reply.rcode())

    def end(self, p):
        """How the zone's last question or transfer behind the first copy ended: ("failed", why) or ("steps" or "whole", from); None: not yet."""
        s = call(self.core, "GET", f"/v1/zones/{p.zone}")["secondary"]
        if s["failures"]:
            assert s["failures"] == 1, f"{p.zone}: {s}"
            return "failed", s["primaries"][0]["error"]
        return ("whole" if s["transfer"]["whole"] else "steps", s["transfer"]["from"]) if s["transfer"]["from"] is not None else None

    def stop(self):
        for p in self.all.values():
            p.stop()


@pytest.fixture
def bed(lab):
    it = Bed(lab)
    yield it
    it.stop()


def play_rows(bed, rows):
    """Every zone's first copy, then what the row makes of it and NOTIFY; gives {name: (primary, how it ended)}."""
    for name, (options, _) in rows.items():
        bed.add(name, **options)
    for p in bed.all.values():
        bed.wait(p, p.serial)
        p.transfers.clear()
    for name, (_, then) in rows.items():
        p = bed.all[name]
        then(p)
        assert bed.notify(p) == "NOERROR"
    return {name: (p, wait_until(f"{name}: an end", lambda p=p: bed.end(p), timeout=60, pause=0.05)) for name, p in bed.all.items()}


# --- forms that are good ----------------------------------------------------------------------------------------------------
def changed(times=1, play=None, serial=None, more=()):
    """Records that come, one that goes, and one that comes and goes."""
    def then(p):
        p.change(NEW, *([("gone", "A", "192.0.2.8")] if times > 1 else []), drop=[("www", "A")], serial=serial)
        for n in range(1, times):
            p.change(("new", "A", f"192.0.2.{n}"), drop=[("gone", "A")])
        p.change(*more, serial=p.serial) if more else None
        p.play = play or p.play
    return then


def starts_elsewhere(p, query):
    """Steps from a serial that was never asked for, whatever is asked; AXFR is good."""
    versions = steps_from(p, query)
    if not versions:
        return whole(p, query)
    other = [(p.serial + 100, versions[0][1]), versions[-1]]
    return [Message([p.soa_record(), *step_records(p, other), p.soa_record()])]


def removes_what_is_not_there(p, query):
    versions = steps_from(p, query)
    if not versions:
        return whole(p, query)
    first = [("nobody", "A", "192.0.2.66"), *versions[0][1]]
    return [Message([p.soa_record(), *step_records(p, [(versions[0][0], first), *versions[1:]]), p.soa_record()])]


def cut_ixfr(p, query):
    messages = honest(p, query)
    if query.question[0].rdtype == dns.rdatatype.IXFR:
        messages[-1].cut = 3
    return messages


def some_unsigned(p, query):
    messages = honest(p, query)
    for m in messages[1:-1]:
        m.sign = "skip"
    return messages


WWW = {"records": [("www", "A", "192.0.2.1")]}
ONE = {**WWW, "per_message": 1}
SIGNED = {**WWW, "key": KEY}
LAST, TOP = 2 ** 32 - 1, 2 ** 32 - 6
# name: options of the primary, what then happens to it; the transfers that are asked for, the form of what is taken
GOOD = {
    "ixfr-many-in-one": (WWW, changed(3), ["IXFR"], "steps"),
    "ixfr-one-per-message": (ONE, changed(3), ["IXFR"], "steps"),
    "ixfr-condensed": (WWW, changed(3, condensed), ["IXFR"], "steps"),
    "ixfr-answered-with-all": (WWW, changed(2, whole), ["IXFR"], "whole"),
    "ixfr-answered-with-all-one-per-message": (ONE, changed(2, whole), ["IXFR"], "whole"),
    "ixfr-notimp": (WWW, changed(1, refusing(dns.rcode.NOTIMP)), ["IXFR", "AXFR"], "whole"),
    "ixfr-formerr": (ONE, changed(1, refusing(dns.rcode.FORMERR)), ["IXFR", "AXFR"], "whole"),
    "ixfr-refused": (WWW, changed(1, refusing(dns.rcode.REFUSED)), ["IXFR", "AXFR"], "whole"),
    "ixfr-from-elsewhere": (WWW, changed(1, starts_elsewhere), ["IXFR", "AXFR"], "whole"),
    "ixfr-of-another-zone": (WWW, changed(1, removes_what_is_not_there), ["IXFR", "AXFR"], "whole"),
    "ixfr-malformed": (WWW, changed(1, cut_ixfr), ["IXFR", "AXFR"], "whole"),
    "wraps-by-steps": ({**WWW, "serial": LAST - 1}, changed(4), ["IXFR"], "steps"),
    "wraps-by-steps-one-per-message": ({**ONE, "serial": LAST}, changed(2), ["IXFR"], "steps"),
    "wraps-whole": ({**WWW, "serial": LAST - 5}, changed(1, whole, serial=5), ["IXFR"], "whole"),
    "just-less-than-half-round": ({**WWW, "serial": 7}, changed(1, serial=7 + 2 ** 31 - 1), ["IXFR"], "steps"),
    "signed": (SIGNED, changed(2), ["IXFR"], "steps"),
    "signed-one-per-message": ({**SIGNED, "per_message": 1}, changed(2), ["IXFR"], "steps"),
    "signed-some-not": ({**SIGNED, "per_message": 1}, changed(2, some_unsigned), ["IXFR"], "steps"),
    "signed-refusal-of-ixfr": (SIGNED, changed(1, refusing(dns.rcode.NOTIMP)), ["IXFR", "AXFR"], "whole"),
}


def test_good_forms(bed):
    ends = play_rows(bed, {name: row[:2] for name, row in GOOD.items()})
    for name, (_, _, transfers, kind) in GOOD.items():
        p, end = ends[name]
        assert end == (kind, p.versions[0][0]), f"{name}: {end}"
        assert p.transfers == transfers, name
        assert bed.soa(p) == ("NOERROR", p.serial), name
        assert bed.has(p, "new", "TXT") and not bed.has(p, "www", "A") and not bed.has(p, "gone", "A"), name
        assert bool(bed.has(p, "new", "A")) == (len(p.versions) > 2), name


# --- lies -------------------------------------------------------------------------------------------------------------------
def lie(change):
    """The honest messages, made otherwise."""
    def play(p, query):
        messages = honest(p, query)
        return change(p, messages) or messages
    return play


def of_all(**members):
    def change(p, messages):
        for m in messages:
            vars(m).update(members)
    return lie(change)


def of_one(at, **members):
    return lie(lambda p, messages: vars(messages[at]).update(members))


def insert(*record):
    return lie(lambda p, messages: messages[-1].records.insert(1, record))


def ends_early(p, query):
    return honest(p, query)[:-2]


def other_last_soa(p, query):
    messages = whole(p, query)
    messages[-1].records[-1] = p.soa_record(p.serial + 1)
    return messages


def last_soa_says_otherwise(p, query):
    messages = whole(p, query)
    messages[-1].records[-1] = p.soa_record(mname="ns2")
    return messages


def serial_of_every_message(p, query):
    records = p.versions[-1][1]
    return [Message([p.soa_record(p.serial + n), records[n % len(records)]]) for n in range(50)]


def ten_bytes(p, query):
    return [b"\x00\x64" + b"12345678", 30.0]


def no_length(p, query):
    return [b"\x00\x00", 0.1]


def older(p, query):
    return in_messages(p, [p.soa_record(p.versions[0][0] - 1), *p.versions[-1][1], p.soa_record(p.versions[0][0] - 1)])


def refuses(p, query):
    return [Message(rcode=dns.rcode.REFUSED)]


def without_ns(p):
    p.change(drop=[("@", "NS")])


def mostly_gone(p):
    p.change(drop=[(f"n{n}", "A") for n in range(120)])


def cname_beside(p):
    p.change(("www", "CNAME", "ns1"), ("www", "TXT", '"x"'))


LARGE = {"records": [(f"n{n}", "A", "192.0.2.1") for n in range(150)]}
# name: options, what then happens; what the log says of it
LIES = {
    "another-id": (WWW, changed(1, of_all(xor_id=1)), "another id"),
    "another-id-later": (ONE, changed(1, of_one(2, xor_id=1)), "another id"),
    "another-question": (WWW, changed(1, of_all(question=("elsewhere.example.", dns.rdatatype.IXFR))), "another question"),
    "another-type": (WWW, changed(1, of_all(question=("another-type.example.", dns.rdatatype.A))), "another question"),
    "no-question-at-first": (WWW, changed(1, of_all(question=None)), "no question"),
    "a-query": (WWW, changed(1, of_all(flags=0)), "no response"),
    "axfr-dies": ({**ONE, "play": whole}, changed(1, lie(lambda p, m: whole(p, None)[:-2])), "ended|closed"),
    "ixfr-dies": (ONE, changed(2, ends_early), "ended|closed"),
    "last-soa": (WWW, changed(1, other_last_soa), "serial changed"),
    "last-soa-in-other-words": (WWW, changed(1, last_soa_says_otherwise), "another than the first"),
    "out-of-zone": (WWW, changed(1, insert("www.elsewhere.example.", "A", "192.0.2.66")), "not in the zone"),
    "out-of-zone-above": (WWW, changed(1, insert("example.", "NS", "ns1")), "not in the zone"),
    "a-soa-below": (WWW, changed(1, insert("sub", "SOA", "ns1 h 5 1 1 1 1")), "not the apex"),
    "cut-off": ({**WWW, "play": whole}, changed(1, lambda p, q: [Message(whole(p, q)[0].records, cut=3)]), "ends inside"),
    "serial-of-every-message": (WWW, changed(1, serial_of_every_message), "serial changed"),
    "ten-bytes": (WWW, changed(1, ten_bytes), "no answer in time|no more came"),
    "no-length": (WWW, changed(1, no_length), "no length"),
    "older-zone": ({**WWW, "serial": 5}, changed(1, refusing(dns.rcode.REFUSED, older)), "not later than ours"),
    "refuses": (WWW, changed(1, refuses), "REFUSED"),
    "no-name-servers": (WWW, without_ns, "NS"),
    "cname-beside": (WWW, cname_beside, "CNAME"),
    "strict-guard": ({**LARGE, "settings": {"guard": "strict"}}, mostly_gone, "half"),
    "unsigned": (SIGNED, changed(1, of_all(sign="no")), "unsigned answer"),
    "unsigned-refusal": (SIGNED, changed(1, lambda p, q: [Message(rcode=dns.rcode.REFUSED, sign="no")]), r"unsigned answer \(REFUSED\)"),
    "another-key": (SIGNED, changed(1, of_all(sign="other")), "another TSIG key"),
    "forged": (SIGNED, changed(1, of_all(sign="forge")), "does not verify"),
    "forged-later": ({**SIGNED, "per_message": 1}, changed(1, of_one(2, sign="forge")), "does not verify"),
    "wrong-time": (SIGNED, changed(1, of_all(sign="late")), r"its time is -3\d\d\d s from ours"),
    "wrong-time-later": ({**SIGNED, "per_message": 1}, changed(1, of_one(2, sign="late")), "its time is -"),
    "missing-in-the-middle": ({**SIGNED, "per_message": 1}, changed(1, of_one(2, sign="no")), "does not verify"),
    "missing-at-the-end": ({**SIGNED, "per_message": 1}, changed(1, of_one(-1, sign="skip")), "last message has no TSIG"),
    "badkey": (SIGNED, changed(1, lambda p, q: [Message(rcode=dns.rcode.NOTAUTH, error=17)]), "BADKEY"),
    "badsig": (SIGNED, changed(1, lambda p, q: [Message(rcode=dns.rcode.NOTAUTH, error=16)]), "BADSIG"),
}


def test_the_old_zone_stays(bed):
    """Whatever goes wrong: not a record of the new zone is there, all of the old one is, and the next good transfer is taken."""
    ends = play_rows(bed, {name: row[:2] for name, row in LIES.items()})
    for name, (_, _, why) in LIES.items():
        p, (end, told) = ends[name]
        assert end == "failed" and re.search(why, told), f"{name}: {end} {told}"
        assert bed.soa(p) == ("NOERROR", p.versions[0][0]), name
        kept = p.versions[0][1][-1]
        assert bed.has(p, *kept[:2]) and not bed.has(p, "new", "TXT"), name
    for name, p in bed.all.items():
        p.play = honest
        p.versions = [p.versions[0]]
        p.change(NEW, ("www", "A", "192.0.2.2"), serial=p.serial + 9)
    left = list(bed.all.values())

    def good_everywhere():
        for p in [p for p in left if bed.notify(p) == "NOERROR" and bed.soa(p) == ("NOERROR", p.serial)]:
            assert bed.has(p, "new", "TXT"), p.zone
            left.remove(p)
        return not left
    wait_until("the good ones", good_everywhere, timeout=60, pause=0.3)


# --- the question before ------------------------------------------------------------------------------------------------------
def twice(**members):
    """An answer of somebody who guesses, which says a much later serial, then the right one."""
    def soa(p, query):
        return [Message([p.soa_record(p.serial + 1000)], **members), *current(p, query)]
    return soa


def only(**members):
    return lambda p, query: [Message([p.soa_record()], **members)]


# name: options, what then happens; asked for a transfer?, the log says
QUESTIONS = {
    "same-serial": (WWW, lambda p: None, False, None),
    "older-serial": ({**WWW, "serial": 9}, changed(1, serial=3), False, "older than ours"),
    "wrapped-the-other-way": ({**WWW, "serial": 5}, changed(1, serial=TOP), False, "older than ours"),
    "half-round": ({**WWW, "serial": 7}, changed(1, serial=7 + 2 ** 31), False, "older than ours"),
    "a-stranger-guesses-the-id": ({**WWW, "soa": twice(xor_id=1)}, lambda p: None, False, None),
    "a-stranger-asks-otherwise": ({**WWW, "soa": twice(question=("elsewhere.example.", dns.rdatatype.SOA))}, lambda p: None, False, None),
    "lame": (WWW, lambda p: vars(p).update(soa=only(flags=dns.flags.QR)), False, "not authoritative"),
    "servfail": (WWW, lambda p: vars(p).update(soa=lambda *_: [Message(rcode=dns.rcode.SERVFAIL)]), False, "SERVFAIL"),
    "another-soa": (WWW, lambda p: vars(p).update(soa=lambda *_: [Message([("sub", "SOA", "ns1 h 99 1 1 1 1")])]), False, "not the apex"),
    "unsigned": (SIGNED, lambda p: vars(p).update(soa=only(sign="no")), False, "unsigned answer"),
    "late": (SIGNED, lambda p: vars(p).update(soa=only(sign="late")), False, "its time is"),
    "truncated": (WWW, lambda p: (p.change(NEW), vars(p).update(soa=only(flags=dns.flags.QR | dns.flags.AA | dns.flags.TC))), True, None),
    "news": (WWW, changed(), True, None),
}


def test_the_question_before(bed):
    """A NOTIFY brings a SOA question, and a transfer only when the answer is good and says a later serial (RFC 1982)."""
    for name, (options, *_) in QUESTIONS.items():
        bed.add(name, **options)
    for p in bed.all.values():
        bed.wait(p, p.serial)
        p.transfers.clear()
    asked = {name: p.asked for name, p in bed.all.items()}
    for name, (_, then, _, _) in QUESTIONS.items():
        then(bed.all[name])
        assert bed.notify(bed.all[name], serial=None) == "NOERROR"
    for name, (_, _, transfer, why) in QUESTIONS.items():
        p = bed.all[name]
        wait_until(f"{name}: asked", lambda p=p, name=name: p.asked > asked[name], pause=0.02)
        if why:
            end = wait_until(f"{name}: an end", lambda p=p: bed.end(p), pause=0.05)
            assert end[0] == "failed" and re.search(why, end[1]), f"{name}: {end}"
        if transfer:
            bed.wait(p, p.serial)
    time.sleep(0.3 * labs.SLOW)
    for name, (_, _, transfer, why) in QUESTIONS.items():
        p = bed.all[name]
        assert bool(p.transfers) == transfer, name
        assert bed.soa(p) == ("NOERROR", p.serial if transfer else p.versions[0][0]), name
        assert why or transfer or bed.end(p) is None, name


def test_a_serial_that_is_there_is_not_asked_for(bed):
    """NOTIFY that names our serial, or an older one, costs nothing at all; one that names a later one is a reason to ask."""
    p = bed.add("a", serial=5, **WWW)
    bed.wait(p, 5)
    before = p.asked
    for serial in 5, 4, TOP:
        assert bed.notify(p, serial) == "NOERROR"
    time.sleep(0.5)
    assert p.asked == before
    assert bed.notify(p, 6) == "NOERROR"
    wait_until("asked", lambda: p.asked == before + 1)
    time.sleep(0.3)
    assert len(p.transfers) == 1                    # the first copy: a NOTIFY's word alone brings none


# --- NOTIFY -------------------------------------------------------------------------------------------------------------------
def test_a_storm(bed):
    """Hundreds of NOTIFY for a zone whose primary takes its time: one question is under way at any time, and they are few."""
    p = bed.add("a", **WWW)
    bed.wait(p, 1)
    p.asked, p.most_at_once, p.soa_pause = 0, 0, 0.25
    begun = time.monotonic()
    for n in range(400):
        assert bed.notify(p, n % 3 + 2 if n % 2 else None, tcp=n % 16 == 0) == "NOERROR"
    p.soa_pause = 0.0
    took = time.monotonic() - begun
    time.sleep(0.5)
    assert p.most_at_once == 1 and 1 <= p.asked <= took / 0.25 + 3
    assert bed.core.metric("azoth_core_dns_notifies_received_total", **{"from": "primary"}) == 400
    p.change(NEW)
    assert bed.notify(p) == "NOERROR"
    bed.wait(p, 2)


def test_strangers(bed):
    """By another address: REFUSED, but for who signs with the primary's key; a bad signature: NOTAUTH; no such zone, or not a secondary: REFUSED."""
    p = bed.add("a", **SIGNED)
    other = bed.add("b", **WWW)
    call(bed.core, "POST", "/v1/zones", {"name": "own.example.", "nameservers": ["ns1.example.net."]})
    bed.wait(p, 1)
    bed.wait(other, 1)
    before = p.asked, other.asked
    for tcp in False, True:
        assert bed.notify(p, tcp=tcp, source="127.0.0.9") == "REFUSED"
        assert bed.notify(other, tcp=tcp, source="127.0.0.9", key=KEY) == "REFUSED"         # another zone's key
        for zone in "nosuch.example.", "own.example.", "www.a.example.", "example.":
            message = dns.message.make_query(zone, "SOA")
            message.set_opcode(dns.opcode.NOTIFY)
            assert send(message, bed.core.dns_port, tcp).rcode() == dns.rcode.REFUSED, zone
        with pytest.raises(dns.tsig.PeerBadSignature):
            bed.notify(p, tcp=tcp, key=dns.tsig.Key("key.example.", bytes(32), "hmac-sha256"))
        with pytest.raises(dns.tsig.PeerBadKey):
            bed.notify(p, tcp=tcp, key=dns.tsig.Key("nosuch.example.", SECRET, "hmac-sha256"))
    time.sleep(0.3)
    assert (p.asked, other.asked) == before
    p.change(NEW)
    assert bed.notify(p, source="127.0.0.9", key=KEY) == "NOERROR"
    bed.wait(p, 2)


def test_notify_that_is_no_notify(bed):
    """Answers, other types, no question, rubbish: told so, or dropped; nobody is asked for it."""
    p = bed.add("a", **WWW)
    bed.wait(p, 1)
    before = p.asked
    question = b"\1a\7example\0" + struct.pack("!HH", 6, 1)
    rows = [("an answer", 0xa400, 1, question, None), ("a type that is no SOA", 0x2400, 1, question[:-4] + struct.pack("!HH", 1, 1), 4),
            ("no question", 0x2400, 0, b"", 1), ("two questions", 0x2400, 2, question * 2, 1), ("cut off", 0x2400, 1, question[:-3], 1)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((HOST, bed.core.dns_port))
        for number, (why, flags, count, rest, rcode) in enumerate(rows):
            s.settimeout((0.5 if rcode is None else 5) * labs.SLOW)
            s.send(struct.pack("!HHHHHH", number, flags, count, 0, 0, 0) + rest)
            try:
                reply = s.recv(4096)
            except TimeoutError:
                reply = None
            assert (reply is None) == (rcode is None), why
            assert reply is None or (struct.unpack("!H", reply[:2])[0] == number and reply[3] & 15 == rcode and reply[2] >> 3 == 0b10100), why
    assert p.asked == before


# --- those who say no -----------------------------------------------------------------------------------------------------------
def test_back_off(bed):
    """A primary that says no, or signs badly, and notifies all the while is spared for a second, then two, then four."""
    def no(*_):
        return [Message(rcode=dns.rcode.REFUSED)]
    rows = {"refused": (WWW, lambda p: vars(p).update(soa=no, soa_tcp=no)),
            "bad-key": (SIGNED, lambda p: vars(p).update(soa=lambda *_: [Message(rcode=dns.rcode.NOTAUTH, error=17)])),
            "forged": (SIGNED, lambda p: vars(p).update(soa=only(sign="forge"))),
            "transfer-refused": (WWW, changed(1, refuses)),
            "transfer-forged": (SIGNED, changed(1, of_all(sign="forge")))}
    ends = play_rows(bed, rows)
    before = {name: p.asked for name, (p, _) in ends.items()}
    begun = time.monotonic()
    while time.monotonic() - begun < 4:
        for p, _ in ends.values():
            assert bed.notify(p) == "NOERROR"
        time.sleep(0.02)
    for name, (p, _) in ends.items():
        assert 1 <= p.asked - before[name] <= 3, f"{name}: {p.asked - before[name]} questions in 4 s"


def test_a_zone_that_expires_while_the_core_is_down(lab):
    """It is SERVFAIL as soon as the core is up, though nobody was heard, and comes back by itself; one with time left is not touched."""
    bed = Bed(lab, refresh_min="1s", retry_min="1s")
    try:
        p, other = bed.add("a", timers=(1, 1, 7), **WWW), bed.add("b", **WWW)
        bed.wait(p, 1)
        bed.wait(other, 1)
        time.sleep(1.5)                             # what is kept is written once a second
        bed.stop()
        bed.core.stop()
        time.sleep(7.5)
        begun = time.monotonic()
        bed.core.start()
        wait_until("it is expired", lambda: bed.soa(p) == ("SERVFAIL", None), pause=0.02)
        assert time.monotonic() - begun < 6         # its 7 s did not begin anew
        assert bed.soa(other) == ("NOERROR", 1)
        transfers = len(p.transfers)
        p.start()
        bed.wait(p, 1)
        assert len(p.transfers) == transfers        # the same serial: nothing is sent again
    finally:
        bed.stop()


def test_a_restart_with_all_primaries_down(bed):
    """Behind kill -9: zones that have not expired answer at once; what the scheduler knew is known still: nobody is asked before the time."""
    zones = [bed.add(f"n{n}", timers=(30, 15, 1209600), **WWW) for n in range(3)]
    for p in zones:
        bed.wait(p, 1)
    time.sleep(1.5)                                 # what is kept is written once a second
    for p in zones:
        p.stop()
    bed.core.kill()
    bed.core.start()
    for p in zones:
        assert bed.soa(p) == ("NOERROR", 1)
        p.asked = 0
        p.start()
    time.sleep(3.5)                                 # more than the tenth of 30 s over which those are spread of which nothing is known
    assert [p.asked for p in zones] == [0, 0, 0] and [len(p.transfers) for p in zones] == [1, 1, 1]
    zones[0].change(NEW)
    assert bed.notify(zones[0]) == "NOERROR"
    bed.wait(zones[0], 2)
    assert zones[0].transfers == ["AXFR", "IXFR"]
