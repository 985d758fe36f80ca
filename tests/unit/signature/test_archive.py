"""Signatures in zips."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import zipfile
from collections.abc import Callable, Mapping

import pytest

from lambdad.signature.archive import NAME, Unsignable, examine, sign
from lambdad.signature.certificate import new_key_pair
from lambdad.signature.der import OCTETS, encode
from lambdad.signature.envelope import Claims

NOW = 1_800_000_000.0
PAIR = new_key_pair("p", NOW)
CLAIMS = Claims("arn:profile", "arn:job", NOW, NOW + 86_400)
FILES = {"app.py": b"def handler(event, context): return event", "lib/é.txt": b"x" * 100_000, "empty": b""}


def zip_of(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer


def signed(files: Mapping[str, bytes] = FILES, **more: int) -> io.BytesIO:
    package = zip_of(files, **more)
    sign(package, CLAIMS, PAIR.private_key, PAIR.certificate, max_unpacked_bytes=1_000_000)
    return package


def rewritten(
    package: io.BytesIO, change: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED
) -> io.BytesIO:
    """The package with its files changed and its signature as it was."""
    with zipfile.ZipFile(package) as archive:
        entries = {entry: archive.read(entry) for entry in archive.infolist()}
    files = {entry.filename: content for entry, content in entries.items()}
    modes = {entry.filename: (entry.external_attr, entry.create_system) for entry in entries}
    change(files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.create_system = modes.get(name, (0o100644 << 16, 3))
            archive.writestr(info, content, compression)
    return buffer


def test_a_signed_package_says_who_signed_it() -> None:
    """And holds what it held before, in its order."""
    package = signed()
    found = examine(package)
    assert found is not None and found.is_intact
    assert (found.profile_version_arn, found.job_arn, found.expires_at) == ("arn:profile", "arn:job", NOW + 86_400)
    with zipfile.ZipFile(package) as archive:
        assert archive.namelist() == [*FILES, "META_INF/", NAME]
        assert {name: archive.read(name) for name in FILES} == FILES
        assert archive.testzip() is None


def test_the_digest_is_the_one_that_aws_signs() -> None:
    """SHA-384 of SHA-384 of names and contents one after the other: the envelope has it as its message digest."""
    package = signed()
    inner = hashlib.sha384()
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist()[:-1]:
            inner.update(name.encode() + archive.read(name))
        envelope = archive.read(NAME)
    encoded = base64.b64decode(b"".join(envelope.splitlines()[1:-1]))
    assert encode(OCTETS, hashlib.sha384(inner.digest()).digest()) in encoded


def test_an_unsigned_package_has_no_signature() -> None:
    """None is found, whatever lies beside its place."""
    assert examine(zip_of({**FILES, "META_INF/other": b"x"})) is None


def test_repacking_alone_breaks_nothing() -> None:
    """Compression and times of the zip are not signed."""
    found = examine(rewritten(signed(), lambda files: None))
    assert found is not None and found.is_intact


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.update({"app.py": b"def handler(event, context): return 'evil'"}),
        lambda files: files.update({"more.py": b""}),
        lambda files: files.pop("empty"),
        lambda files: files.update({"emptyx": files.pop("empty")}),
        # the same names and contents one after the other, cut elsewhere: AWS's digest does not tell
        lambda files: files.update({"empty": b"META_INF/"}) or files.pop("META_INF/"),
    ],
)
def test_a_package_that_was_changed(change: Callable[[dict[str, bytes]], None]) -> None:
    """Any content, any name, one file more or less."""
    found = examine(rewritten(signed(), change))
    assert found is not None
    assert found.problem == "it was changed after it was signed"


def test_a_file_made_a_link() -> None:
    """Modes are signed as well: what was a text does not become a way to another file."""
    package = signed()
    data = bytearray(package.getvalue())
    at = data.rfind(b"app.py") - 46 + 38  # external attributes, in the directory
    assert data[at - 38 : at - 34] == b"PK\x01\x02"
    struct.pack_into("<L", data, at, 0o120777 << 16)
    found = examine(io.BytesIO(bytes(data)))
    assert found is not None and not found.is_intact


def test_a_file_under_another_name() -> None:
    """A flag in the directory may say how the bytes of a name are read: the name is signed as it is unpacked."""
    other = "ä.txt".encode().decode("cp437")

    package = signed({"app.py": b"", other: b"x"})
    assert examine(package).is_intact  # type: ignore[union-attr]
    unflagged = (
        rewritten(package, lambda files: _renamed(files, other, "QQ.txt")).getvalue().replace(b"QQ.txt", "ä.txt".encode())
    )
    with zipfile.ZipFile(io.BytesIO(unflagged)) as archive:
        assert archive.namelist()[1] == other and archive.testzip() is None, "to a reader that goes by the flag it is the same"
    found = examine(io.BytesIO(unflagged))
    assert found is not None and not found.is_intact


def _renamed(files: dict[str, bytes], old: str, new: str) -> None:
    for name in list(files):  # all of them, for their order
        files[new if name == old else name] = files.pop(name)


def test_a_name_in_an_old_encoding_cannot_be_signed() -> None:
    """Its entry would not be the same when the directory is written anew."""
    data = bytearray(zip_of({"é": b"1"}).getvalue())
    data[7] = data[data.index(b"PK\x01\x02") + 9] = 0
    with pytest.raises(Unsignable, match="not in UTF-8"):
        sign(io.BytesIO(bytes(data)), CLAIMS, PAIR.private_key, PAIR.certificate, max_unpacked_bytes=1_000_000)


def test_the_signature_of_another_archive() -> None:
    """Moved over, it is broken."""
    with zipfile.ZipFile(signed({"other.py": b"1"})) as archive:
        envelope = archive.read(NAME)
    found = examine(rewritten(signed(), lambda files: files.update({NAME: envelope})))
    assert found is not None
    assert found.problem == "it was changed after it was signed"


def test_a_huge_signature_is_not_read() -> None:
    """A megabyte is enough for any."""
    found = examine(zip_of({NAME: b"x" * (1 << 21)}))
    assert found is not None
    assert found.problem == "its signature is too large"


def test_a_huge_signature_that_is_small_unpacked_is_not_read() -> None:
    """Whatever lies behind the end of its stream."""
    data = bytearray(zip_of({NAME: b"x"}).getvalue())
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 20, (1 << 20) + 1)
    found = examine(io.BytesIO(bytes(data)))
    assert found is not None
    assert found.problem == "its signature is too large"


class Watched(io.BytesIO):
    """Notes how much is asked for at once."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.most = max(self.most, -1 if size is None else size)
        return super().read(size)


def with_huge_directory(*, is_hidden: bool) -> Watched:
    """Of 8.5 MB. Hidden in the records that large zips have, while the usual one says that it is empty."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(130):
            info = zipfile.ZipInfo(NAME if number == 0 else f"{number}")
            info.comment = b"x" * 65_535
            archive.writestr(info, b"")
    data = buffer.getvalue()
    if is_hidden:
        size, offset = struct.unpack_from("<LL", data, len(data) - 10)
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 130, 130, size, offset)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, offset + size, 1)
        data = data[:-22] + record + locator + data[-22:-10] + struct.pack("<LLH", 0, 0, 0)
    return Watched(data)


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_huge_directory_is_not_read(is_hidden: bool) -> None:
    """Such a package cannot be signed, and so it is not."""
    package = with_huge_directory(is_hidden=is_hidden)
    assert len(zipfile.ZipFile(io.BytesIO(package.getvalue())).namelist()) == 130
    with pytest.raises(Unsignable, match="directory is larger"):
        sign(package, CLAIMS, PAIR.private_key, PAIR.certificate, max_unpacked_bytes=1_000_000)
    assert examine(package) is None
    assert package.most < 1 << 20


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (io.BytesIO(b""), "it is not a zip"),
        (io.BytesIO(b"PK\x05\x06"), "it is not a zip"),
        (io.BytesIO(b"x" * 100_000), "it is not a zip"),
        (io.BytesIO(b"x" * 10 + b"PK\x05\x06" + b"\xff" * 18), "it is not a zip"),
        (io.BytesIO(zip_of(FILES).getvalue()[30:]), "not a zip that can be read"),
        (zip_of({}), "the zip is empty"),
        (signed(), "already signed"),
        (zip_of({"a": b"x" * 1_000_001}), "larger than 1000000 bytes unpacked"),
    ],
)
def test_what_cannot_be_signed(package: io.BytesIO, reason: str) -> None:
    """Is refused with the reason."""
    with pytest.raises(Unsignable) as refused:
        sign(package, CLAIMS, PAIR.private_key, PAIR.certificate, max_unpacked_bytes=1_000_000)
    assert reason in str(refused.value)


def test_a_name_twice_cannot_be_signed() -> None:
    """Readers differ on which of the two there is."""
    package = zip_of({"a": b"1", "b": b"2"})
    doubled = io.BytesIO(package.getvalue().replace(b"b", b"a"))
    with pytest.raises(Unsignable, match="a name twice"):
        sign(doubled, CLAIMS, PAIR.private_key, PAIR.certificate, max_unpacked_bytes=1_000_000)


def test_a_name_twice_is_not_covered() -> None:
    """Neither another file of a name that was signed, of which the last is unpacked, nor one beside the signature."""
    for name in ("app.py", NAME):
        package = signed()
        with zipfile.ZipFile(package, "a") as archive, pytest.warns(UserWarning):
            archive.writestr(name, b"changed")
        found = examine(package)
        assert found is not None
        assert found.problem == "the zip has a name twice"
