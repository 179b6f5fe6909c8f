"""A core whose history breaks off: its log is lost, or an older backup is restored. A new epoch begins; edges that stand
exactly where the core stands go on, all others copy by themselves; answers keep coming."""
import os
import shutil
import threading

from lab import API_KEY, HOST, Core, azoth, small_zone, wait_until

ZONE = "example.org."
OTHER = "other.test."
RECORDS = "".join(f"h{i} IN TXT \"text-{i:04}\"\n" for i in range(300))


def zone(serial, extra=""):
    return small_zone(ZONE, serial, RECORDS + extra)


def lose_log(core):
    shutil.rmtree(core.dir / "log")


def change(lab, core, serial, extra=""):
    """A new serial at the core, by its zone file."""
    path = lab.zone_file("zone", zone(serial, extra))
    core.hup()
    return path


def position(node):
    stat = node.stat()
    return stat["epoch"], stat["applied"]


def copies(edge):
    return edge.metric("azoth_edge_copies_total")


class Watch:
    """Asks a DNS server all the time; what it did not answer with an address is kept."""

    def __init__(self, server, name):
        self.server, self.name, self.wrong, self.asked, self.over = server, name, [], 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over:
            self.asked += 1
            if all(self.server.values(self.name) is None for _ in range(3)):    # a packet may be lost on a busy machine
                self.wrong.append(self.asked)

    def end(self):
        self.over = True
        self.thread.join(30)
        assert self.asked > 0 and not self.wrong, f"{len(self.wrong)} of {self.asked} questions were not answered"


def test_log_is_lost(lab):
    """The edge that stands exactly at the core's head goes on, the one that was behind copies."""
    path = lab.zone_file("zone", zone(1))
    core = lab.core({ZONE: path}).start()
    exact = lab.edge("exact", core).start()
    behind = lab.edge("behind", core).start()
    lab.wait_equal([core, exact, behind])
    server = lab.dns(exact).start()
    watch = Watch(server, "www." + ZONE)
    behind.stop()
    change(lab, core, 2)
    server.wait_serial(ZONE, 2)
    lab.wait_equal([core, exact])
    epoch, seq = position(core)
    assert epoch == 1 and seq > position(behind)[1]
    core.stop()
    lose_log(core)
    since = core.mark()
    core.start()
    line = core.wait_log(r"core\.epoch ", since)
    assert f"from=1 to=2 seq={seq + 1} " in line and "the log is empty" in line
    lab.wait_equal([core, exact])
    assert position(exact) == (2, seq + 1)
    change(lab, core, 3)
    server.wait_serial(ZONE, 3)
    behind.start()
    lab.wait_equal([core, exact, behind])
    assert copies(exact) == 0 and copies(behind) >= 1
    watch.end()
    # once only
    core.stop()
    since = core.mark()
    core.start()
    assert "core.epoch" not in core.log()[since:]
    assert position(core)[0] == 2
    change(lab, core, 4)
    server.wait_serial(ZONE, 4)


def test_log_lost_its_tail(lab):
    """An older copy of the log stands there: the data goes on, and a relay hands the new epoch on without a copy."""
    core = lab.core({ZONE: lab.zone_file("zone", zone(1))}).start()
    relay = lab.edge("relay", core, relay=True).start()
    leaf = lab.edge("leaf", relay).start()
    lab.wait_equal([core, relay, leaf])
    core.stop()
    shutil.copytree(core.dir / "log", lab.folder / "old-log")
    core.start()
    change(lab, core, 2)
    server = lab.dns(leaf).start()
    server.wait_serial(ZONE, 2)
    lab.wait_equal([core, relay, leaf])
    core.stop()
    lose_log(core)
    shutil.copytree(lab.folder / "old-log", core.dir / "log")
    since = core.mark()
    core.start()
    core.wait_log(r"core\.epoch from=1 to=2 ", since)
    change(lab, core, 3)
    server.wait_serial(ZONE, 3)
    lab.wait_equal([core, relay, leaf])
    assert position(leaf)[0] == 2 and copies(relay) == 0 and copies(leaf) == 0


def test_offline_load_without_a_log(lab):
    """`azoth load` begins the new epoch too, and says so."""
    core = lab.core()
    core.load(f"{ZONE}={lab.zone_file('zone', zone(1))}")
    core.start()
    edge = lab.edge("edge-1", core).start()
    lab.wait_equal([core, edge])
    core.stop()
    lose_log(core)
    done = core.load(f"{OTHER}={lab.zone_file('other.zone', small_zone(OTHER, 1))}")
    assert "epoch 2 begins" in done.err
    core.start()
    lab.wait_equal([core, edge])
    assert position(edge)[0] == 2 and copies(edge) == 0
    server = lab.dns(edge).start()
    assert server.serial(OTHER) == 1 and server.serial(ZONE) == 1


def test_log_of_another_core(lab):
    """Refused, with nothing touched: somebody mixed up folders."""
    core = lab.core({ZONE: lab.zone_file("zone", zone(1))}).start()
    core.stop()
    other = Core(lab, {OTHER: lab.zone_file("other.zone", small_zone(OTHER, 1))}, name="other")
    other.start()
    other.stop()
    shutil.move(core.dir / "log", lab.folder / "log")
    shutil.copytree(other.dir / "log", core.dir / "log")
    before = core.stat()
    core.launch()
    assert core.ended() == 1
    assert "signed by another key" in core.log()
    after = core.stat()
    assert (before["applied"], before["epoch"], before["digest"]) == (after["applied"], after["epoch"], after["digest"])
    lose_log(core)
    shutil.move(lab.folder / "log", core.dir / "log")
    core.start()
    assert position(core)[0] == 1


def test_older_backup_is_restored(lab):
    """Edges that went further than the backup, behind a relay too, copy by themselves and end equal."""
    core = lab.core()
    core.load(f"{ZONE}={lab.zone_file('zone', zone(1, 'old IN A 192.0.2.9' + chr(10)))}")
    core.start()
    relay = lab.edge("relay", core, relay=True).start()
    leaf = lab.edge("leaf", relay).start()
    edge = lab.edge("edge-1", core).start()
    lab.wait_equal([core, relay, leaf, edge])
    backup = lab.folder / "backup"
    core.azoth("backup", backup)
    core.stop()
    core.load(f"{ZONE}={lab.zone_file('zone', zone(2, 'new IN A 192.0.2.10' + chr(10)))}")
    core.start()
    servers = [lab.dns(node).start() for node in (leaf, edge)]
    for server in servers:
        server.wait_serial(ZONE, 2)
    lab.wait_equal([core, relay, leaf, edge])
    watches = [Watch(server, "www." + ZONE) for server in servers]
    core.stop()
    core.azoth("restore", backup, "--replace")
    core.start()
    for server in servers:
        server.wait_serial(ZONE, 1, timeout=60)
        wait_until("the old state", lambda s=server: s.values("old." + ZONE) == ["192.0.2.9"])
        assert not server.values("new." + ZONE)
    lab.wait_equal([core, relay, leaf, edge], timeout=60)
    assert position(leaf)[0] == 2
    for node in (relay, leaf, edge):
        assert copies(node) >= 1
    for watch in watches:
        watch.end()


def test_machine_is_rolled_back(lab):
    """Data, log and all, as by a snapshot of the core's machine: nothing tells the core. On command a new epoch begins, and
    edges that had gone further copy by themselves."""
    core = lab.core({ZONE: lab.zone_file("zone", zone(1))}, api=True).start()
    edge = lab.edge("edge-1", core).start()
    lab.wait_equal([core, edge])
    core.stop()
    shutil.copytree(core.dir, lab.folder / "image")
    core.start()
    server = lab.dns(edge).start()
    change(lab, core, 2)
    server.wait_serial(ZONE, 2)
    lab.wait_equal([core, edge])
    core.stop()
    shutil.rmtree(core.dir)
    shutil.move(lab.folder / "image", core.dir)
    lab.zone_file("zone", zone(1))
    core.start()
    assert position(core) < position(edge)
    env = {**os.environ, "AZOTH_API": f"http://{HOST}:{core.ports['api']}", "AZOTH_API_KEY": API_KEY}
    told = azoth("cluster", "raise-epoch", env=env).out.strip()
    assert told == ".".join(map(str, position(core))) and told.startswith("2.")
    server.wait_serial(ZONE, 1)
    lab.wait_equal([core, edge])
    assert copies(edge) == 1
    assert 'why="asked for"' in core.wait_log(r"core\.epoch ")
