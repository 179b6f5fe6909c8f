"""The tables of packets in tests/golden/packets: their reader, and a reply in their words. tests/unit/test_packets.c does the
same in C."""
import pathlib

import dns.name

from lab import TOP

FOLDER = TOP / "tests" / "golden" / "packets"
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 9: "NOTAUTH",
          16: "BADVERS", 23: "BADCOOKIE"}
OPTIONS = {3: "nsid", 10: "cookie", 11: "keepalive", 12: "padding", 15: "ede", 19: "zoneversion"}
FLAGS = [("aa", 0x0400), ("tc", 0x0200), ("rd", 0x0100), ("ra", 0x0080), ("z", 0x0040), ("ad", 0x0020), ("cd", 0x0010)]


class Row:
    def __init__(self, where, why):
        self.where, self.why, self.query, self.udp, self.tcp, self.but = where, why, None, None, None, None


def zone_text():
    return (FOLDER / "example.zone").read_text()


def encode(words, lets):
    """The bytes of a line of the table."""
    stack = [bytearray()]
    todo = list(reversed(words.replace("{", " { ").replace("}", " } ").split()))
    while todo:
        word = todo.pop()
        if word in lets:
            todo.extend(reversed(lets[word].replace("{", " { ").replace("}", " } ").split()))
        elif word == "{":
            stack.append(bytearray())
        elif word == "}":
            inside = stack.pop()
            stack[-1] += len(inside).to_bytes(2, "big") + inside
        elif word[0] == "@":
            stack[-1] += dns.name.from_text(word[1:]).to_wire()
        elif "*" in word:
            n, byte = word.split("*")
            stack[-1] += bytes.fromhex(byte) * int(n)
        else:
            stack[-1] += bytes.fromhex(word)
    assert len(stack) == 1
    return bytes(stack[0])


def rows():
    found, lets = [], {}
    for path in sorted(FOLDER.glob("*.txt")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("let "):
                _, word, rest = line.split(None, 2)
                lets[word] = rest
            elif line.startswith("? "):
                found.append(Row(f"{path.name}:{number}", line[2:]))
            elif line.startswith("= "):
                found[-1].udp = line[2:]
                found[-1].tcp = found[-1].tcp or line[2:]
            elif line.startswith("tcp = "):
                found[-1].tcp = line[6:]
            elif line.startswith("but "):
                found[-1].but = line[4:]
            elif line and line[0] != "#":
                found[-1].query = encode(line, lets)
    return found


def skip_name(msg, at):
    while msg[at] != 0:
        if msg[at] >= 0xc0:
            return at + 2
        at += 1 + msg[at]
    return at + 1


def describe(query, reply):
    """(rcode, flags, the rest) of a reply, each as the table writes it."""
    if not reply:
        return "nothing", "", ""
    word = int.from_bytes(reply[2:4], "big")
    counts = [int.from_bytes(reply[i:i + 2], "big") for i in (4, 6, 8, 10)]
    rcode, at, wrong, opt, tsig, additional = word & 15, 12, "", "", "", counts[3]
    if reply[:2] != query[:2] or not word & 0x8000 or (word & 0x7800) != int.from_bytes(query[2:4], "big") & 0x7800:
        wrong = " wrong-header"
    for _ in range(counts[0]):
        at = skip_name(reply, at) + 4
    if counts[0] and reply[12:at] != query[12:at]:
        wrong += " other-question"
    for i in range(sum(counts[1:])):
        at = skip_name(reply, at)
        rrtype, size = int.from_bytes(reply[at:at + 2], "big"), int.from_bytes(reply[at + 8:at + 10], "big")
        data = reply[at + 10:at + 10 + size]
        if rrtype == 41:
            rcode |= reply[at + 4] << 4
            additional -= 1
            opt = " opt" + (f" v{reply[at + 5]}" if reply[at + 5] else "") + (" do" if reply[at + 6] & 0x80 else "")
            if reply[at + 6] & 0x7f or reply[at + 7]:
                opt += " z"
            p = 0
            while p < len(data):
                code, n = int.from_bytes(data[p:p + 2], "big"), int.from_bytes(data[p + 2:p + 4], "big")
                opt += f" {OPTIONS.get(code, code)}:" + str(int.from_bytes(data[p + 4:p + 6], "big") if code == 15 else n)
                p += 4 + n
        elif rrtype == 250:
            additional -= 1
            alg = skip_name(data, 0)
            mac = int.from_bytes(data[alg + 8:alg + 10], "big")
            tsig = f" tsig mac={mac} error={int.from_bytes(data[alg + 12 + mac:alg + 14 + mac], 'big')}"
        at += 10 + size
    if at != len(reply):
        wrong += " bytes-behind"
    flags = "".join(" " + name for name, bit in FLAGS if word & bit)
    return RCODES.get(rcode, str(rcode)), flags, f" q={counts[0]} an={counts[1]} ns={counts[2]} ar={additional}{opt}{tsig}{wrong}"


def say(query, reply):
    return "".join(describe(query, reply))


def cookie_of(reply):
    """The contents of the COOKIE option, which is taken as the reply's only one, or None."""
    at = reply.find(b"\0\x0a\0\x18")
    return reply[at + 4:at + 28] if at >= 0 else None
