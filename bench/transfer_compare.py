"""bench/run transfer: how many questions a second `azoth compare` puts to two servers. `bench` is bench/run's own module."""
import json
import os
import shutil
import statistics
import subprocess
import time

import lab as laboratory
import peers
import transfer
from lab import HOST

TARGET = 50000
PATIENCE_S = 120


class Front:
    """azoth-dns on a store that was loaded from the file."""
    name = "azoth-dns"

    def __init__(self, bench, folder, path):
        self.lab = laboratory.Lab(folder)
        self.core = transfer.Core(self.lab, {}, map_size="4G")
        self.core.load(f"{transfer.ZONE}={path}")
        self.dns = self.lab.dns(self.core).start()
        self.port = self.dns.port

    def pids(self):
        return [self.dns.process.pid]

    def stop(self):
        self.dns.kill()


class Other:
    """A peer; whether it limits or logs does not matter: it is asked by one."""
    kind = None

    def __init__(self, bench, folder, path):
        folder.mkdir()
        self.server = self.kind(folder, {transfer.ZONE: path})
        self.port = self.server.port

    def pids(self):
        return [self.server.process.pid]

    def stop(self):
        self.server.stop()


class Nsd(Other):
    name, kind = "NSD", peers.Nsd


class Knot(Other):
    name, kind = "Knot", peers.Knot


def compared(bench, path, one, two, rounds):
    """(questions, [questions a second], different, CPU us per question of azoth compare and of the two)"""
    rates, ours, theirs, asked, different = [], 0.0, [0.0, 0.0], 0, 0
    for _ in range(rounds):
        before = [sum(bench.cpu_ns(pid) for pid in s.pids()) for s in (one, two)]
        was, since = os.times(), time.monotonic()
        done = subprocess.run([str(bench.BUILD / "azoth"), "compare", "--server", f"{HOST}@{one.port}", "--server", f"{HOST}@{two.port}", "--zone",
                               f"{transfer.ZONE}={path}", "--json"], capture_output=True, text=True, timeout=PATIENCE_S)
        took, now = time.monotonic() - since, os.times()
        if done.returncode not in (0, 2):
            raise RuntimeError(f"azoth compare: {done.stderr[-300:]}")
        got = json.loads(done.stdout)
        asked += got["questions"]
        different += got["different"]
        rates.append(got["questions"] / got.get("seconds", took))
        ours += now.children_user + now.children_system - was.children_user - was.children_system
        theirs = [sum_ + (sum(bench.cpu_ns(pid) for pid in s.pids()) - b) / 1e9 for sum_, b, s in zip(theirs, before, (one, two))]
    return asked // rounds, rates, different, [s * 1e6 / asked for s in (ours, *theirs)]


def section(bench, quick, folder):
    names, rounds = (10000, 2) if quick else (60000, 3)
    where = folder / "compare"
    where.mkdir()
    path = bench.zone_one(where, names)[0][transfer.ZONE]
    rows, servers = [], []
    try:
        for make in Front, Nsd, Knot:
            if make is Front or peers.server_command(make.kind.program):
                servers.append(make(bench, where / make.name, path))
        for one, two in zip(servers, servers[1:] + [servers[0]]):
            asked, rates, different, cpu = compared(bench, path, one, two, rounds)
            rate = f"**{statistics.median(rates):,.0f}** ({min(rates):,.0f}-{max(rates):,.0f})"
            rows.append([f"{one.name} and {two.name}", f"{asked:,}", rate, different, " / ".join(f"{us:.1f}" for us in cpu)])
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(where, ignore_errors=True)
    return [f"\n**azoth compare** of two servers with one zone of {names:,} names; CPU us per question of the command / the one / the other, of"
            f" {len(bench.CORES)} cores that they share\n",
            bench.table(["servers", "questions", "questions/s", "different", "CPU us"], rows),
            f"\nTarget: {TARGET:,} questions/s.\n"]
