"""The tree itself: who includes whom, and that the functions named in ARCHITECTURE.md exist."""
import re

import pytest

from lab import TOP

# Lower number: lower layer. Equal numbers never include each other.
LAYERS = {"base": 0, "config": 1, "store": 2, "lib": 3, "wire": 3, "rrset": 4, "replicator": 5, "dnsfront": 5, "builder": 6, "tools": 7}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">]', re.M)


def sources(*folders):
    found = [path for folder in folders for path in sorted((TOP / folder).rglob("*.[ch]"))]
    assert found
    return found


def includes(path):
    return INCLUDE.findall(path.read_text())


def shown(path):
    return str(path.relative_to(TOP))


@pytest.mark.parametrize("folder", LAYERS)
def test_includes_point_down(folder):
    wrong, seen = [], 0
    for path in sources(folder):
        for kind, name in includes(path):
            if kind == "<":
                continue
            target = name.split("/")[0]
            seen += 1
            if "/" not in name or not (TOP / name).is_file():
                wrong.append(f"{shown(path)} includes \"{name}\": write \"folder/file.h\"")
            elif target != folder and (target not in LAYERS or LAYERS[target] >= LAYERS[folder] or target == "lib"):
                wrong.append(f"{shown(path)} includes \"{name}\", which is not below {folder}/")
    assert seen and not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library,allowed", [
    (r"lmdb\.h", r"store/"),
    (r"nanomsg/.*", r"replicator/link\.c|tests/unit/test_link\.c"),     # whose own nn_sendmsg goes before nanomsg's
    (r"ldns/.*", r"(builder|tools|tests)/"),
    (r"cyaml/.*|yaml\.h", r"config/"),
    (r"msgpack.*", r"base/msg\.[ch]|tests/"),
])
def test_libraries_stay_in_their_place(library, allowed):
    wrong, seen = [], 0
    for path in sources(*LAYERS, "tests"):
        for kind, name in includes(path):
            if kind == "<" and re.fullmatch(library, name):
                seen += 1
                if not re.match(allowed, shown(path)):
                    wrong.append(f"{shown(path)} includes <{name}>")
    assert not wrong, "\n".join(wrong)
    assert seen or library.startswith("msgpack"), f"nobody includes <{library}>"


def test_libevent_stays_in_the_shells():
    """I/O shells: mains, servers and workers, base/http.c, base/daemon.c. Pure parts know no event loop."""
    pure = re.compile(r"(store|wire|rrset|config)/|base/(?!http|daemon)|builder/(zone|zonefile|load)|"
                      r"replicator/(record|commit|replica|messages?)|dnsfront/(answer|find|cache|gaps)")
    wrong = [shown(path) for path in sources(*LAYERS) for kind, name in includes(path)
             if kind == "<" and (name.startswith("event2/") or name == "event.h") and pure.match(shown(path))]
    assert not wrong, wrong


def test_base_and_store_know_no_dns_and_no_network():
    """Invariant: no DNS word and no socket below wire/ (base/http and base/daemon are the shells that daemons share)."""
    words = re.compile(r"\b(rrset|dname|nsec|soa|aaaa|ldns|nanomsg|socket|sockaddr|recvmsg|sendmsg)\b", re.I)
    wrong = []
    for path in sources("base", "store"):
        if path.stem in ("http", "http_server", "daemon", "text"):
            continue
        code = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"", "", path.read_text(), flags=re.S)
        wrong += [f"{shown(path)}: {m.group(0)}" for m in words.finditer(code)]
    assert not wrong, "\n".join(wrong)


# --- ARCHITECTURE.md ----------------------------------------------------------------------------------------------
WALKS = ["A change reaches an edge", "A query gets its answer", "Upkeep"]
NAME = r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*"


def walk(title):
    """The text from a heading or line with that title to the next heading of the same or a higher level."""
    text = (TOP / "ARCHITECTURE.md").read_text()
    found = re.search(rf"^(#+) {re.escape(title)}.*?\n(.*?)(?=^#{{1,3}} |\Z)", text, re.M | re.S | re.I)
    assert found, f"ARCHITECTURE.md has no section '{title}'"
    return found.group(2)


def functions_of_walk(title):
    """(function, folder or None): each name in backticks, and in code blocks `name[, name]   folder/   what it does`."""
    text = walk(title)
    found = set()
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            m = re.match(rf"^[\s├└│─]*({NAME}(?:, {NAME})*)\s{{2,}}([a-z]+)/", line)
            if m:
                found |= {(name, m.group(2)) for name in m.group(1).split(", ")}
    for name in re.findall(rf"`({NAME})(?:\(\))?`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        if "_" in name:
            found.add((name, None))
    return found


def defined(name, folder):
    """Is there a function of that name, defined in the folder (None: anywhere)?"""
    where = [folder] if folder else list(LAYERS)
    head = re.compile(rf"^[A-Za-z_][^;{{}}=\n]*\b{name}\([^;{{}}]*\)\s*\{{", re.M)
    return any(head.search(path.read_text()) for path in sources(*where))


@pytest.mark.parametrize("title", WALKS)
def test_functions_of_the_walks_exist(title):
    names = functions_of_walk(title)
    assert len(names) >= 6, f"only {sorted(names)} found in '{title}'"
    missing = sorted(f"{name} in {folder or 'any folder'}" for name, folder in names if not defined(name, folder))
    assert not missing, missing


def test_every_folder_has_a_readme():
    folders = [path.parent for path in TOP.glob("*/module.am") if len(list(path.parent.iterdir())) > 1]
    assert len(folders) > len(LAYERS)
    for folder in folders:
        text = (folder / "README.md").read_text()
        assert 3 <= len(text.splitlines()) <= 100, folder


def test_nothing_unfinished():
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    wrong = [f"{shown(path)}: {m.group(0)}" for path in sources(*LAYERS, "tests") for m in marks.finditer(path.read_text())]
    assert not wrong, wrong


def test_documents_are_there():
    for name in "README.md", "ARCHITECTURE.md", "FORMAT.md", "CONTRIBUTING.md", "COPYING":
        assert (TOP / name).stat().st_size > 300, name
