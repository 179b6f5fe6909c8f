"""Many questions to several servers at once, and what makes up an answer, read fast: the replies of four servers to tens of
thousands of questions are compared within a minute."""
import selectors
import socket
import struct
import time

from lab import HOST, SLOW

BATCH = 64
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, NAPTR, DNAME, OPT, DS, RRSIG, NSEC, NSEC3 = \
    1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 39, 41, 43, 46, 47, 50
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 9: "NOTAUTH"}


# --- reading replies ----------------------------------------------------------------------------------------------
def read_name(msg, at):
    """(the name's labels with their lengths, where it ends)."""
    out, end, jumps = b"", None, 0
    while True:
        n = msg[at]
        if n >= 192:
            if end is None:
                end = at + 2
            at = (n & 63) << 8 | msg[at + 1]
            jumps += 1
            if jumps > 128:
                raise ValueError("pointers in a circle")
            continue
        if n > 63:
            raise ValueError("a label of an unknown kind")
        out += msg[at:at + 1 + n]
        at += 1 + n
        if n == 0:
            return out, end or at


def read_rdata(msg, rrtype, at, end):
    """With names expanded, and in lower case where names are."""
    if rrtype in (NS, CNAME, PTR, DNAME):
        return read_name(msg, at)[0].lower()
    if rrtype == MX:
        return msg[at:at + 2] + read_name(msg, at + 2)[0].lower()
    if rrtype == SRV:
        return msg[at:at + 6] + read_name(msg, at + 6)[0].lower()
    if rrtype == SOA:
        one, at = read_name(msg, at)
        two, at = read_name(msg, at)
        return one.lower() + two.lower() + msg[at:end]
    if rrtype in (NSEC, RRSIG, NAPTR):
        return msg[at:end].lower() if rrtype == NAPTR else msg[at:end]
    return msg[at:end]


class Reply:
    """an, ns, ar: lists of (owner in lower case, type, TTL, RDATA)."""

    def __init__(self, msg):
        self.wire = msg
        _, flags, questions, *counts = struct.unpack_from("!HHHHHH", msg)
        at = 12
        self.question = b""
        for _ in range(questions):
            _, at = read_name(msg, at)
            at += 4
            self.question = msg[12:at]
        self.flags, self.rcode, self.opt = flags, flags & 15, None
        self.sections = []
        self.sizes = {}                     # record -> bytes
        for count in counts:
            section = []
            for _ in range(count):
                start = at
                owner, at = read_name(msg, at)
                rrtype, rrclass, ttl, size = struct.unpack_from("!HHIH", msg, at)
                at += 10
                if rrtype == OPT:
                    self.opt = (ttl >> 15 & 1, ttl >> 16 & 255)
                    self.rcode |= ttl >> 24 << 4
                else:
                    section.append((owner.lower(), rrtype, ttl, read_rdata(msg, rrtype, at, at + size)))
                    self.sizes[section[-1]] = at + size - start
                at += size
            self.sections.append(section)
        if at != len(msg):
            raise ValueError("bytes behind the message")
        self.an, self.ns, self.ar = self.sections

    aa = property(lambda self: self.flags >> 10 & 1)
    tc = property(lambda self: self.flags >> 9 & 1)

    def referral_names(self):
        """Targets of the NS RRset in authority that stand at or below its owner; and the owner."""
        ns = [r for r in self.ns if r[1] == NS]
        return {r[3] for r in ns if is_below(r[3], ns[0][0])}


def labels_of(name):
    out, at = [], 0
    while name[at]:
        out.append(name[at + 1:at + 1 + name[at]])
        at += 1 + name[at]
    return out


def is_below(name, top):
    if not name.endswith(top):
        return False
    a, b = labels_of(name), labels_of(top)
    return not b or a[-len(b):] == b


def name_text(name):
    if name == b"\0":
        return "."
    return "".join("".join(chr(c) if 33 <= c < 127 and c not in b'."\\' else f"\\{c:03d}" for c in label) + "." for label in labels_of(name))


TYPE_NAMES = {v: k for k, v in list(globals().items()) if k.isupper() and isinstance(v, int)}


def record_text(r):
    data = r[3]
    if r[1] in (NS, CNAME, PTR, DNAME):
        text = name_text(data)
    elif r[1] == MX:
        text = name_text(data[2:])
    elif r[1] == A:
        text = ".".join(map(str, data))
    else:
        text = data.hex()[:60]
    return f"{name_text(r[0])} {r[2]} {TYPE_NAMES.get(r[1], r[1])} {text}"


# --- asking -------------------------------------------------------------------------------------------------------
def name_wire(text):
    out, label, i = b"", b"", 0
    while i < len(text):
        if text[i] == "\\" and text[i + 1].isdigit():
            label += bytes([int(text[i + 1:i + 4])])
            i += 4
        elif text[i] == "\\":
            label += text[i + 1].encode()
            i += 2
        elif text[i] == ".":
            if label:
                out += bytes([len(label)]) + label
            label = b""
            i += 1
        else:
            label += text[i].encode()
            i += 1
    return out + b"\0"


def query_wire(ident, name, rrtype, size, dnssec, rd):
    msg = struct.pack("!HHHHHH", ident, rd << 8, 1, 0, 0, bool(size)) + name_wire(name) + struct.pack("!HH", rrtype, 1)
    if size:
        msg += b"\0" + struct.pack("!HHIH", OPT, size, dnssec << 15, 0)
    return msg


class Udp:
    """Asks several servers the same questions, BATCH at a time."""

    def __init__(self, ports):
        self.sockets = []
        for server_port in ports:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            s.connect((HOST, server_port))
            s.setblocking(False)
            self.sockets.append(s)
        self.selector = selectors.DefaultSelector()
        for i, s in enumerate(self.sockets):
            self.selector.register(s, selectors.EVENT_READ, i)

    def close(self):
        self.selector.close()
        for s in self.sockets:
            s.close()

    def ask(self, queries):
        """A list of replies per server, in the order of the queries."""
        got = [[None] * len(queries) for _ in self.sockets]
        for start in range(0, len(queries), BATCH):
            self.ask_batch(queries, start, min(start + BATCH, len(queries)), got)
        return got

    def ask_batch(self, queries, start, end, got):
        missing = [set(range(start, end)) for _ in self.sockets]
        for attempt in range(8):
            for s, wanted in zip(self.sockets, missing):
                for i in sorted(wanted):
                    s.send(queries[i])
            limit = time.monotonic() + (0.5 + attempt) * SLOW
            while any(missing) and time.monotonic() < limit:
                for key, _ in self.selector.select(0.1):
                    self.receive(key.data, queries, start, end, missing[key.data], got[key.data])
            if not any(missing):
                return
        raise AssertionError(f"no reply: {[(n, queries[min(w)].hex()) for n, w in enumerate(missing) if w]}")

    def receive(self, n, queries, start, end, wanted, got):
        while True:
            try:
                msg = self.sockets[n].recv(65535)
            except BlockingIOError:
                return
            for i in range(start + ((msg[0] << 8 | msg[1]) - start) % 65536, end, 65536):
                if i in wanted:
                    wanted.discard(i)
                    got[i] = msg


def ask_tcp(server_port, queries):
    """Pipelined over one connection; replies in the order of the queries. Identifiers must differ."""
    got = {}
    with socket.create_connection((HOST, server_port), timeout=20 * SLOW) as s:
        file = s.makefile("rb")
        for start in range(0, len(queries), 16):
            part = queries[start:start + 16]
            s.sendall(b"".join(struct.pack("!H", len(q)) + q for q in part))
            for _ in part:
                size = struct.unpack("!H", file.read(2))[0]
                msg = file.read(size)
                assert len(msg) == size
                got[msg[:2]] = msg
    return [got[q[:2]] for q in queries]
