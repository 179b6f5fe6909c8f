"""The native API, /v1, on a running azoth-core: zones, RRsets, keys, changes that wait for edges, and what must not go wrong.

All that doc/openapi.yaml says is asked for, and every reply is compared with it."""
import concurrent.futures
import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import yaml

import lab as laboratory
from lab import API_KEY, HOST, wait_until

RO_KEY = "a-key-of-these-tests-that-reads"


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


# --- the document -------------------------------------------------------------------------------------------------------
class Document:
    """doc/openapi.yaml, and what was asked of it."""

    def __init__(self):
        self.all = yaml.safe_load((laboratory.TOP / "doc" / "openapi.yaml").read_text())
        self.asked = set()

    def look(self, o):
        while "$ref" in o:
            at = self.all
            for step in o["$ref"].removeprefix("#/").split("/"):
                at = at[step]
            o = at
        return o

    def operations(self):
        return {(method.upper(), path) for path, o in self.all["paths"].items() for method in o if method != "parameters"}

    def find(self, path):
        for pattern in self.all["paths"]:
            if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern)), path.split("?")[0]):
                return pattern
        return None

    def check(self, method, path, reply):
        pattern = self.find(path)
        operation = self.all["paths"][pattern].get(method.lower()) if pattern else None
        if operation is None:
            assert reply.status in (400, 401, 403, 404, 405), f"{method} {path}: not in the document, {reply}"
            return
        if reply.status < 300:
            self.asked.add((method, pattern))
            known = {self.look(p)["name"] for p in operation.get("parameters", [])}
            asked = {p.split("=")[0] for p in path.partition("?")[2].split("&") if p}
            assert asked <= known, f"{method} {path}: the document has no parameter {asked - known}"
        said = operation["responses"].get(str(reply.status)) or (operation["responses"]["default"] if reply.status >= 400 else None)
        assert said, f"{method} {path}: the document has no {reply.status}"
        kind = reply.headers["Content-Type"]
        content = self.look(said)["content"]
        assert kind in content, f"{method} {path}: {kind} is not in the document"
        if kind == "application/json":
            self.fits(self.look(content[kind]["schema"]), reply.json(), f"{method} {path}")

    def fits(self, schema, v, where):
        schema = self.look(schema)
        if v is None and schema.get("nullable"):
            return
        kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
        assert isinstance(v, kinds[schema["type"]]) and (schema["type"] == "boolean" or not isinstance(v, bool)), f"{where}: {v!r}"
        assert v in schema.get("enum", [v]), f"{where}: {v!r}"
        for item in v if schema["type"] == "array" else []:
            self.fits(schema["items"], item, f"{where}[]")
        if schema["type"] == "object":
            missing = set(schema.get("required", [])) - set(v)
            assert not missing, f"{where}: {missing} is not there: {v}"
            for name, member in v.items() if "properties" in schema else []:
                assert name in schema["properties"], f"{where}: '{name}' is not in the document"
                self.fits(schema["properties"][name], member, f"{where}.{name}")


DOCUMENT = Document()


class Api:
    """One client on one connection. Every reply is compared with the document."""

    def __init__(self, core, key=API_KEY):
        self.core, self.key, self.connection = core, key, None

    def ask(self, method, path, body=None, key=None, **headers):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(HOST, self.core.ports["api"], timeout=60)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        try:
            self.connection.request(method, path, body, {"X-API-Key": key or self.key, **headers})
            reply = Reply(self.connection.getresponse())
        except (http.client.HTTPException, OSError):
            self.connection.close()
            self.connection = None
            raise
        DOCUMENT.check(method, path, reply)
        return reply

    def good(self, method, path, body=None, status=200):
        reply = self.ask(method, path, body)
        assert reply.status == status, f"{method} {path}: {reply}"
        return reply.json() if reply.headers["Content-Type"] == "application/json" else reply.body.decode()

    def bad(self, status, text, method, path, body=None, **more):
        reply = self.ask(method, path, body, **more)
        assert reply.status == status and re.search(text, reply.json()["error"]), f"{method} {path}: {reply}, not {status} {text}"
        return reply.json()


def api_core(lab, **settings):
    core = lab.core(api=True, **settings)
    key_file = lab.folder / "core.api.key"
    key_file.write_text(key_file.read_text() + f"{RO_KEY} ro reader\n")
    return core


NEW = {"name": "example.com", "nameservers": ["ns1", "ns.example.net."],
       "rrsets": [{"name": "ns1", "type": "A", "records": [{"content": "192.0.2.1"}]},
                  {"name": "www", "type": "A", "ttl": 300, "records": [{"content": "192.0.2.80"}]}]}


def contents(rrset):
    return [r["content"] for r in rrset["records"]]


# --- what it is for -----------------------------------------------------------------------------------------------------
def test_zones_and_rrsets(lab):
    core = api_core(lab).start()
    api = Api(core)
    api.good("POST", "/v1/zones", {"name": "stays.test", "nameservers": ["ns"], "rrsets": NEW["rrsets"][:0]}, 201)
    edge = lab.edge("edge-1", core).start()         # an edge without data is not ready
    dns = lab.dns(edge).start()
    made = api.good("POST", "/v1/zones?wait=100%25&timeout=30s", NEW, 201)
    assert made["changed"] and made["done"] and made["have"] == made["need"] == 1 and made["missing"] == []
    assert dns.values("www.example.com.", "A") == ["192.0.2.80"]
    assert dns.serial("example.com.") == made["serial"]

    zone = api.good("GET", "/v1/zones/example.com")
    assert (zone["name"], zone["kind"], zone["state"], zone["serial"]) == ("example.com.", "native", "live", made["serial"])
    rrsets = {(r["name"], r["type"]): r for r in api.good("GET", "/v1/zones/example.com./rrsets")["rrsets"]}
    assert set(rrsets) == {("example.com.", "SOA"), ("example.com.", "NS"), ("ns1.example.com.", "A"), ("www.example.com.", "A")}
    assert sorted(contents(rrsets["example.com.", "NS"])) == ["ns.example.net.", "ns1.example.com."]
    soa = contents(rrsets["example.com.", "SOA"])[0].split()
    assert soa[:2] == ["ns1.example.com.", "hostmaster.example.com."] and soa[3:] == ["10800", "3600", "604800", "3600"]

    # several at once; a disabled record and a comment are kept, and not published
    change = {"rrsets": [
        {"name": "www", "type": "A", "change": "add", "records": [{"content": "192.0.2.81"}]},
        {"name": "mail.example.com.", "type": "MX", "ttl": 60, "records": [{"content": "10 mx"}, {"content": "20 mx2", "disabled": True}],
         "comments": [{"content": "moved on Monday", "account": "ops"}]},
        {"name": "@", "type": "TXT", "records": [{"content": "\"v=spf1; -all\""}]}]}
    patched = api.good("PATCH", "/v1/zones/example.com/rrsets?wait=100&timeout=30s", change)
    assert patched["done"] and patched["serial"] > made["serial"] and patched["seq"] > made["seq"]
    assert sorted(dns.values("www.example.com.", "A")) == ["192.0.2.80", "192.0.2.81"]
    assert dns.values("mail.example.com.", "MX") == ["10 mx.example.com."]
    mail = api.good("GET", "/v1/zones/example.com/rrsets/mail/MX")
    assert mail["ttl"] == 60 and [(r["content"], r["disabled"]) for r in mail["records"]] == \
        [("10 mx.example.com.", False), ("20 mx2.example.com.", True)]
    assert mail["comments"][0]["content"] == "moved on Monday" and mail["comments"][0]["modified_at"] > 1600000000
    assert api.good("GET", "/v1/zones/example.com/rrsets?name=www&type=A")["rrsets"][0]["ttl"] == 300, "the TTL stays"

    # a record goes, an RRset comes by PUT, one goes by DELETE
    api.good("PATCH", "/v1/zones/example.com/rrsets",
             {"rrsets": [{"name": "www", "type": "A", "change": "remove", "records": [{"content": "192.0.2.80"}]}]})
    api.good("PUT", "/v1/zones/example.com/rrsets/v6.example.com./aaaa", {"ttl": 5, "records": [{"content": "2001:db8::1"}]})
    gone = api.good("DELETE", "/v1/zones/example.com/rrsets/mail/MX?wait=100%25")
    assert dns.values("www.example.com.", "A") == ["192.0.2.81"] and dns.values("v6.example.com.", "AAAA") == ["2001:db8::1"]
    api.bad(404, "no such RRset", "GET", "/v1/zones/example.com/rrsets/mail/MX")
    api.bad(404, "no such RRset", "DELETE", "/v1/zones/example.com/rrsets/mail/MX")

    # what would happen, and only if
    dry = api.good("PATCH", "/v1/zones/example.com/rrsets?dry_run=1",
                   {"rrsets": [{"name": "www", "type": "A", "ttl": 300, "records": [{"content": "192.0.2.99"}]}]})
    www = [d for d in dry["differences"] if d["type"] == "A"]
    assert dry["dry_run"] and www == [{"name": "www.example.com.", "type": "A", "before": {"ttl": 300, "records": ["192.0.2.81"]},
                                       "after": {"ttl": 300, "records": ["192.0.2.99"]}}]
    assert api.good("GET", "/v1/zones/example.com")["serial"] == gone["serial"]
    same = {"rrsets": [{"name": "www", "type": "A", "ttl": 301, "records": [{"content": "192.0.2.81"}]}]}
    api.bad(412, "serial", "PATCH", f"/v1/zones/example.com/rrsets?if_serial={gone['serial'] - 1}", same)
    assert api.good("PATCH", f"/v1/zones/example.com/rrsets?if_serial={gone['serial']}", same)["changed"]
    assert not api.good("PATCH", "/v1/zones/example.com/rrsets", same)["changed"]

    # settings
    api.good("PATCH", "/v1/zones/example.com", {"serial_policy": "date", "account": "ops"})
    zone = api.good("GET", "/v1/zones/example.com")
    assert zone["serial_policy"] == "date" and zone["account"] == "ops"
    later = api.good("PUT", "/v1/zones/example.com/rrsets/x/A", {"records": [{"content": "192.0.2.5"}]})
    assert later["serial"] > 2026000000

    # export is what import takes; the list has it; removal takes it away from the edge too
    text = api.good("GET", "/v1/zones/example.com/export")
    assert laboratory.normal_records(text, folder=lab.folder) == laboratory.normal_records("\n".join(core.dump("example.com.").splitlines()), folder=lab.folder)
    assert not api.good("POST", "/v1/zones/example.com/import", text)["changed"]
    more = api.good("POST", "/v1/zones/example.com/import?wait=100%25", text + "imported 60 IN A 192.0.2.7\n")
    assert more["changed"] and dns.values("imported.example.com.", "A") == ["192.0.2.7"]
    api.good("POST", "/v1/zones/example.com/rebuild")
    assert [z["name"] for z in api.good("GET", "/v1/zones")["zones"]] == ["example.com.", "stays.test."]
    api.good("DELETE", "/v1/zones/example.com?wait=100%25")
    assert dns.ask("www.example.com.", "A").rcode() == 5
    api.bad(404, "no such zone", "GET", "/v1/zones/example.com")
    lab.wait_equal([core, edge])


def test_lists_come_in_pages(lab):
    core = api_core(lab).start()
    api = Api(core)
    names = sorted(f"z{i:02}.example." for i in range(7))
    for name in names:
        api.good("POST", "/v1/zones", {"name": name, "nameservers": ["ns.example.net."]}, 201)
    api.good("POST", "/v1/zones", {"name": "other.test", "kind": "secondary"}, 201)

    def pages(path, key, limit):
        got, after = [], ""
        while after is not None:
            page = api.good("GET", f"{path}{'&' if '?' in path else '?'}limit={limit}" + (f"&after={urllib.parse.quote(after)}" if after else ""))
            assert len(page[key]) <= limit + 2
            got += page[key]
            after = page["next"]
        return got
    assert [z["name"] for z in pages("/v1/zones", "zones", 3)] == names + ["other.test."]
    assert [z["name"] for z in pages("/v1/zones?kind=native", "zones", 2)] == names
    assert [(z["name"], z["state"]) for z in pages("/v1/zones?kind=secondary", "zones", 2)] == [("other.test.", "empty")]
    rrsets = [{"name": f"h{i:03}", "type": "A", "records": [{"content": f"192.0.2.{i}"}]} for i in range(100)]
    api.good("PATCH", "/v1/zones/z00.example/rrsets", {"rrsets": rrsets})
    got = [r["name"] for r in pages("/v1/zones/z00.example/rrsets", "rrsets", 9)]
    assert got == ["z00.example."] * 2 + [f"h{i:03}.z00.example." for i in range(100)]
    assert len(pages("/v1/zones/z00.example/rrsets?type=A", "rrsets", 9)) == 100


def test_keys_for_tsig(lab):
    core = api_core(lab).start()
    api = Api(core)
    rights = {"update": [{"zone": "example.com.", "types": ["A", "TXT"]}]}
    made = api.good("POST", "/v1/tsig", {"name": "Up.Example", "rights": rights}, 201)
    assert (made["name"], made["algorithm"], len(made["secret"]), made["rights"]) == ("up.example.", "hmac-sha256", 44, rights)
    api.bad(409, "there is such a key", "POST", "/v1/tsig", {"name": "up.example."})
    assert api.good("GET", "/v1/tsig/up.example") == made
    assert "secret" not in api.ask("GET", "/v1/tsig/up.example", key=RO_KEY).json()
    other = api.good("PUT", "/v1/tsig/up.example", {"algorithm": "hmac-sha512"})
    assert other["secret"] == made["secret"] and other["algorithm"] == "hmac-sha512"
    core.stop()
    core.start()
    api = Api(core)
    assert api.good("GET", "/v1/tsig") == {"keys": [{"name": "up.example.", "algorithm": "hmac-sha512", "rights": rights}], "next": None}
    api.good("DELETE", "/v1/tsig/up.example")
    api.bad(404, "no such key", "DELETE", "/v1/tsig/up.example")
    assert made["secret"] not in core.log()


# --- what must not go wrong ----------------------------------------------------------------------------------------------
def refused(api):
    """Requests that are answered with an error, and why."""
    rr = "/v1/zones/example.com/rrsets"
    one = {"name": "a", "type": "A", "records": [{"content": "192.0.2.1"}]}

    def patch(**members):
        return {"rrsets": [{**one, **members}]}
    return [
        (400, "no JSON", "PATCH", rr, "{"),
        (400, "no JSON object", "PATCH", rr, "[]"),
        (400, "body is", "PATCH", rr, {"rrsets": {}}),
        (400, "no RRset is given", "PATCH", rr, {"rrsets": []}),
        (400, "an object", "PATCH", rr, {"rrsets": [1]}),
        (400, "change is", "PATCH", rr, patch(change="put")),
        (400, "unknown member 'colour'", "PATCH", rr, patch(colour="red")),
        (422, "name is missing", "PATCH", rr, patch(name=7)),
        (422, "not a domain name", "PATCH", rr, patch(name="x" * 64)),
        (422, "not a domain name", "PATCH", rr, patch(name=".".join(["x" * 60] * 5))),
        (422, "not in the zone", "PATCH", rr, patch(name="a.example.net.")),
        (422, "type 'AXFR' is not known, or no zone", "PATCH", rr, patch(type="AXFR")),
        (422, "ttl is a number", "PATCH", rr, patch(ttl=2 ** 31)),
        (422, "ttl is a number", "PATCH", rr, patch(ttl="1h")),
        (422, "300.0.0.1", "PATCH", rr, patch(records=[{"content": "300.0.0.1"}])),
        (422, "content is missing", "PATCH", rr, patch(records=[{}])),
        (422, "unknown member 'set-ptr'", "PATCH", rr, patch(records=[{"content": "192.0.2.1", "set-ptr": True}])),
        (422, "would begin a comment", "PATCH", rr, patch(type="TXT", records=[{"content": "v=DKIM1; k=rsa"}])),
        (422, "quote that does not end", "PATCH", rr, patch(type="TXT", records=[{"content": "\"abc"}])),
        (422, "line end", "PATCH", rr, patch(records=[{"content": "192.0.2.1\nevil IN A 192.0.2.2"}])),
        (422, "CNAME beside other data", "PATCH", rr, {"rrsets": [{"name": "www", "type": "CNAME", "records": [{"content": "a"}]}]}),
        (422, "SOA", "DELETE", rr + "/@/SOA", None),
        (422, "NS", "DELETE", rr + "/@/NS", None),
        (404, "zone", "PATCH", "/v1/zones/example.org/rrsets", {"rrsets": [one]}),
        (404, "zone", "GET", "/v1/zones/example.org/rrsets", None),
        (404, "zone", "GET", "/v1/zones/example.org/export", None),
        (404, "zone", "DELETE", "/v1/zones/example.org", None),
        (404, "no such path", "GET", "/v1/zones/example.com/nothing", None),
        (400, "no domain name", "GET", "/v1/zones/" + "x" * 64, None),
        (400, "not percent-encoded", "GET", "/v1/zones/%zz", None),
        (409, "there", "POST", "/v1/zones", NEW),
        (409, "kind file", "POST", "/v1/zones", {"name": "f.example", "kind": "file"}),
        (422, "nameservers", "POST", "/v1/zones", {"name": "new.example"}),
        (400, "name is missing", "POST", "/v1/zones", {}),
        (400, "serial_policy", "PATCH", "/v1/zones/example.com", {"serial_policy": "sometimes"}),
        (400, "unknown member|colour", "PATCH", "/v1/zones/example.com", {"colour": "red"}),
        (422, "", "POST", "/v1/zones/example.com/import", "@ IN SOA ns h 1 2 3 4 5\n@ IN A 300.1.1.1\n"),
        (422, "NS", "POST", "/v1/zones/example.com/import", "@ 60 IN SOA ns h 1 2 3 4 5\n"),
        (422, "", "POST", "/v1/zones/example.com/import", "$INCLUDE /etc/passwd\n"),
        (409, "core.zones|kind|file", "PATCH", "/v1/zones/file.example/rrsets", {"rrsets": [one]}),
        (409, "core.zones|kind|file", "POST", "/v1/zones/file.example/import", "@ 60 IN SOA ns h 1 2 3 4 5\n"),
        (405, "allowed here", "PUT", "/v1/zones", {}),
        (422, "algorithm", "POST", "/v1/tsig", {"name": "k", "algorithm": "hmac-md5"}),
        (422, "secret", "POST", "/v1/tsig", {"name": "k", "secret": "c2hvcnQ="}),
        (422, "", "POST", "/v1/tsig", {"name": "k", "rights": {"update": "all"}}),
        (400, "unknown parameter", "GET", "/v1/zones?colour=red", None),
        (400, "limit", "GET", "/v1/zones?limit=0", None),
        (400, "if_serial", "DELETE", "/v1/zones/example.com?if_serial=-1", None),
        (400, "timeout goes with wait", "DELETE", "/v1/zones/example.com?timeout=5s", None),
    ]


def test_bad_requests(lab):
    core = api_core(lab, zones={"file.example.": lab.zone_file("file", laboratory.small_zone("file.example."))}).start()
    api = Api(core)
    wait_until("the zone file", lambda: api.ask("GET", "/v1/zones/file.example").status == 200)
    api.good("POST", "/v1/zones", NEW, 201)
    before = api.good("GET", "/v1/zones/example.com/export")
    digest = core.digest()
    for status, text, method, path, body in refused(api):
        api.bad(status, text, method, path, body)
    for method, path in [("POST", "/v1/zones"), ("PATCH", "/v1/zones/example.com/rrsets"), ("DELETE", "/v1/zones/example.com"),
                         ("POST", "/v1/tsig"), ("POST", "/v1/zones/example.com/import"), ("PUT", "/v1/kv/app/k?wait=100")]:
        api.bad(403, "may read only", method, path, "{}", key=RO_KEY)
        api.bad(401, "not known", method, path, "{}", key="somebody-else")
    assert api.ask("GET", "/v1/zones", key=RO_KEY).status == 200
    errors = api.ask("POST", "/v1/zones/example.com/import", "@ IN SOA ns h 1 2 3 4 5\n@ IN A 300.1.1.1\n").json()["errors"]
    assert errors[0]["line"] in (1, 2) and errors[0]["text"]
    assert api.good("GET", "/v1/zones/example.com/export") == before
    assert core.digest() == digest, "a refused request must leave no trace"


def test_two_clients_race(lab):
    """Two that read the same serial and change the same RRset: one wins, the other is told."""
    core = api_core(lab).start()
    api = Api(core)
    serial = api.good("POST", "/v1/zones", NEW, 201)["serial"]
    for turn in range(20):
        replies = [None] * 4

        def put(i):
            replies[i] = Api(core).ask("PUT", f"/v1/zones/example.com/rrsets/www/A?if_serial={serial}",
                                       {"records": [{"content": f"192.0.2.{turn * 4 + i}"}]})
        threads = [threading.Thread(target=put, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        won = [i for i in range(4) if replies[i].status == 200]
        assert len(won) == 1 and all(r.status == 412 for i, r in enumerate(replies) if i not in won), replies
        serial = replies[won[0]].json()["serial"]
        assert contents(api.good("GET", "/v1/zones/example.com/rrsets/www/A")) == [f"192.0.2.{turn * 4 + won[0]}"]


def test_bodies(lab):
    """How much is taken depends on the key, which is looked at before any of the body is waited for."""
    core = api_core(lab).start()
    api = Api(core)
    api.good("POST", "/v1/zones", NEW, 201)
    many = [{"name": f"h{i}", "type": "TXT", "records": [{"content": '"' + "x" * 200 + '"'}]} for i in range(12000)]
    body = json.dumps({"rrsets": many})
    assert 3 << 20 < len(body) < 4 << 20
    assert api.good("PATCH", "/v1/zones/example.com/rrsets", body)["changed"]
    text = api.good("GET", "/v1/zones/example.com/export")
    large = text.replace("x" * 200, "y" * 250 + '" "' + "z" * 250)
    assert len(large) > 5 << 20
    assert api.good("POST", "/v1/zones/example.com/import", large)["changed"]

    def refused_early(path, size, key, **headers):
        """Only the head is sent: the reply must come all the same."""
        with socket.create_connection((HOST, core.ports["api"]), timeout=30) as s:
            s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {size}\r\n\r\n".encode())
            head, body = b"".join(iter(lambda: s.recv(4096), b"")).split(b"\r\n\r\n")      # and the connection ends
            assert b"application/json" in head
            return int(head.split()[1]), json.loads(body)["error"]
    assert refused_early("/v1/zones/example.com/import", 257 << 20, API_KEY) == (413, "a zone file of more than 256 MiB; azoth load takes larger "
                                                                                 "ones, while no daemon runs")
    assert refused_early("/v1/zones", 5 << 20, API_KEY) == (413, "a body of more than 4096 KiB; whole zones go to "
                                                            "POST /v1/zones/NAME/import, up to 256 MiB")
    assert refused_early("/v1/zones/example.com/import", 65 << 10, "somebody-else")[0] == 401
    assert refused_early("/v1/zones/example.com/import", 65 << 10, RO_KEY)[0] == 403
    assert refused_early("/v1/kv/app/k", 1 << 62, API_KEY)[0] == 413
    big = api.ask("PATCH", "/v1/zones/example.com/rrsets", b" " * (5 << 20))       # also when all of it is sent at once
    assert big.status == 413 and "/import" in big.json()["error"]
    api = Api(core)
    # and when it goes on being sent after the reply, up to some MB
    with socket.create_connection((HOST, core.ports["api"]), timeout=30) as s:
        s.sendall(f"PATCH /v1/zones/example.com/rrsets HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\nContent-Length: {12 << 20}\r\n\r\n".encode())
        assert s.recv(4096).startswith(b"HTTP/1.1 413")
        for _ in range(12):
            time.sleep(0.05)
            s.sendall(b" " * (1 << 20))
        s.shutdown(socket.SHUT_WR)
        assert b"HTTP" not in b"".join(iter(lambda: s.recv(65536), b""))

    # zone files that come at the same time share what is kept for them
    def importing():
        s = socket.create_connection((HOST, core.ports["api"]), timeout=30)
        s.sendall(f"POST /v1/zones/example.com/import HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\nContent-Length: {200 << 20}\r\n\r\n".encode())
        return s
    def status_of_another():
        """None: its body is waited for."""
        with importing() as s:
            s.settimeout(1)
            try:
                return int(s.recv(4096).split()[1])
            except TimeoutError:
                return None
    waiting = [importing(), importing()]
    wait_until("two imports fill it", lambda: status_of_another() == 503)
    small = "\n".join(text.split("\n")[:20]) + "\n"
    assert api.ask("POST", "/v1/zones/example.com/import?dry_run=1&force=1", small).status == 200
    for s in waiting:
        s.close()
    wait_until("there is room again", lambda: status_of_another() is None)
    # several requests on one connection, sent at once: each has its own limit
    with socket.create_connection((HOST, core.ports["api"]), timeout=60) as s:
        head = f"Host: x\r\nX-API-Key: {API_KEY}\r\n"
        for _ in range(2):
            s.sendall(f"PATCH /v1/zones/example.com/rrsets HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
                      f"GET /v1/zones/example.com HTTP/1.1\r\n{head}\r\n".encode())
        got = b""
        while got.count(b"HTTP/1.1 200") < 4:
            more = s.recv(65536)
            assert more, got
            got += more
    # what is wrong with the second is not the first one's
    with socket.create_connection((HOST, core.ports["api"]), timeout=60) as s:
        s.sendall(f"GET /v1/zones/example.com HTTP/1.1\r\n{head}\r\nPOST /v1/zones HTTP/1.1\r\n{head}Content-Length: {5 << 20}\r\n\r\n".encode())
        got = b"".join(iter(lambda: s.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200", b"413"]
    # a reply that nobody takes, larger than the kernel does: the core ends in order all the same (and a sanitizer looks on)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect((HOST, core.ports["api"]))
        s.sendall(f"GET /v1/zones/example.com/export HTTP/1.1\r\n{head}\r\n".encode())
        assert s.recv(8, socket.MSG_PEEK)
        core.stop()


def test_all_that_is_wrong_is_told(lab):
    core = api_core(lab).start()
    api = Api(core)
    api.good("POST", "/v1/zones", NEW, 201)
    good = {"name": "a", "type": "A", "records": [{"content": "192.0.2.1"}]}
    reply = api.bad(422, "192.0.2.300", "PATCH", "/v1/zones/example.com/rrsets", {"rrsets": [
        good, {**good, "records": [{"content": "192.0.2.300"}]}, {**good, "colour": "red"}, good, 7, {**good, "change": "delete"},
        {"name": "b", "type": "NOSUCH", "records": []}]})
    assert [e["line"] for e in reply["errors"]] == [2, 3, 5, 6, 7] and reply["error"] == reply["errors"][0]["text"]
    assert "colour" in reply["errors"][1]["text"] and "no records" in reply["errors"][3]["text"] and "NOSUCH" in reply["errors"][4]["text"]
    assert api.ask("GET", "/v1/zones/example.com/rrsets/a/A").status == 404
    many = api.bad(400, "object", "PATCH", "/v1/zones/example.com/rrsets", {"rrsets": [7] * 100})
    assert len(many["errors"]) == 20


def test_strangers_hold_no_places(lab):
    """Whoever only opens connections has each of them for a moment; those who work keep theirs."""
    core = api_core(lab).start()
    api = Api(core)
    api.good("GET", "/v1/zones")
    mine = api.connection.sock.getsockname()
    strangers = []
    for i in range(63):
        s = socket.create_connection((HOST, core.ports["api"]), timeout=30)
        s.sendall(b"GET /v1/zones HTTP/1.1\r\nX-Slow: " if i % 2 else b"")
        strangers.append(s)
    began = time.monotonic()
    other = Api(core)
    assert other.ask("GET", "/v1/zones").status == 200 and time.monotonic() - began < 20
    api.good("GET", "/v1/zones")
    assert api.connection.sock.getsockname() == mine            # the same one
    for s in strangers:                                         # each of them ends, the last ones after 10 s
        s.settimeout(30)
        assert b"200 OK" not in s.recv(1000)
        s.close()


def test_who_takes_no_replies_sends_no_more(lab):
    """Requests of a stranger who reads none of the replies wait in the kernel, not in the core's memory."""
    core = api_core(lab).start()
    requests = b"GET /v1/zones HTTP/1.1\r\nHost: x\r\n\r\n" * 10000
    sent = 0
    with socket.create_connection((HOST, core.ports["api"])) as s:
        s.settimeout(2)
        try:
            while sent < 100 << 20:
                sent += s.send(requests)
        except (TimeoutError, ConnectionError):
            pass
    assert sent < 100 << 20
    Api(core).good("GET", "/v1/zones")


def test_writes_of_entries_wait(lab):
    """wait and timeout do for writes under /v1/kv, and for a new epoch, what they do for those of zones."""
    core = api_core(lab).start()
    api = Api(core)
    api.good("PUT", "/v1/kv/app/first", b"0")
    edge = lab.edge("edge-1", core).start()         # an edge without data is not ready
    put = api.good("PUT", "/v1/kv/app/k?wait=100%25&timeout=30s", b"value")
    assert put["done"] and put["have"] == put["need"] == 1 and put["missing"] == []
    assert edge.azoth("kv", "get", "app", "k").out == "value"
    ops = {"ops": [{"op": "put", "ns": "app", "key": k, "value": k} for k in ("a", "b")]}
    both = api.good("POST", "/v1/kv?wait=100&timeout=30s", ops)
    assert both["done"] and len(both["seqs"]) == 2 and edge.azoth("kv", "get", "app", "b").out == "b"
    assert api.good("DELETE", "/v1/kv/app/k?wait=100%25&timeout=30s")["done"]
    edge.azoth("kv", "get", "app", "k", code=2)
    api.bad(404, "no such key", "DELETE", "/v1/kv/app/k?wait=100%25&timeout=30s")
    raised = api.good("POST", "/v1/cluster/raise-epoch?wait=100%25&timeout=30s")
    assert raised["done"] and raised["epoch"] == put["epoch"] + 1 and edge.stat()["epoch"] == raised["epoch"]

    # nobody has it: told when the time is over, or when the core ends; it is written in both cases
    edge.process.send_signal(signal.SIGSTOP)
    late = api.good("PUT", "/v1/kv/app/late?wait=100%25&timeout=300ms", b"1")
    assert not late["done"] and late["missing"] == ["edge-1"] and late["seq"] > raised["seq"]
    assert api.good("PUT", "/v1/kv/app/late?wait=0", b"2")["done"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(Api(core).good, "PUT", "/v1/kv/app/end?wait=100%25&timeout=60s", b"3")
        wait_until("it waits", lambda: core.metric("azoth_core_api_waiting") == 1)
        core.stop()
        assert not waiting.result()["done"]
    assert core.azoth("kv", "get", "app", "end").out == "3"
    edge.process.send_signal(signal.SIGCONT)


def test_the_document(lab):
    """Each operation of doc/openapi.yaml is answered as it says, and every route of the server is in it."""
    core = api_core(lab, core={"encrypt": True}).start()
    api = Api(core)
    DOCUMENT.asked.clear()
    zone = "/v1/zones/example.com"
    first = api.good("POST", "/v1/zones", NEW, 201)
    api.good("POST", "/v1/zones?dry_run=1", {**NEW, "name": "dry.example"})
    api.good("PATCH", zone, {"transfer_acl": ["192.0.2.0/24", "key:k.example."], "notify": ["192.0.2.9@53"], "guard": "strict"})
    api.good("PATCH", f"{zone}/rrsets?wait=0&timeout=1s", {"rrsets": [{"name": "t", "type": "TXT", "records": [{"content": "\"a\""}]}]})
    api.good("PUT", f"{zone}/rrsets/www/A", {"records": [{"content": "192.0.2.3"}], "comments": [{"content": "c"}]})
    api.good("DELETE", f"{zone}/rrsets/t/TXT")
    text = api.good("GET", f"{zone}/export")
    for path in ["/v1/zones", zone, f"{zone}/rrsets", f"{zone}/rrsets/www/A", f"{zone}/log", f"{zone}/diff?from={first['seq']}"]:
        api.good("GET", path)
    api.good("POST", f"{zone}/rollback", {"to": first["seq"]})
    assert contents(api.good("GET", f"{zone}/rrsets/www/A")) == ["192.0.2.80"]
    api.good("POST", f"{zone}/import", text)
    api.good("POST", "/v1/zones/two.example/import?create=1", laboratory.small_zone("two.example."), 201)
    api.good("POST", f"{zone}/rebuild")
    api.good("POST", f"{zone}/notify", status=202)
    api.good("POST", "/v1/zones", {"name": "catalog.example", "kind": "secondary", "primaries": [{"address": "127.0.0.1@9"}],
                                   "catalog": {"notify": ["127.0.0.1@9"], "groups": {"eu": {"transfer_acl": ["127.0.0.1"]}}}}, 201)
    assert api.good("GET", "/v1/zones/catalog.example")["catalog_state"]["state"] == "waiting"
    api.good("PATCH", "/v1/zones/catalog.example", {"catalog": True})
    api.good("POST", "/v1/zones/catalog.example/transfer?force=1", None, 202)
    api.good("POST", "/v1/zones", {"name": "second.example", "kind": "secondary", "primaries": [{"address": "127.0.0.1@9"}]}, 201)
    api.good("POST", "/v1/zones/second.example/transfer?axfr=1", status=202)
    api.good("POST", "/v1/tsig", {"name": "k.example"}, 201)
    api.good("GET", "/v1/tsig")
    api.good("GET", "/v1/tsig/k.example")
    api.good("GET", "/v1/tsig/log")
    api.good("PUT", "/v1/tsig/k.example", {"algorithm": "hmac-sha1"})
    api.good("PUT", "/v1/tsig/l.example", {}, 201)
    api.good("DELETE", "/v1/tsig/k.example")
    api.good("DELETE", zone)
    assert api.ask("PUT", "/v1/kv/app/k", b"value").status == 200
    api.good("POST", "/v1/kv", {"ops": [{"op": "put", "ns": "app", "key": "l", "value": "x"}]})
    for path in ["/v1/kv/app", "/v1/kv/app/k", "/v1/kv/app/k?json=1", "/v1/fleet", "/v1/changes/1"]:
        assert api.ask("GET", path).status == 200
    api.good("DELETE", "/v1/kv/app/k")
    api.good("POST", "/v1/cluster/rotate-key")
    api.good("POST", "/v1/cluster/raise-epoch")
    assert DOCUMENT.operations() - DOCUMENT.asked == set(), "not asked, or never answered with 2xx"

    paths = set(DOCUMENT.all["paths"])
    for file, prefix in [("api.c", ""), ("api_zones.c", "/v1/zones/{zone}")]:
        table = re.findall(r'\{ "(/[\w/-]+)", \w+ \}', (laboratory.TOP / "builder" / file).read_text())
        assert len(table) >= 6
        for route in table:
            assert any(p == prefix + route or p.startswith(f"{prefix}{route}/") for p in paths), f"{prefix}{route} is not in the document"
    for path, operations in DOCUMENT.all["paths"].items():
        for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
            if method.lower() not in operations:
                reply = api.ask(method, re.sub(r"\{\w+\}", "1" if "changes" in path else "a", path), "{}")
                assert reply.status == 405, f"{method} {path} is not in the document: {reply}"


def fifty(n):
    """50 RRsets of one change; all of them say which one."""
    return {"rrsets": [{"name": f"m{i}", "type": "TXT", "ttl": 60, "records": [{"content": f'"{n}"'}]} for i in range(50)]}


def state_of(api):
    """What the 50 RRsets say: one and the same, or none of them is there."""
    rrsets = api.good("GET", "/v1/zones/example.com/rrsets?type=TXT")["rrsets"]
    said = {contents(r)[0] for r in rrsets}
    assert len(rrsets) in (0, 50) and len(said) <= 1, f"{len(rrsets)} RRsets say {said}"
    exported = re.findall(r'IN\tTXT\t("\d+")', api.good("GET", "/v1/zones/example.com/export"))
    assert exported == [*said] * len(rrsets), "what is published differs from the records"
    return int(said.pop().strip('"')) if said else -1


def test_killed_in_the_middle(lab):
    """kill -9 while changes of 50 RRsets run: each is there as a whole or not at all, and none that was told is lost."""
    core = api_core(lab).start()
    Api(core).good("POST", "/v1/zones", NEW, 201)
    n = 0
    for turn in range(6):
        told = -1
        api = Api(core)
        killer = threading.Timer(0.02 + 0.017 * turn, core.kill)
        killer.start()
        try:
            while True:
                reply = api.ask("PATCH", "/v1/zones/example.com/rrsets", fifty(n))
                assert reply.status == 200, reply
                told = n
                n += 1
        except (OSError, http.client.HTTPException):
            pass
        killer.join()
        core.start()
        got = state_of(Api(core))
        assert got in (n, told) or (told == -1 and got == n - 1), f"turn {turn}: {got}, told {told}, asked {n}"
        n += 1
        Api(core).good("PATCH", "/v1/zones/example.com/rrsets", fifty(n))
        n += 1
        assert state_of(Api(core)) == n - 1
    core.verify()


def test_full(lab):
    """A map too small for a change: 507, nothing half done; what makes room is still taken."""
    core = api_core(lab, map_size="4M").start()
    api = Api(core)
    api.good("POST", "/v1/zones", NEW, 201)
    api.good("PATCH", "/v1/zones/example.com/rrsets", fifty(0))
    for i in range(100):
        large = [{"name": f"l{i}-{k}", "type": "TXT", "records": [{"content": '"' + f"{i:05}" * 50 + '"'}]} for k in range(400)]
        reply = api.ask("PATCH", "/v1/zones/example.com/rrsets", {"rrsets": large})
        if reply.status != 200:
            break
    assert reply.status == 507, reply
    names = {r["name"] for r in api.good("GET", "/v1/zones/example.com/rrsets?type=TXT&limit=10000")["rrsets"]}
    assert f"l{i}-0.example.com." not in names and not any(n.startswith(f"l{i}-") for n in names), "half of a change"
    assert len(names) == 50 + 400 * i
    assert f"l{i}-" not in api.good("GET", "/v1/zones/example.com/export")
    api.good("DELETE", "/v1/zones/example.com?force=1")
    api.good("POST", "/v1/zones", NEW, 201)


def test_examples_of_the_manual(lab):
    """The commands of azoth-core(8), as printed."""
    page = (laboratory.TOP / "tools" / "azoth-core.8").read_text()
    section = page[page.index(".Sh ZONES BY API"):]
    script = re.search(r"^\.Bd.*?\n(.*?)^\.Ed", section, re.S | re.M)[1].replace("\\e", "\\")
    core = api_core(lab).start()
    assert script.count("curl ") == 3 and "127.0.0.1:8081" in script
    script = "set -e\n" + script.replace("127.0.0.1:8081", f"{HOST}:{core.ports['api']}").replace("curl ", "curl -sS --fail-with-body ")
    done = subprocess.run(["bash", "-c", script], env={"KEY": API_KEY, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "www.example.com.\t300\tIN\tA\t192.0.2.1" in done.stdout, done
    assert '"v=spf1 -all"' in done.stdout and "ns1.example.net." in done.stdout
