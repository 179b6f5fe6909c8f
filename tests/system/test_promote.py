"""Secondary zones that become native: without a gap at the edges, whatever the primary says later, killed meanwhile, expired before."""
import os
import threading
import time

import dns.exception
import dns.message

from lab import API_KEY, HOST, azoth, wait_until
from test_secondary import ZONE, Knot, Script, add_zone, notify, secondary_core, soa, start_primary, values, wait_soa, zone_text
from updates import call, send

PATH = f"/v1/zones/{ZONE}"


def cli(core, *words, **more):
    return azoth("zone", *words, "--api", f"http://{HOST}:{core.ports['api']}", env={**os.environ, "AZOTH_API_KEY": API_KEY}, **more)


class Asker(threading.Thread):
    """A client that asks all the time, and keeps what it was told."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.seen, self.asked, self.ended = server, set(), 0, False
        self.start()

    def run(self):
        while not self.ended:
            try:
                reply = self.server.ask(f"www.{ZONE}")
                self.seen.add((reply.rcode(), str(reply.answer)))
            except (dns.exception.DNSException, OSError) as error:
                self.seen.add(("lost", str(error)))
            self.asked += 1

    def end(self):
        self.ended = True
        self.join()
        return self.seen


def test_a_zone_moves_here_without_a_gap(lab):
    core = secondary_core(lab)
    edge = lab.edge("e1", core)
    server = lab.dns(edge)
    primary, path = start_primary(lab, Knot, notify=core.dns_port)
    try:
        add_zone(core, primary.port)
        edge.start()
        server.start()
        server.wait_serial(ZONE, 1)
        add = cli(core, "add", ZONE, "--file", path, code=2)
        assert "secondary" in add.err and "kind=native" in add.err
        call(core, "POST", PATH + "/import", path.read_text(), want=(409,))
        before = core.dump(zone=ZONE)
        asker = Asker(server)
        dry = call(core, "PATCH", PATH + "?dry_run=1", {"kind": "native"})
        assert dry["changed"] and dry["differences"] == []
        assert call(core, "GET", PATH)["kind"] == "secondary"
        seq = core.stat()["applied"]
        cli(core, "set", ZONE, "kind=native", "--wait")
        assert core.stat()["applied"] == seq + 1            # its header, and nothing else
        zone = call(core, "GET", PATH)
        assert zone["kind"] == "native" and zone["serial"] == 1 and zone["primaries"] == [] and "secondary" not in zone
        assert core.dump(zone=ZONE) == before
        lab.wait_equal([core, edge])
        asked = asker.asked
        wait_until("some more questions", lambda: asker.asked > asked + 20)
        seen = asker.end()
        assert len(seen) == 1 and "192.0.2.1" in str(seen), seen

        call(core, "PATCH", PATH + "/rrsets", {"rrsets": [{"name": f"www.{ZONE}", "type": "A", "ttl": 60, "records": [{"content": "192.0.2.200"}]}]})
        server.wait_serial(ZONE, 2)
        assert server.values(f"www.{ZONE}") == ["192.0.2.200"]
        primary.change(path, zone_text(9, "theirs IN A 192.0.2.99"))
        wait_until("the primary has it", lambda: send(dns.message.make_query(ZONE, "SOA"), primary.port).answer[0][0].serial == 9)
        wait_until("it is no secondary", lambda: core.metric("azoth_core_secondary_zones") == 0)
        assert notify(core) == "REFUSED"
        assert soa(core) == ("NOERROR", 2) and values(core, f"theirs.{ZONE}") == []

        core.stop()
        core.start()
        assert call(core, "GET", PATH)["kind"] == "native"
        assert soa(core) == ("NOERROR", 2) and values(core, f"www.{ZONE}") == ["192.0.2.200"]
        assert not call(core, "POST", PATH + "/rebuild")["changed"]
        core.verify()
        edge.verify()
    finally:
        primary.stop()


def test_killed_while_it_becomes_native(lab):
    """kill -9 at any moment: a secondary as before or a native zone, with all of its records."""
    core = secondary_core(lab)
    many = "".join(f"h{i} IN A 192.0.2.{i % 250}\n" for i in range(20000))
    primary, path = start_primary(lab, Knot, notify=core.dns_port)
    try:
        primary.change(path, zone_text(2, many))
        for pause in (0.05, 0.15, 0.3, 0.6):
            add_zone(core, primary.port)
            wait_soa(core, "NOERROR", 2)
            before = core.dump(zone=ZONE)
            assert before.count("\n") > 20000

            def put():
                try:
                    call(core, "PATCH", PATH, {"kind": "native"})
                except OSError:
                    pass                                    # killed before the reply
            thread = threading.Thread(target=put)
            thread.start()
            time.sleep(pause)
            core.kill()
            thread.join()
            core.start()
            wait_until("the outbox is empty", lambda: core.stat()["records"]["events"] == 0, timeout=60)
            kind = call(core, "GET", PATH)["kind"]
            assert kind in ("native", "secondary") and core.dump(zone=ZONE) == before
            assert not call(core, "POST", PATH + "/rebuild")["changed"]
            call(core, "PATCH", PATH, {"kind": "native"})
            call(core, "PATCH", PATH + "/rrsets", {"rrsets": [{"name": f"own.{ZONE}", "type": "TXT", "ttl": 60, "records": [{"content": '"x"'}]}]})
            assert values(core, f"own.{ZONE}", "TXT") == ['"x"'] and values(core, f"h7.{ZONE}") == ["192.0.2.7"]
            call(core, "DELETE", PATH)
        core.verify()
    finally:
        primary.stop()


def test_an_expired_one_by_the_api_of_powerdns(lab):
    """Its primary is gone for good: what was SERVFAIL is answered again."""
    core = secondary_core(lab, refresh_min="1s", retry_min="1s")
    primary = Script(5, refresh=1, retry=1, expire=4)
    try:
        add_zone(core, primary.port)
        wait_soa(core, "NOERROR", 5)
    finally:
        primary.stop()
    wait_soa(core, "SERVFAIL", None)
    pdns = f"/api/v1/servers/localhost/zones/{ZONE}"
    call(core, "PUT", pdns, {"kind": "Master", "account": "moved"}, want=(204,))
    assert soa(core) == ("NOERROR", 5) and values(core, f"www.{ZONE}") == ["192.0.2.5"]
    zone = call(core, "GET", pdns)
    assert zone["kind"] == "Master" and zone["account"] == "moved"
    call(core, "PATCH", pdns, {"rrsets": [{"name": f"www.{ZONE}", "type": "A", "ttl": 60, "changetype": "REPLACE",
                                           "records": [{"content": "192.0.2.201", "disabled": False}]}]}, want=(204,))
    assert values(core, f"www.{ZONE}") == ["192.0.2.201"]
    core.verify()
