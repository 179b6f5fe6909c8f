"""The dns section of RESULTS.md out of what was measured: targets, verdicts and tables. Pure: figures in, text out."""
import statistics

AZOTH, BARE, FASTEST = "azoth", "azoth, cache 0", "gdnsd"
RIVALS = ("NSD", "Knot")
LARGE = ("100k", "1m", "zones", "signed-100k", "signed-1m")
LOST_SHARE = 0.002          # of the answers: below it is what a small socket buffer loses now and then
TICKS_LEAST = 60            # fewer ticks of the clock do not tell user mode from the kernel
START_MS, MEMORY_MB, CACHE_MB = 50, 16, 128


def grid(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


# --- targets ------------------------------------------------------------------------------------------------------------
class Target:
    """ours by the best of `theirs`, at most (or with `ahead` below) `limit`; of the total CPU or its user part."""

    def __init__(self, title, ours, theirs, limit, applies, user=False, ahead=False):
        self.title, self.ours, self.theirs, self.limit, self.applies = title, ours, theirs, limit, applies
        self.user, self.ahead = user, ahead

    def said(self):
        return f"below {self.limit:.2f}" if self.ahead else f"at most {self.limit:.2f}"

    def met(self, ratio):
        return ratio < self.limit if self.ahead else ratio <= self.limit


def is_signed(size):
    return size.startswith("signed-")


TARGETS = [
    Target("azoth by gdnsd: all but NXDOMAIN and signed", AZOTH, (FASTEST,), 1.03, lambda size, mix: mix != "nxdomain" and not is_signed(size)),
    Target("azoth by the better of NSD and Knot: NXDOMAIN", AZOTH, RIVALS, 0.85, lambda size, mix: mix == "nxdomain" and not is_signed(size)),
    Target("azoth by the better of NSD and Knot: signed", AZOTH, RIVALS, 0.90, lambda size, mix: is_signed(size)),
    Target("user part, azoth by the better of NSD and Knot: 100 k names and more", AZOTH, RIVALS, 0.50, lambda size, mix: size in LARGE, user=True),
    Target("azoth with cache 0 by the better of NSD and Knot: everything", BARE, RIVALS, 1.00, lambda size, mix: True, ahead=True),
]


def ratio(cells, target):
    """(ratio, peer) of one size and mix: median of the ratios within the rounds, by that peer which costs least; None: a
    server is missing."""
    ours = cells.get(target.ours)
    peers = [(cells[name].user() if target.user else cells[name].total(), name) for name in target.theirs if name in cells]
    if ours is None or not peers:
        return None
    cost, name = min(peers)
    if target.user and min(ours.all_ticks, cells[name].all_ticks) < TICKS_LEAST:
        return None
    if target.user:
        return ours.user() / max(cost, 0.001), name
    return statistics.median(a / b for a, b in zip(ours.us, cells[name].us)), name


def verdict(target, got):
    if got is None:
        return "not measured"
    return f"{got[0]:.2f} {'met' if target.met(got[0]) else '**missed**'}"


def verdicts(sizes):
    """Rows of the first table: a target, how often it was met, and where it was furthest away."""
    rows = []
    for target in TARGETS:
        found = []
        for size, result in sizes.items():
            for mix, cells in result["mixes"].items():
                got = ratio(cells, target) if target.applies(size, mix) else None
                if got is not None:
                    found.append((got[0], f"{size} {mix}"))
        if found:
            met = sum(target.met(value) for value, _ in found)
            worst, where = max(found)
            rows.append([target.title, target.said(), f"{met} of {len(found)}", f"{worst:.2f} ({where})",
                         "met" if met == len(found) else "**missed**"])
        else:
            rows.append([target.title, target.said(), "", "", "not measured"])
    return rows


# --- one size -----------------------------------------------------------------------------------------------------------
def cpu_text(cell, wrong):
    low, high = min(cell.us), max(cell.us)
    return f"{cell.total():.2f} ({low:.2f}-{high:.2f}) / {cell.user():.2f}" + (" †" if wrong else "")


def rate_text(cell):
    starved = " ‡" if statistics.median(cell.busy) < 0.9 else ""
    return f"{statistics.median(cell.rate):.0f}{starved}"


def size_text(size, result):
    mixes = list(result["mixes"])
    names = result["names"]

    def rows(text):
        return [[name, *(text(result["mixes"][mix][name], name, mix) if name in result["mixes"][mix] else "" for mix in mixes)] for name in names]
    cpu = rows(lambda cell, name, mix: cpu_text(cell, name in result["wrong"].get(mix, {})))
    rate = rows(lambda cell, name, mix: rate_text(cell))
    ratios = [[target.title.split(":")[0], target.said(),
               *(verdict(target, ratio(result["mixes"][mix], target)) if target.applies(size, mix) else "" for mix in mixes)]
              for target in TARGETS if any(target.applies(size, mix) for mix in mixes)]
    text = (f"### {result['title']} ({result['records']:,} records)\n\nCPU us per answer: median (least-most) / user part\n\n"
            + grid(["server", *mixes], cpu) + "\n\nThousand answers a second\n\n" + grid(["server", *mixes], rate)
            + "\n\nRatios\n\n" + grid(["what", "target", *mixes], ratios))
    said = [f"- † {name}, {mix}: {count} of {result['sample']} sampled answers differ from the others', e.g. {example}"
            for mix, found in result["wrong"].items() for name, (count, example) in sorted(found.items())]
    said += [f"- {name}, {mix}: {cell.sums['lost']:.0f} questions without an answer, beside {cell.sums['answered']:.0f} answers"
             for mix, cells in result["mixes"].items() for name, cell in cells.items() if cell.sums["lost"] > LOST_SHARE * cell.sums["answered"]]
    return text + ("\n\n" + "\n".join(said) if said else "")


# --- start, memory --------------------------------------------------------------------------------------------------------
def seconds_text(load):
    made, started = load
    return f"{made:.2f} / {started:.3f}" if made is not None else f"{started:.2f}"


def load_text(sizes):
    names = list(dict.fromkeys(name for result in sizes.values() for name in result["load"]))
    rows = [[name, *(seconds_text(result["load"][name]) if name in result["load"] else "" for result in sizes.values())] for name in names]
    return ("### Load\n\nSeconds from start to first answers (once each, on the server's core); with two figures: bulk import before that / "
            "start to first\nanswers.\n\n" + grid(["server", *sizes], rows))


def memory_text(size, memory):
    rows = []
    for name, mb in memory.items():
        own = f"{mb['bare']:.1f}" if name in (AZOTH, BARE) else ""
        rest = own if name == BARE else "" if name != AZOTH else f"{mb['bare'] - CACHE_MB:.1f}" if mb["bare"] > CACHE_MB else "0 (not full)"
        rows.append([name, f"{mb['rss']:.0f}", f"{mb['pss']:.0f}", own, rest])
    return (f"### Memory after all questions, {size} (MB)\n\nRSS and PSS of all processes; the mapped file is the store, whose pages belong to the "
            "page cache and are\nshared by every process that reads it.\n\n"
            + grid(["server", "RSS", "PSS", "RSS without the mapped file", "and without dns.cache"], rows))


def other_verdicts(results):
    """Rows of targets that are no ratios."""
    rows = []
    starts = results.get("start_ms")
    if starts:
        got = statistics.median(starts)
        rows.append([f"start to first answer, {results['start_size']}", f"under {START_MS} ms", f"{len(starts)} starts", f"{max(starts):.1f} ms at most",
                     f"{got:.1f} ms {'met' if got < START_MS else '**missed**'}"])
    for name, limit in (AZOTH, MEMORY_MB + CACHE_MB), (BARE, MEMORY_MB):
        mb = results.get("memory", {}).get(name)
        if mb:
            rows.append([f"RSS without the mapped file, {name}, {results['memory_size']}", f"at most {limit} MB", "", f"{mb['bare']:.1f} MB",
                         "met" if mb["bare"] <= limit else "**missed**"])
    instructions = results.get("instructions", {})
    for mix, counts in instructions.items():
        if AZOTH in counts and FASTEST in counts:
            rows.append([f"user instructions per answer, 1k {mix}", f"below gdnsd's {counts[FASTEST]:.0f}", "", f"{counts[AZOTH]:.0f}",
                         "met" if counts[AZOTH] < counts[FASTEST] else "**missed**"])
    return rows


# --- options' tables ------------------------------------------------------------------------------------------------------
def instructions_text(counts):
    names = list(dict.fromkeys(name for one in counts.values() for name in one))
    return ("### Instructions per answer in user mode\n\nvalgrind (no cache simulation), 1k names, difference of two runs, so without start and with "
            "warm caches.\n\n" + grid(["server", *counts], [[name, *(f"{counts[mix][name]:.0f}" if name in counts[mix] else "" for mix in counts)]
                                                             for name in names]))


def commits_text(commits):
    rows = [[title, f"{statistics.median(one['us']):.2f} ({min(one['us']):.2f}-{max(one['us']):.2f})",
             f"{100 * statistics.median(one['hits']):.1f} %" if one["hits"] else "not counted", f"{one['rate']:.0f}"]
            for title, one in commits["rows"].items()]
    return (f"### Under commits to other names ({commits['size']}, zipf, azoth with its cache)\n\nA process on the client's core puts a new value into "
            "one name after another, each in a synced commit; nobody asks\nfor those names.\n\n"
            + grid(["", "CPU us per answer", "hit rate of the cache", "commits/s"], rows))


def hardening_text(rows):
    return ("### What hardening costs\n\nazoth against the same sources built without PIE, stack protector, _FORTIFY_SOURCE, relro and control-flow "
            "protection; CPU us per answer, medians,\nand the median of the ratios within the rounds.\n\n"
            + grid(["size", "mix", "hardened", "without", "hardened by without"],
                   [[size, mix, f"{a:.2f}", f"{b:.2f}", f"{r:.3f} ({low:.2f}-{high:.2f})"] for size, mix, a, b, r, low, high in rows]))


# --- all of it ------------------------------------------------------------------------------------------------------------
INTRO = """## DNS: CPU per answer, one worker on one core, loopback UDP

Every server is pinned to one core and has one worker, the client has the other core; 8 sockets, 200 questions under way. The servers
take turns in every round; CPU is the run time of all processes of a server by the answers, and its user part after the kernel's ticks
(+-0.05 us). `limit` rows are no servers: an echo with recvmmsg and sendmmsg, and the same with one plain mdb_get of the question's key
in azoth's store per packet. What keeps answers (azoth's cache, PowerDNS) has seen the whole question file once before, except in
nxdomain, where no name is asked twice; its names lie beside existing ones, all over the order of names. mixed: 80 % positive (zipf), 10 %
NXDOMAIN, 5 % NODATA, 5 % referrals and wildcards."""


def section(results):
    sizes = results["sizes"]
    parts = [INTRO, "### Targets\n\n" + grid(["target", "limit", "met", "furthest", "verdict"], verdicts(sizes) + other_verdicts(results))]
    parts += [size_text(size, result) for size, result in sizes.items()]
    if results.get("memory"):
        parts.append(memory_text(results["memory_size"], results["memory"]))
    parts.append(load_text(sizes))
    if results.get("commits"):
        parts.append(commits_text(results["commits"]))
    if results.get("instructions"):
        parts.append(instructions_text(results["instructions"]))
    if results.get("hardening"):
        parts.append(hardening_text(results["hardening"]))
    return "\n\n".join(parts + ["### Servers\n\n" + servers_text(results)])


def servers_text(results):
    lines = [f"- {name} {results['versions'].get(name, '')}".rstrip() + f": {said}." for name, said in results["settings"].items()]
    lines += [f"- {name}: missing, {why}" for name, why in results["missing"].items()]
    lines.append("- †: some of the server's answers differ from the others', as said below its table.")
    lines.append("- ‡: the server's core was busy for less than 90 % of the time: somebody else was the bottleneck.")
    return "\n".join(lines)
