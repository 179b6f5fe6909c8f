"""The azoth command on stores that hold the sample zone."""
import json
import os
import re
import shutil
import stat as file_stat
import subprocess

import dns.zone
import pytest

from lab import API_KEY, BUILD, HOST, SAMPLE, TOP, azoth, normal_records, small_zone

ZONE = "example.com."


@pytest.fixture
def loaded(lab):
    core = lab.core()
    core.load(f"{ZONE}={SAMPLE}")
    return core


def test_keygen(lab):
    folder = lab.folder / "node"
    folder.mkdir()
    azoth("keygen", "--dir", folder)
    key, pub = folder / "node.key", folder / "node.pub"
    assert file_stat.S_IMODE(key.stat().st_mode) == 0o600
    assert re.fullmatch(r"ed25519:[A-Za-z0-9+/]{43}=\n", pub.read_text())
    before = key.read_bytes()
    azoth("keygen", "--dir", folder, code=1)
    assert key.read_bytes() == before, "an existing key is never overwritten"


@pytest.mark.parametrize("checker", [["ldns-read-zone"], ["named-checkzone", "-i", "local", ZONE], ["kzonecheck", "-o", ZONE]],
                         ids=lambda c: c[0])
def test_dump_is_accepted(lab, loaded, checker):
    path = lab.folder / "dump"
    path.write_text(loaded.dump(ZONE))
    done = subprocess.run([*checker, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dump_is_the_same_set(lab, loaded):
    """By two readers that are not ours: ldns and dnspython."""
    wanted = normal_records(SAMPLE.read_text(), ZONE, lab.folder)
    assert normal_records(loaded.dump(ZONE), None, lab.folder) == wanted
    first = dns.zone.from_text(SAMPLE.read_text(), ZONE, relativize=False)
    second = dns.zone.from_text(loaded.dump(ZONE), ZONE, relativize=False)
    assert first == second


def test_dump_loads_again_without_a_change(lab, loaded):
    before = loaded.stat()
    path = lab.folder / "dump"
    path.write_text(loaded.dump(ZONE))
    loaded.load(f"{ZONE}={path}")
    after = loaded.stat()
    assert (before["applied"], before["digest"]) == (after["applied"], after["digest"])


def test_dump_json_and_keys(lab, loaded):
    lines = [json.loads(line) for line in loaded.azoth("dump", "--format", "json").out.splitlines()]
    keys = loaded.azoth("dump", "--format", "keys").out.splitlines()
    entries = loaded.stat()["entries"]
    assert len(keys) == entries and len(lines) >= entries
    assert "www.example.com." in loaded.azoth("dump", "--format", "json").out


def test_get(loaded):
    out = loaded.azoth("get", "www.example.com.", "A").out
    assert "192.0.2.80" in out and "192.0.2.81" in out
    assert "192.0.2.153" in loaded.azoth("get", "ns1.child.example.com.", "A").out
    json.loads(loaded.azoth("get", "www.example.com.", "A", "--json").out)
    missing = loaded.azoth("get", "nothing.example.com.", "A", code=None)
    assert missing.code in (1, 2) and len(missing.error_lines()) == 1


def test_log(loaded):
    records = loaded.azoth("log", "--json").json_lines()
    assert [r["seq"] for r in records] == list(range(1, len(records) + 1))
    assert records[-1]["seq"] == loaded.stat()["applied"]
    assert loaded.azoth("log", "--verify").code == 0
    assert all(r["signature"] == "good" for r in loaded.azoth("log", "--verify", "--json").json_lines())


def test_log_of_an_edge_is_verified_with_the_cores_key(lab, loaded):
    loaded.start()
    edge = lab.edge("edge-1", loaded).start()
    lab.wait_equal([loaded, edge])
    assert edge.azoth("log", "--verify", "--core-key", loaded.pub()).code == 0
    other = lab.core(name="other")
    assert edge.azoth("log", "--verify", "--core-key", other.pub(), code=2)
    # the same bytes on every hop
    chains = [[r["chain"] for r in node.azoth("log", "--json").json_lines()] for node in (loaded, edge)]
    assert chains[0] == chains[1]


def test_stat_json(loaded):
    stat = loaded.stat()
    for key in "cluster", "epoch", "applied", "head", "digest", "namespaces", "bytes":
        assert key in stat
    assert re.fullmatch("[0-9a-f]{64}", stat["digest"]) and "dns" in stat["namespaces"]
    assert loaded.azoth("stat").out


def test_what_the_machines_stop_left_behind_is_told(lab):
    """Data and log are those of the last checkpoint, what was acknowledged since stands ahead of the log: whoever reads the folder
    is told, once, until a core has taken it in; beside a core at work nobody is."""
    looks = [("verify",), ("dump", "--format", "keys"), ("log",), ("stat", "--json"), ("get", "nothing.example.com.", "A"),
             ("kv", "get", "app", "k1"), ("kv", "list", "app", "--json")]

    def put(numbers):
        for i in numbers:
            azoth("kv", "put", "app", f"k{i}", str(i), env=env)

    def words():
        """What each command says on stderr of changes that wait; its exit code is its own."""
        done = [core.azoth(*look, code=None) for look in looks]
        assert done[3].json()["applied"] > 0 and done[5].out == "1" and len(done[6].json_lines()) > 0
        return [[line for line in d.error_lines() if "newer change" in line] for d in done]

    core = lab.core(api=True)
    env = {**os.environ, "AZOTH_API": f"http://{HOST}:{core.ports['api']}", "AZOTH_API_KEY": API_KEY}
    core.start()
    put([1, 2])
    assert words() == [[]] * len(looks)
    core.stop()
    at = core.stat()["applied"]
    older = lab.folder / "older"
    shutil.copytree(core.dir, older)
    core.start()
    put(range(3, 8))
    core.kill()
    shutil.copy(core.dir / "log" / "ahead", older / "log" / "ahead")
    shutil.rmtree(core.dir)
    older.rename(core.dir)
    told = words()
    assert all(one == told[0] for one in told) and len(told[0]) == 1, told
    assert re.search(rf"is at seq {at}: 5 newer changes, up to seq {at + 5}, stand in .*azoth-core takes them in", told[0][0]), told[0]
    core.start()
    assert words() == [[]] * len(looks)
    assert core.azoth("kv", "get", "app", "k7").out == "7" and core.stat()["applied"] >= at + 5
    core.stop()
    assert words() == [[]] * len(looks)


def test_verify_finds_a_flipped_byte(loaded):
    loaded.verify()
    [path] = loaded.dir.glob("data.*/data.mdb")
    data = bytearray(path.read_bytes())
    good = bytes(data)
    at = data.find(bytes([192, 0, 2, 80]))
    assert at > 0
    while at >= 0:
        data[at + 3] ^= 1
        at = data.find(bytes([192, 0, 2, 80]), at + 1)
    path.write_bytes(data)
    result = loaded.azoth("verify", code=2)
    assert result.error_lines()
    path.write_bytes(good)
    loaded.verify()


@pytest.mark.parametrize("args", [
    ["no-such-command"], [], ["stat"], ["stat", "--dir"], ["stat", "--colour", "red"], ["load", "--dir", "/nonexistent/x", "a=b"],
    ["get", "--dir", "DIR"], ["get", "--dir", "DIR", "www.example.com.", "NOTYPE"], ["get", "--dir", "DIR", "a..b", "A"],
    ["dump", "--dir", "DIR", "--format", "poem"], ["dump", "--dir", "DIR", "--ns", "nothing-here"], ["log", "--dir", "DIR", "--from", "x"],
    ["load", "--dir", "DIR"], ["load", "--dir", "DIR", "no-equals-sign"], ["load", "--dir", "DIR", "--list", "/nonexistent"],
    ["stat", "--dir", "/nonexistent"], ["verify", "--dir", "/etc"], ["check-config", "/nonexistent"],
], ids=lambda a: " ".join(a) or "nothing")
def test_wrong_usage(loaded, args):
    result = azoth(*[str(loaded.dir) if a == "DIR" else a for a in args], code=None)
    assert result.code in (1, 2), (result.code, result.out)
    lines = result.error_lines()
    assert 1 <= len(lines) <= 2 and lines[0].startswith("azoth"), result.err


def test_dump_of_a_zone_that_is_not_there(loaded):
    result = loaded.azoth("dump", "--zone", "example.net.", code=None)
    assert result.code in (1, 2) and "example.net." in result.err


def test_check_config_of_the_sample_configuration(lab):
    sample = TOP / "etc" / "azoth.yaml"
    text = sample.read_text()
    assert "core:" in text and "edge:" in text and "dns:" in text
    azoth("check-config", sample, code=None)


def test_version_and_help():
    assert azoth("--version").out.startswith("azoth ")
    text = azoth("--help").out
    for command in "keygen", "load", "dump", "get", "log", "stat", "verify", "check-config":
        assert command in text
        assert azoth("help", command).out.startswith("Usage: azoth " + command)


# --- man pages ----------------------------------------------------------------------------------------------------
def man_examples(page):
    """The literal blocks of a man page's EXAMPLES section, as text."""
    text = (TOP / "tools" / page).read_text()
    section = re.search(r"^\.Sh EXAMPLES\n(.*?)(?=^\.Sh|\Z)", text, re.M | re.S)
    assert section, f"{page} has no EXAMPLES"
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", section.group(1), re.M | re.S)
    return [block.replace("\\&", "").replace("\\-", "-").replace("\\e", "\\") for block in blocks]


def test_examples_of_the_man_page(lab):
    """They run as they stand, in a folder that holds the files they speak of; only the directory is another. Those that speak
    to a running core or another host are what tests/tools/check-kv, check-backup, test_fleet.py, test_cli_zone.py and test_compare.py do."""
    examples = [e for e in man_examples("azoth.1") if not any(word in e for word in ("AZOTH_API", "azoth wait", "ssh ", "azoth zone ", "azoth tsig ", "azoth compare "))]
    assert len(examples) >= 3
    (lab.folder / "example.com.zone").write_text(SAMPLE.read_text())
    (lab.folder / "example.net.zone").write_text(small_zone("example.net."))
    (lab.folder / "zones").mkdir()
    for zone in "one.example", "two.example":
        (lab.folder / "zones" / f"{zone}.zone").write_text(small_zone(zone + "."))
    store = lab.folder / "store"
    script = "set -e -o pipefail\njq() { /usr/bin/python3 -m json.tool > /dev/null; }\n"
    for n, example in enumerate(examples):
        script += f"echo '# example {n}'\ntest ! -e {store}/node.pub || cp {store}/node.pub core.node.pub\n{example}"
    script = script.replace("/var/lib/azoth", str(store))
    done = subprocess.run(["bash", "-c", script], cwd=lab.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "2001:db8::80" in done.stdout and "two.example" in azoth("dump", "--dir", store).out


@pytest.mark.parametrize("name", ["azoth.1", "azoth-core.8", "azoth-edge.8", "azoth-dns.8", "azoth.yaml.5"])
def test_man_pages_are_there(name):
    found = list(TOP.glob(f"*/{name}"))
    assert len(found) == 1, found
    text = found[0].read_text()
    assert re.search(r"^\.TH|^\.Dd", text, re.M) and "NAME" in text
