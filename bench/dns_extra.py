"""What `bench/run dns` measures beside the mixes: starts, commits under load, instructions, and what hardening costs."""
import pathlib
import re
import statistics
import subprocess
import time
import urllib.request

import dns_measure
import dns_peers
import dns_zones

COMMITS_PER_S = 500
WARM_S = 10
WARM_QUESTIONS, COUNTED_QUESTIONS = 10000, 30000
VALGRIND = ["valgrind", "-q", "--tool=cachegrind", "--cache-sim=no", "--trace-children=yes"]
SOFT = "-O2 -g -fno-stack-protector -fno-stack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0 -fcf-protection=none -fno-pie"
SOFT_LINK = "-no-pie -Wl,-z,norelro -Wl,-z,lazy"


def starts(make, dataset, folder, n):
    """Milliseconds from the start of a server to its first answers, n times."""
    found = []
    for _ in range(n):
        server = make()
        try:
            found.append(server.start(dataset, folder, dns_peers.free_port()).load_s * 1000)
        finally:
            server.stop()
    return found


# --- commits ------------------------------------------------------------------------------------------------------------
def cache_counters(server):
    """(hits, misses) of the answer cache from /metrics; None: there are no such counters."""
    with urllib.request.urlopen(f"http://{dns_peers.HOST}:{server.http_port}/metrics", timeout=5) as page:
        text = page.read().decode()
    sums = {}
    for kind in "hit", "miss":
        values = re.findall(rf"^azoth_dns_cache_\w*{kind}\w*(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.M)
        if not values:
            return None
        sums[kind] = sum(map(float, values))
    return sums["hit"], sums["miss"]


def hit_rate(before, after):
    if before is None or after is None:
        return None
    hits, misses = after[0] - before[0], after[1] - before[1]
    return hits / max(1, hits + misses)


class Writer:
    """bench-commits beside the server; rate 0: nothing."""

    def __init__(self, program, core, store, names, rate, seconds):
        command = ["taskset", "-c", str(core), str(program), str(store), str(names), str(rate), str(seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) if rate else None

    def commits_per_s(self):
        if self.process is None:
            return 0
        out, err = self.process.communicate(timeout=60)
        if self.process.returncode != 0:
            raise RuntimeError(f"bench-commits: {err[-300:]}")
        made, seconds = out.split()
        return int(made) / float(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def commits(server, dataset, build, core, rounds, seconds):
    """The zipf questions to `server`, with and without commits to names that nobody asks for, in turns."""
    rows = {title: {"us": [], "hits": [], "rates": [0], "per_s": rate}
            for title, rate in (("no commits", 0), (f"{COMMITS_PER_S} commits a second", COMMITS_PER_S))}
    with dns_measure.Client(build / "bench/bench-udp", core, dataset.questions["zipf"], dataset.signed) as client:
        client.ask(server.port, WARM_S, 0, dataset.lines)
        for turn in range(rounds):
            for one in rows.values():
                cell = dns_measure.Cell()
                with Writer(build / "bench/bench-commits", core, server.store, dataset.changed, one["per_s"], seconds + 0.8) as writer:
                    time.sleep(0.3)
                    before = cache_counters(server)
                    dns_measure.measure(server, client, seconds, turn * 100003, cell)
                    rate = hit_rate(before, cache_counters(server))
                    one["rates"].append(writer.commits_per_s())
                one["us"] += cell.us
                one["hits"] += [] if rate is None else [rate]
    return {"size": dataset.size, "rows": {title: {**one, "rate": statistics.median(one["rates"][1:])} for title, one in rows.items()}}


# --- instructions ---------------------------------------------------------------------------------------------------------
def small_map(folder):
    """The library that makes room under valgrind (smallmap.c)."""
    made = pathlib.Path(folder) / "smallmap.so"
    if not made.exists():
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", made, pathlib.Path(__file__).with_name("smallmap.c")], check=True, timeout=60)
    return made


def instructions_of(make, dataset, mix, folder, build, core, count):
    """(instructions of a whole life with `count` questions, answers)."""
    server = make()
    counted = pathlib.Path(folder) / "counted"
    for old in pathlib.Path(folder).glob("counted.*"):
        old.unlink()
    try:
        wrapper = ["env", f"LD_PRELOAD={small_map(folder)}", *VALGRIND, f"--cachegrind-out-file={counted}.%p"]
        server.start(dataset, folder, dns_peers.free_port(), wrapper)
        server.settle()
        with dns_measure.Client(build / "bench/bench-udp", core, dataset.questions[mix], dataset.signed) as client:
            answered = client.ask(server.port, 120, 0, count)["answered"]
        server.process.terminate()
        server.process.wait(60)
        time.sleep(0.5)
    finally:
        server.stop()
    total = 0
    for path in pathlib.Path(folder).glob("counted.*"):
        found = re.findall(r"^summary: (\d+)", path.read_text(), re.M)
        total += int(found[-1]) if found else 0
    return total, answered


def instructions(makes, dataset, mixes, folder, build, core, say):
    """{mix: {server name: instructions per answer}}; makes: functions that give a new server."""
    found = {mix: {} for mix in mixes}
    for make in makes:
        name = make().name
        for mix in mixes:
            try:
                few, few_n = instructions_of(make, dataset, mix, folder, build, core, WARM_QUESTIONS)
                many, many_n = instructions_of(make, dataset, mix, folder, build, core, WARM_QUESTIONS + COUNTED_QUESTIONS)
                found[mix][name] = (many - few) / max(1, many_n - few_n)
                say(f"instructions {mix} {name}: {found[mix][name]:.0f}")
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                say(f"instructions {mix} {name}: {error}")
    return found


# --- hardening ------------------------------------------------------------------------------------------------------------
def build_soft(top, jobs):
    """The same sources without hardening; the folder of the build."""
    folder = top / "build/bench-soft"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "Makefile").exists():
        subprocess.run([top / "configure", "--quiet", "--enable-release", "--disable-shared", f"CFLAGS={SOFT}", f"LDFLAGS={SOFT_LINK}"], check=True, cwd=folder,
                       capture_output=True, timeout=300)
    subprocess.run(["make", "-s", f"-j{jobs}", "azoth-dns"], check=True, cwd=folder, capture_output=True, timeout=900)
    return folder


def hardening(hard, soft, dataset, mixes, build, core, rounds, seconds):
    """Rows size, mix, median of each, ratio, least and most ratio. hard, soft: servers that run."""
    rows = []
    for mix in mixes:
        cells = dns_measure.Cell(), dns_measure.Cell()
        with dns_measure.Client(build / "bench/bench-udp", core, dataset.questions[mix], dataset.signed) as client:
            for server in (hard, soft):
                client.ask(server.port, WARM_S, 0, dataset.lines)
            for turn in range(rounds):
                for server, cell in zip((hard, soft), cells):
                    dns_measure.measure(server, client, seconds, turn * 100003, cell)
        ratios = [a / b for a, b in zip(cells[0].us, cells[1].us)]
        rows.append((dataset.size, mix, cells[0].total(), cells[1].total(), statistics.median(ratios), min(ratios), max(ratios)))
    return rows
