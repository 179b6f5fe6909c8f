"""Fixtures of the system tests. See README.md in the folder above."""
import contextlib
import os
import shutil
import signal
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))

import lab as laboratory  # noqa: E402  (needs the path above)
import peers  # noqa: E402

figures = []


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the tests that take many minutes")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes many minutes; run with --long")
    config.addinivalue_line("markers", "data: needs the test data (AZOTH_TEST_DATA)")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="a long test: run with --long"))
        if item.get_closest_marker("data") and not laboratory.DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"no test data at {laboratory.DATA} (set AZOTH_TEST_DATA)"))


def too_long(_signal, _frame):
    pytest.fail(f"not done within {laboratory.TEST_S} s", pytrace=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs fails where it hangs, and the next one begins."""
    if not item.get_closest_marker("long"):
        signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, laboratory.TEST_S, 60)     # again, should the clean-up hang too
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture
def lab(tmp_path):
    """A Lab; at the end of the test every store is verified, every daemon ends in order, and the folder is emptied."""
    it = laboratory.Lab(tmp_path)
    try:
        yield it
        it.verify()
    finally:
        it.end()
    shutil.rmtree(tmp_path, ignore_errors=True)


class Beside:
    """beside(zones): the peers and azoth-dns of one lab on the same zones."""

    def __init__(self, lab):
        self.lab, self.started = lab, []

    def __call__(self, zones):
        others = peers.start_all(self.lab.folder, zones)
        self.started.extend(others)
        core = self.lab.core()
        core.load(*(f"{zone}={path}" for zone, path in zones.items()))
        return others, self.lab.dns(core).start()

    def end(self):
        for peer in self.started:
            peer.stop()


@pytest.fixture
def beside(lab):
    it = Beside(lab)
    yield it
    it.end()


@pytest.fixture
def beside_in():
    """with beside_in(folder) as (lab, beside): one of several labs in a test, each gone before the next."""
    @contextlib.contextmanager
    def make(folder):
        lab = laboratory.Lab(folder)
        it = Beside(lab)
        try:
            yield lab, it
        finally:
            it.end()
            lab.end()
            shutil.rmtree(folder, ignore_errors=True)
    return make


@pytest.fixture
def figure():
    """figure("what", "value"): a measured figure, printed at the end of the run."""
    return lambda what, value: figures.append((what, value))


def pytest_terminal_summary(terminalreporter):
    for what, value in figures:
        terminalreporter.write_line(f"figure: {what}: {value}")
