"""What is seldom meant is told as a warning, and done: names that records point to and that are not there, name servers without
an address, records below another zone of ours. The same for a whole zone and for a change of it."""
import os
import subprocess

from lab import API_KEY, HOST, program, wait_until
from test_api import Api, api_core

ZONE = "/v1/zones/example.org"
HEAD = "$TTL 300\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\nmail A 192.0.2.2\n*.wild A 192.0.2.3\nsub NS ns.sub\n" \
       "ns.sub A 192.0.2.4\ndn DNAME example.net.\nal CNAME mail\nonly.deep A 192.0.2.5\n"
ROWS = [
    ("a name that is there", "x", "MX", "10 mail", ""),
    ("a name elsewhere", "x", "MX", "10 mail.example.net.", ""),
    ("a final dot that was forgotten", "x", "MX", "10 mail.example.net",
     "MX of x.example.org.: mail.example.net.example.org. is not there in the zone; was mail.example.net. meant, with its final dot?"),
    ("one label may be a slip of the pen", "x", "CNAME", "mial", "CNAME of x.example.org.: mial.example.org. is not there in the zone"),
    ("of SRV too", "_sip._tcp", "SRV", "0 5 5060 sip.example.net",
     "SRV of _sip._tcp.example.org.: sip.example.net.example.org. is not there in the zone; was sip.example.net. meant, with its final dot?"),
    ("a wildcard answers", "x", "CNAME", "any.wild", ""),
    ("a delegation does", "x", "CNAME", "host.sub", ""),
    ("a DNAME does", "x", "CNAME", "host.dn", ""),
    ("an alias is there", "x", "MX", "10 al", ""),
    ("a name server without address", "two", "NS", "nowhere", "NS of two.example.org.: nowhere.example.org. has no address in the zone"),
    ("glue that is missing", "two", "NS", "ns.two", "NS of two.example.org.: ns.two.example.org. has no address in the zone; was ns.two. meant, with its final dot?"),
    ("a name server below another delegation", "two", "NS", "ns2.sub", ""),
    ("below another zone of ours", "x.child", "A", "192.0.2.9", "x.child.example.org. lies below another zone that is hosted here, and is not served"),
    ("that zone answers for the name", "x", "CNAME", "www.child", ""),
]


def texts(reply):
    return [w["text"] for w in reply["warnings"]]


def test_what_is_seldom_meant(lab):
    core = api_core(lab).start()
    api = Api(core)
    assert texts(api.good("POST", "/v1/zones/example.org/import?create=1", HEAD, 201)) == []
    api.good("POST", "/v1/zones", {"name": "child.example.org", "nameservers": ["ns.example.net."]}, 201)
    for why, owner, kind, data, says in ROWS:
        change = {"rrsets": [{"name": owner, "type": kind, "ttl": 300, "records": [{"content": data}]}]}
        assert texts(api.good("PATCH", f"{ZONE}/rrsets", change)) == ([says] if says else []), why
        change["rrsets"][0] = {"name": owner, "type": kind, "change": "delete"}
        assert texts(api.good("PATCH", f"{ZONE}/rrsets", change)) == [], why
        if owner != "x.child":                      # of addresses in a whole zone nobody can say whether they are glue
            whole = texts(api.good("POST", f"{ZONE}/import?dry_run=1", HEAD + f"{owner} {kind} {data}\n"))
            assert whole == ([says] if says else []), why
    # what comes with the same change is there
    pair = [{"name": "x", "type": "CNAME", "ttl": 300, "records": [{"content": "y"}]},
            {"name": "y", "type": "A", "ttl": 300, "records": [{"content": "192.0.2.9"}]}]
    assert texts(api.good("PATCH", f"{ZONE}/rrsets", {"rrsets": pair})) == []
    glue = [{"name": "child", "type": "NS", "ttl": 300, "records": [{"content": "ns.child"}]},
            {"name": "ns.child", "type": "A", "ttl": 300, "records": [{"content": "192.0.2.9"}]}]
    assert texts(api.good("PATCH", f"{ZONE}/rrsets", {"rrsets": glue})) == []
    glue[1]["type"] = "TXT"
    glue[1]["records"][0]["content"] = '"a"'
    assert "ns.child.example.org. lies below another zone that is hosted here, and is not served" in texts(
        api.good("PATCH", f"{ZONE}/rrsets?dry_run=1", {"rrsets": glue}))
    whole = texts(api.good("POST", f"{ZONE}/import?dry_run=1", HEAD + 'x.child TXT "a"\n'))
    assert whole == ["x.child.example.org. lies below another zone that is hosted here, and is not served"]

    done = subprocess.run([program("azoth"), "rrset", "set", "example.org.", "MX", "10 mail.example.net"], capture_output=True, text=True,
                          env={**os.environ, "AZOTH_API": f"http://{HOST}:{core.ports['api']}", "AZOTH_API_KEY": API_KEY}, timeout=60)
    assert done.returncode == 0 and "was mail.example.net. meant, with its final dot?" in done.stderr, done


def test_a_file_with_the_serial_of_before(lab):
    text = "$TTL 300\n@ SOA ns.example.com. h 1 3600 600 86400 300\n@ NS ns.example.com.\nwww A 192.0.2.{}\n"
    path = lab.zone_file("z", text.format(1))
    core = api_core(lab, zones={"example.net.": path}).start()
    assert core.metric("azoth_core_zone_same_serial_total") == 0
    lab.zone_file("z", text.format(2))
    core.hup()
    core.wait_log(r"zone\.warning at=.*other records than before, and the same serial 1: secondaries")
    assert core.metric("azoth_core_zone_same_serial_total") == 1
    lab.zone_file("z", text.format(3).replace("h 1 ", "h 2 "))
    core.hup()
    wait_until("the third is in", lambda: core.metric("azoth_core_zone_loads_total") == 3)
    assert core.metric("azoth_core_zone_same_serial_total") == 1
