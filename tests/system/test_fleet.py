"""The fleet over real processes: core, relay, edges; azoth status, wait and cluster; propagation in the metrics."""
import json
import re
import signal
import subprocess
import threading
import time
import urllib.request

import pytest

from lab import API_KEY, HOST, azoth, program, wait_until


def api(core):
    return {"AZOTH_API": f"http://{HOST}:{core.ports['api']}", "AZOTH_API_KEY": API_KEY, "PATH": "/usr/bin:/bin"}


def status(core):
    """{name: what azoth status says of it}"""
    reply = azoth("status", "--json", env=api(core)).json()
    return {node["node"]: node for node in reply["nodes"]}


def put(core, key, value="v"):
    """A change; gives EPOCH.SEQ."""
    return azoth("kv", "put", "fleet", key, value, env=api(core)).out.strip()


def wait(core, *args, code=0):
    return azoth("wait", *args, env=api(core), code=code)


def get(core, path, timeout=90):
    request = urllib.request.Request(f"http://{HOST}:{core.ports['api']}{path}", headers={"X-API-Key": API_KEY})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return json.loads(reply.read())


@pytest.fixture
def fleet(lab):
    """core -> relay -> far, and core -> near; all heard."""
    core = lab.core(api=True)
    relay = lab.edge("relay", core, relay=True)
    near = lab.edge("near", core)
    far = lab.edge("far", relay)
    core.start()
    seq = put(core, "first")
    for node in relay, near, far:
        node.start()
    wait_until("all are heard", lambda: all(n["state"] == "live" for n in status(core).values()), 30, pause=0.1)
    wait(core, seq, "--all", "--timeout", "30s")
    return core, relay, near, far, seq


def test_status_and_wait(fleet):
    core, relay, near, far, first = fleet
    nodes = status(core)
    assert {name: node["parent"] for name, node in nodes.items()} == {"relay": "core", "near": "core", "far": "relay"}
    epoch, seq = map(int, first.split("."))
    for node in nodes.values():
        assert (node["epoch"], node["seq"], node["lag_records"], node["lag_ms"]) == (epoch, seq, 0, 0)
        assert node["digest_ok"] is True and node["version"] and node["cohort"] == "all" and not node["away"]
        assert node["heard_ms_ago"] < 30000 and node["last_heard"].startswith("20")
    table = azoth("status", env=api(core)).out.splitlines()
    assert table[0].split()[:4] == ["NODE", "PARENT", "COHORT", "STATE"] and len(table) == 5
    assert [line.split()[0] for line in table[1:4]] == ["far", "near", "relay"]
    assert "3 nodes, 0 away" in table[4]

    # a change, and at once the question who has it
    for i in range(5):
        seq = put(core, f"k{i}")
        result = wait(core, seq, "--timeout", "20s")
        assert result.out.startswith(f"{seq}: 3 of 3 nodes have it")
    assert wait(core, seq.split(".")[1], "--quorum", "34%", "--json", "--timeout", "0").json()["need"] == 2

    # what will be committed later is waited for
    ahead = int(seq.split(".")[1]) + 1
    waiting = subprocess.Popen([program("azoth"), "wait", str(ahead), "--timeout", "60s"], env=api(core), stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    assert waiting.poll() is None and core.metric("azoth_core_api_waiting") == 1
    assert put(core, "ahead").split(".")[1] == str(ahead)
    assert waiting.communicate(timeout=60)[0].startswith(f"{epoch}.{ahead}: 3 of 3")
    assert core.metric("azoth_core_api_waiting") == 0


def test_a_paused_edge_is_named(fleet):
    core, relay, near, far, first = fleet
    far.process.send_signal(signal.SIGSTOP)
    try:
        seq = put(core, "paused")
        result = wait(core, seq, "--timeout", "2s", code=3)
        assert "2 of 3 nodes have it; not: far" in result.err and result.out == ""
        assert json.loads(wait(core, seq, "--timeout", "0", "--json", code=3).out)["missing"] == ["far"]
        wait(core, seq, "--quorum", "66%", "--timeout", "20s")
        before = status(core)["far"]
        assert before["lag_records"] == 1 and before["lag_ms"] > 0 and status(core)["near"]["lag_records"] == 0
        time.sleep(1)
        assert status(core)["far"]["heard_ms_ago"] > before["heard_ms_ago"] and status(core)["far"]["last_heard"] == before["last_heard"]
        assert core.metric("azoth_node_lag_records", node="far") == 1
        assert core.metric("azoth_node_heard_seconds", node="far") > 1
        patient = subprocess.Popen([program("azoth"), "wait", seq, "--timeout", "60s"], env=api(core), stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)
    finally:
        far.process.send_signal(signal.SIGCONT)
    assert patient.communicate(timeout=60)[0].startswith(f"{seq}: 3 of 3")


def test_who_goes_silent_is_told(fleet):
    core, relay, near, far, first = fleet
    mark = core.mark()
    far.process.send_signal(signal.SIGSTOP)
    try:
        line = core.wait_log(r'fleet\.away node="far" parent="relay" ', since=mark, timeout=90)
        assert f"seq={first.split('.')[1]}" in line and 30 <= int(re.search(r"heard_s=(\d+)", line)[1])
        assert status(core)["far"]["away"] and not status(core)["near"]["away"]
    finally:
        far.process.send_signal(signal.SIGCONT)
    core.wait_log(r'fleet\.back node="far" parent="relay" ', since=mark, timeout=90)
    assert core.log()[mark:].count("fleet.away") == core.log()[mark:].count("fleet.back") == 1


def test_a_node_restarts_and_one_leaves(fleet):
    core, relay, near, far, first = fleet
    near.kill()
    seq = put(core, "while away")
    near.start()
    wait(core, seq, "--all", "--timeout", "30s")
    core.stop()
    core.start()
    assert wait(core, seq, "--all", "--timeout", "30s").out.startswith(f"{seq}: 3 of 3")
    near.lab.bar(near)
    wait_until("near is forgotten", lambda: set(status(core)) == {"relay", "far"}, 20, pause=0.1)
    wait(core, seq, "--all", "--timeout", "20s")


def test_propagation_metrics(fleet):
    core, relay, near, far, first = fleet
    names = ("relay", "near", "far")

    def counts():
        m = core.metrics()
        return {n: m[("azoth_node_propagation_seconds_count", (("node", n),))] for n in names}, \
            m[("azoth_propagation_seconds_count", ())]
    before, before_all = counts()
    rounds = 10
    for i in range(rounds):
        wait(core, put(core, f"p{i}"), "--timeout", "20s")
    each, total = counts()
    assert all(each[n] - before[n] == rounds for n in names), (before, each)
    assert total - before_all == 3 * rounds
    m = core.metrics()
    buckets = [v for (name, labels), v in sorted(m.items(), key=lambda i: i[1]) if name == "azoth_propagation_seconds_bucket"]
    assert len(buckets) == 16 and buckets[-1] == total
    assert 0 < m[("azoth_propagation_seconds_sum", ())] < 30 * total
    assert core.metric("azoth_fleet_nodes", state="live") == 3 and core.metric("azoth_fleet_digest_wrong") == 0
    assert core.metric("azoth_fleet_receipts_total", result="taken") > 3 * rounds
    for bad in "forged", "malformed", "unlisted", "other-cluster":
        assert core.metric("azoth_fleet_receipts_total", result=bad) == 0, bad
    assert relay.metric("azoth_receipts_total", result="received") > rounds
    assert far.metric("azoth_receipts_total", result="sent") > rounds


def test_who_asks_and_goes(fleet):
    """Requests that wait are limited, and those whose client went away do not stay."""
    core, relay, near, far, first = fleet
    seq = int(first.split(".")[1]) + 1000
    clients = [subprocess.Popen([program("azoth"), "wait", str(seq), "--timeout", "50s"], env=api(core), stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL) for _ in range(34)]
    try:
        wait_until("32 wait", lambda: core.metric("azoth_core_api_waiting") == 32, 30, pause=0.1)
        assert len(status(core)) == 3                   # others are served
        wait(core, first, "--timeout", "5s")
        assert all(client.poll() is None for client in clients)
    finally:
        for client in clients:
            client.kill()
            client.wait()
    wait_until("none waits", lambda: core.metric("azoth_core_api_waiting") == 0, 20, pause=0.1)


def test_a_long_poll_ends_with_the_core(fleet):
    core, relay, near, far, first = fleet
    seq = int(first.split(".")[1]) + 1000
    start = time.monotonic()
    got = []
    thread = threading.Thread(target=lambda: got.append(azoth("wait", seq, "--timeout", "50s", env=api(core), code=None)))
    thread.start()
    wait_until("it waits", lambda: core.metric("azoth_core_api_waiting") == 1, 20, pause=0.05)
    core.stop()
    thread.join()
    assert got[0].code == 1 and time.monotonic() - start < 45


def test_a_poll_over_the_usual_patience_of_connections(fleet):
    """HTTP connections on which nothing moves end behind 30 s, but not while their request waits."""
    core, relay, near, far, first = fleet
    seq = int(first.split(".")[1]) + 1
    got = []
    thread = threading.Thread(target=lambda: got.append(get(core, f"/v1/changes/{seq}?wait=40s")))
    thread.start()
    time.sleep(33)
    assert core.metric("azoth_core_api_waiting") == 1
    put(core, "late")
    thread.join()
    assert got and got[0]["done"]


def test_cluster_orders(fleet):
    core, relay, near, far, first = fleet
    epoch = int(first.split(".")[0])
    result = azoth("cluster", "raise-epoch", env=api(core)).out.strip()
    assert int(result.split(".")[0]) == epoch + 1
    assert wait(core, result, "--timeout", "20s").out.startswith(f"{result}: 3 of 3")
    wait(core, first, "--timeout", "20s")               # what they had before they have still
    assert all(node["epoch"] == epoch + 1 and node["digest_ok"] for node in status(core).values())
    assert "core.encrypt is off" in azoth("cluster", "rotate-key", env=api(core), code=1).err
    assert "neither" in azoth("cluster", "destroy", env=api(core), code=1).err


def test_cluster_key(lab):
    core = lab.core(api=True, core={"encrypt": True}).start()
    put(core, "a")
    edge = lab.edge("edge", core).start()
    wait(core, put(core, "b"), "--all", "--timeout", "30s")
    one = azoth("cluster", "rotate-key", env=api(core)).out.strip()
    two = azoth("cluster", "rotate-key", "--json", env=api(core)).json()["key_id"]
    assert len(one) == 16 and one != two
    wait(core, put(core, "c"), "--all", "--timeout", "30s")
    assert edge.running()


def test_no_fleet(lab):
    """Nobody is listed, or nobody was ever heard: nobody's having it is no success."""
    core = lab.core(api=True).start()
    seq = put(core, "alone")
    assert "0 of 0 nodes" in wait(core, seq, "--timeout", "300ms", code=3).err
    wait(core, seq, "--quorum", "0", "--timeout", "0")
    (lab.nodes / "ghost.pub").write_text(core.pub() + "\n")
    core.hup()
    wait_until("ghost is listed", lambda: "ghost" in status(core), 20, pause=0.05)
    assert status(core)["ghost"]["state"] == "never" and status(core)["ghost"]["last_heard"] is None
    assert "not heard since the core's start" in azoth("status", env=api(core)).out
    assert "ghost" in wait(core, seq, "--all", "--timeout", "300ms", code=3).err
    (lab.nodes / "ghost.pub").unlink()


@pytest.mark.parametrize("args", [[], ["x"], ["1.x"], ["1", "2"], ["1", "--quorum", "101"], ["1", "--quorum", "%"], ["1", "--timeout", "soon"],
                                  ["2.1", "--epoch", "3"], ["-1"], ["1", "--watch"]])
def test_wrong_usage(args):
    env = {"AZOTH_API": f"http://{HOST}:1", "AZOTH_API_KEY": API_KEY, "PATH": "/usr/bin:/bin"}
    assert azoth("wait", *args, env=env, code=1).out == ""


def test_qps(lab):
    """What azoth-dns of the same file is asked shows in the fleet."""
    from lab import small_zone
    zone = lab.zone_file("z", small_zone("example.com."))
    core = lab.core({"example.com.": zone}, api=True).start()
    edge = lab.edge("edge", core).start()
    dns = lab.dns(edge).start()
    dns.wait_serial("example.com.", 1)
    end = time.monotonic() + 60

    def asked():
        for _ in range(50):
            dns.values("www.example.com.")
        return status(core)["edge"]["qps"] > 0 or time.monotonic() > end
    wait_until("queries per second are seen", asked, 90)
    assert status(core)["edge"]["qps"] > 0
