"""Bits that rot on the disk of a stopped node are found after its start; an edge repairs itself. The log is retired."""
import random

from lab import small_zone, wait_until

ZONE = "example.org."
RECORDS = "rot IN A 192.0.2.77\n" + "".join(f"h{i} IN TXT \"text-{i:04}\"\n" for i in range(300))


def flip(node, old, new):
    """Overwrites bytes in the data file of a stopped node, as a disk would."""
    path = node.dir / ("data." + (node.dir / "current").read_text().strip()) / "data.mdb"
    data = path.read_bytes()
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new))


def loaded_core(lab):
    """A running core whose zone no file would repair at the next start."""
    core = lab.core()
    core.load(f"{ZONE}={lab.zone_file('zone', small_zone(ZONE, 1, RECORDS))}")
    return core.start()


def test_core_with_bit_rot_says_so(lab):
    core = loaded_core(lab)
    wait_until("a good round", lambda: core.metric("azoth_scrub_last_good_time") > 0)
    assert core.metric("azoth_scrub_errors_total") == 0
    core.stop()
    flip(core, b"text-0123", b"text-9123")
    core.launch()
    line = core.wait_log(r"scrub\.rot ")
    assert "digest" in line
    wait_until("not ready", lambda: core.page("/readyz")[0] == 503)
    assert "bit rot" in core.page("/readyz")[1]
    assert core.metric("azoth_scrub_errors_total") > 0
    assert core.metric("azoth_scrub_rotten") == 1
    core.stop()
    flip(core, b"text-9123", b"text-0123")
    core.start()
    wait_until("a good round", lambda: core.metric("azoth_scrub_last_good_time") > 0)


def test_core_names_the_bad_key(lab):
    core = loaded_core(lab)
    core.stop()
    flip(core, b"\0\x0a\x09text-0123", b"\0\x0b\x09text-0123")     # RDATA longer than the record
    core.launch()
    line = core.wait_log(r"scrub\.bad ")
    assert "h123.example.org./16" in line
    core.wait_log(r"scrub\.rot ")
    core.stop()
    flip(core, b"\0\x0b\x09text-0123", b"\0\x0a\x09text-0123")


def test_edge_with_bit_rot_copies_anew(lab):
    core = lab.core({ZONE: lab.zone_file("zone", small_zone(ZONE, 1, RECORDS))}).start()
    edge = lab.edge("edge-1", core).start()
    lab.wait_equal([core, edge])
    edge.stop()
    flip(edge, b"\xc0\x00\x02\x4d", b"\xc0\x00\x02\x4e")        # 192.0.2.77 -> .78
    since = edge.mark()
    edge.launch()
    server = lab.dns(edge).start()
    edge.wait_log(r"scrub\.rot ", since)
    edge.wait_log(r"edge\.rotten ", since)
    edge.wait_log(r"edge\.copied ", since)
    edge.wait_ready()
    wait_until("repaired", lambda: server.values("rot." + ZONE) == ["192.0.2.77"])
    assert edge.metric("azoth_scrub_rotten") == 0
    assert edge.metric("azoth_store_generation") == 2



def test_log_is_retired(lab):
    """Log and journal stay below their limits; core and edges go on over restarts."""
    path = lab.zone_file("zone", small_zone(ZONE, 1, RECORDS))
    core = lab.core({ZONE: path})
    plain = core.config

    def config():
        got = plain()
        got["core"]["log_retention"] = {"age": "1h", "size": "128K"}
        got["core"]["journal"] = {"age": "1h", "size": "128K"}
        return got
    core.config = config
    core.write_config()
    core.start()
    edge = lab.edge("edge-1", core).start()
    rng = random.Random(1)
    for serial in range(2, 30):
        texts = "".join(f"h{i} IN TXT \"{rng.randbytes(30).hex()}\"\n" for i in range(300))
        lab.zone_file("zone", small_zone(ZONE, serial, texts))
        core.hup()
        wait_until("loaded", lambda: core.metric("azoth_core_zone_loads_total") >= serial)
    wait_until("trimmed", lambda: core.metric("azoth_log_first_seq") > 1)
    lab.wait_equal([core, edge])
    wait_until("journal and log within their limits",
               lambda: core.metric("azoth_log_used_bytes") - core.metric("azoth_log_free_bytes") < 400 * 1024, 60)
    core.stop()
    core.start()
    edge.stop()
    edge.start()
    lab.zone_file("zone", small_zone(ZONE, 99, RECORDS))
    core.hup()
    wait_until("the edge follows", lambda: edge.stat()["applied"] == core.stat()["applied"] > 29)
    lab.wait_equal([core, edge])
