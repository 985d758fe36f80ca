"""The notification configuration."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.errors import ServiceError

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:resize"
OVERLAP = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
AMBIGUOUS = (
    "Configuration is ambiguously defined. "
    "Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."
)


def to_function(*events: str, **rest: Any) -> dict[str, Any]:
    rules = [{"Name": name, "Value": rest.pop(name)} for name in ("prefix", "suffix") if name in rest]
    filtered = {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}
    return {"LambdaFunctionArn": FUNCTION, "Events": list(events or ["s3:ObjectCreated:*"]), **filtered, **rest}


async def configure(s3: Any, *configurations: dict[str, Any], **more: Any) -> None:
    configuration = {"LambdaFunctionConfigurations": list(configurations)}
    await s3("PutBucketNotificationConfiguration", Bucket="bucket", NotificationConfiguration=configuration, **more)


async def configured(s3: Any) -> dict[str, Any]:
    return await s3("GetBucketNotificationConfiguration", Bucket="bucket")


async def test_what_is_configured_is_told(s3: Any) -> None:
    """The configuration comes back with rule names as AWS writes them, and an Id where none was given."""
    assert await configured(s3) == {}
    await configure(s3, to_function(prefix="in/", suffix=".xls"), to_function("s3:ObjectRemoved:*", Id="mine"))
    first, second = (await configured(s3))["LambdaFunctionConfigurations"]
    assert first.pop("Id")
    assert first == {
        "LambdaFunctionArn": FUNCTION,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "in/"}, {"Name": "Suffix", "Value": ".xls"}]}},
    }
    assert second == {"Id": "mine", "LambdaFunctionArn": FUNCTION, "Events": ["s3:ObjectRemoved:*"]}


async def test_a_configuration_replaces_the_one_before(s3: Any) -> None:
    """An empty configuration ends all notifications."""
    await configure(s3, to_function())
    await configure(s3)
    assert await configured(s3) == {}
    await s3.put("k")
    assert await s3.store.count("s3-notifications") == 0


async def test_event_bridge_is_refused(s3: Any) -> None:
    """The empty element by which events for EventBridge are asked for is no setting without effect."""
    with pytest.raises(ServiceError, match=r"NotImplemented: .*EventBridge"):
        await s3(
            "PutBucketNotificationConfiguration", Bucket="bucket", NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
    assert await configured(s3) == {}


async def test_the_destination_is_asked_in_the_bucket_s_name(s3: Any) -> None:
    """Each function is checked once, with the bucket as the source."""
    await configure(s3, to_function(prefix="a"), to_function(prefix="b"))
    ((arn, sender),) = s3.receiver.checked
    assert arn == FUNCTION
    assert sender.service_principal == "s3.amazonaws.com"
    assert (sender.source_arn, sender.source_account) == ("arn:aws:s3:::bucket", "123456789012")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("AccessDeniedException", f"Not authorized to invoke function [{FUNCTION}]"),
        ("ResourceNotFoundException", "The destination Lambda does not exist"),
    ],
)
async def test_a_destination_that_would_not_take_events_is_refused(s3: Any, refused: Any, code: str, reason: str) -> None:
    """Without permission or function nothing is configured, unless the check is to be skipped."""
    s3.receiver.error = ServiceError(code, "no")
    with refused("InvalidArgument", 400) as error:
        await configure(s3, to_function())
    assert error.value.message == "Unable to validate the following destination configurations"
    assert error.value.members == {"ArgumentName1": FUNCTION, "ArgumentValue1": reason}
    assert await configured(s3) == {}
    await configure(s3, to_function(), SkipDestinationValidation=True)
    assert await configured(s3)


@pytest.mark.parametrize(
    ("configurations", "message"),
    [
        ([to_function(), to_function()], OVERLAP),
        ([to_function("s3:ObjectCreated:Put"), to_function("s3:ObjectCreated:*")], OVERLAP),
        ([to_function(prefix="a"), to_function()], AMBIGUOUS),
        ([to_function(prefix="a"), to_function(prefix="ab")], AMBIGUOUS),
        ([to_function(suffix=".jpg"), to_function(suffix="g")], AMBIGUOUS),
        ([to_function(prefix="a"), to_function(suffix="z")], AMBIGUOUS),
        ([to_function(prefix="a", suffix="x"), to_function(prefix="ab", suffix="yx")], AMBIGUOUS),
        (
            [to_function(Id="1"), to_function("s3:ObjectRemoved:*", Id="1")],
            "Same ID used for multiple configurations. IDs must be unique",
        ),
    ],
)
async def test_configurations_that_overlap_are_refused(
    s3: Any, refused: Any, configurations: list[dict[str, Any]], message: str
) -> None:
    """No object may lead to two notifications of the same event."""
    with refused("InvalidArgument", 400) as error:
        await configure(s3, *configurations)
    assert error.value.message == message
    assert await configured(s3) == {}


@pytest.mark.parametrize(
    "configurations",
    [
        [to_function(), to_function("s3:ObjectRemoved:*")],
        [to_function("s3:ObjectCreated:Put"), to_function("s3:ObjectCreated:Copy")],
        [to_function(prefix="a"), to_function(prefix="b")],
        [to_function(prefix="a", suffix="x"), to_function(prefix="ab", suffix="y")],
        [to_function(suffix=".jpg"), to_function(suffix=".png")],
    ],
)
async def test_configurations_that_do_not_meet_are_taken(s3: Any, configurations: list[dict[str, Any]]) -> None:
    """Different events, prefixes or suffixes may go to different places."""
    await configure(s3, *configurations)
    assert len((await configured(s3))["LambdaFunctionConfigurations"]) == len(configurations)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    listed = [{"Name": name, "Value": value} for name, value in pairs]
    return to_function(Filter={"Key": {"FilterRules": listed}})


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        (to_function("s3:ObjectEaten"), "InvalidArgument"),
        (to_function("ObjectCreated:Put"), "InvalidArgument"),
        ({**to_function(), "Events": []}, "InvalidArgument"),
        (to_function("s3:ObjectRestore:Completed"), "NotImplemented"),
        (to_function("s3:Replication:*"), "NotImplemented"),
        ({**to_function(), "LambdaFunctionArn": "resize"}, "InvalidArgument"),
        ({**to_function(), "LambdaFunctionArn": "arn:aws:sqs:us-east-1:123456789012:queue"}, "InvalidArgument"),
        ({**to_function(), "LambdaFunctionArn": FUNCTION.replace("us-east-1", "eu-west-1")}, "InvalidArgument"),
        (to_function(Id="x" * 256), "InvalidArgument"),
        (rules(("infix", "x")), "InvalidArgument"),
        (rules(("prefix", "x"), ("Prefix", "y")), "InvalidArgument"),
        (rules(("suffix", "x" * 1025)), "InvalidArgument"),
    ],
)
async def test_configurations_that_cannot_be(s3: Any, refused: Any, configuration: dict[str, Any], code: str) -> None:
    """Unknown events, events of features that are not there, foreign ARNs and other rules are refused."""
    with refused(code):
        await configure(s3, configuration)
    assert await configured(s3) == {}


async def test_a_hundred_configurations_are_the_most(s3: Any, refused: Any) -> None:
    """The 101st is too many."""
    many = [to_function(prefix=f"{number:03d}") for number in range(101)]
    with refused("TooManyConfigurations", 400):
        await configure(s3, *many)
    await configure(s3, *many[:100])


async def test_only_the_owner_configures(s3: Any, refused: Any) -> None:
    """Other accounts neither read nor write the configuration."""
    for operation in ("GetBucketNotificationConfiguration", "PutBucketNotificationConfiguration"):
        with refused("AccessDenied", 403):
            await s3(operation, account_id="210987654321", Bucket="bucket", NotificationConfiguration={})
