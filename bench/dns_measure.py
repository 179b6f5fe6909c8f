"""What `bench/run dns` reads off the servers: CPU and memory of all their processes, answers per second, and whether the
answers are those that the others give."""
import collections
import os
import pathlib
import random
import re
import statistics
import subprocess

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from dns_peers import HOST

TICK = os.sysconf("SC_CLK_TCK")


# --- processes --------------------------------------------------------------------------------------------------------
def family(pid):
    """pid and every process below it."""
    below = collections.defaultdict(list)
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        below[int(text.rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += below[one]
    return found


def cpu_of(pids):
    """(seconds of run time, ticks in user mode, ticks in the kernel), all threads."""
    ran = user = system = 0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                ran += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return ran / 1e9, user, system


def memory_of(pids, mapped=None):
    """MB: rss, pss, and rss without the pages of files below the folder `mapped`."""
    kb = collections.Counter()
    for pid in pids:
        inside = False
        try:
            lines = pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                path = line.split(None, 5)[5:]
                inside = mapped is not None and bool(path) and path[0].startswith(str(mapped))
            elif line.startswith("Rss:"):
                kb["rss"] += int(line.split()[1])
                kb["bare"] += 0 if inside else int(line.split()[1])
            elif line.startswith("Pss:"):
                kb["pss"] += int(line.split()[1])
    return {key: kb[key] / 1024 for key in ("rss", "pss", "bare")}


# --- asking -----------------------------------------------------------------------------------------------------------
class Client:
    """bench-udp over one question file."""

    def __init__(self, program, core, questions, with_do):
        self.process = subprocess.Popen(["taskset", "-c", str(core), str(program), str(questions), *(["--do"] if with_do else [])],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, port, seconds, first=0, count=0):
        self.process.stdin.write(f"{HOST} {port} {seconds} {first} {count}\n")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("bench-udp ended")
        return {key: float(value) for key, value in (pair.split("=") for pair in line.split())}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Cell:
    """The rounds of one server on one question file."""

    def __init__(self):
        self.us, self.rate, self.busy, self.client = [], [], [], []
        self.user_ticks = self.all_ticks = 0
        self.sums = collections.Counter()

    def add(self, cpu, before, said):
        """cpu, before: of cpu_of. A round without any answer (a machine that was stopped) says nothing about the server."""
        self.sums.update({key: value for key, value in said.items() if key not in ("seconds", "client_cpu")})
        if said["answered"] == 0:
            return
        seconds = cpu[0] - before[0]
        self.us.append(seconds * 1e6 / said["answered"])
        self.rate.append(said["answered"] / said["seconds"] / 1000)
        self.busy.append(seconds / said["seconds"])
        self.client.append(said["client_cpu"] / said["seconds"])
        self.user_ticks += cpu[1] - before[1]
        self.all_ticks += cpu[1] + cpu[2] - before[1] - before[2]

    def total(self):
        return statistics.median(self.us)

    def user(self):
        return self.total() * self.user_ticks / max(1, self.all_ticks)

    def as_json(self):
        return {"us": self.us, "user_us": self.user(), "kps": self.rate, "busy": self.busy, "client": self.client, "sums": self.sums}


def measure(server, client, seconds, first, cell, warm=0.15):
    if warm:
        client.ask(server.port, warm, first + 500000)
    pids = family(server.process.pid)
    before = cpu_of(pids)
    said = client.ask(server.port, seconds, first)
    cell.add(cpu_of(pids), before, said)
    return said


# --- are the answers right? ---------------------------------------------------------------------------------------------
def summary(reply):
    """What all servers must agree on: rcode, AA, the answer's RRsets with their sizes, and without an answer what the
    authority section holds (additional records and the rest of that section are each server's own choice)."""
    def counts(section):
        return tuple(sorted((dns.rdatatype.to_text(rrset.rdtype), len(rrset)) for rrset in section))

    def kinds(section):
        return tuple(sorted({dns.rdatatype.to_text(rrset.rdtype) for rrset in section}))
    return reply.rcode(), bool(reply.flags & dns.flags.AA), counts(reply.answer), () if reply.answer else kinds(reply.authority)


def words(got):
    if got is None:
        return "no answer"
    rcode, aa, answer, authority = got
    return f"{dns.rcode.to_text(rcode)}{' AA' if aa else ''}, answer {' '.join(f'{t}:{n}' for t, n in answer) or 'empty'}" \
           + (f", authority {' '.join(authority)}" if authority else "")


def summary_of(port, name, rrtype, with_do):
    query = dns.message.make_query(name, rrtype, use_edns=0 if with_do else -1, want_dnssec=with_do, payload=1232)
    try:
        return summary(dns.query.udp(query, HOST, timeout=2, port=port))
    except (dns.exception.DNSException, OSError):
        return None


def sample_of(path, n, seed=1):
    """n lines out of the first 20,000."""
    with open(path) as f:
        lines = [line.split() for line, _ in zip(f, range(20000))]
    return random.Random(seed).sample(lines, min(n, len(lines)))


def check(servers, path, with_do, n):
    """{server name: (how many of n differ from what most servers say, an example)} of those that differ."""
    wrong = {}
    for name, rrtype in sample_of(path, n):
        said = {server.name: summary_of(server.port, name, rrtype, with_do) for server in servers if not server.limit}
        common, votes = collections.Counter(said.values()).most_common(1)[0]
        for who, got in said.items():
            if got != common:
                count, example = wrong.get(who, (0, f"`{name} {rrtype}`: {words(got)}; {votes} servers: {words(common)}"))
                wrong[who] = (count + 1, example)
    return wrong
