"""How messages reach azoth-dns: source addresses, DNS over TLS, rate limits, proxies."""
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import time
import warnings

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from bystander import framed, read_message
from lab import BUILD, HOST, SLOW, TOP, port, program, small_zone, wait_until

ZONE = "example.org."
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


EXTRA = "*.wild IN A 192.0.2.7\n" + "".join(f'huge IN TXT "{i:0250d}"\n' for i in range(240))


def serve(lab, start=True, **settings):
    core = lab.core(dns=settings)
    core.load(f"{ZONE}={lab.zone_file('zone', small_zone(ZONE, 1, EXTRA))}")
    server = lab.dns(core)
    return server.start() if start else server


def query(name="www", rrtype="A", number=1, **options):
    q = dns.message.make_query(f"{name}.{ZONE}", rrtype, **options)
    q.id = number
    return q.to_wire()


def burst(server, n, name="www", source=HOST, header=b"", options=None):
    """n equal questions at once from one address; how many answers and how many TC came back within a while."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    sock.settimeout(1 * SLOW)
    for i in range(n):
        sock.sendto(header + query(name, number=i, **(options or {})), (HOST, server.port))
    full, truncated = 0, 0
    try:
        while full + truncated < n:
            reply = dns.message.from_wire(sock.recv(4096), ignore_trailing=True)
            if reply.flags & dns.flags.TC:
                assert not reply.answer
                truncated += 1
            else:
                full += reply.rcode() == dns.rcode.NOERROR and bool(reply.answer)
    except TimeoutError:
        pass
    return full, truncated


# --- addresses ----------------------------------------------------------------------------------------------------
def test_replies_come_from_the_address_asked(lab):
    """On sockets for all addresses: over UDP each reply leaves from where its question went."""
    server = serve(lab, start=False)
    node = server.node
    node.dns_settings = {"listen": [f"0.0.0.0@{server.port}", f"::@{server.port}"], "workers": 2}
    node.write_config()
    server.start()
    for family, address in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.9.9.9"), \
            (socket.AF_INET6, "::1"):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.settimeout(5 * SLOW)
        for number in range(20):
            sock.sendto(query(number=number), (address, server.port))
            reply, source = sock.recvfrom(4096)
            assert reply[:2] == struct.pack("!H", number)
            assert source[:2] == (address, server.port)
        with socket.create_connection((address, server.port), timeout=5 * SLOW) as stream:
            stream.sendall(framed())
            assert read_message(stream)


# --- rate limits --------------------------------------------------------------------------------------------------
RATE = 10


def limited(server):
    return [server.metric("azoth_dns_rrl_total", result=what) for what in ("dropped", "slipped")]


@pytest.mark.parametrize("slip,share", [(0, 0), (1, 1), (2, 2)])
def test_equal_answers_are_limited(lab, slip, share):
    server = serve(lab, workers=2, rrl={"rate": RATE, "slip": slip})
    start = time.monotonic()
    full, truncated = burst(server, 150)
    most = RATE * (2 + time.monotonic() - start)
    assert 1 <= full <= most
    dropped, slipped = limited(server)
    assert full + dropped + slipped == 150 and truncated == slipped
    assert slipped == (0 if share == 0 else 150 - full if share == 1 else (150 - full) // 2)
    assert server.wait_log(r"dns\.rrl limited=\d+ network=127\.0\.0\.0/24")
    reply = dns.query.tcp(dns.message.make_query(f"www.{ZONE}", "A"), HOST, timeout=5 * SLOW, port=server.port)
    assert reply.answer                         # TCP is never limited
    assert burst(server, 5, "ns")[0] == 5       # nor is another name


def test_limits_of_ipv6(lab):
    server = serve(lab, start=False, rrl={"rate": RATE, "slip": 0})
    server.node.dns_settings["listen"] = [f"::1@{server.port}"]
    server.node.write_config()
    server.start()
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for i in range(100):
        sock.sendto(query(number=i), ("::1", server.port))
    wait_until("all asked", lambda: server.metric("azoth_dns_queries_total", proto="udp") == 100)
    assert limited(server)[0] > 0
    assert server.wait_log(r"dns\.rrl limited=\d+ network=::/56 ")


def test_names_of_one_wildcard_are_equal(lab):
    """Random names that one wildcard answers count together: else asking for them would be the way round the limit."""
    server = serve(lab, rrl={"rate": RATE, "slip": 0})
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(100):
        sock.sendto(query(f"n{i}.wild", number=i), (HOST, server.port))
    wait_until("all asked", lambda: server.metric("azoth_dns_queries_total", proto="udp") == 100)
    before = limited(server)[0]
    assert before > 0
    for i in range(100):
        sock.sendto(query(f"n{i}.x", number=i), (HOST, server.port))
    wait_until("all asked", lambda: server.metric("azoth_dns_queries_total", proto="udp") == 200)
    assert limited(server)[0] > before          # neither do names that do not exist help


def test_allowed_networks(lab):
    server = serve(lab, rrl={"rate": RATE, "slip": 0, "allow": ["127.0.7.0/24"]})
    assert burst(server, 100, source="127.0.7.9")[0] == 100
    assert burst(server, 100, source="127.0.8.9")[0] < 100
    assert burst(server, 5, source="127.0.9.9")[0] == 5         # another network


def test_a_good_cookie_is_not_limited(lab):
    """Who shows a server cookie of ours holds the address that it says."""
    server = serve(lab, rrl={"rate": RATE, "slip": 0}, cookie_secret="000102030405060708090a0b0c0d0e0f")
    client = b"12345678"

    def cookie(data):
        return {"use_edns": 0, "options": [dns.edns.GenericOption(10, data)]}
    reply = server.ask(f"www.{ZONE}", options=[dns.edns.GenericOption(10, client)])
    given = [o.data for o in reply.options if o.otype == 10]
    assert given and given[0][:8] == client and len(given[0]) > 8
    assert burst(server, 100, options=cookie(given[0]))[0] == 100
    forged = client + bytes(len(given[0]) - 8)
    assert burst(server, 100, options=cookie(forged))[0] < 100


# --- proxies ------------------------------------------------------------------------------------------------------
def header(source, stream=False, tlv=b""):
    addresses = socket.inet_aton(source) + socket.inet_aton(HOST) + struct.pack("!HH", 4711, 53)
    return SIGNATURE + bytes([0x21, 0x11 if stream else 0x12]) + struct.pack("!H", 12 + len(tlv)) + addresses + tlv


def test_who_is_behind_a_proxy(lab):
    """The client that the header names is the one that limits go by; other sources' headers are garbage."""
    server = serve(lab, rrl={"rate": RATE, "slip": 0}, proxies=["127.0.0.1", "127.0.6.0/24"])
    assert burst(server, 100, header=header("192.0.2.1"))[0] < 100
    before = limited(server)[0]
    assert before > 0
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    for i in range(100):                        # two of one network, in turn
        sock.sendto(header(f"192.0.2.{1 + i % 2}", tlv=b"\x04\0\1x") + query(number=i), (HOST, server.port))
    wait_until("all asked", lambda: server.metric("azoth_dns_queries_total", proto="udp") == 200)
    assert limited(server)[0] > before
    assert burst(server, 5, header=header("198.51.100.1"))[0] == 5
    assert burst(server, 5, header=header("198.51.101.1"), source="127.0.6.7")[0] == 5
    assert burst(server, 5)[0] == 0             # without a header
    assert server.metric("azoth_dns_proxy_refused_total") == 5
    server.wait_log(r" WARN dns\.proxy refused=\d")
    assert burst(server, 5, header=header("203.0.113.1"), source="127.0.5.1")[0] == 0
    assert burst(server, 5, source="127.0.5.1")[0] == 5


def dnsdist():
    """Its command line: installed, or unpacked by scripts/install-deps; None."""
    for folder in BUILD / "dnsdist", TOP / "build" / "dnsdist":
        if (folder / "usr/bin/dnsdist").exists():
            return [str(folder / "run"), "dnsdist"]
    return ["/usr/bin/dnsdist"] if pathlib.Path("/usr/bin/dnsdist").exists() else None


def test_dnsdist_in_front(lab):
    """A real proxy: UDP and TCP, its checks, and clients told apart."""
    command = dnsdist()
    if command is None:
        pytest.skip("dnsdist is not there (scripts/install-deps --test)")
    server = serve(lab, proxies=["127.0.0.1"])
    front = port()
    config = lab.folder / "dnsdist.conf"
    config.write_text(f"""setLocal('{HOST}:{front}')
setACL('127.0.0.0/8')
setSecurityPollSuffix('')
newServer({{address='{HOST}:{server.port}', useProxyProtocol=true, checkName='www.{ZONE}', checkInterval=1, mustResolve=true}})
""")
    with open(lab.folder / "dnsdist.log", "wb") as log:
        process = subprocess.Popen([*command, "--supervised", "-C", str(config)],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        def answered(send):
            assert process.poll() is None, (lab.folder / "dnsdist.log").read_text()[-2000:]
            try:
                return send(dns.message.make_query(f"www.{ZONE}", "A"), HOST, timeout=1, port=front).answer
            except (dns.exception.DNSException, OSError, EOFError):
                return None
        for send in dns.query.udp, dns.query.tcp:
            wait_until("an answer through dnsdist", lambda: answered(send), 30)
        assert server.metric("azoth_dns_proxy_refused_total") == 0
        assert server.metric("azoth_dns_queries_total", proto="tcp") > 0
    finally:
        process.terminate()
        process.wait(10)


# --- TLS ----------------------------------------------------------------------------------------------------------
def certificate(lab, name, days=30):
    """(cert, key) of a certificate of its own for dns.example."""
    cert, key = lab.folder / f"{name}.crt", lab.folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days),
                    "-subj", "/CN=dns.example", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


def serve_tls(lab, **settings):
    cert, key = certificate(lab, "tls")
    number = port()
    server = serve(lab, tls={"listen": [f"{HOST}@{number}"], "cert": str(cert), "key": str(key)}, **settings)
    server.tls_port, server.cert, server.key = number, cert, key
    return server


def trusting(alpn=None, **limits):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for what, value in limits.items():
        setattr(context, what, value)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def tls(server, context=None, session=None, first=b""):
    raw = socket.create_connection((HOST, server.tls_port), timeout=5 * SLOW)
    raw.sendall(first)
    return (context or trusting()).wrap_socket(raw, session=session)


def test_dns_over_tls(lab):
    server = serve_tls(lab, workers=2)
    with tls(server, trusting(alpn=["dot"])) as sock:
        assert sock.selected_alpn_protocol() == "dot" and sock.version() == "TLSv1.3"
        sock.sendall(b"".join(framed(number=i) for i in range(200)))
        for i in range(200):
            assert read_message(sock)[:2] == struct.pack("!H", i)
    with tls(server, trusting(alpn=["h2"])) as sock:          # older clients and strange ones are served too
        assert sock.selected_alpn_protocol() is None
        sock.sendall(framed())
        assert read_message(sock)
    with tls(server, trusting(maximum_version=ssl.TLSVersion.TLSv1_2)) as sock:
        assert sock.version() == "TLSv1.2"
        context, session = sock.context, sock.session
        sock.sendall(framed())
        assert read_message(sock)
    with tls(server, context, session) as sock:
        assert sock.session_reused
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = trusting(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError):
        tls(server, old)
    wait_until("counted", lambda: server.metric("azoth_dns_tls_failed_total") == 1)
    assert server.metric("azoth_dns_queries_total", proto="tls") == 202
    done = subprocess.run(["kdig", f"@{HOST}", "-p", str(server.tls_port), "+tls", "+timeout=5", f"www.{ZONE}", "A", "+short"],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "192.0.2.80", done.stdout + done.stderr


def test_long_answers_over_tls(lab):
    """Thirty times 63 kB, asked for in one go and read late: all come, whole and in order."""
    server = serve_tls(lab)
    with tls(server) as sock:
        sock.sendall(b"".join(framed("huge", "TXT", i) for i in range(30)))
        time.sleep(0.3)
        for i in range(30):
            reply = read_message(sock)
            assert reply[:2] == struct.pack("!H", i) and len(dns.message.from_wire(reply).answer[0]) == 240
        sock.sendall(framed())
        assert read_message(sock)


def test_keepalive(lab):
    """RFC 7828: over streams, to who asks, how long the connection may be idle; never over UDP."""
    server = serve_tls(lab, tcp={"idle": "7s"})
    wire = query(use_edns=0, options=[dns.edns.GenericOption(11, b"")])

    def told(reply):
        return [o.to_wire() for o in dns.message.from_wire(reply).options if o.otype == 11]
    for sock in socket.create_connection((HOST, server.port), timeout=5 * SLOW), tls(server):
        with sock:
            sock.sendall(struct.pack("!H", len(wire)) + wire)
            assert told(read_message(sock)) == [struct.pack("!H", 70)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5 * SLOW)
        sock.sendto(wire, (HOST, server.port))
        assert told(sock.recv(4096)) == []


def test_tls_half_close(lab):
    """A client that says its side is done gets the answers to what it sent."""
    server = serve_tls(lab)
    inn, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = trusting().wrap_bio(inn, out, server_side=False)
    with socket.create_connection((HOST, server.tls_port), timeout=5 * SLOW) as raw:
        def turn(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    raw.sendall(out.read())
                    inn.write(raw.recv(65536))
        turn(session.do_handshake)
        session.write(b"".join(framed(number=i) for i in range(20)))
        try:
            session.unwrap()
        except ssl.SSLWantReadError:
            pass
        raw.sendall(out.read())
        got = b""
        while part := raw.recv(65536):
            got += part
    assert len(got) > 20 * 40                   # encrypted; 20 answers are 1 kB and more
    assert server.metric("azoth_dns_queries_total", proto="tls") == 20


def test_tls_reset(lab):
    """A client that leaves without taking its answers is forgotten at once: its dead connection is not tried again and again."""
    server = serve_tls(lab, tcp={"idle": "600s"})
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(5 * SLOW)
    raw.connect((HOST, server.tls_port))
    sock = trusting().wrap_socket(raw)
    sock.sendall(b"".join(framed("huge", "TXT", i) for i in range(10)))
    wait_until("asked", lambda: server.metric("azoth_dns_queries_total", proto="tls") >= 2)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()                                # RST
    wait_until("closed", lambda: server.metric("azoth_dns_tcp_connections") == 0)


def test_tls_crumbs(lab):
    """More in one go than is read before it is answered, in messages too short for an answer; the question behind them has one."""
    server = serve_tls(lab)
    with tls(server) as sock:
        for i in range(80):
            sock.sendall(b"\0\1x" * (33000 + 400 * i) + framed(number=i))
            assert read_message(sock)[:2] == struct.pack("!H", i)


def test_tls_clients_that_do_not_finish(lab):
    """Silence, half a handshake, garbage, plain DNS: none of it takes long or disturbs anybody."""
    server = serve_tls(lab)
    silent = [socket.create_connection((HOST, server.tls_port), timeout=20 * SLOW) for _ in range(20)]
    for sock in silent[:10]:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
    garbage = socket.create_connection((HOST, server.tls_port), timeout=5 * SLOW)
    garbage.sendall(framed())
    try:
        while garbage.recv(100):
            pass                                # an alert, or nothing
    except OSError:
        pass
    start = time.monotonic()
    with tls(server) as sock:
        sock.sendall(framed())
        assert read_message(sock)
    for sock in silent:
        try:
            assert sock.recv(10) == b""
        except ConnectionResetError:
            pass
    assert time.monotonic() - start > 3
    assert server.metric("azoth_dns_tcp_timeouts_total") == 20
    assert server.metric("azoth_dns_tls_failed_total") == 1


def fingerprint(sock):
    return sock.getpeercert(binary_form=True)


def test_a_new_certificate(lab):
    """SIGHUP: new connections get the new certificate, those there are go on; a bad one changes nothing."""
    server = serve_tls(lab)
    old = tls(server)
    before = fingerprint(old)
    cert, key = certificate(lab, "next")
    server.key.write_bytes(key.read_bytes())
    mark = server.mark()
    server.hup()                                # the new key does not fit the old certificate
    assert "old certificate stays" in server.wait_log(r"ERROR dns\.reload", since=mark)
    with tls(server) as sock:
        assert fingerprint(sock) == before
    server.cert.write_bytes(cert.read_bytes())
    mark = server.mark()
    server.hup()
    server.wait_log(r"dns\.reload what=\S*certificate", since=mark)
    with tls(server) as sock:
        assert fingerprint(sock) != before
        sock.sendall(framed())
        assert read_message(sock)
    old.sendall(framed())
    assert read_message(old)
    old.close()


@pytest.mark.parametrize("what,wanted", [("no cert", r"dns.tls.cert: certificate \S+: No such file"), ("no key", r"dns.tls.key: private key \S+: No such file"),
                                         ("garbage", r"dns.tls.cert: certificate \S+: .*PEM"), ("another key", r"dns.tls.key: private key \S+: .*mismatch"),
                                         ("a key of another kind", r"dns.tls.key: .*(mismatch|does not belong to)"),
                                         ("a passphrase", r"dns.tls.key: private key \S+: .*passphrase")])
def test_bad_certificates_at_start(lab, what, wanted):
    server = serve(lab, start=False)
    cert, key = certificate(lab, "tls")
    if what == "another key":
        key.write_bytes(certificate(lab, "other")[1].read_bytes())
    elif what == "a key of another kind":
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    elif what == "garbage":
        cert.write_text("no certificate\n")
    elif what == "a passphrase":                # which nobody is asked for, not even who types it unasked
        subprocess.run(["openssl", "pkey", "-aes128", "-passout", "pass:secret", "-in", str(key), "-out", str(key) + ".new"], check=True)
        (lab.folder / "tls.key.new").rename(key)
    else:
        (cert if what == "no cert" else key).unlink()
    server.node.dns_settings = {"tls": {"listen": [f"{HOST}@{port()}"], "cert": str(cert), "key": str(key)}}
    server.node.write_config()
    checked, done = (subprocess.run([program("azoth-dns"), "-c", str(server.node.config_path), *more], capture_output=True, text=True,
                                    timeout=60 * SLOW, input="secret\n", start_new_session=True) for more in (["--check"], []))
    assert (done.returncode, checked.returncode) == (1, 1) and checked.stderr == done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("azoth-dns: ")]
    assert len(lines) == 1
    assert re.search(wanted, lines[0]), lines[0]


def test_tls_behind_a_proxy(lab):
    """The header comes before the handshake, and not a byte of the handshake is taken for it."""
    server = serve_tls(lab, proxies=["127.0.0.1"], tcp={"per_client": 1})
    with tls(server, first=header("192.0.2.1", stream=True, tlv=b"\x20\0\5\1\0\0\0\0")) as sock:
        sock.sendall(framed())
        assert read_message(sock)
        with pytest.raises(OSError):            # that client has its connection
            tls(server, first=header("192.0.2.1", stream=True))
        with tls(server, first=header("192.0.2.2", stream=True)) as other:
            other.sendall(framed())
            assert read_message(other)
    with pytest.raises(OSError):
        tls(server)
    assert server.metric("azoth_dns_proxy_refused_total") == 1


def test_idle_tls_connections(lab, figure):
    """What one costs."""
    server = serve_tls(lab, cache="0", tcp={"idle": "60s", "connections": 500, "per_client": 0})

    def own():
        return [int(line.split()[1]) * 1024 for line in open(f"/proc/{server.process.pid}/status") if line.startswith("RssAnon:")][0]
    before, socks, context = own(), [], trusting()
    for _ in range(300):
        sock = tls(server, context)
        sock.sendall(framed())
        assert read_message(sock)
        socks.append(sock)
    each = (own() - before) / len(socks)
    figure("memory of an idle TLS connection", f"{each:.0f} bytes")
    assert each < 65536 or SLOW > 1
    for sock in socks:
        sock.close()
