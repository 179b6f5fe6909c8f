"""The scripts that users run from the tree."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from lab import BUILD, TOP, small_zone, wait_until

needs_main_build = pytest.mark.skipif(BUILD != TOP / "build", reason="quickstart uses build/, the tests run on another build")


def left_behind(folder):
    return sorted(p.name for p in pathlib.Path(folder).iterdir())


def children_of(pid):
    """Process ids whose parent is pid, from /proc."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            if stat.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(stat.parent.name)
        except OSError:     # ended meanwhile
            pass
    return found


def environment_for(folder):
    """scripts/build takes build/ as it is: another compiler would clean it under tests that run at the same time."""
    return {k: v for k, v in os.environ.items() if k not in ("CC", "CFLAGS")} | {"TMPDIR": str(folder)}


def quickstart(tmp_path, *args, timeout=180):
    environment = environment_for(tmp_path)
    return subprocess.run([str(TOP / "scripts/quickstart"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, env=environment)


@needs_main_build
def test_quickstart_once(tmp_path):
    done = quickstart(tmp_path, "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    for edge in "edge-1", "edge-2":
        ms = re.search(rf"^{edge} answers with it ([0-9.]+) ms after", done.stdout, re.M)
        assert ms and 0 < float(ms.group(1)) < 10_000
    assert done.stdout.count("192.0.2.81") >= 3 and "203.0.113.80" in done.stdout
    assert "digest" in done.stdout and "SOA" in done.stdout
    assert "\x1b" not in done.stdout, "no colours but on a terminal"
    assert left_behind(tmp_path) == []


@needs_main_build
def test_quickstart_with_a_zone_of_ones_own(tmp_path):
    """A zone without addresses, whose file has relative names only."""
    zone = tmp_path / "own.zone"
    zone.write_text("@ 60 IN SOA ns.example.net. h.example.net. 4294967295 1 1 1 1\n@ 60 IN NS ns.example.net.\n")
    done = quickstart(tmp_path, f"example.org={zone}", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed-" in done.stdout and "azoth-quickstart.example.org." in done.stdout
    assert left_behind(tmp_path) == ["own.zone"]


@needs_main_build
def test_quickstart_until_interrupted(tmp_path):
    log = open(tmp_path / "log", "w+")
    (tmp_path / "t").mkdir()
    process = subprocess.Popen([str(TOP / "scripts/quickstart")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               env=environment_for(tmp_path / "t"), start_new_session=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))     # a CI may ignore it
    try:
        interrupt(process, tmp_path)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def interrupt(process, tmp_path):
    wait_until("quickstart is up", lambda: "Up until Ctrl-C" in (tmp_path / "log").read_text() or process.poll() is not None,
               timeout=120, pause=0.1)
    assert process.poll() is None, (tmp_path / "log").read_text()
    time.sleep(0.3)
    children = children_of(process.pid)
    assert len(children) >= 5
    os.killpg(process.pid, signal.SIGINT)       # what Ctrl-C does
    assert process.wait(15) == 0, (tmp_path / "log").read_text()
    assert left_behind(tmp_path / "t") == []
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in children)


@needs_main_build
@pytest.mark.parametrize("args,word", [(["--colour"], "--colour"), (["example.org"], "example.org"),
                                       (["example.org=/nonexistent"], "/nonexistent")])
def test_quickstart_wrong_usage(tmp_path, args, word):
    done = quickstart(tmp_path, *args, timeout=20)
    assert done.returncode == 1 and word in done.stderr and len(done.stderr.splitlines()) == 1
    assert left_behind(tmp_path) == []


@needs_main_build
def test_quickstart_with_a_bad_zone(tmp_path):
    zone = tmp_path / "bad.zone"
    zone.write_text(small_zone("example.org.") + "oops IN A 1.2.3\n")
    done = quickstart(tmp_path, f"example.org={zone}", "--once", timeout=200)
    assert done.returncode == 1 and "zone:7" in done.stderr, done.stderr
    assert left_behind(tmp_path) == ["bad.zone"]


def test_install_deps_has_nothing_to_do():
    start = time.monotonic()
    done = subprocess.run([str(TOP / "scripts/install-deps"), "--test"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "" and time.monotonic() - start < 2
    done = subprocess.run([str(TOP / "scripts/install-deps"), "--wrong"], capture_output=True, text=True)
    assert done.returncode == 1 and "--wrong" in done.stderr


def test_scripts_are_sound():
    for script in "install-deps", "build", "quickstart", "test":
        path = TOP / "scripts" / script
        assert os.access(path, os.X_OK)
        subprocess.run(["bash", "-n", str(path)], check=True)
