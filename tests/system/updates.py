"""A core that takes UPDATE on core.dns, its zones and keys made through the API; and BIND beside it, on the same zone."""
import base64
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request

import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.update

import lab as labs
from lab import API_KEY, HOST, port

SECRET = bytes(range(32))
ZONE = """$TTL 300
@ 3600 IN SOA ns1 hostmaster 100 7200 900 1209600 300
@ 3600 IN NS ns1
@ 3600 IN NS ns2
ns1 3600 IN A 192.0.2.1
ns2 3600 IN A 192.0.2.2
www IN A 192.0.2.10
www IN A 192.0.2.11
www IN TXT "x"
mail IN A 192.0.2.12
@ IN MX 10 mail
alias IN CNAME www
sub IN NS ns.sub
ns.sub IN A 192.0.2.30
*.wild IN A 192.0.2.20
a.ent IN A 192.0.2.21
"""


def call(core, method, path, body=None, type="application/json", want=(200, 201)):
    """One call of the API; JSON or text comes back."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://{HOST}:{core.ports['api']}{path}", data=data, method=method,
                                     headers={"X-API-Key": API_KEY, "Content-Type": type})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            status, text = reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    assert status in want, f"{method} {path}: {status} {text}"
    return json.loads(text) if text.lstrip().startswith(("{", "[")) else text


def updating_core(lab, acl=None, proxies=None, zone="example.com.", text=ZONE, **settings):
    """Started, with one native zone. `core.dns_port`: where it takes UPDATE."""
    dns_port = port()
    part = {"listen": [f"{HOST}@{dns_port}"], "proxies": proxies or []}
    core = lab.core(api=True, core={"dns": part}, **settings)
    core.dns_port = dns_port
    core.start()
    make_zone(core, zone, text, acl)
    return core


def make_zone(core, zone, text, acl=None):
    call(core, "POST", "/v1/zones", {"name": zone, "kind": "native", "update_acl": acl or [], "nameservers": [f"ns1.{zone}"]})
    call(core, "POST", f"/v1/zones/{zone}/import", f"$ORIGIN {zone}\n" + text, type="text/dns")


def add_key(core, name="key.example.", algorithm="hmac-sha256", secret=SECRET, update=None):
    rights = {"update": update if update is not None else [{"zone": "example.com."}]}
    call(core, "POST", "/v1/tsig", {"name": name, "algorithm": algorithm, "secret": base64.b64encode(secret).decode(), "rights": rights})
    return dns.tsig.Key(name, secret, algorithm)


def send(message, to, tcp=False, timeout=10, **more):
    how = dns.query.tcp if tcp else dns.query.udp
    return how(message, HOST, port=to, timeout=timeout * labs.SLOW, **more)


def update(core, *lines, key=None, zone="example.com.", tcp=False, fill=None):
    """fill(update) or lines of ("add"|"delete"|"present"|"absent"|"replace", args...); gives the rcode's text."""
    u = dns.update.Update(zone, keyring=key)
    for verb, *args in lines:
        getattr(u, verb)(*args)
    if fill:
        fill(u)
    return dns.rcode.to_text(send(u, core.dns_port, tcp).rcode())


def ask(core, name, rrtype, key=None, tcp=False):
    q = dns.message.make_query(name, rrtype)
    if key:
        q.use_tsig(key)
    return send(q, core.dns_port, tcp)


def values(core, name, rrtype):
    return sorted(rd.to_text() for rrset in ask(core, name, rrtype).answer for rd in rrset)


def serial(core, zone="example.com."):
    return ask(core, zone, "SOA").answer[0][0].serial


# --- programs of others, unpacked by scripts/install-deps ----------------------------------------------------------
def client_command(name):
    """The command line of a client that sends updates, or None."""
    for folder in labs.BUILD / "clients", labs.TOP / "build" / "clients":
        for where in "usr/bin", "usr/sbin":
            if (folder / where / name).exists():
                return [str(folder / "run"), name]
    return None


class Kea:
    """kea-dhcp-ddns on loopback: told of leases as a DHCP server would, it sends updates."""

    def __init__(self, folder, core, key):
        self.port = port()
        config = folder / "kea.json"
        domain = {"key-name": str(key.name), "dns-servers": [{"ip-address": HOST, "port": core.dns_port}]}
        config.write_text(json.dumps({"DhcpDdns": {
            "ip-address": HOST, "port": self.port, "dns-server-timeout": 2000,
            "tsig-keys": [{"name": str(key.name), "algorithm": "HMAC-SHA256", "secret": base64.b64encode(SECRET).decode()}],
            "forward-ddns": {"ddns-domains": [{"name": "example.com.", **domain}]},
            "reverse-ddns": {"ddns-domains": [{"name": "2.0.192.in-addr.arpa.", **domain}]},
            "loggers": [{"name": "kea-dhcp-ddns", "severity": "INFO", "output_options": [{"output": "stderr"}]}]}}))
        self.log_path = folder / "kea.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*client_command("kea-dhcp-ddns"), "-c", str(config)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, "KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": "none"})
        labs.wait_until("kea started", lambda: "DHCP_DDNS_STARTED" in self.log(), 30)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def lease(self, name, address, dhcid, add=True):
        text = json.dumps({"change-type": 0 if add else 1, "forward-change": True, "reverse-change": True, "fqdn": name,
                           "ip-address": address, "dhcid": dhcid, "lease-expires-on": "20371231235959", "lease-length": 3600,
                           "use-conflict-resolution": True}).encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(len(text).to_bytes(2, "big") + text, (HOST, self.port))

    def stop(self):
        self.process.terminate()
        self.process.wait(10 * labs.SLOW)
