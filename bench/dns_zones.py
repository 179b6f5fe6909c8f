"""Zones and question files of `bench/run dns`: the same bytes every time, made once and kept under build/bench-data.

Of 100 names about 60 have A, 18 AAAA, 8 are aliases, 4 mail, 4 texts, 2 services, 3 delegations with glue, 1 a wildcard; one
in eight stands a label deeper. A few plain names (`changed`) are in no question file: those are what commits change."""
import itertools
import json
import os
import random
import shutil
import subprocess
import time

FORM = 4                    # of what is generated: older folders are made anew
ORIGIN = "bench.example."
NAMES = {"1k": 1000, "100k": 100000, "1m": 1000000}
ZONES = 50000
SIGNED = "signed-"
MIXES = ["uniform", "zipf", "nxdomain", "mixed", "referral", "wildcard"]
MIXES_OF_ZONES = ["uniform", "zipf", "nxdomain", "mixed"]
MIXES_SIGNED = ["zipf", "nxdomain", "mixed"]
SIZES = ["1k", "100k", "1m", "zones", SIGNED + "1k", SIGNED + "100k", SIGNED + "1m"]
QUESTIONS = {"1k": 200000, "100k": 400000}      # a file; the others: a million
NEW_QUESTIONS = 1000000                         # of nxdomain, which does not ask the same name twice

SYLLABLES = ["".join(p) for p in itertools.product("bdfgklmnprstvz", "aeiou")]
HEAD = "@ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.1\nns2 A 192.0.2.2\n"


class Dataset:
    """zones: {origin: file}; questions: {mix: file}; changed: file of names that nobody asks for."""

    def __init__(self, size, folder, zones, mixes, records, extra):
        self.size, self.folder, self.zones, self.records = size, folder, zones, records
        self.signed = size.startswith(SIGNED)
        self.questions = {mix: folder / f"{mix}.q" for mix in mixes}
        self.changed = folder / "changed.q"
        self.lines = extra["lines"]
        self.title = extra["title"]
        self.probes = extra["probes"]


def dataset(size, data):
    """Made when it is not there yet. data: the folder that keeps them."""
    folder = data / f"{size}-{FORM}"
    if not (folder / "made.json").exists():
        for old in data.glob(f"{size}-[0-9]*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        made = make_signed(size, folder, data) if size.startswith(SIGNED) else make_zones(folder) if size == "zones" else \
            make_one(NAMES[size], QUESTIONS.get(size, NEW_QUESTIONS), folder)
        (folder / "made.json").write_text(json.dumps(made))
    made = json.loads((folder / "made.json").read_text())
    zones = {origin: folder / path for origin, path in made["zones"].items()}
    mixes = MIXES_SIGNED if size.startswith(SIGNED) else MIXES_OF_ZONES if size == "zones" else MIXES
    return Dataset(size, folder, zones, mixes, made["records"], made)


# --- question files ---------------------------------------------------------------------------------------------------
def write_lines(path, lines):
    with open(path, "w", buffering=1 << 20) as f:
        f.writelines(lines)


def by_rank(rng, things, n):
    """n of things, the k-th of a random order with weight 1 / k^0.9 (Zipf)."""
    order = list(things)
    rng.shuffle(order)
    weights = list(itertools.accumulate((k + 1) ** -0.9 for k in range(len(order))))
    return rng.choices(order, cum_weights=weights, k=n)


def beside(rng, name):
    """A name that does not exist, next to one that does: such names lie all over the order of names."""
    first, dot, rest = name.partition(".")
    return f"{first}-{rng.randrange(1 << 28):x}{dot}{rest}"


def nxdomain_lines(rng, names, n):
    return (f"{beside(rng, name)} A\n" for name in rng.choices(names, k=n))


def mixed_lines(rng, positive, absent, other, n):
    """80 % positive, 10 % no such name, 5 % no such type, 5 % of other; other(): a line."""
    names = [q.split(" ")[0] for q in absent]
    for line in by_rank(rng, positive, n):
        kind = rng.random()
        if kind < 0.80:
            yield line
        elif kind < 0.90:
            yield f"{beside(rng, rng.choice(names))} A\n"
        elif kind < 0.95:
            yield rng.choice(absent)
        else:
            yield other()


# --- one large zone -----------------------------------------------------------------------------------------------------
class Names:
    """What the zone turns out to hold, by what can be asked about it: lines of question files."""

    def __init__(self):
        self.positive, self.absent, self.cuts, self.wildcards, self.changed = [], [], [], [], []
        self.targets = ["ns1"]


def v4(rng):
    r = rng.getrandbits(24)
    return f"10.{r >> 16}.{r >> 8 & 255}.{r & 255}"


def add_name(rng, i, write, names, keep_out):
    """The records of the i-th name; how many."""
    stem = rng.choice(SYLLABLES) + rng.choice(SYLLABLES) + rng.choice(SYLLABLES)
    name = f"{stem}{i:x}" + (f".{rng.choice(SYLLABLES)}{rng.getrandbits(9):x}-group" if i % 8 == 7 else "")
    kind = rng.random()
    if kind < 0.60:
        write(f"{name} A {v4(rng)}\n")
        names.targets.append(name)
        if keep_out:
            names.changed.append(f"{name}.{ORIGIN} A\n")
            return 1
        names.positive.append(f"{name}.{ORIGIN} A\n")
        names.absent.append(f"{name}.{ORIGIN} MX\n")
        if kind >= 0.06:
            return 1
        write(f"{name} A {v4(rng)}\n")
        return 2
    if kind < 0.78:
        write(f"{name} AAAA 2001:db8::{rng.getrandbits(32) >> 16:x}:{rng.getrandbits(15) + 1:x}\n")
        names.positive.append(f"{name}.{ORIGIN} AAAA\n")
        names.absent.append(f"{name}.{ORIGIN} A\n")
    elif kind < 0.86:
        write(f"{name} CNAME {rng.choice(names.targets)}\n")
        names.positive.append(f"{name}.{ORIGIN} A\n")
    elif kind < 0.90:
        write(f"{name} MX 10 ns1\n{name} MX 20 ns2\n")
        names.positive.append(f"{name}.{ORIGIN} MX\n")
        return 2
    elif kind < 0.94:
        write(f'{name} TXT "v=spf1 ip4:{v4(rng)} -all"\n')
        names.positive.append(f"{name}.{ORIGIN} TXT\n")
    elif kind < 0.96:
        write(f"_sip._udp.{name} SRV 1 2 5060 {rng.choice(names.targets)}\n")
        names.positive.append(f"_sip._udp.{name}.{ORIGIN} SRV\n")
    elif kind < 0.99:
        write(f"{name} NS ns1.{name}\n{name} NS ns2.{name}\nns1.{name} A {v4(rng)}\nns2.{name} A {v4(rng)}\n")
        names.cuts.append(f"{name}.{ORIGIN}")
        return 4
    else:
        write(f"*.{name} A {v4(rng)}\n")
        names.wildcards.append(f"{name}.{ORIGIN}")
    return 1


def make_one(count, questions, folder, new=NEW_QUESTIONS):
    rng = random.Random(f"one {count}")
    names = Names()
    records = 5
    with open(folder / "zone", "w", buffering=1 << 20) as f:
        f.write(f"$ORIGIN {ORIGIN}\n$TTL 3600\n{HEAD}")
        for i in range(count):
            records += add_name(rng, i, f.write, names, keep_out=i % 100 == 50)

    def referral():
        return f"www.{rng.choice(names.cuts)} A\n"

    def wildcard():
        return f"h{rng.randrange(1 << 20):x}.{rng.choice(names.wildcards)} A\n"

    plain = [q.split(" ")[0] for q in names.absent]
    write_lines(folder / "uniform.q", rng.choices(names.positive, k=questions))
    write_lines(folder / "zipf.q", by_rank(rng, names.positive, questions))
    write_lines(folder / "nxdomain.q", nxdomain_lines(rng, plain, new))
    write_lines(folder / "mixed.q", mixed_lines(rng, names.positive, names.absent,
                                               lambda: referral() if rng.random() < 0.5 else wildcard(), questions))
    write_lines(folder / "referral.q", (referral() for _ in range(questions)))
    write_lines(folder / "wildcard.q", (wildcard() for _ in range(questions)))
    write_lines(folder / "changed.q", names.changed)
    return {"zones": {ORIGIN: "zone"}, "records": records, "lines": questions, "title": f"one zone of {count:,} names",
            "probes": [names.positive[0], names.positive[-1]]}


# --- many small zones ---------------------------------------------------------------------------------------------------
def make_zones(folder):
    rng = random.Random("zones")
    (folder / "z").mkdir()
    zones, positive, absent, changed = {}, [], [], []
    for i in range(ZONES):
        origin = f"{rng.choice(SYLLABLES)}{rng.choice(SYLLABLES)}{i:x}.{rng.choice(['example.', 'test.', 'invalid.'])}"
        (folder / "z" / origin).write_text(f"$ORIGIN {origin}\n$TTL 3600\n{HEAD}@ A {v4(rng)}\n@ MX 10 www\n@ TXT \"v=spf1 -all\"\n"
                                           f"www A {v4(rng)}\nwww AAAA 2001:db8::{i + 1 & 65535:x}\n")
        zones[origin] = f"z/{origin}"
        if i % 100 == 50:
            changed.append(f"www.{origin} A\n")
            continue
        positive += [f"{origin} A\n", f"{origin} MX\n", f"{origin} TXT\n", f"www.{origin} A\n", f"www.{origin} AAAA\n"]
        absent.append(f"ns1.{origin} AAAA\n")
    questions = NEW_QUESTIONS
    write_lines(folder / "uniform.q", rng.choices(positive, k=questions))
    write_lines(folder / "zipf.q", by_rank(rng, positive, questions))
    write_lines(folder / "nxdomain.q", nxdomain_lines(rng, [q.split(" ")[0] for q in absent], questions))
    write_lines(folder / "mixed.q", mixed_lines(rng, positive, absent, lambda: rng.choice(positive), questions))
    write_lines(folder / "changed.q", changed)
    return {"zones": zones, "records": 10 * ZONES, "lines": questions, "title": f"{ZONES:,} zones of 10 records",
            "probes": [positive[i] for i in range(0, len(positive), len(positive) // 50)] + [positive[-1]]}


# --- signed -------------------------------------------------------------------------------------------------------------
def make_signed(size, folder, data):
    """The zone of that size with NSEC, one ECDSA P-256 key, signed by Knot's kzonesign; the same questions."""
    plain = dataset(size[len(SIGNED):], data)
    config = folder / "sign.conf"
    config.write_text(f"database:\n    storage: {folder}\n"
                      "policy:\n  - id: bench\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n    nsec3: off\n"
                      f"    signing-threads: {len(os.sched_getaffinity(0))}\n"
                      f"    rrsig-lifetime: 400d\n    rrsig-refresh: 30d\n"
                      f"zone:\n  - domain: {ORIGIN}\n    dnssec-signing: on\n    dnssec-policy: bench\n"
                      f"    storage: {folder}\n    file: zone\n    journal-content: none\n")
    shutil.copy(plain.zones[ORIGIN], folder / "zone")
    since = time.monotonic()
    done = subprocess.run(["kzonesign", "-c", str(config), "-o", str(folder / "out"), ORIGIN], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=900)
    signed = next((folder / "out").glob("*"), None) if (folder / "out").exists() else None
    if done.returncode != 0 or signed is None:
        raise RuntimeError(f"kzonesign: {done.stderr[-500:]}{done.stdout[-500:]}")
    signed.replace(folder / "zone")
    for mix in [*MIXES_SIGNED, "changed"]:
        shutil.copy(plain.folder / f"{mix}.q", folder)
    return {"zones": {ORIGIN: "zone"}, "records": sum(1 for line in open(folder / "zone") if line[0] not in ";$\n"),
            "lines": plain.lines, "probes": plain.probes, "signing_s": time.monotonic() - since,
            "title": f"{plain.title}, signed (NSEC, ECDSA P-256), questions with DO"}
