"""Clients that misuse TCP, while another one asks over UDP all the time and must not notice."""
import ctypes
import os
import resource
import socket
import ssl
import struct
import subprocess
import time

import dns.flags
import dns.message
import dns.rcode
import pytest

from bystander import Bystander, Children, framed, read_message
from lab import HOST, SLOW, port, program, wait_until

ZONE = "example.org."           # bystander.py asks for names of it
HUGE = "".join(f'huge IN TXT "{i:0250d}"\n' for i in range(240))       # 63 kB of answer
IDLE = 10_000


def connect(port, source=None):
    sock = socket.create_connection((HOST, port), timeout=10 * SLOW, source_address=(source, 0) if source else None)
    return sock


def answered_over_tcp(server):
    try:
        with connect(server.port) as sock:
            sock.sendall(framed())
            return read_message(sock)
    except OSError:
        return None


def serve(lab, start=True, **settings):
    core = lab.core(dns=settings)
    zone = lab.zone_file("zone", f"$ORIGIN {ZONE}\n$TTL 300\n@ IN SOA ns h 1 7200 900 1209600 60\n@ IN NS ns\nns IN A 192.0.2.1\n"
                         f"www IN A 192.0.2.80\n{HUGE}")
    core.load(f"{ZONE}={zone}")
    server = lab.dns(core)
    return server.start() if start else server


def start_with(server, in_child):
    """Starts it; in_child runs in the new process before."""
    with open(server.log_path, "ab") as log:
        server.process = subprocess.Popen([program("azoth-dns"), "-c", str(server.node.config_path)], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log, preexec_fn=in_child)
    server.wait_ready()


def memory(daemon):
    """Resident bytes of a daemon that are its own."""
    for line in open(f"/proc/{daemon.process.pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


# --- idle ones ----------------------------------------------------------------------------------------------------
def test_ten_thousand_idle_connections(lab, figure):
    """They cost memory, and not much; a new client is served beside them over TCP and UDP."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, hard - 500)
    if count < IDLE:
        print(f"only {count} connections: the limit of descriptors is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 400), hard))
    dns_server = serve(lab, start=False, workers=2, cache="0", tcp={"idle": "300s", "connections": count + 10, "per_client": count})
    start_with(dns_server, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard)))      # it raises that itself
    assert "dns.descriptors" not in dns_server.log()
    before, socks = memory(dns_server), []
    try:
        with Bystander(dns_server.port) as bystander:
            for i in range(count):
                socks.append(connect(dns_server.port, f"127.0.{i // 5000}.1"))
            wait_until("all accepted", lambda: dns_server.metric("azoth_dns_tcp_connections") == count)
            for sock in socks[::500] + [connect(dns_server.port)]:       # none of them is forgotten
                sock.sendall(framed())
                assert read_message(sock)
        each = (memory(dns_server) - before) / count
        figure("memory of an idle TCP connection", f"{each:.0f} bytes")
        figure("longest wait over UDP beside 10,000 connections", f"{bystander.longest_s * 1000:.1f} ms")
        assert each < 4096 or SLOW > 1          # sanitizers put walls around everything
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until("all closed", lambda: dns_server.metric("azoth_dns_tcp_connections") <= 1)


def test_no_descriptors(lab):
    """A limit below what the connections need: it is said, and there are fewer of them; UDP and everything else goes on."""
    core = lab.core(dns={"tcp": {"idle": "60s", "connections": 5000, "per_client": 0}})
    core.load(f"{ZONE}={lab.zone_file('zone', f'$ORIGIN {ZONE}{chr(10)}@ 60 IN SOA a b 1 1 1 1 1{chr(10)}@ 60 IN NS ns{chr(10)}')}")
    server = lab.dns(core)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server.launch()                             # root could raise the hard limit again: so that is taken away behind its back
    server.wait_ready()
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (150, 150))
    socks = []
    try:
        with Bystander(server.port):
            for _ in range(300):
                socks.append(connect(server.port))
            wait_until("it is said", lambda: "dns.accept" in server.log())
            assert server.page("/readyz")[0] in (0, 200)
    finally:
        for sock in socks:
            sock.close()
    wait_until("it takes connections again", lambda: answered_over_tcp(server))
    assert server.metric("azoth_dns_tcp_refused_total", reason="descriptors") > 0


def few_descriptors():
    """In the child: 200 descriptors, and no right to more, not even root's."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
    ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)    # PR_CAPBSET_DROP, CAP_SYS_RESOURCE; fails for who has it not


def test_fewer_connections_than_wanted(lab):
    """Where the limit cannot be raised there are as many connections as it allows, the log says so, and nothing runs out."""
    server = serve(lab, start=False, tcp={"idle": "60s", "connections": 5000, "per_client": 0})
    start_with(server, few_descriptors)
    line = server.wait_log(r"dns\.descriptors limit=200 ")
    most = int(line.split("connections=")[1].split()[0])
    assert 10 <= most < 100
    socks = [connect(server.port) for _ in range(most + 50)]
    wait_until("all seen", lambda: server.metric("azoth_dns_tcp_connections_total") == most + 50)
    assert server.metric("azoth_dns_tcp_connections") == most and "dns.accept" not in server.log()
    assert server.values(f"www.{ZONE}") and answered_over_tcp(server)
    for sock in socks:
        sock.close()


# --- slow ones ----------------------------------------------------------------------------------------------------
def test_dribblers(lab):
    """A message that comes byte by byte must be whole within five seconds; others are served meanwhile."""
    server = serve(lab, tcp={"idle": "60s", "connections": 100, "per_client": 0})
    socks = [connect(server.port) for _ in range(60)]
    query, gone, start = framed() * 40, set(), time.monotonic()
    with Bystander(server.port):
        for i in range(100 * SLOW):
            for k, sock in enumerate(socks):
                if k in gone:
                    continue
                try:
                    sock.sendall(query[i:i + 1] if i else b"\xff")          # the length says 65,281 or so
                except OSError:
                    gone.add(k)
            if len(gone) == len(socks):
                break
            if i % 20 == 5:
                with connect(server.port) as good:
                    good.sendall(framed())
                    assert read_message(good)
            time.sleep(0.1)
    assert len(gone) == len(socks)
    assert time.monotonic() - start > 3
    assert server.metric("azoth_dns_tcp_timeouts_total") == len(socks)
    for sock in socks:
        sock.close()


def test_dribblers_give_way(lab):
    """They take all places, and a client that comes then gets one at once."""
    server = serve(lab, tcp={"idle": "60s", "connections": 20, "per_client": 0})
    socks = [connect(server.port) for _ in range(20)]
    for sock in socks:
        sock.sendall(b"\xff")
    time.sleep(1.2)                             # a second's patience with each
    for _ in range(10):
        with connect(server.port) as good:
            good.sendall(framed())
            assert read_message(good)
    assert server.metric("azoth_dns_tcp_gave_way_total") > 0
    for sock in socks:
        sock.close()


def test_half_close_and_pieces(lab):
    """A thousand questions in odd pieces, the client's side closed: every answer comes, in order."""
    server = serve(lab)
    data = b"".join(framed(number=i) for i in range(1000))
    with connect(server.port) as sock:
        at = 0
        for size in (1, 1, 3, 40, 31, 7, 1000, 20):
            sock.sendall(data[at:at + size])
            at += size
            time.sleep(0.01)
        sock.sendall(data[at:])
        sock.shutdown(socket.SHUT_WR)
        for i in range(1000):
            assert read_message(sock)[:2] == struct.pack("!H", i)
        assert read_message(sock) is None


def test_readers_that_do_not_read(lab, figure):
    """Each asks for 30 times 63 kB and takes nothing: what is held for them is bounded, and they are given up."""
    server = serve(lab, cache="0", tcp={"idle": "4s", "connections": 1000, "per_client": 0})
    before, socks = memory(server), []
    ask = framed("huge", "TXT") * 30
    with Bystander(server.port) as bystander:
        for _ in range(700):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(10 * SLOW)
            sock.connect((HOST, server.port))
            sock.sendall(ask)
            socks.append(sock)
        most = memory(server) - before
        with connect(server.port) as good:
            good.sendall(framed("huge", "TXT"))
            assert len(read_message(good)) > 60000
        wait_until("all are given up", lambda: server.metric("azoth_dns_tcp_connections") == 0, 30)
    figure("held for 700 clients that read nothing", f"{most / 2 ** 20:.0f} MiB")
    assert most < 56 * 2 ** 20 or SLOW > 1
    assert server.metric("azoth_dns_tcp_timeouts_total") >= len(socks) - 1
    for sock in socks:
        sock.close()


def test_a_slow_reader_gets_all(lab):
    """One that takes its answers slowly, but takes them, is served to the end, over many idle times."""
    server = serve(lab, tcp={"idle": "1s"})
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(10 * SLOW)
    sock.connect((HOST, server.port))
    sock.sendall(framed("huge", "TXT") * 20)
    sock.shutdown(socket.SHUT_WR)
    got = 0
    while part := sock.recv(32768):
        got += len(part)
        time.sleep(0.06 * len(part) / 32768)
    assert got > 20 * 60000


# --- floods -------------------------------------------------------------------------------------------------------
def _connect_on(stop, number, port):
    while not stop.is_set():
        try:
            for sock in [connect(port, f"127.0.3.{number + 1}") for _ in range(50)]:
                sock.close()
        except OSError:
            time.sleep(0.01)


def _ask_stream(stop, number, port):
    data = framed() * 500
    while not stop.is_set():
        try:
            with connect(port) as sock:
                sock.setblocking(False)
                while not stop.is_set():
                    for move in (lambda: sock.send(data), lambda: sock.recv(1 << 20)):
                        try:
                            if move() == b"":
                                raise OSError
                        except BlockingIOError:
                            time.sleep(0.0005)
        except OSError:
            time.sleep(0.01)


def _garbage_on(stop, number, port):
    while not stop.is_set():
        try:
            with connect(port) as sock:
                sock.sendall(os.urandom(2000))
                sock.settimeout(0.05)
                sock.recv(100)
        except OSError:
            pass


def _handshake_on(stop, number, tls_port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while not stop.is_set():
        try:
            socks = [connect(tls_port) for _ in range(20)]
            for sock in socks:
                sock.sendall(HELLO)             # the server's part is the dear one, and the next line never comes
            for sock in socks:
                sock.close()
            context.wrap_socket(connect(tls_port)).close()
        except OSError:
            time.sleep(0.01)


def hello():
    """The first message of a handshake."""
    context, inn, out = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.MemoryBIO(), ssl.MemoryBIO()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_bio(inn, out).do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    return b""


HELLO = hello()


@pytest.mark.parametrize("flood", [_connect_on, _ask_stream, _garbage_on, _handshake_on])
def test_floods(lab, figure, flood):
    """Two processes do nothing else for three seconds."""
    server = serve(lab, start=False, tcp={"idle": "10s", "connections": 200, "per_client": 0})
    target = server.port
    if flood == _handshake_on:
        target = port()
        cert, key = lab.folder / "rsa.crt", lab.folder / "rsa.key"      # a key that takes long
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "30", "-subj", "/CN=x", "-keyout", str(key),
                        "-out", str(cert)], check=True, capture_output=True)
        server.node.dns_settings["tls"] = {"listen": [f"{HOST}@{target}"], "cert": str(cert), "key": str(key)}
        server.node.write_config()
    server.start()
    with Children(2, flood, target), Bystander(server.port) as bystander:
        time.sleep(3)
    figure(f"longest wait over UDP, {flood.__name__.strip('_')}", f"{bystander.longest_s * 1000:.1f} ms of {bystander.asked}")
    with connect(server.port) as sock:
        sock.sendall(framed())
        assert dns.message.from_wire(read_message(sock)).rcode() == dns.rcode.NOERROR


def test_the_limit_of_connections_is_not_udps(lab):
    """All places taken by clients in the middle of a message: TCP is refused, UDP is not, and a place comes free in time."""
    server = serve(lab, tcp={"idle": "60s", "connections": 5, "per_client": 3})
    socks = [connect(server.port, f"127.0.4.{i + 1}") for i in range(5)]
    for sock in socks:
        sock.sendall(framed()[:7])
    wait_until("all there", lambda: server.metric("azoth_dns_tcp_connections") == 5)
    with connect(server.port, "127.0.4.99") as late:    # nobody has used up a second's patience yet
        late.settimeout(10 * SLOW)
        late.sendall(framed())
        try:
            first = read_message(late)
        except OSError:
            first = None
        assert first is None or server.metric("azoth_dns_tcp_timeouts_total") == 0
    for _ in range(50):
        reply = server.ask(f"www.{ZONE}")
        assert reply.rcode() == dns.rcode.NOERROR and not reply.flags & dns.flags.TC
    wait_until("a place", lambda: answered_over_tcp(server), 10)
    for sock in socks:
        sock.close()
