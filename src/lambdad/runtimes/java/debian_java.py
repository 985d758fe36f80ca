"""Javas of Debian's releases, in a folder of their own."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lambdad.runtimes.debian import DebianSource, launch_script, put_script

#: By Java's release: Debian's, suites and megabytes.
_RELEASES = {
    8: ("Debian sid", ("sid",), 55),
    11: ("Debian 11", ("bullseye",), 73),
    17: ("Debian 12", ("bookworm",), 60),
    21: ("Debian 13", ("trixie",), 58),
    25: ("Debian 13", ("trixie",), 70),
}
_PASSWORD = "changeit"  #: Java's own for its certificates: anybody may read them
_OF_ALL_TIME = 0  #: milliseconds: when a certificate was added


def sources(release: int) -> Sequence[DebianSource]:
    return [DebianSource(f"openjdk-{release}-jre-headless", *_RELEASES[release], arrange)]


def arrange(tree: Path) -> None:
    """Java's home at the top, with the C library and what else Java needs in a folder of lib/.

    Java looks for itself where its process was started from, which is the loader; so a copy of that lies beside the program.
    """
    home = _home(tree)
    _take_in_settings(home, tree)
    _put_certificates(tree / "usr/share/ca-certificates", home / "lib/security/cacerts")
    (libraries,) = (folder for folder in tree.glob("usr/lib/*-linux-*") if folder.is_dir())
    _take_in_libraries(libraries, home / "lib" / libraries.name)
    _take_in_libraries(tree / "lib" / libraries.name, home / "lib" / libraries.name)
    moved = tree.with_name(f"{tree.name}-home")
    home.rename(moved)
    shutil.rmtree(tree)
    moved.rename(tree)
    _put_scripts(tree, libraries.name)


def _home(tree: Path) -> Path:
    (home,) = (folder for folder in tree.glob("usr/lib/jvm/java-*-openjdk-*") if not folder.is_symlink())
    return home / "jre" if (home / "jre").is_dir() else home  # as in Java 8


def _take_in_settings(home: Path, tree: Path) -> None:
    """Debian keeps them in /etc."""
    for link in [path for path in home.rglob("*") if path.is_symlink() and path.readlink().is_absolute()]:
        original = tree / link.readlink().relative_to("/")
        link.unlink()
        if original.is_file():
            shutil.copyfile(original, link)


def _take_in_libraries(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for library in source.glob("*.so*"):
        library.rename(target / library.name)


def _put_scripts(tree: Path, machine: str) -> None:
    (loader,) = tree.glob(f"lib/{machine}/ld-linux*.so.?")
    shutil.copyfile(loader, tree / "bin" / loader.name)
    (tree / "bin" / loader.name).chmod(0o755)
    for path in [path for path in (tree / "bin").iterdir() if path.name not in ("java", loader.name)]:
        path.unlink()  # tools, which would need the same
    for name, folder in {"bin/java": "bin", "lib/jspawnhelper": ""}.items():
        program = tree / name
        if program.exists():  # Java 8 needs no helper to start processes
            program.rename(f"{program}.bin")
            put_script(program, launch_script(f"{name}.bin", loader_folder=folder))


def _put_certificates(folder: Path, store: Path) -> None:
    """Debian's own store is made when a package is installed."""
    certificates = {file.stem.lower(): ssl.PEM_cert_to_DER_cert(file.read_text()) for file in sorted(folder.rglob("*.crt"))}
    if not certificates:
        raise FileNotFoundError("it has no certificates of authorities")
    store.unlink(missing_ok=True)
    store.write_bytes(key_store(certificates))


def key_store(certificates: Mapping[str, bytes]) -> bytes:
    """In Java's oldest format, JKS version 2, which every Java reads: trusted certificates in DER by their names, and behind
    them a digest in which the password takes part."""
    content = b"".join(_parts(certificates))
    digest = hashlib.sha1(_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + content).digest()
    return content + digest


def _parts(certificates: Mapping[str, bytes]) -> Iterator[bytes]:
    yield struct.pack(">III", 0xFEEDFEED, 2, len(certificates))
    for name, certificate in certificates.items():
        trusted = 2
        yield struct.pack(">I", trusted) + _text(name) + struct.pack(">Q", _OF_ALL_TIME)
        yield _text("X.509") + struct.pack(">I", len(certificate)) + certificate


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
