"""bench/run transfer: many small secondary zones of one primary: all taken at once, then refreshed by their timers, also when all
of them are overdue; what an idle one costs the core in memory. `bench` is bench/run's own module."""
import concurrent.futures
import http.client
import json
import shutil
import statistics
import time

import lab as laboratory
import transfer
from lab import HOST

REFRESH_S = {True: 30, False: 45}       # by quick; the core's least is 30
PATIENCE_S = 90


class Many:
    def __init__(self, bench, folder, zones, refresh_s):
        self.bench, self.zones, self.refresh_s = bench, zones, refresh_s
        self.lab = laboratory.Lab(folder)
        self.core = transfer.Core(self.lab, {}, api=True, map_size="4G", core={"dns": {"listen": [f"{HOST}@{laboratory.port()}"]}})
        self.primary = None

    def register(self, port):
        """All zones through the API, before their primary is there; seconds."""
        self.core.start()
        self.empty_mb = self.bench.rss_mb(self.core.process.pid)
        since = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda part: self.post(port, range(part, self.zones, 16)), range(16)))
        took = time.monotonic() - since
        self.core.stop()
        return took

    def post(self, port, numbers):
        connection = http.client.HTTPConnection(HOST, self.core.ports["api"], timeout=60)
        for i in numbers:
            body = {"name": f"z{i}.many.{transfer.ZONE}", "kind": "secondary", "primaries": [{"address": f"{HOST}@{port}"}]}
            connection.request("POST", "/v1/zones", json.dumps(body), {"X-API-Key": laboratory.API_KEY})
            reply = connection.getresponse()
            text = reply.read()
            if reply.status >= 300:
                raise RuntimeError(f"zone {i}: {reply.status} {text[:200]}")
        connection.close()

    def take(self):
        """Seconds from the core's start until all zones are there."""
        since = time.monotonic()
        self.core.start()
        laboratory.wait_until("all zones taken", lambda: self.core.metric("azoth_core_secondary_transfers_total", outcome="whole") >= self.zones,
                              PATIENCE_S, pause=0.05)
        return time.monotonic() - since

    def rates(self):
        """SOA questions in each whole second since the primary began."""
        (_, _, _, *seconds), = self.primary.order("questions")
        return [int(n) for n in seconds[:-1]]

    def stop(self):
        if self.core.running():
            self.core.kill()
        if self.primary:
            self.primary.stop()
        shutil.rmtree(self.lab.folder, ignore_errors=True)


def row(when, zones, seconds, refresh_s=None):
    asked = [n for n in seconds if n > 0]
    fair = f"{zones / (refresh_s * 0.95):.0f}" if refresh_s else ""     # waits are shortened by 0 to 10 %
    return [when, len(seconds), f"{sum(seconds):,}", f"{statistics.mean(seconds):.0f}" if seconds else "", fair, f"{max(asked, default=0):,}"]


def measure(bench, quick, folder):
    zones, refresh_s = (1000 if quick else 10000), REFRESH_S[quick]
    many = Many(bench, folder / "many", zones, refresh_s)
    try:
        port = laboratory.port()
        registered = many.register(port)
        many.primary = transfer.Primary(bench, 1, zones, refresh_s, port)
        taken = many.take()
        time.sleep(2)                               # the last second is whole then, and another one keeps it apart
        mark = len(many.rates())
        rows = [row("taken at once", zones, many.rates())]
        if not quick:
            many.core.stop()
            time.sleep(refresh_s + 1)               # no timer is left that has not run out
            mark = len(many.rates())
            many.core.start()
        cpu = bench.cpu_ns(many.core.process.pid)
        for part in range(1 if quick else 2):       # the first time round, and the next
            time.sleep(refresh_s + (4 if quick else 5))
            got = many.rates()
            rows.append(row("its timers" if quick else ["all overdue after a restart", "its timers behind that"][part], zones, got[mark:], refresh_s))
            mark = len(got)
        cpu = (bench.cpu_ns(many.core.process.pid) - cpu) / 1000 / max(1, sum(int(r[2].replace(",", "")) for r in rows[1:]))
        memory = (bench.rss_mb(many.core.process.pid) - many.empty_mb) * 1048576 / zones
        scheduler = many.core.metric("azoth_core_secondary_scheduler_bytes") / zones
        failed = many.core.metric("azoth_core_secondary_silent_total") + many.core.metric("azoth_core_secondary_bad_answers_total")
        return zones, refresh_s, registered, taken, rows, cpu, memory, scheduler, int(failed)
    finally:
        many.stop()


def section(bench, quick, folder):
    zones, refresh_s, registered, taken, rows, cpu, memory, scheduler, failed = measure(bench, quick, folder)
    return [f"\n**{zones:,} secondary zones** of 6 records, refresh {refresh_s} s, one primary; SOA questions that it was asked in a second\n",
            bench.table(["while", "s", "questions", "mean a second", "if evenly", "most in a second"], rows),
            f"\nMade through the API in {registered:.1f} s ({zones / registered:,.0f}/s, 16 connections); all taken within {taken:.1f} s of the core's"
            f" start ({zones / taken:,.0f}/s).\nA refresh costs the core {cpu:.0f} us of CPU; {failed} questions failed. Memory of the core per idle"
            f" zone, besides mapped files: {f'{memory:.0f} bytes' if quick else transfer.verdict(memory, 1024, f'{memory:.0f} bytes')}, {scheduler:.0f} of"
            f" them the scheduler's and the board's{'; most of it is not per zone, with so few' if quick else ''}.\n"
            "Targets: no burst; under 1 kB per idle zone.\n"]
