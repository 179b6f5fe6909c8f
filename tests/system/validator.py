"""A validator of answers from signed zones, written from the RFCs and not after any server: every signature must verify, and
the NSEC or NSEC3 records must prove what the answer says, all of them and nothing that is not needed.

    keys = Keys(); keys.learn(ask, "zone.")          the zone's DNSKEY, self-signed
    check(reply, keys)                               raises Bogus with the reason; gives what was proven

RFC 4035 section 5, RFC 5155 section 8, RFC 6840."""
import dns.dnssec
import dns.flags
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype as T
import dns.rrset

BESIDE_CNAME = {T.KEY, T.RRSIG, T.NSEC, T.from_text("NXT"), T.from_text("SIG")}      # which a CNAME does not stand in for
WILD = dns.name.from_text("*", None)


class Bogus(AssertionError):
    pass


def need(true, why):
    if not true:
        raise Bogus(why)


class Keys(dict):
    """Apex -> DNSKEY RRset, of the zones that are trusted; unsigned: apexes of zones that need prove nothing."""

    def __init__(self):
        super().__init__()
        self.unsigned = set()

    def learn(self, ask, zone):
        apex = dns.name.from_text(zone)
        reply = ask(zone, "DNSKEY")
        rrset = reply.find_rrset(reply.answer, apex, dns.rdataclass.IN, T.DNSKEY)
        sigs = reply.find_rrset(reply.answer, apex, dns.rdataclass.IN, T.RRSIG, T.DNSKEY)
        dns.dnssec.validate(rrset, sigs, {apex: rrset})
        self[apex] = rrset

    def zone_of(self, name, rrtype=None):
        """The deepest zone that holds the name; of a DS the one above."""
        found = [apex for apex in (*self, *self.unsigned) if name.is_subdomain(apex)]
        if rrtype == T.DS and len(found) > 1:
            found = [apex for apex in found if apex != name]
        best = max(found, key=len) if found else None
        return best if best in self else None


def types_in(rdata):
    return {window * 256 + byte * 8 + bit for window, bitmap in rdata.windows
            for byte, value in enumerate(bitmap) for bit in range(8) if value & 0x80 >> bit}


class Section:
    """The RRsets of one section that count, with their signatures checked."""

    def __init__(self, rrsets, keys):
        self.sets, self.expanded, self.signer = {}, {}, {}
        sigs = {(s.name, s.covers): s for s in rrsets if s.rdtype == T.RRSIG}
        for rrset in rrsets:
            if rrset.rdtype == T.RRSIG:
                continue
            need((rrset.name, rrset.rdtype) not in self.sets, f"{rrset.name} {T.to_text(rrset.rdtype)} twice")
            need(len(set(rrset)) == len(rrset), "a record twice")
            self.sets[rrset.name, rrset.rdtype] = rrset
            self.check(rrset, sigs.pop((rrset.name, rrset.rdtype), None), keys)
        need(not sigs, f"signatures of nothing: {list(sigs)}")

    def check(self, rrset, sigs, keys):
        if sigs is None:
            return
        zones = {keys.zone_of(rrset.name, rrset.rdtype)}
        if rrset.rdtype == T.NSEC:                      # at a cut there are two: the parent's and the child's
            zones.add(keys.zone_of(rrset.name, T.DS))
        signed_by = {s.signer for s in sigs}
        need(len(signed_by) == 1 and signed_by <= zones - {None}, f"{rrset.name} signed by {signed_by}, not {zones}")
        self.signer[rrset.name, rrset.rdtype] = signed_by.pop()
        need(sigs.ttl == rrset.ttl, f"TTL of the signature of {rrset.name}: {sigs.ttl}, {rrset.ttl}")
        try:
            dns.dnssec.validate(rrset, sigs, keys)
        except dns.dnssec.ValidationFailure as error:
            raise Bogus(f"{rrset.name} {T.to_text(rrset.rdtype)}: {error}") from None
        labels = {s.labels for s in sigs}
        need(len(labels) == 1, "signatures with different label counts")
        below = len(rrset.name) - 1 - labels.pop() - (rrset.name[0] == b"*")
        need(below >= 0, "more labels signed than there are")
        self.expanded[rrset.name, rrset.rdtype] = below        # 0: no wildcard

    def signed(self, name, rrtype):
        rrset = self.sets.get((name, rrtype))
        if rrset is not None:
            need((name, rrtype) in self.expanded, f"{name} {T.to_text(rrtype)} is not signed")
        return rrset


class Nsecs:
    """The NSEC of a message."""

    def __init__(self, section, zone):
        self.all = {name: rrset[0] for (name, rrtype), rrset in section.sets.items() if rrtype == T.NSEC}
        self.signer = section.signer
        self.zone, self.used = zone, set()
        for name in self.all:
            need(section.expanded.get((name, T.NSEC)) == 0, f"NSEC {name} is not signed as itself")

    def of(self, zone):
        view = Nsecs.__new__(Nsecs)
        view.all = {name: rd for name, rd in self.all.items() if self.signer[name, T.NSEC] == zone}
        view.zone, view.used = zone, self.used
        return view

    def match(self, name):
        if name in self.all:
            self.used.add(name)
            return types_in(self.all[name])
        return None

    def cover(self, name):
        """(owner, next) of the NSEC that covers the name."""
        for owner, rd in self.all.items():
            last = rd.next == self.zone
            if owner < name and (name < rd.next or last) and not (
                    name.is_subdomain(owner) and ({T.NS, T.SOA} & types_in(rd) == {T.NS} or T.DNAME in types_in(rd))):
                self.used.add(owner)
                return owner, rd.next
        return None

    def absent(self, name):
        """Proves that the name is not there; gives the closest encloser. An empty non-terminal is there."""
        found = self.cover(name)
        need(found, f"no NSEC covers {name}")
        need(not found[1].is_subdomain(name), f"{name} is an empty non-terminal")
        return name.split(max(end.fullcompare(name)[2] for end in found))[1]

    def no_name(self, name):
        encloser = self.absent(name)
        self.absent(WILD + encloser)

    def types_at(self, name):
        """Types of an existing name; empty for an empty non-terminal; None: not proven to be there."""
        types = self.match(name)
        if types is not None:
            return types
        found = self.cover(name)
        return set() if found and found[1].is_subdomain(name) else None

    def no_data(self, name, rrtype):
        types = self.types_at(name)
        if types is None:
            types = self.types_at(WILD + self.absent(name))
            need(types is not None, f"nothing about the wildcard for {name}")
        no_type(types, rrtype, name == self.zone)

    def no_ds(self, cut):
        types = self.match(cut)
        need(types is not None and T.NS in types and not {T.DS, T.SOA} & types, f"no NSEC of the cut {cut}")

    def not_closer(self, name, encloser):
        need(self.absent(name) == encloser, f"{name}: a closer name than {encloser} may exist")


def no_type(types, rrtype, apex):
    need(rrtype not in types, "the type is in the bitmap")
    need(T.CNAME not in types or rrtype in BESIDE_CNAME, "a CNAME is in the bitmap")
    if rrtype == T.DS:
        need(apex or T.SOA not in types, "the child's word about its DS")
    else:
        need(T.NS not in types or T.SOA in types, "the parent's word about the child")


class Nsec3s:
    """The NSEC3 of a message: of one zone."""

    def __init__(self, section, zone):
        self.all, self.used, self.zone = {}, set(), zone
        params = set()
        for (name, rrtype), rrset in section.sets.items():
            if rrtype != T.NSEC3:
                continue
            need(section.expanded.get((name, T.NSEC3)) == 0, f"NSEC3 {name} is not signed as itself")
            need(len(rrset) == 1, "two NSEC3 of one name")
            self.all[name] = rrset[0]
            params.add((name.parent(), rrset[0].algorithm, rrset[0].iterations, rrset[0].salt))
        need(len({p[0] for p in params}) == len(params), "NSEC3 of several chains")
        self.params = {p[0]: p[1:] for p in params}

    def of(self, zone):
        view = Nsec3s.__new__(Nsec3s)
        view.all = {name: rd for name, rd in self.all.items() if name.parent() == zone}
        view.zone, view.used, view.params = zone, self.used, self.params
        return view

    def hash(self, name):
        need(self.zone in self.params, "no NSEC3 of the zone")
        algorithm, iterations, salt = self.params[self.zone]
        return dns.dnssec.nsec3_hash(name, salt, iterations, algorithm).lower()

    def match(self, name):
        owner = dns.name.Name([self.hash(name).encode()]) + self.zone
        if owner in self.all:
            self.used.add(owner)
            return types_in(self.all[owner])
        return None

    def cover(self, name):
        """The NSEC3 that covers it."""
        wanted = self.hash(name)
        for owner, rd in self.all.items():
            low, high = owner[0].decode().lower(), next_hash(rd)
            if low < wanted < high or (high <= low and (wanted > low or wanted < high)):
                self.used.add(owner)
                return rd
        return None

    def encloser(self, name):
        """(closest provable encloser, NSEC3 that covers the next closer name)."""
        at = name.parent()
        below = name
        while at.is_subdomain(self.zone):
            types = self.match(at)
            if types is not None:
                need(T.DNAME not in types and (T.NS not in types or T.SOA in types), f"{at} is a DNAME or a cut")
                covers = self.cover(below)
                need(covers, f"nothing covers the next closer name {below}")
                return at, covers
            at, below = at.parent(), at
        raise Bogus(f"no closest encloser of {name}")

    def no_name(self, name):
        need(self.match(name) is None, f"{name} is there")
        encloser, _ = self.encloser(name)
        need(self.cover(WILD + encloser), f"nothing covers *.{encloser}")

    def no_data(self, name, rrtype):
        types = self.match(name)
        if types is None:
            encloser, covers = self.encloser(name)
            types = self.match(WILD + encloser)
            if types is None:               # RFC 5155 section 8.6, and empty non-terminals of opt-out spans
                need(covers.flags & 1, f"{name}: neither it nor a wildcard, and no opt-out")
                return
        no_type(types, rrtype, name == self.zone)

    def no_ds(self, cut):
        types = self.match(cut)
        if types is None:
            need(self.encloser(cut)[1].flags & 1, f"{cut} in a span without opt-out")
        else:
            need(T.NS in types and not {T.DS, T.SOA} & types, f"the NSEC3 of {cut} is that of no insecure cut")

    def not_closer(self, name, encloser):
        below = name
        while below.parent() != encloser:
            below = below.parent()
        need(self.cover(below), f"nothing covers the next closer name {below}")


def next_hash(rd):
    digits = "0123456789abcdefghijklmnopqrstuv"
    value = int.from_bytes(rd.next, "big")
    return "".join(digits[value >> 5 * i & 31] for i in reversed(range(len(rd.next) * 8 // 5)))


def chain(name, rrtype, answer, proofs, keys, steps):
    """Follows the answer section; gives the name and zone where it ends, and whether that has data. Uses up the RRsets."""
    left = set(answer.sets)
    while True:
        zone = keys.zone_of(name, rrtype)
        if zone is None:                                # of an unsigned zone: to be believed, and followed
            left -= {(name, rrtype), (name, T.CNAME)}
            if rrtype == T.CNAME or (name, T.CNAME) not in answer.sets:
                return name, None, left
            name = answer.sets[name, T.CNAME][0].target
            continue
        for wanted in (rrtype, T.CNAME):
            rrset = answer.sets.get((name, wanted))
            if rrset is None or (name, wanted) not in answer.expanded:
                continue
            if (name, wanted) not in left:
                steps.append("loop")
                return None, zone, left
            left.discard((name, wanted))
            below = answer.expanded[name, wanted]
            if below > 0:
                proofs.of(zone).not_closer(name, name.split(len(name) - below)[1])
                steps.append("wildcard")
            if wanted == rrtype:
                return None, zone, left
            steps.append("alias")
            name = rrset[0].target
            break
        else:
            dname = [owner for owner, kind in answer.sets if kind == T.DNAME and name.is_subdomain(owner) and name != owner]
            if not dname:
                return name, zone, left
            owner = max(dname, key=len)
            need(answer.signed(owner, T.DNAME) is not None and answer.expanded[owner, T.DNAME] == 0, "DNAME from a wildcard")
            left.discard((owner, T.DNAME))
            made = name.relativize(owner) + answer.sets[owner, T.DNAME][0].target
            cname = answer.sets.get((name, T.CNAME))
            need(cname is not None and cname[0].target == made, f"no CNAME for {name} from its DNAME")
            left.discard((name, T.CNAME))
            steps.append("dname")
            if rrtype == T.CNAME:
                return None, zone, left
            name = made


def ends(reply, name, zone, rrtype, authority, proofs, steps):
    """The end of a chain without data."""
    if reply.rcode() == dns.rcode.NXDOMAIN:
        need(authority.signed(zone, T.SOA) is not None, f"no SOA of {zone}")
        proofs.of(zone).no_name(name)
        steps.append("no name")
        return
    need(reply.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(reply.rcode()))
    cuts = [owner for owner, kind in authority.sets if kind == T.NS]
    if not cuts:
        need(authority.signed(zone, T.SOA) is not None, f"no SOA of {zone}")
        proofs.of(zone).no_data(name, rrtype)
        steps.append("no data")
        return
    need(len(cuts) == 1 and (cuts[0], T.NS) not in authority.expanded, "signed NS in a referral, or two")
    need(name.is_subdomain(cuts[0]), "a referral elsewhere")
    if authority.signed(cuts[0], T.DS) is None:
        proofs.of(zone).no_ds(cuts[0])
        steps.append("insecure referral")
    else:
        steps.append("secure referral")


class Proofs:
    """NSEC or NSEC3, as the zone has it."""

    def __init__(self, section):
        self.nsec, self.nsec3 = Nsecs(section, None), Nsec3s(section, None)

    def of(self, zone):
        return self.nsec3.of(zone) if self.nsec3.of(zone).all else self.nsec.of(zone)


def check(reply, keys):
    """What the answer proved, as words; the last one says how it ends."""
    need(not reply.flags & dns.flags.TC, "truncated")
    question = reply.question[0]
    answer, authority = Section(reply.answer, keys), Section(reply.authority, keys)
    Section(reply.additional, keys)
    proofs, steps = Proofs(authority), []
    name, zone, left = chain(question.name, question.rdtype, answer, proofs, keys, steps)
    need(not left, f"not asked for: {[(str(n), T.to_text(t)) for n, t in left]}")
    if name is None:
        steps.append("data")
    elif zone is None:
        steps.append("elsewhere")
    elif reply.rcode() == dns.rcode.YXDOMAIN:
        steps.append("too long")
    else:
        ends(reply, name, zone, question.rdtype, authority, proofs, steps)
    extra = (set(proofs.nsec.all) | set(proofs.nsec3.all)) - proofs.nsec.used - proofs.nsec3.used
    need(not extra, f"proves nothing: {sorted(map(str, extra))}")
    return steps
