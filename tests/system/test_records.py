"""The records of a core: in backups that are taken beside changes, in what stat and verify say, and back in their place."""
import json
import threading
import urllib.error
import urllib.request

from lab import API_KEY, HOST, SLOW, wait_until

ZONE = "n.test."


def call(core, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{HOST}:{core.ports['api']}{path}", method=method, headers={"X-API-Key": API_KEY}, data=data)
    try:
        with urllib.request.urlopen(request, timeout=30 * SLOW) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def rrset(name, rrtype, *contents, ttl=60):
    return {"name": name, "type": rrtype, "ttl": ttl, "records": [{"content": c} for c in contents]}


def native_core(lab, name="core"):
    core = lab.core({}, api=True, name=name).start()
    status, body = call(core, "POST", "/v1/zones", {"name": ZONE, "kind": "native", "account": "kept", "rrsets": [
        rrset(ZONE, "SOA", f"ns.{ZONE} host.{ZONE} 1 3600 600 86400 60"), rrset(ZONE, "NS", f"ns.{ZONE}"), rrset("ns", "A", "192.0.2.53")]})
    assert status == 201, body
    return core


def change(core, n):
    """Two RRsets that say n, in one change."""
    status, body = call(core, "PATCH", f"/v1/zones/{ZONE}/rrsets", {"rrsets": [rrset("a", "TXT", f'"{n}"'), rrset("b", "TXT", f'"{n}"')]})
    assert status == 200, body


def export(core):
    status, body = call(core, "GET", f"/v1/zones/{ZONE}/export")
    assert status == 200, body
    return sorted(records_of(body))


def records_of(text):
    """Lines of records, however they are spaced."""
    for line in text.splitlines():
        if line and not line.startswith((";", "$")):
            yield " ".join(line.split())


def said(lines, name):
    return [line.split('"')[1] for line in lines if line.startswith(f"{name}.{ZONE} ")]


def restored(lab, core, name, backup, code=0, replace=False):
    folder = lab.folder / name
    folder.mkdir(exist_ok=True)
    for key in ("node.key", "node.pub"):
        (folder / key).write_bytes((core.dir / key).read_bytes())
        (folder / key).chmod((core.dir / key).stat().st_mode)
    other = lab.core({}, api=True, name=name)
    return other, other.azoth("restore", backup, *(["--replace"] if replace else []), code=code)


class Changing(threading.Thread):
    def __init__(self, core):
        super().__init__(daemon=True)
        self.core, self.n, self.over, self.failed = core, 0, False, None

    def run(self):
        try:
            while not self.over:
                change(self.core, self.n + 1)
                self.n += 1
        except Exception as error:      # told by the test
            self.failed = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.join()


def test_backups_beside_changes_hold_records_and_store_of_one_state(lab):
    core = native_core(lab)
    backups = []
    with Changing(core) as changing:
        for i in range(4):
            wait_until("more changes", lambda: changing.n > 5 * (i + 1) or changing.failed, timeout=60 * SLOW)
            before = changing.n
            path = lab.folder / f"b{i}"
            told = core.azoth("backup", path, "--json").json()
            assert told["records_bytes"] > 0
            assert path.stat().st_mode & 0o777 == 0o600
            backups.append((path, before))
    assert changing.failed is None, changing.failed
    assert core.metric("azoth_records_zones") == 1 and core.metric("azoth_records_rrsets") == 5
    for i, (path, before) in enumerate(backups):
        other, _ = restored(lab, core, f"r{i}", path)
        other.verify()
        assert (other.dir / "records").stat().st_mode & 0o777 == 0o700
        stat = other.stat()["records"]
        assert stat["zones"] == 1 and stat["rrsets"] == 5
        other.start()
        assert "failed=none" in other.wait_log("changes.rebuilt")       # one line for all zones, however many there are
        wait_until("the store says what the records say", lambda: export(other) == sorted(records_of(other.dump(ZONE))), timeout=30 * SLOW)
        lines = export(other)
        assert said(lines, "a") == said(lines, "b"), lines
        assert int(said(lines, "a")[0]) >= before
        change(other, "on")                 # and it goes on
        assert said(export(other), "a") == ["on"]
        assert json.loads(call(other, "GET", f"/v1/zones/{ZONE}")[1])["account"] == "kept"
        other.stop()
    core.stop()


def test_what_restore_refuses_leaves_the_folder_as_it_was(lab):
    core = native_core(lab)
    change(core, "first")
    good, bad = lab.folder / "good", lab.folder / "bad"
    core.azoth("backup", good)
    bytes_ = good.read_bytes()
    at = bytes_.index(b"azoth-book")
    change(core, "second")
    core.stop()
    before = core.stat(), export_offline(core)
    for words, damaged in [("cut off", bytes_[:-20]), ("cut off", bytes_[:at + 5]), ("damaged", bytes_[:at + 60] + bytes([bytes_[at + 60] ^ 1]) + bytes_[at + 61:]),
                           ("bytes behind its end", bytes_[:at] + b"azoth-none" + bytes_[at + 10:]), ("records of format", bytes_[:at + 10] + b"\0\7" + bytes_[at + 12:])]:
        bad.write_bytes(damaged)
        failed = core.azoth("restore", bad, "--replace", code=2)
        assert words in failed.err, failed.err
        assert (core.stat(), export_offline(core)) == before
        assert not list(core.dir.glob("records.*"))
    core.azoth("restore", good, "--replace")
    core.verify()
    core.start()
    assert said(export(core), "a") == ["first"]
    core.stop()


def export_offline(core):
    return sorted(core.dump(ZONE).splitlines())


def test_a_backup_without_records_takes_them_away(lab):
    files = lab.folder / "f.zone"
    files.write_text("$TTL 60\n@ SOA ns. host. 1 2 3 4 5\n@ NS ns.\n")
    plain = lab.core({}, name="plain")
    plain.load(f"f.test={files}")
    path = lab.folder / "b"
    assert plain.azoth("backup", path, "--json").json()["records_bytes"] == 0
    assert "records" not in plain.stat()
    core, _ = restored(lab, plain, "with", path)
    core.start()
    status, body = call(core, "POST", "/v1/zones", {"name": ZONE, "kind": "native", "rrsets": [
        rrset(ZONE, "SOA", f"ns.{ZONE} host.{ZONE} 1 3600 600 86400 60"), rrset(ZONE, "NS", "ns.example.com.")]})
    assert status == 201, body
    core.stop()
    assert core.stat()["records"]["zones"] == 1
    core.azoth("restore", path, "--replace")
    assert "records" not in core.stat()
    core.start()
    assert call(core, "GET", f"/v1/zones/{ZONE}")[0] == 404
    core.stop()


def test_a_restore_that_was_cut_off_behind_its_data_keeps_the_core_from_starting(lab):
    core = native_core(lab)
    path = lab.folder / "b"
    core.azoth("backup", path)
    core.stop()
    (core.dir / "records").rename(core.dir / "records.next")
    core.launch()
    assert core.ended(timeout=30 * SLOW) == 1
    assert "a restore was cut off in the middle" in core.log()
    core.azoth("restore", path, "--replace")
    core.start()
    assert json.loads(call(core, "GET", f"/v1/zones/{ZONE}")[1])["account"] == "kept"
    core.stop()
    assert not list(core.dir.glob("records.*"))


def test_verify_names_records_that_do_not_read(lab):
    core = native_core(lab)
    core.stop()
    assert core.azoth("verify", "--json").json()["records"]["bad_entries"] == 0
    data = core.dir / "records" / "data.mdb"
    whole = data.read_bytes()
    bytes_ = bytearray(whole)
    spots = [i for i in range(len(bytes_)) if bytes_.startswith(b'{"kind":"native"', i)]
    assert spots
    for i in spots:
        bytes_[i + 9:i + 15] = b"NATIVE"
    data.write_bytes(bytes_)
    failed = core.azoth("verify", code=2)
    assert f"bad entry of the records: zone {ZONE}: kind: native, secondary or file is wanted" in failed.err, failed.err
    assert "1 bad" in failed.out
    data.write_bytes(whole)
