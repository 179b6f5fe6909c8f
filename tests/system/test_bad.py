"""Bad input: each gives a clear line, the old state stays live, and all converges once the cause is gone."""
import gzip
import os
import re
import shutil
import socket
import subprocess

import pytest

from genzone import generate_file
from lab import HOST, SAMPLE, azoth, bump_serial, program, small_zone, wait_until

ZONE = "example.org."
GOOD = small_zone(ZONE, 1)


def garbage(size, seed=1):
    import random
    return random.Random(seed).randbytes(size)


# --- zone files ---------------------------------------------------------------------------------------------------
def lines_with(k, text):
    """GOOD with line k (from 1) replaced."""
    lines = GOOD.splitlines()
    lines[k - 1] = text
    return "\n".join(lines) + "\n"


BAD_ZONES = {
    "syntax error on line 6": (lines_with(6, "www IN A 192.0.2.300").encode(), r"zone:6\b"),
    "unknown type": (lines_with(6, "www IN NOTYPE x").encode(), r"zone:6\b"),
    "no closing parenthesis": (lines_with(3, "@ IN SOA ns hostmaster ( 1 7200 900 1209600 60").encode(), r"zone:\d+"),
    "no closing quote": (lines_with(6, 'www IN TXT "open').encode(), r"zone:6\b"),
    "no SOA": (re.sub(r"@ IN SOA.*\n", "", GOOD).encode(), r"zone: .*SOA"),
    "two SOAs": ((GOOD + "@ IN SOA ns hostmaster 2 7200 900 1209600 60\n").encode(), r"SOA"),
    "no apex NS": (re.sub(r"@ IN NS.*\n", "", GOOD).encode(), r"NS"),
    "CNAME beside other data": ((GOOD + "www IN CNAME ns\n").encode(), r"CNAME"),
    "out-of-zone data": ((GOOD + "www.example.net. IN A 192.0.2.1\n").encode(), r"zone:7\b"),
    "gzip": (gzip.compress(GOOD.encode()), r"gzip"),
    "gzip that ends early": (gzip.compress(GOOD.encode())[:-20], r"gzip"),
    "empty file": (b"", r"zone"),
    "only comments": (b"; nothing\n\n", r"SOA|no records"),
    "garbage": (garbage(100_000), r"zone"),
    "a NUL byte": (GOOD.encode() + b"a IN TXT \0\n", r"zone"),
    "one endless line": (GOOD.encode() + b"a" * 3_000_000, r"zone:7\b"),
    "endless includes": (GOOD.encode() + b"$INCLUDE zone\n", r"INCLUDE|include"),
}


@pytest.mark.parametrize("what", BAD_ZONES)
def test_load_refuses(lab, what):
    content, wanted = BAD_ZONES[what]
    good = lab.zone_file("good", GOOD)
    core = lab.core()
    core.load(f"{ZONE}={good}")
    before = core.stat()
    (lab.folder / "zone").write_bytes(content)
    result = core.load(f"{ZONE}={lab.folder / 'zone'}", code=2)
    assert any(re.search(wanted, line) for line in result.error_lines()), result.err
    assert all(len(line) < 1000 for line in result.error_lines())
    after = core.stat()
    assert (after["applied"], after["digest"]) == (before["applied"], before["digest"])


@pytest.fixture
def live(lab):
    """core -> edge with a DNS server, serving GOOD from the file `zone`."""
    core = lab.core({ZONE: lab.zone_file("zone", GOOD)}).start()
    edge = lab.edge("edge-1", core).start()
    return core, edge, lab.dns(edge).start()


def recovers(lab, live, serial=9):
    core, edge, server = live
    lab.zone_file("zone", small_zone(ZONE, serial))
    core.hup()
    server.wait_serial(ZONE, serial)
    lab.wait_equal([core, edge])


def test_core_keeps_the_old_zone_and_recovers(lab, live):
    """Every bad file in turn under a running core."""
    core, edge, server = live
    before = core.stat()
    for what, (content, wanted) in BAD_ZONES.items():
        mark = core.mark()
        (lab.folder / "bad").write_bytes(content)
        os.replace(lab.folder / "bad", lab.folder / "zone")
        core.hup()
        line = core.wait_log(rf" (ERROR|WARN) .*{ZONE}", since=mark)
        assert len(line) < 2000, what
        assert core.running() and server.serial(ZONE) == 1, what
    after = core.stat()
    assert (after["applied"], after["digest"]) == (before["applied"], before["digest"])
    recovers(lab, live)


def test_three_hundred_megabytes_of_garbage(lab, live):
    core, edge, server = live
    block = garbage(1 << 20)
    with open(lab.folder / "bad", "wb") as f:
        for _ in range(300):
            f.write(block)
    os.replace(lab.folder / "bad", lab.folder / "zone")
    mark = core.mark()
    core.hup()
    core.wait_log(rf" (ERROR|WARN) .*{ZONE}", since=mark, timeout=60)
    assert server.serial(ZONE) == 1 and core.running()
    recovers(lab, live)


def test_zone_file_that_is_gone(lab, live):
    core, edge, server = live
    (lab.folder / "zone").unlink()
    mark = core.mark()
    core.hup()
    core.wait_log(rf" (ERROR|WARN) .*{ZONE}", since=mark)
    assert server.serial(ZONE) == 1
    recovers(lab, live)


def test_a_bad_zone_at_start_does_not_stop_the_others(lab):
    good = lab.zone_file("good", small_zone("good.example.", 3))
    bad = lab.zone_file("bad", "nonsense here\n")
    core = lab.core({"bad.example.": bad, "good.example.": good}).launch()
    edge = lab.edge("edge-1", core).start()
    server = lab.dns(edge).start()
    server.wait_serial("good.example.", 3)
    assert core.running()
    lab.zone_file("bad", small_zone("bad.example.", 4))
    core.hup()
    server.wait_serial("bad.example.", 4)


# --- configuration and environment --------------------------------------------------------------------------------
def run_daemon(kind, config, *more):
    return subprocess.run([program(kind), "-c", str(config), *more], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30)


def refused(kind, config, *words):
    """The daemon ends at once with exit 1 and says each of the words in one line of stderr."""
    for more in ([], ["--check"]):
        done = run_daemon(kind, config, *more)
        assert done.returncode == 1, (kind, more, done.returncode, done.stderr)
        assert any(all(re.search(w, line) for w in words) for line in done.stderr.splitlines()), done.stderr
        assert len(done.stderr.splitlines()) <= 2, done.stderr


DAEMONS = ["azoth-core", "azoth-edge", "azoth-dns"]


def config_of(lab, kind):
    """A good configuration with a core, an edge and a dns part; every daemon checks all of it."""
    core = lab.core()
    edge = lab.edge("edge-1", core)
    return (core if kind == "azoth-core" else edge).config_path


@pytest.mark.parametrize("kind", DAEMONS)
@pytest.mark.parametrize("what,old,new,words", [
    ("unknown key", '"dns": {', '"colour": "red",\n  "dns": {', ["colour"]),
    ("unknown key inside", '"listen": [', '"lisssten": 1,\n    "listen": [', ["lisssten"]),
    ("bad size", '"map_size": "4G"', '"map_size": "4 gigs"', ["map_size"]),
    ("bad level", '"level": "debug"', '"level": "shouting"', ["level"]),
    ("not YAML", '"node": {', '"node": {{{', []),
], ids=lambda v: v.replace(" ", "-") if isinstance(v, str) and len(v) < 20 and '"' not in v else None)
def test_config_is_refused(lab, kind, what, old, new, words):
    path = config_of(lab, kind)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    line = path.read_text()[:path.read_text().index(new.split("\n")[0].split(" ")[0])].count("\n") + 1
    wanted = [re.escape(path.name), *words] + ([rf":{line}\b|line {line}\b"] if words else [])
    refused(kind, path, *wanted)
    result = azoth("check-config", path, code=None)
    assert result.code in (1, 2) and path.name in result.err


@pytest.mark.parametrize("kind", DAEMONS)
def test_config_missing_or_absurd(lab, kind):
    refused(kind, lab.folder / "no-such-file.yaml", "no-such-file.yaml")
    for name, content in ("empty.yaml", b""), ("garbage.yaml", garbage(5000)), ("list.yaml", b"- 1\n- 2\n"):
        (lab.folder / name).write_bytes(content)
        refused(kind, lab.folder / name, re.escape(name))


@pytest.mark.parametrize("kind", DAEMONS)
def test_good_config_passes_the_check(lab, kind):
    path = config_of(lab, kind)
    done = run_daemon(kind, path, "--check")
    assert done.returncode == 0, done.stderr
    assert azoth("check-config", path).code == 0
    assert run_daemon(kind, path, "--version").stdout.startswith(kind)
    assert not list((lab.folder / "edge-1").iterdir()) if kind == "azoth-edge" else True


@pytest.mark.parametrize("kind", ["azoth-core", "azoth-edge"])
def test_the_check_reads_the_list_of_nodes(lab, kind):
    core = lab.core()
    path = (core if kind == "azoth-core" else lab.edge("edge-1", core, relay=True)).config_path
    assert run_daemon(kind, path, "--check").returncode == 0
    (lab.nodes / "broken.pub").write_text("ed25519:not a key\n")
    done = run_daemon(kind, path, "--check")
    assert done.returncode == 1 and "broken.pub:1" in done.stderr and "good" not in done.stdout, (done.stdout, done.stderr)


@pytest.mark.parametrize("which", ["publish", "serve", "http", "dns", "dns_http"])
def test_port_in_use(lab, which):
    core = lab.core({ZONE: lab.zone_file("zone", GOOD)})
    daemon = lab.dns(core) if which.startswith("dns") else core
    if which.startswith("dns"):
        core.load(f"{ZONE}={lab.folder / 'zone'}")
    kinds = [socket.SOCK_STREAM] if which != "dns" else [socket.SOCK_STREAM, socket.SOCK_DGRAM]
    for kind in kinds:
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind((HOST, core.ports[which]))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            mark = daemon.mark()
            daemon.launch()
            assert daemon.ended() == 1
            assert re.search(rf"\b{core.ports[which]}\b.*(in use|taken)", daemon.log()[mark:], re.I), daemon.log()[mark:]
    daemon.start()


def test_missing_node_key(lab):
    core = lab.core({ZONE: lab.zone_file("zone", GOOD)})
    key = core.dir / "node.key"
    content = key.read_bytes()
    key.unlink()
    core.launch()
    assert core.ended() == 1
    assert "keygen" in core.log()
    result = core.load(f"{ZONE}={lab.folder / 'zone'}", code=1)
    assert "keygen" in result.err and len(result.error_lines()) == 1
    key.write_bytes(b"not a key\n")
    key.chmod(0o600)
    core.launch()
    assert core.ended() == 1
    key.write_bytes(content)
    core.start()


def test_second_writer_is_refused(lab, live):
    core, edge, server = live
    for node in core, edge:
        config = node.config()
        config[node.role]["http"] = {"listen": f"{HOST}@{lab.edge('spare', core).ports['http']}"}
        done = run_daemon(f"azoth-{node.role}", node.config_path)
        assert done.returncode == 1 and re.search("another process|in use", done.stderr, re.I), done.stderr
    assert server.serial(ZONE) == 1


def test_directory_of_another_role(lab, live):
    core, edge, server = live
    lab.wait_equal([core, edge])
    edge.stop()
    config = core.config_path.read_text().replace(f'"{core.dir}"', f'"{edge.dir}"')
    (lab.folder / "wrong.yaml").write_text(config)
    shutil.copy(core.dir / "node.key", edge.dir / "node.key")
    core.stop()
    done = run_daemon("azoth-core", lab.folder / "wrong.yaml")
    assert done.returncode == 1 and re.search("role|edge", done.stderr), done.stderr
    (edge.dir / "node.key").unlink()
    core.start()
    edge.start()


@pytest.mark.parametrize("name,content", [("magic", b"something else\n"), ("current", b"99\n"), ("current", b"")])
def test_store_files_that_make_no_sense(lab, name, content):
    core = lab.core({ZONE: lab.zone_file("zone", GOOD)})
    core.load(f"{ZONE}={lab.folder / 'zone'}")
    good = (core.dir / name).read_bytes()
    (core.dir / name).write_bytes(content)
    core.launch()
    assert core.ended() == 1
    assert len(core.log().splitlines()) <= 4, core.log()
    assert core.azoth("stat", code=1).error_lines()
    (core.dir / name).write_bytes(good)
    core.start()


# --- another cluster ----------------------------------------------------------------------------------------------
def test_another_cluster_is_refused_until_emptied(lab, live):
    """Same signing key, other cluster id: as after somebody set a core up afresh and kept its key."""
    core, edge, server = live
    lab.wait_equal([core, edge])
    other = lab.core({ZONE: lab.zone_file("other.zone", small_zone(ZONE, 77))}, name="other")
    for name in "node.key", "node.pub":
        shutil.copy(core.dir / name, other.dir / name)
    core.stop()
    other.ports = core.ports
    other.http_port = core.http_port
    other.write_config()
    mark = edge.mark()
    other.start()
    assert other.stat()["cluster"] != edge.stat()["cluster"]
    edge.wait_log(r"cluster", since=mark)
    assert server.serial(ZONE) == 1, "still the old state"
    edge.stop()
    server.stop()
    shutil.rmtree(edge.dir)
    edge.dir.mkdir()
    edge.start()
    server.start()
    server.wait_serial(ZONE, 77)
    lab.wait_equal([other, edge])
    shutil.rmtree(core.dir)             # the old cluster is gone for good


def test_a_core_with_another_key_is_not_believed(lab, live):
    core, edge, server = live
    lab.wait_equal([core, edge])
    core.stop()
    forger = lab.core({ZONE: lab.zone_file("forged.zone", small_zone(ZONE, 66))}, name="forger")
    forger.ports, forger.http_port = core.ports, core.http_port
    forger.write_config()
    mark = edge.mark()
    forger.start()
    edge.wait_log(r"signature", since=mark)
    assert server.serial(ZONE) == 1
    forger.stop()
    core.start()
    recovers(lab, live)


# --- full ---------------------------------------------------------------------------------------------------------
def big_zone(lab, names, serial):
    path = lab.folder / "big.new"
    generate_file(names, ZONE, path)
    text = path.read_text().replace("hostmaster 1 ", f"hostmaster {serial} ", 1)
    path.unlink()
    return lab.zone_file("zone", text)


def test_core_is_full(lab):
    core = lab.core({ZONE: lab.zone_file("zone", GOOD)}, map_size="2M")
    core.start()
    edge = lab.edge("edge-1", core).start()
    server = lab.dns(edge).start()
    before = core.stat()
    big_zone(lab, 40_000, 2)
    mark = core.mark()
    core.hup()
    core.wait_log(r" (ERROR|WARN) .*full", since=mark)
    assert server.serial(ZONE) == 1 and core.running()
    assert core.stat()["digest"] == before["digest"]
    core.stop()
    core.map_size = "1G"
    core.write_config()
    core.start()
    server.wait_serial(ZONE, 2)
    lab.wait_equal([core, edge])


def test_load_into_a_full_store(lab):
    core = lab.core()
    core.load("--map-size", "2M", f"{ZONE}={lab.zone_file('zone', GOOD)}")
    before = core.stat()
    big_zone(lab, 40_000, 2)
    result = core.load("--map-size", "2M", f"{ZONE}={lab.folder / 'zone'}", code=None)
    assert result.code in (1, 2) and "full" in result.err
    assert core.stat()["digest"] == before["digest"]
    core.load(f"{ZONE}={lab.folder / 'zone'}")
    assert core.stat()["digest"] != before["digest"]


def test_edge_is_full(lab):
    core = lab.core({ZONE: lab.zone_file("zone", GOOD)}).start()
    edge = lab.edge("edge-1", core, map_size="2M").start()
    server = lab.dns(edge).start()
    lab.wait_equal([core, edge])
    big_zone(lab, 40_000, 2)
    mark = edge.mark()
    core.hup()
    edge.wait_log(r" (ERROR|WARN) .*full", since=mark, timeout=30)
    assert server.serial(ZONE) == 1 and edge.running() and server.running()
    edge.stop()
    edge.map_size = "1G"
    edge.write_config()
    edge.start()
    lab.wait_equal([core, edge])
    server.stop()
    server.start()
    assert server.serial(ZONE) == 2


def test_tiny_map_holds_versions_that_grow_and_shrink(lab):
    """A tiny map over versions that grow and shrink: freed pages are used again."""
    core = lab.core({ZONE: lab.zone_file("zone", GOOD)}).start()
    edge = lab.edge("edge-1", core, map_size="2M").start()
    server = lab.dns(edge).start()
    lab.wait_equal([core, edge])
    for serial in range(2, 42):
        lab.zone_file("zone", small_zone(ZONE, serial, "".join(f"n{i} IN TXT {'x' * 200}\n" for i in range(40 * (serial % 3)))))
        core.hup()
        server.wait_serial(ZONE, serial)
    lab.wait_equal([core, edge])


def test_sample_zone_with_new_serial_after_all(lab):
    """The sample zone itself is accepted, with a warning for the one alias that it wants to lead nowhere."""
    core = lab.core()
    result = core.load(f"example.com.={SAMPLE}")
    assert [line.split("warning: ")[1] for line in result.err.splitlines()] == [
        "CNAME of lost.example.com.: nothing-here.example.com. is not there in the zone"], result.err
    changed = lab.zone_file("zone", bump_serial(SAMPLE.read_text(), 2026010100, 2026010101))
    core.load(f"example.com.={changed}")
    assert "2026010101" in core.azoth("get", "example.com.", "SOA").out
    wait_until("verified", lambda: core.azoth("verify").code == 0)
