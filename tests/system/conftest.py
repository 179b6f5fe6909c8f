"""Fixtures of the system tests. See README.md in the folder above."""
import os
import shutil
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))

import lab as laboratory  # noqa: E402  (needs the path above)

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


@pytest.fixture
def figure():
    """figure("what", "value"): a measured figure, printed at the end of the run."""
    return lambda what, value: figures.append((what, value))


def pytest_terminal_summary(terminalreporter):
    for what, value in figures:
        terminalreporter.write_line(f"figure: {what}: {value}")
