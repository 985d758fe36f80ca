"""Pages of listings: every listing of the service is cut the same way, and its markers are its own."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from lambdad.services.lambda_ import SERVICE
from lambdad.services.lambda_.page import CAP, make_marker, page_of, read_marker
from support.lambda_service import ACCOUNT, REGION, World, capacity, create_provider, refused, zip_of

MODEL = ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")
COUNT = 5


async def functions(world: World) -> None:
    for number in range(COUNT):
        await world.create(f"f{number}")


async def versions(world: World) -> None:
    await world.create()
    for number in range(COUNT - 1):  # $LATEST is listed too
        await world.call("UpdateFunctionConfiguration", FunctionName="f", Description=str(number))
        await world.settled()
        await world.call("PublishVersion", FunctionName="f")


async def aliases(world: World) -> None:
    await world.create(Publish=True)
    for number in range(COUNT):
        await world.call("CreateAlias", FunctionName="f", Name=f"a{number}", FunctionVersion="1")


async def event_configs(world: World) -> None:
    await aliases(world)
    for number in range(COUNT):
        await world.call("PutFunctionEventInvokeConfig", FunctionName="f", Qualifier=f"a{number}", MaximumRetryAttempts=1)


async def urls(world: World) -> None:
    await aliases(world)
    for number in range(COUNT):
        await world.call("CreateFunctionUrlConfig", FunctionName="f", Qualifier=f"a{number}", AuthType="NONE")


async def provisioned(world: World) -> None:
    await versions(world)
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Description="last")
    await world.settled()
    await world.call("PublishVersion", FunctionName="f")
    for number in range(COUNT):
        await world.call(
            "PutProvisionedConcurrencyConfig",
            FunctionName="f",
            Qualifier=str(number + 1),
            ProvisionedConcurrentExecutions=1,
        )


async def layers(world: World) -> None:
    for number in range(COUNT):
        await world.call("PublishLayerVersion", LayerName=f"l{number}", Content={"ZipFile": zip_of({"a": "1"})})


async def layer_versions(world: World) -> None:
    for _ in range(COUNT):
        await world.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": zip_of({"a": "1"})})


PUBLISHER = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/0123456789"
FIRST_SIGNING_CONFIG = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-08000000000000001"


async def signing_configs(world: World, count: int = COUNT) -> None:
    for _ in range(count):
        await world.call("CreateCodeSigningConfig", AllowedPublishers={"SigningProfileVersionArns": [PUBLISHER]})


async def signed_functions(world: World) -> None:
    await signing_configs(world, 1)
    for number in range(COUNT):
        await world.create(f"f{number}", CodeSigningConfigArn=FIRST_SIGNING_CONFIG)


async def providers(world: World) -> None:
    for number in range(COUNT):
        await create_provider(world, f"p{number}")


async def uses(world: World) -> None:
    await create_provider(world)
    await world.create(CapacityProviderConfig=capacity(), PublishTo="LATEST_PUBLISHED")
    for number in range(COUNT - 2):  # $LATEST and $LATEST.PUBLISHED are listed too
        await world.call("UpdateFunctionConfiguration", FunctionName="f", Description=str(number))
        await world.settled()
        await world.call("PublishVersion", FunctionName="f")


#: Operation -> what has to be there first, what it is asked, its list, and what tells items apart that are no texts.
LISTINGS: dict[str, tuple[Callable[[World], Awaitable[None]], dict[str, Any], str, str]] = {
    "ListAliases": (aliases, {"FunctionName": "f"}, "Aliases", "Name"),
    "ListCodeSigningConfigs": (signing_configs, {}, "CodeSigningConfigs", "CodeSigningConfigId"),
    "ListFunctionEventInvokeConfigs": (event_configs, {"FunctionName": "f"}, "FunctionEventInvokeConfigs", "FunctionArn"),
    "ListCapacityProviders": (providers, {}, "CapacityProviders", "CapacityProviderArn"),
    "ListFunctionVersionsByCapacityProvider": (uses, {"CapacityProviderName": "p"}, "FunctionVersions", "FunctionArn"),
    "ListFunctionUrlConfigs": (urls, {"FunctionName": "f"}, "FunctionUrlConfigs", "FunctionArn"),
    "ListFunctions": (functions, {}, "Functions", "FunctionName"),
    "ListFunctionsByCodeSigningConfig": (
        signed_functions,
        {"CodeSigningConfigArn": FIRST_SIGNING_CONFIG},
        "FunctionArns",
        "",
    ),
    "ListLayerVersions": (layer_versions, {"LayerName": "l"}, "LayerVersions", "Version"),
    "ListLayers": (layers, {}, "Layers", "LayerName"),
    "ListProvisionedConcurrencyConfigs": (
        provisioned,
        {"FunctionName": "f"},
        "ProvisionedConcurrencyConfigs",
        "FunctionArn",
    ),
    "ListVersionsByFunction": (versions, {"FunctionName": "f"}, "Versions", "Version"),
}


def paginated() -> set[str]:
    """Those of the model that are served here by these pages."""
    shapes = {name: MODEL.operation_model(name).input_shape for name in SERVICE.operations}
    return {name for name, shape in shapes.items() if shape is not None and "Marker" in shape.members}


def test_every_listing_is_in_the_table() -> None:
    """No operation with a marker is left out of these tests."""
    assert paginated() - {"ListEventSourceMappings"} == set(LISTINGS)  # which has nothing to list yet


@pytest.mark.parametrize("operation", sorted(LISTINGS))
async def test_pages_are_the_whole_without_repetition(world: World, operation: str) -> None:
    """Page by page of any size the listing is what it is at once; the last page has no marker."""
    prepare, request, member, identity = LISTINGS[operation]
    await prepare(world)
    whole = [each[identity] if identity else each for each in (await world.call(operation, **request))[member]]
    assert len(set(whole)) == len(whole) == COUNT
    for size in range(1, COUNT + 1):
        listed: list[Any] = []
        pages, marker = 0, {}
        while pages < 10:
            page = await world.call(operation, **request, MaxItems=size, **marker)
            pages += 1
            assert 1 <= len(page[member]) <= size
            listed += [each[identity] if identity else each for each in page[member]]
            if "NextMarker" not in page:
                break
            marker = {"Marker": page["NextMarker"]}
        assert listed == whole
        assert pages == -(-COUNT // size)


@pytest.mark.parametrize("operation", sorted(LISTINGS))
async def test_what_is_no_marker_of_the_listing_is_refused(world: World, operation: str) -> None:
    """Neither noise, nor a text without a position, nor another listing's marker begins a page somewhere."""
    prepare, request, member, _ = LISTINGS[operation]
    await prepare(world)
    foreign = make_marker("Aliases" if member != "Aliases" else "Functions", "a0")
    noise = ["*", "AAAA", "/w==", "Z g", "é", "a" * 5000, base64.b64encode(b"{}").decode(), make_marker(member, ""), foreign]
    for marker in noise:
        error = await refused(world.call(operation, **request, Marker=marker))
        assert (error.code, error.message) == ("InvalidParameterValueException", f"Invalid value for marker: {marker}")


@pytest.mark.parametrize("position", ["f", "f:", ":1", "f:one", "f:١"])
async def test_positions_among_functions(world: World, position: str) -> None:
    """A position in the list of functions is a name and a version's number."""
    await world.create()
    error = await refused(world.call("ListFunctions", FunctionVersion="ALL", Marker=make_marker("Functions", position)))
    assert error.code == "InvalidParameterValueException"


@pytest.mark.parametrize(("asked", "given"), [(None, CAP), (0, CAP), (1, 1), (49, 49), (50, 50), (51, CAP), (10_000, CAP)])
def test_no_page_is_longer_than_the_cap(asked: int | None, given: int) -> None:
    """AWS gives fifty items at most, whatever is asked for."""
    request = {} if asked is None else {"MaxItems": asked}
    page = page_of("Things", range(200), request, lambda number: f"{number:03d}", lambda number: {"Number": number})
    assert len(page["Things"]) == given
    assert read_marker({"Marker": page["NextMarker"]}, "Things") == f"{given - 1:03d}"


def test_what_goes_away_between_two_pages() -> None:
    """A page goes on behind the last item of the page before, also if that item is gone."""
    first = page_of("Things", ["a", "b", "c", "d"], {"MaxItems": 2}, str, lambda item: {"Item": item})
    second = page_of("Things", ["a", "c", "d"], {"Marker": first["NextMarker"]}, str, lambda item: {"Item": item})
    assert second == {"Things": [{"Item": "c"}, {"Item": "d"}]}


async def test_master_regions(world: World) -> None:
    """Functions of other Regions have no replicas here; the filter needs FunctionVersion ALL."""
    await world.create(Publish=True)
    error = await refused(world.call("ListFunctions", MasterRegion=REGION))
    assert error.code == "InvalidParameterValueException"
    for master, versions_listed in (("ALL", 2), (REGION, 2), ("eu-west-1", 0)):
        listed = await world.call("ListFunctions", FunctionVersion="ALL", MasterRegion=master)
        assert [each["FunctionArn"] for each in listed["Functions"]] == [
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:{version}" for version in ("$LATEST", "1")
        ][:versions_listed]
