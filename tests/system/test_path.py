"""The whole path: zone file -> core -> edge -> relayed edge -> DNS answers on both."""
import itertools
import time

import dns.flags
import dns.rcode
import pytest

from lab import SAMPLE, bump_serial, normal_records, small_zone, wait_until

ZONE = "example.com."
SERIAL = 2026010100


@pytest.fixture
def chain(lab):
    lab.zone_file("zone", SAMPLE.read_text())
    return lab.chain({ZONE: lab.folder / "zone"})


def publish(lab, core, old, new, change=lambda text: text):
    """The zone file with the next serial and a change, and SIGHUP."""
    lab.zone_file("zone", change(bump_serial((lab.folder / "zone").read_text(), old, new)))
    core.hup()


def test_answers_on_both_edges(lab, chain):
    core, one, two, dns_one, dns_two = chain
    lab.wait_equal([core, one, two])
    for server in dns_one, dns_two:
        for tcp in False, True:
            assert server.values("www.example.com.", "A", tcp) == ["192.0.2.80", "192.0.2.81"]
            assert server.values("WWW.EXAMPLE.com.", "AAAA", tcp) == ["2001:db8::80"]
            assert server.values("shop.example.com.", "A", tcp) == ["192.0.2.80", "192.0.2.81"]
            assert server.values("some.thing.wild.example.com.", "TXT", tcp) == ['"from the wildcard"']
            assert server.values("type65400.example.com.", "TYPE65400", tcp) == [r"\# 4 0a000001"]
        reply = server.ask("www.example.com.")
        assert reply.flags & dns.flags.AA and reply.flags & dns.flags.QR and not reply.flags & dns.flags.RA
        assert server.ask("nothing.example.com.").rcode() == dns.rcode.NXDOMAIN
        assert server.ask("e.d.example.com.").rcode() == dns.rcode.NOERROR
        assert server.ask("example.net.").rcode() == dns.rcode.REFUSED
        referral = server.ask("deep.below.child.example.com.")
        assert not referral.flags & dns.flags.AA and not referral.answer
        assert sorted(rd.to_text() for rd in referral.authority[0]) == ["ns1.child.example.com.", "ns2.child.example.com."]
        assert {rrset.name.to_text() for rrset in referral.additional} == {"ns1.child.example.com.", "ns2.child.example.com."}


def test_truncation_and_tcp(chain):
    server = chain[-1]
    short = server.ask("big.example.com.", "TXT", payload=0)
    assert short.flags & dns.flags.TC and len(short.to_wire()) <= 512
    full = server.ask("big.example.com.", "TXT", payload=0, tcp=True)
    assert not full.flags & dns.flags.TC and len(full.answer) == 1
    assert server.ask("big.example.com.", "TXT", payload=1232).answer == full.answer


def test_dump_is_what_went_in(lab, chain):
    core, one, two = chain[:3]
    wanted = normal_records(SAMPLE.read_text(), ZONE, lab.folder)
    assert len(wanted) > 60
    lab.wait_equal([core, one, two])
    for node in core, one, two:
        assert normal_records(node.dump(ZONE), None, lab.folder) == wanted


def test_stat_is_the_same_on_all(lab, chain):
    core, one, two = chain[:3]
    lab.wait_equal([core, one, two])
    stats = [node.stat() for node in (core, one, two)]
    for key in "cluster", "epoch", "applied", "digest":
        assert len({str(stat[key]) for stat in stats}) == 1, key
    assert len(stats[0]["digest"]) == 64 and int(stats[0]["digest"], 16) != 0
    assert "dns" in str(stats[0]["namespaces"]) and stats[0]["bytes"] and stats[0]["head"]


def test_only_the_difference_is_published(lab, chain):
    core, one, two, dns_one, dns_two = chain
    before = core.stat()["applied"]
    publish(lab, core, SERIAL, SERIAL + 1, lambda text: text.replace("A    192.0.2.80\n", "A    203.0.113.80\n"))
    for server in dns_one, dns_two:
        server.wait_serial(ZONE, SERIAL + 1)
        assert server.values("www.example.com.") == ["192.0.2.81", "203.0.113.80"]
    lab.wait_equal([core, one, two])
    assert core.stat()["applied"] == before + 1
    records = core.azoth("log", "--json", "--from", before + 1).json_lines()
    ops = [op for record in records for op in record["ops"]]
    # www's addresses, the apex's SOA, and the zone header that holds a copy of it
    assert len(ops) == 3 and all(op["op"] == "put" for op in ops), ops
    assert [op["key"].split("/")[0] for op in ops] == ["example.com.", "example.com.", "www.example.com."]


def test_sighup_without_a_change_publishes_nothing(lab, chain):
    core = chain[0]
    before = core.stat()
    for _ in range(3):
        core.hup()
        time.sleep(0.2)
    after = core.stat()
    assert (after["applied"], after["digest"]) == (before["applied"], before["digest"])


def test_zone_line_added_and_removed(lab, chain):
    core, one, two, dns_one, dns_two = chain
    core.zones["example.org."] = lab.zone_file("org", small_zone("example.org.", 7))
    core.write_config()
    core.hup()
    dns_two.wait_serial("example.org.", 7)
    del core.zones["example.org."]
    core.write_config()
    core.hup()
    wait_until("example.org. withdrawn", lambda: dns_two.ask("example.org.", "SOA").rcode() == dns.rcode.REFUSED)
    assert dns_two.serial(ZONE) == SERIAL


def test_parent_and_child_zone(lab):
    parent = lab.zone_file("parent", small_zone("example.", 1, "child IN NS ns.child\nns.child IN A 192.0.2.9\n"))
    child = lab.zone_file("child", small_zone("child.example.", 5))
    core, one, two, dns_one, dns_two = lab.chain({"example.": parent, "child.example.": child})
    for server in dns_one, dns_two:
        reply = server.ask("www.child.example.")
        assert reply.flags & dns.flags.AA and server.values("www.child.example.") == ["192.0.2.80"]
        assert server.serial("child.example.") == 5 and server.serial("example.") == 1
    for zone, path in ("example.", parent), ("child.example.", child):
        assert normal_records(two.dump(zone), None, lab.folder) == normal_records(path.read_text(), zone, lab.folder)


def test_late_joiner_gets_everything(lab, chain):
    core, one, two, dns_one, _ = chain
    for n in range(1, 21):
        publish(lab, core, SERIAL + n - 1, SERIAL + n)
        dns_one.wait_serial(ZONE, SERIAL + n)
    late = lab.edge("edge-late", two if two.relay else one).start()
    lab.wait_equal([core, late])
    server = lab.dns(late).start()
    assert server.serial(ZONE) == SERIAL + 20
    assert server.values("www.example.com.") == ["192.0.2.80", "192.0.2.81"]


def test_position_survives_a_restart(lab, chain):
    core, one, two, _, dns_two = chain
    lab.wait_equal([core, one, two])
    two.stop()
    assert dns_two.serial(ZONE) == SERIAL              # the DNS server goes on without its replicator
    publish(lab, core, SERIAL, SERIAL + 1)
    lab.wait_equal([core, one])
    assert dns_two.serial(ZONE) == SERIAL
    two.start()
    dns_two.wait_serial(ZONE, SERIAL + 1)
    lab.wait_equal([core, one, two])


def test_dns_starts_before_its_edge_has_anything(lab):
    lab.zone_file("zone", SAMPLE.read_text())
    core = lab.core({ZONE: lab.folder / "zone"})
    edge = lab.edge("edge-1", core)
    edge.launch()
    server = lab.dns(edge)
    wait_until("the edge made its store", lambda: (edge.dir / "current").exists())
    server.launch()
    wait_until("the DNS server is alive", lambda: server.page("/healthz")[0] == 200)
    assert server.page("/readyz")[0] == 503
    core.start()
    server.wait_ready()
    assert server.serial(ZONE) == SERIAL


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=lambda o: "-".join("012"[i] for i in o))
def test_restart_in_every_order(lab, chain, order):
    """0 core, 1 edge, 2 relayed edge: all stopped, the zone changed meanwhile, started in this order."""
    nodes, servers = chain[:3], chain[3:]
    lab.wait_equal(nodes)
    for i in order:
        nodes[i].stop()
    publish_text = bump_serial((lab.folder / "zone").read_text(), SERIAL, SERIAL + 1)
    lab.zone_file("zone", publish_text)
    for i in order:
        nodes[i].launch()
    for server in servers:
        server.wait_serial(ZONE, SERIAL + 1)
    lab.wait_equal(nodes)


def test_metrics_pages_parse(lab, chain):
    for daemon in chain:
        values = daemon.metrics()
        assert len(values) > 5, f"{daemon}: {values}"
        assert all(name.startswith("azoth_") or name.startswith("process_") for name, _ in values)
        assert daemon.page("/healthz")[0] == 200
        assert daemon.page("/no-such-page")[0] == 404
    server = chain[-1]
    before = server.metric("azoth_dns_queries_total", proto="udp")
    for _ in range(10):
        server.ask("www.example.com.")
    wait_until("ten queries counted", lambda: server.metric("azoth_dns_queries_total", proto="udp") == before + 10)


def test_edge_says_that_the_core_is_gone_and_comes_back(lab, chain):
    core, one, two, dns_one, dns_two = chain
    mark = one.mark()
    core.stop()
    one.wait_log(r" (WARN|ERROR) ", since=mark)
    assert dns_one.serial(ZONE) == SERIAL and dns_two.serial(ZONE) == SERIAL
    lab.zone_file("zone", bump_serial((lab.folder / "zone").read_text(), SERIAL, SERIAL + 1))
    core.start()
    dns_two.wait_serial(ZONE, SERIAL + 1, timeout=30)
