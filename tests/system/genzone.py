#!/usr/bin/python3
"""genzone.py NAMES ORIGIN FILE [QUESTIONS]: a zone of NAMES owner names, the same bytes every time.

Of each 100 names about 50 have A, 12 AAAA, 8 both, 10 are aliases, 6 hold mail exchangers,
6 texts, 4 services, 3 are delegations (half of them with name servers inside, so with glue), 1 is a wildcard.
One name in eight stands a label deeper, below a name that is else empty. With QUESTIONS (at most so many) prints lines
`NAME TYPE`, spread over the zone, whose answers are positive and lead to no other name."""
import hashlib
import sys

STEMS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty", "knoll", "larch", "marsh",
         "north", "ocean", "prism", "quartz", "ridge", "shore", "tarn", "umber", "vale", "wharf", "xenon", "yarrow", "zephyr"]


def generate(names, origin, write, question):
    """Calls write(line) for each line of the zone and question(name, type) for each plain positive question."""
    write(f"$ORIGIN {origin}\n$TTL 3600\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 300\n@ IN NS ns1\n@ IN NS ns2\n")
    write("ns1 IN A 192.0.2.53\nns2 IN AAAA 2001:db8::53\n")
    target = "ns1"
    for i in range(names):
        h = int.from_bytes(hashlib.blake2b(i.to_bytes(8, "big"), digest_size=8).digest(), "big")
        name = f"{STEMS[h % 26]}{i:x}"
        if h >> 8 & 7 == 0:
            name += f".{STEMS[(h >> 16) % 26]}-{h >> 24 & 1023}"
        v4 = f"10.{h >> 32 & 255}.{h >> 40 & 255}.{h >> 48 & 255}"
        v6 = f"2001:db8:{h >> 32 & 65535:x}::{(h >> 48 & 65535) | 1:x}"
        kind = (h >> 12) % 100
        if kind < 70:
            if kind < 50 or kind >= 62:
                write(f"{name} IN A {v4}\n")
                question(name, "A")
            if kind >= 50:
                write(f"{name} 300 IN AAAA {v6}\n")
                question(name, "AAAA")
            target = name
        elif kind < 80:
            write(f"{name} IN CNAME {target}\n")
        elif kind < 86:
            write(f"{name} IN MX 10 {target}\n{name} IN MX 20 ns1\n")
        elif kind < 92:
            write(f'{name} IN TXT "text {i} of {names}" "{h:016x}"\n')
            question(name, "TXT")
        elif kind < 96:
            write(f"_svc._tcp.{name} IN SRV 1 {h & 255} {1024 + (h >> 20 & 4095)} {target}\n")
        elif kind < 99:
            if kind == 98:
                write(f"{name} IN NS ns.host{i:x}.example.\n{name} IN NS ns2.host{i:x}.example.\n")
            else:
                write(f"{name} IN NS ns1.{name}\n{name} IN NS ns2.{name}\nns1.{name} IN A {v4}\nns2.{name} IN AAAA {v6}\n")
        else:
            write(f"*.{name} IN A {v4}\n")


def generate_file(names, origin, path, questions=0):
    """Writes the zone file; gives up to `questions` questions (absolute names), evenly spread."""
    found = []
    step = max(1, names // questions) if questions else 0
    count = 0

    def question(name, rrtype):
        nonlocal count
        count += 1
        if step and count % step == 0 and len(found) < questions:
            found.append((f"{name}.{origin}", rrtype))

    with open(path, "w", buffering=1 << 20) as f:
        generate(names, origin, f.write, question)
    return found


if __name__ == "__main__":
    for pair in generate_file(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 0):
        print(*pair)
