"""Zones signed by ldns-signzone, dnssec-signzone and Knot's kzonesign: the same records, three programs, three kinds of proof."""
import pathlib
import subprocess

MODES = ["nsec", "nsec3", "optout"]


def run(*args, cwd):
    done = subprocess.run([str(a) for a in args], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout


def with_ldns(folder, origin, path, mode, iterations):
    ksk = run("ldns-keygen", "-k", "-a", "ECDSAP256SHA256", origin, cwd=folder).strip()
    zsk = run("ldns-keygen", "-a", "ECDSAP256SHA256", origin, cwd=folder).strip()
    how = [] if mode == "nsec" else ["-n", "-t", iterations, "-s", "a1b2c3"] + (["-p"] if mode == "optout" else [])
    run("ldns-signzone", *how, "-o", origin, "-f", path.with_suffix(".signed"), path, zsk, ksk, cwd=folder)
    return path.with_suffix(".signed")


def with_bind(folder, origin, path, mode, iterations):
    run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", origin, cwd=folder)
    run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", origin, cwd=folder)
    how = [] if mode == "nsec" else ["-3", "-", "-H", iterations] + (["-A"] if mode == "optout" else [])
    run("dnssec-signzone", "-S", "-q", *how, "-o", origin, "-f", path.with_suffix(".signed"), path, cwd=folder)
    return path.with_suffix(".signed")


def with_knot(folder, origin, path, mode, iterations):
    config = folder / "knot.conf"
    nsec3 = "off" if mode == "nsec" else "on"
    config.write_text(f"""database:
    storage: "{folder}"
policy:
  - id: p
    algorithm: ecdsap256sha256
    nsec3: {nsec3}
    nsec3-iterations: {iterations}
    nsec3-opt-out: {"on" if mode == "optout" else "off"}
    nsec3-salt-length: 8
zone:
  - domain: "{origin}"
    storage: "{folder}"
    file: "{path}"
    dnssec-policy: p
""")
    (folder / "out").mkdir()
    run("kzonesign", "-c", config, "-o", folder / "out", origin, cwd=folder)
    made = [p for p in (folder / "out").iterdir()]
    assert len(made) == 1, made
    return made[0]


SIGNERS = {"ldns": with_ldns, "bind": with_bind, "knot": with_knot}


def sign(folder, signer, origin, text, mode, iterations=5):
    """Path of the signed zone file."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    path = folder / "zone"
    path.write_text(text)
    return SIGNERS[signer](folder, origin, path, mode, iterations)
