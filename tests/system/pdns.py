"""PowerDNS's own server with its HTTP API, on loopback ports and with a database in a temporary folder; never as a service. From
build/pdns (scripts/install-deps --test), or installed.

    LMDB      what it is compared with as a rule; keeps no comments and finds zones only
    SQLITE    for comments and for search
"""
import http.client
import json
import pathlib
import sqlite3
import subprocess
import urllib.parse

import dns.query
import dns.rdatatype
import dns.zone

from lab import BUILD, HOST, TOP, port, wait_until

KEY = "a-key-of-these-tests-only"
LMDB, SQLITE = "lmdb", "gsqlite3"


def folder():
    """The folder that holds usr/: that of the unpacked packages, or /; None: there is no PowerDNS."""
    for place in BUILD / "pdns", TOP / "build" / "pdns", pathlib.Path("/"):
        if (place / "usr/sbin/pdns_server").exists() and next(place.glob("usr/lib/*/pdns/libgsqlite3backend.so"), None) \
                and next(place.glob("usr/lib/*/pdns/liblmdbbackend.so"), None):
            return place
    return None


class Api:
    """A server that is asked: PowerDNS's or azoth-core's."""

    def __init__(self, api_port, key):
        self.api_port, self.key = api_port, key

    def call(self, method, path, body=None, key=True, headers=()):
        """(status, body, headers) of a request; key: True the right one, None without, else that one. body: JSON, or text as it is."""
        sent = dict(headers)
        if key:
            sent["X-API-Key"] = self.key if key is True else key
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        link = http.client.HTTPConnection(HOST, self.api_port, timeout=60)
        try:
            link.request(method, urllib.parse.quote(path, safe="/?=&%*:.,@+~-_"), body, sent)
            reply = link.getresponse()
            return reply.status, reply.read().decode(), dict(reply.getheaders())
        finally:
            link.close()


class Pdns(Api):
    def __init__(self, place, backend, more=""):
        super().__init__(port(), KEY)
        self.folder = pathlib.Path(place) / f"pdns-{backend}"
        self.folder.mkdir()
        self.port = port()
        root = folder()
        database = {LMDB: f"lmdb-filename={self.folder}/db\nlmdb-shards=1",
                    SQLITE: f"gsqlite3-database={self.folder}/db\ngsqlite3-pragma-synchronous=0"}[backend]
        if backend == SQLITE:
            schema = next(root.glob("usr/share/**/pdns-backend-sqlite3/schema.sqlite3.sql"), None) \
                or root / "usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
            with sqlite3.connect(self.folder / "db") as db:
                db.executescript(schema.read_text())
        (self.folder / "pdns.conf").write_text(f"""module-dir={next(root.glob('usr/lib/*/pdns'))}
launch={backend}
{database}
local-address={HOST}
local-port={self.port}
socket-dir={self.folder}
api=yes
api-key={KEY}
webserver=yes
webserver-address={HOST}
webserver-port={self.api_port}
webserver-allow-from={HOST}
security-poll-suffix=
loglevel=4
{more}""")
        run = [str(root / "run"), "pdns_server"] if (root / "run").exists() else ["/usr/sbin/pdns_server"]
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([*run, f"--config-dir={self.folder}", "--daemon=no", "--guardian=no", "--disable-syslog"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=self.folder)
        wait_until("PowerDNS answers", self.answers, timeout=30, pause=0.05)

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            return self.call("GET", "/api")[0] == 200
        except OSError:
            return False

    def records(self, zone):
        """What it serves of a zone: {(owner, type): {rdata}}, by transfer."""
        got = dns.zone.Zone(zone, relativize=False)
        dns.query.inbound_xfr(HOST, got, port=self.port, timeout=30)
        return {(str(name), dns.rdatatype.to_text(rdataset.rdtype)): {rd.to_text() for rd in rdataset}
                for name, node in got.nodes.items() for rdataset in node.rdatasets}

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
