#!/usr/bin/python3
"""oddzones.py SEED FOLDER: a handful of zones, small and full of what servers get wrong, and questions about them; the same
for the same seed. Wildcards at all depths, DNAMEs, cuts with glue of all kinds, empty names above others, chains and loops over
several zones, odd labels, data below cuts and DNAMEs, zones within zones with and without a delegation.

Few different labels are used, so that names meet often: that is where the corners are."""
import pathlib
import random
import sys

PLAIN = ["a", "b", "c", "www", "ns", "mail", "*", "sub", "x1", "0", "zz"]
ODD = ["a\\000b", "a\\.b", "sp\\032ace", "\\255", "-", "_sip", "*x", "\\001", "\\000", "a-", "aa", "A", "\\@", "l" * 63, "\\200\\201"]
APEX = [x for x in PLAIN if x != "*"] + ["_sip", "a-", "aa", "l" * 63]          # NSD's configuration takes no escapes
TYPES = ["A", "AAAA", "TXT", "MX", "SRV", "PTR", "HTTPS", "CAA", "NAPTR", "TYPE65400", "DS", "NS", "SOA", "CNAME", "DNAME"]
SELDOM = ["ANY", "DNSKEY", "NSEC", "NSEC3PARAM", "CDS", "SVCB", "TYPE0", "TYPE128", "TYPE65535", "LOC", "SSHFP", "TLSA", "HINFO"]
DIGEST = "0123456789abcdef" * 4


def length(name):
    """Bytes of a name in wire form, roughly: escapes count as one."""
    n, i = 1, 0
    while i < len(name):
        i += 4 if name[i] == "\\" and name[i + 1].isdigit() else 2 if name[i] == "\\" else 1
        n += 1
    return n


def split(name):
    """Labels of an absolute name in text form; escapes stay."""
    labels, label, i = [], "", 0
    while i < len(name):
        if name[i] == "\\":
            step = 4 if name[i + 1].isdigit() else 2
            label += name[i:i + step]
            i += step
        elif name[i] == ".":
            labels.append(label)
            label = ""
            i += 1
        else:
            label += name[i]
            i += 1
    return [x for x in labels if x]


def join(*parts):
    name = ".".join(p.rstrip(".") if p != "." else "" for p in parts if p not in ("", "."))
    return name + "." if name else "."


def under(name, top):
    a, b = [x.lower() for x in split(name)], [x.lower() for x in split(top)]
    return len(b) == 0 or a[-len(b):] == b


def depth(name):
    return len(split(name))


class Zone:
    def __init__(self, origin):
        self.origin = origin
        self.nodes = {}                     # name in lower case -> (name, [(ttl, type, rdata)])
        self.cuts, self.dnames, self.aliases = [], [], []
        self.signed, self.signable = None, True

    def types(self, name):
        return {t for _, t, _ in self.nodes.get(name.lower(), (name, []))[1]}

    def add(self, name, ttl, rrtype, rdata):
        if length(name) > 255:
            return
        old = self.nodes.setdefault(name.lower(), (name, []))[1]
        if (rrtype, rdata) not in [(t, r) for _, t, r in old]:
            same = [t for t, other, _ in old if other == rrtype]
            old.append((same[0] if same else ttl, rrtype, rdata))

    def text(self):
        first = self.nodes[self.origin.lower()]
        lines = [f"{first[0]} {ttl} IN {t} {r}" for ttl, t, r in sorted(first[1], key=lambda x: x[1] != "SOA")]
        for key in sorted(self.nodes):
            if key != self.origin.lower():
                name, records = self.nodes[key]
                lines += [f"{name} {ttl} IN {t} {r}" for ttl, t, r in records]
        return "\n".join(lines) + "\n"


class World:
    def __init__(self, seed, signed=False):
        self.rng = random.Random(seed)
        self.seed = seed
        self.zones = {}
        self.make_apexes()
        for origin in self.zones:
            self.fill(self.zones[origin])
        self.delegate()
        self.clear_dnames()
        if signed:
            self.clear_shadowed()
            for zone in filter(lambda z: z.signable, self.zones.values()):
                long = any(length(name) > 250 for name in zone.nodes)           # dnssec-signzone puts "*." before each for NSEC3
                zone.signed = self.rng.choice([None, "nsec", "nsec"] if long else [None, "nsec", "nsec", "nsec3", "nsec3", "optout"])
        self.names = self.make_names()

    # --- zones ----------------------------------------------------------------------------------------------------
    def label(self):
        r = self.rng
        if r.random() < 0.12:
            return r.choice(ODD)
        return r.choice(PLAIN)

    def make_apexes(self):
        r = self.rng
        tops = r.sample(["w.", "v.", "a.", "w.v.", "t.x.", "deep.er.x."], 3)
        origins = list(tops)
        if r.random() < 0.25:
            origins.append(".")
        for _ in range(r.randrange(2, 6)):
            parent = r.choice(origins)
            origins.append(join(*[r.choice(APEX) for _ in range(r.choice([1, 1, 1, 2, 3]))], parent))
        for origin in origins:
            if origin.lower() not in (o.lower() for o in self.zones):
                self.zones[origin] = Zone(origin)

    def ttl(self):
        return self.rng.choice([300, 600, 3600, 60, 0, 86400])

    def address(self):
        r = self.rng
        return ("A", f"192.0.2.{r.randrange(256)}") if r.random() < 0.7 else ("AAAA", f"2001:db8::{r.randrange(1, 65536):x}")

    def a_name(self, zone):
        """Some name in or near a zone: there, not there, below, above."""
        r = self.rng
        if zone.nodes and r.random() < 0.55:
            name = r.choice(sorted(zone.nodes.values()))[0]
            labels = split(name)
            kind = r.random()
            if kind < 0.5:
                return name
            if kind < 0.7:
                name = join(self.label(), name)
            elif kind < 0.8 and len(labels) > depth(zone.origin):
                name = join(*labels[1:]) if len(labels) > 1 else "."
            else:
                name = join(self.label(), *labels[1:])
        else:
            name = join(*[self.label() for _ in range(r.choice([1, 1, 2, 2, 3, 4]))], zone.origin)
        return name if length(name) <= 255 else zone.origin

    def a_target(self, zone):
        r = self.rng
        kind = r.random()
        if kind < 0.75:
            return self.a_name(zone)
        if kind < 0.95:
            return self.a_name(self.zones[r.choice(sorted(self.zones))])
        return r.choice(["www.elsewhere.test.", "ns.elsewhere.test.", "."])

    def rdata(self, zone, rrtype):
        r = self.rng

        def t():
            return self.a_target(zone)
        return {
            "A": lambda: f"192.0.2.{r.randrange(256)}",
            "AAAA": lambda: f"2001:db8::{r.randrange(1, 65536):x}",
            "TXT": lambda: f'"{"t" * r.choice([1, 3, 200])}{r.randrange(99)}"',
            "MX": lambda: f"{r.randrange(3)} {t()}",
            "SRV": lambda: f"{r.randrange(3)} {r.randrange(3)} {r.randrange(9999)} {t()}",
            "PTR": t,
            "HTTPS": lambda: f"{r.randrange(3) or 1} {t()} alpn=h2" if r.random() < 0.7 else f"0 {t()}",
            "CAA": lambda: '0 issue "ca.test"',
            "NAPTR": lambda: f'1 2 "s" "sip" "" {t()}',
            "TYPE65400": lambda: f"\\# 3 {r.randrange(1 << 24):06x}",
        }[rrtype]()

    def put_plain(self, zone, name):
        r = self.rng
        if zone.types(name) & {"CNAME"} or self.behind(zone, name):
            return
        for rrtype in r.sample(TYPES[:10], r.choice([1, 1, 2, 3])):
            ttl = self.ttl()
            for _ in range(r.choice([1, 1, 1, 2, 3, 8 if rrtype in ("A", "TXT") else 2, 40 if r.random() < 0.1 else 1])):
                zone.add(name, ttl, rrtype, self.rdata(zone, rrtype))

    def put_alias(self, zone, name):
        if name in self.zones:              # at the apex of a zone within the zone: kept there, and not served
            return
        if not zone.types(name) and not self.behind(zone, name):
            target = self.a_target(zone)
            if split(name)[0] == "*" and self.rng.random() < 0.2:
                target = join(self.label(), *split(name)[1:])       # into itself
            zone.add(name, self.ttl(), "CNAME", target)
            zone.aliases.append(name)

    def put_dname(self, zone, name):
        r = self.rng
        if zone.types(name) & {"CNAME", "DNAME", "NS"} and name != zone.origin or split(name)[:1] == ["*"]:
            return
        if "\\000" in name:                 # Knot 3.2 takes the names behind it for names below it
            return
        if any(under(name, d) or under(d, name) for d in zone.dnames) or any(under(o, name) for o in self.zones):
            return
        far = join(*["m" * 60] * 3, zone.origin)
        zone.add(name, self.ttl(), "DNAME", far if r.random() < 0.1 and length(far) <= 255 else self.a_target(zone))
        zone.dnames.append(name)
        if r.random() < 0.4:
            zone.add(name, self.ttl(), "TXT", '"beside"')

    def put_cut(self, zone, name):
        r = self.rng
        if name == zone.origin or zone.types(name) & {"CNAME", "DNAME"} or split(name)[0] == "*":
            return
        ttl = self.ttl()
        zone.cuts.append(name)
        for _ in range(r.choice([1, 2, 2, 3])):
            kind = r.random()
            if kind < 0.45:
                target = join(r.choice(["ns", "ns2", "ns.deep", "a"]), name)
            elif kind < 0.55:
                target = name
            elif kind < 0.8 and zone.cuts:
                target = join("ns", r.choice(zone.cuts))
            elif kind < 0.9:
                target = join("ns", zone.origin)
            else:
                target = self.a_target(zone)
            if length(target) > 255:
                continue
            zone.add(name, ttl, "NS", target)
            if under(target, zone.origin) and r.random() < 0.85 and not self.behind(zone, target) \
                    and not zone.types(target) & {"CNAME"}:
                for _ in range(r.choice([1, 1, 2, 6])):
                    zone.add(target, self.ttl(), *self.address())
        if r.random() < 0.3 and "NS" in zone.types(name):
            zone.add(name, self.ttl(), "DS", f"{r.randrange(65536)} 13 2 {DIGEST}")
        if r.random() < 0.3:                # data that the delegation hides
            self.put_plain(zone, join(self.label(), name))

    def behind(self, zone, name):
        """Below a DNAME: no server is asked to load that."""
        return any(under(name, d) and name.lower() != d.lower() for d in zone.dnames)

    def fill(self, zone):
        r = self.rng
        minimum, ttl = r.choice([60, 300, 3600]), r.choice([60, 600, 7200])
        ns = join("ns", zone.origin)
        zone.add(zone.origin, ttl, "SOA", f"{ns} {join('host', zone.origin)} 1 7200 900 1209600 {minimum}")
        zone.add(zone.origin, 600, "NS", ns)
        if r.random() < 0.5 and "." not in self.zones:          # BIND wants an address for it where there is a zone for it
            zone.add(zone.origin, 600, "NS", "ns.elsewhere.test.")
        zone.add(ns, 600, "A", f"192.0.2.{r.randrange(256)}")
        if r.random() < 0.5:
            zone.add(ns, 600, "AAAA", "2001:db8::53")
        if r.random() < 0.15 and not any(under(o, zone.origin) and o != zone.origin for o in self.zones):
            zone.add(zone.origin, 600, "DNAME", self.a_target(zone))
            zone.dnames.append(zone.origin)
            zone.nodes.pop(ns.lower())
            zone.nodes[zone.origin.lower()][1][:] = [x for x in zone.nodes[zone.origin.lower()][1] if x[1] != "NS"]
            zone.add(zone.origin, 600, "NS", "ns.elsewhere.test.")
            return
        for _ in range(r.randrange(15, 60)):
            name = self.a_name(zone)
            if not under(name, zone.origin) or name.lower() == zone.origin.lower() or self.behind(zone, name):
                continue
            kind = r.random()
            if kind < 0.45:
                self.put_plain(zone, name)
            elif kind < 0.65:
                self.put_alias(zone, name)
            elif kind < 0.75:
                if not any(under(n, name) and n != name.lower() for n in zone.nodes):
                    self.put_dname(zone, name)
            elif kind < 0.93:
                self.put_cut(zone, name)
            else:
                wild = join("*", name)
                (self.put_plain if r.random() < 0.6 else self.put_alias)(zone, wild)
        if r.random() < 0.5:
            self.put_plain(zone, zone.origin)
        if r.random() < 0.15:               # as many labels as a name can have
            zone.add(join(*["a"] * ((255 - length(zone.origin)) // 2), zone.origin), 60, "A", "192.0.2.127")
        if r.random() < 0.3:                # a chain, now and then too long to follow
            n = r.choice([3, 5, 8, 12, 18])
            for i in range(n):
                if not zone.types(join(f"chain{i}", zone.origin)) and not self.behind(zone, join(f"chain{i}", zone.origin)):
                    zone.add(join(f"chain{i}", zone.origin), 60, "CNAME", join(f"chain{i + 1}", zone.origin))
                    zone.aliases.append(join(f"chain{i}", zone.origin))

    def delegate(self):
        """Most zones within zones get a delegation in the zone around them, with DS or not."""
        r = self.rng
        for origin, zone in self.zones.items():
            around = [z for o, z in self.zones.items() if under(origin, o) and depth(o) < depth(origin)]
            if not around or r.random() < 0.25:
                continue
            parent = max(around, key=lambda z: depth(z.origin))
            if parent.types(origin) & {"CNAME", "DNAME"} or any(under(origin, d) for d in parent.dnames):
                continue
            self.put_cut(parent, origin)

    def clear_shadowed(self):
        """What a zone has at and below another one, without delegating it, is not served; nor are its NSECs there, so that the
        others around have gaps. Nobody signs such a zone."""
        for origin in self.zones:
            for zone in self.zones.values():
                if zone.origin != origin and under(origin, zone.origin) and "NS" not in zone.types(origin):
                    if under(join("ns", zone.origin), origin):                  # its name server: it stays as it is, unsigned
                        zone.signable = False
                        continue
                    for name in [n for n in zone.nodes if under(n, origin)]:
                        del zone.nodes[name]

    def clear_dnames(self):
        """NSD refuses a zone with a DNAME below which another zone on the server has data."""
        for zone in self.zones.values():
            for top in list(zone.dnames):
                if any(under(name, top) and name != top.lower() for z in self.zones.values() for name in z.nodes):
                    zone.dnames.remove(top)
                    records = zone.nodes[top.lower()][1]
                    records[:] = [x for x in records if x[1] != "DNAME"]
                    if not records:
                        del zone.nodes[top.lower()]

    # --- questions ------------------------------------------------------------------------------------------------
    def make_names(self):
        r = self.rng
        found = {"."}
        for zone in self.zones.values():
            owners = [name for name, _ in zone.nodes.values()]
            for name in owners:
                labels = split(name)
                found |= {join(*labels[i:]) for i in range(len(labels))}
                found |= {join(self.label(), name), join(self.label(), self.label(), name), join("*", name), join("x.*", name)}
                if labels:
                    found |= {join(self.label(), *labels[1:]), join(r.choice("0az~-"), *labels[1:]),
                              join(labels[0][:40] + r.choice("0az-"), *labels[1:])}
            for top in zone.dnames:
                found |= {join(self.label(), top), join(self.label(), self.label(), top), join(*["n" * 63] * 2, top),
                          join(*["o" * 50] * 3, top), join("www", top), join("a", top)}
            for top in zone.cuts:
                found |= {join("ns", top), join("www", top), join("a.b.c", top), join("ns.deep", top)}
            for name, records in list(zone.nodes.values()):
                found |= {rdata.split()[-1] for _, t, rdata in records if t in ("CNAME", "DNAME", "NS", "MX")}
        found |= {"elsewhere.test.", "www.elsewhere.test."}
        return sorted(name for name in found if length(name) <= 255)

    def mangled(self, name):
        out, i = "", 0
        while i < len(name):
            if name[i] == "\\":
                step = 4 if name[i + 1].isdigit() else 2
                out += name[i:i + step]
                i += step
            else:
                out += name[i].upper() if self.rng.random() < 0.5 else name[i].lower()
                i += 1
        return out

    def questions(self, n):
        """(name, type, EDNS size or 0, DO, RD) n times."""
        r = self.rng
        for _ in range(n):
            name = r.choice(self.names)
            if r.random() < 0.2:
                name = self.mangled(name)
            rrtype = r.choice(SELDOM) if r.random() < 0.08 else r.choice(TYPES)
            if r.random() < 0.3:
                rrtype = r.choice(["A", "TXT", "CNAME", "MX"])
            size = r.choice([0, 512, 1232, 1232, 4096])
            yield name, rrtype, size, bool(size) and r.random() < 0.4, r.random() < 0.5


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    world = World(int(sys.argv[1]))
    for number, (zone_origin, made) in enumerate(world.zones.items()):
        (folder / f"zone{number}").write_text(made.text())
        print(zone_origin, folder / f"zone{number}")
