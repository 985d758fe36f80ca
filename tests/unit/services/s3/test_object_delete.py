"""DeleteObject and DeleteObjects."""

from __future__ import annotations

from typing import Any


async def test_deleting_is_done_once_and_may_be_asked_again(s3: Any) -> None:
    """A deleted object is gone with its blob; deleting what is not there is the same success."""
    await s3.put("k")
    for _ in range(2):
        await s3("DeleteObject", Bucket="bucket", Key="k")
        assert s3.status == 204
    assert s3.blobs() == await s3.references() == set()


async def test_deleting_may_depend_on_the_etag(s3: Any, refused: Any) -> None:
    """If-Match deletes only the object with that ETag."""
    made = await s3.put("k")
    with refused("PreconditionFailed", 412):
        await s3("DeleteObject", Bucket="bucket", Key="k", IfMatch='"other"')
    await s3("DeleteObject", Bucket="bucket", Key="k", IfMatch=made["ETag"])
    with refused("NoSuchKey", 404):
        await s3("DeleteObject", Bucket="bucket", Key="k", IfMatch=made["ETag"])


async def test_many_keys_each_with_its_outcome(s3: Any) -> None:
    """A thousand keys go in one request, and those that cannot are told one by one."""
    for number in range(5):
        await s3.put(f"k{number}")
    objects = [{"Key": f"k{number}"} for number in range(997)]
    objects += [{"Key": "v", "VersionId": "7"}, {"Key": "x" * 1025}, {"Key": "e", "Size": 4}]
    answer = await s3("DeleteObjects", Bucket="bucket", Delete={"Objects": objects})
    assert [named["Key"] for named in answer["Deleted"]] == [f"k{number}" for number in range(997)]
    assert [error["Code"] for error in answer["Errors"]] == ["InvalidArgument", "KeyTooLongError", "NotImplemented"]
    assert answer["Errors"][0]["VersionId"] == "7"
    assert s3.blobs() == set()


async def test_quiet_tells_only_the_errors(s3: Any) -> None:
    """With Quiet the keys that went are not listed."""
    await s3.put("k")
    assert await s3("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "k"}], "Quiet": True}) == {}
    answer = await s3("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": ""}], "Quiet": True})
    assert [error["Code"] for error in answer["Errors"]] == ["InvalidArgument"]


async def test_one_to_a_thousand_keys(s3: Any, refused: Any) -> None:
    """No key and more than 1,000 keys are malformed."""
    for count in (0, 1001):
        with refused("MalformedXML", 400):
            await s3("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "k"}] * count})
