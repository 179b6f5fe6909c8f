"""NSD, Knot and BIND serving given zones on loopback ports, from the machine's packages or from build/peers
(scripts/install-deps --test), never as services and never with the machine's own configuration."""
import pathlib
import subprocess

import dns.exception
import dns.message
import dns.query

from lab import BUILD, HOST, TOP, port, wait_until


def server_command(name):
    """The command line of a peer server, or None."""
    for folder in BUILD / "peers", TOP / "build" / "peers":
        if (folder / "usr/sbin" / name).exists():
            return [str(folder / "run"), name]
    path = pathlib.Path("/usr/sbin") / name
    return [str(path)] if path.exists() else None


class Peer:
    program = None

    def __init__(self, folder, zones):
        self.folder = pathlib.Path(folder) / self.program
        self.folder.mkdir()
        self.port = port()
        self.log = open(self.folder / "log", "wb")
        config = self.folder / "conf"
        config.write_text(self.config(zones))
        self.process = subprocess.Popen([*server_command(self.program), *self.arguments(config)], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, cwd=self.folder)
        for zone in zones:
            wait_until(f"{self.program} serves {zone}", lambda: self.serves(zone), timeout=30, pause=0.05)

    def serves(self, zone):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            query = dns.message.make_query(zone, "SOA")
            return dns.query.udp(query, HOST, timeout=0.5, port=self.port).answer
        except (dns.exception.DNSException, OSError):
            return False

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def config(self, zones):
        raise NotImplementedError

    def arguments(self, config):
        raise NotImplementedError


class Nsd(Peer):
    program = "nsd"

    def arguments(self, config):
        return ["-d", "-c", str(config)]

    def config(self, zones):
        text = f"""server:
    ip-address: {HOST}@{self.port}
    username: ""
    pidfile: ""
    database: ""
    zonesdir: "{self.folder}"
    xfrdfile: "{self.folder}/xfrd.state"
    zonelistfile: "{self.folder}/zone.list"
    xfrdir: "{self.folder}"
    logfile: ""
    minimal-responses: yes
    rrl-ratelimit: 0
remote-control:
    control-enable: no
"""
        for name, path in zones.items():
            text += f'zone:\n    name: "{name}"\n    zonefile: "{path}"\n'
        return text


class Knot(Peer):
    program = "knotd"

    def arguments(self, config):
        return ["-c", str(config)]

    def config(self, zones):
        text = f"""server:
    rundir: "{self.folder}"
    listen: {HOST}@{self.port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{self.folder}"
    journal-db-max-size: 64M
log:
  - target: stderr
    any: warning
template:
  - id: default
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
zone:
"""
        for name, path in zones.items():
            text += f'  - domain: "{name}"\n    file: "{path}"\n'
        return text


class Bind(Peer):
    program = "named"

    def arguments(self, config):
        return ["-g", "-n", "1", "-c", str(config)]

    def config(self, zones):
        text = f"""options {{
    directory "{self.folder}";
    listen-on port {self.port} {{ {HOST}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    pid-file none;
    lock-file none;
    session-keyfile "{self.folder}/session.key";
    minimal-responses yes;
    zero-no-soa-ttl no;
    check-names primary ignore;
    check-integrity no;
    notify no;
    dnssec-validation no;
    empty-zones-enable no;
    querylog no;
}};
controls {{ }};
"""
        for name, path in zones.items():
            text += f'zone "{name}" {{ type primary; file "{path}"; }};\n'
        return text


ALL = [Nsd, Knot, Bind]


def missing():
    return [p.program for p in ALL if server_command(p.program) is None]


def start_all(folder, zones):
    started = []
    try:
        for peer in ALL:
            started.append(peer(folder, zones))
    except BaseException:
        for peer in started:
            peer.stop()
        raise
    return started
