"""Objects of any size need flat memory."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import running

pytestmark = pytest.mark.root

PIECE = bytes(range(256)) * 4096  # 1 MiB


@pytest.mark.parametrize(
    "mebibytes",
    [pytest.param(300, marks=pytest.mark.slow), pytest.param(5 * 1024, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
)
def test_a_big_object_goes_in_and_out_with_flat_memory(tmp_path: Path, mebibytes: int) -> None:
    """One PutObject and one GetObject of the whole size; the server's peak memory stays where it was for a small object."""
    with running(tmp_path) as server:
        server.client("s3").create_bucket(Bucket="big")
        server.client("s3").put_object(Bucket="big", Key="small", Body=PIECE)
        peak_before = peak_mb(server.process.pid)
        md5 = put(server.port, "/big/object", mebibytes)
        assert got(server.port, "/big/object") == (mebibytes << 20, md5)
        assert peak_mb(server.process.pid) - peak_before < 64


def put(port: int, path: str, mebibytes: int) -> str:
    digest = hashlib.md5()

    def pieces() -> Iterator[bytes]:
        for number in range(mebibytes):
            piece = number.to_bytes(8, "big") + PIECE[8:]
            digest.update(piece)
            yield piece

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("PUT", path, body=pieces(), headers={"Content-Length": str(mebibytes << 20)})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    connection.close()
    return digest.hexdigest()


def got(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", path)
    answer = connection.getresponse()
    digest, size = hashlib.md5(), 0
    while piece := answer.read(1 << 20):
        digest.update(piece)
        size += len(piece)
    connection.close()
    return size, digest.hexdigest()


def peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")
