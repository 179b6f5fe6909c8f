"""A client that asks over UDP all the time and must not notice what others do, and others who do it."""
import multiprocessing
import socket
import struct
import time

import dns.message

from lab import HOST, SLOW

SEEN_S = 3 * SLOW               # an answer that takes longer counts as lost
ASKED_LEAST = 20                # fewer would show nothing


def framed(name="www", rrtype="A", number=1):
    """A query behind its length."""
    query = dns.message.make_query(f"{name}.example.org.", rrtype)
    query.id = number
    wire = query.to_wire()
    return struct.pack("!H", len(wire)) + wire


def read_message(sock):
    """One message, or None when the stream ends."""
    def take(n):
        got = b""
        while len(got) < n:
            part = sock.recv(n - len(got))
            if not part:
                return None
            got += part
        return got
    head = take(2)
    return take(struct.unpack("!H", head)[0]) if head else None


def _ask_on(port, asks, stop, out):
    """Asks one question after the other, `asks` since its first answer; gives how many, and the longest wait in s (None: one lost)."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(SEEN_S)
    asked, longest = 0, 0.0
    while asked < ASKED_LEAST or not stop.is_set():
        asked += 1
        wire = framed(number=asked % 65536)[2:]
        start = time.monotonic()
        sock.sendto(wire, (HOST, port))
        try:
            while sock.recv(4096)[:2] != wire[:2]:
                pass
        except TimeoutError:
            out.put((asked, None))
            return
        longest = max(longest, time.monotonic() - start)
        asks.set()
        time.sleep(0.001)
    out.put((asked, longest))


class Bystander:
    """with Bystander(dns.port) as b: ... ; afterwards b.asked and b.longest_s. A question that is lost is a failure."""

    def __init__(self, port):
        context = multiprocessing.get_context("fork")
        self.asks, self.stop, self.out = context.Event(), context.Event(), context.Queue()
        self.process = context.Process(target=_ask_on, args=(port, self.asks, self.stop, self.out), daemon=True)

    def __enter__(self):
        self.process.start()
        assert self.asks.wait(2 * SEEN_S), "the bystander got no answer before anything began"
        return self

    def __exit__(self, kind, *_):
        self.stop.set()
        if kind is None:
            self.asked, self.longest_s = self.out.get(timeout=3 * SEEN_S)
            assert self.longest_s is not None, f"UDP question {self.asked} got no answer within {SEEN_S} s"
        self.process.join(5)


class Children:
    """Processes that run a function until the end of the with block."""

    def __init__(self, n, function, *args):
        context = multiprocessing.get_context("fork")
        self.stop = context.Event()
        self.processes = [context.Process(target=function, args=(self.stop, i, *args), daemon=True) for i in range(n)]

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for process in self.processes:
            process.join(20 * SLOW)
            if process.is_alive():
                process.kill()
