"""Bursts of changes through the API to eight edges, half of them behind relays: all arrive, nothing is lost on the way,
and who writes against a version never overwrites what he did not see. No times are asserted; bench/run measures them."""
import http.client
import json
import signal
import threading

import pytest

from lab import API_KEY, HOST

WRITERS = 6


class Api:
    """One connection to the core's API; status and headers of each answer."""

    def __init__(self, core):
        self.connection = http.client.HTTPConnection(HOST, core.ports["api"], timeout=60)

    def ask(self, method, path, body=None, **headers):
        self.connection.request(method, f"/v1/kv{path}", body, {"X-API-Key": API_KEY, **headers})
        reply = self.connection.getresponse()
        return reply, reply.read()

    def put_many(self, ops):
        body = json.dumps({"ops": [{"op": "put" if value is not None else "del", "ns": ns, "key": key,
                                    **({"value": value} if value is not None else {})} for ns, key, value in ops]})
        reply, text = self.ask("POST", "", body)
        assert reply.status == 200, text


def fleet(lab):
    core = lab.core({}, api=True)
    relays = [lab.edge(f"relay-{i}", core, relay=True, map_size="256M") for i in range(2)]
    leaves = [lab.edge(f"leaf-{i}-{k}", relay, map_size="256M") for i, relay in enumerate(relays) for k in range(2)]
    flat = [lab.edge(f"flat-{i}", core, map_size="256M") for i in range(2)]
    core.start()
    Api(core).put_many([("first", "key", "an edge is ready when it has something")])
    for node in [*relays, *leaves, *flat]:
        node.start()
    return core, relays, leaves, flat


def in_threads(work, n=WRITERS):
    """work(i) in n threads; the first failure is the test's."""
    failed = []

    def run(i):
        try:
            work(i)
        except BaseException as error:      # noqa: BLE001  (of another thread)
            failed.append(error)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def entries(node, ns):
    """{key: value} of a namespace, as the node's store has it."""
    lines = [json.loads(line) for line in node.azoth("dump", "--ns", ns, "--format", "json").out.splitlines()]
    return {e["key"]: bytes.fromhex(e["data_hex"]).decode() for e in lines}


def test_bursts_arrive_everywhere(lab):
    core, relays, leaves, flat = fleet(lab)
    edges = [*relays, *leaves, *flat]
    wanted = {}

    def burst(i):
        api = Api(core)
        for n in range(12):                 # small ones, which share records, and large ones, which do not fit into one
            ops = [("burst", f"{i}-{n}-{k}", f"value {i} {n} {k}") for k in range(60)]
            api.put_many(ops)
            api.put_many([("large", f"{i}-{n % 3}", "x" * 90000)])
            reply, text = api.ask("PUT", f"/burst/{i}-single-{n}", f"one {n}")
            assert reply.status in (200, 201, 204), text
            api.put_many([("burst", f"{i}-{n}-{k}", None) for k in range(0, 60, 4)])
            wanted.update({key: value for _, key, value in ops if int(key.rsplit("-", 1)[1]) % 4})
            wanted[f"{i}-single-{n}"] = f"one {n}"

    leaves[0].process.send_signal(signal.SIGSTOP)      # one that hears nothing of the first burst
    try:
        in_threads(burst)
    finally:
        leaves[0].process.send_signal(signal.SIGCONT)
    in_threads(lambda i: Api(core).put_many([("late", f"{i}", "behind it")]))
    lab.wait_equal([core, *edges], timeout=120)
    assert len(wanted) == WRITERS * 12 * 46
    for node in core, leaves[0], flat[1]:
        assert entries(node, "burst") == wanted
        assert sorted(entries(node, "late")) == [str(i) for i in range(WRITERS)]


@pytest.mark.parametrize("rounds", [25])
def test_versions_hold_when_writers_compete(lab, rounds):
    """Each writer adds one to the same counter, against the version that it read or was told. Transactions of several
    writers share a transaction of the log; a version that named two writes would lose an addition."""
    core, _, _, flat = fleet(lab)
    added = [0] * WRITERS

    def count(i):
        api = Api(core)
        have = None                         # value and version as last told
        while added[i] < rounds:
            if have is None:
                reply, text = api.ask("GET", "/count/er")
                have = (0, None) if reply.status == 404 else (int(text), f"{reply.headers['X-Azoth-Epoch']}.{reply.headers['X-Azoth-Seq']}")
            value, version = have
            guard = {"X-Azoth-If-Version": version} if version else {"X-Azoth-If-Absent": "1"}
            reply, text = api.ask("PUT", "/count/er", str(value + 1), **guard)
            assert reply.status in (200, 201, 204, 409, 412), text
            if reply.status in (409, 412):
                have = None
                continue
            added[i] += 1
            have = value + 1, f"{reply.headers['X-Azoth-Epoch']}.{reply.headers['X-Azoth-Seq']}"

    in_threads(count)
    lab.wait_equal([core, *flat], timeout=60)
    for node in core, *flat:
        assert entries(node, "count") == {"er": str(rounds * WRITERS)}
