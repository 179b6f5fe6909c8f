"""The tables of packets (tests/golden/packets) against azoth-dns over UDP and TCP, and against NSD, Knot and BIND: where the
three agree, azoth agrees too, or the row says why not ("but ...")."""
import socket

import pytest

import packets
import peers
from lab import HOST, SLOW

NAME, VERSION = "site-1", "azoth test"
SECRET = "000102030405060708090a0b0c0d0e0f"
SENTINEL = bytes.fromhex("beef00000001000000000000") + b"\3www\7example\0\0\1\0\1"     # asked behind each packet: so silence shows


class Nsd(peers.Nsd):
    def config(self, zones):
        return super().config(zones).replace("server:\n", f"""server:
    nsid: "ascii_{NAME}"
    identity: "{NAME}"
    version: "{VERSION}"
    answer-cookie: yes
    cookie-secret: {SECRET}
""", 1)


class Knot(peers.Knot):
    def config(self, zones):
        return super().config(zones).replace("server:\n", f"""server:
    nsid: {NAME}
    identity: {NAME}
    version: "{VERSION}"
""", 1)


class Bind(peers.Bind):
    def config(self, zones):
        return super().config(zones).replace("options {", f"""options {{
    server-id "{NAME}";
    hostname "{NAME}";
    version "{VERSION}";
    answer-cookie yes;
""", 1)


def over_udp(port, query):
    """The reply, or b"": the sentinel's came, that to the query did not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((HOST, port))
        s.settimeout(10 * SLOW)
        s.send(query)
        s.send(SENTINEL)
        reply = b""
        while True:
            got = s.recv(65536)
            if got[:2] == SENTINEL[:2]:
                break
            reply = got
        if not reply:                           # a server of several threads may turn the order round
            s.settimeout(0.05)
            try:
                reply = s.recv(65536)
            except OSError:
                pass
        return reply


def read_exact(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def over_tcp(port, query):
    """The same. A server may close instead."""
    with socket.create_connection((HOST, port), timeout=10 * SLOW) as s:
        reply = b""
        try:
            s.sendall(b"".join(len(m).to_bytes(2, "big") + m for m in (query, SENTINEL)))
            while True:
                got = read_exact(s, int.from_bytes(read_exact(s, 2), "big"))
                if got[:2] == SENTINEL[:2]:
                    return reply
                reply = got
        except (EOFError, ConnectionError):
            return reply


@pytest.fixture
def ours(lab):
    core = lab.core(dns={"nsid": NAME, "version": VERSION, "cookie_secret": SECRET})
    path = lab.zone_file("example", packets.zone_text())
    core.load(f"example.={path}")
    return lab.dns(core).start()


def test_answers_as_the_tables_say(ours, figure):
    wrong = []
    table = packets.rows()
    for row in table:
        for how, send, want in ("UDP", over_udp, row.udp), ("TCP", over_tcp, row.tcp):
            got = packets.say(row.query, send(ours.port, row.query))
            if got != want:
                wrong.append(f"{row.where} over {how}: {row.why}\n  want {want}\n  got  {got}")
    assert not wrong, "\n".join(wrong)
    assert len(table) >= 240
    figure("packets answered as their table says, over UDP and over TCP", f"{len(table)} of {len(table)}")


def essence(query, reply):
    """On what servers can be compared: rcode, flags, the number of answers, SOA or delegation, OPT, TSIG. Not the question
    of an error, courtesy in the additional section, nor which options a server knows."""
    rcode, flags, rest = packets.describe(query, reply)
    words = rest.split()
    kept = [w for w in words if w.startswith(("an=", "ns=", "tsig", "mac=", "error="))] + ["opt"] * ("opt" in words)
    return " ".join([rcode, flags.strip(), *kept])


@pytest.mark.skipif(bool(peers.missing()), reason=f"not installed: {peers.missing()} (scripts/install-deps --test)")
def test_where_the_peers_agree_azoth_agrees(ours, lab, figure):
    zone = lab.folder / "peers.zone"
    zone.write_text(packets.zone_text())
    servers = []
    wrong, agreed, excused = [], 0, 0
    try:
        for kind in Nsd, Knot, Bind:
            servers.append(kind(lab.folder, {"example.": zone}))
        for row in packets.rows():
            differs = []
            for how, send in ("UDP", over_udp), ("TCP", over_tcp):
                seen = [essence(row.query, send(server.port, row.query)) for server in servers]
                if not seen[0] == seen[1] == seen[2]:
                    continue
                got = essence(row.query, send(ours.port, row.query))
                agreed += got == seen[0]
                if got != seen[0]:
                    differs.append(f"{row.where} over {how}: {row.why}\n  the three: {seen[0]}\n  azoth:     {got}")
            if row.but is None:
                wrong += differs
            elif not differs:
                wrong.append(f"{row.where}: {row.why}\n  the peers do not agree on something else, although the row says so")
            excused += row.but is not None
    finally:
        for server in servers:
            server.stop()
    assert not wrong, "\n".join(wrong)
    assert agreed >= 180
    figure("packets on which NSD, Knot and BIND agree, and azoth with them", f"{agreed}, {excused} rows excepted with a reason")


class StrictKnot(peers.Knot):
    """Takes no question without a good cookie."""

    def config(self, zones):
        return super().config(zones).replace("template:\n  - id: default\n", f"""mod-cookies:
  - id: strict
    secret: 0x{SECRET}
    badcookie-slip: 1
template:
  - id: default
    global-module: mod-cookies/strict
""", 1)


class StrictBind(peers.Bind):
    def config(self, zones):
        return super().config(zones).replace("options {", f"""options {{
    cookie-algorithm siphash24;
    cookie-secret "{SECRET}";
    require-server-cookie yes;
""", 1)

    def serves(self, zone):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            return packets.cookie_of(over_udp(self.port, question_with(CLIENT)))
        except OSError:
            return None


CLIENT = bytes.fromhex("2464c4abcf10c957")


def question_with(cookie):
    query = bytes.fromhex("123400000001000000000001") + SENTINEL[12:] + bytes.fromhex("00002904d000000000")
    option = b"\0\x0a" + len(cookie).to_bytes(2, "big") + cookie
    return query + len(option).to_bytes(2, "big") + option


def rcode_with(port, cookie):
    query = question_with(cookie)
    return packets.describe(query, over_udp(port, query))[0]


@pytest.mark.skipif(bool(peers.missing()), reason=f"not installed: {peers.missing()} (scripts/install-deps --test)")
def test_servers_with_one_secret_take_each_others_cookies(ours, lab):
    zone = lab.folder / "peers.zone"
    zone.write_text(packets.zone_text())
    servers = []
    try:
        for kind in Nsd, StrictKnot, StrictBind:
            servers.append(kind(lab.folder, {"example.": zone}))
        mine = packets.cookie_of(over_udp(ours.port, question_with(CLIENT)))
        forged = mine[:-1] + bytes([mine[-1] ^ 1])
        for server in servers:
            given = packets.cookie_of(over_udp(server.port, question_with(CLIENT)))
            assert given[:8] == CLIENT and len(given) == 24, server.program
            assert packets.cookie_of(over_udp(ours.port, question_with(given))) == given, f"{server.program}'s cookie is not ours"
            assert rcode_with(server.port, mine) == "NOERROR", f"our cookie is not {server.program}'s"
            if server.program != "nsd":         # which has no strict form
                assert rcode_with(server.port, forged) == "BADCOOKIE", server.program
        assert packets.cookie_of(over_udp(ours.port, question_with(forged))) not in (None, forged)
    finally:
        for server in servers:
            server.stop()
