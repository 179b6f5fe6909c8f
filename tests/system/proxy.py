"""A TCP proxy of the tests: forwards the connections to one port, as badly as it is told to.

    link = Proxy(core.ports["publish"])         link.port: where to connect instead
    link.delay = 0.2                            seconds that every byte is under way, each way
    link.rate = 125_000                         bytes a second, each way
    link.silent = True                          nothing goes through any more, connections stay and new ones are taken
    link.forget()                               no longer silent, but the connections there are go nowhere, and no end hears of it
    link.cut()                                  all connections are reset
    link.close()

One thread; a connection's reader stops while PENDING bytes are under way, so a slow link pushes back as a real one does."""
import collections
import selectors
import socket
import struct
import threading
import time

from lab import HOST, port

PENDING = 256 * 1024
PIECE = 16 * 1024
RESET = struct.pack("ii", 1, 0)         # SO_LINGER: close sends RST


class Pipe:
    """One direction of a connection: what was read at `source` is written to `sink` when its time has come."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.queue = collections.deque()        # (due, bytes)
        self.pending = 0
        self.free_at = 0.0                      # when the line has sent what is before
        self.ended = False                      # the source closed; the sink does when all is through


class Proxy(threading.Thread):
    def __init__(self, target, host=HOST):
        super().__init__(daemon=True)
        self.target = (host, target)
        self.port = port()
        self.delay = 0.0
        self.rate = None
        self.silent = False
        self.forwarded = 0
        self.listener = socket.create_server((HOST, self.port), backlog=128)
        self.listener.setblocking(False)
        self.pipes = {}                         # source socket -> Pipe
        self.forgotten = []                     # their sockets stay open
        self.lock = threading.Lock()
        self.going = True
        self.start()

    def link(self):
        return f"tcp://{HOST}:{self.port}"

    def run(self):
        while self.going:
            with self.lock:
                selector = selectors.DefaultSelector()
                selector.register(self.listener, selectors.EVENT_READ)
                for s, pipe in self.pipes.items():
                    if not self.silent and not pipe.ended and pipe.pending < PENDING:
                        selector.register(s, selectors.EVENT_READ)
            ready = selector.select(self.wait())
            selector.close()
            with self.lock:
                for key, _ in ready:
                    if key.fileobj is self.listener:
                        self.accept()
                    elif key.fileobj in self.pipes:
                        self.read(self.pipes[key.fileobj])
                if not self.silent:
                    for pipe in list(self.pipes.values()):
                        self.write(pipe)

    def wait(self):
        """Until something is due; short, so that new settings are seen."""
        due = [pipe.queue[0][0] for pipe in self.pipes.values() if pipe.queue]
        return min([0.02] + [max(0.0, at - time.monotonic()) for at in due]) if due and not self.silent else 0.02

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        if self.silent:                         # taken, and nothing behind it
            self.pipes[client] = Pipe(client, None)
            return
        try:
            server = socket.create_connection(self.target, timeout=2)
        except OSError:
            client.close()
            return
        for s in client, server:
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pipes[client], self.pipes[server] = Pipe(client, server), Pipe(server, client)

    def drop(self, pipe, reset=False):
        for s in pipe.source, pipe.sink:
            if s is not None:
                self.pipes.pop(s, None)
                if reset:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                s.close()

    def read(self, pipe):
        try:
            data = pipe.source.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            self.drop(pipe)
            return
        if not data:
            pipe.ended = True
            return
        now = time.monotonic()
        pipe.free_at = max(pipe.free_at, now) + (len(data) / self.rate if self.rate else 0.0)
        pipe.queue.append((pipe.free_at + self.delay, data))
        pipe.pending += len(data)

    def write(self, pipe):
        if pipe.sink is None:                   # taken in silence: whoever connected must try again
            self.drop(pipe, reset=True)
            return
        while pipe.queue and pipe.queue[0][0] <= time.monotonic():
            due, data = pipe.queue[0]
            try:
                sent = pipe.sink.send(data)
            except BlockingIOError:
                return
            except OSError:
                self.drop(pipe)
                return
            self.forwarded += sent
            pipe.pending -= sent
            pipe.queue.popleft()
            if sent < len(data):
                pipe.queue.appendleft((due, data[sent:]))
                return
        if pipe.ended and not pipe.queue:
            self.drop(pipe)

    def cut(self):
        with self.lock:
            for pipe in list(self.pipes.values()):
                if pipe.source in self.pipes:
                    self.drop(pipe, reset=True)

    def forget(self):
        with self.lock:
            self.forgotten += self.pipes
            self.pipes.clear()
            self.silent = False

    def close(self):
        self.going = False
        self.join()
        self.cut()
        for s in self.forgotten:
            s.close()
        self.listener.close()
