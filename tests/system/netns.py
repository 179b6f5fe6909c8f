"""Network namespaces joined by one that routes between them, with nft rules on the way: loss, cuts, silence.

    net = Net()                         or pytest.skip(Net.why_not())
    a = net.host(); b = net.host()      a.address: reachable from the others; loopback is each one's own
    with a: ...                         sockets and processes that this thread makes belong to a
    net.loss(a, b, 20)                  percent of the packets between the two, both ways, are dropped
    net.silence(a, b)                   all of them; no side hears that the other is gone
    net.heal()
    net.close()

Needs root, ip and nft. Names begin with `azt` and the pid; nothing outside these namespaces is touched."""
import ctypes
import itertools
import os
import shutil
import subprocess
import threading

CLONE_NEWNET = 0x40000000
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def _run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, env={**os.environ, "PATH": PATH})
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    """One namespace. `with host:` is for the thread that says so, and may be nested."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        self.before = threading.local()

    def enter(self):
        """For a thread that stays inside until it ends."""
        with open(f"/run/netns/{self.name}") as f:
            _setns(f.fileno())

    def __enter__(self):
        stack = self.before.__dict__.setdefault("stack", [])
        stack.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        self.enter()
        return self

    def __exit__(self, *_):
        fd = self.before.stack.pop()
        _setns(fd)
        os.close(fd)


class Net:
    def __init__(self):
        self.prefix = f"azt{os.getpid()}x{next(_numbers)}"
        self.names = []
        self.hosts = []
        self.dropped = {}                       # (address, address) -> percent
        try:
            self.router = self._add("r")
            self._in(self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
            self._apply()
        except OSError:
            self.close()
            raise

    @staticmethod
    def why_not():
        """Why this machine cannot do it; None when it can. Tried in full: kernels differ."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        missing = [name for name in ("ip", "nft") if shutil.which(name, path=PATH) is None]
        if missing:
            return f"{' and '.join(missing)} not found (scripts/install-deps --test)"
        try:
            net = Net()
        except OSError as error:
            return f"network namespaces: {error}"
        try:
            net.loss(net.host(), net.host(), 50)
        except OSError as error:
            return f"network namespaces: {error}"
        finally:
            net.close()
        return None

    def _add(self, suffix):
        name = self.prefix + suffix
        _run("ip", "netns", "add", name)
        self.names.append(name)
        self._in(name, "ip", "link", "set", "lo", "up")
        return name

    @staticmethod
    def _in(name, *command, text=None):
        _run("ip", "netns", "exec", name, *command, text=text)

    def host(self):
        """A new namespace with a line of its own to the router."""
        n = len(self.hosts) + 1
        name = self._add(f"h{n}")
        near, far = f"10.99.{n}.2", f"10.99.{n}.1"
        _run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", f"h{n}", "netns", self.router)
        for ns, device, address in (name, "eth0", near), (self.router, f"h{n}", far):
            _run("ip", "-n", ns, "addr", "add", f"{address}/24", "dev", device)
            _run("ip", "-n", ns, "link", "set", device, "up")
        _run("ip", "-n", name, "route", "add", "default", "via", far)
        self.hosts.append(Host(name, near))
        return self.hosts[-1]

    def _apply(self):
        rules = "\n".join(f"ip saddr {a} ip daddr {b} {'' if p >= 100 else f'numgen random mod 100 < {p} '}counter drop"
                          for (a, b), p in self.dropped.items())
        self._in(self.router, "nft", "-f", "-", text="table ip azt\ndelete table ip azt\ntable ip azt {\n chain way {\n"
                 f"type filter hook forward priority 0;\n{rules}\n }}\n}}\n")

    def loss(self, a, b, percent):
        self.dropped[a.address, b.address] = self.dropped[b.address, a.address] = percent
        self._apply()

    def silence(self, a, b):
        self.loss(a, b, 100)

    def heal(self):
        self.dropped.clear()
        self._apply()

    def close(self):
        for name in reversed(self.names):
            try:
                _run("ip", "netns", "del", name)
            except OSError:
                pass                            # a failure that is being cleaned up after has been told
        self.names.clear()
