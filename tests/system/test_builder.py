"""Edits and builds of whole zones at once on one zone, with azoth-core killed again and again: every change that was acknowledged
is there, none is undone by an older one, and the store is what the records say (invariant 10 of the design)."""
import http.client
import itertools
import json
import os
import random
import threading
import time

from lab import API_KEY, HOST, wait_until

ZONE = "hammer.test"
KILLS = 60 if os.environ.get("AZOTH_SLOW") else 5
EDITORS = 4
NAMES = 6               # of each editor, its own
STAY = "".join(f"stays{i} 60 IN A 192.0.2.1\n" for i in range(200))


class Client:
    """One connection, made again when it is lost. Calls give the reply's object, or None: nobody knows what became of it."""

    def __init__(self, core):
        self.core, self.connection = core, None

    def call(self, method, path, body=None):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(HOST, self.core.ports["api"], timeout=60)
            self.connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body, {"X-API-Key": API_KEY})
            reply = self.connection.getresponse()
            text = reply.read()
        except (http.client.HTTPException, OSError):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            time.sleep(0.02)
            return None
        if reply.status >= 500:             # it is ending
            return None
        assert reply.status < 300, f"{method} {path}: {reply.status} {text}"
        return json.loads(text)


class Doings:
    """What was asked for, name by name: each effect with its place (epoch, seq) and the life of the core in which it was asked for."""

    def __init__(self):
        self.done = {}          # name: ((epoch, seq), value, life), the newest acknowledged
        self.unknown = {}       # name: values that may have come behind it
        self.imported = (0, 0)  # the newest import that was acknowledged: the editors' names were gone behind it
        self.lost_imports = []  # lives of those of which nobody knows
        self.life = self.imports = 0
        self.lock = threading.Lock()

    def said(self, name, value, reply, life):
        with self.lock:
            if reply is None:
                self.unknown.setdefault(name, []).append(value)
                return
            self.done[name] = ((reply["epoch"], reply["seq"]), value, life)
            self.unknown[name] = []         # this client asks for one thing after the other: what came before is older

    def said_import(self, reply, life):
        with self.lock:
            if reply is None:
                self.lost_imports.append(life)
            else:
                self.imported = (reply["epoch"], reply["seq"])
                self.imports += 1

    def allowed(self, name):
        place, value, life = self.done[name]
        gone = name != "builder" and self.imported > place
        values = [None if gone else value, *self.unknown.get(name, [])]
        return values + [None] * any(lost >= life for lost in self.lost_imports)


def owner(editor, i):
    return f"e{editor}-{i}"


def edit(core, doings, editor, seed, stop):
    """Values that only ever grow, so that an older one that came back would be seen."""
    client, rnd = Client(core), random.Random(seed)
    for value in itertools.count(1):
        if stop.is_set():
            return
        name, life = owner(editor, rnd.randrange(NAMES)), doings.life
        gone = rnd.randrange(8) == 0
        rrset = {"name": name, "type": "TXT", "ttl": 60, "records": [{"content": f'"{value}"'}]}
        if gone:
            rrset = {"name": name, "type": "TXT", "change": "delete"}
        reply = client.call("PATCH", f"/v1/zones/{ZONE}/rrsets", {"rrsets": [rrset]})
        doings.said(name, None if gone else value, reply, life)


def build(core, doings, stop):
    """Whole zones: rebuilt as the rows are, and now and then imported, which takes the editors' names away."""
    client = Client(core)
    for value in itertools.count(1):
        if stop.is_set():
            return
        life = doings.life
        client.call("POST", f"/v1/zones/{ZONE}/rebuild")
        if value % 4 == 0:
            text = f'@ 60 IN SOA ns.example.net. h 1 2 3 4 5\n@ 60 IN NS ns.example.net.\nbuilder 60 IN TXT "{value}"\n{STAY}'
            reply = client.call("POST", f"/v1/zones/{ZONE}/import?force=1", text)
            doings.said_import(reply, life)
        else:
            reply = client.call("PATCH", f"/v1/zones/{ZONE}/rrsets",
                                {"rrsets": [{"name": "builder", "type": "TXT", "ttl": 60, "records": [{"content": f'"{value}"'}]}]})
        doings.said("builder", value, reply, life)


def values(core):
    client = Client(core)
    rrsets = client.call("GET", f"/v1/zones/{ZONE}/rrsets?limit=1000")["rrsets"]
    return {r["name"].removesuffix(f".{ZONE}."): int(r["records"][0]["content"].strip('"')) for r in rrsets if r["type"] == "TXT"}


def check(core, doings, seed):
    """Against the doings, rows and store apart."""
    rows = values(core)
    stored = {}
    for line in core.dump(f"{ZONE}.").splitlines():
        words = line.split()
        if len(words) > 4 and words[3] == "TXT":
            stored[words[0].removesuffix(f".{ZONE}.")] = int(words[4].strip('"'))
    assert stored == rows, f"seed {seed}: store and records differ"
    for name, done in doings.done.items():
        allowed = doings.allowed(name)
        assert rows.get(name) in allowed, f"seed {seed}: {name} is {rows.get(name)}, acknowledged {done}, may be {allowed}"


def test_edits_and_builds_with_kills(lab):
    """Four editors and a builder on one zone; the core is killed with -9 in the middle of it, and started again."""
    seed = int(os.environ.get("AZOTH_SEED", "20261121"))
    core = lab.core(api=True).start()
    client, doings, stop = Client(core), Doings(), threading.Event()
    made = client.call("POST", "/v1/zones", {"name": ZONE, "nameservers": ["ns.example.net."],
                                             "rrsets": [{"name": f"stays{i}", "type": "A", "ttl": 60, "records": [{"content": "192.0.2.1"}]}
                                                        for i in range(200)]})
    assert made["changed"]
    threads = [threading.Thread(target=edit, args=(core, doings, e, seed + e, stop), daemon=True) for e in range(EDITORS)]
    threads.append(threading.Thread(target=build, args=(core, doings, stop), daemon=True))
    for thread in threads:
        thread.start()
    rnd = random.Random(seed)
    try:
        for _ in range(KILLS):
            time.sleep(0.2 + rnd.random() / 2)
            imports = doings.imports
            core.kill()
            doings.life += 1
            core.start()
            wait_until("a whole zone was imported", lambda before=imports: doings.imports > before, 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(doings.done) > EDITORS, f"seed {seed}: hardly anything was acknowledged"
    check(core, doings, seed)
    again = client.call("POST", f"/v1/zones/{ZONE}/rebuild?dry_run=1") or client.call("POST", f"/v1/zones/{ZONE}/rebuild?dry_run=1")
    assert again["differences"] == [], f"seed {seed}: the store is not what the records say: {again}"
    wait_until("the outbox is empty", lambda: core.stat()["records"]["events"] == 0, 60)
    core.kill()
    core.start()
    check(core, doings, seed)
