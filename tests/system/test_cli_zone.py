"""azoth zone, rrset and tsig: what they ask of the API, how they show what it says, and when they ask a question first.

The first half talks to a server of its own, so that replies can be as odd as one likes; the second to azoth-core."""
import contextlib
import http.server
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from lab import API_KEY, HOST, SLOW, TOP, azoth, port, program, wait_until

ZONE = "example.com."


# --- a server that says what the test wants ---------------------------------------------------------------------------
class Fake:
    """Replies by (method, path): a status and an object, text or bytes; or a function of the request. Keeps what was asked."""

    def __init__(self):
        self.asked, self.replies = [], {}
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self):
                url = urllib.parse.urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                query = dict(urllib.parse.parse_qsl(url.query))
                fake.asked.append((self.command, url.path, query, body))
                reply = fake.replies.get((self.command, url.path), (404, {"error": "there is no such path"}))
                if callable(reply):
                    reply = reply(query, body)
                if reply is None:               # gone in the middle
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"epoch\"")
                    self.close_connection = True
                    return
                status, body = reply
                body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = any

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, port()), Handler)
        self.server.daemon_threads = True
        self.env = {"AZOTH_API": f"http://{HOST}:{self.server.server_port}", "AZOTH_API_KEY": API_KEY, "PATH": "/usr/bin:/bin",
                    "TERM": "xterm"}
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def on(self, method, path, status, body=None):
        self.replies[(method, path)] = status if callable(status) else (status, body)
        return self

    def zone(self, name=ZONE):
        """There is this zone; what changes it is taken."""
        path = zone_path(name)
        self.on("GET", path, 200, {"name": name, "kind": "native", "state": "live", "serial": 7})
        for method, rest in [("PATCH", "/rrsets"), ("PATCH", ""), ("POST", "/import"), ("DELETE", ""), ("POST", "/rollback"), ("POST", "/rebuild")]:
            self.on(method, path + rest, lambda query, body: (200, done(query)))
        return self

    def run(self, *args, code=0, **more):
        return azoth(*args, env=self.env, code=code, **more)

    def calls(self, *methods):
        return [(m, p, q, json.loads(b) if b[:1] == b"{" else b) for m, p, q, b in self.asked if m in methods]


LOSS = [{"name": ZONE, "type": "SOA", "before": {"ttl": 60, "records": ["ns1.example.com. h.example.com. 7 1 2 3 4"]},
         "after": {"ttl": 60, "records": ["ns1.example.com. h.example.com. 8 1 2 3 4"]}},
        {"name": f"www.{ZONE}", "type": "A", "before": {"ttl": 60, "records": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]},
         "after": {"ttl": 60, "records": ["192.0.2.3", "192.0.2.4"]}}]
GAIN = [{"name": f"www.{ZONE}", "type": "A", "before": None, "after": {"ttl": 60, "records": ["192.0.2.4"]}}]
OTHER_TTL = [{"name": f"www.{ZONE}", "type": "A", "before": {"ttl": 60, "records": ["192.0.2.4"]},
              "after": {"ttl": 90, "records": ["192.0.2.4"]}}]


def done(query, differences=LOSS, changed=True):
    reply = {"epoch": 1, "seq": 42, "changed": changed, "serial": 8, "warnings": []}
    if "dry_run" in query:
        reply.update(dry_run=True, differences=differences, added=1, removed=2, cut=False)
    return reply


def zone_path(name):
    return "/v1/zones/" + re.sub("[^A-Za-z0-9_~-]", lambda m: f"%{ord(m.group()):02X}", name)


@pytest.fixture
def fake():
    it = Fake()
    yield it
    it.server.shutdown()
    it.server.server_close()


def on_terminal(args, env, answer=None):
    """Runs the command on a terminal: (exit code, all that it printed). answer: typed when it asks."""
    child, master = pty.fork()
    if child == 0:
        os.execve(program("azoth"), ["azoth", *map(str, args)], env)
    text, end, answered = b"", time.monotonic() + 60 * SLOW, False
    while time.monotonic() < end:
        if not select.select([master], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:                 # how the end of a terminal looks
            break
        if not piece:
            break
        text += piece
        if answer is not None and not answered and text.endswith(b"[y/N] "):
            os.write(master, answer)
            answered = True
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text.decode().replace("\r\n", "\n")


# --- what is asked ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("args, ask", [
    (["set", "www.example.com.", "300", "A", "192.0.2.1", "192.0.2.2"],
     {"name": "www.example.com.", "type": "A", "ttl": 300, "records": [{"content": "192.0.2.1"}, {"content": "192.0.2.2"}], "change": "replace"}),
    (["add", "WWW.example.com", "1h30m", "aaaa", "2001:db8::1"],
     {"name": "www.example.com.", "type": "AAAA", "ttl": 5400, "records": [{"content": "2001:db8::1"}], "change": "add"}),
    (["set", "example.com", "MX", "10 mail", "20 mail.example.net."],
     {"name": "example.com.", "type": "MX", "records": [{"content": "10 mail"}, {"content": "20 mail.example.net."}], "change": "replace"}),
    (["set", "example.com", "TXT", "v=spf1 -all", '"as it" "is"', 'say "a\\b"', ""],
     {"name": "example.com.", "type": "TXT", "change": "replace",
      "records": [{"content": '"v=spf1 -all"'}, {"content": '"as it" "is"'}, {"content": '"say \\"a\\\\b\\""'}, {"content": '""'}]}),
    (["set", "t.example.com", "TXT", "x" * 300, "gr\u00fc\u00df"],
     {"name": "t.example.com.", "type": "TXT", "change": "replace",
      "records": [{"content": f'"{"x" * 255}" "{"x" * 45}"'}, {"content": '"gr\\195\\188\\195\\159"'}]}),
    (["delete", "www.example.com", "A"], {"name": "www.example.com.", "type": "A", "change": "delete"}),
    (["delete", "www.example.com", "A", "192.0.2.1"],
     {"name": "www.example.com.", "type": "A", "records": [{"content": "192.0.2.1"}], "change": "remove"}),
    (["set", "--zone", "example.com", "@", "TYPE65280", "\\# 1 00"],
     {"name": "example.com.", "type": "TYPE65280", "records": [{"content": "\\# 1 00"}], "change": "replace"}),
    (["set", "--zone", "example.com", "www", "A", "192.0.2.1", "--comment", "a \"note\""],
     {"name": "www.example.com.", "type": "A", "records": [{"content": "192.0.2.1"}], "change": "replace",
      "comments": [{"content": 'a "note"', "account": ""}]}),
    (["set", "--zone", "example.com", "www.example.com", "A", "192.0.2.1"],
     {"name": "www.example.com.", "type": "A", "records": [{"content": "192.0.2.1"}], "change": "replace"}),
    (["set", "a\\.b/c%.\\255.example.com", "A", "192.0.2.1"],
     {"name": "a\\.b/c%.\\255.example.com.", "type": "A", "records": [{"content": "192.0.2.1"}], "change": "replace"}),
], ids=lambda v: v[0] if isinstance(v, list) else "")
def test_an_rrset_is_sent(fake, args, ask):
    fake.zone()
    assert fake.run("rrset", *args, "--yes").out == "1.42\n"
    assert fake.calls("PATCH") == [("PATCH", zone_path(ZONE) + "/rrsets", {}, {"rrsets": [ask]})]


@pytest.mark.parametrize("owner, rrtype, zones, wanted", [
    ("a.b.example.com", "A", ["example.com.", "com."], "example.com."),
    ("a.b.example.com", "A", ["b.example.com.", "example.com."], "b.example.com."),
    ("b.example.com", "A", ["b.example.com.", "example.com."], "b.example.com."),
    ("b.example.com", "DS", ["b.example.com.", "example.com."], "example.com."),
    ("x", "A", ["."], "."),
    ("a\\.b.example.com", "A", ["b.example.com.", "a\\.b.example.com."], "a\\.b.example.com."),
])
def test_the_closest_zone_is_found(fake, owner, rrtype, zones, wanted):
    for zone in zones:
        fake.zone(zone)
    fake.run("rrset", "add", owner, rrtype, "1 8 2 00" if rrtype == "DS" else "192.0.2.1")
    assert [path for _, path, _, _ in fake.calls("PATCH")] == [zone_path(wanted) + "/rrsets"]


def test_no_zone_is_found(fake):
    assert "the core has no zone that www.example.com is in" in fake.run("rrset", "add", "www.example.com", "A", "192.0.2.1", code=2).err
    assert not fake.calls("PATCH") and len(fake.asked) == 4


@pytest.mark.parametrize("args, says", [
    (["rrset", "set", "www.example.com", "MX", "10", "mail"], "'10' is no whole MX record: each record is one argument"),
    (["rrset", "set", "www.example.com", "A"], "an argument is missing"),
    (["rrset", "set", "www.example.com", "300", "A"], "an argument is missing"),
    (["rrset", "set", "@", "A", "192.0.2.1"], "'@' is the apex of a zone that is not given"),
    (["zone", "show", "@"], "'@' is the apex of a zone that is not given"),
    (["rrset", "set", "www.example.com", "12q", "A", "192.0.2.1"], "'12q' is no TTL"),
    (["rrset", "set", "a..b", "A", "192.0.2.1"], "'a..b' is no domain name"),
    (["rrset", "set", "b\u00fccher.example.com", "A", "192.0.2.1"], "is not ASCII: give the name as DNS has it"),
    (["rrset", "set", "b\u00fccher", "A", "192.0.2.1", "--zone", "example.com"], "is not ASCII: give the name as DNS has it"),
    (["rrset", "set", "www.example.com", "CNAME", "b\u00fccher.example."], "is not ASCII: give names as DNS has them"),
    (["zone", "add", "b\u00fccher.example", "--ns", "ns1"], "is not ASCII: give the name as DNS has it"),
    (["rrset", "set", "www.example.com", "2147483648", "A", "192.0.2.1"], "'2147483648' is no TTL"),
    (["rrset", "set", "www.example.net.", "A", "192.0.2.1", "--zone", "example.com"], "is not in the zone"),
    (["rrset", "set", "www.example.com", "A", "192.0.2.1", "--if-serial", "4294967296"], "is no serial"),
    (["rrset", "set", "www.example.com", "A", "192.0.2.1", "--wait=101%"], "is no share"),
    (["rrset", "set", "www.example.com", "A", "192.0.2.1", "--timeout", "5s"], "--timeout is that of --wait"),
    (["rrset", "get", "www.example.com", "--yes"], "rrset get takes no --yes"),
    (["rrset", "turn", "www.example.com"], "'turn' is none of set, add, delete, get"),
    (["zone", "add", "example.com"], "give --ns NAME"),
    (["zone", "add", "example.com", "--kind", "secondary"], "needs --primary"),
    (["zone", "add", "example.com", "--kind", "file"], "--kind is native or secondary"),
    (["zone", "add", "example.com", "--ns", "ns1", "--primary", "192.0.2.1"], "are for --kind secondary"),
    (["zone", "set", "example.com", "guard"], "'guard' is not SETTING=VALUE"),
    (["zone", "set", "example.com", "guard=strict", "guard="], "given twice"),
    (["zone", "diff", "example.com"], "zone diff: NAME SEQ shows one change"),
    (["zone", "diff", "example.com", "3", "--from", "2"], "zone diff: NAME SEQ shows one change"),
    (["zone", "rollback", "example.com"], "--to SEQ is missing"),
    (["zone", "rollback", "example.com", "--to", "1.x"], "neither SEQ nor EPOCH.SEQ"),
    (["zone", "import", "example.com", "/nonexistent"], "/nonexistent"),
    (["tsig", "add", "key", "--format", "dig"], "--format is bind, knot, nsd, powerdns or nsupdate"),
    (["tsig", "list", "--format", "bind"], "tsig list takes no --format"),
])
def test_wrong_usage(fake, args, says):
    done = fake.run(*args, code=1)
    assert says in done.err and len(done.error_lines()) == 1 and done.out == "" and not fake.asked


def test_a_relative_name_with_dots_is_pointed_out(fake):
    fake.zone()
    assert "mail.example.net has no final dot" in fake.run("rrset", "add", "example.com", "MX", "10 mail.example.net").err
    assert fake.run("rrset", "add", "example.com", "MX", "10 mail.example.net.", "20 mail").err == ""
    fake.on("POST", "/v1/zones", 201, done({}))
    made = fake.run("zone", "add", "example.org", "--ns", "ns1.example.net", "--ns", "ns2", "--ns", "ns3.example.net.")
    assert made.err == "azoth: zone add: note: ns1.example.net has no final dot, so it is relative to the zone\n"


def test_zones_are_made_and_set(fake):
    fake.zone().on("POST", "/v1/zones", 201, done({}))
    assert fake.run("zone", "add", "Example.com", "--ns", "ns1.example.net.", "--ns", "ns2.example.net.", "--serial", "unixtime").out == "1.42\n"
    fake.run("zone", "add", "example.net", "--kind", "secondary", "--primary", "192.0.2.1@5300/own", "--primary", "2001:db8::1", "--tsig", "all")
    fake.run("zone", "set", "example.com", "notify=192.0.2.1@53,192.0.2.2", "account=a b", "guard=", "primaries=192.0.2.1/key,192.0.2.2", "--force")
    assert [(m, q, b) for m, _, q, b in fake.calls("POST", "PATCH")] == [
        ("POST", {}, {"name": "example.com.", "kind": "native", "nameservers": ["ns1.example.net.", "ns2.example.net."],
                      "serial_policy": "unixtime"}),
        ("POST", {}, {"name": "example.net.", "kind": "secondary", "primaries": [{"address": "192.0.2.1@5300", "tsig": "own"},
                                                                              {"address": "2001:db8::1", "tsig": "all"}]}),
        ("PATCH", {"force": "1"}, {"notify": ["192.0.2.1@53", "192.0.2.2"], "account": "a b", "guard": None,
                                   "primaries": [{"address": "192.0.2.1", "tsig": "key"}, {"address": "192.0.2.2"}]})]


def test_a_zone_is_made_of_a_file(fake, tmp_path):
    (tmp_path / "z").write_text("one\n")
    fake.on("POST", zone_path(ZONE) + "/import", 201, done({}))
    fake.run("zone", "add", "example.com", "--file", tmp_path / "z", "--serial", "date")
    assert fake.calls("POST") == [("POST", zone_path(ZONE) + "/import", {"create": "1", "serial_policy": "date"}, b"one\n")]
    fake.on("POST", zone_path(ZONE) + "/import", 422, {"error": "a line is wrong", "errors": [{"line": 3, "text": "no address"}]})
    refused = fake.run("zone", "add", "example.com", "--file", tmp_path / "z", code=2)
    assert refused.err == f"{tmp_path}/z:3: no address\nazoth: zone add: a line is wrong (status 422)\n"
    fake.on("POST", zone_path(ZONE) + "/import", 422, {"error": "no address", "errors": [{"line": 3, "text": "no address"}, {"line": 5, "text": "x"}]})
    assert fake.run("zone", "import", "example.com", tmp_path / "z", code=2).error_lines() == [
        f"{tmp_path}/z:3: no address", f"{tmp_path}/z:5: x", "azoth: zone import: 2 errors: nothing was done (status 422)"]
    fake.on("POST", zone_path(ZONE) + "/import", 409, {"error": "it is there"})
    assert "azoth zone import NAME FILE" in fake.run("zone", "add", "example.com", "--file", tmp_path / "z", code=2).error_lines()[-1]
    fake.on("POST", zone_path(ZONE) + "/import", 404, {"error": "no such zone"})
    assert "azoth zone add NAME --file FILE" in fake.run("zone", "import", "example.com", tmp_path / "z", code=2).error_lines()[-1]


# --- looking before, and questions --------------------------------------------------------------------------------------
@pytest.mark.parametrize("args, differences, refuses", [
    (["rrset", "set", "www.example.com", "A", "192.0.2.3"], LOSS, True),
    (["rrset", "set", "www.example.com", "A", "192.0.2.4"], GAIN, False),
    (["rrset", "set", "www.example.com", "90", "A", "192.0.2.4"], OTHER_TTL, False),
    (["rrset", "add", "www.example.com", "A", "192.0.2.3"], LOSS, False),
    (["rrset", "delete", "www.example.com", "A"], LOSS, True),
    (["rrset", "delete", "www.example.com", "A"], [{**GAIN[0], "before": GAIN[0]["after"], "after": None}], False),
    (["zone", "remove", "example.com"], [], True),
    (["zone", "import", "example.com", "FILE"], LOSS, True),
    (["zone", "import", "example.com", "FILE"], GAIN, False),
    (["zone", "rollback", "example.com", "--to", "1.3"], LOSS, True),
    (["zone", "rebuild", "example.com"], LOSS, False),
])
def test_without_a_terminal_nothing_goes_unasked(fake, tmp_path, args, differences, refuses):
    fake.zone()
    for key, reply in list(fake.replies.items()):
        if key[0] != "GET":
            fake.replies[key] = lambda query, body: (200, done(query, differences))
    (tmp_path / "z").write_text("one\n")
    args = [tmp_path / "z" if a == "FILE" else a for a in args]
    refused = fake.run(*args, code=1 if refuses else 0)
    made = [q for _, _, q, _ in fake.calls("PATCH", "POST", "DELETE") if "dry_run" not in q]
    if refuses:
        assert "give --yes" in refused.err and "nothing was done" in refused.err and not made and refused.out == ""
    else:
        assert len(made) == 1 and refused.out == "1.42\n"
    assert fake.run(*args, "--yes").out == "1.42\n"
    assert fake.run(*args, "--dry-run").out.endswith("; nothing was changed\n")


def test_the_difference_of_a_dry_run(fake):
    fake.zone()
    shown = fake.run("rrset", "set", "www.example.com", "A", "192.0.2.3", "--dry-run", "--if-serial", "7", "--force")
    assert shown.out.splitlines() == [
        "- example.com. 60 IN SOA ns1.example.com. h.example.com. 7 1 2 3 4", "+ example.com. 60 IN SOA ns1.example.com. h.example.com. 8 1 2 3 4",
        "- www.example.com. 60 IN A 192.0.2.1", "- www.example.com. 60 IN A 192.0.2.2", "+ www.example.com. 60 IN A 192.0.2.4",
        "; dry run: 2 records go, 1 comes; nothing was changed"]
    assert fake.run("rrset", "set", "www.example.com", "A", "192.0.2.3", "--dry-run", "--json").json()["differences"] == LOSS
    assert fake.calls("PATCH")[0][2] == {"dry_run": "1", "if_serial": "7", "force": "1"}


def test_a_difference_that_is_cut_off(fake):
    fake.zone().on("DELETE", zone_path(ZONE), lambda query, body: (200, {**done(query), "cut": True, "removed": 20000, "added": 0}))
    shown = fake.run("zone", "remove", "example.com", "--dry-run").out
    assert "; more RRsets than can be shown: 20000 records go, 0 come in all\n; dry run: 20000 records go, 1 comes;" in shown


@pytest.mark.parametrize("answer, goes", [(b"y\n", True), (b"yes\n", True), (b"Y\n", True), (b"n\n", False), (b"\n", False), (b"\x04", False),
                                          (b"yep\n", False)])
def test_a_question_on_a_terminal(fake, tmp_path, answer, goes):
    (tmp_path / "z").write_text("one\n")
    fake.zone()
    code, text = on_terminal(["zone", "import", "example.com", tmp_path / "z"], fake.env, answer)
    assert "\x1b[31m- www.example.com. 60 IN A 192.0.2.1\x1b[0m\n" in text and "\x1b[32m+ www.example.com. 60 IN A 192.0.2.4\x1b[0m\n" in text
    assert "2 records go, 1 comes. Go on? [y/N]" in text
    made = [q for _, _, q, _ in fake.calls("POST") if "dry_run" not in q]
    assert (code, made) == ((0, [{"if_serial": "7"}]) if goes else (1, [])), "a yes holds for the serial that was shown"
    assert ("1.42" in text) == goes and ("nothing was done" in text) != goes


def test_no_question_where_nothing_goes_and_no_colours_where_they_are_not_wanted(fake):
    fake.zone()
    _, text = on_terminal(["rrset", "set", "www.example.com", "A", "192.0.2.3"], {**fake.env, "NO_COLOR": "1"}, b"n\n")
    assert "- www.example.com. 60 IN A 192.0.2.1\n" in text and "\x1b" not in text
    _, text = on_terminal(["rrset", "set", "www.example.com", "A", "192.0.2.3"], {**fake.env, "TERM": "dumb"}, b"n\n")
    assert "Go on?" in text and "\x1b" not in text
    fake.on("PATCH", zone_path(ZONE) + "/rrsets", lambda query, body: (200, done(query, GAIN)))
    assert on_terminal(["rrset", "set", "www.example.com", "A", "192.0.2.4"], fake.env) == (0, "1.42\n")
    assert on_terminal(["rrset", "set", "www.example.com", "A", "192.0.2.4", "--yes"], fake.env) == (0, "1.42\n")


# --- what is shown --------------------------------------------------------------------------------------------------------
def test_a_list_goes_through_all_pages(fake):
    names = [f"z{i:03}.example." for i in range(250)]

    def page(query, body):
        at = names.index(query["after"]) + 1 if "after" in query else 0
        rest = names[at:at + 100]
        return 200, {"zones": [{"name": n, "kind": "native", "state": "live", "serial": i, "account": ""} for i, n in enumerate(rest)],
                     "next": rest[-1] if at + 100 < len(names) else None}

    fake.on("GET", "/v1/zones", page)
    lines = fake.run("zone", "list", "--kind", "native").out.splitlines()
    assert lines[0].split() == ["ZONE", "KIND", "STATE", "SERIAL", "ACCOUNT"] and [line.split()[0] for line in lines[1:]] == names
    assert [z["name"] for z in fake.run("zone", "list", "--json").json_lines()] == names
    assert fake.asked[0][2] == {"limit": "1000", "kind": "native"}


def test_what_others_wrote_does_not_steer_the_terminal(fake):
    fake.on("GET", "/v1/zones", 200, {"zones": [{"name": ZONE, "kind": "native", "state": "live", "serial": 1,
                                                 "account": "\x1b[2J\x07gr\u00fcn\u009b"}], "next": None})
    assert fake.run("zone", "list").out.splitlines()[1].endswith("\\x1b[2J\\x07gr\u00fcn\\x9b")
    fake.zone().on("GET", zone_path(ZONE) + "/rrsets", 422, {"error": "\x1b]0;x"})
    assert "\\x1b]0;x (status 422)" in fake.run("rrset", "get", "www.example.com", code=2).err


def test_what_has_no_serial_shows_none(fake):
    fake.on("GET", "/v1/zones", 200, {"zones": [{"name": ZONE, "kind": "secondary", "state": "empty", "serial": 0}], "next": None})
    assert fake.run("zone", "list").out.splitlines()[1].split() == [ZONE, "secondary", "empty", "-", "-"]
    gone = {"epoch": 1, "seq": 9, "time": "T", "serial_before": 7, "serial_after": 0, "via": "api", "name": "web", "address": "192.0.2.9",
            "forced": False, "whole": False, "added": 0, "removed": 4}
    fake.on("GET", zone_path(ZONE) + "/log", 200, {"changes": [gone, {**gone, "forced": True}, {**gone, "added": 1}]})
    assert [line.split()[2:] for line in fake.run("zone", "log", "example.com").out.splitlines()[1:]] == [
        ["-", "web", "192.0.2.9", "api", "+0", "-4", "removed"], ["-", "web", "192.0.2.9", "api", "+0", "-4", "removed,", "forced"],
        ["0", "web", "192.0.2.9", "api", "+1", "-4"]]


def test_a_reader_that_has_seen_enough(fake):
    zones = [{"name": f"z{i:05}.example.", "kind": "native", "state": "live", "serial": 1, "account": "x" * 40} for i in range(5000)]
    fake.on("GET", "/v1/zones", 200, {"zones": zones, "next": None})
    reads, writes = os.pipe()
    with subprocess.Popen([program("azoth"), "zone", "list"], env=fake.env, stdout=writes, stderr=subprocess.PIPE) as run:
        os.close(writes)
        os.read(reads, 100)
        os.close(reads)
        assert run.communicate(timeout=60 * SLOW)[1] == b""


def test_history_is_shown(fake):
    change = {"epoch": 1, "time": "2026-11-21T10:00:00.000Z", "serial_before": 1, "serial_after": 2, "via": "api", "name": "web",
              "address": "192.0.2.9", "forced": False, "whole": False, "added": 2, "removed": 1}
    seqs = list(range(150, 0, -1))

    def log(query, body):
        mine = [s for s in seqs if s <= int(query.get("to", 1000)) and s >= int(query["from"])]
        page = mine[:min(int(query["limit"]), 60)]
        reply = {"changes": [{**change, "seq": s} for s in page]}
        if len(page) < len(mine):
            reply["next"] = page[-1] - 1
        return 200, reply

    fake.zone().on("GET", zone_path(ZONE) + "/log", log)
    lines = fake.run("zone", "log", "example.com").out.splitlines()
    assert len(lines) == 101 and lines[1].split() == ["2026-11-21T10:00:00.000Z", "1.150", "2", "web", "192.0.2.9", "api", "+2", "-1"]
    got = fake.run("zone", "log", "example.com", "--limit", "1000", "--from", "1.20", "--to", "140", "--json").json_lines()
    assert [c["seq"] for c in got] == list(range(140, 19, -1))
    fake.on("GET", zone_path(ZONE) + "/diff", lambda query, body: (200, {"differences": OTHER_TTL, "added": 1, "removed": 1, "cut": False}))
    assert fake.run("zone", "diff", "example.com", "--from", "1.3", "--to", "5").out == \
        "- www.example.com. 60 IN A 192.0.2.4\n+ www.example.com. 90 IN A 192.0.2.4\n"
    assert fake.asked[-1][2] == {"from": "3", "to": "5"}


def test_secrets_are_shown_when_asked_for(fake):
    key = {"name": "k/1.", "algorithm": "hmac-sha256", "rights": {
        "update": [{"zone": ZONE, "types": ["A", "TXT"]}, {"zone": "example.net."}], "transfer": [ZONE]}}
    fake.on("GET", "/v1/tsig", lambda query, body: (200, {"keys": [key, {**key, "secret": "c2VjcmV0"}] if "after" not in query else [key],
                                                          "next": None if "after" in query else "k/1."}))
    fake.on("GET", "/v1/tsig/k%2F1%2E", 200, {**key, "secret": "c2VjcmV0"})
    assert len(fake.run("tsig", "list").out.splitlines()) == 4
    assert "c2VjcmV0" not in fake.run("tsig", "list").out + fake.run("tsig", "list", "--json").out
    assert "c2VjcmV0" in fake.run("tsig", "list", "--secrets").out and "c2VjcmV0" in fake.run("tsig", "list", "--secrets", "--json").out
    assert "update example.com.:A,TXT, update example.net., transfer example.com." in fake.run("tsig", "list").out


@pytest.mark.parametrize("form, block", [
    ("bind", 'key "dhcp.example.com" {\n    algorithm hmac-sha512;\n    secret "%s";\n};\n'),
    ("knot", "key:\n  - id: dhcp.example.com\n    algorithm: hmac-sha512\n    secret: %s\n"),
    ("nsd", 'key:\n    name: "dhcp.example.com"\n    algorithm: hmac-sha512\n    secret: "%s"\n'),
    ("powerdns", "pdnsutil import-tsig-key dhcp.example.com hmac-sha512 '%s'\n"),
    ("nsupdate", "hmac-sha512:dhcp.example.com:%s\n"),
])
def test_a_new_key_is_printed_for_its_user(fake, form, block):
    secret = "c2VjcmV0" * 11
    fake.on("POST", "/v1/tsig", 201, {"name": "dhcp.example.com.", "algorithm": "hmac-sha512", "secret": secret})
    out = fake.run("tsig", "add", "dhcp.example.com.", "--algorithm", "hmac-sha512", "--update", "example.com:A,TXT", "--update", "example.net",
                   "--transfer", "example.org", "--format", form).out
    sent = fake.calls("POST")[0][3]
    assert out == block % secret
    assert sent == {"name": "dhcp.example.com.", "algorithm": "hmac-sha512", "rights": {
        "update": [{"zone": "example.com", "types": ["A", "TXT"]}, {"zone": "example.net"}], "transfer": ["example.org"]}}


# --- what goes wrong ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status, code", [(400, 2), (401, 1), (403, 1), (404, 2), (409, 2), (410, 2), (412, 2), (413, 2), (422, 2), (500, 1), (503, 1), (507, 1)])
def test_exit_codes(fake, status, code):
    fake.zone().on("PATCH", zone_path(ZONE) + "/rrsets", status, {"error": "it says why"})
    refused = fake.run("rrset", "add", "www.example.com", "A", "192.0.2.1", code=code)
    assert refused.err == f"azoth: rrset add: it says why (status {status})\n" and refused.out == ""


@pytest.mark.parametrize("reply, says", [
    ((200, b'{"epoch":1,"se'), "makes no sense"), ((200, b"[]"), "makes no sense"), ((200, b'{"epoch":"x"}'), "makes no sense"),
    ((200, b""), "makes no sense"), ((502, b"<html>"), "refuses this (status 502)"), ((422, b'{"error":[]}'), "refuses this (status 422)"),
    (None, "the change may have been made or not"), ((200, b"[" * 100000), "makes no sense"),
    ((200, b'{"a":"' + b"x" * ((64 << 20) + 1) + b'"}'), "longer than"),
], ids=lambda v: "" if isinstance(v, str) else str(v)[:24])
def test_odd_replies(fake, reply, says):
    fake.zone().on("PATCH", zone_path(ZONE) + "/rrsets", lambda query, body: reply)
    refused = fake.run("rrset", "add", "www.example.com", "A", "192.0.2.1", code=None)
    assert refused.code in ((3,) if reply is None else (1, 2)) and says in refused.err and len(refused.error_lines()) == 1 and refused.out == ""


def test_nobody_there_and_nobody_who_speaks_http(fake):
    silent = socket.create_server((HOST, port()))

    def talk():
        peer, _ = silent.accept()
        peer.recv(100)
        peer.sendall(b"SSH-2.0-x\r\n")
        peer.close()

    threading.Thread(target=talk, daemon=True).start()
    env = {**fake.env, "AZOTH_API": f"http://{HOST}:{silent.getsockname()[1]}"}
    assert "azoth: " in azoth("zone", "list", env=env, code=1).err
    silent.close()
    assert "cannot connect" in azoth("zone", "list", env=env, code=1).err


def test_waiting(fake):
    """The change is made whatever the fleet does: its seq is printed, and exit code 3 says that it is not everywhere."""
    fleet = {"epoch": 1, "seq": 42, "known": True, "nodes": 2, "have": 2, "need": 2, "missing": [], "absent": [], "done": True}
    fake.zone().on("GET", "/v1/changes/42", 200, fleet)
    args = ["rrset", "add", "www.example.com", "A", "192.0.2.1", "--wait=75%", "--timeout", "300ms"]
    assert (fake.run(*args).out, fake.asked[-1][2]["quorum"]) == ("1.42\n", "75")
    assert [r.get("have") for r in fake.run(*args, "--json").json_lines()] == [None, 2]
    fake.on("GET", "/v1/changes/42", 200, {**fleet, "have": 1, "missing": ["edge-2"], "done": False})
    late = fake.run(*args, code=3)
    assert late.out == "1.42\n" and "1 of 2 nodes have it; not: edge-2" in late.err
    fake.on("GET", "/v1/changes/42", 200, {**fleet, "have": 0, "nodes": 0, "absent": ["edge-2"], "done": False})
    nobody = fake.run(*args[:-1], "60s", code=3)
    assert nobody.out == "1.42\n" and "nobody to wait for" in nobody.err and "away: edge-2" in nobody.err and nobody.seconds < 30


def test_what_was_so_already(fake):
    fake.zone().on("PATCH", zone_path(ZONE) + "/rrsets", lambda query, body: (200, {**done(query, []), "changed": False}))
    same = fake.run("rrset", "set", "www.example.com", "A", "192.0.2.1")
    assert same.out == "1.42\n" and "it was so already" in same.err
    assert "there is no such RRset" in fake.run("rrset", "delete", "www.example.com", "A", code=2).err


def test_an_export_is_whole_or_not_there(fake, tmp_path):
    target, text = tmp_path / "z", "x" * 1000 + "\n"
    fake.zone().on("GET", zone_path(ZONE) + "/export", 200, text * 3000)
    assert fake.run("zone", "export", "example.com").out == text * 3000
    fake.run("zone", "export", "example.com", target)
    assert target.read_text() == text * 3000
    fake.on("GET", zone_path(ZONE) + "/export", lambda query, body: None)
    fake.run("zone", "export", "example.com", target, code=1)
    fake.on("GET", zone_path(ZONE) + "/export", 404, {"error": "there is no such zone"})
    assert "there is no such zone (status 404)" in fake.run("zone", "export", "example.com", target, code=2).err
    assert target.read_text() == text * 3000 and os.listdir(tmp_path) == ["z"]
    full = subprocess.run([program("azoth"), "zone", "export", "example.com", "/dev/full"], env=fake.on(
        "GET", zone_path(ZONE) + "/export", 200, text * 3000).env, capture_output=True, text=True)
    assert full.returncode == 1 and "cannot write /dev/full" in full.stderr


# --- on a core ------------------------------------------------------------------------------------------------------------------
def shell_examples(text, words):
    """The lines of those blocks that have one of these words."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) + re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", text, re.M | re.S)
    return [line.replace("\\e", "\\") for block in blocks if re.search(words, block) for line in block.splitlines() if line.startswith("azoth ")]


@pytest.fixture
def fleet(lab):
    """A core with its API, an edge that is live, and run(line): a line of shell with `azoth` in its path."""
    core = lab.core(api=True).start()
    env = {**os.environ, "PATH": f"{os.path.dirname(program('azoth'))}:{os.environ['PATH']}", "AZOTH_API": f"http://{HOST}:{core.ports['api']}",
           "AZOTH_API_KEY": API_KEY}

    def run(line, code=0):
        done = subprocess.run(["bash", "-c", line], env=env, cwd=lab.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120 * SLOW)
        assert done.returncode == code, f"{line}\n{done.stdout}{done.stderr}{core.log()[-2000:]}"
        return done

    run("azoth kv put test a 1")            # of a core that never committed anything an edge has nothing
    edge = lab.edge("edge-1", core).start()

    def live():
        nodes = json.loads(run("azoth status --json").stdout)["nodes"]
        return nodes and all(n["state"] == "live" for n in nodes)

    wait_until("the edge is live", live, 60, pause=0.1)
    return core, edge, run


def test_the_examples_of_readme(fleet):
    core, edge, run = fleet
    lines = shell_examples((TOP / "README.md").read_text(), "azoth zone rollback")
    assert len(lines) == 8
    first = json.loads(run(lines[0] + " --json").stdout)["seq"] if "#" not in lines[0] else int(run(lines[0]).stdout.split(".")[1])
    for line in lines[1:]:
        run(line.replace("--to 1.2", f"--to 1.{first + 1}"))
    edge_has = edge.dump("example.org.")
    assert "192.0.2.2" in edge_has and "MX" not in edge_has
    lines = shell_examples((TOP / "README.md").read_text(), "azoth compare")
    assert len(lines) == 7
    for line in lines[:-1]:                         # the last one asks servers
        run(line)


def test_the_examples_of_the_manual(fleet, lab):
    core, edge, run = fleet
    lines = shell_examples((TOP / "tools" / "azoth.1").read_text().split(".Sh EXAMPLES")[1], "azoth (zone|rrset|tsig) ")
    assert len(lines) >= 15
    (lab.folder / "example.org.zone").write_text("$TTL 300\n@ SOA ns1.example.net. hostmaster 1 3600 600 86400 60\n@ NS ns1.example.net.\nwww A 192.0.2.80\n")
    seq = None
    for line in lines:
        done = run(line.replace("--to 42", f"--to {seq}"))
        if "rrset set www" in line:
            seq = int(done.stdout.split(".")[1])
        if "rollback" in line:
            assert "- example.org. 3600 IN MX 10 mail.example.org.\n" in done.stdout and "nothing was changed" in done.stdout
        if "rrset get" in line:
            assert done.stdout == "www.example.org. 300 IN A 192.0.2.1\nwww.example.org. 300 IN A 192.0.2.2\n"
    assert "www.example.org.\t300\tIN\tA\t192.0.2.80\n" in (lab.folder / "example.org.zone").read_text()
    assert (lab.folder / "dhcp.key").read_text().startswith('key "dhcp.example.org" {\n')


def test_what_a_zone_goes_through(fleet, lab):
    core, edge, run = fleet
    run("azoth zone add example.com --ns ns1.example.net. --wait --timeout 60s")
    run("azoth rrset set '*.a\\.b.example.com' 60 TXT 'x y' --comment 'a note'")
    assert run("azoth rrset get '*.A\\.b.example.com'").stdout == '; a note\n*.a\\.b.example.com. 60 IN TXT "x y"\n'
    run("azoth rrset add 'sl/ash%.example.com' A 192.0.2.1 192.0.2.2 --wait --timeout 60s")
    assert "sl/ash%.example.com. 3600 IN A 192.0.2.2" in edge.dump("example.com.")
    assert "give --yes" in run("azoth rrset delete 'sl/ash%.example.com' A", code=1).stderr
    run("azoth rrset set 'sl/ash%.example.com' 90 A 192.0.2.1 192.0.2.2")          # nothing goes: not asked
    assert "the zone's serial is" in run("azoth rrset delete 'sl/ash%.example.com' A --yes --if-serial 1", code=2).stderr
    run("azoth rrset delete 'sl/ash%.example.com' A --yes")
    run("azoth rrset delete 'sl/ash%.example.com' A --yes", code=2)
    assert "CNAME" in run("azoth rrset set example.com CNAME other", code=2).stderr
    (lab.folder / "bad").write_text("@ SOA a b 1 2 3 4 5\n@ NS a\nx A 192.0.2.256\n")
    assert run("azoth zone import example.com bad --yes", code=2).stderr.startswith("bad:3: ")
    assert run("azoth zone add example.net --file bad", code=2).stderr.startswith("bad:3: ")
    run("azoth zone show example.net", code=2)
    (lab.folder / "good").write_text("@ SOA a b 1 2 3 4 5\n@ NS a\na A 192.0.2.25\n")
    run("azoth zone add example.net --file good --serial unixtime")
    assert "serial_policy  unixtime" in run("azoth zone show example.net").stdout
    run("azoth zone add example.net --file good", code=2)
    listed = [json.loads(line) for line in run("azoth zone list --json").stdout.splitlines()]
    assert [(z["name"], z["kind"], z["state"]) for z in listed] == [("example.com.", "native", "live"), ("example.net.", "native", "live")]
    run("azoth zone set example.net account='a b' notify=192.0.2.1,192.0.2.2@5353")
    assert "notify         192.0.2.1,192.0.2.2@5353\n" in run("azoth zone show example.net").stdout
    run("azoth zone set example.net nothing=1", code=2)
    run("azoth zone remove example.net", code=1)
    run("azoth zone remove example.net --yes")
    log = [json.loads(line) for line in run("azoth zone log example.net --json").stdout.splitlines()]
    assert [e["name"] for e in log] == ["test"] * len(log) and log[0]["removed"] == 3 and log[-1]["seq"] < log[0]["seq"]
    run("azoth zone rebuild example.com --yes")
    run("azoth tsig add k1 --update example.com:A --transfer example.com")
    assert run("azoth tsig list").stdout.splitlines()[1].split() == ["k1.", "hmac-sha256", "update", "example.com:A,", "transfer", "example.com"]
    run("azoth tsig add k1", code=2)
    run("azoth tsig remove k1")
    run("azoth tsig remove k1", code=2)


def test_a_directory_that_is_removed_is_noticed(fleet):
    """Both go on answering, and both say that something is wrong with them."""
    core, edge, run = fleet
    run("azoth zone add example.com --ns ns1.example.net.")
    for node in edge, core:
        assert node.page("/healthz") == (200, "ok\n")
        subprocess.run(["rm", "-r", str(node.dir)], check=True)
    for node in edge, core:
        node.wait_log("ERROR store.gone", timeout=30)
        assert node.page("/healthz") == (503, "the store's files were removed, see the log\n")
    edge.kill()
    core.kill()


@pytest.mark.skipif(shutil.which("nsupdate") is None, reason="nsupdate is not there")
def test_a_printed_key_is_one_for_nsupdate(lab):
    listen = port()
    core = lab.core(api=True, core={"dns": {"listen": [f"{HOST}@{listen}"]}}).start()
    env = {**os.environ, "AZOTH_API": f"http://{HOST}:{core.ports['api']}", "AZOTH_API_KEY": API_KEY}
    azoth("zone", "add", "example.com", "--ns", "ns1.example.net.", env=env)
    key = lab.folder / "key"
    key.write_text(azoth("tsig", "add", "dhcp.example.com", "--update", "example.com:A", env=env).out)

    def update(*options, rrtype="A 192.0.2.7"):
        script = f"server {HOST} {listen}\nzone example.com.\nupdate add new.example.com. 60 {rrtype}\nsend\n"
        return subprocess.run(["nsupdate", *options], input=script, capture_output=True, text=True, timeout=60).returncode

    assert update("-k", str(key), rrtype="TXT x") != 0, "a type that the key has no right to"
    assert update("-k", str(key)) == 0
    line = azoth("tsig", "add", "other", "--update", "example.com", "--format", "nsupdate", env=env).out.strip()
    assert update("-y", line, rrtype="TXT x") == 0
    got = azoth("rrset", "get", "new.example.com", env=env).out
    assert got == 'new.example.com. 60 IN A 192.0.2.7\nnew.example.com. 60 IN TXT "x"\n'
    who = [(e["via"], e["name"]) for e in azoth("zone", "log", "example.com", "--json", env=env).json_lines()]
    assert who[:2] == [("update", "other."), ("update", "dhcp.example.com.")]
