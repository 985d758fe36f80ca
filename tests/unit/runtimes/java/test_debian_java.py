"""A Java of Debian's packages: everything in its home, and certificates that every Java reads."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from lambdad.runtimes.java.debian_java import arrange, key_store, sources
from lambdad.runtimes.java.family import FAMILY, read

PEM = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"


def packages(tree: Path, machine: str, home: str, libraries: str) -> Path:
    """Where Debian puts things; `home` is Java's, `libraries` those of the C library."""
    files = {
        f"{home}/bin/java": "\x7fELF java",
        f"{home}/bin/keytool": "\x7fELF keytool",
        f"{home}/lib/jspawnhelper": "\x7fELF helper",
        f"{libraries}/{machine}-linux-gnu/ld-linux-{machine}.so.2": "loader",
        f"usr/lib/{machine}-linux-gnu/libz.so.1": "z",
        "etc/java/net.properties": "settings",
        "usr/share/ca-certificates/mozilla/One.crt": PEM,
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / home / "lib/net.properties").symlink_to("/etc/java/net.properties")
    (tree / home / "lib/security").mkdir()
    (tree / home / "lib/security/cacerts").symlink_to("/etc/ssl/certs/java/cacerts")
    (tree / home / "lib/gone.properties").symlink_to("/etc/java/gone.properties")
    (tree / "usr/lib/jvm/java-1-openjdk").symlink_to("java-8-openjdk-x")
    return tree


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("inner", ["/jre", ""], ids=["8", "11"])
@pytest.mark.parametrize("libraries", ["lib", "usr/lib"])
def test_the_tree_becomes_javas_home(tmp_path: Path, machine: str, inner: str, libraries: str) -> None:
    """With its settings as files, its C library and loader, and scripts in the place of what is started."""
    tree = packages(tmp_path / "tree", machine, f"usr/lib/jvm/java-8-openjdk-x{inner}", libraries)
    arrange(tree)
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if not path.is_dir()}
    folder, loader = f"lib/{machine}-linux-gnu", f"ld-linux-{machine}.so.2"
    assert files == {
        *("bin/java", "bin/java.bin", f"bin/{loader}", "lib/jspawnhelper", "lib/jspawnhelper.bin", "lib/net.properties"),
        *("lib/security/cacerts", f"{folder}/{loader}", f"{folder}/libz.so.1"),
    }
    assert (tree / "lib/net.properties").read_text() == "settings"
    assert (tree / "bin/java").read_text().startswith("#!/bin/sh\n") and (tree / "bin/java").stat().st_mode & 0o111
    assert not [path for path in tree.rglob("*") if path.is_symlink()]
    assert [path.name for path in tmp_path.iterdir()] == ["tree"], "nothing beside it"


def test_packages_of_another_shape_are_refused(tmp_path: Path) -> None:
    """As what they are not, for whoever fetched them to tell."""
    tree = packages(tmp_path / "tree", "x86_64", "usr/lib/jvm/java-8-openjdk-x", "lib")
    shutil.rmtree(tree / "usr/share/ca-certificates")
    with pytest.raises(OSError, match="no certificates"):
        arrange(tree)


@pytest.mark.skipif(shutil.which("keytool") is None, reason="needs keytool (a JDK)")
def test_a_real_java_reads_the_certificates(tmp_path: Path) -> None:
    """All of them, by their names; the digest is right."""
    folder = Path("/usr/share/ca-certificates/mozilla")
    files = sorted(folder.glob("*.crt"))
    if not files:
        pytest.skip("no certificates of authorities on this machine")
    store = tmp_path / "cacerts"
    store.write_bytes(key_store({file.stem.lower(): ssl.PEM_cert_to_DER_cert(file.read_text()) for file in files}))
    command = ["keytool", "-list", "-keystore", str(store), "-storepass", "changeit"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout
    assert f"Your keystore contains {len(files)} entries" in said
    assert said.count("trustedCertEntry") == len(files)


@pytest.mark.long
@pytest.mark.parametrize("release", [8, 21])
async def test_a_real_java_of_debian_runs_wherever_it_lies(release: int, tmp_path: Path) -> None:
    """Fetched by the machine's mirror and moved; it finds its home there."""
    (source,) = sources(release)
    if source.problem() is not None:
        pytest.skip(str(source.problem()))
    await source.fetch(tmp_path / "made", lambda line: None)
    (tmp_path / "made").rename(tmp_path / "moved")
    program = tmp_path / "moved/bin/java"
    assert FAMILY.lookup is not None
    said = subprocess.run([program, *FAMILY.lookup.probe], capture_output=True, text=True, check=True, timeout=60).stderr
    found = read(program, said)
    assert {(one.version[0], one.executable, one.problem) for one in found} == {(release, program, None)}
