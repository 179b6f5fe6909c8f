"""The real root zone and its 800 successive versions."""
import gzip
import random

import dns.flags
import pytest

from lab import DATA, normal_records

pytestmark = pytest.mark.data
FIRST = 2023110400


def one_line(record):
    return " ".join(record.split())


class Root:
    """The root zone as a set of records, moved from version to version."""

    def __init__(self):
        with gzip.open(DATA / "root" / "base.zone.gz", "rt") as f:
            self.records = {one_line(line) for line in f if line.strip() and not line.startswith(";")}
        self.serial = FIRST

    def text(self):
        soa = [r for r in self.records if r.split()[3] == "SOA"]
        assert len(soa) == 1
        return "\n".join(soa + sorted(self.records - set(soa))) + "\n"

    def versions(self):
        """Applies one version after the other; gives the serial of each."""
        with gzip.open(DATA / "root" / "changes.txt.gz", "rt") as f:
            lines = iter(f)
            for line in lines:
                word, serial, removed, added = line.split()
                assert word == "serial"
                for _ in range(int(removed)):
                    self.records.remove(one_line(next(lines)[2:]))
                for _ in range(int(added)):
                    self.records.add(one_line(next(lines)[2:]))
                self.serial = int(serial)
                yield self.serial


@pytest.fixture
def served(lab):
    root = Root()
    lab.zone_file("root.zone", root.text())
    return root, lab.chain({".": lab.folder / "root.zone"})


def check_dumps(lab, root, nodes):
    wanted = normal_records(root.text(), ".", lab.folder)
    assert len(wanted) == len(root.records)
    for node in nodes:
        assert normal_records(node.dump("."), None, lab.folder) == wanted, node.name


def run_versions(lab, served, step, figure):
    root, (core, one, two, dns_one, dns_two) = served
    for server in dns_one, dns_two:
        server.wait_serial(".", FIRST)
    published = 0
    for number, serial in enumerate(root.versions(), 1):
        if number % step:
            continue
        lab.zone_file("root.zone", root.text())
        core.hup()
        for server in dns_one, dns_two:
            server.wait_serial(".", serial)
        published += 1
    assert number == 800 and published == 800 // step
    lab.wait_equal([core, one, two])
    check_dumps(lab, root, (one, two))
    figure("root zone versions published and served", published)


def test_every_20th_version(lab, served, figure):
    run_versions(lab, served, 20, figure)


@pytest.mark.long
def test_every_version(lab, served, figure):
    run_versions(lab, served, 1, figure)


def test_base_zone_and_referrals(lab, served, figure):
    """Answers on both edges; a referral is one descent."""
    root, (core, one, two, dns_one, dns_two) = served
    lab.wait_equal([core, one, two])
    check_dumps(lab, root, (core, two))
    tlds = sorted({r.split()[0] for r in root.records if r.split()[3] == "NS"} - {"."})
    assert len(tlds) > 1400
    rng = random.Random(1)
    asked = rng.sample(tlds, 500)
    before = dns_two.metrics()
    for tld in asked:
        reply = dns_two.ask(f"www.some-name.{tld}", "A")
        assert not reply.flags & dns.flags.AA and not reply.answer
        wanted = {r.split()[4].lower() for r in root.records if r.split()[0] == tld and r.split()[3] == "NS"}
        assert {rd.target.to_text().lower() for rd in reply.authority[0]} == wanted
    after = dns_two.metrics()
    key = (("step", "exact"),)
    steps = after[("azoth_dns_steps_total", key)] - before.get(("azoth_dns_steps_total", key), 0)
    descents = after[("azoth_dns_descents_total", key)] - before.get(("azoth_dns_descents_total", key), 0)
    assert steps == len(asked), "each referral built from the store"
    figure("descents per exact step, referrals of the root zone", f"{descents / steps:.2f}")
    assert descents / steps == 1.0
