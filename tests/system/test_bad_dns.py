"""azoth-dns with bad configurations and bad surroundings: each message names what and where; what can be waited for is
waited for; what serves goes on serving."""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess

import dns.edns
import dns.message
import dns.rcode
import pytest

from lab import HOST, TOP, port, program, small_zone, wait_until

ZONE = "example.org."


@pytest.fixture
def core(lab):
    """A core that is loaded and does not run: azoth-dns serves from its folder."""
    it = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))})
    it.load(f"{ZONE}={lab.folder / 'zone'}")
    return it


def configure(node, **dns_keys):
    node.dns_settings = dns_keys
    node.write_config()


def refused(node, *words, before=()):
    """It ends with 1 at once, and one line of stderr has all these words."""
    done = subprocess.run([*before, program("azoth-dns"), "-c", str(node.config_path)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert any(all(re.search(w, line) for w in words) for line in done.stderr.splitlines()), done.stderr
    assert len(done.stderr.splitlines()) <= 3, done.stderr


def without(*capabilities):
    """The front of a command line: root without these rights."""
    dropped = ",".join(f"-{c}" for c in capabilities)
    return ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="lets go of single rights of root")


# --- addresses --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("family,host", [(socket.AF_INET, HOST), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_address_in_use(core, family, host, kind):
    """The second of two addresses; also when whoever has it would share it."""
    with socket.socket(family, kind) as taken:
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            taken.bind((host, 0))
        except OSError as error:
            pytest.skip(f"{host}: {error}")
        if kind == socket.SOCK_STREAM:
            taken.listen()
        address = f"{host}@{taken.getsockname()[1]}"
        configure(core, listen=[f"{HOST}@{port()}", address])
        refused(core, re.escape(address), "in use", "tcp" if kind == socket.SOCK_STREAM else "udp")


def test_address_twice(core):
    """Sockets of one address share it, so nothing else would show the slip: clients would land in either of two."""
    twice, cert = f"{HOST}@{port()}", core.config_path.parent / "cert.pem"
    configure(core, listen=[twice, f"{HOST}@{port()}", twice])
    refused(core, "dns.listen", re.escape(twice), "already")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=x", "-keyout", str(cert), "-out", str(cert) + ".crt"], check=True, capture_output=True)
    tls = {"cert": str(cert) + ".crt", "key": str(cert)}
    configure(core, listen=[twice], tls={"listen": [twice], **tls})
    refused(core, "dns.tls.listen", re.escape(twice), "already")
    configure(core, listen=[f"{HOST}@{port()}"], tls={"listen": [twice, twice], **tls})
    refused(core, "dns.tls.listen", re.escape(twice), "already")


@needs_root
def test_no_rights_for_port_53(core):
    first = int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read())
    if first <= 53:
        pytest.skip("here everybody may listen on port 53")
    configure(core, listen=["127.0.0.53@53"])
    refused(core, r"127\.0\.0\.53@53", "ermission denied", before=without("net_bind_service"))


@pytest.mark.parametrize("listen,words", [
    (["192.0.2.77@5353"], [r"192\.0\.2\.77@5353", "assign requested address"]),
    (["localhost@5353"], [r":\d+: dns.listen.1", "a name", "address"]),
    ([f"{HOST}:5353"], ["dns.listen", "ADDRESS@PORT"]),
    ([f"{HOST}@70000"], [r":\d+: dns.listen", "ADDRESS@PORT"]),
    ([], ["listen"]),
], ids=["not of this host", "a name", "a colon", "port too high", "none"])
def test_address_that_cannot_be(core, listen, words):
    configure(core, listen=listen)
    refused(core, *words)


# --- keys -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("keys,words", [
    ({"workers": 0}, ["workers"]),
    ({"workers": 257}, ["workers"]),
    ({"workers": "many"}, ["workers"]),
    ({"cache": "many"}, ["cache"]),
    ({"cache": "900T"}, ["dns.cache", "memory"]),
    ({"listening": []}, ["listening"]),
    ({"tls": {"listen": [f"{HOST}@853"]}}, ["tls"]),
    ({"rrl": {"rate": -1}}, ["rate"]),
    ({"proxies": ["all"]}, ["proxies"]),
    ({"http": {"listen": "8092"}}, [r":\d+: dns.http.listen"]),
], ids=lambda v: json.dumps(v) if isinstance(v, dict) else "")
def test_key_that_cannot_be(core, keys, words):
    configure(core, **keys)
    refused(core, *words)


def test_no_part_dns(core):
    text = json.loads(core.config_path.read_text())
    del text["dns"]
    core.config_path.write_text(json.dumps(text))
    refused(core, "no part dns", re.escape(core.config_path.name))


@pytest.mark.parametrize("arguments,words", [
    (["--nonsense"], "nonsense"), (["-x"], "x"), (["-c"], "argument"), (["-c", "/no/such.yaml"], "/no/such.yaml"), (["more"], "more"),
])
def test_arguments(arguments, words):
    done = subprocess.run([program("azoth-dns"), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) <= 3, done.stderr


def test_more_workers_than_processors(lab, core):
    """It works, and says that it is no good idea."""
    configure(core, workers=(os.cpu_count() or 1) + 2)
    server = lab.dns(core).start()
    server.wait_log(r" WARN .*dns\.workers workers=\d+ processors=\d+")
    assert server.serial(ZONE) == 1


def test_a_cache_that_is_none(lab, core):
    """64 where 64M was meant: it works, and says that nothing is kept."""
    configure(core, cache=64)
    server = lab.dns(core).start()
    server.wait_log(r" WARN .*dns\.cache bytes=64 workers=\d+")
    assert server.serial(ZONE) == 1


# --- the store --------------------------------------------------------------------------------------------------------
def asks(server):
    """The rcode of an answer, or None."""
    try:
        return server.ask(ZONE, "SOA", timeout=1).rcode()
    except Exception:       # noqa: BLE001  nobody answers
        return None


@pytest.mark.parametrize("folder", ["absent", "empty", "no store"])
def test_waits_for_a_store(lab, folder):
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1))})
    kept = lab.folder / "kept"
    core.dir.rename(kept)               # with its key
    if folder != "absent":
        core.dir.mkdir()
    if folder == "no store":
        (core.dir / "other").write_text("something\n")
    server = lab.dns(core).launch()
    wait_until("it is alive", lambda: server.page("/healthz")[0] == 200)
    server.wait_log(rf" WARN .*dns\.wait .*{re.escape(str(core.dir))}.*next=wait")
    status, text = server.page("/readyz")
    assert status == 503 and text.strip(), "it says why"
    assert asks(server) == dns.rcode.SERVFAIL and server.metric("azoth_dns_ready") == 0
    shutil.rmtree(core.dir, ignore_errors=True)
    kept.rename(core.dir)
    core.load(f"{ZONE}={lab.folder / 'zone'}")
    server.wait_ready()
    wait_until("it answers", lambda: server.serial(ZONE) == 1)
    assert server.log().count("dns.wait") == 1


def break_magic(core, old, new):
    path = core.dir / "magic"
    text = path.read_text()
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text))
    return lambda: path.write_text(text)


@pytest.mark.parametrize("old,new,words", [
    (r"azoth-store \d+", "azoth-store 99", ["99", "format"]),
    (r"lmdb \S+", "lmdb 1.0", ["LMDB 1.0"]),
    (r"azoth-store \d+", "something", ["magic"]),
], ids=["format", "LMDB", "no store"])
def test_store_of_another_version(lab, core, old, new, words):
    mend = break_magic(core, old, new)
    refused(core, re.escape(str(core.dir)), *words)
    mend()
    lab.dns(core).start()


def test_store_of_another_version_while_it_waits(lab, core):
    """It cannot be told from one that is being replaced: said, and waited for a better one."""
    mend = break_magic(core, r"azoth-store \d+", "azoth-store 99")
    away = lab.folder / "away"
    core.dir.rename(away)
    server = lab.dns(core).launch()
    server.wait_log(r"dns\.wait .*no azoth store")
    away.rename(core.dir)
    server.wait_log(r"dns\.wait .*format 99")
    assert server.page("/readyz")[0] == 503
    mend()
    server.wait_ready()
    wait_until("it answers", lambda: server.serial(ZONE) == 1)


@needs_root
@pytest.mark.parametrize("what", ["folder", "data", "lock"])
def test_store_that_its_user_may_not_read(core, what):
    path = {"folder": core.dir, "data": core.dir / "data.1/data.mdb", "lock": core.dir / "data.1/lock.mdb"}[what]
    mode = path.stat().st_mode
    with contextlib.ExitStack() as back:
        os.chown(path, 65534, 65534)
        back.callback(os.chown, path, 0, 0)
        path.chmod(0o700 if what == "folder" else 0o600)
        back.callback(path.chmod, mode)
        refused(core, re.escape(str(core.dir)), "ermission denied", before=without("dac_override", "dac_read_search"))


@needs_root
def test_store_on_a_read_only_file_system(core):
    """As for a unit whose ReadWritePaths do not name node.dir: LMDB would read there without a word and without a reader slot."""
    before = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
              f"mount --bind '{core.dir}' '{core.dir}' && mount -o remount,bind,ro '{core.dir}' && exec \"$@\"", "sh"]
    if subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        pytest.skip("mounts are not allowed here")
    refused(core, re.escape(str(core.dir)), "lock.mdb", "read-only", "ReadWritePaths", before=before)


def test_folder_replaced_under_it(lab, core):
    """Removed: the data at hand is answered from, and the log says so. Another store in its place: that one. The same
    generation number and the same sequence number say nothing."""
    server = lab.dns(core).start()
    assert server.serial(ZONE) == 1
    kept = lab.folder / "kept"
    core.dir.rename(kept)
    server.wait_log(r" ERROR .*dns\.store .*current.* next=\"the data at hand")
    assert server.serial(ZONE) == 1 and server.page("/readyz")[0] == 200
    core.dir.mkdir()
    core.azoth("keygen")
    core.load(f"{ZONE}={lab.zone_file('zone', small_zone(ZONE, 77))}")
    server.wait_serial(ZONE, 77)
    server.wait_log(r"dns\.store .*next=followed")
    assert server.metric("azoth_dns_generation") == 1
    assert server.log().count(" ERROR ") <= 2


# --- signals ----------------------------------------------------------------------------------------------------------
def test_hup(lab, core):
    """The log level counts at once; of other keys it says that they do not; a bad file changes nothing."""
    server = lab.dns(core).start()
    mark = server.mark()
    configure(core, cache="1M", workers=2)
    server.hup()
    line = server.wait_log(r" WARN .*dns\.reload changed=", since=mark)
    assert "dns.workers,dns.cache" in line and "next start" in line
    server.wait_log(r" INFO .*dns\.reload", since=mark)
    mark = server.mark()
    core.config_path.write_text(core.config_path.read_text().replace('"workers"', '"wrokers"'))
    server.hup()
    line = server.wait_log(r" ERROR .*dns\.reload .*wrokers", since=mark)
    assert core.config_path.name in line and "old configuration stays" in line
    core.write_config()
    core.config_path.write_text(core.config_path.read_text().replace('"debug"', '"error"'))
    server.hup()
    mark = server.mark()
    for _ in range(3):
        assert server.serial(ZONE) == 1
        server.hup()
    wait_until("it goes on", lambda: server.metric("azoth_dns_queries_total", proto="udp") >= 3)
    assert "INFO" not in server.log()[mark + 1000:]


COOKIE = 10


def cookie(server, sent):
    """What comes back for it: client and server cookie."""
    reply = server.ask(ZONE, "SOA", options=[dns.edns.GenericOption(COOKIE, sent)])
    return next(o.data for o in reply.options if o.otype == COOKIE)


def test_hup_takes_over_cookie_secrets(lab, core):
    """A cookie of the first secret comes back as it is, any other is replaced. A new secret is put first, then the old one goes."""
    old, new = "00112233445566778899aabbccddeeff", "f0e0d0c0b0a090807060504030201000"
    configure(core, cookie_secret=old, workers=2)
    server = lab.dns(core).start()
    given = cookie(server, b"12345678")
    assert len(given) == 24 and given[:8] == b"12345678" and all(cookie(server, given) == given for _ in range(8))
    configure(core, cookie_secret=f"{new},{old}", workers=2)
    server.hup()
    wait_until("all workers renew it", lambda: all(cookie(server, given) != given for _ in range(12)))
    renewed = cookie(server, given)
    assert all(cookie(server, renewed) == renewed for _ in range(8))
    configure(core, cookie_secret=new, workers=2)
    mark = server.mark()
    server.hup()
    server.wait_log(r"dns\.reload what=log,cookies", since=mark)
    assert all(cookie(server, renewed) == renewed for _ in range(8))
    assert "changed=" not in server.log()


def test_term_answers_what_came_in(lab, core):
    """Questions that a TCP connection sent before SIGTERM are answered, then it is closed; UDP likewise."""
    server = lab.dns(core).start()
    query = dns.message.make_query(ZONE, "SOA").to_wire()
    framed = len(query).to_bytes(2, "big") + query
    with socket.create_connection((HOST, server.port), timeout=20) as s:
        s.sendall(framed)               # it is known to a worker now
        assert read_message(s)
        s.sendall(framed * 50)
        server.stop()                   # exit code 0
        for _ in range(50):
            assert dns.message.from_wire(read_message(s)).answer
        assert s.recv(1) == b""
    server.start()
    assert server.serial(ZONE) == 1


def read_message(s):
    def read(n):
        got = b""
        while len(got) < n:
            more = s.recv(n - len(got))
            assert more, "closed"
            got += more
        return got
    return read(int.from_bytes(read(2), "big"))


# --- pages and units --------------------------------------------------------------------------------------------------
def test_every_metric_is_described(lab, core):
    """azoth-dns(8) names every metric of the page, and no other."""
    server = lab.dns(core).start()
    page = (TOP / "tools/azoth-dns.8").read_text()
    shown = {name for name, _ in server.metrics() if name.startswith("azoth_")}
    assert shown - set(re.findall(r"azoth_dns_[a-z0-9_]+", page)) == set()
    assert set(re.findall(r"azoth_dns_[a-z0-9_]+", page)) - shown == set()


def test_counters_of_workers(lab, core):
    configure(core, workers=2)
    server = lab.dns(core).start()
    for n in range(40):
        server.ask(ZONE, "SOA", tcp=n % 4 == 0)

    def counted():
        values = server.metrics()
        return [sum(v for (name, labels), v in values.items() if name == "azoth_dns_worker_queries_total" and ("proto", proto) in labels)
                for proto in ("udp", "tcp")]
    wait_until("counted", lambda: counted() == [30, 10])
    assert server.metric("azoth_dns_responses_total", rcode="NOERROR") == 40
    assert {dict(labels)["worker"] for name, labels in server.metrics() if name == "azoth_dns_worker_queries_total"} == {"1", "2"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
@pytest.mark.parametrize("unit", ["azoth-core", "azoth-edge", "azoth-dns"])
def test_systemd_unit(tmp_path, unit):
    text = (TOP / f"etc/{unit}.service.in").read_text().replace("@sysconfdir@", "/etc")
    path = tmp_path / f"{unit}.service"
    path.write_text(text.replace(f"@sbindir@/{unit}", program(unit)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if unit in line]
    assert not ours, done.stderr
