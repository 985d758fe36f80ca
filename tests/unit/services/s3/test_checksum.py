"""Checksums."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.services.s3 import checksum
from lambdad.services.s3.checksum import Digests

#: of the bytes "123456789", from the catalogues of CRC algorithms and FIPS 180
KNOWN = {
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "SHA256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
}
DIGITS = {algorithm: base64.b64encode(bytes.fromhex(known)).decode() for algorithm, known in KNOWN.items()}
MD5 = base64.b64encode(hashlib.md5(b"123456789").digest()).decode()


@pytest.mark.parametrize("algorithm", KNOWN)
def test_known_values(algorithm: str) -> None:
    """Each algorithm gives the value that its catalogue gives for 123456789, in whatever pieces."""
    digests = Digests([algorithm])
    digests.update([b"1234", b"", b"56789"])
    assert digests.checksum(algorithm) == DIGITS[algorithm]
    assert digests.size == 9


@given(
    parts=st.lists(st.binary(max_size=50), min_size=1, max_size=8), algorithm=st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"])
)
def test_crcs_of_parts_make_that_of_the_whole(parts: list[bytes], algorithm: str) -> None:
    """Combining the CRCs of parts is the CRC of all bytes, also with empty parts."""
    summed = []
    for part in parts:
        digests = Digests([algorithm])
        digests.update([part])
        summed.append((digests.checksum(algorithm), len(part)))
    whole = Digests([algorithm])
    whole.update(parts)
    assert checksum.combined(algorithm, "FULL_OBJECT", summed).value == whole.checksum(algorithm)


@pytest.mark.parametrize("algorithm", KNOWN)
async def test_a_checksum_in_the_header(s3: Any, refused: Any, algorithm: str) -> None:
    """A checksum sent with the object is compared, kept, and told again."""
    member = checksum.MEMBERS[algorithm]
    answer = await s3.put("k", b"123456789", **{member: DIGITS[algorithm]}, ChecksumAlgorithm=algorithm)
    assert (answer[member], answer["ChecksumType"]) == (DIGITS[algorithm], "FULL_OBJECT")
    got, _ = await s3.get("k", ChecksumMode="ENABLED")
    assert got[member] == DIGITS[algorithm]
    listed = (await s3("ListObjectsV2", Bucket="bucket"))["Contents"][0]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ([algorithm], "FULL_OBJECT")
    with refused("BadDigest", 400):
        await s3.put("other", b"12345678", **{member: DIGITS[algorithm]})
    with refused("InvalidRequest", 400):
        await s3.put("other", b"123456789", **{member: DIGITS[algorithm][:-4]})
    with refused("NoSuchKey"):
        await s3.get("other")


@pytest.mark.parametrize("algorithm", KNOWN)
async def test_a_checksum_in_the_trailer(s3: Any, body: Any, refused: Any, algorithm: str) -> None:
    """A checksum announced for the trailer is compared once the body is through; a missing or wrong one keeps nothing."""
    name = f"x-amz-checksum-{algorithm.lower()}"

    async def put(trailers: dict[str, str]) -> dict[str, Any]:
        sent = body(b"1234", b"56789", trailers=trailers)
        return await s3("PutObject", headers={"x-amz-trailer": name}, Bucket="bucket", Key="k", Body=sent)

    assert (await put({name: DIGITS[algorithm]}))[checksum.MEMBERS[algorithm]] == DIGITS[algorithm]
    await s3("DeleteObject", Bucket="bucket", Key="k")
    with refused("BadDigest", 400):
        await put({name: base64.b64encode(bytes(len(KNOWN[algorithm]) // 2)).decode()})
    with refused("MalformedTrailerError", 400):
        await put({})
    with refused("InvalidRequest", 400):
        await put({name: "!"})
    assert s3.blobs() == set()


async def test_without_a_checksum_aws_computes_crc64nvme(s3: Any) -> None:
    """An upload that announces nothing gets the default checksum."""
    assert (await s3.put("k", b"123456789"))["ChecksumCRC64NVME"] == DIGITS["CRC64NVME"]


@pytest.mark.parametrize(
    ("headers", "request_", "code"),
    [
        ({}, {"ChecksumCRC32": DIGITS["CRC32"], "ChecksumSHA1": DIGITS["SHA1"]}, "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-checksum-crc32"}, {"ChecksumSHA1": DIGITS["SHA1"]}, "InvalidRequest"),
        ({}, {"ChecksumAlgorithm": "CRC32"}, "InvalidRequest"),
        ({}, {"ChecksumAlgorithm": "CRC32", "ChecksumSHA1": DIGITS["SHA1"]}, "InvalidRequest"),
        ({}, {"ChecksumAlgorithm": "XXHASH64"}, "NotImplemented"),
        ({"x-amz-trailer": "x-amz-checksum-sha512"}, {}, "NotImplemented"),
        ({}, {"ContentMD5": "short"}, "InvalidDigest"),
        ({}, {"ContentMD5": "!!!"}, "InvalidDigest"),
        ({}, {"ContentMD5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
    ],
)
async def test_announcements_that_contradict(
    s3: Any, refused: Any, headers: dict[str, str], request_: dict[str, str], code: str
) -> None:
    """Two checksums, a named one that is not sent, an unknown one, or a wrong MD5: refused, and nothing is kept."""
    with refused(code):
        await s3.put("k", b"123456789", headers=headers, **request_)
    assert s3.blobs() == set()


async def test_the_md5_header_is_compared(s3: Any) -> None:
    """Content-MD5 that fits lets the object in."""
    await s3.put("k", b"123456789", ContentMD5=MD5)
