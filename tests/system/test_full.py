"""Whole zones: those of core.zones that never loaded, those that the API makes, imports and removes, a core killed meanwhile."""
import json
import threading
import time
import urllib.error
import urllib.request

import dns.rcode

from lab import API_KEY, HOST, small_zone, wait_until

BAD = "@ 300 IN SOA ns hostmaster 1 2 3 4 5\n@ 300 IN A 192.0.2\n"


def rcode(server, name, rrtype="A"):
    return dns.rcode.to_text(server.ask(name, rrtype).rcode())


def test_configured_zone_without_data_is_servfail(lab):
    """A zone whose file was never good is ours all the same: SERVFAIL, not REFUSED, and not the NXDOMAIN of the zone above."""
    above = lab.zone_file("above.example.", small_zone("above.example.", extra="bad IN NS ns.elsewhere.\nbad IN DS 1 13 2 "
                                                       + "ab" * 32 + "\nx.bad IN A 192.0.2.7\n"))
    bad = lab.zone_file("bad.example.", BAD)
    below = lab.zone_file("bad.above.example.", BAD)
    lost = lab.folder / "no-such-file.zone"
    zones = {"above.example.": above, "bad.example.": bad, "bad.above.example.": below, "lost.example.": lost}
    core = lab.core(zones=zones)
    core.start()
    core.wait_log(r"zones\.done")
    edge = lab.edge("e1", core)
    edge.start()
    server = lab.dns(edge)
    server.start()
    lab.wait_equal([core, edge])
    wait_until("the zones are there", lambda: rcode(server, "www.above.example.") == "NOERROR")
    for name, rrtype in (("bad.example.", "SOA"), ("a.b.bad.example.", "A"), ("bad.example.", "DS"), ("lost.example.", "A"),
                         ("bad.above.example.", "NS"), ("x.bad.above.example.", "A"), ("y.z.bad.above.example.", "TXT")):
        assert rcode(server, name, rrtype) == "SERVFAIL", (name, rrtype)
    assert rcode(server, "none.example.") == "REFUSED"
    assert rcode(server, "none.above.example.") == "NXDOMAIN"
    assert rcode(server, "bad.above.example.", "DS") == "NOERROR"         # the zone above answers for it
    assert "above" in core.dump(zone="above.example.")
    core.verify()
    assert core.stat()["applied"] > 0

    # mended: live; bad again: what it held stays
    lab.zone_file("bad.example.", small_zone("bad.example.", serial=5))
    lab.zone_file("bad.above.example.", small_zone("bad.above.example.", serial=6))
    core.hup()
    server.wait_serial("bad.example.", 5)
    server.wait_serial("bad.above.example.", 6)
    lab.zone_file("bad.example.", BAD)
    mark = core.mark()
    core.hup()
    core.wait_log(r"zones\.done", since=mark)
    assert server.serial("bad.example.") == 5

    # without their lines they go, and the zone above answers again as it would without them
    core.zones = {"above.example.": above}
    core.write_config()
    core.hup()
    wait_until("bad.example. is gone", lambda: rcode(server, "bad.example.", "SOA") == "REFUSED")
    wait_until("lost.example. is gone", lambda: rcode(server, "lost.example.", "SOA") == "REFUSED")
    wait_until("the referral is back", lambda: rcode(server, "x.bad.above.example.") == "NOERROR"
               and len(server.ask("x.bad.above.example.").authority) > 0)
    core.verify()
    edge.verify()


# --- beside the API ----------------------------------------------------------------------------------------------------
def call(core, method, path, body=None):
    """Status and reply. body: text as it is, anything else as JSON."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://{HOST}:{core.ports['api']}{path}", method=method, data=data, headers={"X-API-Key": API_KEY})
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return reply.status, json.loads(reply.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def test_core_zones_and_the_api_do_not_take_from_each_other(lab):
    """A zone with records of its own is not replaced by a file of its name, nor taken away with that line; one of core.zones
    cannot be made, imported or removed through the API."""
    named = lab.zone_file("named.example.", small_zone("named.example."))
    core = lab.core(zones={"named.example.": named}, api=True)
    core.start()
    core.wait_log(r"zones\.done")
    text = small_zone("own.example.", serial=7)
    assert call(core, "POST", "/v1/zones/own.example./import?create=1", text)[0] in (200, 201)
    before = core.dump(zone="own.example.")

    status, reply = call(core, "POST", "/v1/zones/named.example./import?create=1", small_zone("named.example.", serial=9))
    assert status == 409 and "core.zones names this zone" in reply["error"], reply
    status, reply = call(core, "POST", "/v1/zones/named.example./import", small_zone("named.example.", serial=9))
    assert status == 409 and "core.zones" in reply["error"], reply
    status, reply = call(core, "DELETE", "/v1/zones/named.example.")
    assert status == 409 and "SIGHUP" in reply["error"], reply

    core.zones["own.example."] = lab.zone_file("own.example.", small_zone("own.example.", serial=99))
    core.write_config()
    mark = core.mark()
    core.hup()
    core.wait_log(r'zone\.refused.*own\.example.*made through the API', since=mark)
    core.wait_log(r"zones\.done", since=mark)
    assert core.dump(zone="own.example.") == before
    del core.zones["own.example."]
    core.write_config()
    mark = core.mark()
    core.hup()
    core.wait_log(r"zones\.done.*withdrawn=0", since=mark)
    assert core.dump(zone="own.example.") == before

    core.zones["own.example."] = lab.folder / "own.example.zone"
    core.write_config()
    mark = core.mark()
    core.hup()
    core.wait_log(r"zone\.refused.*own\.example", since=mark)
    assert call(core, "DELETE", "/v1/zones/own.example.")[0] in (200, 204)      # its line was refused: it is not of core.zones
    core.zones["own.example."] = lab.zone_file("own.example.", small_zone("own.example.", serial=100))
    core.write_config()
    mark = core.mark()
    core.hup()
    core.wait_log(r"zone\.loaded.*own\.example", since=mark)
    core.verify()


def test_killed_in_an_import(lab):
    """kill -9 at any moment: afterwards the zone is the old or the new one as a whole, in records and store alike, and goes on."""
    core = lab.core(zones={}, api=True, map_size="1G")
    core.start()

    def zone(serial, names):
        return (f"$TTL 300\n@ SOA ns h {serial} 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
                f"$GENERATE 1-{names} h$ TXT v{serial}\n")

    assert call(core, "POST", "/v1/zones/big.example./import?create=1", zone(1, 20000))[0] in (200, 201)
    serial, after = 1, 1
    for pause in (0.02, 0.1, 0.2, 0.4):
        wanted = serial + 1

        def put(wanted=wanted):
            try:
                call(core, "POST", "/v1/zones/big.example./import?force=1", zone(wanted, 20000 + wanted))
            except OSError:
                pass                                # killed before the reply
        thread = threading.Thread(target=put)
        thread.start()
        time.sleep(pause)
        core.kill()
        thread.join()
        core.start()
        wait_until("the outbox is empty", lambda: core.stat()["records"]["events"] == 0, timeout=60)
        status, reply = call(core, "GET", "/v1/zones/big.example.")
        assert status == 200 and reply["serial"] in (serial, wanted), reply
        after = reply["serial"]
        lines = [line for line in core.dump(zone="big.example.").splitlines() if "\tTXT\t" in line or " TXT " in line]
        assert len(lines) == 20000 + (after if after > 1 else 0)
        assert all(f'"v{after}"' in line for line in lines)
        status, reply = call(core, "POST", "/v1/zones/big.example./rebuild")
        assert status == 200 and not reply["changed"], reply            # records and store say the same
        serial = after
    rows = 20000 + (after if after > 1 else 0) + 3
    wait_until("what was written for nothing is swept", lambda: core.stat()["records"]["rrsets"] == rows, timeout=60)
    core.verify()
