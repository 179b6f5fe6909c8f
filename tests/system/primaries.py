"""Primaries in a test's hands: they answer and lie as they are told.

    p = Primary("a.example.", records=[("www", "A", "192.0.2.1")])
    p.change(("www", "A", "192.0.2.2"))         another version, serial + 1
    p.play = whole                              what a question for a transfer gets: play(p, query) gives messages, pauses, bytes
    p.soa, p.soa_tcp = ...                      likewise what a SOA question gets over UDP, over TCP: messages

Each connection has a thread of its own. A message: Message(records, ...); a pause: seconds; bytes go out as they are, without a length."""
import hashlib
import hmac
import socket
import struct
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig

from lab import HOST, port

TSIG_TYPE, ANY = 250, 255


class Message:
    """sign: True; "skip": not, but the next one covers it; "no": not, and none covers it; "late": an hour ago; "other": another key;
    "forge": one bit is another. error: TSIG's, unsigned. question: None for none, or (name, type)."""

    def __init__(self, records=(), rcode=0, sign=True, xor_id=0, flags=dns.flags.QR | dns.flags.AA, question=True, error=0, cut=0):
        self.records, self.rcode, self.sign, self.xor_id, self.flags = list(records), rcode, sign, xor_id, flags
        self.question, self.error, self.cut = question, error, cut


def put_record(zone, name, rrtype, text, ttl=300):
    origin = dns.name.from_text(zone)
    owner = dns.name.from_text(name, origin)
    number = dns.rdatatype.from_text(rrtype)
    data = dns.rdata.from_text(dns.rdataclass.IN, number, text, origin=origin, relativize=False).to_wire()
    return owner.to_wire() + struct.pack("!HHIH", number, 1, ttl, len(data)) + data


class Seal:
    """TSIG over a stream of messages (RFC 8945 section 5.3.1), done by hand so that it can be done wrongly."""

    def __init__(self, key, request_mac):
        self.key, self.mac, self.between, self.first = key, request_mac, b"", True

    def digest(self, wire, timers, rest):
        variables = rest if self.first else timers
        return hmac.new(self.key.secret, struct.pack("!H", len(self.mac)) + self.mac + self.between + wire + variables, hashlib.sha256).digest()

    def put(self, wire, message):
        if message.sign in ("skip", "no"):
            self.between += wire if message.sign == "skip" else b""
            return wire
        name = dns.name.from_text("another.example.") if message.sign == "other" else self.key.name
        algorithm = dns.tsig.HMAC_SHA256.to_wire()
        at = int(time.time()) - (3600 if message.sign == "late" else 0)
        timers = struct.pack("!HIH", at >> 32, at & 0xffffffff, 300)
        rest = name.canonicalize().to_wire() + struct.pack("!HI", ANY, 0) + algorithm + timers + struct.pack("!HH", 0, 0)
        mac = b"" if message.error else self.digest(wire, timers, rest)
        if message.sign == "forge":
            mac = bytes([mac[0] ^ 1]) + mac[1:]
        self.mac, self.between, self.first = mac, b"", False
        data = algorithm + timers + struct.pack("!H", len(mac)) + mac + wire[:2] + struct.pack("!HH", message.error, 0)
        record = name.to_wire() + struct.pack("!HHIH", TSIG_TYPE, ANY, 0, len(data)) + data
        return wire[:10] + struct.pack("!H", struct.unpack("!H", wire[10:12])[0] + 1) + wire[12:] + record


class Primary:
    def __init__(self, zone, records=(), serial=1, key=None, per_message=1000, play=None, soa=None, timers=(3600, 900, 1209600)):
        self.zone, self.key, self.per_message, self.timers = zone, key, per_message, timers
        self.versions = [(serial, [("@", "NS", "ns1"), ("ns1", "A", "192.0.2.1"), *records])]
        self.play, self.soa, self.soa_tcp, self.soa_pause = play or honest, soa or current, current, 0.0
        self.asked, self.at_once, self.most_at_once, self.transfers = 0, 0, 0, []
        self.lock, self.ended, self.sockets, self.port = threading.Lock(), False, [], port()
        self.start()

    # --- what the zone is -----------------------------------------------------------------------------------------------------
    @property
    def serial(self):
        return self.versions[-1][0]

    def soa_record(self, serial=None, mname="ns1"):
        refresh, retry, expire = self.timers
        return "@", "SOA", f"{mname} hostmaster {self.serial if serial is None else serial} {refresh} {retry} {expire} 300"

    def change(self, *records, serial=None, drop=()):
        """The version of now without all RRsets that are named, with these records."""
        gone = {(n, t) for n, t, *_ in (*records, *drop)}
        kept = [r for r in self.versions[-1][1] if r[:2] not in gone]
        self.versions.append(((self.serial + 1) % 2 ** 32 if serial is None else serial, kept + list(records)))

    # --- answers ----------------------------------------------------------------------------------------------------------------
    def wire(self, query, message, seal):
        question = b""
        if message.question:
            name, rrtype = (query.question[0].name, query.question[0].rdtype) if message.question is True else message.question
            question = dns.name.from_text(str(name)).to_wire() + struct.pack("!HH", rrtype, 1)
        flags = message.flags | (query.opcode() << 11) | message.rcode
        wire = struct.pack("!HHHHHH", query.id ^ message.xor_id, flags, bool(question), len(message.records), 0, 0) + question
        wire += b"".join(put_record(self.zone, *r) for r in message.records)
        wire = wire[:len(wire) - message.cut]
        return seal.put(wire, message) if seal else wire

    def read(self, data):
        query = dns.message.from_wire(data, keyring=self.key)
        return query, Seal(self.key, query.mac) if self.key else None

    def udp(self, listener):
        while not self.ended:
            try:
                data, source = listener.recvfrom(4096)
            except OSError:
                return
            threading.Thread(target=self.udp_answer, args=(listener, data, source), daemon=True).start()

    def udp_answer(self, listener, data, source):
        """IXFR over UDP never fits."""
        try:
            query, seal = self.read(data)
            is_soa = query.question[0].rdtype == dns.rdatatype.SOA
            with self.lock:
                self.asked += is_soa
                self.at_once += is_soa
                self.most_at_once = max(self.most_at_once, self.at_once)
            time.sleep(self.soa_pause if is_soa else 0)
            with self.lock:
                self.at_once -= is_soa
            for message in (self.soa if is_soa else current)(self, query):
                listener.sendto(self.wire(query, message, seal), source)
        except (OSError, dns.exception.DNSException):
            pass

    def tcp(self, listener):
        while not self.ended:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.tcp_answer, args=(connection,), daemon=True).start()

    def tcp_answer(self, connection):
        with connection:
            try:
                size = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))[0]
                query, seal = self.read(connection.recv(size, socket.MSG_WAITALL))
                rrtype = query.question[0].rdtype
                if rrtype != dns.rdatatype.SOA:
                    with self.lock:
                        self.transfers.append(dns.rdatatype.to_text(rrtype))
                for it in (self.play if rrtype != dns.rdatatype.SOA else self.soa_tcp)(self, query):
                    if isinstance(it, Message):
                        wire = self.wire(query, it, seal)
                        connection.sendall(struct.pack("!H", len(wire)) + wire)
                    elif isinstance(it, bytes):
                        connection.sendall(it)
                    else:
                        time.sleep(it)
                connection.settimeout(0.2)
                connection.recv(1)
            except (OSError, struct.error, dns.exception.DNSException):
                pass

    # --- life -------------------------------------------------------------------------------------------------------------------
    def start(self):
        self.ended = False
        for kind, work in (socket.SOCK_DGRAM, self.udp), (socket.SOCK_STREAM, self.tcp):
            s = socket.socket(socket.AF_INET, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((HOST, self.port))
            if kind == socket.SOCK_STREAM:
                s.listen(64)
            self.sockets.append(s)
            threading.Thread(target=work, args=(s,), daemon=True).start()

    def stop(self):
        self.ended = True
        for s in self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        self.sockets = []


# --- plays ----------------------------------------------------------------------------------------------------------------------
def current(p, query):
    return [Message([p.soa_record()])]


def in_messages(p, records):
    return [Message(records[i:i + p.per_message]) for i in range(0, len(records), p.per_message)]


def whole(p, query):
    """All of the zone, also when steps were asked for."""
    return in_messages(p, [p.soa_record(), *p.versions[-1][1], p.soa_record()])


def refusing(rcode, play=whole):
    """IXFR gets this rcode, AXFR the zone."""
    def both(p, query):
        return [Message(rcode=rcode)] if query.question[0].rdtype == dns.rdatatype.IXFR else play(p, query)
    return both


def step_records(p, versions):
    """Of consecutive versions: what went, what came."""
    out = []
    for (old, before), (new, after) in zip(versions, versions[1:]):
        out += [p.soa_record(old), *[r for r in before if r not in after], p.soa_record(new), *[r for r in after if r not in before]]
    return out


def steps_from(p, query):
    theirs = query.authority[0][0].serial if query.question[0].rdtype == dns.rdatatype.IXFR else None
    at = [i for i, (serial, _) in enumerate(p.versions) if serial == theirs]
    return p.versions[at[-1]:] if at else None


def honest(p, query):
    """Steps, where they were asked for and the serial is known; else all."""
    versions = steps_from(p, query)
    return in_messages(p, [p.soa_record(), *step_records(p, versions), p.soa_record()]) if versions else whole(p, query)


def condensed(p, query):
    """One step over all serials."""
    versions = steps_from(p, query)
    return in_messages(p, [p.soa_record(), *step_records(p, [versions[0], versions[-1]]), p.soa_record()]) if versions else whole(p, query)
