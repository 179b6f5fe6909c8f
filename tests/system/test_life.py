"""Daemons started, told to read their configuration again, and ended at any moment: signals during copies, under load, with
requests parked, before anything came. With sanitizers these show races, leaks and what is used after it was freed."""
import contextlib
import os
import random
import signal
import socket
import threading
import time

from lab import API_KEY, HOST, SLOW, wait_until
from test_copy import trimmed  # noqa: F401  (a fixture)
from traffic import Writer, put

SMALL = "small.test."


def tell(node, number):
    node.process.send_signal(number)


def open_files(node):
    folder, files = f"/proc/{node.process.pid}/fd", []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            files.append(os.readlink(f"{folder}/{name}"))
    return files


def open_fds(node):
    return len(open_files(node))


def test_signals_while_a_copy_is_made(lab, trimmed):  # noqa: F811
    """SIGHUP, SIGUSR1 (refused while a copy is made) and SIGTERM at a relay that copies, and at the core that serves it."""
    make, change, trim = trimmed
    core = make(rate="400k")
    serial = trim(core, 2)
    relay = lab.edge("edge-1", core, relay=True)
    far = lab.edge("edge-2", relay)
    rng = random.Random(1)
    mark = relay.mark()
    relay.launch()
    far.launch()
    for _ in range(3):
        relay.wait_log(r"edge\.copy", since=mark, timeout=40)
        for node in relay, core, far:
            tell(node, signal.SIGHUP)
        tell(relay, signal.SIGUSR1)
        time.sleep(rng.uniform(0, 0.4))
        relay.stop()
        mark = relay.mark()
        relay.launch()
    relay.wait_ready(90)
    far.wait_ready(90)
    change(core, serial)
    lab.wait_equal([core, relay, far], timeout=60)
    assert len(list(relay.dir.glob("data.*"))) == 1


def test_signals_under_load(lab):
    """All nodes read their configuration again, compact and show their pages while the core's API is written to."""
    core = lab.core(api=True)
    relay = lab.edge("relay", core, relay=True)
    far = lab.edge("far", relay)
    nodes = [core, relay, far]
    core.start()
    put(core, "first", "1")
    relay.start()
    far.start()
    writers = [Writer(core, keys=20), Writer(core, keys=20)]
    going = threading.Event()

    def look():
        while not going.is_set():
            for node in nodes:
                node.metrics()
    looker = threading.Thread(target=look)
    looker.start()
    try:
        for n in range(30):
            for node in nodes:
                tell(node, signal.SIGHUP)
            if n % 5 == 0:
                for node in nodes:
                    tell(node, signal.SIGUSR1)
            time.sleep(0.1)
    finally:
        going.set()
        looker.join()
        for writer in writers:
            writer.finish()
    put(core, "last", "1")
    lab.wait_equal(nodes)


def test_signals_before_the_first_head(lab):
    """An edge whose upstream is not there yet has nothing to compact, reads its configuration again, and ends in order."""
    core = lab.core(api=True).start()
    edge = lab.edge("edge", core, relay=True)
    edge.launch()
    wait_until("pages", lambda: edge.page("/healthz")[0] == 200)
    core.stop()
    edge.stop()
    edge.launch()
    wait_until("pages", lambda: edge.page("/healthz")[0] == 200)
    for number in signal.SIGUSR1, signal.SIGHUP, signal.SIGHUP, signal.SIGUSR1:
        tell(edge, number)
        time.sleep(0.05)
    edge.stop()
    edge.launch()
    core.start()
    for _ in range(20):
        tell(edge, signal.SIGUSR1)
        time.sleep(0.02)
    put(core, "first", "1")
    edge.wait_ready()
    lab.wait_equal([core, edge])


def test_the_core_ends_with_requests_in_all_states(lab):
    """Parked, half sent, waiting for their commit, and idle: those that came whole have a reply, and the core ends at once."""
    core = lab.core(api=True).start()
    _, seq = put(core, "first", "1")
    lab.edge("edge", core).start()
    auth = f"Host: x\r\nX-API-Key: {API_KEY}\r\n"
    parked, half, idle = [], [], []
    for _ in range(10):
        s = socket.create_connection((HOST, core.ports["api"]))
        s.sendall(f"GET /v1/changes/{seq + 1000}?wait=50s HTTP/1.1\r\n{auth}\r\n".encode())
        parked.append(s)
        s = socket.create_connection((HOST, core.ports["api"]))
        s.sendall(f"PUT /v1/kv/app/half HTTP/1.1\r\n{auth}Content-Length: 10\r\n\r\nabc".encode())
        half.append(s)
        idle.append(socket.create_connection((HOST, core.ports["api"])))
    wait_until("they wait", lambda: core.metric("azoth_core_api_waiting") == 10)
    for _ in range(3):
        core.hup()
    writer = Writer(core)
    wait_until("it writes", lambda: len(writer.acked) > 10)
    begin = time.monotonic()
    core.stop()
    assert time.monotonic() - begin < 5 * SLOW
    writer.finish()
    for s in parked:
        s.settimeout(10)
        assert s.recv(4096).startswith(b"HTTP/1.1 503 ")
    for s in parked + half + idle:
        s.close()
    core.start()
    writer.check([core])


def test_who_left_is_seen_while_others_come(lab):
    """New requests that wait must not hold off the look at those whose client is gone."""
    core = lab.core(api=True).start()
    _, seq = put(core, "first", "1")

    def park():
        s = socket.create_connection((HOST, core.ports["api"]))
        s.sendall(f"GET /v1/changes/{seq + 1000}?wait=50s HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\n\r\n".encode())
        return s
    (lab.nodes / "ghost.pub").write_text(core.pub() + "\n")
    core.hup()
    core.wait_log(r"core\.nodes listed=1")
    gone = park()
    wait_until("it waits", lambda: core.metric("azoth_core_api_waiting") == 1)
    gone.close()
    stay = []
    for _ in range(25):
        stay.append(park())
        time.sleep(0.1)
    assert core.metric("azoth_core_api_waiting") <= 25
    for s in stay:
        s.close()
    wait_until("none waits", lambda: core.metric("azoth_core_api_waiting") == 0)
    (lab.nodes / "ghost.pub").unlink()


def test_a_signal_while_the_core_starts(lab):
    """SIGHUP from the first moment on: it is heard when the core is there. The first one comes when it opens its store: before
    that the program itself begins."""
    core = lab.core(api=True).start()
    put(core, "first", "1")
    for _ in range(5):
        core.stop()
        core.launch()
        wait_until("it begins", lambda: str(core.dir / "writer.lock") in open_files(core))
        for _ in range(10):
            core.hup()
        core.wait_ready()
    lab.wait_equal([core])


def test_upstreams_are_opened_again_and_again(lab):
    """An edge that finds nobody opens a link after the other: no descriptor stays behind."""
    core = lab.core(api=True).start()
    put(core, "first", "1")
    edge = lab.edge("edge", [core, core]).start()
    core.stop()
    changes = edge.metric("azoth_edge_upstream_changes_total")

    def gone(n):
        return lambda: edge.metric("azoth_edge_upstream_changes_total") >= changes + n
    wait_until("it looks for another", gone(2), 40, pause=0.2)
    least = min(open_fds(edge) for _ in range(20) if time.sleep(0.05) is None)
    wait_until("and others", gone(5), 90, pause=0.2)
    assert min(open_fds(edge) for _ in range(20) if time.sleep(0.05) is None) <= least + 1
    core.start()
    put(core, "last", "1")
    lab.wait_equal([core, edge])
