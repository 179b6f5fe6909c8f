"""bench/run: dns with its targets, tables and data, without running a server; the primary and the tables of transfer."""
import itertools
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rrset
import dns.xfr
import dns.zone
import pytest

from lab import BUILD, HOST, TOP, port

sys.path.insert(0, str(TOP / "bench"))
import dns_bench  # noqa: E402
import dns_measure  # noqa: E402
import dns_peers  # noqa: E402
import dns_table  # noqa: E402
import dns_zones  # noqa: E402
import transfer  # noqa: E402
import transfer_many  # noqa: E402


def cell(us, user_share=0.1, busy=1.0):
    """Rounds that cost so many us."""
    made = dns_measure.Cell()
    for cost in us:
        made.add((cost * 0.1, round(1000 * user_share), 1000 - round(1000 * user_share)), (0.0, 0, 0),
                 {"answered": 100000, "seconds": cost * 0.1 / busy, "client_cpu": 0.01, "lost": 0})
    return made


def result(mixes, wrong=None):
    names = list(dict.fromkeys(name for cells in mixes.values() for name in cells))
    return {"title": "one zone of 7 names", "records": 7, "sample": 60, "names": names, "mixes": mixes, "wrong": wrong or {},
            "load": {name: (None, 0.5) for name in names}}


def test_a_cell_is_the_median_of_its_rounds_with_their_spread():
    assert dns_table.cpu_text(cell([4.0, 3.0, 9.0], user_share=0.25), wrong=False) == "4.00 (3.00-9.00) / 1.00"
    assert dns_table.cpu_text(cell([4.0]), wrong=True).endswith("†")
    assert "‡" not in dns_table.rate_text(cell([4.0], busy=0.95))
    assert "‡" in dns_table.rate_text(cell([4.0], busy=0.5)), "a server that waits is not what was measured"


def test_a_round_without_answers_does_not_count():
    made = cell([4.0])
    made.add((5.0, 10, 10), (0.0, 0, 0), {"answered": 0, "seconds": 1.0, "client_cpu": 0.0, "lost": 200})
    assert made.us == [4.0] * 1 and made.sums["lost"] == 200


RATIOS = [      # size, mix, what the servers cost, which target of that mix is met, why
    ("1k", "zipf", {"azoth": 4.0, "gdnsd": 4.0}, True, "level with gdnsd"),
    ("1k", "zipf", {"azoth": 4.2, "gdnsd": 4.0}, False, "over 1.03"),
    ("1k", "nxdomain", {"azoth": 4.2, "gdnsd": 1.0, "NSD": 5.0, "Knot": 6.0}, True, "gdnsd does not count for NXDOMAIN"),
    ("1k", "nxdomain", {"azoth": 4.2, "NSD": 6.0, "Knot": 4.5}, False, "the better one of the two counts"),
    ("signed-1k", "nxdomain", {"azoth": 4.4, "NSD": 5.0, "Knot": 6.0}, True, "signed questions have the target of signed ones"),
    ("signed-1k", "zipf", {"azoth": 4.6, "NSD": 5.0, "Knot": 6.0}, False, "over 0.9"),
]


@pytest.mark.parametrize("size,mix,costs,met,why", RATIOS, ids=[row[-1] for row in RATIOS])
def test_ratios(size, mix, costs, met, why):
    cells = {name: cell([us]) for name, us in costs.items()}
    target, = [t for t in dns_table.TARGETS if t.ours == "azoth" and not t.user and t.applies(size, mix)]
    got = dns_table.ratio(cells, target)
    assert target.met(got[0]) == met, got
    assert dns_table.verdict(target, got).endswith("met" if met else "**missed**")


def test_ratio_is_taken_within_the_rounds():
    """Both slow down together in the second round: no difference."""
    cells = {"azoth": cell([4.0, 8.0, 4.0]), "gdnsd": cell([4.0, 8.0, 8.0])}
    target = dns_table.TARGETS[0]
    assert dns_table.ratio(cells, target)[0] == pytest.approx(1.0)


def test_being_level_is_not_being_ahead():
    ahead = dns_table.TARGETS[-1]
    assert not ahead.met(1.0) and ahead.met(0.99)


def test_user_part_from_100k_names_on():
    user, = [t for t in dns_table.TARGETS if t.user]
    assert not user.applies("1k", "zipf") and user.applies("100k", "zipf") and user.applies("signed-1m", "mixed")
    cells = {"azoth": cell([4.0], user_share=0.1), "NSD": cell([5.0], user_share=0.2), "Knot": cell([5.0], user_share=0.1)}
    assert dns_table.ratio(cells, user) == (pytest.approx(0.8), "Knot")
    cells["azoth"].all_ticks = 10
    assert dns_table.ratio(cells, user) is None, "too few ticks to tell"


def test_a_section_says_what_was_missed_missing_and_wrong():
    mixes = {"zipf": {"azoth": cell([4.2]), "azoth, cache 0": cell([4.4]), "gdnsd": cell([4.0]), "NSD": cell([5.0])}}
    text = dns_table.section({"sizes": {"100k": result(mixes, {"zipf": {"NSD": (3, "`a. A`: REFUSED; 3 servers: NOERROR")}})},
                              "versions": {"NSD": "4.6.1"}, "missing": {"YADIFA": "no package"}, "settings": {"NSD": "server-count 1"}})
    assert "1.05 **missed**" in text and "0.88 met" in text
    assert "YADIFA: missing, no package" in text and "NSD 4.6.1: server-count 1." in text
    assert "3 of 60 sampled answers differ" in text and "REFUSED" in text
    assert "| azoth by the better of NSD and Knot: signed | at most 0.90 |  |  | not measured |" in text
    for is_table, lines in itertools.groupby(text.splitlines(), key=lambda line: line.startswith("|")):
        assert not is_table or len({line.count("|") for line in lines}) == 1, "every row of a table has as many cells"


def test_options():
    assert dns_bench.chosen("nsd, POWERDNS", ["NSD", "PowerDNS"], []) == ["NSD", "PowerDNS"]
    assert dns_bench.chosen("none", ["NSD"], ["NSD"]) == [] and dns_bench.chosen(None, ["NSD"], ["NSD"]) == ["NSD"]
    with pytest.raises(SystemExit):
        dns_bench.chosen("nds", ["NSD"], [])


def test_zones_are_the_same_every_time_and_questions_fit_them(tmp_path):
    made = []
    for i in range(2):
        folder = tmp_path / str(i)
        folder.mkdir()
        dns_zones.make_one(400, 500, folder, new=500)
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert made[0] == made[1]
    lines = made[0]["zone"].decode().splitlines()
    owners = {line.split()[0] for line in lines}
    asked = {line.split()[0] for line in made[0]["uniform.q"].decode().splitlines()}
    assert all(name.removesuffix("." + dns_zones.ORIGIN) in owners for name in asked)
    absent = [line.split()[0].removesuffix("." + dns_zones.ORIGIN) for line in made[0]["nxdomain.q"].decode().splitlines()]
    assert not owners & set(absent) and len({name[:2] for name in absent}) > 30, "spread over the order of names"
    changed = {line.split()[0] for line in made[0]["changed.q"].decode().splitlines()}
    assert changed and not changed & asked


def test_a_server_ends_with_all_its_children(tmp_path):
    class Loud(dns_peers.Limit):
        def arguments(self):
            return ["/bin/sh", "-c", "sleep 100 & echo $! > child; trap '' TERM; while :; do sleep 0.1; done"]

    server = Loud(TOP, sorted(os.sched_getaffinity(0))[0], tmp_path, False).start(type("None", (), {"probes": []}), tmp_path, 1)
    child = pathlib.Path(server.folder / "child")
    while not child.exists() or not child.read_text().strip():
        time.sleep(0.01)
    pid = int(child.read_text())
    assert pid in dns_measure.family(server.process.pid)
    server.stop(patience=0.3)
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    assert state == "" or state.startswith("Z")


# --- transfer ---------------------------------------------------------------------------------------------------------
class Secondary:
    """Takes a zone as dnspython reads transfers, by IXFR behind each NOTIFY, and answers for its addresses."""

    def __init__(self, primary, zone):
        self.primary, self.zone, self.port = primary, zone, port()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, self.port))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def take(self):
        query, _ = dns.xfr.make_query(self.zone)
        dns.query.inbound_xfr(HOST, self.zone, query, port=self.primary, timeout=5)

    def run(self):
        while True:
            wire, sender = self.socket.recvfrom(4096)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            reply = dns.message.make_response(query)
            if query.opcode() == dns.opcode.NOTIFY:
                self.take()
            else:
                name = query.question[0].name
                reply.answer.append(dns.rrset.from_rdata_list(name, 300, list(self.zone.get_rdataset(name, query.question[0].rdtype))))
            self.socket.sendto(reply.to_wire(), sender)

    def stop(self):
        self.socket.sendto(b"", (HOST, self.port))
        self.thread.join(5)
        self.socket.close()


def records(zone):
    return {(name, rdataset.rdtype, rdataset.ttl, frozenset(map(str, rdataset))) for name, rdataset in zone.iterate_rdatasets()}


@pytest.fixture
def primary():
    subprocess.run(["make", "-s", "-C", str(BUILD), "bench/bench-transfer"], check=True, capture_output=True, timeout=300)
    started = transfer.Primary(type("Bench", (), {"BUILD": BUILD}), 3000, 12, 77)
    yield started
    started.stop()


def test_the_primary_of_transfer_serves_the_zone_that_knot_reads(primary):
    """Whole, then by steps of one and more changes, and several steps at once: always what is there then."""
    taken = dns.zone.Zone(transfer.ZONE, relativize=False)
    secondary = Secondary(primary.port, taken)
    late = dns.zone.Zone(transfer.ZONE, relativize=False)
    try:
        for zone in taken, late:
            dns.query.inbound_xfr(HOST, zone, dns.xfr.make_query(zone)[0], port=primary.port, timeout=20)
        text = transfer.zone_text(3000).replace(f" {transfer.HOUR_S} {transfer.HOUR_S} ", " 77 77 ")
        assert records(taken) == records(dns.zone.from_text(text, relativize=False))
        for n, (changes, rounds) in enumerate(((1, 3), (10, 2)), 1):
            rows = primary.order(f"notify {changes} {rounds} 1 me:{secondary.port}:{secondary.port}")
            assert [row[:2] for row in rows] == [["seen", "me"]] * rounds and all(0 < int(row[4]) <= int(row[2]) for row in rows)
        dns.query.inbound_xfr(HOST, late, dns.xfr.make_query(late)[0], port=primary.port, timeout=20)
        fresh = dns.zone.Zone(transfer.ZONE, relativize=False)
        dns.query.inbound_xfr(HOST, fresh, dns.xfr.make_query(fresh, serial=None)[0], port=primary.port, timeout=20)
        assert records(taken) == records(late) == records(fresh)
        assert len(records(fresh) ^ records(dns.zone.from_text(text, relativize=False))) == 2 * (3 * 1 + 2 * 10 + 1), "and the SOA"
    finally:
        secondary.stop()


def test_the_primary_of_transfer_has_small_zones_and_counts(primary):
    for number in range(12):
        query = dns.message.make_query(f"z{number}.many.{transfer.ZONE}", "SOA")
        assert dns.query.udp(query, HOST, port=primary.port, timeout=5).answer[0][0].refresh == 77
    assert dns.query.udp(dns.message.make_query(f"z12.many.{transfer.ZONE}", "SOA"), HOST, port=primary.port, timeout=5).rcode() == dns.rcode.REFUSED
    small = dns.zone.Zone(f"z3.many.{transfer.ZONE}")
    dns.query.inbound_xfr(HOST, small, port=primary.port, timeout=5)
    assert len(records(small)) == 6
    (what, questions, transfers, *seconds), = primary.order("questions")
    assert (what, questions, transfers) == ("questions", "12", "1") and sum(map(int, seconds)) <= 12


def test_who_did_not_answer_once_is_not_waited_for_again():
    class One:
        notify_port, seen_port = 1, 2

        def __init__(self, name):
            self.name = name

    class Fake:
        def __init__(self):
            self.orders = []

        def order(self, text, patience):
            self.orders.append(text)
            return [["seen", word.split(":")[0], "0" if "NSD" in word else "5", "1", "1", "1", "1"] for word in text.split()[3:]]

    fake = Fake()
    rows = transfer.spread(fake, "notify 1 {rounds}", [One("azoth, at an edge"), One("NSD")], 40, 60)
    assert fake.orders == ["notify 1 2 azoth:1:2 NSD:1:2"] + ["notify 1 2 azoth:1:2"] * 19 and len(rows) == 21
    assert transfer.spread(Fake(), "notify 1 {rounds}", [One("NSD")], 40, 60) == [["seen", "NSD", "0", "1", "1", "1", "1"]]


def test_a_row_of_transfer_says_who_took_how_long():
    class One:
        def __init__(self, name):
            self.name = name

    lines = [["seen", "azoth", "2000", "300", "700", "800", "90"], ["seen", "azoth", "4000", "300", "700", "800", "90"], ["seen", "NSD", "9000", "0", "0", "0", "0"],
             ["seen", "NSD", "0", "0", "0", "0", "0"], ["seen", "BIND", "0", "0", "0", "0", "0"]]
    rows, ours = transfer.notify_rows("here", [One("azoth, at an edge"), One("NSD"), One("BIND")], lines)
    assert [row[:3] for row in rows] == [["here", "azoth, at an edge", 2], ["here", "NSD", "1 of 2"], ["here", "BIND", "0 of 1"]]
    assert rows[0][3:] == ["4.00 / 4.00 / 4.00", "0.30, 0.70, 0.80", "0.09", "1.00"] and rows[1][6] == "3.00" and len(ours) == 2
    assert transfer_many.row("now", 1000, [0, 30, 50, 20], 50) == ["now", 4, "100", "25", "21", "50"]
    assert transfer.verdict(3, 3, "x") == "x (met)" and "missed" in transfer.verdict(3.1, 3, "x")
