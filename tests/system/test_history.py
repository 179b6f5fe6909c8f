"""Who changed what: the journal behind /v1/zones/NAME/log, diff and rollback, whoever made the change, and what is left of
it after kill -9, SIGHUP, a lost log and a restored backup."""
import shutil
import threading

from lab import wait_until
from test_api import Api, NEW, api_core, contents

ZONE = "/v1/zones/example.com"
FILE = "$TTL 300\n@ SOA ns h {} 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.{}\n"


def history(api, zone=ZONE, query=""):
    return api.good("GET", f"{zone}/log{query}")["changes"]


def addresses(api, owner="www"):
    reply = api.ask("GET", f"{ZONE}/rrsets/{owner}/A")
    return sorted(contents(reply.json())) if reply.status == 200 else None


def set_address(api, address, owner="www"):
    return api.good("PUT", f"{ZONE}/rrsets/{owner}/A", {"ttl": 300, "records": [{"content": address}]})


def test_log_diff_and_rollback(lab):
    core = api_core(lab).start()
    api = Api(core)
    made = api.good("POST", "/v1/zones", NEW, 201)
    first = set_address(api, "192.0.2.81")
    second = set_address(api, "192.0.2.82")
    third = api.good("PATCH", f"{ZONE}/rrsets?force=1", {"rrsets": [
        {"name": "new", "type": "TXT", "ttl": 60, "records": [{"content": '"x"'}]}, {"name": "ns1", "type": "A", "change": "delete"}]})
    api.good("PUT", f"{ZONE}/rrsets/www/A?dry_run=1", {"ttl": 300, "records": [{"content": "192.0.2.99"}]})

    log = history(api)
    assert [e["seq"] for e in log] == [third["seq"], second["seq"], first["seq"], made["seq"]]
    assert [e["whole"] for e in log] == [False, False, False, True]
    assert [(e["serial_before"], e["serial_after"]) for e in log[:2]] == [(second["serial"], third["serial"]), (first["serial"], second["serial"])]
    assert all(e["via"] == "api" and e["name"] == "test" and e["address"] == "127.0.0.1" and e["epoch"] == third["epoch"] for e in log)
    assert log[0]["forced"] and not log[1]["forced"]
    assert (log[0]["added"], log[0]["removed"]) == (2, 2) and (log[1]["added"], log[1]["removed"]) == (2, 2)     # the SOA counts
    assert log[0]["time"] >= log[1]["time"] and log[0]["time"].endswith("Z")
    page = api.good("GET", f"{ZONE}/log?limit=2")
    assert [e["seq"] for e in page["changes"]] == [third["seq"], second["seq"]] and page["next"] == first["seq"]
    assert [e["seq"] for e in history(api, query=f"?to={page['next']}")] == [first["seq"], made["seq"]]
    assert [e["seq"] for e in history(api, query=f"?from={second['seq']}&to={second['seq']}")] == [second["seq"]]

    diff = api.good("GET", f"{ZONE}/diff?from={first['seq']}")
    assert diff["to"] == third["seq"] and not diff["cut"]
    by = {(d["name"], d["type"]): d for d in diff["differences"]}
    assert set(by) == {("example.com.", "SOA"), ("new.example.com.", "TXT"), ("ns1.example.com.", "A"), ("www.example.com.", "A")}
    www = by["www.example.com.", "A"]
    assert www["before"]["records"] == ["192.0.2.81"] and www["after"]["records"] == ["192.0.2.82"]
    assert by["new.example.com.", "TXT"]["before"] is None and by["ns1.example.com.", "A"]["after"] is None
    one = api.good("GET", f"{ZONE}/diff?from={first['seq']}&to={second['seq']}")
    assert [d["type"] for d in one["differences"]] == ["SOA", "A"]

    planned = api.good("POST", f"{ZONE}/rollback?dry_run=1", {"to": first["seq"]})
    assert planned["dry_run"] and len(planned["differences"]) == 4 and addresses(api) == ["192.0.2.82"]
    back = api.good("POST", f"{ZONE}/rollback", {"to": first["seq"]})
    assert back["changed"] and back["serial"] > third["serial"]
    assert addresses(api) == ["192.0.2.81"] and addresses(api, "ns1") == ["192.0.2.1"]
    assert api.ask("GET", f"{ZONE}/rrsets/new/TXT").status == 404
    assert history(api)[0]["via"] == "rollback" and history(api)[0]["name"] == "test"
    again = api.good("POST", f"{ZONE}/rollback", {"to": third["seq"]})      # a roll-back can be taken back like any change
    assert again["serial"] > back["serial"] and addresses(api) == ["192.0.2.82"] and addresses(api, "ns1") is None
    unchanged = api.good("POST", f"{ZONE}/rollback", {"to": again["seq"]})
    assert not unchanged["changed"] and unchanged["serial"] == again["serial"]

    api.bad(410, rf"seq {made['seq']} ", "POST", f"{ZONE}/rollback", {"to": made["seq"] - 1})
    api.bad(410, rf"seq {made['seq']} ", "GET", f"{ZONE}/diff?from=0")
    api.bad(400, "not above", "GET", f"{ZONE}/diff?from=1&to=100000")
    api.bad(400, "not above", "POST", f"{ZONE}/rollback", {"to": 100000})
    api.bad(400, "from is missing", "GET", f"{ZONE}/diff")
    api.bad(400, "seq of a change", "GET", f"{ZONE}/diff?from=x")
    api.bad(400, "limit", "GET", f"{ZONE}/log?limit=0")
    for body in ({}, {"to": "1"}, {"to": -1}, {"to": 1, "and": 2}):
        api.bad(400, '"to": SEQ', "POST", f"{ZONE}/rollback", body)
    api.bad(404, "no such zone", "GET", "/v1/zones/example.org/log")
    api.bad(404, "no such zone", "GET", "/v1/zones/example.org/diff?from=1")
    api.bad(404, "no such zone", "POST", "/v1/zones/example.org/rollback", {"to": 1})
    api.bad(412, "", "POST", f"{ZONE}/rollback?if_serial=1", {"to": first["seq"]})
    core.verify()

    api.good("DELETE", ZONE)                        # its history can still be read
    assert history(api)[0]["serial_after"] == 0 and len(history(api)) == 7
    api.bad(404, "no such zone", "POST", f"{ZONE}/rollback", {"to": history(api)[0]["seq"]})        # what made it be gone
    gone = api.good("GET", f"{ZONE}/diff?from={again['seq']}")      # so can what went with it
    assert gone["removed"] == history(api)[0]["removed"] > 3 and gone["added"] == 0 and all(d["after"] is None for d in gone["differences"])


def test_every_way_in(lab):
    """A zone file offline, at start, at SIGHUP, and its line gone."""
    path = lab.zone_file("z", FILE.format(1, 1))
    core = api_core(lab, zones={"example.net.": path})
    core.load(f"example.net.={path}")
    lab.zone_file("z", FILE.format(2, 2))
    core.start()
    api = Api(core)
    zone = "/v1/zones/example.net"
    lab.zone_file("z", FILE.format(3, 3))
    core.hup()
    wait_until("the third is loaded", lambda: len(history(api, zone)) == 3)
    log = history(api, zone)
    assert [(e["via"], e["serial_before"], e["serial_after"], e["whole"]) for e in log] == [
        ("file", 2, 3, False), ("file", 1, 2, False), ("offline", 0, 1, True)]
    diff = api.good("GET", f"{zone}/diff?from={log[2]['seq']}&to={log[0]['seq']}")
    www = [d for d in diff["differences"] if d["type"] == "A"]
    assert len(www) == 1 and www[0]["before"]["records"] == ["192.0.2.1"] and www[0]["after"]["records"] == ["192.0.2.3"]
    api.bad(409, "file", "POST", f"{zone}/rollback", {"to": log[1]["seq"]})
    core.zones.clear()
    core.write_config()
    core.hup()
    wait_until("it is withdrawn", lambda: len(history(api, zone)) == 4)
    assert history(api, zone)[0]["removed"] == 4 and history(api, zone)[0]["serial_after"] == 0


def test_killed_and_restarted(lab):
    """What was told is in the history after kill -9, and nothing else is."""
    core = api_core(lab).start()
    made = Api(core).good("POST", "/v1/zones", NEW, 201)
    told = {made["seq"]: None}

    def change(api, n):
        try:
            for i in range(10000):
                got = set_address(api, f"192.0.2.{1 + (n * 50 + i) % 250}", f"h{n}-{i % 20}")
                told[got["seq"]] = got["serial"]
        except Exception:                           # the core is gone
            return
    for _ in range(3):
        threads = [threading.Thread(target=change, args=(Api(core), n)) for n in range(3)]
        for t in threads:
            t.start()
        before = len(told)
        wait_until("some changes", lambda: len(told) > before + 30)
        core.kill()
        for t in threads:
            t.join()
        core.start()
    api = Api(core)
    log, query = [], "?limit=1000"
    while query is not None:
        page = api.good("GET", f"{ZONE}/log{query}")
        log += page["changes"]
        query = f"?limit=1000&to={page['next']}" if "next" in page else None
    seqs = [e["seq"] for e in log]
    assert seqs == sorted(set(seqs), reverse=True) and set(told) <= set(seqs)
    assert all(a["serial_before"] == b["serial_after"] for a, b in zip(log, log[1:]))
    assert log[0]["serial_after"] == api.good("GET", ZONE)["serial"]
    api.good("POST", f"{ZONE}/rollback", {"to": log[-2]["seq"]})
    names = {r["name"] for r in api.good("GET", f"{ZONE}/rrsets")["rrsets"] if r["name"].startswith("h")}
    first = api.good("GET", f"{ZONE}/diff?from={log[-1]['seq']}&to={log[-2]['seq']}")["differences"]
    assert names == {d["name"] for d in first if d["type"] == "A"} and 1 <= len(names) <= 3
    core.verify()


def test_limits_follow_the_configuration(lab):
    core = api_core(lab).start()
    api = Api(core)
    api.good("POST", "/v1/zones", NEW, 201)
    for i in range(60):
        api.good("PUT", f"{ZONE}/rrsets/big/TXT", {"ttl": 60, "records": [
            {"content": " ".join(f'"{i:03d}-{n:03d}-{"x" * 200}"' for n in range(40))}]})
    assert len(history(api)) == 61
    core.settings["core"] = {"journal": {"age": "1h", "size": "400k"}}
    core.write_config()
    core.hup()
    wait_until("the oldest are gone", lambda: len(history(api)) < 50, 40)
    page = api.good("GET", f"{ZONE}/log")
    oldest = page["changes"][-1]["seq"]
    assert len(page["changes"]) > 5 and page["complete_from"] == oldest
    api.bad(410, rf"reaches back to the state behind seq {oldest - 1}", "GET", f"{ZONE}/diff?from={oldest - 2}")
    assert len(api.good("GET", f"{ZONE}/diff?from={oldest - 1}")["differences"]) == 2
    wait_until("the figures", lambda: core.metric("azoth_core_journal_entries") == len(history(api)), 40)
    assert core.metric("azoth_core_journal_bytes") <= 400 * 1024


def test_lost_log_and_restored_backup(lab):
    """What led to the state that is there can still be read; nobody steps over the break."""
    core = api_core(lab).start()
    api = Api(core)
    api.good("POST", "/v1/zones", NEW, 201)
    first = set_address(api, "192.0.2.81")
    second = set_address(api, "192.0.2.82")
    core.stop()
    backup = lab.folder / "backup"
    core.azoth("backup", str(backup))
    core.start()
    api = Api(core)
    later = set_address(api, "192.0.2.83")
    core.stop()
    core.azoth("restore", "--replace", str(backup))
    core.start()
    api = Api(core)
    assert addresses(api) == ["192.0.2.82"]
    after = set_address(api, "192.0.2.84")
    assert after["epoch"] == later["epoch"] + 1
    log = history(api)
    assert [(e["epoch"], e["seq"]) for e in log][:3] == [(after["epoch"], after["seq"]), (second["epoch"], second["seq"]), (first["epoch"], first["seq"])]
    api.bad(410, "reaches back", "POST", f"{ZONE}/rollback", {"to": first["seq"]})
    api.good("POST", f"{ZONE}/rollback", {"to": after["seq"] - 1})
    assert addresses(api) == ["192.0.2.82"]
    core.stop()
    shutil.rmtree(core.dir / "log")                 # with the journal in it
    core.start()
    api = Api(core)
    assert addresses(api) == ["192.0.2.82"]
    api.bad(410, "empty", "GET", f"{ZONE}/diff?from={after['seq']}")
    last = set_address(api, "192.0.2.85")
    assert len(history(api)) == 1
    api.good("POST", f"{ZONE}/rollback", {"to": last["seq"] - 1})
    assert addresses(api) == ["192.0.2.82"]
    core.verify()
