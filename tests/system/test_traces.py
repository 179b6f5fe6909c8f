"""Who changed settings and TSIG keys, whatever API they used; and zones that were removed, made again as they were."""
import http.client
import json
import os

from lab import API_KEY, HOST, azoth
from test_api import Api, NEW, api_core, contents

ZONE = "/v1/zones/example.com"
PDNS = "/api/v1/servers/localhost"
SECRET = "c2l4dGVlbiBieXRlcyBvZiBzZWNyZXQgaGVyZQ=="


def pdns(api, method, path, body, status):
    """Not in the document, so past its check."""
    c = http.client.HTTPConnection(HOST, api.core.ports["api"], timeout=60)
    c.request(method, PDNS + path, json.dumps(body) if body is not None else None, {"X-API-Key": api.key})
    reply = c.getresponse()
    text = reply.read().decode()
    c.close()
    assert reply.status == status, f"{method} {path}: {reply.status} {text}"
    return text


def cli_of(core):
    env = {**os.environ, "AZOTH_API": f"http://{HOST}:{core.ports['api']}", "AZOTH_API_KEY": API_KEY}

    def run(*args, code=0):
        done = azoth(*args, code=code, env=env)
        return done.out if code == 0 else done.err
    return run


def settings_of(api, query=""):
    return api.good("GET", f"{ZONE}/log{query}")["settings"]


def test_settings_and_keys_are_told_of(lab):
    core = api_core(lab).start()
    api = Api(core)
    api.good("POST", "/v1/zones", NEW, 201)
    api.good("PATCH", ZONE, {"update_acl": ["192.0.2.0/24"], "account": "ops"})
    api.good("PATCH", ZONE, {"account": "ops"})                                 # nothing moves: no entry
    api.good("PATCH", f"{ZONE}?dry_run=1", {"account": "dry"})
    pdns(api, "PUT", "/zones/example.com.", {"account": "other"}, 204)
    core.kill()
    core.start()                                                                # as durable as what they tell of
    api = Api(core)
    log = settings_of(api)
    assert [(e["via"], e["before"], e["after"]) for e in log[:2]] == [
        ("pdns", {"account": "ops"}, {"account": "other"}),
        ("api", {"account": "", "update_acl": []}, {"account": "ops", "update_acl": ["192.0.2.0/24"]})]
    assert log[2]["before"] is None and log[2]["after"]["kind"] == "native" and len(log) == 3
    assert all(e["name"] == "test" and e["address"] == "127.0.0.1" and e["time"].endswith("Z") for e in log)
    page = api.good("GET", f"{ZONE}/log?limit=2")
    assert len(page["settings"]) == 2 and settings_of(api, f"?before={page['settings_next']}") == log[2:]

    # keys, by both APIs; what is asked for never has a secret in it
    api.good("POST", "/v1/tsig", {"name": "k1", "secret": SECRET}, 201)
    api.good("PUT", "/v1/tsig/k1", {"rights": {"update": [{"zone": "example.com."}]}})
    api.good("PUT", "/v1/tsig/k1", {"secret": SECRET.replace("c2l4", "Y2l4")})
    api.good("PUT", "/v1/tsig/k1", {})                                          # nothing moves
    pdns(api, "POST", "/tsigkeys", {"name": "k2", "algorithm": "hmac-sha256", "key": SECRET}, 201)
    pdns(api, "PUT", "/tsigkeys/k2.", {"name": "k3"}, 200)
    pdns(api, "DELETE", "/tsigkeys/k3.", None, 204)
    api.good("DELETE", "/v1/tsig/k1")
    changes = api.good("GET", "/v1/tsig/log")["changes"]
    assert [(e["key"], e["via"], e["before"] is None, e["after"] is None) for e in reversed(changes)] == [
        ("k1.", "api", True, False), ("k1.", "api", False, False), ("k1.", "api", False, False), ("k2.", "pdns", True, False),
        ("k2.", "pdns", False, True), ("k3.", "pdns", True, False), ("k3.", "pdns", False, True), ("k1.", "api", False, True)]
    of_k1 = api.good("GET", "/v1/tsig/log?name=k1")["changes"]
    assert [e["number"] for e in of_k1] == [e["number"] for e in changes if e["key"] == "k1."]
    assert of_k1[2]["after"]["rights"] == {"update": [{"zone": "example.com."}]} and of_k1[1]["after"]["secret"] == "another"
    assert SECRET not in json.dumps(changes) and "Y2l4" not in json.dumps(changes)
    first = api.good("GET", "/v1/tsig/log?limit=5")
    assert [e["number"] for e in first["changes"] + api.good("GET", f"/v1/tsig/log?before={first['next']}")["changes"]] == \
        [e["number"] for e in changes]
    api.bad(404, "no such key", "GET", "/v1/tsig/log.")                         # a key of that name is another thing
    api.bad(400, "before", "GET", "/v1/tsig/log?before=x")

    cli = cli_of(core)
    out = cli("zone", "log", "example.com")
    assert 'account: "ops" -> "other"' in out and 'update_acl: [] -> ["192.0.2.0/24"]' in out and "made" in out
    assert sum("settings" in line for line in out.splitlines()) == 3
    out = cli("tsig", "log")
    assert 'rights: {} -> {"update":[{"zone":"example.com."}]}' in out and "removed" in out and SECRET not in out
    assert len(cli("tsig", "log", "k1", "--limit", "2").splitlines()) == 3


def test_removed_and_made_again(lab):
    core = api_core(lab).start()
    api = Api(core)
    api.good("POST", "/v1/zones", NEW, 201)
    api.good("PATCH", ZONE, {"account": "ops", "serial_policy": "unixtime", "update_acl": ["192.0.2.0/24"]})
    was = api.good("PUT", f"{ZONE}/rrsets/www/A", {"ttl": 300, "records": [{"content": "192.0.2.81"}]})
    api.good("PUT", f"{ZONE}/rrsets/www/A", {"ttl": 300, "records": [{"content": "192.0.2.82"}]})
    before = api.good("GET", ZONE)
    records = api.good("GET", f"{ZONE}/export")
    gone = api.good("DELETE", ZONE)
    api.bad(404, "no such zone", "GET", ZONE)
    api.bad(404, "no such zone", "POST", f"{ZONE}/rollback", {"to": gone["seq"]})           # it was not there then
    api.bad(404, "no such zone", "POST", "/v1/zones/never.test/rollback", {"to": was["seq"]})

    cli = cli_of(core)
    out = cli("zone", "diff", "example.com", str(gone["seq"]))
    assert "- www.example.com." in out and "192.0.2.82" in out and "192.0.2.81" not in out
    planned = api.good("POST", f"{ZONE}/rollback?dry_run=1", {"to": was["seq"]})
    assert planned["dry_run"] and {d["type"] for d in planned["differences"]} == {"SOA", "NS", "A"}
    api.bad(404, "no such zone", "GET", ZONE)
    core.kill()
    core.start()
    api = Api(core)
    out = cli("zone", "rollback", "example.com", "--to", str(was["seq"]), "--yes")
    again = api.good("GET", ZONE)
    moving = ("serial", "created", "edited", "seq", "epoch")
    assert {k: v for k, v in again.items() if k not in moving} == {k: v for k, v in before.items() if k not in moving}
    assert again["serial"] > before["serial"]                   # whoever had the zone before takes it as newer
    assert contents(api.good("GET", f"{ZONE}/rrsets/www/A")) == ["192.0.2.81"]
    assert records.count("\n") == api.good("GET", f"{ZONE}/export").count("\n")
    log = api.good("GET", f"{ZONE}/log")
    assert log["changes"][0]["via"] == "rollback" and log["settings"][0]["via"] == "rollback" and log["settings"][1]["after"] is None
    api.bad(410, "made the zone anew", "POST", f"{ZONE}/rollback", {"to": was["seq"]})      # there is a zone of that name again


def test_log_with_records(lab):
    core = api_core(lab).start()
    api = Api(core)
    made = api.good("POST", "/v1/zones", NEW, 201)
    one = api.good("PUT", f"{ZONE}/rrsets/www/A", {"ttl": 300, "records": [{"content": "192.0.2.81"}]})
    two = api.good("DELETE", f"{ZONE}/rrsets/www/A?force=1")
    cli = cli_of(core)
    out = cli("zone", "log", "example.com", "--records").splitlines()
    at = [i for i, line in enumerate(out) if line.startswith("20")]
    assert f".{two['seq']}" in out[at[0]] and any(line.startswith("- www.example.com. 300 IN A 192.0.2.81") for line in out[at[0]:at[1]])
    assert f".{one['seq']}" in out[at[1]] and any(line.startswith("+ www.example.com. 300 IN A 192.0.2.81") for line in out[at[1]:at[2]])
    entries = [json.loads(line) for line in cli("--json", "zone", "log", "example.com", "--records").splitlines()]
    assert [d["type"] for d in entries[0]["differences"]] == ["SOA", "A"] and entries[2]["whole"] and "differences" not in entries[2]
    shown = cli("zone", "diff", "example.com", str(one["seq"]))
    assert "+ www.example.com. 300 IN A 192.0.2.81" in shown and "- www.example.com. 300 IN A 192.0.2.80" in shown
    assert cli("zone", "diff", "example.com", f"{one['epoch']}.{one['seq']}") == shown
    assert "zone diff: NAME SEQ shows one change" in cli("zone", "diff", "example.com", code=1)
    assert "zone diff: NAME SEQ shows one change" in cli("zone", "diff", "example.com", "3", "--from", "2", code=1)
    assert "made the zone anew" in cli("zone", "diff", "example.com", str(made["seq"]), code=None)


def test_metadata_that_means_something(lab):
    """What pdns_server acts on does here what it does there: who may take the zone, who is told of changes."""
    core = api_core(lab).start()
    api = Api(core)
    api.good("POST", "/v1/zones", {**NEW, "transfer_acl": ["key:mine."], "notify": ["192.0.2.9"]}, 201)
    pdns(api, "POST", "/tsigkeys", {"name": "k", "algorithm": "hmac-sha256", "key": SECRET}, 201)
    rows = [
        ("networks join the keys", "POST", "/metadata", {"kind": "ALLOW-AXFR-FROM", "metadata": ["192.0.2.0/24", "AUTO-NS", "no address"]}, 201,
         ["key:mine.", "192.0.2.0/24"], ["192.0.2.9"]),
        ("more of them", "POST", "/metadata", {"kind": "ALLOW-AXFR-FROM", "metadata": ["2001:db8::1"]}, 201,
         ["key:mine.", "192.0.2.0/24", "2001:db8::1"], ["192.0.2.9"]),
        ("others in their place", "PUT", "/metadata/ALLOW-AXFR-FROM", {"metadata": ["10.0.0.0/8"]}, 200, ["key:mine.", "10.0.0.0/8"], ["192.0.2.9"]),
        ("keys take the place of keys", "PUT", "", {"master_tsig_key_ids": ["k."]}, 204, ["10.0.0.0/8", "key:k."], ["192.0.2.9"]),
        ("who is told", "PUT", "/metadata/ALSO-NOTIFY", {"metadata": ["192.0.2.1:5300", "[2001:db8::2]:53", "198.51.100.1", "x"]}, 200,
         ["10.0.0.0/8", "key:k."], ["192.0.2.1@5300", "2001:db8::2", "198.51.100.1"]),
        ("a key that an address has stays", "PUT", "/metadata/ALSO-NOTIFY", {"metadata": ["198.51.100.2", "198.51.100.1"]}, 200,
         ["10.0.0.0/8", "key:k."], ["198.51.100.2", "198.51.100.1 key:k."]),
        ("one more is told, who was told before stays", "POST", "/metadata", {"kind": "ALSO-NOTIFY", "metadata": ["198.51.100.3"]}, 201,
         ["10.0.0.0/8", "key:k."], ["198.51.100.9@53 key:k.", "198.51.100.8@5300", "198.51.100.3"]),
        ("one more may take it", "POST", "/metadata", {"kind": "ALLOW-AXFR-FROM", "metadata": ["11.0.0.0/8"]}, 201,
         ["key:k.", "12.0.0.0/8", "10.0.0.0/8", "11.0.0.0/8"], ["198.51.100.9@53 key:k.", "198.51.100.8@5300", "198.51.100.3"]),
        ("nobody", "DELETE", "/metadata/ALSO-NOTIFY", None, 200, ["key:k.", "12.0.0.0/8", "10.0.0.0/8", "11.0.0.0/8"], []),
        ("no network", "DELETE", "/metadata/ALLOW-AXFR-FROM", None, 200, ["key:k."], []),
        ("what is only kept", "PUT", "/metadata/X-ALSO-NOTIFY", {"metadata": ["192.0.2.1"]}, 200, ["key:k."], []),
    ]
    for why, method, path, body, status, acl, notify in rows:
        if why.startswith("a key that"):
            api.good("PATCH", ZONE, {"notify": ["198.51.100.1 key:k."]})
        if why.startswith("one more is"):                           # not by this API
            pdns(api, "DELETE", "/zones/example.com./metadata/ALSO-NOTIFY", None, 200)
            api.good("PATCH", ZONE, {"notify": ["198.51.100.9@53 key:k.", "198.51.100.8@5300"]})
        if why.startswith("one more may"):
            api.good("PATCH", ZONE, {"transfer_acl": ["10.0.0.0/8", "12.0.0.0/8", "key:k."]})
        pdns(api, method, f"/zones/example.com.{path}", body, status)
        zone = api.good("GET", ZONE)
        assert (zone["transfer_acl"], zone["notify"]) == (acl, notify), why
    assert "AUTO-NS" not in json.dumps(zone)
    pdns(api, "PUT", "/zones/example.com./metadata/ALLOW-AXFR-FROM", {"metadata": [f"10.0.{i}.0/24" for i in range(65)]}, 422)
